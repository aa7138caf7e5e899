"""From what is written of customers to the levels of covariates, by stated rules; and what may be known only later."""

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from clvkit.checks import Check
from clvkit.covariate_levels import FEWEST, KEPT_UP_TO, MISSING, OTHER, PATTERN, RAREST, Covariate, Design, On
from clvkit.errors import FitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

MOST_KEPT = 20  # distinct values of a number that is kept because the study says so
CHANGED = 0.01  # share of customers whose value changes, above which it is no static covariate
TELLING = (
    0.5  # rank correlation with frequency, or gap in missing values, that looks like a matter of construction
)


def covariate_of(
    name: str,
    values: "pd.Series",
    *,
    on: "Sequence[On]" = ("rate", "dropout"),
    bins: int | Literal["categories", "keep"] = 4,
) -> Covariate:
    """The levels of a covariate.

    Parameters
    ----------
    values : (customers,) texts or numbers, missing where nothing is known.
    bins : how many classes, as nearly alike in customers as values allow, numbers are parted into; ``keep`` takes numbers as
        they are, ``categories`` takes them for names. Numbers with three or four values are kept, those with two are
        categories, and so are texts.

    Categories go by how frequent they are, the most frequent one is the reference; those of fewer than `FEWEST` customers or
    a share of `RAREST` are pooled. Customers of whom nothing is known are a level of their own.

    Raises
    ------
    FitError : everybody has the same level, numbers that are none, or too many of them to be kept.
    """
    import pandas as pd

    known = values.dropna()
    missing = len(values) - len(known)
    numbers = pd.to_numeric(known, errors="coerce")
    numeric = len(known) > 0 and bool(np.isfinite(numbers).all()) and bins != "categories"
    if bins == "keep" and not numeric:
        raise FitError(
            f"the covariate {name} is not a number that could be kept as it is",
            place="models.covariates",
            fix="set its bins to categories",
        )
    distinct = numbers.nunique() if numeric else 0
    if numeric and bins == "keep" and distinct > MOST_KEPT:
        raise FitError(
            f"the covariate {name} has {distinct:,} values; more than {MOST_KEPT} cannot be kept as they are",
            place="models.covariates",
            fix="give a number of bins",
        )
    if numeric and distinct > 2 and (bins == "keep" or distinct <= KEPT_UP_TO):
        made = _kept(name, tuple(on), numbers, missing)
    elif numeric and distinct > 2:
        made = _binned(name, tuple(on), numbers, missing, int(bins))
    else:
        made = _named(name, tuple(on), known.astype(str), missing)
    if len(made.levels) < 2:
        raise FitError(
            f"the covariate {name} is the same for everybody ({', '.join(made.levels) or 'nothing is known of it'})",
            place="models.covariates",
            fix="leave it out, or name one that differs between customers",
        )
    return made


def _kept(name: str, on: tuple[On, ...], numbers: "pd.Series", missing: int) -> Covariate:
    counts = numbers.value_counts().sort_index()
    values = [float(v) for v in counts.index] + [np.nan] * (missing > 0)
    levels = [f"{v:g}" for v in counts.index] + [MISSING] * (missing > 0)
    customers = [int(n) for n in counts] + [missing] * (missing > 0)
    return Covariate(name, on, "number", tuple(levels), tuple(customers), values=tuple(values))


def _binned(name: str, on: tuple[On, ...], numbers: "pd.Series", missing: int, bins: int) -> Covariate:
    asked = np.arange(1, bins) / bins
    edges = np.unique(np.quantile(numbers, asked, method="inverted_cdf"))
    edges = edges[edges < numbers.max()]
    names = [f"up to {edges[0]:g}"] if len(edges) else ["all"]
    names += [f"over {low:g} to {high:g}" for low, high in pairwise(edges)]
    names += [f"over {edges[-1]:g}"] if len(edges) else []
    counts = np.bincount(np.searchsorted(edges, numbers), minlength=len(names))
    levels = tuple(names) + (MISSING,) * (missing > 0)
    customers = tuple(int(n) for n in counts) + (missing,) * (missing > 0)
    return Covariate(name, on, "bins", levels, customers, edges=tuple(float(e) for e in edges))


def _named(name: str, on: tuple[On, ...], texts: "pd.Series", missing: int) -> Covariate:
    counts = texts.value_counts()
    order = sorted(counts.index, key=lambda text: (-counts[text], text))
    least = max(FEWEST, RAREST * (len(texts) + missing))
    often = [text for text in order if counts[text] >= least] or order[:1]
    rare = int(counts.sum() - counts[often].sum()) if order else 0
    levels = [*often[: len(order)], *([OTHER] if rare else []), *([MISSING] if missing else [])]
    customers = [int(counts[text]) for text in often if text in counts.index]
    customers += ([rare] if rare else []) + ([missing] if missing else [])
    return Covariate(name, on, "categories", tuple(levels), tuple(customers))


def codes(covariate: Covariate, values: "pd.Series") -> np.ndarray:
    """The number of each customer's level: (customers,).

    Raises
    ------
    FitError : a value that belongs to no level.
    """
    import pandas as pd

    places = {level: place for place, level in enumerate(covariate.levels)}
    unknown = values.isna().to_numpy()
    found = np.full(len(values), places.get(MISSING, -1))
    known = values[~unknown]
    if covariate.kind == "bins":
        found[~unknown] = np.searchsorted(covariate.edges, pd.to_numeric(known, errors="coerce"))
    else:
        texts = known.astype(str)
        if covariate.kind == "number":
            texts = pd.to_numeric(known, errors="coerce").map("{:g}".format)
        found[~unknown] = texts.map(places).fillna(places.get(OTHER, -1)).to_numpy(np.int64)
    if (found < 0).any():
        wrong = values.iloc[int(np.argmax(found < 0))]
        raise FitError(
            f"the covariate {covariate.name} has no level for {wrong!r}; it has {', '.join(covariate.levels)}",
            place="models.covariates",
            fix="take its levels from data that have it",
        )
    return found


def patterns(design: Design, values: "pd.DataFrame") -> "pd.Series":
    """The pattern of each customer, of a frame with one column for each covariate, by name."""
    import pandas as pd

    texts = [pd.Series(codes(one, values[one.name]), values.index).astype(str) for one in design.covariates]
    joined = texts[0]
    for more in texts[1:]:
        joined = joined + "." + more
    return joined.rename(PATTERN)


def after_the_fact(name: str, values: "pd.Series", frequency: "pd.Series", changed: float) -> Check:
    """Whether a covariate may be known only after the fact: then it explains the past, and foretells nothing.

    Parameters
    ----------
    values, frequency : (customers,) what is written of each, and their repeat purchases.
    changed : share of customers whose value is not the same in all of their rows.

    Three things are looked at: values that change (`CHANGED`), numbers that go with frequency as a sum or count over
    purchases does, and values that only those who came back have, or only those who did not (both `TELLING`).
    """
    import pandas as pd

    doubts, numbers = [], pd.to_numeric(values, errors="coerce")
    if changed > CHANGED:
        doubts.append(f"it changes in the rows of {changed:.1%} of the customers")
    known = numbers.notna()
    if known.sum() > 2 and known.sum() == values.notna().sum() and numbers[known].nunique() > 2:
        with np.errstate(invalid="ignore", divide="ignore"):
            together = numbers[known].rank().corr(frequency[known].rank())
        if abs(together) > TELLING:
            doubts.append(f"it goes with the number of purchases (rank correlation {together:.2f})")
    again, once = values[frequency > 0].isna().mean(), values[frequency == 0].isna().mean()
    if abs(again - once) > TELLING:
        doubts.append(
            f"it is missing for {once:.0%} of those who never came back, and for {again:.0%} of the others"
        )
    return Check(
        f"covariates.after_the_fact.{name}",
        f"The covariate {name} is known from the start",
        "review" if doubts else "pass",
        f"{name} may be known only after the fact: {'; '.join(doubts)}."
        if doubts
        else f"Nothing suggests that {name} is known only after customers have bought again.",
        value=len(doubts),
        threshold=0,
        unit="doubts",
        recommendation="Take the value as it was at the first purchase, or leave the covariate out: an effect of what "
        "purchases themselves have caused makes the past look explained and the forecast no better."
        if doubts
        else "",
        chapter="04_value",
    )
