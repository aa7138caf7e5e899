"""Purchase logs with known rhythm, in whole days, several purchases of a day merged as the ledger merges them."""

import ibis
import numpy as np
import pandas as pd

from clvkit import processes

START = pd.Timestamp("2021-01-01")


def log_of(k, parameters, customers, days, rng, arrivals=180):
    """A log of MBG/CNBD-k customers who begin in the first ``arrivals`` days: customer, day (both integers).

    ``parameters`` (r, α, a, b) are in weeks; each purchase falls on the day in which its moment lies.
    """
    begun = rng.random(customers) * arrivals
    drawn = processes.get(f"mbgcnbd-{k}").simulate(parameters, (days - begun) / 7, rng)
    moment = np.concatenate([begun, begun[drawn.customer] + 7 * drawn.time])
    who = np.concatenate([np.arange(customers), drawn.customer])
    frame = pd.DataFrame({"customer": who, "day": np.floor(moment).astype(int)})
    return frame[frame["day"] < days].drop_duplicates(ignore_index=True)


def purchases_of(log):
    """A log of integer days as the ledger's purchases."""
    frame = pd.DataFrame(
        {
            "customer": log["customer"].astype(str),
            "day": (START + pd.to_timedelta(log["day"], unit="D")).dt.date,
            "amount_minor": 1000,
            "segment": "all",
        }
    )
    return ibis.memtable(
        frame, schema={"customer": "string", "day": "date", "amount_minor": "int64", "segment": "string"}
    )


def day(number):
    """The date of an integer day."""
    return (START + pd.Timedelta(days=int(number))).date()
