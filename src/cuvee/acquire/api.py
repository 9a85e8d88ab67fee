"""What a notebook calls: one function a mission that finds files, and one that fetches them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from astropy.table import Table

from cuvee.acquire.archive import Archive
from cuvee.acquire.manifest import Found, Manifest, Query, read_record
from cuvee.acquire.outcome import Outcome, Reporter
from cuvee.acquire.search import search
from cuvee.acquire.sectors import parse_sectors
from cuvee.acquire.session import acquire_manifest
from cuvee.acquire.wire import Patience, Wire
from cuvee.config import AcquireParams, load
from cuvee.store.paths import Paths
from cuvee.store.sharing import shared

__all__ = ["archive_at", "columns", "fetch", "hst", "kepler", "paths_of", "repeat", "tess"]

Words = str | int | Sequence[str | int]


def tess(
    sectors: Words = (),
    *,
    camera: int = 0,
    ccd: int = 0,
    targets: Words = (),
    products: Words = (),
    where: Words = (),
    archive: str = "",
    patience: Patience | None = None,
) -> Found:
    """Find TESS files: all of some sectors, or those of some stars.

    Parameters
    ----------
    sectors : int, str or sequence
        1, "1-3", [1, 5]; of stars: only these.
    camera, ccd : int
        Of full-frame images; 0: all.
    targets : int, str or sequence
        Stars: TIC or names.
    products : str or sequence
        ``ffic`` (default of sectors), ``ffir``, ``cbv``, ``lc`` (default of stars), ``tp``, ``fast-lc``, ``fast-tp``, ``dv``.
    where : str or sequence
        Conditions on the archive's columns: ``"t_exptime=100..200"``.
    archive : str
        Base URL of a mirror; empty: MAST.
    patience : Patience, optional
        How long to try.

    Returns
    -------
    Found
        The manifest, and the archive's tables of observations and products.

    Raises
    ------
    ConfigError
        If there is nothing of the kind, or the question makes no sense.
    TransientError
        If the archive cannot be reached, or its answer does not add up.
    """
    query = Query(
        "tess",
        sectors=parse_sectors(_words(sectors)),
        camera=camera,
        ccd=ccd,
        targets=_words(targets),
        products=_words(products),
        where=_words(where),
    )
    with archive_at(archive, patience) as there:
        return search(query, there)


def kepler(
    targets: Words, *, products: Words = (), where: Words = (), archive: str = "", patience: Patience | None = None
) -> Found:
    """Find Kepler and K2 files of stars, by KIC or EPIC; target pixel files by default. Arguments and errors as those of `tess`."""
    query = Query("kepler", targets=_words(targets), products=_words(products), where=_words(where))
    with archive_at(archive, patience) as there:
        return search(query, there)


def hst(
    instrument: str = "",
    *,
    programme: str | int = "",
    targets: Words = (),
    grating: str = "",
    time_tag: bool = False,
    products: Words = (),
    where: Words = (),
    archive: str = "",
    patience: Patience | None = None,
) -> Found:
    """Find COS and STIS files; photon lists and extracted spectra by default.

    Parameters
    ----------
    instrument : str
        ``cos`` or ``stis``; empty: both.
    programme : str or int
        Number of the observing programme.
    targets : str or sequence
        As the observer named them.
    grating : str
        For example ``G130M``.
    time_tag : bool
        Only exposures that list photons.
    products, where, archive, patience
        As those of `tess`.

    Returns
    -------
    Found

    Raises
    ------
    ConfigError, TransientError
        As `tess`.
    """
    query = Query(
        "hst",
        targets=_words(targets),
        products=_words(products),
        instrument=instrument.lower(),
        programme=str(programme),
        grating=grating,
        time_tag=time_tag,
        where=_words(where),
    )
    with archive_at(archive, patience) as there:
        return search(query, there)


def columns(archive: str = "", patience: Patience | None = None) -> Table:
    """Return what ``where`` can filter on: name, label, unit, kind of values, and an example of each column of the archive.

    Raises
    ------
    TransientError
        If the archive cannot be reached.
    """
    with archive_at(archive, patience) as there:
        found = there.portal.columns()
    head = {"column": "", "label": "text", "unit": "vot.unit", "type": "vot.datatype", "example": "example"}
    rows = [
        {title: str(facts.get(key) or "") if key else name for title, key in head.items()}
        for name, facts in sorted(found.items())
    ]
    return Table({title: [row[title] for row in rows] for title in head})


def fetch(
    workspace: str | Path,
    what: Found | Manifest,
    *,
    again: bool = False,
    record: str | Path | None = None,
    reporter: Reporter | None = None,
    patience: Patience | None = None,
) -> Outcome:
    """Fetch files into a workspace; those that are there are left alone.

    Parameters
    ----------
    workspace : str or Path
        Its ``[acquire]`` says which archive, whether the cloud, how many at a time, and how fast.
    what : Found or Manifest
        What is wanted.
    again : bool
        Ask for files in quarantine, too.
    record : str or Path, optional
        Where the record goes; in ``PROJ`` by default.
    reporter : Reporter, optional
        Takes the news.
    patience : Patience, optional
        How long to try.

    Returns
    -------
    Outcome
        What came, and what did not, with the reasons.

    Raises
    ------
    ConfigError
        If it is no workspace, or another acquisition is at work there.
    StoreError
        If there is not enough room, or the disk cannot be written.
    """
    root = Path(workspace)
    config = load(root)
    params = config.acquire
    manifest = what.manifest if isinstance(what, Found) else what
    paths, files = paths_of(root), config.files
    with archive_at(params.archive, patience, params.parallel) as there, shared(paths, files.mode, files.group):
        return acquire_manifest(
            paths,
            manifest,
            there,
            cloud=params.cloud,
            parallel=params.parallel,
            bandwidth=params.bandwidth * 1e6,
            again=again,
            record=None if record is None else Path(record),
            reporter=reporter,
        )


def repeat(workspace: str | Path, record: str | Path, patience: Patience | None = None) -> Outcome:
    """Fetch again what a record says, bit for bit; a file that the archive has changed since is named, and not taken.

    Raises
    ------
    ConfigError, StoreError
        As `fetch`, or if it is no record.
    """
    return fetch(workspace, read_record(Path(record)), patience=patience)


def paths_of(root: Path) -> Paths:
    """Return the names of a workspace's files; RAW, and so what is known of it, is that of all its projects."""
    config = load(root)
    space = config.workspace
    return Paths(root, space.base, space.red, space.lc, database=config.database.url)


@contextmanager
def archive_at(
    base: str, patience: Patience | None = None, parallel: int = AcquireParams().parallel
) -> Iterator[Archive]:
    """Yield an archive, and let go of it.

    Parameters
    ----------
    base : str
        Of a mirror; empty: MAST.
    patience : Patience, optional
        How long to try.
    parallel : int
        Connections.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3", "").rstrip("/")
    with Wire(patience, parallel) as wire:
        yield Archive(wire, base.rstrip("/"), f"{endpoint}/stpubdata" if endpoint else "")


def _words(given: Words) -> tuple[str, ...]:
    values = [given] if isinstance(given, str | int) else given
    return tuple(str(value) for value in values if str(value))
