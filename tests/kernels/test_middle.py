"""Medians by counting are numpy's, and the median deviations astropy's."""

import numpy as np
import pytest
from astropy.stats import median_absolute_deviation
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from cuvee.kernels.middle import middle_of_rows

FINITE = st.floats(width=32, allow_nan=True, allow_infinity=False).filter(lambda x: not abs(x) > 2.0**60)


def found(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centre, deviation = np.empty((2, values.shape[0]))
    middle_of_rows(values, centre, deviation, True)
    return centre, deviation


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 40)), elements=FINITE))
@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
def test_any_rows(values: NDArray[np.float32]) -> None:
    centre, deviation = found(values)
    exact = values.astype(np.float64)
    np.testing.assert_array_equal(centre, np.nanmedian(exact, axis=1))
    expected = median_absolute_deviation(exact, axis=1, ignore_nan=True)
    np.testing.assert_allclose(deviation, expected, rtol=1e-6, atol=1e-44)


def test_infinite_numbers_take_their_place() -> None:
    values = np.array([[np.inf, 1.0, 2.0, -np.inf, 3.0], [np.inf, np.inf, 1.0, np.nan, np.nan]], np.float32)
    centre, deviation = found(values)
    assert centre.tolist() == [2.0, np.inf]
    assert deviation[0] == 1.0
    assert np.isnan(deviation[1])


def test_long_rows_are_those_of_a_sort() -> None:
    rng = np.random.default_rng(5)
    values = (1e3 + rng.standard_normal((200, 1281))).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    np.testing.assert_array_equal(found(values)[0], np.nanmedian(values.astype(np.float64), axis=1))
