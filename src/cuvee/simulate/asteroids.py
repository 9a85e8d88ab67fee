"""Asteroids that cross the field while it is observed. No instrument's format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Asteroids", "draw_asteroids", "trail"]

FloatArray = NDArray[np.float64]

SPEED = (20.0, 45.0)
"""px a day: a main-belt asteroid near opposition moves by 7 to 16 arcminutes a day."""
STEP = 0.25
"""The trail of an exposure is drawn as points this far apart (px)."""


@dataclass(frozen=True, slots=True)
class Asteroids:
    """Linear tracks; every array has shape (n,).

    Parameters
    ----------
    mag, flux : float64 array
        Magnitude; e-/s.
    col, row : float64 array
        Detector coordinates at ``day``, where the pointing has no jitter.
    d_col, d_row : float64 array
        px a day.
    day : float64 array
        Days since the observation began.
    """

    mag: FloatArray
    flux: FloatArray
    col: FloatArray
    row: FloatArray
    d_col: FloatArray
    d_row: FloatArray
    day: FloatArray

    def at(self, day: float) -> tuple[FloatArray, FloatArray]:
        """Return where they are at a time (d), detector columns and rows."""
        return self.col + self.d_col * (day - self.day), self.row + self.d_row * (day - self.day)


def draw_asteroids(
    rng: np.random.Generator,
    n: int,
    *,
    col0: int,
    row0: int,
    size: int,
    days: float,
    mag: tuple[float, float],
    zero_point: float,
) -> Asteroids:
    """Draw asteroids that are near the middle of the pixels some time about the middle of the observation.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    n : int
        How many.
    col0, row0, size : int
        First detector column and row, and the width of the square of pixels.
    days : float
        Length of the observation.
    mag : tuple of float
        Range of their magnitudes.
    zero_point : float
        Magnitude of one electron a second.

    Returns
    -------
    Asteroids
        Their tracks.
    """
    place = size * (0.25 + 0.5 * rng.random((n, 2)))
    speed = SPEED[0] + (SPEED[1] - SPEED[0]) * rng.random(n)
    angle = 2.0 * np.pi * rng.random(n)
    magnitude = mag[0] + (mag[1] - mag[0]) * rng.random(n)
    return Asteroids(
        mag=magnitude,
        flux=10.0 ** (0.4 * (zero_point - magnitude)),
        col=col0 + place[:, 0],
        row=row0 + place[:, 1],
        d_col=speed * np.cos(angle),
        d_row=speed * np.sin(angle),
        day=days * (0.25 + 0.5 * rng.random(n)),
    )


def trail(asteroids: Asteroids, day: float, exposure: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the points that an exposure's trails are drawn of.

    Parameters
    ----------
    asteroids : Asteroids
        Their tracks.
    day : float
        Middle of the exposure, in days since the observation began.
    exposure : float
        Its length (d).

    Returns
    -------
    col, row, flux : float64 array, shape (n_point,)
        Detector coordinates and e-/s; the points of one asteroid share its flux.
    """
    length = exposure * np.hypot(asteroids.d_col, asteroids.d_row)
    points = [[np.empty(0)] * 3]
    for i in range(asteroids.mag.size):
        count = max(1, int(np.ceil(length[i] / STEP)))
        at = day - asteroids.day[i] + exposure * ((np.arange(count) + 0.5) / count - 0.5)
        points.append(
            [
                asteroids.col[i] + asteroids.d_col[i] * at,
                asteroids.row[i] + asteroids.d_row[i] * at,
                np.full(count, asteroids.flux[i] / count),
            ]
        )
    col, row, flux = (np.concatenate(column) for column in zip(*points, strict=True))
    return col, row, flux
