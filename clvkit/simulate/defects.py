"""All defects by name, and their planting."""

from clvkit.errors import StudyError
from clvkit.rules import did_you_mean
from clvkit.simulate import planted_files, planted_rows
from clvkit.simulate.plan import BEHAVIOUR
from clvkit.simulate.planting import MOST_EXAMPLES, PLANTED, Defect, Exports, Hit

# Rows first: the files that are copied, cut or written otherwise afterwards show those defects too.
_ORDER = (planted_rows.__name__, planted_files.__name__)
DEFECTS: dict[str, Defect] = {
    name: one for module in _ORDER for name, one in PLANTED.items() if one.plant.__module__ == module
} | {name: Defect(name, words) for name, words in BEHAVIOUR.items()}


def chosen(names) -> tuple[str, ...]:
    """The defects asked for, once each, in the order they are planted in; StudyError for an unknown one."""
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in DEFECTS:
            raise StudyError(
                f"there is no defect named {name!r}",
                fix=did_you_mean(name, DEFECTS) or "python -m clvkit.simulate --list-defects shows all",
            )
    return tuple(name for name in DEFECTS if name in names)


def plant(exports: Exports) -> dict[str, Hit]:
    """Plant the company's defects into its exports; what each hit, by name.

    Each has random numbers of its own, so that what it hits depends little on which others are planted.
    """
    return {
        name: DEFECTS[name].plant(exports, exports.plan.random(f"defect {name}"))
        for name in exports.plan.defects
        if DEFECTS[name].plant
    }


def account(name: str, hit: Hit) -> dict:
    """What the truth says of one planted defect."""
    return {
        "name": name,
        "description": DEFECTS[name].description,
        "files": sorted(hit.files),
        "rows": hit.rows,
        "minor": {currency: minor for currency, minor in sorted(hit.minor.items()) if minor},
        "where": hit.where[:MOST_EXAMPLES],
    }
