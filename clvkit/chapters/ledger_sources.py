"""What each source is and whether it balances: rows and money by state, by source and by currency."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from clvkit import numbers
from clvkit.chapters.ledger_words import are, count, currencies, groups, listed, state_order
from clvkit.exhibits import Sentence, Table
from clvkit.ledger.currencies import digits_of
from clvkit.ledger.history import completeness_of
from clvkit.ledger.reasons import STATES, meaning

if TYPE_CHECKING:
    from clvkit.ledger import Ledger, LedgerSection
    from clvkit.ledger.section import SourceSection

MOST_CURRENCIES = 4  # that have a column each; the table by source has them all
_MEANINGS = {
    "used": "the first line of a customer's purchase on a day",
    "merged": "further lines of the same customer and day, added to the first",
    "later": "dated after the as-of date, kept for the hold-out",
    "excluded": "left out by a policy of the study",
    "quarantined": "broke a rule; kept aside to be looked at",
}
_WHY = {
    "latency": "later days still arriving",
    "cut off": "last days cut off",
    "last day": "last day with rows",
    "ended": "ended for good",
    "made": "bills due by contracts",
}


def balance(ledger: "Ledger") -> Table:
    """What became of every row and every amount: the five states with their reasons, and the total."""
    found = groups(ledger)
    codes = currencies(found, ledger)
    found["line"] = [_line(*pair) for pair in zip(found["state"], found["reason"], strict=True)]
    lines = [
        _added(found[found["line"] == line], codes, *line) for line in sorted(set(found["line"]), key=_place)
    ]
    for state in STATES:
        if state not in set(found["state"]):
            lines.append(_added(found[:0], codes, state, _MEANINGS[state]))
    lines.sort(key=lambda line: state_order(line["state"]))
    lines.append(_added(found, codes, "came in", ""))
    frame = pd.DataFrame(lines)
    came = frame["value"].iloc[-1]
    unit = {code: 10 ** digits_of(code) for code in codes}
    frame["share"] = frame["value"] / came if came else float("nan")
    for code in codes:
        frame[code] = frame[code] / unit[code]
    frame["value"] = frame["value"] / unit[ledger.currency]
    several = len(codes) > 1
    shown = codes if several and len(codes) <= MOST_CURRENCIES else []
    money = numbers.money_header(ledger.currency)
    frame = frame[["state", "meaning", "rows", *shown, "value", "share"]].rename(columns={"value": "amount"})
    rows = ledger.totals["rows"]
    kept, unread = rows["used"] + rows["merged"], ledger.totals["amount_unreadable"]
    lost = int(found["unconverted"].sum())
    notes = ["Every row is in exactly one state, so rows and money add up to what came in."]
    if unread:
        notes.append(f"The amount of {count(unread, 'row')} could not be read and is in no sum.")
    if lost:
        notes.append(
            f"{count(lost, 'row')} could not be converted: in the column of the currency, and not in {money}."
        )
    return Table(
        "ledger_balance",
        frame,
        f"All {count(rows['in'], 'row')} that came in make up the ledger"
        if kept == rows["in"]
        else f"{numbers.percent(kept / rows['in'])} of the rows that came in make up the ledger",
        f"Rows of {count(_files(ledger), 'file')} by what became of them, and the sum of their amounts"
        + (f", by currency and converted to {money}." if several else f", {money}."),
        formats={"rows": "count", "share": "percent", "amount": f"money:{ledger.minor_digits}"}
        | {code: f"money:{digits_of(code)}" for code in shown},
        labels={"state": "State", "meaning": "Which rows", "rows": "Rows", "share": "Of the money",
                "amount": f"All, in {money}" if several else f"Amount, {money}"},
        total=True,
        note=" ".join(notes),
    )  # fmt: skip


def _line(state: str, reason: str) -> tuple[str, str]:
    if state == "merged" and reason == "refund":
        return state, "refunds, taken off the purchases that they belong to"
    return state, meaning(reason) if state in ("excluded", "quarantined") else _MEANINGS[state]


def _place(line: tuple[str, str]) -> tuple[int, str]:
    return state_order(line[0]), line[1]


def _added(found: pd.DataFrame, codes: list[str], state: str, words: str) -> dict:
    by_code = {code: int(found.loc[found["currency"] == code, "amount_minor"].sum()) for code in codes}
    return {"state": state, "meaning": words, "rows": int(found["rows"].sum()), **by_code,
            "value": int(found["value_minor"].sum())}  # fmt: skip


def _files(ledger: "Ledger") -> int:
    """Files with order lines: those of the tables beside them are left out."""
    return sum(one["source"] not in ledger.tables for one in ledger.inputs)


def by_source(ledger: "Ledger") -> list[Table]:
    """Rows and money by source and currency over the five states; nothing where there is one of each."""
    found = groups(ledger)
    found = found[found["currency"] != ""]
    pairs = found[["currency", "source"]].drop_duplicates()
    if len(pairs) < 2:
        return []
    lines, gaps = [], 0
    for code in currencies(found, ledger):
        here = found[found["currency"] == code]
        if here.empty:
            continue
        unit = 10 ** digits_of(code)
        sources = sorted(here["source"].unique())
        for name in sources:
            lines.append(_of(here[here["source"] == name], code, name, unit))
        came = round(ledger.totals["amount"][code]["in"] * unit)
        total = _of(here, code, "all sources", unit)
        gap = came - int(here["amount_minor"].sum())
        gaps += abs(gap)
        lines.append(total | {"came": came / unit, "gap": gap / unit})
    frame = pd.DataFrame(lines)
    digits = max(digits_of(code) for code in frame["currency"].unique())
    money = ["came", *STATES, "gap"]
    return [Table(
        "ledger_by_source",
        frame,
        "Every source and currency balances" if not gaps else "Money is missing between the source and the ledger",
        "Rows, and amounts in the currency that each was booked in, by source: what came in, and where it is now.",
        formats={"rows": "count"} | {column: f"money:{digits}" for column in money},
        labels={"currency": "Currency", "source": "Source", "rows": "Rows", "came": "Came in", "gap": "Difference"}
        | {state: state.capitalize() for state in STATES},
        note="What came in was added up while reading, by currency; the difference is to the five states.",
    )]  # fmt: skip


def _of(here: pd.DataFrame, code: str, source: str, unit: int) -> dict:
    by_state = {state: int(here.loc[here["state"] == state, "amount_minor"].sum()) / unit for state in STATES}
    came = int(here["amount_minor"].sum()) / unit
    return (
        {"currency": code, "source": source, "rows": int(here["rows"].sum()), "came": came}
        | by_state
        | {"gap": 0.0}
    )


def sources(ledger: "Ledger", section: "LedgerSection") -> list[Table | Sentence]:
    """What each source of lines is, and the tables beside them where there are any."""
    return [_line_sources(ledger, section), *_side_tables(ledger, section), _reading(ledger, section)]


def _reading(ledger: "Ledger", section: "LedgerSection") -> Table | Sentence:
    """How each source was read."""
    read = _read(ledger)
    said = {name: _read_as(one, read[name]["first"]) for name, one in section.by_name().items()}
    if len(said) == 1:
        return Sentence(f"It was read as {next(iter(said.values()))}.")
    alike: dict[str, list[str]] = {}
    for name, words in said.items():
        alike.setdefault(words, []).append(name)
    frame = pd.DataFrame({"sources": [listed(names) for names in alike.values()], "read_as": list(alike)})
    return Table(
        "ledger_reading",
        frame,
        f"The sources are read in {count(len(alike), 'way')}",
        "Format, clock and amounts, as the study describes them.",
        labels={"sources": "Sources", "read_as": "Read as"},
    )


def _line_sources(ledger: "Ledger", section: "LedgerSection") -> Table:
    read, known = _read(ledger), ledger.frames["sources"].set_index("source")
    placed = groups(ledger).groupby("source")["rows"].sum()
    lines = []
    for name, one in section.by_name().items():
        if not one.is_lines:
            continue
        days = known.loc[name] if name in known.index else None
        lines.append({
            "source": name,
            "holds": one.holds,
            "files": read[name]["files"],
            "rows": read[name]["rows"],
            "placed": int(placed.get(name, 0)),
            "first_day": numbers.NOT_APPLICABLE if days is None else days["first_day"],
            "last_day": numbers.NOT_APPLICABLE if days is None else days["last_day"],
            "complete_to": numbers.NOT_APPLICABLE if days is None else days["complete_to"],
            "why": "" if days is None else _WHY[days["why"]],
        })  # fmt: skip
    frame = pd.DataFrame(lines)
    lost = int((frame["rows"] - frame["placed"]).abs().sum())
    title = f"{count(frame['rows'].sum(), 'row')} of {count(len(frame), 'source')}, and every one has a state"
    return Table(
        "ledger_sources",
        frame,
        title if not lost else f"{count(lost, 'row')} of the sources have no state",
        "Rows counted while reading, and rows that have a state in the ledger; days of the rows that no rule took out.",
        formats={"files": "count", "rows": "count", "placed": "count", "first_day": "date", "last_day": "date", "complete_to": "date"},
        labels={"source": "Source", "holds": "Holds", "files": "Files", "rows": "Rows read", "placed": "Rows with a state",
                "first_day": "First day", "last_day": "Last day", "complete_to": "Complete to", "why": "Because"},
        note=f"All sources that go on are complete to {numbers.date_words(completeness_of(ledger.frames).cut_off)}."
        if len(frame) > 1 else None,
    )  # fmt: skip


def _side_tables(ledger: "Ledger", section: "LedgerSection") -> list[Table]:
    if not ledger.tables:
        return []
    read, lines, erased = _read(ledger), [], 0
    lost = {
        check.id: int(check.value or 0) for check in ledger.checks if check.id.startswith("ledger.table.")
    }
    for name, one in section.by_name().items():
        if name in ledger.tables:
            kept = int(ledger.tables[name].count().execute())
            rejected = lost.get(f"ledger.table.{name}", read[name]["rows"] - kept)
            lines.append({"source": name, "holds": one.holds, "files": read[name]["files"], "rows": read[name]["rows"],
                          "used": kept, "rejected": rejected})  # fmt: skip
            erased += read[name]["rows"] - kept - rejected
    frame = pd.DataFrame(lines)
    rejected = int(frame["rejected"].sum())
    wrong = [c.message for c in ledger.checks if c.id.startswith("ledger.table.") and c.status != "pass"]
    gone = [f"{count(erased, 'row')} of erased people {are(erased)} in none of them."] if erased else []
    short = listed(frame.loc[frame["rejected"] > 0, "source"]) if rejected else ""
    return [Table(
        "ledger_tables",
        frame,
        "Every row of the tables beside the orders can be used" if not rejected
        else f"{count(rejected, 'row')} of {short} cannot be used",
        "Rows of the sources that are no orders: read, used, and rejected because a field that must be there cannot be read.",
        formats={"files": "count", "rows": "count", "used": "count", "rejected": "count"},
        labels={"source": "Source", "holds": "Holds", "files": "Files", "rows": "Rows read", "used": "Used", "rejected": "Rejected"},
        note=" ".join([*wrong, *gone]) or None,
    )]  # fmt: skip


def _read(ledger: "Ledger") -> dict[str, dict]:
    """Per source ``files``, ``rows`` counted while reading, and the name of the first file."""
    found: dict[str, dict] = {}
    for one in ledger.inputs:
        here = found.setdefault(one["source"], {"files": 0, "rows": 0, "first": one["file"]})
        here["files"], here["rows"] = here["files"] + 1, here["rows"] + one["rows"]
    return found


def _read_as(one: "SourceSection", first: str) -> str:
    if one.database is not None:
        words = ["a database" if one.database.startswith("env:") else one.database.partition(":")[0]]
    elif one.format == "parquet" or (one.format == "auto" and Path(first).suffix == ".parquet"):
        words = ["Parquet"]
    else:
        sign = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}.get(one.delimiter, one.delimiter)
        words = [f"CSV in {one.encoding}, {sign} between columns"]
    if one.timezone:
        words.append(f"moments in UTC, days in {one.timezone}")
    if one.is_lines and one.amount_unit == "minor":
        words.append("amounts in minor units")
    if one.is_lines and one.amount_holds:
        words.append(f"amounts with {listed(one.amount_holds)}")
    return "; ".join(words)
