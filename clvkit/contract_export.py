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
    reader: pa.RecordBatchReader | None,
    contracts: "pd.DataFrame",
    rule: Rule,
    *,
    as_of: date,
    run: str,
    so_far: "pd.Series | None" = None,
) -> pa.RecordBatchReader:
    """Scores of purchases, block by block, joined with those of contracts.

    Parameters
    ----------
    reader : of `clvkit.ledger.writeback.customer_scores`; None where no purchases are valued.
    contracts : of `clvkit.contract_scores.contract_scores`.
    rule : of `clvkit.customer_total.CustomerTotal`.
    so_far : margin of what each customer has paid up to the as-of date, by customer, where no purchases are valued: customers
        whose contract has ended are in the scores then, with nothing to come.

    Returns
    -------
    Reader of `WITH_CONTRACTS`: ``clv`` is the sum of ``clv_purchases`` and ``clv_contracts``, with its interval. Customers who have
    a contract and no purchase come last: they are there for sure (``p_alive`` 1; 0 where the contract has ended), and have no
    expected purchases.
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
        if so_far is not None:
            gone = sorted(set(so_far.index) - set(rest["customer"]))
            ended = pd.DataFrame({"customer": gone}).assign(clv_contracts=0.0, low=0.0, high=0.0)
            rest = pd.concat([rest, ended], ignore_index=True) if gone else rest
        if len(rest) and rule != "purchases":
            nobody = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _KINDS.items()})
            made = each_customer(nobody, rest, rule)
            brought = float("nan") if so_far is None else made["customer"].map(so_far).fillna(0.0)
            runs = made["customer"].isin(contracts["customer"]).astype(float)
            made = made.assign(
                p_alive=runs, valued_as=UNDER_CONTRACT, margin_so_far=brought, as_of=as_of, run=run
            )
            yield _batch(made.assign(total=made["margin_so_far"].fillna(0.0) + made["clv"]))

    return pa.RecordBatchReader.from_batches(WITH_CONTRACTS, blocks())


_KINDS = {field.name: "float64" if pa.types.is_floating(field.type) else "object" for field in SCORES}


def _batch(frame: "pd.DataFrame") -> pa.RecordBatch:
    return pa.RecordBatch.from_pandas(
        frame[WITH_CONTRACTS.names], schema=WITH_CONTRACTS, preserve_index=False
    )
