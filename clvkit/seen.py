"""Purchases as the models of a study see them: by opportunity, with what is known of the customers besides."""

from functools import cached_property
from typing import TYPE_CHECKING

from clvkit.errors import DataError

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clvkit.contracts import Contracts
    from clvkit.contracts_section import ContractsSection
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

        return acquisition_dates(*self.known)

    @cached_property
    def people(self) -> "People | None":
        """The covariates of the customers; None where the study uses none."""
        section = self.study.models.covariates
        if section.use == "ignore":
            return None
        from clvkit.covariate_people import people

        bought = self.ledger.purchases.select("customer").distinct().to_pyarrow()["customer"].to_pylist()
        return people(*self.known, bought, section.of)

    @cached_property
    def segment(self) -> "pd.Series | None":
        """The segment of each customer by a customers table; None where segments are those of the orders.

        Of a customer whose records do not agree, what most of them say; see `clvkit.covariate_people.most_said`.
        """
        name = self.study.models.segment_by
        if name is None:
            return None
        return self.said(name)[0]

    def said(self, name: str) -> "tuple[pd.Series, float]":
        """What customers tables say under ``name``, by customer, and the share of customers whose records do not agree."""
        from clvkit.covariate_people import most_said, said_of

        return most_said(said_of(name, *self.known))

    def has(self, name: str) -> bool:
        """Whether a customers table says anything under ``name``."""
        columns = {f"about_{name}", name}  # a field that the source does not have stands there as nulls
        return any(
            table[column].notna().any() for table in self.known[0] for column in columns & set(table.columns)
        )

    def with_segment(self, purchases: "ir.Table") -> "ir.Table":
        """The purchases with ``segment`` as `segment` has it, null where nothing is written of their customer."""
        if self.segment is None:
            return purchases
        import ibis

        said = self.segment.rename("segment").rename_axis("customer").reset_index()
        known = ibis.memtable(said, schema={"customer": "string", "segment": "string"})
        plain = purchases.drop("segment") if "segment" in purchases.columns else purchases
        return plain.left_join(known, "customer").select(*plain.columns, "segment")

    def with_survey(self, summary: "ir.Table") -> "ir.Table":
        """The customer summary with ``survey_response``, the highest number that is written, where a rule asks for it.

        Raises
        ------
        DataError : what is written is no number.
        """
        rule = self.study.ledger.inclusion.min_survey_response
        if rule is None:
            return summary
        import ibis
        import pandas as pd

        from clvkit.covariate_people import said_of

        said = said_of(rule.about, *self.known)
        numbers = pd.to_numeric(said["value"], errors="coerce")
        if numbers.isna().any():
            raise DataError(
                f"the response to surveys must be a number (got {said.loc[numbers.isna(), 'value'].iloc[0]!r})",
                place=f"about {rule.about}",
                fix="correct it in the customers table, or name another column",
            )
        best = numbers.groupby(said["customer"]).max().rename("survey_response").reset_index()
        known = ibis.memtable(best, schema={"customer": "string", "survey_response": "float64"})
        return summary.left_join(known, "customer").select(*summary.columns, "survey_response")

    def channel(self, by: str) -> "tuple[pd.Series, float]":
        """The channel that won each customer, by the customers tables; see `clvkit.acquisition.channel_of`."""
        from clvkit.acquisition import channel_of

        return channel_of(*self.known, by)

    def contracts(self) -> "Contracts | None":
        """The contracts of the study, and the relations they make up; None where it names no source of them."""
        from clvkit.contracts import contracts

        if self.study.contracts.source is None:
            return None
        return contracts(self.contract_rows, self.contract_section, self.study.as_of)

    @property
    def contract_section(self) -> "ContractsSection":
        """The study's section on contracts, with the first day on which ends were recorded where a snapshot says it."""
        from clvkit.contracts_section import as_watched

        section = self.study.contracts
        return as_watched(section, self.study.ledger.by_name()[section.source].extracted)

    @property
    def contract_rows(self) -> "pd.DataFrame":
        """The rows of the study's source of contracts, whatever is wrong with them."""
        return self.ledger.tables[self.study.contracts.source].to_pyarrow().to_pandas()

    @property
    def known(self) -> "tuple[list[pd.DataFrame], pd.DataFrame | None]":
        """The rows of customers tables, and whose the accounts are: ``source, account, customer``."""
        sources = self.study.ledger.by_name()
        tables = [table for name, table in self.ledger.tables.items() if sources[name].holds == "customers"]
        frames = [table.to_pyarrow().to_pandas() for table in tables]
        return frames, None if self._members is None else self._members.to_pyarrow().to_pandas()

    def purchases(self) -> "ir.Table":
        """One row per customer and day, or opportunity, with what the study knows of their customers."""
        from clvkit.opportunities import by_opportunity

        return self.described(by_opportunity(self.ledger.purchases, self.study.models.opportunity))

    def described(self, purchases: "ir.Table") -> "ir.Table":
        """Purchases with ``acquired``, ``pattern`` and the ``segment`` of a customers table, where the study goes by them."""
        from clvkit.truncation_fit import with_acquired

        purchases = self.with_segment(with_acquired(purchases, self.acquired))
        return purchases if self.people is None else self.people.with_pattern(purchases)
