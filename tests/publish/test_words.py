import pytest

from clvkit.checks import Check
from clvkit.publish.blocks import checks_html
from clvkit.publish.words import inline_markdown, prose_html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**USD 1.10 million** of *margin*", "<strong>USD~1.10~million</strong> of <em>margin</em>"),
        ("< 0.1 % to 10 % a year, USD −3, ∞ %", "&lt;~0.1~% to 10~% a year, USD~−3, ∞~%"),
        ("100 % sure; a % of b; 3 millions", "100~% sure; a % of b; 3 millions"),
        ("a < b & c", "a &lt; b &amp; c"),
        ("$5 and $6, snake_case_name, 2 * 3 * 4", "$5 and $6, snake_case_name, 2 * 3 * 4"),
        ("see `run.json`", "see <code>run.json</code>"),
        ("[checks](#all-checks)", '<a href="#all-checks">checks</a>'),
        ("[out](https://example.org)", "[out](https://example.org)"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ],
)
def test_inline(text, html):
    assert inline_markdown(text) == html.replace("~", "\N{NO-BREAK SPACE}")


def test_prose():
    assert (
        prose_html("One.\n\n- a\n- b\n\nTwo\nlines.")
        == "<p>One.</p><ul><li>a</li><li>b</li></ul><p>Two lines.</p>"
    )


def test_checks_put_what_needs_a_reader_first():
    def check(status):
        return Check(status, f"title {status}", status, "message", recommendation="advice")

    html = checks_html([check("pass"), check("info"), check("fail"), check("review")])
    places = [html.index(f"title {status}") for status in ("fail", "review", "pass", "info")]
    assert places == sorted(places)
    assert '<span class="chip chip-fail">fail</span>' in html and '<span class="advice">advice</span>' in html
