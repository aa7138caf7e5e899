"""The stochastic processes of purchases and of renewals: one file each, found by name."""

from importlib import import_module

_WHERE = {
    "bgnbd": ("betageo", "BGNBD"),
    "mbgnbd": ("betageo", "MBGNBD"),
    "paretonbd": ("paretonbd", "PARETONBD"),
    "bgbb": ("bgbb", "BGBB"),
    "gammagamma": ("gammagamma", "GAMMAGAMMA"),
    "by_frequency": ("gammagamma", "BY_FREQUENCY"),
    "sbg": ("contract", "SBG"),
    "bdw": ("contract", "BDW"),
}
NAMES = ("bgnbd", "mbgnbd", "paretonbd")
REGULAR = "mbgcnbd"  # MBG/CNBD-k: purchases more regular than at random; ``mbgcnbd-3`` is the one with k = 3
DISCRETE = ("bgbb",)  # whose times are whole numbers of opportunities
SPEND = ("gammagamma", "by_frequency")
CONTRACT = ("sbg", "bdw")  # contracts that end at a renewal


class _Labels(dict):
    """Labels by name, of MBG/CNBD-k for any k."""

    def __missing__(self, name: str) -> str:
        return get(name).label


LABELS = _Labels()
LABELS |= {
    "mbgcnbd": "MBG/CNBD-k",
    "bgnbd": "BG/NBD",
    "mbgnbd": "MBG/NBD",
    "paretonbd": "Pareto/NBD",
    "bgbb": "BG/BB",
    "gammagamma": "Gamma-Gamma",
    "by_frequency": "Gamma-Gamma by frequency",
    "sbg": "sBG",
    "bdw": "BdW",
}


def get(name: str):
    """The model of that name (one of `NAMES`, `DISCRETE`, `SPEND` or `CONTRACT`); KeyError for another.

    ``mbgcnbd-3`` is MBG/CNBD-3; ``mbgcnbd`` alone is the family, at k = 1, which is MBG/NBD.
    """
    family, _, k = name.partition("-")
    if family == REGULAR and (k or "1").isdecimal() and int(k or 1) > 0:
        from clvkit.processes.cnbd import mbgcnbd

        return mbgcnbd(int(k or 1))
    module, attribute = _WHERE[name]
    return getattr(import_module(f"clvkit.processes.{module}"), attribute)
