"""Signals averaged over an exposure, against numerical integrals."""

import numpy as np
import pytest

from cuvee.simulate.signals import INGRESS, sinusoid_mean, transit_mean


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
