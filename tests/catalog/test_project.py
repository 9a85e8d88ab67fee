"""Projection against astropy, against the pixels of real stamps, and where polynomials go astray."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from tests.catalog.scenes import sip_footprint, stamp_of

from cuvee.catalog import Cone, footprint_cone, footprint_pixels, healpix_index, project
from cuvee.catalog.motion import unit_vectors
from cuvee.errors import BadData
from cuvee.model.records import Footprint, Geometry

PLACES = [(124.6, -57.0), (0.0, 0.0), (359.99, 20.0), (40.0, 90.0), (200.0, -89.0), (10.0, 87.0)]


def sky_of(footprint: Any, col: Any, row: Any) -> Any:
    return WCS(footprint.wcs, fix=False).all_pix2world(col, row, 0)


@pytest.mark.parametrize(("ra", "dec"), PLACES)
def test_pixels_come_back_from_the_sky(ra: float, dec: float) -> None:
    footprint = sip_footprint(ra, dec)
    rng = np.random.default_rng(3)
    col, row = rng.uniform(-5.5, 2052.5, (2, 4000))
    col[:4], row[:4] = [-5.4, -5.4, 2052.4, 2052.4], [-5.4, 2052.4, -5.4, 2052.4]
    ra_in, dec_in = sky_of(footprint, col, row)
    index, got_col, got_row = project(footprint, ra_in, dec_in, margin=6.0)
    assert np.array_equal(index, np.arange(4000))
    np.testing.assert_allclose(got_col, col, rtol=0, atol=1e-4)
    np.testing.assert_allclose(got_row, row, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("ra", "dec"), PLACES)
def test_the_cone_holds_the_footprint_and_little_more(ra: float, dec: float) -> None:
    footprint = sip_footprint(ra, dec)
    cone = footprint_cone(footprint)
    t = np.linspace(-0.5, 2047.5, 1001)
    edge_col = np.concatenate([t, t, np.full(1001, -0.5), np.full(1001, 2047.5)])
    edge_row = np.concatenate([np.full(1001, -0.5), np.full(1001, 2047.5), t, t])
    sky = sky_of(footprint, edge_col, edge_row)
    assert cone.contains(*sky).all()
    assert not Cone(cone.ra, cone.dec, cone.radius * 0.999).contains(*sky).all()


def test_cones_of_arcseconds_and_hemispheres() -> None:
    small = Cone(359.9999999, 89.99999, 1e-4)
    assert small.contains(np.array([180.0, 180.0]), np.array([89.99995, 89.9998])).tolist() == [True, False]
    assert Cone(0.0, 0.0, 180.0).contains(np.array([180.0]), np.array([0.0])).all()
    assert Cone(0.0, 0.0, 90.5).contains(np.array([90.0, 91.0]), np.zeros(2)).tolist() == [True, False]


@pytest.mark.parametrize(("ra", "dec"), PLACES)
def test_every_star_of_the_footprint_is_in_its_partitions(ra: float, dec: float) -> None:
    footprint = sip_footprint(ra, dec)
    col, row = np.random.default_rng(5).uniform(-0.5, 2047.5, (2, 20_000))
    cells = healpix_index(*[np.asarray(x) for x in sky_of(footprint, col, row)]) >> 48
    pixels = footprint_pixels([footprint], 0.1)
    assert pixels == sorted(set(pixels))
    assert set(cells.tolist()) <= set(pixels)
    assert len(pixels) < 3 * len(set(cells.tolist()))


def test_partitions_of_several_stamps_are_joined() -> None:
    full = sip_footprint(0.0, 0.0)
    stamps = [stamp_of(full, f"s{i}", 400 * i, 300 * i, 11, 11) for i in range(5)]
    singles = [footprint_pixels([stamp]) for stamp in stamps]
    assert footprint_pixels(stamps) == sorted(set().union(*singles))
    assert footprint_pixels([]) == []


def test_the_whole_sky_leaves_no_phantoms() -> None:
    """The inverse polynomial alone puts far stars on the silicon; the tangent plane and the cone do not."""
    footprint = sip_footprint(124.6, -57.0)
    rng = np.random.default_rng(11)
    vectors = rng.normal(size=(200_000, 3))
    ra = np.rad2deg(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360.0
    dec = np.rad2deg(np.arcsin(vectors[:, 2] / np.linalg.norm(vectors, axis=1)))
    index, _, _ = project(footprint, ra, dec)
    wcs = WCS(footprint.wcs, fix=False)
    col, row = wcs.all_world2pix(ra, dec, 0, quiet=True)
    on = np.flatnonzero((np.abs(col - 1023.5) <= 1024) & (np.abs(row - 1023.5) <= 1024))
    back = unit_vectors(*wcs.all_pix2world(col[on], row[on], 0))
    true = on[np.linalg.norm(back - unit_vectors(ra[on], dec[on]), axis=1) < 0.01 * np.deg2rad(0.00577)]
    assert true.size < on.size - 20, "the phantoms are gone, and with them the reason for this test"
    assert np.array_equal(index, true)


def test_a_polynomial_that_folds_is_not_followed() -> None:
    """Where the distortion turns back on itself, stars are dropped rather than put somewhere."""
    footprint = sip_footprint(30.0, 10.0)
    header = fits.Header.fromstring(footprint.wcs)
    header["A_2_0"] = 6e-4  # folds at u = -833 px
    folded = Footprint("bad", footprint.geometry, header.tostring(), 2000.0)
    wcs = WCS(folded.wcs, fix=False)
    col, row = np.random.default_rng(2).uniform(0, 2047, (2, 3000))
    ra, dec = wcs.all_pix2world(col, row, 0)
    index, got_col, got_row = project(folded, ra, dec)
    again_ra, again_dec = wcs.all_pix2world(got_col, got_row, 0)
    offset = np.linalg.norm(unit_vectors(again_ra, again_dec) - unit_vectors(ra[index], dec[index]), axis=1)
    assert 0 < index.size < 3000
    assert (offset < 0.02 * np.deg2rad(0.00577)).all()


def test_a_plain_tangent_wcs_needs_no_polynomial() -> None:
    header = fits.Header.fromstring(sip_footprint(80.0, 45.0).wcs)
    for key in [key for key in header if key[:2] in ("A_", "B_")]:
        del header[key]
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    footprint = Footprint("tpf", Geometry(11, 13, 500, 700), header.tostring(), 2018.6)
    col, row = np.meshgrid(np.arange(700.0, 713.0), np.arange(500.0, 511.0))
    ra, dec = sky_of(footprint, col.ravel(), row.ravel())
    antipode = ((ra + 180.0) % 360.0, -dec)
    index, got_col, got_row = project(footprint, np.append(ra, antipode[0]), np.append(dec, antipode[1]))
    assert np.array_equal(index, np.arange(143))
    np.testing.assert_allclose(got_col, col.ravel(), atol=1e-6)
    np.testing.assert_allclose(got_row, row.ravel(), atol=1e-6)


@pytest.mark.parametrize("text", ["", "SIMPLE  =                    T", "CTYPE1  = 'WAVE    '", "not a header at all"])
def test_a_wcs_that_is_none_is_bad_data(text: str) -> None:
    footprint = Footprint("frame-7", Geometry(11, 11, 0, 0), text, 2019.0)
    with pytest.raises(BadData, match="frame-7"):
        footprint_cone(footprint)


def test_real_wcs_as_astropy_inverts_it(ic2391: Footprint) -> None:
    rng = np.random.default_rng(7)
    col, row = rng.uniform(-0.5, 2047.5, (2, 5000))
    ra, dec = sky_of(ic2391, col, row)
    index, got_col, got_row = project(ic2391, ra, dec, margin=6.0)
    assert index.size == 5000
    direct = WCS(ic2391.wcs, fix=False).all_world2pix(ra, dec, 0, tolerance=1e-6)
    assert np.abs(got_col - direct[0]).max() < 1e-4
    assert np.abs(got_row - direct[1]).max() < 1e-4
    assert np.hypot(got_col - col, got_row - row).max() < 1e-4


def test_stamps_lie_where_their_headers_say(ic2391: Footprint, shared_data: Path) -> None:
    """21 TESScut files: 1CRV5P + the position by the stamp's own WCS = the FFI's SIP WCS (D6)."""
    offsets = []
    for path in sorted((shared_data / "tess_ic2391_s8_c3_ccd4").glob("TPF*.fits.gz")):
        with fits.open(path) as file:
            star = (file[0].header["RA_OBJ"], file[0].header["DEC_OBJ"])
            x, y = WCS(file[2].header, fix=False).all_world2pix(*star, 1)
            # 1CRV5P, 2CRV5P: FFI column and row (1-based) of the stamp's first pixel.
            col, row = (file[1].header[f"{axis}CRV5P"] + place - 1.0 for axis, place in ((1, x), (2, y)))
        index, got_col, got_row = project(ic2391, np.array([star[0]]), np.array([star[1]]))
        assert index.size == 1
        offsets.append(np.hypot(got_col[0] - (col - 45.0), got_row[0] - (row - 1.0)))
    assert len(offsets) == 21
    assert max(offsets) < 0.01
