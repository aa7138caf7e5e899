"""What of a study decides each kind of artifact: a change in it, and in nothing else that is said, makes the artifact anew."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clvkit.leaving_section import LeavingSection

if TYPE_CHECKING:
    from clvkit.study import Study

Arguments = Mapping[str, Any]


def as_of(study: "Study", _: Arguments) -> dict:
    """The day the study looks from."""
    return {"as_of": study.as_of.isoformat()}


def as_seen(study: "Study", arguments: Arguments) -> dict:
    """What decides which purchases the models see, of those in the ledger."""
    said = study.models.left_truncation  # which decides whose history counts, and from when
    return as_of(study, arguments) | {
        "opportunity": study.models.opportunity,
        "left_truncation": said.model_dump(mode="json", include={"treatment", "burn_in_days"}),
        "covariates": covariates_used(study),
        "segment_by": study.models.segment_by,
    }


def covariates_used(study: "Study") -> dict | None:
    """Which covariates part the customers; None where the study uses none."""
    section = study.models.covariates
    return None if section.use == "ignore" else section.model_dump(mode="json", include={"of"})


#: What decides how money is shown, and no row of the ledger.
_SHOWN_ONLY = {"shared_accounts": True, "costs": {"promotion_years"}, "identity": {"value_effect"}}


def source(study: "Study", arguments: Arguments) -> dict:
    """What decides the rows of the ledger."""
    from clvkit.calendar_section import with_windows

    sources = study.ledger.by_name().values()
    billed = any(one.bills_of is not None or one.holds == "survivors" for one in sources)
    contracts = contract(study, arguments) if billed else {}
    return (
        as_of(study, arguments)
        | contracts
        | {
            "currency": study.currency,
            "ledger": with_windows(study.ledger, study.calendar, study.promotions).model_dump(
                mode="json", exclude=_SHOWN_ONLY
            ),
            "banned_columns": sorted(study.privacy.banned_columns),
        }
    )


def contract(study: "Study", arguments: Arguments) -> dict:
    """What decides which relations contracts make up; how leaving is analysed does not."""
    return as_of(study, arguments) | {"contracts": study.contracts.model_dump(mode="json", exclude={*LeavingSection.model_fields, "revenue_retention"})}  # fmt: skip


def leaving(study: "Study", arguments: Arguments) -> dict:
    """What decides the analysis of leaving: drivers, groups, the kinds of ends, and the dates it is tried from."""
    said = study.contracts.model_dump(mode="json", include=set(LeavingSection.model_fields))
    return contract(study, arguments) | {
        "leaving": said, "interval": study.retention.interval, "seed": study.models.sampler.seed,
        "origins": [str(one) for one in study.backtest.origins],
    }  # fmt: skip


def customer_total(study: "Study", arguments: Arguments) -> dict:
    """What decides what customers are worth by purchases and contracts together."""
    return (
        value(study, arguments)
        | contract_value(study, arguments)
        | {"kind": study.business_model, "spend": spend(study, {})}
    )


def contract_backtest(study: "Study", arguments: Arguments) -> dict:
    """What decides the forecasts of renewals from earlier dates: all but the thresholds that judge them."""
    from clvkit.backtest import THRESHOLDS

    return contract_value(study, arguments) | {
        "backtest": study.backtest.model_dump(mode="json", exclude=THRESHOLDS)
    }


def revenue_retention(study: "Study", arguments: Arguments) -> dict:
    """What decides the movements of recurring revenue."""
    return contract(study, arguments) | {
        "revenue_retention": study.contracts.revenue_retention.model_dump(mode="json"), "currency": study.currency,
        "interval": study.retention.interval, "seed": study.models.sampler.seed,
    }  # fmt: skip


def contract_value(study: "Study", arguments: Arguments) -> dict:
    """What decides the fits of renewals, and what running contracts are worth."""
    return contract(study, arguments) | {
        "value": study.value.model_dump(mode="json"), "years": study.days_per_year, "currency": study.currency,
        "sampler": study.models.sampler.model_dump(mode="json"), "priors": study.models.model_dump(mode="json", include={"priors"}),
        "origins": [str(one) for one in study.backtest.origins],
    }  # fmt: skip


def truncation(study: "Study", arguments: Arguments) -> dict:
    """What decides how the beginning of the log is judged."""
    said = study.models.left_truncation
    return as_of(study, arguments) | {"burst": said.min_burst, "repeats": said.min_repeat_ratio}


def cohort(study: "Study", arguments: Arguments) -> dict:
    """What decides which cohort a customer is in."""
    return as_of(study, arguments) | {"grain": study.cohorts.grain}


def scheme(study: "Study", arguments: Arguments) -> dict:
    """What decides which cohorts there are by other keys, and what their margin is."""
    return cohort(study, arguments) | {
        "cohorts": study.cohorts.model_dump(mode="json", include={"by", "tiers"}),
        "margin": study.value.margin, "channel": study.acquisition.by, "segment_by": study.models.segment_by}  # fmt: skip


def retention(study: "Study", arguments: Arguments) -> dict:
    """What decides the customers' curves; how a model's curve is drawn beside them does not."""
    model_only = {
        "rule",
        "horizon_days",
        "simulations",
        "simulated_customers",
        "seed",
        "max_gap",
        "max_returned",
    }
    return as_of(study, arguments) | study.retention.model_dump(mode="json", exclude=model_only)


def fit(study: "Study", arguments: Arguments) -> dict:
    """What decides one fit: its own priors, whether it is sampled and how, and the unit of time."""
    process, models = arguments.get("process", "gammagamma"), study.models.model_dump(mode="json")
    acting = study.calendar if study.calendar.acts and process != "gammagamma" else None
    return {"calendar": acting and acting.model_dump(mode="json"), "priors": models["priors"].get(process, {}), "sampled": process in models["sampled"],
            "sampler": models["sampler"], "time_unit": models["time_unit"],
            "opportunity": models["opportunity"], "left_truncation": models["left_truncation"],
            "days_per_year": study.days_per_year}  # fmt: skip


def spend(study: "Study", arguments: Arguments) -> dict:
    """What decides the model of spend: which is asked for, and what decides its fit."""
    priors = study.models.model_dump(mode="json")["priors"].get("by_frequency", {})
    return (
        as_seen(study, arguments)
        | fit(study, {})
        | {"model": study.models.spend, "priors_by_frequency": priors}
    )


def drift(study: "Study", arguments: Arguments) -> dict:
    """What decides the drift of amounts from year to year."""
    return as_seen(study, arguments) | {"days_per_year": study.days_per_year}


def value(study: "Study", arguments: Arguments) -> dict:
    """What decides customer equity."""
    headline = study.models.headline
    return as_seen(study, arguments) | {
        "process": headline, "fit": fit(study, {"process": headline}),
        "segments": [study.models.valued_with, study.models.segment_spread],
        "covariate_sd": study.models.covariates.prior_sd,
        "value": study.value.model_dump(mode="json"), "grain": study.cohorts.grain,
        "currency": study.currency}  # fmt: skip


def grain(study: "Study", arguments: Arguments) -> dict:
    """What decides the value at each grain: that of each customer, and which groups customers are in."""
    return value(study, arguments) | scheme(study, arguments) | {"flags": study.cohorts.flags}


def backtest(study: "Study", arguments: Arguments) -> dict:
    """All but the thresholds: a new threshold judges anew, and fits nothing."""
    from clvkit.backtest import THRESHOLDS

    return as_of(study, arguments) | {
        "backtest": study.backtest.model_dump(mode="json", exclude=THRESHOLDS),
        "models": study.models.model_dump(mode="json"), "silence_days": study.retention.silence_days,
        "calendar": study.calendar.model_dump(mode="json"),
        "days_per_year": study.days_per_year, "currency": study.currency}  # fmt: skip


def sensitivity(study: "Study", arguments: Arguments) -> dict:
    """What decides customer equity, and how far each driver is moved."""
    moved = study.sensitivity.model_dump(mode="json", exclude={"max_assumption_effect"})
    return value(study, arguments) | {"sensitivity": moved}


def refit(study: "Study", arguments: Arguments) -> dict:
    """What decides quick fits of the same data read in another way."""
    return value(study, arguments) | {
        "spend": spend(study, {}),
        "try_without": sorted(study.privacy.try_without),
    }


def calendar(study: "Study", arguments: Arguments) -> dict:
    """What decides the clock of purchases."""
    headline = study.models.headline
    return as_seen(study, arguments) | {
        "process": headline,
        "fit": fit(study, {"process": headline}),
    }


def treatment(study: "Study", arguments: Arguments) -> dict:
    """What decides customer equity under each treatment of the calendar's windows."""
    return value(study, arguments) | {"declared": study.calendar.model_dump(mode="json")}


def segment(study: "Study", arguments: Arguments) -> dict:
    """What decides a fit by segment, of purchases or of spend."""
    models = study.models
    return fit(study, {"process": models.headline}) | {
        "process": models.headline, "spread": models.segment_spread, "spend": fit(study, {})}  # fmt: skip


def covariate(study: "Study", arguments: Arguments) -> dict:
    """What decides the fit with covariates."""
    headline = study.models.headline
    return fit(study, {"process": headline}) | {
        "process": headline,
        "covariates": study.models.covariates.model_dump(mode="json", exclude={"use"}),
    }


def challenge(study: "Study", arguments: Arguments) -> dict:
    """What decides the challenge; trials of new variables do not."""
    said = study.challenger.model_dump(mode="json", exclude={"trials"})
    return backtest(study, arguments) | {"challenger": said, "contracts": study.contracts.source}


def trials(study: "Study", arguments: Arguments) -> dict:
    """What decides the trial cards."""
    return challenge(study, arguments) | {"trials": study.challenger.model_dump(mode="json")["trials"]}


def methods(study: "Study", arguments: Arguments) -> dict:
    """What decides the values side by side, and which is recommended."""
    return value(study, arguments) | challenge(study, arguments) | contract_value(study, arguments) | {
        "threshold": study.backtest.poor_bias, "kind": study.business_model}  # fmt: skip
