"""A seeded subscription company with known truth: ``python -m clvkit.simulate.subscriptions FOLDER``.

Customers take a plan paid by the month, the quarter, the year or two years ahead, try it first or not, leave by choice with a
chance of their own, by a failed card or by death, pause, change plans, and come back. Written are the three tables that such
a company exports (contracts, invoices, customers), and the truth beside them, which looks three years past the as-of date.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from clvkit.errors import ClvError
from clvkit.simulate import subscription_plan as facts
from clvkit.simulate.sheet import Sheet, money
from clvkit.simulate.subscription_future import State, expected, realised, state, visible
from clvkit.simulate.subscription_lives import Customer, Row, draw_customers
from clvkit.simulate.subscription_plan import SubscriptionPlan

CONTRACTS = (
    "contract_no customer_no plan billing_months start end notice_on fee currency status reason channel offer"
).split()
INVOICES = "invoice_no contract_no customer_no date amount currency".split()
CUSTOMERS = "customer_no registered_on region channel offer birth_year gender".split()
PERSONS = (
    "customer_no state plan leaving_chance hazard_multiplier place expected_minor paid_minor paid_all_minor died_on"
).split()


@dataclass(frozen=True)
class SubscriptionTruth:
    """What is true of a subscription company; money in minor units of ``currency``.

    ``to_come``: of what runs on the as-of date, ``expected`` and ``paid`` within the horizon, and ``paid_all`` with who came
    back and later second subscriptions; ``ends``: by reason, up to the as-of date, of relations, whatever the files show.
    """

    customers: int
    seed: int
    start: str
    as_of: str
    observed_from: str | None
    horizon_end: str
    currency: str
    parameters: dict
    rows: dict[str, int]
    states: dict[str, int]
    ends: dict[str, int]
    invoiced: int
    to_come: dict[str, float]


def write_subscriptions(
    folder: Path,
    *,
    customers: int = 2500,
    seed: int = 20240117,
    start: date = date(2021, 7, 1),
    as_of: date = date(2024, 12, 31),
    observed_from: date | None = None,
) -> SubscriptionTruth:
    """Write a subscription company into ``folder``, and its truth into ``folder/truth``; equal arguments, equal bytes.

    Parameters
    ----------
    folder : made if missing; files of the same names are replaced.
    customers : who came up to the as-of date, at least 100; some tried only.
    start, as_of : first day of the company, and the last that its files know of.
    observed_from : if given, contracts that ended before it and invoices before it are missing (left truncation).

    Raises
    ------
    StudyError : an argument cannot be used.
    """
    plan = SubscriptionPlan(customers, seed, start, as_of, observed_from)
    people = draw_customers(plan)
    sheets, truth = exports(plan, people)
    for path, sheet in sheets.items():
        (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / path).write_bytes(sheet.bytes())
    text = json.dumps(asdict(truth), indent=1, ensure_ascii=False) + "\n"
    (Path(folder) / "truth" / "truth.json").write_text(text, encoding="utf-8")
    return truth


def exports(plan: SubscriptionPlan, people: list[Customer]) -> tuple[dict[str, Sheet], SubscriptionTruth]:
    """The tables of a company by path, and its truth."""
    shown = [(who, row) for who in people for rows in who.subscriptions for row in rows if visible(plan, row)]
    shown.sort(
        key=lambda one: (one[1].start, one[0].number, one[1].relation, one[1].offset, one[1].tariff.name)
    )
    contracts, invoices, bills = Sheet(list(CONTRACTS)), Sheet(list(INVOICES)), []
    for number, (who, row) in enumerate(shown, start=10_001):
        contracts.rows.append(_contract(plan, number, who, row))
        bills += [(day, number, k, who, fee) for k, (day, fee) in enumerate(row.paid, start=1)]
    since = plan.observed_from or plan.start
    for day, number, k, who, fee in sorted(bills, key=lambda one: one[:3]):
        if since <= day <= plan.as_of:
            invoices.rows.append(
                [f"R{number}-{k}", f"S{number}", _name(who), day.isoformat(), money(fee), "EUR"]
            )
    known = {who.number for who, _ in shown}
    kept = [who for who in people if who.number in known]
    customers = Sheet(list(CUSTOMERS))
    customers.rows = [[_name(one), one.arrival.isoformat(), one.region, one.channel, one.offer, str(one.birth_year),
                       one.gender] for one in kept]  # fmt: skip
    persons, sums, states = _persons(plan, kept)
    sheets = {"contracts.csv": contracts, "invoices.csv": invoices, "customers.csv": customers,
              "truth/customers.csv": persons}  # fmt: skip
    ends = Counter(
        row.reason
        for who in people
        for rows in who.subscriptions
        for row in rows
        if row.tariff.months and row.end is not None and row.end < plan.as_of
    )
    return sheets, SubscriptionTruth(
        customers=len(kept), seed=plan.seed, start=plan.start.isoformat(), as_of=plan.as_of.isoformat(),
        observed_from=plan.observed_from and plan.observed_from.isoformat(), horizon_end=plan.horizon_end.isoformat(),
        currency="EUR", parameters=_parameters(), rows={path: len(sheet.rows) for path, sheet in sheets.items()},
        states=dict(sorted(states.items())), ends=dict(sorted(ends.items())),
        invoiced=sum(fee for day, _, _, _, fee in bills if since <= day <= plan.as_of), to_come=sums,
    )  # fmt: skip


def _name(who: Customer) -> str:
    return f"K{who.number:05d}"


def _contract(plan: SubscriptionPlan, number: int, who: Customer, row: Row) -> list[str]:
    """A row as the files of the as-of date show it: an end that nobody knows of yet is not there."""
    trial = row.tariff.months == 0
    known = row.end is not None and row.known <= plan.as_of
    end = row.end.isoformat() if known else ""
    notice = row.notice.isoformat() if known and row.notice else ""
    over = known and row.end < plan.as_of
    reason = row.reason if over or (known and not trial) else ""
    status = "ended" if over else "scheduled" if row.start > plan.as_of else "trial" if trial else "active"
    return [f"S{number}", _name(who), row.tariff.name, str(row.tariff.months or ""), row.start.isoformat(), end, notice,
            money(who.fee(row.tariff)), "EUR", status, reason, who.channel, who.offer]  # fmt: skip


def _persons(plan: SubscriptionPlan, people: list[Customer]) -> tuple[Sheet, dict[str, float], Counter]:
    """The truth of each customer, and its sums. State and plan are those of the first subscription."""
    held = [(who, rows, state(plan, rows)) for who in people for rows in who.subscriptions]
    held = [one for one in held if one[2] is not None]
    ahead = expected(plan, [(who, one) for who, _, one in held])
    by: dict[int, list[tuple[float, int]]] = {}
    for (who, rows, one), value in zip(held, ahead, strict=True):
        by.setdefault(who.number, []).append((float(value), realised(plan, rows, one)))
    first: dict[int, tuple[list[Row], State]] = {}
    for who, rows, one in held:
        first.setdefault(who.number, (rows, one))
    sheet = Sheet(list(PERSONS))
    totals, states = Counter(), Counter(one.name for _, _, one in held)
    for who in people:
        rows, one = first[who.number]
        row = one.row or next(row for row in reversed(rows) if row.booked <= plan.as_of)
        months = row.tariff.months or 1
        value, paid = (sum(each) for each in zip(*by[who.number], strict=True))
        everything = sum(
            fee
            for rows in who.subscriptions
            for row_ in rows
            for day, fee in row_.paid
            if plan.as_of < day <= plan.horizon_end
        )
        totals.update(expected=value, paid=paid, paid_all=everything)
        died = who.death.isoformat() if who.death <= plan.horizon_end else ""
        sheet.rows.append([_name(who), one.name, row.tariff.name, f"{who.chance(months):.6f}", f"{who.multiplier:.4g}",
                           f"{who.place:.6f}", f"{value:.2f}", str(paid), str(everything), died])  # fmt: skip
    sums = {name: round(totals[name], 2) for name in ("expected", "paid", "paid_all")}
    return sheet, sums, states


def _parameters() -> dict:
    """Everything that rules the company, as the truth states it."""
    return {
        "plans": {one.name: {"months": one.months, "fee_minor": one.fee, "share": one.share} for one in facts.TARIFFS},
        "leaving_beta_by_months": {str(months): list(two) for months, two in facts.CHANCES.items()},
        "hazard_multipliers": facts.MULTIPLIERS,
        "shares": facts.SHARES,
        "discount_per_mille": facts.DISCOUNT_PER_MILLE,
        "reasons_of_choice": facts.REASONS,
        "card_fails_per_renewal": facts.CARD_FAILS,
        "deaths_per_year": facts.DEATHS,
        "notice_days_by_months": {str(months): list(two) for months, two in facts.NOTICE_DAYS.items()},
        "pause": {"at_monthly_renewal": facts.PAUSED, "months": {str(k): v for k, v in facts.PAUSE_MONTHS.items()}},
        "moves": facts.MOVES,
        "trial": {"days": facts.TRIAL_DAYS, "of_monthly": facts.TRIED, "converted": facts.CONVERTED},
        "second_subscription": facts.SECOND,
        "back": facts.BACK | {"days_at_least": facts.BACK_DAYS, "mean_days_more": facts.BACK_MEAN_DAYS},
    }  # fmt: skip


def main(words: list[str] | None = None) -> int:
    """Exit code: 0, or that of the error that was shown."""
    parser = argparse.ArgumentParser(
        prog="python -m clvkit.simulate.subscriptions",
        description="Write a subscription company with known truth.",
    )
    parser.add_argument("folder", type=Path, help="where to write it")
    parser.add_argument("--customers", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=20240117)
    parser.add_argument("--start", type=date.fromisoformat, default=date(2021, 7, 1))
    parser.add_argument("--as-of", type=date.fromisoformat, default=date(2024, 12, 31))
    parser.add_argument("--observed-from", type=date.fromisoformat, help="what ended before is missing")
    asked = parser.parse_args(words)
    try:
        truth = write_subscriptions(
            asked.folder,
            customers=asked.customers,
            seed=asked.seed,
            start=asked.start,
            as_of=asked.as_of,
            observed_from=asked.observed_from,
        )
    except ClvError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    rows = ", ".join(f"{rows:,} rows in {path}" for path, rows in truth.rows.items())
    print(f"{truth.customers:,} customers in {asked.folder}: {rows}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
