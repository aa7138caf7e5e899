"""The memo on the ledger: what came in, and what became of it step by step."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_policies import on_tax
from clvkit.chapters.ledger_samples import samples
from clvkit.chapters.ledger_words import (
    amount,
    amounts,
    are,
    count,
    currencies,
    groups,
    in_order,
    short,
    step_words,
)
from clvkit.exhibits import Figure, Sentence, Table
from clvkit.publish import style

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clvkit.ledger import Ledger, LedgerSection


def answer(ledger: "Ledger") -> Sentence:
    """What came in, and how much of it is used."""
    found = groups(ledger)
    kept = found[found["state"].isin(("used", "merged"))]
    left, lost = found.drop(kept.index), int(found["unconverted"].sum())
    codes = currencies(found, ledger)
    came = {code: found.loc[found["currency"] == code, "amount_minor"].sum() for code in codes}
    came = {code: minor for code, minor in came.items() if minor or code == ledger.currency}
    whole = f"**{count(len_rows(found), 'row')} with {amounts(came)}**"
    if len(came) > 1:
        whole += f", together {amount(found['value_minor'].sum(), ledger.currency)},"
    rest = "nothing was left out"
    if len(left):
        rest = (
            f"{count(len_rows(left), 'row')} with {amount(left['value_minor'].sum(), ledger.currency)} "
            f"{are(len_rows(left))} not among them, and the steps below say why"
        )
    if lost:
        rest += (
            f"; {count(lost, 'row')} could not be converted and {are(lost)} in no sum in {ledger.currency}"
        )
    return Sentence(
        f"{whole} came in. They are **{count(ledger.totals['rows']['used'], 'purchase')} by "
        f"{count(ledger.totals['customers'], 'customer')}** up to {numbers.date_words(ledger.as_of)}, worth "
        f"{amount(kept['value_minor'].sum(), ledger.currency)}; {rest}."
    )


def len_rows(found: pd.DataFrame) -> int:
    """Source rows behind lines of :func:`clvkit.chapters.ledger_words.groups`."""
    return int(found["rows"].sum())


def steps(ledger: "Ledger", everybody: "ir.Table | None" = None) -> pd.DataFrame:
    """The way from what was received to what is modelled.

    Parameters
    ----------
    everybody : one row per customer with ``inclusion`` and ``treatment``, as ``run.everybody()`` returns it; None:
        nobody is left out of the models.

    Returns
    -------
    One row per step: ``kind`` (``part``, ``level``, ``less``), ``state``, ``reason``, ``label`` (short), ``words``;
    ``rows`` and ``value_minor`` (in minor units of the study's currency; what a step of kind ``less`` takes away is below
    zero); ``rows_left``, ``value_left_minor``; ``unconverted``, in words, by currency.
    """
    found = groups(ledger)
    rows, value, listed = 0, 0, []

    def put(
        kind: str, label: str, words: str, n: int, minor: int, state="", reason="", unconverted=""
    ) -> None:
        nonlocal rows, value
        if kind != "level":
            rows, value = rows + n, value + minor
        listed.append((kind, state, reason, label, words, n, minor, rows, value, unconverted))

    below = found[found["negative"]]
    above = found.drop(below.index)
    if len(below):
        put(
            "part",
            "sales received",
            "Sales received",
            len_rows(above),
            int(above["value_minor"].sum()),
            unconverted=_unconverted(above),
        )
        put(
            "part",
            "refunds received",
            "Refunds received",
            len_rows(below),
            int(below["value_minor"].sum()),
            unconverted=_unconverted(below),
        )
        put("level", "received", "Received", rows, value)
    else:
        put(
            "part",
            "received",
            "Received",
            len_rows(found),
            int(found["value_minor"].sum()),
            unconverted=_unconverted(found),
        )
        listed[-1] = ("level", *listed[-1][1:])
    for state, reason in in_order(found):
        here = found[(found["state"] == state) & (found["reason"] == reason)]
        put("less", short(reason), step_words(reason), -len_rows(here), -int(here["value_minor"].sum()),
            state, reason, _unconverted(here))  # fmt: skip
    aside = [] if everybody is None else _left_out(ledger, everybody)
    if aside:
        put("level", "in the ledger", "In the ledger: used and merged", rows, value)
    for one in aside:
        put(
            "less",
            str(one["inclusion"]),
            f"Left out of the models by the rule {one['inclusion']}",
            -one["rows"],
            -one["value_minor"],
        )
    put("level", "modelled", "Modelled", rows, value)
    names = [
        "kind",
        "state",
        "reason",
        "label",
        "words",
        "rows",
        "value_minor",
        "rows_left",
        "value_left_minor",
        "unconverted",
    ]
    return pd.DataFrame(listed, columns=names)


def _unconverted(here: pd.DataFrame) -> str:
    lost = here[here["unconverted"] > 0].groupby("currency")[["unconverted", "unconverted_minor"]].sum()
    return "; ".join(
        f"{amount(one.unconverted_minor, one.Index)} ({count(one.unconverted, 'row')})"
        for one in lost.itertuples()
    )


def _left_out(ledger: "Ledger", everybody: "ir.Table") -> list[dict]:
    """Rows and money of the customers whom rules of inclusion leave out, by rule."""
    out = everybody.filter(everybody.treatment == "exclude").select("customer", "inclusion")
    theirs = ledger.purchases.inner_join(out, "customer")
    grouped = theirs.group_by("inclusion").agg(
        rows=theirs.lines.sum().cast("int64"), value_minor=theirs.amount_minor.sum().cast("int64")
    )
    return sorted(grouped.to_pyarrow().to_pylist(), key=lambda one: one["inclusion"])


def waterfall(
    ledger: "Ledger", everybody: "ir.Table | None" = None, section: "LedgerSection | None" = None
) -> list[Figure | Table | Sentence]:
    """From rows and money received to rows and money modelled: drawn, as a table, and with samples of each step.

    A sentence where no step takes anything away. ``section`` tells what was taken off amounts before the first step.
    """
    found = steps(ledger, everybody)
    if not (found["kind"] == "less").any():
        whole = amount(found["value_left_minor"].iloc[-1], ledger.currency)
        return [Sentence(f"{_title(found)}, with {whole}: no step takes a row or an amount away.")]
    return [_bars(found, ledger), _table(found, ledger, section), *samples(found, ledger)]


def _title(found: pd.DataFrame) -> str:
    came, stay = found[found["label"] == "received"].iloc[0], found.iloc[-1]
    if came["rows_left"] == stay["rows_left"]:
        return f"All {count(came['rows_left'], 'row')} that came in are modelled"
    rows = numbers.percent(stay["rows_left"] / came["rows_left"])
    money = ""
    if came["value_left_minor"] > 0:
        money = f" and {numbers.percent(stay['value_left_minor'] / came['value_left_minor'])} of the money"
    return f"{rows} of the rows{money} are modelled"


def _bars(found: pd.DataFrame, ledger: "Ledger") -> Figure:
    """Two panels over the same steps: rows to the left, money to the right."""
    unit = 10**ledger.minor_digits
    code = numbers.money_header(ledger.currency)
    frame = found.assign(value=found["value_minor"] / unit, value_left=found["value_left_minor"] / unit)
    with style.canvas(height=0.75 + 0.29 * len(frame), columns=2, sharey=True) as (drawing, axes):
        panels = (("rows", "rows_left", "Rows", 0), ("value", "value_left", code, 0))
        for panel, (size, left, title, digits) in zip(axes, panels, strict=True):
            for place, step in enumerate(frame.itertuples()):
                change, after = getattr(step, size), getattr(step, left)
                level = step.kind == "level"
                start = 0 if level else after - change
                look = style.HISTORY_BAR if level or change >= 0 else style.PREVIOUS_BAR
                width = after if level else change
                panel.barh(place, width, left=start, height=0.62, **look)
                text = numbers.number(after if level else change, digits)
                style.label(panel, max(start, start + width, 0), place, text)
            reach = max(frame[left].max(), frame[size].max())
            panel.set_xlim(min(0, frame[left].min()), 1.3 * reach if reach > 0 else 1)
            panel.set_title(title)
            panel.set_xticks([])
            panel.spines["left"].set_visible(True)
            panel.grid(False)
            panel.spines["bottom"].set_visible(False)
        axes[0].set_yticks(range(len(frame)), frame["label"])
        axes[0].tick_params(axis="y", labelcolor=style.INK)
        axes[0].invert_yaxis()
    return Figure(
        "ledger_waterfall",
        drawing,
        _title(found),
        f"From what was received to what is modelled, up to {numbers.date_words(ledger.as_of)}: source rows, and money in "
        f"{code}" + (", other currencies converted" if len(ledger.totals["amount"]) > 1 else "")
        + ". Dark: what is there; light: what a step takes away.",
        alt="Steps from top to bottom. " + " ".join(
            f"{step.words}: {numbers.count(step.rows)} rows, {amount(step.value_minor, ledger.currency)}." for step in found.itertuples()),
        frame=frame[["label", "rows", "rows_left", "value", "value_left"]],
    )  # fmt: skip


def _table(found: pd.DataFrame, ledger: "Ledger", section: "LedgerSection | None") -> Table:
    unit, code = 10**ledger.minor_digits, numbers.money_header(ledger.currency)
    frame = pd.DataFrame({
        "step": range(1, len(found) + 1),
        "words": found["words"],
        "state": found["state"].str.capitalize(),
        "rows": found["rows"],
        "value": found["value_minor"] / unit,
        "rows_left": found["rows_left"],
        "value_left": found["value_left_minor"] / unit,
    })  # fmt: skip
    labels = {
        "step": "Step",
        "words": "What, and why",
        "state": "State",
        "rows": "Rows",
        "value": code,
        "rows_left": "Rows left",
        "value_left": f"Left, {code}",
    }
    if found["unconverted"].any():
        frame["unconverted"] = found["unconverted"]
        labels["unconverted"] = "Besides, not converted"
    unread = ledger.totals["amount_unreadable"]
    digits = ledger.minor_digits
    before = "".join(f" {text.replace('**', '')}" for text in on_tax(section)) if section else ""
    return Table(
        "ledger_steps",
        frame,
        "Every row and every amount on the way",
        f"Rows and money ({code}) that each step takes away, and what is left after it.",
        formats={"step": "count", "rows": "count", "rows_left": "count", "value": f"money:{digits}", "value_left": f"money:{digits}"},
        labels=labels,
        total=True,
        note="A row counts under the first step that takes it away."
        + (f" The amount of {count(unread, 'row')} could not be read and is in no sum." if unread else "")
        + before,
    )  # fmt: skip
