"""Signals averaged over an exposure, against numerical integrals."""

import numpy as np
import pytest

from cuvee.simulate.signals import FLARE_AREA, INGRESS, eclipses_mean, flare_mean, sinusoid_mean, transit_mean


@pytest.mark.parametrize("exposure", [1e-4, 1 / 48, 0.1])
def test_means_over_an_exposure_are_integrals(exposure: float) -> None:
    rng = np.random.default_rng(1)
    n = 200
    time, period, epoch = 1500 + 5 * rng.random(n), 0.6 + 2 * rng.random(n), 1500 + rng.random(n)
    duration = 0.05 + 0.08 * rng.random(n)
    fine = time[:, None] + exposure * ((np.arange(4000) + 0.5) / 4000 - 0.5)
    slow = np.sin(2 * np.pi * (fine - epoch[:, None]) / period[:, None]).mean(axis=1)
    np.testing.assert_allclose(sinusoid_mean(time, period, epoch, exposure), slow, atol=1e-6)
    phase = np.abs((fine - epoch[:, None] + 0.5 * period[:, None]) % period[:, None] - 0.5 * period[:, None])
    slope = (0.5 * duration[:, None] - phase) / (INGRESS * duration[:, None])
    slow = np.clip(slope, 0, 1).mean(axis=1)
    np.testing.assert_allclose(transit_mean(time, period, epoch, duration, exposure), slow, atol=2e-4)


@pytest.mark.parametrize("exposure", [1e-4, 200 / 86400, 1 / 48])
def test_a_flare_has_the_published_shape_and_its_mean_is_the_integral(exposure: float) -> None:
    width = np.array([0.003, 0.02])[:, None]
    time = np.linspace(-0.1, 0.4, 301)
    fine = time[:, None] + exposure * ((np.arange(2000) + 0.5) / 2000 - 0.5)
    for w, got in zip(width[:, 0], flare_mean(time, np.zeros((2, 1)), width, exposure), strict=True):
        t = fine / w
        # Davenport et al. 2014, equations 1 and 4.
        rise = 1 + 1.941 * t - 0.175 * t**2 - 2.246 * t**3 - 1.125 * t**4
        fall = 0.6890 * np.exp(-1.600 * np.maximum(t, 0)) + 0.3030 * np.exp(-0.2783 * np.maximum(t, 0))
        slow = np.where(t < -1, 0, np.where(t < 0, rise, fall)).mean(axis=1)
        np.testing.assert_allclose(got, slow, atol=2e-3 if exposure > 1e-3 else 2e-2)
    # All of its light, whatever the exposures.
    steps = np.arange(-0.5, 4.0, exposure)
    area = flare_mean(steps, np.array(0.0), np.array(0.02), exposure).sum() * exposure
    assert area == pytest.approx(FLARE_AREA * 0.02, rel=1e-6)
    assert pytest.approx(1.827, abs=0.001) == FLARE_AREA


def test_the_secondary_eclipse_is_half_a_period_later() -> None:
    time = np.linspace(0, 3, 2000)
    period, epoch, duration = np.array(1.5), np.array(0.4), np.array(0.2)
    primary, secondary = eclipses_mean(time, period, epoch, duration, 1 / 480)
    np.testing.assert_allclose(secondary, np.interp((time - 0.75) % 1.5, time, primary), atol=0.02)
    assert primary.max() == pytest.approx(1, abs=0.02)
    assert (primary > 1e-9).mean() == pytest.approx(0.2 / 1.5, abs=0.01)
    # A triangle: at half depth half as wide.
    assert (primary > 0.5).mean() == pytest.approx(0.1 / 1.5, abs=0.005)
