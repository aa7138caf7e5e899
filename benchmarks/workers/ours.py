"""The workbench of this checkout, called as its own rooms call each other."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import duckdb
import ibis.backends.duckdb  # noqa: F401  (loaded at the first connection; imports are not in the times)
import numpy as np
import pandas as pd
import scipy.optimize  # noqa: F401  (fits load it when they first climb; imports are not in the times)

from benchmarks import worlds
from clvkit import customers, processes
from clvkit.fitting import fit_process, fit_spend
from clvkit.ledger import LedgerSection, build_ledger
from clvkit.ledger.engine import connect
from clvkit.models_section import ModelsSection
from clvkit.valuation import scores
from clvkit.value import ValueSection

MODELS, MINOR = ModelsSection(), 100
for one in (*processes.NAMES, "gammagamma"):
    processes.get(one)


def floor_parquet(job):
    return bare(f"SELECT customer_id, date, sum(amount) FROM '{job.files['log.parquet']}' GROUP BY ALL")


def floor_csv(job):
    columns = "{'customer_id': 'VARCHAR', 'date': 'DATE', 'amount': 'DOUBLE'}"
    read = f"read_csv('{job.files['log.csv']}', columns={columns}, header=true)"
    return bare(f"SELECT customer_id, date, sum(amount) FROM {read} GROUP BY ALL")


def bare(query):
    """What DuckDB alone takes to add up each customer's days, with nothing accounted for."""
    con = duckdb.connect()

    def run():
        con.sql(f"CREATE OR REPLACE TABLE days AS {query}")
        return {"rows": con.sql("SELECT count(*) FROM days").fetchone()[0]}

    return run


def summary(job):
    """Orders in a typed file to cells and spend cells: what every fit starts from."""

    def run():
        con = connect()
        summary = con.create_table(
            "summary", worlds.summary_of(con, Path(job.files["log.parquet"]), date.fromisoformat(job.as_of))
        )
        made = customers.cells(summary), customers.spend_cells(summary)
        return lambda: totals(*made)

    return run


def totals(cells, spend_cells):
    """The sums that the peers' summaries have, and how many cells there are."""
    return {
        "customers": int(cells["n"].sum()),
        "purchases": float((cells["frequency"] * cells["n"]).sum()),
        "recency_weeks": float((cells["recency_days"] * cells["n"]).sum() / 7),
        "T_weeks": float((cells["T_days"] * cells["n"]).sum() / 7),
        "spend": float((spend_cells["spend_minor"] * spend_cells["n"]).sum() / MINOR),
        "cells": len(cells),
    }


def ledger_csv(job):
    """A CSV file to the ledger, every row in one state, balanced and checked; then cells."""
    source = Path(job.files["log.csv"])
    until = date.fromisoformat(job.as_of)

    def run():
        began = perf_counter()
        ledger = build_ledger(
            LedgerSection(path=source.name), as_of=until, currency="USD", base=source.parent
        )
        built = perf_counter()
        summary = customers.customer_summary(ledger.purchases, until)
        made = customers.cells(summary), customers.spend_cells(summary)
        parts = {"ledger": built - began, "cells": perf_counter() - built}
        rows = ledger.totals["rows"]
        if rows["in"] != sum(count for state, count in rows.items() if state != "in"):
            raise RuntimeError("the rows do not balance")
        return {"parts": parts, "rows": rows["in"]} | totals(*made)

    return run


def process_fit(process):
    def prepare(job):
        cells = pd.read_parquet(job.files["cells.parquet"])
        return lambda: found(fit_process(process, cells, MODELS, sample=False))

    return prepare


def found(fit):
    """Estimates, and how large the gradient is where the climb ended."""
    return {
        "parameters": dict(zip(fit.parameters, fit.mle.tolist(), strict=True)),
        "log_likelihood": fit.log_likelihood,
        "se": dict(zip(fit.parameters, fit.se.tolist(), strict=True)),
        "gradient_norm": fit.gradient_norm,
        "cells": fit.cells,
    }


fit_bgnbd, fit_mbgnbd, fit_paretonbd = process_fit("bgnbd"), process_fit("mbgnbd"), process_fit("paretonbd")


def fit_gammagamma(job):
    spend_cells = pd.read_parquet(job.files["spend_cells.parquet"])
    return lambda: found(fit_spend(spend_cells, MODELS, MINOR, sample=False))


def sampled(process, method):
    """Estimates and a posterior: by the No-U-Turn sampler, or by importance sampling around the mode."""
    section = MODELS.model_copy(update={"sampler": MODELS.sampler.model_copy(update={"method": method})})

    def prepare(job):
        import arviz  # noqa: F401
        import nutpie  # noqa: F401

        cells = pd.read_parquet(job.files["cells.parquet"])

        def run():
            fit = fit_process(process, cells, section, sample=True)
            means, sd = (
                dict(zip(fit.parameters, of.tolist(), strict=True))
                for of in (fit.flat.mean(axis=0), fit.flat.std(axis=0))
            )
            return {
                "parameters": means, "sd": sd, "method": fit.method, "cells": fit.cells
            } | fit.diagnostics  # fmt: skip

        return run

    return prepare


posterior_bgnbd, posterior_paretonbd = sampled("bgnbd", "nuts"), sampled("paretonbd", "nuts")
laplace_bgnbd, laplace_paretonbd = sampled("bgnbd", "laplace"), sampled("paretonbd", "laplace")


def valued(process, draws):
    """12 months' value of every customer, at given parameters or with a 90 % interval over given draws."""

    def prepare(job):
        rows = pd.read_parquet(job.files["score_cells.parquet"])
        keys = ["segment", "frequency", "recency_days", "T_days", "spend_minor"]
        everyone = pd.read_parquet(job.files["summary.parquet"], columns=["customer", *keys])
        fits = {
            "fit": fit_process(process, pd.read_parquet(job.files["cells.parquet"]), MODELS, sample=False),
            "spend": fit_spend(
                pd.read_parquet(job.files["spend_cells.parquet"]), MODELS, MINOR, sample=False
            ),
        }
        if draws > 1:
            drawn = np.load(job.files["draws.npz"])
            for name, fit in fits.items():
                values = np.stack([drawn[f"{fit.process}_{key}"][:draws] for key in fit.parameters], axis=-1)
                fits[name] = replace(fit, draws=values[None])
        terms = ValueSection(
            margin=1.0,
            annual_discount_rate=0.1,
            horizon_months=12,
            interval=0.9,
            posterior_draws=max(draws, 50),
        )

        def run():
            began = perf_counter()
            made = scores(fits["fit"], fits["spend"], rows, terms, minor_per_unit=MINOR, days_per_year=365.25)
            scored = perf_counter()
            each = everyone.merge(made, on=keys, how="left")
            parts = {"value": scored - began, "join": perf_counter() - scored}
            return {
                "customers": len(each), "total": float(each["clv"].sum()), "cells": len(rows), "parts": parts
            }  # fmt: skip

        return run

    return prepare


clv_bgnbd, clv_paretonbd = valued("bgnbd", 1), valued("paretonbd", 1)
clv_bgnbd_200, clv_bgnbd_400 = valued("bgnbd", 200), valued("bgnbd", 400)
clv_paretonbd_200, clv_paretonbd_400 = valued("paretonbd", 200), valued("paretonbd", 400)


def start(empty):
    """A new interpreter that fits and values with all models, twice; ``empty``: with no compiled code to load.

    ``added``: what is left without the work itself, so start, imports, and compiling or loading code.
    """

    def prepare(job):
        code = Path(__file__).with_name("start.py")

        def run():
            with TemporaryDirectory() as folder:
                where = {"NUMBA_CACHE_DIR": folder} if empty else {}
                command = [
                    sys.executable,
                    str(code),
                    job.files["cells.parquet"],
                    job.files["spend_cells.parquet"],
                ]
                began = perf_counter()
                said = subprocess.run(command, env=os.environ | where, check=True, stdout=subprocess.PIPE)
                return {"added": perf_counter() - began - 2 * float(said.stdout)}

        return run

    return prepare


first_start, next_start = start(True), start(False)


def command(*words):
    """A new interpreter that does this and ends; its start counts."""

    def prepare(job):
        def run():
            with TemporaryDirectory() as folder:
                where = {"CLVKIT_REPORTS": folder}
                subprocess.run(
                    [sys.executable, *words], cwd=job.checkout, env=os.environ | where, check=True,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            return {}

        return run

    return prepare


help = command("-m", "clvkit.cli", "--help")
report = command("-m", "clvkit.cli", "run", "params/cdnow.yml")
globals()["import"] = command("-c", "import clvkit")


def judge(job):
    """The log-likelihood of someone's parameters by our likelihood, so that all are on one scale."""
    name, given = job.model, job.parameters

    def run():
        model = processes.get(name)
        values = np.array([given[key] for key in model.parameters])
        if name == "gammagamma":
            cells = pd.read_parquet(job.files["spend_cells.parquet"]).query("spend_minor > 0")
            F, whole = model.prepare(
                cells["frequency"].to_numpy(float),
                cells["spend_minor"].to_numpy() / MINOR,
                cells["n"].to_numpy(float),
            )
            empty = np.empty(0)
            return {"log_likelihood": model.evaluate(values, F, whole, np.empty(3), empty, empty)}
        cells = pd.read_parquet(job.files["cells.parquet"])
        columns = cells["frequency"], cells["recency_days"] / 7, cells["T_days"] / 7, cells["n"]
        return {"log_likelihood": model.log_likelihood(values, *(one.to_numpy() for one in columns))}

    return run
