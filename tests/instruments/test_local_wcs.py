"""The local WCS must be what astropy makes of the whole one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from tests.instruments.conftest import Maker

from cuvee.errors import BadData
from cuvee.instruments.local_wcs import local_wcs, sky_of_pixels, to_plane
from cuvee.instruments.tess import TESS


@pytest.fixture
def text(make_ffi: Maker) -> str:
    return TESS.scan(str(make_ffi("tess2018206192942-s0001-1-4-0120-s_ffic.fits"))).wcs


def astropy_wcs(text: str) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(fits.Header.fromstring(text))


def test_directions_are_astropys(text: str) -> None:
    assert "RA---TAN-SIP" in text
    col, row = np.random.default_rng(1).uniform(-20.0, 2070.0, (2, 50))
    ra, dec = sky_of_pixels(text, col, row)
    np.testing.assert_allclose(np.stack([ra, dec]), astropy_wcs(text).all_pix2world(col, row, 0), rtol=0, atol=1e-11)


def test_the_plane_touches_the_sky_as_in_astropy() -> None:
    plain = WCS(naxis=2)
    plain.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    for ra0, dec0 in ((0.01, 10.0), (200.0, -89.9), (359.99, 0.0)):
        plain.wcs.crval = [ra0, dec0]
        east, north = np.random.default_rng(2).uniform(-1.0, 1.0, (2, 20))
        ra, dec = plain.all_pix2world(east, north, 1)
        np.testing.assert_allclose(to_plane(ra, dec, ra0, dec0), (east, north), atol=1e-11)


def test_it_follows_the_distortion_over_a_cut(text: str) -> None:
    wcs, full = local_wcs(text, 1900.3, 100.7, 5.5), astropy_wcs(text)
    assert (wcs.ra, wcs.dec) == pytest.approx(tuple(map(float, full.all_pix2world(1900.3, 100.7, 0))), abs=1e-11)
    step = np.random.default_rng(3).uniform(-7.0, 7.0, (2, 30))
    ra, dec = full.all_pix2world(1900.3 + step[0], 100.7 + step[1], 0)
    plane = to_plane(ra, dec, wcs.ra, wcs.dec)
    off = np.linalg.solve(wcs.matrix, np.stack(plane)) - step
    assert np.abs(off).max() < 3e-3  # px, where the distortion is largest
    assert np.abs(wcs.matrix - full.pixel_scale_matrix).max() > 1e-6  # the matrix alone would not do


def test_a_damaged_card_is_told(text: str) -> None:
    with pytest.raises(BadData, match="CRVAL1"):
        sky_of_pixels(text.replace("CRVAL1 ", "CRVALX "), [1.0], [1.0])
