"""A folder of a thousand COS exposures: with one worker and with two, run again, and killed on the way.

``python -m benchmarks.exposures [--json FILE] [--exposures N] [--folder DIR]``

The folder is simulated: N exposures of one star, 600 s and some 2,000 events each, so that what is timed is what an exposure costs beside its events; the
largest composite that can be made of them, of all, is part of it. Each time is that of `cuvee run` as a user calls it, with the report at its end.
A third run is killed with SIGKILL when four in ten units are done, and resumed. Light curves must have the same bytes in all.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cuvee.config import write_workspace
from cuvee.simulate.cos import simulate_cos
from cuvee.store.atomic import content_hash

COMMAND = "import sys; from cuvee.cli import main; sys.argv = ['cuvee', *sys.argv[1:]]; sys.exit(main())"
SHARE = 0.4
"""Of the units that are done when the run is killed."""


def run(workspace: Path, workers: int) -> subprocess.Popen[bytes]:
    options = ["run", "-w", str(workspace), "--workers", str(workers), "--quiet"]
    return subprocess.Popen([sys.executable, "-c", COMMAND, *options], stdout=subprocess.DEVNULL)


def timed(workspace: Path, workers: int) -> float:
    start = time.perf_counter()
    assert run(workspace, workers).wait() == 0
    return time.perf_counter() - start


def receipts(workspace: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in workspace.glob("RED/receipts/**/[!.]*.json")}


def light_curves(workspace: Path) -> dict[str, str]:
    return {
        str(path.relative_to(workspace)): content_hash(path) for path in workspace.glob("LC/*/dataset/**/[!.]*.parquet")
    }


def killed(workspace: Path, workers: int, units: int) -> dict[str, float]:
    """Kill a run on its way and resume it; return how many units were done, and how many of them were done again."""
    process = run(workspace, workers)
    while len(receipts(workspace)) < units and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(2.0)  # its workers notice, and end
    before = receipts(workspace)
    seconds = timed(workspace, workers)
    after = receipts(workspace)
    return {"done": len(before), "again": sum(after.get(path) != at for path, at in before.items()), "seconds": seconds}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time a folder of many exposures.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--exposures", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="work here (4 GB)")
    args = parser.parse_args(argv)
    numbers: dict[str, Any] = {"load": os.getloadavg()[0], "exposures": args.exposures}
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        made = Path(scratch) / "made"
        simulate_cos(made, events=2000, exposures=args.exposures, seconds=600.0)
        places = {name: Path(scratch) / name for name in ("one", "two", "killed")}
        for place in places.values():
            write_workspace(place, "cos", [str(made / "RAW")], [], photons=True)
        timed(made, 1)  # what was simulated lies in the page cache, and numba's kernels are compiled
        numbers |= {name: timed(places[name], workers) for name, workers in (("one", 1), ("two", 2))}
        numbers["speedup"] = numbers["one"] / numbers["two"]
        numbers["idle"] = timed(places["two"], 2)
        numbers["killed"] = killed(places["killed"], 2, int(SHARE * args.exposures))
        wanted = light_curves(places["one"])
        assert len(wanted) == args.exposures + 1
        numbers["same"] = all(light_curves(place) == wanted for place in places.values())
        assert numbers["same"]
    print(
        f"{args.exposures:,} exposures: {numbers['one']:.1f} s with one worker, {numbers['two']:.1f} s with two ({numbers['speedup']:.2f} times as fast, "
        f"{args.exposures / numbers['two']:.0f} exposures/s), {numbers['idle']:.1f} s where nothing is to do;"
    )
    told = numbers["killed"]
    print(
        f"  killed after {told['done']:,} units: {told['again']} of them done again, {told['seconds']:.1f} s for the rest; the same bytes in all"
    )
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
