"""Scores of several studies on one scale: the same customers stand at the same place, whatever the region is called."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import yaml
from test_export import made, study_file

from clvkit.errors import StudyError
from clvkit.export_log import read_exports
from clvkit.standard_scores import percentiles, rank
from clvkit.study import load_study
from clvkit.workbench import Workbench


def region(root, name, **changed):
    """A run of a study of its own that extends one file, as a region does."""
    base = study_file(root / "params")
    file = root / "params" / f"{name}.yml"
    file.write_text(
        yaml.safe_dump({"extends": base.name, "name": name, "title": name} | changed, sort_keys=False)
    )
    run = made(root, file)
    bench = Workbench(
        load_study(file), study_folder=run.folder.parent.parent, folder=root / "draft", stem="04_value"
    )
    found = bench.valuation().estimates["customer_equity"].to_json()
    (run.folder / "results.json").write_text(json.dumps({"metrics": {"customer_equity": found}}))
    return run


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    root = tmp_path_factory.mktemp("regions")
    north, south = region(root, "north"), region(root, "south")
    cheap = region(root, "cheap", value={"margin": 0.15, "annual_discount_rate": 0.1})
    return root, north, south, cheap


def test_the_same_customers_and_the_same_study_have_the_same_scores(regions):
    root, north, south, _ = regions
    done = rank([north, south], str(root / "both.csv"), "mailing")
    frame = pd.read_csv(root / "both.csv", dtype={"customer": str})
    sides = [part.sort_values("clv")[["clv", "percentile", "percentile_across"]].to_numpy()
             for _, part in frame.groupby("study")]  # fmt: skip
    assert sides[0] == pytest.approx(sides[1])
    assert frame["percentile"].to_numpy() == pytest.approx(frame["percentile_across"].to_numpy(), abs=0.1)
    assert done.settings.empty and "say the same of everything" in done.text()
    assert done.regions["top_share"].tolist() == pytest.approx([0.1, 0.1], abs=0.01)


def test_what_differs_is_listed_and_the_scale_across_tells_it(regions):
    root, north, _, cheap = regions
    done = rank([north, cheap], str(root / "two.parquet"), "mailing")
    assert done.settings["key"].tolist() == ["value.margin"]
    assert done.settings.loc[0, ["north", "cheap"]].tolist() == ["0.3", "0.15"]
    assert "  value.margin: north 0.3, cheap 0.15" in done.text()
    assert done.regions["low"].isna().all() and " to USD" not in done.text()  # these fits have no posterior
    ranged = replace(done, regions=done.regions.assign(low=1e3, high=[2e4, 3e4]))
    assert "(USD 1,000 to USD 20,000)" in ranged.text()
    frame = pd.read_parquet(root / "two.parquet")
    each = frame.groupby("study")
    assert each["percentile"].mean().tolist() == pytest.approx([50, 50])
    across = each["percentile_across"].mean()
    assert across["north"] > 50 > across["cheap"]
    assert done.regions.set_index("study").loc["cheap", "equity"] == pytest.approx(
        done.regions.set_index("study").loc["north", "equity"] / 2
    )
    logged = read_exports(cheap.folder.parent.parent)[-1]
    assert logged["purpose"] == "mailing" and logged["rows"] == (frame["study"] == "cheap").sum()


def test_what_cannot_be_compared_says_why(regions, tmp_path):
    root, north, _, _ = regions
    with pytest.raises(StudyError, match="each once"):
        rank([north, north], str(root / "x.csv"), "mailing")
    with pytest.raises(StudyError, match="is not a purpose"):
        rank([north, north], str(root / "x.csv"), "maling")
    other = region(tmp_path, "other", currency="EUR")
    with pytest.raises(StudyError, match="their currency is the same"):
        rank([north, other], str(root / "x.csv"), "mailing")
    assert not (root / "x.csv").exists()


def test_equal_values_share_a_place():
    assert percentiles(pd.Series([1.0, 1.0, 3.0, 5.0])).tolist() == [25.0, 25.0, 62.5, 87.5]
