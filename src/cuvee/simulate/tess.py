"""A simulated TESS observation: a workspace with full-frame images, a catalogue, and the truth."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from cuvee.errors import ConfigError, StoreError
from cuvee.simulate import ffi
from cuvee.simulate.params import SimulationParams
from cuvee.simulate.pixels import expose
from cuvee.simulate.plan import SECTORS, Light, Plan, draw_light, frame_wcs, make_plan
from cuvee.simulate.scene import Scene
from cuvee.simulate.truth import write_truth

__all__ = ["SMALLEST", "simulate", "stars_at"]

SMALLEST = 64
"""Fewest pixels a side."""
LEADING = 88.0
"""What the calibrated leading virtual columns of real frames hold instead of zero (e-/s)."""
MOST_WORKERS = 4
"""Each draws a frame of its own, which takes 150 MB."""


def _write_frame(plan: Plan, k: int, folder: Path) -> Light:
    # The file of frame k; what comes back has no pixels any more.
    window = plan.window
    light = draw_light(plan, k)
    image = light.image
    if window.full:
        whole = np.zeros(window.shape, dtype=np.float32)
        whole[:, : ffi.FIRST_COL] = LEADING
        whole[: ffi.SCIENCE, ffi.FIRST_COL : ffi.FIRST_COL + ffi.SCIENCE] = image
        image = whole
        eleven = np.repeat(np.arange(4), 11)
        output = np.concatenate([eleven, np.repeat(np.arange(4), ffi.OUTPUT_WIDTH), eleven])
    else:
        output = np.arange(window.col0, window.col0 + window.size) // ffi.OUTPUT_WIDTH
    n_read = round(0.8 * plan.sector["cadence"] / 2)
    flux, uncert = expose(
        np.random.default_rng([plan.seed, 2, k]),
        image,
        np.asarray(ffi.GAIN, dtype=np.float32)[output],
        np.asarray(ffi.READ_NOISE, dtype=np.float32)[output],
        0.792 * plan.sector["cadence"],
        n_read,
    )
    parts = ffi.frame_bytes(plan.frames[k], plan.sector, window, frame_wcs(plan, k), flux, uncert)
    with (folder / plan.names[k]).open("wb") as file:
        for part in parts:
            file.write(part)
    return replace(light, image=np.empty((0, 0), dtype=np.float32))


def _write_catalog(scene: Scene, path: Path) -> None:
    columns = (scene.id, scene.ra2000, scene.dec2000, scene.pmra, scene.pmdec, scene.mag)
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("ID,ra,dec,pmRA,pmDEC,Tmag\n")
        for row in zip(*(c.tolist() for c in columns), strict=True):
            file.write("{},{:.9f},{:.9f},{:.3f},{:.3f},{:.4f}\n".format(*row))


def _check(out: Path, frames: int, stars: int, size: int, cadence: float) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} already exists and is not an empty folder; name a new one for the simulation.")
    if frames < 1 or stars < 1:
        raise ConfigError(f"A simulation needs at least one frame and one star (got {frames} and {stars}).")
    if not SMALLEST <= size <= ffi.SCIENCE:
        raise ConfigError(f"The size of the frames must be between {SMALLEST} and {ffi.SCIENCE} pixels (got {size}).")
    if cadence not in SECTORS:
        known = ", ".join(str(c) for c in SECTORS)
        raise ConfigError(f"TESS took full-frame images every {known} seconds, not every {cadence:g}; choose one.")


def stars_at(density: float, size: int) -> int:
    """Return how many stars a window has where the whole CCD would have ``density``; at least one."""
    return max(1, round(density * (size / ffi.SCIENCE) ** 2))


def simulate(
    out: Path,
    *,
    frames: int,
    stars: int,
    size: int = ffi.SCIENCE,
    cadence: float = 1800.0,
    seed: int = 1,
    params: SimulationParams | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a workspace with simulated TESS full-frame images that ``cuvee run`` reduces.

    It holds ``RAW/tess*_ffic.fits`` with names and headers as the mission's, ``BASE/CAT/catalog.csv`` (positions at epoch 2000,
    as the TIC), the tables of ``truth/`` (`cuvee.simulate.truth.Truth`), and the configuration. The same arguments give
    the same bytes, on any number of cores.

    Times are those of a spacecraft 40 Earth radii from the Earth: extension 1's hold at the middle of the CCD, the
    primary header's carry no barycentric correction. DATA_REL is 30, from which on times need no further correction.
    The stars are described in `cuvee.simulate.scene`, what pixels make of them in `cuvee.simulate.pixels` and
    `cuvee.simulate.detector`, the pointing in `cuvee.simulate.attitude`.

    Parameters
    ----------
    out : Path
        The workspace; must be absent or empty.
    frames : int
        Number of frames.
    stars : int
        Stars on the pixels brighter than Tmag 16; as many again are fainter, down to 17. A CCD at high Galactic
        latitude has some 10,000, one in the Milky Way 200,000.
    size : int, optional
        2048 gives full frames of 2078 x 2136 pixels with collateral rows and columns; less gives a square window of
        science pixels about the middle of the CCD, between 64 and 2047 wide.
    cadence : float, optional
        1800, 600 or 200 s, as in sectors 8, 30 and 60.
    seed : int, optional
        Another seed, another sky.
    params : SimulationParams, optional
        Effects and strengths; all effects by default, `cuvee.simulate.params.PLAIN` for none.
    progress : callable, optional
        Called as ``progress(done, frames)`` after each frame.

    Raises
    ------
    ConfigError
        If an argument cannot be used, or the folder is not empty.
    StoreError
        If the workspace cannot be written.
    """
    _check(out, frames, stars, size, cadence)
    from cuvee.config import write_workspace

    plan = make_plan(frames, stars, size, int(cadence), seed, params or SimulationParams())
    raw, catalog, truth = out / "RAW", out / "BASE" / "CAT", out / "truth"
    try:
        for folder in (raw, catalog, truth):
            folder.mkdir(parents=True, exist_ok=True)
        _write_catalog(plan.scene, catalog / "catalog.csv")
        light = []
        # Threads suffice: drawing, noise and writing all let go of the interpreter.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_WORKERS)) as pool:
            for one in pool.map(lambda k: _write_frame(plan, k, raw), range(frames)):
                light.append(one)
                if progress is not None:
                    progress(len(light), frames)
        write_truth(plan, light, truth)
    except OSError as error:
        raise StoreError(
            f"Cannot write the simulation to {out}: {error.strerror}; free some space, or name another folder."
        ) from error
    write_workspace(out, instrument="tess", data=["RAW"], catalog=["BASE/CAT/catalog.csv"])
