"""Masks against what two missions' pipelines published."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from cuvee.photometry import aperture


def test_pipeline_mask_reproduces_sap_flux(shared_data: Path) -> None:
    folder = shared_data / "tess_tpf_25155310"
    with fits.open(next(folder.glob("*first-cadences*"))) as tpf, fits.open(next(folder.glob("hlsp*"))) as lc:
        table, mask = tpf[1].data, (tpf[2].data & 2) > 0
        rows = np.searchsorted(lc[1].data["CADENCENO"], table["CADENCENO"])
        ours = aperture.sum_mask(table["FLUX"], mask)
        sap, sap_background = lc[1].data["SAP_FLUX"][rows], lc[1].data["SAP_BKG"][rows]
        behind = aperture.sum_mask(table["FLUX_BKG"], mask)
    good = np.isfinite(sap)
    assert good.sum() >= 4
    np.testing.assert_allclose(ours[good], sap[good], rtol=2e-7)
    np.testing.assert_allclose(behind[good], sap_background[good], rtol=2e-6)


@pytest.mark.parametrize(("kind", "number"), [("CIRC", 6), ("PRF", 4)])
def test_k2sff_masks_over_the_median_reproduce_fraw(shared_data: Path, kind: str, number: int) -> None:
    folder = shared_data / "k2_221312395"
    with fits.open(next(folder.glob("ktwo*"))) as tpf, fits.open(next(folder.glob("hlsp*"))) as k2sff:
        cadence, flux = tpf[1].data["CADENCENO"], tpf[1].data["FLUX"].astype(np.float64)
        masks = {name: k2sff[_cube(k2sff, name)].data > 0 for name in ("CIRC", "PRF")}
        outside = ~masks["CIRC"][3]
        background = np.nanmedian(flux[:, outside], axis=1)
        for n in range(number):
            table = k2sff[f"{kind}_APER{n}"].data
            rows = np.searchsorted(cadence, table["CADENCENO"])
            ours = aperture.sum_mask(flux, masks[kind][n], background)[rows]
            np.testing.assert_allclose(ours / np.median(ours), table["FRAW"] / np.median(table["FRAW"]), rtol=1e-13)


def _cube(hdus: fits.HDUList, name: str) -> int:
    return next(
        k for k, hdu in enumerate(hdus) if hdu.is_image and hdu.name.startswith(name) and hdu.header["NAXIS"] == 3
    )


def test_nan_in_the_mask_makes_the_sum_nan() -> None:
    flux = np.ones((3, 4, 4), np.float32)
    flux[1, 2, 2] = np.nan
    mask = np.zeros((4, 4), bool)
    mask[2, 1:3] = True
    np.testing.assert_array_equal(aperture.sum_mask(flux, mask), [2.0, np.nan, 2.0])
    np.testing.assert_array_equal(aperture.sum_mask(flux, mask, np.array([0.5, 0.5, 1.0])), [1.0, np.nan, 0.0])


def test_mask_rows_hold_the_mask_for_every_star() -> None:
    mask = np.zeros((3, 5), bool)
    mask[1, 2:4] = True
    rows = aperture.mask_rows(mask, np.array([2.5, np.nan]), np.array([1.0, 0.0]))
    assert rows.pixel[:, 0].tolist() == [7, 8, 7, 8]
    assert rows.ptr.tolist() == [[0, 2], [2, 4]]
    np.testing.assert_allclose(rows.area[0, 0], [2.0, 2.0, 0.0, 0.0])
    assert not rows.clipped.any()
