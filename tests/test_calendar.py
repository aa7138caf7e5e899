"""The calendar of a study: what it refuses, the clock it stands for, and factors found again on simulated worlds."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from study_files import PARAMS
from test_clock import AS_OF, CDNOW, DAYS, world

from clvkit.calendar import MONTH_NAMES, Calendar, Factor, known_at, make_calendar
from clvkit.calendar_section import KNOW_A_CLOCK, CalendarSection, Window, normalised, with_windows
from clvkit.chapters.calendar import season, with_and_without
from clvkit.clock import Clock
from clvkit.errors import FitError, StudyError
from clvkit.fitting import fit_process
from clvkit.histories import Histories
from clvkit.models_section import ModelsSection
from clvkit.promotions import PromotionsSection
from clvkit.study import load_study

SEASON = normalised(
    {1: 0.8, 2: 0.8, 3: 0.9, 4: 0.9, 5: 1, 6: 1, 7: 0.8, 8: 0.7, 9: 1, 10: 1.1, 11: 1.4, 12: 1.6}
)
FLOOD = Window(first=date(2022, 8, 1), last=date(2022, 9, 30), reason="flood", treatment="estimate")
FULL = "{" + ", ".join(f"{month}: 1.5" for month in range(1, 13)) + "}"


def true_clock(season: bool, flood: float) -> Clock:
    days = pd.date_range("2021-12-31", "2027-12-31")
    speed = np.array([SEASON[m] for m in days.month]) if season else np.ones(len(days))
    inside = (days >= pd.Timestamp(FLOOD.first)) & (days <= pd.Timestamp(FLOOD.last))
    return Clock.of_days(AS_OF, days[0].date(), np.where(inside, speed * flood, speed))


def bought(process, clock, customers, seed):
    """Cells of a simulated world, and its first and repeat purchases by day."""
    cells, moments = world(process, clock, customers, np.random.default_rng(seed))
    today = pd.Timestamp(AS_OF)
    repeat = (today + pd.to_timedelta(pd.Series(np.ceil(moments)), unit="D")).value_counts()
    first = (today - pd.to_timedelta(cells["T_days"], unit="D")).value_counts()
    days = pd.date_range(first.index.min(), today, name="day")
    frame = {
        name: one.reindex(days, fill_value=0).to_numpy()
        for name, one in (("first", first), ("repeat", repeat))
    }
    return cells, pd.DataFrame(frame, index=days).reset_index()


class TestSection:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("{season: given}", "must have all twelve months where season is given"),
            ("{season: given, month_factors: {1: 0.9}}", r"missing: 2, 3, .* a usual month is 1.0"),
            ("{season: given, month_factors: {13: 1.0}}", "there is no month 13"),
            ("{season: given, month_factors: {2: -1.0}}", r"must be above 0 \(month 2 has -1\)"),
            ("{season: estimate, month_factors: {2: 1.0}}", "must be empty where season is estimate"),
            ("{windows: [{first: 1998-01-02, last: 1998-01-01, reason: x, treatment: ignore}]}",
             r"windows\[0\].last must not be before the first day of its window, 1998-01-02"),
            ("{windows: [{first: 1998-01-02, last: 1998-01-05, reason: x, treatment: ignore}, "
             "{first: 1998-01-05, last: 1998-01-07, reason: y, treatment: compress}]}",
             r"windows\[1\] must not overlap: 'x' lasts until 1998-01-05, and 'y' begins on 1998-01-05"),
            ("{windows: [{first: 1998-01-02, last: 1998-01-05, reason: x, treatment: drop}]}", "must be one of"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, text, said):
        with pytest.raises(StudyError, match=said):
            load_study(PARAMS / "cdnow.yml", {"calendar": text})

    def test_processes_that_know_no_clock(self):
        acting = {"calendar": f"{{season: given, month_factors: {FULL}}}"}
        assert load_study(PARAMS / "cdnow.yml", acting).calendar.acts
        with pytest.raises(StudyError, match=r"where models\.processes has mbgcnbd"):
            load_study(PARAMS / "cdnow.yml", acting | {"models.processes": "[paretonbd, mbgcnbd]"})
        with pytest.raises(StudyError, match="counted by month"):
            load_study(PARAMS / "cdnow.yml", acting | {"models.opportunity": "month"})
        listed = "{windows: [{first: 1998-01-02, last: 1998-01-05, reason: x, treatment: ignore}]}"
        known = {"calendar": listed, "models.processes": "[paretonbd, mbgcnbd]"}
        assert not load_study(PARAMS / "cdnow.yml", known).calendar.acts

    def test_those_that_do_are_the_processes_that_have_one(self):
        from clvkit import processes

        assert {name for name in KNOW_A_CLOCK if hasattr(processes.get(name), "clock_is_time")} == set(
            KNOW_A_CLOCK
        )

    def test_factors_are_brought_to_a_mean_of_one(self):
        section = CalendarSection(season="given", month_factors=dict.fromkeys(range(1, 13), 1.5))
        assert section.shares == pytest.approx(dict.fromkeys(range(1, 13), 1.0))

    def test_windows_are_no_part_of_what_is_usual(self):
        study = load_study(PARAMS / "cdnow.yml")
        ledger = with_windows(study.ledger, CalendarSection(windows=(FLOOD,)), PromotionsSection())
        assert [(one.first, one.last, one.reason) for one in ledger.anomalies.ignore] == [
            (FLOOD.first, FLOOD.last, "flood")
        ]
        assert with_windows(study.ledger, CalendarSection(), PromotionsSection()) is study.ledger

    def test_promotions_are_known_days_too(self):
        study = load_study(PARAMS / "cdnow.yml")
        sale = PromotionsSection(windows={"sale": {"first": "1998-03-01", "last": "1998-03-14"}})
        (known,) = with_windows(study.ledger, CalendarSection(), sale).anomalies.ignore
        assert (known.first, known.last, known.reason) == (date(1998, 3, 1), date(1998, 3, 14), "sale")

    def test_an_origin_knows_what_had_begun(self):
        later = Window(first=date(2024, 1, 1), last=date(2024, 2, 1), reason="later", treatment="ignore")
        section = CalendarSection(windows=(FLOOD, later))
        known = known_at(section, date(2022, 8, 20))
        assert [(one.reason, one.last) for one in known.windows] == [("flood", date(2022, 8, 20))]


class TestClock:
    def test_days_have_the_speed_of_their_month_and_window(self):
        cells, daily = bought("bgnbd", true_clock(False, 0.0), 300, 1)
        shut = FLOOD.model_copy(update={"treatment": "compress"})
        section = CalendarSection(windows=(shut,), season="given", month_factors=SEASON)
        made = make_calendar(section, cells, daily, ModelsSection(), AS_OF)
        read = made.clock.reading
        days = {
            one: (pd.Timestamp(one) - pd.Timestamp(AS_OF)).days
            for one in ("2022-12-24", "2022-09-30", "2051-12-24")
        }
        speed = {one: float(np.diff(read(np.array([at - 1.0, at])))[0]) for one, at in days.items()}
        assert speed["2022-12-24"] == pytest.approx(SEASON[12]) == speed["2051-12-24"]  # the season goes on
        assert speed["2022-09-30"] == 0
        assert made.clock.edges[0] == -(AS_OF - daily["day"].iloc[0].date()).days - 1
        assert [one.how for one in (*made.months, *made.windows)] == ["given"] * 13
        assert made.turns == 0 and made.timed["clock"] is made.clock

    def test_a_calendar_that_only_lists_has_no_clock(self):
        listed = CalendarSection(windows=(FLOOD.model_copy(update={"treatment": "ignore"}),))
        assert make_calendar(listed, None, None, ModelsSection(), AS_OF) == Calendar(AS_OF)

    def test_purchases_in_a_shut_window_are_refused(self):
        cells, daily = bought("bgnbd", true_clock(False, 1.0), 300, 1)
        shut = CalendarSection(windows=(FLOOD.model_copy(update={"treatment": "compress"}),))
        with pytest.raises(
            FitError, match=r"nothing could be bought from 2022-08-01 to 2022-09-30 \(flood\).* repeat"
        ):
            make_calendar(shut, cells, daily, ModelsSection(), AS_OF)

    def test_is_kept(self, tmp_path):
        cells, daily = bought("bgnbd", true_clock(False, 1.0), 300, 1)
        section = CalendarSection(season="given", month_factors=SEASON)
        made = make_calendar(section, cells, daily, ModelsSection(), AS_OF)
        made.save(tmp_path)
        again = Calendar.load(tmp_path)
        assert (again.months, again.as_of) == (made.months, made.as_of)
        np.testing.assert_array_equal(again.clock.levels, made.clock.levels)
        pd.testing.assert_frame_equal(again.daily, made.daily, check_dtype=False)


class TestRefused:
    def test_twelve_weeks_of_acquisition_cannot_tell_a_season(self):
        # As CDNOW: everybody came within twelve weeks, and is followed for 78 weeks.
        cells, daily = bought("bgnbd", true_clock(True, 1.0), 400, 1)
        late = cells[cells["T_days"] > DAYS - 84]
        daily = daily.assign(
            first=daily["first"].where(daily["day"] < daily["day"].iloc[0] + pd.Timedelta(days=84), 0)
        )
        made = make_calendar(CalendarSection(season="estimate"), late, daily, ModelsSection(), AS_OF)
        assert made.months == () and made.clock.plain
        assert "season and age cannot be told apart" in made.refused[0]
        assert (
            "as if evenly over 2.9 months (12 are needed)" in made.refused[0] or "over 2." in made.refused[0]
        )

    def test_a_window_without_an_end_cannot_be_told_from_customers_who_leave(self):
        cells, daily = bought("bgnbd", true_clock(False, 1.0), 300, 1)
        open_ended = Window(first=date(2023, 11, 1), last=AS_OF, reason="strike", treatment="estimate")
        made = make_calendar(CalendarSection(windows=(open_ended,)), cells, daily, ModelsSection(), AS_OF)
        assert made.clock.plain and made.windows == ()
        assert "it lasts 61 days, with " in made.refused[0] and "and 0 after it" in made.refused[0]


def found(process, customers, seed):
    clock = true_clock(True, 0.3)
    cells, daily = bought(process, clock, customers, seed)
    section = CalendarSection(windows=(FLOOD,), season="estimate")
    made = make_calendar(section, cells, daily, ModelsSection(headline=process), AS_OF)
    fit = fit_process(process, cells, ModelsSection(), sample=False, **made.timed)
    return made, fit, fit_process(process, cells, ModelsSection(), sample=False, clock=clock, repeats=daily)


@pytest.mark.slow
@pytest.mark.parametrize("process", ["bgnbd", "paretonbd"])
def test_a_planted_season_and_window_are_found_again(process):
    made, fit, right = found(process, 6_000, 1)
    true = [*SEASON.values(), 0.3]
    values = np.array([[one.value, one.low, one.high] for one in (*made.months, *made.windows)])
    assert made.refused == () and all(one.how == "estimated" for one in (*made.months, *made.windows))
    np.testing.assert_allclose(values[:, 0], true, rtol=0.2)
    inside = (values[:, 1] <= true) & (true <= values[:, 2])
    assert inside.sum() >= 9  # of 13 nine times in ten: P(fewer than 9) = 1 %
    assert fit.log_likelihood > right.log_likelihood  # a maximum
    np.testing.assert_allclose(fit.mle, right.mle, rtol=0.1)


def test_a_planted_speed_of_a_window_is_found_again():
    clock = true_clock(False, 0.3)
    cells, daily = bought("mbgnbd", clock, 4_000, 2)
    made = make_calendar(CalendarSection(windows=(FLOOD,)), cells, daily, ModelsSection(headline="mbgnbd",
                         processes=("mbgnbd",), sampled=()), AS_OF)  # fmt: skip
    (one,) = made.windows
    assert one.low < 0.3 < one.high and one.value == pytest.approx(0.3, rel=0.3)


@pytest.fixture(scope="module")
def sold():
    return bought("mbgnbd", true_clock(False, 2.5), 20_000, 2)


class TestPromotion:
    """A promotion as a change of clock: a window in which purchases come more than twice as fast."""

    SALE = Window(
        first=date(2022, 8, 1), last=date(2022, 9, 30), reason="sale", treatment="compress", speed=2.5
    )

    def calendar(self, sold, *windows):
        only = ModelsSection(headline="mbgnbd", processes=("mbgnbd",), sampled=())
        return make_calendar(CalendarSection(windows=windows), *sold, only, AS_OF)

    def test_it_describes_the_history_better(self, sold):
        made = self.calendar(sold, self.SALE)
        inside, outside = made.clock.reading(np.array([[-500.0, -490.0], [-100.0, -90.0]])) @ [-1, 1]
        assert (inside, outside) == pytest.approx((25.0, 10.0))
        on = fit_process("mbgnbd", sold[0], ModelsSection(), sample=False, **made.timed)
        off = fit_process("mbgnbd", sold[0], ModelsSection(), sample=False, repeats=sold[1])
        true, treated, untreated = (r / alpha for r, alpha in (CDNOW["mbgnbd"][:2], on.mle[:2], off.mle[:2]))
        print(f"r / alpha {true:.4f}, untreated {untreated:.4f}, treated {treated:.4f}")
        assert on.log_likelihood > off.log_likelihood + 500
        assert abs(treated / true - 1) < 0.05 and untreated / true - 1 > 0.08

    def test_its_speed_is_found(self, sold):
        (one,) = self.calendar(
            sold, self.SALE.model_copy(update={"treatment": "estimate", "speed": 0.0})
        ).windows
        assert one.low < 2.5 < one.high and one.value == pytest.approx(2.5, rel=0.15)

    def test_one_to_come_is_forecast(self, sold):
        coming = Window(
            first=date(2024, 3, 1), last=date(2024, 3, 31), reason="sale", treatment="compress", speed=2.5
        )
        rows, draws = sold[0].head(50), np.array([CDNOW["mbgnbd"]])
        months = []
        for windows in ((self.SALE,), (self.SALE, coming)):
            made = self.calendar(sold, *windows)
            fit = fit_process("mbgnbd", sold[0], ModelsSection(), sample=False, **made.timed)
            who = Histories.of(fit, rows)
            months.append([(who.p_alive(draws) * who.expected(draws, days)).sum() for days in (60.0, 91.0)])
        (february, march), (same, more) = months
        assert same == pytest.approx(february, rel=1e-9)  # nothing before it changes
        assert 2.2 < (more - february) / (march - february) < 2.5  # some have left by then who bought in it


def test_unknown_fields_are_refused():
    with pytest.raises(ValidationError):
        CalendarSection(holidays=())


class TestWords:
    def frame(self, why=""):
        rows = [("nothing acted on", False, 110.0, ""), ("as the study says", True, 100.0, why)]
        return pd.DataFrame(
            {"how": how, "used": used, "rate": 0.1, "alpha": 2.0, "equity": equity, "log_likelihood": -9.0, "why": said}
            for how, used, equity, said in rows
        )  # fmt: skip

    def months(self, ends):
        return tuple(Factor(name, SEASON[m], "estimated" if ends else "given", 9,
                            *((SEASON[m] - 0.1, SEASON[m] + 0.1) if ends else (None, None)))
                     for m, name in enumerate(MONTH_NAMES, 1))  # fmt: skip

    def test_a_season_is_said_with_its_ranges_where_it_was_estimated(self):
        estimated, given = (season(Calendar(AS_OF, months=self.months(one))) for one in (True, False))
        assert estimated.title.startswith(
            "In December customers buy 1.60 (1.50 to 1.70) times as much as usual"
        )
        assert "(" not in given.title and "customers buy 1.60 times as much" in given.title

    def test_remarks_are_shown_where_there_are_any(self):
        study = load_study(PARAMS / "cdnow.yml")
        assert "why" not in with_and_without(self.frame(), study).frame
        table = with_and_without(self.frame("too short"), study)
        assert table.frame["why"].tolist() == ["", "too short"] and "9.1 % less than without" in table.title


def test_a_report_without_a_calendar_says_whether_a_season_could_be_told():
    from clvkit.calendar import FEWEST_DAYS, Calendar, season_unknown
    from clvkit.chapters.calendar import exhibits

    study = load_study(PARAMS / "cdnow.yml")
    days = pd.date_range("1997-01-01", "1998-06-30", freq="D")
    twelve_weeks = pd.DataFrame({"day": days, "first": (np.arange(len(days)) < 84) * 10, "repeat": 3})
    why = season_unknown(twelve_weeks, study.as_of)
    (said,) = exhibits(Calendar(study.as_of, untold=why), pd.DataFrame(), study)
    assert (
        f"could not be told from these data: purchases are known for 546 days ({FEWEST_DAYS} are needed"
        in said.text
    )
    assert "as if evenly over 3.0 months" in said.text and "season and age cannot be told apart" in said.text
    spread = pd.DataFrame({"day": pd.date_range("1996-01-01", "1998-06-30"), "first": 5, "repeat": 3})
    assert season_unknown(spread, study.as_of) is None
    (said,) = exhibits(Calendar(study.as_of), pd.DataFrame(), study)
    assert "These data could tell a season" in said.text
