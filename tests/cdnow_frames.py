"""The published sample of CDNOW as cells, spend cells and days, straight from its file, and fits to them."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from clvkit.fitting import fit_process, fit_spend
from clvkit.models_section import ModelsSection

SAMPLE = Path(__file__).parents[1] / "data_samples" / "cdnow" / "cdnow_sample.csv"
CALIBRATION, END = "1997-09-30", "1998-06-30"


@cache
def purchases(as_of=END):
    """One row per customer and day: customer, day, minor, repeat (whether it is not the first)."""
    lines = pd.read_csv(SAMPLE, parse_dates=["date"], dtype={"customer_id": str})
    lines = lines[lines["date"] <= as_of]
    lines = lines.assign(minor=(lines["amount"] * 100).round().astype(int))
    days = lines.groupby(["customer_id", "date"], as_index=False)["minor"].sum()
    return days.assign(repeat=days["customer_id"].duplicated())


@cache
def customers(as_of=END):
    """One row per customer: the columns of `cells`, with first day."""
    days = purchases(as_of)
    first = days.groupby("customer_id")["date"].min()
    frame = pd.DataFrame({
        "first": first, "last": days.groupby("customer_id")["date"].max(),
        "frequency": days.groupby("customer_id")["repeat"].sum().astype(int),
        "spend_minor": days["minor"].where(days["repeat"], 0).groupby(days["customer_id"]).sum(),
        "first_minor": days["minor"].where(~days["repeat"], 0).groupby(days["customer_id"]).sum(),
    })  # fmt: skip
    frame["recency_days"] = (frame["last"] - frame["first"]).dt.days
    frame["T_days"] = (pd.Timestamp(as_of) - frame["first"]).dt.days
    return frame.assign(segment="all", n=1)


def cells(as_of=END):
    """Distinct (segment, frequency, recency, T) with counts and amounts."""
    keys = ["segment", "frequency", "recency_days", "T_days"]
    return customers(as_of).groupby(keys, as_index=False)[["n", "spend_minor", "first_minor"]].sum()


def spend_cells(as_of=END):
    """Distinct (frequency, spend) of repeat customers with counts."""
    repeaters = customers(as_of).query("frequency > 0")
    return repeaters.groupby(["frequency", "spend_minor"], as_index=False)["n"].sum()


@cache
def fit(process, as_of=END):
    """A process, or ``gammagamma``, at its maximum-likelihood estimate."""
    if process == "gammagamma":
        return fit_spend(spend_cells(as_of), ModelsSection(), 100, sample=False)
    return fit_process(process, cells(as_of), ModelsSection(), sample=False)


def with_posterior(one, draws=60, spread=0.03, seed=5):
    """The fit with made-up posterior draws around its estimate: two chains, no sampler."""
    noise = np.random.default_rng(seed).normal(0, spread, (2, draws // 2, len(one.mle)))
    diagnostics = {"r_hat_max": 1.001, "ess_min": 1500.0, "divergences": 0, "pareto_k": None}
    return replace(one, draws=one.mle * np.exp(noise), method="nuts", diagnostics=diagnostics)
