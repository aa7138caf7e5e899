"""The exports of each system, as sheets: what of the sales it shows, and how it writes it."""

import pandas as pd

from clvkit.simulate.people import Person
from clvkit.simulate.plan import CATEGORIES, STORES, Plan, month_after
from clvkit.simulate.sheet import Sheet, money, utc
from clvkit.simulate.trade import PER_CATEGORY

CATEGORY = {f"{c[:2].upper()}{k + 1:02d}": c for c in CATEGORIES for k in range(PER_CATEGORY)}
SHOP = (
    "order_id line_no placed_at account email country sku category qty unit_price discount tax shipping amount "
    "currency channel loaded_at"
).split()
REFUNDS = "refund_id order_id line_no refunded_at amount tax currency loaded_at".split()
TILL = "Beleg Pos Datum Filiale Kundenkarte Artikel Warengruppe Menge Preis Rabatt Betrag MwSt Währung zu_Beleg".split()
LEGACY = "receipt_nr line ts store card article group pcs price_ct discount_ct amount_ct tax_ct currency ref_receipt".split()
CRM = (
    "account loyalty_card billing_no name email phone region segment postcode birth_year gender acquired_by "
    "registered_on"
).split()
LEGACY_MONTHS = 6  # of the predecessor till; the last of them is in both


def shop_sheets(plan: Plan, lines: pd.DataFrame) -> dict[str, Sheet]:
    """One extract a month, by the shop's own clock, which is UTC: the first hour of a month is in the one before."""
    sheets: dict[str, Sheet] = {}
    for one in lines[lines["shop"]].itertuples():
        placed = utc(plan.moment(one.day, one.second))
        row = [one.order, one.line, placed, one.account, one.email, one.region, one.sku, CATEGORY[one.sku], one.qty,
               money(one.unit), money(one.discount), money(one.tax), money(one.shipping), money(one.amount),
               one.currency, one.channel, plan.day(one.day).isoformat()]  # fmt: skip
        sheet = sheets.setdefault(f"shop/orders_{placed[:7]}.csv", Sheet(list(SHOP)))
        sheet.rows.append([str(cell) for cell in row])
    return sheets


def refund_sheet(plan: Plan, back: pd.DataFrame) -> Sheet:
    """The shop's refunds that have arrived by the end."""
    sheet = Sheet(list(REFUNDS))
    arrived = back[back["shop"] & (back["day"] < plan.days)]
    for k, one in enumerate(arrived.itertuples()):
        sheet.rows.append([f"RF{70001 + k}", one.order, str(one.line), utc(plan.moment(one.day, one.second)),
                           money(one.net), money(one.tax), one.currency, plan.day(one.day).isoformat()])  # fmt: skip
    return sheet


def till_rows(plan: Plan, lines: pd.DataFrame, back: pd.DataFrame) -> list[dict]:
    """Lines of all tills by time: sales, and returns as negative lines on a receipt of their own."""
    till = lines[~lines["shop"]].assign(refers="")
    home = back[~back["shop"] & (back["day"] < plan.days)]
    unit = home["amount"] // home["qty"]
    number = [f"{STORES[int(s)][0]}-R{80001 + k}" for k, s in enumerate(home["store"])]
    returns = home.assign(refers=home["order"].where(home["named"].astype(bool), ""), order=number, line=1, unit=unit,
                          qty=-home["qty"], discount=0, amount=-home["amount"], tax=-home["tax"])  # fmt: skip
    both = pd.concat([till, returns]).sort_values(["day", "second", "order", "line"])
    return both.to_dict("records")


def till_sheets(plan: Plan, rows: list[dict]) -> dict[str, Sheet]:
    """The till of today, a file a year from the predecessor's last month on; and the predecessor's export."""
    sheets: dict[str, Sheet] = {}
    legacy = Sheet(list(LEGACY))
    opened = month_after(plan.start, LEGACY_MONTHS - 1)
    closed = month_after(plan.start, LEGACY_MONTHS)
    for one in rows:
        moment, (number, store, _) = plan.moment(one["day"], one["second"]), STORES[int(one["store"])]
        what, cash = CATEGORY[one["sku"]], (one["unit"], one["discount"], one["amount"], one["tax"])
        if moment.date() < closed:
            row = [one["order"], one["line"], moment.strftime("%Y-%m-%d %H:%M"), number, one["card"], one["sku"], what,
                   one["qty"], *cash, one["currency"], one["refers"]]  # fmt: skip
            legacy.rows.append([str(cell) for cell in row])
        if moment.date() >= opened:
            row = [one["order"], one["line"], moment.strftime("%d/%m/%Y %H:%M"), store, one["card"], one["sku"], what,
                   one["qty"], *(money(c, ",") for c in cash), one["currency"], one["refers"]]  # fmt: skip
            sheet = sheets.setdefault(f"till/{moment.year}.csv", Sheet(list(TILL), [], ";", "cp1252"))
            sheet.rows.append([str(cell) for cell in row])
    return sheets | {"legacy/till_export.csv": legacy}


def crm_sheet(plan: Plan, people: list[Person]) -> Sheet:
    """The CRM's records, in the order they were made: several of one person, and nothing that says so."""
    found = [
        (record.day, person.number, k, person, record)
        for person in people
        for k, record in enumerate(person.records)
    ]
    rows = [
        [r.account, r.card, r.billing, p.name, r.email, r.phone, p.region, p.segment, p.postcode,
         str(p.birth_year), p.gender, p.acquired_by, plan.day(day).isoformat()]
        for day, _, _, p, r in sorted(found, key=lambda one: one[:3])
    ]  # fmt: skip
    return Sheet(list(CRM), rows)
