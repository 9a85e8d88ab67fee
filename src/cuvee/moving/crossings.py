"""Whose points a moving object spoils."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.model.flags import ASTEROID
from cuvee.model.moving import Tracks

__all__ = ["mark_crossings"]

MARGIN = 1.5
"""An object spoils an aperture from so far beyond its edge (px): its light has a width, and it moves during the exposure."""
HARMLESS = 0.5
"""An object with less light than this share of a point's error leaves it as it is."""


def mark_crossings(
    flag: NDArray[np.int32],
    error: NDArray[np.float32],
    time: NDArray[np.float64],
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    radius: float,
    tracks: Tracks,
) -> None:
    """Set the flag ``asteroid`` of all points whose largest aperture an object crosses.

    Parameters
    ----------
    flag : int32 array, shape (n_star, n_frame)
        Receives the bit.
    error : float32 array, shape (n_star, n_frame)
        Error of the flux in the largest aperture (e-/s). An object with less than half of it in light is harmless; one of unknown
        brightness, or a point of unknown error, is not.
    time : float64 array, shape (n_frame,)
        Middle of the exposures (BTJD); NaN is no time.
    col, row : float64 array, shape (n_star,)
        Detector coordinates of the stars (px).
    radius : float
        Of the largest aperture (px).
    tracks : Tracks
        Paths on this detector.
    """
    if not col.size:
        return
    reach = radius + MARGIN
    low, high = np.array([col.min(), row.min()]) - reach, np.array([col.max(), row.max()]) + reach
    for nodes in tracks.paths():
        own = tracks.time[nodes]
        places = (tracks.col[nodes], tracks.row[nodes])
        if any(place.max() < a or place.min() > b for place, a, b in zip(places, low, high, strict=True)):
            continue
        frames = np.flatnonzero((time >= own[0]) & (time <= own[-1]))
        x, y = (np.interp(time[frames], own, place) for place in places)
        inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
        if not inside.any():
            continue
        frames, x, y = frames[inside], x[inside], y[inside]
        beside = (
            (col >= x.min() - reach) & (col <= x.max() + reach) & (row >= y.min() - reach) & (row <= y.max() + reach)
        )
        stars = np.flatnonzero(beside)
        near = (col[stars, None] - x) ** 2 + (row[stars, None] - y) ** 2 <= reach**2
        which, when = np.nonzero(near)
        star, frame = stars[which], frames[when]
        spoilt = ~(tracks.flux[nodes.start] < HARMLESS * error[star, frame])
        flag[star[spoilt], frame[spoilt]] |= np.int32(ASTEROID)
