"""Scores of several studies on one scale: where a customer stands in the own region, and among the customers of all.

Regions differ in prices and margins, so that a value that is high in one is usual in another. A *standardised score* is the
place of a customer's value among all values as a percentile: within the study, and across the studies that are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from clvkit import numbers, runs
from clvkit.errors import StudyError
from clvkit.export import Tally, log_export, scores_of, to_file
from clvkit.rules import listed
from clvkit.runs import read_json

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.study import Study

SCHEMA = pa.schema(
    [
        ("study", pa.string()),
        ("customer", pa.string()),
        ("clv", pa.float64()),
        ("percentile", pa.float64()),
        ("percentile_across", pa.float64()),
        ("run", pa.string()),
    ]
)
MOST_LISTED = 20  # settings that differ, in the text
TOP = 90.0  # the percentile above which a customer is among the best tenth
OWN = ("name", "title", "description", "overridable")


@dataclass(frozen=True)
class Ranked:
    """What a comparison of studies came to.

    Attributes
    ----------
    regions : one row per study: ``study, customers, equity, mean, top_share`` (share of its customers who are among the
        best tenth of all), ``low, high`` (of the equity, as its run has it; missing without an interval).
    settings : ``key`` and one column per study: what they say differently, of everything a study says.
    """

    regions: "pd.DataFrame"
    settings: "pd.DataFrame"
    currency: str
    target: str

    def text(self) -> str:
        """The comparison in a few lines."""
        lines = [
            f"{row.study}: {numbers.count(row.customers)} customers, together {numbers.money(row.equity, self.currency)}"
            f"{self._range(row.low, row.high)}, "
            f"{numbers.money(row.mean, self.currency)} each; {numbers.percent(row.top_share)} of them among the best tenth of all"
            for row in self.regions.itertuples()
        ]
        if self.settings.empty:
            lines.append("the studies say the same of everything")
        else:
            lines.append("what they say differently:")
            names = [name for name in self.settings if name != "key"]
            for row in self.settings.iloc[:MOST_LISTED].to_dict("records"):
                said = ", ".join(
                    f"{name} {shorten(row[name] or 'nothing', 40, placeholder=' …')}" for name in names
                )
                lines.append(f"  {row['key']}: {said}")
            if (more := len(self.settings) - MOST_LISTED) > 0:
                lines.append(f"  and {more} more")
        return "\n".join([*lines, f"standardised scores are in {self.target}; they are personal data"])

    def _range(self, low: float, high: float) -> str:
        return (
            ""
            if low != low
            else f" ({numbers.money(low, self.currency)} to {numbers.money(high, self.currency)})"
        )


def rank(found: Sequence[runs.Run], target: str, purpose: str) -> Ranked:
    """Write the values of the customers of several runs with their percentiles, and log it in each study.

    Parameters
    ----------
    found : complete runs of two or more studies, of one as-of date and currency.
    target : a file that ends in .csv or .parquet; what is there is replaced, in one step.

    The percentile of a value is the share of values below it, those equal to it counted half, times 100.

    Raises
    ------
    StudyError : fewer than two studies, one twice, or studies that cannot be compared; and as `export_scores` does.
    """
    import pandas as pd

    frames, studies = [], []
    for run in found:
        study, tally, _ = scores_of(run, purpose)
        frame = tally.blocks().read_all().select(["customer", "clv", "run"]).to_pandas()
        frames.append(frame.assign(study=study.name, percentile=percentiles(frame["clv"])))
        studies.append(study)
    _require_comparable(studies)
    every = pd.concat(frames, ignore_index=True)
    every["percentile_across"] = percentiles(every["clv"])
    every = every.sort_values(["study", "customer"], ignore_index=True)[SCHEMA.names]
    reader = pa.Table.from_pandas(every, schema=SCHEMA, preserve_index=False).to_reader()
    whole = Tally(reader)
    to_file(found[0], Path(target))(whole, None)
    for run, study, frame in zip(found, studies, frames, strict=True):
        log_export(run, study, purpose, whole, target, None, len(frame), float(frame["clv"].sum()))
    each = every.assign(top=every["percentile_across"] > TOP).groupby("study", sort=False)
    regions = each.agg(
        customers=("clv", "size"), equity=("clv", "sum"), mean=("clv", "mean"), top_share=("top", "mean")
    )
    order = [study.name for study in studies]
    ends = [read_json(run.folder / "results.json")["metrics"]["customer_equity"] for run in found]
    ranges = {
        end: [float("nan") if one[end] is None else one[end] for one in ends] for end in ("low", "high")
    }
    return Ranked(
        regions.loc[order].reset_index().assign(**ranges), differing(studies), studies[0].currency, target
    )


def percentiles(values: "pd.Series") -> "pd.Series":
    """The place of each value among all, 0 to 100: the share below it, and half of those equal to it."""
    ranks = values.rank(method="average")
    return 100 * (ranks - 0.5) / len(values)


def differing(studies: "Sequence[Study]") -> "pd.DataFrame":
    """What the studies say differently: ``key`` and one column of texts per study; their names and words are left out."""
    import pandas as pd

    flat = [dict(_leaves(study.resolved(), "")) for study in studies]
    keys = sorted(set().union(*flat))
    rows = [{"key": key} | {study.name: _shown(one.get(key)) for study, one in zip(studies, flat, strict=True)}
            for key in keys if key not in OWN and len({_shown(one.get(key)) for one in flat}) > 1]  # fmt: skip
    return pd.DataFrame(rows, columns=["key", *(study.name for study in studies)])


def _leaves(values: dict[str, Any], below: str):
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{below}{name}.")
        else:
            yield f"{below}{name}", value


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def _require_comparable(studies: "Sequence[Study]") -> None:
    names = [study.name for study in studies]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise StudyError(
            f"scores are put on one scale for two studies or more, each once (got {listed(names)})",
            place="clv rank",
            fix="name one run of each study",
        )
    for what, values in (
        ("currency", [study.currency for study in studies]),
        ("as_of", [study.as_of.isoformat() for study in studies]),
    ):
        if len(set(values)) > 1:
            said = ", ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
            raise StudyError(
                f"values of several studies can be ranked together where their {what} is the same ({said})",
                place=what,
                fix="convert the amounts to one currency with ledger.exchange"
                if what == "currency"
                else "run them as of one day",
            )
