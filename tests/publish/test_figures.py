import re
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

from clvkit.exhibits import Figure
from clvkit.publish import style
from clvkit.publish.figures import figure_html, svg


def draw(name="path"):
    with style.canvas(columns=2) as (drawing, axes):
        axes[0].plot([1, 2, 3], [3, 1, 2], **style.HISTORY)
        axes[0].fill_between([1, 2, 3], [2, 0, 1], [4, 2, 3], **style.BAND)
        axes[1].bar([1, 2], [3, 4], **style.FORECAST_BAR)
        style.label(axes[0], 3, 2, "sales <net>")
        style.percent_axis(axes[0].yaxis)
        style.thousands_axis(axes[1].yaxis)
    return Figure(
        name,
        drawing,
        "It falls & rises",
        "Sales by month. USD.",
        alt='A line with a "dip".',
        frame=pd.DataFrame({"x": [1]}),
        worry="Few months.",
    )


@pytest.fixture(scope="module")
def drawn():
    return svg(draw())


def test_the_same_drawing_gives_the_same_bytes(drawn):
    assert svg(draw()) == drawn


def test_is_well_formed_and_described(drawn):
    root = ET.fromstring(drawn)
    assert root.get("role") == "img" and root.get("aria-label") == 'A line with a "dip".'
    assert root[0].tag.endswith("title") and root[0].text == "It falls & rises"
    assert root.get("width") is None and root.get("viewBox")


def test_loads_nothing_and_dates_nothing(drawn):
    assert (
        "<style" not in drawn and "<metadata" not in drawn and "DejaVu" not in drawn and "xlink" not in drawn
    )
    assert not re.search(r"""(href|src)=["'](?!#)""", drawn)
    assert not re.search(r"url\((?!#)", drawn)


def test_ids_are_the_figures_own(drawn):
    ids = re.findall(r'\bid="([^"]+)"', drawn)
    used = {one or other for one, other in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', drawn)}
    assert len(ids) == len(set(ids)) and all(name.startswith("path-") for name in ids)
    assert used == set(ids)
    assert not set(ids) & set(re.findall(r'\bid="([^"]+)"', svg(draw("other"))))


def test_text_stays_text(drawn):
    assert "sales &lt;net&gt;" in drawn


def test_figure_html():
    html = figure_html(draw())
    assert html.startswith(
        '<figure class="clv clv-figure" id="figure-path"><p class="message">It falls &amp; rises</p>'
    )
    assert (
        "<figcaption>Sales by month. USD.</figcaption>" in html and '<p class="worry">Few months.</p>' in html
    )
