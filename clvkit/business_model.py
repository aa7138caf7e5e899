"""Which kind of business it is: whether customers are seen to leave, and the models that this admits.

Where a contract ends, the end is in the data, and renewals are what there is to model; where customers just stop buying,
leaving is never seen, and it is inferred from silence (Schmittlein, Morrison & Colombo 1987; Fader & Hardie 2009,
"Probability Models for Customer-Base Analysis", who part the field in this way and by whether opportunities are discrete).
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from clvkit.checks import Check
from clvkit.contracts import anniversary, months_between
from clvkit.contracts_section import BusinessModel
from clvkit.processes import LABELS

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.opportunities import Evidence

#: Fewer customers than this share are an exception and do not make a business a hybrid.
FEW = 0.10
#: A purchase so near to a monthly anniversary of a contract, and during it, is its bill. Unit: days.
BILL_DAYS = 3
MOSTLY = 0.5  # of the purchases of customers under contract: then orders hold the bills
#: Fewer repeat customers, or ends of contracts, than this teach little about who leaves.
SPARSE_SHARE, SPARSE_ENDS = 0.10, 30
WORDS = {"contractual": "contractual", "non_contractual": "non-contractual", "hybrid": "hybrid"}
_CONTRACTS = {"sbg": "sBG (shifted beta-geometric)", "bdw": "BdW (beta-discrete-Weibull)"}
_WHY = {
    "sbg": "renewals are counted and ends are seen; each customer's own chance of leaving stays the same",
    "bdw": "as sBG, and a customer's own chance of leaving may change with tenure",
    "bgnbd": "customers stop buying unseen, and may leave after any purchase",
    "mbgnbd": "as BG/NBD, and may leave after the first purchase as well",
    "paretonbd": "customers stop buying unseen, and may leave at any time",
    "bgbb": "customers stop buying unseen, and buy at most once in a period",
}


@dataclass(frozen=True)
class KindOfBusiness:
    """The kind of business, and what speaks for it.

    Attributes
    ----------
    verdict : ``contractual``, ``non_contractual`` or ``hybrid``, by the data.
    declared : what the study says; ``auto``: the verdict is used.
    only_contract, both, only_purchases : customers under contract who buy nothing but what it bills, who buy besides, and
        who have no contract.
    ends, running : relations that ended, and that run.
    repeaters : share of customers without a contract who bought again.
    opportunity : the period in which customers buy at most once; None where they buy at any time.
    billed : share of the purchases of customers under contract that look like its bills; of purchases at any time some
        seven in thirty do.
    """

    verdict: str
    declared: BusinessModel
    only_contract: int
    both: int
    only_purchases: int
    ends: int
    running: int
    repeaters: float
    opportunity: str | None
    billed: float = 0.0

    @property
    def bills_among_orders(self) -> bool:
        """Whether the orders hold the bills of contracts, so that their value and that of purchases must not be added."""
        return self.billed > MOSTLY

    @property
    def used(self) -> str:
        """The kind that the study is treated as."""
        return self.verdict if self.declared == "auto" else self.declared

    @property
    def customers(self) -> int:
        """All customers, with purchases or contracts."""
        return self.only_contract + self.both + self.only_purchases

    @property
    def under_contract(self) -> float:
        """Share of customers who have or had a contract."""
        return (self.only_contract + self.both) / max(self.customers, 1)

    @property
    def buying_freely(self) -> float:
        """Share of customers with purchases that no contract bills."""
        return (self.both + self.only_purchases) / max(self.customers, 1)

    @property
    def admissible(self) -> tuple[str, ...]:
        """Names of the processes that the kind used admits."""
        free = ("bgbb",) if self.opportunity else ("bgnbd", "mbgnbd", "paretonbd")
        return {"contractual": ("sbg", "bdw"), "non_contractual": free, "hybrid": ("sbg", "bdw", *free)}[
            self.used
        ]

    def rules(self) -> "pd.DataFrame":
        """The evidence: ``question, found, says``, one row per rule."""
        import pandas as pd

        from clvkit import numbers

        n, share = numbers.count, numbers.percent
        seen = self.under_contract >= FEW
        rows = [
            (
                "Are customers seen to leave?",
                f"{n(self.only_contract + self.both)} of {n(self.customers)} customers have a contract "
                f"({share(self.under_contract)}); {n(self.ends)} contracts ended",
                "yes, where a contract ends" if seen else "no: leaving is told from silence alone",
            ),
            (
                "Do customers buy without a contract, or besides it?",
                f"{n(self.both + self.only_purchases)} do ({share(self.buying_freely)}), {n(self.both)} of them under contract",
                "yes" if self.buying_freely >= FEW else "no: what they pay are the bills of contracts",
            ),
            (
                "Can they buy at any time?",
                "at most one purchase a " + self.opportunity if self.opportunity else "no period has at most one purchase",
                f"no: opportunities are discrete, one a {self.opportunity}" if self.opportunity else "yes",
            ),
        ]  # fmt: skip
        if self.only_purchases:
            rows.append(
                (
                    "Did enough of them come back to learn from?",
                    f"{share(self.repeaters)} of customers without a contract bought again",
                    "yes"
                    if self.repeaters >= SPARSE_SHARE
                    else "barely: who left is hardly told from who never returns",
                )
            )
        if seen:
            rows.append(
                (
                    "Did enough contracts end to learn from?",
                    f"{n(self.ends)} ended, {n(self.running)} run",
                    "yes" if self.ends >= SPARSE_ENDS else f"barely: {SPARSE_ENDS} would be a start",
                )
            )
        return pd.DataFrame(rows, columns=["question", "found", "says"])

    def models(self) -> "pd.DataFrame":
        """Every model, whether the kind admits it, and why: ``model, admitted, because``."""
        import pandas as pd

        rows = []
        for name in _WHY:
            fits = name in self.admissible
            because = _WHY[name] if fits else self._why_not(name)
            rows.append((_CONTRACTS.get(name) or LABELS[name], "yes" if fits else "no", because))
        few = self.only_purchases and self.repeaters < SPARSE_SHARE
        machine = (
            "too few come back: a machine would learn from noise"
            if few
            else "a challenger: it says who will buy, and neither who has left nor why; it replaces a model only where it wins the hold-out"
        )
        buys = self.used != "contractual"
        rows.append(("Machine learning", "beside" if buys and not few else "no",
                     machine if buys else "ends are seen and few things are known of customers: a model of renewals can be read, and projects"))  # fmt: skip
        return pd.DataFrame(rows, columns=["model", "admitted", "because"]).sort_values(
            "admitted",
            key=lambda one: one.map({"yes": 0, "beside": 1, "no": 2}),
            kind="stable",
            ignore_index=True,
        )

    def _why_not(self, name: str) -> str:
        """Why the kind does not admit a model."""
        if name in _CONTRACTS:
            return "nobody is seen to leave, so that there are no renewals to count"
        if self.used == "contractual":
            return "what customers pay are bills: silence says nothing, and leaving is seen"
        if name == "bgbb":
            return "customers buy at any time, and not once in a period"
        return f"customers buy at most once a {self.opportunity}, and not at any time"

    def sentence(self) -> str:
        """What kind of business it is and why, for the head of a report."""
        from clvkit import numbers

        share = numbers.percent
        because = {
            "contractual": f"{share(self.under_contract)} of customers have a contract, and {share(1 - self.buying_freely)} "
            "pay nothing but its bills",
            "non_contractual": f"only {share(self.under_contract)} of customers have a contract"
            if self.under_contract
            else "no customer has a contract, and nobody is seen to leave",
            "hybrid": f"{share(self.under_contract)} of customers have a contract, and {share(self.buying_freely)} buy without "
            "one or besides it",
        }[self.verdict]
        text = f"The business is {WORDS[self.verdict]}: {because}."
        if self.used != self.verdict:
            text += f" The study overrules this and treats it as {WORDS[self.used]}."
        return text


def kind_of_business(
    purchases: "ir.Table",
    relations: "pd.DataFrame | None",
    as_of: date,
    opportunities: "Evidence",
    declared: BusinessModel = "auto",
) -> KindOfBusiness:
    """Tell the kind of business from purchases and contracts.

    Parameters
    ----------
    purchases : one row per customer and day: ``customer, day``; later ones than ``as_of`` are ignored.
    relations : `clvkit.contracts.Contracts.relations`; None: there are no contracts.
    opportunities : `clvkit.opportunities.evidence` of the same purchases.
    """
    import ibis

    known = purchases.filter(purchases.day <= ibis.date(as_of))
    counts = known.group_by("customer").agg(days=known.day.nunique())
    held = set() if relations is None else set(relations["customer"])
    if not held:
        tally = (
            counts.agg(n=counts.count(), again=(counts.days > 1).sum().cast("int64"))
            .to_pyarrow()
            .to_pylist()[0]
        )
        return KindOfBusiness("non_contractual", declared, 0, 0, int(tally["n"]), 0, 0,
                              int(tally["again"] or 0) / max(int(tally["n"]), 1), opportunities.opportunity)  # fmt: skip
    keys = ibis.memtable({"customer": sorted(held)}, schema={"customer": "string"})
    theirs = known.semi_join(keys, "customer").select("customer", "day").to_pyarrow().to_pandas()
    others = counts.anti_join(keys, "customer")
    tally = (
        others.agg(n=others.count(), again=(others.days > 1).sum().cast("int64")).to_pyarrow().to_pylist()[0]
    )
    bill = _is_bill(theirs, relations)
    free = len(set(theirs.loc[~bill, "customer"]))
    without = int(tally["n"])
    ended = int(relations["ended"].sum())
    made = KindOfBusiness(
        "hybrid", declared, len(held) - free, free, without, ended, len(relations) - ended,
        int(tally["again"] or 0) / max(without, 1), opportunities.opportunity, float(bill.mean()) if len(bill) else 0.0,
    )  # fmt: skip
    if made.under_contract < FEW:
        verdict = "non_contractual"
    else:
        verdict = "contractual" if made.buying_freely < FEW else "hybrid"
    return replace(made, verdict=verdict)


def _is_bill(bought: "pd.DataFrame", relations: "pd.DataFrame") -> "pd.Series":
    """Whether each purchase (``customer, day``) is near an anniversary of a contract that ran then."""
    import numpy as np
    import pandas as pd

    days = bought.assign(day=pd.to_datetime(bought["day"]), row=np.arange(len(bought)))
    pairs = days.merge(relations[["customer", "start", "end"]], on="customer")
    last = pairs["end"] + pd.Timedelta(days=BILL_DAYS)
    begun = pairs["day"] >= pairs["start"] - pd.Timedelta(days=BILL_DAYS)
    inside = begun & (last.isna() | (pairs["day"] <= last))
    since = np.maximum(pairs["day"], pairs["start"])
    months = months_between(pairs["start"], since)
    late = (since - anniversary(pairs["start"], months)).dt.days
    early = (anniversary(pairs["start"], months + 1) - since).dt.days
    near = np.minimum(late, early) <= BILL_DAYS
    return days["row"].isin(pairs.loc[inside & near, "row"])


def kind_checks(found: KindOfBusiness) -> list[Check]:
    """Whether the kind of business is clear, and whether the study agrees with the data."""
    from clvkit import numbers

    shared = {"unit": "share", "threshold": FEW, "chapter": "03_retention"}
    checks = [Check("business_model.kind", "What kind of business it is", "info", found.sentence(), value=found.verdict,
                    threshold=found.declared, severity="info", chapter="03_retention")]  # fmt: skip
    if 0 < found.under_contract < FEW and found.declared == "auto":
        checks.append(Check(
            "business_model.few_contracts", "Enough customers have a contract to model them", "review",
            f"{numbers.percent(found.under_contract)} of customers have a contract: too few to call the business contractual "
            "or a hybrid, so all of them are modelled by their purchases.",
            value=found.under_contract, recommendation="Complete the contracts, or set business_model to hybrid.", **shared))  # fmt: skip
    if found.declared == "contractual" and found.both + found.only_purchases:
        checks.append(Check(
            "business_model.purchases", "A contractual business has no purchases besides its contracts",
            "review" if found.buying_freely >= FEW else "info",
            f"{numbers.count(found.both + found.only_purchases)} customers ({numbers.percent(found.buying_freely)}) buy what no "
            "contract bills, though the study calls the business contractual; their purchases are in no value.",
            value=found.buying_freely, recommendation="Set business_model to hybrid to value them as well.", **shared))  # fmt: skip
    if found.declared == "non_contractual" and found.only_contract + found.both:
        checks.append(Check(
            "business_model.contracts", "A non-contractual business has no contracts",
            "review" if found.under_contract >= FEW else "info",
            f"{numbers.count(found.only_contract + found.both)} customers ({numbers.percent(found.under_contract)}) have a "
            "contract, though the study calls the business non-contractual; the ends of contracts are not made use of.",
            value=found.under_contract, recommendation="Set business_model to auto or hybrid to use them.", **shared))  # fmt: skip
    return checks
