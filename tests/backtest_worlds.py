"""Back-tests of the CDNOW sample, and small ledgers, for the tests of back-tests."""

from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from unittest.mock import patch

import cdnow_frames
import ibis
import numpy as np
import pandas as pd

from clvkit import backtest_origin
from clvkit.backtest import BacktestSection, back_test
from clvkit.models_section import ModelsSection

ORIGIN, AS_OF = date(1997, 9, 30), date(1998, 6, 30)
SECTION = BacktestSection(origins=(ORIGIN,), posterior_draws=60)
UNSAMPLED = ModelsSection(sampled=())


def table(rows, segment="all"):
    """Rows (customer, date, minor units[, segment]) as the ledger's purchases."""
    full = [(*row, segment)[:4] for row in rows]
    frame = pd.DataFrame(full, columns=["customer", "day", "amount_minor", "segment"])
    schema = {"customer": "string", "day": "date", "amount_minor": "int64", "segment": "string"}
    return ibis.memtable(frame, schema=schema)


@cache
def sample():
    """The CDNOW sample as the ledger's purchases."""
    days = cdnow_frames.purchases()
    return table(zip(days["customer_id"], days["date"].dt.date, days["minor"], strict=True))


def run(purchases=None, section=SECTION, models=UNSAMPLED, as_of=AS_OF, **more):
    """A judged back-test at maximum likelihood."""
    given = {"currency": "USD", "minor_per_unit": 100, "silence_days": 180} | more
    made = back_test(sample() if purchases is None else purchases, section, models, as_of=as_of, **given)
    return made.judged(section)


def run_with_posterior(purchases=None, section=SECTION, models=None, **more):
    """A judged back-test of one process with made-up posterior draws around its estimate: no sampler."""
    models = models or ModelsSection(processes=("paretonbd",), headline="paretonbd", sampled=())

    def around(fit):
        return lambda *args, **named: cdnow_frames.with_posterior(fit(*args, **named))

    with (
        patch.object(backtest_origin, "fit_process", around(backtest_origin.fit_process)),
        patch.object(backtest_origin, "fit_spend", around(backtest_origin.fit_spend)),
    ):
        return run(purchases, section, models, **more)


@cache
def at_mle():
    """All three processes on the sample, at maximum likelihood."""
    return run()


@cache
def with_posterior():
    """Pareto/NBD on the sample, with made-up draws."""
    return run_with_posterior()


def simulated(process, parameters, customers, known_days, later_days, seed, unit=7.0):
    """Purchases of customers who all came within the first quarter of ``known_days``, from known parameters."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, known_days // 4, customers)
    drawn = process.simulate(np.array(parameters), (known_days + later_days - first) / unit, rng)
    day = first[drawn.customer] + np.maximum(np.ceil(drawn.time * unit), 1).astype(int)
    log = pd.DataFrame({"customer": np.concatenate([np.arange(customers), drawn.customer]),
                        "day": np.concatenate([first, day])}).drop_duplicates()  # fmt: skip
    log = log[log["day"] <= known_days + later_days]
    start = AS_OF - timedelta(days=known_days + later_days)
    amount = rng.integers(500, 5000, len(log))
    days = [start + timedelta(days=int(day)) for day in log["day"]]
    return table(zip(log["customer"].astype(str), days, amount, strict=True))


def with_draws(fit, parameters, draws):
    """The fit with one point of the parameters as all its draws: nothing uncertain but what happens."""
    point = np.asarray(parameters, float)
    return replace(fit, mle=point, draws=np.tile(point, (1, draws, 1)))
