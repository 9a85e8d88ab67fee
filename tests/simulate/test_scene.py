"""The parts of a scene against numerical integrals and the statistics that they promise."""

import numpy as np
import pytest

from cuvee.simulate import scene as sc


def _scene(seed: int = 5, stars: int = 4000, size: int = 512) -> sc.Scene:
    return sc.draw_scene(
        np.random.default_rng(seed),
        stars,
        col0=700,
        row0=600,
        size=size,
        to_sky=lambda col, row: (100 + col / 1000, -30 + row / 1000),
        start=1500.0,
        baseline=10.0,
        cadence=1 / 48,
        years=19.0,
        zero_point=20.44,
    )


@pytest.mark.parametrize("exposure", [1e-4, 1 / 48, 0.1])
def test_means_over_an_exposure_are_integrals(exposure: float) -> None:
    rng = np.random.default_rng(1)
    n = 200
    time, period, epoch = 1500 + 5 * rng.random(n), 0.6 + 2 * rng.random(n), 1500 + rng.random(n)
    duration = 0.05 + 0.08 * rng.random(n)
    fine = time[:, None] + exposure * ((np.arange(4000) + 0.5) / 4000 - 0.5)
    slow = np.sin(2 * np.pi * (fine - epoch[:, None]) / period[:, None]).mean(axis=1)
    np.testing.assert_allclose(sc.sinusoid_mean(time, period, epoch, exposure), slow, atol=1e-6)
    phase = np.abs((fine - epoch[:, None] + 0.5 * period[:, None]) % period[:, None] - 0.5 * period[:, None])
    slope = (0.5 * duration[:, None] - phase) / (sc.INGRESS * duration[:, None])
    slow = np.clip(slope, 0, 1).mean(axis=1)
    np.testing.assert_allclose(sc.transit_mean(time, period, epoch, duration, exposure), slow, atol=2e-4)


def test_stars_follow_the_luminosity_function() -> None:
    scene = _scene()
    x, y = scene.col - 700, scene.row - 600
    inside = (x >= -0.5) & (x < 511.5) & (y >= -0.5) & (y < 511.5)
    bright = scene.mag < 16
    assert np.count_nonzero(inside & bright) == 4000
    assert np.count_nonzero(inside & ~bright) == pytest.approx(4000, rel=0.01)
    assert scene.mag.min() >= 7
    assert scene.mag.max() <= 17
    counts = np.histogram(scene.mag[inside], np.arange(12, 17.1))[0]
    slope, _ = np.polyfit(np.arange(5), np.log10(counts), 1)
    assert slope == pytest.approx(0.3, abs=0.02)
    margin = (~inside).sum() / inside.sum()
    assert margin == pytest.approx((532**2 - 512**2) / 512**2, rel=0.1)
    np.testing.assert_allclose(scene.flux, 10 ** (0.4 * (20.44 - scene.mag)))
    assert np.unique(scene.id).size == len(scene)
    assert np.all(np.diff(scene.id) > 0)


def test_the_catalogue_position_moves_to_that_of_the_frames() -> None:
    scene = _scene()
    shift = (scene.ra - scene.ra2000) * np.cos(np.radians(scene.dec2000)) * 3.6e6
    np.testing.assert_allclose(shift, 19.0 * scene.pmra, atol=1e-3)
    np.testing.assert_allclose((scene.dec - scene.dec2000) * 3.6e6, 19.0 * scene.pmdec, atol=1e-3)


def test_only_a_documented_share_varies() -> None:
    scene = _scene(stars=20000)
    sinusoid, transit = scene.kind == sc.SINUSOID, scene.kind == sc.TRANSIT
    assert np.count_nonzero(sinusoid) == pytest.approx(20000 * sc.SINUSOID_SHARE, abs=5 * np.sqrt(1600))
    assert np.count_nonzero(transit) == pytest.approx(20000 * sc.TRANSIT_SHARE, abs=5 * np.sqrt(800))
    varies = sinusoid | transit
    assert scene.mag[varies].max() <= 16
    assert np.array_equal(np.isfinite(scene.period), varies)
    assert np.array_equal(np.isfinite(scene.duration), transit)
    assert scene.period[varies].max() <= 4.5  # two cycles and more in ten days
    assert np.all(scene.duration[transit] <= 0.25 * scene.period[transit])
    rows = np.flatnonzero(varies)
    quiet = sc.brightness(scene, rows, np.full(rows.size, 1503.0), 1 / 48)
    relative = quiet / scene.flux[rows] - 1
    assert np.all(np.abs(relative) <= scene.amplitude[rows] + 1e-12)
    assert np.all(relative[scene.kind[rows] == sc.TRANSIT] <= 1e-12)


def test_noise_has_the_variance_it_promises() -> None:
    rate = np.repeat(np.array([0, 100, 3000, 50000], dtype=np.float32), 500)
    clean = np.tile(rate, (400, 1))
    gain, read_noise = np.full(2000, 5.2, dtype=np.float32), np.full(2000, 9.0, dtype=np.float32)
    flux, uncert = sc.expose(np.random.default_rng(2), clean.copy(), gain, read_noise, 1425.6, 720)
    for k, level in enumerate((0, 100, 3000, 50000)):
        part, error = flux[:, 500 * k : 500 * k + 500].astype(float), uncert[:, 500 * k : 500 * k + 500].astype(float)
        expected = np.sqrt(level / 1425.6 + 720 * (81 + 5.2**2 / 12) / 1425.6**2)
        assert part.mean() == pytest.approx(level, abs=5 * expected / np.sqrt(part.size))
        assert part.std() == pytest.approx(expected, rel=0.01)
        assert np.sqrt((error**2).mean()) == pytest.approx(expected, rel=0.003)
    counts = flux[:, :1000].astype(float) * 1425.6 / 5.2
    np.testing.assert_allclose(counts, np.rint(counts), atol=0.02)


def test_the_background_is_one_field_whatever_the_window() -> None:
    whole = sc.background(0, 0, 2048, 1.7)
    np.testing.assert_allclose(sc.background(300, 500, 100, 1.7), whole[500:600, 300:400], rtol=2e-6)
    assert 80 < whole.mean() < 130
    later = sc.background(0, 0, 2048, 2.2)
    assert np.abs(later - whole).max() > 5
