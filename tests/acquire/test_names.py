"""File names, and what they say; the examples are real names, their folders those of the archive's pages and of the public bucket."""

from __future__ import annotations

import pytest

from cuvee.acquire.names import identify

REAL = [
    (
        "tess2018206192942-s0001-1-4-0120-s_ffic.fits",
        ("tess", "ffic", 1, 1, 1, 4, 0),
        "tess/ffi/s0001/1-4",
        "mast:TESS/product/tess2018206192942-s0001-1-4-0120-s_ffic.fits",
        "tess/public/ffi/s0001/2018/206/1-4/",
    ),
    (
        "tess2018206045859-s0001-0000000117544915-0120-s_lc.fits",
        ("tess", "lc", 1, 1, 0, 0, 117544915),
        "tess/lc/s0001",
        "mast:TESS/product/tess2018206045859-s0001-0000000117544915-0120-s_lc.fits",
        "tess/public/tid/s0001/0000/0001/1754/4915/",
    ),
    (
        "tess2020187183116-s0027-0000000025155310-0189-a_fast-tp.fits",
        ("tess", "fast-tp", 27, 27, 0, 0, 25155310),
        "tess/fast-tp/s0027",
        "mast:TESS/product/tess2020187183116-s0027-0000000025155310-0189-a_fast-tp.fits",
        "tess/public/tid/s0027/0000/0000/2515/5310/",
    ),
    (
        "tess2018206190142-s0001-s0009-0000000117544915-00206_dvt.fits",
        ("tess", "dvt", 1, 9, 0, 0, 117544915),
        "tess/dv/s0001-s0009",
        "mast:TESS/product/tess2018206190142-s0001-s0009-0000000117544915-00206_dvt.fits",
        "",
    ),
    (
        "tess2018206190142-s0001-s0001-0000000117544915-01-00106_dvs.pdf",
        ("tess", "dvs", 1, 1, 0, 0, 117544915),
        "tess/dv/s0001-s0001",
        "mast:TESS/product/tess2018206190142-s0001-s0001-0000000117544915-01-00106_dvs.pdf",
        "tess/public/tid/s0001/0000/0001/1754/4915/",
    ),
    (
        "kplr011904151-2009131105131_llc.fits",
        ("kepler", "lc", 0, 0, 0, 0, 11904151),
        "kepler/lc/0119",
        "mast:KEPLER/url/missions/kepler/lightcurves/0119/011904151/kplr011904151-2009131105131_llc.fits",
        "kepler/public/lightcurves/0119/011904151/",
    ),
    (
        "ktwo205985000-c03_lpd-targ.fits.gz",
        ("k2", "tp", 3, 3, 0, 0, 205985000),
        "k2/tp/c03",
        "mast:K2/url/missions/k2/target_pixel_files/c3/205900000/85000/ktwo205985000-c03_lpd-targ.fits.gz",
        "k2/public/target_pixel_files/c3/205900000/85000/",
    ),
    (
        "ld9m10ujq_corrtag_a.fits",
        ("hst", "corrtag", 0, 0, 0, 0, 0),
        "hst/cos/ld9m",
        "mast:HST/product/ld9m10ujq_corrtag_a.fits",
        "hst/public/ld9m/ld9m10ujq/",
    ),
    (
        "oblh01040_x1d.fits",
        ("hst", "x1d", 0, 0, 0, 0, 0),
        "hst/stis/oblh",
        "mast:HST/product/oblh01040_x1d.fits",
        "hst/public/oblh/oblh01040/",
    ),
]


@pytest.mark.parametrize(("name", "facts", "folder", "uri", "shelf"), REAL, ids=[row[0] for row in REAL])
def test_a_real_name_is_read(name: str, facts: tuple[object, ...], folder: str, uri: str, shelf: str) -> None:
    named = identify(name)
    assert named is not None
    found = (named.mission, named.kind, named.first, named.last, named.camera, named.ccd, named.target)
    assert found == facts
    assert named.path == f"{folder}/{name}"
    assert named.uri == uri
    assert named.key == (f"{shelf}{name}" if shelf else "")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "README",
        "tess2018206192942-s0001-5-4-0120-s_ffic.fits",
        "tess2018206192942-s0001-1-4-0120-s_ffic.fits.wrong",
        "tess2018206045859-s0001-0000000117544915-0120-s_lc.fits/../x",
        "../tess2018206045859-s0001-0000000117544915-0120-s_lc.fits",
        "hlsp_tess-spoc_tess_phot_0000000117544915-s0001_tess_v1_lc.fits",
        "oblh01040_x1d_thumb.jpg",
    ],
)
def test_other_names_are_left_alone(name: str) -> None:
    assert identify(name) is None
