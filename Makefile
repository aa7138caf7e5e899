# Everything a checkout needs, from Python and make alone. `make` lists the targets.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
ENGINES := $(VENV)/.engines
STUDY ?= params/cdnow.yml
PYTHON ?=
LAB ?=
BENCH ?=
UPGRADE ?=

export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

# Where the system keeps certificates they are used, as pip does: an office proxy's is among them.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem),)
export UV_SYSTEM_CERTS := 1
endif

.PHONY: help report lab env engines test check format bench lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

report: $(STAMP)  ## run a study and publish its report: make report STUDY=params/cdnow.yml
	@$(BIN)/clv run $(STUDY)

lab: $(STAMP)  ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks $(LAB)

env: $(STAMP)  ## make or refresh .venv from requirements.lock
	@echo "$(VENV) is what requirements.lock says"

engines: $(ENGINES)  ## add Spark, locked in engines.lock (some 400 MB; it wants Java 17)
	@echo "$(VENV) has what engines.lock says"

check: $(STAMP)  ## lint and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --output-format concise .

test: check  ## lint, then the quick tests
	@$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not slow and not browser and not engines"

format: $(STAMP)  ## lint with fixes, and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP)  ## measure side by side with the peers: make bench BENCH="--sizes cdnow" (see benchmarks/)
	@$(BIN)/python -m benchmarks.run $(BENCH) && $(BIN)/python -m benchmarks.report

lock: $(STAMP)  ## resolve pyproject.toml again (newest: make lock UPGRADE=--upgrade)
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile pyproject.toml --group dev \
	    --universal --python-version 3.12 --generate-hashes --no-annotate --no-emit-index-url \
	    --no-emit-find-links --quiet $(UPGRADE) --output-file requirements.lock
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --group engines --constraints requirements.lock \
	    --universal --python-version 3.12 --generate-hashes --no-annotate --no-emit-index-url \
	    --no-emit-find-links --quiet $(UPGRADE) --output-file engines.lock
	@sed '/^  - pip:/q' environment.yml > environment.yml.new
	@sed -n 's/^\([a-z0-9].*[^ \\]\) *\\$$/      - \1/p' requirements.lock >> environment.yml.new
	@mv environment.yml.new environment.yml
	@echo "requirements.lock, engines.lock and environment.yml are up to date; make env installs them"

clean:  ## remove caches and build leftovers (neither .venv nor reports)
	@rm -rf build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -path ./$(VENV) -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) \
	    -prune -exec rm -rf {} +

# The environment is exactly the lock: uv and setuptools come first, by pip and by their hashes, and
# build what has no wheel, so nothing outside the lock is ever fetched.
$(STAMP): requirements.lock pyproject.toml
	@.ci/find-python $(BIN)/python >/dev/null 2>&1 || { \
	    python=$$(.ci/find-python "$(PYTHON)") || exit 1; \
	    echo "Making $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv --clear $(VENV); }
	@rm -f $@
	@$(BIN)/uv --version >/dev/null 2>&1 || { \
	    echo "Fetching the installer"; \
	    awk '/^[^ #]/ { wanted = /^(uv|setuptools)==/ } wanted' requirements.lock > $(VENV)/installer.txt; \
	    $(BIN)/python -m ensurepip >/dev/null && \
	    $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(VENV)/installer.txt; } \
	    || { $(explain_network); exit 1; }
	@echo "Installing the locked packages (the first time: some 200 MB)"
	@$(BIN)/uv pip sync --python $(BIN)/python --require-hashes --no-build-isolation requirements.lock \
	    || { $(explain_network); exit 1; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# What the first list installs, a change of it also removes, this one's packages included.
$(ENGINES): engines.lock $(STAMP)
	@echo "Installing Spark (some 400 MB)"
	@$(BIN)/uv pip install --python $(BIN)/python --no-deps --require-hashes --no-build-isolation -r engines.lock \
	    || { $(explain_network); exit 1; }
	@touch $@

define explain_network
echo "The packages could not be installed; the reason stands above." >&2; \
echo "  next:  without a network, or behind a proxy or mirror: set HTTPS_PROXY, or UV_DEFAULT_INDEX and" >&2; \
echo "         PIP_INDEX_URL to your mirror, SSL_CERT_FILE for its certificate; a package that wants to be" >&2; \
echo "         compiled has no wheel here: use Linux, macOS on Apple silicon or Windows (WSL)" >&2
endef
