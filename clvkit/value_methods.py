"""Ways to value the same customers side by side: historical, by cohort, probabilistic and by machine, and which to use.

All are margin over the same horizon at the same discount rate, of the same customers, and each is tried on the same hold-out
where the study names an earlier date. What customers have brought is no forecast; it and what is still to come make the total.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.study import Study

#: With fewer repeat customers than this share, or less history than so many renewals or usual gaps, no process is trusted.
LEAST_REPEATERS, LEAST_CYCLES = 0.10, 2.0
METHODS = ("repeated", "cohort", "process", "machine", "contracts")
LABELS = {
    "repeated": "Historical: the last period repeated",
    "cohort": "By cohort: the mean of customers of an age",
    "process": "Probabilistic: purchase process",
    "machine": "Machine learning",
    "contracts": "Contracts: models of renewals",
}
ASSUMES = {
    "repeated": "every customer goes on as in the last period; nobody leaves",
    "cohort": "customers of an age bring what those before them brought at that age, whether silent or active",
    "process": "each customer has a purchase rate and may have left unseen; silence tells how likely that is",
    "machine": "what features told before the last window, they tell from now on",
    "contracts": "each customer has a chance of leaving at every renewal; ends are seen",
}


@dataclass(frozen=True)
class Methods:
    """The values side by side.

    Attributes
    ----------
    table : one row a method: ``method, label, assumes, value`` (of all customers, major units; NaN where refused), ``error``
        ((forecast − actual) / actual revenue in the hold-out), ``error_each`` (root mean squared error of revenue per customer),
        ``admitted`` and ``note`` (why it is refused, or what to mind; may be empty).
    groups : one row a group and a last one for all: ``group, customers, repeaters, historical`` (margin so far), one column for
        each method, ``total`` (historical and the recommended residual), ``use`` and ``because``.
    scheme : what groups are: ``segment``, ``frequency_class`` or, of contracts alone, ``plan``.
    recommended : the method, and ``because`` in words.
    cycles : history in usual gaps between purchases, or renewals.
    stable : whether the process came within the study's threshold of the hold-out's revenue; None where it was not tried.
    """

    table: "pd.DataFrame"
    groups: "pd.DataFrame"
    scheme: str
    recommended: str
    because: str
    repeaters: float
    cycles: float
    stable: bool | None
    horizon_months: float
    currency: str

    def to_json(self) -> dict:
        """The comparison as ``results.json`` holds it."""
        made = {name: value for name, value in asdict(self).items() if name not in ("table", "groups")}
        for name in ("table", "groups"):
            frame = getattr(self, name)
            made[name] = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return made

    def save(self, folder: Path) -> None:
        """Write the tables as Parquet and the rest as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("table", "groups"):
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        made = {name: value for name, value in asdict(self).items() if name not in ("table", "groups")}
        (folder / "methods.json").write_text(json.dumps(made), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Methods":
        """Read what `save` wrote."""
        import pandas as pd

        made = json.loads((folder / "methods.json").read_text(encoding="utf-8"))
        return cls(
            **made, **{name: pd.read_parquet(folder / f"{name}.parquet") for name in ("table", "groups")}
        )


@dataclass(frozen=True)
class Facts:
    """What the recommendation goes by.

    ``kind`` is the kind of business (`clvkit.business_model`), ``stable`` as in `Methods`, ``machine`` whether it won on the
    hold-out, ``learnt`` whether the data sufficed to fit a process, ``values`` the value of each method (NaN: not to be had),
    ``threshold`` the error from which a forecast is poor.
    """

    kind: str
    repeaters: float
    cycles: float
    stable: bool | None
    machine: bool
    values: dict[str, float]
    error: float | None = None


def refusals(facts: Facts) -> dict[str, str]:
    """Why a method is refused, by method; methods that are admitted are left out."""
    from clvkit import numbers

    found = {}
    if facts.kind == "non_contractual":
        found["contracts"] = "no end of a relation is seen"
    if facts.kind == "contractual":
        bills = "customers pay the bills of contracts, so that an order says nothing that the contract does not; see contracts in chapter 4"
        found |= dict.fromkeys(("process", "machine", "cohort", "repeated"), bills)
        if facts.cycles < LEAST_CYCLES:
            found["contracts"] = (
                f"contracts have been watched over {numbers.number(facts.cycles, 1)} periods, fewer than two renewals"
            )
        return found
    found["repeated"] = (
        "customers are not seen to leave, so that it counts those who have left as if they were still here"
    )
    short = []
    if facts.repeaters < LEAST_REPEATERS:
        short.append(
            f"{numbers.percent(facts.repeaters)} of customers bought again, and below {numbers.percent(LEAST_REPEATERS, 0)} "
            "nothing tells who has left from who never returns"
        )
    if facts.cycles < LEAST_CYCLES:
        short.append(
            f"the history is {numbers.number(facts.cycles, 1)} usual gaps between purchases long, and within less than "
            f"{numbers.number(LEAST_CYCLES, 0)} no silence means anything"
        )
    if short:
        found["process"] = "; ".join(short)
    return found


def _held(facts: Facts) -> str:
    """How the method did when it was tried, to be added to why it is used."""
    from clvkit import numbers

    if facts.stable is False:
        return (
            f"; but tried on an earlier date it was {numbers.bias_words(facts.error)} on revenue, so that its total is "
            "to be read with the wider range of this chapter"
        )
    return (
        "; tried on an earlier date its total held"
        if facts.stable
        else "; it has not been tried on an earlier date"
    )


def recommend(facts: Facts) -> tuple[str, str]:
    """The method to use and why, in a sentence that follows "because"."""
    refused = refusals(facts)
    usable = [name for name in METHODS if name not in refused and facts.values[name] == facts.values[name]]
    if facts.kind == "contractual":
        if "contracts" not in usable:
            why = refused.get("contracts", "no model of renewals could be fitted")
            return "historical", f"{why}; what customers have brought is known"
        because = "customers are seen to leave where contracts end, and models of renewals use that"
        return "contracts", because + _held(facts)
    if facts.machine and "machine" in usable:
        return (
            "machine",
            "it forecast each customer of the hold-out better than every process and simple rule, by more than chance",
        )
    if "process" in usable:
        because = "it tells who has left from who is merely silent, and states how sure it is"
        because += _held(facts)
        if facts.kind == "hybrid":
            because += "; what contracts are worth stands beside it"
        return "process", because
    if "cohort" in usable:
        return (
            "cohort",
            f"{refused.get('process', 'no process could be fitted')}; the mean of customers of an age still holds those who left",
        )
    return "historical", "nothing can be forecast from so little; what customers have brought is known"


def assembled(
    table: "pd.DataFrame", facts: Facts, tries: dict, notes: dict, scheme: str, study: "Study"
) -> Methods:
    """The tables, with what is refused, and what is recommended for each group and for all."""
    from dataclasses import replace

    import pandas as pd

    refused = refusals(facts)
    recommended, because = recommend(facts)
    methods = pd.DataFrame([
        {"method": name, "label": LABELS[name], "assumes": ASSUMES[name],
         "value": np.nan if name == "process" and name in refused else facts.values[name],
         "error": tries["error"].get(name, np.nan), "error_each": tries["error_each"].get(name, np.nan),
         "admitted": name not in refused and facts.values[name] == facts.values[name],
         "note": refused.get(name) or notes.get(name, "")}
        for name in METHODS
    ])  # fmt: skip
    rows = []
    for name, row in table.iterrows():
        own = facts
        if scheme == "segment":
            own = replace(facts, repeaters=float(row["repeaters"]))
        rows.append(_group(str(name), row, *recommend(own), refusals(own)))
    total = table.sum(min_count=len(table))
    total["repeaters"] = facts.repeaters
    total["process"], total["contracts"] = facts.values["process"], facts.values["contracts"]
    rows.append(_group("All customers", total, recommended, because, refused))
    return Methods(
        methods, pd.DataFrame(rows), scheme, recommended, because, facts.repeaters, facts.cycles, facts.stable,
        study.value.horizon_months, study.currency,
    )  # fmt: skip


def _group(name: str, row, use: str, because: str, refused: dict[str, str]) -> dict:
    made = {"group": name, "customers": int(row["customers"]), "repeaters": float(row["repeaters"]), "historical": float(row["historical"])}  # fmt: skip
    made |= {one: float(row[one]) for one in METHODS}
    if "process" in refused:
        made["process"] = np.nan
    residual = made.get(use, 0.0 if use == "historical" else np.nan)
    return made | {
        "residual": residual,
        "total": made["historical"] + residual,
        "use": use,
        "because": because,
    }
