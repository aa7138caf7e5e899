"""The templates and styles that come with the package."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")


@cache
def css(name: str) -> str:
    """One of the package's style sheets."""
    return (TEMPLATES / f"{name}.css").read_text("utf-8")


def exhibit_css() -> str:
    """The look of exhibits, which the report and JupyterLab share."""
    return css("exhibits")


@cache
def environment() -> "Environment":
    """Jinja with this package's page templates; what is filled in is escaped unless marked as HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
