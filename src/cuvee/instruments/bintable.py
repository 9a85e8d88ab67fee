"""Binary tables of FITS files as structured arrays, without a copy and without trusting the header.

Format: FITS standard 4.0, section 7.3.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.instruments.fits_bytes import Cards, bad

__all__ = ["column_number", "table_rows"]

_FORM = re.compile(r"(\d{0,9})([LXBIJKAEDCMPQ]).*")
_DIM = re.compile(r"\(\s*(\d{1,6})\s*,\s*(\d{1,6})\s*\)")
_BYTES = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "E": 4, "K": 8, "D": 8, "C": 8, "P": 8, "M": 16, "Q": 16}
_NUMPY = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}


def column_number(cards: Cards, name: str) -> int:
    """Return the number of a column, from 1; 0 where the table has none of that name."""
    for number in range(1, cards.within("TFIELDS", 0, 999) + 1):
        if cards.text(f"TTYPE{number}", "") == name:
            return number
    return 0


def table_rows(cards: Cards, data: Any) -> NDArray[Any]:
    """Return a table as a structured big-endian array.

    Parameters
    ----------
    cards : Cards
        The table's header.
    data : bytes-like
        At least the bytes of its rows.

    Returns
    -------
    structured array, shape (n_row,)
        Numbers and strings by column name; columns with ``TDIM`` of two axes have the shape (rows, columns) of their images.

    Raises
    ------
    BadData
        If the cards do not describe rows of this length.
    """
    names: list[str] = []
    formats: list[Any] = []
    offsets: list[int] = []
    at = 0
    for number in range(1, cards.within("TFIELDS", 0, 999) + 1):
        match = _FORM.fullmatch(cards.text(f"TFORM{number}"))
        if match is None:
            raise bad(cards.path, f"is damaged: the header card TFORM{number} is no column format", "header")
        count, code = int(match.group(1) or 1), match.group(2)
        name = cards.text(f"TTYPE{number}", "")
        if name and name not in names and count and (code in _NUMPY or code == "A"):
            shape: tuple[int, ...] = (count,) if count > 1 else ()
            dim = _DIM.fullmatch(cards.text(f"TDIM{number}", ""))
            if dim and int(dim.group(1)) * int(dim.group(2)) == count:
                shape = int(dim.group(2)), int(dim.group(1))
            names.append(name)
            formats.append(f"S{count}" if code == "A" else (_NUMPY[code], shape) if shape else _NUMPY[code])
            offsets.append(at)
        at += -(-count // 8) if code == "X" else count * _BYTES[code]
    width, rows = cards.whole("NAXIS1"), cards.whole("NAXIS2")
    if at != width or width <= 0 or width >= 2**31:
        raise bad(
            cards.path, f"is damaged: its columns take {at} bytes a row, its header card NAXIS1 says {width}", "header"
        )
    if len(data) < width * rows:
        raise bad(cards.path, "is cut short: its table ends too early", "truncated")
    record = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": width})
    if math.prod((rows, width)) == 0:
        return np.empty(0, dtype=record)
    return np.frombuffer(data, dtype=record, count=rows)
