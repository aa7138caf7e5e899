"""A ledger: every source row with its state, the purchases they make, and what proves that they balance."""

import json
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.checks import Check
from clvkit.errors import DataError
from clvkit.ledger.engine import connect
from clvkit.ledger.kept import KEPT, keep_tables, open_kept

FORMAT = 2


@dataclass(frozen=True)
class Ledger:
    """The clean, typed list of dated customer cash flows.

    Attributes
    ----------
    rows : one line per source row, in the source's order up to a million of them: ``row`` (line number in a CSV file, row number in a Parquet file, from 1),
        ``file``, ``source``, ``line_id`` (null where the source has none), ``customer``, ``day`` (of a netted refund, its
        sale's), ``booked_day``, ``currency``, ``amount_minor`` (int64, null where unreadable),
        ``value_minor`` (the same in the study's currency), ``segment``, ``product``, ``category``, ``cost_minor`` (what it costs
        in the study's currency, where the study says how that is known), ``state`` (``used``, ``merged``, ``later``, ``excluded``, ``quarantined``), ``reason`` (null for used
        rows) and ``value`` (the text that broke the rule, quarantined rows only).
    purchases : one line per customer and day up to the as-of date: ``customer, day, amount_minor, lines,
        segment``; up to a million rows sorted by customer and day.
    totals : the ``ledger`` object of ``results.json``: customers, rows by state, amounts in major units by
        currency and state, and the number of rows with an unreadable amount.
    reasons : ``state, reason, meaning, currency, rows, amount`` (major units).
    quarantine : a sample, at most 20 per reason: ``file, row, reason, value``. Personal data.
    inputs : ``file, sha256, bytes, rows`` of each file.
    checks : what was tested, with words.
    tables : the tables beside the orders, by the name of their source; see `clvkit.ledger.tables`.
    frames : what was found out about the history, without customers: ``daily``, ``flags``, ``overlaps``, and where
        there are any ``conversions``, ``refunds`` and ``identity_…``.
    server : the study's name for the server that ``rows`` and ``purchases`` are in and do not leave, such as
        ``env:WAREHOUSE_URL`` or ``spark``; None: they are in a DuckDB of this process.
    """

    rows: ir.Table
    purchases: ir.Table
    totals: dict
    reasons: pd.DataFrame
    quarantine: pd.DataFrame
    inputs: list[dict]
    checks: list[Check]
    currency: str
    minor_digits: int
    as_of: date
    con: ibis.BaseBackend = field(repr=False)
    tables: dict[str, ir.Table] = field(default_factory=dict)
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    server: str | None = None

    def save(self, folder: Path) -> None:
        """Write ``rows.parquet``, ``purchases.parquet`` and ``ledger.json`` into ``folder``.

        Rows and purchases that are in a server stay there, as tables of their own; see `clvkit.ledger.kept`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        big = {name: getattr(self, name) for name in KEPT}
        kept = keep_tables(self.con, big) if self.server else {}
        for name, table in {} if kept else big.items():
            self.con.to_parquet(table, folder / f"{name}.parquet", compression="zstd")
        for name, table in self.tables.items():
            table.get_backend().to_parquet(table, folder / f"table-{name}.parquet", compression="zstd")
        for name, frame in self.frames.items():
            frame.to_parquet(folder / f"frame-{name}.parquet", index=False)
        words = {
            "format": FORMAT,
            "currency": self.currency,
            "minor_digits": self.minor_digits,
            "as_of": self.as_of.isoformat(),
            "totals": self.totals,
            "inputs": self.inputs,
            "checks": [asdict(c) for c in self.checks],
            "reasons": self.reasons.to_dict("records"),
            "quarantine": self.quarantine.to_dict("records"),
            "tables": list(self.tables),
            "frames": list(self.frames),
            "server": self.server,
            "kept": kept,
        }
        (folder / "ledger.json").write_text(
            json.dumps(words, indent=1, allow_nan=False) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, folder: Path, con: ibis.BaseBackend | None = None) -> "Ledger":
        """Open a saved ledger; its tables stay on disk and are read when asked for.

        ``con`` is another ledger's engine, for tables that are to be compared with its own.

        Raises
        ------
        DataError : the folder holds no complete ledger of this format.
        """
        folder = Path(folder)
        try:
            words = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))
            if words["format"] != FORMAT:
                raise DataError(
                    f"the ledger was saved in format {words['format']}, this version reads {FORMAT}",
                    place=folder.name,
                    fix="build the ledger again",
                )
            prefix = "" if con is None else f"{folder.name}_"
            if kept := words.get("kept"):
                big = open_kept(words["server"], kept, con)
                files, con = connect(), big["rows"].get_backend()
            else:
                files = con = con or connect()
                big = {
                    name: con.read_parquet(str(folder / f"{name}.parquet"), table_name=f"{prefix}{name}")
                    for name in KEPT
                }
        except (OSError, KeyError, json.JSONDecodeError, ibis.common.exceptions.IbisError) as error:
            raise DataError(
                f"there is no complete ledger to load: {error}",
                place=folder.name,
                fix="build the ledger again",
            ) from error
        return cls(
            big["rows"],
            big["purchases"],
            words["totals"],
            _frame(words["reasons"], REASON_COLUMNS),
            _frame(words["quarantine"], QUARANTINE_COLUMNS),
            words["inputs"],
            [Check(**c) for c in words["checks"]],
            words["currency"],
            words["minor_digits"],
            date.fromisoformat(words["as_of"]),
            con,
            {
                name: files.read_parquet(
                    str(folder / f"table-{name}.parquet"), table_name=f"{prefix}{name}_table"
                )
                for name in words["tables"]
            },
            {name: pd.read_parquet(folder / f"frame-{name}.parquet") for name in words["frames"]},
            words.get("server"),
        )


REASON_COLUMNS = ("state", "reason", "meaning", "currency", "rows", "amount")
QUARANTINE_COLUMNS = ("file", "row", "reason", "value")


def _frame(records: list[dict], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(records, columns=list(columns))
