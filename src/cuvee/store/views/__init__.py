"""Views over the ledger and the loaded stars with the tables and columns of other pipelines, so that their users' queries run.

What each column means is in ``docs/databases.md``. A column that cuvee has nothing for is NULL; no view has a row a point.
"""

from __future__ import annotations

import sqlalchemy as sa

from cuvee.store.databases import VIEWS, Database
from cuvee.store.star_tables import STAR_TABLES
from cuvee.store.views import hstlc, pipe_trex, tasoc, vineyard

__all__ = ["make_views", "view_names"]


def make_views(database: Database) -> list[str]:
    """Make all views, in place of those that are there.

    Parameters
    ----------
    database : Database
        Of a ledger, opened to write.

    Returns
    -------
    list of str
        Their names, as the database calls them.

    Raises
    ------
    StoreError
        If there is a table of such a name, or no right to make views.
    """
    database.drop_views()
    with database.transaction() as connection:
        inspector = sa.inspect(connection)
        stars = {
            name: [column["name"] for column in inspector.get_columns(name)]
            for name in STAR_TABLES
            if inspector.has_table(name)
        }
        wanted = vineyard.views(connection, stars) | pipe_trex.views() | tasoc.views() | hstlc.views()
        VIEWS.create(connection, checkfirst=True)
        quote = connection.dialect.identifier_preparer.quote
        names = []
        for name, query in wanted.items():
            called = database.view(name)
            columns = [column.label(database.view(column.name)) for column in query.selected_columns]
            text = query.with_only_columns(*columns).compile(
                dialect=connection.dialect, compile_kwargs={"literal_binds": True}
            )
            connection.exec_driver_sql(f"CREATE VIEW {quote(called)} AS {text}")
            names.append(called)
        connection.execute(sa.insert(VIEWS), [{"name": name} for name in names])
    return sorted(names)


def view_names(database: Database) -> list[str]:
    """Return the names of the views that are there.

    Parameters
    ----------
    database : Database
        Of a ledger.
    """
    with database.transaction() as connection:
        if not sa.inspect(connection).has_table(VIEWS.name):
            return []
        return sorted(connection.scalars(sa.select(VIEWS.c.name)))
