"""All bytes of a file in one pass: their hash, the sums of its units, and whether an image shows anything."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from cuvee.instruments.fits_bytes import Cards, bad, open_stream, units
from cuvee.instruments.sums import add_bytes, is_one_bit, off_by, turned
from cuvee.instruments.whole import unit_sums

__all__ = ["Whole", "read_whole"]

_PIECE = 1440 * 2880
_WORDS = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


@dataclass(frozen=True, slots=True)
class Whole:
    """What the bytes of a file say.

    Parameters
    ----------
    hash : str
        XXH3-128 (hex) of all of them.
    n_sum, n_off : int
        Units with a card CHECKSUM, and how many of these sums do not hold.
    """

    hash: str
    n_sum: int
    n_off: int


def read_whole(path: str, is_fits: bool) -> Whole:
    """Read a file from its first byte to its last.

    Parameters
    ----------
    path : str
        The file; its structure is known to be sound.
    is_fits : bool
        Whether it is FITS; else there is nothing but the hash.

    Returns
    -------
    Whole

    Raises
    ------
    BadData
        ``checksum``: a bit of a unit with data has turned; ``blank``: the first image is the same everywhere.
    """
    digest = xxhash.xxh3_128()
    with open_stream(path) as (stream, size):
        if not is_fits or size < 0:
            with open(path, "rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
            sums = unit_sums(path) if is_fits else []
            if any(one.one_bit and one.size for one in sums):
                raise turned(path)
            told = [one.holds for one in sums if one.holds is not None]
            return Whole(digest.hexdigest(), len(told), told.count(False))
        n_sum = n_off = 0
        image = _Image()
        for unit in list(units(stream, size, path)):
            stream.seek(unit.start)
            total, at = 0, unit.start
            while at < unit.end:
                piece = stream.read(min(_PIECE, unit.end - at) if at >= unit.data else unit.data - at)
                digest.update(piece)
                total = add_bytes(piece, total)
                if at >= unit.data:
                    image.see(unit.cards, piece[: max(0, unit.data + unit.size - at)])
                at += len(piece)
            image.end()
            off = off_by(total)
            if "CHECKSUM" in unit.cards:
                n_sum, n_off = n_sum + 1, n_off + (off != 0)
                if unit.size and is_one_bit(off):
                    raise turned(path)
        if image.blank:
            raise bad(path, "shows nothing: all pixels of its image are the same", "blank")
        return Whole(digest.hexdigest(), n_sum, n_off)


class _Image:
    """The first image of a file, as far as it takes to see that two of its pixels differ."""

    def __init__(self) -> None:
        self._first = math.nan
        self._seen = self._done = False
        self.blank = False

    def see(self, cards: Cards, piece: bytes) -> None:
        if self._done or cards.value("XTENSION") not in (None, "IMAGE") or cards.within("NAXIS", 0, 999) < 2:
            return
        pixels: NDArray[np.generic] = np.frombuffer(piece, _WORDS[cards.whole("BITPIX")])
        real = pixels[np.isfinite(pixels)]
        if not self._seen:
            self._seen, self.blank = True, True
        if real.size:
            if math.isnan(self._first):
                self._first = float(real[0])
            if (real != self._first).any():
                self.blank, self._done = False, True

    def end(self) -> None:
        self._done = self._done or self._seen
