"""How stars vary: the signals that are put in, averaged over an exposure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONSTANT", "INGRESS", "SINUSOID", "TRANSIT", "sinusoid_mean", "transit_mean"]

FloatArray = NDArray[np.float64]

CONSTANT, SINUSOID, TRANSIT = "constant", "sinusoid", "transit"

INGRESS = 0.15
"""Share of a transit's duration that its ingress takes, and its egress again."""


def sinusoid_mean(time: FloatArray, period: FloatArray, epoch: FloatArray, exposure: float) -> FloatArray:
    """Return the mean over an exposure of ``sin(2 pi (t - epoch) / period)``.

    Parameters
    ----------
    time, period, epoch : float64 array
        Mid-exposure, period and rising zero (d), of shapes that broadcast.
    exposure : float
        Length of the exposure (d).

    Returns
    -------
    float64 array
        Between -1 and 1; exact: the sine times sinc(exposure / period).
    """
    return np.asarray(np.sinc(exposure / period) * np.sin(2.0 * np.pi * (time - epoch) / period))


def transit_mean(
    time: FloatArray, period: FloatArray, epoch: FloatArray, duration: FloatArray, exposure: float
) -> FloatArray:
    """Return the mean over an exposure of a trapezoidal transit of unit depth.

    Parameters
    ----------
    time, period, epoch, duration : float64 array
        Mid-exposure, period, middle of a transit, and first to last contact (d), of shapes that broadcast.
    exposure : float
        Length of the exposure (d); shorter than the time between transits.

    Returns
    -------
    float64 array
        0 outside, 1 at the bottom. Exact: the trapezoid's integral is a difference of four ramps' integrals.
    """
    x = (time - epoch + 0.5 * period) % period - 0.5 * period
    outer, inner = 0.5 * duration, (0.5 - INGRESS) * duration

    def integral(at: FloatArray) -> FloatArray:
        ramps = [0.5 * np.maximum(at - knot, 0.0) ** 2 for knot in (-outer, -inner, inner, outer)]
        return np.asarray((ramps[0] - ramps[1] - ramps[2] + ramps[3]) / (outer - inner))

    return (integral(x + 0.5 * exposure) - integral(x - 0.5 * exposure)) / exposure
