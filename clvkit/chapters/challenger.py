"""Chapter 05: whether a machine that learns from features forecasts these customers better than the processes do."""

from clvkit import numbers
from clvkit.challenger import MACHINES, SHOWN_DRIVERS, Challenge
from clvkit.checks import Check
from clvkit.exhibits import Sentence, Table
from clvkit.feature_gain import FALSE_KEEP

CHAPTER = "05_backtest"
NOT_ASKED = (
    "No machine was tried: the study says `challenger: {use: none}`. With `use: compare` an elastic net and gradient boosting "
    "are trained before the latest origin and tried on the same days."
)


def answer(found: Challenge | None) -> list[Sentence]:
    """Who won, by how much, and what the machines learned from."""
    if found is None:
        return [Sentence(NOT_ASKED)]
    if found.refused:
        return [Sentence(f"**No machine could be tried**: {found.refused}. The probability model stays.")]
    row, other = found.row(found.best_machine), found.row(found.best_other)
    what = "purchases" if found.decide_on == "purchases" else "revenue"
    text = (
        f"**{row['label']} wins.** " if found.winner else f"**The machine does not win; {_stays(found)}.** "
    )
    side = "below" if row["gain"] > 0 else "above"
    ends = sorted(abs(row[name]) for name in ("low", "high")) if row["low"] * row["high"] > 0 else None
    spread = (
        f"between {numbers.percent(ends[0])} and {numbers.percent(ends[1])} {side}"
        if ends
        else f"from {_signed(row['low'])} to {_signed(row['high'])}"
    )
    text += (
        f"Over {numbers.count(found.customers)} customers and the days from {numbers.date_words(found.origin)} to "
        f"{numbers.date_words(found.end)}, the squared error of {row['label'].lower()} per customer in {what} was "
        f"{numbers.percent(abs(row['gain']))} {side} that of the best of the others, {other['label']}; for other such customers "
        f"it would be {spread}"
    )
    text += (
        ", which is more than chance."
        if found.winner
        else ", so that it is worse by more than chance."
        if row["high"] < 0
        else ", which chance explains."
    )
    text += (
        f" The machines learned from features as of {numbers.date_words(found.learned_from)} and what came up to "
        f"{numbers.date_words(found.learned_to)}; how much they may learn was chosen one window earlier, from "
        f"{numbers.date_words(found.chosen_from)} on. Nothing of the days that are forecast was seen."
    )
    return [Sentence(text)]


def _stays(found: Challenge) -> str:
    other = found.row(found.best_other)
    if other["kind"] == "process":
        return "the probability model stays"
    return f"neither does a process: the best of the others is a simple rule, {other['label'].lower()}"


def _signed(share: float) -> str:
    return f"{numbers.percent(abs(share))} {'below' if share > 0 else 'above'}"


def board(found: Challenge | None) -> list[Table]:
    """Errors of machines, processes and simple rules on the same customers, best first."""
    if found is None or found.refused:
        return []
    kinds = {"machine": "machine", "process": "process", "rule": "simple rule", "mean": "no features"}
    columns = [
        "label",
        "kind",
        "bias",
        "mae",
        "rmse",
        "gain",
        "low",
        "high",
        "bias_value",
        "rmse_value",
    ]
    frame = found.board[columns].assign(kind=found.board["kind"].map(kinds))
    frame = frame.astype(dict.fromkeys(["bias", "gain", "low", "high", "bias_value"], object))
    frame[["gain", "low", "high"]] = frame[["gain", "low", "high"]].where(frame["gain"].notna(), "[z]")
    first = found.board.iloc[0]
    level = 1 - (1 - found.interval) / len(MACHINES)
    return [Table(
        "challenger_board",
        frame,
        f"{first['label']} has the smallest error per customer",
        f"Repeat purchases and revenue per customer from {numbers.date_words(found.origin)} to {numbers.date_words(found.end)}, "
        f"forecast against actual, over {numbers.count(found.customers)} customers; revenue undiscounted, before margin.",
        formats=dict.fromkeys(["bias", "gain", "low", "high", "bias_value"], "percent")
        | {"mae": "number:3", "rmse": "number:3", "rmse_value": "number:2"},
        labels={"label": "Forecast by", "kind": "Is a", "bias": "Bias, purchases", "mae": "Mean absolute error",
                "rmse": "Root mean squared error", "gain": "Squared error saved", "low": "Low", "high": "High",
                "bias_value": "Bias, revenue", "rmse_value": "Root mean squared error, revenue"},
        note=f"Squared error saved: in {found.decide_on}, as a share of that of {found.row(found.best_other)['label']}; negative is "
        f"worse. Its interval holds {numbers.odds_words(round(level, 4))}, wider than usual because the better of two machines is "
        "looked at; a machine wins only where all of it is above zero. A process makes its forecast from two or three numbers a "
        f"customer, a machine from up to {found.offered}.",
    )]  # fmt: skip


def drivers(found: Challenge | None) -> list[Sentence | Table]:
    """What the machines go by: coefficients of the elastic net, and what shuffling a feature costs the better machine."""
    if found is None or found.refused:
        return []
    learned = "; ".join(f"{found.row(name)['label'].lower()}: {found.settings[name]}" for name in MACHINES)
    made: list[Sentence | Table] = [
        Sentence(f"How much each machine learned, as chosen before the origin: {learned}.")
    ]
    if len(found.coefficients):
        top = found.coefficients.iloc[0]
        more = numbers.percent(abs(top["times"] - 1), 0)
        made.append(Table(
            "challenger_coefficients",
            found.coefficients.head(SHOWN_DRIVERS)[["feature", "words", "times"]],
            f"{top['words'][0].upper()}{top['words'][1:]} moves the elastic net most: {more} "
            f"{'more' if top['times'] > 1 else 'less'} for one standard deviation",
            f"What one standard deviation more of a feature multiplies expected {found.decide_on} by, all others unchanged; learned "
            f"from {numbers.date_words(found.learned_from)} to {numbers.date_words(found.learned_to)}.",
            formats={"times": "number:2"},
            labels={"feature": "Feature", "words": "What it is", "times": "Times"},
            note="Skewed features are in logs. Features that go together share an effect between them, so that a single one says "
            "little about causes."
            + (f" {len(found.coefficients) - SHOWN_DRIVERS} smaller ones are in the file of results."
               if len(found.coefficients) > SHOWN_DRIVERS else ""),
        ))  # fmt: skip
    rises = found.importance[found.importance["rise"].abs() > 1e-9]
    if len(rises):
        label = found.row(found.best_machine)["label"]
        made.append(Table(
            "challenger_importance",
            rises.head(SHOWN_DRIVERS),
            f"{label} would miss {rises.iloc[0]['words']} most",
            f"Share by which the deviance of {label.lower()} on the hold-out rises when a feature is shuffled among the "
            f"{numbers.count(found.customers)} customers.",
            formats=dict.fromkeys(["rise", "low", "high"], "percent"),
            labels={"feature": "Feature", "words": "What it is", "rise": "Error rises by", "low": "Low", "high": "High"},
            note=f"Intervals hold {numbers.odds_words(found.interval)} for other such customers. Of two features that say the same, "
            "neither is missed much.",
        ))  # fmt: skip
    return made


def feasibility(found: Challenge | None) -> list[Sentence | Table]:
    """Coverage, age and gain of each feature besides purchases, and whether to keep it."""
    if found is None or found.refused:
        return []
    table = found.feasibility
    if table.empty:
        return [Sentence("The study has no behaviour besides purchases: no tickets, refunds, contracts or tables of behaviour, and it names nothing that customers tables say (`challenger.about`).")]  # fmt: skip
    kept = table[table["keep"]]
    best = kept.loc[kept["gain"].idxmax()] if len(kept) else None
    title = (
        f"None of {len(table)} features adds to what purchases tell already"
        if best is None
        else f"{len(kept)} of {len(table)} features {'is' if len(kept) == 1 else 'are'} worth keeping; "
        f"{best['variable']} takes away {numbers.percent(best['gain'])} of the error"
    )
    frame = table.assign(keep=table["keep"].map({True: "keep", False: "drop"}))
    frame["latency_days"] = frame["latency_days"].astype(object).where(table["latency_days"].notna(), "[z]")
    return [Table(
        "feature_feasibility",
        frame.drop(columns="variable"),
        title,
        f"What each feature adds to a forecast of {found.decide_on} by purchase features alone, over {numbers.count(found.customers)} "
        f"customers from {numbers.date_words(found.origin)} to {numbers.date_words(found.end)}.",
        formats={"coverage": "percent", "latency_days": "count", "correlation": "number:2"}
        | dict.fromkeys(["gain", "low", "high"], "percent:2"),
        labels={"words": "Feature", "coverage": "Known of", "latency_days": "Last seen, days before",
                "correlation": "Rank correlation with revenue", "gain": "Error taken away", "low": "Low", "high": "High",
                "keep": "Verdict"},
        note="Known of: share of customers with anything of it. Last seen: median of these; undated features have none. Error taken "
        "away: share of the deviance, on days that were not learned from. Kept where the whole interval is above zero; it is so "
        f"wide that a table in which nothing is of use keeps any of it at most {numbers.percent(FALSE_KEEP, 0)} of the time.",
    )]  # fmt: skip


def checks(found: Challenge | None) -> list[Check]:
    """Whether the model that the value is computed with stands up to the machine."""
    if found is None:
        return []
    title = "No machine forecasts better than processes and simple rules"
    if found.refused:
        return [Check("challenger.winner", title, "info", f"No machine could be tried: {found.refused}.", severity="info",
                      chapter=CHAPTER)]  # fmt: skip
    row = found.row(found.best_machine)
    return [Check(
        "challenger.winner", title, "review" if found.winner else "pass",
        f"{row['label']} {'saves' if row['gain'] > 0 else 'adds'} {numbers.percent(abs(row['gain']))} of squared error per customer "
        f"{'against' if row['gain'] > 0 else 'to that of'} {found.row(found.best_other)['label']}"
        + (", by more than chance." if found.winner or row["high"] < 0 else ", within what chance explains."),
        value=float(row["low"]), threshold=0.0, unit="share of squared error, low end",
        recommendation="For lists of single customers use the machine; for the sum of all, see the values side by side."
        if found.winner else "", chapter=CHAPTER)]  # fmt: skip


def as_results(found: Challenge | None) -> dict | None:
    """The challenge as ``results.json`` holds it; None where none was asked for."""
    return None if found is None else found.to_json()
