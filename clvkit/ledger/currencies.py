"""ISO 4217: which currencies there are, and how many digits their minor units have."""

from clvkit.errors import StudyError


def minor_digits(currency: str) -> int:
    """Digits of the currency's minor unit (ISO 4217): 2 for USD, 0 for JPY, 3 for KWD.

    Raises
    ------
    StudyError : the code is not one of ISO 4217.
    """
    from babel.numbers import get_currency_precision

    if not is_currency(currency):
        raise StudyError(
            f"currency must be an ISO 4217 code such as USD, EUR or JPY (got {currency!r})",
            place="currency",
            fix="use the three-letter code of the currency of the amounts",
        )
    return get_currency_precision(currency)


def is_currency(code: str) -> bool:
    """Whether a code is one of ISO 4217."""
    from babel import Locale

    return code in Locale("en").currencies


def digits_of(code: str | None) -> int:
    """Digits of the minor unit of a row's currency; 2 for a code that is none, as amounts of such rows are read."""
    return minor_digits(code) if code and is_currency(code) else 2
