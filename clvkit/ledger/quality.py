"""The ledger's checks: does it tie to its source, and how much of the source could not be used."""

from datetime import date
from decimal import ROUND_HALF_UP

from clvkit.checks import Check
from clvkit.ledger.facts import Control, Facts
from clvkit.ledger.reasons import STATES, hint, meaning
from clvkit.ledger.section import LedgerSection
from clvkit.numbers import date_words, percent
from clvkit.rules import listed

CHAPTER = "01_ledger"


MOST_NEGATIVE = 0.01  # refunds left out above this share of the money modelled are put up for review


def ledger_checks(facts: Facts, section: LedgerSection, *, as_of: date, limit: date) -> list[Check]:
    """All checks of a ledger, in the order a reader meets them."""
    checks = [
        _rows_balance(facts),
        *(_money_balances(facts, money.currency) for money in facts.money),
        *_controls(facts),
        _as_of(as_of, limit, section),
        _quarantine(facts, section),
        _duplicates(facts, section),
        *_overlaps(facts, section),
        *_negative(facts),
        _rounding(facts),
    ]
    if facts.segmented:
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


def _money_balances(f: Facts, currency: str) -> Check:
    """One currency: what came in is what the states hold; for the study's own, what is kept is what purchases hold."""
    money = next(one for one in f.money if one.currency == currency)
    own, by_state = money is f.own, sum(money.by_state.values())
    gap = abs(money.came_in - by_state) + (abs(f.kept_value - f.purchase_amount) if own else 0)
    good = not gap and (not own or f.purchase_lines == f.rows["used"] + f.rows["merged"])
    message = (
        f"Readable amounts add up to {money.words(money.came_in)} in the source and to {money.words(by_state)} "
        "over the five states"
    )
    if own:
        converted = ", other currencies converted" if len(f.money) > 1 else ""
        message += (
            f"; purchases hold {money.words(f.purchase_amount)} of {money.words(f.kept_value)} used and "
            f"merged{converted}"
        )
        if f.amount_unreadable:
            message += f"; the amount of {count(f.amount_unreadable, 'row')} could not be read"
    return _check(
        "ledger.money_balances" if own else f"ledger.money_balances.{currency}",
        "Every amount is accounted for" + (f", in {currency}" if len(f.money) > 1 else ""),
        "pass" if good else "fail",
        message + ".",
        value=gap / 10**money.digits,
        threshold=0,
        unit=money.currency,
        severity="stop",
        recommendation="" if good else "Do not use the figures; money was lost or doubled on the way.",
    )


def _controls(f: Facts) -> list[Check]:
    """Each source against the rows and the total that the study declares for it."""
    single = len(f.controls) == 1
    checks = []
    for control in f.controls:
        ending, of = ("", "The source") if single else (f".{control.source}", f"The source {control.source}")
        if control.declared_total is not None:
            checks.append(_control_total(f, control, ending, of))
        if control.declared_rows is not None:
            checks.append(_control_rows(control, ending, of))
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


def _control_total(f: Facts, control: Control, ending: str, of: str) -> Check:
    money = control.money
    declared = int((control.declared_total * 10**money.digits).to_integral_value(ROUND_HALF_UP))
    gap = money.came_in - declared
    words = (
        "which agrees with" if not gap else f"{money.words(abs(gap))} {'more' if gap > 0 else 'less'} than"
    )
    alone = f" in {money.currency}" if control.several_currencies else ""
    return _check(
        f"ledger.control_total{ending}",
        f"{of} adds up to the declared total",
        "fail" if gap else "pass",
        f"{of} adds up to {money.words(money.came_in)}{alone}, {words} the declared {money.words(declared)}.",
        value=money.came_in / 10**money.digits,
        threshold=declared / 10**money.digits,
        unit=money.currency,
        severity="stop",
        recommendation=_control_advice(f) if gap else "",
    )


def _control_rows(control: Control, ending: str, of: str) -> Check:
    gap = control.rows - control.declared_rows
    words = "as declared" if not gap else f"{abs(gap):,} {'more' if gap > 0 else 'fewer'} than declared"
    return _check(
        f"ledger.control_rows{ending}",
        f"{of} has the declared number of rows",
        "fail" if gap else "pass",
        f"{of} has {count(control.rows, 'row')}, {words} ({control.declared_rows:,}).",
        value=control.rows,
        threshold=control.declared_rows,
        unit="rows",
        severity="stop",
        recommendation="Ask for the extract again, or correct ledger.control_rows." if gap else "",
    )


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
    title, extracted = "The extract reaches the as-of date", _extract_of(limit, section)
    if days > 0:
        words = f"The as-of date {date_words(as_of)} lies {count(days, 'day')} after {extracted or 'today'}"
        words += f" of {date_words(limit)}" if extracted else f", {date_words(limit)}"
        return _check(
            "ledger.as_of",
            title,
            "fail",
            words + ": those days are silent only "
            "because nobody looked, and customers would be taken for lost.",
            value=days,
            threshold=0,
            unit="days",
            severity="stop",
            recommendation=f"Use an as-of date no later than {date_words(limit)}, or a later extract.",
        )
    until = f"that of {extracted}, {date_words(limit)}" if extracted else "the present day"
    return _check(
        "ledger.as_of",
        title,
        "pass",
        f"The as-of date {date_words(as_of)} is not after {until}.",
        value=days,
        threshold=0,
        unit="days",
        severity="stop",
    )


def _extract_of(limit: date, section: LedgerSection) -> str:
    """The extract that ends first, in words; empty where ``limit`` is no extract's day, but today."""
    lines = {name: one for name, one in section.by_name().items() if one.is_lines}
    ending = [name for name, one in lines.items() if one.extracted == limit]
    if not ending:
        return ""
    return "the extract" if len(ending) == len(lines) else f"the extract of {listed(ending)}"


def _quarantine(f: Facts, section: LedgerSection) -> Check:
    held, share = f.rows["quarantined"], f.rows["quarantined"] / f.rows_in
    limit = section.max_quarantined_share
    status = "fail" if share > limit else "review" if held else "pass"
    if not held:
        message = f"None of {count(f.rows_in, 'row')} had to be put into quarantine."
    else:
        why = "; ".join(
            f"{n:,}: {meaning(r)}" for r, n in sorted(f.reasons.items(), key=lambda i: (-i[1], i[0]))
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
    ids = {one.columns.line_id is not None for one in section.by_name().values() if one.is_lines}
    by_text = "repeats an earlier row " + ("of its file" if True in ids else "in every column")
    what = "has a line id seen before" if ids == {True} else by_text
    title = "Copies of rows"
    if not f.duplicate_rows:
        return _check("ledger.duplicates", title, "pass", f"No row {what}.", value=0, unit="rows")
    many = what.replace("has ", "have ", 1).replace("repeats", "repeat") if f.duplicate_rows > 1 else what
    policy = "are kept as purchases" if section.duplicate_lines == "keep" else "are excluded"
    advice = (
        "Set ledger.duplicate_lines: drop only if copies are an accident of the export: an order may have two equal "
        "lines, and two orders of a day look alike where no column tells them apart."
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


def _overlaps(f: Facts, section: LedgerSection) -> list[Check]:
    """Rows that two files have: extracts that overlap, or a file that was loaded twice."""
    if not f.overlap_rows:
        return []
    return [
        _check(
            "ledger.overlaps",
            "Rows that several files have",
            "review",
            f"{count(f.overlap_rows, 'row')} {'is' if f.overlap_rows == 1 else 'are'} in more than one file and "
            f"{'counts' if f.overlap_rows == 1 else 'count'} once.",
            value=f.overlap_rows,
            unit="rows",
            recommendation="Look whether a file was loaded twice or extracts overlap; ledger.overlaps: keep counts "
            "all of them.",
        )
    ]


def _negative(f: Facts) -> list[Check]:
    """Refunds that policy leaves out make the value too high: say by how much, where it matters."""
    rows, minor = f.negative_rows, -f.negative_minor
    received = f.kept_value
    if not rows or received <= 0:
        return []
    share = minor / received
    return [
        _check(
            "ledger.negative",
            "Refunds left out",
            "review" if share > MOST_NEGATIVE else "info",
            f"{count(rows, 'row')} with a negative amount, {f.own.words(minor)} in all, {'is' if rows == 1 else 'are'} "
            f"left out by ledger.negative_amounts: {percent(share)} of the money that is modelled.",
            value=share,
            threshold=MOST_NEGATIVE,
            unit="share of the money modelled",
            recommendation="Revenue, and with it the value, is too high by about that share. ledger.negative_amounts: net "
            "takes refunds off the orders they belong to."
            if share > MOST_NEGATIVE
            else "",
        )
    ]


def _rounding(f: Facts) -> Check:
    if not f.rounded_rows:
        message = f"No amount has more decimals than {f.own.currency} has ({f.own.digits})."
    else:
        message = (
            f"{count(f.rounded_rows, 'amount')} had more decimals than {f.own.currency} has ({f.own.digits}) "
            f"and {'was' if f.rounded_rows == 1 else 'were'} rounded half up, which changed the total by "
            f"{f.own.currency} {f.rounding.normalize():+,f}."
        )
    return _check(
        "ledger.rounding",
        "Amounts in whole minor units",
        "info",
        message,
        value=float(f.rounding),
        unit=f.own.currency,
    )


def _segments(f: Facts) -> Check:
    message = (
        f"{count(f.segment_changes, 'customer')} changed segment; the segment of the first purchase counts."
        if f.segment_changes
        else "No customer changed segment."
    )
    return _check(
        "ledger.segments",
        "Customers in more than one segment",
        "info",
        message,
        value=f.segment_changes,
        unit="customers",
    )


def count(number: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
