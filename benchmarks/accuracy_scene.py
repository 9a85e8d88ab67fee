"""What the simulator put into the frames of the benchmark of accuracy: stars, their light, and where the spacecraft pointed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.frames import Field, targets_of
from numpy.typing import NDArray
from scipy.special import erf

from cuvee import reference
from cuvee.instruments.tess import TESS
from cuvee.simulate.params import SimulationParams
from cuvee.simulate.pixels import prf_at
from cuvee.simulate.signals import CONSTANT
from cuvee.simulate.tess import simulate
from cuvee.store.numbers import read_columns

HALF = 7


@dataclass(frozen=True, slots=True)
class Truth:
    """What the simulator put in: stars on and around the pixels, and the displacement of each frame at the middle."""

    id: NDArray[np.int64]
    col: NDArray[np.float64]
    row: NDArray[np.float64]
    flux: NDArray[np.float64]
    mag: NDArray[np.float64]
    constant: NDArray[np.bool_]
    moved: NDArray[np.float64]


def true_stamps(
    star_col: NDArray[np.float64], star_row: NDArray[np.float64], col0: int, row0: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the simulator's PRF and its derivatives by the error function, written anew here."""
    shape = prf_at(star_col, star_row)
    corner = np.stack([np.rint(star_row) - row0, np.rint(star_col) - col0], axis=1).astype(np.int64) - HALF
    along = np.arange(2 * HALF + 1)
    share = np.array([1.0 - shape.wing_share, shape.wing_share])
    sigma = np.stack([shape.core_sigma, np.full_like(shape.core_sigma, shape.wing_sigma)])
    shift = np.stack([shape.core_shift, shape.wing_shift])

    def profile(part: int, axis: int) -> NDArray[np.float64]:
        centre = (star_col - col0 if axis == 0 else star_row - row0) + shift[part, :, axis]
        c = 1.0 / (np.sqrt(2.0) * sigma[part, :, axis])[:, None]
        offset = corner[:, 1 - axis][:, None] + along - centre[:, None]
        a, b = (offset - 0.5) * c, (offset + 0.5) * c
        low, high = (np.exp(-u * u) * 2.0 / np.sqrt(np.pi) for u in (a, b))
        return np.stack([0.5 * (erf(b) - erf(a)), -0.5 * (high - low) * c, (a * low - b * high) * c * c])

    stamp = np.zeros((6, star_col.size, along.size, along.size), np.float32)
    for part in (0, 1):
        x, y = profile(part, 0), profile(part, 1)
        for k, (j, i) in enumerate(((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))):
            stamp[k] += (share[part] * y[j][:, :, None] * x[i][:, None, :]).astype(np.float32)
    return stamp, corner


def scene(
    folder: Path, frames: int, stars: int, jitter: float, memory: float, drift: float, size: int
) -> tuple[Field, Truth]:
    """Simulate frames, or find those of an earlier call."""
    home = folder / f"accuracy-{size}px-{frames}frames-{stars}stars-jitter{jitter:g}-{memory:g}d-drift{drift:g}"
    if not (home / "done").exists():
        print(f"simulating {frames} frames with {stars} stars in {home} ...", flush=True)
        params = SimulationParams(effects=frozenset({"aberration"}), jitter=jitter, jitter_time=memory, drift=drift)
        simulate(home, frames=frames, stars=stars, size=size, seed=3, params=params)
        (home / "done").touch()
    infos = [TESS.scan(str(path)) for path in sorted((home / "RAW").glob("*_ffic.fits"))]
    some = infos[: min(32, frames // 2)]
    still = reference.build(some[len(some) // 2], [TESS.read(i, None).flux[0] for i in some], [i.name for i in some])
    star, frame = (read_columns(home / "truth" / f"{name}.parquet") for name in ("stars", "frames"))
    moved = np.stack([frame[f"jitter_{axis}"] + frame[f"drift_{axis}"] for axis in ("col", "row")], axis=1)
    truth = Truth(star["id"], star["col"], star["row"], star["flux"], star["mag"], star["kind"] == CONSTANT, moved)
    return Field(infos, still, targets_of(home, still)), truth


def rows_in(truth: Truth, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where stars stand in the truth."""
    place = {int(star): k for k, star in enumerate(truth.id.tolist())}
    return np.array([place[int(one)] for one in ids.tolist()])
