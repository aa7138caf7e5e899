"""The ledger's checks: does it tie to its source, and how much of the source could not be used."""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from clvkit.checks import Check
from clvkit.ledger.reasons import STATES, WORDS, hint
from clvkit.ledger.section import LedgerSection
from clvkit.numbers import percent

CHAPTER = "01_ledger"


MOST_NEGATIVE = 0.01  # refunds left out above this share of the money modelled are put up for review


@dataclass(frozen=True)
class Facts:
    """What was counted while a ledger was built; amounts in minor units of ``currency``."""

    currency: str
    minor_digits: int
    rows_in: int  # counted while reading, outside the engine
    rows: dict[str, int]  # by state, counted by the engine
    amount_in: int  # sum over all rows with a readable amount, before states were given
    amount: dict[str, int]  # by state
    amount_unreadable: int
    purchase_lines: int  # rows that the purchases say they were made of
    purchase_amount: int
    duplicate_rows: int
    rounded_rows: int
    rounding: Decimal  # what rounding to minor units added to the total, in major units
    reasons: dict[str, int]  # quarantined rows by reason
    reason_values: dict[str, list]  # some texts that broke each rule
    segment_changes: int
    negative_rows: int = 0  # excluded by ledger.negative_amounts
    negative_minor: int = 0
    notes: tuple[str, ...] = ()

    def money(self, minor: int) -> str:
        """An amount for a sentence: ``USD 1,234.56``."""
        sign, minor = "-" if minor < 0 else "", abs(minor)
        whole, rest = divmod(minor, 10**self.minor_digits)
        return f"{self.currency} {sign}{whole:,}" + (
            f".{rest:0{self.minor_digits}d}" if self.minor_digits else ""
        )


def ledger_checks(facts: Facts, section: LedgerSection, *, as_of: date, limit: date) -> list[Check]:
    """All checks of a ledger, in the order a reader meets them."""
    checks = [
        _rows_balance(facts),
        _money_balances(facts),
        *_controls(facts, section),
        _as_of(as_of, limit, section),
        _quarantine(facts, section),
        _duplicates(facts, section),
        *_negative(facts),
        _rounding(facts),
    ]
    if section.columns.segment:
        checks.append(_segments(facts))
    checks += [_check("ledger.note", "How the source was read", "info", note + ".") for note in facts.notes]
    return checks


def _check(id_: str, title: str, status: str, message: str, **more) -> Check:
    more.setdefault("severity", "info" if status == "info" else "warn")
    return Check(id_, title, status, message, chapter=CHAPTER, **more)


def _rows_balance(f: Facts) -> Check:
    total, gap = sum(f.rows.values()), f.rows_in - sum(f.rows.values())
    parts = ", ".join(f"{f.rows[s]:,} {s}" for s in STATES)
    return _check(
        "ledger.rows_balance",
        "Every source row is accounted for",
        "fail" if gap else "pass",
        f"{f.rows_in:,} rows were read and {total:,} are accounted for: {parts}.",
        value=gap,
        threshold=0,
        unit="rows",
        severity="stop",
        recommendation="Do not use the figures; rows were lost or doubled on the way." if gap else "",
    )


def _money_balances(f: Facts) -> Check:
    by_state, kept = sum(f.amount.values()), f.amount["used"] + f.amount["merged"]
    gap = abs(f.amount_in - by_state) + abs(kept - f.purchase_amount)
    lines_agree = f.purchase_lines == f.rows["used"] + f.rows["merged"]
    good = not gap and lines_agree
    unread = (
        f"; the amount of {count(f.amount_unreadable, 'row')} could not be read"
        if f.amount_unreadable
        else ""
    )
    return _check(
        "ledger.money_balances",
        "Every amount is accounted for",
        "pass" if good else "fail",
        f"Readable amounts add up to {f.money(f.amount_in)} in the source and to {f.money(by_state)} "
        f"over the five states; purchases hold {f.money(f.purchase_amount)} of {f.money(kept)} "
        f"used and merged{unread}.",
        value=gap / 10**f.minor_digits,
        threshold=0,
        unit=f.currency,
        severity="stop",
        recommendation="" if good else "Do not use the figures; money was lost or doubled on the way.",
    )


def _controls(f: Facts, section: LedgerSection) -> list[Check]:
    checks = []
    if section.control_total is not None:
        declared = int((section.control_total * 10**f.minor_digits).to_integral_value(ROUND_HALF_UP))
        gap = f.amount_in - declared
        words = (
            "which agrees with" if not gap else f"{f.money(abs(gap))} {'more' if gap > 0 else 'less'} than"
        )
        checks.append(
            _check(
                "ledger.control_total",
                "The source adds up to the declared total",
                "fail" if gap else "pass",
                f"The source adds up to {f.money(f.amount_in)}, {words} the declared {f.money(declared)}.",
                value=f.amount_in / 10**f.minor_digits,
                threshold=declared / 10**f.minor_digits,
                unit=f.currency,
                severity="stop",
                recommendation=_control_advice(f) if gap else "",
            )
        )
    if section.control_rows is not None:
        gap = f.rows_in - section.control_rows
        words = "as declared" if not gap else f"{abs(gap):,} {'more' if gap > 0 else 'fewer'} than declared"
        checks.append(
            _check(
                "ledger.control_rows",
                "The source has the declared number of rows",
                "fail" if gap else "pass",
                f"The source has {count(f.rows_in, 'row')}, {words} ({section.control_rows:,}).",
                value=f.rows_in,
                threshold=section.control_rows,
                unit="rows",
                severity="stop",
                recommendation="Ask for the extract again, or correct ledger.control_rows." if gap else "",
            )
        )
    if not checks:
        checks.append(
            _check(
                "ledger.control_total",
                "The source adds up to the declared total",
                "info",
                "No control total was declared, so completeness of the extract was not tested.",
                recommendation="Set ledger.control_total and ledger.control_rows from the system that the "
                "extract came from.",
            )
        )
    return checks


def _control_advice(f: Facts) -> str:
    unread = (
        f"{count(f.amount_unreadable, 'row')} with an unreadable amount may explain it. "
        if f.amount_unreadable
        else ""
    )
    return (
        f"{unread}Find the missing or extra rows, or correct ledger.control_total, before using the figures."
    )


def _as_of(as_of: date, limit: date, section: LedgerSection) -> Check:
    days = (as_of - limit).days
    until = "the extract was made" if section.extracted else "today"
    if days > 0:
        words = f"The as-of date {as_of} lies {count(days, 'day')} after " + (
            f"the extract of {limit}" if section.extracted else f"today, {limit}"
        )
        return _check(
            "ledger.as_of",
            "The extract reaches the as-of date",
            "fail",
            words + ": those days are silent only "
            "because nobody looked, and customers would be taken for lost.",
            value=days,
            threshold=0,
            unit="days",
            severity="stop",
            recommendation=f"Use an as-of date no later than {limit}, or a later extract.",
        )
    return _check(
        "ledger.as_of",
        "The extract reaches the as-of date",
        "pass",
        f"The as-of date {as_of} is not after the day {until}.".replace("day today", "present day"),
        value=days,
        threshold=0,
        unit="days",
        severity="stop",
    )


def _quarantine(f: Facts, section: LedgerSection) -> Check:
    held, share = f.rows["quarantined"], f.rows["quarantined"] / f.rows_in
    limit = section.max_quarantined_share
    status = "fail" if share > limit else "review" if held else "pass"
    if not held:
        message = f"None of {count(f.rows_in, 'row')} had to be put into quarantine."
    else:
        why = "; ".join(
            f"{n:,}: {WORDS[r]}" for r, n in sorted(f.reasons.items(), key=lambda i: (-i[1], i[0]))
        )
        message = f"{held:,} of {count(f.rows_in, 'row')} ({percent(share, 2)}) {'is' if held == 1 else 'are'} in quarantine ({why})."
    worst = max(f.reasons, key=lambda r: (f.reasons[r], r), default="")
    advice = hint(worst, f.reason_values.get(worst, []), section) if held else ""
    return _check(
        "ledger.quarantine",
        "Few rows had to be set aside",
        status,
        message,
        value=share,
        threshold=limit,
        unit="share of rows",
        severity="stop",
        recommendation=advice[:1].upper() + advice[1:] + "." if advice else "",
    )


def _duplicates(f: Facts, section: LedgerSection) -> Check:
    what = (
        "has a line id seen before" if section.columns.line_id else "repeats an earlier row in every column"
    )
    title = "Copies of rows"
    if not f.duplicate_rows:
        return _check("ledger.duplicates", title, "pass", f"No row {what}.", value=0, unit="rows")
    many = what.replace("has ", "have ", 1).replace("repeats", "repeat") if f.duplicate_rows > 1 else what
    policy = "are kept as purchases" if section.duplicate_lines == "keep" else "are excluded"
    advice = (
        "Set ledger.duplicate_lines: drop only if copies are an accident of the export: rows of different products can "
        "look alike where the columns do not name the product."
        if section.duplicate_lines == "keep"
        else "Set ledger.duplicate_lines: keep if two equal rows are two sales."
    )
    return _check(
        "ledger.duplicates",
        title,
        "info",
        f"{count(f.duplicate_rows, 'row')} {many}; by ledger.duplicate_lines, copies {policy}.",
        value=f.duplicate_rows,
        unit="rows",
        recommendation=advice,
    )


def _negative(f: Facts) -> list[Check]:
    """Refunds that policy leaves out make the value too high: say by how much, where it matters."""
    rows, minor = f.negative_rows, -f.negative_minor
    received = f.amount["used"] + f.amount["merged"]
    if not rows or received <= 0:
        return []
    share = minor / received
    return [
        _check(
            "ledger.negative",
            "Refunds left out",
            "review" if share > MOST_NEGATIVE else "info",
            f"{count(rows, 'row')} with a negative amount, {f.money(minor)} in all, {'is' if rows == 1 else 'are'} "
            f"left out by ledger.negative_amounts: {share:.1%} of the money that is modelled.",
            value=share,
            threshold=MOST_NEGATIVE,
            unit="share of the money modelled",
            recommendation="Revenue, and with it the value, is too high by about that share. Net refunds against "
            "their orders in the source before the value is used for money decisions."
            if share > MOST_NEGATIVE
            else "",
        )
    ]


def _rounding(f: Facts) -> Check:
    if not f.rounded_rows:
        message = f"No amount has more decimals than {f.currency} has ({f.minor_digits})."
    else:
        message = (
            f"{count(f.rounded_rows, 'amount')} had more decimals than {f.currency} has ({f.minor_digits}) "
            f"and {'was' if f.rounded_rows == 1 else 'were'} rounded half up, which changed the total by "
            f"{f.currency} {f.rounding.normalize():+,f}."
        )
    return _check(
        "ledger.rounding",
        "Amounts in whole minor units",
        "info",
        message,
        value=float(f.rounding),
        unit=f.currency,
    )


def _segments(f: Facts) -> Check:
    message = (
        f"{count(f.segment_changes, 'customer')} changed segment; the segment of the first purchase counts."
        if f.segment_changes
        else "No customer changed segment."
    )
    return _check(
        "ledger.segments",
        "Customers stay in one segment",
        "info",
        message,
        value=f.segment_changes,
        unit="customers",
    )


def count(number: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
