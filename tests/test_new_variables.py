"""Trials of new variables: noise is rarely accepted however often it is tried, and nobody edits a card."""

import json
from dataclasses import asdict, replace
from datetime import date

import pytest
from feature_worlds import END, ORIGIN, world
from test_segment_rates import judge, worlds_for

from clvkit.chained_log import read_chained
from clvkit.challenger_section import ChallengerSection, NewVariableSection
from clvkit.chapters.new_variables import cards, checks
from clvkit.errors import RunError, StudyError
from clvkit.new_variable import FALSE_ACCEPT, Card, Cards, level_of, require_unedited, run_trials
from clvkit.study import load_study
from clvkit.time_split import split

DATA = {"as_of": "2023-12-31", "ledger": "x"}


def trial(feature, min_gain=0.0, **said):
    return NewVariableSection(feature=feature, hypothesis="it tells who buys", min_gain=min_gain, cost_per_year=100.0,
                              registered=date(2023, 1, 1), by="analytics", **said)  # fmt: skip


def section(*trials):
    return ChallengerSection(use="compare", bootstrap=400, trials=trials)


@pytest.fixture(scope="module")
def parts():
    return split(world(21, customers=1500, useful=0.9, noise=1), ORIGIN, END)


@pytest.fixture
def found(parts):
    return run_trials(
        parts, section(trial("visits_last", 0.01), trial("noise0_mean"), trial("none_such")), DATA
    )


def test_useful_is_accepted_noise_rejected_and_what_is_missing_not_tried(found):
    assert [one.decision for one in found.all] == ["accept", "reject", "not tried"]
    first = found.all[0].result
    assert [one["origin"] for one in first["gains"]][1] == str(ORIGIN)
    assert all(one["gain"] >= 0.01 for one in first["gains"]) and first["gains"][1]["low"] > 0
    assert "there is no feature none_such" in found.all[2].result["because"]


def test_a_threshold_that_is_not_reached_rejects(parts):
    (one,) = run_trials(parts, section(trial("visits_last", 0.9)), DATA).all
    assert one.decision == "reject" and "below the threshold" in one.result["because"]


def test_levels_of_all_trials_together():
    assert level_of(1) == 0.025
    assert sum(level_of(k) for k in range(1, 100_000)) == pytest.approx(FALSE_ACCEPT, abs=1e-6)


def test_cards_are_repeatable_and_chained(parts, found):
    again = run_trials(parts, section(*(NewVariableSection(**one.registration) for one in found.all)), DATA)
    assert again == found
    assert [one.previous for one in found.all] == ["", found.all[0].sha256, found.all[1].sha256]


@pytest.mark.parametrize("what", ["threshold", "decision", "gain", "swapped", "taken out"])
def test_an_edited_card_is_refused(found, tmp_path, what):
    require_unedited(list(found.all))
    found.save(tmp_path)
    path = tmp_path / "cards.json"
    made = json.loads(path.read_text())
    if what == "threshold":
        made[1]["registration"]["min_gain"] = 0.5
    elif what == "decision":
        made[1]["result"]["decision"] = "accept"
    elif what == "gain":
        made[0]["result"]["gains"][0]["gain"] += 0.01
    elif what == "swapped":
        made[0], made[1] = made[1], made[0]
    else:
        del made[0]
    path.write_text(json.dumps(made))
    with pytest.raises(RunError, match="was changed after its result was known"):
        Cards.load(tmp_path)


def test_a_card_edited_with_its_own_hash_is_refused_by_the_next(found):
    one = found.all[0]
    forged = Card.of(1, one.registration, one.data, one.result | {"decision": "kept anyhow"}, "")
    with pytest.raises(RunError, match="the trial card 2"):
        require_unedited([forged, *found.all[1:]])


class TestTheLog:
    def test_it_is_written_once_and_agrees(self, found, tmp_path):
        log = tmp_path / "trials.jsonl"
        for _ in range(2):
            (check,) = checks(found, log)
            assert check.status == "pass", check.message
        assert len(read_chained(log, "cards")) == 2  # what was not tried has no result to keep

    def test_a_threshold_lowered_after_the_result_fails(self, parts, found, tmp_path):
        log = tmp_path / "trials.jsonl"
        checks(found, log)
        later = run_trials(parts, section(trial("visits_last", 0.5), trial("noise0_mean")), DATA)
        (check,) = checks(later, log)
        assert check.stops and "was changed after its result was known" in check.message

    def test_a_trial_taken_out_of_the_study_fails(self, found, tmp_path):
        log = tmp_path / "trials.jsonl"
        checks(found, log)
        (check,) = checks(Cards(), log)
        assert check.stops and "was taken out of the study" in check.message

    def test_an_edited_line_fails(self, found, tmp_path):
        log = tmp_path / "trials.jsonl"
        checks(found, log)
        for place in (0, 1):
            lines = log.read_text().splitlines()
            lines[place] = lines[place].replace(
                '"reject"' if '"reject"' in lines[place] else '"accept"', '"nothing"'
            )
            (tmp_path / "edited.jsonl").write_text("\n".join(lines) + "\n")
            (check,) = checks(found, tmp_path / "edited.jsonl")
            assert check.stops, place

    def test_a_new_trial_at_the_end_is_no_edit(self, parts, found, tmp_path):
        """Nor does it change the cards before it."""
        log = tmp_path / "trials.jsonl"
        checks(found, log)
        more = run_trials(
            parts, section(trial("visits_last", 0.01), trial("noise0_mean"), trial("visits_mean")), DATA
        )
        assert more.all[:2] == found.all[:2]
        assert checks(more, log)[0].status == "pass" and len(read_chained(log, "cards")) == 3

    def test_without_trials_there_is_neither_log_nor_check(self, tmp_path):
        assert checks(Cards(), tmp_path / "trials.jsonl") == [] and not (tmp_path / "trials.jsonl").exists()


def test_the_table_of_cards(found):
    (table,) = cards(found, "EUR")
    assert "1 of 3 new variables is accepted: visits_last" in table.title
    assert list(table.frame["card"]) == [one.sha256[:12] for one in found.all]
    (said,) = cards(Cards(), "EUR")
    assert "No new variable is on trial" in said.text


def test_trials_need_the_comparison():
    from study_files import PARAMS

    asked = "[{feature: a, hypothesis: b, min_gain: 0.01, cost_per_year: 1, registered: 1998-01-01, by: c}]"
    with pytest.raises(StudyError, match="use must be compare where there are trials"):
        load_study(PARAMS / "cdnow.yml", {"challenger.trials": asked})
    with pytest.raises(StudyError, match="min_gain must be a fraction"):
        load_study(
            PARAMS / "cdnow.yml",
            {"challenger.use": "compare", "challenger.trials": asked.replace("0.01", "5")},
        )


def test_an_edited_card_does_not_verify(found):
    card = found.all[0]
    assert replace(card, result=card.result | {"cost_per_year": 1.0}).computed() != card.sha256
    assert Card(**json.loads(json.dumps(asdict(card)))).computed() == card.sha256


@pytest.mark.slow
def test_repeated_trials_of_noise_accept_at_most_one_study_in_twenty():
    """Studies that try eight noise features one after another; feared is that one in five accepts any, as eight tests at 2.5 % would."""
    n, accepted, each = worlds_for(FALSE_ACCEPT, 0.2), 0, 0
    for seed in range(n):
        parts = split(world(1000 + seed, customers=300, noise=8), ORIGIN, END)
        found = run_trials(parts, section(*(trial(f"noise{k}_mean") for k in range(8))), DATA)
        taken = [one.decision == "accept" for one in found.all]
        accepted, each = accepted + any(taken), each + sum(taken)
    print(f"{each} of {8 * n} trials")
    judge("studies that accept noise", accepted, n, FALSE_ACCEPT, above=True)
