"""Chapter 06, sensitivity: what moves customer equity, which of it is known, and which is assumed."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit import numbers
from clvkit.chapters.driver_words import capital, level_text, listing, plain_percent
from clvkit.chapters.value import horizon_words
from clvkit.checks import Check
from clvkit.drivers import DRIVERS
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style
from clvkit.sensitivity import Sensitivity, SensitivitySection, simple_clv, simple_elasticities

if TYPE_CHECKING:
    from clvkit.valuation import Valuation

CHAPTER = "06_sensitivity"
SAME = 1e-9  # relative: the base must be the valuation's equity
SOURCES = {"data": "estimated from purchases", "study": "stated in the study"}
ADVICE = {
    "margin": "Have finance confirm the margin, and say it whenever the value is said.",
    "discount_rate": "Have finance confirm the discount rate, and say it whenever the value is said.",
    "horizon": "Say the horizon whenever the value is said; chapter 4 shows the value for other horizons.",
}
_HIGHER, _LOWER = style.PALETTE[0], style.PALETTE[1]


def answer(moved: Sensitivity) -> Sentence:
    """What moves equity most, and by how much each driver does when it moves the wrong way."""
    groups: list[tuple[float, str, list[str]]] = []  # effects that are the same but for rounding go together
    for name, (factor, difference) in _adverse(moved).items():
        share, word = difference / moved.equity.value, _worse(name, factor)
        if groups and abs(groups[-1][0] - share) < 1e-6 and groups[-1][1] == word:
            groups[-1][2].append(DRIVERS[name].label.lower())
        elif share < 0:
            groups.append((share, word, [DRIVERS[name].label.lower()]))
    (first, word, names), *others = groups
    lost = numbers.money(-first * moved.equity.value, moved.currency)
    text = (
        f"**A {listing(names, 'or')} {word} takes {lost} ({numbers.percent(-first)}) off customer equity** of "
        f"{numbers.money(moved.equity.value, moved.currency)}."
    )
    if others:
        less = [f"a {listing(names, 'or')} {word} {numbers.percent(-share)}" for share, word, names in others]
        text += f" The others take less: {listing(less)}."
    return Sentence(text)


def levels(moved: Sensitivity) -> Table:
    """Every driver: what it is, where its level comes from, and what it is moved to."""
    rows = []
    for row in moved.drivers.itertuples():
        driver = DRIVERS[row.driver]
        told = [level_text(row.driver, level, moved.currency) for level in (row.down, row.base, row.up)]
        rows.append([driver.label, *told, SOURCES[driver.source], driver.meaning])
    stated = [
        DRIVERS[name].label.lower() for name in moved.drivers["driver"] if DRIVERS[name].source == "study"
    ]
    return Table(
        "driver_levels",
        pd.DataFrame(rows, columns=["driver", "down", "base", "up", "source", "meaning"]),
        f"{capital(listing(stated))} are stated by the study: no purchase can say whether they are right",
        f"Each driver is moved by itself, {_by(moved)} down and up, from the as-of date on. What was learned about each "
        "customer from the past, P(alive) included, stays as it is.",
        labels={"driver": "Driver", "down": "Lower", "base": "As it is", "up": "Higher", "source": "Where it comes from",
                "meaning": "What is moved"},
        note=_capped(moved),
    )  # fmt: skip


def tornado(moved: Sensitivity) -> Figure:
    """What each driver does to equity, widest swing on top."""
    frame = moved.drivers
    unit = numbers.unit_for([*frame["difference_down"], *frame["difference_up"]])
    scale = {"one": 1.0, "thousand": 1e3, "million": 1e6, "billion": 1e9}[unit]
    reach = max(frame[["difference_down", "difference_up"]].abs().max().max() / scale, 1e-12)
    with style.canvas(height=0.9 + 0.42 * len(frame)) as (drawing, axes):
        for place, row in enumerate(frame.itertuples()):
            for difference, level, colour, hatch in (
                (row.difference_down, row.down, _LOWER, "\\\\\\\\\\"),
                (row.difference_up, row.up, _HIGHER, "/////"),
            ):
                bar = style.FORECAST_BAR | {"edgecolor": colour, "hatch": hatch}
                axes.barh(place, difference / scale, 0.62, **bar)
                left = difference < 0 or (difference == 0 and colour == _LOWER)
                text = level_text(row.driver, level, moved.currency)
                style.label(axes, difference / scale, place, text, color=colour, dx=-5 if left else 5,
                            ha="right" if left else "left")  # fmt: skip
        axes.axvline(0, color=style.INK, linewidth=0.8)
        for side, colour, word in ((-1, _LOWER, "lower"), (1, _HIGHER, "higher")):
            text = f"driver {_by(moved)} {word}"
            style.label(axes, 0.03 * side * reach, -0.72, text, color=colour, dx=0,
                        ha="right" if side < 0 else "left")  # fmt: skip
        base = [level_text(row.driver, row.base, moved.currency) for row in frame.itertuples()]
        named = [f"{DRIVERS[name].label}, {level}" for name, level in zip(frame["driver"], base, strict=True)]
        axes.set_yticks(range(len(frame)), named)
        axes.set_xlim(-1.55 * reach, 1.55 * reach)
        axes.set_ylim(-1.0, len(frame) - 0.5)
        axes.set_xlabel(f"change in customer equity, {numbers.money_header(moved.currency, unit)}")
        style.thousands_axis(axes.xaxis, 0 if reach >= 4 else 1 if reach >= 0.4 else 2)
        style.horizontal(axes)

    def axes_text(difference: float) -> str:
        return numbers.money(difference, moved.currency, unit, 0 if reach >= 100 else 2)

    first = frame.iloc[0]
    ties = [
        n
        for n, swing in zip(frame["driver"], frame["swing"], strict=True)
        if swing > first["swing"] * (1 - 1e-6)
    ]
    return Figure(
        "tornado",
        drawing,
        f"{capital(listing([DRIVERS[name].label.lower() for name in ties]))} "
        f"{'moves' if len(ties) == 1 else 'move'} the value most: {_by(moved)} is "
        f"{numbers.money(first['swing'] / 2, moved.currency)}",
        f"Change in customer equity {_horizon(moved)}, {numbers.money_header(moved.currency, unit)}, when each driver "
        f"alone is {_by(moved)} lower or higher from the as-of date on; posterior means, the driver's new level at the "
        "end of each bar.",
        alt=f"Tornado chart around an equity of {numbers.money(moved.equity.value, moved.currency)}. "
        + "; ".join(
            f"{DRIVERS[row.driver].label}: {axes_text(row.difference_down)} when lower, "
            f"{axes_text(row.difference_up)} when higher"
            for row in frame.itertuples()
        )
        + ".",
        frame=frame,
        worry="A long bar for a level that nobody has measured. The bars are for one driver at a time and do not add "
        "up: a price rise moves spend, margin, purchase rate and dropout together.",
    )


def effects(moved: Sensitivity) -> Table:
    """Differences from the base with their intervals."""
    columns = [f"difference_{side}{what}" for side in ("down", "up") for what in ("", "_low", "_high")]
    frame = moved.drivers[["driver", *columns]].copy()
    frame["driver"] = [DRIVERS[name].label for name in frame["driver"]]
    widest, title = moved.drivers.iloc[0], "No posterior was drawn: the differences have no interval"
    if np.isfinite(widest["difference_up_low"]):
        told = (widest[f"difference_up{what}"] for what in ("", "_low", "_high"))
        worth = numbers.money_with_interval(*told, moved.currency, moved.interval)
        label = DRIVERS[widest["driver"]].label.lower()
        title = f"A {label} {plain_percent(widest['factor_up'] - 1)} higher brings {worth}"
    money = numbers.money_header(moved.currency)
    labels = {"driver": "Driver"}
    for side, word in (("down", "lower"), ("up", "higher")):
        labels |= {f"difference_{side}": f"{_by(moved)} {word}, {money}", f"difference_{side}_low": "Low",
                   f"difference_{side}_high": "High"}  # fmt: skip
    return Table(
        "one_way",
        frame,
        title,
        f"Change in customer equity {_horizon(moved)}, {money}; ranges hold {numbers.odds_words(moved.interval)} for the "
        "difference, each taken draw by draw against the unmoved value (expected, without the luck of single "
        "purchases).",
        formats=dict.fromkeys(columns, "money"),
        labels=labels,
        note=_capped(moved),
    )


def elasticities(moved: Sensitivity) -> Table:
    """Elasticities: per cent of equity per per cent of the driver."""
    order = sorted(moved.elasticities, key=lambda name: -round(abs(moved.elasticities[name].value), 9))
    frame = pd.DataFrame(
        [
            {
                "driver": DRIVERS[name].label,
                "source": SOURCES[DRIVERS[name].source],
                "elasticity": one.value,
                "low": one.low,
                "high": one.high,
                "mle": one.mle,
            }
            for name, one in ((name, moved.elasticities[name]) for name in order)
        ]
    )
    numeric = ["elasticity", "low", "high", "mle"]
    frame[numeric] = frame[numeric].astype(float)
    hazard, rate = (moved.elasticities[name].value for name in ("dropout_hazard", "discount_rate"))
    title = "Equity answers to dropout and to the discount rate alike"
    if abs(abs(hazard) - abs(rate)) > 0.005:
        more, less = (
            ("dropout", "the discount rate") if abs(hazard) > abs(rate) else ("the discount rate", "dropout")
        )
        ratio = max(abs(hazard), abs(rate)) / max(min(abs(hazard), abs(rate)), 1e-12)
        title = f"Equity answers {numbers.number(ratio, 1)} times as much to {more} as to {less}"
        if min(abs(hazard), abs(rate)) < 1e-9:
            title = f"Equity answers to {more} and not to {less}"
    return Table(
        "elasticities",
        frame,
        title,
        f"Change of customer equity {_horizon(moved)} in per cent for 1 % more of each driver (taken between 1 % less "
        f"and 1 % more); ranges hold {numbers.odds_words(moved.interval)}.",
        formats=dict.fromkeys(numeric, "number:2"),
        labels={
            "driver": "Driver",
            "source": "Where it comes from",
            "elasticity": "Elasticity",
            "low": "Low",
            "high": "High",
            "mle": "At maximum likelihood",
        },
        note=None
        if moved.process == "paretonbd"
        else "The purchase rate has less than its full effect where customers can only leave after a purchase: "
        "who buys more often decides more often whether to stay.",
    )


def needed(moved: Sensitivity) -> Sentence:
    """Which change of each driver alone would take equity down by the study's ``fall``."""
    told = []
    for row in moved.needed.itertuples():
        driver = DRIVERS[row.driver]
        label = driver.label.lower()
        if np.isfinite(row.level):
            base = moved.drivers.set_index("driver").loc[row.driver, "base"]
            instead = level_text(row.driver, base, moved.currency)
            told.append(
                f"the {label} {level_text(row.driver, row.level, moved.currency)} instead of {instead}"
            )
        elif np.isfinite(row.factor):
            word = "higher" if row.factor > 1 else "lower"  # no share of a whole: 99.6 % rounds to 100 %
            told.append(f"the {label} {numbers.number(100 * abs(row.factor - 1), 0)} % {word}")
        else:
            bound = (
                f" up to {numbers.number(driver.most, 0)} times as high"
                if row.driver == "dropout_hazard"
                else ""
            )
            bound = " up to 100 % a year" if row.driver == "discount_rate" else bound
            told.append(f"no {label}{bound} would do it")
    return Sentence(
        f"**For customer equity to fall by {plain_percent(moved.fall)}**, one of these would have to be so from "
        f"the as-of date on, all else as it is: {'; '.join(told)}. (At the maximum-likelihood estimate.)"
    )


def who_decides(moved: Sensitivity) -> Sentence:
    """What is known from data and open to action, and what is assumed."""
    base = moved.drivers.set_index("driver")
    told = {
        source: listing([
            f"the {driver.label.lower()} ({level_text(name, base.loc[name, 'base'], moved.currency)})"
            for name, driver in DRIVERS.items()
            if driver.source == source
        ])
        for source in SOURCES
    }  # fmt: skip
    return Sentence(
        f"**The data say** {told['data']}: these a business can try to move, and later purchases will show whether it "
        f"did. **The study says** {told['study']}: no purchase tests them, and a mistake in them is not in any interval "
        "of this report. The cost of winning customers is not among the drivers: for customers who are already here it "
        "is spent, and customer equity does not hold it."
    )


def checks(moved: Sensitivity, valuation: "Valuation", section: SensitivitySection) -> list[Check]:
    """Whether the base is the valuation's equity, and how much rests on each stated assumption."""
    told = valuation.estimates["customer_equity"].value
    off = abs(moved.equity.value - told) / abs(told)
    found = [
        Check(
            "sensitivity.base",
            "What is moved is the customer equity of chapter 4",
            "pass" if off <= SAME else "fail",
            f"With nothing moved, customer equity is {numbers.money(moved.equity.value, moved.currency)}; chapter 4 "
            f"says {numbers.money(told, moved.currency)}.",
            value=off,
            threshold=SAME,
            unit="relative difference",
            severity="stop",
            recommendation="" if off <= SAME else "Do not use this chapter: it values something else.",
            chapter=CHAPTER,
        )
    ]
    rows = moved.drivers.set_index("driver")
    for name in (name for name, driver in DRIVERS.items() if driver.source == "study"):
        row, driver = rows.loc[name], DRIVERS[name]
        effect = max(abs(row["difference_down"]), abs(row["difference_up"])) / moved.equity.value
        much = effect > section.max_assumption_effect * (
            1 + 1e-6
        )  # proportional drivers move it by just that
        found.append(
            Check(
                f"sensitivity.{name}",
                f"How much rests on the {driver.label.lower()}",
                "review" if much else "info",
                f"The {driver.label.lower()} of {level_text(name, row['base'], moved.currency)} is stated and not estimated; "
                f"{_by(moved)} on it moves customer equity by up to {numbers.percent(effect)}.",
                value=effect,
                threshold=section.max_assumption_effect,
                unit="share of customer equity",
                severity="warn" if much else "info",
                recommendation=ADVICE[name] if much else "",
                chapter=CHAPTER,
            )
        )
    return found


def simple_model(moved: Sensitivity) -> Table:
    """The textbook formula at the study's discount rate, for comparison."""
    rate = moved.terms.annual_discount_rate
    rows = []
    for retention in (0.6, 0.7, 0.8, 0.9):
        one = simple_elasticities(retention, rate)
        hazard = one["retention"] * np.log(retention)  # 1 % more hazard is ln(r) % less retention
        rows.append(
            [retention, simple_clv(1.0, retention, rate), one["retention"], hazard, one["discount_rate"]]
        )
    frame = pd.DataFrame(rows, columns=["retention", "multiple", "elasticity", "hazard", "discount_rate"])
    told = numbers.percent(moved.terms.annual_discount_rate, 0)
    return Table(
        "simple_model",
        frame,
        "In the textbook formula, 1 % on retention is worth "
        f"{numbers.number(frame['elasticity'].min(), 1)} to {numbers.number(frame['elasticity'].max(), 1)} %",
        f"Value per unit of yearly margin r/(1 + i − r) and its exact elasticities, at the study's discount rate of "
        f"{told} a year: constant margin and retention, no end, first margin in a year. Gupta, Lehmann & Stuart 2004.",
        formats={
            "retention": "percent:0",
            "multiple": "number:2",
            "elasticity": "number:2",
            "hazard": "number:2",
            "discount_rate": "number:2",
        },
        labels={
            "retention": "Retention r a year",
            "multiple": "Value per margin",
            "elasticity": "Elasticity to retention",
            "hazard": "to the dropout hazard",
            "discount_rate": "to the discount rate",
        },
        note="One per cent of retention and one per cent of dropout are different things: at 80 % retention, 1 % more "
        "retention is 4.5 % less dropout hazard. A ratio of elasticities from one does not hold for the other.",
    )


def against_simple(moved: Sensitivity) -> Sentence:
    """Why the model's elasticity to dropout is not the textbook's."""
    level = float(moved.drivers.set_index("driver").loc["dropout_hazard", "base"])
    retention, rate = 1 - max(level, 1e-9), moved.terms.annual_discount_rate  # nobody may ever leave
    textbook = simple_elasticities(retention, rate)["retention"] * np.log(retention)
    found = moved.elasticities["dropout_hazard"].value
    return Sentence(
        f"With the yearly loss of {numbers.percent(level)} that the fit finds among living customers, the textbook would "
        f"give {numbers.number(textbook, 2)} for the dropout hazard; the study finds {numbers.number(found, 2)}. The "
        f"textbook counts margin without end and gives every customer the same retention. Here the value ends with the "
        f"horizon of {level_text('horizon', _horizon_months(moved), moved.currency)}, and customers differ: those likely to "
        "leave go first, and those who remain hardly leave."
    )


def _adverse(moved: Sensitivity) -> dict[str, tuple[float, float]]:
    """Per driver, widest first, the factor and the difference of the side that takes equity down."""
    sides = {}
    for row in moved.drivers.itertuples():
        both = ((row.factor_down, row.difference_down), (row.factor_up, row.difference_up))
        sides[row.driver] = min(both, key=lambda side: side[1])
    return dict(sorted(sides.items(), key=lambda item: round(item[1][1] / moved.equity.value, 9)))


def _worse(name: str, factor: float) -> str:
    word = {"horizon": "shorter"}.get(name, "lower") if factor < 1 else "higher"
    return f"{plain_percent(abs(factor - 1))} {word}"


def _capped(moved: Sensitivity) -> str | None:
    """What could not be moved as far as asked, and why."""
    short = moved.drivers[(moved.drivers["factor_up"] - 1 < moved.change - 1e-9)]
    told = []
    for row in short.itertuples():
        label = DRIVERS[row.driver].label
        if row.factor_up == 1 and row.factor_down == 1:
            told.append(f"{label} is zero, and a relative change leaves it so.")
        else:
            up = plain_percent(row.factor_up - 1) if row.factor_up > 1 else "not at all"
            told.append(
                f"{label} cannot be above {level_text(row.driver, row.up, moved.currency)}: it is moved up {up}."
            )
    return " ".join(told) or None


def _by(moved: Sensitivity) -> str:
    return plain_percent(moved.change)


def _horizon_months(moved: Sensitivity) -> float:
    return round(moved.terms.horizon_days / moved.terms.days_per_year * 12, 6)


def _horizon(moved: Sensitivity) -> str:
    return horizon_words(_horizon_months(moved))
