"""Big sources under a memory limit: `python -m benchmarks.big [--work parquet_100m,csv_1gb] [--memory-gb 4]`.

Each work is a fresh process that reads a source into a ledger, every row accounted for, with pseudonyms kept in a
crosswalk, and makes its cells. Beside it stands what bare SQL of DuckDB takes for cells alone of the same file. The
engine gets a part of the memory (``CLVKIT_MEMORY_GB``), Python and what the allocator holds back get the rest; the
process's own peak is what is compared with the limit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from benchmarks import results, tables
from benchmarks.environments import HERE
from benchmarks.report import README, fill
from benchmarks.worlds import DATA

START, DAYS, SEED = date(2023, 1, 1), 1096, 20240117
FOLDER = HERE / "big"
ENGINE_SHARE = 0.68  # of the memory; what DuckDB allots beyond its own limit, Arrow and Python share the rest


@dataclass(frozen=True)
class Big:
    """One source: its format, its lines, and of about how many customers."""

    format: str
    lines: int
    customers: int


WORKS = {
    "parquet_100m": Big("parquet", 100_000_000, 10_000_000),
    "parquet_10m": Big("parquet", 10_000_000, 1_000_000),
    "csv_1gb": Big("csv", 24_000_000, 2_400_000),
    "csv_100mb": Big("csv", 2_400_000, 240_000),
}


def source(big: Big, data: Path = DATA) -> Path:
    """The file, made where it is missing: order lines by time, as a shop's log has them.

    Customers arrive all along, and earlier ones buy more often. Everything is a hash of the line's number.
    """
    path = data / f"big-{SEED}-{big.lines}-{big.customers}.{big.format}"
    if path.exists():
        return path
    import duckdb

    data.mkdir(parents=True, exist_ok=True)
    draft, form = path.with_suffix(".new"), "FORMAT csv, HEADER" if big.format == "csv" else "FORMAT parquet"
    uniform = "(hash(i * 4 + {0}, {1}) >> 11) / 9007199254740992.0"
    days = f"(i * {DAYS} // {big.lines})::INTEGER"
    reached = f"(0.05 + 0.95 * i / {big.lines}) * {big.customers}"
    with duckdb.connect(config={"memory_limit": "2GB"}) as con:
        con.sql(
            f"""COPY (SELECT 'C' || lpad(floor({reached} * pow({uniform.format(0, SEED)}, 1.2))::BIGINT::VARCHAR, 8, '0') AS customer,
                     'A' || i AS order_no, DATE '{START}' + {days} AS day,
                     round(4 + 120 * pow({uniform.format(1, SEED)}, 4), 2)::DECIMAL(12, 2) AS amount
                FROM range({big.lines}) t(i)) TO '{draft}' ({form})"""
        )
    draft.rename(path)
    return path


def section_of(path: Path):
    """What a study says of such a file."""
    from clvkit.ledger.section import LedgerSection

    words = {
        "path": str(path),
        "columns": {"customer": "customer", "date": "day", "amount": "amount", "order": "order_no"},
        "date_format": "%Y-%m-%d",
        "extracted": START + timedelta(days=DAYS),
    }
    return LedgerSection.model_validate(words)


def ledger(path: Path, folder: Path) -> dict:
    """The source as a ledger with its customers, and its cells; what it came to."""
    from clvkit import customers
    from clvkit.ledger.build import build_ledger

    as_of = START + timedelta(days=DAYS - 1)
    made = build_ledger(
        section_of(path),
        as_of=as_of,
        currency="EUR",
        base=folder,
        today=as_of,
        crosswalk=folder / "crosswalk",
    )
    built = time.perf_counter()
    summary = customers.customer_summary(made.purchases, as_of)
    cells = customers.cells(summary)
    rows = made.totals["rows"]
    if rows["in"] != sum(n for state, n in rows.items() if state != "in"):
        raise AssertionError(f"rows do not balance: {rows}")
    return {"rows": rows["in"], "customers": made.totals["customers"], "cells": len(cells), "built": built}


def floor(path: Path, folder: Path) -> dict:
    """Cells alone by bare SQL, under the same limit."""
    import duckdb

    read = "read_parquet" if path.suffix == ".parquet" else "read_csv"
    as_of = START + timedelta(days=DAYS - 1)
    limit = os.environ["CLVKIT_MEMORY_GB"]
    settings = {
        "memory_limit": f"{limit}GB",
        "temp_directory": str(folder / "spill"),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=settings) as con:
        cells = (
            con.sql(
                f"""WITH days AS (SELECT customer, day, sum(amount) AS amount FROM {read}('{path}') GROUP BY ALL),
                     each AS (SELECT customer, count(*) - 1 AS x, max(day) - min(day) AS t_x, DATE '{as_of}' - min(day) AS t
                              FROM days GROUP BY customer)
                SELECT x, t_x, t, count(*) AS n FROM each GROUP BY ALL"""
            )
            .arrow()
            .read_all()
        )
    return {"cells": len(cells), "customers": int(sum(cells["n"].to_pylist()))}


def peak_gb() -> float:
    """Most memory this process held at once.

    Linux hands the peak of a parent on to its child, where ``getrusage`` is asked; the status file begins anew.
    """
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def measured(kind: str, path: Path) -> dict:
    """One work of this process: seconds from here on, and the peak of its memory."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        made = {"ledger": ledger, "floor": floor}[kind](path, Path(folder))
        seconds = time.perf_counter() - began
    if "built" in made:
        made["built"] -= began
    return made | {"seconds": seconds, "peak_gb": peak_gb()}


def main(arguments: list[str] | None = None) -> int:
    """Measure what is asked for and keep it; ``--inside`` is the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", default="csv_1gb,parquet_100m", help=f"of {', '.join(WORKS)}")
    parser.add_argument("--memory-gb", type=float, default=4, help="for the whole process (4)")
    parser.add_argument("--inside", nargs=2, metavar=("KIND", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        print(json.dumps(measured(options.inside[0], Path(options.inside[1]))))
        return 0
    path_found = FOLDER / f"{date.today()}.json"
    found = json.loads(path_found.read_text("utf-8")) if path_found.exists() else {}
    found |= {
        "machine": results.machine(),
        "versions": results.our_versions(),
        "memory_gb": options.memory_gb,
    }
    for name in options.work.split(","):
        path = source(WORKS[name])
        size = path.stat().st_size / 1e9
        found[name] = {"file_gb": size, "lines": WORKS[name].lines}
        for kind in ("floor", "ledger"):
            command = [sys.executable, "-m", "benchmarks.big", "--inside", kind, str(path)]
            limit = {"CLVKIT_MEMORY_GB": f"{ENGINE_SHARE * options.memory_gb:g}"}
            said = subprocess.run(command, env=os.environ | limit, stdout=subprocess.PIPE, check=True)
            made = found[name][kind] = json.loads(said.stdout)
            print(f"{name:14} {size:5.1f} GB  {kind:7} {made['seconds']:8.1f} s {made['peak_gb']:6.2f} GB  "
                  f"{made['customers']:,} customers, {made['cells']:,} cells", flush=True)  # fmt: skip
        FOLDER.mkdir(exist_ok=True)
        path_found.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    fill(README, "big", section(found))
    return 0


def section(found: dict) -> str:
    """What was measured, as Markdown."""
    rows, where = [], found["machine"]
    for name, big in WORKS.items():
        for kind in ("floor", "ledger") if name in found else ():
            made = found[name][kind]
            rows.append([
                f"{big.format}, {made['customers']:,} customers" if kind == "floor" else "the same",
                f"{big.lines:,}", f"{found[name]['file_gb']:.1f}",
                {"floor": "bare SQL, cells only", "ledger": "ledger with pseudonyms, and cells"}[kind],
                tables.number(made["seconds"]), f"{made['peak_gb']:.2f}", f"{made['cells']:,}",
            ])  # fmt: skip
    header = ["source", "lines", "GB", "work", "seconds", "peak GB", "cells"]
    return (
        f"Within {found['memory_gb']:g} GB for the whole process ({where['cores']} cores, commit "
        f"{found['versions']['commit']}); both ways end in the same cells.\n\n" + tables.table(header, rows)
    )


if __name__ == "__main__":
    sys.exit(main())
