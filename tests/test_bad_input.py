"""Each kind of bad input, from the command line to the exit code: what is said, and that nothing is published."""

import json
from pathlib import Path

import pytest
from toys import good_notebooks, write_study

from clvkit import cli

HEADER = "customer_id,date,amount\n"
GOOD = "".join(
    f"c{number:03d},2023-0{1 + number % 2}-{1 + number % 28:02d},10.00\n"
    f"c{number:03d},2023-04-{1 + number % 28:02d},12.00\n"
    for number in range(120)
)


@pytest.fixture
def company(tmp_path, monkeypatch):
    """A function that writes a source and gives the study file over it."""

    def write(content: str | bytes, **values) -> Path:
        study = write_study(tmp_path / "params", **values)
        data = study.with_suffix(".csv")
        data.write_bytes(content if isinstance(content, bytes) else content.encode())
        return study

    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path / "reports"))
    return write


@pytest.fixture
def clv(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return ended.value.code, output.out, output.err

    return call


def published(root: Path) -> list[Path]:
    return list(root.glob("reports/*/*/*/run.json"))


REFUSED = {
    "missing column": (
        "customer_id,date,euros\nc1,2023-01-05,10\n",
        "ledger.columns.amount names 'amount', which toy.csv does not have",
    ),
    "duplicate headers": (
        "customer_id,date,amount,amount\nc1,2023-01-05,10,11\n",
        "the column 'amount' (ledger.columns.amount) stands 2 times",
    ),
    "empty file": ("", "toy.csv is empty"),
    "header only": (HEADER, "the source has a header and no rows"),
    "wrong encoding": (
        f"{HEADER}José,2023-01-05,10\n".encode("cp1252"),
        "toy.csv is not valid UTF-8: byte 0xE9 in 'José,2023-01-05,10'",
    ),
    "junk": (bytes(range(256)) * 5000, "toy.csv is not a text file"),
    "no date that can be read": (
        HEADER + GOOD.replace("-", "/"),
        "none of the source's rows (240) can be used; the most common reason (240 rows): "
        "the date does not follow ledger.date_format",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_source_that_cannot_be_read_makes_no_run(company, clv, tmp_path, command, what):
    content, words = REFUSED[what]
    code, output, errors = clv(command, company(content))
    assert code == 2, (output, errors)
    assert words in errors and "where:" in errors and "next:" in errors
    assert "Traceback" not in errors and str(tmp_path) not in errors
    assert not published(tmp_path)


QUARANTINED = {
    "unparseable date": ("c900,31.12.2022,5.00\n", "1: the date does not follow ledger.date_format"),
    "date later than the extract": (
        "c900,2023-07-02,5.00\n",
        "1: the date lies after the day the extract was made",
    ),
    "text in the amount": ("c900,2023-03-01,ten\n", "1: the amount is not a number"),
}


@pytest.mark.parametrize("what", QUARANTINED)
def test_a_row_that_cannot_be_used_is_kept_aside_and_counted(company, clv, what):
    row, words = QUARANTINED[what]
    study = company(HEADER + GOOD + row, ledger="{path: toy.csv, extracted: 2023-07-01}")
    code, output, errors = clv("check", study, "--json")
    assert code == 0, errors
    found = json.loads(output)
    rows = found["ledger"]["rows"]
    assert (rows["in"], rows["quarantined"], found["ledger"]["customers"]) == (241, 1, 120)
    assert any(words in check["message"] for check in found["checks"]), [
        c["message"] for c in found["checks"]
    ]


TOO_LITTLE = {
    "one customer": (HEADER + "c1,2023-01-05,10.00\nc1,2023-05-05,10.00\n", "There is one customer"),
    "no repeat buyer at all": (
        HEADER + "".join(line for line in GOOD.splitlines(True) if "-04-" not in line),
        "bought on a second day",
    ),
}


@pytest.mark.parametrize("what", TOO_LITTLE)
def test_check_says_that_the_data_carry_no_value(company, clv, what):
    content, words = TOO_LITTLE[what]
    code, output, errors = clv("check", company(content))
    assert (code, errors) == (1, "")
    assert words in output and "fail, stops" in output


@pytest.mark.slow
@pytest.mark.parametrize("what", TOO_LITTLE)
def test_a_run_without_a_value_is_complete_and_says_what_is_missing(company, clv, tmp_path, what):
    """The real notebooks: the past is described, no figure of value is given, and the exit code is 1."""
    content, words = TOO_LITTLE[what]
    code, output, errors = clv("run", company(content))
    assert code == 1, errors
    (manifest,) = published(tmp_path)
    assert json.loads(manifest.read_text())["state"] == "complete"
    results = json.loads((manifest.parent / "results.json").read_text())
    assert not [name for name in results["metrics"] if name.startswith(("customer_equity", "clv"))]
    assert results["fits"] == {} and results["backtests"] == []
    page = (manifest.parent / "index.html").read_text()
    assert "No value is given" in page and words in page
    assert Path(output.splitlines()[-1]) == manifest.parent / "index.html"


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_misspelt_key_is_named_with_its_line_and_the_nearest(company, clv, tmp_path, command):
    study = company(HEADER + GOOD, value="{margn: 0.3, annual_discount_rate: 0.1}")
    code, output, errors = clv(command, study)
    assert (code, output) == (2, "")
    assert "value has no key 'margn'; did you mean 'margin'?" in errors and "toy.yml: line" in errors
    assert not (tmp_path / "reports").exists()


@pytest.mark.slow
def test_a_run_over_a_few_bad_rows_is_complete(company, clv, tmp_path):
    content = HEADER + GOOD + "".join(row for row, *_ in QUARANTINED.values())
    notebooks = good_notebooks(tmp_path / "notebooks")
    study = company(content, ledger="{path: toy.csv, extracted: 2023-07-01}")
    code, _, errors = clv("run", study, "--notebooks", notebooks)
    assert code == 0, errors
    (manifest,) = published(tmp_path)
    assert json.loads((manifest.parent / "results.json").read_text())["ledger"]["rows"]["quarantined"] == 3
