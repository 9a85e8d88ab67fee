"""Maps of the background: against plain loops, and a background that is known everywhere."""

import io

import numpy as np
import pytest

from cuvee.quicklook.strip import SIDE, background_slices, figure_strip
from cuvee.report.pictures import picture


def test_a_map_is_the_weighted_mean_of_the_medians_under_the_stars() -> None:
    rng = np.random.default_rng(1)
    n_star, n_frame = 30, 47
    col, row = rng.uniform(100.0, 300.0, n_star), rng.uniform(40.0, 90.0, n_star)
    background = rng.normal(100.0, 5.0, (n_star, n_frame))
    background[rng.random(background.shape) < 0.2] = np.nan
    background[3] = np.nan
    seen = rng.random(n_frame) > 0.1
    time = np.sort(rng.uniform(1500.0, 1527.0, n_frame))
    slices = background_slices(time, seen, np.stack([col, row]), background, 5)
    assert [one.start for one in slices] == pytest.approx([time[0] + k * (time[-1] - time[0]) / 5 for k in range(5)])
    assert sum(one.n_frame for one in slices) == seen.sum()
    for k, one in enumerate(slices):
        last = k == 4
        here = [i for i in range(n_frame) if seen[i] and one.start <= time[i] and (time[i] < one.stop or last)]
        assert one.n_frame == len(here)
        for i, j in ((0, 0), (5, 20), (23, 23)):
            x = col.min() + (j + 0.5) / SIDE * np.ptp(col)
            y = row.min() + (i + 0.5) / SIDE * np.ptp(row)
            total = weights = 0.0
            for s in range(n_star):
                values = [background[s, f] for f in here if np.isfinite(background[s, f])]
                if values:
                    distance = ((x - col[s]) / np.ptp(col)) ** 2 + ((y - row[s]) / np.ptp(row)) ** 2
                    weight = np.exp(-0.5 * distance * 14.0**2)
                    total += weight * float(np.median(values))
                    weights += weight
            assert one.image[i, j] == pytest.approx(total / weights, rel=1e-9)


def test_light_that_comes_in_at_a_corner_is_seen_there_and_then() -> None:
    rng = np.random.default_rng(2)
    cell = np.arange(14) + 0.5
    col = (np.tile(cell, 14) + rng.uniform(-0.3, 0.3, 196)) * 146.0
    row = (np.repeat(cell, 14) + rng.uniform(-0.3, 0.3, 196)) * 146.0
    time = np.arange(1300) / 48.0

    def level(x: np.ndarray, y: np.ndarray, t: np.ndarray) -> np.ndarray:
        return 100.0 + 400.0 * np.exp(-((x - 2047.0) ** 2 + (y / 1.0) ** 2) / 8e5 - ((t - 10.0) / 2.0) ** 2)

    background = level(col[:, None], row[:, None], time[None]) + rng.normal(0.0, 1.0, (196, 1300))
    seen = (time < 20.0) | (time > 22.0)
    slices = background_slices(time, seen, np.stack([col, row]), background)
    brightest = max((one for one in slices if one.n_frame), key=lambda one: float(one.image.max()))
    assert brightest.start < 10.0 < brightest.stop
    assert int(np.argmax(brightest.image)) == SIDE - 1  # the lower right corner
    place = np.linspace(col.min(), col.max(), 2 * SIDE + 1)[1::2]
    up = np.linspace(row.min(), row.max(), 2 * SIDE + 1)[1::2]
    for one in slices:
        if one.n_frame == 0:
            assert np.isnan(one.image).all()
            continue
        inside = time[(time >= one.start) & (time < one.stop) & seen]
        true = np.median(level(place[None, :, None], up[:, None, None], inside), axis=2)
        # Smoothing over half the stars' distance flattens the peak; beyond the outer stars nothing is known.
        assert np.abs(one.image - true)[2:-2, 2:-2].max() < 0.05 * true.max()
    assert [one.n_frame == 0 for one in slices].count(True) == 1
    drawn = picture(figure_strip(slices, "Background"), 96)
    assert len(drawn.uri) < 80_000
    assert drawn.width > 1000


def test_an_even_background_can_be_drawn() -> None:
    even = background_slices(
        np.arange(40.0), np.ones(40, bool), np.stack([np.arange(4.0), np.arange(4.0) ** 2]), np.full((4, 40), 7.0)
    )
    np.testing.assert_allclose([one.image for one in even], 7.0)
    file = io.BytesIO()
    figure_strip(even).savefig(file, format="png")
    assert file.tell() > 1000
