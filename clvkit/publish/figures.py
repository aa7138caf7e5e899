"""Figures as SVG: for the page, and as a file of their own."""

import io
import re
from html import escape

from clvkit.exhibits import Figure
from clvkit.publish import style
from clvkit.publish.words import inline_markdown

#: The page's own type, from whatever machine it is read on; nothing is loaded.
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

_ROOT = re.compile(r"<svg\b[^>]*>")
_VIEW = re.compile(r'viewBox="([^"]+)"')
_PREAMBLE = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>|<style\b.*?</style>", re.S
)
_REFERENCE = re.compile(r'url\(#([^)]+)\)|href="#([^"]+)"')
_ID = re.compile(r' id="([^"]*)"')
_LONG_NUMBER = re.compile(r"\d+\.\d{3,}")


def svg(figure: Figure) -> str:
    """The drawing as one ``<svg>`` element, the same bytes each time.

    It carries its message as ``<title>`` and its alt text as label. Identifiers are prefixed with the
    figure's name, so that several figures live on one page; coordinates are kept to a hundredth of a point.
    """
    buffer = io.StringIO()
    with style.house():
        figure.draw.savefig(
            buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    drawn = _PREAMBLE.sub("", buffer.getvalue()).replace("xlink:href", "href")
    drawn = drawn.replace("'DejaVu Sans', sans-serif", FONTS)
    drawn = _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), drawn)
    used = {one or other for one, other in _REFERENCE.findall(drawn)}
    drawn = _ID.sub(lambda found: f' id="{figure.name}-{found[1]}"' if found[1] in used else "", drawn)
    drawn = _REFERENCE.sub(
        lambda found: f"url(#{figure.name}-{found[1]})" if found[1] else f'href="#{figure.name}-{found[2]}"',
        drawn,
    )
    root = _ROOT.search(drawn)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{_VIEW.search(root[0])[1]}" role="img" '
        f'aria-label="{escape(figure.alt)}" style="stroke-linejoin:round;stroke-linecap:butt">'
        f"<title>{escape(_plain(figure.title))}</title>"
    )
    body = re.sub(r">\s+<", "><", drawn[root.end() :])
    return opening + re.sub(r"\s*\n\s*", " ", body).strip()


def figure_html(figure: Figure) -> str:
    """The figure as it stands in a report: its message above it, its caption and its worry below."""
    worry = f'<p class="worry">{inline_markdown(figure.worry)}</p>' if figure.worry else ""
    return (
        f'<figure class="clv clv-figure" id="figure-{figure.name}">'
        f'<p class="message">{inline_markdown(figure.title)}</p>'
        f"{svg(figure)}<figcaption>{inline_markdown(figure.caption)}</figcaption>{worry}</figure>"
    )


def _plain(text: str) -> str:
    return text.replace("*", "").replace("`", "")
