"""What customers are worth in all: purchases, contracts, or both, each customer's money counted once.

- A contractual business is worth its contracts: what its customers pay are the bills of these.
- A non-contractual one is worth its purchases.
- In a hybrid, the value of a customer is that of purchases and that of the contract together. Where the orders hold the
  bills of contracts, purchases hold them already, as if they came at random: then a customer under contract is worth the
  contract, and only the others are worth their purchases.

Both are computed draw by draw, from posteriors that know nothing of each other, so that draws are added as they come.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from clvkit.estimate import Estimate

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.workbench import Workbench

Rule = Literal["purchases", "contracts", "added", "instead"]
WORDS: dict[str, str] = {
    "purchases": "Customers are worth their purchases; no contract is valued.",
    "contracts": "Customers are worth their contracts: what they pay are the bills of these.",
    "added": "Purchases and contracts are added: the bills of contracts are not among the orders.",
    "instead": "A customer under contract is worth the contract, and the others are worth their purchases: the bills of contracts "
    "are among the orders, and would be counted twice.",
}


@dataclass(frozen=True)
class CustomerTotal:
    """Customer equity of purchases and contracts together.

    Attributes
    ----------
    rule : how the two make one value; see `WORDS`.
    total : of all customers; ``purchases`` and ``contracts`` are its parts (None where there is no such part).
    left_out : purchases of customers under contract, which their contracts stand for; None unless the rule is ``instead``.
    customers : with a value of ``purchases``, of ``contracts``, and of ``both``.
    draws : of the total.
    """

    rule: Rule
    total: Estimate
    purchases: Estimate | None
    contracts: Estimate | None
    left_out: Estimate | None = None
    customers: dict[str, int] = field(default_factory=dict)
    draws: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)

    def save(self, folder: Path) -> None:
        """Write the draws as NumPy and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "draws.npy", self.draws)
        made = {name: (one := getattr(self, name)) and one.to_json() for name in _PARTS}
        said = {"rule": self.rule, "customers": self.customers, "estimates": made}
        (folder / "customer_total.json").write_text(json.dumps(said), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "CustomerTotal":
        """Read what `save` wrote."""
        said = json.loads((folder / "customer_total.json").read_text(encoding="utf-8"))
        made = {name: one and Estimate(**one) for name, one in said["estimates"].items()}
        return cls(said["rule"], **made, customers=said["customers"], draws=np.load(folder / "draws.npy"))


_PARTS = ("total", "purchases", "contracts", "left_out")


def rule_for(kind: str, billed: bool, contracts: bool) -> Rule:
    """How purchases and contracts make one value.

    ``kind`` is that of the business, ``billed`` whether orders hold the bills of contracts, ``contracts`` whether any is valued.
    """
    if kind == "contractual":
        return "contracts"
    if kind == "non_contractual" or not contracts:
        return "purchases"
    return "instead" if billed else "added"


def customer_total(
    rule: Rule,
    purchases: np.ndarray | None,
    contracts: np.ndarray | None,
    *,
    under_contract: np.ndarray | None = None,
    interval: float,
    currency: str,
    customers: dict[str, int] | None = None,
) -> CustomerTotal:
    """Add up what customers are worth, draw by draw.

    Parameters
    ----------
    purchases, contracts : equity of each posterior draw, (draws,); None where the rule needs none.
    under_contract : of purchases, the part of customers under contract, (draws,); needed by the rule ``instead``.
    """
    from clvkit.value import stretch

    needed = {"purchases": (purchases,), "contracts": (contracts,), "added": (purchases, contracts),
              "instead": (purchases, contracts, under_contract)}[rule]  # fmt: skip
    if any(one is None for one in needed):
        raise ValueError(f"the rule {rule!r} needs the draws of each of its parts")
    rows = max(len(one) for one in needed)
    parts = [stretch(np.asarray(one, float), rows) for one in needed]
    signs = (1.0, 1.0, -1.0)
    drawn = sum(sign * part for sign, part in zip(signs, parts, strict=False))
    make = {"interval": interval, "unit": currency}
    of = dict(zip({"purchases": ("p",), "contracts": ("c",), "added": ("p", "c"), "instead": ("p", "c", "u")}[rule], parts, strict=True))  # fmt: skip
    bought = of.get("p") if "u" not in of else of["p"] - of["u"]
    one = lambda part: None if part is None else Estimate.from_draws(part, **make)  # noqa: E731
    return CustomerTotal(
        rule, one(drawn), one(bought), one(of.get("c")), one(of.get("u")), customers or {}, drawn
    )


def of_run(bench: "Workbench") -> CustomerTotal:
    """The total of a study.

    Raises
    ------
    FitError : the part that the rule needs cannot be valued.
    """
    from clvkit.errors import FitError

    study, kind = bench.study, bench.kind_of_business()
    held, value = bench.contracts(), None
    if held is not None and len(held.relations) and kind.used != "non_contractual":
        try:
            value = bench.get("contract_value")
        except FitError:
            if kind.used == "contractual":
                raise
    rule = rule_for(kind.used, kind.bills_among_orders, value is not None)
    make = {"interval": study.value.interval, "currency": study.currency}
    if rule == "contracts":
        with_contract = len(bench.get("contract_scores"))
        counts = {"purchases": 0, "contracts": with_contract, "both": 0}
        return customer_total(rule, None, value.draws, **make, customers=counts)
    summary = bench.summary()
    bought = _purchases(bench, bench.cells(), marked_too=True)
    everybody = int(summary.count().to_pyarrow().as_py())
    if rule == "purchases":
        return customer_total(
            rule, bought, None, **make, customers={"purchases": everybody, "contracts": 0, "both": 0}
        )
    scores = bench.get("contract_scores")
    theirs = summary.semi_join(_keys(scores["customer"]), "customer")
    both = int(theirs.count().to_pyarrow().as_py())
    counts = {"purchases": everybody - both, "contracts": len(scores) - both, "both": both}
    inside = None
    if rule == "instead":
        from clvkit.customers import cells

        counts |= {"contracts": len(scores), "both": 0}
        inside = _purchases(bench, cells(theirs)) if both else np.zeros(1)
    return customer_total(rule, bought, value.draws, under_contract=inside, **make, customers=counts)


def _keys(customers: "pd.Series") -> "ir.Table":
    import ibis

    return ibis.memtable({"customer": customers.astype(str).tolist()}, schema={"customer": "string"})


def _purchases(bench: "Workbench", cells: "pd.DataFrame", *, marked_too: bool = False) -> np.ndarray:
    """Discounted margin of the purchases of the customers of cells within the horizon, of each draw: (draws,)."""
    from clvkit.averaging import marked, totals
    from clvkit.truncation_fit import labelled
    from clvkit.value import Future, Terms, pair

    study = bench.study
    if marked_too:
        cells = labelled(marked(cells, bench.get("averaged")), study.models.left_truncation)
    fit, spend = bench.valued_with()
    terms = Terms.of(study.value, study.days_per_year)
    draws = pair(fit, spend, study.value.posterior_draws)
    everybody = [np.zeros(len(cells), int)]
    (found,) = totals(
        fit, spend, draws, cells, everybody, [(terms, Future())], bench.minor_per_unit, money_only=True
    )[0]
    return found.value[:, 0]


def each_customer(purchases: "pd.DataFrame", contracts: "pd.DataFrame", rule: Rule) -> "pd.DataFrame":
    """What each customer is worth: one row a customer, in the order of their names.

    Parameters
    ----------
    purchases : ``customer, clv, low, high`` (perhaps further columns, which are kept).
    contracts : of `clvkit.contract_scores.contract_scores`.

    Returns
    -------
    The columns of ``purchases`` with ``clv_purchases, clv_contracts`` in front of ``clv``, which is their sum, and its ``low, high``:
    of a customer with both, the two parts know nothing of each other, and half-widths are added as those of independent
    normal amounts are. What the rule leaves out is 0.
    """
    import pandas as pd

    theirs = contracts.rename(columns={"low": "c_low", "high": "c_high"})
    frame = purchases.merge(theirs, on="customer", how="outer", sort=False)
    had = frame["clv_contracts"].notna()
    c, c_low, c_high = (frame[name].fillna(0.0) for name in ("clv_contracts", "c_low", "c_high"))
    p, p_low, p_high = (frame[name].fillna(0.0) for name in ("clv", "low", "high"))
    if rule in ("instead", "contracts"):
        keep = ~had if rule == "instead" else pd.Series(False, index=frame.index)
        p, p_low, p_high = (one.where(keep, 0.0) for one in (p, p_low, p_high))
    if rule == "purchases":
        c, c_low, c_high = c * 0, c_low * 0, c_high * 0
    total = p + c
    low = total - np.hypot(p - p_low, c - c_low)
    high = total + np.hypot(p_high - p, c_high - c)
    made = frame.drop(columns=["c_low", "c_high", "clv_contracts"]).assign(
        clv_purchases=p, clv_contracts=c, clv=total, low=low, high=high
    )
    place = list(purchases.columns).index("clv")
    columns = [*purchases.columns[:place], "clv_purchases", "clv_contracts", *purchases.columns[place:]]
    return made[columns].sort_values("customer", ignore_index=True)
