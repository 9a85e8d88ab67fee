"""Where the ledger of a survey is, and what is in it."""

from __future__ import annotations

from typing import Any

from cuvee.store.own_ledger import has_ledger, open_ledger
from cuvee.store.schema import TABLES
from cuvee.store.star_tables import star_counts
from cuvee.store.views import view_names
from cuvee.survey import Survey

__all__ = ["database_facts"]


def database_facts(survey: Survey) -> dict[str, Any]:
    """Say where the ledger is, and how much is in it.

    Parameters
    ----------
    survey : Survey
        The workspace.

    Returns
    -------
    dict
        Ready for JSON: ``place`` (file or URL, without a password), ``kind`` (of the database, and its version), ``there`` (whether
        there is a ledger yet), ``schema`` (version of the tables), ``tables`` (rows by name), ``views``.

    Raises
    ------
    ConfigError, StoreError
        If it cannot be opened.
    """
    paths = survey.paths
    facts: dict[str, Any] = {
        "place": "",
        "kind": "",
        "there": has_ledger(paths),
        "schema": "",
        "tables": {},
        "views": [],
    }
    if not facts["there"]:
        facts["place"] = str(paths.ledger_file) if not paths.database else ""
        return facts
    with open_ledger(paths, read_only=True) as ledger:
        database = ledger.database
        facts["place"], facts["kind"], facts["schema"] = database.name, database.described(), database.version()
        facts["tables"] = {name: ledger.count(name) for name in TABLES}
        facts["tables"].update(star_counts(database))
        facts["views"] = view_names(database)
    return facts
