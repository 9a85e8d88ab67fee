"""Event tables and small tables of FITS files, plain or gzip: rows in chunks, as they lie in the file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cuvee.events.gti import tidy_gti
from cuvee.instruments.bintable import table_rows
from cuvee.instruments.fits_bytes import BLOCK, Cards, bad, data_size, open_stream, read_exactly, read_header
from cuvee.model.photons import FIELDS, EventTable

__all__ = ["CHUNK_BYTES", "Tables", "event_chunks", "event_table", "good_times", "number_columns", "read_tables"]

CHUNK_BYTES = 3 << 19
"""Bytes of rows that are read at a time: they stay in the processor's cache until they are counted."""

_CODES = {"B": (1, 1), "I": (2, 2), "J": (3, 4), "E": (4, 4), "D": (5, 8)}


@dataclass(frozen=True, slots=True)
class Tables:
    """The headers of a file, and its tables but for the events.

    Parameters
    ----------
    headers : list of Cards
        Primary header first.
    events : int
        Which of them is that of the events; -1 where there are none.
    rows : dict of (str, int) to structured array
        Small tables by name and version.
    start : int
        Where the events' rows begin in the uncompressed file.
    cards : dict of (str, int) to Cards
        The headers of the small tables.
    more : list of (int, int)
        Header and first byte of further tables of events.
    """

    headers: list[Cards]
    events: int
    rows: dict[tuple[str, int], NDArray[np.void]]
    start: int
    cards: dict[tuple[str, int], Cards]
    more: list[tuple[int, int]]


def read_tables(path: str, events: str = "EVENTS", small: Sequence[str] = ("GTI", "TIMELINE")) -> Tables:
    """Walk a file from its first byte to its last.

    Parameters
    ----------
    path : str
        The file, plain or gzip.
    events : str
        Name of the table that is not read.
    small : sequence of str
        Names of the tables that are, or patterns of names. Of two of one name and version the later one gets the next version.

    Returns
    -------
    Tables

    Raises
    ------
    BadData
        With a reason, whatever the bytes are.
    """
    headers: list[Cards] = []
    rows: dict[tuple[str, int], NDArray[np.void]] = {}
    small_cards: dict[tuple[str, int], Cards] = {}
    lists: list[tuple[int, int]] = []
    at = 0
    with open_stream(path) as (stream, size):
        while (header := read_header(stream, path, first=not headers)) is not None:
            cards, length = header
            at += length
            n_byte = data_size(cards)
            padded = -(-n_byte // BLOCK) * BLOCK
            name = cards.text("EXTNAME", "").upper()
            if size >= 0 and at + padded > size:
                raise bad(
                    path,
                    f"is cut short: it has {size} of the {at + padded} bytes that its headers promise",
                    "truncated",
                )
            if events and name == events:
                lists.append((len(headers), at))
                _skip(stream, padded, size, path)
            elif any(fnmatchcase(name, one) for one in small):
                data = read_exactly(stream, padded, path)
                version = cards.whole("EXTVER", 1)
                while (name, version) in rows:
                    version += 1
                rows[name, version] = table_rows(cards, data)
                small_cards[name, version] = cards
            else:
                _skip(stream, padded, size, path)
            at += padded
            headers.append(cards)
    found, start = lists[0] if lists else (-1, 0)
    return Tables(headers, found, rows, start, small_cards, lists[1:])


def good_times(tables: Tables, path: str, keys: Sequence[tuple[str, int]]) -> NDArray[np.float64]:
    """Return the time that any of some tables calls good.

    Parameters
    ----------
    tables : Tables
        Of the file.
    path : str
        The file, for messages.
    keys : sequence of (str, int)
        Which tables, by name and version.

    Returns
    -------
    float64 array, shape (n, 2)
        Tidy intervals, as the tables count time (s).

    Raises
    ------
    BadData
        ``no-gti``, if there is none, or none that has any length.
    """
    if not keys:
        raise bad(path, "has no table of good time intervals (GTI)", "no-gti")
    intervals = []
    for key in keys:
        rows = tables.rows[key]
        columns = {name.upper(): name for name in rows.dtype.names or ()}
        if rows.size and {"START", "STOP"} <= set(columns):
            intervals.append(np.column_stack([rows[columns["START"]], rows[columns["STOP"]]]).astype(np.float64))
    if not intervals:
        raise bad(path, f"has an empty table of good time intervals ({keys[0][0]})", "no-gti")
    gti = tidy_gti(np.concatenate(intervals))
    if not gti.size:
        raise bad(path, "has good time intervals (GTI) without any length", "no-gti")
    return gti


def _skip(stream: IO[bytes], n: int, size: int, path: str) -> None:
    if size >= 0:
        stream.seek(n, os.SEEK_CUR)
        return
    while n:
        piece = stream.read(min(CHUNK_BYTES, n))
        if not piece:
            raise bad(path, f"is cut short: its headers promise {n} bytes more", "truncated")
        n -= len(piece)


def number_columns(cards: Cards) -> list[str]:
    """Return the names (in capitals) of the columns of a table that hold one number a row, of a type that events are read from."""
    found = []
    for number in range(1, cards.within("TFIELDS", 1, 999) + 1):
        form = cards.text(f"TFORM{number}")
        if form.removeprefix("1")[:1] in _CODES:
            found.append(cards.text(f"TTYPE{number}", "").upper())
    return found


def event_table(cards: Cards, names: Mapping[str, str]) -> EventTable:
    """Return how the rows of a table of events are laid out.

    Parameters
    ----------
    cards : Cards
        The table's header.
    names : mapping of str to str
        Its column for each of `cuvee.model.photons.FIELDS` that it has.

    Raises
    ------
    BadData
        If a column is missing, or is no single number.
    """
    fields, scale = np.zeros((len(FIELDS), 2), np.int64), np.tile([1.0, 0.0], (len(FIELDS), 1))
    offsets: dict[str, tuple[int, str, int]] = {}
    at = 0
    for number in range(1, cards.within("TFIELDS", 1, 999) + 1):
        form = cards.text(f"TFORM{number}")
        digits = form[: len(form) - len(form.lstrip("0123456789"))]
        count, code = int(digits or 1), form[len(digits) : len(digits) + 1]
        offsets[cards.text(f"TTYPE{number}", "").upper()] = (at, code if count == 1 else "", number)
        at += (
            -(-count // 8)
            if code == "X"
            else count
            * {"L": 1, "A": 1, "K": 8, "C": 8, "P": 8, "M": 16, "Q": 16}.get(code, _CODES.get(code, (0, 0))[1])
        )
    width, n_row = cards.whole("NAXIS1"), cards.within("NAXIS2", 0, 10**12)
    if at != width:
        raise bad(
            cards.path, f"is damaged: its columns take {at} bytes a row, its header card NAXIS1 says {width}", "header"
        )
    for k, field in enumerate(FIELDS):
        if field not in names:
            continue
        if names[field] not in offsets or offsets[names[field]][1] not in _CODES:
            raise bad(
                cards.path,
                f"is no list of events as cuvee knows them: it has no column {names[field]} of numbers",
                "wrong-shape",
            )
        place, code, number = offsets[names[field]]
        fields[k] = place, _CODES[code][0]
        scale[k] = cards.real(f"TSCAL{number}", 1.0), cards.real(f"TZERO{number}", 0.0)
    return EventTable(n_row, width, fields, scale)


def event_chunks(path: str, start: int, table: EventTable) -> Iterator[NDArray[np.uint8]]:
    """Read the rows of a table of events, some megabytes at a time.

    Parameters
    ----------
    path : str
        The file.
    start : int
        Where its rows begin.
    table : EventTable
        Their layout.

    Yields
    ------
    uint8 array, shape (n, width)

    Raises
    ------
    BadData
        If the file ends before.
    """
    per = max(1, CHUNK_BYTES // table.width)
    left = table.n_row
    with open_stream(path) as (stream, size):
        _skip(stream, start, size, path)
        while left:
            rows = np.empty((min(left, per), table.width), np.uint8)
            view = rows.reshape(-1).data
            got = 0
            while got < len(view):
                piece = stream.readinto(view[got:])  # type: ignore[attr-defined]
                if not piece:
                    raise bad(path, f"is cut short: {left} of its {table.n_row} events are missing", "truncated")
                got += piece
            left -= len(rows)
            yield rows
