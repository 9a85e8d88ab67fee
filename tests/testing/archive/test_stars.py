"""Tables of stars in the shape of the TESS Input Catalog: no header, gzip, sums of what is inside, candidates by their priority."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from pathlib import Path

import pytest
from tests.testing.archive.asking import ask, invoke

from cuvee.testing.archive import Fault, LoopbackArchive
from cuvee.testing.archive.columns import STARS

STARS_OF = [(101, 359.9999, -75.5, 9.0, 0.001), (102, 0.0001, -75.5, 12.0, None), (103, 10.0, -74.5, 15.0, 0.5)]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    folder = tmp_path / "catalogs" / "tic_v82"
    folder.mkdir(parents=True)
    text = io.StringIO()
    for tic, ra, dec, tmag, priority in STARS_OF:
        cells = dict.fromkeys(STARS, "") | {
            "ID": tic,
            "ra": ra,
            "dec": dec,
            "Tmag": tmag,
            "priority": priority or "",
            "version": "20190415",
        }
        csv.writer(text, lineterminator="\n").writerow(cells.values())
    (folder / "tic_dec76_00S__74_00S.csv.gz").write_bytes(gzip.compress(text.getvalue().encode()))
    (tmp_path / "served").mkdir()
    return folder.parent


def test_a_band_of_the_catalogue(tables: Path) -> None:
    with LoopbackArchive(tables.parent / "served", catalogs=tables) as archive:
        got = ask(archive, "/missions/tess/catalogs/tic_v82/tic_dec76_00S__74_00S.csv.gz").body
        sums = ask(archive, "/missions/tess/catalogs/tic_v82/md5sum.txt").body.decode()
        assert sums == f"{hashlib.md5(gzip.decompress(got)).hexdigest()} *tic_dec76_00S__74_00S.csv\n"
        header = ask(archive, "/missions/tess/catalogs/tic_v82/header.csv").body.decode()
        assert header.startswith("[ID]:Integer,[version]:String,[HIP]:Integer,[TYC]:String,")
        assert header.count(",") == 124
        everything = invoke(archive, "Mast.Catalogs.Filtered.Tic.Rows", columns="*", filters=[])["data"]
        assert [(row["ID"], row["ra"], row["dec"], row["Tmag"], row["priority"]) for row in everything] == STARS_OF
        assert {row["version"] for row in everything} == {"20190415"}
        candidates = invoke(archive, "Mast.Catalogs.Filtered.Ctl.Rows", columns="ID", filters=[])["data"]
        assert candidates == [{"ID": 101}, {"ID": 103}]
        # Two stars on both sides of right ascension zero: 0.0002 deg cos(75.5 deg) apart.
        cone = invoke(archive, "Mast.Catalogs.TIC.Cone", ra=359.9999, dec=-75.5, radius=0.001)["data"]
        assert [row["ID"] for row in cone] == [101, 102]
        assert cone[1]["distance"] == pytest.approx(0.18027, abs=1e-4)
        place = ask(archive, "/Santa-war/query?name=TIC+103").json["resolvedCoordinate"][0]
        assert (place["ra"], place["decl"]) == (10.0, -74.5)


def test_what_is_there_is_served_as_it_is(tables: Path) -> None:
    (tables / "tic_v82" / "header.csv").write_text("[ID]:Integer\n")
    (tables / "tic_v82" / "md5sum.txt").write_text("0 *x\n")
    with LoopbackArchive(tables.parent / "served", catalogs=tables) as archive:
        assert ask(archive, "/missions/tess/catalogs/tic_v82/header.csv").body == b"[ID]:Integer\n"
        assert ask(archive, "/missions/tess/catalogs/tic_v82/md5sum.txt").body == b"0 *x\n"
        assert ask(archive, "/missions/tess/catalogs/tic_v82/nothing.csv").status == 404


def test_a_band_comes_in_parts_and_under_faults_as_any_file(tables: Path) -> None:
    name = "tic_dec76_00S__74_00S.csv.gz"
    path, data = f"/missions/tess/catalogs/tic_v82/{name}", (tables / "tic_v82" / name).read_bytes()
    with LoopbackArchive(tables.parent / "served", catalogs=tables) as archive:
        head = ask(archive, path, method="HEAD")
        assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(data)), b"")
        part = ask(archive, path, Range="bytes=10-", If_Range=head.headers["ETag"])
        assert (part.status, part.headers["Content-Range"]) == (206, f"bytes 10-{len(data) - 1}/{len(data)}")
        assert part.body == data[10:]
        assert ask(archive, path, Range="bytes=10-", If_Range='"another"').body == data
        archive.faults = [
            Fault("truncate", name, times=1),
            Fault("flip", name, times=1),
            Fault("503", "md5sum.txt", times=1),
        ]
        # Both strike the one request that has a body; a HEAD tells the whole length, and uses nothing up.
        assert int(ask(archive, path, method="HEAD").headers["Content-Length"]) == len(data)
        assert ask(archive, path).body not in data
        assert ask(archive, path).body == data
        sums = "/missions/tess/catalogs/tic_v82/md5sum.txt"
        assert [ask(archive, sums).status for _ in range(2)] == [503, 200]
        assert ask(archive, sums, method="HEAD").headers["Content-Length"] == str(len(ask(archive, sums).body))
