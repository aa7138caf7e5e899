"""The list of accounts that must not be read again: keyed hashes, and the test at intake."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ibis

from clvkit.ledger.engine import md5
from clvkit.runs import read_json
from clvkit.store import canonical_json, sha256_text

if TYPE_CHECKING:
    import ibis.expr.types as ir

FOLDER = ".erasure"
FILE = "suppressed.json"

#: What a withheld row no longer says; day, amount and product stay, so that rows and money balance.
WITHHELD = ("account", "customer", "order_id", "line_id", "value", "record", "email", "phone")
REASON = "erased"


@dataclass(frozen=True)
class Suppression:
    """Hashes of erased accounts under a random salt.

    Who has the salt can test whether a known account was erased, and no more; the file is for the owner alone. The
    hash is MD5 under the salt, twice (the shape of HMAC): the one keyed hash that DuckDB, PostgreSQL and Spark all
    compute, so that accounts are tested where they lie.
    """

    salt: str
    hashes: frozenset[str] = frozenset()

    @classmethod
    def load(cls, study_folder: Path) -> "Suppression":
        """The list of a study; an empty one with a new salt where there is none."""
        path = Path(study_folder) / FOLDER / FILE
        if not path.is_file():
            return cls(secrets.token_hex(32))
        said = read_json(path)
        return cls(said["salt"], frozenset(said["hashes"]))

    def text(self) -> str:
        """The file's content."""
        return canonical_json({"salt": self.salt, "hashes": sorted(self.hashes)}) + "\n"

    def hash(self, source: str, account: str) -> str:
        """Keyed hash of an account, or with an empty source of a person."""
        inner = _md5(f"{self.salt}{len(source)}:{source}{account}")
        return _md5(self.salt + inner)

    def with_accounts(self, accounts: Iterable[tuple[str, str]]) -> "Suppression":
        """The list with more accounts on it."""
        return Suppression(self.salt, self.hashes | {self.hash(*one) for one in accounts})

    def fingerprint(self) -> str | None:
        """What decides about rows, for the key of a ledger; None while nobody was erased."""
        return sha256_text(canonical_json(sorted(self.hashes))) if self.hashes else None


def suppressed(accounts: "ir.Table", suppression: Suppression) -> "ir.Table":
    """The rows of ``accounts`` (``source, account``, and further columns) whose account was erased."""
    if not suppression.hashes:
        return accounts.filter(ibis.literal(False))
    source, salt = accounts.source, ibis.literal(suppression.salt)
    named = salt + source.length().cast("string") + ":" + source + accounts.account
    return accounts.filter(md5(salt + md5(named)).isin(sorted(suppression.hashes)))


def withhold(lines: "ir.Table", suppression: Suppression) -> "ir.Table":
    """The lines, where those of an erased account name nobody any more and end as excluded for ``erased``.

    Their day, product and amount stay, so that rows and money balance as before. Columns and their types are those
    of ``lines``, which has at least ``source, account, reason, quarantined``; with ``space, order_id``, rows without an
    account that name one of their orders are theirs, too.
    """
    if not suppression.hashes:
        return lines
    known = lines.filter(lines.account.notnull()).select("source", "account").distinct()
    gone = suppressed(known, suppression).mutate(withheld=ibis.literal(True))
    both = lines.left_join(gone, ["source", "account"])
    here = both.withheld.fill_null(False)
    if {"space", "order_id"} <= set(lines.columns):
        # A refund that names nobody is the person's where it names an order of theirs.
        orders = both.filter(here & both.order_id.notnull()).select("space", "order_id").distinct()
        orders = orders.mutate(theirs=ibis.literal(True))
        both = both.select(*lines.columns, "withheld").left_join(orders, ["space", "order_id"])
        here = both.withheld.fill_null(False) | (both.account.isnull() & both.theirs.fill_null(False))
    blank = {
        name: ibis.ifelse(here, ibis.null(lines[name].type()), both[name])
        for name in WITHHELD
        if name in lines.columns
    }
    reason = ibis.ifelse(here, REASON, both.reason)
    return both.mutate(**blank, reason=reason, quarantined=both.quarantined & ~here).select(*lines.columns)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
