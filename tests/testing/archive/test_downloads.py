"""Files, ranges, scripts: what HTTP promises (RFC 9110), asked for with the standard library's client."""

from __future__ import annotations

import hashlib
import http.client
import json
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.testing.archive.asking import ask, file_path

from cuvee.errors import ConfigError
from cuvee.testing.archive import Fault, LoopbackArchive


def bytes_of(archive: LoopbackArchive, name: str) -> bytes:
    return archive.site.shelf.paths[name].read_bytes()


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_file_comes_whole_and_its_head_says_the_same(archive: LoopbackArchive, frame: str, slash: str) -> None:
    path = file_path(frame).replace("file?", f"file{slash}?")
    got, head = ask(archive, path), ask(archive, path, "HEAD")
    assert got.body == bytes_of(archive, frame)
    assert (got.status, head.status, head.body) == (200, 200, b"")
    assert {k: v for k, v in got.headers.items() if k != "Date"} == {
        k: v for k, v in head.headers.items() if k != "Date"
    }
    assert got.headers["Content-Length"] == str(len(got.body))
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["ETag"].startswith('"')


@pytest.mark.parametrize(
    "asked", ["bytes=0-0", "bytes=100-2979", "bytes=5000-", "bytes=-80", "bytes=-99999999", "bytes=70000-99999999"]
)
def test_a_range_is_that_part(archive: LoopbackArchive, frame: str, asked: str) -> None:
    whole = bytes_of(archive, frame)
    first, last = asked.removeprefix("bytes=").split("-")
    part = whole[int(first) : int(last) + 1 if last else None] if first else whole[-int(last) :]
    got = ask(archive, file_path(frame), Range=asked)
    start = int(first) if first else len(whole) - len(part)
    assert (got.status, got.body) == (206, part)
    assert got.headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(whole)}"


def test_a_range_behind_the_end_is_refused(archive: LoopbackArchive, frame: str) -> None:
    size = len(bytes_of(archive, frame))
    got = ask(archive, file_path(frame), Range=f"bytes={size}-")
    assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "rows=1-2", "bytes=1-2,5-6"])
def test_a_range_that_makes_no_sense_is_no_range(archive: LoopbackArchive, frame: str, asked: str) -> None:
    got = ask(archive, file_path(frame), Range=asked)
    assert (got.status, got.body) == (200, bytes_of(archive, frame))


def test_a_resume_holds_only_for_the_version_it_began_with(archive: LoopbackArchive, frame: str) -> None:
    head = ask(archive, file_path(frame), "HEAD").headers
    for mark in (head["ETag"], head["Last-Modified"]):
        assert ask(archive, file_path(frame), Range="bytes=9-", If_Range=mark).status == 206
    for mark in ('"other"', "Mon, 01 Jan 2001 00:00:00 GMT"):
        assert ask(archive, file_path(frame), Range="bytes=9-", If_Range=mark).status == 200
    assert ask(archive, file_path(frame), If_Match=head["ETag"]).status == 200
    assert ask(archive, file_path(frame), If_Match='"other"').status == 412


def test_one_connection_serves_many_requests(archive: LoopbackArchive, frame: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(archive.url).netloc, timeout=20)
    statuses = []
    for method, path in (
        ("GET", file_path(frame)),
        ("HEAD", file_path(frame)),
        ("POST", "/nowhere"),
        ("GET", file_path("nothing.fits")),
    ):
        connection.request(method, path, body="x=1" if method == "POST" else None)
        own = connection.sock
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
        assert connection.sock is own
    connection.close()
    assert statuses == [200, 200, 404, 404]


def test_the_log_tells_what_was_fetched(archive: LoopbackArchive, frame: str) -> None:
    ask(archive, file_path(frame))
    ask(archive, file_path(frame), Range="bytes=10-19")
    assert archive.wait_idle()
    size = len(bytes_of(archive, frame))
    found = [(r.method, r.name, r.range, r.status, r.sent) for r in archive.requests]
    assert found == [("GET", frame, "", 200, size), ("GET", frame, "bytes=10-19", 206, 10)]
    archive.clear()
    assert archive.requests == []


def test_a_script_lists_the_files_of_its_sector_and_its_lines_fetch_them(
    archive: LoopbackArchive, served: Path
) -> None:
    for kind, pattern in (
        ("ffic", "*_ffic.fits"),
        ("lc", "*-s_lc.fits"),
        ("tp", "*_tp.fits"),
        ("fast-lc", "*fast-lc.fits"),
        ("dv", "*s0008-s0008*"),
    ):
        got = ask(archive, f"/missions/tess/download_scripts/sector/tesscurl_sector_8_{kind}.sh")
        first, *lines = got.body.decode().splitlines()
        assert first == "#!/bin/sh"
        words = [shlex.split(line) for line in lines]
        assert all(line[:5] == ["curl", "-C", "-", "-L", "-o"] for line in words)
        assert {line[5] for line in words} == {path.name for path in served.rglob(pattern)}
        assert ask(archive, words[0][6].removeprefix(archive.url)).body == bytes_of(archive, words[0][5])
    assert ask(archive, "/missions/tess/download_scripts/sector/tesscurl_sector_9_ffic.sh").status == 404


def test_the_bulk_page_links_to_every_script(archive: LoopbackArchive) -> None:
    page = ask(archive, "/tess/bulk_downloads/bulk_downloads_ffi-tp-lc-dv.html").body.decode()
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    names = {link.rpartition("/")[2] for link in links}
    assert {
        "tesscurl_sector_8_ffic.sh",
        "tesscurl_sector_8_fast-lc.sh",
        "tesscurl_multisector_s0001-s0009_dv.sh",
    } <= names
    assert {ask(archive, link.removeprefix(archive.url)).status for link in links} == {200}


def test_files_lie_where_the_archive_keeps_them(archive: LoopbackArchive, frame: str) -> None:
    day = frame[4:11]
    assert ask(archive, f"/missions/tess/ffi/s0008/{day[:4]}/{day[4:]}/3-4/{frame}").body == bytes_of(archive, frame)
    light_curve = "tess2019032160000-s0008-0000000117544915-0136-s_lc.fits"
    assert ask(archive, f"/missions/tess/tid/s0008/0000/0001/1754/4915/{light_curve}").body == bytes_of(
        archive, light_curve
    )
    found = ask(
        archive,
        f"/api/v0.1/path_lookup/?uri=mast%3ATESS%2Fproduct%2F{light_curve}&uri=mast%3ATESS%2Fproduct%2Fnope.fits",
    ).json
    assert found == {
        f"mast:TESS/product/{light_curve}": {
            "status_code": 200,
            "path": f"/tess/public/tid/s0008/0000/0001/1754/4915/{light_curve}",
        },
        "mast:TESS/product/nope.fits": {"status_code": 404, "path": None},
    }


def test_a_bundle_is_a_script_for_what_was_asked(archive: LoopbackArchive, frame: str) -> None:
    got = ask(
        archive,
        "/api/v0.1/Download/bundle.sh",
        "POST",
        f"uri=mast:TESS/product/{frame}&uri=mast:HST/product/ld9m10ujq_x1d.fits",
    )
    lines = [shlex.split(line) for line in got.body.decode().splitlines()[1:]]
    assert [line[5] for line in lines] == [frame, "ld9m10ujq_x1d.fits"]
    assert ask(archive, lines[1][6].removeprefix(archive.url)).body == bytes_of(archive, "ld9m10ujq_x1d.fits")


def test_no_path_leads_out_of_the_folders(archive: LoopbackArchive) -> None:
    for path in (
        "/api/v0.1/Download/file?uri=mast:TESS/product/../../../../etc/passwd",
        "/missions/tess/../../etc/passwd",
    ):
        assert ask(archive, path).status == 404
    assert ask(archive, "/missions/tess/catalogs/../truth/truth.csv").status == 404
    assert ask(archive, "/missions/tess/catalogs/%2e%2e/cuvee.toml").status == 404


def test_tables_of_stars_have_their_sums_and_their_columns(archive: LoopbackArchive) -> None:
    table = ask(archive, "/missions/tess/catalogs/CAT/catalog.csv").body
    sums = ask(archive, "/missions/tess/catalogs/CAT/md5sum.txt").body.decode()
    assert sums == f"{hashlib.md5(table).hexdigest()} *catalog.csv\n"
    header = ask(archive, "/missions/tess/catalogs/CAT/header.csv").body.decode()
    assert header == "[ID]:Integer,[ra]:Double,[dec]:Double,[pmRA]:Double,[pmDEC]:Double,[Tmag]:Double\n"
    archive.faults = [Fault("md5", "catalog.csv", times=1)]
    wrong = ask(archive, "/missions/tess/catalogs/CAT/md5sum.txt").body.decode()
    assert wrong != sums
    assert wrong.split(" *")[1:] == sums.split(" *")[1:]
    assert ask(archive, "/missions/tess/catalogs/CAT/md5sum.txt").body.decode() == sums


def test_a_folder_or_a_port_that_cannot_be_had_is_the_users_mistake(
    served: Path, archive: LoopbackArchive, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"There is no folder .*nowhere"):
        LoopbackArchive(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="--catalogs"):
        LoopbackArchive(served, catalogs=tmp_path / "nowhere")
    port = int(archive.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"Port {port} cannot be used.*--port"):
        LoopbackArchive(served, port=port)


def test_columns_of_the_mission_search_are_listed(archive: LoopbackArchive) -> None:
    rows = ask(archive, "/search/util/api/v0.1/column_list?mission=hst").json
    assert {"sci_data_set_name", "sci_instrume", "sci_pep_id"} <= {row["column_name"] for row in rows}
    found = ask(
        archive, "/search/hst/api/v0.1/search", "POST", json.dumps({"conditions": [{"sci_pep_id": "14000..15000"}]})
    ).json
    assert [row["sci_data_set_name"] for row in found["results"]] == ["LD9M10UJQ"]
    listed = ask(archive, "/search/hst/api/v0.1/list_products?dataset_ids=LD9M10UJQ").json["products"]
    assert {row["file_suffix"] for row in listed} == {"CORRTAG_A", "X1D", "SPT"}
