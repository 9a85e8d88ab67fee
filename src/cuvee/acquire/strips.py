"""The TIC as the archive has it in bulk: 90 files, each of a strip of two degrees in declination.

``tic_dec90_00S__88_00S.csv.gz`` to ``tic_dec88_00N__90_00N.csv.gz``, and beside them ``md5sum.txt`` with the sums of their uncompressed bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["N_STRIP", "STRIP_FOLDER", "SUMS", "Strip", "all_strips", "strip_of", "strips_between"]

N_STRIP = 90
STRIP_FOLDER = "RAW/tess/catalogs/tic_v82"
"""Where a workspace has the archive's files of the TIC, as long as it has them."""
SUMS = "md5sum.txt"

_DEGREES = 2


@dataclass(frozen=True, slots=True, order=True)
class Strip:
    """Two degrees in declination.

    Parameters
    ----------
    number : int
        From 0 at the south pole to 89 at the north pole.
    """

    number: int

    @property
    def low(self) -> int:
        """Its southern edge (deg)."""
        return _DEGREES * self.number - 90

    @property
    def high(self) -> int:
        """Its northern edge (deg)."""
        return self.low + _DEGREES

    @property
    def stem(self) -> str:
        """What its file is called, without endings."""
        return f"tic_dec{_edge(self.low)}__{_edge(self.high)}"

    @property
    def name(self) -> str:
        """What the archive's file is called."""
        return f"{self.stem}.csv.gz"


def _edge(dec: int) -> str:
    return f"{abs(dec):02d}_00{'S' if dec < 0 else 'N'}"


def all_strips() -> tuple[Strip, ...]:
    """Return all of them, from south to north."""
    return tuple(Strip(k) for k in range(N_STRIP))


def strip_of(name: str) -> Strip | None:
    """Say which strip a file holds, by its name, compressed or not; None where it is no such file."""
    return _BY_STEM.get(name.removesuffix(".gz").removesuffix(".csv"))


def strips_between(low: float, high: float) -> tuple[Strip, ...]:
    """Return the strips that two declinations (deg) span; one that is only touched at its edge is none of them."""
    first = min(math.floor((low + 90.0) / _DEGREES), N_STRIP - 1)
    last = max(first, math.ceil((high + 90.0) / _DEGREES) - 1)
    return tuple(Strip(k) for k in range(max(0, first), min(last, N_STRIP - 1) + 1))


_BY_STEM = {strip.stem: strip for strip in all_strips()}
