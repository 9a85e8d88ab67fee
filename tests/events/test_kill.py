"""A run over exposures of photons that is killed: the next one does what is missing, and ends with the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.events.survey_of_photons import run_quietly

from cuvee.config import write_workspace
from cuvee.simulate.cos import simulate_cos
from cuvee.store.atomic import TEMPORARY_SUFFIX, content_hash

DRIVER = """
import sys
from pathlib import Path
from tests.events.survey_of_photons import Silent
from cuvee.pipeline import PIPELINE
from cuvee.run.start import RunOptions, run_workspace
if __name__ == "__main__":
    run_workspace(Path(sys.argv[1]), PIPELINE, RunOptions(executor="process", workers=2), Silent())
"""


def receipts(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in root.glob("RED/receipts/**/[!.]*.json")}


def products(root: Path) -> dict[str, str]:
    """Return what is in all files but receipts and the ledger, which know how long it took."""
    found = [path for name in ("LC", "RED") for path in (root / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): content_hash(path) for path in found if "receipts" not in path.parts}


@pytest.mark.parametrize("units", [1, 4])
def test_only_what_is_missing_is_done_again(tmp_path: Path, units: int) -> None:
    simulate_cos(tmp_path / "made", events=3000, exposures=8, seconds=300.0)
    assert not run_quietly(tmp_path / "made").troubled
    root = tmp_path / "w"
    write_workspace(root, "cos", [str(tmp_path / "made" / "RAW")], [], photons=True)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(root)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120.0
    while len(receipts(root)) < units and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    while len(done := receipts(root)) < units or list(root.rglob(f"*{TEMPORARY_SUFFIX}")):
        time.sleep(0.1)  # its workers end a little later than it
        if time.monotonic() > deadline or receipts(root) == done:
            break
    before = receipts(root)
    assert len(before) >= units
    summary = run_quietly(root)
    assert not summary.troubled
    after = receipts(root)
    assert {name for name, at in before.items() if after[name] != at} == set()
    assert summary.worked == len(after) - len(before)
    assert products(root) == products(tmp_path / "made")
    assert not list(root.rglob(f"*{TEMPORARY_SUFFIX}"))
