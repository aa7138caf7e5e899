"""Levels of static covariates: how a customer's attributes become one of few patterns, so that cells still compress.

A covariate has levels. A pattern is a combination of them, one of each covariate, written as their numbers: ``0.2.1``.
Whatever has one value for every customer and a few hundred patterns at most costs the fit next to nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from clvkit.errors import FitError

On = Literal["rate", "dropout"]
PATTERN = "pattern"  # the column of cells that says which
MISSING, OTHER = "missing", "other"
KEPT_UP_TO = 4  # distinct values: a number with no more is kept as it is
RAREST = 0.01  # share of customers below which categories are pooled; and ...
FEWEST = 30  # ... the number of them
MOST_PATTERNS = 500


@dataclass(frozen=True)
class Covariate:
    """One covariate and its levels.

    Attributes
    ----------
    name : as readers know it. ``on``: what it acts on, ``rate``, ``dropout`` or both.
    kind : ``categories``, ``bins`` or ``number``.
    levels : names of the levels, in the order of their numbers; of categories and bins the first is the reference.
    customers : customers in each level.
    edges : of bins, the values (bins − 1,) that part them; a value belongs to the bin below its edge.
    values : of a number, the value of each level, NaN where it is missing; of categories, their texts.
    """

    name: str
    on: tuple[On, ...]
    kind: Literal["categories", "bins", "number"]
    levels: tuple[str, ...]
    customers: tuple[int, ...]
    edges: tuple[float, ...] = ()
    values: tuple = ()

    @property
    def spread(self) -> float:
        """Standard deviation over customers of a number that is kept."""
        values, n = np.array(self.values, float), np.array(self.customers, float)
        known = np.isfinite(values)
        mean = np.average(values[known], weights=n[known])
        return float(np.sqrt(np.average((values[known] - mean) ** 2, weights=n[known])))

    @property
    def steps(self) -> tuple[tuple[str, np.ndarray], ...]:
        """What has a coefficient: its name and its value (levels,) at each level.

        A category or bin is 1 for its customers, against the reference; a number counts in standard deviations from its
        mean, and whoever has none is a category.
        """
        if self.kind != "number":
            ones = np.eye(len(self.levels))
            return tuple((level, ones[at]) for at, level in enumerate(self.levels) if at > 0)
        values, n = np.array(self.values, float), np.array(self.customers, float)
        known = np.isfinite(values)
        mean = np.average(values[known], weights=n[known])
        found = [(f"each {self.spread:.3g} more", np.where(known, (values - mean) / self.spread, 0.0))]
        if not known.all():
            found.append((MISSING, (~known).astype(float)))
        return tuple(found)

    @property
    def rule(self) -> str:
        """How the levels came about, in words."""
        if self.kind == "bins":
            cuts = " and ".join(f"{edge:g}" for edge in self.edges)
            return f"{self.name}: {len(self.edges) + 1} classes parted at its quantiles, {cuts}; the reference is {self.levels[0]}"
        if self.kind == "number":
            return f"{self.name}: as it is, counted in standard deviations of {self.spread:.3g}"
        pooled = "; rare ones are pooled" if OTHER in self.levels else ""
        return f"{self.name}: by category, against {self.levels[0]}, the most frequent one{pooled}"


@dataclass(frozen=True)
class Design:
    """The covariates of a study, in the order in which patterns name their levels."""

    covariates: tuple[Covariate, ...]

    @property
    def effects(self) -> tuple[tuple[On, int, str], ...]:
        """What each coefficient is: on ``rate`` or ``dropout``, the place of the covariate, and the name of the step."""
        return tuple(
            (on, place, step)
            for on in ("rate", "dropout")
            for place, one in enumerate(self.covariates)
            if on in one.on
            for step, _ in one.steps
        )

    def matrix(self, patterns: Sequence[str]) -> np.ndarray:
        """The value of every coefficient's step in each pattern: (patterns, coefficients).

        Raises
        ------
        FitError : a pattern that is not one of these covariates' levels.
        """
        rows = [self._levels(pattern) for pattern in patterns]
        steps = [dict(one.steps) for one in self.covariates]
        return np.array(
            [[steps[place][step][levels[place]] for _, place, step in self.effects] for levels in rows]
        ).reshape(len(rows), len(self.effects))

    def words(self, pattern: str) -> str:
        """A pattern as readers know it."""
        levels = self._levels(pattern)
        return ", ".join(
            f"{one.name} {one.levels[at]}" for one, at in zip(self.covariates, levels, strict=True)
        )

    def _levels(self, pattern: str) -> list[int]:
        parts = str(pattern).split(".")
        sizes = [len(one.levels) for one in self.covariates]
        if len(parts) != len(sizes) or not all(
            part.isdigit() and int(part) < size for part, size in zip(parts, sizes, strict=True)
        ):
            raise FitError(
                f"{pattern!r} is no pattern of {', '.join(one.name for one in self.covariates)}",
                place="models.covariates",
                fix="count cells and fit with the same covariates",
            )
        return [int(part) for part in parts]

    def to_json(self) -> list[dict]:
        """What `from_json` reads."""
        made = [asdict(one) for one in self.covariates]
        for one in made:
            one["values"] = [None if isinstance(v, float) and math.isnan(v) else v for v in one["values"]]
        return made

    @classmethod
    def from_json(cls, made: list[dict]) -> "Design":
        """Read what `to_json` gave."""
        found = []
        for one in made:
            values = tuple(np.nan if v is None else v for v in one["values"])
            lists = {name: tuple(one[name]) for name in ("on", "levels", "customers", "edges")}
            found.append(Covariate(one["name"], kind=one["kind"], values=values, **lists))
        return cls(tuple(found))
