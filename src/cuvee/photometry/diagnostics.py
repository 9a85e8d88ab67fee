"""Numbers that sum up a measured light curve, as TASOC's photometry states them, for many stars at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.metrics import median

__all__ = ["Diagnostics", "diagnose"]

FloatArray = NDArray[np.float64]

HOUR = 1.0 / 24.0  # d
MAD_TO_SIGMA = 1.482602218505602  # 1 / Phi^-1(3/4)
DEGREE = 3  # of the polynomial that slow drifts are taken off with


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """One number a star of each, over its good points; NaN where there are too few of them.

    Parameters
    ----------
    mean_flux : float64 array, shape (n_star,)
        Median flux (e-/s).
    variance : float64 array, shape (n_star,)
        Variance of the flux ((e-/s)^2), with n - 1.
    rms_hour : float64 array, shape (n_star,)
        Scatter of means over an hour: their median absolute deviation, scaled to a standard deviation (e-/s).
    ptp : float64 array, shape (n_star,)
        Median absolute difference of a good point and the next good one (e-/s).
    variability : float64 array, shape (n_star,)
        Standard deviation about a polynomial of third degree in time over the median error.
    pos_centroid : float64 array, shape (n_star, 2)
        Median centroid, column and row (px).
    """

    mean_flux: FloatArray
    variance: FloatArray
    rms_hour: FloatArray
    ptp: FloatArray
    variability: FloatArray
    pos_centroid: FloatArray


def diagnose(
    time: NDArray[Any],
    flux: NDArray[Any],
    flux_err: NDArray[Any],
    centroid: NDArray[Any],
    good: NDArray[np.bool_],
) -> Diagnostics:
    """Sum up light curves.

    Parameters
    ----------
    time : float64 array, shape (n_point,) or (n_star, n_point)
        Ascending (d).
    flux, flux_err : float array, shape (n_star, n_point)
        e-/s.
    centroid : float array, shape (2, n_star, n_point)
        Column and row (px).
    good : bool array, shape (n_star, n_point)
        Points to use; one without a finite time or flux is never used.

    Returns
    -------
    Diagnostics

    References
    ----------
    Handberg et al. 2021, AJ 162, 170 (TASOC photometry); Lund et al. 2021, ApJS 257, 53, for what ``variability`` selects.
    """
    days = np.broadcast_to(np.asarray(time, np.float64), flux.shape)
    good = good & np.isfinite(flux) & np.isfinite(days)
    values = np.where(good, flux, 0.0).astype(np.float64)
    n = good.sum(axis=1)
    kept = np.where(good, values, np.nan)
    middle = median(kept)
    deviation = np.where(good, values - _mean(values, n)[:, None], 0.0)
    residual = np.where(good, values - _drift(days, values - np.nan_to_num(middle)[:, None], good), 0.0)
    residual = np.where(good, residual - _mean(residual, n)[:, None], 0.0)
    error = median(np.where(good & np.isfinite(flux_err), flux_err, np.nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        variability = np.sqrt(_variance(residual, n)) / error
    return Diagnostics(
        mean_flux=middle,
        variance=_variance(deviation, n),
        rms_hour=_scatter_of_bins(days, values, good, HOUR),
        ptp=median(np.abs(_steps(values, good))),
        variability=np.where(n > DEGREE + 1, variability, np.nan),
        pos_centroid=np.stack([median(np.where(good, axis, np.nan)) for axis in centroid], axis=1),
    )


def _mean(values: FloatArray, n: NDArray[np.int64]) -> FloatArray:
    """Return the mean of each row in which what is not good is 0."""
    mean: FloatArray = values.sum(axis=1) / np.maximum(n, 1)
    return mean


def _variance(deviation: FloatArray, n: NDArray[np.int64]) -> FloatArray:
    return np.where(n > 1, (deviation**2).sum(axis=1) / np.maximum(n - 1, 1), np.nan)


def _steps(values: FloatArray, good: NDArray[np.bool_]) -> FloatArray:
    """Return the difference of each good point to the good one before it, NaN elsewhere."""
    number = np.where(good, np.arange(values.shape[1]), -1)
    before = np.full(values.shape, -1)
    before[:, 1:] = np.maximum.accumulate(number, axis=1)[:, :-1]
    last = np.take_along_axis(values, np.maximum(before, 0), axis=1)
    return np.where(good & (before >= 0), values - last, np.nan)


def _scatter_of_bins(time: FloatArray, values: FloatArray, good: NDArray[np.bool_], width: float) -> FloatArray:
    """Return the scatter of the means over bins of time (d).

    The first bin begins half a typical step before the first point: where the width is a multiple of the step, the edges
    then lie between points, and rounding does not decide how many are in a bin.
    """
    n_star, n_point = values.shape
    if n_point == 0:
        return np.full(n_star, np.nan)
    start = np.where(good, time, np.inf).min(axis=1)
    start = np.where(np.isfinite(start), start - 0.5 * np.nan_to_num(median(_steps(time, good))), 0.0)
    number = np.floor((np.where(good, time, start[:, None]) - start[:, None]) / width)
    # Bins without a point are skipped: what counts them is that the number changes from one good point to the next.
    changes = np.nan_to_num(_steps(number, good)) != 0.0
    place = np.cumsum(changes, axis=1) + np.arange(n_star)[:, None] * n_point
    count = np.bincount(place[good], minlength=values.size)
    total = np.bincount(place[good], values[good], values.size)
    mean = np.divide(total, count, out=np.full(values.size, np.nan), where=count > 0).reshape(n_star, n_point)
    return MAD_TO_SIGMA * median(np.abs(mean - median(mean)[:, None]))


def _drift(time: FloatArray, values: FloatArray, good: NDArray[np.bool_]) -> FloatArray:
    """Return a polynomial in time, fitted to the good points of each row."""
    first = np.where(good, time, np.inf).min(axis=1, initial=np.inf)[:, None]
    last = np.where(good, time, -np.inf).max(axis=1, initial=-np.inf)[:, None]
    span = np.where(last > first, last - first, 1.0)
    along = np.where(good, 2.0 * (time - np.where(np.isfinite(first), first, 0.0)) / span - 1.0, 0.0)
    basis = np.polynomial.legendre.legvander(along, DEGREE) * good[:, :, None]  # nearly orthogonal: well conditioned
    square = np.einsum("spi,spj->sij", basis, basis)
    right = np.einsum("spi,sp->si", basis, values)
    weight = np.linalg.pinv(square, rcond=1e-10, hermitian=True) @ right[:, :, None]
    return np.asarray((basis @ weight)[:, :, 0])
