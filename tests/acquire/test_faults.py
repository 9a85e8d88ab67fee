"""Every fault of an archive, on a first download, a resumed one, a cached file and one that is corrupt: the file is right, or named as missing."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.acquire.files import HASTY, ffi_name, here, make_shelf, make_workspace, names_in_trouble, whole_downloads

import cuvee.acquire
from cuvee.acquire import transfer
from cuvee.acquire.outcome import Outcome
from cuvee.testing.archive import KINDS, Fault, LoopbackArchive

NAMES = [ffi_name(k) for k in range(3)]
STRUCK = NAMES[1]
PATIENCE = replace(HASTY, tries=3)
SIDE = 300
SEARCH = ("page-missing", "page-warning", "page-shifted", "page-duplicated", "rows-total", "executing", "error", "md5")
TRANSFER = [kind for kind in KINDS if kind not in SEARCH]
NUMBERS = {"429": 0.1, "503": 0.1, "503-range": 0.1, "changed": 0, "slow": 50_000}
STATES = ("first", "resume", "cached", "corrupt")


Shelf = tuple[Path, dict[str, bytes]]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    folder = tmp_path_factory.mktemp("shelf")
    return folder, make_shelf(folder, NAMES, SIDE)


@pytest.fixture(scope="module")
def archive(shelf: Shelf) -> Iterator[LoopbackArchive]:
    with LoopbackArchive(shelf[0]) as archive:
        yield archive


@pytest.fixture(scope="module")
def prepared(archive: LoopbackArchive, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A workspace in each state."""
    folder = tmp_path_factory.mktemp("prepared")
    roots = {state: make_workspace(folder / state, archive) for state in STATES}
    for state, root in roots.items():
        prepare(root, archive, state)
    return roots


@pytest.fixture(scope="module", autouse=True)
def small_parts_are_kept() -> Iterator[None]:
    """Let a part of these small files count as one that is worth going on with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "_WORTH_RESUMING", 1 << 18)
        yield


def acquire(root: Path, archive: LoopbackArchive) -> Outcome:
    found = cuvee.acquire.tess(1, archive=archive.url, patience=PATIENCE)
    return cuvee.acquire.fetch(root, found, patience=PATIENCE)


def prepare(root: Path, archive: LoopbackArchive, state: str) -> None:
    """Bring a workspace into the state in which the fault meets it."""
    archive.faults = [Fault("404", "*_ffic.fits")] if state == "first" else []
    if state == "first":
        assert not acquire(root, archive).fetched  # the ledger is there, and no file
    elif state == "resume":
        archive.faults = [Fault("drop", STRUCK, number=3e5), Fault("503-range", STRUCK)]
        outcome = acquire(root, archive)
        assert names_in_trouble(outcome, "failed") == {STRUCK}
        (part,) = (root / "RAW").rglob(".*.partial")
        assert part.stat().st_size == 300_000
    else:
        assert acquire(root, archive).complete
    if state == "corrupt":
        (path,) = (root / "RAW").rglob(STRUCK)
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 0x40
        path.write_bytes(data)


def other_version(archive: LoopbackArchive) -> bytes:
    archive.faults = [Fault("changed", STRUCK, number=0)]
    with urllib.request.urlopen(f"{archive.url}/api/v0.1/Download/file?uri=mast:TESS/product/{STRUCK}") as answer:
        data: bytes = answer.read()
    return data


@pytest.mark.parametrize(
    ("times", "state"),
    [*((1, state) for state in STATES), (None, "first"), (None, "resume")],
    ids=[*(f"once-{state}" for state in STATES), "always-first", "always-resume"],
)
@pytest.mark.parametrize("kind", TRANSFER)
def test_a_file_is_right_or_named_as_missing(
    kind: str,
    times: int | None,
    state: str,
    tmp_path: Path,
    archive: LoopbackArchive,
    prepared: dict[str, Path],
    shelf: Shelf,
) -> None:
    truth = dict(shelf[1])
    root = shutil.copytree(prepared[state], tmp_path / "my")
    if kind == "changed":
        changed = other_version(archive)
        assert len(changed) == len(truth[STRUCK])
        assert changed != truth[STRUCK]
    # Heads that ask for sizes are not struck; once is once a download.
    archive.faults = [Fault(kind, "*_ffic.fits" if kind == "busy" else STRUCK, times, NUMBERS.get(kind))]
    archive.clear()
    outcome = acquire(root, archive)

    if kind == "changed" and state != "cached":
        truth[STRUCK] = changed
    lost = names_in_trouble(outcome)
    files = {name: data for name, data in here(root).items() if not name.endswith((".wrong", ".partial", ".validator"))}
    assert files == {name: data for name, data in truth.items() if name not in lost}
    assert lost <= {STRUCK}
    if state == "cached" or (times == 1 and kind not in ("404", "missing")):
        assert not lost
    for name in truth:
        again = 1 if kind in ("flip", "html") else 0  # whole, but wrong, so there must be a second
        most = 0 if state == "cached" or (state in ("resume", "corrupt") and name != STRUCK) else 1 + again
        if times == 1:
            assert whole_downloads(archive, name) <= most, name
    assert all(r.status in (200, 206, 404) for r in archive.requests if r.name != STRUCK and kind != "busy")

    # When the archive is well again, what is missing comes, and nothing else.
    archive.faults = []
    archive.clear()
    outcome = acquire(root, archive)
    assert outcome.complete
    assert {file.name for file in outcome.fetched} == lost
    assert {r.name for r in archive.requests if r.method == "GET" and "uri=" in r.path} == lost
    kept = {name: data for name, data in here(root).items() if name != STRUCK}
    assert kept == {name: data for name, data in truth.items() if name != STRUCK}
    assert here(root)[STRUCK] in (truth[STRUCK], shelf[1][STRUCK])


def test_a_part_is_gone_on_with_and_not_fetched_again(
    tmp_path: Path, archive: LoopbackArchive, prepared: dict[str, Path], shelf: Shelf
) -> None:
    root = shutil.copytree(prepared["resume"], tmp_path / "my")
    archive.faults = []
    archive.clear()
    assert acquire(root, archive).complete
    (request,) = [r for r in archive.requests if r.name == STRUCK and r.method == "GET"]
    assert request.status == 206
    assert request.range.startswith("bytes=300000-")
    assert request.sent == len(shelf[1][STRUCK]) - int(request.range[6:-1])
    assert here(root) == shelf[1]


def test_a_long_file_over_a_line_that_always_breaks_gets_there(
    tmp_path: Path, archive: LoopbackArchive, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_PROGRESS", 20_000)
    root = make_workspace(tmp_path / "my", archive)
    archive.faults = [Fault("drop", STRUCK, number=30_000)]
    archive.clear()
    assert acquire(root, archive).complete
    assert here(root) == shelf[1]
    parts = [r for r in archive.requests if r.name == STRUCK and r.method == "GET"]
    assert len(parts) > 2 * PATIENCE.tries
    assert sum(part.sent for part in parts) == len(shelf[1][STRUCK])
