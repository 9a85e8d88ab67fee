"""The stars of a scene against the statistics that they promise."""

import numpy as np
import pytest

from cuvee.simulate import scene as sc
from cuvee.simulate.signals import SINUSOID, TRANSIT


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
    sinusoid, transit = scene.kind == SINUSOID, scene.kind == TRANSIT
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
    assert np.all(relative[scene.kind[rows] == TRANSIT] <= 1e-12)
