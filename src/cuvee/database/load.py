"""Catalogue stars and views in the database of a survey, for those who ask in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cuvee.errors import ConfigError
from cuvee.store.catalogs import partition_tags, read_tag
from cuvee.store.lock import workspace_lock
from cuvee.store.own_ledger import open_ledger
from cuvee.store.sky_store import find_stored
from cuvee.store.star_rows import read_star_table, rows_of_stars, stored_stars
from cuvee.store.star_tables import STAR_TABLES, load_stars
from cuvee.store.views import make_views
from cuvee.survey import Survey

__all__ = ["load_catalog", "make_survey_views"]


def load_catalog(
    survey: Survey,
    name: str,
    files: Sequence[Path] = (),
    within: tuple[float, float] = (-90.0, 90.0),
    more: Sequence[str] = (),
) -> tuple[int, list[str]]:
    """Put stars of a catalogue into a table in SQL, and make the views anew.

    Parameters
    ----------
    survey : Survey
        The workspace.
    name : str
        ``ctl`` or ``tic``.
    files : sequence of Path
        Tables to read. Without any, the stored catalogue of that name (`cuvee catalog import`); without that, what runs have read: for the
        CTL the tables with "ctl" in their names, for the TIC the others.
    within : (float, float)
        From the first declination on and before the second (deg); what was there of them before is replaced.
    more : sequence of str
        Further columns of the files or of the stored catalogue; ``all`` for all of this.

    Returns
    -------
    n : int
        Stars loaded.
    views : list of str
        All views that there are now.

    Raises
    ------
    ConfigError
        If there is nothing of that name, or the files cannot be read.
    StoreError
        If the database cannot be used.
    """
    if name not in STAR_TABLES:
        raise ConfigError(f"There is no catalogue {name!r} to be loaded; choose from {', '.join(STAR_TABLES)}.")
    low, high = within
    if not -90.0 <= low < high <= 90.0:
        raise ConfigError(
            f"--dec {low:g} {high:g} is no range of declinations; give the lower one first, from -90 to 90."
        )
    paths = survey.paths
    if files:
        sources = [read_star_table(path, more) for path in files]
    elif (stored := find_stored(name, paths.root, paths.catalogs)) is not None:
        sources = [stored_stars(stored, more, within)]
    else:
        if more:
            raise ConfigError(
                "--column needs --file, or: cuvee catalog import; a run keeps only where stars are and how bright."
            )
        tags = [tag for tag in partition_tags(paths.partitions) if ("ctl" in tag.casefold()) == (name == "ctl")]
        if not tags:
            raise ConfigError(
                f"{paths.root} has no stars of the {name.upper()}; name a table with --file, or take it in with: cuvee catalog import FILE"
            )
        sources = [rows_of_stars(read_tag(paths.partitions, tag)) for tag in tags]
    with workspace_lock(paths.lock), open_ledger(paths) as ledger:
        n = load_stars(ledger.database, name, sources, within)
        return n, make_views(ledger.database)


def make_survey_views(survey: Survey) -> list[str]:
    """Make the views of other pipelines over the ledger of a survey, in place of those that are there; return their names.

    Parameters
    ----------
    survey : Survey
        The workspace.

    Raises
    ------
    ConfigError, StoreError
        If the ledger cannot be opened, or the user may not make views.
    """
    with workspace_lock(survey.paths.lock), open_ledger(survey.paths) as ledger:
        return make_views(ledger.database)
