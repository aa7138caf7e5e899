"""The ledger beside the books: what accounting booked by month, and where the two differ.

A difference that rows set aside can explain (in quarantine, left out by policy, without a readable day or amount) is
told by the rule that set them aside; what no such row explains is this check's own finding. Orders that were cancelled on
their day, and refunds beyond their orders, may stand otherwise in the books: a difference of their size is explained, too.
"""

from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.errors import StudyError
from clvkit.ledger.currencies import digits_of
from clvkit.ledger.policies import BooksLine, BooksSection
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.tables import SideTable
from clvkit.rules import did_you_mean, listed

#: Reasons of rows that are sales or refunds all the same, and are in the books.
_IN_BOOKS = ("guest", "customer_missing", "erased", "returned_in_full", "amount_negative", "amount_zero")
_COPIES = ("overlap", "duplicate_line")
_KEYS = ["comparison", "month", "currency"]
BOOKS_COLUMNS = (*_KEYS, "booked_minor", "ledger_minor", "difference_minor", "low_minor", "high_minor", "set_aside",
                 "status")  # fmt: skip


def books_frame(
    lines: ir.Table, tables: Mapping[str, SideTable], section: LedgerSection, currency: str, as_of: date
) -> pd.DataFrame | None:
    """What is booked and what the ledger holds, by comparison, month and currency; None without anything to compare.

    Parameters
    ----------
    lines : with ``value_minor``, and ``booked_day`` where refunds were netted: both sides go by the day of booking.
    tables : the tables beside the orders, by name; those that hold totals are the books.

    Returns
    -------
    ``comparison, month`` (first day), ``currency``; in minor units ``booked_minor, ledger_minor`` (rows of guests
    included, copies not), ``difference_minor`` (ledger less books) and the bounds ``low_minor, high_minor`` that it can
    have with the ``set_aside`` rows counted or not; ``status``: ``agrees``, ``explained`` (within the bounds),
    ``differs``, ``open`` (not over by ``as_of``), ``not covered`` (outside the months of the sources).

    Raises
    ------
    StudyError : a comparison names an account or a source that there is not.
    """
    totals = [one.rows for one in tables.values() if one.holds == "totals"]
    if not totals or not section.books.compare:
        return None
    booked, rows, parts = _booked(totals), _with_doubts(lines), []
    for name, line in section.books.compare.items():
        _refuse_unknown(name, line, section, set(booked["account"]))
        mine = booked[booked["account"].isin(line.accounts)]
        # Books without currencies are in the study's.
        stated = bool(mine["currency"].notna().all())
        theirs = _sums(rows.filter(rows.source.isin(line.sources)), line, stated, currency)
        mine = mine.assign(currency=mine["currency"].fillna(currency))
        parts.append(_side_by_side(mine, theirs, line).assign(comparison=name))
    found = pd.concat(parts, ignore_index=True)
    found["status"] = _status(found, section.books, as_of)
    return found[list(BOOKS_COLUMNS)].sort_values(_KEYS, ignore_index=True)


def _refuse_unknown(name: str, line: BooksLine, section: LedgerSection, accounts: set[str]) -> None:
    sources = {one for one, source in section.by_name().items() if source.is_lines}
    for what, named, known in (("accounts", line.accounts, accounts), ("sources", line.sources, sources)):
        for one in named:
            if one not in known:
                whose = "the general ledger has" if what == "accounts" else "are sources of orders or refunds"
                raise StudyError(
                    f"ledger.books.compare.{name}.{what} names {one!r}, which is none of those that {whose}",
                    place=f"ledger.books.compare.{name}.{what}",
                    fix=did_you_mean(one, known) or f"use one of {listed(sorted(known)[:20])}",
                )


def _booked(totals: list[ir.Table]) -> pd.DataFrame:
    """``account, currency`` (null where not stated), ``month, minor`` of every row of the books."""
    rows = ibis.union(*totals) if len(totals) > 1 else totals[0]
    said = rows.select("account", "currency", "amount", on="date").to_pyarrow().to_pylist()
    frame = pd.DataFrame(said, columns=["account", "currency", "amount", "on"])
    frame["month"] = _months(frame["on"])
    frame["minor"] = [
        int((Decimal(amount) * 10 ** digits_of(code)).to_integral_value(ROUND_HALF_UP))
        for amount, code in zip(frame["amount"], frame["currency"], strict=True)
    ]
    return frame[["account", "currency", "month", "minor"]]


def _months(days: pd.Series) -> pd.Series:
    return pd.to_datetime(days).dt.to_period("M").dt.to_timestamp()


def _with_doubts(lines: ir.Table) -> ir.Table:
    """Lines with ``on``, the day of booking, and ``doubtful``: rows that count, and that the books may have otherwise."""
    lines = lines.mutate(on=lines.booked_day if "booked_day" in lines.columns else lines.day)
    keys = ["space", "order_id", "currency"]
    named = lines.filter((lines.reason.isnull() | lines.reason.isin(_IN_BOOKS)) & lines.order_id.notnull())
    orders = named.group_by(keys).agg(
        left=named.amount_minor.sum(),
        sold=named.amount_minor.max(),
        first=named.on.min(),
        last=named.on.max(),
    )
    orders = orders.filter((orders.left <= 0) & (orders.sold > 0))
    orders = orders.filter((orders.left < 0) | (orders["first"] == orders["last"]))
    both = lines.left_join(orders.select(*keys, beyond=orders.left < 0), keys)
    doubtful = both.beyond.notnull() & (~both.beyond | (both.amount_minor < 0))
    return both.mutate(doubtful=doubtful.fill_null(False)).select(*lines.columns, "doubtful")


def _sums(lines: ir.Table, line: BooksLine, stated: bool, currency: str) -> pd.DataFrame:
    """The ledger's side, added up: ``counts, doubtful, currency, month, file_no, rows, minor, unreadable, largest``.

    ``counts``: the rows are in the books. Currency and month are null where a row does not tell them.
    """
    reason, minor = lines.reason.fill_null(""), lines.amount_minor if stated else lines.value_minor
    told = reason.notin(("currency_unknown", "row_unparseable"))
    dated = lines.on.notnull() & ~reason.startswith("date_")
    rows = lines.select(
        "file_no",
        "doubtful",
        minor=minor,
        reason=reason,
        currency=ibis.ifelse(told, lines.currency if stated else ibis.literal(currency), ibis.null("string")),
        month=ibis.ifelse(dated, lines.on.truncate("M").cast("date"), ibis.null("date")),
        counts=reason.isin(("", *_IN_BOOKS)) & minor.notnull() & told & dated,
        below=(minor < 0).fill_null(False),
    ).filter(reason.notin(_COPIES))
    if line.rows != "both":
        rows = rows.filter((rows.below == ibis.literal(line.rows == "refunds")) | rows.minor.isnull())
    grouped = rows.group_by("counts", "doubtful", "currency", "month", "file_no", "below").agg(
        rows=rows.count().cast("int64"),
        minor=rows.minor.sum().fill_null(0).cast("int64"),
        unreadable=rows.minor.isnull().sum().fill_null(0).cast("int64"),
        largest=rows.minor.abs().max().fill_null(0).cast("int64"),
    )
    found = grouped.to_pyarrow().to_pandas()
    return found.assign(month=_months(found["month"]))


def _side_by_side(booked: pd.DataFrame, sums: pd.DataFrame, line: BooksLine) -> pd.DataFrame:
    """Both sides by month and currency, and what the rows set aside could add to the ledger's or take from it."""
    cell = ["month", "currency"]
    counted = sums[sums["counts"]]
    ours = counted.groupby(cell).agg(ledger_minor=("minor", "sum"), largest=("largest", "max"))
    both = booked.groupby(cell)["minor"].sum().rename("booked_minor").to_frame().join(ours, how="outer")
    both = both.fillna(0).astype({name: "int64" for name in ("booked_minor", "ledger_minor", "largest")})
    # What counts and is in doubt may be missing from the books: there it would be less by its amount.
    doubts = counted[counted["doubtful"]].assign(minor=lambda rows: -rows["minor"])
    aside = pd.concat([sums[~sums["counts"]], doubts])
    aside = _aside(aside, _spans(counted), both.reset_index(), -1 if line.rows == "refunds" else 1)
    both = both.join(aside).fillna({"up": 0, "down": 0, "set_aside": 0})
    gap = both["ledger_minor"] - both["booked_minor"]
    first, last = counted["month"].min(), counted["month"].max()
    months = both.index.get_level_values("month")
    return both.assign(
        difference_minor=gap,
        low_minor=gap + both["down"].astype("int64"),
        high_minor=gap + both["up"].astype("int64"),
        set_aside=both["set_aside"].astype("int64"),
        covered=(months >= first) & (months <= last),
    ).reset_index()


def _spans(counted: pd.DataFrame) -> pd.DataFrame:
    """``file_no, first, last``: the months of a file."""
    return counted.groupby("file_no")["month"].agg(first="min", last="max").reset_index()


def _aside(rows: pd.DataFrame, spans: pd.DataFrame, cells: pd.DataFrame, sign: int) -> pd.DataFrame:
    """``up, down, set_aside`` by month and currency: a row that may be of several cells is held against each."""
    rows = rows.merge(spans, on="file_no", how="left")
    rows = rows.assign(first=rows["month"].fillna(rows["first"]), last=rows["month"].fillna(rows["last"]))
    pairs = cells.merge(
        rows.rename(columns={"month": "of", "currency": "code", "largest": "top"}), how="cross"
    )
    pairs = pairs[pairs["month"].between(pairs["first"], pairs["last"])]
    pairs = pairs[pairs["code"].isna() | (pairs["code"] == pairs["currency"])]
    # An amount that cannot be read is taken for at most the largest of its month.
    unread = sign * pairs["unreadable"] * pairs["largest"]
    known = pairs["minor"]
    pairs = pairs.assign(
        up=known.clip(lower=0) + unread.clip(lower=0), down=known.clip(upper=0) + unread.clip(upper=0)
    )
    return (
        pairs.groupby(["month", "currency"])[["up", "down", "rows"]]
        .sum()
        .rename(columns={"rows": "set_aside"})
    )


def _status(found: pd.DataFrame, section: BooksSection, as_of: date) -> pd.Series:
    allowed = section.tolerance * found["booked_minor"].abs()
    ends = found["month"] + pd.offsets.MonthEnd(0)
    status = pd.Series("differs", index=found.index)
    status[(found["low_minor"] <= allowed) & (found["high_minor"] >= -allowed)] = "explained"
    status[found["difference_minor"].abs() <= allowed] = "agrees"
    status[~found["covered"]] = "not covered"
    status[ends > pd.Timestamp(as_of)] = "open"
    return status
