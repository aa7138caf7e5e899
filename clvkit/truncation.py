"""Logs that begin in the middle of the customers' lives: found out, said, and what a study may do about it.

In a log cut off at its left, customers who have bought for years seem to be new on the day they are first seen. Three
things give it away. *A burst*: "first" purchases in the first weeks stand far above the later level of new customers.
*It fades*: the old customers are first seen one after the other, the busiest first. *They are too good*: who buys often
is seen early, and who is still there after years is one who stays, so the first ones come back more often than later
cohorts do at the same age. The first two alone may also be a launch or a campaign; the third is what those rarely bring.
"""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from clvkit import numbers
from clvkit.checks import Check
from clvkit.rules import RuleBroken
from clvkit.section import Section

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

CHAPTER = "01_ledger"
EARLY_WEEKS, LEAST_WEEKS, FOLLOW_DAYS = 4, 8, 90
SURE = 3.29  # standard errors: a chance of 0.1 % on both sides
ARRIVED = 0.99  # share of all first sightings that ends the time in which customers came

Treatment = Literal["refuse", "acquired", "burn_in", "complete"]
Verdict = Literal["unknown", "none", "burst", "truncated"]


class LeftTruncationSection(Section):
    """What is done where the log begins in the middle of the customers' lives."""

    treatment: Treatment = Field(
        "refuse",
        description=(
            "refuse: such a log gives no value; acquired: customers older than the log are fitted and valued from the "
            "window they were seen in, by the dates of acquisition in a customers table; burn_in: those first seen in the "
            "first burn_in_days stay out of the fit; complete: the log does begin with the business, whatever it looks like."
        ),
    )
    burn_in_days: int | None = Field(
        None, ge=1, description="With burn_in, the length of the beginning whose customers stay out of the fit. Unit: days."
    )  # fmt: skip
    min_burst: float = Field(
        1.5, gt=1, description="First purchases a week at the start, as a multiple of the later level, from which they are a burst."
    )  # fmt: skip
    min_repeat_ratio: float = Field(
        1.15, gt=1, description="Repeat purchases of the first customers over those of later ones at the same age, from which they are too good."
    )  # fmt: skip

    @model_validator(mode="after")
    def _burn_in_has_a_length(self) -> "LeftTruncationSection":
        if self.treatment == "burn_in" and self.burn_in_days is None:
            raise RuleBroken("must be given with treatment: burn_in", "180 is half a year", at="burn_in_days")
        return self


@dataclass(frozen=True)
class Truncation:
    """What the beginning of a log looks like.

    Attributes
    ----------
    log_start, as_of : first day with a purchase, and the last that counts.
    weeks : ``week`` (0 is the log's first), ``customers`` first seen in it; whole weeks only.
    burst : first sightings a week at the start over the later level; NaN where the log is too short to have one.
    burst_z, repeat_z : the two in standard errors.
    repeat_early, repeat_later : mean repeat purchases in the ``follow_days`` after the first sighting, of customers
        first seen at the start and of later ones.
    verdict : unknown (too short), none, burst (and not shown to be old customers), truncated.
    fades_days : days after which first sightings have come down to the later level; None where they never do.
    """

    log_start: date
    as_of: date
    weeks: "pd.DataFrame"
    level: float
    burst: float
    burst_z: float
    follow_days: int
    repeat_early: float
    repeat_later: float
    repeat_z: float
    verdict: Verdict
    fades_days: int | None

    @property
    def repeat_ratio(self) -> float:
        """Repeat purchases of the first customers over those of later ones; NaN where there are none to compare."""
        return self.repeat_early / self.repeat_later if self.repeat_later > 0 else float("nan")

    def save(self, folder: Path) -> None:
        """Write the weeks as Parquet and the rest as JSON, what is not a number as null."""
        folder.mkdir(parents=True, exist_ok=True)
        self.weeks.to_parquet(folder / "weeks.parquet", index=False)
        words = {name: value for name, value in vars(self).items() if name != "weeks"}
        words |= {name: None for name in _MEASURED if np.isnan(words[name])}
        words |= {name: words[name].isoformat() for name in ("log_start", "as_of")}
        (folder / "truncation.json").write_text(json.dumps(words), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Truncation":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "truncation.json").read_text(encoding="utf-8"))
        made |= {name: float("nan") for name in _MEASURED if made[name] is None}
        made |= {name: date.fromisoformat(made[name]) for name in ("log_start", "as_of")}
        return cls(**made, weeks=pd.read_parquet(folder / "weeks.parquet"))


_MEASURED = ("level", "burst", "burst_z", "repeat_early", "repeat_later", "repeat_z")


def first_sightings(purchases: "ir.Table", as_of: date, follow_days: int) -> "pd.DataFrame":
    """Customers by the day they were first seen, with their repeat purchases within ``follow_days`` of it.

    Returns ``first_day`` (datetime64), ``customers``, ``repeats`` and ``repeats_squared`` (sums), sorted by day; whoever
    was not watched for ``follow_days`` counts with the repeats so far, so leave such days out.
    """
    import ibis
    import pandas as pd

    known = purchases.filter(purchases.day <= ibis.date(as_of))
    begun = known.group_by("customer").agg(first_day=known.day.min())
    both = known.join(begun, "customer")
    age = both.day.delta(both.first_day, unit="day")
    each = both.group_by("customer", "first_day").agg(
        x=((age > 0) & (age <= follow_days)).cast("int64").sum().cast("int64")
    )
    days = each.group_by("first_day").agg(
        customers=each.count().cast("int64"),
        repeats=each.x.sum().cast("int64"),
        repeats_squared=(each.x * each.x).sum().cast("int64"),
    )
    frame = days.order_by("first_day").to_pyarrow().to_pandas()
    frame["first_day"] = pd.to_datetime(frame["first_day"])
    return frame


def detect(purchases: "ir.Table", as_of: date, section: LeftTruncationSection) -> Truncation:
    """Look at the beginning of a log of purchases, ``customer, day`` with one row a day, up to ``as_of``."""
    start = purchases.day.min().to_pyarrow().as_py()
    follow = int(min(FOLLOW_DAYS, ((as_of - start).days + 1) // 3)) if start else 0
    return judge(first_sightings(purchases, as_of, follow), as_of, follow, section)


def judge(days: "pd.DataFrame", as_of: date, follow_days: int, section: LeftTruncationSection) -> Truncation:
    """What `first_sightings` say of the beginning of the log.

    The later level is the median week of the later half of the time in which 99 % of the customers came, so that a log
    in which nobody is acquired any more (CDNOW after its first quarter) is not held against zero. Its spread is the
    median absolute deviation, at least a Poisson's; repeat purchases are compared as logs, with their own variance.
    """
    import pandas as pd

    nan = float("nan")
    if days.empty:
        return Truncation(as_of, as_of, pd.DataFrame({"week": [], "customers": []}), nan, nan, nan, 0, nan, nan, nan,
                          "unknown", None)  # fmt: skip
    start = days["first_day"].iloc[0]
    offset = (days["first_day"] - start).dt.days.to_numpy()
    whole = ((pd.Timestamp(as_of) - start).days + 1) // 7
    counts = np.bincount(offset // 7, weights=days["customers"], minlength=whole + 1)[:whole]
    weeks = pd.DataFrame({"week": np.arange(whole), "customers": counts.astype(np.int64)})
    came = int(np.searchsorted(counts.cumsum(), ARRIVED * counts.sum())) + 1 if whole else 0
    half = max(came // 2, EARLY_WEEKS)
    later = counts[half:came]
    known = {"log_start": start.date(), "as_of": as_of, "weeks": weeks, "follow_days": follow_days}
    if later.size < LEAST_WEEKS // 2 or counts.sum() < 30:
        return Truncation(**known, level=nan, burst=nan, burst_z=nan, repeat_early=nan, repeat_later=nan,
                          repeat_z=nan, verdict="unknown", fades_days=None)  # fmt: skip
    level = float(np.median(later))
    spread = max(1.4826 * float(np.median(np.abs(later - level))), np.sqrt(max(level, 1.0)))
    early = counts[:EARLY_WEEKS]
    burst = float(early.mean() / max(level, 0.5))
    burst_z = float((early.mean() - level) / (spread * np.sqrt(1 / early.size + np.pi / 2 / later.size)))
    watched = (pd.Timestamp(as_of) - days["first_day"]).dt.days >= follow_days
    first = days[watched & (offset < 7 * EARLY_WEEKS)]
    others = days[watched & (offset >= 7 * half) & (offset < 7 * came)]
    (m1, v1), (m2, v2) = _repeats(first), _repeats(others)
    repeat_z = float((np.log(m1) - np.log(m2)) / np.sqrt(v1 + v2)) if m1 > 0 and m2 > 0 else nan
    bursts = burst >= section.min_burst and burst_z >= SURE
    better = m2 > 0 and m1 / m2 >= section.min_repeat_ratio and repeat_z >= SURE
    verdict: Verdict = "truncated" if bursts and better else "burst" if bursts else "none"
    smooth = np.convolve(counts[:came], np.ones(EARLY_WEEKS) / EARLY_WEEKS, "valid")
    down = np.flatnonzero(smooth <= level + max(0.1 * level, spread / np.sqrt(EARLY_WEEKS)))
    fades = 7 * int(down[0]) if bursts and down.size else None
    return Truncation(**known, level=level, burst=burst, burst_z=burst_z, repeat_early=m1, repeat_later=m2,
                      repeat_z=repeat_z, verdict=verdict, fades_days=fades)  # fmt: skip


def _repeats(days: "pd.DataFrame") -> tuple[float, float]:
    """Mean repeat purchases of a customer, and the variance of its log."""
    n, total = days["customers"].sum(), days["repeats"].sum()
    if n < 2 or not total:
        return (0.0 if n else float("nan")), float("nan")
    mean = total / n
    return float(mean), float((days["repeats_squared"].sum() / n - mean**2) / (n - 1) / mean**2)


def found_words(found: Truncation) -> str:
    """What was found, in a sentence or two with the numbers."""
    start = numbers.date_words(found.log_start)
    if found.verdict == "unknown":
        return f"The log, from {start} on, is too short or too small to tell whether its first customers were new."
    early = f"{numbers.count(found.burst * max(found.level, 0.5))} customers a week were first seen in its first four weeks"
    text = f"The log begins on {start}: {early}, later {numbers.count(found.level)}"
    text += f" ({numbers.number(found.burst, 1)} times)." if found.burst >= 1.05 else "."
    if np.isfinite(found.repeat_ratio):
        text += (
            f" Within {found.follow_days} days of that, those first ones came back {numbers.number(found.repeat_early, 2)} "
            f"times on average, later ones {numbers.number(found.repeat_later, 2)} times"
            f" ({numbers.number(found.repeat_ratio, 2)} to one)."
        )
    return text


def truncation_check(
    found: Truncation, section: LeftTruncationSection, dated: "Dated | None" = None
) -> Check:
    """The check ``data.left_truncation``: whether customers are older than the log, and what is done about it.

    ``dated`` is what the dates of acquisition say, where the study goes by them.
    """
    status, severity, more, advice = _judged(found, section, dated)
    return Check(
        "data.left_truncation",
        "The log begins where the customers do",
        status,
        f"{found_words(found)} {more}".strip(),
        value=None if np.isnan(found.burst) else round(found.burst, 3),
        threshold=section.min_burst,
        unit="times the later level",
        severity=severity,
        recommendation=advice,
        chapter=CHAPTER,
    )


@dataclass(frozen=True)
class Dated:
    """What dates of acquisition say of the ``customers`` in a log.

    ``known`` have a date, ``older`` are older than the log, ``late`` bought before their date; ``lag_days`` is the median
    time from the date to the first purchase of those acquired in the log.
    """

    customers: int
    known: int
    older: int
    late: int
    lag_days: float


OLD = "So many of the first customers are old ones, whose purchases before the log are not in it."


def _judged(found: Truncation, section: LeftTruncationSection, dated: Dated | None):
    if section.treatment == "acquired":
        return _by_date(dated)
    if found.verdict == "unknown":
        return "info", "info", "", ""
    if found.verdict == "none":
        return "pass", "warn", "Nothing says that customers are older than the log.", ""
    if section.treatment == "complete":
        words = "The study says that the log begins with the business, and they are taken for new."
        return (
            "review",
            "warn",
            words,
            "Make sure of it: old customers taken for new make others look too loyal.",
        )
    if section.treatment == "burn_in":
        words = (
            f"{OLD if found.verdict == 'truncated' else ''} Those first seen in the first {section.burn_in_days} days are "
            "left out of the fit; they are valued by it as if they had been new, and labelled."
        )
        end = found.log_start + timedelta(days=section.burn_in_days or 0)
        short = found.fades_days is not None and (section.burn_in_days or 0) < found.fades_days
        advice = (
            "Get the dates of acquisition and use treatment: acquired; a burn-in leaves the slow buyers among the old "
            f"customers, who are first seen after {numbers.date_words(end)}, in the fit."
        )
        if short:
            advice += f" First sightings come down to the later level after {found.fades_days} days only: take at least these."
        return "review", "warn", words.strip(), advice
    advice = (
        "Add a customers table with the date of acquisition (fields: acquired) and set models.left_truncation.treatment: "
        "acquired; or take an extract that begins with the business; or name a burn-in"
        + (
            f", of {found.fades_days} days or more (treatment: burn_in)"
            if found.fades_days
            else " (treatment: burn_in)"
        )
        + "; or, if the business did begin then, say complete."
    )
    if found.verdict == "burst":
        return (
            "review",
            "warn",
            "They may be old customers, or a launch: they do not come back more often.",
            advice,
        )
    return "fail", "stop", OLD, advice


def _by_date(dated: Dated | None):
    if dated is None:
        return ("fail", "stop", "The study goes by dates of acquisition, and no source has them.",
                "Add a source that holds customers, with accounts and fields: acquired (or registered).")  # fmt: skip
    share = dated.known / max(dated.customers, 1)
    words = (
        f"By their dates of acquisition {numbers.count(dated.older)} of {numbers.count(dated.customers)} customers are older "
        "than it; they count from the window they were seen in, given that they were."
    )
    if share < 0.95 or dated.late > 0.05 * dated.known or dated.lag_days > 30:
        words += (
            f" {numbers.percent(share)} have a date, {numbers.count(dated.late)} bought before it, and half of the others "
            f"first bought {numbers.number(dated.lag_days, 0)} days or more after it."
        )
        advice = "Customers without a date are left out of the fit. See that the date is that of the first purchase."
        return "review", "warn", words, advice
    return "pass", "warn", words, ""
