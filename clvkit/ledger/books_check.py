"""The check that holds the ledger against the books, in words: which months, how much, and what it looks like."""

import pandas as pd

from clvkit.checks import Check
from clvkit.ledger.currencies import digits_of
from clvkit.ledger.facts import Money
from clvkit.ledger.policies import BooksSection
from clvkit.numbers import percent

SHOWN = 6
# Usual rates of value-added and sales tax; ledger and books in a ratio this near to one are called by it.
TAX_RATES = (0.05, 0.055, 0.07, 0.077, 0.081, 0.1, 0.12, 0.13, 0.15, 0.16, 0.18, 0.19, 0.2, 0.21, 0.22, 0.23, 0.24, 0.25, 0.27)  # fmt: skip
NEAR = 0.005  # sales to countries whose rates are a point apart lie between the two
_TAX = (
    "See whether the source's amounts hold tax in these months: export them again as the others, or give their files a "
    "source of their own with amount_holds: [tax]."
)
_UNIT = "See whether the source changed between units and cents in these months: amount_unit, or the decimal sign."
_TWICE = "See whether these months were loaded twice under other ids."
_SIGN = "See how the books write refunds: they are compared as amounts below zero."
_ASK = (
    "Ask accounting what these months hold that the extract does not, or has besides; where the difference is as it "
    "should be, raise ledger.books.tolerance."
)


def books_checks(frame: pd.DataFrame | None, section: BooksSection, *, totals: bool) -> list[Check]:
    """Whether the ledger agrees with the books; nothing where no source holds ``totals``."""
    if frame is None:
        return [_unused()] if totals else []
    judged = frame[frame["status"].isin(("agrees", "explained", "differs"))]
    apart = judged[judged["status"] == "differs"]
    explained = int((judged["status"] == "explained").sum())
    aside = (
        f" {_cells(explained)} would agree with the rows that other rules and policies set aside."
        if explained
        else ""
    )
    if apart.empty:
        return [
            _check("pass", f"{_judged(judged)} within {percent(section.tolerance)}.{aside}", 0.0, section, "")
        ]
    share = _worst_share(judged, apart)
    groups = [part for _, part in apart.groupby(["comparison", "month"])]
    groups.sort(key=lambda part: part["difference_minor"].abs().sum(), reverse=True)
    more = f"; and {len(groups) - SHOWN} more" if len(groups) > SHOWN else ""
    looks = _looks(apart)
    named = "; ".join(_month(part, looks) for part in groups[:SHOWN])
    message = f"{_cells(len(apart))} of {len(judged):,} {'differs' if len(apart) == 1 else 'differ'} from the books: {named}{more}.{aside}"
    status = "fail" if share > section.max_difference else "review"
    return [_check(status, message, share, section, _advice(apart, looks))]


def _check(status: str, message: str, share: float, section: BooksSection, advice: str) -> Check:
    return Check(
        "ledger.books",
        "The ledger agrees with the books",
        status,
        message,
        value=share,
        threshold=section.max_difference,
        unit="share of what is booked",
        severity="stop",
        recommendation=advice,
        chapter="01_ledger",
    )


def _unused() -> Check:
    return Check(
        "ledger.books",
        "The ledger agrees with the books",
        "info",
        "The general ledger was read, and no account of it is held against the sources.",
        severity="info",
        recommendation="Name accounts and sources in ledger.books.compare, such as {shop: {accounts: [revenue_shop], "
        "sources: [shop], rows: sales}}.",
        chapter="01_ledger",
    )


def _judged(judged: pd.DataFrame) -> str:
    months = judged["month"].nunique()
    *others, last = judged["comparison"].unique()
    what = f"{', '.join(others)} and {last}" if others else last
    return f"{months:,} month{'s' if months != 1 else ''} of {what} agree with the books"


def _cells(number: int) -> str:
    return f"{number:,} month{'' if number == 1 else 's'} of a currency"


def _worst_share(judged: pd.DataFrame, apart: pd.DataFrame) -> float:
    """The largest difference of one comparison in one currency, as a share of what is booked in it over all months."""
    keys = ["comparison", "currency"]
    gap = apart.groupby(keys)["difference_minor"].sum().abs()
    whole = judged.groupby(keys)["booked_minor"].sum().abs().clip(lower=1)
    return float((gap / whole[gap.index]).max())


def _looks(apart: pd.DataFrame) -> dict[int, tuple[str, str]]:
    """What the two sides look like in each place of the frame where they look like something.

    A ratio is that of some tax often enough: it is taken for it where all currencies of a month have one, and half the
    months of a comparison.
    """
    looks = {one.Index: likeness(one.ledger_minor, one.booked_minor) for one in apart.itertuples()}
    taxed = pd.Series({place: said is not None and said[1] == _TAX for place, said in looks.items()})
    months = taxed.groupby([apart["comparison"], apart["month"]]).transform("all")
    most = months.groupby(apart["comparison"]).transform("mean") >= 0.5
    return {
        place: said for place, said in looks.items() if said and (not taxed[place] or (months & most)[place])
    }


def _month(part: pd.DataFrame, looks: dict[int, tuple[str, str]]) -> str:
    """One comparison in one month: both sides in each currency, and what they look like."""
    one = part.iloc[0]
    sides = ", ".join(_both_sides(each, looks.get(each.Index)) for each in part.itertuples())
    return f"{one['comparison']} in {one['month']:%B %Y}: {sides}"


def _both_sides(one, said: tuple[str, str] | None) -> str:
    money = Money(one.currency, digits_of(one.currency), 0, {})
    change = f"{one.difference_minor / abs(one.booked_minor):+.1%}" if one.booked_minor else ""
    aside = ", ".join(([change] if change else []) + ([said[0]] if said else []))
    sides = f"{money.words(one.ledger_minor)} in the ledger and {money.words(one.booked_minor)} booked"
    return sides + (f" ({aside})" if aside else "")


def likeness(ledger: int, booked: int) -> tuple[str, str] | None:
    """What two amounts look like side by side, and what to do then; None where they look like nothing known."""
    if not booked or not ledger:
        return None
    ratio = ledger / booked
    if booked > 0 and any(abs(ratio - 1 - rate) < NEAR for rate in TAX_RATES):
        return f"as amounts with tax of {ratio - 1:.0%} would be", _TAX
    if booked > 0 and any(abs(1 / ratio - 1 - rate) < NEAR for rate in TAX_RATES):
        return f"as if tax of {1 / ratio - 1:.0%} had been taken off", _TAX
    for factor in (10, 100, 1000):
        for size, words in ((ratio / factor, "large"), (ratio * factor, "small")):
            if abs(size - 1) < 0.05:
                return f"about {factor:,} times too {words}", _UNIT
    if abs(ratio - 2) < 0.02:
        return "twice what is booked", _TWICE
    return ("of the other sign", _SIGN) if abs(ratio + 1) < 0.02 else None


def _advice(apart: pd.DataFrame, looks: dict[int, tuple[str, str]]) -> str:
    found = [looks.get(place, ("", _ASK))[1] for place in apart.index]
    return " ".join(dict.fromkeys(found))
