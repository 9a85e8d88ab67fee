"""Where a ledger is: a file, or the URL of a database; and which database a URL means."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from cuvee.errors import ConfigError
from cuvee.store.databases import POSTGRES_SCHEMA, Database
from cuvee.store.sqlite import SqliteDatabase

__all__ = ["open_database", "place_of_project"]


def open_database(where: str | Path, read_only: bool) -> Database:
    """Open a database; nothing is made yet.

    Parameters
    ----------
    where : str or Path
        An SQLite file, or a URL: ``sqlite:///FILE``, ``postgresql://USER@HOST/DATABASE?schema=NAME``,
        ``mysql://USER@HOST/DATABASE``.
    read_only : bool
        Never write.

    Returns
    -------
    Database

    Raises
    ------
    ConfigError
        If the URL cannot be understood, or names a server that cuvee does not know, or the driver is missing, or the server
        does not know the user or the database.
    StoreError
        If the file or the server cannot be used.
    """
    if isinstance(where, Path) or "://" not in where:
        return SqliteDatabase.open(Path(where), read_only)
    url = _url(where)
    kind = url.get_backend_name()
    if kind == "sqlite":
        if not url.database:
            raise ConfigError("The URL of the database names no file; write it as in sqlite:////data/survey/cuvee.db.")
        return SqliteDatabase.open(Path(url.database), read_only)
    if kind == "postgresql":
        from cuvee.store.postgresql import PostgresDatabase

        return PostgresDatabase.open(url, read_only)
    if kind in ("mysql", "mariadb"):
        from cuvee.store.mysql import MysqlDatabase

        return MysqlDatabase.open(url, read_only)
    raise ConfigError(
        f"A database of the kind {kind!r} is not supported; cuvee keeps its ledger in sqlite, postgresql, mysql or mariadb."
    )


def _url(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
        if url.drivername == "postgres":  # as libpq and others call it
            url = url.set(drivername="postgresql")
        url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        # Not from the error, which repeats the password.
        raise ConfigError(
            "The URL of the database cannot be read; write [database] url as in postgresql://USER@HOST/DATABASE?schema=SURVEY, "
            "and percent-encode what is not a letter or a digit in a password."
        ) from None
    return url


def place_of_project(database: str, tag: str, root: Path) -> Path | str:
    """Return where the ledger of a project is: a schema, database or file beside that of the survey.

    Parameters
    ----------
    database : str
        The URL in the configuration.
    tag : str
        Of the project, as in ``-projid12``; empty for the survey itself.
    root : Path
        The workspace, to which SQLite files are relative.

    Raises
    ------
    ConfigError
        If the URL cannot be read.
    """
    url = _url(database)
    kind = url.get_backend_name()
    if kind == "sqlite" and url.database:
        path = root / url.database
        return path.with_name(f"{path.stem}{tag}{path.suffix}")
    if not tag:
        return database
    tag = tag.replace("-", "_")
    if kind == "postgresql":
        schema = url.query.get("schema", POSTGRES_SCHEMA)
        return url.update_query_dict({"schema": f"{schema}{tag}"}).render_as_string(hide_password=False)
    return url.set(database=f"{url.database}{tag}" if url.database else None).render_as_string(hide_password=False)
