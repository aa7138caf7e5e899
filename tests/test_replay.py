"""A run after an erasure says that it equals what was published before it, or that it does not."""

from dataclasses import replace
from datetime import date

import pytest
from toys import FINISH, write_notebook, write_study

from clvkit.chapters.ledger_replay import replay_check
from clvkit.erasure import erase
from clvkit.erasure.replay import _compared
from clvkit.publish.execute import run_study
from clvkit.publish.inspect import _replays
from clvkit.runs import Run
from clvkit.study import load_study

TIES = """from clvkit.chapters import ledger_replay
run.show(ledger_replay.replay(run))"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, one after an erasure, and one after another and a change of the source."""
    root = tmp_path_factory.mktemp("replay")
    path = write_study(root / "params")
    notebooks = write_notebook(root / "notebooks", "01_ledger", TIES, FINISH).parent
    made = []

    def run():
        done = run_study(load_study(path), notebooks=notebooks, reports=root / "reports")
        assert done.state == "complete", done.error
        made.append(Run.open(done.folder))

    def leave(account):
        erase(load_study(path), account, by="Ann", today=date.today(), reports=root / "reports")

    run()
    leave("orders:SECRET00003")
    run()
    leave("orders:SECRET00006")
    source = root / "params" / "toy.csv"
    source.write_text(source.read_text() + "SECRET00001,2023-05-05,12.50\n")
    run()
    return made


def said(run):
    return [check for check in run.checks() if check["id"] == "ledger.replay"]


@pytest.mark.slow
def test_a_replay_after_an_erasure_equals_what_was_published(runs):
    first, second = runs[:2]
    assert said(first) == [] and first.manifest["erasures"] == 0
    (check,) = said(second)
    # SECRET00003 came four times, for 13.50 each.
    assert check["status"] == "pass" and check["value"] == first.run_id
    assert check["message"].startswith(f"This run repeats run {first.run_id} after erasure 1, and equals it")
    assert "the 4 rows (USD 54.00) withheld as erased" in check["message"]
    assert "Of 150 customers 149 are left" in check["message"]
    assert second.results()["ledger"]["erased"] == {"rows": 4, "amount": {"USD": 54.0}}
    assert "erased" not in first.results()["ledger"]


@pytest.mark.slow
def test_another_source_does_not_tie(runs):
    (check,) = said(runs[2])
    assert check["status"] == "review" and check["value"] == runs[1].run_id
    assert "after erasure 2, from other source files: it does not tie" in check["message"]


@pytest.mark.slow
def test_the_terminal_says_it_of_both_runs(runs):
    assert _replays(runs[0]) == [f"repeated after an erasure by run {runs[1].run_id}, which ties to it"]
    lines = _replays(runs[1])
    assert lines[0].startswith("This run repeats run")
    assert lines[1:] == [f"repeated after an erasure by run {runs[2].run_id}, which does not tie to it"]


STATES = ("used", "merged", "later", "excluded", "quarantined")


def totals(customers, *rows, unreadable=0):
    """Totals of rows of one dollar each."""
    counted = {"in": sum(rows)} | dict(zip(STATES, rows, strict=True))
    return {"customers": customers, "rows": counted, "amount": {"USD": {k: float(v) for k, v in counted.items()}},
            "amount_unreadable": unreadable}  # fmt: skip


@pytest.mark.parametrize(
    ("now", "apart"),
    [
        (totals(9, 16, 4, 4, 6, 0), ()),
        (totals(10, 17, 4, 3, 6, 0), ("customers",)),  # the log says that a customer was erased
        (totals(8, 16, 4, 4, 6, 0), ("customers",)),
        (totals(9, 20, 0, 4, 6, 0), ()),
        (totals(9, 21, 0, 4, 5, 0), ("rows used",)),
        (totals(9, 16, 4, 5, 5, 0), ()),
        (totals(9, 15, 4, 4, 7, 0), ("rows excluded",)),
        (totals(9, 16, 3, 4, 6, 1), ("rows quarantined",)),
        (totals(9, 15, 4, 4, 6, 0), ("rows in", "rows withheld", "USD in")),
        (totals(9, 16, 4, 4, 6, 0, unreadable=1), ("rows in",)),
    ],
)
def test_what_is_not_equal_is_named(now, apart):
    """Of 30 rows 4 are withheld: three that counted, and one of after the as-of date."""
    then = totals(10, 20, 4, 5, 1, 0) | {"erased": {"rows": 1, "amount": {"USD": 1.0}}}
    gone = {"rows": 6, "amount": {"USD": 6.0}}
    found = _compared("aaaa0001", (2,), then, now, gone, theirs=1)
    assert (found.rows, found.minor) == (5, {"USD": 500})
    assert found.apart == apart, found
    check = replay_check(found)
    assert check.status == ("review" if apart else "pass")
    assert all(words in check.message for words in apart)


def test_money_that_moved_without_rows_shows():
    then, now = totals(10, 20, 4, 5, 1, 0), totals(10, 20, 4, 5, 1, 0)
    now["amount"]["USD"] |= {"used": 19.0, "merged": 5.0}
    found = _compared("aaaa0001", (1,), then, now, {"rows": 0, "amount": {}}, theirs=0)
    assert found.apart == ("USD used", "USD merged")
    assert "same 10 customers" in replay_check(replace(found, apart=())).message
