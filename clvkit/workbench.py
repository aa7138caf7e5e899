"""The workbench: what a notebook opens, with the study, its artifacts and the recording of its results."""

import os
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvkit.artifacts import CROSSWALK, KINDS
from clvkit.errors import StudyError
from clvkit.ledger.files import SHARED
from clvkit.ledger.inclusion import InclusionSection
from clvkit.recorder import Recorder
from clvkit.runs import DRAFT, STORE, read_json, reports_root
from clvkit.store import Store, code_fingerprint, library_versions
from clvkit.study import Study, load_study, study_from_resolved, with_values

if TYPE_CHECKING:
    import pandas as pd
    from ibis.expr.types import Table as IbisTable

    from clvkit.backtest_results import Backtests
    from clvkit.business_model import KindOfBusiness
    from clvkit.calendar import Calendar
    from clvkit.challenger import Challenge
    from clvkit.checks import Check
    from clvkit.cohort_schemes import Schemes
    from clvkit.cohorts import CohortTriangles
    from clvkit.contract_analysis import ContractCurves, ContractDrivers
    from clvkit.contracts import Contracts
    from clvkit.covariates import CovariateFit
    from clvkit.currency_effect import CurrencyEffect
    from clvkit.dormancy import Dormancy
    from clvkit.feature_sources import Sources
    from clvkit.fit import Fit
    from clvkit.grains import Grains
    from clvkit.new_variable import Cards
    from clvkit.privacy_cost import PrivacyCost
    from clvkit.refits import MergingEffect
    from clvkit.restatement import Comparison
    from clvkit.retention import Retention
    from clvkit.revenue_retention import RevenueRetention
    from clvkit.rhythm import Rhythm
    from clvkit.seen import Seen
    from clvkit.segments import SegmentedFit
    from clvkit.sensitivity import Sensitivity
    from clvkit.spend_choice import SpendChoice
    from clvkit.spend_values import SpendValues
    from clvkit.truncation import Dated
    from clvkit.valuation import Valuation
    from clvkit.value_methods import Methods

#: What the runner tells a kernel: the folder of the run, the notebook's name, the study's folder.
RUN_DIR, STEM, STUDY_DIR = "CLVKIT_RUN_DIR", "CLVKIT_NOTEBOOK", "CLVKIT_STUDY_DIR"


class Workbench(Recorder):
    """A study at hand: its artifacts, made when first asked for, and the recording of what is shown.

    Parameters
    ----------
    study : the validated study.
    study_folder : ``reports/<study>/``, which holds the store.
    folder : where results are recorded.
    stem : name of the notebook that records.
    run_id : of the run being written; None for drafts.
    inputs : name, sha256 and size of the source files, where they are known already.
    """

    def __init__(
        self,
        study: Study,
        *,
        study_folder: Path,
        folder: Path,
        stem: str,
        run_id: str | None = None,
        inputs: list[dict] | None = None,
    ):
        super().__init__(folder, stem, run_id)
        self.study = study
        self.study_folder = study_folder
        self.store = Store(study_folder / STORE)
        self._inputs = inputs
        self._made: dict[str, Any] = {}
        self._keys: dict[str, str] = {}

    @cached_property
    def inputs(self) -> list[dict]:
        """Name, sha256 and size of each source file; the run's own list while a run is being written."""
        if self._inputs is not None:
            return self._inputs
        from clvkit.ledger import inputs

        return inputs(self.study.ledger, self.study.base, self.study.privacy.banned_columns)

    def ledger(self) -> Any:
        """The ledger: every source row with its state, and the purchases up to the as-of date."""
        return self.get("ledger")

    @property
    def known_until(self) -> date:
        """Last day that the models know of: the as-of date, or the end of the last opportunity that was over by it."""
        from clvkit.opportunities import known_until

        return known_until(self.study.as_of, self.study.models.opportunity)

    def purchases(self) -> "IbisTable":
        """Purchases as the models see them, one row per customer and day, or per customer and opportunity.

        With ``acquired`` and ``pattern`` where the study goes by dates of acquisition or has covariates.
        """
        return self.seen.purchases()

    @cached_property
    def seen(self) -> "Seen":
        """The purchases as the models see them, and what is known of customers besides."""
        from clvkit.ledger.crosswalk import known_members
        from clvkit.seen import Seen

        ledger = self.ledger()
        return Seen(ledger, self.study, known_members(ledger.con, self.study_folder / CROSSWALK))

    def everybody(self) -> "IbisTable":
        """One row per customer who bought by the as-of date, with the rule of inclusion that fits and its treatment."""
        from clvkit.customers import customer_summary
        from clvkit.ledger.crosswalk import known_members
        from clvkit.ledger.customers import with_confidence
        from clvkit.ledger.inclusion import apply

        ledger, section = self.ledger(), self.study.ledger
        accounts = known_members(ledger.con, self.study_folder / CROSSWALK)
        summary = customer_summary(self.purchases(), self.known_until)
        summary = with_confidence(summary, section.identity, accounts, self.study.base)
        return apply(self.seen.with_survey(summary), section.inclusion, accounts)

    def restatement(self) -> "Comparison | None":
        """What closed months say differently from the last version of the data; None where there was none."""
        from clvkit.restated import since_last_version

        return since_last_version(self)

    def summary(self) -> "IbisTable":
        """One row per customer that the models see, as an Ibis table."""
        from clvkit.customers import customer_summary

        if self.study.ledger.inclusion == InclusionSection():
            return customer_summary(self.purchases(), self.known_until)
        everybody = self.everybody()
        return everybody.filter(everybody.treatment != "exclude")

    def cells(self) -> "pd.DataFrame":
        """Distinct (segment, frequency, recency, T) with the number of customers in each."""
        return self.get("cells")

    def fitted_cells(self) -> "pd.DataFrame":
        """The cells that processes are fitted to: all, but for what ``models.left_truncation`` leaves out."""
        from clvkit.truncation_fit import left_in

        return left_in(self.cells(), self.study.models.left_truncation)

    def watched_cells(self) -> "pd.DataFrame":
        """Those of `fitted_cells` whose customers were watched from their first purchase on."""
        from clvkit.truncation_fit import from_birth

        return from_birth(self.fitted_cells())

    def watched_purchases(self) -> "IbisTable":
        """The purchases of the customers of `watched_cells`."""
        from clvkit.truncation_fit import of_fitted

        purchases, section = self.purchases(), self.study.models.left_truncation
        if section.treatment not in ("burn_in", "acquired"):
            return purchases
        return purchases.semi_join(of_fitted(self.summary(), section), "customer")

    def gaps(self) -> "pd.DataFrame":
        """Gaps between purchases, added up over customers who are alike; see `clvkit.rhythm.gap_statistics`."""
        return self.get("gaps")

    def rhythm(self) -> "Rhythm":
        """Whether customers buy at random or like clockwork."""
        from clvkit.rhythm import rhythm

        return rhythm(self.gaps(), self.study.value.interval)

    def spend_cells(self) -> "pd.DataFrame":
        """Distinct (frequency, repeat spend) with the number of customers in each."""
        return self.get("spend_cells")

    @property
    def minor_per_unit(self) -> int:
        """Minor units in one unit of the currency: 100 cents to the dollar."""
        return 10 ** self.ledger().minor_digits

    def cohorts(self) -> "CohortTriangles":
        """What customers of each period of acquisition did since."""
        return self.get("cohorts")

    def cohort_schemes(self) -> "Schemes":
        """What the cohorts of each scheme of keys did since, in counts, sales and margin."""
        return self.get("cohort_schemes")

    def retention(self) -> "Retention":
        """How long customers keep buying, together and by cohort."""
        return self.get("retention")

    def contracts(self) -> "Contracts | None":
        """The contracts and the relations they make up; None where the study names no source of them."""
        return None if self.study.contracts.source is None else self.get("contracts")

    def revenue_retention(self) -> "RevenueRetention | None":
        """What became of recurring revenue, gross and net; None where the study has no contracts that can be used."""
        return self.get("revenue_retention") if self._has_relations() else None

    def contract_drivers(self) -> "ContractDrivers | None":
        """What makes contracts end sooner or later; None where the study has none that can be used."""
        return self.get("contract_drivers") if self._has_relations() else None

    def contract_curves(self) -> "ContractCurves | None":
        """How long contracts last by group, and how they end; None where the study has none that can be used."""
        return self.get("contract_curves") if self._has_relations() else None

    def _has_relations(self) -> bool:
        held = self.contracts()
        return held is not None and not held.relations.empty

    def kind_of_business(self) -> "KindOfBusiness":
        """Whether customers are seen to leave, by the data and by the study."""
        from clvkit.business_model import kind_of_business
        from clvkit.opportunities import evidence

        purchases, held, study = self.ledger().purchases, self.contracts(), self.study
        relations = None if held is None else held.relations
        found = evidence(purchases, study.as_of)
        return kind_of_business(purchases, relations, study.as_of, found, study.business_model)

    def sufficiency(self) -> "list[Check]":
        """Whether the data can carry a value: the checks that decide about it, before anything is fitted.

        Raises
        ------
        FitError : the study says that a window was shut, and customers bought in it.
        """
        from clvkit.sufficiency import contract_sufficiency, sufficiency_checks
        from clvkit.truncation import truncation_check

        if self.contractual:
            return contract_sufficiency(self.contracts().relations, self.study.sufficiency)
        if self.study.calendar.windows and len(self.cells()):
            from clvkit.calendar import require_possible
            from clvkit.customers import daily_purchases

            known = self.purchases().semi_join(self.summary(), "customer")
            require_possible(self.study.calendar, daily_purchases(known, self.known_until))
        checks = sufficiency_checks(self.cells(), self.study.sufficiency, self.known_until)
        if not len(self.cells()):
            return checks
        return [
            *checks,
            truncation_check(self.get("truncation"), self.study.models.left_truncation, self.dated()),
        ]

    def dated(self) -> "Dated | None":
        """What dates of acquisition say of the customers; None where the study does not go by them, or has none."""
        from clvkit.truncation_fit import windows

        acquired = self.seen.acquired
        if acquired is None or acquired.empty:
            return None
        return windows(self.ledger().purchases, acquired, self.study.as_of)[1]

    def carries_value(self) -> bool:
        """Whether the data suffice; if not, a report says so and gives no value."""
        return not any(check.stops for check in self.sufficiency())

    @cached_property
    def contractual(self) -> bool:
        """Whether what there is to value are contracts alone: no purchase process is fitted, and no value is theirs."""
        return self.contracts() is not None and self.kind_of_business().used == "contractual"

    def values_purchases(self) -> bool:
        """Whether purchases are valued by a process of their own."""
        return not self.contractual and self.carries_value()

    def fit(self, process: str | None = None) -> "Fit":
        """A purchase process fitted to the cells; the headline's by default."""
        return self.get("fit", process=process or self.study.models.headline)

    def fits(self) -> "dict[str, Fit]":
        """Every process of the study fitted to the same cells, by name."""
        return {process: self.fit(process) for process in self.study.models.processes}

    def calendar(self) -> "Calendar":
        """The study's calendar on the as-of date: the clock of purchases, and what was estimated of it."""
        return self.get("calendar")

    def spend(self) -> "Fit":
        """The model of spend per purchase that is used, fitted to repeat customers; `spend_choice` says why."""
        return self.get("spend")

    def spend_choice(self) -> "SpendChoice":
        """Which model of spend is used, and why."""
        return self.get("spend_choice")

    def spend_values(self) -> "SpendValues":
        """Customer equity with each model of spend."""
        return self.get("spend_values")

    def fit_by_segment(self) -> "SegmentedFit | None":
        """The headline process fitted by segment; None where the study ignores segments."""
        return self.get("fit_by_segment") if self.study.models.by_segment else None

    def spend_by_segment(self) -> "SegmentedFit | None":
        """The model of spend fitted by segment; None where the study ignores segments."""
        if (
            not self.study.models.by_segment or self.spend().process == "segment_means"
        ):  # which are by segment already
            return None
        return self.get("spend_by_segment")

    def fit_with_covariates(self) -> "CovariateFit | None":
        """The headline process fitted with covariates; None where the study ignores them."""
        return self.get("fit_with_covariates") if self.study.models.covariates.use != "ignore" else None

    def candidates(self) -> "dict[str, Fit | SegmentedFit | CovariateFit]":
        """Every fit that the value could be computed with, by name: the processes, and the headline's refinements.

        Where a calendar acts, the headline without it is one of them: what knows more has to earn it.
        """
        plain = None if self.calendar().clock is None else self.get("fit_without_calendar")
        refined = (plain, self.fit_by_segment(), self.fit_with_covariates())
        return self.fits() | {one.name: one for one in refined if one is not None}

    def valued_with(self) -> "tuple[Fit | SegmentedFit | CovariateFit, Fit | SegmentedFit]":
        """The fits of purchases and of spend that the value is computed with."""
        if self.study.models.covariates.use == "value":
            return self.get("fit_with_covariates"), self.spend()
        if self.study.models.segments == "value":
            return self.get("fit_by_segment"), self.spend_by_segment() or self.spend()
        return self.fit(), self.spend()

    def valuation(self) -> "Valuation":
        """What the customers are worth, and who holds it."""
        return self.get("valuation")

    def grains(self) -> "Grains":
        """The value at each grain, what customers brought so far, and what is at risk of leaving within a year."""
        return self.get("grains")

    def dormancy(self) -> "Dormancy | None":
        """Customer equity under each treatment of customers silent for long; None where nobody bought twice."""
        return self.get("dormancy") if self.cells()["frequency"].max() > 0 else None

    def scores(self) -> "pd.DataFrame":
        """P(alive), expected purchases and value of one customer of each kind, with intervals."""
        return self.get("scores")

    def merging(self) -> "MergingEffect | None":
        """What joining accounts changes of the value; None where none are joined, it is not asked for, or cannot be had."""
        identity = self.study.ledger.identity
        if not identity.joins or not identity.value_effect or not self.values_purchases():
            return None
        return self.get("merging")

    def currency_effect(self) -> "CurrencyEffect | None":
        """Revenue and value under each method of conversion; None where all of it is in the study's currency."""
        from clvkit.currency_effect import has_foreign, rates_of

        ledger = self.ledger()
        if rates_of(ledger, self.study.ledger) is None or not has_foreign(ledger):
            return None
        return self.get("currency_effect")

    def privacy_cost(self) -> "PrivacyCost | None":
        """What doing without the columns of ``privacy.try_without`` costs; None where the study lists none."""
        return self.get("privacy_cost") if self.study.privacy.try_without else None

    def backtests(self) -> "Backtests":
        """Every process tried from the study's earlier dates, with verdicts by the study's thresholds."""
        return self.get("backtests").judged(self.study.backtest)

    @cached_property
    def feature_sources(self) -> "Sources":
        """Everything dated that features of customers may be made of."""
        from clvkit.feature_sources import sources_of

        return sources_of(self)

    def challenge(self) -> "Challenge | None":
        """Machines tried beside the processes on the latest hold-out; None where the study asks for none."""
        return self.get("challenge") if self.study.challenger.use != "none" else None

    def trials(self) -> "Cards":
        """The cards of new variables on trial."""
        return self.get("trials")

    def methods(self) -> "Methods":
        """The customers valued in several ways side by side, and which to use."""
        return self.get("methods")

    def sensitivity(self) -> "Sensitivity":
        """What a change in each driver, alone and from the as-of date on, does to customer equity."""
        return self.get("sensitivity")

    def get(self, kind: str, **arguments: Any) -> Any:
        """Load the artifact of this kind, or make and keep it; see :data:`clvkit.artifacts.KINDS`."""
        name = _named(kind, arguments)
        if name not in self._made:
            recipe = KINDS[kind]
            key, self._made[name] = self.store.artifact(
                kind,
                self.ingredients(kind, **arguments),
                make=lambda: recipe.make(self, **arguments),
                save=recipe.save,
                load=recipe.load,
            )
            self.used(name, key)
        return self._made[name]

    def key(self, kind: str, **arguments: Any) -> str:
        """The key of an artifact, without making it."""
        name = _named(kind, arguments)
        if name not in self._keys:
            self._keys[name] = Store.key(kind, self.ingredients(kind, **arguments))
        return self._keys[name]

    def ingredients(self, kind: str, **arguments: Any) -> dict:
        """Everything that decides an artifact's content, as JSON values."""
        recipe = KINDS[kind]
        made_from = {
            "settings": recipe.settings(self.study, arguments),
            "arguments": arguments,
            "needs": {need: self.key(need) for need in recipe.needs},
            "code": code_fingerprint(recipe.rooms),
            "libraries": library_versions(recipe.libraries),
        }
        if kind == "ledger":
            rows = [source for source in self.inputs if source.get("source") != SHARED]
            made_from["inputs"] = [[source["file"], source["sha256"]] for source in rows]
            from clvkit.erasure import Suppression

            if erased := Suppression.load(self.study_folder).fingerprint():
                made_from["erased"] = erased
        return made_from


def open_run(
    study: str | os.PathLike[str], as_of: date | str | None = None, **sections: Mapping[str, Any]
) -> Workbench:
    """Open a study in a notebook; every notebook's second code cell does.

    While ``clv run`` executes the notebook, this is the run being written, and the parameters must be the
    run's own. In JupyterLab it is the study file with the parameters laid over it, and what is shown is
    recorded in ``reports/<study>/draft/``.

    Parameters
    ----------
    study : path of the study file, from the notebook's folder.
    as_of : the as-of date instead of the study's; None keeps it.
    sections : fields of the study by section, such as ``value={"margin": 0.4}``; None keeps the study's.

    Raises
    ------
    StudyError : the study or a parameter is not valid, or a parameter is not what the run is made with.
    """
    values = {"as_of": None if as_of is None else str(as_of), **sections}
    running = os.environ.get(RUN_DIR)
    if running:
        return _in_run(Path(running), values)
    chosen = with_values(load_study(study), values)
    folder = reports_root() / chosen.name
    bench = Workbench(chosen, study_folder=folder, folder=folder / DRAFT, stem=_notebook_name())
    _show_style()
    return bench


def _in_run(folder: Path, values: Mapping[str, Any]) -> Workbench:
    manifest = read_json(folder / "run.json")
    study = study_from_resolved(
        manifest["resolved"], base=os.environ[STUDY_DIR], source="the study of this run"
    )
    if with_values(study, values) != study:
        raise StudyError(
            "the notebook changes parameters of the run it belongs to",
            place=os.environ[STEM],
            fix="set them in the study, or with clv run --set, so that the whole run agrees",
        )
    drafting = manifest["state"] == DRAFT
    return Workbench(
        study,
        study_folder=folder.parent if drafting else folder.parent.parent,
        folder=folder,
        stem=os.environ[STEM],
        run_id=None if drafting else manifest["run_id"],
        inputs=manifest["inputs"],
    )


def _notebook_name() -> str:
    """Name of the notebook that runs this in JupyterLab, which tells its kernels so."""
    return os.environ.get(STEM) or Path(os.environ.get("JPY_SESSION_NAME", "notebook.ipynb")).stem


def _named(kind: str, arguments: Mapping[str, Any]) -> str:
    return ":".join([kind, *(str(value) for value in arguments.values())])


def _show_style() -> None:
    """Give JupyterLab the report's look for the exhibits shown in this notebook."""
    from IPython import get_ipython
    from IPython.display import HTML, display

    if get_ipython() is not None:
        from clvkit.publish.assets import exhibit_css

        display(HTML(f"<style>{exhibit_css()}</style>"))
