"""What the configuration of a workspace wants of an archive, fetched before it is reduced."""

from __future__ import annotations

from pathlib import Path

from cuvee.acquire.api import archive_at, fetch, paths_of
from cuvee.acquire.journal import past
from cuvee.acquire.manifest import Query
from cuvee.acquire.names import HST_INSTRUMENTS
from cuvee.acquire.outcome import Outcome, Reporter
from cuvee.acquire.search import search
from cuvee.acquire.sectors import parse_sectors
from cuvee.acquire.session import cached
from cuvee.acquire.wire import Patience
from cuvee.config import Config, load
from cuvee.errors import TransientError
from cuvee.store.own_ledger import has_ledger, open_ledger

__all__ = ["acquire_configured", "configured_query"]


def configured_query(config: Config) -> Query:
    """Return what a configuration wants.

    Parameters
    ----------
    config : Config
        Its ``[acquire]``; of Hubble, what the instrument of its ``[workspace]`` can make light curves of.

    Raises
    ------
    ConfigError
        If its sectors are none.
    """
    params, name = config.acquire, config.workspace.instrument
    counts_photons = params.mission == "hst" and name in HST_INSTRUMENTS.values()
    return Query(
        params.mission,
        instrument=name if counts_photons else "",
        time_tag=counts_photons,
        sectors=parse_sectors(params.sector),
        camera=params.camera,
        ccd=params.ccd,
        targets=params.target,
        products=params.product,
    )


def acquire_configured(
    workspace: str | Path, reporter: Reporter | None = None, patience: Patience | None = None
) -> Outcome | None:
    """Fetch what the configuration of a workspace wants; once all of it is there, the archive is not asked again.

    Parameters
    ----------
    workspace : str or Path
        The workspace.
    reporter : Reporter, optional
        Takes the news.
    patience : Patience, optional
        How long to try.

    Returns
    -------
    Outcome or None
        None where nothing is wanted. Where the archive cannot be reached, ``offline`` says why, and the rest is what an earlier acquisition
        has left.

    Raises
    ------
    ConfigError
        If there is no such sector or target, or another acquisition is at work.
    StoreError
        If there is not enough room, or the disk cannot be written.
    TransientError
        If the archive cannot be reached, and was never asked for this.
    """
    root = Path(workspace)
    config = load(root)
    params = config.acquire
    if not (params.sector or params.target):
        return None
    query, paths = configured_query(config), paths_of(root)
    if has_ledger(paths):
        with open_ledger(paths) as ledger:  # not only to read: one of an earlier cuvee is brought up to date
            earlier = past(ledger, query.key)
        if earlier is not None and earlier["finished"] and (done := cached(paths, query, "")).complete:
            return done
    try:
        with archive_at(params.archive, patience, params.parallel) as there:
            found = search(query, there)
    except TransientError as error:
        return cached(paths, query, error.message)
    return fetch(root, found, reporter=reporter, patience=patience)
