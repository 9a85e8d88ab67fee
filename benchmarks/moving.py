"""Which asteroids are found, and what is flagged that should not be: simulated fields with asteroids of known paths, and without.

``python -m benchmarks.moving [--json FILE] [--frames N] [--stars N] [--size N] [--asteroids N] [--seed N] [--folder DIR]``

Everything runs as `cuvee run` does it, on all effects of the simulator: jitter, momentum dumps, aberration, scattered light, variable and
saturated stars, cosmic rays. A passage is a star and a frame in which an asteroid lies within the largest aperture; it is to be flagged unless
the asteroid has less light than half the point's error. Wrong is a flag of a point from which every asteroid is farther than the flag reaches
and two pixels more. Then the same field without asteroids.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.frames import arguments, machine
from numpy.typing import NDArray

import cuvee
from cuvee.model.flags import ASTEROID
from cuvee.moving.crossings import HARMLESS, MARGIN
from cuvee.pipeline import PIPELINE
from cuvee.run.known_objects import found_tracks
from cuvee.run.start import RunOptions, run_workspace
from cuvee.simulate.params import SimulationParams
from cuvee.simulate.tess import simulate, stars_at
from cuvee.simulate.truth import read_truth

RADIUS = 3.5
MAGS = (11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0)


class Silent:
    def begin(self, label: str, total: int) -> None: ...

    def advance(self, steps: int = 1) -> None: ...

    def end(self) -> None: ...

    def say(self, message: str) -> None: ...


def observe(home: Path, args: Any, asteroids: int) -> dict[str, NDArray[Any]]:
    """Simulate and reduce; return flag, error, cadence and place of all points, and each path."""
    params = SimulationParams(asteroids=asteroids, asteroid_mag=(MAGS[0], MAGS[-1]))
    if not (home / "cuvee.toml").exists():
        stars = stars_at(args.stars, args.size)
        simulate(
            home, frames=args.frames, stars=stars, size=args.size, cadence=args.cadence, seed=args.seed, params=params
        )
    start = time.perf_counter()
    summary = run_workspace(home, PIPELINE, RunOptions(executor="serial"), Silent())
    for trouble in summary.troubled:
        print(f"  {trouble.stage} {trouble.data_id}: {trouble.message}")
    print(f"  reduced in {time.perf_counter() - start:.1f} s", flush=True)
    table = cuvee.open(home).light_curves(["id", "col", "row", "lc.flag", "lc.cadence", "lc.aperture3_flux_err"])
    lists = {
        name: [np.asarray(one) for one in table["lc"].combine_chunks().field(name).to_pylist()]
        for name in ("flag", "cadence", "aperture3_flux_err")
    }
    length = [one.size for one in lists["flag"]]
    points = {name: np.concatenate(values) for name, values in lists.items()}
    points |= {name: np.repeat(table[name].to_numpy(), length) for name in ("col", "row")}
    return points


def count(home: Path) -> int:
    """Return how many paths were found."""
    (path,) = home.glob("RED/*/*/tracks.parquet")
    return sum(len(one.paths()) for one in found_tracks(path, str(path)).values())


def nearest(points: dict[str, NDArray[Any]], truth: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return how far each point is from the nearest asteroid (px), and which row of the truth that is."""
    away, which = np.full(points["col"].size, np.inf), np.full(points["col"].size, -1)
    order = np.argsort(points["cadence"], kind="stable")
    cadence = points["cadence"][order]
    for k in range(truth["cadence"].size):
        first, last = (np.searchsorted(cadence, truth["cadence"][k], side=side) for side in ("left", "right"))
        some = order[first:last]
        distance = np.hypot(points["col"][some] - truth["col"][k], points["row"][some] - truth["row"][k])
        closer = distance < away[some]
        away[some[closer]], which[some[closer]] = distance[closer], k
    return away, which


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments("Count the asteroids that are found, and the flags that are wrong.")
    parser.set_defaults(frames=480)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--cadence", type=int, default=1800)
    parser.add_argument("--asteroids", type=int, default=56)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        print("with asteroids ...", flush=True)
        points = observe(home / "with", args, args.asteroids)
        truth = read_truth(home / "with" / "truth").asteroids
        n_track = count(home / "with")
        print("without ...", flush=True)
        empty = observe(home / "without", args, 0)
        n_wrong = count(home / "without")
    away, which = nearest(points, truth)
    flagged = (points["flag"] & ASTEROID) != 0
    matters = (away <= RADIUS) & (truth["flux"][which] >= HARMLESS * points["aperture3_flux_err"])
    mag = truth["mag"][which]
    numbers: dict[str, Any] = {"machine": machine(), "tracks": n_track}
    print(f"{'magnitude':>12s} {'asteroids':>10s} {'passages':>10s} {'flagged':>9s}")
    share = {}
    for low, high in itertools.pairwise(MAGS):
        some = matters & (mag >= low) & (mag < high)
        n = np.unique(truth["asteroid"][which[some]]).size
        share[f"{low:g}-{high:g}"] = float(flagged[some].mean()) if some.any() else float("nan")
        print(f"{low:6g}-{high:<5g} {n:10d} {some.sum():10d} {share[f'{low:g}-{high:g}']:9.3f}")
    wrong = flagged & (away > RADIUS + MARGIN + 2.0)
    numbers |= {"flagged": share, "wrong": float(wrong.mean())}
    silent = (empty["flag"] & ASTEROID) != 0
    numbers |= {"wrong_without": float(silent.mean()), "tracks_without": n_wrong}
    print(
        f"{numbers['tracks']} paths; of {flagged.size:,} points {flagged.mean():.2%} are flagged, {wrong.mean():.4%} wrongly"
    )
    print(f"without asteroids: {n_wrong} paths, {silent.mean():.4%} of {silent.size:,} points flagged")
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
