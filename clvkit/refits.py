"""Quick refits of the same data read in another way: accounts left apart, columns done without.

Both sides of a comparison are fitted at maximum likelihood alone and without rules of inclusion, calendar, segments,
covariates or treatment of older customers, so that nothing but the way of reading differs. The other ledger is built in memory; only figures without a customer are kept.
"""

import json
import tempfile
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from clvkit.averaging import totals
from clvkit.customers import CELL_KEYS, cells, score_cells, spend_cells
from clvkit.errors import FitError, StudyError
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.side_fields import SNAPSHOT, TABLES
from clvkit.opportunities import known_until, summary_of
from clvkit.privacy_cost import PrivacyCost, compare_reduced
from clvkit.value import Future, Terms

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clvkit.fit import Fit
    from clvkit.ledger import Ledger
    from clvkit.spend_segments import SegmentMeans
    from clvkit.study import Study
    from clvkit.workbench import Workbench


@dataclass(frozen=True)
class PointValue:
    """Customers, their purchase days, those expected to be alive, and customer equity (major units), by plug-in."""

    customers: int
    purchases: int
    alive: float
    equity: float


@dataclass(frozen=True)
class MergingEffect:
    """The value with every account by itself and with accounts joined; ``apart`` is None where it cannot be fitted."""

    apart: PointValue | None
    joined: PointValue

    def save(self, folder: Path) -> None:
        """Write it as JSON."""
        (folder / "merging.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "MergingEffect":
        """Read what `save` wrote."""
        made = json.loads((folder / "merging.json").read_text(encoding="utf-8"))
        return cls(made["apart"] and PointValue(**made["apart"]), PointValue(**made["joined"]))


def merging_effect(bench: "Workbench") -> MergingEffect:
    """What joining accounts changes of the value; reads the sources once more, with every account a customer."""
    study, minor, model = bench.study, bench.minor_per_unit, bench.spend_choice().used
    joined = point_value(bench.ledger().purchases, study, minor, model)
    alone = {"keys": (), "crosswalk": None}
    section = study.ledger.model_copy(update={"identity": study.ledger.identity.model_copy(update=alone)})
    ledger = _other_ledger(bench, section, None)
    try:
        return MergingEffect(point_value(ledger.purchases, study, minor, model), joined)
    except FitError:
        return MergingEffect(None, joined)
    finally:
        _close(ledger)


def privacy_cost(bench: "Workbench") -> PrivacyCost:
    """What doing without ``privacy.try_without`` changes of the values and of their order.

    Customers are compared as the study knows them now: where a key that joined accounts is gone, the values of the parts
    are added up.

    Raises
    ------
    StudyError : nothing can be read without one of the columns.
    """
    from clvkit.artifacts import CROSSWALK

    study, minor, home = bench.study, bench.minor_per_unit, bench.study_folder / CROSSWALK
    section = without_columns(study.ledger, study.privacy.try_without)
    model = bench.spend_choice().used
    full = _point_scores(bench.ledger().purchases, study, minor, model)
    with tempfile.TemporaryDirectory(prefix="clv-") as private:
        other = Path(private) / CROSSWALK  # without memory: what a key has joined before would stay joined
        ledger = _other_ledger(bench, section, other, study.privacy.try_without)
        try:
            reduced = _point_scores(ledger.purchases, study, minor, model)
        finally:
            _close(ledger)
        reduced["customer"] = _as_known(reduced["customer"], home, other)
    sums = reduced.groupby("customer")["clv"].sum().reindex(full["customer"], fill_value=0.0)
    return compare_reduced(full, sums.rename_axis("customer").reset_index())


def without_columns(section: LedgerSection, columns: Collection[str]) -> LedgerSection:
    """The section of a study that names none of these columns any more; tables beside the orders that need one are gone.

    Raises
    ------
    StudyError : a column that everything rests on is among them.
    """
    gone = {column.strip().casefold() for column in columns}
    said = section.model_dump()
    sources = said["sources"] or {"orders": said}
    for name, one in sources.items():
        roles = one["columns"]
        if roles["price"] is not None:
            roles["amount"] = "amount"  # not read: the amount is price times quantity
        needed = (
            ("customer", "date", "quantity", "price") if roles["price"] else ("customer", "date", "amount")
        )
        for role in [role for role, column in roles.items() if column and column.casefold() in gone]:
            if role in needed:
                raise StudyError(
                    f"nothing can be valued without the column {roles[role]!r}, the {role} of {name}",
                    place="privacy.try_without",
                    fix="take it off the list",
                )
            roles[role] = None
        for part in ("keys", "fields", "about", "accounts"):
            one[part] = {key: column for key, column in one[part].items() if column.casefold() not in gone}
        one["about"] = one["about"] if one["accounts"] else {}
    for name in [name for name, one in said["sources"].items() if not _whole(one)]:
        del sources[name]
    spaces = {*sources, *(space for one in sources.values() for space in one["accounts"])}
    for one in sources.values():  # nothing says any more whose its accounts are
        one["account_space"] = one["account_space"] if one["account_space"] in spaces else None
    kinds = {kind for one in sources.values() for kind in one["keys"]}
    kinds |= {"record"} if any(one["accounts"] for one in sources.values()) else set()
    said["identity"]["keys"] = tuple(kind for kind in section.identity.keys if kind in kinds)
    return LedgerSection.model_validate(said)


def _whole(source: dict) -> bool:
    """Whether a source still has what a table beside the orders cannot be read without."""
    needed, _ = TABLES.get(source["holds"], ({}, {}))
    if source["holds"] == "contracts" and "tenure" in source["fields"]:
        needed = {"customer", *SNAPSHOT}
    return set(needed) <= set(source["fields"])


def _other_ledger(
    bench: "Workbench", section: LedgerSection, crosswalk: Path | None, banned: Collection[str] = ()
) -> "Ledger":
    """The study's data read by another section, without people who were erased."""
    from clvkit.contracts_section import billing
    from clvkit.erasure import Suppression, withhold
    from clvkit.ledger import build_ledger

    study, erased = bench.study, Suppression.load(bench.study_folder)
    return build_ledger(
        section, as_of=study.as_of, currency=study.currency, base=study.base, crosswalk=crosswalk,
        banned=(*study.privacy.banned_columns, *banned), billing=billing(study.contracts), withhold=lambda lines: withhold(lines, erased),
    )  # fmt: skip


def _close(ledger: "Ledger") -> None:
    if ledger.con.name != "pyspark":  # whose one session the study's own ledger is in, too
        ledger.con.disconnect()


def _fits(
    purchases: "ir.Table", summary: "ir.Table", study: "Study", minor_per_unit: int, model: str | None
) -> tuple["Fit", "Fit | SegmentMeans", pd.DataFrame]:
    """Quick fits to the summary of purchases; ``model`` of spend is that of the study's own run, so that like is compared with like."""
    from clvkit.fitting import fit_process, fit_spend
    from clvkit.processes import REGULAR
    from clvkit.rhythm import gap_statistics
    from clvkit.spend_segments import SegmentMeans

    found, models = cells(summary), study.models
    until = known_until(study.as_of, models.opportunity)
    gaps = gap_statistics(purchases, until, summary) if models.headline == REGULAR else None
    fit = fit_process(
        models.headline, found, models, sample=False, days_per_year=study.days_per_year, gaps=gaps
    )
    if model == "segment_means":
        return fit, SegmentMeans.of(score_cells(summary), minor_per_unit), found
    name = model or ("gammagamma" if models.spend == "auto" else models.spend)
    return fit, fit_spend(spend_cells(summary), models, minor_per_unit, model=name, sample=False), found


def point_value(
    purchases: "ir.Table", study: "Study", minor_per_unit: int, model: str | None = None
) -> PointValue:
    """Customers, purchases and customer equity by quick fits to ``purchases``; ``model`` is that of spend."""
    seen = summary_of(purchases, study.as_of, study.models.opportunity)
    fit, spend, found = _fits(purchases, seen, study, minor_per_unit, model)
    case = [(Terms.of(study.value, study.days_per_year), Future())]
    group = np.zeros(len(found), int)
    (one,) = totals(fit, spend, (fit.mle[None], spend.mle[None]), found, [group], case, minor_per_unit)[0]
    bought = int((found["n"] * (found["frequency"] + 1)).sum())
    return PointValue(int(found["n"].sum()), bought, float(one.alive[0, 0]), float(one.value[0, 0]))


def _point_scores(
    purchases: "ir.Table", study: "Study", minor_per_unit: int, model: str | None = None
) -> pd.DataFrame:
    """``customer, segment, clv`` of every customer. Customers who are alike are valued once."""
    from clvkit.valuation import scores

    summary = summary_of(purchases, study.as_of, study.models.opportunity)
    fit, spend, _ = _fits(purchases, summary, study, minor_per_unit, model)
    keys = [*CELL_KEYS, "spend_minor"]
    frame = summary.select("customer", *keys).to_pyarrow().to_pandas()
    kinds = frame[keys].drop_duplicates(ignore_index=True)
    money = {"minor_per_unit": minor_per_unit, "days_per_year": study.days_per_year}
    valued = scores(fit, spend, kinds, study.value, **money)
    return frame.merge(valued[[*keys, "clv"]], on=keys)[["customer", "segment", "clv"]]


def _as_known(customers: pd.Series, home: Path, other: Path) -> pd.Series:
    """Customers of another crosswalk as those of the study's own, by the first of their accounts."""
    from clvkit.ledger.crosswalk import Crosswalk

    own, theirs = (Crosswalk.load(folder).members.to_pandas() for folder in (home, other))
    both = theirs.merge(own, on=["source", "account"], suffixes=("", "_own")).sort_values(
        ["source", "account"]
    )
    known = both.drop_duplicates("customer").set_index("customer")["customer_own"]
    return customers.map(known).fillna(customers)
