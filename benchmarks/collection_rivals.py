"""The plain way to collect light curves, and the disk under every way; and what each took."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.flux_blocks import Survey
from numpy.typing import NDArray

from cuvee.store.blocks import read_block


@dataclass(frozen=True, slots=True)
class Spent:
    """What one way took (s for all frames) of wall and processor time, the driver's alone too, and the bytes that came out."""

    wall: float
    busy: float
    driver: float
    size: int


def forget(paths: Iterable[Path]) -> str:
    """Write everything out and put files out of the page cache; say how."""
    os.sync()
    for path in paths:
        if hasattr(os, "posix_fadvise"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return "posix_fadvise" if hasattr(os, "posix_fadvise") else "not possible here, so they are warm"


def processor_times() -> dict[int, float]:
    """Return the processor time so far of this process and each of its children (s)."""
    found = {}
    for process in (me := psutil.Process(), *me.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has just ended
            continue
        found[process.pid] = times.user + times.system
    return found


def timed(work: Callable[[], int]) -> Spent:
    """Do something that returns how many bytes it wrote, in workers that were there before and stay."""
    before, wall = processor_times(), time.perf_counter()
    size = work()
    wall, after = time.perf_counter() - wall, processor_times()
    used = {pid: after[pid] - busy for pid, busy in before.items() if pid in after}
    return Spent(wall, sum(used.values()), used[os.getpid()], size)


def run_plain(survey: Survey, pool: ProcessPoolExecutor) -> Spent:
    """Time the plain way, patch by patch."""
    folder = survey.paths.root / "plain"
    folder.mkdir(exist_ok=True)
    forget(survey.blocks)
    products = survey.products["fluxes"]
    patches = products[0].meta["patches"].values()

    def work() -> int:
        jobs = [
            pool.submit(plain_patch, survey.blocks, start, stop, folder / f"{start}.parquet") for start, stop in patches
        ]
        return sum(job.result() for job in jobs)

    spent = timed(work)
    shutil.rmtree(folder)
    return spent


def plain_patch(paths: Sequence[Path], start: int, stop: int, out: Path) -> int:
    """Join the blocks of a patch and write them as pyarrow does by default."""
    blocks = [read_block(path, slice(start, stop)) for path in paths]
    n_star, n_frame = stop - start, sum(block.moments.cadence.size for block in blocks)
    offsets = pa.array(np.arange(n_star + 1, dtype=np.int32) * n_frame)

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([block.planes[name] for block in blocks], axis=1)

    def repeated(name: str, kind: type) -> NDArray[Any]:
        values: NDArray[Any] = np.concatenate([getattr(block.moments, name) for block in blocks]).astype(kind)
        return np.tile(values, (n_star, 1))

    columns: dict[str, NDArray[Any]] = {"time": repeated("mid", np.float64), "cadence": repeated("cadence", np.int32)}
    columns["quality"] = repeated("quality", np.int32)
    names = [name for name in blocks[0].planes if name != "background_err"]
    columns |= {name: joined(name) for name in names}
    columns |= {end: columns[f"aperture2_{end}"] for end in ("flux", "flux_err")}
    lists = [pa.ListArray.from_arrays(offsets, pa.array(values.ravel())) for values in columns.values()]
    pq.write_table(pa.table({"lc": pa.StructArray.from_arrays(lists, list(columns))}), out)
    sync(out)
    return out.stat().st_size


def run_disk(survey: Survey, pool: ProcessPoolExecutor, size: int) -> Spent:
    """Time reading all bytes of the blocks and writing ``size`` bytes, in as many files as there are patches."""
    folder = survey.paths.root / "raw"
    folder.mkdir(exist_ok=True)
    forget(survey.blocks)
    n_patch = len(survey.products["fluxes"][0].meta["patches"])

    def work() -> int:
        jobs = [
            pool.submit(raw_patch, survey.blocks, k / n_patch, 1.0 / n_patch, folder / str(k), size // n_patch)
            for k in range(n_patch)
        ]
        return sum(job.result() for job in jobs)

    spent = timed(work)
    shutil.rmtree(folder)
    return spent


def raw_patch(paths: Sequence[Path], start: float, share: float, out: Path, size: int) -> int:
    """Read a share of each block and write bytes."""
    data = b""
    for path in paths:
        with path.open("rb") as file:
            length = path.stat().st_size
            file.seek(int(start * length))
            data = file.read(int(share * length))
    with out.open("wb") as file:
        for k in range(0, size, len(data)):
            file.write(data[: size - k])
    sync(out)
    return size


def sync(path: Path) -> None:
    """Make a file and its name durable."""
    for one in (path, path.parent):
        fd = os.open(one, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
