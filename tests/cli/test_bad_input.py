"""What cannot be done is said in one sentence, with exit code 2 or 3, and leaves every file as it was.

=========================================  ====================  ====  =======================================================
what is wrong                              command               exit  tested in
=========================================  ====================  ====  =======================================================
unknown sector, sector not released yet    acquire               2     `test_what_the_archive_does_not_have`
unknown target, empty result               acquire               2     `test_what_the_archive_does_not_have`
name of several stars                      acquire               2     `test_what_the_archive_does_not_have`
no network, nothing cached                 acquire               3     `test_no_network`
no network, some or all files cached       acquire               3, 0  `test_no_network`
no space left before the start             acquire               3     `test_no_space_left_before_the_start`
no space left in the midst of a transfer   acquire               3     `test_no_space_left_in_the_midst` (what came is kept)
database URL wrong                         all                   2     `test_a_database_url_that_cannot_be_used`
database server away                       all                   3     `test_a_database_url_that_cannot_be_used`
database of an unsupported kind            all                   2     `test_a_database_url_that_cannot_be_used`
database without rights                    all                   2     `test_a_database_without_rights`
ledger of an older cuvee                   those that only read  3     `test_a_ledger_of_another_version`
ledger of a newer cuvee                    all                   3     `test_a_ledger_of_another_version`
catalogue with shuffled, missing columns   catalog import        2     `test_a_catalogue_that_cannot_be_taken_in`
catalogue with a wrong md5                 catalog import        2     `test_a_catalogue_that_cannot_be_taken_in`
=========================================  ====================  ====  =======================================================
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.acquire.files import ffi_name, here, make_shelf, make_workspace
from tests.acquire.test_search import star_file
from tests.cli.conftest import Answer, Cuvee
from tests.run.disks import fill, mount
from tests.run.test_databases import keep_ledger_in
from tests.store.servers import Servers
from tests.store.test_sky import bulk_rows, text

from cuvee.acquire.wire import Patience
from cuvee.store.catalog_columns import TIC_COLUMNS
from cuvee.store.schema import REVISIONS
from cuvee.testing.archive import LoopbackArchive

NAMES = [ffi_name(k) for k in range(3)]
SIDE = 720
"""Of images of 2 MB."""


@pytest.fixture
def shelf(tmp_path: Path) -> dict[str, bytes]:
    made = make_shelf(tmp_path / "shelf", NAMES, SIDE)
    for star, ra in ((99, 250.0), (100, 250.0005)):  # two within two seconds of arc
        name = f"tess2019006130736-s0008-{star:016d}-0136-s_lc.fits"
        star_file(tmp_path / "shelf" / name, RA_OBJ=ra, DEC_OBJ=-10.0)
    return made


@pytest.fixture
def archive(shelf: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackArchive]:
    assert shelf
    monkeypatch.setattr(Patience, "pause", lambda *_: 0.01)  # as impatient as a test must be
    with LoopbackArchive(tmp_path / "shelf") as archive:
        yield archive


@pytest.fixture
def root(archive: LoopbackArchive, tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "my survey", archive)


Tree = dict[str, tuple[int, bytes]]


def tree(root: Path) -> Tree:
    """Every file with its bytes and when it was written, but for locks and what SQLite leaves when it has read; folders with nothing."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes()) if path.is_file() else (0, b"")
        for path in root.rglob("*")
        if not path.name.endswith((".lock", "-wal", "-shm"))
    }


def said(answer: Answer, code: int) -> str:
    """Return the one sentence that is said."""
    assert (answer.code, answer.out) == (code, ""), answer
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith("cuvee: ")
    return answer.err


SECTOR = ("acquire", "tess", "--sector", "1", "-q", "-w")


# -- the archive -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sector", "999"], "no such sector, or it is not released yet"),
        (["--sector", "1-2"], "no list of ffic files of sector 2"),
        (["--target", "nobody's star"], 'knows no star "nobody\'s star"'),
        (["--target", "TIC 5"], "has no lc file of TIC 5"),
        (["--sector", "1", "--camera", "3"], "has no ffic file of sector 1, camera 3"),
        (["--target", "250.0 -10.0"], "may be any of 99, 100; name one by its id"),
    ],
    ids=["unknown sector", "one of two not released", "unknown target", "no files of it", "empty", "ambiguous name"],
)
def test_what_the_archive_does_not_have(cuvee: Cuvee, root: Path, words: list[str], says: str) -> None:
    before = tree(root)
    assert says in said(cuvee("acquire", "tess", *words, "-w", root), 2)
    assert tree(root) == before


def test_no_network(cuvee: Cuvee, root: Path, archive: LoopbackArchive) -> None:
    before = tree(root)
    archive.close()
    assert "cannot be reached" in said(cuvee(*SECTOR, root), 3)
    assert tree(root) == before


def test_no_network_with_files_that_came_before(cuvee: Cuvee, root: Path, archive: LoopbackArchive) -> None:
    assert cuvee(*SECTOR, root).code == 0
    archive.close()
    before = tree(root)
    whole = cuvee(*SECTOR, root)
    assert (whole.code, whole.err) == (0, "")
    assert "3 are here; go on with them: cuvee run" in whole.out
    assert "cannot be reached" in said(cuvee("acquire", "tess", "--sector", "2", "-q", "-w", root), 3)
    assert tree(root) == before


# -- the disk --------------------------------------------------------------------------------------------------------


def test_no_space_left_before_the_start(
    cuvee: Cuvee, root: Path, archive: LoopbackArchive, mounted: list[Path]
) -> None:
    mount(root / "RAW", mounted, "20m")
    before = tree(root)
    sentence = said(cuvee(*SECTOR, root), 3)
    assert "3 files need about 6.24 MB, and 21 MB are free" in sentence
    assert "nothing was fetched" in sentence
    after = tree(root)
    del after["cuvee.db"]  # new, and empty
    assert after == before
    assert not [r for r in archive.requests if r.method == "GET" and r.name in NAMES]


def test_no_space_left_in_the_midst(
    cuvee: Cuvee, root: Path, archive: LoopbackArchive, shelf: dict[str, bytes], mounted: list[Path]
) -> None:
    path = root / "cuvee.toml"
    path.write_text(path.read_text().replace("[acquire]\n", "[acquire]\nparallel = 1\nbandwidth = 4.0\n"))
    mount(root / "RAW", mounted, "24m")
    fillers = []

    def fill_when_one_has_come() -> None:
        while not any((root / "RAW").rglob("tess*.fits")):
            time.sleep(0.01)
        fillers.append(fill(root / "RAW"))

    other = threading.Thread(target=fill_when_one_has_come)
    other.start()
    sentence = said(cuvee(*SECTOR, root), 3)
    other.join()
    assert "No space left on device" in sentence
    assert str(root / "RAW") in sentence
    fillers[0].unlink()
    came = {name: data for name, data in here(root).items() if name in shelf}
    assert came
    assert came == {name: shelf[name] for name in came}
    assert len(came) < 3
    archive.clear()
    assert cuvee(*SECTOR, root).code == 0
    assert here(root) == shelf
    assert {r.name for r in archive.requests if r.method == "GET" and r.name in NAMES} == set(NAMES) - set(came)


# -- the database ----------------------------------------------------------------------------------------------------

COMMANDS = (
    ("acquire", "tess", "--sector", "1", "-q"), ("database",), ("database", "check"), ("database", "views"),
    ("verify", "-q"), ("status",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("mysql://me:geheim@127.0.0.1:3306", 2, "names no database"),
        ("postgresql://me:geheim@127.0.0.1:port/x", 2, "cannot be read"),
        ("postgresql://me:geheim@127.0.0.1:1/x", 3, "No PostgreSQL server can be reached"),
        ("oracle://me:geheim@127.0.0.1/x", 2, "'oracle' is not supported"),
    ],
    ids=["no database named", "no URL", "away", "unsupported"],
)
def test_a_database_url_that_cannot_be_used(
    cuvee: Cuvee, root: Path, archive: LoopbackArchive, url: str, code: int, says: str
) -> None:
    keep_ledger_in(root, url)
    before = tree(root)
    for words in COMMANDS:
        sentence = said(cuvee(*words, "-w", root), code)
        assert says in sentence, words
        assert "geheim" not in sentence
    assert tree(root) == before
    assert not [r for r in archive.requests if r.method == "GET" and r.name in NAMES]


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_database_without_rights(cuvee: Cuvee, root: Path, servers: Servers, kind: str) -> None:
    url = servers.own(kind).url
    if kind == "postgresql":
        servers.say(url, "DROP ROLE IF EXISTS visitor", "CREATE ROLE visitor LOGIN")
        place = sa.make_url(url).set(username="visitor").update_query_dict({"schema": "visitors"})
    else:
        servers.say(url, "CREATE OR REPLACE USER visitor@'127.0.0.1'", "CREATE OR REPLACE USER visitor@localhost")
        place = sa.make_url(url).set(username="visitor", database="visitors")
    keep_ledger_in(root, place.render_as_string(hide_password=False))
    before = tree(root)
    sentence = said(cuvee(*SECTOR, root), 2)
    assert "visitor" in sentence
    assert "may not" in sentence
    assert tree(root) == before


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_a_ledger_of_another_version(cuvee: Cuvee, root: Path, servers: Servers, kind: str) -> None:
    with ExitStack() as stack:
        place: Path | str = root / "cuvee.db"
        if kind != "sqlite":
            place = stack.enter_context(servers.place(kind))
            keep_ledger_in(root, place)
        assert cuvee(*SECTOR, root).code == 0
        for version, words, says in (
            ("9999", ("acquire", "tess", "--sector", "1", "-q"), "newer cuvee"),
            ("9999", ("status",), "newer cuvee"),
            ("9999", ("database", "check"), "newer cuvee"),
            (REVISIONS[-2], ("status",), "not up to date; bring it up to date with: cuvee run"),
            (REVISIONS[-2], ("verify", "-q"), "not up to date; bring it up to date with: cuvee run"),
        ):
            set_version(place, version)
            before = tree(root)
            assert says in said(cuvee(*words, "-w", root), 3), words
            assert tree(root) == before
            assert get_version(place) == version


def set_version(place: Path | str, version: str) -> None:
    with engine_of(place).begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")


def get_version(place: Path | str) -> str:
    with engine_of(place).begin() as connection:
        return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())


def engine_of(place: Path | str) -> sa.Engine:
    """Return what reaches a ledger behind cuvee's back."""
    if isinstance(place, Path):
        return sa.create_engine(f"sqlite:///{place}", poolclass=sa.NullPool)
    url = sa.make_url(place)
    if url.get_backend_name() == "mysql":
        return sa.create_engine(url.set(drivername="mysql+pymysql"), poolclass=sa.NullPool)
    schema = url.query["schema"]
    plain = url.set(drivername="postgresql+psycopg", query={"options": f"-csearch_path={schema}"})
    return sa.create_engine(plain, poolclass=sa.NullPool)


# -- catalogues ------------------------------------------------------------------------------------------------------


def shuffled(rows: list[list[str]]) -> list[list[str]]:
    return [row[::-1] for row in rows]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("shuffled columns", "where a number is expected"),
        ("missing columns", "its 122 columns are not the 125"),
        ("missing position", "no column for the position"),
        ("wrong md5", "is damaged: its md5 is"),
    ],
)
def test_a_catalogue_that_cannot_be_taken_in(cuvee: Cuvee, root: Path, tmp_path: Path, name: str, says: str) -> None:
    rows = bulk_rows()[:200]
    good, bad = tmp_path / "tic_dec90_00S__68_00S.csv", tmp_path / "tic_dec68_00S__66_00S.csv"
    good.write_bytes(text(rows))
    assert cuvee("catalog", "import", good, "-q", "-w", root).code == 0
    if name == "shuffled columns":
        bad.write_bytes(text(shuffled(rows)))
    elif name == "missing columns":
        bad.write_bytes(text([row[:-3] for row in rows]))
    elif name == "missing position":
        bad.write_bytes(b"ID,ra,Tmag,Vmag\n" + text([[row[0], row[13], "9.0", "9.1"] for row in rows]))
    else:
        bad.write_bytes(text(rows[:50]))
        (tmp_path / "md5sum.txt").write_text(f"{'0' * 32} *{bad.name}\n")
    before = tree(root)
    sentence = said(cuvee("catalog", "import", bad, "-q", "-w", root), 2)
    assert says in sentence
    assert str(bad) in sentence
    assert tree(root) == before


def test_columns_in_another_order_are_known_by_the_line_of_their_names(
    cuvee: Cuvee, root: Path, tmp_path: Path
) -> None:
    rows = bulk_rows()[:200]
    (tmp_path / "tic.csv").write_bytes(text(shuffled([list(TIC_COLUMNS), *rows])))
    assert "200 stars taken in" in cuvee("catalog", "import", tmp_path / "tic.csv", "-q", "-w", root).out
