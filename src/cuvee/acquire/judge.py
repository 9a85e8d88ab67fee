"""Whether what came is what the archive has: by its structure, by the sums that FITS files carry, by the sums that the archive sends along."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cuvee.errors import BadData
from cuvee.instruments.whole import check_fits, check_start, unit_sums
from cuvee.store.atomic import content_hash

__all__ = ["Verdict", "judge"]

_PIECE = 1 << 22
_DIGESTS: dict[str, str] = {"content-md5": "md5", "x-amz-checksum-sha256": "sha256", "x-amz-checksum-sha1": "sha1"}
"""Headers with a sum of the whole body in base64. An ETag is none: S3 gives parts of a file that came in parts one of their own."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be thought of a file whose structure is sound.

    Parameters
    ----------
    hash : str
        XXH3-128 (hex) of its bytes.
    proven : bool
        Whether every unit that holds data has a sum, and all sums hold.
    doubt : str
        Why its bytes may be wrong; empty where nothing says so.
    """

    hash: str
    proven: bool
    doubt: str


def judge(path: Path, name: str, headers: Mapping[str, str] | None = None, digest: str = "") -> Verdict:
    """Judge a file.

    Parameters
    ----------
    path : Path
        The file, whatever it is called for now.
    name : str
        What it will be called.
    headers : mapping of str to str, optional
        What the archive sent with it, names in lower case.
    digest : str
        XXH3-128 (hex) of its bytes, where that is known already.

    Returns
    -------
    Verdict

    Raises
    ------
    BadData
        If it is cut short, has a tail that is not its own, is something else than its name says, or a bit of it has turned.
    """
    proven, doubt = False, ""
    if name.endswith((".fits", ".fits.gz")):
        check_fits(str(path))
        sums = unit_sums(str(path))
        if turned := [unit.number for unit in sums if unit.one_bit and unit.size]:
            what = "is damaged: its sum and its header card CHECKSUM differ by exactly one bit"
            raise BadData(f"{name} {what} (unit {turned[0]}).", "checksum", str(path))
        wrong = [str(unit.number) for unit in sums if unit.holds is False]
        proven = not wrong and all(unit.holds for unit in sums if unit.size) and any(unit.holds for unit in sums)
        if wrong:
            doubt = f"the card CHECKSUM of unit {', '.join(wrong)} does not hold"
    else:
        check_start(str(path), name)
    return Verdict(digest or content_hash(path), proven, _digest_doubt(path, headers or {}) or doubt)


def _digest_doubt(path: Path, headers: Mapping[str, str]) -> str:
    for header, algorithm in _DIGESTS.items():
        if told := headers.get(header):
            digest = hashlib.new(algorithm, usedforsecurity=False)
            _feed(path, digest.update)
            if base64.b64encode(digest.digest()).decode() != told.strip():
                return f"the archive's {header} is another"
    if told := headers.get("x-amz-checksum-crc32"):
        crc = 0

        def add(piece: bytes) -> None:
            nonlocal crc
            crc = zlib.crc32(piece, crc)

        _feed(path, add)
        if base64.b64encode(crc.to_bytes(4, "big")).decode() != told.strip().partition("-")[0]:
            return "the archive's x-amz-checksum-crc32 is another"
    return ""


def _feed(path: Path, take: Callable[[bytes], object]) -> None:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            take(piece)
