"""Words about drivers that several chapters use: levels, percentages, lists."""

from clvkit import numbers


def level_text(name: str, level: float, currency: str) -> str:
    """A driver's level as readers are told it."""
    match name:
        case "purchase_rate":
            return f"{numbers.number(level, 2)} a year"
        case "dropout_hazard":
            return f"{numbers.percent(level)} lost a year"
        case "spend":
            return numbers.money(level, currency)
        case "margin":
            return plain_percent(level)
        case "discount_rate":
            return f"{plain_percent(level)} a year"
        case _:
            return f"{numbers.number(level, 0 if abs(level - round(level)) < 0.05 else 1)} months"


def plain_percent(value: float) -> str:
    """A fraction with at most one decimal, and none it does not need: ``30 %``, ``19.3 %``."""
    rounded = round(100 * value, 1)
    return numbers.percent(rounded / 100, 0 if rounded == int(rounded) else 1)


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]


def listing(names: list[str], last: str = "and") -> str:
    """Names in a sentence: ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"
