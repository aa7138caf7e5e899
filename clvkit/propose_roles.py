"""Which column is the customer, the date, the amount: by its name, in four languages, and by what is in it."""

import json
import re
import unicodedata
from difflib import SequenceMatcher
from itertools import islice

from clvkit.errors import DataError
from clvkit.privacy import masked
from clvkit.propose_look import Column, Source

_CODE = re.compile(r"[A-Za-z][A-Za-z _-]{0,14}")
MOST_CODES = 30  # words in a column of codes: more are names
USUAL = 0.9  # share of the rows that have digits in a column of codes
CLOSE = 0.1  # two columns whose scores differ by less fit about equally
# Names of columns in English, German, French and Spanish, without accents, blanks and signs.
_WORDS = {
    "date": "date datum day tag orderdate invoicedate purchasedate transactiondate saledate createdat placedat "
    "purchasedat orderedat timestamp datetime bestelldatum rechnungsdatum kaufdatum belegdatum buchungsdatum jour "
    "datecommande datefacture dateachat fecha dia fechapedido fechafactura fechacompra",
    "customer": "customer customerid customerno customernumber custid client clientid buyer buyerid user userid "
    "member memberid account accountid accountno shopper household householdkey kunde kundenid kundennr "
    "kundennummer kdnr debitor debitorennr idclient numeroclient noclient acheteur cliente clienteid idcliente "
    "numerocliente comprador",
    "amount": "amount total revenue sales net netamount gross grossamount value spend linetotal totalprice "
    "ordertotal totalamount turnover betrag umsatz summe nettobetrag bruttobetrag gesamtpreis gesamtbetrag "
    "warenwert montant chiffredaffaires montantht montantttc importe monto ventas importetotal",
    "quantity": "quantity qty units unitssold menge anzahl stuck stuckzahl quantite qte nombre cantidad unidades",
    "price": "unitprice price itemprice priceperunit preis einzelpreis stuckpreis prixunitaire prix "
    "preciounitario precio",
    "order": "order orderid orderno ordernumber invoice invoiceno invoiceid invoicenumber transactionid receipt "
    "receiptno basketid bestellung bestellnr bestellnummer auftrag auftragsnr rechnung rechnungsnr rechnungsnummer "
    "beleg belegnr belegnummer bonnr commande numerocommande nocommande facture numerofacture pedido idpedido "
    "numeropedido factura numerofactura",
    "line_id": "line lineid lineno lineitemid orderlineid rowid position positionid zeile zeilennr postenid ligne "
    "idligne linea idlinea",
    "product": "product productid sku stockcode item itemid itemno article articleid ean gtin asin artikel artikelnr "
    "artikelnummer produkt produktnr produit reference codearticle producto articulo idproducto",
    "currency": "currency currencycode ccy waehrung wahrung wahrungscode devise monnaie moneda divisa",
    "segment": "segment region country channel market store plan land kanal filiale vertriebskanal pays canal "
    "magasin pais tienda",
}
_VOCABULARY = {role: tuple(words.split()) for role, words in _WORDS.items()}
# A date, amount or customer of these is another thing than the purchase's.
_OTHER = {
    "date": r"birth|geburt|naissance|nacimiento|ship|deliver|liefer|livraison|entrega|due|fallig|update|modif|load",
    "amount": r"discount|rabatt|remise|descuento|tax|steuer|mwst|vat|tva|iva|ship|versand|port|count|qty|quantity",
    "customer": r"name|email|mail|phone|tel|type|group|segment|country|city|since|service",
    "order": r"date|status|type|line|total|qty|quantity",
    "product": r"name|price|desc|categor|group",
    "price": r"total|gesamt",
}


def _plain(name: str) -> str:
    """A name as the vocabulary has it: small letters and digits."""
    name = unicodedata.normalize("NFKD", name.replace("ß", "ss").replace("№", "no")).lower()
    return re.sub(r"[^a-z0-9]", "", name)


def _name_score(role: str, name: str) -> float:
    """How well a column's name says its role: 1 in so many words, 0 not at all."""
    plain = _plain(name[:60])
    words = _VOCABULARY[role]
    if plain in words:
        return 1.0
    if (other := _OTHER.get(role)) and re.search(other, plain):
        return 0.0
    if any(len(w) >= 4 and (plain.startswith(w) or plain.endswith(w)) for w in words):
        return 0.8
    return 0.7 if any(SequenceMatcher(None, plain, w).ratio() >= 0.85 for w in words if len(w) >= 5) else 0.0


def _content_score(role: str, column: Column, day: Column | None) -> float:
    """How well the values of a column fit a role, from 0 to 1."""
    if not column.there or (column.is_date and role != "date"):
        return 0.0
    rows, different = column.there, len(column.counts)
    ratio = different / rows
    numeric = column.kind == "number" or column.numbers.share >= 0.9
    padded = any(re.match(r"0\d", v) for v in list(column.counts)[:1000])
    if role == "date":
        if not column.is_date:
            return 0.0
        separated = column.kind == "date" or re.search(r"%.[^%]", column.glance.rivals[0].format)
        return (1.0 if separated else 0.6) * (1 - column.missing)
    if role in ("amount", "price", "quantity"):
        if not numeric or padded:
            return 0.0
        if role == "quantity":
            return 1.0 if column.fractional < 0.5 else 0.4
        return 1.0 if column.fractional >= 0.2 else 0.5 if ratio < 0.9 or rows < 20 else 0.1
    if role == "currency":
        from babel.numbers import list_currencies

        return float(set(column.counts) <= list_currencies())
    if role == "segment":
        return 1.0 if different <= max(2, min(100, rows // 5)) else 0.0
    if numeric and column.fractional >= 0.2:
        return 0.0
    if role == "line_id":
        return 1.0 if ratio >= 0.98 and column.missing < 0.01 else 0.0
    if role in ("order", "product"):
        return 1.0
    if ratio == 1 and rows >= 20:
        return 0.0
    score = 1.0 if different >= min(50, rows / 10) and rows / different <= 300 else 0.5
    score *= 0.6 if sum(" " in v for v in list(column.counts)[:1000]) > 0.5 * min(different, 1000) else 1.0
    return score * (0.4 + 0.6 * _returns(column, day)) if day else score


def _returns(column: Column, day: Column) -> float:
    """Share of the values that stand in several rows which do so on several days: customers, not orders."""
    seen: dict[str, set[str]] = {}
    rows = zip(column.values, day.values, strict=True)
    for value, moment in islice(rows, 50_000):
        if value and moment and column.counts[value.strip()] > 1:
            seen.setdefault(value.strip(), set()).add(moment[:10])
    return sum(len(days) > 1 for days in seen.values()) / len(seen) if seen else 0.0


def find_roles(source: Source) -> dict[str, Column]:
    """The column of each role. What is required and not found is an error that says what there is."""
    found: dict[str, Column] = {}
    _choose("date", source, found, required=True)
    for role in ("currency", "quantity", "price", "amount", "customer"):
        _choose(role, source, found, required=role == "customer")
    if "amount" not in found and not {"quantity", "price"} <= set(found):
        if price := found.pop("price", None):
            source.doubt(
                "ledger.columns.amount", f"{price.name} may be the price of one piece: no quantity was found"
            )
            found["amount"] = price
        else:
            found.pop("quantity", None)
            _choose("amount", source, found, required=True)
    elif "amount" in found:
        found.pop("price", None)
    for role in ("order", "line_id", "product", "segment"):
        _choose(role, source, found)
    if (
        "quantity" in found
        and "price" in found
        and _plain(found["price"].name) in ("price", "preis", "prix", "precio")
    ):
        source.doubt("ledger.columns.price", f"{found['price'].name} may be the amount of the row already")
    return found


def _choose(role: str, source: Source, found: dict[str, Column], required: bool = False) -> None:
    taken = {c.name for c in found.values()}
    scored = []
    for column in source.columns:
        content = 0.0 if column.name in taken else _content_score(role, column, found.get("date"))
        named = _name_score(role, column.name) if source.named else 0.0
        likely = role == "line_id" and len(source.columns) > 3 and column.there >= 50 and not source.named
        if content > 0 and (named >= 0.7 or likely or (required and content >= 0.5)):
            scored.append((0.65 * named + 0.35 * content, named, content, column))
    scored.sort(key=lambda item: -item[0])
    if not scored:
        if required:
            raise _nothing(role, source)
        return
    total, named, content, best = scored[0]
    found[role] = best
    key = f"ledger.columns.{role}"
    rivals = [column.name for score, *_, column in scored[1:] if score >= total - CLOSE]
    if rivals:
        names = [best.name, *rivals[:3]]
        shown = "" if source.named else f" ({'; '.join(_looks(source, name) for name in names)})"
        source.doubt(key, f"{', '.join(names)} fit about equally; write the right one{shown}")
    elif named < 0.7:
        source.doubt(key, f"found by what is in it alone: {best.described}")
    elif named < 1:
        source.doubt(key, f"found by a name that is near to the usual ones: {best.described}")


def _looks(source: Source, name: str) -> str:
    """A column with the shapes of two of its values, masked: ``2 like 99999, 99999X``."""
    column = next(one for one in source.columns if one.name == name)
    shapes = [masked(value) for value in islice(column.counts, 1000)]
    return f"{name} like {', '.join(list(dict.fromkeys(shapes))[:2])}"


def not_sales(source: Source, roles: dict[str, Column]) -> str | None:
    """A hint at codes of fees and postage among those of products: short words where nearly all others have digits."""
    dated = [c for c in source.columns if c.kind is None and not c.is_date and c.there]
    if "product" in roles:
        dated = [c for c in dated if c.name == roles["product"].name]
    elif source.named:
        return None
    for column in dated:
        words = {v: n for v, n in column.counts.items() if _CODE.fullmatch(v)}
        with_digits = sum(n for v, n in column.counts.items() if re.search(r"\d", v))
        if words and len(words) <= MOST_CODES and with_digits >= USUAL * column.there:
            listed = sorted(words, key=lambda v: (-words[v], v))
            shown = ", ".join(listed[:8]) + (", ..." if len(listed) > 8 else "")
            where = "" if "product" in roles else f"write product: {json.dumps(column.name)} here and "
            return (
                f"{column.name} has words among codes with digits: {shown} ({sum(words.values()):,} rows). If they are postage, "
                f"fees or adjustments, {where}name them below ledger, such as not_sales: {{fees: [{json.dumps(listed[0])}]}}"
            )
    return None


def _nothing(role: str, source: Source) -> DataError:
    wanted = {
        "date": "the day of the purchase: none has dates",
        "customer": "the customer: none has values that come again on several days",
        "amount": "the amount: none has numbers that look like money",
    }[role]
    serial = next((c for c in source.columns if c.kind is None and c.glance.serial), None)
    fix = "name a table with a row per purchase: who bought, on which day, for how much"
    if role == "date" and serial and (not source.named or _name_score("date", serial.name)):
        fix = f"{serial.name!r} looks like {serial.glance.serial} numbers: write them out as dates, such as 2024-01-31"
    shown = "; ".join(f"{c.name[:40]}: {c.described}" for c in source.columns[:20])
    more = f"; and {len(source.columns) - 20} more" if len(source.columns) > 20 else ""
    return DataError(
        f"{source.name} has no column for {wanted}. Found {shown}{more}", place=source.name, fix=fix
    )
