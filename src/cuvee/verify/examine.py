"""One file looked at: its structure, what its headers say against its name, and with its bytes read, its hash, its sums and its image."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cuvee.acquire.names import Named, identify
from cuvee.errors import BadData, TransientError
from cuvee.instruments.fits_bytes import Cards
from cuvee.instruments.whole import check_start, headers_of
from cuvee.model.instrument import Instrument

__all__ = ["Examine", "Examined", "odd_header"]


@dataclass(frozen=True, slots=True)
class Examined:
    """What a file turned out to be.

    Parameters
    ----------
    path : str
        The file.
    size, mtime_ns, inode : int
        As it was when it was looked at.
    reason, message : str
        What is wrong with it; empty where nothing is.
    hash : str
        XXH3-128 (hex) of its bytes; empty unless they were read.
    n_sum, n_off : int
        Units with a card CHECKSUM, and how many of these sums do not hold.
    content : str
        Hash of what a run measures of it (`cuvee.model.records.Pixels`); empty unless that was read.
    """

    path: str
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0
    reason: str = ""
    message: str = ""
    hash: str = ""
    n_sum: int = 0
    n_off: int = 0
    content: str = ""


@dataclass(frozen=True, slots=True)
class Examine:
    """Looks at files; workers can be handed it.

    Parameters
    ----------
    full : bool
        Read all bytes, too.
    device : Instrument, optional
        Read the files as a run does, too: they have been measured, and should still be what they were.
    """

    full: bool
    device: Instrument | None = None

    def __call__(self, paths: Sequence[str]) -> list[Examined]:
        """Look at these."""
        return [_examine(path, self.full, self.device) for path in paths]


def _examine(path: str, full: bool, device: Instrument | None) -> Examined:
    try:
        facts = os.stat(path)
    except OSError as error:
        return Examined(path, reason="unreadable", message=f"{path} cannot be read: {error.strerror}.")
    state = (path, facts.st_size, facts.st_mtime_ns, facts.st_ino)
    try:
        named = identify(os.path.basename(path))
        if named is not None and not named.is_fits:
            check_start(path, os.path.basename(path))
        else:
            headers = headers_of(path)
            if named is not None and (odd := odd_header(named, headers)):
                raise BadData(f"{path} is not the file that its name says: {odd}; fetch it again.", "name", path)
        if not full:
            return Examined(*state)
        from cuvee.verify.read import read_whole

        whole = read_whole(path, is_fits=named is None or named.is_fits)
        content = device.read(device.scan(path), None).content if device is not None else ""
        return Examined(*state, hash=whole.hash, n_sum=whole.n_sum, n_off=whole.n_off, content=content)
    except BadData as error:
        return Examined(*state, reason=error.reason, message=error.message)
    except (TransientError, OSError) as error:
        return Examined(*state, reason="unreadable", message=f"{path} cannot be read: {error}")


def odd_header(named: Named, headers: Sequence[Cards]) -> str:
    """Compare what a file's headers say with its name.

    Parameters
    ----------
    named : Named
        What the name says.
    headers : sequence of Cards
        Of all units.

    Returns
    -------
    str
        What differs; empty where nothing does. A card that is not there says nothing.
    """
    tests: list[tuple[str, Callable[[str], bool]]] = []
    if named.mission == "tess":
        tests += [("SECTOR", _is(named.first))] if named.first == named.last else []
        tests += [("CAMERA", _is(named.camera)), ("CCD", _is(named.ccd))] if named.camera else []
        tests += [("TICID", _is(named.target))] if named.target else []
        if named.kind in ("ffic", "ffir"):
            tests.append(("DATE-OBS", lambda text: _is_stamp(text, named.stamp)))
    elif named.mission in ("kepler", "k2"):
        tests.append(("KEPLERID", _is(named.target)))
        tests += [("CAMPAIGN", _is(named.first))] if named.mission == "k2" else []
    elif named.mission == "hst":
        tests.append(("ROOTNAME", lambda text: text.lower() == named.name.split("_")[0].lower()))
    for card, right in tests:
        # The time of a full-frame image's name is that of its primary header; others' come second.
        values = (cards.value(card) for cards in (headers[:1] if card == "DATE-OBS" else headers))
        value = next((value for value in values if value is not None), None)
        if value is not None and not right(value):
            return f"its header card {card} is {value}"
    return ""


def _is(number: int) -> Callable[[str], bool]:
    def right(text: str) -> bool:
        try:
            return float(text) == number
        except ValueError:
            return True  # a damaged card is another matter

    return right


def _is_stamp(text: str, stamp: str) -> bool:
    """Tell whether a date is that of thirteen digits: year, day of the year, hour, minute, second."""
    from datetime import datetime, timedelta

    match = re.match(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})", text)
    if match is None:
        return True
    try:
        named = datetime.strptime(stamp, "%Y%j%H%M%S")
        return abs(datetime.fromisoformat(match[1]) - named) <= timedelta(seconds=1)
    except ValueError:
        return True
