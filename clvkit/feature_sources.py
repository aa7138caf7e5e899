"""What a study has to make features of: purchases, and the behaviour that its other tables hold, each with its day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from clvkit.features import (
    Features,
    attribute_features,
    event_features,
    known_at,
    purchase_features,
    require_known,
)

if TYPE_CHECKING:
    import pandas as pd

    from clvkit.ledger import Ledger
    from clvkit.workbench import Workbench


@dataclass(frozen=True)
class Sources:
    """Everything dated that features may be made of, over the whole history.

    Attributes
    ----------
    bought : ``customer, day, amount_minor``, one row a customer and day.
    events : by name, what happened in words and its rows (``customer, day`` and perhaps ``value``).
    about : by name, what is written of each customer, by customer.
    segment : by customer, the study's segments.
    """

    bought: "pd.DataFrame"
    minor_per_unit: float
    events: "Mapping[str, tuple[str, pd.DataFrame]]"
    about: "Mapping[str, pd.Series]"

    def features(self, origin: date) -> Features:
        """The feature table of everybody who had bought by ``origin``, of what was known at its end."""
        made = purchase_features(known_at(self.bought, origin), origin, self.minor_per_unit)
        people = made.values.index
        more = [
            event_features(name, known_at(events, origin), people, origin, words)
            for name, (words, events) in self.events.items()
        ]
        more += [attribute_features(name, said, people, origin) for name, said in self.about.items()]
        return made.joined(*more)

    def bought_between(self, origin: date, end: date, customers: "pd.Index") -> "pd.DataFrame":
        """``purchases`` (days) and ``revenue`` (major units, below zero as zero) of customers after ``origin``, up to ``end``."""
        import pandas as pd

        day = pd.to_datetime(self.bought["day"])
        after = self.bought[(day > pd.Timestamp(origin)) & (day <= pd.Timestamp(end))]
        each = after.groupby("customer")["amount_minor"].agg(["size", "sum"]).reindex(customers).fillna(0.0)
        return pd.DataFrame(
            {"purchases": each["size"], "revenue": (each["sum"] / self.minor_per_unit).clip(lower=0)}
        )


def sources_of(bench: "Workbench") -> Sources:
    """The sources of features that a study asks for, as far as its ledger has them."""
    import pandas as pd

    from clvkit.covariate_people import most_said, said_of
    from clvkit.opportunities import by_opportunity

    study, ledger, seen = bench.study, bench.ledger(), bench.seen
    section, holds = study.challenger, {name: one.holds for name, one in study.ledger.by_name().items()}
    bought = by_opportunity(ledger.purchases, study.models.opportunity).select(
        "customer", "day", "amount_minor"
    )
    events: dict[str, tuple[str, pd.DataFrame]] = {}
    for name, table in ledger.tables.items():
        rows = None
        if holds[name] == "tickets" and "tickets" in section.behaviour:
            rows = table.to_pyarrow().to_pandas().rename(columns={"opened": "day", "minutes": "value"})
            events["tickets" if "tickets" not in events else name] = (
                "service tickets (value: minutes)", _whose(rows, bench, name))  # fmt: skip
        elif holds[name] == "behaviour" and "behaviour" in section.behaviour:
            rows = _whose(table.to_pyarrow().to_pandas().rename(columns={"date": "day"}), bench, name)
            require_known(rows["day"], study.as_of, f"the table {name}")
            named = rows["feature"].fillna(name) if "feature" in rows else pd.Series(name, index=rows.index)
            for feature, part in rows.groupby(named):
                events[str(feature)] = (f"{feature}, of {name}", part)
    if "returns" in section.behaviour and (rows := _returns(ledger)) is not None:
        events["returns"] = ("refunds (value: amount)", rows)
    if "contracts" in section.behaviour and study.contracts.source is not None:
        rows = seen.contract_rows.rename(columns={"start": "day", "fee": "value"})
        events["contracts"] = ("contracts begun (value: fee)", rows[["customer", "day", "value"]].dropna(subset=["customer", "day"]))  # fmt: skip
    tables, members = seen.known if section.about else ([], None)
    about = {name: most_said(said_of(name, tables, members))[0] for name in section.about}
    return Sources(bought.to_pyarrow().to_pandas(), float(bench.minor_per_unit), events, about)


def _returns(ledger: "Ledger") -> "pd.DataFrame | None":
    """``customer, day, value`` of refunds by the day on which they were booked; None where there are none."""
    import pandas as pd

    rows = ledger.rows
    back = (rows.value_minor < 0) & rows.customer.notnull() & rows.state.isin(["used", "merged", "excluded"])
    kept = rows.reason.isnull() | rows.reason.isin(["refund", "returned_in_full"])
    found = rows.filter(back & kept).select("customer", day="booked_day", value=rows.value_minor)
    frame = found.to_pyarrow().to_pandas()
    if frame.empty:
        return None
    frame["day"] = pd.to_datetime(frame["day"])
    return frame.assign(value=-frame["value"].astype(float) / 10**ledger.minor_digits).dropna(subset=["day"])


def _whose(rows: "pd.DataFrame", bench: "Workbench", source: str) -> "pd.DataFrame":
    """``customer, day`` (and ``feature, value``) of a table beside the orders, its customers as purchases name them.

    Accounts of a declared space are named so already, or are the orders' own; an address is looked up in the customers tables.
    """
    import pandas as pd

    section = bench.study.ledger.by_name()[source]
    kept = [
        name for name in ("customer", "day", "feature", "value") if name in rows and rows[name].notna().any()
    ]
    rows = rows[kept].dropna(subset=[name for name in ("customer", "day") if name in kept])
    if not {"customer", "day"} <= set(rows):
        return pd.DataFrame(
            {"customer": pd.Series(dtype=str), "day": pd.Series(dtype="datetime64[ns]"), "feature": None}
        )
    if "value" in rows:
        rows = rows.assign(value=rows["value"].astype(float))
    if section.account_space is None and (known := _by_address(bench)) is not None:
        rows = rows.assign(address=rows["customer"].str.strip().str.lower()).drop(columns="customer")
        rows = rows.merge(known, on="address").drop(columns="address")
    return rows


def _by_address(bench: "Workbench") -> "pd.DataFrame | None":
    """``address, customer`` by the keys of customers tables; None where the study has none. An address of many is nobody's."""
    import pandas as pd

    tables, members = bench.seen.known
    found = []
    for table in tables:
        for key in (c for c in table.columns if c.startswith("key_")):
            for account in (c for c in table.columns if c.startswith("account_")):
                one = pd.DataFrame({"address": table[key], "source": account.removeprefix("account_"),
                                    "account": table[account]}).dropna()  # fmt: skip
                if members is None:
                    one = one.rename(columns={"account": "customer"})
                else:
                    one = one.merge(members, on=["source", "account"])
                found.append(one[["address", "customer"]])
    if not found:
        return None
    pairs = pd.concat(found, ignore_index=True)
    pairs["address"] = pairs["address"].astype(str).str.strip().str.lower()
    pairs = pairs.drop_duplicates()
    return pairs[~pairs["address"].duplicated(keep=False)]
