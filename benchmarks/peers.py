"""What others do with the same frames: only read them, fitsio + sep, astropy + photutils."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from benchmarks.frames import ANNULUS, FIRST_COL, RADII, SIDE, forget
from numpy.typing import NDArray

Sums = list[NDArray[Any]]
N_COL = 2136
PAGE = 4096
READERS = 2
"""Threads that read; more were no faster."""


# -- only reading ----------------------------------------------------------------------------------------------------


class Reader:
    """Brings the science rows of frames into memory and nothing else; memory is allocated once, and used before timing."""

    def __init__(self, path: str) -> None:
        self.start = _start_of_rows(path)
        self.end = self.start + SIDE * N_COL * 4
        size = -(-self.end // PAGE) * PAGE
        self.raw = [np.frombuffer(mmap.mmap(-1, size), np.uint8) for _ in range(READERS)]
        self.native = [np.zeros((SIDE, SIDE), np.float32) for _ in range(READERS)]
        for raw in self.raw:
            raw[:] = 0

    def _cached(self, path: str, k: int) -> None:
        with open(path, "rb", buffering=0) as file:
            file.seek(self.start)
            view, at = self.raw[k].data, self.start
            while at < self.end:
                at += file.readinto(view[at : self.end])

    def _direct(self, path: str, k: int) -> None:
        number = os.open(path, os.O_RDONLY | os.O_DIRECT)
        view, at = self.raw[k].data, 0
        while at < self.end:
            at += os.preadv(number, [view[at:]], at)
        os.close(number)

    def _swap(self, k: int) -> None:
        rows = self.raw[k][self.start : self.end].view(">f4").reshape(SIDE, N_COL)
        np.copyto(self.native[k], rows[:, FIRST_COL : FIRST_COL + SIDE])

    def run(self, paths: Sequence[str], direct: bool, native: bool) -> None:
        """Read frames, through the page cache or past it; ``native``: turn each into an array of native floats."""
        read = self._direct if direct else self._cached

        def share(k: int) -> None:
            for path in paths[k::READERS]:
                read(path, k)
                forget(path)
                if native:
                    self._swap(k)

        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(share, range(READERS)))


def _start_of_rows(path: str) -> int:
    import fitsio

    with fitsio.FITS(path) as file:
        return int(file[1].get_offsets()["data_start"])


def ways_to_read() -> dict[str, tuple[bool, bool]]:
    """Return how frames can only be read here: (past the page cache, as native floats) by name."""
    ways = {"read": (False, False), "read_native": (False, True)}
    if hasattr(os, "O_DIRECT"):
        ways |= {"direct": (True, False), "direct_native": (True, True)}
    return ways


# -- fitsio + sep ----------------------------------------------------------------------------------------------------


def sep_image(path: str) -> NDArray[np.float32]:
    import fitsio

    with fitsio.FITS(path) as file:
        return np.ascontiguousarray(file[1][0:SIDE, FIRST_COL : FIRST_COL + SIDE])


def sep_sums(image: NDArray[Any], col: NDArray[Any], row: NDArray[Any]) -> Sums:
    """Exact sums in all apertures."""
    import sep

    return [sep.sum_circle(image, col, row, radius, subpix=0)[0] for radius in RADII]


def run_sep(paths: Iterable[str], col: NDArray[Any], row: NDArray[Any]) -> Sums:
    """Read and measure frames with fitsio and sep; return the last frame's sums."""
    import sep

    sums: Sums = []
    for path in paths:
        image = sep_image(path)
        forget(path)
        sep.Background(image).subfrom(image)
        sums = sep_sums(image, col, row)
        sums.append(sep.sum_circann(image, col, row, *ANNULUS, subpix=0)[0])
    return sums


# -- plain squares ---------------------------------------------------------------------------------------------------


def square_sums(frames: Sequence[NDArray[Any]], col: NDArray[Any], row: NDArray[Any]) -> NDArray[np.float64]:
    """Return the plain sums of the 3 x 3 pixels about places, shape (n_star, n_frame); NaN where some lie outside."""
    r, c = np.rint(row).astype(int) + 1, np.rint(col).astype(int) + 1
    found = np.zeros((col.size, len(frames)))
    for k, frame in enumerate(frames):
        pixels = np.pad(frame.astype(np.float64), 1, constant_values=np.nan)
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                found[:, k] += pixels[r + i, c + j]
    return found


# -- astropy + photutils ---------------------------------------------------------------------------------------------


def photutils_steps(path: str, col: NDArray[Any], row: NDArray[Any]) -> dict[str, Callable[[], Any]]:
    """Return the steps of the chain astropy + photutils on one frame, to be called in their order."""
    from astropy.io import fits
    from astropy.stats import SigmaClip
    from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture, aperture_photometry
    from photutils.background import Background2D

    clip = SigmaClip(sigma=3.0, maxiters=4)
    at = np.stack([col, row], axis=1)
    image: NDArray[Any] = np.empty(0)
    annuli = CircularAnnulus(at, *ANNULUS)

    def read() -> None:
        nonlocal image
        with fits.open(path) as file:
            image = file[1].data[:SIDE, FIRST_COL : FIRST_COL + SIDE].astype(np.float64)

    def background() -> Any:
        return image - Background2D(image, 64, sigma_clip=clip).background

    def apertures() -> Sums:
        tables = [aperture_photometry(image, CircularAperture(at, r), method="exact") for r in RADII]
        return [np.asarray(table["aperture_sum"]) for table in tables]

    return {
        "reading": read,
        "Background2D": background,
        "aperture_photometry x3": apertures,
        "annulus, clipped": lambda: ApertureStats(image, annuli, sigma_clip=clip).mean,
        "annulus, plain sum": lambda: aperture_photometry(image, annuli, method="exact"),
    }
