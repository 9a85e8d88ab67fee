"""The flag, against a loop over stars, frames and paths."""

import numpy as np

from cuvee.model.flags import ASTEROID, SATURATED
from cuvee.model.moving import Tracks
from cuvee.moving import mark_crossings


def random_tracks(rng: np.random.Generator, n: int) -> Tracks:
    columns: list[tuple[int, str, float, float, float, float, int]] = []
    for k in range(n):
        start = rng.uniform(0.0, 6.0)
        place, flux = rng.uniform(0.0, 100.0, 2), rng.choice([2.0, 60.0, np.nan])
        for step in range(8):
            columns.append((k, f"object {k}", start + 0.4 * step, place[0], place[1], flux, 8))
            place = place + rng.uniform(-9.0, 9.0, 2)
    number, name, time, col, row, flux, seen = zip(*columns, strict=True)
    return Tracks(
        np.array(number), np.array(name), np.array(time), np.array(col), np.array(row), np.array(flux), np.array(seen)
    )


def test_points_near_a_path_are_flagged_and_no_others() -> None:
    rng = np.random.default_rng(6)
    tracks = random_tracks(rng, 12)
    col, row = rng.uniform(10.0, 90.0, (2, 80))
    time = np.sort(rng.uniform(0.0, 10.0, 150))
    time[70] = np.nan
    error = rng.uniform(1.0, 10.0, (80, 150)).astype(np.float32)
    error[3, :50] = np.nan
    flag = np.full((80, 150), SATURATED, np.int32)
    mark_crossings(flag, error, time, col, row, 3.5, tracks)
    expected = np.zeros(flag.shape, bool)
    for nodes in tracks.paths():
        own = tracks.time[nodes]
        for frame in np.flatnonzero((time >= own[0]) & (time <= own[-1])):
            x, y = np.interp(time[frame], own, tracks.col[nodes]), np.interp(time[frame], own, tracks.row[nodes])
            for star in range(80):
                harmless = tracks.flux[nodes][0] < 0.5 * error[star, frame]
                expected[star, frame] |= np.hypot(col[star] - x, row[star] - y) <= 5.0 and not harmless
    np.testing.assert_array_equal((flag & ASTEROID) != 0, expected)
    assert 0.001 < expected.mean() < 0.2
    assert ((flag & SATURATED) != 0).all()


def test_without_stars_or_paths_nothing_happens() -> None:
    tracks = random_tracks(np.random.default_rng(1), 2)
    nothing = np.zeros(0)
    mark_crossings(np.zeros((0, 3), np.int32), np.zeros((0, 3), np.float32), np.zeros(3), nothing, nothing, 3.5, tracks)
    flag = np.zeros((2, 3), np.int32)
    none = Tracks(*(getattr(tracks, name)[:0] for name in Tracks.__slots__))
    mark_crossings(flag, np.ones((2, 3), np.float32), np.arange(3.0), np.zeros(2), np.zeros(2), 3.5, none)
    assert not flag.any()
