"""Which model of spend the value is computed with: Gamma-Gamma, unless the data ask for more."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit import numbers
from clvkit.errors import FitError
from clvkit.fit import Fit
from clvkit.fitting import fit_spend
from clvkit.models_section import ModelsSection
from clvkit.spend import SpendIndependence, refused_share, spend_independence

if TYPE_CHECKING:
    from datetime import date

    import ibis.expr.types as ir
    import pandas as pd

LEVEL = 0.01  # of the likelihood-ratio test of κ
BETTER = (
    1.645  # standard errors that by_frequency must foretell better by: chance does it once in twenty times
)
MOST_REFUSED = 0.5  # of repeat customers; a model of positive amounts then describes a minority


@dataclass(frozen=True)
class Foretold:
    """How much better by_frequency foretells the last purchases, in standard errors, over how many customers.

    ``gammagamma`` and ``by_frequency`` are their mean forecasts, ``actual`` the mean amount, in major units.
    """

    z: float
    customers: int
    actual: float
    gammagamma: float
    by_frequency: float


@dataclass(frozen=True)
class SpendChoice:
    """The model of spend that is used, and why.

    Attributes
    ----------
    asked : what the study says (``auto`` or a model); ``used``: a model of `processes.SPEND`, or ``segment_means``.
    reason : a sentence.
    likelihood_ratio, p_value : of κ = 0, one degree of freedom; ``kappa`` and ``kappa_se`` the estimate.
    independence : the correlation of frequency and mean spend against the fitted Gamma-Gamma's own.
    foretold : how the two foretell each customer's last purchase from those before; None where not asked.
    refused : share of repeat customers whose purchases add up to nothing or less.
    fits : the models at maximum likelihood, by name; empty where none can be fitted.
    """

    asked: str
    used: str
    reason: str
    refused: float
    likelihood_ratio: float | None = None
    p_value: float | None = None
    kappa: float | None = None
    kappa_se: float | None = None
    independence: SpendIndependence | None = None
    foretold: Foretold | None = None
    fits: dict[str, Fit] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict:
        """The choice as ``results.json`` holds it."""
        return asdict(replace(self, fits={}))  # the fits stand with the others

    def save(self, folder: Path) -> None:
        """Write the fits and, as JSON, the rest."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, fit in self.fits.items():
            fit.save(folder / name)
        made = self.to_json() | {"fits": list(self.fits)}
        (folder / "choice.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "SpendChoice":
        """Read what `save` wrote."""
        made = json.loads((folder / "choice.json").read_text(encoding="utf-8"))
        made["fits"] = {name: Fit.load(folder / name) for name in made["fits"]}
        for name, kind in (("independence", SpendIndependence), ("foretold", Foretold)):
            made[name] = kind(**made[name]) if made[name] else None
        return cls(**made)


def choose_spend(
    spend_cells: "pd.DataFrame",
    last: "pd.DataFrame | None",
    section: ModelsSection,
    minor_per_unit: float,
    seed: int,
) -> SpendChoice:
    """Choose the model of spend that a study asks for, or that its data ask for.

    ``auto`` is Gamma-Gamma, unless all three hold: the likelihood-ratio test of κ rejects it at 1 %, the correlation of
    frequency and spend lies outside of what it shows itself, and by_frequency foretells customers' last purchases better
    than chance would. A likelihood alone also takes a skew of amounts for a dependence; a tie goes to the simpler model.

    Parameters
    ----------
    spend_cells : ``frequency, spend_minor, n`` of repeat customers.
    last : what `last_purchases` gives; None: that leg is left out.
    """
    refused = refused_share(spend_cells)
    try:
        plain, dependent = (
            fit_spend(spend_cells, section, minor_per_unit, model=name, sample=False)
            for name in ("gammagamma", "by_frequency")
        )
    except FitError:
        if section.spend != "auto":
            raise
        return SpendChoice("auto", "segment_means", _refused_words(refused), refused)
    ratio = max(0.0, 2 * (dependent.log_likelihood - plain.log_likelihood))
    kappa, kappa_se = float(np.log(dependent.mle[3])), float(dependent.se[3] / dependent.mle[3])
    p_value = _chi_square_tail(ratio)
    choice = SpendChoice(
        section.spend,
        section.spend,
        f"The study asks for {dependent.label if section.spend == 'by_frequency' else plain.label}.",
        refused,
        ratio,
        p_value,
        kappa,
        kappa_se if np.isfinite(kappa_se) else None,
        spend_independence(plain, spend_cells, minor_per_unit, seed),
        None if last is None else foretell(last, section, minor_per_unit),
        {"gammagamma": plain, "by_frequency": dependent},
    )
    if section.spend != "auto":
        return choice
    if refused > MOST_REFUSED:
        return replace(choice, used="segment_means", reason=_refused_words(refused))
    return _judged(choice)


def _judged(choice: SpendChoice) -> SpendChoice:
    one = choice.independence
    outside = not one.low <= one.rho <= one.high
    test = f"the likelihood-ratio test of κ gives {numbers.number(choice.likelihood_ratio, 1)}, {_p(choice.p_value)}"
    where = "outside" if outside else "inside"
    correlation = (
        f"frequency and spend correlate at {numbers.number(one.rho, 2)}, {where} of what Gamma-Gamma shows itself "
        f"({numbers.number(one.low, 2)} to {numbers.number(one.high, 2)})"
    )
    simpler = "and the simpler model wins a tie"
    if choice.p_value >= LEVEL or not outside:
        both = "both do not reject it" if choice.p_value >= LEVEL and not outside else "not both reject it"
        said = f"Gamma-Gamma is used: {test}, and {correlation}; {both}, {simpler}."
        return replace(choice, used="gammagamma", reason=said)
    if choice.foretold is None:
        said = f"Spend by frequency is used: {test}, and {correlation}."
        return replace(choice, used="by_frequency", reason=said)
    z = choice.foretold.z
    foretells = (
        f"foretells the last purchase of {numbers.count(choice.foretold.customers)} customers from those before "
        f"{'better' if z > 0 else 'worse'} by {numbers.number(abs(z), 1)} standard errors"
    )
    if z > BETTER:
        said = f"Spend by frequency is used: {test}, {correlation}, and it {foretells}."
        return replace(choice, used="by_frequency", reason=said)
    said = (
        f"Gamma-Gamma is used: {test}, and {correlation}, but spend by frequency {foretells}, where {BETTER} are asked "
        f"for, {simpler}."
    )
    return replace(choice, used="gammagamma", reason=said)


def _refused_words(share: float) -> str:
    return (
        f"The mean of the segment is used: {numbers.percent(share)} of the repeat customers spent nothing or less in all, "
        "and a model of positive amounts would describe the others alone."
    )


def _p(value: float) -> str:
    return "p below 0.001" if value < 0.001 else f"p {numbers.number(value, 3)}"


def _chi_square_tail(value: float) -> float:
    from scipy.stats import chi2

    return float(chi2.sf(value, 1))


def last_purchases(purchases: "ir.Table", as_of: "date") -> "pd.DataFrame":
    """What each repeat customer spent last, with what was known before: grouped by the engine, sorted.

    Returns ``frequency`` and ``spend_minor`` (repeat purchases before the last one, and their total), ``last_minor`` (the
    last one's amount) and ``n`` customers. ``purchases`` are one row per customer and day.
    """
    import ibis

    known = purchases.filter(purchases.day <= ibis.date(as_of))
    each = known.group_by("customer").agg(
        days=known.count(),
        total=known.amount_minor.sum().cast("int64"),
        first=known.amount_minor.argmin(known.day).cast("int64"),
        last_minor=known.amount_minor.argmax(known.day).cast("int64"),
    )
    each = each.filter(each.days >= 2)
    each = each.select(
        frequency=(each.days - 2).cast("int64"),
        spend_minor=each.total - each.first - each.last_minor,
        last_minor=each.last_minor,
    )
    keys = ["frequency", "spend_minor", "last_minor"]
    grouped = each.group_by(keys).agg(n=each.count().cast("int64"))
    return grouped.order_by(keys).to_pyarrow().to_pandas()


def foretell(last: "pd.DataFrame", section: ModelsSection, minor_per_unit: float) -> Foretold | None:
    """Foretell every last purchase by both models, fitted to the purchases before; None where they cannot be fitted.

    Forecasts m of an amount y are scored by log m + y/m, which is least on average where m is the mean, whatever the
    distribution, and weighs small and large amounts alike (Patton 2011, Journal of Econometrics 160). Whoever bought again
    once is foretold from nothing, as customers without a repeat purchase are.
    """
    rows = last[(last["frequency"] == 0) | (last["spend_minor"] > 0)]
    try:
        fits = [
            fit_spend(rows, section, minor_per_unit, model=m, sample=False)
            for m in ("gammagamma", "by_frequency")
        ]
    except FitError:
        return None
    n, x = rows["n"].to_numpy(float), rows["frequency"].to_numpy()
    actual, scores, means = rows["last_minor"].to_numpy() / minor_per_unit, [], []
    for fit in fits:
        base, slope = fit.model.expected_spend(fit.mle, x, fit.observed)
        mean = base + slope * rows["spend_minor"].to_numpy() / minor_per_unit
        means.append(float(n @ mean / n.sum()))
        scores.append(np.log(mean) + actual / mean)
    gain = scores[0] - scores[1]
    average = n @ gain / n.sum()
    error = np.sqrt(n @ (gain - average) ** 2) / n.sum()
    z = float(average / error) if error > 0 else 0.0
    return Foretold(z, int(n.sum()), float(n @ actual / n.sum()), *means)
