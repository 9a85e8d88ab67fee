"""One wrong bit in a FITS file, found by the sum that its writer left in the header card CHECKSUM.

A sum that does not fit says nothing by itself: programs that cut or edit files often leave the old card in place. But a single
bit that has turned changes the sum by exactly a power of two, and an edit of data does so once in 10**8 times. So that, and only
that, is taken for damage; whatever else is wrong with a sum is left to whoever fetches the files. Units without data are not
judged: to edit one digit of a header is often to turn one bit.
Format: FITS standard 4.0 (IAU FITS Working Group 2018), section 4.4.2.7 and appendix J.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cuvee.errors import BadData
from cuvee.instruments.fits_bytes import Cards, bad

__all__ = ["add_bytes", "check_sum", "is_one_bit", "off_by", "turned"]

_ONES = 0xFFFFFFFF
_SMALL = 1 << 20
"""Bytes that numpy adds up before the compiled loop, which is ten times as fast, is even imported: reading headers does without it."""


def add_bytes(data: Any, total: int = 0) -> int:
    """Add bytes to a sum of words.

    Parameters
    ----------
    data : bytes-like
        A multiple of four bytes, as all parts of FITS files are; what is over is passed by.
    total : int
        The sum so far.
    """
    n = len(data) // 4
    if n < _SMALL // 4:
        return total + int(np.frombuffer(data, ">u4", n).sum(dtype=np.uint64))
    from cuvee.kernels.sums import sum_words

    return total + int(sum_words(np.frombuffer(data, "<u4", n)))


def check_sum(cards: Cards, total: int) -> None:
    """Check that no single bit of a unit with data has turned.

    Parameters
    ----------
    cards : Cards
        Its header; without CHECKSUM there is nothing to check.
    total : int
        The sum of all its words, those of the header among them (`add_bytes`).

    Raises
    ------
    BadData
        ``checksum``: the sum is wrong by one bit.
    """
    if "CHECKSUM" not in cards:
        return
    if is_one_bit(off_by(total)):
        raise turned(cards.path)


def off_by(total: int) -> int:
    """Return by how much a unit's sum is off: a sound unit has 2**32 - 1, which is zero in ones' complement."""
    return total % _ONES


def is_one_bit(off: int) -> bool:
    """Tell whether a sum that is so far off is wrong by exactly one bit."""
    return off != 0 and (off.bit_count() == 1 or (_ONES - off).bit_count() == 1)


def turned(path: str) -> BadData:
    """Return the error about a file of which one bit has turned."""
    return bad(path, "is damaged: its sum and its header card CHECKSUM differ by exactly one bit", "checksum")
