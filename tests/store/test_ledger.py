"""The ledger keeps what it is told, through kills, other versions, other writers and folders that cannot be written."""

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import cuvee.store.migrations
from cuvee.errors import StoreError
from cuvee.store.ledger import Ledger
from cuvee.store.schema import METADATA, REVISIONS, TABLES


def unit(k: int, outcome: str = "done", **more: Any) -> dict[str, Any]:
    data_id = f"tess/s0008/3-4/ffi/ffi/b{k:06d}"
    return {"stage": "extract", "data_id": data_id, "outcome": outcome, "counts": {"stars": k}, "run_id": 1, **more}


def bad(path: str, reason: str = "truncated", size: int = 10, run_id: int = 1) -> dict[str, Any]:
    return {"path": path, "size": size, "mtime_ns": 1, "inode": 2, "reason": reason, "message": "x", "run_id": run_id}


# -- the tables --------------------------------------------------------------------------------------------------


def test_migrations_make_the_tables_that_the_code_declares(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "cuvee.db").close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'cuvee.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        for table in TABLES.values():
            found = sa.inspect(connection).get_pk_constraint(table.name)["constrained_columns"]
            assert found == [column.name for column in table.primary_key.columns]
    engine.dispose()


def test_an_older_ledger_keeps_its_files(tmp_path: Path) -> None:
    path = tmp_path / "cuvee.db"
    config = Config()
    config.set_main_option("script_location", str(Path(cuvee.store.migrations.__file__).parent))
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        info = {"had": "h", "has_wcs": True, "cells": [3, 4], "rest": {"name": "a"}}
        columns = "size, mtime_ns, inode, content, instrument, segment, detector, kind, series, name, n_frame"
        connection.exec_driver_sql(
            f"INSERT INTO files (path, {columns}, first_cadence, last_cadence, state, info)"
            " VALUES ('/raw/a', 5, 6, 7, 'c', 'tess', 's0001', '1-1', 'tesscut', 'a', 'a', 20, 3, 9, 'gone', ?)",
            (json.dumps(info),),
        )
    engine.dispose()
    with Ledger.open(path) as ledger:
        (row,) = ledger.rows("files")
    assert (row["path"], row["size"], row["last_cadence"], row["state"]) == ("/raw/a", 5, 9, "gone")
    assert (row["had"], row["has_wcs"], row["cells"], row["footprint"], row["info"]) == ("h", True, [3, 4], "", info)


def test_the_code_knows_its_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(cuvee.store.migrations.__file__).parent))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(revisions)) == REVISIONS


def test_columns_are_portable() -> None:
    for table in TABLES.values():
        for column in table.columns:
            assert column.name != "dec"
            assert not isinstance(column.type, sa.Float) or isinstance(column.type, sa.Double)
            assert column.autoincrement is False or not column.primary_key or not isinstance(column.type, sa.Integer)


def test_what_is_looked_up_has_an_index(tmp_path: Path) -> None:
    lookups = {
        "targets": ("id", "healpix"),
        "light_curves": ("id", "healpix", "path"),
        "units": ("stage", "outcome"),
        "products": ("kind", "stage"),
        "files": ("path", "segment"),
        "lineage": ("kind", "input_kind"),
    }
    Ledger.open(tmp_path / "cuvee.db").close()
    connection = sqlite3.connect(tmp_path / "cuvee.db")
    for table, columns in lookups.items():
        for column in columns:
            plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE {column} = 1").fetchall()
            assert "SEARCH" in plan[0][3], (table, column)
    connection.close()


# -- opening -----------------------------------------------------------------------------------------------------


def test_an_up_to_date_ledger_opens_without_alembic(tmp_path: Path) -> None:
    path = tmp_path / "cuvee.db"
    Ledger.open(path).close()
    code = (
        "import sys; from cuvee.store.ledger import Ledger\n"
        f"for read_only in (False, True): Ledger.open({str(path)!r}, read_only=read_only).close()\n"
        "heavy = {'alembic', 'mako', 'astropy', 'numba', 'pyarrow', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(','.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_paths_and_urls_name_the_same_file(tmp_path: Path) -> None:
    folder = tmp_path / "a survey #1? 100%"
    folder.mkdir()
    with Ledger.open(str(folder / "cuvee.db")) as ledger:
        ledger.put_units([unit(1)])
    with Ledger.open(folder / "cuvee.db", read_only=True) as ledger:
        assert len(ledger.units()) == 1
    Ledger.open(f"sqlite:///{tmp_path / 'other.db'}").close()
    assert (tmp_path / "other.db").is_file()


def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.db"
    page.write_text("<html>" + 2000 * "not a database" + "</html>")
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE photos (id INTEGER)")
    connection.close()
    for path, words in ((page, "not a database"), (other, "not a cuvee ledger")):
        before = path.read_bytes()
        for read_only in (False, True):
            with pytest.raises(StoreError, match=words):
                Ledger.open(path, read_only=read_only)
        assert path.read_bytes() == before
    with pytest.raises(StoreError, match="There is no ledger"):
        Ledger.open(tmp_path / "none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(StoreError, match="cannot be used"):
        Ledger.open(tmp_path / "no folder" / "cuvee.db")


def test_a_ledger_of_a_newer_cuvee_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cuvee.db"
    Ledger.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    for read_only in (False, True):
        with pytest.raises(StoreError, match="newer cuvee"):
            Ledger.open(path, read_only=read_only)


def test_an_empty_file_becomes_a_ledger_for_the_writer_only(tmp_path: Path) -> None:
    path = tmp_path / "cuvee.db"
    path.touch()
    with pytest.raises(StoreError, match="not up to date"):
        Ledger.open(path, read_only=True)
    with Ledger.open(path) as ledger:
        assert ledger.units() == []


# -- others at the same time -------------------------------------------------------------------------------------


def test_readers_see_the_last_finished_batch_while_a_writer_writes(tmp_path: Path) -> None:
    path = tmp_path / "cuvee.db"
    with Ledger.open(path) as writer:
        writer.put_units([unit(k) for k in range(100)])
        with writer.database.transaction() as connection, Ledger.open(path, read_only=True) as reader:
            connection.execute(TABLES["units"].delete())
            assert len(reader.units()) == 100
            with Ledger.open(path, read_only=True) as late:
                assert len(late.units()) == 100
        with Ledger.open(path, read_only=True) as reader:
            assert reader.units() == []


def test_a_ledger_may_be_used_from_another_thread(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "cuvee.db") as ledger, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: ledger.put_units([unit(k)]), range(40)))
        assert list(pool.map(lambda _: len(ledger.units()), range(8))) == [40] * 8


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "cuvee.db").close()
    with (
        Ledger.open(tmp_path / "cuvee.db", read_only=True) as reader,
        pytest.raises(StoreError, match="readonly"),
    ):
        reader.put_units([unit(1)])


def _read_as_nobody(path: str, result: Any) -> None:
    os.setgid(65534)
    os.setuid(65534)
    try:
        with Ledger.open(path, read_only=True) as ledger:
            result.put(len(ledger.units()))
    except BaseException as error:
        result.put(repr(error))


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own lie in private ones, how deep depends on its options."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.filterwarnings("ignore:.*fork.. may lead to deadlocks:DeprecationWarning")
def test_a_ledger_in_a_folder_that_cannot_be_written_is_readable(public_folder: Path) -> None:
    shelf = public_folder / "shelf"
    shelf.mkdir()
    with Ledger.open(shelf / "cuvee.db") as ledger:
        ledger.put_units([unit(k) for k in range(7)])
    assert [path.name for path in shelf.iterdir()] == ["cuvee.db"]
    (shelf / "cuvee.db").chmod(0o444)
    shelf.chmod(0o555)
    try:
        if os.geteuid() != 0:
            with Ledger.open(shelf / "cuvee.db", read_only=True) as ledger:
                assert len(ledger.units()) == 7
            return
        # The superuser may write everywhere, so somebody else must look.
        context = multiprocessing.get_context("fork")
        result = context.Queue()
        process = context.Process(target=_read_as_nobody, args=(str(shelf / "cuvee.db"), result))
        process.start()
        assert result.get(timeout=60) == 7
        process.join(20)
    finally:
        shelf.chmod(0o755)


def test_a_writer_killed_in_the_middle_of_a_batch_leaves_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "cuvee.db"
    code = (
        "import os, signal\n"
        "from cuvee.store.ledger import Ledger\n"
        "from cuvee.store.schema import TABLES\n"
        f"ledger = Ledger.open({str(path)!r})\n"
        "rows = [{'stage': 's', 'data_id': str(k)} for k in range(10_000)]\n"
        "ledger.put_units(rows[:10])\n"
        "with ledger.database.transaction() as connection:\n"
        "    connection.execute(TABLES['units'].delete())\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with Ledger.open(path, read_only=True) as ledger:
        assert len(ledger.units()) == 10
    with Ledger.open(path) as ledger:
        assert len(ledger.units()) == 10


def test_a_migration_that_is_killed_leaves_nothing_and_is_made_up_for(tmp_path: Path) -> None:
    path = tmp_path / "cuvee.db"
    code = (
        "import os, signal, alembic.op\n"
        "from cuvee.store.ledger import Ledger\n"
        "make = alembic.op.create_table\n"
        "def create_table(name, *rest, **more):\n"
        "    if name == 'quarantine': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return make(name, *rest, **more)\n"
        "alembic.op.create_table = create_table\n"
        f"Ledger.open({str(path)!r})\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    with Ledger.open(path) as ledger:
        assert ledger.quarantined() == []


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("prlimit"), reason="needs a limit on the size of files")
def test_a_full_disk_is_said_in_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cuvee.db"
    with Ledger.open(path) as ledger:
        ledger.put_units([unit(k) for k in range(10)])
    code = (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from cuvee.errors import StoreError\n"
        "from cuvee.store.ledger import Ledger\n"
        f"ledger = Ledger.open({str(path)!r})\n"
        "try:\n"
        "    ledger.put_units([{'stage': 's', 'data_id': str(k), 'message': 'x' * 100} for k in range(100_000)])\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    command = ["prlimit", "--fsize=1000000", sys.executable, "-c", code]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.startswith(f"The ledger {path} cannot be used:")
    with Ledger.open(path) as ledger:
        assert len(ledger.units()) == 10
