"""Each fault does to a file what its name says, and no more."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from cuvee.simulate import faults, ffi
from cuvee.simulate.pointing import make_wcs


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    window = ffi.Window(992, 992, 64)
    sector = {
        "camera": 3,
        "ccd": 4,
        "cadence": 1800,
        "release": 30,
        "scid": 136,
        "ra": 128.0,
        "dec": -46.0,
        "roll": 23.0,
    }
    plane = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    wcs = make_wcs(128.0, -46.0, 23.0)
    parts = ffi.frame_bytes(ffi.Frame(1517.4, 1517.42, 0.005, 13919, 0), sector, window, wcs, plane, plane)
    path = tmp_path / "tess2019034213450-s0008-3-4-0136-s_ffic.fits"
    path.write_bytes(b"".join(parts))
    return path


def _sums(path: Path) -> list[int]:
    # The ones-complement sum of every HDU: all ones where its CHECKSUM is right.
    raw = path.read_bytes()
    sums = []
    with fits.open(path) as f:
        for k in range(len(f)):
            place = f.fileinfo(k)
            words = np.frombuffer(raw[place["hdrLoc"] : place["datLoc"] + place["datSpan"]], dtype=">u4")
            total = int(words.astype(np.uint64).sum())
            while total >> 32:
                total = (total & 0xFFFFFFFF) + (total >> 32)
            sums.append(total)
    return sums


@pytest.mark.parametrize("name", ["all-nan", "no-wcs", "wrong-shape"])
def test_what_stays_a_valid_file_has_right_checksums(frame: Path, name: str) -> None:
    faults.FAULTS[name](frame)
    assert _sums(frame) == [0xFFFFFFFF] * 3


def test_truncated_and_empty_files(frame: Path) -> None:
    whole = frame.read_bytes()
    faults.truncate(frame)
    assert frame.read_bytes() == whole[: len(whole) * 6 // 10]
    faults.zero_byte(frame)
    assert frame.read_bytes() == b""


def test_a_page_instead_of_a_file(frame: Path) -> None:
    faults.replace_by_html(frame)
    assert frame.read_text().startswith("<!DOCTYPE html>")


def test_a_damaged_header_keeps_the_length(frame: Path) -> None:
    length = frame.stat().st_size
    faults.damage_header(frame)
    raw = frame.read_bytes()
    assert len(raw) == length
    assert raw[2880 + 160 : 2880 + 200] != b" " * 40
    assert b"\xff\x00" in raw[2880:5760]


def test_nan_pixels_in_a_valid_file(frame: Path) -> None:
    faults.all_nan(frame)
    with fits.open(frame) as f:
        f.verify("exception")
        assert np.isnan(f[1].data).all()
        assert np.isnan(f[2].data).all()
        assert f[1].data.shape == (64, 64)


def test_a_frame_without_wcs_keeps_everything_else(frame: Path) -> None:
    with fits.open(frame) as f:
        before = f[1].header.copy()
        pixels = f[1].data.copy()
    faults.strip_wcs(frame)
    with fits.open(frame) as f:
        f.verify("exception")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            assert WCS(f[1].header).wcs.ctype[0] == ""
        gone = set(before) - set(f[1].header)
        assert {"CTYPE1", "CRVAL1", "CRPIX1", "CD1_1", "A_ORDER", "A_2_0", "BP_0_4", "A_DMAX"} <= gone
        assert len(gone) == 69
        assert f[1].header["CRVAL1P"] == 45 + 992
        assert f[1].header["TSTART"] == before["TSTART"]
        np.testing.assert_array_equal(f[1].data, pixels)


def test_a_frame_of_another_shape_is_valid(frame: Path) -> None:
    faults.wrong_shape(frame)
    with fits.open(frame) as f:
        f.verify("exception")
        assert f[1].data.shape == f[2].data.shape == (64, 34 * 64)
        assert f[0].header["TELESCOP"] == "TESS"


def test_a_copy_in_another_folder(frame: Path) -> None:
    copy = faults.duplicate(frame)
    assert copy != frame
    assert copy.name == frame.name
    assert copy.read_bytes() == frame.read_bytes()


def test_every_fault_has_a_name(tmp_path: Path, frame: Path) -> None:
    whole = frame.read_bytes()
    for name, damage in faults.FAULTS.items():
        other = tmp_path / f"{name}.fits"
        other.write_bytes(whole)
        damage(other)
        assert other.read_bytes() != whole, name
