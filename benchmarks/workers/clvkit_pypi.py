"""The package called clvkit on the public index, 0.2.1. Runs in its own environment, where ours is not."""

import json
import sys
import warnings
from pathlib import Path
from runpy import run_path

import pandas as pd

import clvkit

if not clvkit.__file__.startswith(sys.prefix):
    raise ImportError(f"this is another clvkit: {clvkit.__file__}")
warnings.simplefilter("ignore")
shared = run_path(str(Path(__file__).with_name("frames.py")))
read_parquet, read_csv, typed_log = shared["read_parquet"], shared["read_csv"], shared["typed_log"]
totals, customers_of = shared["totals"], shared["customers_of"]

WEEKS = 52


def base(log, until):
    return clvkit.CustomerBase.from_transactions(
        log, time_unit="W", collapse="D", observation_period_end=until
    )


def summary(job):
    log = typed_log(job)

    def summarise():
        made = base(log, job.as_of)
        return lambda: totals(made.to_pandas())

    return summarise


def summarised(job):
    """The summary that everyone fits, as its own type; there is no constructor from one but this."""
    frame = customers_of(job).set_index("customer_id")
    return clvkit.CustomerBase(
        frame[["frequency", "recency", "T", "monetary_value"]], time_unit="W", collapse="D",
        observation_period_end=pd.Timestamp(job.as_of), has_monetary=True, on_negative="net",
    )  # fmt: skip


def fitting(model_class):
    def prepare(job):
        customers, model = summarised(job), model_class()

        def fit():
            model.fit(customers)
            return {"parameters": {key: float(value) for key, value in model.params_.items()}}

        return fit

    return prepare


fit_bgnbd, fit_mbgnbd = fitting(clvkit.BGNBD), fitting(clvkit.MBGNBD)
fit_gammagamma = fitting(clvkit.GammaGamma)


def clv_bgnbd(job):
    """52 weeks' value of everyone, at the parameters that all are given."""
    customers, given = summarised(job), json.loads(open(job.files["parameters.json"]).read())
    both = clvkit.CLV(check_independence=False)
    flow, spend = both.transaction_model, both.monetary_model
    flow.params_, flow.time_unit_, flow.collapse_ = pd.Series(given["bgnbd"]), "W", "D"
    spend.p, spend.q, spend.gamma = given["gammagamma"].values()
    flow._cb = spend._cb = both._cb = customers
    both.time_unit_ = "W"

    def value():
        made = both.predict(horizon=WEEKS, discount_rate=1.1 ** (1 / WEEKS) - 1).to_pandas()
        return {"customers": len(made), "total": float(made["clv"].sum())}

    return value
