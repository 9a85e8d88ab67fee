"""What holds in every frame: who is measured, and the flags that tell of it."""

from dataclasses import replace

import numpy as np
import pytest
from tests.extract.scenes import COL0, N_COL, N_ROW, READOUT, ROW0, Scene, batches, measure_one, moments_of

from cuvee import extract
from cuvee.model import flags
from cuvee.model.records import Batch


def test_static_flags(scene: Scene) -> None:
    col = COL0 + np.array([100.0, 3.1, 2.9, -0.4, 100.0, 135.9, 136.1, 143.1, -9.0, np.nan])
    row = ROW0 + np.array([100.0, 60.0, 60.0, 60.0, N_ROW - 3.9, 50.0, 50.0, 50.0, 60.0, 60.0])
    block = measure_one(scene.frames[0], col.tolist(), row.tolist(), scene)
    flag = block.planes["flag"][:, 0]
    assert (flag & flags.EDGE > 0).tolist() == [False, False, True, True, True, False, False, False, True, True]
    assert (flag & flags.STRADDLES_OUTPUTS > 0).tolist() == [k == 6 for k in range(10)]
    assert np.isfinite(block.planes["aperture1_flux"][:8, 0]).all()
    assert np.isnan(block.planes["aperture1_flux"][8:, 0]).all()
    raw = block.planes["aperture3_flux"][3, 0] + 0.0
    image = np.ascontiguousarray(scene.frames[0], dtype=np.float64) - block.planes["background"][3, 0]
    x, y = np.meshgrid(np.arange(N_COL), np.arange(N_ROW))
    near = (np.abs(x + 0.4) < 5) & (np.abs(y - 60.0) < 5)
    # What is there of a clipped aperture: compare with a finely sampled circle.
    grid = (np.arange(50) + 0.5) / 50 - 0.5
    inside = np.array([
        np.mean(np.hypot(i + grid[:, None] + 0.4, j + grid[None, :] - 60.0) < 3.5)
        for i, j in zip(x[near], y[near], strict=True)
    ])  # fmt: skip
    assert raw == pytest.approx((image[near] * inside).sum(), rel=5e-3, abs=0.5)


def test_missing_cards_of_the_noise_model_are_said_in_every_point(scene: Scene) -> None:
    assert not np.any(scene.extract().planes["flag"] & flags.ASSUMED_READOUT)
    bare = replace(scene.reference, readout=replace(READOUT, assumed=("GAINB",)))
    batch = iter([Batch([scene.frames[0]], np.array([0]))])
    block = extract.extract(batch, moments_of(1), ("",), scene.targets, bare, extract.ExtractParams())
    assert np.all(block.planes["flag"] & flags.ASSUMED_READOUT)


def test_targets_flags_travel_along(scene: Scene) -> None:
    targets = scene.targets.take(slice(0, 4))
    targets = replace(targets, flag=np.array([0, flags.NO_POSITION, flags.ASTEROID, 0], np.int32))
    batch = iter([Batch([scene.frames[0]], np.array([1]))])
    block = extract.extract(batch, moments_of(2), ("", ""), targets, scene.reference, extract.ExtractParams())
    assert np.all(block.planes["flag"][1] & flags.NO_POSITION)
    assert np.all(block.planes["flag"][2] & flags.ASTEROID)


def test_other_series_stars_are_left_out(scene: Scene) -> None:
    targets = replace(scene.targets, series=np.where(np.arange(150) % 3 == 0, "ffi", "stamp"))
    block = extract.extract(
        batches(scene.frames[:2], range(2)), moments_of(2), ("", ""), targets, scene.reference, extract.ExtractParams()
    )
    assert block.rows.tolist() == list(range(0, 150, 3))
    whole = scene.extract()
    np.testing.assert_array_equal(block.planes["aperture2_flux"], whole.planes["aperture2_flux"][::3, :2])
