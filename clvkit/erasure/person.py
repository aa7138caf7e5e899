"""Who is meant: a person's pseudonyms, accounts and keys, and how a text is searched for them."""

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from clvkit.errors import DataError
from clvkit.ledger.crosswalk import Crosswalk
from clvkit.rules import listed

#: What text that named the person says instead.
ERASED = "(erased)"
#: Columns and fields that hold one customer, and those that quote a row of a source.
CUSTOMER, ACCOUNT, QUOTING = "customer", "account", ("value", "record")

_BORDER = r"[,;|\t\n\x1f\"']"


@dataclass(frozen=True)
class Person:
    """A person to erase.

    Attributes
    ----------
    names : what the column ``customer`` calls the person: pseudonyms, also those that were merged; before there is a
        crosswalk, the accounts.
    accounts : (source, account) pairs.
    keys : e-mail addresses and telephone numbers.
    split : whether the person was once held to be another one, too, so that older tables may mix the two.
    """

    names: frozenset[str]
    accounts: frozenset[tuple[str, str]] = frozenset()
    keys: frozenset[str] = frozenset()
    pseudonym: str | None = None
    split: bool = field(default=False, compare=False)

    def with_keys(self, keys: Iterable[str]) -> "Person":
        """The person with more keys; what is too short to be one person's (``n/a``, ``-``) is left out."""
        return replace(self, keys=self.keys | {key.strip() for key in keys if telling_key(key)})

    @cached_property
    def account_ids(self) -> frozenset[str]:
        """The accounts without their sources."""
        return frozenset(account for _, account in self.accounts)

    def to_json(self) -> dict[str, Any]:
        """The person as plain JSON; personal data, for the journal alone."""
        lists = {name: sorted(getattr(self, name)) for name in ("names", "accounts", "keys")}
        return lists | {"pseudonym": self.pseudonym, "split": self.split}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> "Person":
        """What `to_json` gave."""
        accounts = frozenset(tuple(pair) for pair in said["accounts"])
        sets = {"names": frozenset(said["names"]), "accounts": accounts, "keys": frozenset(said["keys"])}
        return cls(**dict(said) | sets)

    def owns(self, account: object, source: object = None) -> bool:
        """Whether an account is one of the person's; without a source, of any source."""
        return str(account) in self.account_ids if source is None else (source, str(account)) in self.accounts

    @cached_property
    def sure(self) -> re.Pattern[str]:
        """Finds what can only be the person: pseudonyms, keys, and accounts that are no mere number or word."""
        words = {name for name in {*self.names, *self.account_ids} if distinctive(name)} | self.keys
        written = {form for word in words for form in (word, json.dumps(word)[1:-1], html.escape(word))}
        return _words(written, r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])", re.IGNORECASE)

    @cached_property
    def sure_re2(self) -> str:
        """`sure` for engines that cannot look back."""
        inner = self.sure.pattern.removeprefix(r"(?<![A-Za-z0-9])").removesuffix(r"(?![A-Za-z0-9])")
        return rf"(?i)(?:^|[^A-Za-z0-9]){inner}(?:[^A-Za-z0-9]|$)"

    @cached_property
    def quoted(self) -> str:
        """Finds an account as a whole field of a source's row that a text quotes."""
        return rf"(?:^|{_BORDER})\s*{_words(self.account_ids).pattern}\s*(?:{_BORDER}|$)"

    @cached_property
    def anywhere(self) -> re.Pattern[str]:
        """Finds the person and whatever may be: also an account that is a mere number, as a word of its own."""
        words = {*self.names, *self.account_ids, *self.keys}
        return _words(words, r"(?<![\w.,+-])", r"(?![\w.,]*\w)", re.IGNORECASE)


def whom(text: str, crosswalk: Crosswalk, sources: Iterable[str]) -> Person:
    """The person that a pseudonym or ``source:account`` means.

    Raises
    ------
    DataError : it is neither, or names a source that there is not.
    """
    events = crosswalk.events.to_dict("records")
    merged = {event["from"]: event["into"] for event in events if event["event"] == "merge"}
    everybody = crosswalk.members[CUSTOMER]
    customer, source, account = text, None, None
    while customer in merged:
        customer = merged[customer]
    if not crosswalk.accounts(customer):
        source, sign, account = text.partition(":")
        known = sorted({*sources, *crosswalk.members["source"].unique().to_pylist()})
        if not sign or source not in known:
            raise DataError(
                "the customer to erase is named by pseudonym or as source:account, and this is neither",
                place="CUSTOMER",
                fix=f"write the account as SOURCE:ACCOUNT; the sources are {listed(known)}",
            )
        customer = crosswalk.find(source, account)
    if customer is None:
        names = {account} if not len(everybody) else set()
        return Person(frozenset(names), frozenset({(source, account)}))
    names = {customer}
    while more := {old for old, new in merged.items() if new in names} - names:
        names |= more
    split = any(event["event"] == "split" and {event["from"], event["into"]} & names for event in events)
    return Person(frozenset(names), frozenset(crosswalk.accounts(customer)), frozenset(), customer, split)


def distinctive(word: str) -> bool:
    """Whether a word can be nothing but an identifier: long, with letters and digits, or an address."""
    mixed = any(c.isalpha() for c in word) and any(c.isdigit() for c in word)
    return "@" in word or (len(word) >= 6 and mixed)


def telling_key(text: str) -> bool:
    """Whether a key is an e-mail address or has the digits of a telephone number."""
    return ("@" in text and len(text.strip()) >= 6) or sum(c.isdigit() for c in text) >= 7


def _words(words: Iterable[str], before: str = "", after: str = "", flags: int = 0) -> re.Pattern[str]:
    """A pattern for any of the words; one that finds nothing where there is none."""
    listed_words = sorted({word for word in words if word}, key=lambda word: (-len(word), word))
    inner = "|".join(re.escape(word) for word in listed_words) or r"\x00\x00\x00"
    return re.compile(f"{before}(?:{inner}){after}", flags)
