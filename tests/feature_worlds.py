"""Simulated customers with behaviour beside their purchases, some of it of use and some not."""

from datetime import date

import numpy as np
import pandas as pd

from clvkit.feature_sources import Sources

FIRST, ORIGIN, END = date(2022, 1, 1), date(2023, 6, 30), date(2023, 12, 31)
DAYS = (END - FIRST).days + 1


def world(seed=0, customers=600, useful=0.0, noise=0, numbers=0) -> Sources:
    """Customers who buy at gamma-distributed rates that fall off over time, with features beside.

    ``useful``: how strongly visits go with purchases yet to come, beyond what past ones tell: each half-year a customer has an
    own mood that multiplies the rate by exp(useful × mood), and visits of the month before it tell that mood. ``noise`` events
    of no use, ``numbers`` constants of a customer of no use.
    """
    rng = np.random.default_rng(seed)
    born = rng.integers(0, 200, customers)
    rate = rng.gamma(1.0, 1 / 60, customers)
    gone = rng.exponential(900, customers)
    spans = [
        (0, 178),
        (178, 362),
        (362, 546),
        (546, DAYS),
    ]  # moods change on the days that a time split forecasts from
    mood = rng.normal(0, 1, (customers, len(spans)))
    bought, visits = [(np.arange(customers), born)], []
    for k, (low, high) in enumerate(spans):
        start = np.maximum(low, born + 1)
        stop = np.minimum(high, born + gone)
        length = np.clip(stop - start, 0, None)
        n = rng.poisson(rate * np.exp(useful * mood[:, k] - useful**2 / 2) * length)
        who = np.repeat(np.arange(customers), n)
        bought.append((who, (start[who] + rng.random(len(who)) * length[who]).astype(int)))
        seen = np.flatnonzero(born < low - 5)
        day = low - 1 - rng.integers(0, 4, len(seen))
        visits.append(pd.DataFrame({"customer": seen, "ago": day, "value": np.exp(mood[seen, k])}))
    who, day = (np.concatenate(part) for part in zip(*bought, strict=True))
    frame = pd.DataFrame({"customer": who, "at": day})
    frame["amount_minor"] = np.maximum(rng.gamma(4, 500, len(frame)), 1).astype(np.int64)
    frame = frame[frame["at"] < DAYS].groupby(["customer", "at"], as_index=False)["amount_minor"].sum()
    frame = frame.assign(customer=named(frame["customer"]), day=dated(frame["at"])).drop(columns="at")
    events = {}
    if useful:
        told = pd.concat(visits)
        events["visits"] = (
            "visits",
            pd.DataFrame(
                {"customer": named(told["customer"]), "day": dated(told["ago"]), "value": told["value"]}
            ),
        )
    for k in range(noise):
        picked = rng.random(customers) < 0.7
        of = np.flatnonzero(picked)
        rows = pd.DataFrame(
            {
                "customer": named(of),
                "day": dated(rng.integers(0, DAYS, len(of))),
                "value": rng.gamma(2, 1, len(of)),
            }
        )
        events[f"noise{k}"] = (f"noise {k}", rows)
    everybody = named(np.arange(customers))
    about = {f"number{k}": pd.Series(rng.normal(size=customers), index=everybody) for k in range(numbers)}
    return Sources(frame, 100.0, events, about)


def named(numbers) -> list[str]:
    return [f"c{one:05d}" for one in numbers]


def dated(days):
    return pd.Timestamp(FIRST) + pd.to_timedelta(np.asarray(days), unit="D")
