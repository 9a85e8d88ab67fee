"""Whatever is killed, nothing partial is seen, and the next run repeats only what was lost and ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from astropy.io import fits
from tests.run.workspaces import House, done, edit, product_bytes, raw_files, run

from cuvee.run.facts import Stat, stat_files
from cuvee.run.receipts import Slip
from cuvee.store.atomic import TEMPORARY_SUFFIX
from cuvee.store.ledger import Ledger

DRIVER = """
import sys
from pathlib import Path
from tests.run.workspaces import run
run(Path(sys.argv[1]), executor="process", workers=2)
"""
WORKERS = 2
KILLS = int(os.environ.get("CUVEE_KILLS", "3"))
"""Of the driver, and as many of a worker; `make faults` does fifty."""


def start(root: Path) -> subprocess.Popen[str]:
    # What `cuvee run` does, without the report at its end.
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def workers_of(driver: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        children = psutil.Process(driver.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def receipts(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.glob("RED/receipts/**/[!.]*.json")}


def partial(root: Path) -> list[Path]:
    return list(root.rglob(f"*{TEMPORARY_SUFFIX}"))


UNITS = 11
"""Of a run: catalogue, reference and targets in the driver, then four blocks and two patches in workers, then two more."""


def moments(seed: int, first: int) -> list[tuple[int, float]]:
    """Return when to kill: after how many units, spread evenly over a run, and how many seconds later."""
    draw = random.Random(seed)
    return [
        (first + int((UNITS - first) * (k + draw.random()) / KILLS), 0.3 * draw.random() ** 2) for k in range(KILLS)
    ]


def wait(driver: subprocess.Popen[str], root: Path, units: int, delay: float) -> None:
    """Wait until so many units are done and some time has passed; the machine's load plays no part."""
    deadline = time.monotonic() + 120
    while len(receipts(root)) < units and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    if units == 0:
        while not (root / "cuvee.db").exists() and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
    time.sleep(delay)


def standing(root: Path) -> dict[str, Stat]:
    """Return which file each product of a unit is, also while a run goes on; a product that is made again is another file."""
    patterns = (
        "RED/*/*/*.parquet",
        "RED/*/*/fluxes/*.arrow",
        "LC/*/dataset/**/Npix=*/*.parquet",
        "LC/*/summary/*.parquet",
    )
    files = [path for pattern in (*patterns, "BASE/reference-frames/*.reference") for path in root.glob(pattern)]
    return {path: which for path, which in stat_files(map(str, files)).items() if not path.endswith(TEMPORARY_SUFFIX)}


def repeated(before: dict[str, Stat], root: Path) -> int:
    """Return how many units made a product again that stood when the kill came."""
    after = standing(root)
    return sum(after.get(path) != which for path, which in before.items())


@pytest.mark.parametrize(("units", "delay"), moments(seed=1, first=0))
def test_a_killed_run_loses_only_what_was_in_flight(house: House, units: int, delay: float) -> None:
    root = house.untouched()
    good = product_bytes(house.master)
    driver = start(root)
    wait(driver, root, units, delay)
    workers = workers_of(driver)
    driver.kill()
    driver.communicate()  # returns when the last worker has let go of the pipe, too
    assert not psutil.wait_procs(workers, timeout=30)[1]
    # Whatever can be seen is whole, and what was done before is not done again.
    assert product_bytes_seen(root).items() <= good.items()
    kept, stood, n_partial = receipts(root), standing(root), len(partial(root))
    summary = run(root)
    assert not summary.troubled
    assert kept.items() <= receipts(root).items()
    assert product_bytes(root) == good
    assert not partial(root)
    n_repeated = repeated(stood, root)
    told = f"driver killed {delay:.3f} s after unit {units}: {len(kept)} kept, {n_repeated} repeated, {n_partial} half-written"
    print(told)  # noqa: T201 - for `make faults`
    assert n_repeated <= WORKERS
    assert run(root).worked == 0
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        assert ledger.count("units") == len(receipts(root))


def product_bytes_seen(root: Path) -> dict[str, str]:
    described = ("partition_info.csv", "properties", "hats.properties", "_metadata", "_common_metadata")
    found = product_bytes(root)
    return {n: h for n, h in found.items() if not n.endswith((TEMPORARY_SUFFIX, *described))}


@pytest.mark.parametrize(("units", "delay"), moments(seed=2, first=3))
def test_a_killed_worker_is_replaced_while_the_run_goes_on(house: House, units: int, delay: float) -> None:
    root = house.untouched()
    driver = start(root)
    wait(driver, root, units, delay)
    workers = workers_of(driver)
    stood, kept = standing(root), receipts(root)
    if workers:
        random.Random(delay).choice(workers).kill()
    output, errors = driver.communicate(timeout=120)
    assert driver.returncode == 0, output + errors
    assert product_bytes(root) == product_bytes(house.master)
    assert kept.items() <= receipts(root).items()
    n_repeated = repeated(stood, root)
    who = "worker" if workers else "nobody"
    print(f"{who} killed {delay:.3f} s after unit {units}: {len(kept)} kept, {n_repeated} repeated")  # noqa: T201
    assert n_repeated <= WORKERS
    assert not partial(root)
    assert run(root).worked == 0


def test_a_product_written_by_a_run_that_died_before_its_receipt_is_not_trusted(house: House) -> None:
    """A block made from other pixels has the size of the right one: only its bytes tell that the ledger does not mean it."""
    root = house.finished()
    edit(raw_files(root)[20], brighten)
    run(root, until="extract")
    blocks = {block: block.read_bytes() for block in root.glob("RED/*/*/fluxes/*")}
    root = house.finished()
    wrong = [block for block, content in blocks.items() if block.read_bytes() != content]
    assert len(wrong) == 1
    assert wrong[0].stat().st_size == len(blocks[wrong[0]])
    wrong[0].write_bytes(blocks[wrong[0]])
    assert done(run(root)) == {"extract": 1}
    assert product_bytes(root) == product_bytes(house.master)


def brighten(path: Path) -> None:
    with fits.open(path, mode="update", memmap=False) as file:
        file[1].data *= 1.01


def test_leftovers_of_a_killed_run_are_swept_away_and_never_read(house: House) -> None:
    root = house.finished()
    folders = [next(root.glob("LC/tess/dataset/*/*/Npix=*")), root / "RED", root / "BASE" / "CAT" / "partitions"]
    for folder in folders:
        (folder / f".x.parquet.0badbeef{TEMPORARY_SUFFIX}").write_bytes(b"half")
    with Ledger.open(root / "cuvee.db") as ledger:
        ledger.start_run("0", {}, "killed")
    assert run(root).worked == 0
    assert not partial(root)
    # The report is written when the ledger holds the run for finished.
    (root / "report").mkdir(exist_ok=True)
    (root / "report" / f".index.html.0badbeef{TEMPORARY_SUFFIX}").write_bytes(b"half")
    assert run(root).worked == 0
    assert not partial(root)


def test_what_a_worker_sends_back_is_small(house: House) -> None:
    largest = max(len(str(path)) for path in receipts(house.finished()))
    assert largest + len(repr(Slip("", "have"))) < 1000


def test_an_interrupt_stops_at_once_and_says_how_to_go_on(house: House) -> None:
    root = house.untouched()
    command = "from cuvee.cli import main; main()"
    driver = subprocess.Popen(
        [sys.executable, "-c", command, "run", "-w", str(root), "--workers", "2"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not workers_of(driver) and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = workers_of(driver)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert errors.strip().splitlines()[-1] == "cuvee: interrupted; run again to go on from here."
    assert "Traceback" not in errors
    assert not psutil.wait_procs(workers, timeout=30)[1]
    run(root)
    assert product_bytes(root) == product_bytes(house.master)


def test_a_run_that_is_told_to_end_takes_its_workers_along(house: House) -> None:
    root = house.untouched()
    driver = start(root)
    deadline = time.monotonic() + 60
    while not workers_of(driver) and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = workers_of(driver)
    driver.terminate()
    driver.communicate(timeout=30)
    assert not psutil.wait_procs(workers, timeout=30)[1]


LEAVING = """
import contextlib, functools, os, signal, sys, time
from multiprocessing import active_children
from cuvee.run.executors import Crew, open_executor
if __name__ == "__main__":
    with Crew(functools.partial(open_executor, "process", 2), 2) as crew:
        assert sum(map(len, crew.map_batches(os.path.abspath, "abcd"))) == 4
        workers = active_children()
        for worker in workers:
            os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(0.3)  # by now they have been told to go home
    with contextlib.suppress(ProcessLookupError):
        os.kill(workers[int(sys.argv[1])].pid, signal.SIGKILL)
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGCONT)
    print("left")
"""


@pytest.mark.parametrize("which", [0, 1])
def test_a_worker_killed_on_its_way_home_keeps_nobody_waiting(tmp_path: Path, which: int) -> None:
    """One of two idle workers holds the lock of their queue; dead, it never gives it back, and the other cannot leave."""
    script = tmp_path / "leaving.py"
    script.write_text(LEAVING)
    done = subprocess.run(
        [sys.executable, str(script), str(which)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr
