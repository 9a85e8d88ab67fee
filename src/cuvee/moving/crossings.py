"""Whose points a moving object spoils."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.model.flags import ASTEROID
from cuvee.model.moving import Tracks

__all__ = ["mark_crossings"]

FloatArray = NDArray[np.float64]

MARGIN = 1.5
"""An object spoils an aperture from so far beyond its edge (px): its light has a width, and it moves during the exposure."""
HARMLESS = 0.5
"""An object with less light than this share of a point's error leaves it as it is."""


def mark_crossings(
    flag: NDArray[np.int32],
    error: NDArray[np.float32],
    time: FloatArray,
    col: FloatArray,
    row: FloatArray,
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
    if not col.size or not tracks.number.size:
        return
    from scipy.spatial import cKDTree

    reach = radius + MARGIN
    frames, places, lights = _near(time, col, row, reach, tracks)
    pairs = cKDTree(np.stack([col, row], axis=1)).sparse_distance_matrix(cKDTree(places), reach, output_type="ndarray")
    star, k = pairs["i"], pairs["j"]
    frame = frames[k]
    spoilt = ~(lights[k] < HARMLESS * error[star, frame])
    flag[star[spoilt], frame[spoilt]] |= np.int32(ASTEROID)


def _near(
    time: FloatArray, col: FloatArray, row: FloatArray, reach: float, tracks: Tracks
) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Return in which frames something is near the stars: their numbers, where it is then, shape (n, 2), and how much light it has."""
    # Most paths never come near the stars of a patch, and all nodes are looked at together.
    near = tracks.number[1:] == tracks.number[:-1]
    for place, stars in ((tracks.col, col), (tracks.row, row)):
        near &= np.maximum(place[1:], place[:-1]) >= stars.min() - reach
        near &= np.minimum(place[1:], place[:-1]) <= stars.max() + reach
    first = np.flatnonzero(near)
    frames, places, lights = [np.zeros(0, np.int64)], [np.zeros((0, 2))], [np.zeros(0)]
    for nodes in np.split(first, np.flatnonzero(np.diff(tracks.number[first])) + 1):
        if not nodes.size:
            continue
        some = slice(nodes[0], nodes[-1] + 2)
        own = tracks.time[some]
        here = np.flatnonzero((time >= own[0]) & (time <= own[-1]))
        frames.append(here)
        places.append(np.stack([np.interp(time[here], own, one[some]) for one in (tracks.col, tracks.row)], axis=1))
        lights.append(np.full(here.size, tracks.flux[some.start]))
    return np.concatenate(frames), np.concatenate(places), np.concatenate(lights)
