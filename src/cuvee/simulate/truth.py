"""The truth of a simulation as Parquet tables: what was put in, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.simulate.detector import CosmicRays
from cuvee.simulate.plan import Light, Plan, saturated_stars
from cuvee.simulate.signals import FLARE_AREA
from cuvee.store.numbers import read_columns, write_columns

__all__ = ["TABLES", "Truth", "read_truth", "write_truth"]

Columns = Mapping[str, NDArray[Any]]
TABLES = ("stars", "frames", "modes", "flares", "asteroids", "cosmic-rays", "straps")
"""Files of the folder ``truth``."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What `read_truth` returns: each table's columns by name; without rows where the simulation has nothing of the kind.

    Parameters
    ----------
    stars : mapping of str to array
        One row a star: ``id, ra, dec, pmra, pmdec, mag, flux, col, row, kind, period, epoch, amplitude, duration, secondary,
        on_pixels, saturated, strap``; see `cuvee.simulate.scene.Scene`. ``strap`` is the excess of its column.
    frames : mapping of str to array
        One row a frame: ``name, cadence, time, quality``; ``background, stray`` (mean e-/s/pixel, with and without straps);
        ``jitter_col, jitter_row`` (px), ``smear`` (px); ``drift_col, drift_row`` (px, at pixel 1023.5, 1023.5) and their
        gradients ``drift_col_by_col`` ...; ``full`` pixels, ``lost`` (e-/s bled over the edge).
    modes : mapping of str to array
        One row a mode: ``id, frequency`` (1/d), ``amplitude, epoch``.
    flares : mapping of str to array
        One row a flare: ``id, peak`` (BTJD at the star), ``amplitude, width`` (d), ``equivalent_duration`` (s).
    asteroids : mapping of str to array
        One row an asteroid and frame on whose pixels it lies: ``asteroid, frame, cadence, time, mag, flux, col, row, d_col,
        d_row`` (middle and length of the trail, px; jitter included).
    """

    stars: Columns
    frames: Columns
    modes: Columns
    flares: Columns
    asteroids: Columns


def read_truth(folder: Path) -> Truth:
    """Read the truth of a simulation.

    Parameters
    ----------
    folder : Path
        The folder ``truth`` of its workspace.

    Returns
    -------
    Truth
        Without the tables of cosmic rays and straps.
    """
    return Truth(*(read_columns(folder / f"{name}.parquet") for name in TABLES[:5]))


def write_truth(plan: Plan, light: Sequence[Light], folder: Path) -> None:
    """Write the truth of a simulation.

    Parameters
    ----------
    plan : Plan
        What was to be drawn.
    light : sequence of Light
        What each frame came to hold.
    folder : Path
        Where the tables go.

    Raises
    ------
    StoreError
        If they cannot be written.
    """
    modes, flares, col0, row0 = plan.scene.modes, plan.scene.flares, plan.window.col0, plan.window.row0
    tables = {
        "stars": _stars(plan),
        "frames": _frames(plan, light),
        "modes": {"id": plan.scene.id[modes.star]}
        | {name: getattr(modes, name) for name in ("frequency", "amplitude", "epoch")},
        "flares": {"id": plan.scene.id[flares.star]}
        | {name: getattr(flares, name) for name in ("peak", "amplitude", "width")}
        | {"equivalent_duration": 86400.0 * FLARE_AREA * flares.amplitude * flares.width},
        "asteroids": _tracks(plan),
        "cosmic-rays": _rays([one.rays for one in light], col0, row0),
        "straps": {"col": np.arange(col0, col0 + plan.strap.size), "excess": plan.strap},
    }
    for name, columns in tables.items():
        write_columns(folder / f"{name}.parquet", columns)


def _stars(plan: Plan) -> dict[str, NDArray[Any]]:
    scene, window = plan.scene, plan.window
    names = ("id", "ra", "dec", "pmra", "pmdec", "mag", "flux", "col", "row", "kind", "period", "epoch")
    columns = {name: getattr(scene, name) for name in (*names, "amplitude", "duration", "secondary")}
    inside = np.ones(len(scene), dtype=np.bool_)
    for at, first in ((scene.col, window.col0), (scene.row, window.row0)):
        inside &= (at >= first - 0.5) & (at < first + window.size - 0.5)
    col = np.clip(np.rint(scene.col) - window.col0, 0, window.size - 1).astype(np.int64)
    return columns | {
        "on_pixels": inside,
        "saturated": saturated_stars(plan),
        "strap": np.where(inside, plan.strap[col], np.float32(0.0)),
    }


def _times(plan: Plan) -> NDArray[np.float64]:
    return np.array([0.5 * (f.start + f.stop) + f.barycorr for f in plan.frames])


def _frames(plan: Plan, light: Sequence[Light]) -> dict[str, NDArray[Any]]:
    attitude = plan.attitude
    columns: dict[str, NDArray[Any]] = {
        "name": np.array(plan.names),
        "cadence": np.array([f.index for f in plan.frames]),
        "time": _times(plan),
        "quality": np.array([f.quality for f in plan.frames], dtype=np.int32),
        "smear": attitude.smear,
    }
    for i, axis in enumerate(("col", "row")):
        columns |= {f"jitter_{axis}": attitude.rigid[:, i], f"drift_{axis}": attitude.drift[:, i]}
        columns |= {f"drift_{axis}_by_{along}": attitude.stretch[:, i, j] for j, along in enumerate(("col", "row"))}
    return columns | {
        name: np.array([getattr(one, name) for one in light]) for name in ("background", "stray", "full", "lost")
    }


def _tracks(plan: Plan) -> dict[str, NDArray[Any]]:
    # One row an asteroid and frame on whose pixels the middle of its trail lies.
    asteroids, window, time = plan.asteroids, plan.window, _times(plan)
    parts: list[tuple[Any, ...]] = []
    for k, frame in enumerate(plan.frames):
        col, row = asteroids.at(plan.day(k))
        d_col, d_row = plan.attitude.shift(k, col, row)
        col, row = col + d_col, row + d_row
        inside = np.ones(col.size, dtype=np.bool_)
        for at, first in ((col, window.col0), (row, window.row0)):
            inside &= (at >= first - 0.5) & (at < first + window.size - 0.5)
        long = frame.stop - frame.start
        columns = (asteroids.mag, asteroids.flux, col, row, long * asteroids.d_col, long * asteroids.d_row)
        here = np.flatnonzero(inside)
        parts.append((here, *(np.full(here.size, v) for v in (k, frame.index, time[k])), *(c[here] for c in columns)))
    names = ("asteroid", "frame", "cadence", "time", "mag", "flux", "col", "row", "d_col", "d_row")
    return dict(zip(names, (np.concatenate(column) for column in zip(*parts, strict=True)), strict=True))


def _rays(rays: Sequence[CosmicRays], col0: int, row0: int) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {"frame": np.repeat(np.arange(len(rays)), [r.col.size for r in rays])}
    for name, offset in (("col", col0), ("row", row0), ("d_col", 0), ("d_row", 0), ("electrons", 0)):
        columns[name] = np.concatenate([getattr(r, name) for r in rays]) + offset
    return columns
