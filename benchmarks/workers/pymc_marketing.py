"""pymc-marketing 1.3.0: MAP and NUTS with its default priors. Runs in its own environment."""

import json
import warnings
from pathlib import Path
from runpy import run_path

import arviz as az
import numpy as np
import xarray as xr
from pymc_marketing import clv

warnings.simplefilter("ignore")
shared = run_path(str(Path(__file__).with_name("frames.py")))
read_parquet, read_csv, typed_log = shared["read_parquet"], shared["read_csv"], shared["typed_log"]
totals, customers_of = shared["totals"], shared["customers_of"]

MODELS = {"bgnbd": clv.BetaGeoModel, "mbgnbd": clv.ModifiedBetaGeoModel, "paretonbd": clv.ParetoNBDModel}
NAMES = {"bgnbd": ("r", "alpha", "a", "b"), "mbgnbd": ("r", "alpha", "a", "b"),
         "paretonbd": ("r", "alpha", "s", "beta")}  # fmt: skip


def summary(job):
    log = typed_log(job)

    def summarise():
        made = clv.rfm_summary(
            log,
            "customer_id",
            "date",
            "amount",
            observation_period_end=job.as_of,
            time_unit="D",
            time_scaler=7,
        )
        return lambda: totals(made)

    return summarise


def at_mode(model_class, names, job, frame):
    def fit():
        model = model_class()
        model.fit(frame, method="map", progressbar=False)
        found = model.fit_result
        return {"parameters": {name: float(found[name].mean()) for name in names}}

    return fit


def mode(process):
    return lambda job: at_mode(MODELS[process], NAMES[process], job, customers_of(job))


fit_bgnbd, fit_mbgnbd, fit_paretonbd = mode("bgnbd"), mode("mbgnbd"), mode("paretonbd")


def fit_gammagamma(job):
    frame = customers_of(job).query("frequency > 0 and monetary_value > 0")
    fit = at_mode(
        clv.GammaGammaModel, ("p", "q", "v"), job, frame[["customer_id", "frequency", "monetary_value"]]
    )

    def renamed():
        found = fit()["parameters"]
        return {"parameters": {"p": found["p"], "q": found["q"], "gamma": found["v"]}}

    return renamed


def sampled(process):
    def prepare(job):
        frame = customers_of(job)

        def sample():
            model = MODELS[process]()
            model.fit(
                frame, method="mcmc", draws=1000, tune=1000, chains=4, nuts_sampler="nutpie",
                random_seed=20240117, progressbar=False,
            )  # fmt: skip
            return lambda: diagnosed(model.fit_result[list(NAMES[process])])

        return sample

    return prepare


def diagnosed(draws):
    """Worst R-hat and effective sample size over the parameters, and their means."""
    values = {name: draws[name].values for name in draws.data_vars}
    return {
        "parameters": {name: float(one.mean()) for name, one in values.items()},
        "r_hat_max": max(float(az.rhat(one)) for one in values.values()),
        "ess_min": min(
            float(size)
            for one in values.values()
            for size in (az.ess(one, method="bulk"), az.ess(one, method="tail", prob=(0.05, 0.95)))
        ),
    }


posterior_bgnbd, posterior_paretonbd = sampled("bgnbd"), sampled("paretonbd")


def given_posterior(model, frame, values):
    """A model of these data whose posterior is ``values``, names to (draws,), as if it had been sampled."""
    model.build_model(frame)
    arrays = {name: (("chain", "draw"), np.atleast_2d(one)) for name, one in values.items()}
    model.idata = xr.DataTree.from_dict({"posterior": xr.Dataset(arrays)})
    return model


def valued(process, draws):
    """12 months' value of everyone: at the parameters that all are given, or over as many draws of them."""

    def prepare(job):
        frame = customers_of(job)
        if draws == 1:
            given = json.loads(open(job.files["parameters.json"]).read())
            flow, amounts = given[process], given["gammagamma"]
        else:
            drawn = np.load(job.files["draws.npz"])
            flow = {name: drawn[f"{process}_{name}"][:draws] for name in NAMES[process]}
            amounts = {name: drawn[f"gammagamma_{name}"][:draws] for name in ("p", "q", "gamma")}
        model = given_posterior(MODELS[process](), frame, flow)
        repeat = frame.query("frequency > 0 and monetary_value > 0")
        spend = given_posterior(
            clv.GammaGammaModel(), repeat, {"p": amounts["p"], "q": amounts["q"], "v": amounts["gamma"]}
        )

        def value():
            made = spend.expected_customer_lifetime_value(
                transaction_model=model,
                data=frame,
                future_t=12,
                discount_rate=1.1 ** (1 / 12) - 1,
                time_unit="W",
            )
            each = made.mean(("chain", "draw")).values
            if draws > 1:
                made.quantile([0.05, 0.95], ("chain", "draw")).values  # noqa: B018
            return {"customers": each.size, "total": float(each.sum())}

        return value

    return prepare


clv_bgnbd, clv_paretonbd = valued("bgnbd", 1), valued("paretonbd", 1)
clv_bgnbd_200, clv_bgnbd_400 = valued("bgnbd", 200), valued("bgnbd", 400)
