"""Erasure of a person: from the crosswalk, the store and every table of a study, with a log and a certificate.

What is published stands: a run holds aggregates and no customer's row. Copies of a person's own figures go, and so
does the share in the cells that others are in as well (``n`` less one). The user's own source files are searched and
left alone; a list of keyed hashes keeps later runs from reading the person from them again.
"""

__all__ = [
    "Certificate",
    "Suppression",
    "erase",
    "explain",
    "finish_interrupted",
    "read_log",
    "suppressed",
    "withhold",
]

_ROOMS = {
    "Certificate": "certificate",
    "Suppression": "suppression",
    "erase": "carry_out",
    "explain": "log",
    "finish_interrupted": "carry_out",
    "read_log": "log",
    "suppressed": "suppression",
    "withhold": "suppression",
}


def __getattr__(name: str):
    if name in _ROOMS:
        from importlib import import_module

        return getattr(import_module(f"clvkit.erasure.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
