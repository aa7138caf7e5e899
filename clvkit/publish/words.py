"""Small pieces of prose as HTML."""

import re
from html import escape

_CODE = re.compile(r"`([^`]+)`")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")
_EMPHASIS = re.compile(r"(?<!\*)\*([^*\s](?:[^*]*[^*\s])?)\*(?!\*)")
_LINK = re.compile(r"\[([^\]]+)\]\((#[^)\s]+)\)")


_JOINED = re.compile(
    r"(?<=[\d∞]) (?=%)|(?<=\b[A-Z]{3}) (?=[−\d])|(?<=\d) (?=(?:thousand|million|billion)\b)|(?<=[<>]) (?=[−\d])"
)


def joined(text: str) -> str:
    """The text with no-break spaces between a number and its sign, currency or unit: ``12.9 %``, ``USD 1.10 million``."""
    return _JOINED.sub("\N{NO-BREAK SPACE}", text)


def inline_markdown(text: str) -> str:
    """One paragraph of Markdown as HTML: emphasis, code, and links within the page; all else is text.

    Titles, captions and facts need no more than that, and a dollar sign or an underscore stays what it is.
    """
    html = escape(joined(" ".join(text.split())), quote=False)
    html = _CODE.sub(r"<code>\1</code>", html)
    html = _STRONG.sub(r"<strong>\1</strong>", html)
    html = _EMPHASIS.sub(r"<em>\1</em>", html)
    return _LINK.sub(r'<a href="\2">\1</a>', html)


def prose_html(text: str) -> str:
    """Paragraphs and simple lists of Markdown as HTML; blank lines separate, ``- `` opens an item."""
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text.strip())]
    return "".join(
        _list(block) if block.startswith("- ") else f"<p>{inline_markdown(block)}</p>"
        for block in blocks
        if block
    )


def _list(block: str) -> str:
    items = re.split(r"(?:^|\n)- ", block)[1:]
    return "<ul>" + "".join(f"<li>{inline_markdown(item)}</li>" for item in items) + "</ul>"
