"""The stochastic processes of purchases: one file each, found by name."""

from importlib import import_module

_WHERE = {
    "bgnbd": ("betageo", "BGNBD"),
    "mbgnbd": ("betageo", "MBGNBD"),
    "paretonbd": ("paretonbd", "PARETONBD"),
    "bgbb": ("bgbb", "BGBB"),
    "gammagamma": ("gammagamma", "GAMMAGAMMA"),
    "by_frequency": ("gammagamma", "BY_FREQUENCY"),
}
NAMES = ("bgnbd", "mbgnbd", "paretonbd")
DISCRETE = ("bgbb",)  # whose times are whole numbers of opportunities
SPEND = ("gammagamma", "by_frequency")
LABELS = {
    "bgnbd": "BG/NBD",
    "mbgnbd": "MBG/NBD",
    "paretonbd": "Pareto/NBD",
    "bgbb": "BG/BB",
    "gammagamma": "Gamma-Gamma",
    "by_frequency": "Gamma-Gamma by frequency",
}


def get(name: str):
    """The process (one of `NAMES` or `DISCRETE`) or the spend model (one of `SPEND`) of that name; KeyError for another."""
    module, attribute = _WHERE[name]
    return getattr(import_module(f"clvkit.processes.{module}"), attribute)
