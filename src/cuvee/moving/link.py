"""From places where something has appeared to paths of objects that move.

What fires again and again at one place is a variable star. Of the rest, pairs in neighbouring images that no faster than an
asteroid could connect, and a third place where such a motion leads, are the beginnings of paths; these are followed forwards and backwards, a
parabola through the last places predicting the next, until nothing is found there any more. Chance makes thousands of pairs
and some threes, but no sixes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cuvee.model.moving import Candidates, Tracks

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

__all__ = ["find_tracks", "may_move"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SLOWEST, FASTEST = 2.4, 72.0
"""px a day. Faster than 7 to 16 arcminutes a day, which the main belt does, are few; slower ones are told from stars that vary only by luck."""
SAME, TIMES = 1.0, 6
"""A place where something appears more often than this, within so many px, does not move."""
NEXT, AFTER = 2, 2
"""A pair lies so many images apart at most, and the third place so many behind it."""
LONGEST = 0.6
"""A pair lies so many days apart at most."""
NEAR = 1.5
"""How far (px) a place may lie off the straight line through two others."""
ERROR = 0.35
"""Error of a place in each coordinate (px)."""
SIGMAS, FAR = 3.5, 4.0
"""A place lies no farther than so many errors off its prediction, and no farther than so many px."""
MISSES = 5
"""Images in a row without a place that end a path."""
MEMORY, HALF = 12, 5
"""Places that predict the next one, and neighbours on each side that smooth one."""
FEWEST = 6
"""Places of a path."""
LEAST_PATH = 5.0
"""Length of a path (px)."""
OUTLIER, SCATTER = 1.5, 0.8
"""A place so far (px) off its smoothed path is left out; a path that scatters more is none."""
AT_LEAST, DENSE = 3.5, 0.3
"""A path is found in so many images, and in this share of those from its first to its last on top of them."""


@dataclass(frozen=True, slots=True)
class _Images:
    # Places sorted by image, and a tree of each image.
    time: FloatArray
    start: IntArray
    when: FloatArray
    place: FloatArray
    flux: FloatArray
    trees: list[cKDTree]


def find_tracks(candidates: Candidates) -> Tracks:
    """Find paths.

    Parameters
    ----------
    candidates : Candidates
        Of all images of a series, in any order.

    Returns
    -------
    Tracks
        In the order in which they begin. Each has a node where it was found, smoothed, and one beyond either end, as far away as images are.
    """
    images = _without_stars(candidates)
    if images.time.size < FEWEST:
        return _tracks([])
    used = np.zeros(images.when.size, bool)
    found = []
    for three in _beginnings(images).tolist():
        if used[three].any():
            continue
        path = _follow(images, three, used)
        nodes = _smooth(images, path)
        if nodes is not None:
            used[path] = True
            found.append(nodes)
    return _tracks(sorted(found, key=lambda one: float(one[0, 0])))


def may_move(col: FloatArray, row: FloatArray) -> NDArray[np.bool_]:
    """Tell which places are none at which something appears again and again.

    Parameters
    ----------
    col, row : float64 array, shape (n,)
        Places in all images, or in some (px).

    Returns
    -------
    bool array, shape (n,)
        What is left out for some of the images would be for all.
    """
    from scipy.spatial import cKDTree

    if not col.size:
        return np.zeros(0, bool)
    place = np.stack([col, row], axis=1)
    return np.asarray(cKDTree(place).query_ball_point(place, SAME, return_length=True) <= TIMES)


def _without_stars(candidates: Candidates) -> _Images:
    """Sort the candidates by image, without those that stand still."""
    from scipy.spatial import cKDTree

    place = np.stack([candidates.col, candidates.row], axis=1)
    order = np.argsort(candidates.time, kind="stable")
    order = order[may_move(candidates.col, candidates.row)[order]]
    when, place = candidates.time[order], place[order]
    time, start = np.unique(when, return_index=True)
    bounds = np.append(start, when.size).astype(np.int64)
    trees = [cKDTree(place[i:j]) for i, j in itertools.pairwise(bounds)]
    return _Images(time, bounds, when, place, candidates.flux[order], trees)


def _beginnings(images: _Images) -> IntArray:
    """Return three places that one motion may connect, shape (n, 3), those first that lie best in line."""
    threes: list[IntArray] = []
    off: list[FloatArray] = []
    n = images.time.size
    for i in range(n):
        for j in range(i + 1, min(i + 1 + NEXT, n)):
            step = images.time[j] - images.time[i]
            if step > LONGEST:
                break
            pairs = images.trees[i].sparse_distance_matrix(images.trees[j], FASTEST * step, output_type="ndarray")
            pairs = pairs[pairs["v"] >= SLOWEST * step]
            a, b = images.start[i] + pairs["i"], images.start[j] + pairs["j"]
            speed = (images.place[b] - images.place[a]) / step
            for k in range(j + 1, min(j + 1 + AFTER, n)):
                expected = images.place[b] + speed * (images.time[k] - images.time[j])
                distance, c = images.trees[k].query(expected, distance_upper_bound=NEAR)
                hit = np.isfinite(distance)
                threes.append(np.stack([a[hit], b[hit], images.start[k] + c[hit]], axis=1))
                off.append(distance[hit])
    if not threes:
        return np.zeros((0, 3), np.int64)
    return np.concatenate(threes).astype(np.int64)[np.argsort(np.concatenate(off), kind="stable")]


def _follow(images: _Images, three: list[int], used: NDArray[np.bool_]) -> list[int]:
    """Return the places of a path that three of them begin, in the order of time."""
    path = list(three)
    for forward in (True, False):
        at = int(np.searchsorted(images.time, images.when[path[-1 if forward else 0]]))
        missed = 0
        while missed < MISSES:
            at += 1 if forward else -1
            if not 0 <= at < images.time.size:
                break
            last = path[-MEMORY:] if forward else path[:MEMORY]
            expected, error = _predict(images.when[last], images.place[last], images.time[at])
            reach = min(SIGMAS * ERROR * np.sqrt(1.0 + error**2), FAR)
            distance, k = images.trees[at].query(expected, distance_upper_bound=reach)
            here = int(images.start[at] + k)
            if np.isfinite(distance) and not used[here]:
                path.insert(len(path) if forward else 0, here)
                missed = 0
            else:
                missed += 1
    return path


def _predict(time: FloatArray, place: FloatArray, at: float) -> tuple[FloatArray, float]:
    """Return where the parabola through places, or of few the straight line, is at a time; and its error over that of a place."""
    powers = np.vander((time - at) / max(float(np.ptp(time)), 1e-6), 3 if time.size >= FEWEST else 2, increasing=True)
    inverse = np.linalg.inv(powers.T @ powers)
    return np.asarray(inverse[0] @ (powers.T @ place)), float(np.sqrt(max(inverse[0, 0], 0.0)))


def _smooth(images: _Images, path: list[int]) -> FloatArray | None:
    """Return the nodes of a path: time, column, row, flux, number of places, shape (n_node, 5); None where it is none."""
    members = np.asarray(path)
    for _ in range(2):
        if members.size < FEWEST:
            return None
        time, place = images.when[members], images.place[members]
        line = np.array([_local(time, place, k, time[k]) for k in range(time.size)])
        off = np.hypot(*(place - line).T)
        if (off <= OUTLIER).all():
            break
        members = members[off <= OUTLIER]
    first, last = np.searchsorted(images.time, time[[0, -1]])
    length = float(np.hypot(*(line[-1] - line[0])))
    speed = length / (time[-1] - time[0])
    if (
        np.sqrt(np.mean(off**2)) > SCATTER
        or length < LEAST_PATH
        or not SLOWEST <= speed <= FASTEST
        or time.size < AT_LEAST + DENSE * (last - first + 1)
    ):
        return None
    # Nobody has looked between the images: it may have been there until just before the next one.
    apart = float(np.median(np.diff(images.time)))
    ends = np.array([time[0] - apart, time[-1] + apart])
    beyond = [_local(time, place, k, end) for k, end in zip((0, time.size - 1), ends, strict=True)]
    nodes = np.empty((time.size + 2, 5))
    nodes[:, 0] = [ends[0], *time, ends[1]]
    nodes[:, 1:3] = [beyond[0], *line, beyond[1]]
    nodes[:, 3], nodes[:, 4] = float(np.median(images.flux[members])), time.size
    return nodes


def _local(time: FloatArray, place: FloatArray, k: int, at: float) -> FloatArray:
    """Return the place at a time from the neighbours of the k-th."""
    some = slice(max(k - HALF, 0), k + HALF + 1)
    return _predict(time[some], place[some], at)[0]


def _tracks(found: list[FloatArray]) -> Tracks:
    nodes = np.concatenate([np.zeros((0, 5)), *found])
    number = np.repeat(np.arange(len(found)), [len(one) for one in found]).astype(np.int64)
    name = np.full(number.size, "", np.str_)
    time, col, row, flux, seen = (column.copy() for column in nodes.T)
    return Tracks(number, name, time, col, row, flux, seen.astype(np.int64))
