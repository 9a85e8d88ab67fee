"""Good time intervals: what they have in common, and how long bins were open."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["common_gti", "live_time", "mean_times", "night_gti", "open_times", "tidy_gti"]

FloatArray = NDArray[np.float64]


def tidy_gti(gti: FloatArray) -> FloatArray:
    """Return intervals in order, those that touch or overlap joined, empty ones left out.

    Parameters
    ----------
    gti : float64 array, shape (n, 2)
        Start and stop of each (s), in any order.

    Returns
    -------
    float64 array, shape (m, 2)
    """
    gti = np.asarray(gti, np.float64).reshape(-1, 2)
    gti = gti[np.isfinite(gti).all(axis=1) & (gti[:, 1] > gti[:, 0])]
    gti = gti[np.argsort(gti[:, 0], kind="stable")]
    if not gti.size:
        return gti
    reach = np.maximum.accumulate(gti[:, 1])
    new = np.r_[True, gti[1:, 0] > reach[:-1]]
    first = np.flatnonzero(new)
    return np.column_stack([gti[first, 0], reach[np.r_[first[1:] - 1, gti.shape[0] - 1]]])


def common_gti(several: Iterable[FloatArray]) -> FloatArray:
    """Return the time that lies in all of several lists of intervals.

    Parameters
    ----------
    several : iterable of float64 arrays, each of shape (n, 2)
        Start and stop (s).

    Returns
    -------
    float64 array, shape (m, 2)
    """
    lists = [tidy_gti(one) for one in several]
    edges = np.unique(np.concatenate([one.ravel() for one in lists])) if lists else np.zeros(0)
    if edges.size < 2:
        return np.zeros((0, 2))
    middle = 0.5 * (edges[:-1] + edges[1:])
    inside = np.ones(middle.size, np.bool_)
    for one in lists:
        at = np.searchsorted(one[:, 0], middle, side="right") - 1
        inside &= (at >= 0) & (middle < one[np.maximum(at, 0), 1]) if one.size else False
    return tidy_gti(np.column_stack([edges[:-1][inside], edges[1:][inside]]))


def live_time(gti: FloatArray, time: FloatArray) -> FloatArray:
    """Return how much good time there was before given times.

    Parameters
    ----------
    gti : float64 array, shape (n, 2)
        Tidy intervals (s).
    time : float64 array
        s.

    Returns
    -------
    float64 array, of the shape of ``time``
        s.
    """
    if not gti.size:
        return np.zeros(np.shape(time))
    length = np.cumsum(gti[:, 1] - gti[:, 0])
    grown = np.column_stack([np.r_[0.0, length[:-1]], length]).ravel()
    return np.asarray(np.interp(time, gti.ravel(), grown))


def open_times(gti: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the good time in each bin.

    Parameters
    ----------
    gti : float64 array, shape (n, 2)
        Tidy intervals (s).
    edges : float64 array, shape (n_bin + 1,)
        s.

    Returns
    -------
    float64 array, shape (n_bin,)
        s.
    """
    return np.diff(live_time(gti, edges))


def mean_times(gti: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the mean of the good time in each bin (s), its middle where it has none; all else as in `open_times`."""
    middle = 0.5 * (edges[:-1] + edges[1:])
    seconds, moment = np.zeros(middle.size), np.zeros(middle.size)
    for low, high in gti:
        first, last = np.clip(np.searchsorted(edges, (low, high)), 1, middle.size) - 1
        which = slice(first, last + 1)
        start, stop = np.clip(edges[which], low, high), np.clip(edges[first + 1 : last + 2], low, high)
        seconds[which] += stop - start
        # Relative to the middle: a whole bin's mean is its middle to the last bit.
        moment[which] += (stop - start) * (0.5 * (start + stop) - middle[which])
    return np.where(seconds > 0.0, middle + moment / np.maximum(seconds, 1e-300), middle)


def night_gti(time: FloatArray, sun_altitude: FloatArray) -> FloatArray:
    """Return when the Sun was below the observatory's horizon.

    Parameters
    ----------
    time : float64 array, shape (n,)
        Once a second or so, rising (s).
    sun_altitude : float64 array, shape (n,)
        deg.

    Returns
    -------
    float64 array, shape (m, 2)
        The moment at which it rises or sets is found between two samples; what lies beyond the first and the last is not known, and left out.
    """
    known = np.isfinite(time) & np.isfinite(sun_altitude)
    time, altitude = np.asarray(time, np.float64)[known], np.asarray(sun_altitude, np.float64)[known]
    if time.size < 2:
        return np.zeros((0, 2))
    night = altitude < 0.0
    at = np.flatnonzero(night[1:] != night[:-1])
    cross = time[at] - altitude[at] * (time[at + 1] - time[at]) / (altitude[at + 1] - altitude[at])
    edges = np.concatenate([time[:1] if night[0] else [], cross, time[-1:] if night[-1] else []])
    return tidy_gti(edges.reshape(-1, 2))
