"""The database behind a survey: what is in it, stars and views for SQL, moving it to another, checking it against the receipts."""

from __future__ import annotations

from cuvee.database.check import Check, check_ledger
from cuvee.database.copy import Copied, copy_ledger
from cuvee.database.load import load_catalog, make_survey_views
from cuvee.database.place import database_facts
from cuvee.database.reset import Reset, plan_reset, reset

__all__ = [
    "Check",
    "Copied",
    "Reset",
    "check_ledger",
    "copy_ledger",
    "database_facts",
    "load_catalog",
    "make_survey_views",
    "plan_reset",
    "reset",
]
