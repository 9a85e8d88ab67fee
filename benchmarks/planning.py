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
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.planning_survey import Star, Work, make_survey, quiet

from cuvee.pipeline import PIPELINE
from cuvee.run import driver, inventory, plan, scanning, stock
from cuvee.run import start as door
from cuvee.run.options import RunOptions
from cuvee.run.sources import Sources
from cuvee.store.ledger import Ledger

WANTED_SECONDS = 5.0
"""For planning 10^5 units, for an idle rerun and for the status of them."""
TURNS = 3


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
    ("inventory", scanning, "take_inventory"),
    ("rows of the ledger", Ledger, "columns"),
    ("facts of files", scanning, "facts_from_columns"),
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
    to_plan = json.loads(command(sys.executable, "-m", "benchmarks.planning", "--parts", str(root), "--dry")[2])
    units, driver = first_run(root, stars)
    idle = cuvee("run", "-w", str(root))
    assert idle[2].startswith("Nothing to do"), idle[2]
    status = cuvee("status", "-w", str(root))
    assert f"{n_unit} good files" in status[2], status[2]
    return {
        "units": n_unit, "all_units": units, "plan_s": planned[:2], "idle_s": idle[:2], "status_s": status[:2],
        "settle_ms": 1e3 * driver / units, "floor_s": min(floor(root) for _ in range(TURNS)),
        "plan_parts_s": to_plan, "idle_parts_s": json.loads(command(sys.executable, "-m", "benchmarks.planning", "--parts", str(root))[2]),
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
