"""Names of the archive manuals and of real files, and where the archive keeps them."""

from __future__ import annotations

import pytest

from cuvee.testing.archive.names import read_name

S3 = {
    "tess2018206192942-s0001-1-4-0120-s_ffic.fits": "tess/public/ffi/s0001/2018/206/1-4/",
    "tess2018206045859-s0001-0000000117544915-0120-s_lc.fits": "tess/public/tid/s0001/0000/0001/1754/4915/",
    "kplr011904151-2009131105131_llc.fits": "kepler/public/lightcurves/0119/011904151/",
    "u9o40504m_c3m.fits": "hst/public/u9o4/u9o40504m/",
}


@pytest.mark.parametrize("name", S3)
def test_a_file_lies_where_the_public_bucket_has_it(name: str) -> None:
    assert read_name(name).key == S3[name] + name


@pytest.mark.parametrize(
    ("name", "mission", "kind", "obs_id", "sectors", "star"),
    [
        ("tess2018206192942-s0001-1-4-0120-s_ffir.fits", "TESS", "ffir", "tess-s0001-1-4", (1, 1), 0),
        ("tess2019085135100-s0010-2-4-0140-s_cbv.fits", "TESS", "cbv", "tess-s0010-2-4", (10, 10), 0),
        (
            "tess2018206045859-s0001-0000000117544915-0120-s_tp.fits",
            "TESS",
            "tp",
            "tess2018206045859-s0001-0000000117544915-0120-s",
            (1, 1),
            117544915,
        ),
        (
            "tess2020186164531-s0027-0000000025155310-0189-a_fast-lc.fits",
            "TESS",
            "fast-lc",
            "tess2020186164531-s0027-0000000025155310-0189-a_fast",
            (27, 27),
            25155310,
        ),
        (
            "tess2018206190142-s0001-s0009-0000000117544915-00205_dvt.fits",
            "TESS",
            "dvt",
            "tess2018206190142-s0001-s0009-0000000117544915",
            (1, 9),
            117544915,
        ),
        (
            "tess2018206190142-s0001-s0009-0000000117544915-01-00205_dvs.pdf",
            "TESS",
            "dvs",
            "tess2018206190142-s0001-s0009-0000000117544915",
            (1, 9),
            117544915,
        ),
        ("tess2018206190142-s0001-s0001_dvr-tcestats.csv", "TESS", "tce", "", (1, 1), 0),
        ("ktwo221312395-c91_lpd-targ.fits.gz", "K2", "lpd-targ", "ktwo221312395-c91_lc", (9, 9), 221312395),
        ("ld9m10ujq_corrtag_a.fits.gz", "HST", "corrtag_a", "ld9m10ujq", (0, 0), 0),
    ],
)
def test_a_name_says_what_the_file_is(
    name: str, mission: str, kind: str, obs_id: str, sectors: tuple[int, int], star: int
) -> None:
    found = read_name(name)
    assert (found.mission, found.kind, found.obs_id, (found.first, found.last), found.star) == (
        mission,
        kind,
        obs_id,
        sectors,
        star,
    )
    assert found.uri == f"mast:{mission.upper()}/product/{name}"


@pytest.mark.parametrize(
    "name",
    ["catalog.csv", "tess2018206192942-s0001-5-4-0120-s_ffic.fits", "tess2018206192942-s0001-1-4-0120-s_ffic.fits.tmp"],
)
def test_another_name_is_of_no_mission(name: str) -> None:
    assert read_name(name).mission == ""
