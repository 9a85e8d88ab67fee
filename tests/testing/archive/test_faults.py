"""Each fault does what it says, seen with the standard library's client; and it strikes whom and as often as it is told."""

from __future__ import annotations

import http.client
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from astropy.io import fits
from tests.testing.archive.asking import Answer, ask, file_path, invoke

from cuvee.errors import ConfigError
from cuvee.instruments.tess import TESS
from cuvee.testing.archive import KINDS, Fault, LoopbackArchive, parse_fault

SERVICE = "Mast.Caom.Filtered"


def bytes_of(archive: LoopbackArchive, name: str) -> bytes:
    return archive.site.shelf.paths[name].read_bytes()


def fetch(archive: LoopbackArchive, name: str, **headers: str) -> Answer:
    return ask(archive, file_path(name), **headers)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop", Fault("drop")),
        ("truncate:*_ffic.fits:times=2", Fault("truncate", "*_ffic.fits", 2)),
        ("503:*:times=3:number=7", Fault("503", "*", 3, 7.0)),
        ("503:number=7:times=3", Fault("503", "*", 3, 7.0)),
        ("html:a:b", Fault("html", "a:b")),
    ],
)
def test_a_fault_is_read_as_it_is_typed(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("truncat", "truncat.*truncate.*stall"),
        ("503:*:times=x", "times that is no number"),
        ("503:*:times=0", "at least once"),
        ("flip:*:number=-1", "not negative"),
        ("flip:*:number=nan", "not negative"),
    ],
)
def test_a_fault_that_is_none_is_the_users_mistake(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_fault(text)


def test_a_short_body_agrees_with_its_length(archive: LoopbackArchive, frame: str) -> None:
    archive.faults = [Fault("truncate", "*_ffic.fits", times=1)]
    whole = bytes_of(archive, frame)
    head = ask(archive, file_path(frame), "HEAD")
    assert head.headers["Content-Length"] == str(len(whole))  # and is no strike
    short = fetch(archive, frame)
    assert short.body == whole[: len(whole) // 2]
    assert short.headers["Content-Length"] == str(len(short.body))
    assert fetch(archive, frame).body == whole
    assert archive.hits == (1,)


@pytest.mark.parametrize("kind", ["drop", "wrong-length"])
def test_a_connection_ends_before_the_body_does(archive: LoopbackArchive, frame: str, kind: str) -> None:
    archive.faults = [Fault(kind, number=700)]
    with pytest.raises(http.client.IncompleteRead) as ended:
        fetch(archive, frame)
    size = len(bytes_of(archive, frame))
    assert (len(ended.value.partial), ended.value.expected) == ((700, size - 700) if kind == "drop" else (size, 700))


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=40000-"])
def test_one_bit_is_another(archive: LoopbackArchive, frame: str, asked: str) -> None:
    archive.faults = [Fault("flip", number=50_000)]
    whole, first = bytes_of(archive, frame), int(asked[6:-1])
    got = np.frombuffer(fetch(archive, frame, Range=asked).body, np.uint8)
    changed = got ^ np.frombuffer(whole[first:], np.uint8)
    assert np.flatnonzero(changed).tolist() == [50_000 - first]
    assert changed.sum().bit_count() == 1


@pytest.mark.parametrize(("kind", "status"), [("404", 404), ("429", 429), ("500", 500), ("503", 503), ("missing", 404)])
def test_a_refusal_is_one_for_everybody_it_fits(archive: LoopbackArchive, frame: str, kind: str, status: int) -> None:
    archive.faults = [Fault(kind, frame, times=2, number=None if kind in ("404", "500", "missing") else 3)]
    first = ask(archive, file_path(frame), "HEAD")
    assert (first.status, first.headers["Retry-After"]) == (status, "3" if kind in ("429", "503") else None)
    other = next(name for name in archive.site.shelf.names if name.endswith("_x1d.fits"))
    assert [fetch(archive, name).status for name in (other, frame, frame)] == [200, status, 200]
    assert archive.hits == (2,)


@pytest.mark.parametrize(("kind", "status"), [("416", 416), ("503-range", 503), ("no-range", 200)])
def test_only_ranges_are_refused(archive: LoopbackArchive, frame: str, kind: str, status: int) -> None:
    archive.faults = [Fault(kind)]
    assert fetch(archive, frame).status == 200
    part = fetch(archive, frame, Range="bytes=5-")
    assert part.status == status
    assert kind != "no-range" or part.body == bytes_of(archive, frame)


def test_a_maintenance_page_comes_with_200(archive: LoopbackArchive, frame: str) -> None:
    archive.faults = [Fault("html", "*_ffic.fits")]
    got = fetch(archive, frame, Range="bytes=5-")
    assert (got.status, got.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"maintenance" in got.body
    assert ask(archive, file_path(frame), "HEAD").headers["Content-Length"] == str(len(got.body))


@pytest.mark.parametrize("kind", ["no-length", "chunked"])
def test_a_body_without_a_length_is_whole(archive: LoopbackArchive, frame: str, kind: str) -> None:
    archive.faults = [Fault(kind)]
    got = fetch(archive, frame)
    assert got.body == bytes_of(archive, frame)
    assert got.headers["Content-Length"] is None
    assert got.headers["Transfer-Encoding"] == ("chunked" if kind == "chunked" else None)


def test_ranges_are_served_but_not_offered(archive: LoopbackArchive, frame: str) -> None:
    archive.faults = [Fault("no-accept-ranges")]
    got = fetch(archive, frame, Range="bytes=5-")
    assert (got.status, got.headers["Accept-Ranges"]) == (206, None)


def test_a_body_that_stalls_leaves_the_connection_open(archive: LoopbackArchive, frame: str) -> None:
    archive.faults = [Fault("stall", number=1000)]
    with socket.create_connection(("127.0.0.1", int(archive.url.rpartition(":")[2]))) as connection:
        connection.sendall(f"GET {file_path(frame)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = b""
        while len(got.partition(b"\r\n\r\n")[2]) < 1000:
            got += connection.recv(1 << 16)
        assert got.partition(b"\r\n\r\n")[2] == bytes_of(archive, frame)[:1000]
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(1)
        assert not archive.wait_idle(0.0)
    assert archive.wait_idle()


def test_a_slow_body_is_whole(archive: LoopbackArchive, frame: str) -> None:
    archive.faults = [Fault("slow", number=1e6)]
    assert fetch(archive, frame).body == bytes_of(archive, frame)
    assert archive.hits == (1,)


def test_another_version_is_as_sound_and_mixes_with_none(archive: LoopbackArchive, frame: str) -> None:
    old = bytes_of(archive, frame)
    before = ask(archive, file_path(frame), "HEAD").headers["ETag"]
    archive.faults = [Fault("changed", "*_ffic.fits", number=1)]
    assert fetch(archive, frame).body == old
    new = fetch(archive, frame)
    assert new.headers["ETag"] != before
    assert ask(archive, file_path(frame), "HEAD").headers["ETag"] == new.headers["ETag"]
    assert len(new.body) == len(old)
    assert new.body != old
    middle = len(old) // 2
    assert fetch(archive, frame, Range=f"bytes={middle}-", If_Range=before).body == new.body
    tail = fetch(archive, frame, Range=f"bytes={middle}-").body
    assert old[:middle] + tail not in (old, new.body)


def unit_sums(path: Path) -> list[int]:
    """Return the ones'-complement sum of each unit of a FITS file; its CHECKSUM makes it 0xFFFFFFFF (FITS Standard 4.0, 4.4.2.7)."""
    content, sums = path.read_bytes(), []
    with fits.open(path) as units:
        for unit in units:
            place = unit.fileinfo()
            total = int(
                np.frombuffer(content[place["hdrLoc"] : place["datLoc"] + place["datSpan"]], ">u4").sum(dtype=np.uint64)
            )
            while total >> 32:
                total = (total & 0xFFFFFFFF) + (total >> 32)
            sums.append(total)
    return sums


def test_another_version_has_right_sums_and_a_mixture_has_not(
    archive: LoopbackArchive, frame: str, tmp_path: Path
) -> None:
    archive.faults = [Fault("changed", number=0)]
    old, new = bytes_of(archive, frame), fetch(archive, frame).body
    differ = np.flatnonzero(np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8))
    middle = int(differ[0] + differ[-1]) // 2
    paths = [tmp_path / f"{label}-{frame}" for label in ("new", "mixed")]
    for path, content in zip(paths, (new, old[:middle] + new[middle:]), strict=True):
        path.write_bytes(content)
    assert set(unit_sums(paths[0])) == {0xFFFFFFFF}
    assert set(unit_sums(paths[1])) != {0xFFFFFFFF}
    assert TESS.read(TESS.scan(str(paths[0])), None).flux.size


def test_one_too_many_is_turned_away(archive: LoopbackArchive, frame: str) -> None:
    archive.faults = [Fault("busy", number=1), Fault("stall", frame, times=1)]
    with socket.create_connection(("127.0.0.1", int(archive.url.rpartition(":")[2]))) as connection:
        connection.sendall(f"GET {file_path(frame)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 200"  # it is in work from here on
        assert fetch(archive, frame).status == 503
    assert archive.wait_idle()
    assert fetch(archive, frame).status == 200


def test_a_missing_file_is_listed_and_not_there(archive: LoopbackArchive, frame: str) -> None:
    ghost = "tess2019039000000-s0008-3-4-0136-s_ffic.fits"
    archive.faults = [Fault("missing", ghost), Fault("missing", frame)]
    script = ask(archive, "/missions/tess/download_scripts/sector/tesscurl_sector_8_ffic.sh").body.decode()
    assert f"product/{ghost}\n" in script
    assert f"product/{frame}\n" in script
    assert [fetch(archive, name).status for name in (ghost, frame)] == [404, 404]
    frames = next(of for of in archive.site.observations if of.corners)
    products = invoke(archive, "Mast.Caom.Products", obsid=frames.row["obsid"])["data"]
    assert ghost in {row["productFilename"] for row in products}


def rows(archive: LoopbackArchive) -> tuple[list[str], list[str], set[int]]:
    """Return what pages of two rows show, their states, and the totals that they claim."""
    found: list[str] = []
    states: list[str] = []
    totals: set[int] = set()
    page, pages = 0, 1
    while page < pages:
        page += 1
        answer = invoke(archive, SERVICE, page, 2, columns="obs_id", filters=[])
        pages = answer["paging"]["pagesFiltered"]
        states.append(answer["status"])
        totals.add(answer["paging"]["rowsTotal"])
        found += [row["obs_id"] for row in answer["data"]]
    return found, states, totals


def test_pages_of_a_search_go_wrong(archive: LoopbackArchive) -> None:
    right, states, totals = rows(archive)
    assert (set(states), totals) == ({"COMPLETE"}, {len(right)})
    assert len(set(right)) == len(right) >= 7
    expected = {
        "page-missing": right[:2] + right[4:],
        "page-shifted": right[:2] + right[3:],
        "page-duplicated": right[:2] + right[1 : 2 * (len(states) - 1) + 1],
        "page-warning": right,
        "rows-total": right,
    }
    for kind, wanted in expected.items():
        archive.faults = [Fault(kind, SERVICE)]
        found, said, total = rows(archive)
        assert found == wanted, kind
        assert said.count("WARNING") == (kind == "page-warning")
        assert total == {len(right) + (kind == "rows-total")}
        assert archive.hits[0] >= 1


def test_a_search_may_take_its_time_or_fail(archive: LoopbackArchive) -> None:
    archive.faults = [Fault("executing", SERVICE, times=2), Fault("error", "/api/v0/invoke", times=1)]
    states = [invoke(archive, SERVICE, columns="*", filters=[])["status"] for _ in range(4)]
    assert states == ["EXECUTING", "EXECUTING", "ERROR", "COMPLETE"]


def test_faults_are_counted_once_whoever_asks_at_the_same_time(archive: LoopbackArchive, frame: str) -> None:
    archive.faults = [Fault("503", "*_ffic.fits", times=10)]
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(fetch(archive, frame).status)) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (statuses.count(503), statuses.count(200), archive.hits) == (10, 14, (10,))


def test_an_archive_that_closes_lets_go_of_whom_it_kept_waiting(archive: LoopbackArchive, frame: str) -> None:
    archive.faults = [Fault("stall", number=10)]
    connection = http.client.HTTPConnection(urlsplit(archive.url).netloc, timeout=20)
    connection.request("GET", file_path(frame))
    answer = connection.getresponse()
    archive.closing.set()
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()


def test_every_kind_is_tried_here() -> None:
    text = Path(__file__).read_text() + Path(__file__).with_name("test_downloads.py").read_text()
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []
