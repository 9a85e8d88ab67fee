"""Rounding must cost the noise that it states, no more, and leave everything else alone."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuvee.photometry.rounding import KEPT_BITS, SHORTENED, added_noise, round_to_noise, shorten

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize("steps", [1.0, 2.0, 8.0, 10.0, 37.5])
def test_added_noise_is_what_is_stated(steps: float) -> None:
    rng = np.random.default_rng(3)
    errors = np.exp(rng.uniform(-1.0, 6.0, 400_000)).astype(np.float32)
    values = (1e4 + errors * rng.normal(size=errors.size)).astype(np.float32)
    moved = (round_to_noise(values, errors, steps).astype(np.float64) - values) / errors
    # The grid lies between half the error over steps and all of it, so the noise lies between half the bound and the bound.
    assert 0.5 * added_noise(steps) < moved.std() < added_noise(steps)
    assert np.abs(moved).max() <= 0.5 / steps
    assert abs(moved.mean()) < 4.0 * added_noise(steps) / np.sqrt(moved.size)
    # The worst case: errors that are just the steps times a power of two.
    worst = np.full(values.size, 16.0 * steps, np.float32)
    values = rng.normal(3e4, 300.0, values.size).astype(np.float32)
    moved = (round_to_noise(values, worst, steps).astype(np.float64) - values) / worst
    assert moved.std() == pytest.approx(added_noise(steps), rel=0.01)


@given(value=FLOATS, error=FLOATS, steps=st.sampled_from([1.0, 8.0, 100.0]))
def test_any_value_moves_by_less_than_half_a_step_and_stays_a_multiple(
    value: float, error: float, steps: float
) -> None:
    got = round_to_noise(np.array([value], np.float32), np.array([error], np.float32), steps)
    assert got.dtype == np.float32
    if not (np.isfinite(value) and np.isfinite(error) and error > 0.0):
        np.testing.assert_array_equal(got, np.array([value], np.float32))
        return
    step = math.ldexp(1.0, math.frexp(error / steps)[1] - 1)
    assert 0.5 * error / steps < step <= error / steps
    assert abs(float(got[0]) - value) <= 0.5 * step
    if abs(np.rint(value / step) * step) > np.finfo(np.float32).max:  # no float32 is that multiple
        assert float(got[0]) == value
        return
    assert float(got[0]) / step == np.rint(float(got[0]) / step)
    np.testing.assert_array_equal(round_to_noise(got, np.array([error], np.float32), steps), got)


def test_zero_steps_keep_every_bit() -> None:
    values = np.array([1.1, np.nan, np.inf], np.float32)
    assert round_to_noise(values, np.ones(3, np.float32), 0.0) is values


@given(value=FLOATS)
def test_a_shortened_number_is_the_nearest_of_its_length(value: float) -> None:
    got = np.array([value], np.float32)
    shorten(got)
    if not abs(value) < 2.0**127:  # what rounds up from there may be beyond the largest float
        if not np.isfinite(value):
            np.testing.assert_array_equal(got, np.array([value], np.float32))
        return
    mantissa, exponent = math.frexp(value)
    if exponent < -125:  # below the least normal float steps are of one size
        assert abs(float(got[0]) - value) <= 2.0 ** (-127 - KEPT_BITS)
        return
    # Python's own rounding, of a mantissa that is written out; the two may part ways only half-way.
    steps = mantissa * 2.0 ** (KEPT_BITS + 1)
    nearest = {
        math.ldexp(float(n), exponent - KEPT_BITS - 1) for n in (math.floor(steps + 0.5), math.ceil(steps - 0.5))
    }
    assert float(got[0]) in nearest
    assert abs(float(got[0]) - value) <= SHORTENED * abs(value)


def test_only_single_precision_is_shortened() -> None:
    with pytest.raises(TypeError, match="float32 is wanted"):
        shorten(np.ones(3))  # type: ignore[arg-type]
