"""Look at a file or table never seen before, and propose a study for it with every doubt marked."""

import json
import re
import textwrap
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import ibis.expr.types as ir

from clvkit.errors import DataError, StudyError
from clvkit.ledger.detect import ask
from clvkit.ledger.quality import count
from clvkit.ledger.section import LedgerColumns, LedgerSection
from clvkit.numbers import percent
from clvkit.propose_days import last_complete_day
from clvkit.propose_look import Column, Source, look_at_database, look_at_files, look_at_table
from clvkit.propose_roles import find_roles, not_sales

_DATABASE = re.compile(r"(duckdb|sqlite|env):|spark$|\w+://")  # as against a file
_SIGNS = {"€": "EUR", "£": "GBP", "₹": "INR", "$": "USD", "¥": "JPY"}
_SHARED_SIGNS = {"$": "the US, Canadian, Australian and other dollars", "¥": "the yen and the yuan"}
_TEXTS = {
    "customer": "names the customer",
    "date": "day of the purchase",
    "amount": "in the currency above",
    "quantity": "pieces; the amount of a row is quantity x price",
    "price": "of one piece",
    "order": "identifies the order",
    "line_id": "identifies a source line",
    "product": "what was bought",
    "currency": "ISO 4217 code of the row's amount",
    "segment": "to report by",
}


@dataclass(frozen=True)
class Proposal:
    """A proposed study.

    ``yaml`` is its text, ready to save; ``unsure`` has what is marked ``# UNSURE`` in it, each with its key;
    ``columns`` the column found for each role, also for roles that the study has no field for.
    """

    yaml: str
    unsure: tuple[str, ...]
    columns: dict[str, str]


def write_proposal(data: "Path | str | ir.Table", to: Path | None = None, relation: str | None = None) -> str:
    """Propose a study, save it where ``to`` says, and return what to print: the study, or what to look at.

    Raises
    ------
    StudyError : ``to`` exists already, or cannot be written.
    DataError : the data cannot be read, or have no columns for a study.
    """
    if to is None:
        return propose_study(data, relation=relation).yaml
    to = Path(to)
    if to.exists():
        raise _exists(to)
    proposal = propose_study(data, base=to.parent, relation=relation)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with open(to, "x", encoding="utf-8") as file:
            file.write(proposal.yaml)
    except FileExistsError:
        raise _exists(to) from None
    except OSError as error:
        raise StudyError(
            f"{to} cannot be written: {error.strerror}", place=str(to), fix="name another file"
        ) from error
    asked = "".join(f"\n  {item}" for item in proposal.unsure)
    return (
        f"{to} is written. Settle what is marked UNSURE in it ({len(proposal.unsure)}):{asked}\n"
        f"Then: clv check {to}"
    )


def _exists(to: Path) -> StudyError:
    return StudyError(
        f"{to} exists already and is not overwritten",
        place=str(to),
        fix="give --to another file, or move this one",
    )


def propose_study(
    data: "Path | str | ir.Table",
    name: str | None = None,
    base: Path | None = None,
    relation: str | None = None,
) -> Proposal:
    """Propose a study for data never seen before.

    Parameters
    ----------
    data : a CSV or Parquet file, a folder or pattern of them, a database as a study names it (``sqlite:FILE``,
        ``duckdb:FILE``, ``env:NAME``, ``spark``), or an Ibis table.
    name : of the study; made from the data's by default.
    base : folder the study will lie in, from which its path counts; the current folder by default, and the study then
        says so.
    relation : the table or view of a database.

    Raises
    ------
    DataError : the data cannot be read, or no column can be the customer, the date or the amount; says what
        was found in each.
    """
    printed, base = base is None, Path(base or ".")
    if isinstance(data, ir.Table):
        source = look_at_table(data, base)
    elif relation is not None or (_DATABASE.match(str(data)) and not Path(data).exists()):
        source = look_at_database(str(data), relation, base)
    else:
        source = look_at_files(Path(data), base)
    if not source.columns or not source.columns[0].values:
        raise DataError(f"{source.name} has no rows", place=source.name, fix="check that the export finished")
    roles = find_roles(source)
    return _written(source, roles, name, printed)


def _date_format(source: Source, column: Column) -> str | None:
    """The format for the study's field, with what is not sure of it; the one that days are read by here."""
    if column.kind == "date":
        return None
    dates, key = column.dates, "ledger.date_format"
    best = dates.rivals[0]
    if dates.ambiguous:
        question = ask(dates, column.name)
        source.doubt(key, f"{question.message}. {question.fix}".replace("set ledger.date_format to", "Write"))
    elif best.read < dates.values:
        missed = f"{dates.values - best.read:,} of {dates.values:,} dates are not read, such as {', '.join(best.unread)}"
        source.doubt(key, missed)
    if dates.two_digit_years:
        source.doubt(key, f"years have two digits; the dates are read as {best.first} to {best.last}")
    return best.format


def _currency(source: Source, roles: dict[str, Column]) -> str:
    """The study's currency from a column or from signs in the amounts; XXX (no currency) where neither tells."""
    money = roles.get("amount") or roles["price"]
    if "currency" in roles:
        common = roles["currency"].counts.most_common()
        if len(common) > 1:
            shown = ", ".join(f"{code} ({n:,} rows)" for code, n in common[:5])
            source.doubt("currency", f"the rows are in several: {shown}. Write the one to report in")
        return common[0][0]
    signs = [] if money.kind else money.numbers.currencies
    if signs:
        shown = " ".join(signs)
        key = "ledger.columns.amount" if "amount" in roles else "ledger.columns.price"
        source.doubt(key, f"its numbers are written with {shown}; `clv check` says whether they are read")
        code = _SIGNS.get(signs[0], signs[0])
        if signs[0] in _SHARED_SIGNS:
            source.doubt("currency", f"{signs[0]} stands for {_SHARED_SIGNS[signs[0]]}")
        if len(signs) > 1:
            source.doubt("currency", f"the amounts have several signs: {shown}")
        from babel.numbers import list_currencies

        if code in list_currencies():
            return code
    source.doubt(
        "currency", "no column or sign tells it. Write its ISO 4217 code, such as EUR or USD, for XXX"
    )
    return "XXX"


def _money_settings(source: Source, roles: dict[str, Column]) -> dict[str, Any]:
    """Decimal sign and sign between thousands; doubts about the amounts and customers are noted."""
    role = "amount" if "amount" in roles else "price"
    money, key = roles[role], f"ledger.columns.{role}"
    refunds = roles["quantity"] if role == "price" else money
    below = sum(n for v, n in refunds.counts.items() if v.startswith("-"))
    settings: dict[str, Any] = {}
    if guests := len(roles["customer"].values) - roles["customer"].there:
        share = percent(guests / len(roles["customer"].values))
        settings["guests"] = "quarantine"
        source.doubt(
            "ledger.guests",
            f"{count(guests, 'row')} ({share}) {'has' if guests == 1 else 'have'} no customer. If they are guests, write "
            "exclude: their money is reported, and valued as nobody's",
        )
    if below:
        settings["negative_amounts"] = "exclude"
        source.doubt(
            "ledger.negative_amounts",
            f"{below:,} of {count(refunds.there, 'row')} {'is' if below == 1 else 'are'} below zero. If they are refunds, "
            "write net: they are taken off the orders they belong to; left out, the value is too high by them",
        )
    if role == "price" and not {"quantity", "price"} <= set(LedgerColumns.model_fields):
        text = f"the amount is {refunds.name} x {money.name}; add a column with that product to the source"
        source.doubt("ledger.columns.amount", text)
    if money.kind:
        return settings
    numbers = money.numbers
    if numbers.ambiguous:
        source.doubt(
            "ledger.decimal", f"{numbers.example} may be a thousand and more, or a number below a thousand"
        )
    if numbers.unread:
        source.doubt(key, f"not all values are numbers: {', '.join(repr(v) for v in numbers.unread)}")
    settings["decimal"] = numbers.decimal
    return settings | ({"thousands": numbers.thousands} if numbers.thousands else {})


def _takes_null(model: type, name: str) -> bool:
    return type(None) in get_args(model.model_fields[name].annotation)


def _written(source: Source, roles: dict[str, Column], name: str | None, printed: bool) -> Proposal:
    form = _date_format(source, roles["date"])
    first, last, why = last_complete_day(source, roles["date"], roles["customer"], form)
    source.doubt("as_of", why)
    settings = source.settings | _money_settings(source, roles)
    currency = _currency(source, roles)
    source.doubt(
        "value.margin", "ASSUMED, the data cannot tell: fraction of an amount that is contribution margin"
    )
    source.doubt("value.annual_discount_rate", "ASSUMED, the data cannot tell: effective rate a year")
    stem = source.name.split(".")[0] if "*" not in source.name else "study"
    slug = (
        name
        or re.sub(r"[^a-z0-9_-]+", "_", unicodedata.normalize("NFKD", stem).lower()).strip("_")
        or "study"
    )
    columns: dict[str, str | None] = {r: c.name for r, c in roles.items() if r in LedgerColumns.model_fields}
    if "amount" not in roles and not {"quantity", "price"} <= set(columns):
        columns["amount"] = roles["price"].name
    for key in [
        k for k in source.unsure if k.startswith("ledger.columns.") and k.split(".")[-1] not in columns
    ]:
        del source.unsure[
            key
        ]  # of columns that were passed over in the end, such as a price beside an amount
    unused = [c.name for c in source.columns if c.name not in {r.name for r in roles.values()}]
    text = _Text(source.unsure)
    text.say(f"Proposed by `clv new` from {source.name}.")
    text.say(
        "Each UNSURE is a guess or a question about the line below it: settle it, and take the comment away."
    )
    text.say("`clv check` on this file says what would be used and, line by line, what is wrong.")
    if printed and {"path", "database"} & set(settings):
        text.say(
            "Its paths count from the folder that a study lies in, and are written for the current one: save it here, or let "
            "`clv new ... --to FILE` write it elsewhere."
        )
    text.gap()
    text.line("name", slug, "folder of its runs: small letters, digits, - and _")
    text.line("title", stem if name is None else name)
    text.line("currency", currency, "ISO 4217 code of the amounts")
    text.line("as_of", last, "purchases up to the end of this day are known, later ones are held out")
    text.section("ledger", "where the purchases lie and how their rows are read")
    notes = {
        "database": "a file counts from this one's folder",
        "relation": "the table or view",
        "path": "file, folder or pattern (sales/*.csv), relative to this file",
        "encoding": "of CSV files",
        "delimiter": "between the fields of a CSV row",
        "header": "the first row names the columns"
        if source.named
        else "no row names the columns: they are 1, 2, 3 ...",
        "decimal": "decimal mark of the amounts",
        "guests": "quarantine or exclude rows without a customer",
        "negative_amounts": "net, exclude or quarantine",
        "thousands": "mark between groups of three digits",
    }
    order = [f for f in ("database", "relation", *LedgerSection.model_fields) if f in settings]
    policies = [key for key in order if key in ("guests", "negative_amounts")]
    for key in dict.fromkeys(order):
        if key not in policies:
            text.line(f"ledger.{key}", settings[key], notes.get(key, ""))
    text.section("ledger.columns", "which column holds what")
    for role in [r for r in _TEXTS if r in columns]:
        text.line(f"ledger.columns.{role}", columns[role], _TEXTS[role])
    if unused:
        shown = ", ".join(unused[:20]) + (", ..." if len(unused) > 20 else "")
        text.say(f"not used: {shown}", 4)
    if hint := not_sales(source, roles):
        text.say(hint, 4)
    if form:
        asked = roles["date"].dates.ambiguous and _takes_null(LedgerSection, "date_format")
        text.line("ledger.date_format", None if asked else form, "strptime codes")
    for key in policies:
        text.line(f"ledger.{key}", settings[key], notes[key])
    text.section("value", "")
    text.line("value.margin", 0.30, "before tax; 0.30 is 30 %")
    text.line("value.annual_discount_rate", 0.10, "nominal and before tax; 0.10 is 10 %")
    text.line("value.horizon_months", 36, "how far ahead purchases count, in months")
    if (last - first).days >= 365:
        origin = last - timedelta(days=(last - first).days // 3)
        text.section("backtest", "")
        text.line(
            "backtest.origins", [origin], "day to forecast from with what was known then: after two thirds"
        )
    return Proposal(text.done(), tuple(text.marked), {role: column.name for role, column in roles.items()})


class _Text:
    """The YAML of a study, line by line, each with its doubts above it and its comment behind it."""

    def __init__(self, unsure: dict[str, list[str]]):
        self._unsure, self._lines, self.marked = unsure, [], []

    def say(self, text: str, indent: int = 0) -> None:
        text = " ".join(text.split())
        pad = " " * indent
        self._lines += textwrap.wrap(text, 110, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}#   ")

    def gap(self) -> None:
        self._lines.append("")

    def section(self, key: str, comment: str) -> None:
        indent = 2 * key.count(".")
        if not indent:
            self.gap()
        self._put(" " * indent + f"{key.split('.')[-1]}:", comment)

    def line(self, key: str, value: Any, comment: str = "") -> None:
        indent = 2 * key.count(".")
        for doubt in self._unsure.get(key, ()):
            # One doubt is one comment, whatever line ends the names of columns have in them.
            self.say(f"UNSURE: {doubt}", indent)
            self.marked.append(f"{key}: {doubt}")
        self._put(" " * indent + f"{key.split('.')[-1]}: {_scalar(value)}", comment)

    def _put(self, line: str, comment: str) -> None:
        self._lines.append(f"{line:<31} # {comment}" if comment else line)

    def done(self) -> str:
        """The text. A doubt without a line to stand above would be lost: that is a mistake of this module."""
        lost = [d for key, doubts in self._unsure.items() for d in doubts if f"{key}: {d}" not in self.marked]
        if lost:
            raise AssertionError(f"doubts without a line of the study: {lost}")
        return "\n".join(self._lines) + "\n"


def _scalar(value: Any) -> str:
    """A value as YAML; text that could be taken for something else is quoted."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    word = re.fullmatch(r"[A-Za-z_./][\w./-]*", value, re.ASCII)
    if (
        word
        and value.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
        and value != "."
    ):
        return value
    return json.dumps(value, ensure_ascii=False)
