"""FITS files as bytes: headers, and where each unit starts and ends, whatever the bytes are.

A survey has a hundred thousand frames and some are broken. So nothing here trusts a header: sizes are compared with the file's before anything is
allocated, and every fault is a `BadData` that names the card.
Format: FITS standard 4.0 (IAU FITS Working Group 2018), sections 3, 4 and 7.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from cuvee.errors import BadData, TransientError

__all__ = [
    "BLOCK",
    "Cards",
    "Unit",
    "bad",
    "check_extensions",
    "data_size",
    "first_header",
    "is_gzip",
    "open_stream",
    "read_exactly",
    "read_header",
    "units",
]

BLOCK = 2880
CARD = 80
MAX_HEADER_BLOCKS = 512  # TESS headers have up to 9; a header without END must not swallow the file
CHUNK = 1 << 20

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([EeDd][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_ITEM_BYTES = {8: 1, 16: 2, 32: 4, 64: 8, -32: 4, -64: 8}


def bad(path: str, what: str, reason: str) -> BadData:
    """Return a `BadData` about ``path``: what is wrong with it, and what to do."""
    return BadData(f"{path} {what}; fetch it again or leave it out.", reason, path)


class Cards:
    """The cards of one header, read only when asked for.

    Parameters
    ----------
    path : str
        The file, for messages.
    raw : dict
        What stands behind ``=`` by keyword; of a repeated keyword the first counts.
    """

    __slots__ = ("path", "raw")

    def __init__(self, path: str, raw: dict[str, str]) -> None:
        self.path = path
        self.raw = raw

    def __contains__(self, key: str) -> bool:
        return self.value(key) is not None

    def value(self, key: str) -> str | None:
        """Return the value's text, strings without quotes; None where the card is missing or empty."""
        raw = self.raw.get(key)
        if raw is None:
            return None
        text = raw.lstrip()
        if not text.startswith("'"):
            return text.split("/", 1)[0].strip() or None
        end = text.find("'", 1)
        while end >= 0 and text[end + 1 : end + 2] == "'":
            end = text.find("'", end + 2)
        return text[1 : end if end > 0 else None].replace("''", "'").strip() or None

    def _fault(self, key: str) -> BadData:
        state = "missing" if self.value(key) is None else "damaged"
        return bad(self.path, f"is damaged: the header card {key} is {state}", "header")

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; raises `BadData` where it is missing and there is no default."""
        value = self.value(key)
        if value is None:
            if default is None:
                raise self._fault(key)
            return default
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """Return a number (finite, save a default); raises `BadData` where it is no number, or missing without a default."""
        value = self.value(key)
        if value is None and default is not None:
            return default
        if value is None or not _NUMBER.fullmatch(value):
            raise self._fault(key)
        number = float(value.upper().replace("D", "E"))
        if abs(number) > 1e300:
            raise self._fault(key)
        return number

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number; raises `BadData` where it is none, or missing without a default."""
        value = self.value(key)
        if value is None and default is not None:
            return default
        if value is not None and _WHOLE.fullmatch(value):
            return int(value)
        number = self.real(key)  # some writers put 8.0
        if number != int(number) or abs(number) > 1e18:
            raise self._fault(key)
        return int(number)

    def within(self, key: str, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``; raises `BadData` where it is not."""
        number = self.whole(key)
        if not low <= number <= high:
            raise self._fault(key)
        return number

    def flag(self, key: str) -> bool:
        """Return whether a logical card is true; some writers put 1.0 for T. A missing card is false."""
        value = self.value(key)
        return value is not None and value not in ("F", "0", "0.0", "False")


@dataclass(frozen=True, slots=True)
class Unit:
    """One header-and-data unit.

    Parameters
    ----------
    cards : Cards
        Its header.
    start, data : int
        Offset of the header and of the data in the (uncompressed) file.
    size : int
        Bytes of data, without padding.
    """

    cards: Cards
    start: int
    data: int
    size: int

    @property
    def end(self) -> int:
        """Offset behind the data and their padding."""
        return self.data + -(-self.size // BLOCK) * BLOCK


@contextmanager
def open_stream(path: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open a file, plain or gzip (told by its first bytes), and turn what goes wrong with it into our errors.

    Yields
    ------
    stream, size : file object, int
        Uncompressed bytes; their number, or -1 where only reading would tell.

    Raises
    ------
    BadData
        If the file is missing, empty, forbidden, or its compression is broken.
    TransientError
        If the disk fails.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise bad(path, "is empty", "empty")
            if is_gzip(file):
                with gzip.GzipFile(fileobj=file) as stream:
                    yield stream, -1  # type: ignore[misc]
            else:
                yield file, size
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise bad(path, "is cut short or damaged: its compressed data end too early", "truncated") from error
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise BadData(
            f"{path} cannot be read: {error.strerror}; mend that, or leave it out.", "unreadable", path
        ) from error
    except OSError as error:
        raise TransientError(f"{path} cannot be read: {error.strerror or error}.") from error


def is_gzip(file: IO[bytes]) -> bool:
    """Tell by its first bytes whether an open file is compressed; leaves it at its start."""
    magic = file.read(2)
    file.seek(0)
    return magic == b"\x1f\x8b"


def read_exactly(stream: IO[bytes], size: int, path: str) -> bytearray:
    """Read ``size`` bytes, allocating no more than there are.

    Raises
    ------
    BadData
        If the stream ends before (``truncated``).
    """
    data = bytearray()
    while len(data) < size:
        piece = stream.read(min(CHUNK, size - len(data)))
        if not piece:
            raise bad(path, f"is cut short: its headers promise {size - len(data)} bytes more", "truncated")
        data += piece
    return data


def read_header(stream: IO[bytes], path: str, first: bool) -> tuple[Cards, int] | None:
    """Read one header from where the stream stands.

    Parameters
    ----------
    stream : file object
        Uncompressed bytes.
    path : str
        The file, for messages.
    first : bool
        Whether it is the file's first header.

    Returns
    -------
    tuple of (Cards, int), or None
        The cards, and how many bytes the header takes; None at the end of the file.

    Raises
    ------
    BadData
        ``not-fits``, ``truncated``, ``header`` or ``unreadable``.
    """
    raw: dict[str, str] = {}
    for number in range(MAX_HEADER_BLOCKS):
        block = stream.read(BLOCK)
        if number == 0:
            if first and not block.startswith(b"SIMPLE  ="):
                what = "an HTML page" if block.lstrip()[:1] == b"<" else "something else"
                raise bad(path, f"is not a FITS file but {what}", "not-fits")
            if not first and not block:
                return None
            if not first and not block.startswith(b"XTENSION"):
                raise bad(path, "goes on behind its last unit with bytes that are not FITS", "unreadable")
        text = block.decode("latin-1")
        for at in range(0, len(text) - CARD + 1, CARD):
            key = text[at : at + 8].rstrip()
            if key == "END":
                return Cards(path, raw), (number + 1) * BLOCK
            if text[at + 8 : at + 10] == "= ":
                raw.setdefault(key, text[at + 10 : at + CARD])
        if len(block) < BLOCK:
            raise bad(path, "is cut short: it ends within a header", "truncated")
    raise bad(path, "is damaged: a header has no END card", "header")


def data_size(cards: Cards) -> int:
    """Return the bytes of data that a header promises (FITS standard 4.0, equation 2); may be absurd, so allocate nothing by it.

    Raises
    ------
    BadData
        If a structural card is missing or damaged.
    """
    bits = cards.whole("BITPIX")
    if bits not in _ITEM_BYTES:
        raise bad(cards.path, f"is damaged: the header card BITPIX is {bits}", "header")
    n_axis = cards.within("NAXIS", 0, 999)
    if n_axis == 0:
        return 0
    count = 1
    for axis in range(1, n_axis + 1):
        count *= cards.within(f"NAXIS{axis}", 0, 10**18)
    group, parameters = cards.whole("GCOUNT", 1), cards.whole("PCOUNT", 0)
    if group < 0 or parameters < 0:
        raise bad(cards.path, "is damaged: the header card PCOUNT or GCOUNT is negative", "header")
    return _ITEM_BYTES[bits] * group * (parameters + count)


def first_header(stream: IO[bytes], path: str) -> tuple[Cards, int]:
    """Read the primary header, which in all Kepler and TESS products has no data; the stream then stands at the first extension.

    Raises
    ------
    BadData
        ``not-fits``, ``truncated``, ``header``, or ``wrong-shape`` where it has data.
    """
    header = read_header(stream, path, first=True)
    if header is None:
        raise bad(path, "is empty", "empty")
    if data_size(header[0]):
        raise bad(path, "is no product of the mission: its first unit holds data", "wrong-shape")
    return header


def check_extensions(primary: Cards, n_unit: int) -> None:
    """Check that a file has all the extensions that its primary header announces.

    Parameters
    ----------
    primary : Cards
        The primary header.
    n_unit : int
        Extensions that there are.

    Raises
    ------
    BadData
        ``truncated``: a download that broke off between two units is a sound, but not a whole file.
    """
    promised = primary.within("NEXTEND", 0, 10**6) if "NEXTEND" in primary else 0
    if n_unit < promised:
        what = f"is cut short: it has {n_unit} of the {promised} extensions that its header card NEXTEND promises"
        raise bad(primary.path, what, "truncated")


def units(stream: IO[bytes], size: int, path: str) -> Iterator[Unit]:
    """Walk the units of a plain FITS file, which must end exactly where its last unit ends.

    Parameters
    ----------
    stream : file object
        A seekable file.
    size : int
        Its size.
    path : str
        For messages.

    Yields
    ------
    Unit

    Raises
    ------
    BadData
        ``not-fits``, ``truncated``, ``header`` or ``unreadable``.
    """
    start = 0
    while True:
        stream.seek(start)
        header = read_header(stream, path, first=start == 0)
        if header is None:
            return
        unit = Unit(header[0], start, start + header[1], data_size(header[0]))
        if unit.end > size:
            raise bad(
                path, f"is cut short: it has {size} of the {unit.end} bytes that its headers promise", "truncated"
            )
        yield unit
        start = unit.end
