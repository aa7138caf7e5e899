"""The benchmarks, with the workbench alone on a small company: what they measure, keep and write up."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the benchmarks are no part of the package

environments, plan, report, results, run, stages, tables, targets, worlds = (
    import_module(f"benchmarks.{name}")
    for name in ("environments", "plan", "report", "results", "run", "stages", "tables", "targets", "worlds")
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def measure(works, data, path):
    asked = ["--sizes", "2k", "--peers", "ours", "--repeats", "1", "--work", works]
    assert run.main([*asked, "--data", str(data), "--into", str(path)]) == 0


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory):
    """A results file of the workbench on 2,000 customers."""
    path = tmp_path_factory.mktemp("results") / "2026-01-31.json"
    measure("summary,fit_bgnbd", data, path)
    return path


@pytest.mark.parametrize("world", worlds.PARAMETERS)
def test_a_world_is_the_same_every_time_and_the_beginning_of_a_larger_one(world):
    small, again, large = (worlds.orders(world, 0, n) for n in (500, 500, 700))
    pd.testing.assert_frame_equal(small, again)
    pd.testing.assert_frame_equal(small, large[large["customer_id"] <= 500].reset_index(drop=True))


@pytest.mark.parametrize("world", worlds.PARAMETERS)
def test_a_world_has_customers_days_and_amounts_as_it_says(world):
    from clvkit import processes

    n = 20_000
    log = worlds.orders(world, 0, n)
    first = log.groupby("customer_id")["date"].min()
    assert len(first) == n and first.min() == pd.Timestamp(worlds.START)
    assert log["date"].max() == pd.Timestamp(worlds.as_of("2k"))
    arrival = (first - pd.Timestamp(worlds.START)).dt.days.to_numpy() + 0.5
    # uniform arrivals: the mean of n has standard error DAYS / √(12 n)
    assert abs(arrival.mean() - worlds.DAYS / 2) < 4 * worlds.DAYS / np.sqrt(12 * n)
    ages = np.linspace(0, worlds.DAYS / 7, 200)
    expected = processes.get(world).mean(np.array(worlds.PARAMETERS[world]), ages).mean()
    counts = log.groupby("customer_id").size() - 1
    assert abs(counts.mean() - expected) < 4 * counts.std() / np.sqrt(n) + 0.01 * expected
    p, q, gamma = worlds.SPEND
    assert log["amount"].min() > 0 and log["amount"].mean() == pytest.approx(p * gamma / (q - 1), rel=0.05)


def test_files_of_a_world_hold_the_same_orders(data, measured):
    folder = worlds.make("bgnbd", "2k", "log.csv", data)
    typed, text = (
        pd.read_parquet(folder / "log.parquet"),
        pd.read_csv(folder / "log.csv", parse_dates=["date"]),
    )
    assert typed["amount"].tolist() == text["amount"].tolist() and len(typed) == len(text)
    assert pd.to_datetime(typed["date"]).is_monotonic_increasing
    drawn = worlds.orders("bgnbd", 0, 2_000)
    assert typed["amount"].sum() == pytest.approx(drawn["amount"].sum()) and len(typed) == len(drawn)
    summary = pd.read_parquet(folder / "summary.parquet")
    repeat = summary[summary["frequency"] > 0]
    spend = (repeat["monetary_value"] * repeat["frequency"]).sum()
    assert spend == pytest.approx(repeat["spend_minor"].sum() / 100)
    assert not (folder / "parts").exists()


def test_a_measurement_says_time_memory_and_what_came_out(measured):
    kept = results.load(measured)
    made = {one["work"]: one for one in kept["measurements"]}
    assert all(0 < one["seconds"] < 300 and 50 < one["peak_mb"] < 5000 for one in made.values())
    assert all(0 < one["again_seconds"] < 300 for one in made.values())
    assert made["summary"]["customers"] == 2_000
    fit = made["fit_bgnbd"]
    assert fit["judged"] == pytest.approx(fit["log_likelihood"], abs=1e-6)


@pytest.mark.slow
def test_every_work_of_ours_can_be_measured(data, tmp_path):
    left = ("first_start", "report")  # minutes; tests of their own see to both
    works = [name for name, work in plan.WORKS.items() if plan.OURS in work.who and name not in left]
    measure(",".join(works), data, tmp_path / "2026-01-31.json")
    made = {one["work"]: one for one in results.load(tmp_path / "2026-01-31.json")["measurements"]}
    assert list(made) == works and not [one for one in made.values() if "failed" in one]
    for key in ("customers", "spend", "cells"):
        assert made["summary"][key] == made["ledger_csv"][key]
    assert made["fit_gammagamma"]["judged"] == pytest.approx(
        made["fit_gammagamma"]["log_likelihood"], abs=1e-6
    )
    assert made["laplace_bgnbd"]["method"] == "laplace" and made["posterior_bgnbd"]["method"] == "nuts"
    for name in ("r", "alpha", "a", "b"):
        both = [made[work]["parameters"][name] for work in ("posterior_bgnbd", "laplace_bgnbd")]
        assert both[0] == pytest.approx(both[1], rel=0.1)
    values = [made[work] for work in ("clv_bgnbd", "clv_bgnbd_200", "clv_bgnbd_400")]
    assert all(
        one["customers"] == 2_000 and one["total"] == pytest.approx(values[0]["total"], rel=0.15)
        for one in values
    )


def test_what_was_measured_is_not_measured_again_unless_the_code_changed(measured, data, monkeypatch):
    before = measured.read_text()
    asked = ["--sizes", "2k", "--peers", "ours", "--work", "summary", "--repeats", "1", "--data", str(data), "--into", str(measured)]  # fmt: skip
    monkeypatch.setattr(run, "in_process", lambda job, limit: {"failed": "measured again"})
    assert run.main(asked) == 0 and measured.read_text() == before
    copy = measured.with_name("copy.json")
    copy.write_text(before)
    monkeypatch.setattr(results, "mark", lambda peer, folder: "other code")
    assert run.main([*asked[:-1], str(copy)]) == 0
    (one,) = results.found(results.load(copy), "summary", "ours", "2k")
    assert one["failed"] == "measured again"


def test_results_of_another_machine_are_not_added_to(tmp_path, capsys):
    kept = results.begin()
    kept["machine"]["cores"] = 1000
    results.save(tmp_path / "there.json", kept)
    assert run.main(["--into", str(tmp_path / "there.json")]) == 2
    assert "another machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("body", "limit", "words"),
    [
        ("def work(job):\n    raise ValueError('no\\n such thing')", 60, "ValueError: no such thing"),
        ("def work(job):\n    return lambda: bytearray(10**10)", 60, "MemoryError"),
        ("import os\ndef work(job):\n    return lambda: os.kill(os.getpid(), 9)", 60, "ended by signal 9: "),
        ("import time\ndef work(job):\n    return lambda: time.sleep(60)", 1, "not finished after 1 s"),
    ],
    ids=["error", "memory", "killed", "late"],
)
def test_a_failure_is_told_in_its_own_words(tmp_path, body, limit, words):
    if "bytearray" in body and sys.platform != "linux":
        pytest.skip("only Linux holds a process to its memory")
    script = tmp_path / "peer.py"
    script.write_text(body)
    job = run.job_of("work", "ours", "2k", {}, memory_gb=4) | {"script": str(script)}
    assert run.in_process(job, limit)["failed"] == words


def test_a_worker_may_print_what_it_likes(tmp_path):
    script = tmp_path / "peer.py"
    script.write_text("print('hello')\ndef work(job):\n    print('{}')\n    return lambda: {'answer': 42}")
    job = run.job_of("work", "ours", "2k", {}, memory_gb=4) | {"script": str(script)}
    assert run.in_process(job, 60)["answer"] == 42


def test_peers_never_see_the_checkout(monkeypatch):
    """Only the peer's own environment is on the path: another package has the import name of ours."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert "PYTHONPATH" not in environments.environment()
    assert run.job_of("summary", "clvkit-pypi", "2k", {}, 1)["checkout"] is None
    inside = "import sys; sys.exit(any(p and __import__('os').path.samefile(p, sys.argv[1]) for p in sys.path if __import__('os').path.exists(p)))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", inside, str(ROOT)], env=environments.environment(), cwd=ROOT
    )
    assert done.returncode == 0


@pytest.mark.parametrize("peer", [peer for peer in plan.PEERS if peer != plan.OURS])
def test_peers_are_pinned(peer):
    lines = environments.requirements(peer).read_text("utf-8").splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))
    assert environments.label(peer).endswith(("0.11.3", "1.3.0", "0.2.1"))


def test_every_work_has_a_function_of_whoever_does_it():
    for work in plan.WORKS.values():
        for peer in work.who:
            script = Path(run.job_of(work.name, peer, "2k", {}, 1)["script"]).read_text("utf-8")
            assert f"{work.name}" in script, (peer, work.name)


def test_long_ones_only_when_asked_for():
    def chosen(long):
        return {(peer, work.name) for work, peer, _ in plan.plan(plan.WORKS, plan.PEERS, ["100k"], long)}

    assert chosen(True) - chosen(False) == {("pymc-marketing", "posterior_bgnbd")}


def stored():
    """Results as they would be of a workbench and two peers, one of which fails."""
    kept = results.begin()
    fit = {
        "parameters": {"r": 0.5, "alpha": 10.0},
        "judged": -1000.0,
        "mark": "x",
        "load": 0.5,
        "peak_mb": 300.0,
        "again_seconds": 0.5,
    }

    def put(work, peer, size, seconds, **more):
        kept["measurements"].append(
            fit | {"work": work, "peer": peer, "size": size, "seconds": seconds} | more
        )

    for seconds in (1.0, 3.0, 2.0):
        put("fit_bgnbd", "ours", "100k", seconds)
    put("fit_bgnbd", "lifetimes", "100k", 5.0, judged=-1000.25, parameters={"r": 0.51, "alpha": 10.0})
    put("fit_bgnbd", "pymc-marketing", "100k", 0.0, failed="MemoryError: Unable to allocate")
    put("fit_bgnbd_weighted", "lifetimes", "100k", 1.0)
    put("fit_bgnbd", "ours", "1m", 20.0)
    sd = {"r": 0.1, "alpha": 1.0}
    nuts = {"ess_min": 2000.0, "r_hat_max": 1.0012, "divergences": 0, "sd": sd}
    put("posterior_bgnbd", "ours", "100k", 4.0, **nuts)
    put("laplace_bgnbd", "ours", "1m", 10.0, ess_min=3000.0, pareto_k=0.21, r_hat_max=None)
    sums = {"customers": 9, "purchases": 8.0, "recency_weeks": 7.0, "T_weeks": 6.0, "spend": 5.0}
    put("summary", "ours", "100k", 1.0, **sums)
    put("summary", "lifetimes", "100k", 2.0, **sums | {"spend": 5.5})
    return kept


def test_results_are_summed_up():
    kept = stored()
    made = results.summed(kept, "fit_bgnbd", "ours", "100k")
    assert (made["seconds"], made["repeats"], made["spread"]) == (2.0, 3, (1.0, 3.0))
    assert results.ratio(kept, "fit_bgnbd", "lifetimes", "100k") == 2.5
    assert results.ratio(kept, "fit_bgnbd", "lifetimes", "100k", "again_seconds") == 1
    assert results.ratio(kept, "fit_bgnbd_weighted", "lifetimes", "100k") == 0.5
    assert results.ratio(kept, "fit_bgnbd", "pymc-marketing", "100k") is None
    assert results.summed(kept, "fit_bgnbd", "clvkit-pypi", "100k") is None


def test_report_is_written_from_a_stored_file(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n\n<!-- results -->\nold\n<!-- end of results -->\n\nkept\n")
    monkeypatch.setattr(report, "README", readme)
    monkeypatch.setattr(report, "HERE", tmp_path / "x")
    path = tmp_path / "2026-01-31.json"
    results.save(path, stored())
    assert report.main([str(path)]) == 0
    text = readme.read_text("utf-8")
    assert "\nold\n" not in text and text.startswith("# Title") and text.endswith("kept\n")
    row = next(line for line in text.splitlines() if line.startswith("| BG/NBD, point fit | 100,000 |"))
    assert row.strip("| ").split(" | ")[2:] == ["2.00", "5.00 (× 2.5)", "*MemoryError*"]
    assert "| BG/NBD, point fit | 100,000 | 0.500 | 0.500 (× 1.0) |" in text  # the second time
    assert "MemoryError: Unable to allocate" in text
    assert "-0.250; r +2 %" in text and "k̂ 0.21" in text and "R-hat 1.0012" in text
    assert "lifetimes 0.11.3 has 5.5000000 spend" in text
    svg = (tmp_path / report.PICTURE).read_text("utf-8")
    assert report.main([str(path)]) == 0
    assert svg == (tmp_path / report.PICTURE).read_text("utf-8") and text == readme.read_text("utf-8")


def judged(kept, begins):
    """Measured and verdict of the promise that begins so."""
    (line,) = [line for line in targets.table(kept).splitlines() if line.startswith(f"| {begins}")]
    return line.strip("| ").replace("|  |", "| |").split(" | ")[1:]


def test_promises_are_judged_by_what_was_measured():
    kept = stored()
    posterior, fit = "BG/NBD posterior of 100 thousand by NUTS", "BG/NBD point fit, 1 million"
    assert judged(kept, posterior) == ["4.00 s, ESS 2,000, R-hat 1.0012", "kept"]
    assert judged(kept, fit)[0].startswith("not measured")
    peer = kept["measurements"][0] | {"peer": "lifetimes", "size": "1m", "seconds": 210.0}
    kept["measurements"].append(peer)
    assert judged(kept, fit) == ["10 × (lifetimes 0.11.3)", "kept"]
    peer["seconds"] = 190.0
    assert judged(kept, fit) == ["9.5 × (lifetimes 0.11.3)", "**not kept**"]
    assert judged(kept, "every fit ends") == ["the best peer is +0.0000 from ours in 3 comparisons", "kept"]
    peer["judged"] = -999.0
    assert judged(kept, "every fit ends")[1] == "**not kept**"
    (nuts,) = results.found(kept, "posterior_bgnbd", "ours", "100k")
    nuts["r_hat_max"] = 1.02
    assert judged(kept, posterior)[1] == "**not kept**"


def test_importance_sampling_is_held_against_chains():
    kept = stored()
    (nuts,) = results.found(kept, "posterior_bgnbd", "ours", "100k")
    quick = nuts | {"work": "laplace_bgnbd", "parameters": {"r": 0.505, "alpha": 10.05}}
    kept["measurements"].append(quick)
    says = "BG/NBD: importance sampling agrees with NUTS"
    assert judged(kept, says) == ["means within 0.05 sd, sd × 1.00", "kept"]
    quick["sd"] = {"r": 0.1, "alpha": 0.8}
    assert judged(kept, says) == ["means within 0.05 sd, sd × 0.80", "**not kept**"]


def test_a_fit_that_grows_faster_than_its_cells_is_told():
    kept = stored()
    small, large = (results.found(kept, "fit_bgnbd", "ours", size) for size in ("100k", "1m"))
    for one in small:
        one["cells"] = 1_000
    large[0]["cells"] = 20_000
    assert judged(kept, "a fit's time") == ["customers × 10, cells × 20, seconds × 10", "kept"]
    large[0]["cells"] = 3_000
    assert judged(kept, "a fit's time")[1] == "**not kept**"


def test_a_busy_machine_is_told():
    kept = stored()
    assert "busy" not in report.described(kept, "x.json")
    kept["measurements"][0]["load"] = 1000.0
    assert "up to 1000.0 when" in report.described(kept, "x.json")


def test_equal_summaries_are_told():
    kept = stored()
    kept["measurements"][-1]["spend"] = 5.0
    assert tables.same_summaries(kept).startswith("All summaries of one log have the same")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0, "0"), (0.01234, "0.0123"), (2, "2.00"), (34.56, "34.6"), (12345.6, "12,346")],
)
def test_numbers_keep_three_digits(value, text):
    assert tables.number(value) == text


def test_stages_come_from_a_run(tmp_path, monkeypatch, capsys):
    manifest = {"run_id": "7f3a2c00", "state": "complete", "title": "A shop", "as_of": "2026-01-31", "seconds": 12.5,
                "study": "shop", "finished": "2026-02-01T00:00:00Z",
                "notebooks": [{"notebook": "01_ledger", "seconds": 4.0, "slowest": [[3, 2.5], [4, 0.5]]},
                              {"notebook": "04_value", "seconds": 6.0, "slowest": []}]}  # fmt: skip
    folder = tmp_path / "shop" / "2026-01-31" / "7f3a2c00"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(manifest))
    readme = tmp_path / "README.md"
    readme.write_text("<!-- stages -->\n<!-- end of stages -->\n")
    monkeypatch.setattr(stages, "README", readme)
    monkeypatch.setattr(stages, "HERE", tmp_path / "x")
    monkeypatch.setenv("CLVKIT_REPORTS", str(tmp_path))
    assert stages.main(["shop@latest"]) == 0
    text = readme.read_text("utf-8")
    assert (
        "| 01_ledger | 4.00 | 2.50 |" in text
        and "| start, publish | 2.50 |  |" in text
        and "| all | 12.5 |" in text
    )
    assert stages.main([]) == 2 and "cdnow" in capsys.readouterr().err
