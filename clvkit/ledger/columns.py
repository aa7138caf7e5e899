"""Where in a file the columns are that the study names."""

from collections.abc import Collection, Iterable

from clvkit.errors import DataError, StudyError
from clvkit.ledger.section import SourceSection
from clvkit.rules import did_you_mean, listed


def names_in_order(count: int) -> list[str]:
    """The names columns have where there is no header line: 1, 2, 3, ..."""
    return [str(i + 1) for i in range(count)]


def open_columns(names: Iterable[str], wanted: Iterable[str], banned: Collection[str]) -> list[str]:
    """The columns that may be read, in their order; capitals and spaces around a name make no difference.

    Raises
    ------
    StudyError : the study asks for a banned column.
    """
    closed = {name.strip().casefold() for name in banned}
    touched = [name for name in wanted if name.strip().casefold() in closed]
    if touched:
        raise StudyError(
            f"the study reads {listed(touched)}, which privacy.banned_columns forbids",
            place="ledger.columns",
            fix="do without the column, or take it off privacy.banned_columns",
        )
    return [name for name in names if name.strip().casefold() not in closed]


def find_columns(
    names: list[str], section: SourceSection, file: str, banned: Collection[str] = ()
) -> dict[str, int]:
    """Position of each column the study names, by its role (``customer``, ``date``, ...).

    Raises
    ------
    StudyError : the study asks for a banned column.
    DataError : a column is missing or stands twice; names the nearest column there is.
    """
    wanted = section.wanted()
    open_columns(names, wanted.values(), banned)
    for role, name in wanted.items():
        if names.count(name) > 1:
            raise DataError(
                f"the column {name!r} (ledger.columns.{role}) stands {names.count(name)} times",
                place=_header_of(file, section),
                fix="give every column its own name in the source",
            )
        if name not in names:
            raise _missing(name, role, names, section, file)
    return {role: names.index(name) for role, name in wanted.items()}


def _missing(name: str, role: str, names: list[str], section: SourceSection, file: str) -> DataError:
    message = f"ledger.columns.{role} names {name!r}, which {file} does not have"
    if not section.header:
        return DataError(
            f"{message}: it has {len(names)} columns and, without a header line, they are named "
            f"1 to {len(names)}",
            place=file,
            fix=f"set ledger.columns.{role} to the column's number",
        )
    if len(names) == 1:
        others = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}
        for sign, words in others.items():
            if sign in names[0] and sign != section.delimiter:
                return DataError(
                    f"{message}: its header is one column, {names[0][:80]!r}",
                    place=_header_of(file, section),
                    fix=f"set ledger.delimiter: {words}",
                )
    hint = did_you_mean(name, names)
    shown = ", ".join(n[:40] for n in names[:20]) + (", ..." if len(names) > 20 else "")
    return DataError(
        f"{message}; {hint} It has: {shown}" if hint else f"{message}; it has: {shown}",
        place=_header_of(file, section),
        fix=f"set ledger.columns.{role} to the right column",
    )


def _header_of(file: str, section: SourceSection) -> str:
    return f"{file}: header" if section.header else file
