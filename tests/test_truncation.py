"""Logs that begin in the middle of the customers' lives: found, said, and fitted without the bias they bring."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest

from clvkit.customers import UNDATED, cells, customer_summary
from clvkit.errors import FitError
from clvkit.fitting import fit_process
from clvkit.histories import Histories
from clvkit.models_section import ModelsSection
from clvkit.processes import get
from clvkit.processes.window import Through
from clvkit.truncation import (
    LeftTruncationSection,
    Truncation,
    detect,
    found_words,
    judge,
    truncation_check,
)
from clvkit.truncation_fit import (
    acquisition_dates,
    after_burn_in,
    fit_windows,
    from_birth,
    in_burn_in,
    left_in,
    of_fitted,
    windows,
    with_acquired,
)

START = date(2021, 1, 1)
TRUTH = np.array([1.2, 6.0, 0.9, 15.0])  # weeks
REFUSE = LeftTruncationSection()
MODELS = ModelsSection(sampled=("gammagamma",))


def company(seed, customers, years=3.0):
    """Days of acquisition (customers,), and purchases as customer and day, in days since the start; no whole days."""
    rng, end = np.random.default_rng(seed), years * 365
    arrival = rng.random(customers) * end
    drawn = get("paretonbd").simulate(TRUTH, (end - arrival) / 7, rng)
    who = np.concatenate([np.arange(customers), drawn.customer])
    return arrival, who, np.concatenate([arrival, arrival[drawn.customer] + 7 * drawn.time])


def cut(arrival, who, when, start, end):
    """Cells of the log from ``start`` on, as `windows` makes them of days, and the same with first sightings as first."""
    seen = when >= start
    each = (
        pd.DataFrame({"who": who[seen], "when": when[seen]})
        .groupby("who")["when"]
        .agg(["min", "max", "count"])
    )
    older = arrival[each.index] < start
    first, last, count = each["min"].to_numpy(), each["max"].to_numpy(), each["count"].to_numpy()
    treated = pd.DataFrame({
        "frequency": np.where(older, count, count - 1),
        "recency_days": np.where(older, last - start, last - first),
        "T_days": np.where(older, end - start, end - first),
        "before_days": np.where(older, start - arrival[each.index], -1.0),
    }).assign(n=1)  # fmt: skip
    naive = pd.DataFrame(
        {"frequency": count - 1, "recency_days": last - first, "T_days": end - first}
    ).assign(n=1)
    return treated, naive


def bias(fit):
    return fit.mle / TRUTH - 1


def test_a_naive_fit_is_biased_and_a_treated_one_is_not():
    """Small twin: one world, within four standard errors; the naive one is beyond them in s, how alike customers leave."""
    treated, naive = cut(*company(1, 6000), 365.0, 1095.0)
    fit = fit_windows("paretonbd", treated, MODELS)
    assert np.all(np.abs(fit.mle - TRUTH) < 4 * fit.se)
    assert fit.process == "paretonbd" and fit.customers == len(treated)
    assert bias(fit_process("paretonbd", naive, MODELS))[2] < -0.06


@pytest.mark.slow
def test_bias_stays_under_three_per_cent():
    """Four worlds of 40,000 customers, the first of three years cut off: mean bias of each parameter."""
    found = {"treated": [], "naive": []}
    for seed in range(100, 104):
        treated, naive = cut(*company(seed, 40_000), 365.0, 1095.0)
        found["treated"].append(bias(fit_windows("paretonbd", treated, MODELS)))
        found["naive"].append(bias(fit_process("paretonbd", naive, MODELS)))
    mean = {name: np.mean(each, axis=0) for name, each in found.items()}
    print({name: each.round(4) for name, each in mean.items()})
    assert np.abs(mean["treated"]).max() < 0.03
    assert np.abs(mean["naive"]).max() > 0.10


def log_of(arrival, who, when, start=0):
    """The log from a day on as an Ibis table of whole days."""
    frame = pd.DataFrame({"customer": who, "day": np.floor(when).astype(int)}).drop_duplicates()
    frame = frame[frame["day"] >= start]
    frame["day"] = [START + timedelta(days=int(day)) for day in frame["day"]]
    return ibis.memtable(frame, schema={"customer": "int64", "day": "date"})


def test_a_log_cut_off_is_found_and_a_whole_one_is_not():
    whole = company(2, 6000)
    as_of = START + timedelta(days=1094)
    found = detect(log_of(*whole), as_of, REFUSE)
    assert found.verdict == "none" and truncation_check(found, REFUSE).status == "pass"
    found = detect(log_of(*whole, start=365), as_of, REFUSE)
    assert found.verdict == "truncated" and found.burst > 2 and found.repeat_ratio > 1.3
    check = truncation_check(found, REFUSE)
    assert (check.id, check.status, check.stops) == ("data.left_truncation", "fail", True)
    assert "first seen in its first four weeks" in check.message and "acquired" in check.recommendation
    for said, status in (
        ({"treatment": "burn_in", "burn_in_days": 180}, "review"),
        ({"treatment": "complete"}, "review"),
    ):
        assert truncation_check(found, LeftTruncationSection(**said)).status == status
    assert truncation_check(found, LeftTruncationSection(treatment="acquired")).stops  # no dates


def test_customers_who_only_came_in_the_first_quarter_are_no_truncation(cdnow_purchases):
    """CDNOW: nobody after March 1997, and nobody before January; from April on, all are old ones."""
    assert detect(cdnow_purchases, date(1998, 6, 30), REFUSE).verdict == "none"
    later = cdnow_purchases.filter(cdnow_purchases.day >= ibis.date(date(1997, 4, 1)))
    found = detect(later, date(1998, 6, 30), REFUSE)
    assert found.verdict == "truncated" and found.burst > 5


def test_too_short_a_log_says_nothing():
    short = log_of(np.array([0.0]), np.array([0, 0]), np.array([0.0, 5.0]))
    found = detect(short, START + timedelta(days=20), REFUSE)
    assert found.verdict == "unknown" and truncation_check(found, REFUSE).status == "info"


def test_windows_are_counted_from_the_evening_before_the_log():
    rows = [("a", 400), ("a", 420), ("b", 370), ("b", 380), ("c", 390), ("d", 365)]
    log = log_of(None, np.arange(6), np.array([day for _, day in rows], float)).mutate(
        customer=ibis._.customer
    )
    names = dict(enumerate(name for name, _ in rows))
    frame = log.to_pandas()
    frame["customer"] = frame["customer"].map(names)
    log = ibis.memtable(frame, schema={"customer": "string", "day": "date"})
    days = {"a": 100, "b": 370, "d": 364}
    acquired = pd.DataFrame(
        {
            "customer": list(days),
            "acquired": [pd.Timestamp(START) + pd.Timedelta(days=d) for d in days.values()],
        }
    )
    found, said = windows(log, acquired, START + timedelta(days=465))
    assert (said.customers, said.known, said.older, said.late) == (4, 3, 2, 0)
    # d was acquired on the evening before the log; a is 264 days older; b came in it; c has no date and is left out
    assert found.sort_values("before_days").to_numpy().tolist() == [
        [1, 10, 95, -1, 1],
        [1, 1, 101, 0, 1],
        [2, 56, 101, 264, 1],
    ]


def test_dates_of_acquisition_go_by_account_and_the_earliest_counts():
    crm = pd.DataFrame({"account_shop": ["s1", "s2", None], "account_till": ["t1", None, "t3"],
                        "registered": ["2020-05-01", "2021-01-01", "2022-02-02"], "acquired": ["2020-04-01", None, None]})  # fmt: skip
    members = pd.DataFrame(
        {"source": ["shop", "shop", "till"], "account": ["s1", "s2", "t3"], "customer": ["p", "p", "q"]}
    )
    found = acquisition_dates([crm], members).set_index("customer")["acquired"].astype(str).to_dict()
    assert found == {"p": "2020-04-01", "q": "2022-02-02"}


def test_burn_in_and_what_cannot_be_fitted():
    few = pd.DataFrame({"frequency": [1, 0], "recency_days": [3, 0], "T_days": [100, 40], "n": [2, 5]})
    assert in_burn_in(few, 30).tolist() == [True, False]
    assert after_burn_in(few, 30)["n"].tolist() == [5]
    with pytest.raises(FitError, match="leaves no customer"):
        after_burn_in(few, 100)
    older = few.assign(before_days=[10.0, 20.0], frequency=[1, 1])
    with pytest.raises(FitError, match="only paretonbd"):
        fit_windows("bgnbd", older, MODELS)


def test_what_was_found_can_be_kept(tmp_path):
    found = detect(log_of(*company(2, 2000), start=365), START + timedelta(days=1094), REFUSE)
    found.save(tmp_path)
    again = Truncation.load(tmp_path)
    assert found_words(again) == found_words(found) and again.verdict == found.verdict
    assert again.weeks.equals(found.weeks)
    short = judge(pd.DataFrame(), START, 0, REFUSE)
    short.save(tmp_path)
    assert Truncation.load(tmp_path).verdict == "unknown" and np.isnan(Truncation.load(tmp_path).burst)


def priced(log):
    return log.mutate(amount_minor=ibis.literal(100).cast("int64"), customer=log.customer.cast("string"))


def test_the_summary_sees_older_customers_through_the_window_of_the_log():
    """The same cells as `windows` makes; money in it adds up, whichever purchase counts as the first."""
    arrival, who, when = company(3, 400)
    log, as_of = priced(log_of(arrival, who, when, start=365)), START + timedelta(days=1094)
    known = pd.DataFrame({"customer": [str(k) for k in range(400)], "acquired": pd.Timestamp(START)
                          + pd.to_timedelta(np.floor(arrival), unit="D")}).iloc[:390]  # fmt: skip
    dated = with_acquired(log, known)
    summary = customer_summary(dated, as_of)
    found = cells(summary)
    assert found["spend_minor"].sum() + found["first_minor"].sum() == 100 * log.count().execute()
    assert (found["before_days"] == UNDATED).any() and (found["before_days"] >= 0).any()
    section = LeftTruncationSection(treatment="acquired")
    wanted, said = windows(log, known, as_of)
    fitted = left_in(found, section).groupby(list(wanted.columns[:-1]), as_index=False)["n"].sum()
    assert fitted.astype("int64").equals(wanted.astype("int64"))
    inside = of_fitted(summary, section).count().execute()
    assert inside == from_birth(found)["n"].sum() == said.known - said.older
    assert "before_days" not in cells(customer_summary(log, as_of))


@pytest.mark.parametrize(
    ("name", "truth"),
    [("paretonbd", TRUTH), ("bgnbd", [0.3, 4.0, 0.8, 2.5]), ("mbgnbd", [0.5, 6.0, 0.9, 2.0])],
)
def test_a_window_that_opens_at_acquisition_is_the_usual_history(name, truth):
    """At age zero the window is the life so far, under any change of rates from the as-of date on."""
    process, x = get(name), np.array([1, 3, 12])
    t_x, T = np.array([2.0, 20.0, 38.0]), np.array([30.0, 39.0, 39.0])
    seen = Through(process, np.zeros(3))
    assert seen.p_alive(truth, x, t_x, T) == pytest.approx(process.p_alive(truth, x, t_x, T), rel=1e-6)
    for rate, hazard in ((1.0, 1.0), (1.3, 1.0), (1.0, 0.6)):
        asked = x, T, 52.0, 0.002, rate, hazard
        assert seen.expected(truth, *asked, t_x=t_x) == pytest.approx(
            process.expected(truth, *asked, t_x=t_x), rel=1e-5
        )


def test_histories_ask_each_customer_the_question_that_fits():
    rows = pd.DataFrame({"frequency": [2, 0, 3, 1], "recency_days": [70, 0, 200, 30], "T_days": [365, 100, 365, 90],
                         "before_days": [400, -1, 0, -2]})  # fmt: skip
    fit = fit_process("paretonbd", cut(*company(4, 800), 0.0, 1095.0)[1], MODELS)
    who, draws = Histories.of(fit, rows), np.stack([TRUTH, TRUTH * 1.1])
    plain = Histories.of(fit, rows.drop(columns="before_days"))
    for ask in (lambda one: one.p_alive(draws), lambda one: one.expected(draws, 365.0, 0.001)):
        found, usual = ask(who), ask(plain)
        assert found.shape == (2, 4)
        assert found[:, [1, 3]] == pytest.approx(usual[:, [1, 3]])
        assert found[:, 2] == pytest.approx(usual[:, 2], rel=1e-6) and np.all(found[:, 0] != usual[:, 0])
    many = who.repeat(np.full(4, 4000))
    drawn = many.simulate_future(TRUTH, 365.0, np.random.default_rng(1)).counts(16_000).reshape(4, -1)
    mean = (who.p_alive(TRUTH[None]) * who.expected(TRUTH[None], 365.0))[0]
    assert np.all(np.abs(drawn.mean(axis=1) - mean) < 4.5 * drawn.std(axis=1) / np.sqrt(4000) + 1e-9)


def test_dates_of_acquisition_go_with_processes_that_know_them():
    acquired = {"left_truncation": LeftTruncationSection(treatment="acquired")}
    for more in ({"processes": ("paretonbd", "mbgcnbd")}, {"opportunity": "year"}):
        with pytest.raises(ValueError, match="only with bgnbd, mbgnbd and paretonbd"):
            ModelsSection(**acquired, **more)
