"""The challenge and the trials of a study: its features, its hold-out, and its processes and rules as rivals."""

from typing import TYPE_CHECKING

from clvkit.challenger import Challenge, Rival, challenge
from clvkit.errors import DataError, FitError
from clvkit.holdout_forecasts import of_process, of_rules
from clvkit.new_variable import Cards, run_trials
from clvkit.time_split import Split, split

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clvkit.backtest_results import Backtest
    from clvkit.workbench import Workbench

NO_ORIGIN = "the study names no earlier date (backtest.origins) to try anything from"


def tried_purchases(bench: "Workbench") -> "ir.Table":
    """The purchases that back-tests go by."""
    from clvkit.opportunities import by_opportunity

    study = bench.study
    return by_opportunity(bench.seen.described(bench.ledger().purchases), study.models.opportunity)


def parts_of(bench: "Workbench", latest: "Backtest") -> Split:
    """The time split of the latest hold-out.

    Raises
    ------
    FitError : the history before it is too short to learn from, or too few customers bought.
    """
    try:
        return split(bench.feature_sources, latest.origin, latest.end)
    except DataError as error:  # nobody had bought yet
        raise FitError(error.message, place=error.place, fix=error.fix) from error


def challenge_of(bench: "Workbench") -> Challenge:
    """The challenge on the latest hold-out; with a reason in `Challenge.refused` where it cannot be tried."""
    tried = bench.backtests()
    latest = tried.latest
    if latest is None:
        return Challenge(None, None, refused=NO_ORIGIN)
    if not latest.actual["transactions"]:
        return Challenge(latest.origin, latest.end, refused="nobody bought in the hold-out")
    try:
        parts = parts_of(bench, latest)
    except FitError as error:
        return Challenge(latest.origin, latest.end, refused=error.message)
    return challenge(
        parts,
        rivals_of(bench, [b for b in tried if b.origin == latest.origin], parts),
        bench.study.challenger,
    )


def rivals_of(bench: "Workbench", tried: "list[Backtest]", parts: Split) -> list[Rival]:
    """Every process of a back-test and every simple rule, for each customer of the hold-out."""
    from clvkit.customers import customer_summary

    purchases, minor = tried_purchases(bench), float(bench.minor_per_unit)
    summary = customer_summary(purchases, tried[0].origin).to_pyarrow().to_pandas()
    people = parts.test.outcomes.index
    made = []
    for one in tried:
        expected = of_process(summary, one, minor).reindex(people)
        made.append(Rival(one.process, one.label, "process", expected["purchases"].to_numpy(), expected["revenue"].to_numpy()))  # fmt: skip
    for (name, label), rows in of_rules(purchases, tried[0], minor).groupby(["rule", "label"], sort=False):
        each = rows.set_index("customer").reindex(people)
        made.append(Rival(name, label, "rule", each["purchases"].to_numpy(), each["revenue"].to_numpy()))
    return made


def trials_of(bench: "Workbench") -> Cards:
    """The trial cards of a study."""
    study, section = bench.study, bench.study.challenger
    data = {"as_of": study.as_of.isoformat(), "ledger": bench.key("ledger")}
    if not section.trials:
        return Cards()
    if not study.backtest.origins:
        return run_trials(None, section, data, NO_ORIGIN)
    from clvkit.backtest import horizon_from
    from clvkit.opportunities import trial

    origin = study.backtest.origins[-1]
    origin, days = trial(origin, horizon_from(origin, study.backtest, study.as_of), study.models.opportunity)
    from datetime import timedelta

    try:
        parts = split(bench.feature_sources, origin, origin + timedelta(days=days))
    except (FitError, DataError) as error:
        return run_trials(None, section, data, error.message)
    return run_trials(parts, section, data)
