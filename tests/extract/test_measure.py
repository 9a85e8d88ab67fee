"""What bad pixels do to the stars near them, and to no other."""

import numpy as np
import pytest
from tests.extract.scenes import COL0, N_COL, N_ROW, READOUT, ROW0, Scene, measure_one

from cuvee.model import flags


def test_a_nan_pixel_spoils_only_the_apertures_that_hold_it(scene: Scene) -> None:
    col, row = COL0 + 100.0, ROW0 + 100.0
    frame = np.array(scene.frames[0], np.float32)
    frame[100, 103] = np.nan  # 2.5 to 3.5 px away: touches only the largest aperture
    frame[100, 140] = np.inf
    frame[100, 146] = np.nan  # 4 px from the third star: in none of its apertures
    block = measure_one(frame, [col, col + 39, col + 50], [row, row, row], scene)
    flux = np.stack([block.planes[f"aperture{a}_flux"][:, 0] for a in (1, 2, 3)], axis=1)
    assert np.isfinite(flux).tolist() == [[True, True, False], [False, False, False], [True, True, True]]
    error = np.stack([block.planes[f"aperture{a}_flux_err"][:, 0] for a in (1, 2, 3)], axis=1)
    np.testing.assert_array_equal(np.isfinite(error), np.isfinite(flux))
    assert (block.planes["flag"][:, 0] & flags.NAN_PIXEL > 0).tolist() == [True, True, False]


def test_saturation_is_seen_on_the_pixel(scene: Scene) -> None:
    frame = np.array(scene.frames[0], np.float32)
    frame[100, 102] = READOUT.saturation
    block = measure_one(frame, [COL0 + 100.0, COL0 + 120.0], [ROW0 + 100.0, ROW0 + 100.0], scene)
    assert (block.planes["flag"][:, 0] & flags.SATURATED > 0).tolist() == [True, False]


def test_no_background_no_flux(scene: Scene) -> None:
    frame = np.full((N_ROW, N_COL), np.nan, np.float32)
    frame[97:104, 97:104] = 5.0
    for background in ("mesh", "annulus"):
        block = measure_one(frame, [COL0 + 30.0], [ROW0 + 30.0], scene, background=background)
        assert block.planes["flag"][0, 0] & flags.NO_BACKGROUND
        assert np.isnan(block.planes["aperture1_flux"]).all()


def test_half_a_frame_keeps_its_half(scene: Scene) -> None:
    frame = np.array(scene.frames[0], np.float32)
    frame[:, 120:] = np.nan
    block = measure_one(frame, [COL0 + 60.0, COL0 + 180.0], [ROW0 + 100.0] * 2, scene)
    whole = measure_one(scene.frames[0], [COL0 + 60.0, COL0 + 180.0], [ROW0 + 100.0] * 2, scene)
    assert block.planes["background"][0, 0] == pytest.approx(whole.planes["background"][0, 0], abs=3.0)
    assert np.isfinite(block.planes["aperture3_flux"][0, 0])
    assert np.isnan(block.planes["aperture1_flux"][1, 0])
