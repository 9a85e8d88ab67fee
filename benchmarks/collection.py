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
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.collection_rivals import Spent, forget, run_disk, run_plain, timed
from benchmarks.flux_blocks import BY_NAME, FIELD, GROUP, Survey, make_survey, make_targets

from cuvee.config import Config
from cuvee.instruments.tess import TESS
from cuvee.model.flags import EDGE
from cuvee.model.keys import DataId
from cuvee.model.records import Targets
from cuvee.photometry.rounding import SHORTENED
from cuvee.pipeline import PIPELINE
from cuvee.run.driver import Driver
from cuvee.run.inputs import get_inputs
from cuvee.run.options import RunOptions
from cuvee.run.plan import make_plan
from cuvee.run.receipts import Receipt
from cuvee.run.stage import Unit
from cuvee.run.streams import StreamLog
from cuvee.store.blocks import read_block
from cuvee.store.hats import find_star
from cuvee.store.ledger import Ledger

WANTED = 10e-3
"""Seconds of wall time a frame of 50,000 stars."""

SECTOR = 1280
"""Frames of a TESS sector, near enough: what a patch costs besides its frames is shared by as many."""

WANTED_STARS = 50_000
WORKERS = 2
TURNS = 3
GROWTH_STARS, GROWTH_FRAMES = (10_000, 100_000), (128, 1280)
GROWTH_FIELD_STARS, GROWTH_FIELD = 5_000, 3.8
CONFIG = Config.model_validate({"workspace": {"instrument": "tess"}})


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
    plan = make_plan(driver.stock, stage, [GROUP], products, driver.params["collect"])
    driver._perform(GROUP, plan.todo)  # noqa: SLF001 - one stage of a run, timed alone
    done = driver.summary.counts["collect", "done"]
    if driver.summary.troubled or done != len(survey.products["targets"][0].meta["patches"]):
        raise SystemExit(f"only {done} patches were collected: {driver.summary.troubled[:1]}")
    return sum(path.stat().st_size for path in survey.paths.light_curves.rglob("s0008*.parquet"))


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
