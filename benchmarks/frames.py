"""The data of the benchmarks: simulated full frames and their stars, made once, and files that are cold again."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cdshealpix.nested
import numpy as np
import pyarrow.parquet as pq
from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from numpy.typing import NDArray

from cuvee import extract, prf, reference
from cuvee.extract.frames import measure_frames
from cuvee.extract.plan import Plan, make_plan
from cuvee.instruments.tess import TESS
from cuvee.model.flags import default_mask
from cuvee.model.psf import StarModel
from cuvee.model.records import FileInfo, Pixels, Reference, Targets
from cuvee.run.streams import FrameStream, StreamLog
from cuvee.simulate.tess import simulate
from cuvee.store.blocks import write_block
from cuvee.store.numbers import read_columns
from cuvee.store.star_models import read_star_model, write_star_model

RADII = (1.5, 2.5, 3.5)
ANNULUS = (6.0, 9.0)
FIRST_COL, SIDE = 44, 2048
FOLDER = Path(__file__).parent / "data"
BAD = default_mask(TESS.quality)
"""Frames with these bits of quality take no part in the search for moving objects, as `cuvee run` has it."""


@dataclass(frozen=True, slots=True)
class Field:
    """Frames of one series, their reference image, and the stars on them; PRF and stars where PSF fluxes are wanted."""

    infos: list[FileInfo]
    reference: Reference
    targets: Targets
    model: StarModel | None = None

    @property
    def paths(self) -> list[str]:
        return [info.path for info in self.infos]


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}"


def arguments(what: str) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks of frames share."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--frames", type=int, default=32, help="distinct full frames to make (35 MB each)")
    parser.add_argument("--stars", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the frames are made, and found again")
    return parser


def field(folder: Path, frames: int, stars: int, size: int = SIDE, psf: bool = False) -> Field:
    """Simulate frames, or find those of an earlier call; for PSF fluxes, learn the PRF from them, or find that."""
    home = folder / f"tess-{size}px-{frames}frames-{stars}stars"
    if not (home / "done").exists():
        print(f"simulating {frames} frames of {size} x {size} pixels with {stars} stars in {home} ...", flush=True)
        simulate(home, frames=frames, stars=stars, size=size, seed=1)
        (home / "done").touch()
    infos = [TESS.scan(str(path)) for path in sorted((home / "RAW").glob("*_ffic.fits"))]
    some = infos[:32]
    ref = reference.build(some[len(some) // 2], [TESS.read(i, None).flux[0] for i in some], [i.name for i in some])
    return Field(infos, ref, targets_of(home, ref), _model(home, some, ref) if psf else None)


def _model(home: Path, infos: Sequence[FileInfo], ref: Reference) -> StarModel:
    """Learn PRF and stars from the frames and the true places, as the catalogue has them to 0.02 px; once."""
    path = home / "stars.npz"
    if not path.exists():
        star = read_columns(home / "truth" / "stars.parquet")
        rng = np.random.default_rng(7)
        col, row = (star[name] + rng.normal(0.0, 0.02, star["id"].size) for name in ("col", "row"))
        print("learning the PRF ...", flush=True)
        frames = [TESS.read(info, None).flux[0] for info in infos]
        _, gain = extract.even(ref)
        learned = prf.learn(
            frames, ref.geometry, ref.readout, col, row, star["flux"].astype(np.float64), prf.PrfParams(), gain=gain
        )
        model = StarModel(ref.series, learned.prf, star["id"], learned.col, learned.row, learned.flux, learned.numbers)
        write_star_model(path, model)
    return read_star_model(path)


def targets_of(home: Path, ref: Reference) -> Targets:
    table = pq.read_table(home / "truth" / "stars.parquet")
    star = {name: table[name].to_numpy() for name in ("id", "ra", "dec", "mag", "col", "row")}
    col, row = star["col"] - ref.geometry.col0, star["row"] - ref.geometry.row0
    inside = (col > -0.5) & (col < ref.geometry.n_col - 0.5) & (row > -0.5) & (row < ref.geometry.n_row - 0.5)
    rows = np.flatnonzero(inside & (star["mag"] <= 16.0))
    ra, dec = star["ra"][rows], star["dec"][rows]
    healpix = cdshealpix.nested.lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), 29).astype(np.int64)
    order = np.argsort(healpix)
    rows = rows[order]
    n = rows.size
    return Targets(
        healpix[order], star["id"][rows], ra[order], dec[order], star["mag"][rows], np.full(n, ref.series),
        star["col"][rows], star["row"][rows], np.full((n, 3), np.nan), np.zeros(n, np.int32), RADII,
    )  # fmt: skip


def plan_both(scene: Field) -> Plan:
    """Plan three apertures, annulus and mesh: what the peers measure."""
    mesh = plan_one(scene, "mesh")
    return replace(mesh, annuli=plan_one(scene, "annulus").annuli)


def plan_one(scene: Field, background: str) -> Plan:
    params = extract.ExtractParams.model_validate({"radii": RADII, "annulus": ANNULUS, "background": background})
    return make_plan(scene.targets, scene.reference, params)


def on_one_axis(infos: Sequence[FileInfo], n: int) -> list[FileInfo]:
    """Repeat the files until they fill ``n`` cadences from 0."""
    return [
        replace(info, moments=replace(info.moments, cadence=np.array([k])))
        for k, info in ((k, infos[k % len(infos)]) for k in range(n))
    ]


def forget(path: str) -> None:
    """Put a file out of the page cache, where the system can."""
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def forget_all(paths: Sequence[str]) -> str:
    """Write out and put all files out of the page cache; say how."""
    os.sync()
    for path in paths:
        forget(path)
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1")
    except OSError:
        return "posix_fadvise" if hasattr(os, "posix_fadvise") else "not possible here, so they are warm"
    return "posix_fadvise and drop_caches"


def _read_once(info: FileInfo, buffer: NDArray[np.uint8] | None = None) -> Pixels:
    pixels = TESS.read(info, buffer)
    forget(info.path)
    return pixels


READ_ONCE = replace(TESS, read=_read_once)
"""TESS whose files are cold again after each reading, so that few files make a long cold block."""


def run_psf(infos: Sequence[FileInfo], scene: Field, out: Path) -> None:
    """Read and measure one block as a worker does, PSF fluxes and all; write it, and make it durable."""
    stream = FrameStream(READ_ONCE, infos, 0, StreamLog())
    moments, names = stream.axis()
    params = extract.ExtractParams(psf=True)
    block = extract.extract(
        iter(stream), moments, names, scene.targets, scene.reference, params, scene.model, bad_quality=BAD
    )
    write_block(out, block)


def run_pass(infos: Sequence[FileInfo], plan: Plan, ref: Reference) -> NDArray[np.float32]:
    """Read and measure one block as a worker does; return the planes."""
    stream = FrameStream(READ_ONCE, infos, 0, StreamLog())
    return measure_frames(plan, iter(stream), len(infos), ref.geometry, ref.readout)[0]
