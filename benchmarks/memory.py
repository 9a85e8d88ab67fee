"""Memory of a long series of full frames: two workers extract block after block.

``python -m benchmarks.memory [--json FILE] [--long N] [--frames N] [--stars N] [--folder DIR]``
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
from benchmarks.frames import Field, arguments, field, machine, on_one_axis

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
        extract.extract(iter(stream), moments, names, scene.targets, scene.reference, extract.ExtractParams())
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
    parser.add_argument("--long", type=int, default=1300, help="frames of the series")
    args = parser.parse_args(argv)
    scene = field(args.folder, args.frames, args.stars)
    n_block = max(1, args.long // WORKERS // BLOCK_CADENCES)
    peak, each = peak_memory(scene, n_block)
    n = n_block * WORKERS * BLOCK_CADENCES
    print(
        f"{n} frames with {len(scene.targets)} stars through {WORKERS} workers: "
        f"peak memory {peak / 2**30:.2f} GiB (summed PSS), {1e3 * each:.1f} ms a frame"
    )
    if args.json:
        numbers = {
            "machine": machine(),
            "frames": n,
            "stars": len(scene.targets),
            "peak_pss_bytes": peak,
            "wall_s": each,
        }
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
