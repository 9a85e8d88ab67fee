"""Strips of the TIC fetched and taken in: once, whole or not at all, whatever fails and whoever is killed."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.acquire.files import HASTY, make_workspace
from tests.run.workspaces import Listener
from tests.sky.bulk import some_stars, write_strips

from cuvee.acquire.strips import STRIP_FOLDER, SUMS, all_strips, strips_between
from cuvee.errors import ConfigError, StoreError
from cuvee.sky import take_in
from cuvee.sky.strip_fetch import StripOutcome, fetch_strips, stored_strips, tic_folder
from cuvee.sky.strips import list_strips, strips_for_run
from cuvee.store.lock import workspace_lock
from cuvee.store.sky_store import read_catalog
from cuvee.testing.archive import Fault, LoopbackArchive

DECS = (-89.0, -87.5, -85.0, -83.0, -81.0, -79.0)
SOME = all_strips()[:6]
NAMES = [strip.name for strip in SOME]
KILLS = int(os.environ.get("CUVEE_KILLS", "3"))
WORKER = Path(__file__).with_name("strip_worker.py")


@pytest.fixture
def bulk(tmp_path: Path) -> dict[str, list[int]]:
    (tmp_path / "shelf").mkdir()
    return write_strips(tmp_path / "catalogs", some_stars(DECS, 50))


@pytest.fixture
def archive(bulk: dict[str, list[int]], tmp_path: Path) -> Iterator[LoopbackArchive]:
    assert bulk
    with LoopbackArchive(tmp_path / "shelf", catalogs=tmp_path / "catalogs") as archive:
        yield archive


@pytest.fixture
def root(archive: LoopbackArchive, tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "my", archive)


def get(root: Path, **more: bool) -> StripOutcome:
    return fetch_strips(root, SOME, Listener(), patience=HASTY, **more)


def gets(archive: LoopbackArchive) -> list[str]:
    return [r.name for r in archive.requests if r.method == "GET" and r.name.endswith(".gz")]


def stars(root: Path) -> dict[str, list[int]]:
    """The ids that the stored catalogue has, by strip."""
    folder = tic_folder(root)
    found = {}
    for source in read_catalog(folder).sources:
        tables = [pq.read_table(path) for path in folder.rglob(f"{source.tag}-Npix*.parquet")]
        found[source.file] = sorted(star for table in tables for star in table["ID"].to_pylist())
    return found


def left_over(root: Path) -> list[str]:
    return sorted(path.name for path in (root / STRIP_FOLDER).rglob("*") if path.is_file())


def test_what_came_is_what_the_archive_has_and_nothing_else_stays(
    root: Path, archive: LoopbackArchive, bulk: dict[str, list[int]]
) -> None:
    outcome = get(root)
    assert (outcome.trouble, outcome.offline) == ({}, "")
    assert {one.path.name for one in outcome.taken} == set(NAMES)
    assert all(one.proven for one in outcome.taken)
    assert stars(root) == bulk
    assert left_over(root) == []
    assert not (root / STRIP_FOLDER).parent.exists()
    assert sorted(gets(archive)) == sorted(NAMES)
    archive.clear()
    again = get(root)
    assert (again.here, again.taken, archive.requests) == (list(SOME), [], [])


def test_files_are_kept_on_request_with_their_sums(root: Path, bulk: dict[str, list[int]], tmp_path: Path) -> None:
    get(root, keep=True)
    assert left_over(root) == sorted([SUMS, *NAMES])
    for name in NAMES:
        assert (root / STRIP_FOLDER / name).read_bytes() == (tmp_path / "catalogs" / "tic_v82" / name).read_bytes()
    taken = take_in([root / STRIP_FOLDER / name for name in NAMES], tmp_path / "other", Listener())
    assert all(one.proven for one in taken)
    assert stars(root) == bulk


FAULTS = {
    "truncate": [Fault("truncate", NAMES[0], times=1)],
    "drop": [Fault("drop", NAMES[1], times=2)],
    "flip": [Fault("flip", NAMES[2], times=1)],
    "503": [Fault("503", f"*{NAMES[3]}", times=2, number=0.05)],
    "html": [Fault("html", NAMES[4], times=1)],
    "stall": [Fault("stall", NAMES[5], times=1)],
    "no-length": [Fault("no-length", NAMES[0])],
    "wrong-length": [Fault("wrong-length", NAMES[0], times=1)],
    "no-range": [Fault("no-range", NAMES[1]), Fault("drop", NAMES[1], times=1)],
    "sums": [Fault("md5", NAMES[1], times=1), Fault("flip", NAMES[2], times=1)],
    "list of sums": [Fault("html", SUMS, times=1), Fault("truncate", SUMS, times=1), Fault("500", SUMS, times=1)],
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_fails_for_a_while_costs_nothing(
    kind: str, root: Path, archive: LoopbackArchive, bulk: dict[str, list[int]]
) -> None:
    archive.faults = FAULTS[kind]
    outcome = get(root)
    assert all(archive.hits)
    assert outcome.trouble == {}
    assert stars(root) == bulk
    assert left_over(root) == []


@pytest.mark.parametrize(
    ("fault", "state", "fetches"),
    [
        (Fault("flip", NAMES[2]), "broken", 2),
        (Fault("md5", NAMES[2]), "broken", 2),
        (Fault("html", NAMES[2]), "broken", None),
        (Fault("404", NAMES[2]), "missing", 0),
        (Fault("drop", NAMES[2], number=10), "failed", None),
    ],
)
def test_what_never_comes_right_is_named_and_the_others_go_on(
    fault: Fault, state: str, fetches: int | None, root: Path, archive: LoopbackArchive, bulk: dict[str, list[int]]
) -> None:
    archive.faults = [fault]
    outcome = get(root)
    assert [(strip.name, bool(message)) for strip, message in outcome.trouble.pop(state)] == [(NAMES[2], True)]
    assert outcome.trouble == {}
    right = {name: ids for name, ids in bulk.items() if name != NAMES[2]}
    assert stars(root) == right
    if fetches is not None:
        assert gets(archive).count(NAMES[2]) == fetches
    assert NAMES[2] not in left_over(root)
    assert not list(tic_folder(root).rglob(f"*{SOME[2].stem}*"))
    archive.faults = []
    archive.clear()
    assert get(root).trouble == {}
    assert gets(archive) == [NAMES[2]]
    assert stars(root) == bulk


def test_a_strip_without_a_sum_is_not_taken(root: Path, archive: LoopbackArchive, tmp_path: Path) -> None:
    lines = "".join(f"{'0' * 32} *{strip.stem}.csv\n" for strip in SOME[1:])
    (tmp_path / "catalogs" / "tic_v82" / SUMS).write_text(lines)
    outcome = fetch_strips(root, SOME[:1], Listener(), patience=HASTY)
    ((strip, message),) = outcome.trouble["missing"]
    assert (strip, gets(archive)) == (SOME[0], [])
    assert "no sum of it" in message


def test_without_a_network_it_says_what_is_there(root: Path, archive: LoopbackArchive) -> None:
    fetch_strips(root, SOME[:2], Listener(), patience=HASTY)
    archive.close()
    outcome = get(root)
    assert archive.url in outcome.offline
    assert (outcome.here, outcome.absent) == (list(SOME[:2]), list(SOME[2:]))
    assert fetch_strips(root, SOME[:2], Listener(), patience=HASTY).offline == ""
    listed, offline = list_strips(root, SOME, HASTY)
    assert offline
    assert [one.here for one in listed] == [True] * 2 + [False] * 4
    assert list_strips(root, SOME[:2], HASTY)[1] == ""


def test_no_room_is_said_before_anything_is_fetched(
    root: Path, archive: LoopbackArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 2**24 + 1000))
    with pytest.raises(StoreError, match=r"6 strips of the TIC .* are free in .*; nothing was fetched"):
        get(root)
    assert gets(archive) == []
    size = sum(one.size for one in list_strips(root, SOME, HASTY)[0])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, 2**24 + 3 * size))
    assert get(root).trouble == {}


def test_a_disk_that_is_full_stops_all_and_is_told(root: Path, archive: LoopbackArchive) -> None:
    (root / STRIP_FOLDER).parent.mkdir(parents=True)
    (root / STRIP_FOLDER).write_text("in the way")
    with pytest.raises((StoreError, OSError)):
        get(root)
    assert gets(archive) == []


def test_two_exclude_each_other_and_somebody_elses_table_is_left_alone(root: Path, tmp_path: Path) -> None:
    with (
        workspace_lock(root / ".cuvee-acquire.lock", "acquisition"),
        pytest.raises(ConfigError, match="Another acquisition"),
    ):
        get(root)
    (tmp_path / "mine.csv").write_text("ID,ra,dec,Tmag\n1,10.0,20.0,9.0\n")
    take_in([tmp_path / "mine.csv"], tic_folder(root).parent, Listener(), "tic")
    with pytest.raises(ConfigError, match=r"made of other files .*mine\.csv"):
        get(root)


def test_a_catalogue_that_is_shared_is_the_one_that_grows(root: Path, archive: LoopbackArchive, tmp_path: Path) -> None:
    path = root / "cuvee.toml"
    strip = tmp_path / "catalogs" / "tic_v82" / NAMES[0]
    (taken,) = take_in([strip], tmp_path / "shared", Listener())
    path.write_text(path.read_text().replace("files = []", f'files = ["{taken.folder}"]'))
    outcome = get(root)
    assert (outcome.folder, outcome.here, len(outcome.taken)) == (taken.folder, [SOME[0]], 5)
    assert gets(archive).count(NAMES[0]) == 0


def test_nothing_is_asked_where_a_run_wants_nothing(root: Path, archive: LoopbackArchive) -> None:
    path = root / "cuvee.toml"
    assert strips_for_run(root, Listener()) is None
    path.write_text(path.read_text().replace("files = []", 'files = ["tic"]'))
    assert strips_for_run(root, Listener()) is None  # no acquisition, no stored catalogue: the run says what to do
    assert archive.requests == []


def test_no_more_lie_there_at_a_time_than_are_fetched_at_a_time(archive: LoopbackArchive, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "narrow", archive, parallel=1)
    most = 0

    class Watch(Listener):
        def advance(self, steps: int = 1) -> None:
            nonlocal most
            assert steps >= 0
            most = max(most, sum(name.startswith("tic_") for name in left_over(root)))

    assert fetch_strips(root, SOME, Watch(), patience=HASTY).trouble == {}
    assert 1 <= most <= 3


# -- killed ----------------------------------------------------------------------------------------------------------

MOMENTS: dict[str, Callable[[Path, LoopbackArchive], bool]] = {
    "while strips come": lambda _, archive: len(gets(archive)) >= 2,
    "when one has come": lambda root, _: any((root / STRIP_FOLDER).rglob("tic_*.gz")),
    "while one is taken in": lambda root, _: any(tic_folder(root).glob(".taking-*/Norder=*")),
    "when some are there": lambda root, _: len(stored_strips(tic_folder(root))) >= 2,
}


def start_worker(root: Path) -> subprocess.Popen[bytes]:
    home = os.pathsep.join([str(WORKER.parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen([sys.executable, str(WORKER), str(root)], env={**os.environ, "PYTHONPATH": home})


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[int]]]:
    folder = tmp_path_factory.mktemp("many")
    (folder / "shelf").mkdir()
    return folder, write_strips(folder / "catalogs", some_stars(DECS, 4000))


@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_kill_only_what_is_missing_comes(
    moment: str, seed: int, many: tuple[Path, dict[str, list[int]]], tmp_path: Path
) -> None:
    folder, bulk = many
    later = random.Random(seed).uniform(0.0, 0.1) if seed else 0.0
    sizes = {path.name: path.stat().st_size for path in (folder / "catalogs" / "tic_v82").glob("*.gz")}
    faults = [Fault("slow", "tic_*", number=max(sizes.values()) / 0.3)]
    with LoopbackArchive(folder / "shelf", faults, catalogs=folder / "catalogs") as archive:
        root = make_workspace(tmp_path / "my", archive, parallel=2)
        worker = start_worker(root)
        try:
            while worker.poll() is None and not MOMENTS[moment](root, archive):
                time.sleep(0.001)
            time.sleep(later)
            was_at_work = worker.poll() is None
            worker.send_signal(signal.SIGKILL)
        finally:
            worker.kill()
            worker.wait()
        assert was_at_work
        archive.faults = []
        assert archive.wait_idle()
        there = stored_strips(tic_folder(root))
        before = stars(root) if there else {}
        assert before == {strip.name: bulk[strip.name] for strip in there}  # whole, or not there
        lying = {name for name in left_over(root) if name.startswith("tic_")}
        archive.clear()
        outcome = get(root)
        assert outcome.trouble == {}
        assert set(outcome.here) == there
        assert sorted(gets(archive)) == sorted(set(NAMES) - {strip.name for strip in there} - lying)
        assert stars(root) == bulk
        assert left_over(root) == []
        assert not list(tic_folder(root).glob(".taking-*"))


def test_a_long_strip_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    place = tmp_path / "catalogs" / "tic_v82"
    write_strips(tmp_path / "catalogs", some_stars(DECS[:1], 2000))
    path = place / NAMES[0]
    # Long enough that a part is worth keeping: what is not compressed is longer.
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) * 30, compresslevel=0))
    size = path.stat().st_size
    assert size > 8 * 2**20
    with LoopbackArchive(
        tmp_path / "shelf", [Fault("slow", NAMES[0], number=size / 2)], catalogs=tmp_path / "catalogs"
    ) as archive:
        root = make_workspace(tmp_path / "my", archive)
        worker = start_worker(root)
        part = root / STRIP_FOLDER / ".coming" / f".{NAMES[0]}.partial"
        try:
            while worker.poll() is None and not (part.is_file() and part.stat().st_size > 6 * 2**20):
                time.sleep(0.001)
        finally:
            worker.kill()
            worker.wait()
        archive.faults = []
        assert archive.wait_idle()
        archive.clear()
        assert fetch_strips(root, strips_between(-89.0, -89.0), Listener(), patience=HASTY).trouble == {}
        (request,) = [r for r in archive.requests if r.method == "GET" and r.name == NAMES[0]]
        assert request.status == 206
        assert request.sent <= size - 6 * 2**20
