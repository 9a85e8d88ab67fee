"""The pass over pixels against only reading, fitsio + sep, and astropy + photutils, on the same full frames in one run.

``python -m benchmarks.extraction [--json FILE] [--frames N] [--stars N] [--turns N] [--folder DIR]``

With the PSF fluxes of all stars the pass does what `cuvee run` does from frames to flux blocks: apertures, mesh, PSF fluxes,
pointing, chi2, cosmic rays, moving objects, and the block written and synced; its PRF is learned before, once a detector, and so is its plan.

First the answer: raw aperture sums must agree with sep's and photutils' exact ones to one part in a million, and what is only read
with what we read. Then the times, in one process and in two at once, from files that have been put out of the page cache, in
turns, so that a busy machine slows all of them. The best turn counts.
"""

from __future__ import annotations

import atexit
import json
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import peers
from benchmarks.frames import (
    ANNULUS,
    BAD,
    FIRST_COL,
    RADII,
    SIDE,
    Field,
    arguments,
    field,
    forget_all,
    machine,
    on_one_axis,
    plan_both,
    plan_one,
    run_pass,
    run_psf,
)
from numpy.typing import NDArray

from cuvee import extract
from cuvee.extract.frames import measure_frames, plan_of
from cuvee.extract.moving import MovingPass
from cuvee.extract.plan import Plan
from cuvee.extract.psf import PsfPass
from cuvee.instruments.tess import TESS
from cuvee.kernels import aperture_sums, cells, columns, lanes, robust
from cuvee.model.keys import BLOCK_CADENCES
from cuvee.model.records import Batch
from cuvee.run.streams import block_moments

AGREEMENT = 1e-6
SEP_FRAMES = 8
"""Frames of a turn of sep, which takes half a second for each."""
TITLES = {
    "sep": "fitsio + sep.Background + 3 sep.sum_circle + sep.sum_circann",
    "both": "cuvee: 3 apertures + annulus + mesh + centroids + errors + flags",
    "shipped": "cuvee as shipped (mesh only)",
    "psf": "cuvee: 3 apertures + mesh + PSF of all stars, to synced blocks",
    "read": "only reading the science rows",
    "read_native": "only reading, to native floats",
    "direct": "only reading, past the page cache",
    "direct_native": "only reading, past the page cache, to native floats",
}

Work = tuple[int, int, Callable[[int], object]]
"""How many frames come before those that are timed, how many are timed, and what to do with a number of frames."""


def works(scene: Field, shipped: Plan, both: Plan) -> dict[str, Work]:
    """Return everything that is timed, by name."""
    block = on_one_axis(scene.infos, BLOCK_CADENCES)
    paths = [info.path for info in block]
    reader = peers.Reader(paths[0])
    col, row = scene.targets.col, scene.targets.row
    n = len(block)
    found: dict[str, Work] = {
        "sep": (1, SEP_FRAMES, lambda k: peers.run_sep(paths[:k], col, row)),
        "both": (n, n, lambda k: run_pass(block[:k], both, scene.reference)),
        "shipped": (n, n, lambda k: run_pass(block[:k], shipped, scene.reference)),
    }
    if scene.model is not None:
        out = Path(tempfile.gettempdir()) / f"cuvee-benchmark-{os.getpid()}.arrow"
        atexit.register(out.unlink, missing_ok=True)
        found["psf"] = n, n, lambda k: run_psf(block[:k], scene, out)
    for name, (direct, native) in peers.ways_to_read().items():
        found[name] = 16, n, partial(_read, reader, paths, direct, native)
    return found


def _read(reader: peers.Reader, paths: Sequence[str], direct: bool, native: bool, k: int) -> None:
    reader.run(paths[:k], direct, native)


# -- the answer ------------------------------------------------------------------------------------------------------


def inner(scene: Field, plan: Plan) -> NDArray[np.bool_]:
    """Stars whose apertures no edge clips and no strap crosses, on which our pixels are not those of the file."""
    reach = 0.5 * SIDE - 5
    middle = 0.5 * (SIDE - 1)
    near = np.rint(scene.targets.col[:, np.newaxis] + np.arange(-4, 5)).astype(np.int64).clip(0, SIDE - 1)
    even = (plan.gain[near] == 1.0).all(axis=1)
    return np.asarray(
        even & (np.abs(scene.targets.col - middle) < reach) & (np.abs(scene.targets.row - middle) < reach)
    )


def disagreement(planes: NDArray[np.float32], frame: int, theirs: Sequence[NDArray[Any]], inside: Any) -> float:
    """Largest relative difference between our raw aperture sums of a frame and others' exact ones."""
    worst = 0.0
    for a, radius in enumerate(RADII):
        level = planes[2 * len(RADII), :, frame].astype(np.float64)
        ours = planes[2 * a, :, frame] + level * math.pi * radius**2
        worst = max(worst, float(np.abs(ours / theirs[a] - 1.0)[inside].max()))
    return worst


def check(scene: Field, both: Plan) -> dict[str, float]:
    """Compare our sums with sep's and photutils', and our pixels with those of bare reading."""
    planes = run_pass(on_one_axis(scene.infos, len(scene.infos)), both, scene.reference)
    inside = inner(scene, both)
    off = 0.0
    for k in (0, len(scene.infos) - 1):
        image = peers.sep_image(scene.paths[k]).astype(np.float64)
        off = max(off, disagreement(planes, k, peers.sep_sums(image, scene.targets.col, scene.targets.row), inside))
    found = {"sep": off}
    steps = peers.photutils_steps(scene.paths[0], scene.targets.col, scene.targets.row)
    steps["reading"]()
    found["photutils"] = disagreement(planes, 0, steps["aperture_photometry x3"](), inside)
    ours = TESS.read(scene.infos[0], None).flux[0]
    for name, (direct, native) in peers.ways_to_read().items():
        reader = peers.Reader(scene.paths[0])
        reader.run(scene.paths[:1], direct, native)
        raw = reader.raw[0][reader.start : reader.end].view(">f4").reshape(SIDE, -1)
        theirs = reader.native[0] if native else raw[:, FIRST_COL : FIRST_COL + SIDE]
        found[name] = float(not np.array_equal(ours, theirs))
    return found


# -- the times -------------------------------------------------------------------------------------------------------


def once(work: Work) -> tuple[float, float]:
    """Return wall and processor time (s) of a frame in the middle of a long series: memory is in use already."""
    before, n, run = work
    run(before)
    wall, busy = time.perf_counter(), time.process_time()
    run(n)
    return (time.perf_counter() - wall) / n, (time.process_time() - busy) / n


def _worker(pipe: Connection, scene: Field) -> None:
    # Does what it is told by name, until it is told nothing.
    extract.warm_up()
    todo = works(scene, plan_one(scene, "mesh"), plan_both(scene))
    while name := pipe.recv():
        before, n, run = todo[name]
        run(before)
        pipe.send(None)
        pipe.recv()
        start = time.perf_counter()
        run(n)
        pipe.send((start, time.perf_counter(), n))


class Pair:
    """Two processes that do the same at the same time, each with half of the files."""

    def __init__(self, scene: Field) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for k in range(2):
            ours, theirs = context.Pipe()
            half = replace(scene, infos=scene.infos[k::2])
            self.processes.append(context.Process(target=_worker, args=(theirs, half), daemon=True))
            self.pipes.append(ours)
            self.processes[-1].start()

    def once(self, name: str) -> float:
        """Return the wall time (s) of a frame."""
        for word in (name, "now"):
            for pipe in self.pipes:
                pipe.send(word)
            if word == name:
                for pipe in self.pipes:
                    pipe.recv()
        found = [pipe.recv() for pipe in self.pipes]
        return float((max(f[1] for f in found) - min(f[0] for f in found)) / sum(f[2] for f in found))

    def close(self) -> None:
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send("")
            process.join()


def in_turns(scene: Field, todo: dict[str, Work], turns: int) -> dict[str, dict[str, float]]:
    """Time everything alone and in pairs; return the least wall and processor times (s) of a frame, by name."""
    alone: dict[str, list[tuple[float, float]]] = {name: [] for name in todo}
    paired: dict[str, list[float]] = {name: [] for name in todo}
    pair = Pair(scene)
    for _ in range(turns):
        for name, work in todo.items():
            forget_all(scene.paths)
            alone[name].append(once(work))
            forget_all(scene.paths)
            paired[name].append(pair.once(name))
    pair.close()
    return {
        name: {"wall": min(a[0] for a in alone[name]), "cpu": min(a[1] for a in alone[name]), "two": min(paired[name])}
        for name in todo
    }


def photutils_times(scene: Field) -> dict[str, float]:
    """Return the wall time (s) of each step on one frame, all stars."""
    forget_all(scene.paths)
    spent = {}
    for name, step in peers.photutils_steps(scene.paths[0], scene.targets.col, scene.targets.row).items():
        start = time.perf_counter()
        step()
        spent[name] = time.perf_counter() - start
    return spent


def shares(scene: Field, plan: Plan) -> dict[str, float]:
    """Time of each part on frames that are in memory already (s a frame)."""
    frames = [TESS.read(scene.infos[k % len(scene.infos)], None).flux[0] for k in range(16)]
    spent: dict[str, float] = {}
    before: dict[str, tuple[Any, Any]] = {}
    kernels = (
        (lanes, ("to_lanes", "finish")),
        (aperture_sums, ("sum_apertures",)),
        (columns, ("even_columns",)),
        (robust, ("clipped_mean",)),
        (cells, ("fill_cells", "interpolate")),
    )
    for module, names in kernels:
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
    measure_frames(plan, iter(batches), 64, scene.reference.geometry, scene.reference.readout)
    spent["everything"] = time.perf_counter() - start
    for name, (module, kernel) in before.items():
        setattr(module, name, kernel)
    return {name: value / 64 for name, value in spent.items()}


def in_memory(scene: Field) -> float:
    """Time everything, PSF fluxes and the search for moving objects too, on frames that are in memory already (s a frame)."""
    frames = [TESS.read(scene.infos[k % len(scene.infos)], None).flux[0] for k in range(16)]
    plan = plan_of(scene.targets, scene.reference, extract.ExtractParams(psf=True), scene.model)
    assert plan.psf is not None
    assert plan.still is not None
    axis = block_moments(on_one_axis(scene.infos, 64), 0, 64)
    spent = []
    for _ in range(3):
        batches = [Batch(frames, np.arange(16) + 16 * k) for k in range(4)]
        start = time.perf_counter()
        stars = PsfPass(plan.psf, len(scene.targets), 64)
        moving = MovingPass(plan.still, axis, BAD)
        measure_frames(plan, iter(batches), 64, scene.reference.geometry, scene.reference.readout, stars, moving=moving)
        spent.append((time.perf_counter() - start) / 64)
    return min(spent)


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments("Time cuvee's pass over pixels against only reading, fitsio + sep, and astropy + photutils.")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args(argv)
    start = time.perf_counter()
    extract.warm_up()
    compiled = time.perf_counter() - start
    scene = field(args.folder, args.frames, args.stars, psf=True)
    start = time.perf_counter()
    plan_of(scene.targets, scene.reference, extract.ExtractParams(psf=True), scene.model)
    psf_planned = time.perf_counter() - start
    start = time.perf_counter()
    shipped = plan_one(scene, "mesh")
    planned = time.perf_counter() - start
    both = plan_both(scene)
    found = check(scene, both)
    n = len(scene.targets)
    print(
        f"{n} stars; raw aperture sums, largest relative difference: sep {found['sep']:.1e}, photutils {found['photutils']:.1e}"
    )
    if not max(found.values()) <= AGREEMENT:
        print(f"FAILED: they should agree to {AGREEMENT:g}, and pixels exactly: {found}", file=sys.stderr)
        return 1

    how = forget_all(scene.paths)
    times = in_turns(scene, works(scene, shipped, both), args.turns)
    steps = photutils_times(scene)
    parts = shares(scene, both)
    kernels = in_memory(scene)
    sep, ours, psf = times["sep"], times["both"], times["psf"]
    slow = sum(seconds for name, seconds in steps.items() if name != "annulus, plain sum")
    simple = sum(seconds for name, seconds in steps.items() if name != "annulus, clipped")
    floors = {key: min(times[name][key] for name in times if name.endswith("native")) for key in ("wall", "two")}
    ratios = {
        "sep": sep["wall"] / ours["wall"], "sep_cpu": sep["cpu"] / ours["cpu"], "sep_two": sep["two"] / ours["two"],
        "sep_shipped": sep["wall"] / times["shipped"]["wall"],
        "photutils": slow / ours["wall"], "photutils_plain_sum": simple / ours["wall"],
        "reading": ours["wall"] / floors["wall"], "reading_two": ours["two"] / floors["two"],
        "psf_reading": psf["wall"] / floors["wall"], "psf_reading_two": psf["two"] / floors["two"],
        "psf_sep": sep["wall"] / psf["wall"], "psf_sep_two": sep["two"] / psf["two"], "psf_photutils": slow / psf["wall"],
    }  # fmt: skip

    print(f"\nper frame of {SIDE} x {SIDE}, {n} stars, cold files ({how}), best of {args.turns} turns (ms):")
    print(f"  {'':66s} {'wall':>7s} {'cpu':>7s} {'faster':>8s} {'two processes':>15s} {'faster':>8s}")
    for name, title in TITLES.items():
        if name in times:
            t = times[name]
            print(
                f"  {title:66s} {1e3 * t['wall']:7.1f} {1e3 * t['cpu']:7.1f} {sep['wall'] / t['wall']:7.1f}x"
                f" {1e3 * t['two']:15.1f} {sep['two'] / t['two']:7.1f}x"
            )
    print(f"  astropy + photutils, one frame, annulus {ANNULUS[0]:g} to {ANNULUS[1]:g} px (s): "
          + ", ".join(f"{name} {seconds:.2f}" for name, seconds in steps.items()))  # fmt: skip
    print(f"    as we do it {slow:.1f} s ({ratios['photutils']:.0f} times ours), with a plain sum in the annulus {simple:.1f} s "
          f"({ratios['photutils_plain_sum']:.0f} times)")  # fmt: skip
    print(
        f"  the pass against the fastest way to native floats: {ratios['reading']:.2f} times, in two processes {ratios['reading_two']:.2f}"
    )
    print("  of it, in memory (ms): " + ", ".join(f"{name} {1e3 * value:.2f}" for name, value in parts.items()))
    print(
        f"  with PSF fluxes against the fastest way to native floats: {ratios['psf_reading']:.2f} times, in two processes"
        f" {ratios['psf_reading_two']:.2f}; of it, in memory {1e3 * kernels:.1f} ms; its plan, once a process, {psf_planned:.1f} s"
    )
    print(f"  once a detector: plan {planned:.2f} s; once a process: kernels {compiled:.2f} s")
    numbers = {
        "machine": machine(), "stars": n, "frames": len(scene.infos), "cold": how, "disagreement": found, "ratios": ratios,
        "times_s": times, "photutils_s": steps, "parts_s": parts, "plan_s": planned, "kernels_s": compiled,
        "psf_plan_s": psf_planned, "psf_in_memory_s": kernels,
    }  # fmt: skip
    if args.json:
        Path(args.json).write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
