"""Tile-compressed images (``.fits.fz``, as fpack writes them): what their headers say, and their pixels.

The image stands in a binary table, a tile a row; its own cards are there under names with a Z in front. Floats are either compressed as they
are, or first rounded to whole multiples of a tile's ZSCALE after a dither was added, which must be taken off again (ZQUANTIZ,
ZDITHER0). What the headers say is checked here before astropy, which decompresses, gets to see it: it is given a header of our own
making with the structural cards only, so neither a damaged card nor a damaged table can lead it astray.
Format: FITS standard 4.0 (IAU FITS Working Group 2018), section 10 and appendix I; Pence, Chiappetti & Page 2009, PASP 121, 414.
"""

from __future__ import annotations

import io
import re
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.instruments.fits_bytes import BLOCK, Cards, bad
from cuvee.instruments.wcs_text import header_text

__all__ = ["decompress", "image_cards", "is_tiled"]

CODECS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2")
"""What fpack makes of floats unless told otherwise; the other codecs of the standard are for integers or smooth images."""

_DITHERS = ("NONE", "NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2")
_HEAP_FORM = re.compile(r"1?([PQ])[BIJED](\(\d{0,12}\))?")
_COLUMNS = ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA", "UNCOMPRESSED_DATA", "ZSCALE", "ZZERO", "ZBLANK")
_PLAIN_FORM = {"ZSCALE": ("D", "1D", "E", "1E"), "ZZERO": ("D", "1D", "E", "1E"), "ZBLANK": ("J", "1J")}
_BYTES = {"D": 8, "E": 4, "J": 4}

_ONE_AT_A_TIME = threading.Lock()
"""Astropy goes from tile to tile in Python: two threads that fight for the interpreter take twice as long as one after the other.
Units run in processes of their own, so frames are decompressed side by side all the same."""


def is_tiled(cards: Cards) -> bool:
    """Tell whether a unit is a table that holds a compressed image."""
    return cards.text("XTENSION", "") == "BINTABLE" and cards.value("ZIMAGE") == "T"


def image_cards(cards: Cards) -> Cards:
    """Return the header of a compressed image as it was before.

    Parameters
    ----------
    cards : Cards
        The header of the table that holds it; `is_tiled`.
    """
    raw = {key: value for key, value in cards.raw.items() if not re.fullmatch(r"NAXIS\d+", key)}
    raw |= {"XTENSION": "'IMAGE'", "BITPIX": raw.get("ZBITPIX", ""), "NAXIS": raw.get("ZNAXIS", "")}
    raw |= {key[1:]: value for key, value in cards.raw.items() if re.fullmatch(r"ZNAXIS\d+", key)}
    raw |= {"PCOUNT": "0", "GCOUNT": "1"}
    return Cards(cards.path, raw)


def _columns(cards: Cards, width: int) -> tuple[dict[str, str | float | int], dict[str, tuple[str, int]]]:
    """Return the cards that describe the table's columns, and format and offset of each by name."""
    out: dict[str, str | float | int] = {}
    places: dict[str, tuple[str, int]] = {}
    at = 0
    n_field = cards.within("TFIELDS", 1, len(_COLUMNS))
    for number in range(1, n_field + 1):
        name, form = cards.text(f"TTYPE{number}"), cards.text(f"TFORM{number}").replace(" ", "")
        heap = _HEAP_FORM.fullmatch(form)
        known = form in _PLAIN_FORM[name] if name in _PLAIN_FORM else name in _COLUMNS and heap is not None
        if not known or name in places:
            raise bad(cards.path, f"is damaged: its table of tiles has no such column as {name} ({form})", "header")
        places[name] = (form[-1] if heap is None else heap.group(1), at)
        at += _BYTES[form[-1]] if heap is None else 8 if heap.group(1) == "P" else 16
        out |= {f"TTYPE{number}": name, f"TFORM{number}": form}
    if at != width or "COMPRESSED_DATA" not in places:
        raise bad(cards.path, "is damaged: the columns of its table of tiles do not fill a row", "header")
    return {"TFIELDS": n_field} | out, places


def _structure(cards: Cards) -> tuple[dict[str, str | float | int], dict[str, tuple[str, int]], int]:
    """Return the structural cards, checked, the table's columns, and where the heap starts."""
    rows, cols = cards.within("ZNAXIS2", 1, 10**5), cards.within("ZNAXIS1", 1, 10**5)
    wide = cards.within("ZTILE1", 1, cols) if "ZTILE1" in cards else cols
    high = cards.within("ZTILE2", 1, rows) if "ZTILE2" in cards else 1
    n_tile = -(-cols // wide) * -(-rows // high)
    if cards.whole("NAXIS2") != n_tile:
        raise bad(cards.path, f"is damaged: its table has not one row for each of its {n_tile} tiles", "header")
    codec = cards.text("ZCMPTYPE")
    if codec not in CODECS:
        what = f"is compressed with {codec}, which is not read (only {', '.join(CODECS)}): unpack it with funpack"
        raise bad(cards.path, what, "unreadable")
    dither = cards.text("ZQUANTIZ", "NO_DITHER")
    if dither not in _DITHERS:
        raise bad(cards.path, f"is damaged: the header card ZQUANTIZ is {dither}", "header")
    width, heap = cards.within("NAXIS1", 8, 10**3), cards.within("PCOUNT", 0, 2**31)
    start = cards.whole("THEAP", width * n_tile)
    if not width * n_tile <= start <= width * n_tile + heap:
        raise bad(cards.path, "is damaged: the header card THEAP points out of the table", "header")
    out: dict[str, str | float | int] = {"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": width}
    out |= {"NAXIS2": n_tile, "PCOUNT": heap, "GCOUNT": 1}
    columns, places = _columns(cards, width)
    out |= columns
    out |= {"THEAP": start, "ZTENSION": "IMAGE", "ZBITPIX": -32, "ZNAXIS": 2, "ZNAXIS1": cols, "ZNAXIS2": rows}
    out |= {"ZPCOUNT": 0, "ZGCOUNT": 1, "ZTILE1": wide, "ZTILE2": high, "ZCMPTYPE": codec, "ZQUANTIZ": dither}
    if dither.startswith("SUBTRACTIVE"):
        out["ZDITHER0"] = cards.within("ZDITHER0", 1, 10_000)
    if codec.startswith("RICE"):
        given = {cards.text(f"ZNAME{n}", ""): f"ZVAL{n}" for n in range(1, 10)}
        block = cards.within(given["BLOCKSIZE"], 1, 1024) if "BLOCKSIZE" in given else 32
        size = cards.within(given["BYTEPIX"], 1, 8) if "BYTEPIX" in given else 4
        if block not in (16, 32) or size not in (1, 2, 4):
            raise bad(cards.path, "is damaged: the header card ZVAL1 or ZVAL2 is out of range", "header")
        out |= {"ZNAME1": "BLOCKSIZE", "ZVAL1": block, "ZNAME2": "BYTEPIX", "ZVAL2": size}
    out |= {key: cards.real(key) for key in ("ZSCALE", "ZZERO") if key in cards and key not in places}
    if "ZBLANK" in cards and "ZBLANK" not in places:
        out["ZBLANK"] = cards.within("ZBLANK", -(2**31), 2**31 - 1)
    return out, places, start


def decompress(cards: Cards, data: bytearray, n_row: int) -> NDArray[Any]:
    """Decompress the lower rows of an image of 32-bit floats.

    Parameters
    ----------
    cards : Cards
        The header of the table that holds it.
    data : bytearray
        The table with its heap.
    n_row : int
        How many rows to decompress; tiles above them are left alone.

    Returns
    -------
    float32 array, shape (n_row, n_col)
        Pixels that were not numbers are NaN.

    Raises
    ------
    BadData
        ``header`` where a structural card makes no sense, ``unreadable`` where a tile cannot be decompressed or its codec is not known.
    """
    from astropy.io import fits

    structure, places, heap = _structure(cards)
    damaged = bad(cards.path, "is damaged: its compressed pixels cannot be decompressed", "unreadable")
    width, n_tile = cards.whole("NAXIS1"), cards.whole("NAXIS2")
    table = np.frombuffer(data, np.uint8, width * n_tile).reshape(n_tile, width)
    for kind, at in places.values():
        if kind in "PQ":
            size = 4 if kind == "P" else 8
            spans = np.ascontiguousarray(table[:, at : at + 2 * size]).view(f">i{size}").astype(np.int64)
            count, start = spans[:, 0], spans[:, 1]
            # An element has at most eight bytes; the sum cannot overflow once both are in range.
            inside = (count >= 0) & (start >= 0) & (count <= len(data)) & (start <= len(data) - heap - count)
            if not inside.all():
                raise damaged
    head = header_text({"SIMPLE": True, "BITPIX": 8, "NAXIS": 0}) + header_text(structure | {"ZIMAGE": True})
    file = io.BytesIO(b"".join([head.encode(), data, bytes(-len(data) % BLOCK)]))
    try:
        with _ONE_AT_A_TIME, fits.open(file, memmap=False) as units:
            pixels: NDArray[Any] = units[1].section[:n_row]
    except Exception as error:  # whatever a decompressor says about damaged bytes
        raise damaged from error
    if pixels.dtype.kind != "f" or pixels.dtype.itemsize != 4 or pixels.shape != (n_row, structure["ZNAXIS1"]):
        raise damaged
    return pixels
