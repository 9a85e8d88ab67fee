"""Stamps: whole series at once, down to one pixel, and the masks of two missions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.extract.scenes import AREA, COL0, GEOMETRY, N_COL, N_ROW, ROW0, Scene, noisy_stamp, stamp_info, targets_at

from cuvee import extract
from cuvee.errors import ConfigError
from cuvee.model import flags
from cuvee.model.records import Pixels, Readout


def test_twenty_thousand_cadences_of_a_stamp() -> None:
    cube = noisy_stamp(np.random.default_rng(61), 20_000)
    info = stamp_info((11, 11), 20_000)
    block = extract.extract_series(
        Pixels(cube, ""), info, targets_at([COL0 + 5.2], [ROW0 + 4.9], "stamp"), extract.ExtractParams()
    )
    flux, error = block.planes["aperture3_flux"][0], block.planes["aperture3_flux_err"][0]
    assert flux.mean() == pytest.approx(3000.0, rel=2e-3)
    assert np.std(flux) == pytest.approx(error.mean(), rel=0.05)
    level = 120.0 + 30.0 * np.sin(np.arange(20_000) / 50.0)
    assert np.std(block.planes["background"][0] - level) == pytest.approx(
        block.planes["background_err"].mean(), rel=0.05
    )
    assert np.all(block.planes["flag"] == flags.FAINT_THIRD)
    assert block.planes["centroid_col"].mean() == pytest.approx(COL0 + 5.2, abs=5e-3)
    assert block.planes["centroid_row"].mean() == pytest.approx(ROW0 + 4.9, abs=5e-3)


def test_one_pixel_has_no_background() -> None:
    cube = np.full((40, 1, 1), 100.0, ">f4")
    block = extract.extract_series(
        Pixels(cube, ""),
        stamp_info((1, 1), 40),
        targets_at([COL0 + 0.0], [ROW0 + 0.0], "stamp"),
        extract.ExtractParams(),
    )
    assert np.isnan(block.planes["aperture1_flux"]).all()
    assert np.all(block.planes["flag"] & flags.NO_BACKGROUND)
    assert np.all(block.planes["flag"] & flags.EDGE)


def test_flux_that_is_subtracted_already_is_left_alone() -> None:
    rng = np.random.default_rng(62)
    cube = noisy_stamp(rng, 400)
    behind = np.full(cube.shape, 100.0, np.float32)
    info = stamp_info((11, 11), 400, background_subtracted=True)
    targets = targets_at([COL0 + 5.2], [ROW0 + 4.9], "stamp")
    params = extract.ExtractParams()
    block = extract.extract_series(Pixels((cube - 100.0).astype(">f4"), "", behind), info, targets, params)
    plain = extract.extract_series(Pixels(cube, ""), info, targets, params)
    np.testing.assert_allclose(
        plain.planes["aperture2_flux"] - block.planes["aperture2_flux"], 100 * AREA[1], rtol=1e-3
    )
    np.testing.assert_allclose(plain.planes["aperture2_flux_err"], block.planes["aperture2_flux_err"], rtol=1e-4)
    np.testing.assert_allclose(block.planes["background"], 100.0, rtol=1e-5)
    assert np.all(plain.planes["background"] == 0.0)
    assert np.all(block.planes["background_err"] == 0.0)
    assert np.all(block.planes["flag"] == 0)


def test_frames_without_light_are_nan_and_flagged() -> None:
    cube = noisy_stamp(np.random.default_rng(63), 40)
    cube[7] = np.nan
    block = extract.extract_series(
        Pixels(cube, ""),
        stamp_info((11, 11), 40),
        targets_at([COL0 + 5.2], [ROW0 + 4.9], "stamp"),
        extract.ExtractParams(),
    )
    assert np.isnan(block.planes["aperture1_flux"][0, 7])
    assert block.planes["flag"][0, 7] & flags.NAN_PIXEL
    assert block.planes["flag"][0, 7] & flags.NO_BACKGROUND
    assert np.isfinite(np.delete(block.planes["aperture1_flux"][0], 7)).all()


def test_a_big_cutout_is_treated_like_a_frame(scene: Scene) -> None:
    cube = np.stack(scene.frames)
    info = replace(stamp_info((N_ROW, N_COL), 48), geometry=GEOMETRY)
    targets = replace(scene.targets, series=np.full(150, "stamp"))
    block = extract.extract_series(Pixels(cube, ""), info, targets, extract.ExtractParams())
    alone = scene.alone()
    assert not np.any(block.planes["flag"] & flags.FAINT_THIRD)
    np.testing.assert_allclose(
        block.planes["aperture2_flux"][alone], scene.extract().planes["aperture2_flux"][alone], rtol=0.02, atol=3.0
    )


def test_pipeline_mask_reproduces_sap_flux(shared_data: Path) -> None:
    folder = shared_data / "tess_tpf_25155310"
    with fits.open(next(folder.glob("*first-cadences*"))) as tpf, fits.open(next(folder.glob("hlsp*"))) as lc:
        table, mask = tpf[1].data, (tpf[2].data & 2) > 0
        rows = np.searchsorted(lc[1].data["CADENCENO"], table["CADENCENO"])
        sap, behind = lc[1].data["SAP_FLUX"][rows], lc[1].data["SAP_BKG"][rows]
        error = lc[1].data["SAP_FLUX_ERR"][rows]
        readout = Readout(
            tpf[1].header["INT_TIME"] * tpf[1].header["NREADOUT"],
            (tpf[1].header["GAINA"],), (tpf[1].header["READNOIA"],), tpf[1].header["NREADOUT"], (0,), 1e5,
        )  # fmt: skip
        pixels = Pixels(table["FLUX"], "", table["FLUX_BKG"], mask)
    info = stamp_info(mask.shape, len(sap), readout=readout, background_subtracted=True)
    targets = targets_at([COL0 + 5.0], [ROW0 + 5.0], "stamp")
    block = extract.extract_series(pixels, info, targets, extract.ExtractParams(mask="pipeline"))
    good = np.isfinite(sap)
    np.testing.assert_allclose(block.planes["aperture1_flux"][0, good], sap[good], rtol=2e-7)
    np.testing.assert_allclose(mask.sum() * block.planes["background"][0, good], behind[good], rtol=2e-6)
    # The mission adds terms that the headers do not name: its errors are some per cent larger.
    ratio = block.planes["aperture1_flux_err"][0, good] / error[good]
    assert np.all((ratio > 0.85) & (ratio < 1.02))
    assert sorted(block.planes) == sorted(
        ["aperture1_flux", "aperture1_flux_err", "background", "background_err", "centroid_col", "centroid_row", "flag"]
    )


@pytest.mark.parametrize(("kind", "number"), [("CIRC", 6), ("PRF", 4)])
def test_given_masks_less_the_median_reproduce_k2sff(shared_data: Path, kind: str, number: int) -> None:
    """Truth D3: FRAW is the sum over the mask less its pixels times the median of those outside CIRC_APER3."""
    folder = shared_data / "k2_221312395"
    with fits.open(next(folder.glob("ktwo*"))) as tpf, fits.open(next(folder.glob("hlsp*"))) as k2sff:
        cadence, flux = tpf[1].data["CADENCENO"], tpf[1].data["FLUX"].astype(np.float32)
        masks = {name: k2sff[f"{name}_APER_TBL"].data != 0 for name in ("CIRC", "PRF")}
        tables = [k2sff[f"{kind}_APER{n}"].data for n in range(number)]
    background = np.nanmedian(flux[:, ~masks["CIRC"][3]].astype(np.float64), axis=1)
    info = stamp_info(flux.shape[1:], cadence.size)
    targets = targets_at([COL0 + 5.0], [ROW0 + 5.0], "stamp")
    for mask, table in zip(masks[kind], tables, strict=False):
        block = extract.extract_series(Pixels(flux, ""), info, targets, extract.ExtractParams(mask="given"), mask)
        rows = np.searchsorted(cadence, table["CADENCENO"])
        total = block.planes["aperture1_flux"][0, rows].astype(np.float64)
        raw = total - mask.sum() * background[rows]
        truth = table["FRAW"] * np.median(raw) / np.median(table["FRAW"])
        # Sums are kept as float32: half a unit in the last of 24 bits, in the point and in the median.
        np.testing.assert_allclose(raw, truth, rtol=0, atol=2.0**-23 * total.max())
        assert np.all(block.planes["background"] == 0.0)


def test_masks_that_are_missing_or_do_not_fit_are_refused() -> None:
    pixels = Pixels(np.ones((3, 5, 5), np.float32), "")
    targets = targets_at([COL0 + 2.0], [ROW0 + 2.0], "stamp")
    with pytest.raises(ConfigError, match="there is none"):
        extract.extract_series(pixels, stamp_info((5, 5), 3), targets, extract.ExtractParams(mask="pipeline"))
    with pytest.raises(ConfigError, match="5 x 5"):
        extract.extract_series(
            pixels, stamp_info((5, 5), 3), targets, extract.ExtractParams(mask="mask.fits"), np.ones((4, 5), bool)
        )
    given = np.zeros((5, 5), bool)
    given[2, 1:4] = True
    block = extract.extract_series(
        pixels, stamp_info((5, 5), 3), targets, extract.ExtractParams(mask="mask.fits"), given
    )
    np.testing.assert_array_equal(block.planes["aperture1_flux"], 3.0)
    assert block.meta["mask"]
    pixels.flux[1, 2, 2] = np.nan
    pixels.flux[2, 0, 0] = np.nan
    block = extract.extract_series(
        pixels, stamp_info((5, 5), 3), targets, extract.ExtractParams(mask="mask.fits"), given
    )
    np.testing.assert_array_equal(block.planes["aperture1_flux"], [[3.0, np.nan, 3.0]])
    assert (block.planes["flag"][0] & flags.NAN_PIXEL > 0).tolist() == [False, True, False]
