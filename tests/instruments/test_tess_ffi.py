"""Full-frame images: place, time and noise from the headers, pixels without a copy, and a reason for every broken file."""

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from cuvee.errors import BadData
from cuvee.instruments.tess import TESS
from cuvee.instruments.tess_ffi import read_ffi, scan_ffi

Maker = Callable[..., Path]
S1_START = 1325.313100604524


def _wcs(text: str) -> WCS:
    return WCS(fits.Header.fromstring(text))


def test_window_gets_its_place_from_the_shifted_wcs(make_ffi: Maker) -> None:
    info = TESS.scan(str(make_ffi(skip=(144, 200))))
    g = info.geometry
    assert (g.n_row, g.n_col, g.row0, g.col0) == (24, 30, 200, 100)
    assert (g.detector_rows, g.detector_cols) == (2048, 2048)
    assert info.series == "ffi-r0200-c0100-0024x0030"
    assert (info.segment, info.detector, info.kind) == ("s0001", "1-4", "ffi")
    assert info.name == "tess2018206192942-s0001-1-4-0120-s_ffic.fits"


def test_all_windows_of_a_ccd_and_its_full_frame_share_one_sky(make_ffi: Maker, tmp_path: Path) -> None:
    one = TESS.scan(str(make_ffi(skip=(144, 200))))
    two = TESS.scan(str(make_ffi(skip=(700, 1900), folder=_folder(tmp_path, "b"))))
    col, row = np.array([30.0, 1024.0, 2000.0]), np.array([5.0, 1100.0, 2040.0])
    np.testing.assert_allclose(
        _wcs(one.wcs).all_pix2world(col, row, 0), _wcs(two.wcs).all_pix2world(col, row, 0), atol=1e-10
    )
    # Detector coordinates are 45 columns and one row below the file's own, counted from 1.
    whole = fits.getheader(make_ffi(skip=(0, 0), folder=_folder(tmp_path, "c")), 1)
    np.testing.assert_allclose(
        _wcs(one.wcs).all_pix2world(col, row, 0), WCS(whole).all_pix2world(col + 45, row + 1, 1), atol=1e-10
    )
    np.testing.assert_allclose([one.time_ra, one.time_dec], WCS(whole).all_pix2world(1068, 1024, 1), atol=1e-9)
    assert (one.time_ra, one.time_dec) == pytest.approx((two.time_ra, two.time_dec), abs=1e-9)


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


@pytest.mark.parametrize(
    ("skip", "shape", "expected"),
    [
        ((0, 0), (128, 173), (128, 129, 0, 0, 44)),  # begins in the leading columns
        ((2000, 100), (10, 136), (10, 92, 100, 1956, 0)),  # ends in the trailing columns
        ((100, 2040), (38, 20), (8, 20, 2040, 56, 0)),  # ends in the rows behind the science rows
    ],
)
def test_collateral_pixels_are_cut_off(
    make_ffi: Maker, skip: tuple[int, int], shape: tuple[int, int], expected: tuple[int, ...]
) -> None:
    path = make_ffi(skip=skip, shape=shape)
    info = TESS.scan(str(path))
    g = info.geometry
    assert (g.n_row, g.n_col, g.row0, g.col0) == expected[:4]
    pixels = fits.getdata(path, 1)[: g.n_row, expected[4] : expected[4] + g.n_col]
    np.testing.assert_array_equal(TESS.read(info, None).flux[0], pixels)


def test_full_ccd_plain_and_compressed_are_the_same(make_ffi: Maker) -> None:
    path = make_ffi(shape=(2078, 2136), skip=(0, 0))
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    info, other = TESS.scan(str(path)), TESS.scan(str(packed))
    assert info.series == other.series == "ffi"
    assert (info.geometry.n_row, info.geometry.n_col, info.geometry.row0, info.geometry.col0) == (2048, 2048, 0, 0)
    assert other.name == info.name
    assert other.wcs == info.wcs
    buffer = np.empty(20_000_000, dtype=np.uint8)
    pixels, again = TESS.read(info, buffer), TESS.read(other, buffer.copy())
    assert np.shares_memory(pixels.flux, buffer)
    assert pixels.flux.shape == (1, 2048, 2048)
    np.testing.assert_array_equal(pixels.flux[0], fits.getdata(path, 1)[:2048, 44:2092])
    assert pixels.content == again.content


def test_content_depends_on_headers_and_science_rows_only(make_ffi: Maker, tmp_path: Path) -> None:
    path = make_ffi(skip=(100, 2040), shape=(38, 20))
    info = TESS.scan(str(path))
    content = TESS.read(info, None).content
    data = bytearray(path.read_bytes())
    at = data.index(b"XTENSION")
    image = at + 2880 * (data[at:].index(b"END" + b" " * 77) // 2880 + 1)
    for row, same in ((0, False), (7, False), (8, True)):
        changed = data.copy()
        changed[image + row * 80 + 3] ^= 1
        path.write_bytes(changed)
        assert (TESS.read(info, None).content == content) is same, row
    renamed = make_ffi(skip=(100, 2040), shape=(38, 20), cards={"DQUALITY": 0}, folder=_folder(tmp_path, "d"))
    assert TESS.read(TESS.scan(str(renamed)), None).content != content


@pytest.mark.parametrize(
    ("length", "seconds"), [(1800.0, 0.02083333395421505), (600.0, 600 / 86400), (200.0, 200 / 86400)]
)
def test_cadence_number_without_ffiindex(make_ffi: Maker, length: float, seconds: float) -> None:
    assert TESS.scan(str(make_ffi())).moments.cadence[0] == 4697
    later = {"TSTART": S1_START + 1000 * length / 86400}
    path = make_ffi(
        "tess2018206192943-s0001-1-4-0120-s_ffic.fits", primary=later, cards={"TIMEDEL": seconds, "EXPOSURE": None}
    )
    assert TESS.scan(str(path)).moments.cadence[0] == 4697 * round(1800 / length) + 1000


def test_ffiindex_counts_where_there_is_one(make_ffi: Maker) -> None:
    assert TESS.scan(str(make_ffi(primary={"FFIINDEX": 13915}))).moments.cadence.tolist() == [13915]


def test_sector_from_the_header_before_the_name(make_ffi: Maker) -> None:
    assert TESS.scan(str(make_ffi(primary={"SECTOR": 56}))).segment == "s0056"
    with pytest.raises(BadData, match="no card SECTOR") as caught:
        TESS.scan(str(make_ffi("frame.fits")))
    assert caught.value.reason == "header"


def test_times_are_those_of_extension_1_with_the_sector_offset(make_ffi: Maker) -> None:
    moments = TESS.scan(str(make_ffi(primary={"DATA_REL": 1, "PROCVER": "spoc-3.3.31"}))).moments
    start = S1_START + 5.6780875e-3
    np.testing.assert_allclose((moments.start - start) * 86400, [-1.969 + 0.06], atol=1e-4)
    np.testing.assert_allclose((moments.stop - start - 1800 / 86400) * 86400, [-1.989 + 0.06], atol=1e-4)
    np.testing.assert_allclose(moments.barycorr, [5.6780875e-3])
    assert moments.quality.tolist() == [2048]


def test_reprocessed_and_nameless_releases_keep_their_times(make_ffi: Maker) -> None:
    for primary in ({"DATA_REL": 38}, {"DATA_REL": None}):
        moments = TESS.scan(str(make_ffi(primary=primary))).moments
        np.testing.assert_allclose(moments.start, [S1_START + 5.6780875e-3], rtol=1e-12)


def test_missing_noise_cards_are_named(make_ffi: Maker) -> None:
    readout = TESS.scan(str(make_ffi())).readout
    assert readout.assumed == ()
    assert readout.exposure == pytest.approx(1425.6)
    assert readout.output_col == (0, 512, 1024, 1536)
    bare = TESS.scan(str(make_ffi(cards={"GAINB": None, "EXPOSURE": None, "NREADOUT": None}))).readout
    assert bare.assumed == ("GAINB", "EXPOSURE", "NREADOUT")
    assert bare.exposure == pytest.approx(1425.6)
    assert bare.n_read == 720
    assert 4.0 < bare.gain[1] < 6.0


def test_frame_without_wcs_is_fine_where_its_place_is_known(make_ffi: Maker) -> None:
    info = TESS.scan(str(make_ffi(wcs=False)))
    assert info.wcs == ""
    assert np.isnan(info.time_ra)
    assert (info.geometry.row0, info.geometry.col0) == (200, 56)
    full = TESS.scan(str(make_ffi(wcs=False, physical=False, shape=(2078, 2136), skip=(0, 0))))
    assert full.series == "ffi"


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"wcs": False, "physical": False}, "wrong-shape", "neither a full CCD nor a window"),
        ({"skip": (2130, 5)}, "wrong-shape", "neither a full CCD nor a window"),
        ({"skip": (10, 5)}, "wrong-shape", "neither a full CCD nor a window"),
        ({"skip": (100, 2050)}, "wrong-shape", "neither a full CCD nor a window"),
        ({"shape": (2048, 2136), "skip": (0, 40)}, "wrong-shape", "neither a full CCD nor a window"),
        ({"cards": {"CAMERA": None}}, "header", "CAMERA is missing"),
        ({"cards": {"CAMERA": 7}}, "header", "CAMERA is damaged"),
        ({"cards": {"CCD": "four"}}, "header", "CCD is damaged"),
        ({"cards": {"TSTART": None}}, "header", "TSTART is missing"),
        ({"cards": {"TSTOP": 1.0}}, "header", "TSTART and TSTOP"),
        ({"cards": {"EXPOSURE": -1.0}}, "header", "EXPOSURE"),
        ({"cards": {"IMAGTYPE": "raw"}}, "header", "no calibrated image but 'raw'"),
        ({"cards": {"CRVAL1": "x"}}, "header", "CRVAL1 is damaged"),
        ({"cards": {"CD1_1": 0.0, "CD1_2": 0.0}}, "header", "pixel scale"),
        ({"cards": {"DQUALITY": 2**40}}, "header", "DQUALITY is damaged"),
        ({"primary": {"TELESCOP": "Kepler"}}, "header", "not from TESS but from Kepler"),
        ({"primary": {"TSTART": None}, "cards": {"BARYCORR": None}}, "header", "none of the header cards FFIINDEX"),
    ],
)
def test_what_is_wrong_is_named(make_ffi: Maker, change: dict[str, Any], reason: str, words: str) -> None:
    path = make_ffi(**({"shape": (12, 14)} | change))
    with pytest.raises(BadData, match=words) as caught:
        TESS.scan(str(path))
    assert caught.value.reason == reason
    assert caught.value.path == str(path)


def test_every_cut_of_a_plain_file_is_truncated(make_ffi: Maker) -> None:
    path = make_ffi()
    data = path.read_bytes()
    ends = [2000, 2880, 4000, len(data) // 2, len(data) - 2880, len(data) - 1]
    for end in ends:
        path.write_bytes(data[:end])
        with pytest.raises(BadData) as caught:
            TESS.scan(str(path))
        # A file that ends where its first or second unit ends lacks nothing that is read, or everything.
        assert caught.value.reason == "truncated", end
    path.write_bytes(data + b"junk" * 1000)
    with pytest.raises(BadData, match="goes on behind its last unit"):
        TESS.scan(str(path))


def test_a_gzip_file_cut_within_its_science_rows_is_found_by_reading(make_ffi: Maker) -> None:
    path = make_ffi("tess2018206192942-s0001-1-4-0120-s_ffic.fits.gz", shape=(400, 500))
    info = TESS.scan(str(path))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 10])
    with pytest.raises(BadData) as caught:
        TESS.read(info, None)
    assert caught.value.reason == "truncated"


def test_a_file_that_changed_since_its_scan_is_not_read_wrongly(make_ffi: Maker, tmp_path: Path) -> None:
    path = make_ffi()
    info = TESS.scan(str(path))
    path.write_bytes(make_ffi(skip=(101, 200), folder=_folder(tmp_path, "e")).read_bytes())
    with pytest.raises(BadData, match="changed its shape") as caught:
        TESS.read(info, None)
    assert caught.value.reason == "wrong-shape"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(BadData):
        TESS.read(info, None)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_blank_frames(make_ffi: Maker, value: float) -> None:
    path = make_ffi()
    info = TESS.scan(str(path))
    with fits.open(path, mode="update") as hdus:
        hdus[1].data[:] = value
    with pytest.raises(BadData) as caught:
        TESS.read(info, None)
    assert caught.value.reason == "all-nan"
    with fits.open(path, mode="update") as hdus:
        hdus[1].data[3, 4] = 5.0
    assert np.nanmax(TESS.read(info, None).flux) == 5.0


def test_a_header_that_lies_about_its_size_allocates_nothing(make_ffi: Maker) -> None:
    path = make_ffi()
    data = path.read_bytes()
    card = b"NAXIS1  =                   30"
    assert card in data
    lies = {".fits": data.replace(card, b"NAXIS1  =           1000000000")}
    lies[".fits.gz"] = gzip.compress(lies[".fits"])
    tracemalloc.start()
    try:
        for suffix, content in lies.items():
            lie = path.with_name("tess2018206192942-s0001-1-4-0120-s_ffic" + suffix)
            lie.write_bytes(content)
            with pytest.raises(BadData):
                TESS.read(TESS.scan(str(lie)), None)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


NASTY = [
    "",
    "T",
    "-1",
    "0",
    "1E400",
    "-1E300",
    "1E299",
    "NaN",
    "''",
    "'",
    "99999999999999999999",
    "7.5",
    "1_0",
    "é",
    "1D5",
    "4096",
]


def test_no_value_of_any_card_escapes_as_anything_but_bad_data(make_ffi: Maker) -> None:
    path = make_ffi()
    data = path.read_bytes()
    rng = np.random.default_rng(7)
    cards = [at for at in range(0, 2 * 2880 + 4 * 2880, 80) if data[at + 8 : at + 10] == b"= "]
    assert len(cards) > 60
    outcomes = 0
    for _ in range(1500):
        damaged = bytearray(data)
        for at in rng.choice(cards, size=rng.integers(1, 4), replace=False):
            value = NASTY[rng.integers(len(NASTY))].rjust(20)
            damaged[at + 10 : at + 80] = value.encode("latin-1").ljust(70)
        path.write_bytes(damaged)
        try:
            info = scan_ffi(str(path))
            read_ffi(info)
        except BadData as error:
            outcomes += error.reason != ""
            continue
        assert np.isfinite(info.moments.start).all()
        if info.wcs:
            _wcs(info.wcs)
    assert outcomes > 500


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "no_ffic.fits", tmp_path):
        with pytest.raises(BadData) as caught:
            TESS.scan(str(path))
        assert caught.value.reason == "unreadable"


def test_real_frame(shared_data: Path) -> None:
    """A real header of sector 1, cropped without shifting its WCS: a window at the CCD's first pixel."""
    path = shared_data / "tess_ffi_crop" / "tess2018206192942-s0001-1-4-0120-s_ffic.fits.gz"
    info = TESS.scan(str(path))
    g = info.geometry
    assert (g.n_row, g.n_col, g.row0, g.col0) == (128, 129, 0, 0)
    assert (info.segment, info.detector, info.data_release) == ("s0001", "1-4", 1)
    assert info.moments.cadence.tolist() == [4697]
    assert info.readout.gain == pytest.approx((5.35, 5.22, 5.22, 5.18), abs=1e-6)
    assert info.readout.n_read == 720
    with fits.open(path) as hdus:
        header, data = hdus[1].header, hdus[1].data
        np.testing.assert_array_equal(TESS.read(info, None).flux[0], data[:, 44:])
        col, row = np.array([0.0, 700.0, 2047.0]), np.array([0.0, 2047.0, 300.0])
        np.testing.assert_allclose(
            _wcs(info.wcs).all_pix2world(col, row, 0),
            WCS(header, fix=False).all_pix2world(col + 45, row + 1, 1),
            atol=1e-10,
        )
        np.testing.assert_allclose(
            [info.time_ra, info.time_dec], WCS(header, fix=False).all_pix2world(1068, 1024, 1), atol=1e-9
        )
        middle = 0.5 * (header["TSTART"] + header["TSTOP"]) + (-1.979 + 0.06) / 86400
    np.testing.assert_allclose(info.moments.mid, [middle], rtol=1e-12)
