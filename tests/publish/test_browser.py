"""The pages in a browser that is cut off from every network."""

import base64
from itertools import pairwise

import pytest
from browser import CHROMIUM, Browser
from toys import good_notebooks, write_study

from clvkit.publish.execute import run_study
from clvkit.study import load_study

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    study = load_study(write_study(root / "params", preparer="Ana"))
    return run_study(study, notebooks=good_notebooks(root / "notebooks"), reports=root / "reports").folder


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


@pytest.mark.parametrize("page", ["index.html", "audit.html"])
def test_offline_and_without_a_complaint(browser, folder, page):
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(folder / page)
    assert browser.requests == [(folder / page).resolve().as_uri()]
    assert browser.complaints == []
    assert browser.value("document.documentElement.lang") == "en"


def test_page_one_fits_on_a_laptop(browser, folder):
    browser.open(folder / "index.html", 1440, 900)
    assert browser.value("document.querySelector('.page-one').getBoundingClientRect().bottom") < 900


@pytest.mark.parametrize("width", [1440, 1100, 800, 420])
def test_nothing_is_wider_than_the_window(browser, folder, width):
    for page in ("index.html", "audit.html"):
        browser.open(folder / page, width)
        assert browser.value("document.documentElement.scrollWidth") <= width, page


def test_every_link_leads_somewhere_and_ids_are_unique(browser, folder):
    for page in ("index.html", "audit.html"):
        browser.open(folder / page)
        assert (
            browser.value(
                "[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
                ".filter(h => !document.getElementById(h.slice(1))).join()"
            )
            == ""
        )
        assert (
            browser.value(
                "(ids => ids.filter((id, i) => ids.indexOf(id) != i).join())"
                "([...document.querySelectorAll('[id]')].map(e => e.id))"
            )
            == ""
        )


def test_what_a_screen_reader_finds(browser, folder):
    browser.open(folder / "index.html")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]

    def named(role):
        return [node["name"]["value"] for node in nodes if node.get("role", {}).get("value") == role]

    assert named("image") == ["A line with a dip."]
    assert named("navigation") == ["Contents"] and len(named("main")) == 1 and len(named("banner")) == 1
    assert {"Summary", "Checks", "Sign-off"} <= set(named("region"))
    levels = browser.value("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(
        browser.value("[...document.querySelectorAll('table')].map(t => !!t.querySelector('th[scope]'))")
    )


def test_prints_on_a4_with_the_summary_alone_on_page_one(browser, folder):
    browser.open(folder / "index.html")
    printed = base64.b64decode(
        browser.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"]
    )
    assert printed.startswith(b"%PDF") and b"/MediaBox [0 0 594" in printed
    assert 3 <= printed.count(b"/Type /Page\n") <= 6
