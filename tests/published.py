"""What holds of every published run, whatever its study: the shape of its results, and what its page keeps out."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

METRIC = {"value", "low", "high", "interval", "kind", "mle", "unit"}
FIT = {"parameters", "log_likelihood", "customers", "cells", "method", "diagnostics", "seconds"}
DIAGNOSTICS = {"r_hat_max", "ess_min", "divergences", "pareto_k"}
BACKTEST = {"origin", "horizon_days", "process", "fit", "actual", "predicted", "bias", "mae", "rmse"}
BACKTEST |= {"wmape_by_segment", "coverage_90", "baselines", "verdict"}
STATES = {"in", "used", "merged", "later", "excluded", "quarantined"}
HEADLINE = {"customer_equity", "customer_equity_outcome", "customer_equity_lifetime", "purchases_outcome"}


def read_json(path: Path) -> dict:
    """A JSON file without the numbers JSON does not have."""

    def refuse(name: str):
        raise AssertionError(f"{path.name} holds {name}")

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


def check_results(results: dict, headline: frozenset = frozenset(HEADLINE)) -> None:
    """``results.json`` has every key that readers of it rely on, and intervals that say what they are."""
    assert results["schema"] == 1 and results["state"] == "complete"
    assert {"run_id", "study", "as_of", "currency", "metrics", "fits", "backtests", "ledger"} <= set(results)
    assert set(results["metrics"]) >= headline
    for name, metric in results["metrics"].items():
        for one in (metric, *metric.get("by", {}).values()):
            assert set(one) >= METRIC - ({"interval", "unit"} if one is not metric else set()), name
            _check_interval(one, name)
        assert (metric["kind"] == "outcome") == name.endswith("_outcome"), name
    for name, fit in results["fits"].items():
        check_fit(fit, name)
    for backtest in results["backtests"]:
        assert set(backtest) >= BACKTEST
        check_fit(backtest["fit"], backtest["process"])
        assert set(backtest["actual"]) >= {"transactions", "value"}
        for about in ("transactions", "value"):
            assert backtest["predicted"][about]["kind"] == "outcome"
            _check_interval(backtest["predicted"][about], backtest["process"])
        assert len(backtest["baselines"]) >= 3 and "hiatus" in backtest["baselines"]
        assert backtest["verdict"] in {"good", "fair", "poor"}
        assert sum(backtest["wmape_by_segment"].values()) > 0
    check_ledger(results["ledger"])


def _check_interval(one: dict, name: str) -> None:
    assert (one["low"] is None) == (one["high"] is None), name
    if one["low"] is not None:
        assert one["low"] <= one["value"] <= one["high"], name
        assert one["kind"] in {"expected", "outcome"}, name


def check_fit(fit: dict, name: str) -> None:
    """A fit has its estimate with standard errors, and a posterior where it says so."""
    assert set(fit) >= FIT and set(fit["diagnostics"]) >= DIAGNOSTICS, name
    assert fit["method"] in {"mle", "laplace", "nuts"}
    for one in fit["parameters"].values():
        assert set(one) >= {"mle", "se", "mean", "low", "high"} and one["mle"] > 0 and one["se"] > 0, name
        assert (one["mean"] is None) == (fit["method"] == "mle"), name


def check_ledger(ledger: dict) -> None:
    """Rows, and money in minor units, balance over the five states."""
    assert set(ledger) >= {"customers", "rows", "amount", "amount_unreadable"}
    for balance in (ledger["rows"], *ledger["amount"].values()):
        assert set(balance) == STATES
        minor = {state: round(100 * amount) for state, amount in balance.items()}
        assert minor["in"] == sum(minor.values()) - minor["in"]


class _Tags(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def check_page(text: str, customers: set[str] = frozenset()) -> None:
    """One file, that loads nothing, with labels for its pictures and without traces of machine or person."""
    tags = _Tags(text).tags
    for tag, attributes in tags:
        for name in ("src", "href", "srcset", "xlink:href", "action", "data", "poster"):
            target = attributes.get(name)
            assert target is None or target.startswith("#"), (tag, name, target[:80])
        if (tag == "svg" and attributes.get("aria-hidden") != "true") or tag == "img":
            said = attributes.get("aria-label") if tag == "svg" else attributes.get("alt")
            assert said and said.strip(), (tag, attributes)
        assert tag not in {"script", "iframe", "object", "embed", "link", "base"}, tag
        assert not re.search(r"url\((?!['\"]?#)", attributes.get("style") or ""), attributes
    assert "@import" not in text and not re.search(r"url\((?!['\"]?(#|data:))", text)
    assert [tag for tag, _ in tags].count("h1") == 1
    assert [tag for tag, _ in tags].count("svg") >= 10
    assert len(text.encode()) < 2_000_000
    assert "Traceback" not in text and not re.search(r"\w(Error|Exception):", text)
    places = (
        "/root/",
        "/home/",
        "/tmp/",
        "/usr/",
        "/opt/",
        "C:\\",
        "site-packages",
        f"{Path.cwd()}",
        f"{Path.home()}/",
    )
    assert not [place for place in places if place in text]
    assert not (set(re.findall(r"\w+", html.unescape(text))) & customers)


def without_times(text: str, run_id: str) -> str:
    """Results without what may differ between two runs: the id and how long things took."""
    text = re.sub(r'"seconds": [-+.\deE]+', '"seconds": 0', text)
    return text.replace(run_id, "RUN")


def page_without_ids(folder: Path) -> str:
    """``index.html`` without the run's id and the hash of its results, which hold the id and times."""
    digest = read_json(folder / "run.json")["files"]["results.json"]
    text = (folder / "index.html").read_text("utf-8")
    return text.replace(digest, "SHA").replace(digest[:16], "SHA").replace(folder.name, "RUN")
