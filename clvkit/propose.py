"""Look at a file or table never seen before, and propose a study for it with every doubt marked."""

import os
import re
import textwrap
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from difflib import SequenceMatcher
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, get_args

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from clvkit.errors import DataError, StudyError
from clvkit.ledger import detect
from clvkit.ledger.columns import names_in_order
from clvkit.ledger.detect import Dates, Numbers, ask, date_formats, days_of, decimal_sign
from clvkit.ledger.engine import connect
from clvkit.ledger.files import ENDINGS, SourceFile, source_files
from clvkit.ledger.section import LedgerColumns, LedgerSection

FILES_LOOKED_AT = 3
CLOSE = 0.1  # two columns whose scores differ by less fit about equally
_SIGNS = {"€": "EUR", "£": "GBP", "₹": "INR", "$": "USD", "¥": "JPY"}
_SHARED_SIGNS = {"$": "the US, Canadian, Australian and other dollars", "¥": "the yen and the yuan"}
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
_TEXTS = {
    "customer": "names the customer",
    "date": "day of the purchase",
    "amount": "in the currency above",
    "quantity": "pieces; the amount of a row is quantity x price",
    "price": "of one piece",
    "order": "identifies the order",
    "line_id": "identifies a source line",
    "product": "what was bought",
    "currency": "ISO 4217 code of the row's amount",
    "segment": "to report by",
}


@dataclass(frozen=True)
class Proposal:
    """A proposed study.

    ``yaml`` is its text, ready to save; ``unsure`` has what is marked ``# UNSURE`` in it, each with its key;
    ``columns`` the column found for each role, also for roles that the study has no field for.
    """

    yaml: str
    unsure: tuple[str, ...]
    columns: dict[str, str]


@dataclass
class _Column:
    """A column as text, in the order of its rows; ``kind`` is date or number where the source has types."""

    name: str
    values: list[str | None]
    kind: str | None = None

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(v.strip() for v in self.values if v is not None and v.strip() not in detect.MISSING)

    @property
    def there(self) -> int:
        return self.counts.total()

    @property
    def missing(self) -> float:
        return 1 - self.there / len(self.values)

    @cached_property
    def numbers(self) -> Numbers:
        return decimal_sign(
            self.values[:20_000] + self.values[-2_000:] if len(self.values) > 22_000 else self.values
        )

    @cached_property
    def glance(self) -> Dates:
        """Dates in a part of the rows: enough to see whether the column is one of dates."""
        there = [v for v in self.values[:20_000] if v is not None]
        return date_formats(there[:1000] + there[1000:][-500:])

    @cached_property
    def dates(self) -> Dates:
        return date_formats(self.values)

    @property
    def is_date(self) -> bool:
        return self.kind == "date" or (self.kind is None and self.glance.share >= 0.8)

    @cached_property
    def fractional(self) -> float:
        """Share of the values with something behind a decimal sign."""
        hits = sum(n for v, n in self.counts.items() if re.search(r"[.,]\d*[1-9]\d?\D*$|[.,]\d{2}\D*$", v))
        return hits / self.there if self.there else 0.0

    @property
    def described(self) -> str:
        if not self.there:
            return "empty"
        sample = textwrap.shorten(next(iter(self.counts)), 30, placeholder="...")
        if self.is_date:
            return "dates" if self.kind else f"dates as {self.glance.rivals[0].format}"
        if self.kind is None and self.glance.serial and _name_score("date", self.name):
            return f"{self.glance.serial} numbers, such as {sample}"
        kind = "numbers" if self.numbers.share >= 0.9 else "text"
        return f"{kind}, {len(self.counts):,} different in {self.there:,} rows, such as {sample!r}"


@dataclass
class _Source:
    """What was seen of a source: its columns, the settings that read it, and what is not sure."""

    name: str
    columns: list[_Column]
    settings: dict[str, Any]
    named: bool = True
    whole: bool = True
    files: int = 1
    table: ir.Table | None = None
    unsure: dict[str, list[str]] = field(default_factory=dict)

    def doubt(self, key: str, text: str) -> None:
        self.unsure.setdefault(key, []).append(text)


def write_proposal(data: "Path | str | ir.Table", to: Path | None = None) -> str:
    """Propose a study, save it where ``to`` says, and return what to print: the study, or what to look at.

    Raises
    ------
    StudyError : ``to`` exists already, or cannot be written.
    DataError : the data cannot be read, or have no columns for a study.
    """
    if to is None:
        return propose_study(data).yaml
    to = Path(to)
    if to.exists():
        raise _exists(to)
    proposal = propose_study(data, base=to.parent)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with open(to, "x", encoding="utf-8") as file:
            file.write(proposal.yaml)
    except FileExistsError:
        raise _exists(to) from None
    except OSError as error:
        raise StudyError(
            f"{to} cannot be written: {error.strerror}", place=str(to), fix="name another file"
        ) from error
    asked = "".join(f"\n  {item}" for item in proposal.unsure)
    return (
        f"{to} is written. Settle what is marked UNSURE in it ({len(proposal.unsure)}):{asked}\n"
        f"Then: clv check {to}"
    )


def _exists(to: Path) -> StudyError:
    return StudyError(
        f"{to} exists already and is not overwritten",
        place=str(to),
        fix="give --to another file, or move this one",
    )


def propose_study(
    data: "Path | str | ir.Table", name: str | None = None, base: Path | None = None
) -> Proposal:
    """Propose a study for data never seen before.

    Parameters
    ----------
    data : a CSV or Parquet file, a folder or pattern of them, or an Ibis table.
    name : of the study; made from the data's by default.
    base : folder the study will lie in, from which its path counts; the current folder by default.

    Raises
    ------
    DataError : the data cannot be read, or no column can be the customer, the date or the amount; says what
        was found in each.
    """
    base = Path(base or ".")
    source = _look_at_table(data, base) if isinstance(data, ir.Table) else _look_at_files(Path(data), base)
    if not source.columns or not source.columns[0].values:
        raise DataError(f"{source.name} has no rows", place=source.name, fix="check that the export finished")
    roles = _roles(source)
    return _written(source, roles, name)


def _look_at_files(data: Path, base: Path) -> _Source:
    known = data.name.lower().endswith(sum(ENDINGS.values(), ()))
    form = "auto"
    if data.is_file() and not known:
        with open(data, "rb") as file:
            form = "parquet" if file.read(4) == b"PAR1" else "csv"
    files = source_files(LedgerSection(path=str(data), format=form), Path("."))
    path = Path(os.path.relpath(data, base)).as_posix()
    settings = {"path": path} | ({"format": form} if form != "auto" else {})
    chosen = list(dict.fromkeys((files[0], files[len(files) // 2], files[-1])))[:FILES_LOOKED_AT]
    look = _look_at_parquet if files[0].format == "parquet" else _look_at_csv
    source = look(chosen, _Source(data.name, [], settings, files=len(files)))
    if len(files) > len(chosen):
        source.whole = False
        shown = ", ".join(f.name for f in chosen)
        source.doubt("ledger.path", f"{len(chosen)} of {len(files)} files were looked at: {shown}")
    return source


def _look_at_csv(files: list[SourceFile], source: _Source) -> _Source:
    looks = [detect.encodings(file.path) for file in files]
    guesses = next((g for g in looks if not g[0].certain), looks[0])
    source.settings["encoding"] = guesses[0].encoding
    if not guesses[0].certain:
        others = "; ".join(g.why.removeprefix("not valid UTF-8; ") for g in guesses[1:])
        also = f"; less likely, {others}" if others and not guesses[0].ambiguous else f"; or {others}"
        source.doubt("ledger.encoding", guesses[0].why + (also if others else ""))
    encoding = source.settings["encoding"]
    signs = detect.delimiter(files[0].path, encoding)
    if not signs:
        raise DataError(
            f"{files[0].name} has no columns: no comma, semicolon, tab or | stands equally often in its lines",
            place=files[0].name,
            fix="name a table with one of these signs between its columns",
        )
    sign = signs[0].sign
    source.settings["delimiter"] = sign
    if signs[0].ambiguous:
        rivals = " and ".join(f"{d.sign!r} ({d.columns} columns)" for d in signs[:2])
        source.doubt("ledger.delimiter", f"two signs split the lines equally well, {rivals}")
    head = detect.header(files[0].path, encoding, sign)
    source.settings["header"] = source.named = head.names
    if not head.certain:
        source.doubt("ledger.header", head.why)
    names, rows = None, []
    for file in files:
        found = detect.read_rows(file.path, encoding, sign)
        if not found.rows:
            raise DataError(
                f"{file.name} has a quote that opens and never closes",
                place=file.name,
                fix="correct the quote in the source, or export it again",
            )
        top = [n.strip() for n in found.rows[0]] if head.names else names_in_order(len(found.rows[0]))
        names = names or top
        if top != names:
            source.doubt(
                "ledger.path", f"{file.name} has other columns than {files[0].name}: {', '.join(top[:12])}"
            )
            continue
        rows += [row for row in (found.rows[1:] if head.names else found.rows) if len(row) == len(names)]
        source.whole &= found.whole
    columns = zip(*rows, strict=True) if rows else [[] for _ in names]
    source.columns = [_Column(n, list(v)) for n, v in zip(names, columns, strict=True) if n]
    return source


def _look_at_parquet(files: list[SourceFile], source: _Source) -> _Source:
    con = connect()
    try:
        table = con.read_parquet([str(file.path) for file in files])
        return _with_table(source, table)
    except (OSError, duckdb.Error) as error:
        raise DataError(
            f"{source.name} is not readable as Parquet: {error}", place=source.name, fix="export it again"
        ) from error


def _look_at_table(table: ir.Table, base: Path) -> _Source:
    name = table.get_name() if hasattr(table.op(), "name") else "query"
    source = _Source(name, [], {})
    if "database" not in LedgerSection.model_fields:
        source.settings["path"] = f"{name}.parquet"
        source.doubt(
            "ledger.path", f"a study reads files: write the table {name} to this one, or name another"
        )
        return _with_table(source, table)
    backend = table.get_backend()
    place = next(iter(getattr(backend, "_con_args", ())), None)  # the file, of an engine that lies in one
    if backend.name in ("duckdb", "sqlite") and isinstance(place, str | Path) and Path(place).is_file():
        source.settings["database"] = f"{backend.name}:{Path(os.path.relpath(place, base)).as_posix()}"
    else:
        source.settings["database"] = f"{backend.name}:FILL"
        source.doubt(
            "ledger.database", "write where the table lies: duckdb:FILE, sqlite:FILE or env:VARIABLE"
        )
    source.settings["relation"] = name
    if LedgerSection.model_fields["path"].is_required():
        source.settings["path"] = f"{name}.parquet"
    return _with_table(source, table)


def _with_table(source: _Source, table: ir.Table) -> _Source:
    """Columns of a typed table, from a bounded number of its rows."""
    kinds = {}
    for column, kind in table.schema().items():
        if kind.is_date() or kind.is_timestamp():
            kinds[column] = "date"
        elif kind.is_numeric() and not kind.is_boolean():
            kinds[column] = "number"
        elif kind.is_string():
            kinds[column] = None
    sample: pa.Table = (
        table.select(**{c: table[c].cast("string") for c in kinds}).limit(detect.MAX_ROWS).to_pyarrow()
    )
    source.whole &= len(sample) < detect.MAX_ROWS
    source.columns = [_Column(c, sample[c].to_pylist(), kind) for c, kind in kinds.items()]
    source.table = table
    return source


def _plain(name: str) -> str:
    """A name as the vocabulary has it: small letters and digits."""
    name = unicodedata.normalize("NFKD", name.replace("ß", "ss").replace("№", "no")).lower()
    return re.sub(r"[^a-z0-9]", "", name)


def _name_score(role: str, name: str) -> float:
    """How well a column's name says its role: 1 in so many words, 0 not at all."""
    plain = _plain(name)
    words = _VOCABULARY[role]
    if plain in words:
        return 1.0
    if (other := _OTHER.get(role)) and re.search(other, plain):
        return 0.0
    if any(len(w) >= 4 and (plain.startswith(w) or plain.endswith(w)) for w in words):
        return 0.8
    return 0.7 if any(SequenceMatcher(None, plain, w).ratio() >= 0.85 for w in words if len(w) >= 5) else 0.0


def _content_score(role: str, column: _Column, day: _Column | None) -> float:
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


def _returns(column: _Column, day: _Column) -> float:
    """Share of the values that stand in several rows which do so on several days: customers, not orders."""
    seen: dict[str, set[str]] = {}
    rows = zip(column.values, day.values, strict=True)
    for value, moment in islice(rows, 50_000):
        if value and moment and column.counts[value.strip()] > 1:
            seen.setdefault(value.strip(), set()).add(moment[:10])
    return sum(len(days) > 1 for days in seen.values()) / len(seen) if seen else 0.0


def _roles(source: _Source) -> dict[str, _Column]:
    """The column of each role. What is required and not found is an error that says what there is."""
    found: dict[str, _Column] = {}
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


def _choose(role: str, source: _Source, found: dict[str, _Column], required: bool = False) -> None:
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
        source.doubt(key, f"{', '.join([best.name, *rivals[:3]])} fit about equally; write the right one")
    elif named < 0.7:
        source.doubt(key, f"found by what is in it alone: {best.described}")
    elif named < 1:
        source.doubt(key, f"found by a name that is near to the usual ones: {best.described}")


def _nothing(role: str, source: _Source) -> DataError:
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


def _date_format(source: _Source, column: _Column) -> str | None:
    """The format for the study's field, with what is not sure of it; the one that days are read by here."""
    if column.kind == "date":
        return None
    dates, key = column.dates, "ledger.date_format"
    best = dates.rivals[0]
    if dates.ambiguous:
        question = ask(dates, column.name)
        source.doubt(key, f"{question.message}. {question.fix}".replace("set ledger.date_format to", "Write"))
    elif best.read < dates.values:
        missed = f"{dates.values - best.read:,} of {dates.values:,} dates are not read, such as {', '.join(best.unread)}"
        source.doubt(key, missed)
    if dates.two_digit_years:
        source.doubt(key, f"years have two digits; the dates are read as {best.first} to {best.last}")
    return best.format


def _last_complete_day(source: _Source, column: _Column, form: str | None) -> tuple[date, date, str]:
    """First day, last day that looks complete, and the reason for it."""
    if form is None and source.table is not None:
        day = source.table[column.name].cast("date")
        counted = source.table.group_by(day=day).agg(rows=ibis._.count()).to_pyarrow().to_pylist()
        rows = Counter({r["day"]: r["rows"] for r in counted if r["day"]})
    else:
        read = days_of(column.values, form or "%Y-%m-%d")
        rows = Counter({date.fromordinal(d): n for d, n in Counter(read[read >= 0].tolist()).items()})
    known = sorted(d for d in rows if date(1980, 1, 1) <= d <= date.today()) or sorted(rows)
    last, passed = known[-1], ""
    for _ in range(7):
        weeks, days = [[last - timedelta(days=d) for d in steps] for steps in (range(7, 57, 7), range(1, 15))]
        same = [rows[d] for d in weeks if d in rows]
        usual, what = (
            (same, "such a weekday") if len(same) >= 4 else ([rows[d] for d in days if d in rows], "a day")
        )
        # Fewer than half, and by more than chance makes of a small number.
        if len(usual) < 3 or rows[last] >= min(median(usual) / 2, median(usual) - 3 * median(usual) ** 0.5):
            break
        passed += f"{last} has {rows[last]:,} rows where {what} has {median(usual):,.0f}; "
        last = max(d for d in known if d < last)
    limit = (
        ""
        if source.whole or (form is None and source.table is not None)
        else " of the part that was looked at"
    )
    return known[0], last, f"{passed}the last day that looks complete{limit}"


def _currency(source: _Source, roles: dict[str, _Column]) -> str:
    """The study's currency from a column or from signs in the amounts; XXX (no currency) where neither tells."""
    money = roles.get("amount") or roles["price"]
    if "currency" in roles:
        common = roles["currency"].counts.most_common()
        if len(common) > 1:
            shown = ", ".join(f"{code} ({n:,} rows)" for code, n in common[:5])
            source.doubt("currency", f"the rows are in several: {shown}. Write the one to report in")
        return common[0][0]
    signs = [] if money.kind else money.numbers.currencies
    if signs:
        shown = " ".join(signs)
        key = "ledger.columns.amount" if "amount" in roles else "ledger.columns.price"
        source.doubt(key, f"its numbers are written with {shown}; `clv check` says whether they are read")
        code = _SIGNS.get(signs[0], signs[0])
        if signs[0] in _SHARED_SIGNS:
            source.doubt("currency", f"{signs[0]} stands for {_SHARED_SIGNS[signs[0]]}")
        if len(signs) > 1:
            source.doubt("currency", f"the amounts have several signs: {shown}")
        from babel.numbers import list_currencies

        if code in list_currencies():
            return code
    source.doubt(
        "currency", "no column or sign tells it. Write its ISO 4217 code, such as EUR or USD, for XXX"
    )
    return "XXX"


def _money_settings(source: _Source, roles: dict[str, _Column]) -> dict[str, Any]:
    """Decimal sign and sign between thousands; doubts about the amounts and customers are noted."""
    role = "amount" if "amount" in roles else "price"
    money, key = roles[role], f"ledger.columns.{role}"
    refunds = roles["quantity"] if role == "price" else money
    below = sum(n for v, n in refunds.counts.items() if v.startswith("-"))
    if below:
        source.doubt(
            key,
            f"{below:,} of {refunds.there:,} rows are below zero: refunds or corrections? See ledger.negative_amounts",
        )
    if guests := len(roles["customer"].values) - roles["customer"].there:
        share = guests / len(roles["customer"].values)
        source.doubt("ledger.columns.customer", f"{guests:,} rows ({share:.1%}) have none: guests?")
    if role == "price" and not {"quantity", "price"} <= set(LedgerColumns.model_fields):
        text = f"the amount is {refunds.name} x {money.name}; add a column with that product to the source"
        source.doubt("ledger.columns.amount", text)
    if money.kind:
        return {}
    numbers = money.numbers
    if numbers.ambiguous:
        source.doubt(
            "ledger.decimal", f"{numbers.example} may be a thousand and more, or a number below a thousand"
        )
    if numbers.unread:
        source.doubt(key, f"not all values are numbers: {', '.join(repr(v) for v in numbers.unread)}")
    settings: dict[str, Any] = {"decimal": numbers.decimal}
    return settings | ({"thousands": numbers.thousands} if numbers.thousands else {})


def _takes_null(model: type, name: str) -> bool:
    return type(None) in get_args(model.model_fields[name].annotation)


def _written(source: _Source, roles: dict[str, _Column], name: str | None) -> Proposal:
    form = _date_format(source, roles["date"])
    first, last, why = _last_complete_day(source, roles["date"], form)
    source.doubt("as_of", why)
    settings = source.settings | _money_settings(source, roles)
    currency = _currency(source, roles)
    source.doubt(
        "value.margin", "ASSUMED, the data cannot tell: fraction of an amount that is contribution margin"
    )
    source.doubt("value.annual_discount_rate", "ASSUMED, the data cannot tell: effective rate a year")
    stem = source.name.split(".")[0] if "*" not in source.name else "study"
    slug = (
        name
        or re.sub(r"[^a-z0-9_-]+", "_", unicodedata.normalize("NFKD", stem).lower()).strip("_")
        or "study"
    )
    columns: dict[str, str | None] = {r: c.name for r, c in roles.items() if r in LedgerColumns.model_fields}
    if "amount" not in roles and not {"quantity", "price"} <= set(columns):
        columns["amount"] = roles["price"].name
    for key in [
        k for k in source.unsure if k.startswith("ledger.columns.") and k.split(".")[-1] not in columns
    ]:
        del source.unsure[
            key
        ]  # of columns that were passed over in the end, such as a price beside an amount
    unused = [c.name for c in source.columns if c.name not in {r.name for r in roles.values()}]
    text = _Text(source.unsure)
    text.say(f"Proposed by `clv new` from {source.name}.")
    text.say(
        "Each UNSURE is a guess or a question about the line below it: settle it, and take the comment away."
    )
    text.say("`clv check` on this file says what would be used and, line by line, what is wrong.")
    text.gap()
    text.line("name", slug, "folder of its runs: small letters, digits, - and _")
    text.line("title", stem if name is None else name)
    text.line("currency", currency, "ISO 4217 code of the amounts")
    text.line("as_of", last, "purchases up to the end of this day are known, later ones are held out")
    text.section("ledger", "where the purchases lie and how their rows are read")
    notes = {
        "path": "file, folder or pattern (sales/*.csv), relative to this file",
        "encoding": "of CSV files",
        "delimiter": "between the fields of a CSV row",
        "header": "the first row names the columns"
        if source.named
        else "no row names the columns: they are 1, 2, 3 ...",
        "decimal": "decimal mark of the amounts",
        "thousands": "mark between groups of three digits",
    }
    order = [f for f in ("database", "relation", *LedgerSection.model_fields) if f in settings]
    for key in dict.fromkeys(order):
        text.line(f"ledger.{key}", settings[key], notes.get(key, ""))
    text.section("ledger.columns", "which column holds what")
    for role in [r for r in _TEXTS if r in columns]:
        text.line(f"ledger.columns.{role}", columns[role], _TEXTS[role])
    if unused:
        shown = ", ".join(unused[:20]) + (", ..." if len(unused) > 20 else "")
        text.say(f"not used: {shown}", 4)
    if form:
        asked = roles["date"].dates.ambiguous and _takes_null(LedgerSection, "date_format")
        text.line("ledger.date_format", None if asked else form, "strptime codes")
    text.section("value", "")
    text.line("value.margin", 0.30, "before tax; 0.30 is 30 %")
    text.line("value.annual_discount_rate", 0.10, "nominal and before tax; 0.10 is 10 %")
    text.line("value.horizon_months", 36, "how far ahead purchases count, in months")
    if (last - first).days >= 365:
        origin = last - timedelta(days=(last - first).days // 3)
        text.section("backtest", "")
        text.line(
            "backtest.origins", [origin], "day to forecast from with what was known then: after two thirds"
        )
    return Proposal(text.done(), tuple(text.marked), {role: column.name for role, column in roles.items()})


class _Text:
    """The YAML of a study, line by line, each with its doubts above it and its comment behind it."""

    def __init__(self, unsure: dict[str, list[str]]):
        self._unsure, self._lines, self.marked = unsure, [], []

    def say(self, text: str, indent: int = 0) -> None:
        text = " ".join(text.split())
        pad = " " * indent
        self._lines += textwrap.wrap(text, 110, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}#   ")

    def gap(self) -> None:
        self._lines.append("")

    def section(self, key: str, comment: str) -> None:
        indent = 2 * key.count(".")
        if not indent:
            self.gap()
        self._put(" " * indent + f"{key.split('.')[-1]}:", comment)

    def line(self, key: str, value: Any, comment: str = "") -> None:
        indent = 2 * key.count(".")
        for doubt in self._unsure.get(key, ()):
            # One doubt is one comment, whatever line ends the names of columns have in them.
            self.say(f"UNSURE: {doubt}", indent)
            self.marked.append(f"{key}: {doubt}")
        self._put(" " * indent + f"{key.split('.')[-1]}: {_scalar(value)}", comment)

    def _put(self, line: str, comment: str) -> None:
        self._lines.append(f"{line:<31} # {comment}" if comment else line)

    def done(self) -> str:
        """The text. A doubt without a line to stand above would be lost: that is a mistake of this module."""
        lost = [d for key, doubts in self._unsure.items() for d in doubts if f"{key}: {d}" not in self.marked]
        if lost:
            raise AssertionError(f"doubts without a line of the study: {lost}")
        return "\n".join(self._lines) + "\n"


def _scalar(value: Any) -> str:
    """A value as YAML; text that could be taken for something else is quoted."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return str(value)
    word = re.fullmatch(r"[A-Za-z_./][\w./-]*", value, re.ASCII)
    if (
        word
        and value.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
        and value != "."
    ):
        return value
    import json

    return json.dumps(value, ensure_ascii=False)
