"""lifetimes 0.11.3: maximum likelihood without penalty. Runs in its own environment."""

import json
import warnings
from pathlib import Path
from runpy import run_path

import lifetimes
import numpy as np
import pandas as pd
from lifetimes.utils import summary_data_from_transaction_data

warnings.simplefilter("ignore")
shared = run_path(str(Path(__file__).with_name("frames.py")))
read_parquet, read_csv, typed_log = shared["read_parquet"], shared["read_csv"], shared["typed_log"]
totals, customers_of = shared["totals"], shared["customers_of"]
np.random.seed(20240117)  # noqa: NPY002  (Pareto/NBD starts from the global generator)

FITTERS = {
    "bgnbd": lifetimes.BetaGeoFitter,
    "mbgnbd": lifetimes.ModifiedBetaGeoFitter,
    "paretonbd": lifetimes.ParetoNBDFitter,
}


def summary(job):
    log = typed_log(job)

    def summarise():
        made = summary_data_from_transaction_data(
            log,
            "customer_id",
            "date",
            "amount",
            observation_period_end=job.as_of,
            freq="D",
            freq_multiplier=7,
        )
        return lambda: totals(made)

    return summarise


def counts(process):
    def prepare(job):
        frame = customers_of(job)
        model = FITTERS[process](penalizer_coef=0.0)

        def fit():
            model.fit(frame["frequency"], frame["recency"], frame["T"])
            return {"parameters": {key: float(value) for key, value in model.params_.items()}}

        return fit

    return prepare


fit_bgnbd, fit_mbgnbd, fit_paretonbd = counts("bgnbd"), counts("mbgnbd"), counts("paretonbd")


def by_hand(process):
    """The same with customers counted per distinct history first, which its `weights` are for."""

    def prepare(job):
        cells = pd.read_parquet(job.files["cells.parquet"])
        model = FITTERS[process](penalizer_coef=0.0)

        def fit():
            model.fit(cells["frequency"], cells["recency_days"] / 7, cells["T_days"] / 7, weights=cells["n"])
            return {"parameters": {key: float(value) for key, value in model.params_.items()}}

        return fit

    return prepare


fit_bgnbd_weighted, fit_paretonbd_weighted = by_hand("bgnbd"), by_hand("paretonbd")


def fit_gammagamma(job):
    frame = customers_of(job).query("frequency > 0 and monetary_value > 0")
    model = lifetimes.GammaGammaFitter(penalizer_coef=0.0)

    def fit():
        model.fit(frame["frequency"], frame["monetary_value"])
        p, q, v = (float(model.params_[key]) for key in "pqv")
        return {"parameters": {"p": p, "q": q, "gamma": v}}

    return fit


def valued(process):
    """12 months' value of everyone, at the parameters that all are given."""

    def prepare(job):
        frame = customers_of(job)
        given = json.loads(open(job.files["parameters.json"]).read())
        model, spend = FITTERS[process](), lifetimes.GammaGammaFitter()
        model.params_ = pd.Series(given[process])
        model.predict = model.conditional_expected_number_of_purchases_up_to_time
        p, q, gamma = given["gammagamma"].values()
        spend.params_ = pd.Series({"p": p, "q": q, "v": gamma})

        def value():
            made = spend.customer_lifetime_value(
                model, frame["frequency"], frame["recency"], frame["T"], frame["monetary_value"],
                time=12, discount_rate=1.1 ** (1 / 12) - 1, freq="W",
            )  # fmt: skip
            return {"customers": len(made), "total": float(made.sum())}

        return value

    return prepare


clv_bgnbd, clv_paretonbd = valued("bgnbd"), valued("paretonbd")
