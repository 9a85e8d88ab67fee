"""From flux blocks to light curves: the collect stage as ``cuvee run`` does it, beside a plain way and beside the disk.

``python -m benchmarks.collection [--json FILE] [--stars N] [--frames N] [--no-growth] [--folder DIR]``

The flux blocks are made up, with noise as a star and the sky of such a brightness have it, and written by the store, so no
pixel is touched; everything after that is the real thing: the driver plans the patches, two workers read blocks that have
been put out of the page cache, choose apertures, write Parquet files, sync them and leave receipts, and the ledger is told.

The plain way is what one would write in an afternoon: join the blocks with numpy, take one aperture for all stars, and write
the same columns with `pyarrow.parquet.write_table` as it comes. The disk is the floor under both: the bytes of the blocks are
read and as many bytes as the light curves have are written and synced, by as many processes.

First the answer: the light curves of some stars are read back and must be the blocks' values bit for bit. Growth is told by
processor time, which other programs hardly change: from 128 to 1,280 frames, and from 10^4 to 10^5 stars on the same CCD.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.catalog.stars import healpix_index
from cuvee.config import Config
from cuvee.instruments.tess import TESS
from cuvee.model.flags import EDGE, SATURATED
from cuvee.model.keys import BLOCK_CADENCES, DataId, block_of
from cuvee.model.records import FluxBlock, Moments, Targets
from cuvee.photometry.rounding import SHORTENED
from cuvee.pipeline import PIPELINE
from cuvee.run.driver import Driver
from cuvee.run.facts import footprint_product
from cuvee.run.inputs import get_inputs
from cuvee.run.options import RunOptions
from cuvee.run.outputs import put_output
from cuvee.run.plan import make_plan
from cuvee.run.receipts import Receipt
from cuvee.run.stage import Product, Unit
from cuvee.run.streams import StreamLog
from cuvee.store.blocks import read_block
from cuvee.store.hats import find_star
from cuvee.store.ledger import Ledger
from cuvee.store.paths import Paths

WANTED = 10e-3
"""Seconds of wall time a frame of 50,000 stars."""

SECTOR = 1280
"""Frames of a TESS sector, near enough: what a patch costs besides its frames is shared by as many."""

WANTED_STARS = 50_000
WORKERS = 2
TURNS = 3
GROWTH_STARS, GROWTH_FRAMES = (10_000, 100_000), (128, 1280)
GROWTH_FIELD_STARS, GROWTH_FIELD = 5_000, 3.8
RADII = (1.5, 2.5, 3.5)
SHARES = (0.77, 0.98, 1.0)
EXPOSURE, SKY, READ_VARIANCE = 1425.6, 90.0, 0.05
RA0, DEC0, FIELD = 130.0, -53.0, 12.0
GROUP = DataId("tess", "s0008", "3-4", "ffi")
BY_NAME = {stage.name: stage for stage in PIPELINE}
CONFIG = Config.model_validate({"workspace": {"instrument": "tess"}})


@dataclass(frozen=True, slots=True)
class Survey:
    """Flux blocks of one detector, as extraction leaves them."""

    paths: Paths
    n_star: int
    n_frame: int
    products: dict[str, list[Product]]

    @property
    def blocks(self) -> list[Path]:
        return [self.paths.root / product.path for product in self.products["fluxes"]]


@dataclass(frozen=True, slots=True)
class Spent:
    """What one way took (s for all frames) of wall and processor time, the driver's alone too, and the bytes that came out."""

    wall: float
    busy: float
    driver: float
    size: int


# -- flux blocks made up ---------------------------------------------------------------------------------------------


def make_survey(root: Path, n_star: int, n_frame: int, field: float = FIELD) -> Survey:
    """Write targets and flux blocks of one detector, whose stars lie in a square of so many degrees."""
    paths, log = Paths(root), StreamLog()
    rng = np.random.default_rng(1)
    targets = make_targets(n_star, field, rng)
    (target,), _ = put_output(Unit(BY_NAME["targets"], GROUP, ()), targets, paths, log)
    facts = {
        "series": "ffi", "wcs": "", "epoch": 2019.1, "time_ra": RA0, "time_dec": DEC0,
        "geometry": {"n_row": 2048, "n_col": 2048, "row0": 0, "col0": 0, "detector_rows": 2048, "detector_cols": 2048},
    }  # fmt: skip
    series = DataId("tess", "s0008", "3-4", "ffi", "ffi")
    products = {"targets": [target], "footprint": [footprint_product(series, facts, (1,))], "fluxes": []}
    for first in range(0, n_frame, BLOCK_CADENCES):
        data_id = DataId("tess", "s0008", "3-4", "ffi", "ffi", block_of(first))
        block = make_block(targets, first, min(BLOCK_CADENCES, n_frame - first), rng)
        products["fluxes"] += put_output(Unit(BY_NAME["extract"], data_id, (target,)), block, paths, log)[0]
    return Survey(paths, n_star, n_frame, products)


def make_targets(n: int, field: float, rng: np.random.Generator) -> Targets:
    """Return stars of a square field, more faint ones than bright ones."""
    dec = DEC0 + field * (rng.random(n) - 0.5)
    ra = RA0 + field * (rng.random(n) - 0.5) / np.cos(np.radians(dec))
    healpix = healpix_index(ra, dec)
    order = np.argsort(healpix)
    col = 2047.0 * ((ra - RA0) * np.cos(np.radians(dec)) / field + 0.5)
    row = 2047.0 * ((dec - DEC0) / field + 0.5)
    mag = np.maximum(16.0 + np.log10(1.0 - rng.random(n)) / 0.3, 6.0)
    return Targets(
        healpix[order], rng.permutation(n)[order] + 93_000_000, ra[order], dec[order], mag[order], np.full(n, "ffi"),
        col[order], row[order], rng.uniform(0.5, 1.0, (n, 3)), np.zeros(n, np.int32), RADII,
    )  # fmt: skip


def make_block(targets: Targets, first: int, n_frame: int, rng: np.random.Generator) -> FluxBlock:
    """Return a block of fluxes with the noise of star, sky and reading, drifting centroids and a slow sky."""
    shape = (len(targets), n_frame)
    cadence = np.arange(first, first + n_frame)
    start = 1517.4 + cadence / 48.0
    phase = 2.0 * np.pi * cadence / 640.0
    light = 10.0 ** (0.4 * (20.44 - targets.mag))[:, None]
    sky = (SKY * (1.0 + 0.3 * np.sin(phase)) * (1.0 + 0.1 * (targets.col / 2048.0))[:, None]).astype(np.float32)
    planes: dict[str, Any] = {}
    for k, (radius, share) in enumerate(zip(RADII, SHARES, strict=True)):
        true = light * share * (1.0 + 1e-3 * np.sin(phase + k))
        area = np.pi * radius**2
        variance = true / EXPOSURE + area * (sky / EXPOSURE + READ_VARIANCE)
        flux = true + np.sqrt(variance) * rng.standard_normal(shape, np.float32)
        planes[f"aperture{k + 1}_flux"] = flux.astype(np.float32)
        error = np.sqrt(np.maximum(flux, 0.0) / EXPOSURE + area * (sky / EXPOSURE + READ_VARIANCE))
        planes[f"aperture{k + 1}_flux_err"] = error.astype(np.float32)
    planes["background"] = sky + 0.02 * rng.standard_normal(shape, np.float32)
    planes["background_err"] = 0.02 + 0.001 * rng.standard_normal(shape, np.float32)
    scatter = (planes["aperture2_flux_err"] / planes["aperture2_flux"]).clip(1e-4, 0.3)
    for name, centre in (("centroid_col", targets.col), ("centroid_row", targets.row)):
        drift = centre[:, None] + 0.05 * np.sin(phase)
        planes[name] = (drift + scatter * rng.standard_normal(shape, np.float32)).astype(np.float32)
    planes["flag"] = np.where(rng.random(shape, np.float32) < 0.01, SATURATED, 0).astype(np.int32)
    bits = rng.choice([0, 0, 0, 0, 0, 0, 32, 128], n_frame).astype(np.int32)
    moments = Moments(cadence, start, start + EXPOSURE / 86400.0, np.full(n_frame, 0.004), bits)
    names = tuple(f"frame{c}" for c in cadence)
    return FluxBlock(moments, names, planes, np.arange(len(targets)), {})


# -- the three ways --------------------------------------------------------------------------------------------------


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


class Silence:
    """Takes the news of a run and keeps them."""

    def begin(self, label: str, total: int) -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def end(self) -> None: ...
    def say(self, message: str) -> None: ...


def run_stage(survey: Survey, small: Survey) -> Spent:
    """Time the collect stage of a run whose workers have started, as they have when blocks have been extracted."""
    with opened(small) as first, opened(survey) as driver, driver.crew:
        first.crew = driver.crew
        collect_all(first, small)
        forget(survey.blocks)
        return timed(lambda: collect_all(driver, survey))


@contextmanager
def opened(survey: Survey) -> Iterator[Driver]:
    """Return the driver of a workspace in which blocks have been extracted, and nothing has been collected."""
    for folder in (survey.paths.light_curves, survey.paths.receipt("collect", GROUP).parent):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(survey.paths.metrics(GROUP).parent, ignore_errors=True)
    for path in survey.paths.root.glob("cuvee.db*"):
        path.unlink()
    options = RunOptions(workers=WORKERS, executor="process")
    with Ledger.open(survey.paths.ledger) as ledger:
        driver = Driver(CONFIG, TESS, survey.paths, ledger, PIPELINE, options, Silence())
        driver.stock.run_id = ledger.start_run("benchmark", driver.known, "")
        for name, kind in (("targets", "targets"), ("extract", "fluxes")):
            units = [(Unit(BY_NAME[name], p.data_id, ()), p) for p in survey.products[kind]]
            driver.stock.settle([(unit, Receipt(name, p.data_id, "", "done", products=(p,))) for unit, p in units])
        yield driver


def collect_all(driver: Driver, survey: Survey) -> int:
    """Let the driver do the collect stage; return the bytes of the light curves."""
    products = {**driver.stock.take(GROUP), "footprint": survey.products["footprint"]}
    stage = BY_NAME["collect"]
    plan = make_plan(driver.stock, stage, GROUP, products, driver.params["collect"])
    driver._perform(stage, GROUP, plan.todo)  # noqa: SLF001 - one stage of a run, timed alone
    done = driver.summary.counts["collect", "done"]
    if driver.summary.troubled or done != len(survey.products["targets"][0].meta["patches"]):
        raise SystemExit(f"only {done} patches were collected: {driver.summary.troubled[:1]}")
    return sum(path.stat().st_size for path in survey.paths.light_curves.rglob("s0008*.parquet"))


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


# -- the answer ------------------------------------------------------------------------------------------------------


def check(survey: Survey, targets: Targets) -> int:
    """Compare the light curves of some stars with the blocks, value by value; return how many values."""
    n = 0
    blocks = [read_block(path) for path in survey.blocks]
    for star in np.linspace(0, survey.n_star - 1, 20).astype(int):
        table = find_star(survey.paths.light_curves, "tess", int(targets.id[star]), int(targets.healpix[star]))
        best, points = table["best"][0].as_py(), table["lc"].combine_chunks()
        for child in points.type.fields:
            found = points.field(child.name).flatten().to_numpy()
            name = f"{best}_{child.name}" if child.name in ("flux", "flux_err") else child.name
            if name in blocks[0].planes:
                expected = np.concatenate([block.planes[name][star] for block in blocks])
            elif name != "time":
                expected = np.concatenate([getattr(block.moments, name) for block in blocks])
            else:
                expected = np.concatenate([block.moments.mid for block in blocks])
                if not 0.0 < np.abs(found - expected).max() * 86400.0 < 200.0:  # light needs no longer across 12 deg
                    raise SystemExit(f"star {star}: times are wrong")
                continue
            if name == "flag":  # the edge is that of the aperture chosen, which the block does not know
                found, expected = found & ~EDGE, expected & ~EDGE
            if child.name.endswith("flux_err"):
                if not np.allclose(found, expected, rtol=SHORTENED, atol=0.0):
                    raise SystemExit(f"star {star}: {child.name} is not what the blocks hold, to ten bits")
                continue
            if not np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"):
                raise SystemExit(f"star {star}: {child.name} is not what the blocks hold")
            n += found.size
    return n


# -- where the time goes, and how it grows ---------------------------------------------------------------------------


def shares(survey: Survey) -> dict[str, float]:
    """Return the processor time (s a frame of all stars) of the parts of a patch's work, from the largest patches."""
    from cuvee.steps import collect_patch
    from cuvee.store.hats import write_patch

    stage, products = BY_NAME["collect"], [p for found in survey.products.values() for p in found]
    sizes = {name: stop - start for name, (start, stop) in survey.products["targets"][0].meta["patches"].items()}
    spent = {"joining, choosing, judging": 0.0, "encoding and writing": 0.0}
    names = sorted(sizes, key=lambda name: -sizes[name])[:6]
    for turn, name in enumerate((names[0], *names)):  # the first one twice, to be warm
        unit = Unit(stage, DataId("tess", "s0008", "3-4", "ffi", part=name), tuple(products))
        marks = [time.process_time()]
        curves, _ = collect_patch(get_inputs(unit, TESS, CONFIG, survey.paths, StreamLog()), CONFIG, TESS)
        marks.append(time.process_time())
        write_patch(survey.paths.root / "one.parquet", curves)
        marks.append(time.process_time())
        if turn:
            for part, (begun, ended) in zip(spent, pairwise(marks), strict=True):
                spent[part] += ended - begun
    scale = survey.n_star / sum(sizes[name] for name in names) / survey.n_frame
    return {part: scale * value for part, value in spent.items()}


def growth(root: Path, small: Survey) -> dict[str, Any]:
    """Return the processor time a star and frame (s) for few and many frames, and for few and many stars."""
    found: dict[str, Any] = {}
    for what, sizes in (
        ("frames", [(GROWTH_FIELD_STARS, n, GROWTH_FIELD) for n in GROWTH_FRAMES]),
        ("stars", [(n, GROWTH_FRAMES[0], FIELD) for n in GROWTH_STARS]),
    ):
        each = []
        for n_star, n_frame, field in sizes:
            survey = make_survey(root / "growth", n_star, n_frame, field)
            busy = min(run_stage(survey, small).busy for _ in range(TURNS))
            each.append(busy / n_star / n_frame)
            shutil.rmtree(survey.paths.root)
        found |= {f"{what}_s": each, f"{what}_ratio": each[1] / each[0]}
    return found


# -- the table -------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time cuvee's collection of light curves.")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--stars", type=int, default=WANTED_STARS)
    parser.add_argument("--frames", type=int, default=SECTOR)
    parser.add_argument("--growth", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--folder", type=Path, help="work here (4 GB at most)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        return _measure(args, Path(scratch).resolve())


def _measure(args: argparse.Namespace, root: Path) -> int:
    load = os.getloadavg()[0]
    print(f"making up flux blocks of {args.stars} stars and {args.frames} frames ...", flush=True)
    small = make_survey(root / "small", 2000, 16)
    survey = make_survey(root / "survey", args.stars, args.frames)
    targets = make_targets(args.stars, FIELD, np.random.default_rng(1))
    n, size_in = survey.n_frame, sum(path.stat().st_size for path in survey.blocks)
    spent: dict[str, list[Spent]] = {"cuvee": [], "plain": [], "disk": []}
    checked = 0
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        list(pool.map(abs, range(WORKERS)))
        for _ in range(TURNS):
            spent["cuvee"].append(run_stage(survey, small))
            checked = checked or check(survey, targets)
            spent["plain"].append(run_plain(survey, pool))
            spent["disk"].append(run_disk(survey, pool, spent["cuvee"][0].size))
    print(
        f"{checked} values of 20 stars were read back: all have the bits that they had in the blocks, errors ten of them"
    )
    wall = {name: min(one.wall for one in found) / n for name, found in spent.items()}
    busy = {name: min(one.busy for one in found) / n for name, found in spent.items()}
    size = {name: found[0].size / n for name, found in spent.items()}
    driver = min(one.driver for one in spent["cuvee"]) / n
    titles = {
        "cuvee": "cuvee: best aperture, encoded, synced, receipts, ledger",
        "plain": "plain: numpy + pyarrow.parquet as it comes, one aperture",
        "disk": "disk: as many bytes read and written",
    }
    n_patch = len(survey.products["targets"][0].meta["patches"])
    print(
        f"\nper frame of {args.stars} stars ({args.frames} frames, {n_patch} patches, {WORKERS} workers, cold blocks: {forget([])}; "
        f"best of {TURNS} turns; {size_in / n / 1e6:.2f} MB of blocks in):"
    )
    print(f"  {'':58s} {'wall ms':>8s} {'cpu ms':>8s} {'MB out':>7s} {'wall / cuvee':>13s}")
    for name, title in titles.items():
        times = f"{1e3 * wall[name]:8.2f} {1e3 * busy[name]:8.2f} {size[name] / 1e6:7.2f}"
        print(f"  {title:58s} {times} {wall[name] / wall['cuvee']:12.2f}x")
    parts = shares(survey)
    told = ", ".join(f"{name} {1e3 * value:.2f}" for name, value in parts.items())
    print(
        f"  of cuvee's cpu ms: {told}, the driver's ledger {1e3 * driver:.2f}; the rest is for each patch and each file"
    )
    shutil.rmtree(survey.paths.root)
    numbers: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}", "load_before": load,
        "stars": args.stars, "frames": args.frames, "patches": n_patch, "workers": WORKERS, "checked": checked,
        "wall_s": wall["cuvee"], "cpu_s": busy["cuvee"], "driver_cpu_s": driver, "parts_cpu_s": parts,
        "peers_wall_s": wall, "peers_cpu_s": busy, "bytes_in": size_in / n, "bytes_out": size,
        "ratios": {name: wall[name] / wall["cuvee"] for name in ("plain", "disk")},
    }  # fmt: skip
    if args.growth:
        numbers |= growth(root, small)
        for what, sizes in (("frames", GROWTH_FRAMES), ("stars", GROWTH_STARS)):
            few, many = (1e9 * value for value in numbers[f"{what}_s"])
            print(
                f"  {sizes[0]} to {sizes[1]} {what}: {few:.0f} to {many:.0f} ns of cpu a star and frame, {numbers[f'{what}_ratio']:.2f}x"
            )
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    wanted = WANTED * args.stars / WANTED_STARS
    failed = wall["cuvee"] > wanted
    print(f"{'FAILED' if failed else 'passed'}: {1e3 * wall['cuvee']:.1f} ms a frame (wanted: {1e3 * wanted:g})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
