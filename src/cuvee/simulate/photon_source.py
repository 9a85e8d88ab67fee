"""What a simulated photon counter sees: a source that varies, its spectrum, the Earth's upper atmosphere, the detector's own events.

Rates are those measured in COS exposures: dark 1.7e-6 counts/s a pixel, stims of 0.92 a second in two corners at pulse height 19, a lamp
that flashes beside the spectrum, airglow that is strong while the Sun is up and weak at night.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ORBIT", "Flare", "Source", "spectrum", "sun_altitude", "varying_star"]

FloatArray = NDArray[np.float64]

ORBIT = 5720.0
"""Of Hubble (s)."""


@dataclass(frozen=True, slots=True)
class Flare:
    """A flare: a rise that takes no time, and an exponential decay.

    Parameters
    ----------
    start : float
        s since the exposure's start.
    height : float
        Over the constant light.
    decay : float
        Time in which it falls to 1/e (s).
    """

    start: float
    height: float
    decay: float


@dataclass(frozen=True, slots=True)
class Source:
    """How a source varies.

    Parameters
    ----------
    period, amplitude : float
        Of a sine (s; relative to the constant light); 0 for none.
    flare : Flare, optional
        At most one.
    """

    period: float = 0.0
    amplitude: float = 0.0
    flare: Flare | None = None

    def light(self, time: FloatArray) -> FloatArray:
        """Return the light at some times, relative to the constant one."""
        value = np.ones(np.shape(time))
        if self.period > 0.0:
            value += self.amplitude * np.sin(2.0 * np.pi * np.asarray(time) / self.period)
        if self.flare is not None:
            since = np.asarray(time) - self.flare.start
            value += np.where(since >= 0.0, self.flare.height * np.exp(-np.maximum(since, 0.0) / self.flare.decay), 0.0)
        return np.asarray(np.maximum(value, 0.0))

    def mean(self, seconds: float) -> float:
        """Return the mean light of an exposure."""
        return float(self.light((np.arange(200_000) + 0.5) * seconds / 200_000).mean())


def varying_star(seconds: float) -> Source:
    """Return how the star of a simulation varies where nobody says: a sine of 131 s and 30 %, and a flare."""
    return Source(131.0, 0.3, Flare(0.6 * seconds, 4.0, 40.0))


def spectrum(wavelength: FloatArray) -> FloatArray:
    """Return the shape of the source's spectrum: a continuum and the emission lines of a chromosphere (erg/s/cm2/A, to be scaled)."""
    lines = ((1206.5, 2.0), (1238.8, 0.6), (1335.7, 3.0), (1393.8, 2.0), (1402.8, 1.1))
    value = 0.05 + np.zeros_like(wavelength)
    for centre, strength in lines:
        value += strength * np.exp(-0.5 * ((wavelength - centre) / 0.12) ** 2)
    return value


def sun_altitude(time: FloatArray, phase: float) -> FloatArray:
    """Return the Sun's altitude at the observatory (deg): it rises and sets once an orbit."""
    return np.asarray(70.0 * np.sin(2.0 * np.pi * (time / ORBIT + phase)) + 15.0)
