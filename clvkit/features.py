"""Features of customers as of one day: what purchases and other behaviour up to its end say of them, and nothing later.

Whatever is dated later than that day is refused and not left out in silence: a feature that knew the future would win every
comparison, and be worth nothing on the day it is needed.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from clvkit.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

RECENT_DAYS = (30, 90, 180)
#: Levels of a category with fewer customers than this make no feature of their own; nor do more levels than `MOST_LEVELS`.
LEAST_CUSTOMERS, MOST_LEVELS = 20, 6
HALF_DAYS = 90.0  # silence after which "how recent" has fallen to a half

PURCHASE_WORDS = {
    "frequency": "repeat purchase days",
    "T_days": "days since the first purchase",
    "silence_days": "days since the last purchase",
    "recency_share": "share of a customer's age at the last purchase",
    "silence_in_gaps": "silence in mean gaps between the customer's purchases",
    "gap_variation": "how uneven the gaps are (1 where there are fewer than two)",
    "bought_30": "purchase days in the last 30 days",
    "bought_90": "purchase days in the last 90 days",
    "bought_180": "purchase days in the last 180 days",
    "spend_total": "amount of all purchases",
    "spend_mean": "mean amount of a purchase day",
    "first_amount": "amount of the first purchase day",
    "last_amount": "amount of the last purchase day",
}


@dataclass(frozen=True)
class Variable:
    """One thing known of customers, and the columns of a feature table it makes.

    Attributes
    ----------
    columns : of `Features.values`; several for a category.
    words : what it is, for readers.
    seen : by customer, the last day on which anything of it was seen; missing for customers without any. None: undated.
    """

    name: str
    columns: tuple[str, ...]
    words: str
    seen: "pd.Series | None" = None


@dataclass(frozen=True)
class Features:
    """A feature table.

    Attributes
    ----------
    origin : the day as of which it was made.
    values : one row a customer, one column a feature; numbers, none missing.
    variables : by name, what the columns are made of; the first of them, ``base``, are purchases.
    known : by name, whether anything of the variable is known of each customer, as of the coverage of a feature.
    """

    origin: date
    values: "pd.DataFrame"
    variables: dict[str, Variable]
    base: tuple[str, ...] = ()
    known: "dict[str, pd.Series]" = field(default_factory=dict)

    @property
    def others(self) -> list[str]:
        """The variables that are not purchases."""
        return [name for name in self.variables if name not in self.base]

    def coverage(self, name: str) -> float:
        """Share of customers of whom anything of a variable is known."""
        return float(self.known[name].mean()) if name in self.known else 1.0

    def latency(self, name: str) -> float:
        """Median days from the last thing seen of a variable to the origin, of customers with any; NaN where undated."""
        import pandas as pd

        seen = self.variables[name].seen
        if seen is None or seen.dropna().empty:
            return float("nan")
        return float((pd.Timestamp(self.origin) - pd.to_datetime(seen.dropna())).dt.days.median())

    def joined(self, *others: "Features") -> "Features":
        """These features and others of the same customers and day.

        Raises
        ------
        DataError : others are of another day, or have a name that is taken.
        """
        import pandas as pd

        variables, known, frames = dict(self.variables), dict(self.known), [self.values]
        for other in others:
            if other.origin != self.origin:
                raise DataError(
                    f"features of {other.origin} cannot go with those of {self.origin}",
                    fix="make both as of the same day",
                )
            if taken := sorted(set(other.variables) & set(variables)):
                raise DataError(
                    f"the feature {taken[0]} is there already", fix="give one of the two another name"
                )
            variables |= other.variables
            known |= other.known
            frames.append(other.values.reindex(self.values.index))
        values = pd.concat(frames, axis=1) if others else self.values
        return Features(self.origin, values, variables, self.base, known)


def require_known(days: "pd.Series", origin: date, what: str) -> None:
    """Refuse anything dated after the day as of which features are made.

    Raises
    ------
    DataError : says what, its day and the origin.
    """
    import pandas as pd

    dates = pd.to_datetime(days)
    late = dates[dates > pd.Timestamp(origin) + pd.Timedelta(hours=23, minutes=59, seconds=59)]
    if len(late):
        raise DataError(
            f"{what} must not be made of anything dated after {origin}, the day it is known on "
            f"(got {late.max().date()}, and {len(late)} such rows)",
            place=what,
            fix="leave out what was not known then, or look for a date that is not the one of the event",
        )


def known_at(events: "pd.DataFrame", origin: date) -> "pd.DataFrame":
    """The rows with a ``day`` up to the end of ``origin``: what a feature of that day may be made of."""
    import pandas as pd

    return events[pd.to_datetime(events["day"]) < pd.Timestamp(origin) + pd.Timedelta(days=1)]


def purchase_features(bought: "pd.DataFrame", origin: date, minor_per_unit: float) -> Features:
    """What purchases up to ``origin`` say of each customer.

    Parameters
    ----------
    bought : one row a customer and day: ``customer, day, amount_minor``.

    Returns
    -------
    Features : of every customer in ``bought``, by `PURCHASE_WORDS`; amounts in major units, without a sign.

    Raises
    ------
    DataError : a purchase is dated after the origin, or there is none.
    """
    import pandas as pd

    require_known(bought["day"], origin, "purchase features")
    if bought.empty:
        raise DataError(f"nobody had bought by {origin}", fix="choose a later day")
    rows = bought.assign(day=pd.to_datetime(bought["day"]), amount=bought["amount_minor"] / minor_per_unit)
    rows = rows.sort_values(["customer", "day"])
    ago = (pd.Timestamp(origin) - rows["day"]).dt.days
    rows = rows.assign(ago=ago, gap=rows.groupby("customer")["day"].diff().dt.days)
    each = rows.groupby("customer")
    made = each.agg(T_days=("ago", "max"), silence_days=("ago", "min"), days=("ago", "size"), spend_total=("amount", "sum"),
                    first_amount=("amount", "first"), last_amount=("amount", "last"), gap_mean=("gap", "mean"),
                    gap_sd=("gap", "std")).astype(float)  # fmt: skip
    for days in RECENT_DAYS:
        made[f"bought_{days}"] = rows[rows["ago"] < days].groupby("customer").size()
    made["frequency"] = made["days"] - 1
    made["recency_share"] = 1 - made["silence_days"] / made["T_days"].clip(lower=1)
    usual = made["gap_mean"].fillna(made["T_days"].clip(lower=1)).clip(lower=1)
    made["silence_in_gaps"] = made["silence_days"] / usual
    made["gap_variation"] = (made["gap_sd"] / usual).fillna(1.0)
    made["spend_mean"] = made["spend_total"] / made["days"]
    values = made[list(PURCHASE_WORDS)].fillna(0.0)
    variables = {name: Variable(name, (name,), words) for name, words in PURCHASE_WORDS.items()}
    return Features(origin, values, variables, tuple(PURCHASE_WORDS))


def event_features(
    name: str, events: "pd.DataFrame", customers: "pd.Index", origin: date, words: str
) -> Features:
    """What dated events say of customers: how many, how many lately, how recent, and their latest and mean value.

    Parameters
    ----------
    events : ``customer, day`` and, where events have one, ``value``; rows without a value count as events alone.
    customers : everybody to make features of; who has no event has zeros.

    Raises
    ------
    DataError : an event is dated after the origin.
    """
    import pandas as pd

    require_known(events["day"], origin, f"the feature {name}")
    rows = events[events["customer"].isin(customers)]
    rows = rows.assign(day=pd.to_datetime(rows["day"])).sort_values(["customer", "day"], kind="stable")
    rows = rows.assign(ago=(pd.Timestamp(origin) - rows["day"]).dt.days)
    each = rows.groupby("customer")
    seen = each["day"].max().reindex(customers)
    made = {
        f"{name}_count": (each.size(), f"{words}: how many"),
        f"{name}_count_90": (rows[rows["ago"] < 90].groupby("customer").size(), f"{words}: how many in the last 90 days"),
        f"{name}_recent": (0.5 ** (each["ago"].min() / HALF_DAYS), f"{words}: how recent (1 today, a half after 90 days, 0 never)"),
    }  # fmt: skip
    if "value" in rows and rows["value"].notna().any():
        valued = rows.dropna(subset=["value"]).assign(value=lambda t: t["value"].astype(float))
        each = valued.groupby("customer")["value"]
        made |= {
            f"{name}_last": (each.last(), f"{words}: latest value"),
            f"{name}_mean": (each.mean(), f"{words}: mean value"),
        }
    columns = {one: values.reindex(customers).fillna(0.0).astype(float) for one, (values, _) in made.items()}
    return Features(
        origin,
        pd.DataFrame(columns, index=customers),
        {one: Variable(one, (one,), said, seen) for one, (_, said) in made.items()},
        known=dict.fromkeys(made, seen.notna()),
    )


def attribute_features(name: str, said: "pd.Series", customers: "pd.Index", origin: date) -> Features:
    """What is written of customers without a date, such as the channel that won them: numbers, or their frequent levels.

    It is the caller's word that it was known when they first bought; nothing in it says so.
    """
    import pandas as pd

    mine = said.reindex(customers)
    numbers = pd.to_numeric(mine, errors="coerce")
    if numbers.notna().sum() == mine.notna().sum() and numbers.nunique() > MOST_LEVELS:
        middle = numbers.median() if numbers.notna().any() else 0.0
        columns = {name: numbers.fillna(middle)}
        if numbers.isna().any():
            columns[f"{name}_missing"] = numbers.isna().astype(float)
    else:
        text = mine.astype("string").fillna("not named")
        counts = text.value_counts()
        levels = sorted(counts.index[counts >= LEAST_CUSTOMERS][:MOST_LEVELS])
        columns = {f"{name}={level}": (text == level).astype(float) for level in levels}
    frame = pd.DataFrame(columns, index=customers).astype(float)
    variable = Variable(name, tuple(frame.columns), f"{name}, as customers tables have it")
    return Features(origin, frame, {name: variable}, known={name: mine.notna()})
