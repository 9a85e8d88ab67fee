"""What moves is found in frames with jitter and drift, where it is and when; what stands still, or flickers, makes no path."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.extract.scenes import COL0, GEOMETRY, READOUT, ROW0, add_star, batches, observe, surface, targets_at

from cuvee import extract
from cuvee.extract.moving import MovingPass, describe_still
from cuvee.model.moving import Candidates
from cuvee.model.records import Moments, Reference
from cuvee.moving import find_tracks

N_FRAME = 128
HALF_HOUR = 1.0 / 48.0
SPEED = np.array([0.45, -0.35])
"""px a frame: 27 px a day."""


def moments_of(length: float = HALF_HOUR, first: int = 1280) -> Moments:
    start = np.asarray(1500.0 + length * np.arange(N_FRAME), np.float64)
    zero = np.zeros(N_FRAME, np.int32)
    return Moments(first + np.arange(N_FRAME), start, start + length, np.zeros(N_FRAME), zero)


class Sky:
    """A field in 128 frames: stars that move with the pointing, one that pulsates, and an asteroid if it has light."""

    def __init__(self, drift: float = 0.0, light: float = 0.0) -> None:
        rng = np.random.default_rng(77)
        n = 150
        col, row = rng.uniform(5, GEOMETRY.n_col - 6, n), rng.uniform(5, GEOMETRY.n_row - 6, n)
        flux = 10 ** rng.uniform(1.5, 4.3, n)
        self.path = np.array([60.0, 140.0]) + SPEED * np.arange(N_FRAME)[:, None]
        self.frames = []
        for k in range(N_FRAME):
            moved = rng.normal(0.0, 0.03, 2) + drift * (k / N_FRAME - 0.5)
            clean = surface(k / 12.0)
            for c, r, f in zip(col, row, flux, strict=True):
                add_star(clean, c + moved[0], r + moved[1], f)
            add_star(clean, 30.0 + moved[0], 30.0 + moved[1], 3000.0 * (1.0 + 0.2 * np.sin(k / 7.0)))
            for step in np.arange(-0.375, 0.5, 0.25):  # the trail of an exposure
                x, y = self.path[k] + moved + step * SPEED
                add_star(clean, x, y, 0.25 * light)
            self.frames.append(observe(rng, clean).astype(np.float32))
        image = np.asarray(np.mean(self.frames[::4], axis=0, dtype=np.float64), np.float32)
        self.reference = Reference("ffi", GEOMETRY, image, "", 2019.0, 0.0, 0.0, ("a",), READOUT)

    def look(self, moments: Moments, bad: int = 0) -> Candidates:
        targets = targets_at([COL0 + 50.0], [ROW0 + 50.0])
        params = extract.ExtractParams()
        some = batches(self.frames, range(N_FRAME))
        block = extract.extract(some, moments, ("",) * N_FRAME, targets, self.reference, params, bad_quality=bad)
        assert block.moving is not None
        return block.moving


@pytest.fixture(scope="module")
def still() -> Sky:
    return Sky()


@pytest.fixture(scope="module")
def crossed() -> Sky:
    return Sky(light=60.0)  # Tmag 16


def near_path(sky: Sky, found: Candidates) -> NDArray[np.float64]:
    """Return how far each candidate is from the asteroid (px)."""
    frame = (found.time - 1500.0) / HALF_HOUR - 0.5
    x, y = (np.interp(frame, np.arange(N_FRAME), sky.path[:, k]) for k in (0, 1))
    return np.asarray(np.hypot(found.col - COL0 - x, found.row - ROW0 - y))


def test_an_asteroid_is_found_in_every_image_at_its_place_and_with_its_light(crossed: Sky) -> None:
    found = crossed.look(moments_of())
    mine = near_path(crossed, found) < 1.5
    assert mine.sum() >= 14  # of 16 images, one in each half of a batch
    assert np.median(near_path(crossed, found)[mine]) < 0.35
    assert np.median(found.flux[mine]) == pytest.approx(60.0, rel=0.15)
    assert (np.diff(found.time) >= 0.0).all()
    tracks = find_tracks(found)
    (nodes,) = tracks.paths()
    frame = (tracks.time[nodes] - 1500.0) / HALF_HOUR - 0.5
    for place, k, origin in ((tracks.col, 0, COL0), (tracks.row, 1, ROW0)):
        line = crossed.path[0, k] + SPEED[k] * frame  # also where it goes on beyond the images
        np.testing.assert_allclose(place[nodes] - origin, line, atol=0.6)


@pytest.mark.parametrize("drift", [0.0, 0.2, 0.6])
def test_jitter_drift_and_a_pulsating_star_make_no_path(still: Sky, drift: float) -> None:
    found = (Sky(drift) if drift else still).look(moments_of())
    assert find_tracks(found).paths() == []


def test_a_drift_does_not_hide_the_asteroid() -> None:
    assert len(find_tracks(Sky(drift=0.4, light=60.0).look(moments_of())).paths()) == 1


def test_frames_of_bad_quality_take_no_part(crossed: Sky) -> None:
    moments = moments_of()
    bad = np.zeros(N_FRAME, np.int32)
    bad[16:48] = 32
    found = crossed.look(replace(moments, quality=bad), 32)
    times = np.unique(found.time)
    assert times.size == 12
    assert not ((times > moments.start[16]) & (times < moments.stop[47])).any()
    assert np.unique(crossed.look(replace(moments, quality=bad), 64).time).size == 16
    # One bad frame in a pair: the next good pair is taken.
    bad[:] = 0
    bad[1] = 32
    first = crossed.look(replace(moments, quality=bad), 32).time[0]
    assert first == pytest.approx(moments.mid[2:4].mean())


@pytest.mark.parametrize(("seconds", "images", "together"), [(1800, 16, 2), (600, 8, 6), (200, 3, 16)])
def test_an_image_is_an_hour_of_frames_and_images_are_hours_apart(
    crossed: Sky, seconds: int, images: int, together: int
) -> None:
    moments = moments_of(seconds / 86400.0)
    times = np.unique(crossed.look(moments).time)
    assert times.size == images
    assert times[0] == pytest.approx(moments.mid[:together].mean() if seconds != 200 else times[0])
    assert 24.0 * np.diff(times).min() >= 2.5


def test_a_cosmic_ray_is_in_one_frame_only(still: Sky) -> None:
    rng = np.random.default_rng(3)
    hit = [frame.copy() for frame in still.frames]
    place = rng.integers(10, 190, (300, 2))
    for k, (i, j) in enumerate(place):
        hit[k % N_FRAME][i : i + 2, j] += 15.0  # a hundred standard deviations in all, where it is dark
    struck = Sky.__new__(Sky)
    struck.frames, struck.reference = hit, still.reference
    before, after = still.look(moments_of()), struck.look(moments_of())
    in_images = np.isin(np.arange(300) % 16, [0, 1, 8, 9]).sum()
    assert in_images > 60
    assert after.time.size - before.time.size < 0.15 * in_images


def test_where_nobody_looks_nothing_is_told(still: Sky) -> None:
    targets = targets_at([COL0 + 50.0], [ROW0 + 50.0])
    for params, bad in ((extract.ExtractParams(moving=False), 0), (extract.ExtractParams(), None)):
        block = extract.extract(
            batches(still.frames[:16], range(16)),
            moments_of(),
            ("",) * N_FRAME,
            targets,
            still.reference,
            params,
            bad_quality=bad,
        )
        assert block.moving is None


def test_frames_without_a_time_give_an_empty_list(still: Sky) -> None:
    moments = moments_of()
    lost = replace(moments, start=np.full(N_FRAME, np.nan), stop=np.full(N_FRAME, np.nan))
    assert still.look(lost).time.size == 0
    described = describe_still(still.reference)
    assert described is not None
    assert MovingPass(described, moments, 0).candidates.time.size == 0
