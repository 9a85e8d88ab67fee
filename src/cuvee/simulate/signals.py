"""How stars vary: the signals that are put in, averaged over an exposure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONSTANT",
    "ECLIPSES",
    "FLARES",
    "FLARE_AREA",
    "INGRESS",
    "KINDS",
    "PULSATOR",
    "SINUSOID",
    "TRANSIT",
    "eclipses_mean",
    "flare_mean",
    "sinusoid_mean",
    "transit_mean",
]

FloatArray = NDArray[np.float64]

CONSTANT, SINUSOID, TRANSIT, ECLIPSES, PULSATOR, FLARES = (
    "constant", "sinusoid", "transit", "eclipses", "pulsator", "flares"
)  # fmt: skip
KINDS = (SINUSOID, TRANSIT, ECLIPSES, PULSATOR, FLARES)
"""Of variable stars."""

INGRESS = 0.15
"""Share of a transit's duration that its ingress takes, and its egress again."""
ECLIPSE_INGRESS = 0.5
"""The same of a stellar eclipse, which has no flat bottom."""

_RISE = (1.0, 1.941, -0.175, -2.246, -1.125)
_DECAY = ((0.6890, 1.600), (0.3030, 0.2783))
FLARE_AREA = sum(c * (-1.0) ** k / (k + 1) for k, c in enumerate(_RISE)) + sum(a / b for a, b in _DECAY)
"""Integral over a flare of unit peak, in units of its width at half maximum: 1.827."""


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
    time: FloatArray,
    period: FloatArray,
    epoch: FloatArray,
    duration: FloatArray,
    exposure: float,
    ingress: float = INGRESS,
) -> FloatArray:
    """Return the mean over an exposure of a trapezoidal transit of unit depth.

    Parameters
    ----------
    time, period, epoch, duration : float64 array
        Mid-exposure, period, middle of a transit, and first to last contact (d), of shapes that broadcast.
    exposure : float
        Length of the exposure (d); shorter than the time between transits.
    ingress : float, optional
        Share of the duration that the ingress takes; 0.5 gives a triangle.

    Returns
    -------
    float64 array
        0 outside, 1 at the bottom. Exact: the trapezoid's integral is a difference of four ramps' integrals.
    """
    x = (time - epoch + 0.5 * period) % period - 0.5 * period
    outer, inner = 0.5 * duration, (0.5 - ingress) * duration

    def integral(at: FloatArray) -> FloatArray:
        ramps = [0.5 * np.maximum(at - knot, 0.0) ** 2 for knot in (-outer, -inner, inner, outer)]
        return np.asarray((ramps[0] - ramps[1] - ramps[2] + ramps[3]) / (outer - inner))

    return (integral(x + 0.5 * exposure) - integral(x - 0.5 * exposure)) / exposure


def eclipses_mean(
    time: FloatArray, period: FloatArray, epoch: FloatArray, duration: FloatArray, exposure: float
) -> tuple[FloatArray, FloatArray]:
    """Return the means over an exposure of the eclipses of a binary in a circular orbit, each of unit depth.

    Parameters
    ----------
    time, period, epoch, duration, exposure
        As for `transit_mean`; ``epoch`` is the middle of a primary eclipse.

    Returns
    -------
    primary, secondary : float64 array
        0 outside, 1 in the middle; triangles, the secondary half a period after the primary.
    """
    primary = transit_mean(time, period, epoch, duration, exposure, ECLIPSE_INGRESS)
    return primary, transit_mean(time, period, epoch + 0.5 * period, duration, exposure, ECLIPSE_INGRESS)


def flare_mean(time: FloatArray, peak: FloatArray, width: FloatArray, exposure: float) -> FloatArray:
    """Return the mean over an exposure of a flare of unit peak.

    Parameters
    ----------
    time, peak, width : float64 array
        Mid-exposure, time of the peak, and full width at half maximum (d), of shapes that broadcast.
    exposure : float
        Length of the exposure (d).

    Returns
    -------
    float64 array
        Relative to the peak; exact, by the integrals of the two pieces.

    References
    ----------
    Davenport et al. 2014, ApJ 797, 122, equations 1 and 4: a rise in four powers of time over one width, and a fall in
    two exponentials.
    """

    def integral(at: FloatArray) -> FloatArray:
        # From one width before the peak; in units of the width.
        rise, fall = np.clip(at, -1.0, 0.0), np.maximum(at, 0.0)
        area = sum(c * (rise ** (k + 1) - (-1.0) ** (k + 1)) / (k + 1) for k, c in enumerate(_RISE))
        return np.asarray(area + sum(a / b * -np.expm1(-b * fall) for a, b in _DECAY))

    x, half = (time - peak) / width, 0.5 * exposure / width
    return (integral(x + half) - integral(x - half)) * width / exposure
