"""Parts in whole minor units that add up to a total that is rounded once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clvkit.apportion import apportion

amounts = st.lists(st.floats(-1e9, 1e9, allow_nan=False), max_size=40)


@settings(max_examples=200, deadline=None)
@given(amounts)
def test_parts_add_up_and_none_moves_by_a_whole_unit(parts):
    found = apportion(parts)
    assert abs(int(found.sum()) - sum(parts)) <= 0.5 + 1e-6 * max(1, len(parts))
    assert (np.abs(found - np.array(parts, float)) < 1 + 1e-6).all()


def test_what_is_missing_goes_to_the_largest_rest_and_of_equal_ones_to_the_first():
    assert apportion([1.2, 1.7, 1.6]).tolist() == [1, 2, 2]
    assert apportion([0.5, 0.5, 0.5, 0.5]).tolist() == [1, 1, 0, 0]
    assert apportion([1.0, 2.0]).tolist() == [1, 2]
    assert apportion([]).tolist() == []


def test_another_total_is_refused():
    with pytest.raises(ValueError, match="12 is not the sum of the parts"):
        apportion([1.5, 2.5], 12)
