"""Segments that open later than the log, or that nobody can be fitted of: they have the parameters of segments in general."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import yaml

from clvkit.champion import choose
from clvkit.chapters.choice import comparison
from clvkit.processes import get
from clvkit.study import load_study
from clvkit.workbench import Workbench

START, DAYS = date(2021, 1, 1), 1095
TRUTH = np.array([1.2, 6.0, 0.9, 15.0])  # weeks


def bench(folder, shops, **models) -> Workbench:
    """A study of shops, each with its customers first seen between two days of the log."""
    rng, parts = np.random.default_rng(3), []
    for shop, (opened, closed, count) in shops.items():
        born = rng.integers(opened, closed, count)
        drawn = get("paretonbd").simulate(TRUTH, (DAYS - born) / 7, rng)
        who = np.concatenate([np.arange(count), drawn.customer])
        day = np.concatenate([born, np.floor(born[drawn.customer] + 7 * drawn.time)]).astype(int)
        frame = pd.DataFrame({"customer_id": [f"{shop}{one}" for one in who], "shop": shop})
        frame["date"] = [START + timedelta(days=int(one)) for one in day]
        parts.append(frame)
    orders = pd.concat(parts)
    orders["amount"] = np.round(20 + rng.gamma(4.0, 5.0, len(orders)), 2)
    orders.to_csv(folder / "orders.csv", index=False)
    study = {
        "name": "shops", "title": "Shops", "currency": "EUR", "as_of": "2023-12-31",
        "ledger": {"sources": {"orders": {"path": "orders.csv", "date_format": "%Y-%m-%d",
                                          "columns": {"customer": "customer_id", "date": "date", "amount": "amount", "segment": "shop"}}}},
        "models": {"processes": ["paretonbd"], "headline": "paretonbd", "sampled": [], "sampler": {"draws": 100, "chains": 2}} | models,
        "value": {"margin": 0.3, "annual_discount_rate": 0.1, "horizon_months": 12, "posterior_draws": 50},
        "backtest": {"origins": ["2022-06-30", "2023-06-30"], "posterior_draws": 50, "horizon_days": 180},
    }  # fmt: skip
    (folder / "study.yml").write_text(yaml.safe_dump(study, sort_keys=False))
    return Workbench(
        load_study(folder / "study.yml"),
        study_folder=folder / "reports",
        folder=folder / "draft",
        stem="04_value",
    )


def test_a_shop_that_opened_after_the_first_origin_is_compared_from_the_second(tmp_path):
    run = bench(tmp_path, {"old": (0, 1000, 500), "new": (650, 1000, 300)}, segments="compare")
    tried = {(one.origin.year, one.process) for one in run.backtests()}
    assert tried == {(2022, "paretonbd"), (2023, "paretonbd"), (2023, "paretonbd_by_segment")}
    choice = choose(run.candidates(), run.backtests(), run.study.models.valued_with)
    assert choice.champion == "paretonbd"  # the other was not tried where the choice is made
    row = comparison(choice).frame.set_index("label").loc["Pareto/NBD by segment"]
    assert np.isnan(row["rmse_chosen"]) and np.isfinite(row["rmse_quoted"])


@pytest.fixture(scope="module")
def burnt(tmp_path_factory):
    treatment = {"treatment": "burn_in", "burn_in_days": 200}
    shops = {"closed": (0, 150, 120), "one": (0, 1000, 500), "two": (0, 1000, 400)}
    return bench(tmp_path_factory.mktemp("burnt"), shops, segments="value", left_truncation=treatment)


def test_a_segment_wholly_in_the_burn_in_is_valued_by_what_segments_have_in_general(burnt):
    fit = burnt.fit_by_segment()
    place = fit.segments.index("closed")
    assert fit.customers_of[place] == 0
    general = fit.model.in_unit(fit.model.from_coordinates(fit.centre), fit.pooled.scale)
    np.testing.assert_allclose(fit.mle[place], general, rtol=1e-3)
    assert burnt.valuation().groups["segment"].set_index("group").loc["closed", "customers"] == 120


def test_in_a_posterior_nothing_is_known_of_it_but_how_segments_differ(burnt):
    from clvkit.segments import fit_process_by_segment, segment_names

    cells = burnt.cells()
    known = cells[cells["segment"] != "closed"]
    fit = fit_process_by_segment(
        "paretonbd", known, burnt.study.models, sample=True, known=set(segment_names(cells))
    )
    place = fit.segments.index("closed")
    spread = np.log(fit.flat).std(axis=0)
    assert (spread[place] > 1.2 * spread[fit.segments.index("one")]).all()
