"""FITS units as bytes: cards, padding and checksums; the same content always gives the same bytes.

References
----------
FITS Standard 4.0 (IAU FITS Working Group, 2018): headers section 4, checksums section 4.4.2.7 and appendix J.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from astropy.io import fits

__all__ = ["EMPTY", "RECORD", "Card", "closed_header", "hdu_bytes", "header_text", "sum32", "table_shape"]

Card = tuple[str, int | float | str | None, str]
"""Keyword, value, comment."""

EMPTY: list[Card] = [
    ("SIMPLE", True, "conforms to the FITS standard"),
    ("BITPIX", 8, "no data in this HDU"),
    ("NAXIS", 0, "no data in this HDU"),
    ("EXTEND", True, "extensions follow"),
]
"""What a primary header without data begins with."""

RECORD = 2880
"""Bytes to a multiple of which headers and data are filled."""


def table_shape(row_bytes: int, n_row: int) -> list[Card]:
    """Return what the header of a binary table without a heap begins with.

    Parameters
    ----------
    row_bytes, n_row : int
        Bytes in a row, and number of rows.
    """
    return [
        ("XTENSION", "BINTABLE", "binary table"),
        ("BITPIX", 8, "8-bit bytes"),
        ("NAXIS", 2, "2-dimensional table"),
        ("NAXIS1", row_bytes, "bytes in a row"),
        ("NAXIS2", n_row, "number of rows"),
        ("PCOUNT", 0, "no heap"),
        ("GCOUNT", 1, "one group"),
    ]


def header_text(cards: Iterable[Card]) -> str:
    """Write cards, without END and padding; a comment gives way where the value is long."""
    made = []
    for keyword, value, comment in cards:
        room = 67 - max(20, len(value.replace("'", "''")) + 2 if isinstance(value, str) else 0)
        made.append(fits.Card(keyword, value, comment[: max(0, room)]))
    return str(fits.Header(made).tostring(endcard=False, padding=False))


def _padded(text: str) -> bytes:
    """Close a header and fill its last record."""
    text += "END".ljust(80)
    return text.ljust(-(-len(text) // RECORD) * RECORD).encode("ascii")


def sum32(data: bytes, before: int = 0) -> int:
    """Return the 32-bit ones'-complement sum of whole words, on top of that of those before (FITS Standard 4.0, section 4.4.2.7)."""
    return _folded(before + int(np.frombuffer(data, ">u4").sum(dtype=np.uint64)))


def _folded(total: int) -> int:
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encode(value: int) -> str:
    """Write a 32-bit number as the 16 letters and digits of a CHECKSUM card (FITS Standard 4.0, appendix J)."""
    columns = []
    for byte in value.to_bytes(4, "big"):
        # Four characters whose offsets from "0" add up to the byte; pairs are spread until none is punctuation.
        four = [ord("0") + byte // 4] * 4
        four[0] += byte % 4
        for k in (0, 2):
            while not (chr(four[k]).isalnum() and chr(four[k + 1]).isalnum()):
                four[k] += 1
                four[k + 1] -= 1
        columns.append(four)
    text = "".join(chr(columns[byte][k]) for k in range(4) for byte in range(4))
    return text[-1] + text[:-1]


def hdu_bytes(cards: str, data: bytes = b"") -> bytes:
    """Join header and data, both filled to whole records, under a valid CHECKSUM and DATASUM.

    Parameters
    ----------
    cards : str
        From `header_text`.
    data : bytes
        In the order of FITS: big-endian.
    """
    data += bytes(-len(data) % RECORD)
    return closed_header(cards, sum32(data)) + data


def closed_header(cards: str, total: int) -> bytes:
    """Close a header with a valid CHECKSUM and DATASUM.

    Parameters
    ----------
    cards : str
        From `header_text`.
    total : int
        `sum32` of the data behind it, filled to whole records.

    Returns
    -------
    bytes
        Whole records; as many whatever the sum is.
    """
    # The card has the same length whatever the number is.
    cards += header_text([("DATASUM", str(total), "sum of the data, 32-bit ones' complement")])
    blank = header_text([("CHECKSUM", "0" * 16, "makes the sum over this HDU -0")])
    right = _encode(0xFFFFFFFF - _folded(sum32(_padded(cards + blank)) + total))
    return _padded(cards + blank.replace("0" * 16, right))
