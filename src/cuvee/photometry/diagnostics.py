"""Numbers that sum up a measured light curve, as TASOC's photometry states them, for many stars at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.metrics import median, robust_scatter, usual_step
from cuvee.model.records import LightCurves

__all__ = ["diagnose"]

FloatArray = NDArray[np.float64]

HOUR = 1.0 / 24.0  # d
DEGREE = 3  # of the polynomial that slow drifts are taken off with


def diagnose(curves: LightCurves, good: NDArray[np.bool_], error: FloatArray) -> dict[str, NDArray[Any]]:
    """Sum up what ``flux`` holds.

    Parameters
    ----------
    curves : LightCurves
        Of any stars.
    good : bool array, shape (n_point,)
        Points to use; one without a finite time or flux is never used.
    error : float64 array, shape (n_star,)
        Median error of one point (e-/s).

    Returns
    -------
    dict of str to array, each of shape (n_star,)
        ``variance``: of the flux, with n - 1 ((e-/s)^2).
        ``rms_hour``: median absolute deviation of means over an hour, scaled to a standard deviation (e-/s).
        ``ptp``: median absolute difference of a good point and the next good one (e-/s).
        ``variability``: standard deviation about a polynomial of third degree in time, over the median error.
        ``contamination``: share of the light in the aperture that is other stars', by the catalogue.
        ``n_pixel``: pixels of the aperture or own mask that ``flux`` is a sum over; NaN for another method and for a given mask.
        ``edge_flux``: light in those of its pixels that lie in the outermost rows and columns (e-/s); 0 where none do, NaN for another method.
        ``flag``: the bits that every point of the star has.
        NaN where there are too few points.

    References
    ----------
    Handberg et al. 2021, AJ 162, 170 (TASOC photometry); Lund et al. 2021, ApJS 257, 53, for what ``variability`` selects.
    """
    from cuvee.kernels.drift import sum_up

    points, offsets = curves.points, curves.offsets
    counts = np.diff(offsets)
    n_star, longest = counts.size, int(counts.max(initial=0))
    squares = np.zeros((3, n_star))
    steps = np.full((n_star, longest), np.nan, np.float32)
    means = np.full((n_star, longest), np.nan)
    step = usual_step(points["time"], offsets)
    sum_up(points["time"], points["flux"], good, offsets, step, HOUR, squares, steps, means)
    n, about_mean, about_drift = squares
    with np.errstate(divide="ignore", invalid="ignore"):
        variability = np.sqrt(_variance(about_drift, n)) / error
    area = {f"aperture{k + 1}": np.pi * radius**2 for k, radius in enumerate(curves.targets.radii)}
    circle = np.array([area.get(str(name), np.nan) for name in curves.best], np.float64)
    flag = np.zeros(n_star, np.int32)
    seen = np.flatnonzero(counts)
    if seen.size:
        flag[seen] = np.bitwise_and.reduceat(points["flag"], offsets[seen])
    return {
        "variance": _variance(about_mean, n),
        "rms_hour": robust_scatter(_filled(means)),
        "ptp": median(steps),
        "variability": np.where(n > DEGREE + 1, variability, np.nan),
        "contamination": 1.0 - curves.targets.crowding[:, 0],
        "n_pixel": np.where(curves.best == "mask", curves.numbers.get("mask_size", np.nan), circle),
        "edge_flux": curves.numbers.get("edge_flux", np.full(n_star, np.nan)),
        "flag": flag,
    }


def _variance(squares: FloatArray, n: FloatArray) -> FloatArray:
    return np.where(n > 1, squares / np.maximum(n - 1, 1), np.nan)


def _filled(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the columns in which there is anything; numbers come first in each row."""
    return rows[:, : int(np.isfinite(rows).any(axis=0).sum())]
