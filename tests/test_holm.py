"""Holm's correction against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from clvkit.holm import holm


@pytest.mark.parametrize("seed", range(20))
def test_statsmodels(seed):
    rng = np.random.default_rng(seed)
    p = rng.random(rng.integers(1, 12)) ** rng.integers(1, 6)
    p[rng.random(p.size) < 0.3] = p[0]  # ties
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1], rtol=1e-14)


def test_what_is_missing_is_no_test():
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])
    assert holm([]).size == 0
