"""Measure injected signals in a light curve: fits of known shapes, the strongest period, an asteroid's light in an aperture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.model.flags import FLAGS, TESS_QUALITY, default_mask

__all__ = ["Fit", "Points", "aperture_share", "fit_shapes", "good_points", "relative_scatter", "strongest_period"]

FloatArray = NDArray[np.float64]
STEP = 0.1
"""Sampling of an aperture (px)."""


class Points(NamedTuple):
    """Good points of a light curve, each an array of shape (n,): BTJD, e-/s, e-/s, cadence number."""

    time: FloatArray
    flux: FloatArray
    error: FloatArray
    cadence: NDArray[Any]


class Fit(NamedTuple):
    """What `fit_shapes` finds.

    Parameters
    ----------
    amplitude, error : float64 array, shape (n_shape,)
        Relative to the level; the error is infinite for a shape that the points do not hold.
    scatter : float
        Standard deviation of the residuals, relative to the level.
    """

    amplitude: FloatArray
    error: FloatArray
    scatter: float


def good_points(curve: Mapping[str, Any], column: str = "flux", allowed: int = 0) -> Points:
    """Return the points that the default mask keeps.

    Parameters
    ----------
    curve : mapping
        ``time``, the column and its ``_err``, ``quality``, ``flag``, and ``cadence`` if there is one.
    column : str, optional
        Which flux.
    allowed : int
        Bits of ``flag`` that make no point bad.
    """
    time, flux, error = (np.asarray(curve[name], dtype=np.float64) for name in ("time", column, f"{column}_err"))
    keep = np.isfinite(time) & np.isfinite(flux) & np.isfinite(error) & (error > 0.0)
    keep &= (np.asarray(curve["quality"]) & default_mask(TESS_QUALITY)) == 0
    keep &= (np.asarray(curve["flag"]) & default_mask(FLAGS) & ~allowed) == 0
    cadence = np.asarray(curve.get("cadence", np.full(time.size, -1)))
    return Points(time[keep], flux[keep], error[keep], cadence[keep])


def relative_scatter(flux: FloatArray) -> float:
    """Return the robust standard deviation of a light curve over its median."""
    middle = float(np.median(flux))
    return 1.4826 * float(np.median(np.abs(flux - middle))) / middle


def fit_shapes(points: Points, shapes: FloatArray) -> Fit:
    """Fit level * (1 + sum of amplitude * shape) by weighted least squares.

    Parameters
    ----------
    points : Points
        The light curve.
    shapes : float64 array, shape (n_shape, n)
        What was put in, at unit amplitude.

    Returns
    -------
    Fit
        Errors are those of the flux errors, or of the residuals where these are larger.
    """
    design = np.vstack([np.ones(points.flux.size), shapes]).T / points.error[:, None]
    covariance = np.linalg.pinv(design.T @ design)
    values = covariance @ design.T @ (points.flux / points.error)
    residual = points.flux - (design @ values) * points.error
    free = max(1, points.flux.size - values.size)
    chi2 = float(np.sum((residual / points.error) ** 2)) / free
    level = float(values[0])
    variance = np.diag(covariance)[1:] * max(1.0, chi2)
    error = np.where(variance > 0.0, np.sqrt(variance), np.inf) / abs(level)
    return Fit(values[1:] / level, error, float(residual.std() / abs(level)))


def strongest_period(points: Points) -> float:
    """Return the period of the strongest Lomb-Scargle peak between one cycle in the observation and the Nyquist frequency (d)."""
    from astropy.timeseries import LombScargle

    time = points.time
    span = float(time[-1] - time[0])
    highest = 0.5 / float(np.median(np.diff(time)))
    search = LombScargle(time, points.flux, points.error)
    frequency = np.linspace(1.0 / span, highest, int(10 * span * highest) + 2)
    at = frequency[np.argmax(search.power(frequency))]
    fine = np.linspace(max(at - 0.2 / span, 0.5 / span), at + 0.2 / span, 201)
    # The fast method interpolates, which would shift the peak by more than its error.
    return float(1.0 / fine[np.argmax(search.power(fine, method="cython"))])


def aperture_share(offset: tuple[float, float], run: tuple[float, float], sigma: float, radius: float) -> float:
    """Return the share of a trailed source's light in a circular aperture.

    Parameters
    ----------
    offset : tuple of float
        Middle of the trail from the centre of the aperture, columns and rows (px).
    run : tuple of float
        Length of the trail along columns and rows (px).
    sigma : float
        Standard deviation of the Gaussian PRF (px), before it is integrated over pixels.
    radius : float
        Of the aperture (px).

    Returns
    -------
    float
        By sampling; good to a hundredth.
    """
    half = np.arange(-radius + 0.5 * STEP, radius, STEP)
    x, y = np.meshgrid(half, half)
    inside = x * x + y * y <= radius * radius
    # A pixel as wide as one has a variance of 1/12.
    variance = sigma * sigma + 1.0 / 12.0
    steps = (np.arange(21) - 10.0) / 21.0
    total = 0.0
    for s in steps:
        u, v = x - offset[0] - s * run[0], y - offset[1] - s * run[1]
        total += float(np.sum(np.exp(-0.5 * (u * u + v * v) / variance)[inside]))
    return total / steps.size * STEP * STEP / (2.0 * np.pi * variance)
