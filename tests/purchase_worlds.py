"""Small companies with known truth, for the tests of retention."""

from collections import namedtuple
from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd

START = date(2020, 1, 1)
Drawn = namedtuple("Drawn", "customer time")


def bgnbd(params, T, rng):
    """Repeat purchases of BG/NBD customers; parameters (r, alpha, a, b)."""
    r, alpha, a, b = params
    rate, drop = rng.gamma(r, 1 / alpha, len(T)), rng.beta(a, b, len(T))
    return _simulate(rate, T, rng, lambda who: rng.random(who.size) >= drop[who])


def constant(params, T, rng):
    """Repeat purchases at one rate per unit of time, for ever."""
    return _simulate(np.full(len(T), params[0]), T, rng, lambda who: np.ones(who.size, bool))


def _simulate(rate, T, rng, stays):
    who, now = np.arange(len(T)), np.zeros(len(T))
    customers, times = [], []
    while who.size:
        now = now + rng.exponential(1 / rate[who])
        seen = now <= T[who]
        who, now = who[seen], now[seen]
        customers.append(who)
        times.append(now)
        go = stays(who)
        who, now = who[go], now[go]
    return Drawn(np.concatenate(customers), np.concatenate(times))


def log_of(simulate, params, first_days, as_of_day, rng, unit_days=1.0):
    """A purchase log in whole days: each customer starts on a first day and is seen to the as-of day.

    Returns a DataFrame customer, day (integers since ``START``), the first purchases included.
    """
    first_days = np.asarray(first_days)
    who, time = simulate(params, (as_of_day - first_days) / unit_days, rng)
    day = first_days[who] + np.maximum(np.rint(time * unit_days), 1).astype(int)
    log = pd.DataFrame(
        {
            "customer": np.concatenate([np.arange(first_days.size), who]),
            "day": np.concatenate([first_days, day]),
        }
    )
    return log[log["day"] <= as_of_day].drop_duplicates().reset_index(drop=True)


def ledger_of(log):
    """A log of integer days as the ledger's purchases."""
    frame = pd.DataFrame(
        {
            "customer": log["customer"].astype(str),
            "day": [START + timedelta(days=int(day)) for day in log["day"]],
            "amount_minor": 100,
        }
    )
    return ibis.memtable(frame, schema={"customer": "string", "day": "date", "amount_minor": "int64"})
