"""Paths out of places: objects that were put in among chance and variable stars, and nothing else."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.model.moving import Candidates, Tracks
from cuvee.moving import find_tracks

SIDE = 2048.0
TIME = 1500.0 + np.arange(0.0, 13.0, 4.0 / 24.0)


def chance(rng: np.random.Generator, n: int, variables: int) -> tuple[list[float], list[list[float]]]:
    """Return times and places of cosmic rays, and of stars that fire every third time."""
    time: list[float] = []
    place: list[list[float]] = []
    fixed = rng.uniform(0.0, SIDE, (variables, 2))
    for when in TIME:
        own = np.concatenate(
            [rng.uniform(0.0, SIDE, (n, 2)), fixed[rng.random(variables) < 0.3] + rng.normal(0.0, 0.2)]
        )
        time += [float(when)] * len(own)
        place += own.tolist()
    return time, place


def asteroid(rng: np.random.Generator, speed: float, time: NDArray[np.float64] = TIME) -> NDArray[np.float64]:
    """Return an object's places: a straight path and what an orbit of TESS of 60 Earth radii adds to it."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    middle = rng.uniform(0.3 * SIDE, 0.7 * SIDE, 2)
    straight = middle + np.outer(time - time.mean(), speed * np.array([np.cos(angle), np.sin(angle)]))
    swing = 15.0 * np.sin(2.0 * np.pi * time / 13.7 + rng.uniform(0.0, 6.0))
    return np.asarray(straight + np.outer(swing, [0.8, 0.6]))


def candidates_of(time: list[float], place: list[list[float]]) -> Candidates:
    col, row = np.array(place).reshape(-1, 2).T
    n = len(time)
    return Candidates(np.array(time), col.copy(), row.copy(), np.full(n, 50.0), np.full(n, 10.0))


def distance(tracks: Tracks, nodes: slice, path: NDArray[np.float64], time: NDArray[np.float64] = TIME) -> float:
    """Return the median distance of a path that was found from a true one."""
    both = (time >= tracks.time[nodes][0]) & (time <= tracks.time[nodes][-1])
    col, row = (np.interp(time[both], tracks.time[nodes], one[nodes]) for one in (tracks.col, tracks.row))
    return float(np.median(np.hypot(col - path[both, 0], row - path[both, 1])))


def test_asteroids_are_found_among_chance_and_variable_stars() -> None:
    rng = np.random.default_rng(8)
    time, place = chance(rng, 400, 300)
    paths = [asteroid(rng, speed) for speed in (4.0, 12.0, 20.0, 25.0, 32.0, 38.0, 45.0, 60.0)]
    for path in paths:
        seen = rng.random(TIME.size) < 0.8
        inside = ((path > 0.0) & (path < SIDE)).all(axis=1)
        place += (path + rng.normal(0.0, 0.3, path.shape))[seen & inside].tolist()
        time += TIME[seen & inside].tolist()
    tracks = find_tracks(candidates_of(time, place))
    found = tracks.paths()
    away = np.array([[distance(tracks, nodes, path) for path in paths] for nodes in found])
    assert (away.min(axis=0) < 0.5).all(), "an asteroid was not found"
    assert (away.min(axis=1) < 1.0).all(), "a path that is none"
    assert len(found) == len(paths)
    assert (tracks.name == "").all()
    assert (np.diff(tracks.number) >= 0).all()
    for nodes, path in zip(found, np.argmin(away, axis=1), strict=True):
        assert (np.diff(tracks.time[nodes]) > 0.0).all()
        # From its first image to its last on the pixels, give or take one of those in which it was not seen.
        on = ((paths[path] > 0.0) & (paths[path] < SIDE)).all(axis=1)
        assert tracks.time[nodes][0] <= TIME[on][0] + 0.51
        assert tracks.time[nodes][-1] >= TIME[on][-1] - 0.51


@pytest.mark.parametrize("seed", range(3))
def test_chance_alone_makes_no_path(seed: int) -> None:
    tracks = find_tracks(candidates_of(*chance(np.random.default_rng(seed), 800, 300)))
    assert tracks.paths() == []


def test_a_path_goes_on_after_a_gap_in_the_data() -> None:
    rng = np.random.default_rng(5)
    time = TIME[(TIME < 1504.0) | (TIME > 1504.6)]
    path = asteroid(rng, 30.0, time)
    tracks = find_tracks(candidates_of(time.tolist(), (path + rng.normal(0.0, 0.3, path.shape)).tolist()))
    (nodes,) = tracks.paths()
    assert tracks.seen[nodes][0] > 0.95 * time.size
    assert distance(tracks, nodes, path, time) < 0.3


def test_too_few_images_give_nothing() -> None:
    assert find_tracks(candidates_of([], [])).paths() == []
    path = asteroid(np.random.default_rng(2), 30.0)[:5]
    assert find_tracks(candidates_of(TIME[:5].tolist(), path.tolist())).paths() == []
