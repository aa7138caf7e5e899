"""Companies whose truth is known, read by the ledger of params/acme.yml, and their rows beside what the files say."""

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from clvkit.ledger import Ledger, LedgerSection, build_ledger
from clvkit.simulate import write_company
from clvkit.simulate.company import build
from clvkit.simulate.defects import plant
from clvkit.simulate.plan import Plan
from clvkit.simulate.planting import Exports, Hit
from clvkit.study import load_study

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data_samples" / "acme"
STUDY = load_study(ROOT / "params" / "acme.yml")
LINES = ("shop", "shop_refunds", "till", "legacy")
HABITS = {
    "till": ("cp1252", ";", ","),
    "legacy": ("utf-8", ",", "minor"),
}  # encoding, delimiter, decimal or unit
COUNTED = "counted"  # used or merged
# Rows that somebody wrote wrongly, and what happened to whole files and weeks: apart, so that neither hides the other.
ROW_DEFECTS = (
    "missing_customer", "missing_date", "bad_date", "future_date", "ancient_date", "bad_amount_text",
    "missing_amount", "huge_amount", "unknown_currency", "negative_quantity_sale", "duplicate_line_id", "orphan_refund",
    "refund_exceeds_order", "test_accounts", "staff_orders", "formula_injection_name",
)  # fmt: skip
FILE_DEFECTS = (
    "unit_slip", "outage", "tax_included_mixup", "late_rows", "giant_cancelled_pair", "overlap_extract", "double_load",
    "restated_month", "wrong_delimiter_line", "truncated_file",
)  # fmt: skip
#: What tells of each planted defect: the reason of its rows, or the check that finds it.
CAUGHT_BY = {
    "missing_customer": "guest",
    "missing_date": "date_missing",
    "bad_date": "date_unreadable",
    "future_date": "date_after_extract",
    "ancient_date": "date_before_earliest",
    "bad_amount_text": "amount_unreadable",
    "missing_amount": "amount_missing",
    "huge_amount": "amount_out_of_range",
    "unknown_currency": "currency_unknown",
    "negative_quantity_sale": "quantity_sign",
    "orphan_refund": "refund_unmatched",
    "test_accounts": "customer:test",
    "staff_orders": "customer:staff",
    "wrong_delimiter_line": "row_unparseable",
    "truncated_file": "row_unparseable",
    "duplicate_line_id": "ledger.overlaps",
    "overlap_extract": "ledger.overlaps",
    "double_load": "ledger.overlaps",
    "restated_month": "ledger.overlaps",
    "refund_exceeds_order": "ledger.over_refunded",
    "guest_as_one": "ledger.catch_all",
    "swapped_day_month": "ledger.exchanged_days",
    "exchanged_early_days": "ledger.exchanged_days",
    "tax_included_mixup": "ledger.books",
    "missing_rate": "ledger.rates_age",  # or it stops the run
    "unit_slip": "history.anomalies",
    "outage": "history.anomalies",
    "late_rows": "history.complete",
}
#: Defects that no check tells of: they stop the reading, link nobody, net to nothing, or stand in no column that is read.
HARMLESS = {"wrong_encoding_file", "shared_address", "giant_cancelled_pair", "formula_injection_name"}


def section(only: tuple[str, ...] = (), drop: dict | None = None, **changes) -> LedgerSection:
    """The ledger of params/acme.yml, for a company's own folder.

    Parameters
    ----------
    only : the sources to keep; all by default.
    drop : fields of single sources that are other than in the study, {source: {field: value}}.
    changes : other fields of the section.
    """
    values = STUDY.ledger.model_dump(exclude_unset=True)
    for name, source in values["sources"].items():
        source["path"] = source["path"].removeprefix("../data_samples/acme/")
        source |= (drop or {}).get(name, {})
    if only:
        values["sources"] = {name: values["sources"][name] for name in only}
    if only and "legacy" not in only:
        values["completeness"] = {}
    return LedgerSection.model_validate(values | changes)


@dataclass(frozen=True)
class Studied:
    """A company, the ledger that was built of it, and the truth that was written beside it."""

    folder: Path
    ledger: Ledger
    truth: dict
    hits: dict[str, Hit]
    crosswalk: Path | None = None

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The ledger's rows with ``key`` (order/line, or a refund's own), ``order`` and ``outcome``."""
        frame = self.ledger.rows.to_pyarrow().to_pandas()
        frame["file"] = ["/".join(Path(name).parts[-2:]) for name in frame["file"]]
        texts = {name: self.lines_of(name) for name in frame["file"].unique()}
        cells = [texts[file][row] for file, row in zip(frame["file"], frame["row"], strict=True)]
        refund = frame["source"] == "shop_refunds"
        frame["order"] = [one[1] if back else one[0] for one, back in zip(cells, refund, strict=True)]
        frame["key"] = [
            one[0] if back else "/".join(one[:2]) for one, back in zip(cells, refund, strict=True)
        ]
        held = frame["state"].isin(("excluded", "quarantined"))
        frame["outcome"] = (
            frame["reason"].where(held, frame["state"]).replace({"used": COUNTED, "merged": COUNTED})
        )
        return frame

    def lines_of(self, name: str) -> dict[int, list[str]]:
        """The cells of a file's lines by line number; those of a line that does not split, by any sign."""
        encoding, sign, _ = HABITS.get(name.split("/")[0], ("utf-8", ",", "."))
        lines = (self.folder / name).read_bytes().decode(encoding, errors="replace").splitlines()
        split = (next(csv.reader([line], delimiter=sign)) for line in lines)
        return {k: cells if len(cells) > 1 else cells[0].split(";") for k, cells in enumerate(split, 1)}

    def records(self, name: str) -> list[dict[str, str]]:
        """A file's rows by the names in its header."""
        header, *rows = self.lines_of(name).values()
        return [dict(zip(header, row, strict=True)) for row in rows]

    def check(self, id_: str):
        """The check of that id."""
        return next(one for one in self.ledger.checks if one.id == id_)

    def findings(self) -> dict[str, str]:
        """What each check says that does not pass and is no information."""
        return {one.id: one.message for one in self.ledger.checks if one.status not in ("pass", "info")}

    def reasons(self) -> dict[str, int]:
        """Rows by outcome."""
        return self.rows["outcome"].value_counts().to_dict()


def studied(
    folder: Path, ledger: Ledger, crosswalk: Path | None = None, hits: dict[str, Hit] | None = None
) -> Studied:
    """A company that lies in ``folder``."""
    truth = json.loads((folder / "truth" / "truth.json").read_text(encoding="utf-8"))
    return Studied(folder, ledger, truth, hits or {}, crosswalk)


def written(folder: Path, defects: tuple[str, ...] = (), **arguments) -> dict[str, Hit]:
    """Write a company, by default the sample's twin; everything that each defect hit, where the truth has examples."""
    write_company(folder, defects=defects, **arguments)
    plan = Plan(**({"customers": 1500, "seed": 20240117, "start": START, "end": END, "currency": "EUR"}
                   | arguments | {"defects": tuple(defects)}))  # fmt: skip
    return plant(Exports(plan, build(plan).sheets))


START, END = (pd.Timestamp(json.loads((SAMPLE / "truth" / "truth.json").read_text())[one]).date()
              for one in ("start", "end"))  # fmt: skip


def ledger_of(folder: Path, ledger: LedgerSection | None = None, **arguments) -> Ledger:
    """A ledger of the company in ``folder``."""
    arguments = {"as_of": STUDY.as_of, "currency": STUDY.currency, "base": folder} | arguments
    return build_ledger(ledger or section(), **arguments)
