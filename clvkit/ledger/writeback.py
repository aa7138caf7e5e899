"""Scores of every customer, made block by block and written back as a table."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from clvkit.customers import keys_of
from clvkit.errors import DataError
from clvkit.ledger.databases import Database
from clvkit.ledger.engine import bytewise
from clvkit.ledger.scores import write_scores

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.fit import Fit
    from clvkit.value import ValueSection

CUSTOMERS_AT_ONCE = 100_000
SCORES = pa.schema(
    [
        ("customer", pa.string()),
        ("p_alive", pa.float64()),
        ("expected_purchases", pa.float64()),
        ("clv", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("margin_so_far", pa.float64()),
        ("total", pa.float64()),
        ("inclusion", pa.string()),
        ("valued_as", pa.string()),
        ("as_of", pa.date32()),
        ("run", pa.string()),
    ]
)


def customer_scores(
    summary: ir.Table,
    fit: "Fit",
    spend: "Fit",
    section: "ValueSection",
    *,
    minor_per_unit: float,
    days_per_year: float,
    as_of: date,
    run: str,
    means: "pd.DataFrame | None" = None,
    at_once: int = CUSTOMERS_AT_ONCE,
) -> pa.RecordBatchReader:
    """The scores of customers as blocks that are made when they are asked for.

    Parameters
    ----------
    summary : one row per customer, as `clvkit.customers.customer_summary` makes it; only pseudonyms and the figures
        that value depends on leave its engine. With ``inclusion`` and ``treatment``, customers valued as their segment
        have its figures, and those left out are not in it.
    fit, spend, section, minor_per_unit, days_per_year : as for `clvkit.valuation.scores`.
    run : the run that the scores belong to, as a word in every row.
    means : of `clvkit.averaging.segment_means`; needed where somebody is valued as the segment.

    Returns
    -------
    Reader of ``customer, p_alive, expected_purchases`` (within the study's horizon), ``clv, low, high`` (major units;
    posterior mean and equal-tailed interval), ``margin_so_far`` (the study's margin of the customer's own net revenue up to the as-of
    date, not discounted), ``total`` (the two together), ``inclusion`` (the rule that fits, if any), ``valued_as`` (``customer``,
    ``segment average`` or ``company average``), ``as_of, run``, one row per customer, by their names.
    """
    if "treatment" in summary.columns:
        summary = summary.filter(summary.treatment != "exclude")
    else:
        summary = summary.mutate(inclusion=ibis.null("string"), treatment=ibis.literal("include"))
    what_counts = [*keys_of(summary), "spend_minor"]
    columns = summary.select("customer", *what_counts, "first_minor", "inclusion", "treatment")
    columns = columns.order_by(bytewise(columns.customer.cast("string")))
    kinds_of = columns.schema().to_pyarrow()

    def blocks() -> Iterator[pa.RecordBatch]:
        import pandas as pd

        from clvkit.averaging import OWN
        from clvkit.valuation import scores

        for batch in columns.to_pyarrow_batches(chunk_size=at_once):
            if not len(batch):
                continue
            # Sums are wider than whole numbers in some engines until they are told.
            block = pa.Table.from_batches([batch]).cast(kinds_of).to_pandas()
            as_segment = block["treatment"] == "segment_average"
            alone = block[~as_segment]
            # Customers who are alike are valued once.
            kinds = alone[what_counts].drop_duplicates(ignore_index=True)
            parts = []
            if len(kinds):
                valued = scores(
                    fit, spend, kinds, section, minor_per_unit=minor_per_unit, days_per_year=days_per_year
                )
                valued = valued.assign(valued_as=OWN)
                parts.append(alone.merge(valued, on=what_counts, how="left", validate="many_to_one"))
            if as_segment.any():
                rest = block[as_segment].assign(segment=block["segment"].astype(str))
                parts.append(rest.merge(means, on="segment", how="left", validate="many_to_one"))
            both = pd.concat(parts).sort_values("customer", ignore_index=True)
            both = both.rename(
                columns={"purchases": "expected_purchases", "clv_low": "low", "clv_high": "high"}
            )
            so_far = section.margin * (both["spend_minor"] + both["first_minor"]) / minor_per_unit
            both = both.assign(margin_so_far=so_far, total=so_far + both["clv"], as_of=as_of, run=run)[
                SCORES.names
            ]
            yield pa.RecordBatch.from_pandas(both, schema=SCORES, preserve_index=False)

    return pa.RecordBatchReader.from_batches(SCORES, blocks())


def write_back(database: Database, name: str, scores: pa.RecordBatchReader, *, source: ir.Table) -> int:
    """Replace the table ``name`` by `customer_scores`; returns the number of customers.

    Parameters
    ----------
    database : open for writing, in a session other than the one that ``source``, their summary, is read in.

    Raises
    ------
    DataError : both are one session, or the database cannot be written to; the old table stays.
    """
    # A session of DuckDB would forget the rows still to be read, and one of PostgreSQL refuse to write.
    if database.con is source.get_backend() and database.con.name != "pyspark":
        raise DataError(
            "scores are read and written in one session, which can do one of them at a time",
            place=f"table {name}",
            fix="open the database once more for writing",
        )
    return write_scores(database, name, scores)
