"""What the report's memo needs of the lines, beside the history: refunds to come, what merging changes, overlaps by month."""

from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

from clvkit.errors import DataError
from clvkit.ledger.refund_lags import lag_curve, outstanding
from clvkit.ledger.section import LedgerSection
from clvkit.ledger.states import known


def memo_frames(lines: ir.Table, section: LedgerSection, as_of: date) -> dict[str, pd.DataFrame]:
    """Frames without a customer in them, each where there is something to say.

    They are ``refund_curve, refund_rate, refunds_to_come``, ``identity_effect`` and ``overlap_months``. ``lines`` are converted (``value_minor``), with their ``customer`` and, where refunds were netted, ``booked_day``.
    """
    frames = _refunds_to_come(lines, as_of) if "booked_day" in lines.columns else {}
    if section.identity.keys or section.identity.crosswalk:
        frames["identity_effect"] = _merged(lines, as_of)
    months = _overlap_months(lines, section)
    return frames | ({} if months is None else {"overlap_months": months})


def _refunds_to_come(lines: ir.Table, as_of: date) -> dict[str, pd.DataFrame]:
    try:
        curve = lag_curve(lines, as_of, amount="value_minor")
    except DataError:  # no sale up to the as-of date: nothing can come back
        return {}
    rate = {"rate": curve.rate, "low": curve.low, "high": curve.high, "seen": curve.seen}
    return {
        "refund_curve": curve.curve,
        "refund_rate": pd.DataFrame([rate]),
        "refunds_to_come": outstanding(curve),
    }


def _merged(lines: ir.Table, as_of: date) -> pd.DataFrame:
    """``counted_as, customers, purchases, once``: with every account by itself, and with accounts joined."""
    # A refund is on the day of its sale, and may be of a source of its own, which would look like another account.
    counts = lines.filter(lines.reason.isnull() & lines.customer.notnull() & (lines.amount_minor >= 0))
    counts = counts.filter(counts.day <= ibis.date(as_of))
    counts = counts.filter(known(counts, as_of))
    found = []
    for name, who in (("accounts", ["source", "account"]), ("customers", ["customer"])):
        days = counts.select(*who, "day").distinct().group_by(who).agg(days=ibis._.count())
        total = days.aggregate(
            customers=days.count(), purchases=days.days.sum(), once=(days.days == 1).sum()
        ).to_pyarrow().to_pylist()[0]  # fmt: skip
        found.append({"counted_as": name} | {key: int(value or 0) for key, value in total.items()})
    return pd.DataFrame(found)


def _overlap_months(lines: ir.Table, section: LedgerSection) -> pd.DataFrame | None:
    """Rows and money of each two order sources that share their ids, by month of the days that both cover."""
    spaces: dict[str, list[str]] = {}
    for name, one in section.by_name().items():
        if one.holds == "orders" and one.id_space:
            spaces.setdefault(one.id_space, []).append(name)
    pairs = [(a, b) for names in spaces.values() for at, a in enumerate(names) for b in names[at + 1 :]]
    if not pairs:
        return None
    day = lines.booked_day if "booked_day" in lines.columns else lines.day
    rows = lines.mutate(on=day).filter(~lines.quarantined & day.notnull())
    each = rows.group_by("source", "currency", "on").agg(
        rows=rows.count().cast("int64"), minor=rows.amount_minor.sum().cast("int64")
    )
    wanted = sorted({name for pair in pairs for name in pair})
    daily = each.filter(each.source.isin(wanted)).to_pyarrow().to_pandas()
    daily["on"] = pd.to_datetime(daily["on"])
    found = []
    for first, second in pairs:
        sides = [daily[daily["source"] == name] for name in (first, second)]
        begin, end = max(side["on"].min() for side in sides), min(side["on"].max() for side in sides)
        months = [
            side[side["on"].between(begin, end)].assign(month=side["on"].dt.to_period("M").dt.to_timestamp())
            .groupby(["month", "currency"])[["rows", "minor"]].sum().add_suffix(f"_{place}")
            for side, place in zip(sides, ("first", "second"), strict=True)
        ]  # fmt: skip
        both = months[0].join(months[1], how="outer").fillna(0).astype("int64").reset_index()
        found.append(both.assign(first=first, second=second))
    frame = pd.concat(found, ignore_index=True)
    return frame[
        ["first", "second", "month", "currency", "rows_first", "rows_second", "minor_first", "minor_second"]
    ]
