"""Stray light: smooth patches of Earth and Moon that come and go, and the glow in the corner of the camera. No instrument's format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.simulate.params import SimulationParams

__all__ = ["EXCLUDE_BIT", "STRAY_BIT", "Patch", "add_corner_glow", "add_patches", "patches", "quality"]

FloatArray = NDArray[np.float64]

MIDDLE = 1023.5
ORBIT = 13.7
EARTH_AT, EARTH_WIDTH = 2.0, 0.30
"""Days of an orbit at which the Earth's light peaks, and its standard deviation."""
MOON_AT, MOON_WIDTH, MONTH = 5.2, 0.25, 27.3
GLOW_SCALE, GLOW_DOUBLES = 80.0, 100.0
"""Distance over which the corner glow grows by a factor of e (px), and mean stray light by which it doubles (e-/s/pixel)."""
FAINTEST = 0.02
"""Below this a patch is left out (e-/s/pixel, mean over the detector)."""
STRAY_BIT, STRAY_LEVEL = 2048, 15.0
EXCLUDE_BIT, EXCLUDE_LEVEL = 4096, 150.0
"""Quality bits, and the mean stray light from which they are set (e-/s/pixel)."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A Gaussian patch of light.

    Parameters
    ----------
    level : float
        Mean over the detector (e-/s/pixel).
    x, y : float
        Its centre, from -1 to 1 over the detector.
    width : float
        Its standard deviation in the same unit.
    """

    level: float
    x: float
    y: float
    width: float


def patches(params: SimulationParams, day: float) -> tuple[Patch, ...]:
    """Return the patches of stray light at one time: the Earth's and the Moon's.

    Once an orbit the Earth stands high enough over the sunshade for its light to reach the cameras; it varies with the
    Earth's rotation. Once a month the Moon's passes over the detector.

    Parameters
    ----------
    params : SimulationParams
        How strong they are.
    day : float
        Days since the observation began.

    Returns
    -------
    tuple of Patch
        Those that are bright enough to be seen.
    """
    if not params.has("stray-light"):
        return ()
    from_earth = (day - EARTH_AT + 0.5 * ORBIT) % ORBIT - 0.5 * ORBIT
    earth = (
        params.earth_peak * np.exp(-0.5 * (from_earth / EARTH_WIDTH) ** 2) * (1.0 + 0.15 * np.sin(2.0 * np.pi * day))
    )
    from_moon = (day - MOON_AT + 0.5 * MONTH) % MONTH - 0.5 * MONTH
    moon = params.moon_peak * np.exp(-0.5 * (from_moon / MOON_WIDTH) ** 2)
    found = (
        Patch(float(earth), 1.1 - 0.3 * from_earth, 0.7 + 0.2 * from_earth, 0.95),
        Patch(float(moon), -0.2 + 1.2 * from_moon, 0.15 - 0.6 * from_moon, 0.4),
    )
    return tuple(p for p in found if p.level > FAINTEST)


def quality(light: tuple[Patch, ...]) -> int:
    """Return the quality bits that stray light of this strength gets: 2048 from 15 e-/s/pixel, 4096 from 150."""
    level = sum(p.level for p in light)
    return (STRAY_BIT if level >= STRAY_LEVEL else 0) | (EXCLUDE_BIT if level >= EXCLUDE_LEVEL else 0)


def _profile(at: FloatArray, centre: float, width: float) -> FloatArray:
    return np.asarray(np.exp(-0.5 * ((at - centre) / width) ** 2))


def add_patches(image: NDArray[np.float32], col0: int, row0: int, light: tuple[Patch, ...]) -> None:
    """Add patches of light to an image in place.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        e-/s.
    col0, row0 : int
        Detector coordinates of its first pixel.
    light : tuple of Patch
        From `patches`.
    """
    whole = np.arange(7.5, 2.0 * MIDDLE, 16.0) / MIDDLE - 1.0
    x = (col0 + np.arange(image.shape[1])) / MIDDLE - 1.0
    y = (row0 + np.arange(image.shape[0])) / MIDDLE - 1.0
    for p in light:
        mean = _profile(whole, p.x, p.width).mean() * _profile(whole, p.y, p.width).mean()
        along = (p.level / mean * _profile(y, p.y, p.width)).astype(np.float32)
        # An outer product, not a matrix product: the linear algebra library would start threads of its own.
        image += np.outer(along, _profile(x, p.x, p.width).astype(np.float32))


def add_corner_glow(image: NDArray[np.float32], col0: int, row0: int, peak: float, light: tuple[Patch, ...]) -> None:
    """Add the glow in the corner of the camera's field to an image in place.

    It rises towards the corner of the CCD that is farthest from the middle of the camera, here that of column and row 0, faster than any other
    background, and is brighter where there is more stray light.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        e-/s.
    col0, row0 : int
        Detector coordinates of its first pixel.
    peak : float
        How bright it is in the corner without stray light (e-/s/pixel).
    light : tuple of Patch
        From `patches`.

    References
    ----------
    Handberg et al. 2021, AJ 162, 170, on corner glow: a background that depends on the distance from the middle of the camera, and is seen
    beyond some 2400 px of it. The exponential and its scale are a guess that has it vanish there.
    """
    across = 2.0 * MIDDLE - col0 - np.arange(image.shape[1])
    along = 2.0 * MIDDLE - row0 - np.arange(image.shape[0])
    away = np.hypot(along[:, np.newaxis], across)
    brighter = 1.0 + sum(p.level for p in light) / GLOW_DOUBLES
    image += (peak * brighter * np.exp((away - np.sqrt(8.0) * MIDDLE) / GLOW_SCALE)).astype(np.float32)
