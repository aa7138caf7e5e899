"""Chapter 04: one value at four grains, what was brought with what is to come, and a model of cohorts beside it."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.apportion import apportion
from clvkit.chapters.cohort_schemes import MOST_ROWS
from clvkit.chapters.value_holders import horizon_words, months_of
from clvkit.checks import Check
from clvkit.exhibits import Sentence, Table
from clvkit.grains import COHORT, INDIVIDUAL, OFTEN, SEGMENT, TIER, Grains

if TYPE_CHECKING:
    from clvkit.ledger import Ledger
    from clvkit.valuation import Valuation

CHAPTER = "04_value"
MOST_RELATIVE = 1e-9
_MONEY = ["so_far", "clv", "total"]


def exhibits(grains: Grains, valuation: "Valuation", ledger: "Ledger") -> list[Table | Sentence]:
    """The value at every grain with its parts, and the model of cohorts beside the sum of individuals."""
    return [at_grains(grains, valuation, ledger), parts(grains, valuation, ledger), *curve(grains, valuation)]


def minor(value: float, ledger: "Ledger") -> int:
    """An amount in whole minor units, rounded once."""
    return int(numbers.half_up(value * 10**ledger.minor_digits))


def at_grains(grains: Grains, valuation: "Valuation", ledger: "Ledger") -> Table:
    """The sum at each grain, rounded once, and its difference from that of the individuals."""
    frame, money = grains.grains, numbers.money_header(valuation.currency)
    unit, digits = 10**ledger.minor_digits, ledger.minor_digits
    cents = [minor(value, ledger) for value in frame["value"]]
    rows = [
        (_grain_words(row.grain), row.parts, row.customers, cent / unit, (cent - cents[0]) / unit)
        for row, cent in zip(frame.itertuples(), cents, strict=True)
    ]
    if len(grains.curve):
        total = minor(grains.curve["curve"].sum(), ledger)
        rows.append(("Cohorts by a model of their own", len(grains.curve), int(grains.curve["customers"].sum()),
                     total / unit, (total - cents[0]) / unit))  # fmt: skip
    shown = pd.DataFrame(rows, columns=["grain", "parts", "customers", "value", "difference"])
    same = len(set(cents)) == 1
    worth = numbers.money(cents[0] / unit, valuation.currency, "one", digits)
    seconds = "; ".join(
        f"{_grain_words(row.grain).lower()} {numbers.number(row.seconds, 1)}" for row in frame.itertuples()
    )
    return Table(
        "value_at_grains",
        shown,
        f"At every grain the customers are worth {worth}" if same else "The grains do not agree on what the customers are worth",
        f"Value still to come {horizon_words(months_of(valuation))}, {money}; each grain is computed by itself and its sum rounded once; "
        "difference from the sum of individuals.",
        formats={"parts": "count", "customers": "count", "value": f"money:{digits}", "difference": f"money:{digits}"},
        labels={"grain": "Grain", "parts": "Parts", "customers": "Customers", "value": f"Value, {money}",
                "difference": "Less individuals"},
        note=f"Run time in seconds: {seconds}; model of cohorts {numbers.number(grains.curve_seconds, 1)}.",
    )  # fmt: skip


def parts(grains: Grains, valuation: "Valuation", ledger: "Ledger") -> Table:
    """Segments, product tiers and cohorts: what was brought, what is to come, and both, in parts that add up to the cent."""
    money, unit = numbers.money_header(valuation.currency), 10**ledger.minor_digits
    wholes = {name: minor(grains.base[name], ledger) for name in ("so_far", "clv")}
    frames = []
    for grain in (one for one in (SEGMENT, TIER, COHORT) if one in grains.groups):
        frame = _most(grains.groups[grain])
        cents = {name: apportion(frame[name].to_numpy() * unit, whole) for name, whole in wholes.items()}
        frames.append(pd.DataFrame(
            {"grain": _grain_words(grain), "group": frame["group"], "customers": frame["customers"],
             "so_far": cents["so_far"] / unit, "clv": cents["clv"] / unit, "total": (cents["so_far"] + cents["clv"]) / unit}
        ))  # fmt: skip
    shown = pd.concat(frames, ignore_index=True)
    total = {"grain": "Each grain together", "group": "All", "customers": int(grains.base["customers"])}
    total |= {name: whole / unit for name, whole in wholes.items()} | {"total": sum(wholes.values()) / unit}
    shown = pd.concat([shown, pd.DataFrame([total])], ignore_index=True)
    brought, ahead = grains.base["so_far"], grains.base["clv"]
    share = ahead / (brought + ahead) if brought + ahead > 0 else 0.0
    return Table(
        "value_so_far_and_to_come",
        shown,
        f"Of the {numbers.money(brought + ahead, valuation.currency)} of margin that these customers bring, "
        f"{numbers.percent(share, 0)} is still to come",
        f"Margin brought so far (the study's {numbers.percent(valuation.terms.margin, 0)} of net revenue, as booked, not discounted), "
        f"margin still to come {horizon_words(months_of(valuation))} (discounted to the as-of date), and both, {money}.",
        formats={"customers": "count"} | dict.fromkeys(_MONEY, f"money:{ledger.minor_digits}"),
        labels={"grain": "Grain", "group": "Part", "customers": "Customers", "so_far": f"So far, {money}", "clv": "To come",
                "total": "Total"},
        total=True,
        note="Parts are rounded so that those of each grain add up to the sum, which is rounded once; none moves by as much as one "
        "minor unit. So far and to come are made with one margin; the one is neither discounted nor brought to today's prices.",
    )  # fmt: skip


def curve(grains: Grains, valuation: "Valuation") -> list[Table | Sentence]:
    """Each cohort by the sum of its individuals and by the curve of cohorts; why there is none, as a sentence."""
    if not len(grains.curve):
        return [Sentence(f"No model of cohorts stands beside the individuals: {grains.no_curve}.")]
    money = numbers.money_header(valuation.currency)
    frame = grains.curve.copy()
    if len(frame) > MOST_ROWS:
        early = (
            frame.iloc[: -MOST_ROWS + 1].sum(numeric_only=True).to_frame().T.assign(cohort="earlier cohorts")
        )
        frame = pd.concat([early, frame.iloc[-MOST_ROWS + 1 :]], ignore_index=True)
    total = frame.sum(numeric_only=True).to_frame().T.assign(cohort="All")
    frame = pd.concat([frame, total], ignore_index=True).astype({"customers": int})
    frame["difference"] = frame["curve"] - frame["individuals"]
    whole = frame.iloc[-1]
    frame["share"] = frame["difference"] / frame["individuals"].where(frame["individuals"] > 0)
    return [Table(
        "value_by_cohort_model",
        frame[["cohort", "customers", "individuals", "curve", "difference", "share"]],
        f"A model of cohorts alone puts the value {numbers.percent(abs(whole['difference'] / whole['individuals']))} "
        f"{'higher' if whole['difference'] > 0 else 'lower'} than the sum of individuals",
        f"Value still to come {horizon_words(months_of(valuation))} by period of first purchase, {money}: summed over customers, and by the "
        "mean repeat revenue of cohorts at each age, drawn on by a falling curve.",
        formats={"customers": "count", "share": "percent"} | dict.fromkeys(["individuals", "curve", "difference"], "money"),
        labels={"cohort": "Cohort", "customers": "Customers", "individuals": f"Individuals, {money}", "curve": "Model of cohorts",
                "difference": "Difference", "share": "of individuals"},
        total=True,
        note="The curve knows how customers of an age do on average, and nothing of who bought last month: it cannot tell a good "
        "cohort from a bad one, nor say who is worth what. A large difference in one cohort says that its customers did not do as "
        "others at their age.",
    )]  # fmt: skip


def checks(grains: Grains, valuation: "Valuation", ledger: "Ledger") -> list[Check]:
    """Whether all grains agree to the cent and with customer equity, and whether so far and to come make the total."""
    unit, digits = 10**ledger.minor_digits, ledger.minor_digits
    cents = {row.grain: minor(row.value, ledger) for row in grains.grains.itertuples()}
    cents["customer equity"] = minor(valuation.estimates["customer_equity"].value, ledger)
    gap = max(cents.values()) - min(cents.values())
    worth = numbers.money(cents[INDIVIDUAL] / unit, valuation.currency, "one", digits)
    base = grains.base
    sums = {name: sum(frame[name].sum() for frame in [grains.groups[COHORT]]) for name in _MONEY}
    off = abs(sums["so_far"] + sums["clv"] - base["total"]) / max(abs(base["total"]), 1e-300)
    return [
        Check(
            "value.grains",
            "Individuals, segments, tiers and cohorts are worth the same together",
            "pass" if gap == 0 else "fail",
            f"Each of {numbers.count(len(cents) - 1)} grains, and customer equity, comes to {worth}."
            if gap == 0
            else f"The grains differ by {numbers.money(gap / unit, valuation.currency, 'one', digits)}.",
            value=gap, threshold=0, unit="minor units", severity="stop", chapter=CHAPTER,
            recommendation="" if gap == 0 else "Do not use the figures: customers were lost or counted twice.",
        ),
        Check(
            "value.total",
            "What was brought and what is to come make the total",
            "pass" if off <= MOST_RELATIVE else "fail",
            f"By cohort and customer by customer, so far and to come add up to {numbers.money(base['total'], valuation.currency)}.",
            value=float(off), threshold=MOST_RELATIVE, unit="share of the total", severity="stop", chapter=CHAPTER,
            recommendation="" if off <= MOST_RELATIVE else "Do not use the figures.",
        ),
    ]  # fmt: skip


def as_results(grains: Grains) -> dict:
    """What ``results.json`` holds of it, without run times."""

    def rows(frame: pd.DataFrame) -> list[dict]:
        return frame.astype(object).where(frame.notna(), None).to_dict("records")

    return {
        "grains": rows(grains.grains.drop(columns="seconds")),
        "by": {name: rows(frame) for name, frame in grains.groups.items()},
        "quadrants": rows(grains.quadrants),
        "cohort_model": rows(grains.curve),
    }


def metrics(grains: Grains, valuation: "Valuation") -> dict:
    """Figures by metric id: margin brought so far, so far and to come, value at risk, and equity by the model of cohorts."""
    base, currency = grains.base, valuation.currency
    found = {
        "margin_so_far": {"value": float(base["so_far"]), "unit": currency},
        "customer_value_total": {"value": float(base["total"]), "unit": currency},
        "value_at_risk": {"value": float(base["at_risk"]), "unit": currency},
        "churn_probability_12_months": {
            "value": float(base["leaves"] / base["alive"]),
            "unit": "share of customers alive",
        },
    }
    if len(grains.curve):
        found["customer_equity_cohort_model"] = {
            "value": float(grains.curve["curve"].sum()),
            "unit": currency,
        }
    return found


def _grain_words(grain: str) -> str:
    return {
        INDIVIDUAL: "Individuals",
        SEGMENT: "Segments",
        TIER: "Product tiers",
        COHORT: "Cohorts",
        OFTEN: "Repeat purchases",
    }[grain]


def _most(frame: pd.DataFrame) -> pd.DataFrame:
    """The largest groups in their order, and one line for all others."""
    if len(frame) <= MOST_ROWS:
        return frame
    kept = frame["customers"].rank(method="first", ascending=False) < MOST_ROWS
    rest = frame[~kept].drop(columns="group").sum().to_frame().T.assign(group="all others")
    return pd.concat([frame[kept], rest], ignore_index=True).astype(
        {"customers": int} | dict.fromkeys(_MONEY, float)
    )
