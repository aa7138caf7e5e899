"""The data everyone is measured on: order logs of companies with known truth, and what is made of them.

`python -m benchmarks.worlds FOLDER WORLD SIZE THING…` makes what is missing there, in its own process, so that what
measures stays small. Everything follows from the seeds here; a smaller company is the beginning
of a larger one.
"""

import hashlib
import json
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE / ".data"
CDNOW = HERE.parent / "data_samples" / "cdnow" / "cdnow_sample.csv"

SEED, CHUNK, MEMORY = 20240117, 100_000, "2GB"
START, DAYS = date(2022, 1, 1), 730
PARAMETERS = {  # weeks; the estimates of Fader, Hardie & Lee (2005) for CDNOW
    "bgnbd": (0.243, 4.414, 0.793, 2.426),
    "paretonbd": (0.553, 10.578, 0.606, 11.669),
}
SPEND = (6.25, 3.74, 15.44)  # Fader & Hardie (2013), dollars
SIZES = {"2k": 2_000, "10k": 10_000, "100k": 100_000, "1m": 1_000_000, "10m": 10_000_000}
DRAWS = 1000
SETTINGS = {"version": 3, "seed": SEED, "chunk": CHUNK, "days": DAYS, "start": START.isoformat(),
            "parameters": PARAMETERS, "spend": SPEND}  # fmt: skip


def as_of(size: str) -> date:
    """The last day that is known: of the worlds, or the end of CDNOW's calibration."""
    return date(1997, 9, 30) if size == "cdnow" else START + timedelta(days=DAYS - 1)


def folder(world: str, size: str, data: Path = DATA) -> Path:
    """Where the files of one company lie; changed settings make another folder."""
    if size == "cdnow":
        return data / f"{world}-cdnow"
    mark = hashlib.sha256(json.dumps(SETTINGS).encode()).hexdigest()[:8]
    return data / f"{world}-{size}-{mark}"


def orders(world: str, chunk: int, customers: int):
    """Orders of one chunk of customers: customer_id, date and amount, a DataFrame.

    Customers arrive uniformly over the two years and are seen to their end. Times are continuous when they are
    drawn; the log keeps days, so two orders of one customer may share one.
    """
    import numpy as np
    import pandas as pd

    from clvkit import processes

    rng = np.random.default_rng([SEED, list(PARAMETERS).index(world), chunk])
    arrival = rng.random(CHUNK) * DAYS
    drawn = processes.get(world).simulate(np.array(PARAMETERS[world]), (DAYS - arrival) / 7, rng)
    who = np.concatenate([np.arange(CHUNK), drawn.customer])
    moment = np.concatenate([arrival, arrival[drawn.customer] + 7 * drawn.time])
    p, q, gamma = SPEND
    rate = rng.gamma(q, 1 / gamma, CHUNK)
    amount = np.maximum(np.round(rng.gamma(p, 1.0, who.size) / rate[who], 2), 0.01)
    day = np.minimum(moment.astype(np.int64), DAYS - 1)  # rounding may reach the end itself
    log = pd.DataFrame({
        "customer_id": who + chunk * CHUNK + 1,
        "date": pd.Timestamp(START) + pd.to_timedelta(day, unit="D"),
        "amount": amount,
    })  # fmt: skip
    return log[who < customers].reset_index(drop=True)


def write_log(world: str, size: str, target: Path) -> None:
    """``log.parquet``, orders by date as a shop would have them, written in chunks and sorted on disk."""
    import duckdb

    parts = target / "parts"
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    left = SIZES[size]
    for chunk in range((left + CHUNK - 1) // CHUNK):
        orders(world, chunk, left - chunk * CHUNK).to_parquet(parts / f"{chunk:04d}.parquet", index=False)
    with duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(parts / "spill")}) as con:
        con.sql(
            "COPY (SELECT customer_id, CAST(date AS DATE) AS date, amount "
            f"FROM read_parquet('{parts}/*.parquet') ORDER BY date, customer_id, amount) TO '{target}/log.new' (FORMAT parquet)"
        )
    (target / "log.new").rename(target / "log.parquet")
    shutil.rmtree(parts)


def write_cdnow(target: Path) -> None:
    """``log.parquet`` of the published sample up to the end of its calibration."""
    import duckdb

    with duckdb.connect() as con:
        con.sql(
            f"COPY (SELECT customer_id, date, amount FROM read_csv('{CDNOW}', types={{'customer_id': 'BIGINT'}}) "
            f"WHERE date <= DATE '{as_of('cdnow')}') TO '{target}/log.parquet' (FORMAT parquet)"
        )


def write_csv(target: Path) -> None:
    """``log.csv``, the same orders as text."""
    import duckdb

    with duckdb.connect(config={"memory_limit": MEMORY}) as con:
        con.sql(f"COPY (SELECT customer_id, strftime(date, '%Y-%m-%d') AS date, printf('%.2f', amount) AS amount "
                f"FROM '{target}/log.parquet') TO '{target}/log.new' (FORMAT csv, HEADER)")  # fmt: skip
    (target / "log.new").rename(target / "log.csv")


def write_tables(size: str, target: Path) -> None:
    """What step one leaves to the others: cells for us; for the peers a summary with a row per customer."""
    import ibis

    from clvkit import customers

    con = ibis.duckdb.connect(":memory:", temp_directory=str(target / "spill"))
    summary = con.create_table("summary", summary_of(con, target / "log.parquet", as_of(size)))
    for name in ("cells", "spend_cells", "score_cells"):
        getattr(customers, name)(summary).to_parquet(target / f"{name}.parquet", index=False)
    each = summary.select(
        "customer",
        "segment",
        "frequency",
        "recency_days",
        "T_days",
        "spend_minor",
        customer_id="customer",
        recency=summary.recency_days / 7,
        T=summary.T_days / 7,
        monetary_value=ibis.ifelse(
            summary.frequency > 0, summary.spend_minor / 100 / summary.frequency.nullif(0), 0.0
        ),
    )
    con.to_parquet(each.order_by("customer"), target / "summary.parquet")


def summary_of(con, log: Path, until: date):
    """Orders to the customer summary, as an expression: what every account of a typed log begins with."""
    from clvkit.customers import customer_summary

    lines = con.read_parquet(str(log))
    days = lines.group_by(customer=lines.customer_id, day=lines.date).agg(major=lines.amount.sum())
    days = days.select("customer", "day", amount_minor=(days.major * 100).round().cast("int64"))
    return customer_summary(days, until)


def write_fits(world: str, target: Path) -> None:
    """``parameters.json``: maximum likelihood of the world's process and of spend, with standard errors."""
    import pandas as pd

    from clvkit.fitting import fit_process, fit_spend
    from clvkit.models_section import ModelsSection

    fit = fit_process(world, pd.read_parquet(target / "cells.parquet"), ModelsSection(), sample=False)
    spend = fit_spend(pd.read_parquet(target / "spend_cells.parquet"), ModelsSection(), 100, sample=False)
    made = {
        one.process: dict(zip(one.parameters, one.mle.tolist(), strict=True)) for one in (fit, spend)
    } | {
        "se": {one.process: dict(zip(one.parameters, one.se.tolist(), strict=True)) for one in (fit, spend)}
    }  # fmt: skip
    (target / "parameters.json").write_text(json.dumps(made, indent=1))


def write_draws(world: str, target: Path) -> None:
    """Draws to value customers with, the same for everyone: normal in the log parameters around the estimates.

    Valuing takes as long whatever the draws are; that they need no sampler keeps the peers' sampling out of it.
    """
    import numpy as np

    given, rng, drawn = json.loads((target / "parameters.json").read_text()), np.random.default_rng(SEED), {}
    for model in (world, "gammagamma"):
        for name, value in given[model].items():
            spread = given["se"][model][name] / value
            drawn[f"{model}_{name}"] = value * np.exp(spread * rng.standard_normal(DRAWS))
    np.savez(target / "draws.npz", **drawn)


NEEDS = {"log.csv": ("log.parquet",), "tables": ("log.parquet",), "fits": ("tables",), "draws": ("fits",)}
_MADE = {"tables": "summary.parquet", "fits": "parameters.json", "draws": "draws.npz"}


def is_there(world: str, size: str, thing: str, data: Path = DATA) -> bool:
    """Whether ``thing`` (log.parquet, log.csv, tables, fits or draws) was made already."""
    return (folder(world, size, data) / _MADE.get(thing, thing)).exists()


def make(world: str, size: str, thing: str, data: Path = DATA) -> Path:
    """Make ``thing`` and what it needs, where missing; returns the company's folder."""
    target = folder(world, size, data)
    if is_there(world, size, thing, data):
        return target
    for need in NEEDS.get(thing, ()):
        make(world, size, need, data)
    target.mkdir(parents=True, exist_ok=True)
    if thing == "log.parquet":
        write_cdnow(target) if size == "cdnow" else write_log(world, size, target)
    elif thing == "log.csv":
        write_csv(target)
    elif thing == "tables":
        write_tables(size, target)
    elif thing == "fits":
        write_fits(world, target)
    else:
        write_draws(world, target)
    return target


if __name__ == "__main__":
    folder_of_all, its_world, its_size, *asked = sys.argv[1:]
    for one in asked:
        make(its_world, its_size, one, Path(folder_of_all))
