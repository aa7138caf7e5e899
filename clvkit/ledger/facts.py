"""What was counted while a ledger was built: what its checks are made from."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Money:
    """Amounts in one currency, in minor units with ``digits`` decimals: what came in, and where it went by state."""

    currency: str
    digits: int
    came_in: int  # sum over all rows with a readable amount, before states were given
    by_state: dict[str, int]

    def words(self, minor: int) -> str:
        """An amount for a sentence: ``USD 1,234.56``."""
        sign, minor = "-" if minor < 0 else "", abs(minor)
        whole, rest = divmod(minor, 10**self.digits)
        return f"{self.currency} {sign}{whole:,}" + (f".{rest:0{self.digits}d}" if self.digits else "")


@dataclass(frozen=True)
class Control:
    """What one source had, beside what the study says that it must have."""

    source: str
    rows: int
    money: Money
    declared_rows: int | None = None
    declared_total: Decimal | None = None
    several_currencies: bool = False


@dataclass(frozen=True)
class Facts:
    """What was counted while a ledger was built.

    ``money`` has one entry per currency, the study's own first; ``kept_value`` and ``purchase_amount`` are in minor units
    of the study's.
    """

    rows_in: int  # counted while reading, outside the engine
    rows: dict[str, int]  # by state, counted by the engine
    money: tuple[Money, ...]
    amount_unreadable: int
    kept_value: int  # of used and merged rows, in the study's currency
    purchase_lines: int  # rows that the purchases say they were made of
    purchase_amount: int
    controls: tuple[Control, ...]
    duplicate_rows: int
    rounded_rows: int
    rounding: Decimal  # what rounding to minor units added to the total, in major units
    reasons: dict[str, int]  # quarantined rows by reason
    reason_values: dict[str, list]  # some texts that broke each rule
    segment_changes: int
    overlap_rows: int = 0
    segmented: bool = False
    negative_rows: int = 0  # excluded by ledger.negative_amounts
    negative_minor: int = 0
    notes: tuple[str, ...] = ()

    @property
    def own(self) -> Money:
        """The money in the study's currency."""
        return self.money[0]
