import xml.etree.ElementTree as ET
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from clvkit.exhibits import Table
from clvkit.publish.tables import cell_text, table_html


@pytest.mark.parametrize(
    ("value", "wanted", "text"),
    [
        (1234.5, "money", "1,235"),  # half up, as a spreadsheet rounds, not to even
        (2.5, "count", "3"),
        (-1234.4, "money", "(1,234)"),
        (0, "money", "–"),
        (0.0004, "percent", "< 0.1 %"),
        (0.12949, "percent", "12.9 %"),
        (1_234_567, "money:thousand", "1,235"),
        (1_234_567, "money:million:2", "1.23"),
        (Decimal("2.675"), "number:2", "2.68"),
        (0.5, "number:0", "1"),
        (float("nan"), "money", "[x]"),
        (None, "text", "[x]"),
        (pd.NA, "count", "[x]"),
        ("[z]", "percent", "[z]"),
        (date(1998, 6, 30), "date", "30 June 1998"),
        (pd.Timestamp("1998-06-30"), "date", "30 June 1998"),
        (np.int64(23570), "count", "23,570"),
        ("a < b", "text", "a < b"),
    ],
)
def test_cells(value, wanted, text):
    assert cell_text(value, wanted) == text


@pytest.fixture
def page():
    frame = pd.DataFrame(
        {
            "group": ["a & b", "c", "All"],
            "n": [3, 0, 3],
            "amount": [10.5, None, 10.5],
            "day": [date(2024, 1, 1)] * 3,
            "ratio": [0.123, 0.5, 0.2],
        }
    )
    table = Table(
        "by_group",
        frame,
        "One group <holds> it",
        "Sales. USD.",
        formats={"amount": "money:2"},
        labels={"amount": "USD", "n": "Customers"},
        total=True,
        note="Read *this*.",
    )
    return ET.fromstring(table_html(table))


def texts(elements):
    return ["".join(element.itertext()) for element in elements]


def test_structure(page):
    message, measure = page.find(".//caption")
    assert (message.get("class"), message.text) == ("message", "One group <holds> it")
    assert (measure.get("class"), measure.text) == ("measure", "Sales. USD.")
    heads = page.findall(".//thead//th")
    assert texts(heads) == ["group", "Customers", "USD", "day", "ratio"]
    assert {head.get("scope") for head in heads} == {"col"}
    rows = page.findall(".//tbody/tr")
    assert [row[0].get("scope") for row in rows] == ["row"] * 3
    assert [row.get("class") for row in rows] == [None, None, "total"]
    assert [cell.get("class") for cell in rows[0]] == [None, "figure", "figure", None, "figure"]
    assert texts(rows[1]) == ["c", "0", "[x]", "1 January 2024", "0.50"]
    assert texts(rows[0])[0] == "a & b"


def test_legend_names_only_what_is_used(page):
    assert texts(page.findall("p")) == ["[x] not available. Read this."]
