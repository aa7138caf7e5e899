"""The subscription company with known truth: the sample is what is written today, and what it claims of itself holds."""

import csv
import json
from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from clvkit import processes
from clvkit.contracts import contracts
from clvkit.contracts_section import ContractsSection
from clvkit.errors import StudyError
from clvkit.simulate import subscription_plan as facts
from clvkit.simulate.subscription_future import expected, realised, state
from clvkit.simulate.subscription_lives import draw_customers
from clvkit.simulate.subscription_plan import SubscriptionPlan, months_later
from clvkit.simulate.subscriptions import main, write_subscriptions

SAMPLE = Path(__file__).parents[1] / "data_samples" / "subscriptions"
START, AS_OF = date(2021, 7, 1), date(2024, 12, 31)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _read(name: str) -> list[dict[str, str]]:
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return _read("contracts.csv")


@pytest.fixture(scope="module")
def invoices() -> list[dict[str, str]]:
    return _read("invoices.csv")


@pytest.fixture(scope="module")
def truth() -> dict:
    return json.loads((SAMPLE / "truth" / "truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def people():
    """Many customers, with their lives beyond the as-of date."""
    plan = SubscriptionPlan(12_000, 3, START, AS_OF)
    return plan, draw_customers(plan)


# The sample


def test_the_sample_is_what_is_written_today(tmp_path):
    assert main([str(tmp_path)]) == 0
    assert _files(tmp_path) == _files(SAMPLE)
    assert sum(map(len, _files(SAMPLE).values())) < 1_500_000


def test_every_key_is_shared_and_every_row_counted(rows, invoices, truth):
    customers = {one["customer_no"] for one in _read("customers.csv")}
    assert {one["customer_no"] for one in rows} == customers
    assert {one["customer_no"] for one in _read("truth/customers.csv")} == customers
    assert len({one["contract_no"] for one in rows}) == len(rows)
    owner = {one["contract_no"]: one["customer_no"] for one in rows}
    assert all(owner[one["contract_no"]] == one["customer_no"] for one in invoices)
    for path, count in truth["rows"].items():
        assert len(_read(path)) == count
    assert sum(round(100 * float(one["amount"])) for one in invoices) == truth["invoiced"]


def test_invoices_follow_the_contracts(rows, invoices):
    """One at the start of each period that a contract is paid for, of its fee, and none for a trial."""
    of = defaultdict(list)
    for one in invoices:
        of[one["contract_no"]].append(one)
    for row in rows:
        months, bills = int(row["billing_months"] or 0), of[row["contract_no"]]
        if months == 0 or date.fromisoformat(row["start"]) > AS_OF:
            assert bills == []
            continue
        until = min(date.fromisoformat(row["end"]) if row["end"] else AS_OF, AS_OF)
        assert {one["amount"] for one in bills} == {row["fee"]}
        days = [date.fromisoformat(one["date"]) for one in bills]
        assert days[0].isoformat() == row["start"]
        assert days == sorted(days) and days[-1] <= until
        gaps = {(b.year - a.year) * 12 + b.month - a.month for a, b in pairwise(days)}
        assert gaps <= {months}
        assert until < months_later(days[-1], months) + timedelta(days=4)  # a 31st may fall on a 28th


def test_the_contracts_are_all_usable(rows):
    frame = (
        pd.DataFrame(rows)
        .replace("", None)
        .rename(columns={"contract_no": "contract", "customer_no": "customer"})
    )
    found = contracts(frame, ContractsSection(source="c", win_back_days=62), AS_OF)
    assert len(found.set_aside) == 0 and found.repeated == 0
    assert found.later == sum(one["status"] == "scheduled" for one in rows) > 0
    assert found.relations["announced"].notna().sum() > 20  # notices given, and trials that run
    assert (found.relations["relation"] > 1).sum() > 50  # win-backs
    assert found.on_anniversary < 0.05  # ends are last days


def test_everything_that_was_asked_for_is_in_it(rows, truth):
    assert {
        "price",
        "not used",
        "competitor",
        "moved away",
        "failed card",
        "death",
        "pause",
        "plan change",
    } == set(truth["ends"])
    assert {"runs", "announced", "paused", "trial", "left"} == set(truth["states"])
    assert {int(one["billing_months"] or 0) for one in rows} == {0, 1, 3, 12, 24}
    ahead = [one for one in rows if one["end"] > AS_OF.isoformat() and one["notice_on"]]
    assert len(ahead) > 20 and all(one["notice_on"] <= AS_OF.isoformat() for one in ahead)
    assert all(one["status"] == "active" for one in ahead)
    overlapping = Counter()
    by = defaultdict(list)
    for one in rows:
        by[one["customer_no"]].append(one)
    for held in by.values():
        held.sort(key=lambda one: one["start"])
        for a, b in pairwise(held):
            overlapping["yes"] += b["start"] <= (a["end"] or "9999")
    assert overlapping["yes"] > 30


def test_ends_that_nobody_knows_of_yet_are_not_told(rows):
    for one in rows:
        if one["end"] and not one["notice_on"] and int(one["billing_months"] or 0):
            assert one["end"] <= AS_OF.isoformat() and one["reason"] in (
                "failed card",
                "death",
                "pause",
                "plan change",
            )


# The truth


def test_what_is_expected_is_what_comes_on_average(people):
    """Payments after the as-of date against the expectation at each customer's own chances: z below 3.3 (0.1 %)."""
    plan, all_of_them = people
    held = [
        (who, rows, one) for who in all_of_them for rows in who.subscriptions if (one := state(plan, rows))
    ]
    ahead = expected(plan, [(who, one) for who, _, one in held])
    came = np.array([realised(plan, rows, one) for _, rows, one in held])
    names = np.array([one.row.tariff.name if one.row else "" for _, _, one in held])
    for name in ["", *np.unique(names[names != ""])]:
        chosen = names == name if name else np.ones(len(held), bool)
        off = (came - ahead)[chosen]
        assert abs(off.sum()) < 3.3 * np.sqrt((off**2).sum()), name
    off = (came - ahead).sum() / ahead.sum()
    assert abs(off) < 0.03


def test_ends_announced_bring_nothing_more(people):
    plan, all_of_them = people
    for who in all_of_them:
        for rows in who.subscriptions:
            one = state(plan, rows)
            if one and one.name == "announced":
                assert realised(plan, rows, one) == 0


@pytest.mark.parametrize(
    ("attribute", "value"), [("channel", "social"), ("channel", "referral"), ("offer", "discount")]
)
def test_multipliers_act_on_the_hazard(people, attribute, value):
    """At first monthly renewals: the expected share leaves by choice, among those with the value; exact test, 0.1 %."""
    _, all_of_them = people
    chances, left = [], 0
    for who in all_of_them:
        row = next((row for row in who.subscriptions[0] if row.tariff.months == 1 and row.offset == 0), None)
        if row is None or getattr(who, attribute) != value or row.start > date(2027, 1, 1):
            continue
        if row.reason == "death" and len(row.paid) == 1:
            continue
        chances.append(who.chance(1))
        left += row.reason in facts.REASONS and len(row.paid) == 1
    base = np.mean([float(facts.chance(p, 1.0, 1)) for p in np.linspace(0.0005, 0.9995, 1000)])
    assert np.mean(chances) / base == pytest.approx(facts.MULTIPLIERS[attribute][value], rel=0.3)
    assert binomtest(left, len(chances), float(np.mean(chances))).pvalue > 0.001


def test_chances_at_reference_are_the_beta_of_the_truth():
    """sBG of customers whom nothing moves: shares that make k renewals, by quadrature of the places."""
    places = (np.arange(20_000) + 0.5) / 20_000
    for months, parameters in facts.CHANCES.items():
        stay = 1 - facts.chance(places, 1.0, months)
        want = processes.get("sbg").survival(np.array(parameters), [1, 4, 12])
        np.testing.assert_allclose([(stay**k).mean() for k in (1, 4, 12)], want, atol=1e-4)


def test_another_seed_is_another_company(tmp_path):
    one = write_subscriptions(tmp_path / "a", customers=200, seed=1)
    assert write_subscriptions(tmp_path / "b", customers=200, seed=1) == one
    assert _files(tmp_path / "a") == _files(tmp_path / "b")
    assert write_subscriptions(tmp_path / "c", customers=200, seed=2).invoiced != one.invoiced


def test_left_truncation_leaves_out_what_ended_before(tmp_path):
    since = date(2023, 1, 1)
    write_subscriptions(tmp_path / "all", customers=600, seed=4)
    truth = write_subscriptions(tmp_path / "late", customers=600, seed=4, observed_from=since)
    whole, seen = (pd.read_csv(tmp_path / name / "contracts.csv") for name in ("all", "late"))
    kept = whole[whole["end"].isna() | (whole["end"] >= since.isoformat())]
    same = ["customer_no", "plan", "start", "end", "fee"]
    pd.testing.assert_frame_equal(seen[same], kept[same].reset_index(drop=True))
    assert 0 < len(seen) < len(whole) and (seen["start"] < since.isoformat()).any()
    bills = pd.read_csv(tmp_path / "late" / "invoices.csv")
    assert bills["date"].min() >= since.isoformat()
    assert set(pd.read_csv(tmp_path / "late" / "customers.csv")["customer_no"]) == set(seen["customer_no"])
    assert truth.customers < 600


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"customers": 50}, "customers must be at least 100 .got 50."),
        ({"as_of": date(2022, 1, 1)}, "at least 12 months .got 2021-07-01 to 2022-01-01."),
        ({"observed_from": date(2025, 2, 1)}, "observed_from must lie between 2021-07-01 and 2024-12-31"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path, asked, words):
    with pytest.raises(StudyError, match=words):
        write_subscriptions(tmp_path, **asked)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main([str(tmp_path), "--customers", "5"]) == 2
    assert "at least 100" in capsys.readouterr().err
