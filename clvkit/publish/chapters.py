"""Executed notebooks as chapters of a report: headings, contents, what finance may see."""

import copy
import re
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

from clvkit.publish.assets import TEMPLATES
from clvkit.publish.kernel import numbered

_HEADING = re.compile(r"<h([1-6])\b[^>]*>(.*?)</h\1>", re.S)
_TAG = re.compile(r"<[^>]+>")
_OUTWARD = re.compile(r'<a\b[^>]*\bhref="(?!#)([^"]*)"[^>]*>(.*?)</a>', re.S)


@dataclass(frozen=True)
class Heading:
    """A heading with the id it can be linked to by."""

    level: int
    id: str
    text: str


@dataclass(frozen=True)
class Chapter:
    """One notebook as HTML: its title, its headings in order, and its body, which starts at ``<h2>``."""

    stem: str
    title: str
    headings: tuple[Heading, ...]
    html: str

    @property
    def id(self) -> str:
        """Anchor of the chapter."""
        return f"chapter-{self.stem}"

    @property
    def number(self) -> str:
        """The number it is called by; empty for the summary."""
        return number(self.stem)


def chapter(notebook: Any, stem: str, template: str = "chapter") -> Chapter:
    """Render one executed notebook with ``templates/<template>.html.j2``.

    Headings move down one level, as the page has the only ``<h1>``, and get ids that are unique on the page.
    A link that leads out of the page is printed as its text and address: nothing in a report leaves the file.
    """
    notebook = copy.deepcopy(notebook)
    for place, cell in numbered(notebook):
        cell.metadata["number"] = place
    body = _exporter(template).from_notebook_node(notebook)[0]
    body = _OUTWARD.sub(lambda link: _spelled_out(link[1], link[2]), body)
    headings: list[Heading] = []
    body = _HEADING.sub(lambda found: _heading(found, stem, headings), body)
    title = next((heading.text for heading in headings if heading.level == 2), stem)
    return Chapter(stem, title, tuple(headings), body.strip())


def number(stem: str) -> str:
    """The number a chapter is called by: ``04_value`` → ``4``, ``04b_contracts`` → ``4b``; none for the summary and others."""
    return stem.partition("_")[0].lstrip("0") if stem[:2].isdigit() else ""


@cache
def _exporter(template: str) -> Any:
    from nbconvert.exporters import HTMLExporter

    return HTMLExporter(
        template_name="basic",
        extra_template_paths=[str(TEMPLATES)],
        template_file=f"{template}.html.j2",
        exclude_anchor_links=True,
    )


def _heading(found: re.Match, stem: str, headings: list[Heading]) -> str:
    level = min(int(found[1]) + 1, 6)
    text = unescape(_TAG.sub("", found[2])).strip()
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
    name = f"{stem}-{slug}"
    taken = {heading.id for heading in headings}
    unique = next(one for one in [name, *(f"{name}-{n}" for n in range(2, 1000))] if one not in taken)
    headings.append(Heading(level, unique, text))
    digits = number(stem) if level == 2 else ""
    mark = f'<span class="number">{digits}</span>' if digits else ""
    return f'<h{level} id="{unique}">{mark}{found[2]}</h{level}>'


def _spelled_out(address: str, text: str) -> str:
    return text if _TAG.sub("", text).strip() == address else f"{text} ({address})"


def read(folder: Path) -> dict[str, Any]:
    """The executed notebooks of a run by name."""
    import nbformat

    return {
        path.stem: nbformat.read(path, as_version=4)
        for path in sorted((folder / "notebooks").glob("*.ipynb"))
    }
