"""How the cost of the pass grows: from 10^3 to 10^4 frames, and from 10^4 to 10^5 stars.

``python -m benchmarks.growth [--json FILE] [--frames N] [--stars N] [--turns N] [--folder DIR]``

Frames: 64 small synthetic windows of 256 x 256 pixels with their 781 stars stand for the series, read again and again and
extracted block by block, as a worker does. Stars: the full frames of the other benchmarks, in memory, with stars strewn evenly
over them. Processor time counts, since other programs hardly change it, and the best of some turns.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from benchmarks.frames import Field, arguments, field, machine, on_one_axis, plan_both
from numpy.typing import NDArray

from cuvee import extract
from cuvee.extract.frames import measure_frames
from cuvee.instruments.tess import TESS
from cuvee.model.keys import BLOCK_CADENCES
from cuvee.model.records import Batch, Targets
from cuvee.run.streams import FrameStream, StreamLog

SMALL = 256
"""Side of the small frames (px)."""
N_FRAME = (1_000, 10_000)
N_STAR = (10_000, 30_000, 100_000)
PASSES = 4
"""Passes with one plan, of which the shortest counts: the first one must get its memory from the system."""


def of_frames(scene: Field, n: int) -> float:
    """Return the processor time (s) of reading and extracting a series of ``n`` frames; check that all frames are in it."""
    start = time.process_time()
    good = 0
    for first in range(0, n, BLOCK_CADENCES):
        infos = on_one_axis(scene.infos, min(BLOCK_CADENCES, n - first))
        stream = FrameStream(TESS, infos, 0, StreamLog())
        moments, names = stream.axis()
        block = extract.extract(iter(stream), moments, names, scene.targets, scene.reference, extract.ExtractParams())
        good += int(np.isfinite(block.planes["aperture2_flux"][0]).sum())
    if good != n:
        raise SystemExit(f"FAILED: a star has {good} fluxes in {n} frames")
    return time.process_time() - start


def strewn(n: int, like: Targets) -> Targets:
    """Strew stars evenly over the full frame."""
    col, row = np.random.default_rng(91).uniform(5.0, 2042.0, (2, n))
    number, zero = np.arange(n), np.zeros(n)
    return replace(
        like, healpix=number, id=number, ra=zero, dec=zero, mag=zero, col=col, row=row, series=np.full(n, like.series[0]),
        crowding=np.full((n, 3), np.nan), flag=np.zeros(n, np.int32),
    )  # fmt: skip


def of_stars(scene: Field, frames: Sequence[NDArray[np.float32]], n: int) -> tuple[float, float]:
    """Return the processor times (s) of planning, and of the pass over sixteen frames."""
    start = time.process_time()
    plan = plan_both(replace(scene, targets=strewn(n, scene.targets)))
    planned = time.process_time() - start
    batch = Batch(frames, np.arange(16))
    took = []
    for _ in range(PASSES):
        start = time.process_time()
        planes, _ = measure_frames(plan, iter([batch]), 16, scene.reference.geometry, scene.reference.readout)
        took.append(time.process_time() - start)
    if not np.isfinite(planes[2]).all():
        raise SystemExit("FAILED: a star has no flux")
    return planned, min(took)


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments("Show how the cost of the pass grows with frames and with stars.")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args(argv)
    extract.warm_up()

    density = (SMALL / 2048) ** 2
    small = field(args.folder, 64, max(1, round(args.stars * density)), SMALL)
    of_frames(small, BLOCK_CADENCES)  # the plan is made
    series = {
        n: min(of_frames(small, n) for _ in range(turns)) for n, turns in zip(N_FRAME, (args.turns, 2), strict=True)
    }
    few, many = N_FRAME
    frames_ratio = (series[many] / many) / (series[few] / few)
    print(f"frames of {SMALL} x {SMALL} pixels (synthetic, small), {len(small.targets)} stars, read and extracted:")
    for n, seconds in series.items():
        print(f"  {n:7d} frames  {seconds:7.2f} s  {1e3 * seconds / n:7.3f} ms a frame")

    scene = field(args.folder, args.frames, args.stars)
    frames = [TESS.read(scene.infos[k % len(scene.infos)], None).flux[0] for k in range(16)]
    turns = [{n: of_stars(scene, frames, n) for n in N_STAR} for _ in range(args.turns)]
    planning, passing = ({n: min(turn[n][k] for turn in turns) for n in N_STAR} for k in (0, 1))
    low, high = N_STAR[0], N_STAR[-1]
    stars_ratio = (passing[high] / high) / (passing[low] / low)
    # Differences are free of the price of the pixels alone, which makes few stars dear.
    rise = [(passing[b] - passing[a]) / (b - a) for a, b in itertools.pairwise(N_STAR)]
    print("stars on full frames in memory, apertures + annulus + mesh:")
    for n in N_STAR:
        print(
            f"  {n:7d} stars   {1e3 * passing[n] / 16:7.2f} ms a frame  {1e9 * passing[n] / 16 / n:7.1f} ns a star and frame;"
            f"  plan {planning[n]:.2f} s"
        )
    print(f"  each star more: {', '.join(f'{1e9 * r / 16:.1f}' for r in rise)} ns a frame")
    numbers = {
        "machine": machine(), "small_side": SMALL, "frames_cpu_s": series, "frames_ratio": frames_ratio,
        "stars_cpu_s": passing, "stars_ratio": stars_ratio, "rise_ratio": rise[-1] / rise[0], "plan_cpu_s": planning,
        "plan_ratio": (planning[high] / high) / (planning[low] / low),
    }  # fmt: skip
    print(f"a frame of {many} costs {frames_ratio:.2f} of one of {few}; a star of {high} {stars_ratio:.2f} of one of {low}, "
          f"each further star {rise[-1] / rise[0]:.2f}")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
