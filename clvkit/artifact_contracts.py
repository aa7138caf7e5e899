"""How artifacts of contracts are made from a study at hand; `clvkit.artifacts` says what each is made from."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.workbench import Workbench


def contract_fits(bench: "Workbench") -> Any:
    """The models of renewals, by billing period and, where the study parts customers, by segment."""
    from clvkit.contract_models import fit_both
    from clvkit.contract_past import as_known, earlier_day

    study, held = bench.study, bench.contracts()
    section, day = bench.seen.contract_section, None
    if section.segment_by is not None:
        day = earlier_day(held, study.as_of, study.backtest.origins)
    before = day and as_known(bench.seen.contract_rows, section, day)
    return fit_both(held, section, study.models, study.days_per_year, before=before)


def contract_lifetime(bench: "Workbench") -> Any:
    """The lifetime distribution of contracts that may end on any day."""
    from clvkit.contract_continuous import fit_continuous

    study = bench.study
    return fit_continuous(bench.contracts(), bench.seen.contract_section, study.as_of, study.days_per_year)


def contracts_valued_with(bench: "Workbench") -> Any:
    """The fits that contracts are valued with: of renewals, or of the days that they last."""
    return bench.get("contract_lifetime" if bench.study.contracts.time == "continuous" else "contract_fits")


def contract_value(bench: "Workbench") -> Any:
    """What running contracts are worth, with the latest trial of the model."""
    from dataclasses import replace

    from clvkit.contract_value import contract_value

    study = bench.study
    made = contract_value(contracts_valued_with(bench), bench.contracts(), study.contracts, study.value, as_of=study.as_of,
                          currency=study.currency, days_per_year=study.days_per_year, seed=study.models.sampler.seed)  # fmt: skip
    latest = bench.get("contract_backtests").latest
    return made if latest is None else replace(made, trial=latest.held)


def contract_scores(bench: "Workbench") -> "pd.DataFrame":
    """What the running contracts of each customer are worth."""
    from clvkit.contract_scores import contract_scores

    study = bench.study
    return contract_scores(contracts_valued_with(bench), bench.contracts(), study.contracts, study.value, as_of=study.as_of,
                           currency=study.currency, days_per_year=study.days_per_year)  # fmt: skip


def customer_total(bench: "Workbench") -> Any:
    """What customers are worth by purchases and contracts together."""
    from clvkit.customer_total import of_run

    return of_run(bench)


def contract_backtests(bench: "Workbench") -> Any:
    """Renewals forecast from the study's earlier dates."""
    from clvkit.contract_backtest import back_test

    study = bench.study
    return back_test(bench.seen.contract_rows, bench.seen.contract_section, study.models, study.backtest,
                     as_of=study.as_of, currency=study.currency, days_per_year=study.days_per_year)  # fmt: skip


def contract_drivers(bench: "Workbench") -> Any:
    """What makes contracts end sooner or later."""
    from clvkit.contract_analysis import drivers_of_run

    return drivers_of_run(bench)


def contract_curves(bench: "Workbench") -> Any:
    """How long contracts last by group, and how they end."""
    from clvkit.contract_analysis import curves_of_run

    return curves_of_run(bench)


def revenue_retention(bench: "Workbench") -> Any:
    """What became of recurring revenue."""
    from clvkit.revenue_retention import revenue_retention

    study = bench.study
    return revenue_retention(bench.contracts(), bench.seen.contract_section, study.as_of, currency=study.currency,
                             minor_per_unit=bench.minor_per_unit, interval=study.retention.interval,
                             seed=study.models.sampler.seed)  # fmt: skip
