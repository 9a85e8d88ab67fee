"""Headers broken in thousands of ways: a file is read or set aside with a reason; no other error, no hang, no memory for what is not there."""

from __future__ import annotations

import gzip
import os
import signal
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from astropy.io import fits
from tests.instruments.conftest import Maker

from cuvee.errors import BadData
from cuvee.instruments.registry import instrument
from cuvee.testing.instruments import REASONS

CASES = int(os.environ.get("CUVEE_HEADERS", "500"))
"""Of all kinds together; `make faults` does ten thousand."""
KINDS = ("frame", "frame .gz", "frame .fz", "cutout", "target pixels", "K2", "HDF5")
PATIENCE = 30.0
"""Seconds after which a file counts as a hang; the slowest of them takes some hundredths of one."""
MEMORY = 100e6
"""Bytes; the files have some ten thousand."""

NASTY = (
    "", "T", "F", "-1", "0", "1", "2", "3", "99999999999999999999", "2147483647", "1000000000", "-2147483648", "7.5", "1E400", "-1E300",
    "1E-320", "NaN", "INF", "''", "'", "'x'", "'RA---TAN'", "'GZIP_2'", "'1PB(9)'", "'99999999E'", "1_0", "1D5", "é", "\x00", "4096",
)  # fmt: skip
CARD, BLOCK = 80, 2880


def sample(kind: str, make_ffi: Maker, make_stamp: Maker, make_hdf5: Maker) -> Path:
    if kind.startswith("frame"):
        path = make_ffi()
        if kind == "frame .gz":
            return make_ffi(f"{path.name}.gz")
        if kind == "frame .fz":
            with fits.open(path) as units:
                images = [
                    fits.CompImageHDU(unit.data, unit.header, compression_type="RICE_1", quantize_level=4)
                    for unit in units[1:]
                ]
                fits.HDUList([fits.PrimaryHDU(header=units[0].header), *images]).writeto(f"{path}.fz", checksum=True)
            return path.with_name(f"{path.name}.fz")
        return path
    if kind == "cutout":
        return make_stamp("tess-s0001-1-4_131.4_-53.4_5x4_astrocut.fits", cut=True, length=1800.0)
    if kind == "target pixels":
        return make_stamp("tess2018206045859-s0001-0000000000001234-0120-s_tp.fits")
    if kind == "K2":
        head = {"TELESCOP": "Kepler", "CAMPAIGN": 91, "MODULE": 12, "OUTPUT": 3, "KEPLERID": 757076, "SECTOR": None}
        name = "ktwo000757076-c91_lpd-targ.fits"
        return make_stamp(name, corner=(84, 52), scale=3.98 / 3600, length=1765.5, primary=head)
    return make_hdf5()


def cards_of(content: bytes) -> list[int]:
    """Return where the cards of all headers stand."""
    found, inside = [], False
    for at in range(0, len(content) - CARD + 1, CARD):
        if at % BLOCK == 0 and content[at : at + 8] in (b"SIMPLE  ", b"XTENSION"):
            inside = True
        if inside:
            found.append(at)
            inside = content[at : at + 8] != b"END     "
    return found


def mutate(content: bytes, cards: list[int], rng: np.random.Generator) -> bytes:
    """Break a file in one to four ways; what is no FITS file has bits turned all over."""
    damaged = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.choice(cards)) if cards else 0
        way = rng.integers(7) if cards else 0
        if way == 0:
            for _ in range(rng.integers(1, 9)):
                damaged[at + int(rng.integers(CARD if cards else len(damaged)))] ^= 1 << int(rng.integers(8))
        elif way == 1:
            value = NASTY[rng.integers(len(NASTY))].rjust(20).encode("latin-1")
            damaged[at + 10 : at + CARD] = value.ljust(CARD - 10)
        elif way == 2:
            damaged[at : at + CARD] = b" " * CARD
        elif way == 3:
            other = int(rng.choice(cards))
            damaged[at : at + CARD], damaged[other : other + CARD] = (
                damaged[other : other + CARD],
                damaged[at : at + CARD],
            )
        elif way == 4:
            damaged[at + 8 : at + CARD] = rng.integers(0, 256, CARD - 8, dtype=np.uint8).tobytes()
        elif way == 5:
            damaged[at : at + 8] = b"END     " if rng.integers(2) else b"NAXIS1  "
        else:
            where = int(rng.integers(len(damaged) // BLOCK + 1)) * BLOCK
            damaged[where:where] = damaged[at // BLOCK * BLOCK :][: BLOCK * int(rng.integers(1, 3))]
    return bytes(damaged)


class Hang(BaseException):
    """No exception that a reader could take for the file's fault."""


@contextmanager
def no_hang() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_header_is_bad_data_or_none(kind: str, make_ffi: Maker, make_stamp: Maker, make_hdf5: Maker) -> None:
    path = sample(kind, make_ffi, make_stamp, make_hdf5)
    packed = path.suffix == ".gz"
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    cards = cards_of(content)
    assert len(cards) > 40 or kind == "HDF5"
    device = instrument("kepler" if kind == "K2" else "tess")
    device.read(device.scan(str(path)), None)
    rng = np.random.default_rng(KINDS.index(kind))
    outcomes: Counter[str] = Counter()
    silent = 0
    tracemalloc.start()
    try:
        for _ in range(-(-CASES // len(KINDS))):
            broken = mutate(content, cards, rng)
            path.write_bytes(gzip.compress(broken, 1) if packed else broken)
            try:
                with no_hang():
                    info = device.scan(str(path))
                    device.read(info, None)
            except BadData as error:
                outcomes[error.reason] += 1
                silent += str(path) not in error.message
            else:
                outcomes["read"] += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"{kind}: {dict(outcomes.most_common())}, at most {peak / 1e6:.1f} MB")  # noqa: T201
    assert peak < MEMORY
    assert not silent
    assert outcomes.keys() <= {*REASONS, "read"}
    assert sum(outcomes.values()) - outcomes["read"] > 10
