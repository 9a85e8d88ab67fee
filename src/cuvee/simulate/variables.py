"""Variable stars whose light curves need a table of their own: binaries, pulsators, flare stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Flares", "Modes", "draw_eclipses", "draw_flares", "draw_modes", "log_uniform"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PRIMARY_DEPTH = (0.03, 0.5)
ECLIPSE_SHARE = (0.06, 0.2)
"""Duration of an eclipse over the period."""
SCUTI_FREQUENCY = (5.0, 40.0)
SCUTI_AMPLITUDE = (0.003, 0.04)
RR_PERIOD = (0.4, 0.7)
RR_AMPLITUDE = (0.12, 0.3)
RR_HARMONICS = (1.0, 0.45, 0.27, 0.15, 0.09)
"""Semi-amplitudes of the Fourier series of an RRab star over the first; with equal epochs they make a sawtooth."""
FLARES_A_DAY = 0.4
FLARE_PEAK = (0.05, 2.0)
FLARE_SLOPE = 0.8
"""Number of flares above a peak ~ peak^-FLARE_SLOPE."""
FLARE_WIDTH = (5.0 / 1440.0, 45.0 / 1440.0)


@dataclass(frozen=True, slots=True)
class Modes:
    """Pulsation modes; every array has shape (n_mode,).

    Parameters
    ----------
    star : int64 array
        Row of the star in the scene.
    frequency : float64 array
        Cycles a day.
    amplitude : float64 array
        Semi-amplitude relative to the star's flux.
    epoch : float64 array
        Rising zero (BTJD at the star).
    """

    star: IntArray
    frequency: FloatArray
    amplitude: FloatArray
    epoch: FloatArray


@dataclass(frozen=True, slots=True)
class Flares:
    """Flares; every array has shape (n_flare,).

    Parameters
    ----------
    star : int64 array
        Row of the star in the scene.
    peak : float64 array
        BTJD at the star.
    amplitude : float64 array
        Height of the peak relative to the star's flux.
    width : float64 array
        Full width at half maximum (d).
    """

    star: IntArray
    peak: FloatArray
    amplitude: FloatArray
    width: FloatArray


def log_uniform(rng: np.random.Generator, n: int, low: float, high: float) -> FloatArray:
    """Draw ``n`` numbers whose logarithms are uniform between two limits."""
    return np.asarray(low * (high / low) ** rng.random(n))


def draw_eclipses(
    rng: np.random.Generator, n: int, longest: float, cadence: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Draw eclipsing binaries.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    n : int
        How many.
    longest, cadence : float
        Longest period and length of an exposure (d).

    Returns
    -------
    period, duration, primary, secondary : float64 array, shape (n,)
        Days; depths relative to the flux out of eclipse, the primary's the larger.
    """
    period = log_uniform(rng, n, max(0.08 * longest, 12 * cadence), max(longest, 16 * cadence))
    share = ECLIPSE_SHARE[0] + (ECLIPSE_SHARE[1] - ECLIPSE_SHARE[0]) * rng.random(n)
    duration = np.minimum(np.maximum(share * period, 3 * cadence), 0.3 * period)
    primary = log_uniform(rng, n, *PRIMARY_DEPTH)
    return period, duration, primary, primary * (0.1 + 0.85 * rng.random(n))


def draw_modes(rng: np.random.Generator, stars: IntArray, start: float, longest: float, cadence: float) -> Modes:
    """Draw the modes of pulsators: half of them like delta Scuti, half like RR Lyrae.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    stars : int64 array, shape (n,)
        Rows of the pulsators.
    start, longest, cadence : float
        First exposure (BTJD), longest period and length of an exposure (d).

    Returns
    -------
    Modes
        Three to six incommensurable modes, the first the strongest, below 0.8 of the Nyquist frequency; or five harmonics.
    """
    out: list[tuple[int, float, float, float]] = []
    low, high = SCUTI_FREQUENCY[0], min(SCUTI_FREQUENCY[1], 0.4 / cadence)
    for star in stars.tolist():
        if rng.random() < 0.5:
            count = int(rng.integers(3, 7))
            # The strongest mode is the slowest, so that no long exposure makes it a weak one.
            frequency = low + (high - low) * np.sort(rng.random(count))
            strongest = float(log_uniform(rng, 1, *SCUTI_AMPLITUDE)[0])
            amplitude = strongest * np.concatenate([[1.0], 0.15 + 0.7 * rng.random(count - 1)])
            epoch = start + rng.random(count) / frequency
        else:
            period = min(RR_PERIOD[0] + (RR_PERIOD[1] - RR_PERIOD[0]) * float(rng.random()), longest)
            frequency = np.arange(1, len(RR_HARMONICS) + 1) / period
            largest = RR_AMPLITUDE[0] + (RR_AMPLITUDE[1] - RR_AMPLITUDE[0]) * float(rng.random())
            amplitude = largest * np.array(RR_HARMONICS)
            epoch = np.full(frequency.size, start + period * float(rng.random()))
        out += [(star, *mode) for mode in zip(frequency.tolist(), amplitude.tolist(), epoch.tolist(), strict=True)]
    table = np.array(out).reshape(-1, 4)
    return Modes(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3])


def draw_flares(rng: np.random.Generator, stars: IntArray, start: float, baseline: float) -> Flares:
    """Draw the flares of flare stars: each has at least one.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    stars : int64 array, shape (n,)
        Rows of the flare stars.
    start, baseline : float
        First exposure (BTJD) and length of the observation (d).

    Returns
    -------
    Flares
        Few large ones, many small ones.
    """
    count = 1 + rng.poisson(FLARES_A_DAY * baseline, stars.size)
    n = int(count.sum())
    amplitude = np.minimum(FLARE_PEAK[0] * rng.random(n) ** (-1.0 / FLARE_SLOPE), FLARE_PEAK[1])
    peak = start + baseline * rng.random(n)
    return Flares(np.repeat(stars, count), peak, amplitude, log_uniform(rng, n, *FLARE_WIDTH))
