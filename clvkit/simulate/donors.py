"""Dated gifts behind the 22 rows of the 1995 donor cohort: ``python -m clvkit.simulate.donors data_samples/donors``.

The published data (Fader, Hardie & Shang 2010, table 2) say of 11,104 donors who first gave in 1995 in how many of the
years 1996 to 2001 each gave, and in which last. Which years lay between, the days and the amounts are made up here,
from one seed; frequency and recency of every donor are as published.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FIRST_YEAR, YEARS = 1995, 6
SEED = 19952001
#: Gamma-Gamma of the amounts, in dollars: invented.
SPEND = (4.0, 3.5, 30.0)


def gifts(rows: "pd.DataFrame", seed: int = SEED) -> "pd.DataFrame":
    """One row a gift: ``donor_id`` (text), ``date`` (datetime64), ``amount`` (whole dollars), sorted.

    Parameters
    ----------
    rows : ``frequency``, ``recency``, ``opportunities`` and ``donors``; every row has the same number of opportunities.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    kinds = rows.loc[rows.index.repeat(rows["donors"])].sample(frac=1, random_state=seed)
    x, last = kinds["frequency"].to_numpy(), kinds["recency"].to_numpy()
    number = np.arange(1, YEARS + 1)
    # the x − 1 years before the last are drawn without replacement: those of the smallest random ranks
    rank = np.where(number < last[:, None], rng.random((len(kinds), YEARS)), np.inf).argsort(1).argsort(1)
    gave = (rank < (x - 1)[:, None]) | (number == last[:, None])
    gave = np.column_stack([np.ones(len(kinds), bool), gave])
    donor, year = np.nonzero(gave)
    p, q, gamma = SPEND
    nu = rng.gamma(q, 1 / gamma, len(kinds))
    amount = np.maximum(1, np.round(rng.gamma(p, 1 / nu[donor])))
    # three in ten gifts come in December, the others on any day
    start = pd.to_datetime(pd.Series(FIRST_YEAR + year).astype(str) + "-01-01")
    any_day, december = rng.integers(0, 365, donor.size), rng.integers(334, 365, donor.size)
    day = start + pd.to_timedelta(np.where(rng.random(donor.size) < 0.3, december, any_day), unit="D")
    names = np.char.add("D", np.char.zfill((donor + 1).astype(str), 5))
    return pd.DataFrame({"donor_id": names.astype(object), "date": day, "amount": amount.astype(np.int64)})


def main(folder: Path) -> None:
    """Write ``gifts.parquet`` beside ``cohort_1995.csv``, the rows it is made from."""
    import pandas as pd

    made = gifts(pd.read_csv(folder / "cohort_1995.csv"))
    made["date"] = made["date"].dt.date
    made.to_parquet(folder / "gifts.parquet", index=False, compression="zstd")
    print(f"{len(made):,} gifts of {made['donor_id'].nunique():,} donors in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
