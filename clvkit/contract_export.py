"""Scores of customers with the value of their contracts: two further columns, and customers who have nothing but a contract."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from clvkit.customer_total import Rule, each_customer
from clvkit.ledger.writeback import SCORES

if TYPE_CHECKING:
    import pandas as pd

UNDER_CONTRACT = "contract"  # what a customer without a purchase is valued as
_AT = SCORES.get_field_index("clv")
WITH_CONTRACTS = pa.schema(
    [
        *list(SCORES)[:_AT],
        pa.field("clv_purchases", pa.float64()),
        pa.field("clv_contracts", pa.float64()),
        *list(SCORES)[_AT:],
    ]
)


def with_contracts(
    reader: pa.RecordBatchReader | None, contracts: "pd.DataFrame", rule: Rule, *, as_of: date, run: str
) -> pa.RecordBatchReader:
    """Scores of purchases, block by block, joined with those of contracts.

    Parameters
    ----------
    reader : of `clvkit.ledger.writeback.customer_scores`; None where no purchases are valued.
    contracts : of `clvkit.contract_scores.contract_scores`.
    rule : of `clvkit.customer_total.CustomerTotal`.

    Returns
    -------
    Reader of `WITH_CONTRACTS`: ``clv`` is the sum of ``clv_purchases`` and ``clv_contracts``, with its interval. Customers who have
    a contract and no purchase come last: they are there for sure (``p_alive`` 1), and have no expected purchases.
    """

    def blocks() -> Iterator[pa.RecordBatch]:
        import pandas as pd

        seen: set[str] = set()
        for batch in reader or ():
            block = batch.to_pandas()
            theirs = contracts[contracts["customer"].isin(block["customer"])]
            seen |= set(theirs["customer"])
            both = each_customer(block, theirs, rule)
            both["total"] = both["margin_so_far"] + both["clv"]
            yield _batch(both)
        rest = contracts[~contracts["customer"].isin(seen)]
        if len(rest) and rule != "purchases":
            nobody = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _KINDS.items()})
            made = each_customer(nobody, rest, rule)
            yield _batch(
                made.assign(p_alive=1.0, valued_as=UNDER_CONTRACT, total=made["clv"], as_of=as_of, run=run)
            )

    return pa.RecordBatchReader.from_batches(WITH_CONTRACTS, blocks())


_KINDS = {field.name: "float64" if pa.types.is_floating(field.type) else "object" for field in SCORES}


def _batch(frame: "pd.DataFrame") -> pa.RecordBatch:
    return pa.RecordBatch.from_pandas(
        frame[WITH_CONTRACTS.names], schema=WITH_CONTRACTS, preserve_index=False
    )
