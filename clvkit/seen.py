"""Purchases as the models of a study see them: by opportunity, with what is known of the customers besides."""

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.covariate_people import People
    from clvkit.ledger import Ledger
    from clvkit.study import Study


class Seen:
    """The purchases of a ledger under a study.

    Parameters
    ----------
    members : ``source, account, customer`` of the crosswalk; None where customers go by their accounts.
    """

    def __init__(self, ledger: "Ledger", study: "Study", members: "ir.Table | None"):
        self.ledger, self.study, self._members = ledger, study, members

    @cached_property
    def acquired(self) -> "pd.DataFrame | None":
        """The day of acquisition of each customer, where the study goes by it; None where it does not."""
        if self.study.models.left_truncation.treatment != "acquired":
            return None
        from clvkit.truncation_fit import acquisition_dates

        return acquisition_dates(*self._known)

    @cached_property
    def people(self) -> "People | None":
        """The covariates of the customers; None where the study uses none."""
        section = self.study.models.covariates
        if section.use == "ignore":
            return None
        from clvkit.covariate_people import people

        bought = self.ledger.purchases.select("customer").distinct().to_pyarrow()["customer"].to_pylist()
        return people(*self._known, bought, section.of)

    @property
    def _known(self) -> "tuple[list[pd.DataFrame], pd.DataFrame | None]":
        """The rows of customers tables, and whose the accounts are."""
        sources = self.study.ledger.by_name()
        tables = [table for name, table in self.ledger.tables.items() if sources[name].holds == "customers"]
        frames = [table.to_pyarrow().to_pandas() for table in tables]
        return frames, None if self._members is None else self._members.to_pyarrow().to_pandas()

    def purchases(self) -> "ir.Table":
        """One row per customer and day, or opportunity, with ``acquired`` and ``pattern`` where the study goes by them."""
        from clvkit.opportunities import by_opportunity

        return self.described(by_opportunity(self.ledger.purchases, self.study.models.opportunity))

    def described(self, purchases: "ir.Table") -> "ir.Table":
        """Purchases with ``acquired`` and ``pattern``, where the study goes by them."""
        from clvkit.truncation_fit import with_acquired

        purchases = with_acquired(purchases, self.acquired)
        return purchases if self.people is None else self.people.with_pattern(purchases)
