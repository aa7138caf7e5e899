"""Sensitivity: what a change in each driver, alone and from the as-of date on, does to customer equity."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, field_validator

from clvkit.averaging import totals
from clvkit.drivers import DRIVERS
from clvkit.estimate import Estimate
from clvkit.rules import RuleBroken, rate_hint
from clvkit.section import Section
from clvkit.value import Future, Terms, Totals, ValueSection, pair

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit

NUDGE = 0.01  # elasticities are central differences over one per cent


class SensitivitySection(Section):
    """How far each driver is moved, and which effects are put up for review."""

    change: float = Field(
        0.10, description="Relative change made to each driver, down and up, as a fraction: 0.10 is 10 %."
    )
    fall: float = Field(
        0.10,
        description=(
            "Fall in customer equity, as a fraction, for which the change needed in each driver alone is found."
        ),
    )
    max_assumption_effect: float = Field(
        0.10,
        description=(
            "A stated assumption (margin, discount rate, horizon) whose change moves customer equity by a "
            "larger fraction than this is put up for review."
        ),
    )

    @field_validator("change", "fall", "max_assumption_effect")
    @classmethod
    def _fraction(cls, value: float) -> float:
        if not 0 < value < 1:
            raise RuleBroken("must be a fraction between 0 and 1", rate_hint(value))
        return value


def simple_clv(margin: float, retention: float, rate: float) -> float:
    """Value of one customer with constant margin and retention: ``m·r / (1 + i − r)``, without end.

    ``margin`` and ``retention`` hold per period, the first margin is one period away, ``rate`` is the discount
    rate per period. Gupta, Lehmann & Stuart (2004), "Valuing Customers", Journal of Marketing Research 41.
    """
    _require_retention(retention, rate)
    return margin * retention / (1 + rate - retention)


def simple_elasticities(retention: float, rate: float) -> dict[str, float]:
    """Elasticities of `simple_clv`, exact: ``retention`` (1+i)/(1+i−r), ``discount_rate`` −i/(1+i−r), ``margin`` 1."""
    _require_retention(retention, rate)
    below = 1 + rate - retention
    return {"retention": (1 + rate) / below, "margin": 1.0, "discount_rate": -rate / below}


def _require_retention(retention: float, rate: float) -> None:
    if not 0 <= retention <= 1 or rate < 0 or retention >= 1 + rate:
        raise ValueError(
            f"retention must be from 0 to 1 and the rate such that r < 1 + i (got r = {retention}, i = {rate})"
        )


@dataclass(frozen=True)
class Sensitivity:
    """What moves customer equity, and by how much.

    Attributes
    ----------
    terms : the terms that the drivers are moved from; ``change`` by how much, ``fall`` what `needed` is for.
    equity : customer equity with nothing moved: the one of the valuation.
    drivers : one row a driver, the widest swing first: ``driver``, ``factor_down, factor_up`` (what it is
        multiplied by; nearer 1 than asked for where a bound is in the way), ``base, down, up`` (its levels, in
        the driver's unit), ``equity_down, equity_up`` (posterior means), ``difference_down, difference_up``
        from the base with ``…_low, …_high`` (kind expected; NaN without a posterior) and ``…_mle``, ``swing``.
    elasticities : by driver, the change of equity in % per 1 % of the driver, with its interval.
    needed : one row a driver: ``factor`` it would have to be multiplied by, alone, for equity to fall by
        ``fall`` at the maximum-likelihood estimate, and the ``level`` that makes (NaN where no change within
        its bounds does it; ``level`` is only there for terms).
    """

    process: str
    currency: str
    terms: Terms
    interval: float
    change: float
    fall: float
    equity: Estimate
    drivers: "pd.DataFrame"
    elasticities: dict[str, Estimate]
    needed: "pd.DataFrame"

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        self.drivers.to_parquet(folder / "drivers.parquet", index=False)
        self.needed.to_parquet(folder / "needed.parquet", index=False)
        made = {name: getattr(self, name) for name in ("process", "currency", "interval", "change", "fall")}
        made |= {"terms": asdict(self.terms), "equity": self.equity.to_json()}
        made["elasticities"] = {name: one.to_json() for name, one in self.elasticities.items()}
        (folder / "sensitivity.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Sensitivity":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "sensitivity.json").read_text(encoding="utf-8"))
        made |= {"terms": Terms(**made["terms"]), "equity": Estimate(**made["equity"])}
        made["elasticities"] = {name: Estimate(**one) for name, one in made["elasticities"].items()}
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("drivers", "needed")}
        return cls(**made, **tables)

    def metrics(self) -> dict[str, Estimate]:
        """Elasticities by metric id, such as ``elasticity_margin``."""
        return {f"elasticity_{name}": one for name, one in self.elasticities.items()}


def one_way(
    fit: "Fit",
    spend: "Fit",
    cells: "pd.DataFrame",
    value: ValueSection,
    section: SensitivitySection,
    *,
    currency: str,
    minor_per_unit: float,
    days_per_year: float,
) -> Sensitivity:
    """Move each driver by itself, down and up, and value the customers anew.

    Every case is valued on the same posterior draws, and a difference is taken draw by draw: its interval is
    the one of the difference, and narrower than the one of equity.

    Parameters
    ----------
    cells : columns of `customers.cells`; where some are marked (`clvkit.averaging`), those are valued as their segment.
    value : gives the terms, the number of draws and the probability of the intervals.
    """
    import pandas as pd

    terms = Terms.of(value, days_per_year)
    draws = pair(fit, spend, value.posterior_draws)
    at_mle = fit.mle[None], spend.mle[None]

    def swept(cases, parameters=at_mle, **options) -> list[Totals]:
        group = np.zeros(len(cells), int)
        found = totals(fit, spend, parameters, cells, [group], cases, minor_per_unit, **options)
        return [one[0] for one in found]

    steps = (1 - section.change, 1 + section.change, 1 - NUDGE, 1 + NUDGE)
    moved = {name: [driver.moved(terms, step) for step in steps] for name, driver in DRIVERS.items()}
    cases = [(terms, Future())]
    cases += [DRIVERS[name].case(terms, to) for name, values in moved.items() for to in values]
    drawn = [one.value[:, 0] for one in swept(cases, draws, money_only=True)]
    plug = [float(one.value[0, 0]) for one in swept(cases, money_only=True)]
    level = _levels(swept, terms, fit.unit_days if fit.model.discrete else None)

    def estimate(values: np.ndarray, mle: float, unit: str) -> Estimate:
        if len(values) == 1:  # no posterior: an estimate without an interval
            return Estimate(float(values[0]), mle=mle, unit=unit, interval=value.interval)
        return Estimate.from_draws(values, mle=mle, unit=unit, interval=value.interval)

    rows, elasticities = [], {}
    for place, (name, driver) in enumerate(DRIVERS.items()):
        at = slice(1 + len(steps) * place, 1 + len(steps) * (place + 1))
        factors = [to / driver.base(terms) if driver.base(terms) else 1.0 for to in moved[name]]
        row = {"driver": name, "factor_down": factors[0], "factor_up": factors[1]}
        row |= {
            side: level[name](factor)
            for side, factor in zip(("base", "down", "up"), (1.0, *factors), strict=False)
        }
        for side, one, its_plug in zip(("down", "up"), drawn[at], plug[at], strict=False):
            difference = estimate(one - drawn[0], its_plug - plug[0], currency)
            row |= {f"equity_{side}": float(one.mean()), f"difference_{side}": difference.value}
            row |= {f"difference_{side}_{what}": getattr(difference, what) for what in ("low", "high", "mle")}
        row["swing"] = abs(row["difference_up"] - row["difference_down"])
        rows.append(row)
        width = factors[3] - factors[2]
        slopes = [
            (up - down) / (width * base) if width else 0.0 * base
            for down, up, base in (
                (drawn[at][2], drawn[at][3], drawn[0]),
                (plug[at][2], plug[at][3], plug[0]),
            )
        ]
        elasticities[name] = estimate(slopes[0], float(slopes[1]), "% per %")
    table = pd.DataFrame(rows)
    order = (-table["swing"] / drawn[0].mean()).round(9)  # drivers that tie but for rounding keep their order
    table = table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
    numeric = [column for column in table if column != "driver"]
    table[numeric] = table[numeric].astype(float)
    return Sensitivity(
        fit.process,
        currency,
        terms,
        value.interval,
        section.change,
        section.fall,
        estimate(drawn[0], plug[0], currency),
        table,
        elasticities,
        _needed(lambda case: float(swept([case], at_mle)[0].value[0, 0]), terms, section.fall),
    )


def _levels(swept, terms: Terms, opportunity_days: float | None) -> dict:
    """Per driver, a function from its factor to its level, in the unit that readers are told.

    Those of the future are read off expected purchases at the maximum-likelihood estimate, so that they mean the same in every process: the rate
    from the first moments ahead, spend from value over purchases, and the hazard from how much slower
    purchasing is after a year. Where purchases come at opportunities, the moments are opportunities: the first one
    ahead, and the first one after a year.
    """
    year = terms.days_per_year
    step, centre = (1.0, 0.5) if opportunity_days is None else (opportunity_days, 0.0)
    plain = Terms(1.0, 0.0, terms.horizon_days, year)

    def purchases(horizon_days: float, hazard: float = 1.0) -> Totals:
        return swept([(Terms(1.0, 0.0, horizon_days, year), Future(hazard=hazard))])[0]

    instant = 1e-3 if opportunity_days is None else opportunity_days
    first = purchases(instant)
    rate = first.purchases.mean() / instant
    total = swept([(plain, Future())])[0]

    def lost(hazard: float) -> float:
        ends = (year + (1 - centre) * step, year - centre * step)
        late, early = (purchases(end, hazard).purchases.mean() for end in ends)
        return 1 - (late - early) / step / rate

    return {
        "purchase_rate": lambda factor: factor * rate * year / first.alive.mean(),
        "dropout_hazard": lost,
        "spend": lambda factor: factor * total.value.mean() / total.purchases.mean(),
        "margin": lambda factor: factor * terms.margin,
        "discount_rate": lambda factor: factor * terms.annual_discount_rate,
        "horizon": lambda factor: factor * terms.horizon_days / year * 12,
    }


def _needed(equity, terms: Terms, fall: float) -> "pd.DataFrame":
    """For each driver alone, the change that takes equity down by the fraction ``fall``."""
    import pandas as pd
    from scipy.optimize import brentq

    target = (1 - fall) * equity((terms, Future()))
    rows = []
    for name, driver in DRIVERS.items():
        base = driver.base(terms)
        # more of these two lowers equity, more of the others raises it
        worst = driver.most if name in ("dropout_hazard", "discount_rate") else driver.least

        def above(to: float, driver=driver) -> float:
            return equity(driver.case(terms, to)) - target

        to = brentq(above, base, worst, xtol=1e-10, rtol=1e-10) if above(worst) < 0 else np.nan
        level = {"margin": to, "discount_rate": to, "horizon": to / terms.days_per_year * 12}.get(
            name, np.nan
        )
        rows.append({"driver": name, "factor": to / base if base else np.nan, "level": level})
    return pd.DataFrame(rows)
