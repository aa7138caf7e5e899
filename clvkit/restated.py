"""What the sources say differently from the last time: this ledger against the version before it."""

from typing import TYPE_CHECKING

import pandas as pd

from clvkit.checks import Check
from clvkit.erasure import read_log
from clvkit.exhibits import Table
from clvkit.ledger import Ledger
from clvkit.ledger.currencies import digits_of
from clvkit.numbers import count
from clvkit.restatement import Comparison, compare
from clvkit.versions import keep_version, list_versions, snapshot, version_id

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clvkit.workbench import Workbench


def since_last_version(bench: "Workbench") -> Comparison | None:
    """Closed months that are restated since the last version of the data; None where there is no earlier one.

    The ledger's version is kept under ``reports/<study>/.versions/`` when it is seen for the first time.
    """
    ledger, folder = bench.ledger(), bench.study_folder
    files: dict[str, list[dict]] = {}
    for one in ledger.inputs:
        files.setdefault(one["source"], []).append(one)
    lines = _lines(ledger)
    now = snapshot(lines, as_of=ledger.as_of, files=files)
    earlier = [one for one in list_versions(folder) if one["version"] != version_id(now)]
    keep_version(folder, now, run_id=bench.run_id or "draft", ledger=bench.key("ledger"))
    if not earlier:
        return None
    before = earlier[-1]
    known = bench.store.complete(before["ledger"])
    old = _lines(Ledger.load(bench.store.folder(before["ledger"]), con=ledger.con)) if known else None
    return compare(before["snapshot"], now, old, lines if known else None, erased=bool(read_log(folder)))


def _lines(ledger: Ledger) -> "ir.Table":
    """Rows as the source has them, whatever became of them since."""
    lines = ledger.rows.select(
        "source", "line_id", "customer", "currency", "amount_minor", "segment", day="booked_day"
    )
    # Without ids in any source, rows are compared as records: one that differs in a cell is one row that changed.
    return lines if lines.line_id.notnull().any().to_pyarrow().as_py() else lines.drop("line_id")


def exhibits(found: Comparison | None) -> list[Table | Check]:
    """What a report says of restatements: the check, and the closed months that changed with both sums."""
    if found is None or not found.restated:
        return [restatement_check(found)]
    rows = [
        {"month": one.month, "source": one.source, "currency": one.currency, "rows_before": one.rows[0], "rows": one.rows[1],
         "before": one.amount_minor[0], "now": one.amount_minor[1]}
        for one in found.restated
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    for name in ("before", "now"):
        frame[name] = frame[name] / 10.0 ** frame["currency"].map(digits_of)
    return [
        Table(
            "restated_months",
            frame,
            "Closed months that the sources restate",
            "Rows and amounts of months that were over when the last version of the data was taken, in the currency of "
            "the row: as they were then, and as they are now.",
            formats={"rows_before": "count", "rows": "count", "before": "number:2", "now": "number:2"},
            labels={"month": "Month", "source": "Source", "currency": "Currency", "rows_before": "Rows then",
                    "rows": "Rows now", "before": "Amount then", "now": "Amount now"},
        ),
        restatement_check(found),
    ]  # fmt: skip


def restatement_check(found: Comparison | None) -> Check:
    """Whether months that were closed still say what they said."""
    months = found.restated if found else ()
    if found is None:
        said = "These data are the first version that this study has seen; there is nothing to compare them with."
    elif not months and not found.schema:
        said = "No closed month says anything else than in the last version of the data."
    else:
        names = ", ".join(sorted({f"{one.month or 'no date'} of {one.source}" for one in months})[:6])
        rows = sum(found.counts.values()) + found.unlisted
        said = (
            f"Closed months differ from the last version of the data: {names}"
            if months
            else "No closed month changed"
        )
        said += f"; {count(rows)} row{'' if rows == 1 else 's'} changed, came or went" if rows else ""
        said += (
            f"; columns changed in {', '.join(one.source for one in found.schema)}" if found.schema else ""
        )
        said += "."
    return Check(
        "ledger.restated",
        "Closed months stay as they were",
        "info" if found is None else "review" if months or found.schema else "pass",
        said,
        value=len(months),
        threshold=0,
        unit="months",
        severity="info" if found is None else "warn",
        recommendation="Ask the owner of the source why a closed month changed, before figures are compared with earlier ones."
        if months
        else "",
        chapter="01_ledger",
    )
