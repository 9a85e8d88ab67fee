"""Memory of a long series of full frames: two workers extract block after block, PSF fluxes and the search for moving objects with it.

``python -m benchmarks.memory [--json FILE] [--long N ...] [--frames N] [--stars N] [--folder DIR]``
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import psutil
from benchmarks.frames import BAD, Field, arguments, field, machine, on_one_axis

from cuvee import extract
from cuvee.instruments.tess import TESS
from cuvee.model.keys import BLOCK_CADENCES
from cuvee.run.streams import FrameStream, StreamLog

WORKERS = 2


def long_stream(scene: Field, n_block: int, done: Any) -> None:
    """Extract blocks as a worker does."""
    for _ in range(n_block):
        stream = FrameStream(TESS, on_one_axis(scene.infos, BLOCK_CADENCES), 0, StreamLog())
        moments, names = stream.axis()
        params = extract.ExtractParams()
        block = extract.extract(
            iter(stream), moments, names, scene.targets, scene.reference, params, scene.model, bad_quality=BAD
        )
        assert "psf_flux" in block.planes
        del block  # a worker writes it, and has no other when it begins the next
    done.set()


def peak_memory(scene: Field, n_block: int) -> tuple[float, float]:
    """Largest summed PSS of the workers (bytes), and the time of a frame (s), their start included."""
    context = multiprocessing.get_context("spawn")
    events = [context.Event() for _ in range(WORKERS)]
    pool = [context.Process(target=long_stream, args=(scene, n_block, e)) for e in events]
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
        raise SystemExit("FAILED: a worker of the long stream ended early")
    return peak, wall / (n_block * WORKERS * BLOCK_CADENCES)


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments("Measure the memory of a long series of full frames.")
    parser.add_argument("--long", type=int, nargs="+", default=[1_300, 10_000], help="frames of the series")
    args = parser.parse_args(argv)
    scene = field(args.folder, args.frames, args.stars, psf=True)
    numbers: dict[str, Any] = {"machine": machine(), "stars": len(scene.targets), "series": {}}
    for long in args.long:
        n_block = max(1, long // WORKERS // BLOCK_CADENCES)
        peak, each = peak_memory(scene, n_block)
        numbers["series"][str(long)] = {
            "frames": n_block * WORKERS * BLOCK_CADENCES,
            "peak_pss_bytes": peak,
            "wall_s": each,
        }
        print(
            f"{n_block * WORKERS * BLOCK_CADENCES} frames with {len(scene.targets)} stars through {WORKERS} workers: "
            f"peak memory {peak / 1e9:.2f} GB (summed PSS), {1e3 * each:.1f} ms a frame",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
