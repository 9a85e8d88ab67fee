"""A simulated TESS observation: a workspace with full-frame images, a catalogue, and the truth."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import ConfigError, StoreError
from cuvee.simulate import ffi
from cuvee.simulate.pixels import Prf, background, expose, prf_at
from cuvee.simulate.pointing import make_wcs, moved
from cuvee.simulate.scene import Scene, brightness, draw_scene
from cuvee.simulate.signals import CONSTANT

__all__ = ["SECTORS", "ZERO_POINT", "simulate"]

FloatArray = NDArray[np.float64]

ZERO_POINT = 20.44
SMALLEST = 64
SECTORS: dict[int, dict[str, Any]] = {
    1800: {"sector": 8, "start": 1517.4, "scid": 136, "ra": 128.25, "dec": -46.5},
    600: {"sector": 30, "start": 2115.9, "scid": 195, "ra": 14.6, "dec": -38.2},
    200: {"sector": 60, "start": 2936.9, "scid": 249, "ra": 98.7, "dec": -51.3},
}
"""Cadence (s) to a sector that was observed with it, its first exposure (TDB - 2457000) and an invented pointing."""
RELEASE = 30
"""DATA_REL of files whose times need no correction: sectors processed earlier start some 2 s too late."""
CAMERA, CCD, ROLL = 3, 4, 23.0

JITTER = 0.03
"""Standard deviation of the pointing in each coordinate from frame to frame (px)."""
DRIFT = (0.003, -0.002)
"""px a day, as differential aberration moves stars."""
DUMP_FIRST, DUMP_EVERY, DUMP_JITTER, DUMP_BIT = 0.6, 2.5, 0.15, 32
"""Momentum dumps: the first and the interval (d), pointing in that frame (px), the quality bit."""
LEADING = 88.0
"""What the calibrated leading virtual columns of real frames hold instead of zero (e-/s)."""

AU_DAYS = 499.004784 / 86400.0
ORBIT_RADIUS, ORBIT_PERIOD = 40 * 6378.137 / 149597870.7, 13.7
"""The spacecraft about the Earth (au, d); a circle, where the true orbit reaches from 17 to 60 Earth radii."""


@dataclass(frozen=True, slots=True)
class _Plan:
    # All that a frame needs; the same for every frame.
    seed: int
    window: ffi.Window
    sector: dict[str, Any]
    wcs: dict[str, Any]
    scene: Scene
    prf: Prf
    half: NDArray[np.int64]
    varying: NDArray[np.int64]
    toward: FloatArray
    frames: tuple[ffi.Frame, ...]
    jitter: FloatArray
    observer: FloatArray
    names: tuple[str, ...]


def _direction(ra: Any, dec: Any) -> FloatArray:
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def _observer(time: FloatArray) -> FloatArray:
    # Barycentric position of the spacecraft (au). Straight from the ephemeris: the truth must not rest on the code
    # that is to be tested against it.
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    earth = get_body_barycentric("earth", Time(2457000.0, time, format="jd", scale="tdb"), ephemeris="builtin")
    phase = 2.0 * np.pi * time / ORBIT_PERIOD
    orbit = ORBIT_RADIUS * np.stack([np.cos(phase), 0.8 * np.sin(phase), 0.6 * np.sin(phase)], axis=-1)
    return np.asarray(earth.xyz.to_value("au").T + orbit)


def _sky(wcs: dict[str, Any]) -> Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    from astropy.io import fits
    from astropy.wcs import WCS

    solution = WCS(fits.Header(wcs))

    def to_sky(col: FloatArray, row: FloatArray) -> tuple[FloatArray, FloatArray]:
        ra, dec = solution.all_pix2world(col + ffi.FIRST_COL, row, 0)
        return np.asarray(ra), np.asarray(dec)

    return to_sky


def _plan(frames: int, stars: int, size: int, cadence: int, seed: int) -> _Plan:
    sector = SECTORS[cadence] | {
        "camera": CAMERA, "ccd": CCD, "cadence": cadence, "release": RELEASE, "roll": ROLL
    }  # fmt: skip
    first = (ffi.SCIENCE - size) // 2
    window = ffi.Window(first, first, size)
    wcs = make_wcs(sector["ra"], sector["dec"], ROLL)
    days = cadence / 86400.0
    start = sector["start"] + days * np.arange(frames)
    observer = _observer(start + 0.5 * days)
    to_sky = _sky(wcs)
    reference = _direction(*to_sky(np.array(ffi.REFERENCE_PIXEL[0] - 45.0), np.array(ffi.REFERENCE_PIXEL[1] - 1.0)))
    barycorr = observer @ reference * AU_DAYS

    since = start - sector["start"]
    dumps = np.floor((since - DUMP_FIRST) / DUMP_EVERY) != np.floor((since + days - DUMP_FIRST) / DUMP_EVERY)
    quality = np.where(dumps, DUMP_BIT, 0)
    jitter = JITTER * np.random.default_rng([seed, 1]).standard_normal((frames, 2))
    jitter = np.where(dumps[:, None], DUMP_JITTER / JITTER, 1.0) * jitter + since[:, None] * np.array(DRIFT)
    # The cadence number grew by one in half an hour from 4697 at the start of sector 1.
    index = 4697 + round((sector["start"] - 1325.3131) / days) + np.arange(frames)

    scene = draw_scene(
        np.random.default_rng([seed, 0]),
        stars,
        col0=first,
        row0=first,
        size=size,
        to_sky=to_sky,
        start=float(start[0] + barycorr[0]),
        baseline=frames * days,
        cadence=days,
        years=float((start.mean() + 2457000.0 - 2451545.0) / 365.25),
        zero_point=ZERO_POINT,
    )
    name = "tess{:%Y%j%H%M%S}-s{:04d}-{}-{}-{:04d}-s_ffic.fits"
    return _Plan(
        seed=seed,
        window=window,
        sector=sector,
        wcs=wcs,
        scene=scene,
        prf=prf_at(scene.col, scene.row),
        half=np.where(scene.mag < 12.0, 10, 7),
        varying=np.flatnonzero(scene.kind != CONSTANT),
        toward=_direction(scene.ra, scene.dec),
        frames=tuple(
            ffi.Frame(float(s), float(s + days), float(b), int(i), int(q))
            for s, b, i, q in zip(start, barycorr, index, quality, strict=True)
        ),
        jitter=jitter,
        observer=observer,
        names=tuple(name.format(ffi.date_of(float(s)), sector["sector"], CAMERA, CCD, sector["scid"]) for s in start),
    )


def _image(plan: _Plan, k: int) -> tuple[NDArray[np.float32], float]:
    # The science pixels of frame k without noise, and the mean background.
    from cuvee.kernels.render import add_stars

    window, scene, prf, frame = plan.window, plan.scene, plan.prf, plan.frames[k]
    image = background(window.col0, window.row0, window.size, frame.start - plan.frames[0].start)
    level = float(image.mean(dtype=np.float64))
    flux = scene.flux.copy()
    time = 0.5 * (frame.start + frame.stop) + plan.toward[plan.varying] @ plan.observer[k] * AU_DAYS
    flux[plan.varying] = brightness(scene, plan.varying, time, frame.stop - frame.start)
    add_stars(
        image,
        scene.col - window.col0 + plan.jitter[k, 0],
        scene.row - window.row0 + plan.jitter[k, 1],
        flux,
        prf.core_sigma,
        prf.core_shift,
        prf.wing_sigma,
        prf.wing_shift,
        prf.wing_share,
        plan.half,
    )
    return image, level


def _write_frame(plan: _Plan, k: int, folder: Path) -> float:
    window, frame = plan.window, plan.frames[k]
    image, level = _image(plan, k)
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
    parts = ffi.frame_bytes(frame, plan.sector, window, moved(plan.wcs, *plan.jitter[k]), flux, uncert)
    with (folder / plan.names[k]).open("wb") as file:
        for part in parts:
            file.write(part)
    return level


def _write_catalog(scene: Scene, path: Path) -> None:
    columns = (scene.id, scene.ra2000, scene.dec2000, scene.pmra, scene.pmdec, scene.mag)
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("ID,ra,dec,pmRA,pmDEC,Tmag\n")
        for row in zip(*(c.tolist() for c in columns), strict=True):
            file.write("{},{:.9f},{:.9f},{:.3f},{:.3f},{:.4f}\n".format(*row))


def _write_truth(plan: _Plan, levels: list[float], folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    scene = plan.scene
    names = ("id", "ra", "dec", "pmra", "pmdec", "mag", "flux", "col", "row", "kind", "period", "epoch")
    stars = {name: getattr(scene, name) for name in (*names, "amplitude", "duration")}
    stars["kind"] = stars["kind"].tolist()
    edge = plan.window.size - 0.5
    x, y = scene.col - plan.window.col0, scene.row - plan.window.row0
    stars["on_pixels"] = (x >= -0.5) & (x < edge) & (y >= -0.5) & (y < edge)
    pq.write_table(pa.table(stars), folder / "stars.parquet")
    frames = {
        "name": list(plan.names),
        "cadence": [f.index for f in plan.frames],
        "time": [0.5 * (f.start + f.stop) + f.barycorr for f in plan.frames],
        "jitter_col": plan.jitter[:, 0],
        "jitter_row": plan.jitter[:, 1],
        "quality": np.array([f.quality for f in plan.frames], dtype=np.int32),
        "background": levels,
    }
    pq.write_table(pa.table(frames), folder / "frames.parquet")


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


def simulate(
    out: Path,
    *,
    frames: int,
    stars: int,
    size: int = ffi.SCIENCE,
    cadence: float = 1800.0,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a workspace with simulated TESS full-frame images that ``cuvee run`` reduces.

    It holds ``RAW/tess*_ffic.fits`` with names and headers as the mission's, ``BASE/CAT/catalog.csv`` (positions at epoch 2000,
    as the TIC), ``truth/stars.parquet`` and ``truth/frames.parquet``, and the configuration. The same arguments give
    the same bytes, on any number of cores.

    Times are those of a spacecraft 40 Earth radii from the Earth: extension 1's hold at the middle of the CCD, the
    primary header's carry no barycentric correction. DATA_REL is 30, from which on times need no further correction.
    The stars are described in `cuvee.simulate.scene`, what pixels make of them in `cuvee.simulate.pixels`.

    Parameters
    ----------
    out : Path
        The workspace; must be absent or empty.
    frames : int
        Number of frames.
    stars : int
        Stars on the pixels brighter than Tmag 16; as many again are fainter, down to 17.
    size : int, optional
        2048 gives full frames of 2078 x 2136 pixels with collateral rows and columns; less gives a square window of
        science pixels about the middle of the CCD, between 64 and 2047 wide.
    cadence : float, optional
        1800, 600 or 200 s, as in sectors 8, 30 and 60.
    seed : int, optional
        Another seed, another sky.
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

    plan = _plan(frames, stars, size, int(cadence), seed)
    raw, catalog, truth = out / "RAW", out / "BASE" / "CAT", out / "truth"
    try:
        for folder in (raw, catalog, truth):
            folder.mkdir(parents=True, exist_ok=True)
        _write_catalog(plan.scene, catalog / "catalog.csv")
        levels = []
        # Threads suffice: drawing, noise and writing all let go of the interpreter.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as pool:
            for level in pool.map(lambda k: _write_frame(plan, k, raw), range(frames)):
                levels.append(level)
                if progress is not None:
                    progress(len(levels), frames)
        _write_truth(plan, levels, truth)
    except OSError as error:
        raise StoreError(
            f"Cannot write the simulation to {out}: {error.strerror}; free some space, or name another folder."
        ) from error
    write_workspace(out, instrument="tess", data=["RAW"], catalog=["BASE/CAT/catalog.csv"])
