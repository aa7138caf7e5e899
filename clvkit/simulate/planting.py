"""What all defects share: the exports they are planted in, and the account of what was hit."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from clvkit.errors import StudyError
from clvkit.simulate.plan import Plan
from clvkit.simulate.sheet import Sheet, minor_units

MOST_EXAMPLES = 20
# Defects of a whole month have one to themselves, counted from the last (-1), where rows are many;
# defects of single rows stay out of all of these. So each is found alone, however many are planted.
OWN_MONTH = {
    "double_load": -4,
    "overlap_extract": -6,  # and the beginning of -5
    "outage": -7,
    "wrong_encoding_file": -8,
    "wrong_delimiter_line": -9,
    "truncated_file": -10,
    "restated_month": -11,
    "late_rows": -12,
    "tax_included_mixup": -13,
    "giant_cancelled_pair": -14,
    "missing_rate": -15,
}
_KEPT_FREE = range(-15, -3)


@dataclass
class Hit:
    """What a defect did: rows of the files that are not as they were (added, changed or gone), and their money.

    ``minor``: by currency, what the defect adds to sales less refunds as far as the files' amounts can be read,
    in minor units; a line whose amount or currency it made unreadable counts as lost. ``where``: order/line or other keys of what was hit.
    """

    files: set[str] = field(default_factory=set)
    rows: int = 0
    minor: Counter = field(default_factory=Counter)
    where: list[str] = field(default_factory=list)

    def add(self, file: str, where: str = "", currency: str = "", minor: int = 0) -> None:
        """Count one row."""
        self.files.add(file)
        self.rows += 1
        if where:
            self.where.append(where)
        if currency:
            self.minor[currency] += minor


@dataclass(frozen=True)
class Defect:
    """A defect that can be planted; ``plant`` is None for behaviour, which the trade itself shows."""

    name: str
    description: str
    plant: Callable[["Exports", np.random.Generator], Hit] | None = None


PLANTED: dict[str, Defect] = {}


def defect(description: str):
    """Register a planting function under its own name."""

    def register(plant):
        PLANTED[plant.__name__] = Defect(plant.__name__, description, plant)
        return plant

    return register


@dataclass
class Exports:
    """All text files of a company, by path."""

    plan: Plan
    sheets: dict[str, Sheet]
    used: set[int] = field(default_factory=set)  # rows that a defect has hit, by identity

    def shop_months(self) -> list[str]:
        """Paths of the shop's monthly extracts, in order, without the months that defects have to themselves."""
        own = {self.month_path(k) for k in _KEPT_FREE}
        paths = [f"shop/orders_{month:%Y-%m}.csv" for month in self.plan.months]
        return [path for path in paths if path in self.sheets and path not in own]

    def month_path(self, k: int) -> str:
        """The shop's extract of a month, counted from the last."""
        return f"shop/orders_{self.plan.months[k]:%Y-%m}.csv"

    def own_month(self, name: str) -> tuple[str, Sheet]:
        """The month that a defect has to itself."""
        path = self.month_path(OWN_MONTH[name])
        if path not in self.sheets:
            raise too_small(name)
        return path, self.sheets[path]

    def refunded(self) -> set[tuple[str, str]]:
        """Order and line of every line that has a refund."""
        refunds = self.sheets["shop/refunds.csv"]
        order, line = refunds.at("order_id"), refunds.at("line_no")
        return {(row[order], row[line]) for row in refunds.rows}

    def pick(self, name: str, count: int, rng: np.random.Generator) -> list[tuple[str, Sheet, list[str]]]:
        """``count`` shop lines that no defect has hit: of known customers, without refunds, one an order."""
        refunded, pool, orders = self.refunded(), [], set()
        for path in self.shop_months():
            for row in self.sheets[path].rows:
                fresh = row[3] and id(row) not in self.used and row[0] not in orders
                if fresh and (row[0], row[1]) not in refunded:
                    orders.add(row[0])
                    pool.append((path, self.sheets[path], row))
        if len(pool) < count:
            raise too_small(name)
        chosen = [pool[i] for i in sorted(rng.choice(len(pool), count, replace=False))]
        self.used.update(id(row) for _, _, row in chosen)
        return chosen


def too_small(name: str) -> StudyError:
    """The error of a company in which a defect finds nothing to hit."""
    return StudyError(
        f"the company has too few orders to plant {name!r}",
        fix="ask for more customers, or leave the defect out",
    )


def shop_money(sheet: Sheet, rows: Iterable[list[str]]) -> Counter:
    """Net amounts of shop lines, by currency, in minor units."""
    total: Counter = Counter()
    for row in rows:
        total[row[sheet.at("currency")]] += minor_units(row[sheet.at("amount")])
    return total
