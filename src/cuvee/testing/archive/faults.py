"""What can be wrong with an archive's answer: one small record a fault, and who is struck by it when."""

from __future__ import annotations

import difflib
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cuvee.errors import ConfigError

__all__ = ["KINDS", "Fault", "FaultMenu", "parse_fault"]

KINDS: dict[str, str] = {
    "truncate": "a short body under a Content-Length that agrees with it; number: bytes that come (default: half)",
    "drop": "the connection closes within the body; number: bytes that come (default: half)",
    "flip": "one bit of the body is another; number: the byte, counted from the file's first (default: the middle of what is sent)",
    "html": "200 with a maintenance page instead of the answer",
    "404": "404, whatever is asked for",
    "416": "416 on requests for a range",
    "429": "429, too many requests; number: Retry-After in seconds (default: no such header)",
    "500": "500",
    "503": "503; number: Retry-After in seconds (default: no such header)",
    "503-range": "503 on requests for a range; number: as of 503",
    "slow": "the body drips; number: bytes a second (default: 10000)",
    "stall": "the body stops and the connection stays; number: bytes that come (default: half)",
    "no-length": "no Content-Length: the body ends where the connection closes",
    "chunked": "no Content-Length: the body comes in chunks",
    "wrong-length": "a Content-Length that is too large; number: by how many bytes (default: 1000)",
    "no-range": "200 and the whole file where a range is asked for",
    "no-accept-ranges": "no Accept-Ranges header; ranges are served all the same",
    "changed": "another version of the file, with another ETag; number: downloads of the old one before (default: 1)",
    "page-missing": "a page of a search without its rows; number: the page (default: 2)",
    "page-warning": "a page of a search with the status WARNING; number: the page (default: 2)",
    "page-shifted": "from a page on, rows begin one late: one is never shown; number: the page (default: 2)",
    "page-duplicated": "from a page on, rows begin one early: one is shown twice; number: the page (default: 2)",
    "rows-total": "a search says it has more rows than it shows; number: how many (default: 1)",
    "executing": "a search is still EXECUTING; times: how often it says so (default: for ever)",
    "error": "a search ends with the status ERROR",
    "busy": "503 while other requests are in work; number: how many may be (default: 1)",
    "missing": "listed in scripts and searches, but 404 when it is fetched",
    "md5": "a wrong sum in md5sum.txt",
}
"""Every fault, and what its number means."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    pattern : str
        Who is struck: a shell pattern that fits the name of a file, the path of a request, or the name of a search service.
    times : int, optional
        How many requests it strikes; without it, all.
    number : float, optional
        What `KINDS` says of it.

    Raises
    ------
    ConfigError
        If there is no such fault, or its numbers make no sense.
    """

    kind: str
    pattern: str = "*"
    times: int | None = None
    number: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            near = difflib.get_close_matches(self.kind, KINDS, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ConfigError(f"There is no fault {self.kind!r}{hint}; choose one of {', '.join(KINDS)}.")
        if (self.times is not None and self.times < 1) or (self.number is not None and not self.number >= 0):
            raise ConfigError(
                f"The fault {self.kind!r} strikes at least once, and its number is not negative; mend them."
            )

    def fits(self, names: Iterable[str]) -> bool:
        """Tell whether one of the names of a request fits the pattern."""
        return any(fnmatchcase(name, self.pattern) for name in names)


def parse_fault(text: str) -> Fault:
    """Read a fault as it is typed: ``kind``, ``kind:pattern``, ``kind:pattern:times=2:number=100``.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    kind, *rest = text.split(":")
    options: dict[str, float] = {}
    while rest and rest[-1].partition("=")[0] in ("times", "number"):
        key, _, value = rest.pop().partition("=")
        try:
            options[key] = int(value) if key == "times" else float(value)
        except ValueError:
            raise ConfigError(f"The fault {text!r} has a {key} that is no number; write it as {key}=2.") from None
    times = options.get("times")
    return Fault(kind, ":".join(rest) or "*", None if times is None else int(times), options.get("number"))


class FaultMenu:
    """The faults of an archive, and how often each has struck.

    Parameters
    ----------
    faults : sequence of Fault
        In the order in which they are asked.
    """

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.faults = tuple(faults)
        self._hits: Counter[int] = Counter()
        self._downloads: Counter[tuple[int, str]] = Counter()
        self._lock = threading.Lock()

    @property
    def hits(self) -> tuple[int, ...]:
        """How many requests each fault has struck."""
        with self._lock:
            return tuple(self._hits[k] for k in range(len(self.faults)))

    def find(self, kinds: Iterable[str], names: Sequence[str]) -> list[Fault]:
        """Return the faults of these kinds that would strike now, without counting it as a strike."""
        with self._lock:
            return [self.faults[k] for k in self._ready(kinds, names)]

    def strike(self, kinds: Iterable[str], names: Sequence[str]) -> Fault | None:
        """Return the first fault of these kinds that strikes, if any does, and count it."""
        with self._lock:
            for k in self._ready(kinds, names):
                self._hits[k] += 1
                return self.faults[k]
        return None

    def strike_version(self, name: str, download: bool) -> bool:
        """Tell whether a file is served in its other version from now on; a download is counted."""
        with self._lock:
            for k in self._ready(("changed",), (name,)):
                number = self.faults[k].number
                if self._downloads[k, name] >= (1 if number is None else number):
                    self._hits[k] += download
                    return True
                self._downloads[k, name] += download
        return False

    def _ready(self, kinds: Iterable[str], names: Sequence[str]) -> list[int]:
        kinds = set(kinds)
        return [
            k
            for k, fault in enumerate(self.faults)
            if fault.kind in kinds and fault.fits(names) and (fault.times is None or self._hits[k] < fault.times)
        ]
