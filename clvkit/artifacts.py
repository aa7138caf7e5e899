"""The kinds of artifact: what each is made from, how it is made, kept and read. One entry per kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clvkit import artifact_contracts as of_contracts
from clvkit import artifact_settings as settings

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.currency_effect import CurrencyEffect
    from clvkit.study import Study
    from clvkit.workbench import Workbench

Arguments = Mapping[str, Any]
CROSSWALK = ".crosswalk"  # the accounts' pseudonyms, below the study's folder: state, and no artifact


@dataclass(frozen=True)
class Kind:
    """How one kind of artifact comes about.

    ``kept`` names the class that saves and loads it (``module:Class``); None for a table. ``settings`` gives the
    part of the study that decides its content, ``needs`` the kinds it is made from, ``rooms`` the modules whose
    source counts, ``libraries`` the distributions whose version counts. All of them, with the arguments, make its
    key; a change in any makes it anew, and nothing else does.
    """

    make: Callable[..., Any]
    settings: Callable[["Study", Arguments], dict]
    kept: str | None = None
    needs: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    def save(self, made: Any, folder: Path) -> None:
        """Write what was made into ``folder``."""
        if self.kept is None:
            made.to_parquet(folder / "table.parquet", index=False)
        else:
            made.save(folder)

    def load(self, folder: Path) -> Any:
        """Read what `save` wrote."""
        if self.kept is None:
            import pandas as pd

            return pd.read_parquet(folder / "table.parquet")
        module, name = self.kept.split(":")
        return getattr(import_module(module), name).load(folder)


def _ledger(bench: "Workbench") -> Any:
    from clvkit.calendar_section import with_windows
    from clvkit.contracts_section import billing
    from clvkit.erasure import Suppression, withhold
    from clvkit.ledger import build_ledger

    study, erased = bench.study, Suppression.load(bench.study_folder)
    return build_ledger(with_windows(study.ledger, study.calendar, study.promotions), as_of=study.as_of, currency=study.currency, base=study.base,
                        crosswalk=bench.study_folder / CROSSWALK, banned=study.privacy.banned_columns, billing=billing(study.contracts),
                        withhold=lambda lines: withhold(lines, erased))  # fmt: skip


def _from_summary(function: str) -> Callable[["Workbench"], "pd.DataFrame"]:
    """A table that a function of `clvkit.customers` makes of the customer summary."""
    return lambda bench: getattr(import_module("clvkit.customers"), function)(bench.summary())


def _averaged(bench: "Workbench") -> "pd.DataFrame":
    """Customers valued as their segment; none, and nothing read, where no rule says so."""
    from clvkit.customers import averaged_cells

    if bench.study.ledger.inclusion.averages:
        return averaged_cells(bench.everybody())
    return bench.get("score_cells").iloc[:0].assign(averaged_by=None)


def _cohorts(bench: "Workbench") -> Any:
    from clvkit.cohorts import cohort_triangles

    return cohort_triangles(bench.ledger().purchases, bench.study.cohorts, bench.study.as_of)


def _cohort_schemes(bench: "Workbench") -> Any:
    from clvkit.cohort_schemes import cohort_schemes

    study = bench.study
    return cohort_schemes(bench.seen, study.cohorts, study.as_of, study.value.margin, study.acquisition.by)


def _retention(bench: "Workbench") -> Any:
    from clvkit.retention import measure_retention

    return measure_retention(bench.ledger().purchases, bench.study.retention, bench.study.as_of)


def _truncation(bench: "Workbench") -> Any:
    from clvkit.truncation import detect

    study = bench.study
    return detect(bench.ledger().purchases, study.as_of, study.models.left_truncation)


def _gaps(bench: "Workbench") -> "pd.DataFrame":
    from clvkit.rhythm import gap_statistics
    from clvkit.truncation_fit import of_fitted

    known = of_fitted(bench.summary(), bench.study.models.left_truncation)
    return gap_statistics(bench.purchases(), bench.known_until, known)


def _calendar(bench: "Workbench") -> Any:
    from clvkit.calendar import Calendar, make_calendar, season_unknown
    from clvkit.customers import daily_purchases
    from clvkit.truncation_fit import of_fitted

    study = bench.study
    known = of_fitted(bench.summary(), study.models.left_truncation)
    daily = daily_purchases(bench.purchases().semi_join(known, "customer"), bench.known_until)
    if not study.calendar.acts:
        return Calendar(
            study.as_of, untold="" if daily.empty else season_unknown(daily, bench.known_until) or ""
        )
    return make_calendar(
        study.calendar, bench.fitted_cells(), daily, study.models, study.as_of, study.days_per_year
    )


def _treatments(bench: "Workbench") -> "pd.DataFrame":
    from clvkit.calendar_treatments import compare

    return compare(bench)


def _fit(bench: "Workbench", process: str) -> Any:
    from clvkit.fitting import fit_process
    from clvkit.processes import REGULAR

    return fit_process(process, bench.fitted_cells(), bench.study.models, days_per_year=bench.study.days_per_year,
                       gaps=bench.gaps() if process == REGULAR else None, **bench.calendar().timed)  # fmt: skip


def _fit_without_calendar(bench: "Workbench") -> Any:
    from dataclasses import replace

    from clvkit.fitting import fit_process

    models = bench.study.models
    fit = fit_process(
        models.headline, bench.fitted_cells(), models, sample=False, days_per_year=bench.study.days_per_year
    )
    return replace(fit, plain=True)


def _spend(bench: "Workbench") -> Any:
    """The model of spend that the study or its data choose, fitted; the means of segments where no such model will do."""
    from clvkit.fitting import fit_spend
    from clvkit.spend_segments import SegmentMeans

    chosen = bench.spend_choice().used
    if chosen == "segment_means":
        return SegmentMeans.of(bench.get("score_cells"), bench.minor_per_unit)
    return fit_spend(bench.spend_cells(), bench.study.models, bench.minor_per_unit, model=chosen)


def _spend_choice(bench: "Workbench") -> Any:
    from clvkit.spend_choice import choose_spend, last_purchases

    models, known = bench.study.models, bench.purchases().semi_join(bench.summary(), "customer")
    last = last_purchases(known, bench.known_until)  # nearly a row a customer: used here, and not kept
    return choose_spend(bench.spend_cells(), last, models, bench.minor_per_unit, models.sampler.seed)


def _spend_values(bench: "Workbench") -> Any:
    from clvkit.averaging import marked
    from clvkit.spend_values import spend_values

    study = bench.study
    return spend_values(bench.fit(), bench.spend(), bench.spend_choice(), marked(bench.cells(), bench.get("averaged")),
                        bench.get("score_cells"), study.value, study.models, currency=study.currency,
                        minor_per_unit=bench.minor_per_unit, days_per_year=study.days_per_year)  # fmt: skip


def _spend_drift(bench: "Workbench") -> Any:
    from clvkit.spend_drift import spend_drift

    known = bench.purchases().semi_join(bench.summary(), "customer")
    return spend_drift(known, bench.known_until, bench.study.days_per_year)


def _fit_by_segment(bench: "Workbench") -> Any:
    from clvkit.processes import REGULAR
    from clvkit.segments import fit_process_by_segment, segment_names
    from clvkit.truncation_fit import from_birth

    models = bench.study.models
    return fit_process_by_segment(
        models.headline,
        from_birth(bench.fitted_cells()),
        models,
        days_per_year=bench.study.days_per_year,
        gaps=bench.gaps() if models.headline == REGULAR else None,
        known=set(segment_names(bench.cells())),
        **bench.calendar().timed,
    )


def _fit_with_covariates(bench: "Workbench") -> Any:
    from clvkit.covariates import fit_process_with_covariates
    from clvkit.truncation_fit import from_birth

    models = bench.study.models
    return fit_process_with_covariates(
        models.headline,
        from_birth(bench.fitted_cells()),
        bench.seen.people.design,
        models,
        prior_sd=models.covariates.prior_sd,
        days_per_year=bench.study.days_per_year,
        **bench.calendar().timed,
    )


def _spend_by_segment(bench: "Workbench") -> Any:
    from clvkit.segments import fit_spend_by_segment

    return fit_spend_by_segment(bench.get("score_cells"), bench.study.models, bench.minor_per_unit,
                                model=bench.spend().process)  # fmt: skip


def _valuation(bench: "Workbench") -> Any:
    from clvkit.averaging import marked
    from clvkit.truncation_fit import labelled
    from clvkit.valuation import valuation

    study, averaged = bench.study, bench.get("averaged")
    cells, customers = (
        labelled(marked(bench.get(kind), averaged), study.models.left_truncation)
        for kind in ("cells", "score_cells")
    )
    return valuation(*bench.valued_with(), cells, customers, study.value,
                     as_of=bench.known_until, grain=study.cohorts.grain, currency=study.currency,
                     minor_per_unit=bench.minor_per_unit, days_per_year=study.days_per_year,
                     seed=study.models.sampler.seed)  # fmt: skip


def _grains(bench: "Workbench") -> Any:
    from clvkit.grains import of_run

    return of_run(bench)


def _dormancy(bench: "Workbench") -> Any:
    from clvkit.averaging import marked
    from clvkit.dormancy import dormancy

    study = bench.study
    known = bench.purchases().semi_join(bench.summary(), "customer")
    return dormancy(*bench.valued_with(), marked(bench.cells(), bench.get("averaged")), known, study.value,
                    as_of=bench.known_until, minor_per_unit=bench.minor_per_unit,
                    days_per_year=study.days_per_year)  # fmt: skip


def _scores(bench: "Workbench") -> "pd.DataFrame":
    from clvkit.averaging import marked
    from clvkit.valuation import scores

    study = bench.study
    kinds = marked(bench.get("score_cells"), bench.get("averaged"))
    return scores(*bench.valued_with(), kinds, study.value,
                  minor_per_unit=bench.minor_per_unit, days_per_year=study.days_per_year,
                  seed=study.models.sampler.seed)  # fmt: skip


def _backtests(bench: "Workbench") -> Any:
    from clvkit.backtest import back_test

    study, people = bench.study, bench.seen.people
    return back_test(bench.seen.described(bench.ledger().purchases), study.backtest, study.models, as_of=study.as_of,
                     design=None if people is None else people.design, currency=study.currency, minor_per_unit=bench.minor_per_unit,
                     silence_days=study.retention.silence_days, days_per_year=study.days_per_year,
                     calendar=study.calendar)  # fmt: skip


def _challenge(bench: "Workbench") -> Any:
    from clvkit.challenger_run import challenge_of

    return challenge_of(bench)


def _trials(bench: "Workbench") -> Any:
    from clvkit.challenger_run import trials_of

    return trials_of(bench)


def _methods(bench: "Workbench") -> Any:
    from clvkit.value_methods_run import value_methods

    return value_methods(bench)


def _sensitivity(bench: "Workbench") -> Any:
    from clvkit.averaging import marked
    from clvkit.sensitivity import one_way

    study, cells = bench.study, marked(bench.cells(), bench.get("averaged"))
    return one_way(*bench.valued_with(), cells, study.value, study.sensitivity, currency=study.currency,
                   minor_per_unit=bench.minor_per_unit, days_per_year=study.days_per_year)  # fmt: skip


def _refit(function: str) -> Callable[["Workbench"], Any]:
    """A comparison with the same data read in another way, which a function of `clvkit.refits` makes."""
    return lambda bench: getattr(import_module("clvkit.refits"), function)(bench)


def _currency_effect(bench: "Workbench") -> "CurrencyEffect":
    from clvkit.currency_effect import currency_effect

    return currency_effect(bench)


_ENGINE = ("ibis-framework", "duckdb", "pandas")
_MATHS = ("numpy", "scipy", "numba", "nutpie")
_FITTING = (
    "clvkit.processes",
    "clvkit.fitting",
    "clvkit.truncation",
    "clvkit.truncation_fit",
    "clvkit.rhythm",
    "clvkit.rhythm_fit",
    "clvkit.compositions",
    "clvkit.calendar",
    "clvkit.calendar_fit",
    "clvkit.calendar_section",
    "clvkit.clock",
    "clvkit.fit",
    "clvkit.optimum",
    "clvkit.sampling",
    "clvkit.laplace",
)
_SPENDING = (*_FITTING, "clvkit.spend", "clvkit.spend_choice", "clvkit.spend_segments")
_SEGMENTS = (*_FITTING, "clvkit.grouped", "clvkit.segments", "clvkit.hierarchy")
_COVARIATES = (
    *_FITTING,
    "clvkit.grouped",
    "clvkit.covariates",
    "clvkit.covariate_target",
    "clvkit.covariate_levels",
    "clvkit.covariate_rules",
    "clvkit.covariate_people",
)
_VALUING = (
    *_SEGMENTS,
    *_COVARIATES[len(_FITTING) :],
    "clvkit.clock",
    "clvkit.clock_future",
    "clvkit.value",
    "clvkit.dormancy_section",
    "clvkit.histories",
    "clvkit.valuation",
    "clvkit.averaging",
    "clvkit.outcomes",
    "clvkit.estimate",
    "clvkit.cohorts",
)
_SEEING = (
    "clvkit.customers",
    "clvkit.opportunities",
    "clvkit.seen",
    "clvkit.covariate_people",
    "clvkit.covariate_rules",
    "clvkit.covariate_levels",
)
_TRYING = (*_SEEING, "clvkit.accuracy", "clvkit.backtest", "clvkit.backtest_origin", "clvkit.backtest_results",
           "clvkit.baselines", "clvkit.forecast")  # fmt: skip

_RELATIONS = ("clvkit.contracts", "clvkit.contracts_section", "clvkit.contract_calendar", "clvkit.contract_relations",
              "clvkit.contract_trials")  # fmt: skip
_RENEWING = (*_SEGMENTS, *_RELATIONS, "clvkit.contracts_fit", "clvkit.contract_models", "clvkit.contract_past",
             "clvkit.contract_worth", "clvkit.contract_apart", "clvkit.contract_continuous", "clvkit.residual_life",
             "clvkit.parametric_survival", "clvkit.contract_value", "clvkit.value", "clvkit.estimate")  # fmt: skip
_LEARNING = (*_VALUING, *_SPENDING, *_TRYING, "clvkit.features", "clvkit.feature_sources", "clvkit.time_split", "clvkit.elastic_net",
             "clvkit.paired", "clvkit.feature_gain", "clvkit.challenger", "clvkit.challenger_run", "clvkit.holdout_forecasts")  # fmt: skip
_LEAVING = (*_RENEWING, "clvkit.leaving_section", "clvkit.contract_analysis", "clvkit.contract_survival", "clvkit.relation_times",
            "clvkit.relation_drivers", "clvkit.survival_regression", "clvkit.survival_projection", "clvkit.parametric_survival",
            "clvkit.cox", "clvkit.risk_sets", "clvkit.competing_ends", "clvkit.restricted_mean", "clvkit.covariate_people")  # fmt: skip
_REFITTING = (*_SEEING, "clvkit.privacy_cost", "clvkit.refits")


def _table(function: str) -> Kind:
    return Kind(_from_summary(function), settings.as_seen, None, ("ledger",), _SEEING, _ENGINE)


KINDS: dict[str, Kind] = {
    "ledger": Kind(_ledger, settings.source, "clvkit.ledger:Ledger", (), ("clvkit.ledger",), _ENGINE),
    "cells": _table("cells"),
    "spend_cells": _table("spend_cells"),
    "score_cells": _table("score_cells"),
    "contracts": Kind(lambda bench: bench.seen.contracts(), settings.contract, "clvkit.contracts:Contracts", ("ledger",),
                      _RELATIONS, _ENGINE),
    "contract_fits": Kind(of_contracts.contract_fits, settings.contract_value, "clvkit.contract_value:ContractFits", ("contracts",),
                          _RENEWING, (*_MATHS, *_ENGINE)),
    "contract_value": Kind(of_contracts.contract_value, settings.contract_value, "clvkit.contract_value:ContractValue",
                           ("contracts", "contract_fits", "contract_backtests"), (*_RENEWING, "clvkit.contract_backtest"),
                           (*_MATHS, *_ENGINE)),
    "contract_lifetime": Kind(of_contracts.contract_lifetime, settings.contract, "clvkit.contract_continuous:ContinuousFits", ("contracts",),
                              (*_RELATIONS, "clvkit.contract_continuous", "clvkit.parametric_survival", "clvkit.residual_life"),
                              (*_MATHS, *_ENGINE)),
    "contract_scores": Kind(of_contracts.contract_scores, settings.contract_value, None, ("contracts", "contract_fits"),
                            (*_RENEWING, "clvkit.contract_scores"), (*_MATHS, *_ENGINE)),
    "customer_total": Kind(of_contracts.customer_total, settings.customer_total, "clvkit.customer_total:CustomerTotal", ("ledger",),
                           (*_VALUING, *_SPENDING, *_SEEING, *_RENEWING, "clvkit.contract_scores", "clvkit.customer_total",
                            "clvkit.business_model"), (*_MATHS, *_ENGINE)),
    "contract_backtests": Kind(of_contracts.contract_backtests, settings.contract_backtest, "clvkit.contract_backtest:ContractBacktests",
                               ("ledger",), (*_RENEWING, "clvkit.contract_backtest"), (*_MATHS, *_ENGINE)),
    "revenue_retention": Kind(of_contracts.revenue_retention, settings.revenue_retention, "clvkit.revenue_retention:RevenueRetention",
                              ("contracts",), (*_RELATIONS, "clvkit.revenue_section", "clvkit.recurring", "clvkit.revenue_retention"),
                              ("numpy", *_ENGINE)),
    "contract_drivers": Kind(of_contracts.contract_drivers, settings.leaving, "clvkit.contract_analysis:ContractDrivers", ("ledger", "contracts"),
                             _LEAVING, (*_MATHS, *_ENGINE, "statsmodels", "lifelines")),
    "contract_curves": Kind(of_contracts.contract_curves, settings.leaving, "clvkit.contract_analysis:ContractCurves", ("ledger", "contracts"),
                            _LEAVING, (*_MATHS, *_ENGINE, "statsmodels", "lifelines")),
    "truncation": Kind(_truncation, settings.truncation, "clvkit.truncation:Truncation", ("ledger",),
                       ("clvkit.truncation",), _ENGINE),
    "gaps": Kind(_gaps, settings.as_seen, None, ("ledger",), (*_SEEING, "clvkit.rhythm"), _ENGINE),
    "averaged": Kind(_averaged, settings.as_seen, None, ("score_cells",), _SEEING, _ENGINE),
    "cohorts": Kind(_cohorts, settings.cohort, "clvkit.cohorts:CohortTriangles",
                    ("ledger",), ("clvkit.cohorts",), _ENGINE),
    "cohort_schemes": Kind(_cohort_schemes, settings.scheme, "clvkit.cohort_schemes:Schemes", ("ledger",),
                           ("clvkit.cohorts", "clvkit.cohort_schemes", "clvkit.cohort_keys", "clvkit.apportion", *_SEEING), _ENGINE),
    "retention": Kind(_retention, settings.retention, "clvkit.retention:Retention", ("ledger",),
                      ("clvkit.retention", "clvkit.survival", "clvkit.cohorts"), (*_ENGINE, "lifelines")),
    "fit": Kind(_fit, settings.fit, "clvkit.fit:Fit", ("cells",), _FITTING, _MATHS),
    "calendar": Kind(_calendar, settings.calendar, "clvkit.calendar:Calendar", ("ledger", "cells"), (*_FITTING, *_SEEING), _MATHS),
    "treatments": Kind(_treatments, settings.treatment, None, ("cells", "averaged", "spend"),
                       (*_VALUING, "clvkit.calendar_treatments"), _MATHS),
    "spend_choice": Kind(_spend_choice, settings.spend, "clvkit.spend_choice:SpendChoice",
                         ("ledger", "spend_cells"), (*_SPENDING, *_SEEING), (*_MATHS, *_ENGINE)),
    "spend": Kind(_spend, settings.spend, "clvkit.spend_segments:AnySpend",
                  ("spend_cells", "score_cells", "spend_choice"), _SPENDING, _MATHS),
    "spend_drift": Kind(_spend_drift, settings.drift, "clvkit.spend_drift:SpendDrift", ("ledger",),
                        (*_SEEING, "clvkit.spend_drift"), _ENGINE),
    "spend_values": Kind(_spend_values, settings.value, "clvkit.spend_values:SpendValues",
                         ("cells", "score_cells", "averaged", "spend", "spend_choice"),
                         (*_VALUING, *_SPENDING, "clvkit.spend_values"), _MATHS),
    "fit_without_calendar": Kind(_fit_without_calendar, settings.segment, "clvkit.fit:Fit", ("cells",), _FITTING, _MATHS),
    "fit_by_segment": Kind(_fit_by_segment, settings.segment, "clvkit.segments:SegmentedFit", ("cells",), _SEGMENTS, _MATHS),
    "spend_by_segment": Kind(_spend_by_segment, settings.segment, "clvkit.segments:SegmentedFit",
                             ("score_cells", "spend"), _SEGMENTS, _MATHS),
    "fit_with_covariates": Kind(_fit_with_covariates, settings.covariate, "clvkit.covariates:CovariateFit", ("cells",),
                                _COVARIATES, _MATHS),
    "valuation": Kind(_valuation, settings.value, "clvkit.valuation:Valuation",
                      ("cells", "score_cells", "averaged", "spend"), _VALUING, _MATHS),
    "grains": Kind(_grains, settings.grain, "clvkit.grains:Grains", ("ledger", "cells", "score_cells", "averaged", "spend", "cohort_schemes"),
                   (*_VALUING, *_SEEING, "clvkit.grains", "clvkit.cohort_curve", "clvkit.cohort_keys"), (*_MATHS, *_ENGINE)),
    "dormancy": Kind(_dormancy, settings.value, "clvkit.dormancy:Dormancy", ("ledger", "cells", "averaged", "spend"),
                     (*_VALUING, *_SEEING, "clvkit.dormancy"), (*_MATHS, *_ENGINE)),
    "scores": Kind(_scores, settings.value, None, ("cells", "score_cells", "averaged", "spend"), _VALUING, _MATHS),
    "backtests": Kind(_backtests, settings.backtest, "clvkit.backtest_results:Backtests",
                      ("ledger",), (*_VALUING, *_SPENDING, *_TRYING), (*_MATHS, *_ENGINE)),
    "challenge": Kind(_challenge, settings.challenge, "clvkit.challenger:Challenge", ("ledger", "backtests"), _LEARNING,
                      (*_MATHS, *_ENGINE, "scikit-learn")),
    "trials": Kind(_trials, settings.trials, "clvkit.new_variable:Cards", ("ledger",), (*_LEARNING, "clvkit.new_variable"),
                   (*_MATHS, *_ENGINE, "scikit-learn")),
    "methods": Kind(_methods, settings.methods, "clvkit.value_methods:Methods",
                    ("ledger", "cells", "averaged", "spend", "valuation"),
                    (*_LEARNING, "clvkit.value_methods", "clvkit.value_methods_run", "clvkit.cohort_curve", "clvkit.dormancy", *_RENEWING),
                    (*_MATHS, *_ENGINE, "scikit-learn")),
    "merging": Kind(_refit("merging_effect"), settings.refit, "clvkit.refits:MergingEffect",
                    ("ledger", "spend_choice"), (*_VALUING, *_SPENDING, *_REFITTING), (*_MATHS, *_ENGINE)),
    "privacy_cost": Kind(_refit("privacy_cost"), settings.refit, "clvkit.privacy_cost:PrivacyCost",
                         ("ledger", "spend_choice"), (*_VALUING, *_SPENDING, *_REFITTING), (*_MATHS, *_ENGINE)),
    "currency_effect": Kind(_currency_effect, settings.refit, "clvkit.currency_effect:CurrencyEffect",
                            ("ledger", "spend_choice"), (*_VALUING, *_SPENDING, *_REFITTING, "clvkit.currency_effect"),
                            (*_MATHS, *_ENGINE)),
    "sensitivity": Kind(_sensitivity, settings.sensitivity, "clvkit.sensitivity:Sensitivity",
                        ("cells", "averaged", "spend"), (*_VALUING, "clvkit.sensitivity", "clvkit.drivers"), _MATHS),
}  # fmt: skip
