"""Valuation: what all customers are worth, who holds it, and each customer's own figure."""

import json
import math
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clvkit.averaging import MARK, is_own, pools, segment_means, totals
from clvkit.estimate import Estimate
from clvkit.value import BLOCK, Block, Future, Terms, Totals, ValueSection, pair, stretch

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit

#: The group of those who are not valued as their segment.
ONE_BY_ONE = "modelled"
#: Column of cells first seen in a burn-in, and what the groups of the scheme ``left_truncation`` are called.
IN_BURN_IN = "in_burn_in"
BURN_IN, OLDER, LATER = "first seen in the burn-in", "older than the log", "watched from the first purchase"


@dataclass(frozen=True)
class Valuation:
    """What the customers are worth, and who holds it.

    Attributes
    ----------
    estimates : by metric id: ``customer_equity`` (within the horizon, both kinds: ``…_outcome`` adds the
        noise of purchases and amounts), ``customer_equity_lifetime`` (infinite horizon), ``customers_alive``,
        ``purchases_expected`` and ``purchases_outcome`` within the horizon, ``clv_mean`` per customer.
    groups : by scheme (``frequency_class``, ``cohort``, ``segment``, and ``valued_as`` where some are valued as their
        segment: the rule that says so, or `ONE_BY_ONE`; ``left_truncation`` where cells say who is older than the log or
        first seen in its burn-in): DataFrame with one row a group and columns ``group, customers, alive, purchases, value, low, high, mle, share`` (share of equity) and
        ``outcome_low, outcome_high``, the range of what may be seen.
    path : DataFrame ``months, value, low, high, mle``: equity by how far ahead one looks; the last row is
        the infinite horizon.
    terms : the terms it was computed on.
    wider_priors : equity had every prior been twice as wide (the same draws, re-weighted); None without a
        posterior. What it differs from equity by is what the priors contribute.
    one_by_one : equity had everybody been valued one by one; None where everybody was.
    """

    process: str
    label: str
    customers: int
    currency: str
    terms: Terms
    interval: float
    estimates: dict[str, Estimate]
    groups: dict[str, "pd.DataFrame"]
    path: "pd.DataFrame"
    wider_priors: float | None = None
    one_by_one: float | None = None

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in {**self.groups, "path": self.path}.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        made = {
            "process": self.process,
            "label": self.label,
            "customers": self.customers,
            "currency": self.currency,
            "terms": asdict(self.terms),
            "interval": self.interval,
            "wider_priors": self.wider_priors,
            "one_by_one": self.one_by_one,
            "groups": list(self.groups),
            "estimates": {name: one.to_json() for name, one in self.estimates.items()},
        }
        (folder / "valuation.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Valuation":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "valuation.json").read_text(encoding="utf-8"))
        made["terms"] = Terms(**made["terms"])
        made["groups"] = {name: pd.read_parquet(folder / f"{name}.parquet") for name in made["groups"]}
        made["estimates"] = {name: Estimate(**one) for name, one in made["estimates"].items()}
        return cls(**made, path=pd.read_parquet(folder / "path.parquet"))


def valuation(
    fit: "Fit",
    spend: "Fit",
    cells: "pd.DataFrame",
    customers: "pd.DataFrame",
    section: ValueSection,
    *,
    as_of: date,
    grain: str,
    currency: str,
    minor_per_unit: float,
    days_per_year: float,
    seed: int,
) -> Valuation:
    """Value all customers and say who holds the value.

    Parameters
    ----------
    cells : columns of `customers.cells`; marked, where some are valued as their segment (`clvkit.averaging`).
    customers : distinct (``frequency, recency_days, T_days, spend_minor``) with their count ``n``: what a
        simulation of outcomes needs, since amounts depend on each customer's own total; marked as ``cells`` are.
    """
    import pandas as pd

    from clvkit.outcomes import simulate_by_group
    from clvkit.processes.window import endless

    terms = Terms.of(section, days_per_year)
    purchases, amounts = pair(fit, spend, section.posterior_draws)
    one_by_one = bool(is_own(cells).all())

    def grouped(frame):
        """Codes and names of the groups of each scheme."""
        labels = {
            "frequency_class": frequency_class(frame["frequency"]),
            "cohort": cohort_labels(_age(frame), as_of, grain),
            "segment": frame["segment"].astype(str),
        }
        if not one_by_one:
            labels["valued_as"] = frame[MARK].fillna(ONE_BY_ONE)
        if IN_BURN_IN in frame:
            labels["left_truncation"] = pd.Series(np.where(frame[IN_BURN_IN], BURN_IN, LATER))
        if "before_days" in frame:
            labels["left_truncation"] = pd.Series(np.where(frame["before_days"] >= 0, OLDER, LATER))
        return {name: pd.factorize(label, sort=True) for name, label in labels.items()}

    schemes = grouped(cells)
    months = [float(m) for m in range(6, int(section.horizon_months), 6)] + [section.horizon_months]
    # Without discounting it has no value, and with customers older than the log not for every process.
    without_end = endless(fit.model) or not ("before_days" in cells and (cells["before_days"] >= 0).any())
    months += [math.inf] if terms.annual_discount_rate > 0 and without_end else []
    terms_of = [replace(terms, horizon_days=m * days_per_year / 12) for m in months]
    headline = months.index(section.horizon_months)
    codes = [code for code, _ in schemes.values()]

    def over(draws):
        """Totals of the headline terms by scheme, and equity by how far ahead one looks."""
        full = totals(fit, spend, draws, cells, codes, [(terms, Future())], minor_per_unit)[0]
        looks = totals(
            fit,
            spend,
            draws,
            cells,
            [np.zeros(len(cells), int)],
            [(one, Future()) for one in terms_of],
            minor_per_unit,
            money_only=True,
        )
        return full, [look[0].value[:, 0] for look in looks]

    (drawn, paths), (plug, plug_paths) = over((purchases, amounts)), over((fit.mle[None], spend.mle[None]))
    make = {"interval": section.interval, "unit": currency}
    groups = {
        scheme: _group_table(names, code, cells["n"].to_numpy(), one, at_mle, section.interval)
        for (scheme, (code, names)), one, at_mle in zip(schemes.items(), drawn, plug, strict=True)
    }
    looks = [
        Estimate.from_draws(path, mle=at_mle[0], **make)
        for path, at_mle in zip(paths, plug_paths, strict=True)
    ]
    path = pd.DataFrame(
        {
            "months": months,
            "value": [one.value for one in looks],
            "low": [one.low for one in looks],
            "high": [one.high for one in looks],
            "mle": [one.mle for one in looks],
        }
    )
    number = int(cells["n"].sum())
    alive, bought = drawn[0].alive.sum(axis=1), drawn[0].purchases.sum(axis=1)
    estimates = {
        "customer_equity": looks[headline],
        "clv_mean": looks[headline].scaled(1 / number),
        "customers_alive": Estimate.from_draws(
            alive, mle=plug[0].alive.sum(), interval=section.interval, unit="customers"
        ),
        "purchases_expected": Estimate.from_draws(
            bought, mle=plug[0].purchases.sum(), interval=section.interval, unit="purchases"
        ),
    }
    if math.isinf(months[-1]):
        estimates["customer_equity_lifetime"] = looks[-1]
    often = np.resize(
        np.arange(len(purchases)), section.posterior_draws
    )  # luck is simulated without a posterior too
    of_customers = [code for code, _ in grouped(customers).values()]
    counts, money = simulate_by_group(
        fit, spend, purchases[often], amounts[often], customers, of_customers, terms, minor_per_unit, seed
    )
    for (scheme, frame), seen in zip(groups.items(), money, strict=True):
        low, high = np.quantile(seen, [(1 - section.interval) / 2, (1 + section.interval) / 2], axis=0)
        groups[scheme] = frame.assign(outcome_low=low, outcome_high=high)
    estimates["customer_equity_outcome"] = with_noise(looks[headline], money[0].sum(axis=1))
    estimates["purchases_outcome"] = with_noise(estimates["purchases_expected"], counts)
    weights = stretch(fit.wider_prior_weights(section.posterior_draws), len(purchases))
    weights = weights * stretch(spend.wider_prior_weights(section.posterior_draws), len(purchases))
    wider = float(np.average(paths[headline], weights=weights)) if len(purchases) > 1 else None
    alone = None
    if not one_by_one:
        everybody = cells.drop(columns=MARK), [np.zeros(len(cells), int)], [(terms, Future())]
        (each,) = totals(fit, spend, (purchases, amounts), *everybody, minor_per_unit, money_only=True)[0]
        alone = float(each.value.sum(axis=1).mean())
    return Valuation(
        fit.process,
        fit.label,
        number,
        currency,
        terms,
        section.interval,
        estimates,
        groups,
        path,
        wider,
        alone,
    )


def _age(frame: "pd.DataFrame") -> np.ndarray:
    """Days since the customers of each cell were acquired, before the log or in it."""
    before = frame["before_days"].clip(lower=0) if "before_days" in frame else 0
    return (frame["T_days"] + before).to_numpy()


def with_noise(expected: Estimate, simulated: np.ndarray) -> Estimate:
    """The outcome beside an expected value: the same mean, with the range of simulated outcomes (draws,)."""
    tail = (1 - expected.interval) / 2
    low, high = np.quantile(simulated, [tail, 1 - tail])
    return replace(expected, low=float(low), high=float(high), kind="outcome")


def _group_table(names, codes, n, drawn: Totals, plug: Totals, interval: float) -> "pd.DataFrame":
    import pandas as pd

    tail = (1 - interval) / 2
    low, high = np.quantile(drawn.value, [tail, 1 - tail], axis=0)
    if len(drawn.value) == 1:  # no posterior, no interval
        low = high = np.full(drawn.value.shape[1], np.nan)
    value = drawn.value.mean(axis=0)
    return pd.DataFrame({
        "group": [str(name) for name in names],
        "customers": np.bincount(codes, weights=n).astype(int),
        "alive": drawn.alive.mean(axis=0), "purchases": drawn.purchases.mean(axis=0),
        "value": value, "low": low, "high": high, "mle": plug.value[0], "share": value / value.sum(),
    })  # fmt: skip


CLASSES = (
    (0, "no repeat purchase"),
    (1, "1 repeat"),
    (2, "2 repeats"),
    (3, "3 to 4 repeats"),
    (5, "5 to 9 repeats"),
    (10, "10 or more repeats"),
)


def frequency_class(frequency) -> "pd.Categorical":
    """The class of each number of repeat purchases, in ascending order; never-repeaters are their own."""
    import pandas as pd

    bounds = [least for least, _ in CLASSES]
    codes = np.searchsorted(bounds, np.asarray(frequency), side="right") - 1
    return pd.Categorical.from_codes(
        codes, [label for _, label in CLASSES], ordered=True
    ).remove_unused_categories()


def cohort_labels(T_days, as_of: date, grain: str) -> "pd.Categorical":
    """The cohort of each cell, in order of time: a customer's age tells the day of its first purchase."""
    import pandas as pd

    from clvkit.cohorts import period_label

    period = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q"}[grain]
    firsts = pd.Timestamp(as_of) - pd.to_timedelta(np.asarray(T_days), unit="D")
    starts, codes = np.unique(firsts.to_period(period).start_time, return_inverse=True)
    return pd.Categorical.from_codes(
        codes, [period_label(pd.Timestamp(one).date(), grain) for one in starts], ordered=True
    )


def scores(
    fit: "Fit",
    spend: "Fit",
    customers: "pd.DataFrame",
    section: ValueSection,
    *,
    minor_per_unit: float,
    days_per_year: float,
    seed: int | None = None,
) -> "pd.DataFrame":
    """Value of one customer of each kind, with its ``expected`` interval and, given a seed, its ``outcome``.

    Parameters
    ----------
    customers : distinct (``frequency, recency_days, T_days, spend_minor``); further columns are kept. Marked ones
        (`clvkit.averaging`) have the figures of their segment, and come last.

    Returns
    -------
    DataFrame : the input with ``p_alive, purchases, clv, clv_low, clv_high`` (posterior means and
        equal-tailed quantiles) added; ``purchases`` within the horizon, ``clv`` in major units. With ``seed``
        also ``outcome_low, outcome_high``: the range of what one such customer may bring, which is simulated.
    """
    import pandas as pd

    from clvkit.outcomes import simulate_by_group

    own, terms = is_own(customers), Terms.of(section, days_per_year)
    purchases, amounts = pair(fit, spend, section.posterior_draws)
    valued, parts, like = customers[own], [], _Drawn(customers, section.posterior_draws, seed)
    blocks = max(1, math.ceil(len(valued) * section.posterior_draws / BLOCK))
    often = np.resize(np.arange(len(purchases)), section.posterior_draws)
    for number, rows in enumerate(np.array_split(np.arange(len(valued)), blocks)):
        block = valued.iloc[rows]
        one = Block.of(fit, spend, (purchases, amounts), block.assign(n=1), minor_per_unit)
        bought, value = one.purchases(terms, Future()), one.value(terms, Future())
        low, high = _ends(value, section.interval)
        if seed is not None:
            _, (seen,) = simulate_by_group(
                fit, spend, purchases[often], amounts[often], block.assign(n=1, **{MARK: None}),
                [np.arange(len(block))], terms, minor_per_unit, seed + number,
            )  # fmt: skip
            like.note(rows, seen)
            luck = _ends(seen, section.interval)
            block = block.assign(outcome_low=luck[0], outcome_high=luck[1])
        parts.append(
            block.assign(
                p_alive=one.alive.mean(axis=0),
                purchases=bought.mean(axis=0),
                clv=value.mean(axis=0),
                clv_low=low,
                clv_high=high,
            )
        )
    if not own.all():
        money = {"minor_per_unit": minor_per_unit, "days_per_year": days_per_year}
        means = segment_means(fit, spend, customers, section, **money)
        rest = customers[~own].assign(segment_text=customers.loc[~own, "segment"].astype(str))
        means = means.rename(columns={"segment": "segment_text"}).drop(columns="valued_as")
        rest = like.on(rest, section.interval).merge(means, on="segment_text", how="left")
        parts.append(rest.drop(columns="segment_text"))
    return pd.concat(parts, ignore_index=True)


class _Drawn:
    """What somebody of a segment may bring: for each future one of its customers, drawn by their number."""

    def __init__(self, customers: "pd.DataFrame", futures: int, seed: int | None):
        own, self.seen = is_own(customers), []
        place = np.cumsum(own) - 1  # among those valued one by one
        n = customers["n"].to_numpy(float) if "n" in customers else np.ones(len(customers))
        self.pools = [] if seed is None else pools(customers)
        rng = np.random.default_rng(seed)
        for _, among in self.pools:
            drawn = rng.choice(among, size=futures, p=n[among] / n[among].sum())
            self.seen.append([place[drawn], np.empty(futures)])

    def note(self, rows: np.ndarray, money: np.ndarray) -> None:
        """Take what is drawn from a block: ``rows`` (block,) in a row, ``money`` (futures, block)."""
        for drawn, found in self.seen:
            (here,) = np.nonzero((drawn >= rows[0]) & (drawn <= rows[-1])) if len(rows) else ([],)
            found[here] = money[here, drawn[here] - rows[0]]

    def on(self, rest: "pd.DataFrame", interval: float) -> "pd.DataFrame":
        """The customers valued as their segment with ``outcome_low, outcome_high``, where there were futures."""
        if not self.pools:
            return rest
        ends = {
            place: _ends(found, interval)
            for (mine, _), (_, found) in zip(self.pools, self.seen, strict=True)
            for place in mine
        }
        low, high = np.array([ends[place] for place in sorted(ends)]).T
        return rest.assign(outcome_low=low, outcome_high=high)


def _ends(draws: np.ndarray, interval: float) -> np.ndarray:
    """Both ends of the equal-tailed interval of each column."""
    return np.quantile(draws, [(1 - interval) / 2, (1 + interval) / 2], axis=0)
