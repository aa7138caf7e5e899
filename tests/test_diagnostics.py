from dataclasses import replace

import cdnow_frames
import numpy as np
import pytest

from clvkit.diagnostics import challengers_checks, fit_checks


def by_name(fit):
    return {check.id.rsplit(".", 1)[1]: check for check in fit_checks(fit)}


@pytest.fixture
def sampled():
    return cdnow_frames.with_posterior(cdnow_frames.fit("paretonbd"))


def changed(fit, **values):
    return replace(fit, diagnostics=fit.diagnostics | values)


def test_a_good_fit_passes(sampled):
    checks = by_name(sampled)
    assert set(checks) == {"converged", "standard_errors", "r_hat", "ess", "divergences"}
    assert {check.status for check in checks.values()} == {"pass"}
    assert {check.chapter for check in checks.values()} == {"04_value"}
    assert not any(check.recommendation or check.stops for check in checks.values())


@pytest.mark.parametrize("process", ["bgnbd", "mbgnbd", "paretonbd", "gammagamma"])
def test_every_model_reaches_its_maximum_on_cdnow(process):
    checks = by_name(cdnow_frames.fit(process))
    assert checks["converged"].status == checks["standard_errors"].status == "pass"
    assert ("never_repeaters" in checks) == (process == "bgnbd")
    assert "r_hat" not in checks  # nothing was sampled


@pytest.mark.parametrize("process", ["bgnbd", "mbgnbd", "paretonbd", "gammagamma"])
def test_convergence_is_stated_with_the_gradient_norm(process):
    fit = cdnow_frames.fit(process)
    check = by_name(fit)["converged"]
    assert check.value == fit.gradient_norm < check.threshold == 1e-6
    assert f"changes by {fit.gradient_norm:.1e} per customer" in check.message
    assert f"{fit.starts_agreeing} starts led there" in check.message and fit.starts_agreeing >= 3
    alone = by_name(replace(fit, starts_agreeing=1))["converged"]
    assert "No other start led there." in alone.message


def test_challengers_are_checked_too():
    fits = {name: cdnow_frames.fit(name) for name in ("bgnbd", "mbgnbd", "paretonbd")}
    found = [check.id for check in challengers_checks(fits, "mbgnbd")]
    assert found == [check.id for name in ("bgnbd", "paretonbd") for check in fit_checks(fits[name])]
    assert challengers_checks({"bgnbd": fits["bgnbd"]}, "bgnbd") == []


def test_bgnbd_says_whom_it_counts_as_alive():
    caveat = by_name(cdnow_frames.fit("bgnbd"))["never_repeaters"]
    assert (caveat.status, caveat.severity, caveat.value) == ("info", "info", 1.0)
    assert "never bought again" in caveat.message


@pytest.mark.parametrize(
    ("name", "values", "status", "said"),
    [
        ("r_hat", {"r_hat_max": 1.02}, "review", "1.020"),
        ("r_hat", {"r_hat_max": 1.3}, "fail", "1.300"),
        ("ess", {"ess_min": 399.0}, "review", "399 independent draws"),
        ("divergences", {"divergences": 2}, "review", "2 of 60 steps"),
    ],
)
def test_a_badly_sampled_posterior(sampled, name, values, status, said):
    check = by_name(changed(sampled, **values))[name]
    assert check.status == status
    assert said in check.message
    assert check.recommendation
    assert check.severity == "warn"


def test_an_estimate_that_is_no_maximum_fails():
    check = by_name(replace(cdnow_frames.fit("bgnbd"), gradient_norm=3e-5))["converged"]
    assert (check.status, check.severity) == ("fail", "warn")
    assert "3.0e-05" in check.message


def test_a_flat_likelihood_is_put_up_for_review():
    fit = cdnow_frames.fit("bgnbd")
    check = by_name(replace(fit, se=np.array([0.1, 0.2, np.nan, np.nan])))["standard_errors"]
    assert (check.status, check.value) == ("review", 2)
    assert "a, b have no standard error" in check.message


def test_checks_of_two_fits_have_ids_of_their_own(sampled):
    both = [check.id for fit in (sampled, cdnow_frames.fit("bgnbd")) for check in fit_checks(fit)]
    assert len(set(both)) == len(both)
