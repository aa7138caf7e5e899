"""What a study leaves open about a CSV source: its encoding, and how its dates are written.

Where the files leave one answer it is taken, and noted; where they leave several, the run stops and asks.
"""

from clvkit.errors import DataError
from clvkit.ledger import detect
from clvkit.ledger.columns import find_columns, names_in_order
from clvkit.ledger.files import SourceFile
from clvkit.ledger.section import SourceSection


def settled(
    section: SourceSection, files: list[SourceFile], name: str | None
) -> tuple[SourceSection, list[str]]:
    """The section without open questions, and notes on how they were answered.

    Parameters
    ----------
    name : of the source, where there are several.

    Raises
    ------
    DataError : the files can be read in several ways, or their dates follow no known format.
    """
    key, notes = f"ledger.sources.{name}" if name else "ledger", []
    if files[0].format != "csv":
        return section.model_copy(
            update={
                "encoding": section.encoding or "utf-8",
                "date_format": section.date_format or "%Y-%m-%d",
            }
        ), notes
    if section.encoding is None:
        section = section.model_copy(update={"encoding": _encoding(files, key)})
        notes.append(
            f"{name or 'The source'} is written in {section.encoding}, which the bytes leave no doubt of"
        )
    if section.date_format is None:
        section = section.model_copy(update={"date_format": _date_format(section, files, key)})
        notes.append(
            f"Dates of {name or 'the source'} follow {section.date_format}, as every one of them does"
        )
    return section, notes


def _encoding(files: list[SourceFile], key: str) -> str:
    found = {}
    for file in files:
        best, *others = detect.encodings(file.path)
        if not best.certain:
            said = "; ".join(f"{one.encoding}: {one.why}" for one in (best, *others))
            raise DataError(
                f"{file.name} can be read in several encodings: {said}",
                place=file.name,
                fix=f"look at the words, and set {key}.encoding to the one that reads them right",
            )
        found[best.encoding] = file.name
    if set(found) <= {"ascii", "utf-8", "utf-8-sig"}:
        return "utf-8"  # plain letters alone are UTF-8 too
    if len(found) > 1:
        raise DataError(
            "files of one source are in different encodings: "
            + ", ".join(f"{file} in {encoding}" for encoding, file in found.items()),
            place=key,
            fix="make a source of each encoding, or write all files in the same",
        )
    return next(iter(found))


def _date_format(section: SourceSection, files: list[SourceFile], key: str) -> str:
    """The one format that reads the dates of all files."""
    role = next(
        r
        for r in ("date", "start", "opened", "acquired", "registered")
        if r in (*section.wanted(), "registered")
    )
    texts, column = [], section.wanted().get(role, role)
    for file in files:
        rows = detect.read_rows(file.path, section.encoding, section.delimiter).rows
        names = [n.strip() for n in rows[0]] if section.header else names_in_order(len(rows[0]))
        at = find_columns(names, section, file.name)[role]
        texts += [row[at] for row in rows[section.header :] if len(row) > at]
    dates = detect.date_formats(texts)
    if dates.ambiguous:
        asked = detect.ask(dates, column, place=files[0].name)
        raise DataError(
            asked.message,
            place=asked.place,
            fix=asked.fix.replace("ledger.date_format", f"{key}.date_format"),
        )
    if not dates.rivals:
        raise DataError(
            f"the dates in {column!r} follow no format that is known"
            + (
                f"; they look like {dates.serial}"
                if dates.serial
                else f", such as {texts[0]!r}"
                if texts
                else ""
            ),
            place=files[0].name,
            fix=f"set {key}.date_format in strptime's letters, or write the dates as 2024-06-30",
        )
    return dates.rivals[0].format
