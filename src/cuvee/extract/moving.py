"""Looking for what moves, in the same pass: averages of about an hour, less the reference image.

An asteroid of the main belt moves by one to two pixels an hour. Frames of an hour are averaged in bins of 2 x 2 pixels, once or
twice a batch; what the frame's pointing and smear make of the reference image, and the sky, are taken off, and peaks are kept. Variable
stars and cosmic rays are among them: what moves, `cuvee.moving` finds out when all blocks are at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.model.moving import Candidates
from cuvee.model.records import LANES, Moments, Reference
from cuvee.moving import may_move
from cuvee.photometry import noise

__all__ = ["MovingPass", "Still", "describe_still"]

HOUR = 1.0 / 24.0
"""Frames of so long (d) are averaged."""
TWICE = 5.0 / 24.0
"""A batch longer than this (d) gives two images, ..."""
OFTEN = 2.5 / 24.0
"""... and of shorter ones than this only as many do as leave at least such an interval between them (d)."""
ENOUGH = 2.0 / 3.0
"""Share of an image's frames that must be good."""
CELL = 32
"""Side of a cell of the sky (bins)."""
STEP = 4
"""Of a cell's bins each fourth in both directions is looked at."""
REGION = 256
"""Side of a region that moves as one (bins)."""
CHOSEN = 600
"""Bins of a region that tell how it has moved."""
FLAT = 0.005
"""Share of a star's light that no model describes: its colour, and the response within pixels."""
SHARP = 0.01
"""Error of a displacement (px)."""
LEAST = 6.0
"""Signal to noise of a candidate."""
LASTING = 2.5
"""Signal to noise that it has without the frame in which it is brightest."""
MOST = 4000
"""Candidates of an image that are kept, the strongest of those that may move."""
_ROOM = 50_000


@dataclass(frozen=True, slots=True)
class Still:
    """The reference image as `cuvee.kernels.moving` wants it, in bins of 2 x 2 pixels.

    Parameters
    ----------
    light : float32 array, shape (n_up, n_across)
        The image (e-/s a bin); NaN where it has a pixel without a value nearby.
    slopes : float32 array, shape (5, n_up, n_across)
        What displacement and smear change, as described there.
    variance : float32 array, shape (n_up, n_across)
        Of one frame ((e-/s)^2).
    floor : float32 array, shape (n_up, n_across)
        Square of what no model describes.
    sample : float32 array
        Each `STEP`-th bin of ``light`` in both directions.
    chosen : float32 array, shape (n_chosen, 8)
        All of this in the bins that tell how far a frame is displaced.
    place : int64 array, shape (n_chosen, 2)
        Which bins these are.
    ptr : int64 array, shape (n_region + 1,)
        Which of them belong to each region.
    exposure : float
        Time on source of a frame (s).
    first : tuple of float
        Detector column and row of the middle of bin [0, 0].
    """

    light: NDArray[np.float32]
    slopes: NDArray[np.float32]
    variance: NDArray[np.float32]
    floor: NDArray[np.float32]
    sample: NDArray[np.float32]
    chosen: NDArray[np.float32]
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
    geometry, readout = reference.geometry, reference.readout
    lost = ~np.isfinite(image)
    filled = np.where(lost, 0.0 if lost.all() else np.nanmedian(image), image)
    light = _binned(filled, shape)
    slopes = np.stack([_binned(one, shape) for one in _derivatives(filled)])
    col = geometry.col0 + np.arange(image.shape[1], dtype=np.float64)
    variance = _binned(np.maximum(filled, 0.0) / readout.exposure + noise.variance_at(col, readout), shape)
    sky = _empty_sky(shape)
    moving.sky_cells(light, 1.0, np.zeros(shape, np.float32), 1, sky)
    # Cells are larger than any star: what exceeds their median is the stars' light.
    rows, cols = (np.minimum(np.arange(n) * m // n, m - 1) for n, m in zip(shape, sky.shape, strict=True))
    stars = np.maximum(light - np.nan_to_num(sky)[rows][:, cols], 0.0)
    floor = ((FLAT * stars) ** 2 + SHARP**2 * (slopes[0] ** 2 + slopes[1] ** 2)).astype(np.float32)
    full = _binned(filled >= 0.5 * readout.saturation, shape) > 0.0
    light[_binned(_near(lost), shape) > 0.0] = np.nan
    told = (slopes[0] ** 2 + slopes[1] ** 2) / (variance + floor)
    place, ptr = _telling(np.where(np.isfinite(light) & ~full, told, -1.0))
    every = np.stack([light, *slopes, variance, floor], axis=-1)
    chosen = np.ascontiguousarray(every[place[:, 0], place[:, 1]])
    sample = np.ascontiguousarray(light[::STEP, ::STEP])
    first = (geometry.col0 + 0.5, geometry.row0 + 0.5)
    return Still(light, slopes, variance, floor, sample, chosen, place, ptr, readout.exposure, first)


def _empty_sky(shape: tuple[int, int]) -> NDArray[np.float64]:
    return np.empty((max(1, shape[0] // CELL), max(1, shape[1] // CELL)))


def _binned(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    n_up, n_across = shape
    whole = np.asarray(image[: 2 * n_up, : 2 * n_across], np.float64).reshape(n_up, 2, n_across, 2)
    return np.asarray(whole.sum(axis=(1, 3)), np.float32)


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


def _telling(told: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose the bins of each region whose light a displacement changes most, in terms of its error; below zero are none."""
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
    moments : Moments
        The block's time axis.
    bad : int
        The mission's quality bits of frames that take no part.
    """

    def __init__(self, still: Still, moments: Moments, bad: int) -> None:
        self.still = still
        self._mid = moments.mid
        self._cadence = moments.cadence
        self._able = np.isfinite(self._mid) & ((moments.quality & bad) == 0)
        lengths = moments.stop - moments.start
        lengths = lengths[np.isfinite(lengths) & (lengths > 0.0)]
        self._length = float(np.median(lengths)) if lengths.size else float("nan")
        self._total, self._rest = np.empty_like(still.light), np.empty_like(still.light)
        self._variance: dict[int, NDArray[np.float32]] = {}
        self._found: list[tuple[float, NDArray[np.float64]]] = []

    def look(self, frames: Sequence[NDArray[np.uint32]], swap: bool, position: NDArray[np.int64]) -> None:
        """Look for peaks in a batch.

        Parameters
        ----------
        frames : sequence of uint32 arrays, each of shape (n_row, n_col)
            Words of the sixteen lanes' frames, as `cuvee.extract.measure.words` returns them.
        swap : bool
            Whether their bytes must be swapped.
        position : int64 array, shape (n_frame,)
            Where the frames of the batch lie on the block's time axis.
        """
        from cuvee.kernels import moving

        for chosen in self._images(position):
            self._total[:] = 0.0
            for place in chosen:
                moving.add_frame(_rows(frames[place % LANES]), swap, self._total)
            peaks = self._peaks(chosen.size)
            lasting = self._lasting(peaks, [_rows(frames[place % LANES]) for place in chosen], swap)
            self._found.append((float(self._mid[chosen].mean()), peaks[lasting, :4]))

    def _images(self, position: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield which frames of a batch are averaged."""
        batch = LANES * self._length
        if not batch > 0.0 or int(self._cadence[position[0]]) // LANES % max(1, int(np.ceil(OFTEN / batch))):
            return
        n_image = 2 if batch > TWICE else 1
        n = int(np.clip(round(HOUR / self._length), 1, LANES // n_image))
        here = np.full(LANES, -1, np.int64)
        here[position % LANES] = position
        good = (here >= 0) & self._able[here]
        for start in range(0, LANES, LANES // n_image):
            # The first stretch of good frames, or the best there is.
            stretches = range(start, start + LANES // n_image - n + 1)
            first = max(stretches, key=lambda k: (int(good[k : k + n].sum()), -k))
            chosen = first + np.flatnonzero(good[first : first + n])
            if chosen.size >= max(1.0, ENOUGH * n):
                yield here[chosen]

    def _peaks(self, n: int) -> NDArray[np.float64]:
        """Return the peaks of the mean of ``n`` frames, of which ``self._total`` is the sum."""
        from cuvee.kernels import moving, moving_peaks

        still, total, scale = self.still, self._total, 1.0 / n
        sky = _empty_sky(still.light.shape)
        moving.sky_cells(total, scale, still.sample, STEP, sky)
        known = np.isfinite(sky)
        if not known.any():
            return np.zeros((0, 6))
        sky[~known] = np.median(sky[known])
        coef = np.empty((still.ptr.size - 1, 5), np.float32)
        moving.fit_slopes(total, scale, still.exposure, sky, still.chosen, still.place, still.ptr, coef)
        moving.subtract(total, scale, sky, still.light, still.slopes, coef, REGION, self._rest)
        if n not in self._variance:
            self._variance[n] = np.float32(scale) * still.variance + still.floor
        room = np.empty((_ROOM, 6))
        count = moving_peaks.find_peaks(self._rest, self._variance[n], sky, scale, still.exposure, LEAST, room)
        return room[:count].copy()

    def _lasting(
        self, peaks: NDArray[np.float64], frames: Sequence[NDArray[np.uint32]], swap: bool
    ) -> NDArray[np.bool_]:
        """Tell which peaks are still there without the frame in which they are brightest: a cosmic ray is in one only."""
        from cuvee.kernels import moving_peaks

        n = len(frames)
        if n == 1:
            return np.ones(peaks.shape[0], bool)
        place = np.ascontiguousarray(peaks[:, 4:], np.int64)
        every, mean, noise = np.empty((n, place.shape[0])), np.empty(place.shape[0]), np.empty(place.shape[0])
        moving_peaks.light_of_rest(self._rest, self._variance[n], place, mean, noise)
        for one, frame in zip(every, frames, strict=True):
            moving_peaks.light_of_frame(frame, swap, self._variance[n], place, one)
        # What does not change from frame to frame, stars and their displacement, falls out.
        others = (n * mean - (every - every.mean(axis=0) + mean).max(axis=0)) / (n - 1)
        return np.asarray(others >= LASTING * noise * np.sqrt(n / (n - 1)))

    @property
    def candidates(self) -> Candidates:
        """All that was found, in the order of time."""
        found = sorted(self._found, key=lambda one: one[0])
        time = np.concatenate([np.zeros(0), *(np.full(len(one), when) for when, one in found)])
        row, col, flux, snr = np.concatenate([np.zeros((0, 4)), *(one for _, one in found)]).T
        # Rounded far below their errors: a frame that changes by a hair then changes nothing that is made of them.
        col, row = (np.round(first + 2.0 * one, 2) for first, one in zip(self.still.first, (col, row), strict=True))
        kept = np.flatnonzero(may_move(col, row))
        # Of each image the strongest: the rank of a place among those of its time.
        order = kept[np.lexsort((-snr[kept], time[kept]))]
        rank = np.arange(order.size) - np.searchsorted(time[order], time[order])
        kept = np.sort(order[rank < MOST])
        return Candidates(time[kept], col[kept], row[kept], np.round(flux[kept], 1), np.round(snr[kept], 1))


def _rows(frame: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return whole rows of a frame as they lie in memory, which is one stretch of it; nobody looks beyond the frame's columns."""
    step = frame.strides[0]
    if step <= 0 or step % 4 or frame.strides[1] != 4:
        return np.ascontiguousarray(frame)
    return np.lib.stride_tricks.as_strided(frame, (frame.shape[0], step // 4), (step, 4), writeable=False)
