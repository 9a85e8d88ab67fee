"""Noise and background against what they promise."""

import numpy as np
import pytest

from cuvee.simulate.pixels import background, expose


def test_noise_has_the_variance_it_promises() -> None:
    rate = np.repeat(np.array([0, 100, 3000, 50000], dtype=np.float32), 500)
    clean = np.tile(rate, (400, 1))
    gain, read_noise = np.full(2000, 5.2, dtype=np.float32), np.full(2000, 9.0, dtype=np.float32)
    flux, uncert = expose(np.random.default_rng(2), clean.copy(), gain, read_noise, 1425.6, 720)
    for k, level in enumerate((0, 100, 3000, 50000)):
        part, error = flux[:, 500 * k : 500 * k + 500].astype(float), uncert[:, 500 * k : 500 * k + 500].astype(float)
        expected = np.sqrt(level / 1425.6 + 720 * (81 + 5.2**2 / 12) / 1425.6**2)
        assert part.mean() == pytest.approx(level, abs=5 * expected / np.sqrt(part.size))
        assert part.std() == pytest.approx(expected, rel=0.01)
        assert np.sqrt((error**2).mean()) == pytest.approx(expected, rel=0.003)
    counts = flux[:, :1000].astype(float) * 1425.6 / 5.2
    np.testing.assert_allclose(counts, np.rint(counts), atol=0.02)


def test_the_background_is_one_field_whatever_the_window() -> None:
    whole = background(0, 0, 2048, 1.7)
    np.testing.assert_allclose(background(300, 500, 100, 1.7), whole[500:600, 300:400], rtol=2e-6)
    assert 80 < whole.mean() < 130
    later = background(0, 0, 2048, 2.2)
    assert np.abs(later - whole).max() > 5
