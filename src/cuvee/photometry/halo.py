"""Stars too bright for an aperture: the light of their halo, weighted so that the sum jumps least from frame to frame.

Round a saturated star the pixels of the core say nothing, or jump as charge spills up and down their columns. The wings of
the point response still rise and fall with the star, each by the same share of its own mean; what pointing adds differs
from pixel to pixel. So weights w_p >= 0 are sought that make the total variation of their sum least,

    V(w) = sum_t abs(f_t+1 - f_t) / mean_t(f_t),    f_t = sum_p w_p d_pt:

a signal common to all pixels cannot be weighted away, what is not common can. V does not depend on the scale of w, and it
is a convex function over a positive linear one, so wherever no weight can be changed to gain, V is the least there is.

References
----------
White et al. 2017, MNRAS 471, 2882, section 2 (the method); Pope et al. 2019, ApJS 245, 8 (bright stars of K2). See
`cuvee.kernels.halo` for the search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cuvee.errors import AlgorithmError

__all__ = ["Halo", "HaloParams", "find_split", "halo", "saturated_pixels"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

MIN_COVERAGE = 0.9
"""Share of the good frames of every part in which a pixel must be a number to be weighted."""
MIN_LIGHT = 0.5
"""Share of the weighted light that must be there for a frame to have a flux."""
MIN_FRAMES = 10
"""Good frames in each part; with fewer the jumps are too few to tell pixels apart."""
MIDDLE = (0.3, 0.7)
"""Where in the series, as shares of its length, a gap may split it."""
CORNER = 1.0
"""Jumps well below this many median jumps count with their square: among them is only noise, of which the square is the
better measure. V ends 1 to 3 % above the least there is; light curves of simulated stars are up to a tenth quieter."""
ROUNDS = 3
"""Searches, each with the median jump of the last: from the plain sum's to that of the halo, which may be a hundredth of it."""
TOLERANCE = 1e-8
"""Gain in V, in units of that of the plain sum, below which a search ends."""
MAX_STEPS = 300
"""Of each search; more make V smaller by less than 1 %, and no quieter."""


class HaloParams(BaseModel):
    """How the light of a saturated star is gathered from its halo.

    Parameters
    ----------
    saturation : float
        Pixels with a mean above it (e-/s) are left out. On TESS a full well is about 1e5 e-/s.
    bleed : int
        How many pixels beyond either end of a saturated stretch of a column are left out with it: there the spilt charge
        comes and goes.
    order : int
        Which differences between frames count: the first, or the second, which let a star vary steadily at no cost.
    min_gap : float
        Shortest gap (d) at which weights start anew.
    min_pixels : int
        With fewer the star is given up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    saturation: float = Field(default=5e4, gt=0)
    bleed: int = Field(default=1, ge=0)
    order: int = Field(default=1, ge=1, le=2)
    min_gap: float = Field(default=0.5, gt=0)
    min_pixels: int = Field(default=10, ge=1)


@dataclass(frozen=True, slots=True)
class Halo:
    """The light curve of a halo and how it was weighted.

    Parameters
    ----------
    flux : float64 array, shape (n_frame,)
        In e-/s, NaN where there is none. Within a part it is ``level`` x f_t / mean(f_t) with f the weighted sum: relative
        changes are those of the halo, the level is that of the whole stamp.
    flux_err : float64 array, shape (n_frame,)
        In e-/s: the errors of the pixels, taken as independent, under the same weights. That of ``level`` is not in it.
    centroid : float64 array, shape (n_frame, 2)
        Column and row (px, from the centre of pixel [0, 0] of the stamp) of the light of all covered pixels, saturated
        ones too, where the light is that of ``level``.
    part : int64 array, shape (n_frame,)
        Which weights each frame was measured with; -1 for a frame without a time.
    splits : float64 array, shape (n_part - 1,)
        Times at which weights start anew, in the unit of ``time``.
    weights : float64 array, shape (n_part, n_row, n_col)
        Sum 1 over the stamp in each part; nought for pixels that were left out.
    level : float64 array, shape (n_part,)
        Mean flux over the good frames (e-/s) of all covered pixels together, saturated ones and those of neighbours
        included: charge that spills within the stamp is not lost, so this is what the star would have in an aperture as
        large as the stamp.
    saturated : bool array, shape (n_row, n_col)
        Pixels that were left out for it.
    before, after : float64 array, shape (n_part,)
        V of the plain sum of the pixels that could be weighted, and of the weighted one.
    """

    flux: FloatArray
    flux_err: FloatArray
    centroid: FloatArray
    part: NDArray[np.int64]
    splits: FloatArray
    weights: FloatArray
    level: FloatArray
    saturated: BoolArray
    before: FloatArray
    after: FloatArray


def saturated_pixels(mean: FloatArray, saturation: float, bleed: int) -> BoolArray:
    """Find the pixels above a level, and those of the same column that their charge spills into now and then.

    Parameters
    ----------
    mean : float64 array, shape (n_row, n_col)
        Mean image (e-/s); NaN is not saturated.
    saturation : float
        Level (e-/s).
    bleed : int
        Pixels beyond either end of a saturated stretch of a column.

    Returns
    -------
    bool array, shape (n_row, n_col)
    """
    from scipy import ndimage

    full = mean > saturation
    return np.asarray(ndimage.binary_dilation(full, np.ones((2 * bleed + 1, 1), np.bool_)))


def find_split(time: FloatArray, min_gap: float) -> FloatArray:
    """Find the longest gap in the middle of a series.

    Parameters
    ----------
    time : float64 array, shape (n_frame,)
        Times of the good frames (d), ascending.
    min_gap : float
        Shorter gaps do not count (d).

    Returns
    -------
    float64 array, shape (0,) or (1,)
        The middle of the gap; it lies within the central 40 % of the series.
    """
    if time.size < 2:
        return np.empty(0)
    gap, centre = np.diff(time), 0.5 * (time[1:] + time[:-1])
    place = (centre - time[0]) / (time[-1] - time[0])
    central = (gap > min_gap) & (place >= MIDDLE[0]) & (place <= MIDDLE[1])
    return centre[[np.argmax(np.where(central, gap, 0.0))]] if central.any() else np.empty(0)


def halo(
    flux: NDArray[Any],
    flux_err: NDArray[Any],
    time: FloatArray,
    good: BoolArray,
    saturated: BoolArray | None = None,
    splits: Sequence[float] | None = None,
    params: HaloParams | None = None,
) -> Halo:
    """Measure a saturated star by its halo.

    Parameters
    ----------
    flux : float array, shape (n_frame, n_row, n_col)
        Stamp round the star without background (e-/s); NaN where nothing was measured. Pixels of a neighbour can be kept
        out of weights and level by making them NaN in all frames.
    flux_err : float array, shape (n_frame, n_row, n_col)
        One standard deviation (e-/s).
    time : float64 array, shape (n_frame,)
        Ascending (d); NaN for a frame without one, which is then not measured.
    good : bool array, shape (n_frame,)
        Frames that decide about weights and level; the others are measured, too.
    saturated : bool array, shape (n_row, n_col), optional
        Pixels not to be weighted. Without it they are found by `saturated_pixels`.
    splits : sequence of float, optional
        Times at which weights start anew, in the unit of ``time``; those with no good frame on one side are passed over.
        Without it `find_split` looks for one; an empty sequence asks for none.
    params : HaloParams, optional
        As by default.

    Returns
    -------
    Halo

    Raises
    ------
    AlgorithmError
        If too few pixels or frames are left; with the numbers.

    Notes
    -----
    Where all spilt charge stays within the stamp, the plain sum of all its pixels holds far more photons and is the better
    light curve; the halo is for stars whose charge runs out of the stamp or off the detector.

    The weights are fitted to the light curve that they make, so a series of fewer frames than a few times the weighted
    pixels looks quieter than it is, and a signal that motion of the star can imitate is made smaller: a sine of 1 % in 700
    frames by 1 to 4 %. For stars that vary much from frame to frame ``order = 2`` is the better measure.

    A neighbour that does not vary is a bait: its light in the sum makes the jumps of a variable star smaller. Keep bright
    ones out. A frame in which some weighted pixels are NaN is measured with the rest, by their share of the light.
    """
    params = params or HaloParams()
    n_frame, n_row, n_col = flux.shape
    pixels = np.asarray(flux, np.float64).reshape(n_frame, -1)
    errors = np.asarray(flux_err, np.float64).reshape(n_frame, -1)
    placed = np.isfinite(time)
    # A frame without a single number in it, like a missing one, cannot decide about pixels.
    used = good & placed & np.isfinite(pixels).any(axis=1)
    if not used.any():
        message = f"None of {n_frame} frames is good and has pixels; look at the quality of this series."
        raise AlgorithmError(message, {"n_frame": n_frame, "n_good": int(good.sum())})
    wanted = find_split(time[used], params.min_gap) if splits is None else np.unique(np.asarray(splits, np.float64))
    inner = (wanted > time[used].min()) & (wanted <= time[used].max())
    # Of splits with no good frame between them, one is enough.
    _, first = np.unique(np.searchsorted(time[used], wanted[inner]), return_index=True)
    edges = wanted[inner][first]
    part = np.where(placed, np.searchsorted(edges, time, side="right"), -1)
    members = [used & (part == k) for k in range(edges.size + 1)]
    _enough_frames(members)

    there = np.isfinite(pixels)
    covered = np.all([there[frames].mean(axis=0) >= MIN_COVERAGE for frames in members], axis=0)
    means = np.stack([_mean(pixels[frames], there[frames]) for frames in members])
    if saturated is None:
        typical = np.where(covered, means.max(axis=0), np.nan).reshape(n_row, n_col)
        saturated = saturated_pixels(typical, params.saturation, params.bleed)
    # A pixel that is dark on the mean holds no light of the star.
    lit = covered & ~saturated.ravel() & (means > 0).all(axis=0)
    _enough_pixels(lit, covered, saturated, params)

    weights = np.zeros((len(members), pixels.shape[1]))
    level, before, after = (np.empty(len(members)) for _ in range(3))
    result, error = np.full(n_frame, np.nan), np.full(n_frame, np.nan)
    for k, frames in enumerate(members):
        series = _filled(pixels[np.ix_(frames, lit)], means[k, lit])
        weights[k, lit], before[k], after[k] = _least_variation(series, params.order)
        level[k] = means[k, covered].sum()
        measured = part == k
        result[measured], error[measured] = _weighted(
            pixels[measured], errors[measured], weights[k], means[k], level[k]
        )
    mean = np.where(covered, means[np.maximum(part, 0)], 0.0)
    centroid = _centroid(np.where(covered & there, pixels, mean), n_col)
    centroid[~placed | ~there.any(axis=1)] = np.nan
    shape = (len(members), n_row, n_col)
    return Halo(result, error, centroid, part, edges, weights.reshape(shape), level, saturated, before, after)


def _enough_frames(members: list[BoolArray]) -> None:
    """Raise an error if a part of the series is too short."""
    counts = [int(frames.sum()) for frames in members]
    if min(counts) < MIN_FRAMES:
        k = int(np.argmin(counts))
        message = (
            f"Part {k + 1} of {len(counts)} of the series has {counts[k]} good frames and {MIN_FRAMES} are needed to weigh "
            "pixels; take a longer series or fewer splits."
        )
        raise AlgorithmError(message, {"n_part": len(counts), "part": k, "n_frame": counts[k]})


def _enough_pixels(lit: BoolArray, covered: BoolArray, saturated: BoolArray, params: HaloParams) -> None:
    """Raise an error if too few pixels can be weighted."""
    n_lit, n_saturated = int(lit.sum()), int(saturated.sum())
    if n_lit < params.min_pixels:
        message = (
            f"Of {lit.size} pixels {n_saturated} are saturated and {n_lit} hold light of the halo, and {params.min_pixels} are "
            "needed; take a larger stamp."
        )
        numbers = {"n_pixel": lit.size, "n_covered": int(covered.sum()), "n_saturated": n_saturated, "n_lit": n_lit}
        raise AlgorithmError(message, numbers)


def _mean(pixels: FloatArray, there: BoolArray) -> FloatArray:
    """Return the mean of each pixel over the frames where it is a number, or NaN."""
    count = there.sum(axis=0)
    total = np.where(there, pixels, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _filled(series: FloatArray, mean: FloatArray) -> FloatArray:
    """Give a pixel that is missing in a frame the share of its mean that the other pixels have there."""
    there = np.isfinite(series)
    light = (there * mean).sum(axis=1)
    share = np.where(there, series, 0.0).sum(axis=1) / np.where(light > 0, light, 1.0)
    share[light == 0] = 1.0
    return np.where(there, series, share[:, None] * mean)


def _least_variation(series: FloatArray, order: int) -> tuple[FloatArray, float, float]:
    """Find the weights whose sum of pixels varies least.

    Parameters
    ----------
    series : float64 array, shape (n_frame, n_pixel)
        Every pixel has a positive mean; no NaN.
    order : int
        Of the differences.

    Returns
    -------
    weights : float64 array, shape (n_pixel,)
        Sum 1.
    before, after : float
        V of the plain sum and of the weighted one.
    """
    from cuvee.kernels.halo import least_variation

    n_pixel = series.shape[1]
    step = np.ascontiguousarray(np.diff(series, n=order, axis=0).T)
    size = np.sqrt(np.square(step).mean(axis=1))
    # A pixel that never moves is stuck and does not see the star; to V it would be the best of all.
    moves = size > 0
    plain = np.full(n_pixel, 1.0 / n_pixel)
    mean = series.mean(axis=0)
    before = float(np.abs(step.sum(axis=0)).sum() / mean.sum())
    if not before > 0:
        return plain, before, before  # a star that is constant to the last bit: nothing to gain
    # In units of its own jumps each pixel matters about as much to the search, be it bright or faint.
    scaled, level = step[moves] / size[moves, None], mean[moves] / size[moves]

    x = size[moves] / (level * size[moves]).sum()
    for _ in range(ROUNDS):
        jump = np.abs((x[:, None] * scaled).sum(axis=0))
        softening = CORNER * (float(np.median(jump)) or float(jump.mean()))
        x, _ = least_variation(scaled, level, x, softening, before, TOLERANCE, MAX_STEPS)
    weights = np.zeros(n_pixel)
    weights[moves] = x / size[moves]
    weights /= weights.sum()
    after = float(np.abs((weights[:, None] * step).sum(axis=0)).sum() / (weights * mean).sum())
    return weights, before, after


def _weighted(
    pixels: FloatArray, errors: FloatArray, weights: FloatArray, mean: FloatArray, level: float
) -> tuple[FloatArray, FloatArray]:
    """Return the weighted flux of each frame and its error, such that the mean frame has the given level."""
    heavy = weights > 0
    values, w = pixels[:, heavy], weights[heavy]
    there = np.isfinite(values)
    light = (there * (w * mean[heavy])).sum(axis=1)
    enough = light >= MIN_LIGHT * (w * mean[heavy]).sum()
    scale = np.where(enough, level / np.where(enough, light, 1.0), np.nan)
    flux = (np.where(there, values, 0.0) * w).sum(axis=1)
    variance = (np.where(there, errors[:, heavy] * w, 0.0) ** 2).sum(axis=1)
    return scale * flux, scale * np.sqrt(variance)


def _centroid(pixels: FloatArray, n_col: int) -> FloatArray:
    """Return column and row of the light of each frame (px); NaN where there is none."""
    row, col = np.divmod(np.arange(pixels.shape[1]), n_col)
    total = pixels.sum(axis=1)
    total[~(total > 0)] = np.nan
    moment = np.stack([(pixels * col).sum(axis=1), (pixels * row).sum(axis=1)], axis=1)
    return np.asarray(moment / total[:, None])
