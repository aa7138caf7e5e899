"""What an erasure leaves in writing: what was done, what is to be done, and by whom."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from clvkit.ledger.quality import count


@dataclass(frozen=True)
class Certificate:
    """One erasure; holds no personal data.

    Attributes
    ----------
    person : keyed hash of the person; ``accounts`` how many accounts were theirs.
    files : ``{"file", "old", "new"}`` of every file changed, within the study's folder (sha256; null: not there).
    refit : ``{"kind", "key", "runs"}`` of every fit that the person's purchases are part of.
    runs : ids of the runs that rest on a changed artifact; what they publish stands.
    recipients : whom to notify.
    own_files : ``{"source", "file", "rows"}`` of the user's own files that still hold the person.
    unsearched : places that the search did not reach, with the reason.
    left : files of the study's folder that name the person and are of no kind that can be rewritten.
    possible : published files in which an account stands that is a mere number: it may be another number.
    notes : what else somebody should know.
    """

    number: int
    day: str
    by: str
    person: str
    accounts: int
    files: list[dict[str, Any]]
    refit: list[dict[str, Any]]
    runs: list[str]
    recipients: list[str]
    own_files: list[dict[str, Any]]
    unsearched: list[str]
    left: list[str]
    possible: list[str]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """The certificate as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> "Certificate":
        """What `to_json` gave."""
        return cls(**said)

    def text(self) -> str:
        """The certificate to be read, line by line."""
        own = [f"{one['file']} ({one['source']}, {count(one['rows'], 'row')})" for one in self.own_files]
        fits = [f"{one['kind']} {one['key'][:12]}" for one in self.refit]
        changed = sum(one["new"] is not None for one in self.files)
        parts = {
            "files of the study changed": [f"{changed:,}, and {len(self.files) - changed:,} removed"],
            "fits to make again": fits,
            "runs whose published figures stand": self.runs,
            "to notify": self.recipients,
            "your own files that still hold the person, left as they are": own,
            "not searched": self.unsearched,
            "files to deal with by hand": self.left,
            "published files with a number equal to an account, to look at": self.possible,
            "note": self.notes,
        }
        head = f"Erasure {self.number} of {self.day}, by {self.by}: {count(self.accounts, 'account')} of one person"
        lines = [f"  {title}: " + "; ".join(said) for title, said in parts.items() if said]
        return "\n".join([head, *lines])
