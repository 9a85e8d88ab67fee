"""Boxes cut out of raw files must be the pixels that are there, however the file is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from tests.instruments.conftest import Maker

from cuvee.errors import BadData
from cuvee.instruments import boxes
from cuvee.instruments.boxes import cut_boxes
from cuvee.instruments.kepler import KEPLER
from cuvee.instruments.tess import TESS
from cuvee.instruments.tess_ffi import plain_rows

WINDOW = {"shape": (70, 90), "skip": (344, 200)}
"""Science columns 300 to 389, rows 200 to 269."""


def whole(path: Path) -> Any:
    """Return the pixels on a detector that is NaN elsewhere, as astropy reads them."""
    detector = np.full((2200, 2200), np.nan, np.float32)
    with fits.open(path) as units:
        detector[200:270, 300:390] = units[1].data
    return detector


def places(seed: int) -> tuple[Any, Any]:
    """Return boxes inside, over each edge, on top of each other, and beside the pixels."""
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(190, 272, 40), rng.integers(290, 392, 40)
    return np.append(rows, [rows[0], 900]), np.append(cols, [cols[0], 900])


@pytest.mark.parametrize("ending", ["", ".gz", ".fz"])
@pytest.mark.parametrize("size", [1, 7])
def test_boxes_are_slices_of_the_detector(make_ffi: Maker, ending: str, size: int) -> None:
    name = "tess2018206192942-s0001-1-4-0120-s_ffic.fits"
    plain = make_ffi(name, **WINDOW)
    path = make_ffi(name + ending, **WINDOW) if ending == ".gz" else plain
    if ending == ".fz":
        path = plain.with_name(name + ending)
        with fits.open(plain) as units:
            image = fits.CompImageHDU(units[1].data, units[1].header, compression_type="GZIP_2", quantize_level=0)
            fits.HDUList([fits.PrimaryHDU(header=units[0].header), image]).writeto(path)
    detector = whole(plain)
    rows, cols = places(size)
    cut = cut_boxes(TESS, str(path), rows, cols, size)
    assert cut.flux.shape == (1, 42, size, size)
    for k, (row, col) in enumerate(zip(rows, cols, strict=True)):
        np.testing.assert_array_equal(cut.flux[0, k], detector[row : row + size, col : col + size])
    assert cut.info.name == name
    assert np.isnan(cut.flux[0, -1]).all()


def test_a_plain_frame_is_not_read_whole(make_ffi: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_ffi("tess2018206192942-s0001-1-4-0120-s_ffic.fits", **WINDOW)
    taken: list[int] = []
    read = boxes._read_rows

    def counted(*words: Any) -> Any:
        for first, rows in read(*words):
            taken.append(rows.shape[0])
            yield first, rows

    monkeypatch.setattr(boxes, "_read_rows", counted)
    cut_boxes(TESS, str(path), np.array([230, 205, 232, 500]), np.array([310, 310, 370, 310]), 5)
    assert taken == [5, 7]  # two boxes share rows; one has none


def test_stamps_bring_the_missions_background_and_mask(make_stamp: Maker) -> None:
    path = make_stamp("tess-tp.fits", shape=(5, 4))
    info = TESS.scan(str(path))
    rows, cols = np.array([info.geometry.row0 - 1]), np.array([info.geometry.col0 + 1])
    cut = cut_boxes(TESS, str(path), rows, cols, 3)
    with fits.open(path) as units:
        flux, mask = units[1].data["FLUX"], units[2].data & 2 > 0
    np.testing.assert_array_equal(cut.flux[:, 0, 1:, :], flux[:, :2, 1:4])
    assert np.isnan(cut.flux[:, 0, 0]).all()
    assert cut.background is not None
    assert np.unique(cut.background[:, 0, 1:]).tolist() == [7.0]
    assert cut.mask is not None
    np.testing.assert_array_equal(cut.mask[0, 1:], mask[:2, 1:4])
    assert not cut.mask[0, 0].any()


def test_what_is_wrong_with_a_file_comes_with_its_reason(make_ffi: Maker, tmp_path: Path) -> None:
    one = np.array([210]), np.array([310])
    path = make_ffi("tess2018206192942-s0001-1-4-0120-s_ffic.fits", **WINDOW)
    os.truncate(path, 12_000)
    with pytest.raises(BadData, match="cut short"):
        cut_boxes(TESS, str(path), *one, 3)
    with pytest.raises(BadData, match="cannot be read"):
        cut_boxes(KEPLER, str(tmp_path / "none.fits"), *one, 3)


def test_a_file_that_shrinks_meanwhile_is_noticed(make_ffi: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_ffi("tess2018206192942-s0001-1-4-0120-s_ffic.fits", **WINDOW)

    def shrink(info: Any) -> Any:
        found = plain_rows(info)
        os.truncate(path, 12_000)
        return found

    monkeypatch.setattr("cuvee.instruments.boxes.plain_rows", shrink)
    with pytest.raises(BadData, match="shorter"):
        cut_boxes(TESS, str(path), np.array([260]), np.array([310]), 5)
