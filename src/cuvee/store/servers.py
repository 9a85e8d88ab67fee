"""What PostgreSQL and MySQL have in common as places of a ledger: connecting, and making the tables."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import Self

import sqlalchemy as sa

from cuvee.errors import ConfigError, CuveeError, StoreError
from cuvee.store.databases import Database, NoLedger
from cuvee.store.schema import METADATA, REVISIONS

__all__ = ["CONNECT_SECONDS", "ServerDatabase", "shown"]

CONNECT_SECONDS = 10
"""How long a server may take to answer when a connection is made."""

_VERSION = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
_MAKING = "0000"
"""The version that stands there while the tables are being made, where a database cannot take that back."""


def shown(url: sa.URL) -> str:
    """Return a URL as messages show it: nothing in it that would let anybody in."""
    query = {key: value for key, value in url.query.items() if key in ("schema",)}
    return sa.URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query).render_as_string()


class ServerDatabase(Database):
    """A ledger in a database of a server."""

    @classmethod
    @abstractmethod
    def open(cls, url: sa.URL, read_only: bool) -> Self:
        """Connect; see `cuvee.store.addresses.open_database`."""

    def refused(self, error: BaseException) -> CuveeError | None:  # noqa: ARG002 - not every driver tells
        """Return what is said where the server lets nobody in, None where it cannot be reached at all."""
        return None

    @abstractmethod
    def too_old(self, version: tuple[int | str, ...]) -> str:
        """Return the oldest version of the server that will do, where this one is older."""

    @abstractmethod
    def alone(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Keep others from making tables meanwhile; make what the tables go into, where it is missing."""

    def reach(self) -> Self:
        """Connect for the first time.

        Raises
        ------
        ConfigError
            If the server does not know the user, the password or the database.
        StoreError
            If there is no server, or it is too old.
        """
        try:
            with self.engine.connect() as connection:
                version = connection.dialect.server_version_info or ()
        except sa.exc.DBAPIError as error:
            self.engine.dispose()
            cause = error.orig if error.orig is not None else error
            raise self.refused(cause) or self._absent(cause) from error
        if oldest := self.too_old(version):
            self.engine.dispose()
            found = ".".join(map(str, version))
            raise StoreError(f"The server of {self.name} is {self.kind} {found}; cuvee needs {oldest} or newer.")
        return self

    def _absent(self, error: BaseException) -> StoreError:
        return StoreError(
            f"No {self.kind} server can be reached for {self.name} ({_first_line(error)}); start it, or mend [database] url."
        )

    def unusable(self, error: BaseException | None) -> CuveeError:
        """Return what the user is told of the driver's error."""
        words = _first_line(error) if error is not None else "unknown"
        return StoreError(
            f"The ledger {self.name} cannot be used: {words}; ask whoever runs the server, then run again."
        )

    def foreign(self) -> CuveeError:
        """Return what is said of a database that holds something else."""
        return ConfigError(f"{self.name} holds tables, but no cuvee ledger; {self.other_place}.")

    def being_made(self, names: set[str], version: str | None) -> bool:
        """Tell whether these are tables that somebody makes just now, or was kept from making to the end: MySQL shows each at once."""
        ours = "alembic_version" in names and names <= {"alembic_version", *METADATA.tables}
        return version == _MAKING or (ours and version is None)

    def bring_up_to_date(self) -> None:
        """See that the tables are those of this version of cuvee; make or change them where they are older."""
        if self.read_only and self.version() is None:
            raise NoLedger(self.name)
        super().bring_up_to_date()

    def make(self) -> None:
        """Make the tables, all at their newest: no server has ever held those of before."""
        with self.transaction() as connection, self.alone(connection):
            self._make(connection)

    def upgrade(self, connection: sa.Connection) -> None:
        """Do the migrations that have not been done; whoever comes meanwhile waits, and finds nothing to do."""
        with self.alone(connection):
            super().upgrade(connection)

    def _make(self, connection: sa.Connection) -> None:
        if self.tables(connection) and connection.scalar(sa.select(_VERSION)) == REVISIONS[-1]:
            return  # somebody else was quicker
        _VERSION.create(connection, checkfirst=True)
        connection.execute(sa.delete(_VERSION))
        connection.execute(sa.insert(_VERSION).values(version_num=_MAKING))
        METADATA.create_all(connection)
        connection.execute(sa.update(_VERSION).values(version_num=REVISIONS[-1]))


def _first_line(error: BaseException) -> str:
    text = str(error.args[-1]) if error.args else type(error).__name__
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[0].strip().rstrip(".") if lines else type(error).__name__
