"""The crosswalk: which customer each account belongs to, kept across runs. Personal data.

Customers are random pseudonyms; nothing about a person can be computed from one.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clvkit.errors import DataError

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir

FORMAT = 1
FILE = "crosswalk.json"
MEMBERS = pa.schema(
    [
        ("source", pa.large_string()),
        ("account", pa.large_string()),
        ("customer", pa.large_string()),
        ("since", pa.date32()),
    ]
)
EVENT_COLUMNS = ("event", "from", "into", "as_of", "key")
REVIEW_COLUMNS = ("reason", "kind", "value", "accounts", "links", "customer")


def new_pseudonyms(count: int) -> pa.LargeStringArray:
    """Random customer ids: 128 bits of the system's randomness each, as 32 hexadecimal digits."""
    letters = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)
    text = letters[np.frombuffer(os.urandom(16 * count), np.uint8)]
    offsets = np.arange(0, 32 * count + 1, 32, dtype=np.int64)
    return pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))


@dataclass(frozen=True, eq=False)
class Crosswalk:
    """Accounts and the customers they belong to.

    Attributes
    ----------
    members : ``source, account, customer`` (texts), ``since`` (date: the as-of date at which the account was
        first seen); one row per account ever seen.
    events : ``event`` (``merge``, ``split``), ``from``, ``into`` (customers), ``as_of`` (date in ISO's way),
        ``key`` (the kind of key that caused a merge; ``crosswalk``: an outside one); the oldest first.
    review : what somebody should look at: ``reason`` (``shared``, ``oversize``, ``bridge``, ``conflict``),
        ``kind, value`` (masked), ``accounts`` (that have it), ``links`` (whether it links them all the same)
        and ``customer`` (one that has it).
    erased : one entry per erasure: ``number, pseudonym_sha256, accounts, as_of``.
    """

    members: pa.Table
    events: pd.DataFrame
    review: pd.DataFrame
    erased: list[dict]

    @classmethod
    def empty(cls) -> "Crosswalk":
        """A crosswalk that knows nobody."""
        events, review = (pd.DataFrame(columns=list(names)) for names in (EVENT_COLUMNS, REVIEW_COLUMNS))
        return cls(MEMBERS.empty_table(), events, review.astype({"accounts": int, "links": bool}), [])

    def find(self, source: str | None, account: str) -> str | None:
        """The customer of an account; None where there is none. Without a source, all are searched.

        Raises
        ------
        DataError : sources disagree about whom the account belongs to.
        """
        here = pc.equal(self.members["account"], account)
        if source is not None:
            here = pc.and_(here, pc.equal(self.members["source"], source))
        found = self.members.filter(here)
        customers = found["customer"].unique().to_pylist()
        if len(customers) > 1:
            sources = ", ".join(sorted(found["source"].to_pylist()))
            raise DataError(
                f"the account is one of {len(customers)} customers in different sources ({sources})",
                fix="name the source of the account",
            )
        return customers[0] if customers else None

    def accounts(self, customer: str) -> list[tuple[str, str]]:
        """The (source, account) pairs of a customer, sorted."""
        found = self.members.filter(pc.equal(self.members["customer"], customer))
        return sorted(zip(found["source"].to_pylist(), found["account"].to_pylist(), strict=True))

    def sizes(self) -> pd.DataFrame:
        """How many customers have how many accounts: ``accounts, customers``, sorted."""
        each = pc.value_counts(self.members["customer"]).field("counts")
        counts = pc.value_counts(each)
        frame = pd.DataFrame({"accounts": counts.field("values"), "customers": counts.field("counts")})
        return frame.astype(int).sort_values("accounts", ignore_index=True)

    def without(self, customer: str, *, as_of: date) -> "Crosswalk":
        """The crosswalk after a customer's erasure; what is left of them is a hash of the pseudonym."""
        gone = pc.equal(self.members["customer"], customer)
        left = self.members.filter(pc.invert(gone))
        number = len(self.erased) + 1
        entry = {
            "number": number,
            "pseudonym_sha256": hashlib.sha256(customer.encode()).hexdigest(),
            "accounts": len(self.members) - len(left),
            "as_of": as_of.isoformat(),
        }
        if not entry["accounts"]:
            raise DataError("no account belongs to the customer to erase", fix="look the account up first")
        events = self.events.replace({"from": customer, "into": customer}, f"erased {number}")
        review = self.review[self.review["customer"] != customer].reset_index(drop=True)
        return replace(self, members=left, events=events, review=review, erased=[*self.erased, entry])

    def save(self, folder: Path) -> None:
        """Write it into ``folder`` so that a reader finds the old or the new one; only the owner may read it."""
        words = {
            "events": self.events.to_dict("records"),
            "review": self.review.to_dict("records"),
            "erased": self.erased,
        }
        _write(Path(folder), lambda path: pq.write_table(self.members, path, compression="zstd"), words)

    @classmethod
    def load(cls, folder: Path) -> "Crosswalk":
        """Read the crosswalk saved in ``folder``; an empty one where none was.

        Raises
        ------
        DataError : what lies there is not a complete crosswalk of this format.
        """
        words = _words(Path(folder))
        if words is None:
            return cls.empty()
        try:
            members = pq.read_table(Path(folder) / words["members"]).cast(MEMBERS)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(error) from error
        events = pd.DataFrame(words["events"], columns=list(EVENT_COLUMNS))
        review = pd.DataFrame(words["review"], columns=list(REVIEW_COLUMNS))
        return cls(members, events, review.astype({"accounts": int, "links": bool}), words["erased"])


def save_members(con: "ibis.BaseBackend", members: "ir.Table", folder: Path) -> None:
    """Save what :func:`clvkit.ledger.identity.assign` made, out of the engine and past Python's memory.

    Events, review and erasures of the crosswalk in ``folder`` stay as they are.
    """
    words = _words(Path(folder)) or {"events": [], "review": [], "erased": []}
    plain = members.select(*MEMBERS.names)
    if con.name == "pyspark":  # Spark writes folders, not files
        _write(Path(folder), lambda path: _stream(plain, path), words)
    else:
        _write(Path(folder), lambda path: con.to_parquet(plain, path, compression="zstd"), words)


def known_members(con: "ibis.BaseBackend", folder: Path) -> "ir.Table | None":
    """The saved members as a table of the engine: ``source, account, customer, since``; None before a save."""
    words = _words(Path(folder))
    if words is None:
        return None
    path = Path(folder).resolve() / words["members"]
    if con.name == "duckdb":
        return con.read_parquet(str(path))
    if con.name == "pyspark":  # whose workers may see none of this machine's files
        from clvkit.ledger.engine import Scratch

        return Scratch(con).table("known_members", pq.read_table(path))
    return con.create_table(f"known_members_{secrets.token_hex(6)}", pq.read_table(path), temp=True)


def _stream(members: "ir.Table", path: Path) -> None:
    with pq.ParquetWriter(path, MEMBERS, compression="zstd") as writer:
        for batch in members.to_pyarrow_batches():
            writer.write_table(pa.Table.from_batches([batch]).cast(MEMBERS))


def _write(folder: Path, write_members: Callable[[Path], object], words: dict) -> None:
    """Members go under a new name; the JSON that names them is renamed last, and makes the save count."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chmod(folder, 0o700)
    token = secrets.token_hex(8)
    members, draft = folder / f"members-{token}.parquet", folder / f".{FILE}-{token}"
    try:
        write_members(members)
        os.chmod(members, 0o600)
        text = json.dumps(words | {"format": FORMAT, "members": members.name}, indent=1, allow_nan=False)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, folder / FILE)
    except BaseException:
        members.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)
        raise
    for old in folder.glob("members-*.parquet"):
        if old != members:
            old.unlink(missing_ok=True)


def _words(folder: Path) -> dict | None:
    try:
        words = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if words["format"] != FORMAT:
            raise DataError(
                f"the crosswalk was saved in format {words['format']}, this version reads {FORMAT}",
                place=FILE,
                fix="use the version that saved it",
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(error) from error
    return words


def _damaged(error: Exception) -> DataError:
    return DataError(
        f"there is a crosswalk, but it cannot be read: {error}",
        place=FILE,
        fix="restore its folder from a backup; without it, every customer gets a new pseudonym",
    )
