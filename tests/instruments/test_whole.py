"""Whole files against astropy's writers, and every way in which a download spoils one."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from cuvee.errors import BadData
from cuvee.instruments.whole import check_fits, headers_of, unit_sums


def content(checksum: bool = True) -> bytes:
    """Return a file of an empty primary unit, an image and a table, as astropy writes it."""
    rng = np.random.default_rng(3)
    table = fits.BinTableHDU.from_columns([fits.Column("TIME", "D", array=rng.random(50))])
    primary = fits.PrimaryHDU()
    primary.header["NEXTEND"] = 2
    file = io.BytesIO()
    fits.HDUList([primary, fits.ImageHDU(rng.normal(100.0, 9.0, (40, 30)).astype(np.float32)), table]).writeto(
        file, checksum=checksum
    )
    return file.getvalue()


def spoc(whole: bytes) -> bytes:
    """Return the file as the mission leaves it: with CHECKSUM, without DATASUM, sums right."""
    with fits.open(io.BytesIO(whole)) as units:
        out = io.BytesIO()
        for unit in units:
            unit.add_checksum()
            del unit.header["DATASUM"]
            unit.header.pop("CHECKSUM")
            unit.header["CHECKSUM"] = "0" * 16
            text = unit.header.tostring().encode()
            data = unit.fileinfo()
            body = whole[data["datLoc"] : data["datLoc"] + data["datSpan"]]
            total = int(np.frombuffer(text + body, ">u4").sum(dtype=np.uint64)) % 0xFFFFFFFF
            unit.header["CHECKSUM"] = unit._char_encode(np.uint32(~np.uint32(total)))
            out.write(unit.header.tostring().encode() + body)
    return out.getvalue()


def put(folder: Path, data: bytes, name: str = "x.fits") -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_whole_file_is_whole(tmp_path: Path, compressed: bool) -> None:
    data = content()
    path = put(tmp_path, gzip.compress(data) if compressed else data)
    check_fits(path)
    assert [cards.value("XTENSION") for cards in headers_of(path)] == [None, "IMAGE", "BINTABLE"]
    assert [(one.number, one.holds) for one in unit_sums(path)] == [(0, True), (1, True), (2, True)]


def test_sums_without_datasum_hold(tmp_path: Path) -> None:
    data = spoc(content())
    assert b"DATASUM" not in data
    assert [one.holds for one in unit_sums(put(tmp_path, data))] == [True, True, True]


def test_without_the_card_there_is_no_verdict(tmp_path: Path) -> None:
    assert [one.holds for one in unit_sums(put(tmp_path, content(checksum=False)))] == [None, None, None]


def test_a_bit_that_turned_is_one_bit_and_an_edit_is_not(tmp_path: Path) -> None:
    data = bytearray(content())
    at = data.index(b"XTENSION= 'BINTABLE'") - 2880 * 2
    data[at] ^= 4
    assert [(one.holds, one.one_bit) for one in unit_sums(put(tmp_path, bytes(data)))] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    data[at] ^= 0xFF
    data[at + 2] ^= 0x5A
    assert not unit_sums(put(tmp_path, bytes(data)))[1].one_bit


@pytest.mark.parametrize("compressed", [False, True])
def test_every_cut_is_seen(tmp_path: Path, compressed: bool) -> None:
    data = content()
    for size in [*range(1, len(data), 997), *range(2880, len(data), 2880)]:
        cut = data[:size]
        with pytest.raises(BadData) as caught:
            check_fits(put(tmp_path, gzip.compress(cut, 1) if compressed else cut))
        assert caught.value.reason in ("truncated", "not-fits"), size


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>down for maintenance</body></html>", "not-fits"),
        (bytes(28800), "not-fits"),
        (b"<html>busy</html>" + content()[17:], "not-fits"),
        (content() + content()[-4000:], "unreadable"),
        (content() + content(), "unreadable"),
        (content() + bytes(2880), "unreadable"),
        (gzip.compress(content())[:-400], "truncated"),
    ],
    ids=["empty", "page", "zeros", "resumed-page", "tail-twice", "twice", "padded", "gzip-cut"],
)
def test_what_downloads_leave_behind(tmp_path: Path, spoilt: bytes, reason: str) -> None:
    with pytest.raises(BadData) as caught:
        check_fits(put(tmp_path, spoilt))
    assert caught.value.reason == reason
    assert str(tmp_path / "x.fits") in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"nowhere\.fits cannot be read"):
        check_fits(str(tmp_path / "nowhere.fits"))
