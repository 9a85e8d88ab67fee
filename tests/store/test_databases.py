"""Every database that a ledger can be in passes the contract, comes back after an interruption, and refuses what it must."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.store.servers import Servers

from cuvee.errors import EXIT_ENVIRONMENT, EXIT_USER, CuveeError, StoreError
from cuvee.store import tables
from cuvee.store.ledger import Ledger
from cuvee.store.own_ledger import open_ledger
from cuvee.store.paths import Paths
from cuvee.store.schema import REVISIONS, TABLES
from cuvee.store.servers import ServerDatabase
from cuvee.testing.bulk_loads import BulkLoadContract
from cuvee.testing.databases import DatabaseContract

KINDS = ("postgresql", "mysql")


class TestSqlite(DatabaseContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "cuvee.db"


class TestPostgres(DatabaseContract):
    @pytest.fixture
    def place(self, servers: Servers) -> Iterator[str]:
        with servers.place("postgresql") as url:
            yield url


class TestMysql(DatabaseContract):
    @pytest.fixture
    def place(self, servers: Servers) -> Iterator[str]:
        with servers.place("mysql") as url:
            yield url


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, servers: Servers) -> Iterator[str]:
    with servers.place(request.param) as url:
        yield url


def units(first: int, last: int) -> list[dict[str, Any]]:
    return [{"stage": "extract", "data_id": f"b{k:06d}"} for k in range(first, last)]


# -- connections that break --------------------------------------------------------------------------------------


def test_a_batch_whose_connection_is_cut_is_written_again_and_once(place: str, servers: Servers) -> None:
    cut: list[int] = []

    def cut_once(_connection: sa.Connection) -> None:
        if len(cut) < 2:
            cut.append(servers.cut(place))

    with Ledger.open(place) as ledger:
        ledger.put_units(units(0, 10))
        for last in (False, True):  # in the middle of a batch, and just before it is kept
            with ledger.batch():
                ledger.put_units(units(10, 20))
                ledger.drop("units", [("extract", "b000000")])
                ledger._write(cut_once)
                if not last:
                    ledger.put_units(units(20, 30))
        assert len(cut) == 2
        assert all(cut)
        assert [row["data_id"] for row in ledger.units()] == [row["data_id"] for row in units(1, 30)]


def test_a_connection_cut_while_nothing_is_done_is_not_noticed(place: str, servers: Servers) -> None:
    with Ledger.open(place) as ledger:
        number = ledger.start_run("0", {}, "cuvee run")
        for _ in range(3):
            assert servers.cut(place)
            assert ledger.last_run() is not None
        assert servers.cut(place)
        ledger.finish_run(number)
        assert [run["id"] for run in ledger.runs()] == [1]
        assert ledger.runs()[0]["finished"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_crashes_and_comes_back_costs_nothing(kind: str, servers: Servers) -> None:
    server = servers.own(kind)
    with servers.place(kind, server.url) as url, Ledger.open(url) as ledger:
        said: list[str] = []

        def come_back(words: str) -> None:
            said.append(words)
            server.start()

        ledger.say = come_back
        ledger.put_units(units(0, 10))
        server.kill()
        with ledger.batch():
            ledger.put_units(units(10, 20))
            ledger.drop("units", [("extract", "b000000")])
        assert [row["data_id"] for row in ledger.units()] == [row["data_id"] for row in units(1, 20)]
        assert len(said) == 1
        assert "does not answer" in said[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_stays_away_is_given_up(kind: str, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers.own(kind)
    monkeypatch.setattr(tables, "_WRITER_WAITS", 0.5)
    with servers.place(kind, server.url) as url:
        secret = url
        if kind == "postgresql":  # which lets everybody in, but reads it
            secret = sa.make_url(url).set(password="geheim").render_as_string(hide_password=False)
        with Ledger.open(secret) as ledger:
            ledger.put_units(units(0, 10))
            server.kill()
            try:
                with pytest.raises(StoreError, match="does not answer any more") as caught:
                    ledger.put_units(units(10, 20))
                assert "geheim" not in caught.value.message
                with pytest.raises(StoreError, match="server can be reached"):
                    Ledger.open(secret)
            finally:
                server.start()
            assert len(ledger.units()) == 10


def test_a_server_that_takes_no_files_is_loaded_all_the_same(servers: Servers) -> None:
    server = servers.own("mysql")
    servers.say(server.url, "SET GLOBAL local_infile = 0")
    try:
        with servers.place("mysql", server.url) as url:
            BulkLoadContract.check_load(url, 20_000)
    finally:
        servers.say(server.url, "SET GLOBAL local_infile = 1")


# -- what is refused ---------------------------------------------------------------------------------------------


def test_an_older_ledger_is_brought_up_to_date_by_who_writes(place: str) -> None:
    with Ledger.open(place) as ledger, ledger.database.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{REVISIONS[-2]}'")
        connection.exec_driver_sql("DROP TABLE exposures")
    with pytest.raises(StoreError, match="not up to date; bring it up to date with: cuvee run"):
        Ledger.open(place, read_only=True)
    with Ledger.open(place) as ledger:
        row = {"instrument": "cos", "segment": "x", "detector": "fuv", "series": "y"}
        ledger.put("exposures", [row])
        with ledger.database.transaction() as connection:
            assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == REVISIONS[-1]


_KILLED = """
import os, signal, sys
import sqlalchemy as sa
from cuvee.store.databases import Database
from cuvee.store.ledger import Ledger
left = int(sys.argv[2])
def count(*_):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
upgrade = Database.upgrade
def watched(self, connection):
    sa.event.listen(self.engine, "before_cursor_execute", count)
    sa.event.listen(self.engine, "commit", count)
    upgrade(self, connection)
Database.upgrade = watched
Ledger.open(sys.argv[1]).close()
"""
"""Opens a ledger, and is killed before the n-th statement of its migrations, or before they are committed."""


def test_an_upgrade_that_is_killed_at_any_statement_is_made_up_for(place: str) -> None:
    new = ("exposures", "survey", "downloads", "acquisitions")
    Ledger.open(place).close()
    deaths = 0
    while True:
        with Ledger.open(place) as ledger:
            ledger.put_units(units(0, 3))
            with ledger.database.transaction() as connection:
                connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0005'")
                for name in new:
                    connection.exec_driver_sql(f"DROP TABLE {name}")
        command = [sys.executable, "-c", _KILLED, place, str(deaths)]
        ended = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        deaths += 1
        with pytest.raises(StoreError, match="not up to date"):
            Ledger.open(place, read_only=True)
        with Ledger.open(place) as ledger:
            assert len(ledger.units()) == 3
            with ledger.database.transaction() as connection:
                assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == REVISIONS[-1]
                for name in new:
                    found = {column["name"] for column in sa.inspect(connection).get_columns(name)}
                    assert found == set(TABLES[name].columns.keys())
    assert deaths >= 8  # the version three times, four tables, and the end


def test_making_the_tables_that_was_cut_short_is_made_up_for(place: str) -> None:
    with Ledger.open(place) as ledger, ledger.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
        connection.exec_driver_sql("DROP TABLE lineage")
    assert not Ledger.exists(place)
    with Ledger.open(place) as ledger:
        assert ledger.rows("lineage") == []


def test_the_ledger_of_another_survey_is_refused(place: str, tmp_path: Path) -> None:
    def paths(name: str, project: str = "") -> Paths:
        (tmp_path / name).mkdir(exist_ok=True)
        return Paths.of_project(tmp_path / name, "BASE", "RED", "LC", project, place)

    with open_ledger(paths("one")) as ledger:
        ledger.put_units(units(0, 3))
    for read_only in (False, True):
        with pytest.raises(CuveeError, match="another survey") as caught:
            open_ledger(paths("two"), read_only=read_only)
        assert caught.value.exit_code == EXIT_USER
        assert str(tmp_path / "one") in caught.value.message
    assert not (tmp_path / "two" / ".cuvee.survey").exists()
    subprocess.run(["cp", "-r", tmp_path / "one", tmp_path / "copy"], check=True)
    with pytest.raises(CuveeError, match="is a copy of the survey"):
        open_ledger(paths("copy"))
    (tmp_path / "one").rename(tmp_path / "moved")
    with open_ledger(paths("moved")) as ledger:
        assert len(ledger.units()) == 3
        assert ledger.rows("survey")[0]["root"] == str(tmp_path / "moved")
    other = paths("moved", "12")
    with open_ledger(other) as ledger:
        assert ledger.units() == []
        with ledger.database.transaction() as connection:
            for table in ("units", "files"):
                connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
    assert str(other.ledger) != place


REFUSED = {
    "postgresql://me:geheim@nowhere.invalid/x": (EXIT_ENVIRONMENT, "No PostgreSQL server can be reached"),
    "postgresql://me:geheim@127.0.0.1:1/x": (EXIT_ENVIRONMENT, "No PostgreSQL server can be reached"),
    "mysql://me:geheim@nowhere.invalid/x": (EXIT_ENVIRONMENT, "No MySQL server can be reached"),
    "mysql://me:geheim@127.0.0.1:1/x": (EXIT_ENVIRONMENT, "No MySQL server can be reached"),
    "mysql://me:geheim@127.0.0.1:3306": (EXIT_USER, "names no database"),
    "oracle://me:geheim@127.0.0.1/x": (EXIT_USER, "'oracle' is not supported"),
    "postgresql://me:geheim@127.0.0.1:port/x": (EXIT_USER, "cannot be read"),
    "postgresql://me:geheim@127.0.0.1:1/x?colour=red": (EXIT_USER, "colour"),
    "://me:geheim@x": (EXIT_USER, "cannot be read"),
    "sqlite://": (EXIT_USER, "names no file"),
}


@pytest.mark.parametrize("url", REFUSED)
def test_a_wrong_url_is_refused_in_one_sentence_without_its_password(url: str) -> None:
    code, words = REFUSED[url]
    for read_only in (False, True):
        with pytest.raises(CuveeError) as caught:
            Ledger.open(url, read_only=read_only)
        message = caught.value.message
        assert caught.value.exit_code == code, message
        assert words in message
        assert "geheim" not in message
        assert "\n" not in message


def test_who_the_server_does_not_let_in_is_told_so(servers: Servers) -> None:
    postgres, mysql = sa.make_url(servers.url("postgresql")), sa.make_url(servers.url("mysql"))
    wrong = [
        (postgres.set(username="nobody_of_this_name", password="geheim"), "nobody_of_this_name"),
        (postgres.set(database="no_such_database"), "no_such_database"),
        (mysql.set(username="nobody_of_this_name", password="geheim"), "nobody_of_this_name"),
    ]
    for url, words in wrong:
        with pytest.raises(CuveeError) as caught:
            Ledger.open(url.render_as_string(hide_password=False))
        assert caught.value.exit_code == EXIT_USER, caught.value.message
        assert words in caught.value.message
        assert "geheim" not in caught.value.message
        assert "\n" not in caught.value.message


def test_servers_of_long_ago_are_refused(servers: Servers) -> None:
    oldest = {"postgresql": ((11, 22), (12, 0), "12"), "mysql": ((10, 4, 8), (10, 5, 1), "10.5")}
    for kind, (old, new, words) in oldest.items():
        with servers.place(kind) as url, Ledger.open(url) as ledger:
            assert isinstance(ledger.database, ServerDatabase)
            assert ledger.database.too_old(old) == words
            assert ledger.database.too_old(new) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_not_make_tables_is_told_what_to_ask_for(kind: str, servers: Servers) -> None:
    url = servers.own(kind).url
    if kind == "postgresql":
        servers.say(url, "DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
        place = sa.make_url(url).set(username="guest").update_query_dict({"schema": "guests"})
    else:
        servers.say(url, "CREATE OR REPLACE USER guest@'127.0.0.1'", "CREATE OR REPLACE USER guest@localhost")
        place = sa.make_url(url).set(username="guest", database="guests")
    with pytest.raises(CuveeError, match="may not") as caught:
        Ledger.open(place.render_as_string(hide_password=False))
    assert "\n" not in caught.value.message
    assert ("CREATE SCHEMA guests AUTHORIZATION guest" in caught.value.message) == (kind == "postgresql")


@pytest.mark.parametrize(
    ("url", "extra"), [("postgresql://me:geheim@h/x", "cuvee[postgres]"), ("mysql://me:geheim@h/x", "cuvee[mysql]")]
)
def test_a_missing_driver_is_named_with_its_extra(url: str, extra: str) -> None:
    code = (
        "import sys; sys.modules['psycopg'] = sys.modules['pymysql'] = None\n"
        "from cuvee.errors import ConfigError\n"
        "from cuvee.store.ledger import Ledger\n"
        f"try: Ledger.open({url!r})\n"
        "except ConfigError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert f"pip install '{extra}'" in said
    assert "geheim" not in said
