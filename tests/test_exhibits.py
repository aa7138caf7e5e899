import pandas as pd
import pytest

from clvkit.exhibits import Figure, Table

FRAME = pd.DataFrame({"group": ["a"], "amount": [1.0]})


def test_a_figure_without_alt_text_is_refused():
    with pytest.raises(TypeError, match="alt"):
        Figure("name", None, "title", "caption", frame=FRAME)
    with pytest.raises(TypeError, match="say what it shows"):
        Figure("name", None, "title", "caption", alt=" ", frame=FRAME)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Not a name"}, "lower case letters"),
        ({"formats": {"amuont": "money"}}, "columns it does not have"),
        ({"labels": {"amuont": "USD"}}, "columns it does not have"),
        ({"formats": {"amount": "monye"}}, "formats are money"),
        ({"formats": {"amount": "count:2"}}, "formats are money"),
        ({"frame": FRAME.rename(columns={"group": "customer"})}, "no customer-level rows"),
    ],
)
def test_a_table_says_what_is_wrong_with_it(change, words):
    given = {"name": "by_group", "frame": FRAME, "title": "message", "caption": "measure"} | change
    with pytest.raises(ValueError, match=words):
        Table(**given)


@pytest.mark.parametrize(
    "wanted", ["money", "money:2", "money:thousand", "money:million:1", "number:3", "percent"]
)
def test_formats(wanted):
    assert Table("t", FRAME, "m", "c", formats={"amount": wanted}).formats["amount"] == wanted
