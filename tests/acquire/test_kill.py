"""Killed at any moment, an acquisition goes on with what is missing: at most the files in flight come twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.acquire.files import HASTY, ffi_name, here, make_shelf, make_workspace

import cuvee.acquire
from cuvee.acquire.outcome import Outcome
from cuvee.store.ledger import Ledger
from cuvee.testing.archive import LoopbackArchive

N_FILE, PARALLEL = 500, 4
KILLS = int(os.environ.get("CUVEE_KILLS", "3"))
WORKER = Path(__file__).with_name("kill_worker.py")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("shelf")
    (first,) = make_shelf(folder / "one", [ffi_name(0)], 8).values()
    truth = {}
    for k in range(N_FILE):  # what is in them does not matter here
        name = ffi_name(k)
        truth[name] = first
        (folder / name).write_bytes(first)
    (folder / "one" / ffi_name(0)).unlink()
    return folder, truth


def acquire(root: Path, archive: LoopbackArchive) -> Outcome:
    return cuvee.acquire.fetch(root, cuvee.acquire.tess(1, archive=archive.url, patience=HASTY), patience=HASTY)


def downloads(archive: LoopbackArchive) -> list[str]:
    return [r.name for r in archive.requests if r.method == "GET" and "uri=" in r.path]


def whole(root: Path, truth: dict[str, bytes]) -> set[str]:
    """Files under their final names; each must be right."""
    found = {name: data for name, data in here(root).items() if not name.startswith(".")}
    assert all(data == truth[name] for name, data in found.items())
    return set(found)


@pytest.mark.parametrize("seed", range(KILLS))
def test_after_a_kill_only_what_is_missing_comes(
    seed: int, tmp_path: Path, shelf: tuple[Path, dict[str, bytes]]
) -> None:
    folder, truth = shelf
    moment = random.Random(seed).randrange(1, N_FILE)
    with LoopbackArchive(folder) as archive:
        root = make_workspace(tmp_path / "my", archive, parallel=PARALLEL)
        worker = subprocess.Popen([sys.executable, str(WORKER), str(root), archive.url], stdout=subprocess.DEVNULL)
        try:
            # The moment is a number of requests, not a time, so that it lies within the work on a slow machine as on a fast one.
            while worker.poll() is None and len(archive.requests) < moment:
                time.sleep(0.001)
            worker.send_signal(signal.SIGKILL)
        finally:
            worker.kill()
            worker.wait()
        assert archive.wait_idle()
        asked = downloads(archive)
        kept = whole(root, truth)
        # What was asked for and is not there was in flight: in work (two a connection), waiting for the ledger's word, or in its hands.
        assert kept <= set(asked)
        assert len(set(asked) - kept) <= 4 * PARALLEL

        archive.clear()
        outcome = acquire(root, archive)
        assert outcome.complete
        again = downloads(archive)
        assert len(again) == len(set(again))
        assert set(again) <= set(truth) - kept
        assert (outcome.here, len(outcome.fetched)) == (N_FILE - len(again), len(again))
        assert whole(root, truth) == set(truth)
        assert not list((root / "RAW").rglob(".*"))

        archive.clear()
        assert acquire(root, archive).here == N_FILE
        assert downloads(archive) == []
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        rows = ledger.rows("downloads")
        assert {row["state"] for row in rows} == {"have"}
        assert len({row["hash"] for row in rows}) == len(set(truth.values()))
