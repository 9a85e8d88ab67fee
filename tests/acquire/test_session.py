"""Whole acquisitions: records, what is known already, what is in doubt, the cloud, and what must be said before anything is fetched."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from astropy.io import fits
from tests.acquire.files import HASTY, ffi_name, here, make_shelf, make_workspace, names_in_trouble, write_fits
from tests.run.workspaces import Listener

import cuvee.acquire
from cuvee.acquire.manifest import Manifest, Query, Wanted, read_record
from cuvee.acquire.outcome import Outcome
from cuvee.acquire.session import QUARANTINE_AFTER, cached, without_known
from cuvee.errors import ConfigError, StoreError, TransientError
from cuvee.store.atomic import content_hash
from cuvee.store.ledger import Ledger
from cuvee.store.lock import workspace_lock
from cuvee.store.paths import Paths
from cuvee.testing.archive import Fault, LoopbackArchive

NAMES = [ffi_name(k) for k in range(4)]
PATIENCE = replace(HASTY, tries=2)


@pytest.fixture
def shelf(tmp_path: Path) -> dict[str, bytes]:
    return make_shelf(tmp_path / "shelf", NAMES, 32)


@pytest.fixture
def archive(shelf: dict[str, bytes], tmp_path: Path) -> Iterator[LoopbackArchive]:
    assert shelf
    with LoopbackArchive(tmp_path / "shelf") as archive:
        yield archive


@pytest.fixture
def root(archive: LoopbackArchive, tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "my", archive)


def acquire(root: Path, archive: LoopbackArchive, **more: object) -> Outcome:
    found = cuvee.acquire.tess(1, archive=archive.url, patience=PATIENCE)
    return cuvee.acquire.fetch(root, found, patience=PATIENCE, **more)  # type: ignore[arg-type]


def gets(archive: LoopbackArchive) -> list[str]:
    return sorted(r.name for r in archive.requests if r.method == "GET" and r.name.endswith(".fits"))


# -- records ---------------------------------------------------------------------------------------------------------


def test_a_record_is_repeated_bit_for_bit(
    root: Path, archive: LoopbackArchive, shelf: dict[str, bytes], tmp_path: Path
) -> None:
    outcome = acquire(root, archive, record=tmp_path / "record.json")
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["query"] == {"mission": "tess", "sectors": [1]}
    assert record["asked"] <= record["finished"]
    assert [(f["name"], f["size"], f["state"]) for f in record["files"]] == [(n, len(shelf[n]), "have") for n in NAMES]
    assert all(f["url"] == f"{archive.url}/api/v0.1/Download/file?uri={f['uri']}" for f in record["files"])
    assert [f["xxh3_128"] for f in record["files"]] == [content_hash(tmp_path / "shelf" / name) for name in NAMES]

    other = make_workspace(tmp_path / "other", archive)
    again = cuvee.acquire.repeat(other, tmp_path / "record.json", PATIENCE)
    assert again.complete
    assert here(other) == here(root) == shelf
    assert again.manifest.query == outcome.manifest.query
    written = json.loads(Path(str(again.record)).read_text())
    assert written["files"] == record["files"]


def test_a_file_that_the_archive_has_changed_is_named_and_not_taken(
    root: Path, archive: LoopbackArchive, shelf: dict[str, bytes], tmp_path: Path
) -> None:
    acquire(root, archive, record=tmp_path / "record.json")
    archive.faults = [Fault("changed", NAMES[2], number=0)]
    other = make_workspace(tmp_path / "other", archive)
    again = cuvee.acquire.repeat(other, tmp_path / "record.json", PATIENCE)
    assert names_in_trouble(again, "changed") == {NAMES[2]}
    assert here(other) == {name: data for name, data in shelf.items() if name != NAMES[2]}
    # What is wanted stays in the new record, so that it can be tried again.
    assert read_record(Path(str(again.record))).files == read_record(tmp_path / "record.json").files


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no record of an acquisition"),
        ("{}", "no record of an acquisition"),
        ('{"format": 7, "cuvee": "9"}', "another version"),
        ('{"format": 1, "asked": "", "query": {"mission": "tess"}, "files": [{"name": "a.fits"}]}', "no record"),
    ],
)
def test_what_is_no_record_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_record(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_record(tmp_path / "none.json")


def test_a_record_of_somebody_else_puts_no_file_elsewhere(root: Path, archive: LoopbackArchive, tmp_path: Path) -> None:
    acquire(root, archive, record=tmp_path / "record.json")
    record = json.loads((tmp_path / "record.json").read_text())
    record["files"][0]["path"] = "../../elsewhere.fits"
    (tmp_path / "record.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="would not put it"):
        read_record(tmp_path / "record.json")


# -- what is known ---------------------------------------------------------------------------------------------------


def test_what_is_known_is_not_even_opened(root: Path, archive: LoopbackArchive, shelf: dict[str, bytes]) -> None:
    acquire(root, archive)
    archive.clear()
    for path in (root / "RAW").rglob("*.fits"):
        path.chmod(0)  # for those whom rights bind
    outcome = acquire(root, archive)
    assert (outcome.here, outcome.fetched) == (4, [])
    assert gets(archive) == []
    assert [r.method for r in archive.requests] == ["GET"]  # the script
    assert set(shelf) == set(NAMES)


def test_files_that_were_only_touched_or_came_another_way_are_known_by_their_bytes(
    root: Path, archive: LoopbackArchive, shelf: dict[str, bytes]
) -> None:
    folder = root / "RAW/tess/ffi/s0001/1-4"
    folder.mkdir(parents=True)
    (folder / NAMES[0]).write_bytes(shelf[NAMES[0]])  # nobody knows it, but its sums prove it
    (folder / NAMES[1]).write_bytes(shelf[NAMES[1]][:-2880])
    outcome = acquire(root, archive)
    assert outcome.here == 1
    assert gets(archive) == NAMES[1:]
    for path in folder.iterdir():
        path.touch()
    archive.clear()
    assert acquire(root, archive).here == 4
    assert gets(archive) == []
    assert here(root) == shelf


def test_a_file_without_sums_that_nobody_knows_is_fetched(archive: LoopbackArchive, root: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "shelf")
    shelf = make_shelf(tmp_path / "shelf", NAMES, 32, checksum=False)
    folder = root / "RAW/tess/ffi/s0001/1-4"
    folder.mkdir(parents=True)
    (folder / NAMES[0]).write_bytes(shelf[NAMES[0]])
    assert len(acquire(root, archive).fetched) == 4
    archive.clear()
    assert acquire(root, archive).here == 4
    assert gets(archive) == []


def test_what_never_came_sound_is_asked_for_a_few_times_and_then_only_on_request(
    root: Path, archive: LoopbackArchive
) -> None:
    archive.faults = [Fault("truncate", NAMES[0])]
    for _ in range(QUARANTINE_AFTER):
        assert names_in_trouble(acquire(root, archive), "broken") == {NAMES[0]}
    archive.clear()
    assert names_in_trouble(acquire(root, archive), "quarantined") == {NAMES[0]}
    assert gets(archive) == []
    archive.faults = []
    assert acquire(root, archive, again=True).complete
    assert acquire(root, archive).complete


def test_only_what_is_new_is_wanted(root: Path, archive: LoopbackArchive) -> None:
    archive.faults = [Fault("404", NAMES[3])]
    found = cuvee.acquire.tess(1, archive=archive.url)
    assert without_known(Paths(root), found.manifest) == found.manifest
    acquire(root, archive)
    assert [file.name for file in without_known(Paths(root), found.manifest).files] == [NAMES[3]]
    archive.faults = []
    acquire(root, archive)
    with pytest.raises(ConfigError, match="Nothing is new: all 4 files"):
        without_known(Paths(root), found.manifest)


# -- what is in doubt ------------------------------------------------------------------------------------------------


def test_an_old_sum_in_the_archives_own_file_is_told_by_a_second_fetch(tmp_path: Path) -> None:
    write_fits(tmp_path / "shelf" / NAMES[0], 1)
    with fits.open(tmp_path / "shelf" / NAMES[0], mode="update", checksum=False) as hdus:
        hdus[1].data += 1.0  # as programs do that cut or edit files
    data = (tmp_path / "shelf" / NAMES[0]).read_bytes()
    with LoopbackArchive(tmp_path / "shelf") as archive:
        root = make_workspace(tmp_path / "my", archive)
        outcome = acquire(root, archive)
        assert outcome.complete
        assert gets(archive) == [NAMES[0]] * 2
        ((file, message),) = outcome.remarks
        assert file.name == NAMES[0]
        assert "CHECKSUM of unit 1 does not hold, in each of two fetches" in message
        assert here(root) == {NAMES[0]: data}
        assert acquire(root, archive).here == 1
        assert gets(archive) == [NAMES[0]] * 2


def test_a_length_that_the_list_does_not_say_is_told_by_a_second_fetch(
    root: Path, archive: LoopbackArchive, shelf: dict[str, bytes]
) -> None:
    path = f"RAW/tess/ffi/s0001/1-4/{NAMES[0]}"
    files = [Wanted(NAMES[0], path, f"mast:TESS/product/{NAMES[0]}", size=len(shelf[NAMES[0]]) + 2880)]
    outcome = cuvee.acquire.fetch(root, Manifest(Query("tess", sectors=(1,)), "", files), patience=PATIENCE)
    assert outcome.complete
    assert "as the archive's list says, in each of two fetches" in outcome.remarks[0][1]
    assert gets(archive) == [NAMES[0]] * 2


# -- the cloud -------------------------------------------------------------------------------------------------------


def test_the_cloud_comes_first_and_the_archive_for_what_it_lacks(
    archive: LoopbackArchive, shelf: dict[str, bytes], tmp_path: Path
) -> None:
    root = make_workspace(tmp_path / "cloudy", archive, cloud=True)
    key = f"/stpubdata/tess/public/ffi/s0001/2018/206/1-4/{NAMES[1]}"
    archive.faults = [Fault("404", key), Fault("503", key.replace(NAMES[1], NAMES[2]))]
    outcome = acquire(root, archive)
    assert outcome.complete
    assert here(root) == shelf
    files = [r for r in archive.requests if r.method == "GET" and r.status == 200 and r.name in NAMES]
    assert {r.name for r in files if r.path.startswith("/stpubdata/")} == {NAMES[0], NAMES[3]}
    assert {r.name for r in files if r.path.startswith("/api/")} == {NAMES[1], NAMES[2]}
    with Ledger.open(root / "cuvee.db", read_only=True) as ledger:
        urls = {row["name"]: row["url"] for row in ledger.rows("downloads")}
    assert "/stpubdata/" in urls[NAMES[0]]
    assert "/api/" in urls[NAMES[1]]


def test_another_endpoint_of_the_cloud(
    archive: LoopbackArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackArchive(tmp_path / "shelf") as bucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.url)
        root = make_workspace(tmp_path / "cloudy", archive, cloud=True)
        assert acquire(root, archive).complete
        assert len([r for r in bucket.requests if r.path.startswith("/stpubdata/")]) == 4


# -- before anything is fetched --------------------------------------------------------------------------------------


def test_no_room_is_said_before_anything_is_fetched(
    root: Path, archive: LoopbackArchive, shelf: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    need = sum(map(len, shelf.values()))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 0, need + (1 << 24) - 1))
    with pytest.raises(StoreError, match=r"4 files need about .* are free in .*; nothing was fetched"):
        acquire(root, archive)
    assert gets(archive) == []
    assert here(root) == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 0, need + (1 << 24)))
    assert acquire(root, archive).complete


def test_progress_is_in_bytes_though_the_list_has_no_sizes(
    root: Path, archive: LoopbackArchive, shelf: dict[str, bytes]
) -> None:
    size = len(shelf[NAMES[0]])
    listener = Listener()
    archive.faults = [Fault("404", NAMES[1])]
    acquire(root, archive, reporter=listener)
    assert [r.name for r in archive.requests if r.method == "HEAD"] == [NAMES[0]]
    assert listener.stretches == {f"Fetching 4 files (about {4 * size / 1e3:.3g} kB), kB": -(-4 * size // 1000)}
    archive.clear()
    archive.faults = []
    listener = Listener()
    acquire(root, archive, reporter=listener)
    assert [r.method for r in archive.requests if r.name.endswith(".fits")] == ["GET"]  # those that are here tell
    assert listener.stretches == {f"Fetching 1 file (about {size / 1e3:.3g} kB), kB": -(-size // 1000)}


def test_progress_is_in_files_where_nobody_knows_a_size(root: Path, archive: LoopbackArchive) -> None:
    archive.faults = [Fault("404", NAMES[0])]  # the one that is asked for
    listener = Listener()
    acquire(root, archive, reporter=listener)
    assert listener.stretches == {"Fetching 4 files": 4}


def test_one_acquisition_a_workspace(root: Path, archive: LoopbackArchive) -> None:
    with workspace_lock(root / ".cuvee-acquire.lock"), pytest.raises(ConfigError, match="Another acquisition"):
        acquire(root, archive)
    with workspace_lock(root / ".cuvee.lock"):  # a run may go on meanwhile
        assert acquire(root, archive).complete


def test_without_a_network_what_is_there_is_told(root: Path, archive: LoopbackArchive) -> None:
    query = Query("tess", sectors=(1,))
    with pytest.raises(TransientError, match="no network"):
        cached(Paths(root), query, "no network")
    archive.faults = [Fault("404", NAMES[1])]
    acquire(root, archive)
    outcome = cached(Paths(root), query, "no network")
    assert (outcome.here, outcome.offline) == (3, "no network")
    assert names_in_trouble(outcome) == {NAMES[1]}
    with pytest.raises(TransientError, match="no network"):
        cached(Paths(root), replace(query, camera=2), "no network")
    archive.close()
    with pytest.raises(TransientError, match=r"cannot be reached.*2 times"):
        cuvee.acquire.tess(1, archive=archive.url, patience=PATIENCE)


def test_a_folder_that_cannot_be_written_is_said_and_what_has_come_is_kept(
    root: Path, archive: LoopbackArchive
) -> None:
    (root / "RAW" / "tess").mkdir()
    (root / "RAW" / "tess" / "ffi").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="Cannot write"):
        acquire(root, archive)
