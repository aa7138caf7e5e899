"""Put a company together: people, trade, books, exports, defects; write them, and the truth beside them."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clvkit.simulate import back_office, exports, plan, trade
from clvkit.simulate.defects import account, chosen, plant
from clvkit.simulate.people import Person, draw_people
from clvkit.simulate.planting import Exports, Hit
from clvkit.simulate.sheet import Sheet


@dataclass(frozen=True)
class Truth:
    """What is true of a company whatever its files say; money in minor units of each currency.

    ``season``: the speed of purchases by month, 1 on usual days, or None; ``totals``: by source and kind, of the clean
    files (the overlap of the tills is in both of them);
    ``outstanding``: net refunds of sales up to the end that arrive after it; ``defects``: what was planted.
    """

    customers: int
    seed: int
    start: str
    end: str
    currency: str
    process: dict
    season: dict | None
    spend: dict
    refunds: dict
    persons: int
    purchases: int
    rows: dict[str, int]
    totals: dict[str, dict[str, dict[str, int]]]
    outstanding: dict[str, dict[str, int]]
    defects: list[dict]


def write_company(
    folder: Path,
    *,
    customers: int = 1500,
    seed: int = 20240117,
    start: date = date(2022, 7, 1),
    end: date = date(2024, 12, 31),
    defects: Collection[str] = (),
    currency: str = "EUR",
    season: bool = True,
) -> Truth:
    """Write the exports of a company into ``folder``, and its truth into ``folder/truth``; equal arguments, equal bytes.

    Parameters
    ----------
    folder : made if missing; files of the same names are replaced.
    customers : persons, at least 500; more people buy at the till without being known.
    start, end : first and last day; the first of a month, and at least 18 months of them.
    defects : names out of ``DEFECTS``.
    currency : of the company and of its customers in Germany and Austria; EUR, USD, CHF or GBP.
    season : purchases run faster before Christmas and slower in January and summer, for everybody at once.

    Raises
    ------
    StudyError : an argument cannot be used, or the company is too small for a defect.
    """
    asked = plan.Plan(customers, seed, start, end, chosen(defects), currency, season)
    company = build(asked)
    rows = company.rows()
    hits = _behaviour(asked, company.lines) | plant(Exports(asked, company.sheets))
    truth = Truth(
        customers=customers,
        seed=seed,
        start=start.isoformat(),
        end=end.isoformat(),
        currency=currency,
        process={"name": plan.PROCESS, "time_unit": f"year of {plan.YEAR} days", **plan.PARAMETERS},
        season={"month_factors": {month: round(f, 6) for month, f in plan.SEASON.items()}}
        if season
        else None,
        spend={
            "name": "gammagamma",
            "unit": f"net order value, {currency} at the first day's rate",
            **plan.SPEND,
        },
        refunds={"share_of_lines": plan.REFUND_SHARE, "mean_lag_days": plan.REFUND_MEAN_LAG_DAYS},
        persons=len(company.people),
        purchases=company.purchases,
        rows=rows,
        totals=_totals(asked, company),
        outstanding=_sums(company.back[company.back["day"] >= asked.days], {"net": 1}),
        defects=[account(name, hits[name]) for name in asked.defects],
    )
    _write(Path(folder), company, _persons(asked, company), truth)
    return truth


@dataclass(frozen=True)
class Company:
    """A company before it is written: its people and trade, and the exports of its systems by path."""

    people: list[Person]
    purchases: int  # of persons; walk-ins are not among them
    lines: pd.DataFrame
    back: pd.DataFrame
    till: list[dict]
    sheets: dict[str, Sheet]
    tables: dict[str, pa.Table]

    def rows(self) -> dict[str, int]:
        """Rows of each file, without header."""
        texts = {path: len(sheet.rows) for path, sheet in self.sheets.items()}
        return dict(sorted((texts | {path: table.num_rows for path, table in self.tables.items()}).items()))


def build(asked: plan.Plan) -> Company:
    """The company of a plan, without the defects that are planted in files."""
    people, who, when = draw_people(asked)
    lines = trade.draw_lines(asked, people, who, when)
    back = trade.draw_refunds(asked, lines)
    contracts, invoices = back_office.billing_tables(asked, people)
    till = exports.till_rows(asked, lines, back)
    sheets = {
        **exports.shop_sheets(asked, lines),
        "shop/refunds.csv": exports.refund_sheet(asked, back),
        **exports.till_sheets(asked, till),
        "crm/customers.csv": exports.crm_sheet(asked, people),
        **back_office.product_sheets(asked),
        "erp/rates.csv": back_office.rate_sheet(asked),
        "erp/general_ledger.csv": back_office.general_ledger(asked, lines, back, invoices),
        "support/tickets.csv": back_office.ticket_sheet(asked, lines),
        **back_office.marketing_sheets(asked, people),
    }
    tables = {"billing/contracts.parquet": contracts, "billing/invoices.parquet": invoices}
    return Company(people, len(who), lines, back, till, sheets, tables)


def _behaviour(asked: plan.Plan, lines: pd.DataFrame) -> dict[str, Hit]:
    """What `price_change` and `promotion` touched: the lines at other prices, and the orders pulled forward."""
    day, first = lines["day"], asked.promotion_day
    pulled = lines[lines["pulled"]].drop_duplicates("purchase")
    promoted = int(((day >= first) & (day < first + 14)).sum())
    moved = [f"{len(pulled)} orders pulled forward", *pulled["order"]]
    return {
        "price_change": Hit(
            rows=int((day >= asked.price_day).sum()), where=[f"from {asked.day(asked.price_day)}"]
        ),
        "promotion": Hit(
            rows=promoted, where=[f"from {asked.day(first)} to {asked.day(first + 13)}", *moved]
        ),
    }


def _sums(frame: pd.DataFrame, columns: dict[str, int]) -> dict[str, dict[str, int]]:
    """Signed sums of columns, as kind_source: {currency: minor units}."""
    found: dict[str, Counter] = {}
    for (shop, currency), part in frame.groupby(["shop", "currency"]):
        for column, sign in columns.items():
            counter = found.setdefault(f"{column}_{'shop' if shop else 'till'}", Counter())
            counter[currency] += sign * int(part[column].sum())
    return {kind: dict(sorted(by.items())) for kind, by in sorted(found.items())}


def _totals(asked: plan.Plan, company: Company) -> dict:
    lines, back, till = company.lines, company.back, company.till
    invoices = company.tables["billing/invoices.parquet"]
    sold = _sums(lines, {"net": 1, "tax": 1, "shipping": 1, "discount": 1})
    arrived = _sums(back[back["day"] < asked.days], {"net": 1, "tax": 1})
    last = exports.LEGACY_MONTHS - 1
    overlap = (asked.months[last] - asked.start).days, (asked.months[last + 1] - asked.start).days
    shared = sum(one["amount"] for one in till if overlap[0] <= one["day"] < overlap[1])
    home, legacy = asked.currency, sum(one["amount"] for one in till if one["day"] < overlap[1])
    return {
        "sold": sold,
        "refunded": arrived,
        "till_tax_included": {
            "legacy": {home: legacy},
            "overlap": {home: shared},
            "till": {home: sum(one["amount"] for one in till) - legacy + shared},
        },
        "billing": {
            kind: {home: int(sum(value.scaleb(2) for value in invoices[kind].to_pylist()))}
            for kind in ("amount", "tax")
        },
    }


def _persons(asked: plan.Plan, company: Company) -> Sheet:
    """The truth of each person; several keys of a kind stand with a space between."""
    known = company.lines[company.lines["person"] >= 0]
    bought = known.drop_duplicates("purchase").groupby("person")["day"].agg(["size", "min"])
    sheet = Sheet(
        "person accounts loyalty_cards billing_no emails phone region segment gender acquired_by first_day purchases "
        "rate_per_year dropout_rate_per_year lifetime_years mean_spend".split()
    )
    for i, one in enumerate(company.people):
        sheet.rows.append([
            f"P{one.number:05d}", " ".join(one.keys("account")), " ".join(one.keys("card")), one.billing,
            " ".join(one.emails), one.phone, one.region, one.segment, one.gender, one.acquired_by,
            asked.day(bought["min"][i]).isoformat(), str(bought["size"][i]), f"{one.rate:.6g}",
            f"{one.dropout_rate:.6g}", f"{one.lifetime:.6g}", f"{one.mean_spend:.6g}",
        ])  # fmt: skip
    return sheet


def _write(folder: Path, company: Company, persons: Sheet, truth: Truth) -> None:
    for path, sheet in (company.sheets | {"truth/persons.csv": persons}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(sheet.bytes())
    for path, table in company.tables.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / path, compression="zstd")
    text = json.dumps(asdict(truth), indent=1, ensure_ascii=False) + "\n"
    (folder / "truth" / "truth.json").write_text(text, encoding="utf-8")
