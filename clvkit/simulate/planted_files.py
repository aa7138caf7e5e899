"""Defects of files and weeks: loads that ran twice, units that slipped, exports that broke off."""

from datetime import timedelta

from clvkit.simulate.plan import VAT_PER_MILLE, half_up
from clvkit.simulate.planting import OWN_MONTH, Exports, Hit, defect, shop_money, too_small
from clvkit.simulate.sheet import Sheet, minor_units, money

GIANT = 7_000_000  # minor units


@defect("a week of the till in which amounts are a hundred times too large")
def unit_slip(exports: Exports, rng) -> Hit:
    """Cents read as whole units, after an update."""
    first, hit = exports.plan.months[-5], Hit()
    path = f"till/{first.year}.csv"
    sheet = exports.sheets.get(path, Sheet([]))
    week = {(first + timedelta(days=k)).strftime("%d/%m/%Y") for k in range(7)}
    for row in sheet.rows:
        if row[sheet.at("Datum")][:10] in week:
            before = minor_units(row[sheet.at("Betrag")])
            for column in ("Preis", "Rabatt", "Betrag", "MwSt"):
                row[sheet.at(column)] = money(100 * minor_units(row[sheet.at(column)]), ",")
            where = f"{row[sheet.at('Beleg')]}/{row[sheet.at('Pos')]}"
            hit.add(path, where, row[sheet.at("Währung")], 99 * before)
    return _found(hit, "unit_slip")


@defect("a year of the till with dates written month first")
def swapped_day_month(exports: Exports, rng) -> Hit:
    """Counted are the rows whose date has another text."""
    path, hit = f"till/{exports.plan.start.year + 1}.csv", Hit()
    sheet = exports.sheets.get(path, Sheet([]))
    for row in sheet.rows:
        text = row[sheet.at("Datum")]
        row[sheet.at("Datum")] = f"{text[3:5]}/{text[:2]}{text[5:]}"
        if text != row[sheet.at("Datum")]:
            hit.add(path, f"{row[sheet.at('Beleg')]}/{row[sheet.at('Pos')]}")
    return _found(hit, "swapped_day_month")


@defect("in a year of the till, one row in five with a day up to the twelfth has day and month exchanged")
def exchanged_early_days(exports: Exports, rng) -> Hit:
    """What a spreadsheet does that reads dates its own way: other days are left as they are."""
    path, hit = f"till/{exports.plan.start.year + 1}.csv", Hit()
    sheet = exports.sheets.get(path, Sheet([]))
    at = sheet.at("Datum") if sheet.header else 0
    for row in sheet.rows:
        day, month, rest = row[at][:2], row[at][3:5], row[at][5:]
        if int(day) <= 12 and day != month and rng.random() < 0.2:
            row[at] = f"{month}/{day}{rest}"
            hit.add(path, f"{row[sheet.at('Beleg')]}/{row[sheet.at('Pos')]}")
    return _found(hit, "exchanged_early_days")


@defect("ten days without shop orders; their refunds are missing too, and the general ledger has both")
def outage(exports: Exports, rng) -> Hit:
    """An interface that stood still."""
    path, sheet = exports.own_month("outage")
    hit, days = Hit(), range(10, 20)
    gone = [row for row in sheet.rows if int(row[sheet.at("placed_at")][8:10]) in days]
    sheet.rows = [row for row in sheet.rows if int(row[sheet.at("placed_at")][8:10]) not in days]
    for row in gone:
        minor = minor_units(row[sheet.at("amount")])
        hit.add(path, f"{row[0]}/{row[1]}", row[sheet.at("currency")], -minor)
    refunds, orders = exports.sheets["shop/refunds.csv"], {row[0] for row in gone}
    for row in [one for one in refunds.rows if one[1] in orders]:
        refunds.rows.remove(row)
        hit.add(
            "shop/refunds.csv", row[0], row[refunds.at("currency")], minor_units(row[refunds.at("amount")])
        )
    return _found(hit, "outage")


@defect("a month of the shop in which amounts include tax")
def tax_included_mixup(exports: Exports, rng) -> Hit:
    """Another setting of the export."""
    path, sheet = exports.own_month("tax_included_mixup")
    hit = Hit()
    for row in sheet.rows:
        tax = minor_units(row[sheet.at("tax")])
        row[sheet.at("amount")] = money(minor_units(row[sheet.at("amount")]) + tax)
        if tax:
            hit.add(path, f"{row[0]}/{row[1]}", row[sheet.at("currency")], tax)
    return _found(hit, "tax_included_mixup")


@defect("the last half of a month's shop lines was loaded a hundred days later")
def late_rows(exports: Exports, rng) -> Hit:
    """What a look at the books of that time could not have seen."""
    path, sheet = exports.own_month("late_rows")
    hit, month = Hit(), exports.plan.months[OWN_MONTH["late_rows"]]
    for row in sheet.rows[-(len(sheet.rows) // 2) or len(sheet.rows) :]:
        row[sheet.at("loaded_at")] = (month + timedelta(days=130)).isoformat()
        hit.add(path, f"{row[0]}/{row[1]}")
    return _found(hit, "late_rows")


@defect("an order of 70,000 and its cancellation twelve minutes later")
def giant_cancelled_pair(exports: Exports, rng) -> Hit:
    """Nets to nothing, and would be the best customer's best day."""
    path, sheet = exports.own_month("giant_cancelled_pair")
    at = next((k for k, row in enumerate(sheet.rows) if row[sheet.at("account")]), None)
    if at is None:
        raise too_small("giant_cancelled_pair")
    row, refunds, hit = list(sheet.rows[at]), exports.sheets["shop/refunds.csv"], Hit()
    vat = half_up(GIANT * VAT_PER_MILLE[row[sheet.at("country")]], 1000)
    new = {"order_id": f"{row[0]}-G", "line_no": "1", "qty": "1000", "unit_price": money(GIANT // 1000),
           "discount": money(0), "tax": money(vat), "shipping": money(0), "amount": money(GIANT)}  # fmt: skip
    day = row[sheet.at("placed_at")][:10]
    # Noon and after: the same day by every clock.
    new |= {"placed_at": f"{day}T12:00:00Z", "loaded_at": day}
    for column, value in new.items():
        row[sheet.at(column)] = value
    sheet.rows.insert(_by_time(sheet, "placed_at", new["placed_at"]), row)
    currency, cancelled = row[sheet.at("currency")], f"{day}T12:12:00Z"
    back = ["RF990001", row[0], "1", cancelled, money(GIANT), money(vat), currency, day]
    refunds.rows.insert(_by_time(refunds, "refunded_at", cancelled), back)
    hit.add(path, f"{row[0]}/1", currency, GIANT)
    hit.add("shop/refunds.csv", back[0], currency, -GIANT)
    return hit


def _by_time(sheet: Sheet, column: str, moment: str) -> int:
    """Where a row of that moment belongs."""
    return next((k for k, row in enumerate(sheet.rows) if row[sheet.at(column)] > moment), len(sheet.rows))


@defect("a currency without rates for a month")
def missing_rate(exports: Exports, rng) -> Hit:
    """Counted are the days."""
    sheet, hit, path = exports.sheets["erp/rates.csv"], Hit(), "erp/rates.csv"
    month, currency = exports.plan.months[OWN_MONTH["missing_rate"]], sheet.rows[-1][1]
    gone = [row for row in sheet.rows if row[0].startswith(f"{month:%Y-%m}") and row[1] == currency]
    sheet.rows = [row for row in sheet.rows if row not in gone]
    for row in gone:
        hit.add(path, f"{row[0]} {currency}")
    return hit


@defect("a month's extract also holds the first ten days of the next month")
def overlap_extract(exports: Exports, rng) -> Hit:
    """The same lines in two files."""
    path, sheet = exports.own_month("overlap_extract")
    following = exports.sheets.get(exports.month_path(OWN_MONTH["overlap_extract"] + 1), Sheet([]))
    again = [list(row) for row in following.rows if int(row[following.at("placed_at")][8:10]) <= 10]
    sheet.rows += again
    return _found(_added(path, sheet, again), "overlap_extract")


@defect("a month of the shop was loaded twice, under another name")
def double_load(exports: Exports, rng) -> Hit:
    """A copy, byte for byte."""
    path, sheet = exports.own_month("double_load")
    copy = path.replace(".csv", "_copy.csv")
    exports.sheets[copy] = Sheet(sheet.header, [list(row) for row in sheet.rows])
    return _added(copy, sheet, sheet.rows)


@defect("a second version of a closed month, in which one amount is 10.00 higher")
def restated_month(exports: Exports, rng) -> Hit:
    """Counted are all lines of the second version; ``where`` names the one that differs."""
    path, sheet = exports.own_month("restated_month")
    second = path.replace(".csv", "_v2.csv")
    rows = [list(row) for row in sheet.rows]
    exports.sheets[second] = Sheet(sheet.header, rows)
    changed = rows[int(rng.integers(len(rows)))]
    changed[sheet.at("amount")] = money(minor_units(changed[sheet.at("amount")]) + 1000)
    hit = _added(second, sheet, rows)
    hit.where = [f"{changed[0]}/{changed[1]}"]
    return hit


def _added(path: str, sheet: Sheet, rows: list[list[str]]) -> Hit:
    return Hit({path}, len(rows), shop_money(sheet, rows), [f"{row[0]}/{row[1]}" for row in rows])


@defect("a month of the shop written in cp1252 where the others are UTF-8")
def wrong_encoding_file(exports: Exports, rng) -> Hit:
    """Counted are the lines with letters that differ."""
    path, sheet = exports.own_month("wrong_encoding_file")
    sheet.encoding, hit = "cp1252", Hit()
    for row in sheet.rows:
        if not all(cell.isascii() for cell in row):
            hit.add(path, f"{row[0]}/{row[1]}")
    return _found(hit, "wrong_encoding_file")


@defect("up to 5 lines of a month have semicolons where the others have commas")
def wrong_delimiter_line(exports: Exports, rng) -> Hit:
    """Lines pasted from another export."""
    path, sheet = exports.own_month("wrong_delimiter_line")
    hit = Hit()
    for at in sorted(rng.choice(len(sheet.rows), min(5, len(sheet.rows)), replace=False)):
        row = sheet.rows[at]
        for currency, minor in shop_money(sheet, [row]).items():
            hit.add(path, f"{row[0]}/{row[1]}", currency, -minor)
        sheet.rows[at] = [";".join(row)]
    return hit


@defect("the last line of a month's extract is cut in two")
def truncated_file(exports: Exports, rng) -> Hit:
    """A disk that was full."""
    path, sheet = exports.own_month("truncated_file")
    row, hit = sheet.rows[-1], Hit()
    sheet.cut = len(",".join(row)) // 2
    hit.add(path, f"{row[0]}/{row[1]}", row[sheet.at("currency")], -minor_units(row[sheet.at("amount")]))
    return hit


def _found(hit: Hit, name: str) -> Hit:
    if not hit.rows:
        raise too_small(name)
    return hit
