"""What a run costs beside the work itself: planning 10^5 units, and finding that nothing is to do, in one run.

``python benchmarks/planning.py [--json FILE] [--units N] [--each N] [--folder DIR]``

The survey is five TESS sectors of stamps, 1250 a CCD. Its files exist and the ledger knows them, but they hold a few bytes, and the
units do no more than write files of a few bytes and their receipts: what is timed is all the rest, as the command line
does it, in processes of their own. A tenth of the survey shows how the cost grows. The floor under an idle rerun is
what nobody can do without: asking the system for the state of every file, and SQLite for the rows of all units and products.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import json
import os
import platform
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from astropy.io.fits import Header

from cuvee.catalog.stars import healpix_index
from cuvee.config import load
from cuvee.model.keys import DataId, patch_of, text_hash
from cuvee.model.records import FileInfo, Geometry, Moments, Readout, Targets
from cuvee.pipeline import PIPELINE
from cuvee.run import driver, inventory, plan, stock
from cuvee.run import start as door
from cuvee.run.facts import FileFacts, facts_to_row, footprint_of, footprint_product
from cuvee.run.options import RunOptions
from cuvee.run.perform import Task, perform
from cuvee.run.receipts import Receipt, Slip, write_receipt
from cuvee.run.sources import Sources
from cuvee.run.stage import Product
from cuvee.store.hats import patch_path
from cuvee.store.ledger import Ledger
from cuvee.store.numbers import write_columns
from cuvee.store.paths import Paths
from cuvee.store.targets import write_targets

WANTED_SECONDS = 5.0
"""For planning 10^5 units, for an idle rerun and for the status of them."""

CCDS = 16
SIDE = 36
STEP = 1.0 / 3.0
SCALE = 21.1 / 3600.0
TURNS = 3


@dataclass(frozen=True, slots=True)
class Star:
    id: int
    ra: float
    dec: float
    healpix: int


def quiet() -> Any:
    """Return a listener that takes no notice."""

    class Silence:
        def begin(self, label: str, total: int) -> None: ...
        def advance(self, steps: int = 1) -> None: ...
        def end(self) -> None: ...
        def say(self, message: str) -> None: ...

    return Silence()


# -- the survey ----------------------------------------------------------------------------------------------------


def make_survey(root: Path, n_unit: int, each: int) -> dict[str, Star]:
    """Write stamps of a few bytes and let the ledger know them as if their headers had been read; return stars by series."""
    (root / "RAW").mkdir(parents=True)
    (root / "cuvee.toml").write_text(
        '[workspace]\ninstrument = "tess"\n[data]\nfiles = ["RAW"]\n[catalog]\nfiles = ["stars.csv"]\n'
    )
    stars: dict[str, Star] = {}
    known = []
    for group in range(n_unit // each):
        sector, ccd = group // CCDS + 1, group % CCDS
        folder = root / "RAW" / f"s{sector:04d}"
        folder.mkdir(exist_ok=True)
        k = np.arange(each)
        dec = np.asarray(-42.0 + 14.0 * (ccd // 4) + STEP * (k // SIDE), np.float64)
        ra = (72.0 * sector + 17.0 * (ccd % 4) + STEP * (k % SIDE) / np.cos(np.radians(dec))) % 360.0
        healpix = healpix_index(ra, dec)
        for i in range(each):
            star = Star(group * each + i + 1, float(ra[i]), float(dec[i]), int(healpix[i]))
            path = folder / f"tess2018206045859-s{sector:04d}-{star.id:016d}-0120-s_tp.fits"
            path.write_text(path.name)
            facts = _facts(path, f"s{sector:04d}", f"{ccd // 4 + 1}-{ccd % 4 + 1}", star)
            stars[facts.info.series] = star
            known.append(facts)
    rows = [f"{s.id},{s.ra:.9f},{s.dec:.9f},10.0" for s in stars.values()]
    (root / "stars.csv").write_text("\n".join(["ID,ra,dec,Tmag", *rows]) + "\n")
    with Ledger.open(_paths(root).ledger) as ledger:
        ledger.put("files", [facts_to_row(facts) for facts in known])
    return stars


def _paths(root: Path) -> Paths:
    space = load(root).workspace
    return Paths.of_project(root, space.base, space.red, space.lc, space.project)


@functools.cache
def _header() -> str:
    """Return a WCS as the scan of a stamp leaves it: 14 cards without comments, in a block of 36."""
    cards: dict[str, object] = {
        "WCSAXES": 2,
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
    }
    cards |= {"RADESYS": "ICRS", "CRVAL1": 111.25, "CRPIX1": 6.0, "CRVAL2": -22.75, "CRPIX2": 6.0}
    cards |= {"CD1_1": -SCALE, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": SCALE}
    return str(Header(cards).tostring())


def _facts(path: Path, sector: str, detector: str, star: Star) -> FileFacts:
    """Return what a scan of a two-minute stamp leaves."""
    header = _header().replace("111.25", f"{star.ra:06.2f}").replace("-22.75", f"{star.dec:06.2f}")
    nan, mid = np.array([np.nan]), np.array([1339.6])
    info = FileInfo(
        path=str(path), instrument="tess", segment=sector, detector=detector, kind="tpf-120s", series=path.stem,
        name=path.name, geometry=Geometry(11, 11, star.id % 2000, star.id % 1999, 2048, 2048),
        readout=Readout(95.04, (5.23, 5.19, 5.24, 5.18), (9.9, 7.5, 7.4, 9.3), 60, (0, 512, 1024, 1536), 90000.0),
        moments=Moments(np.array([91190]), mid, mid, nan, np.zeros(1, np.int32)),
        wcs=header, time_ra=star.ra, time_dec=star.dec, background_subtracted=True, has_mask=True,
        target_id=star.id, data_release=1,
    )  # fmt: skip
    state = path.stat()
    data_id = DataId("tess", sector, detector, info.kind, info.series)
    cells = (star.healpix >> 48,)
    footprint = footprint_product(data_id, footprint_of(info), cells).content
    return FileFacts(
        str(path), data_id, (state.st_size, state.st_mtime_ns, state.st_ino), info, "", "", True, cells, footprint,
        20076, 91190, 111265,
    )  # fmt: skip


# -- units that do next to nothing ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Work:
    """Does a unit by writing what the driver will look for; stands where `cuvee.run.perform.perform` does."""

    stars: dict[str, Star]
    seconds: float = 0.0
    units: int = 0
    times: dict[str, int] = field(default_factory=dict)

    def __call__(self, task: Task) -> Slip:
        start = time.process_time()
        slip = perform(task) if task.unit.stage.name == "catalog" else self._pretend(task)
        self.seconds += time.process_time() - start
        self.units += 1
        return slip

    def _pretend(self, task: Task) -> Slip:
        unit, paths = task.unit, task.paths
        of_series = [p for p in unit.inputs if p.kind in ("stamp", "fluxes", "footprint")]
        mine = [self.stars[p.data_id.series] for p in of_series]
        contents = {}
        products: tuple[Product, ...]
        if unit.stage.name == "targets":
            path, targets = paths.targets(unit.data_id), self._targets(of_series)
            write_targets(path, targets)
            names, starts, counts = np.unique(
                [patch_of(h) for h in targets.healpix.tolist()], return_index=True, return_counts=True
            )
            patches = {str(n): (int(i), int(i + k)) for n, i, k in zip(names, starts, counts, strict=True)}
            products = (_written("targets", unit.data_id, path, paths, patches, write=False),)
        elif unit.stage.name == "extract-series":
            stamp = of_series[0]
            contents[stamp.path] = (stamp.meta["facts"].stat, text_hash(stamp.path))
            products = (
                _written(
                    "fluxes", unit.data_id, paths.fluxes(unit.data_id), paths, {patch_of(mine[0].healpix): (0, 1)}
                ),
                _written("reference", unit.data_id, paths.reference(unit.data_id), paths),
            )
        elif unit.stage.name == "collect":
            mine = [self.stars[p.data_id.series] for p in of_series if p.kind == "fluxes"]
            table = paths.metrics(unit.data_id)
            write_columns(table, self._metrics(mine))
            where = (unit.data_id.segment, unit.data_id.detector, unit.data_id.kind)
            curves = patch_path(paths.light_curves, "tess", int(unit.data_id.part[1:]), *where)
            products = (
                _written("lightcurves", unit.data_id, curves, paths, [unit.data_id.part]),
                _written("metrics", unit.data_id, table, paths, [unit.data_id.part], write=False),
            )
        else:
            path = paths.summary(unit.data_id, "parquet")
            products = (_written(unit.stage.writes[0], unit.data_id, path, paths),)
        inputs = tuple(p._replace(content=contents[p.path][1]) if p.path in contents else p for p in unit.inputs)
        recipe = unit._replace(inputs=inputs).recipe(task.params)
        receipt = Receipt(unit.stage.name, unit.data_id, recipe, "done", products=products, contents=contents)
        path = paths.receipt(unit.stage.name, unit.data_id)
        write_receipt(path, receipt)
        return Slip(str(path), "done")

    def _targets(self, footprints: Sequence[Product]) -> Targets:
        found = sorted((self.stars[p.data_id.series].healpix, p.data_id.series) for p in footprints)
        stars = [self.stars[series] for _, series in found]
        n, zero = len(found), np.zeros(len(found))
        return Targets(
            np.array([h for h, _ in found]), np.array([s.id for s in stars]), np.array([s.ra for s in stars]),
            np.array([s.dec for s in stars]), zero + 10.0, np.array([series for _, series in found]), zero, zero,
            np.ones((n, 1)), np.zeros(n, np.int32), (1.5,),
        )  # fmt: skip

    def _metrics(self, stars: Sequence[Star]) -> dict[str, Any]:
        n = len(stars)
        return {
            "id": np.array([s.id for s in stars]), "healpix": np.array([s.healpix for s in stars]),
            "series": np.array(["series"] * n), "best": np.array(["aperture1"] * n),
            **{name: np.full(n, 20076) for name in ("n_point", "n_good", "flag", "n_pixel")},
            **{name: np.full(n, 1e-4) for name in (
                "scatter", "cdpp_1h", "cdpp_6_5h", "variance", "variability", "rms_hour", "ptp", "contamination", "edge_flux", "flux",
            )},
        }  # fmt: skip


def _written(kind: str, data_id: DataId, path: Path, paths: Paths, patches: Any = None, write: bool = True) -> Product:
    if write:
        text = f"{kind} {data_id}"
        try:
            path.write_text(text)
        except FileNotFoundError:
            path.parent.mkdir(parents=True)
            path.write_text(text)
    state = path.stat()
    meta = {"size": state.st_size, "mtime_ns": state.st_mtime_ns} | ({"patches": patches} if patches else {})
    return Product(kind, data_id, text_hash(str(path)), str(path.relative_to(paths.root)), meta)


def first_run(root: Path, stars: dict[str, Star], until: str = "") -> tuple[int, float]:
    """Do what is to do; return the number of units and the processor time (s) that the driver itself took."""
    work = Work(stars)
    start = time.process_time()
    with patch.object(driver, "perform", work), patch.object(os, "fsync", lambda _: None):
        door.run_workspace(root, PIPELINE, RunOptions(until=until, executor="serial"), quiet())
    return work.units, time.process_time() - start - work.seconds


# -- measuring -----------------------------------------------------------------------------------------------------


def command(*words: str) -> tuple[float, float, str]:
    """Return wall time, processor time (s) and output of a command, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, env=_as_installed())
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"FAILED: {' '.join(words)}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


@functools.cache
def _as_installed() -> dict[str, str]:
    """Return an environment in which byte-code is kept, as it is of a package that is installed, whatever the one at hand says."""
    folder = tempfile.mkdtemp(prefix="bytecode-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    wanted = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**wanted, "PYTHONPYCACHEPREFIX": folder}


def cuvee(*words: str) -> tuple[float, float, str]:
    """Run a command of cuvee; the fastest of some turns."""
    call = (sys.executable, "-c", "from cuvee.cli import main; main()", *words)
    return min((command(*call) for _ in range(TURNS)), key=lambda found: found[1])


class Parts:
    """Processor time by part; what a part calls is not counted to it where it is a part itself."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def of(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - start
                self.seconds[name] += spent - self._inner.pop()
                self._inner[-1] += spent

        return timed


PLACES = (
    ("the rest of the driver", door, "run_workspace"),
    ("finding files", door, "find_files"),
    ("stat of raw files", inventory, "stat_files"),
    ("inventory", driver, "take_inventory"),
    ("rows of the ledger", Ledger, "columns"),
    ("facts of files", driver, "facts_from_columns"),
    ("records of units and products", stock.Stock, "__init__"),
    ("raw files as products", Sources, "products"),
    ("which units there are", plan, "units_of"),
    ("recipes", stock, "_answers"),
    ("stat of products", stock.Stock, "_all_there"),
    ("receipts", stock, "read_receipt"),
)


def parts(root: Path, dry: bool) -> None:
    """Print the parts of an idle run as JSON."""
    found = Parts()
    for name, owner, attribute in PLACES:
        setattr(owner, attribute, found.of(name, getattr(owner, attribute)))
    door.run_workspace(
        root, PIPELINE, RunOptions(executor="serial", dry_run=dry, until="extract-series" if dry else ""), quiet()
    )
    print(json.dumps(found.seconds))


def floor(root: Path) -> float:
    """Return the processor time (s) of a stat of every file and of SQLite's reading of all units and products."""
    start = time.process_time()
    rows: dict[str, list[Any]] = {}
    with sqlite3.connect(root / "cuvee.db") as connection:
        for table in ("units", "products"):
            rows[table] = connection.execute(f"SELECT * FROM {table}").fetchall()
        files = connection.execute("SELECT path, size, mtime_ns, inode, content FROM files").fetchall()
    top = str(root)
    found = [os.stat(row[0]).st_mtime_ns for row in files]
    found += [os.stat(f"{top}/{row[3]}").st_mtime_ns for row in rows["products"] if row[3]]
    return time.process_time() - start


def measure(folder: Path, n_unit: int, each: int) -> dict[str, Any]:
    start = time.perf_counter()
    root = (folder / f"survey{n_unit}").resolve()
    stars = make_survey(root, n_unit, each)
    first_run(root, stars, until="targets")
    planned = cuvee("run", "-w", str(root), "--until", "extract-series", "--dry-run")
    assert f"extract-series {n_unit};" in planned[2], planned[2]
    to_plan = json.loads(command(sys.executable, __file__, "--parts", str(root), "--dry")[2])
    units, driver = first_run(root, stars)
    idle = cuvee("run", "-w", str(root))
    assert idle[2].startswith("Nothing to do"), idle[2]
    status = cuvee("status", "-w", str(root))
    assert f"{n_unit} good files" in status[2], status[2]
    return {
        "units": n_unit, "all_units": units, "plan_s": planned[:2], "idle_s": idle[:2], "status_s": status[:2],
        "settle_ms": 1e3 * driver / units, "floor_s": min(floor(root) for _ in range(TURNS)),
        "plan_parts_s": to_plan, "idle_parts_s": json.loads(command(sys.executable, __file__, "--parts", str(root))[2]),
        "ledger_bytes": (root / "cuvee.db").stat().st_size, "took_s": time.perf_counter() - start,
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time planning and idle reruns of many units.")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--units", type=int, default=100_000, help="stamps of the larger survey")
    parser.add_argument("--each", type=int, default=1250, help="stamps of one CCD")
    parser.add_argument("--folder", type=Path, help="make the surveys here, and keep them")
    parser.add_argument("--parts", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--dry", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.parts:
        parts(args.parts, args.dry)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        sizes = [measure(folder, n, min(args.each, n)) for n in (args.units // 10, args.units)]
    small, large = sizes
    bare = command(sys.executable, "-c", "import cuvee.pipeline, cuvee.run.start")[1]
    titles = {"plan_s": "planning, all to do", "idle_s": "idle rerun, all done", "status_s": "status"}
    print(f"{large['units']:,} stamps, {large['all_units']:,} units; best of {TURNS} turns, processes of their own:")
    print(f"  {'':32s} {'wall s':>8s} {'cpu s':>8s} {'cpu of a tenth':>16s} {'us a unit more':>16s}")
    more = large["all_units"] - small["all_units"]
    for name, title in titles.items():
        (wall, busy), tenth = large[name], small[name][1]
        print(f"  {title:32s} {wall:8.2f} {busy:8.2f} {tenth:16.2f} {1e6 * (busy - tenth) / more:16.1f}")
    print(f"  imports alone {bare:.2f} s; stat of all files and bare SQLite {large['floor_s']:.2f} s:")
    print(f"  an idle rerun takes {(large['idle_s'][1] - bare) / large['floor_s']:.1f} times that floor")
    print(
        f"  a unit that is done costs the driver {large['settle_ms']:.2f} ms; the ledger has {large['ledger_bytes'] >> 20} MiB"
    )
    for key, title in (("plan_parts_s", "planning"), ("idle_parts_s", "idle rerun")):
        print(f"  parts of the {title} (cpu s, of a tenth and of all):")
        for name, seconds in sorted(large[key].items(), key=lambda item: -item[1]):
            print(f"    {name:32s} {small[key].get(name, 0.0):8.2f} {seconds:8.2f}")
    worst = max(large[name][0] for name in titles)
    failed = worst > WANTED_SECONDS
    if args.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}"
        args.json.write_text(json.dumps({"machine": machine, "imports_s": bare, "sizes": sizes}, indent=1) + "\n")
    print(f"{'FAILED' if failed else 'passed'}: {worst:.1f} s at most (wanted: {WANTED_SECONDS:g})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
