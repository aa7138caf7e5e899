"""Page one: the answer, how sure it is, what it covers and rests on, and what to do with it."""

from datetime import date
from typing import TYPE_CHECKING

from clvkit import numbers
from clvkit.business_model import WORDS
from clvkit.chapters.ledger_words import are, count, listed, modelled_minor
from clvkit.chapters.value_holders import horizon_words, months_of, value_by_holder
from clvkit.chapters.value_inclusion import in_words, steps_of
from clvkit.drivers import DRIVERS
from clvkit.exhibits import Exhibit, Facts, Headline
from clvkit.verdict import adjusted_range

if TYPE_CHECKING:
    from clvkit.backtest_results import Backtest, Backtests
    from clvkit.customer_total import CustomerTotal
    from clvkit.ledger import Ledger
    from clvkit.sensitivity import Sensitivity
    from clvkit.study import Study
    from clvkit.valuation import Valuation
    from clvkit.workbench import Workbench


def page_one(run: "Workbench") -> list[Exhibit]:
    """Everything page one shows, in order; without a value where the data do not carry one."""
    ledger, cells = run.ledger(), run.cells()
    first = covered_days(run.known_until, cells)
    if not run.carries_value():
        lacking = [check for check in run.sufficiency() if check.stops]
        missing = " ".join(f"{check.message} {check.recommendation}" for check in lacking)
        return [
            Headline(
                f"**No value is given for the {numbers.count(ledger.totals['customers'])} customers of this "
                f"ledger**: the data do not carry one. {missing}"
            ),
            Facts(
                {
                    "Whom it would cover": coverage(run.study, ledger, *first),
                    "Does it tie to the ledger": ties(ledger, valued=False),
                }
            ),
        ]
    if run.contractual:
        from clvkit.chapters.summary_contracts import page_one as of_contracts

        return of_contracts(run)
    valuation, backtests = run.valuation(), run.backtests()
    ruled = in_words(steps_of(run), ledger.currency, ledger.minor_digits)
    return [
        headline(valuation, backtests, whole_of(run)),
        value_by_holder(valuation, name="page_one"),
        Facts(
            {
                "Whom it covers and whom not": coverage(run.study, ledger, *first) + ruled + kind_words(run),
                "What it rests on": rests_on(valuation, run.study),
                "Does it tie to the ledger": ties(ledger),
                "What would change it most": drivers(run.sensitivity()),
                "What to do with it": advice(backtests),
            }
        ),
    ]


def whole_of(run: "Workbench") -> "CustomerTotal | None":
    """Purchases and contracts together, where both are valued; None where there are purchases alone."""
    from clvkit.errors import FitError

    kind = run.kind_of_business()
    if run.contracts() is None or kind.used == "non_contractual":
        return None
    try:
        total = run.get("customer_total")
    except FitError:
        return None  # which chapter 4b says
    return None if total.rule == "purchases" else total


def headline(
    valuation: "Valuation", backtests: "Backtests", whole: "CustomerTotal | None" = None
) -> Headline:
    """The value, how sure, and in the same sentence how far off the model was when it was tried before.

    ``whole`` is what customers are worth with their contracts, where some have one.
    """
    equity = valuation.estimates["customer_equity"]
    shown = equity if whole is None else whole.total
    customers = valuation.customers if whole is None else sum(whole.customers.values())
    worth = numbers.money(shown.value, valuation.currency)
    sentence = (
        f"The {numbers.count(customers)} customers are expected to bring **{worth} of margin** "
        f"{horizon_words(months_of(valuation))}"
    )
    if shown.low is not None and shown.high > shown.low:
        ends = _ends(shown.low, shown.high, shown.value)
        sentence += f", {numbers.interval_words(*ends, valuation.interval)}"
    if whole is not None:
        sentence += f", {numbers.money(whole.contracts.value, valuation.currency)} of it by their contracts"
    latest = backtests.latest
    if latest is None:
        return Headline(f"{sentence}; how the model would have done earlier was not tried.")
    sentence += f"; used {_span(latest.horizon_days)} earlier, the model {missed(latest)}"
    wide = adjusted_range(equity, backtests.champion)
    if wide is not None and wide.missed:
        low, high = _ends(wide.low, wide.high, equity.value)
        errors = "that" if len(backtests.champion) == 1 else "errors seen"
        of = "range" if whole is None else "range of purchases"
        sentence += f" ({of} with {errors}: {low} to {high})"
    return Headline(f"{sentence}.")


def missed(backtest: "Backtest") -> str:
    """What a back-test's miss was: ``forecast 12.9 % too few purchases and 15.0 % too little revenue``."""
    if backtest.accuracy.bias is None:
        return "forecast purchases, and none came"
    parts = [
        f"{numbers.percent(abs(share))} too {low if share < 0 else high}"
        for share, low, high in (
            (backtest.accuracy.bias, "few purchases", "many purchases"),
            (backtest.bias_value, "little revenue", "much revenue"),
        )
        if share is not None
    ]
    return f"forecast {' and '.join(parts)}"


def covered_days(as_of: date, cells) -> tuple[date, date]:
    """First and last day on which a customer of the cells bought for the first time."""
    from datetime import timedelta

    ages = cells["T_days"]
    return as_of - timedelta(days=int(ages.max())), as_of - timedelta(days=int(ages.min()))


def coverage(study: "Study", ledger: "Ledger", first: date, last: date) -> str:
    """Whom the number covers, and whom it leaves out."""
    text = (
        f"{numbers.count(ledger.totals['customers'])} customers who first ordered between "
        f"{numbers.date_words(first)} and {numbers.date_words(last)}."
    )
    silent = (study.as_of - last).days
    if silent > 31:
        text += (
            f" Nobody who came in the {numbers.count(silent)} days since is in the data, and no customer yet to come "
            "is counted: this is not the value of the company."
        )
    else:
        text += " Customers yet to come are not counted."
    return text


def kind_words(run: "Workbench") -> str:
    """Which kind of business it is, and who says so."""
    kind = run.kind_of_business()
    overruled = kind.declared not in ("auto", kind.verdict)
    said = f" (the study; by the data {WORDS[kind.verdict]})" if overruled else ""
    text = {
        "non_contractual": f" The business is **non-contractual**{said}.",
        "hybrid": f" A **hybrid**{said}: some are under contract, and are seen to leave.",
        "contractual": f" **Contractual**{said}: who leaves is seen to leave.",
    }
    return text[kind.used]


def rests_on(valuation: "Valuation", study: "Study") -> str:
    """The assumptions, named as such."""
    terms = valuation.terms
    return (
        f"A margin of {numbers.rate(terms.margin).removesuffix(' a year')} of revenue and a discount rate of "
        f"{numbers.rate(terms.annual_discount_rate)}: both are **assumptions** of the study, nominal and before tax. "
        f"Purchases count {horizon_words(months_of(valuation))}. The process is "
        f"{valuation.label}, fitted to the whole history."
    )


def ties(ledger: "Ledger", *, valued: bool = True) -> str:
    """Whether rows and money balance, what is left out, and whether they meet a total from elsewhere."""
    broken = [check for check in ledger.checks if check.stops]
    if broken:
        return f"**No.** {broken[0].message}"
    rows = ledger.totals["rows"]
    text = f"All {numbers.count(rows['in'])} rows that came in, {_booked(ledger, 'in')}, are accounted for."
    if valued:
        modelled = modelled_minor(ledger) / 10**ledger.minor_digits
        text += f" {numbers.money(modelled, ledger.currency)} is modelled{_converted(ledger)}."
    left = [
        f"{count(rows[state], 'row')} with {_booked(ledger, state)} "
        + ("came after the as-of date" if state == "later" else f"{are(rows[state])} {state}")
        for state in ("excluded", "quarantined", "later")
        if rows[state]
    ]
    text += f" Left out: {'; '.join(left)}." if left else ""
    declared = [
        check
        for check in ledger.checks
        if check.id in ("ledger.control_total", "ledger.control_rows") and check.status == "pass"
    ]
    if declared:
        return f"**Yes.** {text} The source agrees with the control totals of the study."
    books = next((check for check in ledger.checks if check.id == "ledger.books"), None)
    if books is not None and books.status == "pass":
        return f"**Yes.** {text} {books.message}"
    if books is not None and books.status == "review":
        return f"**Not all of it.** {text} Months that differ from the books are named in the first chapter."
    return f"{text} The study gives no control total, so nothing outside the file was compared."


def _booked(ledger: "Ledger", state: str) -> str:
    """The money of a state in each currency that it was booked in: ``USD 1,200`` or ``EUR 900 and CHF 300``."""
    sums = {code: one[state] for code, one in ledger.totals["amount"].items()}
    some = [code for code in sums if sums[code] or len(sums) == 1] or [ledger.currency]
    return listed(numbers.money(sums[code], code) for code in some)


def _converted(ledger: "Ledger") -> str:
    """Which currencies are converted for the sum that is modelled; nothing where all of it is in the study's own."""
    sums = ledger.totals["amount"]
    others = [c for c, one in sums.items() if c != ledger.currency and (one["used"] or one["merged"])]
    return f", with {listed(others)} converted into {ledger.currency}" if others else ""


def drivers(sensitivity: "Sensitivity") -> str:
    """What the value is proportional to, and what moves it most besides."""
    table, value = sensitivity.drivers, sensitivity.equity.value
    even = [name for name, one in sensitivity.elasticities.items() if abs(one.value - 1) < 1e-6]
    others = [row for _, row in table.iterrows() if row["driver"] not in even]
    sentences = []
    if even:
        labels = [DRIVERS[name].label.lower() for name in even]
        listed = " and ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)
        sentences.append(f"It moves one for one with {listed}.")
    for row in others[:2]:
        driver = DRIVERS[row["driver"]]
        up, down = (
            numbers.variance(row[name] / value, kind="percent")
            for name in ("difference_up", "difference_down")
        )
        more, less = (numbers.percent(abs(row[name] - 1), 0) for name in ("factor_up", "factor_down"))
        kind = "assumed" if driver.source == "study" else "estimated"
        sentences.append(f"**{driver.label}** ({kind}): {more} more moves it by {up}, {less} less by {down}.")
    return " ".join(sentences)


def advice(backtests: "Backtests") -> str:
    """What to do with the number, given what failed when the model was tried before."""
    latest = backtests.latest
    if latest is None:
        return "Give the study an earlier date in `backtest.origins` before relying on the number."
    poor = {finding.rule for finding in latest.verdict.findings if finding.level == "poor"}
    text = f"The verdict on the model is **{latest.verdict.level}**."
    if not poor:
        return (
            f"{text} Plan with the range, spend on a customer at most what its class is worth, and compare the next "
            "report with this one."
        )
    if poor & {"bias", "bias_value", "interval"}:
        text += " Use the wider range for the total, and do not plan on the narrow one."
    if "baselines_beaten" in poor:
        text += " For lists of single customers a simple rule did better: see chapter 5."
    else:
        text += " The order of customers is more reliable than the total."
    since = numbers.date_words(latest.origin)
    return f"{text} Find out what changed after {since} before the next report."


def _ends(low: float, high: float, value: float) -> tuple[str, str]:
    """Both ends in the unit that ``value`` is written in, without the currency."""
    scale, digits = (1e9, 2) if value >= 1e9 else (1e6, 2) if value >= 1e6 else (1.0, 0)
    return numbers.number(low / scale, digits), numbers.number(high / scale, digits)


def _span(days: int) -> str:
    """A length of time in words: ``nine months``."""
    months = round(days / 30.4375)
    words = ["", "one month", *(f"{name} months" for name in (
        "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"))]  # fmt: skip
    if months < 1:
        return f"{days} days"
    if months < 12:
        return words[months]
    return "a year" if months == 12 else f"{months} months"
