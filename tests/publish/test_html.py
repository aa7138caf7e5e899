from datetime import date
from pathlib import Path

import nbformat
import pytest

from clvkit.errors import RunError
from clvkit.publish.chapters import chapter
from clvkit.publish.html import examine
from clvkit.publish.sanitise import Sanitiser
from clvkit.publish.section import months_after


def notebook(*cells):
    made = nbformat.v4.new_notebook()
    for cell in cells:
        made.cells.append(nbformat.v4.new_markdown_cell(cell) if isinstance(cell, str) else cell)
    return made


def code(*outputs):
    cell = nbformat.v4.new_code_cell("secret_code()")
    cell.outputs = list(outputs)
    return cell


def shown(html):
    return nbformat.v4.new_output(
        "display_data", {"text/html": html, "text/plain": "plain"}, metadata={"clvkit": "table"}
    )


def test_headings_move_down_and_get_ids_of_their_own():
    made = chapter(
        notebook("# Value\n\ntext", "## Who holds it", "## Who holds it", "### By `class` & more"), "04_value"
    )
    assert made.title == "Value" and made.number == "4" and made.id == "chapter-04_value"
    assert [(one.level, one.id, one.text) for one in made.headings] == [
        (2, "04_value-value", "Value"),
        (3, "04_value-who-holds-it", "Who holds it"),
        (3, "04_value-who-holds-it-2", "Who holds it"),
        (4, "04_value-by-class-more", "By class & more"),
    ]
    assert '<h2 id="04_value-value"><span class="number">4</span>Value</h2>' in made.html
    assert "<h1" not in made.html and "¶" not in made.html


def test_finance_sees_exhibits_and_prose_alone():
    streams = [
        nbformat.v4.new_output("stream", name=name, text="/home/ana/x") for name in ("stdout", "stderr")
    ]
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="bad", traceback=["Traceback of it"])
    result = nbformat.v4.new_output(
        "execute_result", {"text/html": "<table>raw</table>", "text/plain": "raw"}
    )
    book = notebook("# T", code(*streams, shown("<p>exhibit</p>"), result, error))
    html = chapter(book, "01_ledger").html
    assert "<p>exhibit</p>" in html and "This step did not finish" in html
    for hidden in ("secret_code", "/home", "raw", "Traceback", "ValueError"):
        assert hidden not in html
    audit = chapter(book, "01_ledger", "audit_chapter").html
    for seen in ("secret_code", "/home/ana/x", "<p>exhibit</p>", "raw", "Traceback of it"):
        assert seen in audit


def test_prose_for_the_notebook_alone_is_in_the_audit_file_and_not_in_the_report():
    aside = nbformat.v4.new_markdown_cell("How this notebook works.", metadata={"tags": ["notebook-only"]})
    book = notebook("# T\n\ntext", aside)
    assert "this notebook" not in chapter(book, "00_summary").html
    assert "this notebook" in chapter(book, "00_summary", "audit_chapter").html


def test_links_out_of_the_page_are_spelled_out():
    html = chapter(
        notebook("# T\n\n[paper](https://doi.org/10.1/2) <https://a.example> [in](#x)"), "01_ledger"
    ).html
    assert "paper (https://doi.org/10.1/2)" in html and '<a href="#x">in</a>' in html
    assert 'href="https' not in html


PAGE = '<html lang="en"><h1>T</h1>{}</html>'


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ('<img src="https://a.example/b.png" alt="a">', "leads out"),
        ('<img src="data:image/png;base64,AA" alt="a">', "leads out"),
        ('<a href="//a.example">a</a>', "leads out"),
        ('<a href="audit.html">a</a>', "leads out"),
        ("<script>1</script>", "<script>"),
        ('<link rel="icon" href="#a">', "<link>"),
        ('<svg><path d="M0 0"/></svg>', "no description"),
        ('<p style="background: url(https://a.example)">a</p>', "loads something"),
        ("<h1>Second</h1>", "2 main headings"),
        (f"<p>{Path.home()}/x</p>", "names a path"),
        ("<p>" + "x" * 5_000_001 + "</p>", "MB"),
    ],
)
def test_a_page_that_is_not_one_anonymous_file_is_refused(inside, words, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ana"))
    with pytest.raises(RunError, match=words):
        examine(PAGE.format(inside.replace("/root", "/home/ana")), "index.html", Sanitiser({}))


def test_a_good_page_passes():
    examine(
        PAGE.format('<svg role="img" aria-label="a"><use href="#b"/></svg><a href="#b">b</a>'),
        "index.html",
        Sanitiser({}),
    )


def test_sanitiser_names_places_in_text_and_html(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ana"))
    clean = Sanitiser({"project": Path("/home/ana/clv")})
    assert clean.text("at /home/ana/clv/params/a.yml, /home/ana/b") == "at <project>/params/a.yml, <home>/b"
    assert clean.html("<p>/home/ana/clv/x</p>") == "<p>&lt;project&gt;/x</p>"
    assert clean.value({"text/html": "/home/ana/x", "n": [1, "/home/ana/y"]}) == {
        "text/html": "&lt;home&gt;/x",
        "n": [1, "<home>/y"],
    }
    assert clean.finds("see /home/ana/clv") and not clean.finds("see params/clv")


@pytest.mark.parametrize(
    ("day", "months", "later"),
    [
        (date(1998, 6, 30), 3, date(1998, 9, 30)),
        (date(2023, 11, 30), 3, date(2024, 2, 29)),
        (date(2023, 12, 31), 12, date(2024, 12, 31)),
    ],
)
def test_use_until(day, months, later):
    assert months_after(day, months) == later
