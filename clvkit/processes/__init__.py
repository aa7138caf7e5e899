"""The stochastic processes of purchases: one file each, found by name."""

from importlib import import_module

_WHERE = {
    "bgnbd": ("betageo", "BGNBD"),
    "mbgnbd": ("betageo", "MBGNBD"),
    "paretonbd": ("paretonbd", "PARETONBD"),
    "gammagamma": ("gammagamma", "GAMMAGAMMA"),
    "by_frequency": ("gammagamma", "BY_FREQUENCY"),
}
NAMES = ("bgnbd", "mbgnbd", "paretonbd")
SPEND = ("gammagamma", "by_frequency")
LABELS = {
    "bgnbd": "BG/NBD",
    "mbgnbd": "MBG/NBD",
    "paretonbd": "Pareto/NBD",
    "gammagamma": "Gamma-Gamma",
    "by_frequency": "Gamma-Gamma by frequency",
}


def get(name: str):
    """The process (one of `NAMES`) or the spend model (one of `SPEND`) of that name; KeyError for another."""
    module, attribute = _WHERE[name]
    return getattr(import_module(f"clvkit.processes.{module}"), attribute)
