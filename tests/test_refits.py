"""The same data read in another way: accounts apart, and without columns that may have to go."""

import csv

import pytest
import yaml
from small_company import ROOT, write_small_study

import clvkit
from clvkit.chapters import ledger_merging, privacy_words
from clvkit.errors import StudyError
from clvkit.goodness import merging_effect
from clvkit.ledger.section import LedgerSection
from clvkit.privacy_cost import PrivacyCost
from clvkit.refits import MergingEffect, PointValue, without_columns
from clvkit.study import load_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Customers of CDNOW who buy under two accounts in turn, with one e-mail address, in two segments."""
    folder = tmp_path_factory.mktemp("refits")
    file = write_small_study(folder, models={"sampled": []})
    with open(folder / "small.csv", newline="") as rows:
        lines = list(csv.DictReader(rows))
    visits: dict[str, int] = {}
    with open(folder / "small.csv", "w", newline="") as target:
        out = csv.writer(target, lineterminator="\n")
        out.writerow(["customer_id", "date", "amount", "email", "channel"])
        for line in lines:
            person = line["customer_id"]
            visits[person] = visits.get(person, 0) + 1
            channel = "web" if int(person) % 2 else "till"
            account = f"{person}-{visits[person] % 2}"
            out.writerow([account, line["date"], line["amount"], f"p{person}@example.org", channel])
    study = yaml.safe_load(file.read_text())
    study["ledger"] |= {
        "keys": {"email": "email"},
        "columns": {"segment": "channel"},
        "identity": {"keys": ["email"]},
    }
    file.write_text(yaml.safe_dump(study))
    return file, len(visits)


@pytest.fixture(scope="module")
def opened(study, tmp_path_factory):
    reports = tmp_path_factory.mktemp("reports")

    def open_with(**sections):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CLVKIT_REPORTS", str(reports))
            return clvkit.open_run(study[0], **sections)

    return open_with


@pytest.fixture(scope="module")
def effect(opened):
    return opened().merging()


def test_joining_is_what_makes_two_halves_one_customer(effect, study):
    apart, joined = effect.apart, effect.joined
    assert joined.customers == study[1] < apart.customers
    assert apart.purchases >= joined.purchases > joined.customers
    assert joined.equity > 0 and apart.equity > 0 and apart.equity != pytest.approx(joined.equity, rel=0.01)
    table = ledger_merging.table(effect, "USD")
    assert list(table.frame["customers"]) == [apart.customers, joined.customers]
    assert table.title.startswith("Joining accounts makes customer equity")
    assert (table.frame["each"] * table.frame["customers"]).tolist() == pytest.approx(
        [apart.equity, joined.equity]
    )


def test_a_process_that_needs_gaps_has_them_in_refits_by_segment_and_unmerged(opened):
    run = opened(models={"processes": ["mbgnbd", "mbgcnbd"], "headline": "mbgcnbd", "segments": "compare"})
    effect, fit = run.merging(), run.fit()
    assert effect.apart.equity > 0 and effect.joined.customers == fit.customers
    by_segment = run.fit_by_segment()
    assert by_segment.process == fit.process
    # The likelihoods are on one scale: apart, each segment describes its customers at least as well.
    assert fit.log_likelihood <= by_segment.apart + 1e-6
    table = merging_effect(run.ledger().purchases, run.study, fit)
    assert list(table["orders_of_a_day"]) == ["merged", "not merged"] and (table["expected"] > 0).all()


def test_the_joined_side_is_the_report_s_own_plug_in(effect, opened):
    """Nothing is sampled here, so the valuation is the plug-in."""
    run = opened()
    assert effect.joined.equity == pytest.approx(run.valuation().estimates["customer_equity"].mle, rel=1e-9)


def test_only_where_accounts_are_joined_and_it_is_asked_for(opened):
    assert opened(ledger={"identity": {"value_effect": False}}).merging() is None
    assert opened(ledger={"identity": {"keys": []}}).merging() is None
    assert opened(sufficiency={"min_customers": 10_000}).merging() is None
    assert opened().privacy_cost() is None and privacy_words.cost(opened()) == []
    # whether it is shown decides no row of the ledger
    assert opened(ledger={"identity": {"value_effect": False}}).key("ledger") == opened().key("ledger")


def test_saved_and_loaded(effect, tmp_path):
    effect.save(tmp_path)
    assert MergingEffect.load(tmp_path) == effect
    MergingEffect(None, effect.joined).save(tmp_path)
    assert MergingEffect.load(tmp_path).apart is None
    assert (
        "no process could be fitted"
        in ledger_merging.table(MergingEffect(None, PointValue(1, 1, 1, 1)), "USD").text
    )


def test_without_the_key_that_joins_them_values_are_those_of_the_halves(opened, effect, tmp_path):
    found = opened(privacy={"try_without": ["EMAIL"]}).privacy_cost()
    assert found.customers == effect.joined.customers  # customers as the study knows them
    assert found.segments["full"].sum() == pytest.approx(effect.joined.equity, rel=1e-9)
    assert found.segments["reduced"].sum() == pytest.approx(effect.apart.equity, rel=1e-9)
    assert 0 < found.mape and 0 < found.moved < 1 and 0 < found.rank_correlation < 1
    assert set(found.segments["segment"]) == {"web", "till"}
    table, segments = (privacy_words.measures(found, ("email",)), privacy_words.segments(found, "USD"))
    assert "Without “email”, the value of a segment is off by" in table.title
    assert segments.frame["full"].iloc[-1] == pytest.approx(effect.joined.equity)
    found.save(tmp_path)
    again = PrivacyCost.load(tmp_path)
    assert again.table().equals(found.table()) and again.segments.equals(found.segments)


def test_a_column_that_no_model_uses_costs_nothing(opened):
    found = opened(privacy={"try_without": ["channel"]}).privacy_cost()
    assert found.mape == pytest.approx(0, abs=1e-9) and found.moved == 0
    assert found.rank_correlation == pytest.approx(1)


def test_what_everything_rests_on_cannot_go():
    section = LedgerSection(path="x.csv", keys={"email": "mail"}, identity={"keys": ["email"]},
                            columns={"segment": "Channel", "order": "no"})  # fmt: skip
    left = without_columns(section, ["channel", "MAIL"])
    assert (left.columns.segment, left.columns.order, left.keys, left.identity.keys) == (None, "no", {}, ())
    assert section.columns.segment == "Channel"  # the study's own stays as it is
    with pytest.raises(StudyError, match="'amount', the amount of orders"):
        without_columns(section, ["amount"])
    several = LedgerSection(sources={"shop": {"path": "a.csv", "keys": {"email": "mail"}},
                                     "people": {"holds": "customers", "path": "b.csv", "accounts": {"shop": "id"}}},
                            identity={"keys": ["record", "email"]})  # fmt: skip
    assert without_columns(several, ["mail"]).identity.keys == ("record",)
    assert without_columns(several, ["id"]).identity.keys == ("email",)


def test_every_column_of_a_study_of_many_sources_can_be_left_out_or_is_refused():
    section = load_study(ROOT / "params" / "acme.yml").ledger
    assert "tickets" not in without_columns(section, ["email"]).sources  # whose customers are known by it
    names = {column for one in section.sources.values() for column in one.wanted().values()}
    assert len(names) > 30
    for name in sorted(names):
        try:
            left = without_columns(section, [name])
        except StudyError as error:
            assert "nothing can be valued without" in str(error)
        else:
            assert name not in {column for one in left.sources.values() for column in one.wanted().values()}
