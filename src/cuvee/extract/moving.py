"""Looking for what moves, in the same pass: averages of about an hour, less the reference image.

An asteroid of the main belt moves by one to two pixels an hour. Frames of an hour are averaged in bins of 2 x 2 pixels, once or
twice a batch; what the frame's pointing and smear make of the reference image, and the sky, are taken off, and peaks are kept. Variable
stars and cosmic rays are among them: what moves, `cuvee.moving` finds out when all blocks are at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.background import Tiles
from cuvee.model.moving import Candidates
from cuvee.model.records import LANES, Moments, Reference
from cuvee.photometry import noise

__all__ = ["MovingPass", "Still", "describe_still"]

HOUR = 1.0 / 24.0
"""Frames of so long (d) are averaged."""
TWICE = 5.0 / 24.0
"""A batch longer than this (d) gives two images, ..."""
OFTEN = 2.5 / 24.0
"""... and of shorter ones than this only as many do as leave such an interval between them (d)."""
ENOUGH = 2.0 / 3.0
"""Share of an image's frames that must be good."""
CELL = 32
"""Side of a cell of the sky (bins)."""
STEP = 3
"""Of a cell's bins each third in both directions is looked at."""
REGION = 256
"""Side of a region that moves as one (bins)."""
CHOSEN = 1500
"""Bins of a region that tell how it has moved."""
FLAT = 0.005
"""Share of a star's light that no model describes: its colour, and the response within pixels."""
SHARP = 0.01
"""Error of a displacement (px)."""
LEAST = 6.0
"""Signal to noise of a candidate."""
MOST = 1000
"""Candidates of an image that are kept, the strongest."""
_ROOM = 50_000


@dataclass(frozen=True, slots=True)
class Still:
    """The reference image as `cuvee.kernels.moving` wants it.

    Parameters
    ----------
    parts : float32 array, shape (n_up, n_across, 8)
        As described there; NaN where the reference has a pixel without a value nearby.
    place : int64 array, shape (n_chosen, 2)
        Bins that tell how far a frame is displaced.
    ptr : int64 array, shape (n_region + 1,)
        Which of them belong to each region.
    exposure : float
        Time on source of a frame (s).
    first : tuple of float
        Detector column and row of the middle of bin [0, 0].
    """

    parts: NDArray[np.float32]
    place: NDArray[np.int64]
    ptr: NDArray[np.int64]
    exposure: float
    first: tuple[float, float]


def describe_still(reference: Reference) -> Still | None:
    """Describe a reference image by what a displaced and smeared frame differs from it.

    Parameters
    ----------
    reference : Reference
        The series' reference image.

    Returns
    -------
    Still or None
        None where the image is smaller than 16 x 16 pixels.

    Notes
    -----
    Derivatives are those of the cubic spline through the pixels, which the PRF of TESS is wide enough for.
    """
    from cuvee.kernels import moving

    image = np.asarray(reference.image, np.float64)
    shape = image.shape[0] // 2, image.shape[1] // 2
    if min(shape) < 8:
        return None
    lost = ~np.isfinite(image)
    filled = np.where(lost, 0.0 if lost.all() else np.nanmedian(image), image)
    light, *slopes = (_binned(one, shape) for one in (filled, *_derivatives(filled)))
    col = reference.geometry.col0 + np.arange(image.shape[1], dtype=np.float64)
    variance = np.maximum(filled, 0.0) / reference.readout.exposure + noise.variance_at(col, reference.readout)
    parts = np.zeros((*shape, 8), np.float32)
    sky = np.empty((max(1, shape[0] // CELL), max(1, shape[1] // CELL)))
    total = np.require(light, np.float32, "C")
    moving.sky_cells(total, 1.0, parts, 1, sky)
    # Cells are larger than any star: what exceeds their median is the stars' light.
    rows, cols = (np.minimum(np.arange(n) * m // n, m - 1) for n, m in zip(shape, sky.shape, strict=True))
    stars = np.maximum(light - np.nan_to_num(sky)[rows][:, cols], 0.0)
    floor = (FLAT * stars) ** 2 + SHARP**2 * (slopes[0] ** 2 + slopes[1] ** 2)
    for k, values in enumerate((light, *slopes, _binned(variance, shape), floor)):
        parts[..., k] = values
    parts[_binned(_near(lost), shape) > 0.0] = np.nan
    full = _binned(filled >= 0.5 * reference.readout.saturation, shape) > 0.0
    place, ptr = _telling(parts, full)
    geometry = reference.geometry
    return Still(parts, place, ptr, reference.readout.exposure, (geometry.col0 + 0.5, geometry.row0 + 0.5))


def _binned(image: NDArray[np.generic], shape: tuple[int, int]) -> NDArray[np.float64]:
    n_up, n_across = shape
    whole = np.asarray(image[: 2 * n_up, : 2 * n_across], np.float64).reshape(n_up, 2, n_across, 2)
    return np.asarray(whole.sum(axis=(1, 3)))


def _near(lost: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return pixels whose derivatives a lost one spoils: within two of it."""
    if not lost.any():
        return lost
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(lost, np.ones((5, 5), bool)))


def _derivatives(image: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the first and second derivatives of a displacement: those by -x, -y, and by xx, xy, yy, halved but for the mixed one."""
    from scipy.ndimage import convolve1d, spline_filter

    knots = spline_filter(image, order=3, mode="mirror")
    rows = ([1 / 6, 2 / 3, 1 / 6], [0.5, 0.0, -0.5], [1.0, -2.0, 1.0])  # value, slope, curvature at a knot
    found = []
    for across, up, factor in ((1, 0, -1.0), (0, 1, -1.0), (2, 0, 0.5), (1, 1, 1.0), (0, 2, 0.5)):
        along = convolve1d(knots, rows[across], axis=1, mode="mirror")
        found.append(factor * convolve1d(along, rows[up], axis=0, mode="mirror"))
    return found


def _telling(parts: NDArray[np.float32], full: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose the bins of each region whose light a displacement changes most, in terms of its error."""
    told = (parts[..., 1] ** 2 + parts[..., 2] ** 2) / (parts[..., 6] + parts[..., 7])
    told = np.where(np.isfinite(told) & ~full, told, -1.0)
    places, counts = [], [0]
    for i in range(0, told.shape[0], REGION):
        for j in range(0, told.shape[1], REGION):
            part = told[i : i + REGION, j : j + REGION]
            n = min(CHOSEN, int((part >= 0.0).sum()))
            best = np.sort(np.argpartition(-part.ravel(), max(n - 1, 0))[:n])
            places.append(np.stack([i + best // part.shape[1], j + best % part.shape[1]], axis=1))
            counts.append(n)
    return np.concatenate(places).astype(np.int64), np.cumsum(counts).astype(np.int64)


class MovingPass:
    """Looks for what has moved into the frames of a block.

    Parameters
    ----------
    still : Still
        The reference image.
    layout : Tiles
        The tiles of the pass.
    moments : Moments
        The block's time axis.
    bad : int
        The mission's quality bits of frames that take no part.
    """

    def __init__(self, still: Still, layout: Tiles, moments: Moments, bad: int) -> None:
        self.still = still
        self._mid = moments.mid
        self._cadence = moments.cadence
        self._able = np.isfinite(self._mid) & ((moments.quality & bad) == 0)
        lengths = moments.stop - moments.start
        lengths = lengths[np.isfinite(lengths) & (lengths > 0.0)]
        self._length = float(np.median(lengths)) if lengths.size else float("nan")
        shape = still.parts.shape[:2]
        # A bin belongs to the tile in which it begins; the tile's margin holds the rest of it.
        rows = np.minimum((layout.tile_rows + 1) // 2, shape[0])
        cols = np.minimum((layout.tile_cols + 1) // 2, shape[1])
        n_across = cols.size - 1
        self._bins = [
            (rows[k // n_across], rows[k // n_across + 1], cols[k % n_across], cols[k % n_across + 1])
            for k in range((rows.size - 1) * n_across)
        ]
        self._use = np.zeros((2, LANES), np.float32)
        self._total = np.empty((2, *shape), np.float32)
        self._rest, self._weight = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self._found: list[tuple[float, NDArray[np.float64]]] = []

    def begin(self, position: NDArray[np.int64]) -> None:
        """Choose the frames of a batch that are averaged; ``position`` is where its frames lie on the block's time axis."""
        self._use[:] = 0.0
        self._when = [float("nan"), float("nan")]
        batch = LANES * self._length
        if not batch > 0.0:
            return
        if int(self._cadence[position[0]]) // LANES % max(1, int(OFTEN / batch)):
            return
        n_image = 2 if batch > TWICE else 1
        n = int(np.clip(round(HOUR / self._length), 1, LANES // n_image))
        here = np.full(LANES, -1, np.int64)
        here[position % LANES] = position
        good = (here >= 0) & self._able[here]
        for image in range(n_image):
            start = image * LANES // n_image
            # The first stretch of good frames, or the best there is.
            stretches = range(start, start + LANES // n_image - n + 1)
            first = max(stretches, key=lambda k: (int(good[k : k + n].sum()), -k))
            chosen = first + np.flatnonzero(good[first : first + n])
            if chosen.size >= max(1.0, ENOUGH * n):
                self._use[image, chosen] = 1.0
                self._when[image] = float(self._mid[here[chosen]].mean())

    @property
    def wanted(self) -> bool:
        """Whether this batch gives an image."""
        return bool(self._use.any())

    def tile(self, tile: int, outer: NDArray[np.int64], image: NDArray[np.float32]) -> None:
        """Sum the frames of a tile whose lanes lie in ``image``; ``outer`` are its limits with its margin."""
        if not self.wanted:
            return
        from cuvee.kernels import moving

        top, _, left, right = (int(v) for v in outer)
        i0, i1, j0, j1 = (int(v) for v in self._bins[tile])
        moving.add_bins(image, top, left, right - left, i0, i1, j0, j1, self._use, self._total)

    def finish(self) -> None:
        """Look for peaks in the images of a batch."""
        for image in range(2):
            n = int(self._use[image].sum())
            if n:
                self._found.append((self._when[image], self._peaks(self._total[image], n)))

    def _peaks(self, total: NDArray[np.float32], n: int) -> NDArray[np.float64]:
        from cuvee.kernels import moving

        still, scale = self.still, 1.0 / n
        shape = total.shape
        sky = np.empty((max(1, shape[0] // CELL), max(1, shape[1] // CELL)))
        moving.sky_cells(total, scale, still.parts, STEP, sky)
        known = np.isfinite(sky)
        if not known.any():
            return np.zeros((0, 4))
        sky[~known] = np.median(sky[known])
        coef = np.empty((still.ptr.size - 1, 8), np.float32)
        moving.fit_parts(total, scale, still.exposure, sky, still.parts, still.place, still.ptr, coef)
        moving.subtract(total, scale, still.exposure, sky, still.parts, coef, REGION, self._rest, self._weight)
        room = np.empty((_ROOM, 4))
        found = room[: moving.find_peaks(self._rest, self._weight, LEAST, room)]
        strongest = np.argsort(-found[:, 3], kind="stable")[:MOST]
        return found[np.sort(strongest)].copy()

    @property
    def candidates(self) -> Candidates:
        """All that was found, in the order of time."""
        found = sorted(self._found, key=lambda one: one[0])
        time = np.concatenate([np.zeros(0), *(np.full(len(one), when) for when, one in found)])
        row, col, flux, snr = np.concatenate([np.zeros((0, 4)), *(one for _, one in found)]).T
        # Rounded far below their errors: a frame that changes by a hair then changes nothing that is made of them.
        col, row = (np.round(first + 2.0 * one, 2) for first, one in zip(self.still.first, (col, row), strict=True))
        return Candidates(time, col, row, np.round(flux, 1), np.round(snr, 1))
