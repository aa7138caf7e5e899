"""From source rows to a ledger: the clean, typed list of dated customer cash flows.

Only the study section is imported at once; the engine is loaded when a ledger is built.
"""

from clvkit.ledger.section import LedgerColumns, LedgerSection

__all__ = ["Ledger", "LedgerColumns", "LedgerSection", "build_ledger", "inputs"]

_LATER = {
    "Ledger": "clvkit.ledger.ledger",
    "build_ledger": "clvkit.ledger.build",
    "inputs": "clvkit.ledger.files",
}


def __getattr__(name: str):
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
