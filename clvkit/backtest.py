"""Back-tests: the same fit on an earlier date, compared with what then happened."""

from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationInfo, field_validator

from clvkit.errors import FitError, StudyError
from clvkit.rules import RuleBroken, rate_hint
from clvkit.section import Section

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clvkit.backtest_results import Backtests
    from clvkit.calendar_section import CalendarSection
    from clvkit.covariate_levels import Design
    from clvkit.models_section import ModelsSection

#: Fields that judge what was found and do not change it.
THRESHOLDS = {"fair_bias", "poor_bias", "max_coverage_gap"}

BaselineName = Literal["last_period", "segment_mean", "hiatus"]


class BacktestSection(Section):
    """The earlier dates that the models are tried from, and what is expected of them."""

    origins: tuple[date, ...] = Field(
        (),
        description=(
            "Dates to forecast from with what was known then, earliest first, each before the as-of date. "
            "With several, the champion among the processes is chosen on the earliest, and its error is quoted from "
            "the latest. Empty: no back-test."
        ),
    )
    horizon_days: int | None = Field(
        None,
        gt=0,
        description=(
            "Length of each forecast; null forecasts to the as-of date. Where there are several origins, the forecast "
            "from the earliest ends by the latest: what a choice is made on and what its error is quoted from must "
            "not overlap. Unit: days."
        ),
    )
    interval: float = Field(0.9, description="Probability that forecast intervals are stated for.")
    posterior_draws: int = Field(400, ge=50, description="Posterior draws that forecasts are simulated for.")
    baselines: tuple[BaselineName, ...] = Field(
        ("last_period", "segment_mean", "hiatus"),
        description=(
            "Simple rules that the models are held against: the last period repeated, the mean of customers "
            "with as many repeat purchases, the hiatus rule. Leaving one out fails the run."
        ),
    )
    hiatus_days: int | None = Field(
        None,
        gt=0,
        description=(
            "The hiatus rule takes customers silent for longer than this for lost; null takes "
            "retention.silence_days. Unit: days."
        ),
    )
    fair_bias: float = Field(
        0.05,
        description=(
            "A total forecast wrong by more than this share of what happened is fair at best. "
            "Unit: share of actual."
        ),
    )
    poor_bias: float = Field(
        0.10,
        description=("A total forecast wrong by more than this share is poor. Unit: share of actual."),
    )
    max_coverage_gap: float = Field(
        0.05,
        description=(
            "Where fewer customers than the model expects lie inside their 90 % interval, by more than this, "
            "it is put up for review. Unit: share of customers."
        ),
    )

    @field_validator("origins")
    @classmethod
    def _sorted(cls, value: tuple[date, ...]) -> tuple[date, ...]:
        for place, (earlier, later) in enumerate(pairwise(value), start=1):
            if later <= earlier:
                raise RuleBroken(
                    f"must come after the origin before it ({earlier})",
                    "list the dates from earliest to latest, each once",
                    at=place,
                )
        return value

    @field_validator("baselines")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise RuleBroken("must name each baseline once")
        return value

    @field_validator("interval")
    @classmethod
    def _interval(cls, value: float) -> float:
        if not 0 < value < 1:
            raise RuleBroken("must be a probability between 0 and 1", rate_hint(value))
        return value

    @field_validator("fair_bias", "poor_bias", "max_coverage_gap")
    @classmethod
    def _share(cls, value: float, info: ValidationInfo) -> float:
        if not 0 < value < 1:
            raise RuleBroken("must be a fraction between 0 and 1", rate_hint(value))
        fair = info.data.get("fair_bias")
        if info.field_name == "poor_bias" and fair is not None and value < fair:
            raise RuleBroken(f"must not be below fair_bias ({fair})")
        return value


def horizon_from(origin: date, section: BacktestSection, as_of: date) -> int:
    """Days to forecast from an origin.

    The earliest of several origins chooses the champion (see `clvkit.champion`), so its forecast ends by the latest,
    which the champion's error is quoted from: no day decides both.

    Raises
    ------
    StudyError : the forecast would begin or end after the as-of date, where nothing is known to compare with.
    """
    room = (as_of - origin).days
    days = section.horizon_days or room
    if room <= 0 or days > room:
        end = origin + timedelta(days=max(days, 0))
        raise StudyError(
            f"a back-test must end by the as-of date {as_of}; from {origin} it would end on {end}",
            fix=f"give backtest.horizon_days at most {room}" if room > 0 else "choose an earlier origin",
        )
    chooses = len(section.origins) > 1 and origin == section.origins[0]
    return min(days, (section.origins[-1] - origin).days) if chooses else days


def back_test(
    purchases: "ir.Table",
    section: BacktestSection,
    models: "ModelsSection",
    *,
    as_of: date,
    currency: str,
    minor_per_unit: float,
    silence_days: int,
    days_per_year: float = 365.25,
    calendar: "CalendarSection | None" = None,
    design: "Design | None" = None,
) -> "Backtests":
    """Try every process from every origin.

    Parameters
    ----------
    purchases : the ledger's: one row per customer and day, ``customer, day, amount_minor, segment``.
    calendar : of the study; each origin has the clock that was known at it, estimated from what was known.
    design : of the covariates that ``purchases`` have patterns of, where the study fits with some.
    silence_days : the study's rule for a lost customer, which the hiatus rule takes unless the section has its own.

    Returns
    -------
    Backtests : without verdicts; `Backtests.judged` adds them. With ``models.opportunity``, origins and ends are those
    of the last opportunities that were over by then.

    Raises
    ------
    StudyError : a forecast would reach beyond the as-of date.
    FitError : there was nothing to learn from at an origin.
    """
    from clvkit.backtest_origin import Setting, from_origin
    from clvkit.backtest_results import Backtests
    from clvkit.opportunities import by_opportunity, trial

    trials = [
        trial(origin, horizon_from(origin, section, as_of), models.opportunity) for origin in section.origins
    ]  # say what is wrong before fitting
    purchases = by_opportunity(purchases, models.opportunity)
    setting = Setting(
        section,
        models,
        currency,
        minor_per_unit,
        section.hiatus_days or silence_days,
        days_per_year,
        calendar,
        design,
    )
    made = []
    for origin, horizon_days in trials:
        try:
            made += from_origin(purchases, origin, horizon_days, setting)
        except FitError as error:
            raise FitError(
                f"the back-test from {origin}: {error.message}",
                place=error.place,
                fix=error.fix or "choose a later origin",
            ) from error
    return Backtests(models.valued_with, currency, tuple(made))
