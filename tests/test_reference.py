"""The reference image."""

from dataclasses import replace

import numpy as np
import pytest

from cuvee.errors import AlgorithmError
from cuvee.model.records import FileInfo, Geometry, Moments, Readout
from cuvee.reference import SERIES_FRAMES, ReferenceParams, build, build_from_series, mean_image


def _info(n_row: int, n_col: int) -> FileInfo:
    one = np.array([1500.25])
    moments = Moments(np.array([9]), one - 0.01, one + 0.01, np.zeros(1), np.zeros(1, np.int32))
    readout = Readout(1425.6, (5.2,), (8.0,), 720, (0,), 1e5)
    geometry = Geometry(n_row, n_col, 5, 7, 2048, 2048)
    return FileInfo(
        "a", "tess", "s0001", "1-1", "ffi", "ffi", "m5", geometry, readout, moments, wcs="W", time_ra=1.0, time_dec=2.0
    )


def test_reference_holds_the_middle_members_facts_and_the_mean() -> None:
    rng = np.random.default_rng(31)
    frames = [rng.normal(100, 1, (50, 70)).astype(">f4")[:, 4:60] for _ in range(12)]
    frames[3][20, 30] = 1e6
    names = [f"m{k}" for k in range(12)]
    reference = build(_info(50, 56), frames, names)
    assert reference.members == tuple(names)
    assert (reference.wcs, reference.series, reference.time_ra) == ("W", "ffi", 1.0)
    assert reference.image.dtype == np.float32
    assert abs(reference.image[20, 30] - 100) < 2
    assert reference.image.std() == pytest.approx(1 / np.sqrt(12), rel=0.05)
    # BTJD 1500.25 is 2018-12-17.75: JD 2458500.25 - 2451545.0 = 6955.25 d.
    assert reference.epoch == pytest.approx(2000 + 6955.25 / 365.25)
    moved = build(_info(50, 56), frames, names, ReferenceParams(clip=4.0), times=np.array([1865.5, np.nan]))
    assert moved.epoch == pytest.approx(2000 + 7320.5 / 365.25)


@pytest.mark.parametrize("n_clean", [0, 5, 100])
def test_a_stamp_is_its_own_reference_set(n_clean: int) -> None:
    n = 120
    quality = np.full(n, 8, np.int32)
    quality[10 : 10 + n_clean] = 0
    start = np.arange(1500.0, 1500.0 + n, dtype=np.float64)
    moments = Moments(np.arange(n), start, start + 0.5, np.zeros(n), quality)
    flux = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None], (n, 4, 5))
    made = build_from_series(replace(_info(4, 5), moments=moments), flux, ReferenceParams(clip=50.0))
    used = [int(name.removeprefix("m5#")) for name in made.members]
    allowed = range(10, 10 + n_clean) if n_clean else range(n)
    assert (used[0], used[-1]) == (allowed[0], allowed[-1])
    assert len(set(used)) == len(used) == min(len(allowed), SERIES_FRAMES)
    np.testing.assert_allclose(made.image, np.mean(used))


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(32)
    frames = [rng.normal(100, 1, (33, 20)).astype(np.float32) for _ in range(5)]
    whole = mean_image(frames)
    monkeypatch.setattr("cuvee.reference.STRIP_BYTES", 4 * 20 * 5 * 7)
    np.testing.assert_array_equal(mean_image(frames), whole)


def test_frames_of_different_shapes_or_none_are_refused() -> None:
    with pytest.raises(AlgorithmError, match="one shape"):
        mean_image([np.zeros((3, 4)), np.zeros((4, 3))])
    with pytest.raises(AlgorithmError, match="no frame"):
        mean_image([])
