"""Numbers that judge a light curve, for many stars at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.model.records import LightCurves

__all__ = ["MAD_TO_SIGMA", "median", "point_to_point_scatter", "robust_scatter", "summarise"]

MAD_TO_SIGMA = 1.482602218505602
"""Standard deviation of a normal distribution over its median absolute deviation, 1 / Phi^-1(3/4)."""

FloatArray = NDArray[np.float64]


def median(values: NDArray[Any]) -> FloatArray:
    """Return the median of each row, ignoring what is not a number.

    Parameters
    ----------
    values : float array, shape (n_row, n)
        Any unit; NaN where there is nothing.

    Returns
    -------
    float64 array, shape (n_row,)
        NaN for a row without a number.

    Notes
    -----
    Sorting all rows at once (NaN goes last) is many times faster than `numpy.nanmedian`, which loops over long rows.
    """
    if values.shape[1] == 0:
        return np.full(values.shape[0], np.nan)
    ordered = np.sort(values, axis=1)
    count = values.shape[1] - np.isnan(values).sum(axis=1)
    low = np.maximum(count - 1, 0) // 2
    high = np.minimum(count // 2, values.shape[1] - 1)
    row = np.arange(values.shape[0])
    middle: FloatArray = 0.5 * (ordered[row, low].astype(np.float64) + ordered[row, high].astype(np.float64))
    return np.where(count > 0, middle, np.nan)


def robust_scatter(values: NDArray[Any]) -> FloatArray:
    """Return the scatter of each row about its median: the median absolute deviation, scaled to a standard deviation.

    Parameters
    ----------
    values : float array, shape (n_row, n)
        Any unit; NaN where there is nothing.

    Returns
    -------
    float64 array, shape (n_row,)
        In the unit of ``values``; NaN for a row without a number.

    References
    ----------
    Rousseeuw & Croux 1993, JASA 88, 1273, section 1.
    """
    return MAD_TO_SIGMA * median(np.abs(values - median(values)[:, None]))


def point_to_point_scatter(flux: NDArray[Any], good: NDArray[np.bool_]) -> FloatArray:
    """Return the scatter from each point to the next, which slow variation of the star leaves alone.

    Parameters
    ----------
    flux : float array, shape (n_star, n_point)
        In time order.
    good : bool array, shape (n_point,) or (n_star, n_point)
        Points to use; a difference counts where both of its neighbouring points are good.

    Returns
    -------
    float64 array, shape (n_star,)
        Scaled to the standard deviation of one point of white noise, in the unit of ``flux``; NaN where no two
        neighbouring points are good.

    Notes
    -----
    A difference of two independent points has twice the variance of one. The median absolute deviation of the
    differences ignores flares and the jumps across gaps.
    """
    kept = np.where(good, flux, np.nan)
    with np.errstate(invalid="ignore"):
        scatter: FloatArray = robust_scatter(np.diff(kept, axis=1)) / np.sqrt(2.0)
    return scatter


def summarise(curves: LightCurves, quality_mask: int, flag_mask: int) -> dict[str, NDArray[Any]]:
    """Return one row of numbers a star, for ledgers and pictures.

    Parameters
    ----------
    curves : LightCurves
        Of one patch.
    quality_mask, flag_mask : int
        Bits of ``quality`` and ``flag`` that make a point bad.

    Returns
    -------
    dict of str to array, each of shape (n_star,)
        ``id``, ``healpix``, ``ra``, ``decl``, ``mag``, ``series``, ``col``, ``row``, ``crowding``, ``best``, ``n_point``, ``n_good``;
        medians over the good points ``flux``, ``flux_err``, ``background`` and the point-to-point ``scatter``, all in e-/s.
    """
    targets, points, offsets = curves.targets, curves.points, curves.offsets
    good = (points["quality"] & quality_mask) == 0
    good &= (points["flag"] & flag_mask) == 0
    good &= np.isfinite(points["flux"]) & np.isfinite(points["time"])
    counts = np.diff(offsets)
    width = int(counts.max(initial=0))
    # Ragged points as a padded matrix: row, and place within the row.
    row = np.repeat(np.arange(counts.size), counts)
    place = np.arange(row.size) - np.repeat(offsets[:-1], counts)

    def matrix(name: str) -> NDArray[Any]:
        padded = np.full((counts.size, width), np.nan, np.float32)
        padded[row[good], place[good]] = points[name][good]
        return padded

    flux = matrix("flux")
    return {
        "id": targets.id,
        "healpix": targets.healpix,
        "ra": targets.ra,
        "decl": targets.dec,
        "mag": targets.mag,
        "series": targets.series,
        "col": targets.col,
        "row": targets.row,
        "crowding": targets.crowding[:, 0],
        "best": curves.best,
        "n_point": counts,
        "n_good": np.isfinite(flux).sum(axis=1),
        "flux": median(flux),
        "flux_err": median(matrix("flux_err")),
        "background": median(matrix("background")),
        "scatter": point_to_point_scatter(flux, np.isfinite(flux)),
    }
