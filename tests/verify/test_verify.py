"""Every way in which a raw file can be wrong is named, nothing else is, and only that is fetched again."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.acquire.files import HASTY
from tests.run.workspaces import House, Listener, own, raw_files, run

from cuvee.acquire.api import archive_at
from cuvee.acquire.names import identify
from cuvee.errors import ConfigError
from cuvee.instruments.fits_bytes import Cards
from cuvee.store.ledger import Ledger
from cuvee.testing.archive import Fault, LoopbackArchive
from cuvee.verify import Report, judge, read_list, repair, verify
from cuvee.verify.examine import Examine, Examined, odd_header


@pytest.fixture
def root(house: House) -> Path:
    """A workspace with twelve raw files of its own."""
    place = house.untouched()
    for path in raw_files(place)[12:]:
        path.unlink()
    for path in raw_files(place):
        own(path)
    return place


def look(root: Path, full: bool = False, listed: set[str] | None = None) -> Report:
    return verify(root, Listener(), full, listed or set(), workers=1)


def reasons(report: Report) -> dict[str, str]:
    return {os.path.basename(one.path): one.reason for one in report.broken}


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[len(data) // 2 :]
    elif how == "not-fits":
        data = bytearray(b"<!DOCTYPE html><html><body>maintenance</body></html>")
    elif how == "empty":
        data = bytearray()
    elif how == "unreadable":
        data += data[-5760:]
    elif how == "header":
        data = data.replace(b"BITPIX  =                  -32", b"BITPIX  =                  -33", 1)
    elif how == "checksum":
        data[len(data) // 2] ^= 16
    elif how == "name":
        data = data.replace(b"CCD     =                    4", b"CCD     =                    1", 1)
    elif how == "blank":
        with fits.open(path) as units:
            units[1].data = np.full_like(units[1].data, 7.0)
            units.writeto(path, overwrite=True)
        return
    path.write_bytes(data)


HEADERS = ("truncated", "not-fits", "empty", "unreadable", "header", "name")
BYTES = ("checksum", "blank")


def test_a_whole_folder_is_whole(root: Path) -> None:
    for full in (False, True):
        report = look(root, full)
        assert (report.n_file, report.whole, report.foreign, report.doubted) == (12, True, [], [])
        assert report.n_sum == (12 if full else 0)


@pytest.mark.parametrize("how", HEADERS)
def test_what_headers_tell(root: Path, how: str) -> None:
    path = raw_files(root)[4]
    damage(path, how)
    report = look(root)
    assert reasons(report) == {path.name: how}
    assert path.name in report.broken[0].message


@pytest.mark.parametrize("how", BYTES)
def test_what_only_bytes_tell(root: Path, how: str) -> None:
    path = raw_files(root)[4]
    damage(path, how)
    assert look(root).whole
    assert reasons(look(root, full=True)) == {path.name: how}


def test_sums_that_do_not_hold_mean_damage_only_where_the_others_hold(root: Path) -> None:
    files = raw_files(root)
    data = bytearray(files[2].read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3] = b"\x01\x5a\x33"
    files[2].write_bytes(data)
    assert reasons(look(root, full=True)) == {files[2].name: "checksum"}
    for path in files[3:]:
        path.unlink()
    report = look(root, full=True)
    assert (report.whole, [os.path.basename(path) for path in report.doubted]) == (True, [files[2].name])


def test_a_list_names_what_is_missing_and_what_is_foreign(root: Path, tmp_path: Path) -> None:
    files = [path.name for path in raw_files(root)]
    gone = "tess2019365000000-s0008-3-4-0136-s_ffic.fits"
    (tmp_path / "x.sh").write_text(
        "#!/bin/sh\n"
        + "".join(f"curl -C - -L -o {name} https://x/?uri=mast:TESS/product/{name}\n" for name in [*files[:-1], gone])
    )
    (root / "RAW" / "notes.txt").write_text("mine")
    report = look(root, listed=read_list(tmp_path / "x.sh"))
    assert report.missing == [gone]
    assert [os.path.basename(path) for path in report.foreign] == sorted([files[-1], "notes.txt"], reverse=False)
    assert not report.broken


@pytest.mark.parametrize("text", ["", "#!/bin/sh\n", "<html>no</html>", '{"files": 3}'])
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(ConfigError, match="list"):
        read_list(tmp_path / "list")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_list(tmp_path / "nowhere")


def shelf(root: Path, folder: Path) -> Path:
    """Copy the raw files to where an archive serves them."""
    shutil.copytree(root / "RAW", folder / "shelf")
    return folder / "shelf"


def test_only_what_is_wrong_is_fetched_again(root: Path, tmp_path: Path) -> None:
    files = raw_files(root)
    right = {path: path.read_bytes() for path in files}
    with LoopbackArchive(shelf(root, tmp_path)) as archive:
        for path, how in zip(files, [*HEADERS, *BYTES], strict=False):
            damage(path, how)
        files[10].unlink()
        listed = {path.name for path in files}
        report = look(root, full=True, listed=listed)
        assert len(report.broken) == 8
        assert len(report.missing) == 1
        with archive_at(archive.url, HASTY) as source:
            repair(root, report, source, Listener())
        fetched = Counter(request.path.rsplit("/", 1)[-1] for request in archive.requests if request.method == "GET")
    assert report.whole
    assert len(report.repaired) == 9
    for path in files[:8]:
        assert path.read_bytes() == right[path]
    assert sum(fetched.values()) == 9
    assert look(root, full=True, listed=listed).whole
    assert not list(root.rglob("*.wrong"))


def test_what_the_archive_cannot_give_stays_named_and_is_asked_for_three_times(root: Path, tmp_path: Path) -> None:
    path = raw_files(root)[1]
    with (
        LoopbackArchive(shelf(root, tmp_path), faults=[Fault("html", path.name)]) as archive,
        archive_at(archive.url, HASTY) as source,
    ):
        damage(path, "truncated")
        for _ in range(3):
            report = repair(root, look(root), source, Listener())
            assert [os.path.basename(line.split(": ")[0]) for line in report.unrepaired] == [path.name]
            assert not report.whole
        n = len(archive.requests)
        report = repair(root, look(root), source, Listener())
        assert len(archive.requests) == n  # in quarantine: nobody asks
        assert not report.whole
        archive.faults = ()
        report = repair(root, look(root), source, Listener(), again=True)
        assert report.whole
    assert path.is_file()


def test_bytes_that_have_changed_since_they_came_are_seen(root: Path) -> None:
    path = raw_files(root)[3]
    report = look(root, full=True)
    Ledger.open(root / "cuvee.db").close()
    with Ledger.open(root / "cuvee.db") as ledger:
        rows = [
            {
                "path": str(Path(one.path).relative_to(root)),
                "name": os.path.basename(one.path),
                "state": "have",
                "hash": "0" * 32,
            }
            for one in [Examined(str(path))]
        ]
        ledger.put("downloads", rows)
    assert look(root).whole
    assert reasons(look(root, full=True)) == {path.name: "changed"}
    assert report.whole


def shift_pixel(path: Path) -> None:
    """Change three bytes of a science pixel, in place."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(255 - byte for byte in file.read(3)))


def test_bytes_that_are_not_those_that_a_run_measured_are_seen(house: House) -> None:
    root = house.finished()
    decayed, replaced, touched = (own(path) for path in raw_files(root)[:3])
    run(root)
    before = decayed.stat()
    assert look(root, full=True).whole
    shift_pixel(decayed)
    os.utime(decayed, ns=(before.st_atime_ns, before.st_mtime_ns))  # a disk tells nobody
    with fits.open(replaced) as units:
        units[1].data[50, 60] += 3.0
        units.writeto(replaced, overwrite=True, checksum=True)
    os.utime(touched)
    assert look(root).whole
    report = look(root, full=True)
    assert reasons(report) == {decayed.name: "changed"}
    assert "not what a run measured" in report.broken[0].message
    assert [os.path.basename(path) for path in report.replaced] == [replaced.name]
    os.utime(decayed)  # as the sentence says: now the run sees it; its sum is another matter
    run(root)
    report = look(root, full=True)
    assert (reasons(report), report.replaced) == ({decayed.name: "checksum"}, [])


def test_files_that_were_wanted_and_never_came_are_missing(root: Path) -> None:
    name = "tess2019365000000-s0008-3-4-0136-s_ffic.fits"
    with Ledger.open(root / "cuvee.db") as ledger:
        ledger.put("downloads", [{"path": f"RAW/{name}", "name": name, "state": "failed"}])
    assert look(root).missing == [str(root.resolve() / "RAW" / name)]


@pytest.mark.parametrize(
    ("name", "cards", "odd"),
    [
        ("tess2018206192942-s0001-1-4-0120-s_ffic.fits", {"CAMERA": "1", "CCD": "4"}, ""),
        ("tess2018206192942-s0001-1-4-0120-s_ffic.fits", {"CCD": "3"}, "CCD is 3"),
        ("tess2018206192942-s0001-1-4-0120-s_ffic.fits", {"DATE-OBS": "'2018-07-25T19:29:42.708Z'"}, ""),
        ("tess2018206192942-s0001-1-4-0120-s_ffic.fits", {"DATE-OBS": "'2018-07-25T19:59:42.708Z'"}, "DATE-OBS"),
        ("tess2018206045859-s0001-0000000025155310-0120-s_tp.fits", {"TICID": "25155310", "SECTOR": "1"}, ""),
        ("tess2018206045859-s0001-0000000025155310-0120-s_tp.fits", {"TICID": "25155311"}, "TICID"),
        ("tess2018206045859-s0001-0000000025155310-0120-s_lc.fits", {"SECTOR": "2"}, "SECTOR"),
        ("kplr011904151-2009131105131_llc.fits", {"KEPLERID": "11904151"}, ""),
        ("ktwo221312395-c09_lpd-targ.fits.gz", {"KEPLERID": "221312396"}, "KEPLERID"),
        ("ldlm40ext_corrtag_a.fits", {"ROOTNAME": "'ldlm40ext'"}, ""),
        ("ldlm40ext_corrtag_a.fits", {"ROOTNAME": "'ldlm40eyt'"}, "ROOTNAME"),
        ("ldlm40ext_corrtag_a.fits", {}, ""),
    ],
)
def test_headers_against_names(name: str, cards: dict[str, str], odd: str) -> None:
    named = identify(name)
    assert named is not None
    assert odd in odd_header(named, [Cards(name, cards)])
    assert bool(odd) == bool(odd_header(named, [Cards(name, cards)]))


def test_real_files_are_sound_and_most_of_their_sums_hold(shared_data: Path) -> None:
    found = Examine(full=True)([str(path) for path in shared_data.rglob("*.fits*")])
    assert len(found) > 20
    assert [one for one in found if one.reason] == []
    assert sum(one.n_sum > 0 and not one.n_off for one in found) >= 20


def test_nothing_there_is_said(root: Path) -> None:
    shutil.rmtree(root / "RAW")
    with pytest.raises(ConfigError, match="does not exist"):
        look(root)
    assert look(root, listed={"tess2019365000000-s0008-3-4-0136-s_ffic.fits"}).missing


def test_no_files_no_verdict() -> None:
    assert judge([], {}, []).whole
