"""Whether a FITS file is whole, whatever is in it, and what the sums in its headers say of its bytes.

The walk from unit to unit needs no list and no server to find a page of HTML, a file that is cut short, zeros, or a tail that was fetched
twice. Sums see what it does not, a bit that turned; but many programs leave old ones in place, so what a sum means is for the caller to judge.
Format: FITS standard 4.0 (IAU FITS Working Group 2018), sections 3.3.2, 4.4.2.7 and appendix J. Files of SPOC carry CHECKSUM without DATASUM.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from cuvee.instruments.fits_bytes import (
    BLOCK,
    Cards,
    bad,
    check_extensions,
    data_size,
    open_stream,
    read_header,
    units,
)
from cuvee.instruments.sums import add_bytes, is_one_bit, off_by

__all__ = ["UnitSum", "check_fits", "check_start", "headers_of", "unit_sums"]

_PIECE = 366 * BLOCK
"""Bytes read at a time, some 1 MB."""
_STARTS = {".pdf": (b"%PDF",), ".xml": (b"<?xml", b"<dv", b"\xef\xbb\xbf<?xml")}
_PAGES = (b"<!doctype html", b"<html")


@dataclass(frozen=True, slots=True)
class UnitSum:
    """What the card CHECKSUM says of one unit of a file.

    Parameters
    ----------
    number : int
        Of the unit, the primary one being 0.
    size : int
        Its bytes of data.
    holds : bool or None
        Whether the sum holds; None where there is no card.
    one_bit : bool
        Whether it is wrong by exactly one bit.
    """

    number: int
    size: int
    holds: bool | None
    one_bit: bool


def check_fits(path: str) -> None:
    """Check that a file is FITS from its first byte to its last.

    Parameters
    ----------
    path : str
        The file, plain or gzip.

    Raises
    ------
    BadData
        ``empty``, ``not-fits``, ``truncated``, ``header`` or ``unreadable``.
    TransientError
        If the disk fails.
    """
    headers_of(path)


def check_start(path: str, name: str) -> None:
    """Check that a file that is no FITS begins as its name says.

    Parameters
    ----------
    path : str
        The file, whatever it is called for now.
    name : str
        What it is called in the end.

    Raises
    ------
    BadData
        ``empty``; ``not-fits`` where it is a page of HTML, or not what its suffix says.
    """
    with open(path, "rb") as file:
        start = file.read(512).lstrip()
    if not start:
        raise bad(path, "is empty", "empty")
    wanted = _STARTS.get(os.path.splitext(name)[1])
    if start[:14].lower().startswith(_PAGES):
        raise bad(path, "is not what its name says, but an HTML page", "not-fits")
    if wanted and not start.startswith(wanted):
        raise bad(path, "is not what its name says", "not-fits")


def headers_of(path: str) -> list[Cards]:
    """Return the headers of all units of a file, once it is known to be whole.

    Parameters
    ----------
    path : str
        The file, plain or gzip.

    Returns
    -------
    list of Cards

    Raises
    ------
    BadData, TransientError
        As `check_fits`.
    """
    with open_stream(path) as (stream, size):
        walk = (unit.cards for unit in units(stream, size, path)) if size >= 0 else _walk_compressed(stream, path)
        found = list(walk)
    check_extensions(found[0], len(found) - 1)
    return found


def unit_sums(path: str) -> list[UnitSum]:
    """Add up the words of each unit of a whole file.

    Parameters
    ----------
    path : str
        The file, plain or gzip.

    Returns
    -------
    list of UnitSum

    Raises
    ------
    BadData, TransientError
        As `check_fits`.
    """
    found = list[UnitSum]()
    with open_stream(path) as (stream, _):
        while True:
            unit = _next_unit(stream, path, first=not found)
            if unit is None:
                return found
            cards, total, size = unit
            off = off_by(total)
            holds = None if "CHECKSUM" not in cards else off == 0
            found.append(UnitSum(len(found), size, holds, is_one_bit(off) and holds is False))


def _next_unit(stream: IO[bytes], path: str, first: bool) -> tuple[Cards, int, int] | None:
    """Read one unit from where the stream stands: its header, the sum of its words, its bytes of data."""
    taken = _Taken(stream)
    header = read_header(taken, path, first)  # type: ignore[arg-type]
    if header is None:
        return None
    total, size = add_bytes(b"".join(taken.pieces)), data_size(header[0])
    for piece in _pieces(stream, -(-size // BLOCK) * BLOCK, path):
        total = add_bytes(piece, total)
    return header[0], total, size


class _Taken:
    """A stream that keeps what was read from it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.pieces = stream, list[bytes]()

    def read(self, size: int) -> bytes:
        self.pieces.append(self._stream.read(size))
        return self.pieces[-1]


def _pieces(stream: IO[bytes], size: int, path: str) -> Iterator[memoryview]:
    """Read bytes piece by piece, each into the place of the one before, which stays in the processor's cache."""
    place, left = memoryview(bytearray(min(_PIECE, size))), size
    while left:
        n = stream.readinto(place[: min(_PIECE, left)])  # type: ignore[attr-defined]
        if not n:
            raise bad(path, f"is cut short: its headers promise {left} bytes more", "truncated")
        left -= n
        yield place[:n]


def _walk_compressed(stream: IO[bytes], path: str) -> Iterator[Cards]:
    first = True
    while (header := read_header(stream, path, first)) is not None:
        first = False
        for _ in _pieces(stream, -(-data_size(header[0]) // BLOCK) * BLOCK, path):
            pass
        yield header[0]
