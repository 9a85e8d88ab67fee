"""The light-curve store against one FITS file a star, for the same light curves: time to write, bytes on disk.

``python -m benchmarks.store [--json FILE] [--stars N] [--frames N] [--folder DIR]``

Flux blocks are made up as in `benchmarks.flux_blocks`, with PSF fluxes on top, and put together by cuvee; neither is timed. Then
the light curves, all columns of them, are written as cuvee writes a patch (one Parquet file, synced), and by astropy as one
file a star, a binary table with the same columns at the same precision and the star's row in its header: built in one go from a
structured array, which is astropy's fastest way, and not synced, which is in its favour. Each writes in one process, in turns.
Both write the errors as cuvee gives them, with ten significant bits; no FITS file gains from that.

First the answer: both are read back, and must hold the same bits. A second line rounds fluxes to an eighth of their errors
(`[collect] round_noise = 8`), which no FITS file gains from: that line compares with the same files, unrounded.

Blocks made up are a little easier to compress than those measured: of 32 simulated full frames the points took 5 % more room, rounded ones 8 %
more. On such light curves the store is that much less small than this table says.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from benchmarks.collection import GROWTH_FIELD, SECTOR
from benchmarks.collection_rivals import forget
from benchmarks.flux_blocks import DEC0, EXPOSURE, RA0, READ_VARIANCE, SKY, make_block, make_targets
from benchmarks.frames import machine

from cuvee.collect import collect
from cuvee.collect.params import CollectParams
from cuvee.collect.series import SeriesFluxes
from cuvee.model.keys import BLOCK_CADENCES
from cuvee.model.records import FluxBlock, LightCurves, Targets
from cuvee.store.hats import write_patch

TURNS = 3
ROUNDED = 8.0
NOISE_PIXELS = 8.5
"""Pixels under a star of TESS whose noise an optimal fit takes in."""


def with_psf(block: FluxBlock, targets: Targets, rng: np.random.Generator) -> FluxBlock:
    """Add PSF fluxes, with the noise of an optimal fit, to a block made up."""
    light = 10.0 ** (0.4 * (20.44 - targets.mag))[:, None]
    error = np.sqrt(light / EXPOSURE + NOISE_PIXELS * (SKY / EXPOSURE + READ_VARIANCE))
    shape = block.planes["flag"].shape
    planes = {
        "psf_flux": (light + error * rng.standard_normal(shape, np.float32)).astype(np.float32),
        "psf_flux_err": (error * (1.0 + 1e-3 * rng.standard_normal(shape, np.float32))).astype(np.float32),
        "psf_chi2": (1.0 + 0.2 * rng.standard_normal(shape, np.float32)).astype(np.float32),
    }
    return replace(block, planes={**block.planes, **planes})


def light_curves(n_star: int, n_frame: int) -> dict[str, LightCurves]:
    """Make light curves up, as they are and rounded."""
    rng = np.random.default_rng(1)
    targets = make_targets(n_star, GROWTH_FIELD, rng)
    blocks = [
        with_psf(make_block(targets, first, min(BLOCK_CADENCES, n_frame - first), rng), targets, rng)
        for first in range(0, n_frame, BLOCK_CADENCES)
    ]
    series = SeriesFluxes(blocks, np.arange(n_star), RA0, DEC0)
    return {
        name: collect([series], targets, "s0008", "3-4", CollectParams(round_noise=steps), 0)
        for name, steps in (("store", 0.0), ("rounded", ROUNDED))
    }


# -- one FITS file a star --------------------------------------------------------------------------------------------


def write_fits(folder: Path, curves: LightCurves) -> None:
    """Write one file a star."""
    from astropy.io import fits

    kind = np.dtype([(name, values.dtype.newbyteorder(">")) for name, values in curves.points.items()])
    stars = curves.targets
    for k in range(len(stars)):
        some = slice(curves.offsets[k], curves.offsets[k + 1])
        rows = np.empty(some.stop - some.start, kind)
        for name, values in curves.points.items():
            rows[name] = values[some]
        head = fits.Header()
        for card, value in (
            ("HEALPIX", stars.healpix[k]), ("OBJECT", stars.id[k]), ("RA_OBJ", stars.ra[k]), ("DEC_OBJ", stars.dec[k]),
            ("TMAG", stars.mag[k]), ("SEGMENT", curves.segment), ("DETECTOR", curves.detector), ("SERIES", stars.series[k]),
            ("COL", stars.col[k]), ("ROW", stars.row[k]), ("CROWDING", stars.crowding[k, 0]), ("BEST", curves.best[k]),
        ):  # fmt: skip
            head[card] = value.item() if isinstance(value, np.generic) else value
        table = fits.BinTableHDU(rows, head)
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / f"{stars.id[k]}.fits")


def check(curves: LightCurves, parquet: Path, folder: Path) -> int:
    """Compare what was written with what was to be written, both ways; return how many values."""
    from astropy.io import fits

    points = pq.read_table(parquet)["lc"].combine_chunks()
    checked = 0
    for k in np.linspace(0, len(curves.targets) - 1, 20).astype(int):
        some = slice(curves.offsets[k], curves.offsets[k + 1])
        with fits.open(folder / f"{curves.targets.id[k]}.fits") as file:
            for name, values in curves.points.items():
                ours, theirs = points.field(name)[k].values.to_numpy(zero_copy_only=False), file[1].data[name]
                for found in (ours, theirs):
                    same = np.array_equal(found, values[some], equal_nan=values.dtype.kind == "f")
                    if not same or found.dtype.newbyteorder("=") != values.dtype:
                        raise SystemExit(f"FAILED: star {k}: {name} was not read back as it was written")
                checked += values[some].size
    return checked


# -- the table -------------------------------------------------------------------------------------------------------


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return wall and processor time (s)."""
    wall, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - busy


def on_disk(paths: Sequence[Path]) -> int:
    """Return the bytes that files are long, as ``ls`` has them."""
    return sum(path.stat().st_size for path in paths)


def measure(root: Path, n_star: int, n_frame: int) -> dict[str, Any]:
    curves = light_curves(n_star, n_frame)
    spent: dict[str, list[tuple[float, float]]] = {"store": [], "rounded": [], "fits": []}
    size: dict[str, int] = {}
    n_value = 0
    for turn in range(TURNS):
        for name, one in curves.items():
            path = root / f"{name}-{turn}.parquet"
            spent[name].append(timed(lambda path=path, one=one: write_patch(path, one)))  # type: ignore[misc]
            size[name] = on_disk([path])
        folder = root / f"fits-{turn}"
        folder.mkdir()
        spent["fits"].append(timed(lambda folder=folder: write_fits(folder, curves["store"])))  # type: ignore[misc]
        files = sorted(folder.glob("*.fits"))
        size["fits"] = on_disk(files)
        n_value = n_value or check(curves["store"], root / "store-0.parquet", folder)
        forget(files)
        for file in files:
            file.unlink()
    return {
        "machine": machine(), "load_before": os.getloadavg()[0], "stars": n_star, "frames": n_frame, "checked": n_value,
        "columns": list(curves["store"].points), "bytes": size,
        "wall_s": {name: min(w for w, _ in found) for name, found in spent.items()},
        "cpu_s": {name: min(c for _, c in found) for name, found in spent.items()},
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare cuvee's light-curve store with one FITS file a star.")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--stars", type=int, default=2000)
    parser.add_argument("--frames", type=int, default=SECTOR)
    parser.add_argument("--folder", type=Path, help="work here (1 GB at most)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        found = measure(Path(scratch), args.stars, args.frames)
    for what in ("wall_s", "cpu_s", "bytes"):
        found[f"{what.split('_')[0]}_ratios"] = {n: found[what]["fits"] / found[what][n] for n in ("store", "rounded")}
    titles = {
        "fits": "astropy: one file a star",
        "store": "cuvee: one file a patch, fluxes to their last bit",
        "rounded": f"cuvee: the same, [collect] round_noise = {ROUNDED:g}",
    }
    print(f"{found['checked']} values of 20 stars were read back from both: all have the bits that were written")
    print(f"\n{args.stars} stars x {args.frames} frames, {len(found['columns'])} columns, best of {TURNS} turns:")
    print(f"  {'':46s} {'wall s':>8s} {'cpu s':>8s} {'MB':>8s} {'faster':>8s} {'smaller':>8s}")
    for name, title in titles.items():
        wall, busy, size = found["wall_s"][name], found["cpu_s"][name], found["bytes"][name]
        times = f"{wall:8.2f} {busy:8.2f} {size / 1e6:8.1f}"
        print(f"  {title:46s} {times} {found['wall_s']['fits'] / wall:7.1f}x {found['bytes']['fits'] / size:7.2f}x")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
