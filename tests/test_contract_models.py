"""Fits of contracts by billing period and by segment: truth, which model is used, and what thin periods lean on."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from spell_worlds import too_many

from clvkit.contract_models import ContractFits, fit_both
from clvkit.contract_past import as_known, earlier_day, what_came
from clvkit.contract_value import contract_value
from clvkit.contracts import contracts
from clvkit.contracts_section import ContractsSection
from clvkit.errors import FitError
from clvkit.models_section import ModelsSection, SamplerSection
from clvkit.value import ValueSection

AS_OF, YEAR = date(2024, 6, 30), 365.25
MODELS = ModelsSection(sampler=SamplerSection(method="laplace", draws=200, tune=200, chains=2))
QUICK = {"sample": False}


def table(parts, seed=0) -> pd.DataFrame:
    """Contracts of ``parts``: (plan, months, count, alpha, beta), begun on any day of four years."""
    rng, frames = np.random.default_rng(seed), []
    for plan, months, count, *at in parts:
        start = pd.Series(
            pd.Timestamp("2020-07-01") + pd.to_timedelta(rng.integers(0, 1430, count), unit="D")
        )
        lasts = np.minimum(rng.geometric(np.maximum(rng.beta(*at, count), 1e-6)), 120) * months
        end = pd.Series(
            [
                day + pd.DateOffset(months=int(n)) - pd.Timedelta(days=1)
                for day, n in zip(start, lasts, strict=True)
            ]
        )
        frames.append(pd.DataFrame({"start": start, "end": end.where(end < pd.Timestamp(AS_OF)), "plan": plan, "fee": 10.0 * months,
                                    "period": str(months)}))  # fmt: skip
    made = pd.concat(frames, ignore_index=True)
    names = [f"k{k:05d}" for k in range(len(made))]
    return made.assign(contract=names, customer=names, currency="EUR")


def fitted(rows, sample=False, before=None, **section) -> tuple:
    said = ContractsSection(source="c", **section)
    held = contracts(rows, said, AS_OF)
    known = before and as_known(rows, said, before)
    return fit_both(held, said, MODELS, YEAR, before=known, sample=sample), held, said


class TestPeriods:
    def test_each_is_fitted_by_itself_where_enough_ended(self):
        rows = table([("m", 1, 2000, 1.0, 12.0), ("y", 12, 2000, 1.5, 4.0)])
        fits, _, _ = fitted(rows)
        month, year = (fits.of(months) for months in (1, 12))
        assert month.mle[0] / month.mle.sum() == pytest.approx(1 / 13, rel=0.1)
        assert year.mle[0] / year.mle.sum() == pytest.approx(1.5 / 5.5, rel=0.1)
        alone, _, _ = fitted(rows[rows["period"] == "12"])
        np.testing.assert_allclose(year.mle, alone.used.mle, rtol=1e-9)
        assert (month.unit_days, year.unit_days) == pytest.approx((30.4375, 365.25)) and fits.leaning is None

    def test_a_thin_one_leans_on_the_others_and_says_so(self):
        rows = table([("m", 1, 1500, 1.0, 12.0), ("q", 3, 1500, 1.2, 7.0), ("y", 12, 40, 1.5, 4.0)])
        fits, held, said = fitted(rows)
        thin = fits.parts[12]
        assert thin.sbg is None and "of them ended" in thin.why and "leaning" in fits.of(12).label
        mean = fits.of(12).mle[0] / fits.of(12).mle.sum()
        assert 0.05 < mean < 0.6
        value = ValueSection(margin=0.5, annual_discount_rate=0.1, horizon_months=24, posterior_draws=50)
        found = contract_value(fits, held, said, value, as_of=AS_OF, currency="EUR", days_per_year=YEAR)
        assert found.by_period["group"].tolist() == ["1", "3", "12"]

    def test_one_alone_that_cannot_be_fitted_is_refused(self):
        rows = table([("y", 12, 3, 1.5, 40.0)]).assign(end=pd.NaT)
        with pytest.raises(FitError):
            fitted(rows)

    def test_a_change_of_period_teaches_both(self):
        rng, rows = np.random.default_rng(0), []
        for k in range(800):
            start, left = pd.Timestamp("2021-01-01"), rng.geometric(0.1)
            moves = rng.geometric(0.08)  # to a yearly plan, at that renewal
            cut = start + pd.DateOffset(months=int(min(left, moves))) - pd.Timedelta(days=1)
            rows.append((f"A{k}", f"k{k}", start, cut if cut < pd.Timestamp(AS_OF) else None, "m", "1"))
            if moves < left and cut < pd.Timestamp(AS_OF):
                last = cut + pd.DateOffset(months=int(12 * rng.geometric(0.3)))
                rows.append(
                    (
                        f"B{k}",
                        f"k{k}",
                        cut + pd.Timedelta(days=1),
                        last if last < pd.Timestamp(AS_OF) else None,
                        "y",
                        "12",
                    )
                )
        names = ["contract", "customer", "start", "end", "plan", "period"]
        fits, held, _ = fitted(pd.DataFrame(rows, columns=names))
        assert (held.relations["switches"] > 0).sum() > 100
        for months, truth in ((1, 0.1), (12, 0.3)):
            mle = fits.of(months).mle
            cells = held.cells(period_months=months)
            faced = (cells["n"] * (cells["renewals"] + cells["ended"])).sum()
            # 4 standard errors of a rate of so many trials
            assert mle[0] / mle.sum() == pytest.approx(
                truth, abs=4 * np.sqrt(truth * (1 - truth) / faced) + 0.01
            )

    def test_saving_loses_nothing(self, tmp_path):
        rows = table([("m", 1, 600, 1.0, 12.0), ("n", 1, 600, 1.0, 4.0), ("y", 12, 30, 1.5, 4.0)])
        fits, _, _ = fitted(rows, sample=True, segment_by="plan")
        fits.save(tmp_path)
        again = ContractFits.load(tmp_path)
        assert again.column == fits.column and again.parts[1].segments_used == fits.parts[1].segments_used
        for months in (1, 12):
            np.testing.assert_array_equal(again.of(months).posterior(20), fits.of(months).posterior(20))
        assert again.parts[12].why == fits.parts[12].why


class TestSegments:
    apart = [("a", 1, 900, 1.0, 20.0), ("b", 1, 900, 1.0, 4.0), ("c", 1, 120, 1.0, 9.0)]

    def test_truth_is_found_and_they_are_used(self):
        fits, held, said = fitted(table(self.apart), segment_by="plan", before=date(2023, 6, 30))
        part = fits.parts[1]
        for name, at in (("a", 1 / 21), ("b", 1 / 5), ("c", 1 / 10)):
            mle = part.by_segment.mle[part.by_segment.segments.index(name)]
            assert mle[0] / mle.sum() == pytest.approx(at, rel=0.25)
        assert part.gain > 2 and part.segments_used and fits.column == "plan"
        value = ValueSection(margin=0.5, annual_discount_rate=0.1, horizon_months=24, posterior_draws=50)
        found = contract_value(fits, held, said, value, as_of=AS_OF, currency="EUR", days_per_year=YEAR)
        by = found.by_segment.set_index("group")["mean"]
        assert (
            by["a"] > by["c"] > by["b"]
            and found.plain is not None
            and found.plain.value != found.equity.value
        )
        assert found.by_segment["value"].sum() == pytest.approx(found.equity.value, rel=1e-9)

    def test_an_about_column_parts_them_as_well(self):
        rows = table(self.apart)
        rows = rows.assign(about_channel=rows["plan"], plan="one")
        fits, _, _ = fitted(rows, segment_by="channel", before=date(2023, 6, 30))
        assert fits.column == "about_channel" and set(fits.parts[1].by_segment.segments) == {"a", "b", "c"}

    def test_without_an_earlier_day_bic_decides(self):
        fits, _, _ = fitted(table(self.apart), segment_by="plan")
        assert np.isnan(fits.parts[1].gain) and fits.parts[1].segments_used

    @pytest.mark.slow
    def test_alike_ones_are_seldom_used(self):
        # 60 worlds: used in three of ten instead of one of ten would be found with 95 % power
        used = 0
        for seed in range(60):
            alike = table([("a", 1, 300, 1.0, 9.0), ("b", 1, 300, 1.0, 9.0)], seed=seed)
            fits, _, _ = fitted(alike, segment_by="plan", before=date(2023, 6, 30))
            used += fits.parts[1].segments_used
        print(f"used in {used} of 60")
        assert not too_many(used, 60, 0.1)

    def test_thin_ones_lean_on_the_rest(self):
        fits, _, _ = fitted(
            table([("a", 1, 900, 1.0, 9.0), ("b", 1, 900, 1.0, 9.0), ("c", 1, 8, 1.0, 1.0)], seed=2),
            segment_by="plan",
        )
        fit = fits.parts[1].by_segment
        place = fit.segments.index("c")
        mean = lambda at: at[0] / at.sum()  # noqa: E731
        together = mean(fits.parts[1].sbg.mle)
        assert (
            abs(mean(fit.mle[place]) - together) < abs(mean(fit.alone[place]) - together)
            or fit.runs_away[place]
        )


class TestThePast:
    rows = pd.DataFrame(
        [("C1", "a", "2023-01-01", "2024-03-31", "ended"), ("C2", "b", "2023-01-01", None, "active"),
         ("C3", "c", "2023-01-01", "2023-05-31", "ended"), ("C4", "d", "2024-01-01", None, "active"),
         ("C5", "e", "2023-01-01", "2023-08-31", "ended")],
        columns=["contract", "customer", "start", "end", "status"],
    )  # fmt: skip

    def test_what_came_later_is_not_known(self):
        said = ContractsSection(source="c")
        known = as_known(self.rows, said, date(2023, 6, 30))
        assert list(known.relations["customer"]) == ["a", "b", "c", "e"] and known.later == 1
        assert (
            list(known.relations["ended"]) == [False, False, True, False]
            and known.relations["announced"].isna().all()
        )
        assert known.set_aside.empty  # a status of later contradicts nothing

    def test_with_notice_what_was_announced_is(self):
        known = as_known(self.rows, ContractsSection(source="c", notice_days=90), date(2023, 6, 30))
        assert known.relations.set_index("customer")["announced"].notna().tolist() == [
            False,
            False,
            False,
            True,
        ]

    def test_open_histories_are_followed(self):
        said = ContractsSection(source="c")
        before, after = as_known(self.rows, said, date(2023, 6, 30)), contracts(self.rows, said, AS_OF)
        came = what_came(before, after).set_index("customer")
        assert came["renewals"].tolist() == [5, 5, 5]  # the sixth month begins on 1 July
        assert came["until"].tolist() == [14, 17, 7] and came["left"].tolist() == [True, False, True]

    def test_the_day_is_the_studys_or_after_three_quarters(self):
        held = contracts(self.rows, ContractsSection(source="c"), AS_OF)
        assert earlier_day(held, AS_OF, (date(2023, 3, 1), date(2023, 9, 1))) == date(2023, 9, 1)
        assert date(2024, 1, 1) < earlier_day(held, AS_OF, ()) < date(2024, 3, 1)
