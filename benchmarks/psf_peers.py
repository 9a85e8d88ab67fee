"""PSF photometry by others on the frames of `benchmarks.extraction`: SExtractor + PSFEx, photutils, PSFMachine.

``python -m benchmarks.psf_peers [--json FILE] [--cuvee FILE] [--frames N] [--stars N] [--folder DIR]``

What cuvee takes is what `benchmarks.extraction` measured before: from cold files to synced blocks, apertures and mesh included.
The peers are not the same kind of thing, and none is asked for all that:

SExtractor + PSFEx detects its own stars and fits their places too (`benchmarks.sextractor` has the settings). It reads bare images and
writes catalogues, two processes at a time, as many as cuvee's. The PSF, learned once from one frame, is told apart.

photutils fits any model to any star. Here it has the least to do: a circular Gaussian integrated over pixels, only the flux free, boxes of
5 x 5 pixels, no groups, so that no star knows of its neighbours; the quicker of two fitters. Some hundred stars of a cut-out
are timed, in one process, and scaled to all stars. Reading and background are left out, in its favour.

PSFMachine solves for all stars of a tile at once, as cuvee does, in one process. Its cost grows with the third power of the stars of a tile,
so it has its best tiles, 112 pixels of which 100 are kept. Some are timed, and scaled to a frame; reading it and
PSFMachine's own background for full frames are measured on whole frames and added, as cuvee does both. Its shape model, once a detector, is not
counted. It needs an older astropy than cuvee, so it lives in an environment of its own, made when it is missing.

A peer that is not there is not measured, and the reason is told.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import sextractor
from benchmarks.frames import FIRST_COL, FOLDER, SIDE, Field, arguments, field, forget_all, machine
from numpy.typing import NDArray

from cuvee.instruments.tess import TESS

HOME = Path(__file__).parent
PROCESSES = 2
SEXTRACTOR_FRAMES = 8
CUT = 256
"""Side of the part of a frame that photutils is given (px)."""
BOX = (5, 5)
GAUSSIAN = 1.9
"""Full width at half maximum of the stars (px)."""
TILE, KEPT = 112, 100
TILES = ((200, 300), (900, 1000), (1500, 1700))
"""First row and column of the tiles that PSFMachine is given."""
PSFMACHINE = "psfmachine==1.1.4"
PATIENCE = 400
"""Seconds that installing it may take."""

Numbers = dict[str, Any]


class NotMeasured(Exception):
    """Why a peer cannot be measured here."""


# -- SExtractor + PSFEx ----------------------------------------------------------------------------------------------


def run_sextractor(scene: Field, scratch: Path) -> Numbers:
    """Time detection and PSF fit of cold bare images, one at a time and two at a time (s a frame)."""
    if reason := sextractor.absent():
        raise NotMeasured(reason)
    exposure = scene.reference.readout.exposure
    infos = scene.infos[: SEXTRACTOR_FRAMES + 1]
    images = sextractor.write_images(scratch, (TESS.read(info, None).flux[0] for info in infos))
    start = time.perf_counter()
    psf = sextractor.learn(images[0], exposure)
    learned = time.perf_counter() - start
    spent = {}
    for processes, some in ((1, images[1 : 1 + SEXTRACTOR_FRAMES // 2]), (PROCESSES, images[1:])):
        forget_all([str(path) for path in some])
        start = time.perf_counter()
        catalogs = sextractor.measure(some, psf, exposure, processes)
        spent[processes] = (time.perf_counter() - start) / len(some)
    flux = sextractor.fluxes(catalogs, scene.targets.col, scene.targets.row)
    return {
        "wall_s": spent[1], "two_s": spent[PROCESSES], "learn_s": learned,
        "fitted": float(np.isfinite(flux).mean()), "flux_over_true": over_true(scene, flux[:, -1]),
    }  # fmt: skip


def over_true(scene: Field, flux: NDArray[Any], rows: Any = slice(None)) -> float:
    """Return the median of fluxes over those that magnitudes stand for, of stars brighter than 12 that have one."""
    mag = scene.targets.mag[rows]
    bright = (mag < 12.0) & np.isfinite(flux)
    return float(np.median(flux[bright] / 10.0 ** (0.4 * (20.44 - mag[bright]))))


# -- photutils -------------------------------------------------------------------------------------------------------


def run_photutils(scene: Field, _scratch: Path) -> Numbers:
    """Time PSF fits at fixed places in a part of a frame, scaled to all stars (s a frame)."""
    try:
        from astropy.modeling.fitting import LevMarLSQFitter, TRFLSQFitter
        from astropy.table import Table
        from photutils.psf import CircularGaussianPRF, PSFPhotometry
    except ImportError as error:
        raise NotMeasured(f"photutils cannot be imported ({error}; pip install photutils)") from error

    first = (SIDE - CUT) // 2
    image = TESS.read(scene.infos[0], None).flux[0][first : first + CUT, first : first + CUT].astype(np.float64)
    image -= np.median(image)
    col, row = scene.targets.col - first, scene.targets.row - first
    inside = np.flatnonzero((np.minimum(col, row) > 3.0) & (np.maximum(col, row) < CUT - 4.0))
    known = Table({"x": col[inside], "y": row[inside], "flux": 10.0 ** (0.4 * (20.44 - scene.targets.mag[inside]))})
    spent, found = {}, {}
    for fitter in (TRFLSQFitter, LevMarLSQFitter):
        model = CircularGaussianPRF(fwhm=GAUSSIAN)
        model.x_0.fixed = model.y_0.fixed = True
        fit = PSFPhotometry(model, BOX, fitter=fitter())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            found[fitter.__name__] = fit(image, init_params=known)
            spent[fitter.__name__] = time.perf_counter() - start
    best = min(spent, key=lambda name: spent[name])
    return {
        "wall_s": spent[best] * len(scene.targets) / inside.size, "timed_stars": int(inside.size), "fitter": best,
        "timed_s": spent, "flux_over_true": over_true(scene, np.asarray(found[best]["flux_fit"]), inside),
    }  # fmt: skip


# -- PSFMachine ------------------------------------------------------------------------------------------------------


def own_python(folder: Path) -> Path:
    """Return the interpreter of PSFMachine's environment, which is made where it is missing (1 GB, a minute or two)."""
    python = folder / "bin" / "python"
    if (folder / "done").exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    print(f"installing {PSFMACHINE} into {folder} ...", flush=True)
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", PSFMACHINE]
    try:
        venv.create(folder, with_pip=True)
        done = subprocess.run(install, capture_output=True, text=True, timeout=PATIENCE, check=False)
        error = done.stderr.strip() if done.returncode else ""
    except subprocess.TimeoutExpired:
        error = f"it took longer than {PATIENCE} s"
    except (subprocess.CalledProcessError, OSError) as failure:
        error = str(failure)
    if error:
        raise NotMeasured(f"{PSFMACHINE} could not be installed into an environment of its own: {error[-200:]}")
    (folder / "done").touch()
    return python


def run_psfmachine(scene: Field, scratch: Path) -> Numbers:
    """Time tiles, scaled to a frame, and what comes before them on whole frames (s a frame)."""
    # Hidden, so that mypy does not take it for a part of the benchmarks.
    python = own_python(FOLDER / ".psfmachine")
    still = scene.reference
    tiles: dict[str, Any] = {
        "n": len(TILES), "paths": scene.paths[:3], "rows": (0, SIDE), "cols": (FIRST_COL, FIRST_COL + SIDE),
    }  # fmt: skip
    frames = [TESS.read(info, None).flux[0] for info in scene.infos]
    read = np.mean(still.readout.read_noise) ** 2 * still.readout.n_read / still.readout.exposure**2
    for k, (row0, col0) in enumerate(TILES):
        cube = np.stack([frame[row0 : row0 + TILE, col0 : col0 + TILE] for frame in frames]).astype(np.float64)
        tiles[f"error{k}"] = np.sqrt(cube / still.readout.exposure + read)
        tiles[f"flux{k}"] = cube - np.median(cube, axis=(1, 2))[:, None, None]
        col, row = scene.targets.col - col0, scene.targets.row - row0
        inside = (np.minimum(col, row) > 0.0) & (np.maximum(col, row) < TILE - 1.0)
        tiles |= {f"col{k}": col[inside], f"row{k}": row[inside]}
        tiles[f"true{k}"] = 10.0 ** (0.4 * (20.44 - scene.targets.mag[inside]))
    source, target = scratch / "tiles.npz", scratch / "psfmachine.json"
    scratch.mkdir()
    np.savez(source, **tiles)
    forget_all(tiles["paths"])
    words = [str(python), str(HOME / "psfmachine_tiles.py"), str(source), str(target)]
    done = subprocess.run(
        words, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotMeasured(f"PSFMachine failed: {done.stderr.strip()[-300:]}")
    found: Numbers = json.loads(target.read_text())
    n_tile = (SIDE / KEPT) ** 2
    fit = n_tile * float(np.mean(found["fit"]))
    return {
        "wall_s": found["reading"] + found["background"] + fit, "fit_s": fit, "reading_s": found["reading"],
        "background_s": found["background"], "setup_s": n_tile * float(np.mean(found["setup"])), "tiles": n_tile,
        "timed": found, "flux_over_true": float(np.median(found["flux_over_true"])),
    }  # fmt: skip


# -- the table -------------------------------------------------------------------------------------------------------

PEERS: dict[str, Callable[[Field, Path], Numbers]] = {
    "sextractor": run_sextractor,
    "photutils": run_photutils,
    "psfmachine": run_psfmachine,
}


def told(name: str, n: Numbers) -> str:
    """Say in words what was measured of a peer."""
    if name == "sextractor":
        return (
            f"SExtractor + PSFEx: {n['wall_s']:.2f} s a frame, {n['two_s']:.2f} with {PROCESSES} processes; the PSF, once, {n['learn_s']:.0f} s; "
            f"{100 * n['fitted']:.0f} % of the stars have a flux, {n['flux_over_true']:.3f} of the true one"
        )
    if name == "photutils":
        return (
            f"photutils PSFPhotometry: {n['wall_s']:.0f} s a frame, extrapolated from {n['timed_stars']} stars ({n['fitter']}), fit alone; "
            f"fluxes {n['flux_over_true']:.3f} of the true ones"
        )
    return (
        f"PSFMachine: {n['wall_s']:.2f} s a frame, of it fits {n['fit_s']:.2f}, extrapolated from {len(TILES)} of {n['tiles']:.0f} tiles of {TILE} px, "
        f"its background {n['background_s']:.2f}, reading {n['reading_s']:.2f}; before, once, {n['setup_s']:.0f} s, extrapolated; "
        f"fluxes {n['flux_over_true']:.3f} of the true ones"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments("Time PSF photometry by SExtractor + PSFEx, photutils and PSFMachine.")
    parser.add_argument(
        "--cuvee", type=Path, default=HOME / "extraction.json", help="what benchmarks.extraction --json wrote"
    )
    args = parser.parse_args(argv)
    if not args.cuvee.exists():
        print(f"FAILED: {args.cuvee} is missing; run first: python -m benchmarks.extraction --json {args.cuvee}")
        return 1
    ours = json.loads(args.cuvee.read_text())
    scene = field(args.folder, args.frames, args.stars)
    if ours["stars"] != len(scene.targets):
        print(f"FAILED: {args.cuvee} is of {ours['stars']} stars, these frames have {len(scene.targets)}")
        return 1
    psf = ours["times_s"]["psf"]
    minutes = (time.time() - args.cuvee.stat().st_mtime) / 60.0
    print(
        f"cuvee, {len(scene.targets)} stars, measured {minutes:.0f} minutes ago: {1e3 * psf['wall']:.1f} ms a frame, {1e3 * psf['two']:.1f} with {PROCESSES} processes"
    )
    found: dict[str, Numbers] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, run in PEERS.items():
            try:
                found[name] = run(scene, Path(scratch) / name)
                print(told(name, found[name]), flush=True)
            except NotMeasured as error:
                found[name] = {"not_measured": str(error)}
                print(f"{name} not measured: {error}", flush=True)
    ratios = {
        f"{name}{'_two' if key == 'two' else ''}": found[name][f"{key}_s"] / psf[key]
        for name, key in (("sextractor", "wall"), ("sextractor", "two"), ("photutils", "wall"), ("psfmachine", "wall"))
        if "wall_s" in found[name]
    }
    if "fit_s" in found["psfmachine"]:
        ratios["psfmachine_fit"] = found["psfmachine"]["fit_s"] / psf["wall"]
    for name, ratio in ratios.items():
        print(f"  cuvee is faster than {name}: {ratio:.1f} times")
    if args.json:
        numbers = {"machine": machine(), "load": os.getloadavg()[0], "cuvee_s": psf, "ratios": ratios, **found}
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
