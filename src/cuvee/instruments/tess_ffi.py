"""TESS calibrated full-frame images: headers in a millisecond, science rows in one read.

Layout, cards and their history: TESS Science Data Products Description Document, EXP-TESS-ARC-ICD-0014 Rev F, section 4.2.
"""

from __future__ import annotations

import math
import os
import re
from typing import IO, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from cuvee.errors import BadData
from cuvee.instruments.fits_bytes import (
    Cards,
    Unit,
    bad,
    check_extensions,
    data_size,
    first_header,
    open_stream,
    read_exactly,
    read_header,
    units,
)
from cuvee.instruments.past_cache import on_pages, read_past_cache
from cuvee.instruments.sums import add_bytes, check_sum
from cuvee.instruments.tess_camera import REFERENCE_PIXEL, WCS_PIXEL
from cuvee.instruments.tess_clock import cadence_number
from cuvee.instruments.tiles import decompress, image_cards, is_tiled
from cuvee.instruments.wcs_text import shifted_wcs, sky_of_pixel
from cuvee.model.records import BJD_OFFSET, FileInfo, Geometry, Moments, Pixels, Readout
from cuvee.model.time import DAY, sector_offset

__all__ = ["FIRST_COL", "SCIENCE", "plain_rows", "product_name", "read_ffi", "readout", "scan_ffi", "sector_of"]

SCIENCE = 2048
"""Science rows and columns of a CCD."""

FIRST_COL = 44
"""Columns of the file before the first science column."""

FULL_ROWS, FULL_COLS = 2078, 2136
OUTPUT_COLS = (0, 512, 1024, 1536)
OUTPUTS = "ABCD"

DEFAULT_GAIN = (5.25, 5.19, 5.20, 5.19)
DEFAULT_READ_NOISE = (10.1, 7.6, 7.5, 9.6)
"""Means over the headers of five CCDs, for files without the cards (electrons/count, electrons)."""

LIVE_FRACTION = 0.792
"""Of each 2 s, 1.98 s collect light; of each ten exposures two are dropped by the cosmic-ray mitigation."""

INT_TIME = 1.98
SATURATION = 0.8 * 200_000.0 / INT_TIME
"""80 % of the full well of 200,000 electrons (TESS Instrument Handbook, section 4), as a rate (e-/s)."""

_SECTOR = re.compile(r"-s(\d{4})-")


def product_name(path: str) -> str:
    """Return the mission's name of a file: no folder, no ``.gz``, no ``.fz``."""
    return os.path.basename(path).removesuffix(".gz").removesuffix(".fz")


def sector_of(path: str, *headers: Cards) -> int:
    """Return the sector, from a header or, in early files, from the name.

    Raises
    ------
    BadData
        If neither says.
    """
    for cards in headers:
        if "SECTOR" in cards:
            return cards.within("SECTOR", 1, 9999)
    match = _SECTOR.search(product_name(path))
    if match is None:
        raise bad(path, "has no card SECTOR, and its name does not tell the sector either (-s0001-)", "header")
    return int(match.group(1))


def readout(cards: Cards, exposure: float, n_read: int) -> Readout:
    """Return the terms of the noise model of a TESS CCD.

    Parameters
    ----------
    cards : Cards
        Header with ``GAINA`` ... and ``READNOIA`` ...; missing ones are named in ``assumed``.
    exposure, n_read : float, int
        Time on source (s) and reads of one frame; from defaults where their cards are missing.
    """
    assumed: list[str] = []

    def values(prefix: str, defaults: tuple[float, ...]) -> tuple[float, ...]:
        out = []
        for letter, default in zip(OUTPUTS, defaults, strict=True):
            key = prefix + letter
            if key not in cards:
                assumed.append(key)
            number = cards.real(key, default)
            if number <= 0.0:
                raise bad(cards.path, f"is damaged: the header card {key} is {number:g}", "header")
            out.append(number)
        return tuple(out)

    gain, noise = values("GAIN", DEFAULT_GAIN), values("READNOI", DEFAULT_READ_NOISE)
    assumed += [key for key in ("EXPOSURE", "NREADOUT") if key not in cards]
    return Readout(exposure, gain, noise, n_read, OUTPUT_COLS, SATURATION, tuple(assumed))


def _origin(cards: Cards) -> tuple[int, int]:
    """Return the columns and rows of the full frame that come before the file's first pixel."""
    rows, cols = cards.whole("NAXIS2"), cards.whole("NAXIS1")
    if (rows, cols) == (FULL_ROWS, FULL_COLS):
        return 0, 0
    places: list[tuple[float, float]] = []
    if "CTYPE1" in cards and "CRPIX1" in cards:
        places.append((WCS_PIXEL[0] - cards.real("CRPIX1"), WCS_PIXEL[1] - cards.real("CRPIX2")))
    if "CRVAL1P" in cards:
        col, row = (cards.real(f"CRVAL{k}P") - cards.real(f"CRPIX{k}P", 1.0) for k in (1, 2))
        places.append((col, row))
    for col, row in places:
        if col == round(col) and row == round(row):
            return round(col), round(row)
    what = "is neither a full CCD nor a window whose place on it is known"
    raise bad(cards.path, f"{what} ({cols} x {rows} pixels)", "wrong-shape")


def _science(cards: Cards) -> tuple[Geometry, tuple[int, int], int]:
    """Return the geometry, the origin of the file, and the file's first science column."""
    if cards.whole("NAXIS") != 2:
        raise bad(cards.path, "holds no image of two dimensions", "wrong-shape")
    rows, cols = cards.whole("NAXIS2"), cards.whole("NAXIS1")
    skip_col, skip_row = _origin(cards)
    first, last = max(skip_col, FIRST_COL), min(skip_col + cols, FIRST_COL + SCIENCE)
    n_row, n_col = min(rows, SCIENCE - skip_row), last - first
    beyond = skip_col < 0 or skip_row < 0 or skip_col + cols > FULL_COLS or skip_row + rows > FULL_ROWS
    if beyond or n_row < 1 or n_col < 1:
        what = (
            f"is neither a full CCD nor a window of one ({cols} x {rows} pixels from column {skip_col}, row {skip_row})"
        )
        raise bad(cards.path, what, "wrong-shape")
    return Geometry(n_row, n_col, skip_row, first - FIRST_COL, SCIENCE, SCIENCE), (skip_col, skip_row), first - skip_col


def _image(unit: Unit) -> Cards:
    """Return the image's header, of a compressed one as it was before."""
    cards = image_cards(unit.cards) if is_tiled(unit.cards) else unit.cards
    if cards.text("XTENSION", "") != "IMAGE":
        raise bad(cards.path, "is damaged: the header card XTENSION is not IMAGE", "header")
    if cards.text("IMAGTYPE", "cal") != "cal":
        raise bad(cards.path, f"is no calibrated image but '{cards.text('IMAGTYPE')}'", "header")
    if cards.whole("BITPIX") != -32:
        raise bad(cards.path, "is no calibrated image: its pixels are not 32-bit floats", "header")
    return cards


def _head(stream: IO[bytes], path: str) -> tuple[Unit, Unit]:
    """Read the first two headers from a stream at its start; the stream then stands at the pixels."""
    primary, length = first_header(stream, path)
    header = read_header(stream, path, first=False)
    if header is None:
        raise bad(path, "is cut short: it ends before the image", "truncated")
    image = Unit(header[0], length, length + header[1], data_size(header[0]))
    return Unit(primary, 0, length, 0), image


def scan_ffi(path: str) -> FileInfo:
    """Read the headers of a calibrated full-frame image, and check that a plain file is whole.

    Parameters
    ----------
    path : str
        ``*_ffic.fits``, plain, gzip or tile-compressed (``.fz``); a full CCD or a window of one.

    Returns
    -------
    FileInfo
        One frame. Times hold in the direction of the CCD's reference pixel and carry the sector offset.

    Raises
    ------
    BadData
        With the reasons ``empty``, ``not-fits``, ``truncated``, ``header``, ``wrong-shape`` or ``unreadable``; that gzip data are cut
        short, or that a bit of them has turned, comes out only in `read_ffi`.
    """
    with open_stream(path) as (stream, size):
        if size < 0:
            primary, image = _head(stream, path)
        else:
            whole = list(units(stream, size, path))
            if len(whole) < 2:
                raise bad(path, "is cut short: it ends before the image", "truncated")
            primary, image = whole[0], whole[1]
            check_extensions(primary.cards, len(whole) - 1)
    return _describe(path, primary.cards, _image(image))


def _describe(path: str, primary: Cards, cards: Cards) -> FileInfo:
    geometry, skip, _ = _science(cards)
    camera, ccd = cards.within("CAMERA", 1, 4), cards.within("CCD", 1, 4)
    sector = sector_of(path, primary, cards)
    zero = cards.whole("BJDREFI", int(BJD_OFFSET)) + cards.real("BJDREFF", 0.0) - BJD_OFFSET
    start, stop = cards.real("TSTART") + zero, cards.real("TSTOP") + zero
    if not (0.0 < start < 1e6 and 0.0 < stop - start < 1.0):
        raise bad(path, "is damaged: the header cards TSTART and TSTOP are no exposure", "header")
    barycorr = cards.real("BARYCORR") if "BARYCORR" in cards else math.nan
    length = cards.real("TIMEDEL", stop - start) * DAY
    if not 1.0 <= length < DAY:
        raise bad(path, "is damaged: the header card TIMEDEL is no length of an exposure", "header")
    if "FFIINDEX" in primary:
        cadence = primary.within("FFIINDEX", 0, 10**9)
    elif "TSTART" in primary or "BARYCORR" in cards:
        at = primary.real("TSTART") if "TSTART" in primary else start - barycorr
        if not 0.0 < at < 1e6:
            raise bad(path, "is damaged: the header card TSTART (primary) is no time", "header")
        cadence = int(cadence_number(at, 200.0 * max(1, round(length / 200.0)))[0])
    else:
        raise bad(path, "has none of the header cards FFIINDEX, TSTART (primary) and BARYCORR", "header")
    release = primary.whole("DATA_REL", -1)
    offset = (0.0, 0.0)
    if release >= 0:
        offset = sector_offset(release, primary.text("PROCVER", ""), camera, ccd, is_ffi=True)
    exposure = cards.real("EXPOSURE", LIVE_FRACTION * length / DAY) * DAY
    if not 0.0 < exposure < 2.0 * length:
        raise bad(path, "is damaged: the header card EXPOSURE is no time on source", "header")
    n_read = cards.within("NREADOUT", 1, 10**6) if "NREADOUT" in cards else round(0.4 * length)
    quality = cards.within("DQUALITY", 0, 2**31 - 1) if "DQUALITY" in cards else 0
    wcs = shifted_wcs(cards, skip[0] - FIRST_COL, skip[1])
    ra = dec = math.nan
    if wcs:
        col, row = cards.real("BTC_PIX1", REFERENCE_PIXEL[0]), cards.real("BTC_PIX2", REFERENCE_PIXEL[1])
        ra, dec = sky_of_pixel(cards, col - skip[0], row - skip[1])
    series = "ffi"
    if (geometry.n_row, geometry.n_col) != (SCIENCE, SCIENCE):
        g = geometry
        series = f"ffi-r{g.row0:04d}-c{g.col0:04d}-{g.n_row:04d}x{g.n_col:04d}"
    return FileInfo(
        path=path,
        instrument="tess",
        segment=f"s{sector:04d}",
        detector=f"{camera}-{ccd}",
        kind="ffi",
        series=series,
        name=product_name(path),
        geometry=geometry,
        readout=readout(cards, exposure, n_read),
        moments=Moments(
            np.array([cadence], dtype=np.int64),
            np.array([start + offset[0] / DAY]),
            np.array([stop + offset[1] / DAY]),
            np.array([barycorr]),
            np.array([quality], dtype=np.int32),
        ),
        wcs=wcs,
        time_ra=ra,
        time_dec=dec,
        background_subtracted=cards.flag("BACKAPP"),
        data_release=max(release, 0),
    )


def _fill(file: IO[bytes], buffer: NDArray[np.uint8] | None, size: int, path: str) -> NDArray[np.uint8]:
    # Headers and image; whatever lies behind them is not asked for.
    memory = on_pages(buffer, size)
    view = memory[:size].data
    at = read_past_cache(file, memory, size)
    file.seek(at)
    while at < size:
        count = file.readinto(view[at:])  # type: ignore[attr-defined]
        if not count:
            raise bad(path, f"is cut short: it ends {size - at} bytes before the end of its image", "truncated")
        at += count
    return memory[:size]


def _is_blank(flux: NDArray[Any]) -> bool:
    """Tell whether no pixel is finite and other than zero; the middle row settles it for every good frame."""
    middle = flux[flux.shape[0] // 2]
    if np.any(np.isfinite(middle) & (middle != 0.0)):
        return False
    return not bool(np.any(np.isfinite(flux) & (flux != 0.0)))


def _pixels(path: str, flux: NDArray[Any], content: str) -> Pixels:
    if _is_blank(flux):
        raise bad(path, "is blank: no pixel is finite and other than zero", "all-nan")
    return Pixels(flux[np.newaxis], content)


def read_ffi(info: FileInfo, buffer: NDArray[np.uint8] | None = None) -> Pixels:
    """Read the science pixels of a calibrated full-frame image.

    Parameters
    ----------
    info : FileInfo
        From `scan_ffi`.
    buffer : uint8 array, optional
        Reused for the file's bytes where it is large enough; then the pixels live in it.

    Returns
    -------
    Pixels
        ``flux`` has the shape (1, n_row, n_col) and is a big-endian view without a copy, unless it had to be decompressed. ``content`` is
        of the headers and the science rows; of a tile-compressed file it is of the headers and the compressed image, which says
        the same with a tenth of the bytes and whatever decompresses them.

    Raises
    ------
    BadData
        ``truncated``, ``checksum``, ``all-nan`` (no finite pixel, or zeros only), ``wrong-shape`` where the file has changed since the scan, ``unreadable`` where tiles cannot be
        decompressed, and all of `scan_ffi`.
    """
    path = info.path
    with open_stream(path) as (stream, size):
        _, image = _head(stream, path)
        cards = _image(image)
        geometry, _, first = _science(cards)
        if geometry != info.geometry:
            raise BadData(f"{path} has changed its shape since it was scanned; run again.", "wrong-shape", path)
        width = cards.whole("NAXIS1")
        science = slice(first, first + geometry.n_col)
        if is_tiled(image.cards):
            stream.seek(0)
            packed = read_exactly(stream, image.end, path)
            check_sum(image.cards, add_bytes(memoryview(packed)[image.start :]))
            del packed[image.data + image.size :]
            content = xxhash.xxh3_128(packed).hexdigest()
            return _pixels(path, decompress(image.cards, packed[image.data :], geometry.n_row)[:, science], content)
        # A damaged card may promise less than the rows take.
        total = image.data + geometry.n_row * width * 4
        end = max(image.end, total)
        if 0 <= size < end:
            raise bad(path, f"is cut short: it has {size} of {end} bytes up to the end of its image", "truncated")
        if size < 0:
            # Decompressed in pieces, so a header that lies cannot make us allocate what is not there.
            stream.seek(0)
            data = np.frombuffer(read_exactly(stream, end, path), dtype=np.uint8)
        else:
            data = _fill(stream, buffer, end, path)
    check_sum(image.cards, add_bytes(data[image.start : image.end].data))
    data = data[:total]  # the rows behind the science rows have been read for the sum alone
    rows = data[image.data :].view(">f4").reshape(geometry.n_row, width)
    return _pixels(path, rows[:, science], xxhash.xxh3_128(data.data).hexdigest())


def plain_rows(info: FileInfo) -> tuple[int, int] | None:
    """Say where the science pixels stand in a plain file, for who wants a few of them and not the frame.

    Parameters
    ----------
    info : FileInfo
        From `scan_ffi`.

    Returns
    -------
    offset, stride : int
        Byte of the first science pixel, and bytes from a row to the next; None where the file is compressed.

    Raises
    ------
    BadData
        ``wrong-shape`` where the file has changed since the scan, and all of `scan_ffi`.
    """
    with open_stream(info.path) as (stream, size):
        _, image = _head(stream, info.path)
        if size < 0 or is_tiled(image.cards):
            return None
        cards = _image(image)
        geometry, _, first = _science(cards)
    if geometry != info.geometry:
        raise BadData(f"{info.path} has changed its shape since it was scanned; run again.", "wrong-shape", info.path)
    return image.data + 4 * first, 4 * cards.whole("NAXIS1")
