"""Small boxes of pixels out of one raw file: of a plain full frame without reading the rest of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData
from cuvee.instruments.fits_bytes import open_stream
from cuvee.instruments.tess_ffi import plain_rows
from cuvee.model.instrument import Instrument
from cuvee.model.records import FileInfo

__all__ = ["Boxes", "cut_boxes"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Boxes:
    """Pixels of one file around some places.

    Parameters
    ----------
    info : FileInfo
        What the file's headers say.
    flux : float32 array, shape (n_frame, n_box, size, size)
        As the file has them (e-/s); NaN where it has no pixel.
    background : float32 array of the same shape, optional
        What the mission subtracted (e-/s), where the file says so.
    mask : bool array, shape (n_box, size, size), optional
        The mission's pixel mask.
    """

    info: FileInfo
    flux: NDArray[np.float32]
    background: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None


def cut_boxes(device: Instrument, path: str, row0: IntArray, col0: IntArray, size: int) -> Boxes:
    """Cut boxes of pixels out of a raw file.

    Parameters
    ----------
    device : Instrument
        Reads it.
    path : str
        The file.
    row0, col0 : int64 array, shape (n_box,)
        Detector coordinates of each box's pixel [0, 0]; boxes may reach beyond the pixels.
    size : int
        Rows and columns of a box.

    Returns
    -------
    Boxes
        Of a plain TESS full frame only the rows that the boxes touch are read, so its checksum is not looked at.

    Raises
    ------
    BadData
        With a reason, as the instrument's ``scan`` and ``read``.
    """
    info = device.scan(path)
    place = plain_rows(info) if (info.instrument, info.kind) == ("tess", "ffi") else None
    if place is not None:
        flux = np.full((1, row0.size, size, size), np.nan, np.float32)
        for first, rows in _read_rows(info, *place, _spans(info, row0, size)):
            here = np.flatnonzero((row0 < first + rows.shape[0]) & (row0 + size > first))
            _paste(flux, rows[np.newaxis], (first, info.geometry.col0), row0, col0, here)
        return Boxes(info, flux)
    pixels = device.read(info, None)
    corner = info.geometry.row0, info.geometry.col0

    def boxes(images: NDArray[Any]) -> NDArray[np.float32]:
        out = np.full((images.shape[0], row0.size, size, size), np.nan, np.float32)
        _paste(out, images, corner, row0, col0, np.arange(row0.size))
        return out

    background = None if pixels.background is None else boxes(pixels.background)
    mask = None if pixels.mask is None else boxes(pixels.mask[np.newaxis])[0] == 1.0
    return Boxes(info, boxes(pixels.flux), background, mask)


def _spans(info: FileInfo, row0: IntArray, size: int) -> list[tuple[int, int]]:
    """Return first and last row + 1 of the rows to read, in detector coordinates; spans do not overlap."""
    g = info.geometry
    spans: list[tuple[int, int]] = []
    for first in np.unique(row0).tolist():
        low, high = max(first, g.row0), min(first + size, g.row0 + g.n_row)
        if low >= high:
            continue
        if spans and low <= spans[-1][1]:
            spans[-1] = spans[-1][0], high
        else:
            spans.append((low, high))
    return spans


def _read_rows(
    info: FileInfo, offset: int, stride: int, spans: list[tuple[int, int]]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the first row of each span, and its pixels of shape (n_row, n_col)."""
    g = info.geometry
    with open_stream(info.path) as (stream, _):
        for low, high in spans:
            count = (high - low - 1) * stride + 4 * g.n_col
            stream.seek(offset + (low - g.row0) * stride)
            data = stream.read(count)
            if len(data) < count:
                raise BadData(
                    f"{info.path} has become shorter since it was scanned; run again.", "truncated", info.path
                )
            yield low, np.ndarray((high - low, g.n_col), ">f4", data, strides=(stride, 4))


def _paste(
    boxes: NDArray[np.float32],
    images: NDArray[Any],
    corner: tuple[int, int],
    row0: IntArray,
    col0: IntArray,
    which: IntArray,
) -> None:
    """Put what lies in both into some of the boxes; ``corner`` is row and column of the images' pixel [0, 0] on the detector."""
    size = boxes.shape[-1]
    n_row, n_col = images.shape[1:]
    for k in which.tolist():
        row, col = int(row0[k]) - corner[0], int(col0[k]) - corner[1]
        low, high = max(row, 0), min(row + size, n_row)
        left, right = max(col, 0), min(col + size, n_col)
        if low < high and left < right:
            boxes[:, k, low - row : high - row, left - col : right - col] = images[:, low:high, left:right]
