"""Database servers for tests: those that run on this machine, else some of our own, started in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

_SECONDS = 60.0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _read(path: Path) -> str:
    """Return what a file of ``/proc`` says; nothing where there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _answers(url: str) -> bool:
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    scheme, rest = url.split("://", 1)
    engine = sa.create_engine(f"{driver[scheme]}://{rest}", connect_args={"connect_timeout": 5})
    try:
        with engine.connect():
            return True
    except sa.exc.DBAPIError:
        return False
    finally:
        engine.dispose()


class OwnServer:
    """A server in a folder of its own, which tests may stop and start; its user is whoever may run one."""

    def __init__(self, folder: Path, make: list[str], start: list[str], url: str) -> None:
        self.folder, self._start, self.url = folder, start, url
        # Neither server wants to run as the superuser.
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        made = subprocess.run(make, cwd=folder, user=self._user, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._start, cwd=self.folder, user=self._user, stdout=log, stderr=log)
        end = time.monotonic() + _SECONDS
        while not _answers(self.url):
            assert time.monotonic() < end, (self.folder / "log").read_text(errors="replace")[-2000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """Stop it at once, as a crash of the machine would."""
        if self._process is not None:
            # A backend of PostgreSQL is a process in a session of its own, and may answer once more when its parent is gone.
            parts = _read(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")).split()
            self._process.kill()
            self._process.wait()
            self._process = None
            for pid in parts:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
                while _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[:1] not in ([], ["Z"]):
                    time.sleep(0.01)


@contextmanager
def own_postgres() -> Iterator[OwnServer | None]:
    """Give a PostgreSQL server of our own; None where it is not installed."""
    initdb = shutil.which("initdb")
    if initdb is None:
        yield None
        return
    programs = Path(initdb).resolve().parent
    with tempfile.TemporaryDirectory(prefix="cuvee-pg-") as name:
        port, data = _free_port(), f"{name}/data"
        make = [
            str(programs / "initdb"),
            "-D",
            data,
            "-U",
            "cuvee",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C",
        ]
        start = [str(programs / "postgres"), "-D", data, "-p", str(port), "-k", name, "-h", "127.0.0.1", "-F"]
        server = OwnServer(Path(name), make, start, f"postgresql://cuvee@127.0.0.1:{port}/postgres")
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def own_mariadb() -> Iterator[OwnServer | None]:
    """Give a MariaDB server of our own; None where it is not installed."""
    where = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"  # not in every user's path
    install, server_program = (shutil.which(program, path=where) for program in ("mariadb-install-db", "mariadbd"))
    if install is None or server_program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="cuvee-my-") as name:
        port, data = _free_port(), f"{name}/data"
        options = ["--no-defaults", f"--datadir={data}"]
        make = [install, *options, "--auth-root-authentication-method=normal", "--skip-test-db"]
        start = [server_program, *options, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={name}/s"]
        start += [f"--pid-file={name}/pid", "--innodb-flush-log-at-trx-commit=2", "--local-infile=1"]
        server = OwnServer(Path(name), make, start, f"mysql://root@127.0.0.1:{port}/mysql")
        server.start()
        try:
            yield server
        finally:
            server.kill()


KINDS = {
    "postgresql": ("CUVEE_TEST_POSTGRES_URL", "postgresql://root@127.0.0.1:5432/test", own_postgres),
    "mysql": ("CUVEE_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/test", own_mariadb),
}


class Servers:
    """The servers that a session of tests has found or started, by kind."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._urls: dict[str, str] = {}
        self._own: dict[str, OwnServer | None] = {}

    def close(self) -> None:
        self._open.close()

    def own(self, kind: str) -> OwnServer:
        """Return a server that may be stopped; skip where none can be started."""
        if kind not in self._own:
            self._own[kind] = self._open.enter_context(KINDS[kind][2]())
        server = self._own[kind]
        if server is None:
            pytest.skip(f"no {kind} server is installed that tests could start")
        return server

    def url(self, kind: str) -> str:
        """Return the URL of a server; skip where there is none."""
        if kind not in self._urls:
            variable, running, _ = KINDS[kind]
            if url := os.environ.get(variable):
                assert _answers(url), f"{variable} names a server that does not answer"
            else:
                url = running if _answers(running) else self.own(kind).url
            self._urls[kind] = url
        return self._urls[kind]

    @contextmanager
    def place(self, kind: str, url: str = "") -> Iterator[str]:
        """Give the URL of a place for one ledger, of which there is nothing before and after."""
        url = url or self.url(kind)
        name = f"cuvee_{uuid.uuid4().hex[:12]}"
        made = sa.make_url(url)
        if kind == "postgresql":
            place = made.update_query_dict({"schema": name})
            look, drop = "SELECT nspname FROM pg_namespace", "DROP SCHEMA {} CASCADE"
        else:
            place = made.set(database=name)
            look, drop = "SHOW DATABASES", "DROP DATABASE {}"
        try:
            yield place.render_as_string(hide_password=False)
        finally:
            # The places of projects lie beside it.
            for (found,) in self.say(url, look):
                if str(found).startswith(name):
                    self.say(url, drop.format(found))

    def say(self, url: str, *statements: str) -> list[tuple[object, ...]]:
        """Say something to a server, as its owner does; return the rows of the last answer."""
        made = sa.make_url(url)
        driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}[made.get_backend_name()]
        query = {key: value for key, value in made.query.items() if key != "schema"}
        engine = sa.create_engine(made.set(drivername=driver, query=query), isolation_level="AUTOCOMMIT")
        rows: list[tuple[object, ...]] = []
        try:
            with engine.connect() as connection:
                for statement in statements:
                    result = connection.exec_driver_sql(statement)
                    rows = [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()
        return rows

    def cut(self, place: str) -> int:
        """Break all connections to a place off, as an administrator does; return how many there were."""
        made = sa.make_url(place)
        if made.get_backend_name() == "postgresql":
            name = f"cuvee {made.query['schema']}"
            return len(
                self.say(
                    place, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'"
                )
            )
        server = made.set(database="mysql").render_as_string(hide_password=False)
        query = f"SELECT id FROM information_schema.processlist WHERE db = '{made.database}'"
        found = self.say(server, query)
        for (number,) in found:
            self.say(server, f"KILL {number}")
        return len(found)
