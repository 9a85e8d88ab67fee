"""The pass over pixels against the chain fitsio + sep, on the same simulated full frames, in one run.

``python benchmarks/extraction.py [--json FILE] [--frames N] [--stars N] [--long N] [--folder DIR]``

First the answer: raw aperture sums of both must agree to one part in a million. Then the times, one process each, from files
that have been put out of the page cache, in turns, so that a busy machine slows both. Then the memory of a long stream.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee import extract, reference
from cuvee.extract.frames import measure_frames
from cuvee.extract.plan import Plan, make_plan
from cuvee.instruments.tess import TESS
from cuvee.kernels import lanes
from cuvee.model.keys import BLOCK_CADENCES
from cuvee.model.records import Batch, FileInfo, Pixels, Reference, Targets
from cuvee.run.streams import FrameStream, StreamLog
from cuvee.simulate.tess import simulate

RADII = (1.5, 2.5, 3.5)
ANNULUS = (6.0, 9.0)
FIRST_COL, SIDE = 44, 2048
WANTED_RATIO = 10.0
WANTED_BYTES = 4 << 30
AGREEMENT = 1e-6
ROUNDS = 3


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


def make_targets(folder: Path) -> Targets:
    """Return the simulated stars that apertures can be laid on, in the order of their HEALPix indices."""
    import cdshealpix.nested
    import pyarrow.parquet as pq
    from astropy import units as u
    from astropy.coordinates import Latitude, Longitude

    table = {k: v.to_numpy() for k, v in zip(*_columns(pq.read_table(folder / "truth" / "stars.parquet")), strict=True)}
    rows = np.flatnonzero(table["mag"] <= 16.0)
    ra, dec = table["ra"][rows], table["dec"][rows]
    healpix = cdshealpix.nested.lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), 29).astype(np.int64)
    order = np.argsort(healpix)
    rows = rows[order]
    n = rows.size
    return Targets(
        healpix[order], table["id"][rows], ra[order], dec[order], table["mag"][rows], np.full(n, "ffi"),
        table["col"][rows], table["row"][rows], np.full((n, 3), np.nan), np.zeros(n, np.int32), RADII,
    )  # fmt: skip


def _columns(table: Any) -> tuple[list[str], list[Any]]:
    return table.column_names, table.columns


def both_backgrounds(targets: Targets, ref: Reference) -> Plan:
    """Plan three apertures, annulus and mesh: what the peers measure."""
    mesh = make_plan(targets, ref, extract.ExtractParams(radii=RADII, annulus=ANNULUS, background="mesh"))
    ring = make_plan(targets, ref, extract.ExtractParams(radii=RADII, annulus=ANNULUS, background="annulus"))
    return replace(mesh, annuli=ring.annuli)


def on_one_axis(infos: Sequence[FileInfo], n: int) -> list[FileInfo]:
    """Repeat the files until they fill ``n`` cadences from 0."""
    return [
        replace(info, moments=replace(info.moments, cadence=np.array([k])))
        for k, info in ((k, infos[k % len(infos)]) for k in range(n))
    ]


def run_cuvee(infos: Sequence[FileInfo], plan: Plan, ref: Reference) -> tuple[NDArray[np.float32], float, float]:
    """Read and measure one block; return planes, wall time and processor time (s) per frame."""
    wall, busy = time.perf_counter(), time.process_time()
    stream = FrameStream(READ_ONCE, infos, 0, StreamLog())
    planes, _ = measure_frames(plan, iter(stream), len(infos), ref.geometry, ref.readout)
    n = len(infos)
    return planes, (time.perf_counter() - wall) / n, (time.process_time() - busy) / n


def run_peers(paths: Sequence[str], col: Any, row: Any) -> tuple[list[NDArray[Any]], float, float]:
    """Read and measure frames with fitsio and sep; return the last frame's sums, wall and processor time (s) per frame."""
    import fitsio
    import sep

    wall, busy = time.perf_counter(), time.process_time()
    sums: list[NDArray[Any]] = []
    for path in paths:
        with fitsio.FITS(path) as file:
            image = np.ascontiguousarray(file[1][0:SIDE, FIRST_COL : FIRST_COL + SIDE])
        forget(path)
        sep.Background(image).subfrom(image)
        sums = [sep.sum_circle(image, col, row, radius, subpix=0)[0] for radius in RADII]
        sums.append(sep.sum_circann(image, col, row, *ANNULUS, subpix=0)[0])
    return sums, (time.perf_counter() - wall) / len(paths), (time.process_time() - busy) / len(paths)


def disagreement(planes: NDArray[np.float32], path: str, targets: Targets, frame: int) -> float:
    """Largest relative difference between our raw aperture sums and sep's exact ones, where no edge clips them."""
    import fitsio
    import sep

    with fitsio.FITS(path) as file:
        image = np.ascontiguousarray(file[1][0:SIDE, FIRST_COL : FIRST_COL + SIDE]).astype(np.float64)
    inside = (np.abs(targets.col - 0.5 * (SIDE - 1)) < 0.5 * SIDE - 5) & (
        np.abs(targets.row - 0.5 * (SIDE - 1)) < 0.5 * SIDE - 5
    )
    worst = 0.0
    for a, radius in enumerate(RADII):
        theirs = sep.sum_circle(image, targets.col, targets.row, radius, subpix=0)[0]
        ours = planes[2 * a, :, frame] + planes[2 * len(RADII), :, frame].astype(np.float64) * math.pi * radius**2
        worst = max(worst, float(np.abs(ours / theirs - 1.0)[inside].max()))
    return worst


def shares(infos: Sequence[FileInfo], plan: Plan, ref: Reference) -> dict[str, float]:
    """Time of each part on frames that are in memory already (s a frame)."""
    from cuvee.kernels import robust

    frames = [TESS.read(infos[k % len(infos)], None).flux[0] for k in range(16)]
    spent: dict[str, float] = {}
    before: dict[str, tuple[Any, Any]] = {}
    for module, names in ((lanes, ("to_lanes", "sum_apertures", "finish")), (robust, ("clipped_mean", "interpolate"))):
        for name in names:
            before[name] = module, getattr(module, name)

            def timed(*args: Any, name: str = name) -> None:
                kernel = before[name][1]
                start = time.perf_counter()
                kernel(*args)
                spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

            setattr(module, name, timed)
    batches = [Batch(frames, np.arange(16) + 16 * k) for k in range(4)]
    start = time.perf_counter()
    measure_frames(plan, iter(batches), 64, ref.geometry, ref.readout)
    spent["everything"] = time.perf_counter() - start
    for name, (module, kernel) in before.items():
        setattr(module, name, kernel)
    return {name: value / 64 for name, value in spent.items()}


def long_stream(infos: Sequence[FileInfo], targets: Targets, ref: Reference, n: int, done: Any) -> None:
    """Extract blocks until ``n`` frames are through, as a worker does."""
    for _ in range(max(1, n // BLOCK_CADENCES)):
        stream = FrameStream(TESS, on_one_axis(infos, BLOCK_CADENCES), 0, StreamLog())
        moments, names = stream.axis()
        extract.extract(iter(stream), moments, names, targets, ref, extract.ExtractParams())
    done.set()


def peak_memory(
    infos: Sequence[FileInfo], targets: Targets, ref: Reference, n: int, workers: int
) -> tuple[float, float]:
    """Largest summed PSS of workers that share ``n`` frames (bytes), and the time a frame (s)."""
    import psutil

    context = multiprocessing.get_context("spawn")
    events = [context.Event() for _ in range(workers)]
    pool = [context.Process(target=long_stream, args=(infos, targets, ref, n // workers, e)) for e in events]
    start = time.perf_counter()
    for process in pool:
        process.start()
    peak = 0.0
    while any(process.is_alive() for process in pool):
        total = 0.0
        for process in pool:
            try:
                memory = psutil.Process(process.pid).memory_full_info()
                total += getattr(memory, "pss", memory.rss)
            except psutil.Error:
                continue
        peak = max(peak, total)
        threading.Event().wait(0.1)
    wall = time.perf_counter() - start
    if not all(event.is_set() for event in events):
        raise SystemExit("a worker of the long stream failed")
    blocks = max(1, n // workers // BLOCK_CADENCES) * workers
    return peak, wall / (blocks * BLOCK_CADENCES)


def scanned(folder: Path) -> Iterator[FileInfo]:
    for path in sorted((folder / "RAW").glob("*_ffic.fits")):
        yield TESS.scan(str(path))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time cuvee's pass over pixels against fitsio + sep.")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--frames", type=int, default=32, help="distinct full frames to make (35 MB each)")
    parser.add_argument("--stars", type=int, default=50_000)
    parser.add_argument("--long", type=int, default=1300, help="frames of the memory test; 0 leaves it out")
    parser.add_argument("--folder", type=Path, help="keep the frames here and use them again")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch) / "frames"
        if not (folder / "RAW").is_dir():
            print(f"simulating {args.frames} full frames with {args.stars} stars ...", flush=True)
            simulate(folder, frames=args.frames, stars=args.stars, seed=1)
        return _measure(args, folder)


def _measure(args: argparse.Namespace, folder: Path) -> int:
    start = time.perf_counter()
    extract.warm_up()
    compiled = time.perf_counter() - start
    infos = list(scanned(folder))
    paths = [info.path for info in infos]
    targets = make_targets(folder)
    middle = infos[len(infos) // 2]
    start = time.perf_counter()
    ref = replace(
        reference.build(middle, [TESS.read(i, None).flux[0] for i in infos[:32]], [i.name for i in infos[:32]]),
        series="ffi",
    )
    built = time.perf_counter() - start
    start = time.perf_counter()
    shipped = make_plan(targets, ref, extract.ExtractParams())
    planned = time.perf_counter() - start
    plan = both_backgrounds(targets, ref)

    block = on_one_axis(infos, BLOCK_CADENCES)
    planes, _, _ = run_cuvee(block, plan, ref)
    worst = max(disagreement(planes, paths[k], targets, k) for k in (0, len(paths) - 1))
    print(f"{len(targets)} stars; raw aperture sums against sep exact: largest relative difference {worst:.1e}")
    if not worst <= AGREEMENT:
        print(f"FAILED: they should agree to {AGREEMENT:g}", file=sys.stderr)
        return 1

    times: dict[str, list[tuple[float, float]]] = {"both": [], "shipped": [], "peers": []}
    how = ""
    few = paths[: min(8, len(paths))]
    for _ in range(ROUNDS):
        how = forget_all(paths)
        times["peers"].append(run_peers(few, targets.col, targets.row)[1:])
        forget_all(paths)
        times["both"].append(run_cuvee(block, plan, ref)[1:])
        forget_all(paths)
        times["shipped"].append(run_cuvee(block, shipped, ref)[1:])
    wall = {name: min(t[0] for t in found) for name, found in times.items()}
    busy = {name: min(t[1] for t in found) for name, found in times.items()}
    ratio = wall["peers"] / wall["both"]

    titles = {
        "peers": "fitsio + sep.Background + 3 sep.sum_circle + sep.sum_circann",
        "both": "cuvee: 3 apertures + annulus + mesh + centroids + errors + flags",
        "shipped": "cuvee as shipped (mesh only)",
    }
    print(
        f"\nper frame of {SIDE} x {SIDE}, {len(targets)} stars, cold files ({how}), one process each, best of {ROUNDS} turns:"
    )
    print(f"  {'':64s} {'wall ms':>9s} {'cpu ms':>9s} {'faster':>8s}")
    for name, title in titles.items():
        print(f"  {title:64s} {1e3 * wall[name]:9.1f} {1e3 * busy[name]:9.1f} {wall['peers'] / wall[name]:7.1f}x")
    parts = shares(infos, plan, ref)
    print("  of it, in memory (ms): " + ", ".join(f"{name} {1e3 * value:.2f}" for name, value in parts.items()))
    print(
        f"  once a detector: reference image {built:.2f} s (with reading), plan {planned:.2f} s; once a process: kernels {compiled:.2f} s"
    )
    numbers: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}",
        "stars": len(targets), "frames": len(infos), "cold": how, "disagreement": worst, "ratio": ratio,
        "wall_s": wall, "cpu_s": busy, "parts_s": parts, "reference_s": built, "plan_s": planned, "kernels_s": compiled,
    }  # fmt: skip
    failed = ratio < WANTED_RATIO
    if args.long:
        workers = 2
        peak, each = peak_memory(infos, targets, ref, args.long, workers)
        print(
            f"\n{args.long} frames through {workers} workers: peak memory {peak / 2**30:.2f} GiB (summed PSS), {1e3 * each:.1f} ms a frame"
        )
        numbers |= {"long_frames": args.long, "peak_pss_bytes": peak, "long_wall_s": each}
        failed |= peak > WANTED_BYTES
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    print(f"\n{'FAILED' if failed else 'passed'}: {ratio:.1f} times faster (wanted: {WANTED_RATIO:g})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
