"""Which strips of the TIC a workspace needs, and which of them it has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cuvee.acquire.api import archive_at
from cuvee.acquire.strips import N_STRIP, Strip, strips_between
from cuvee.acquire.wire import Patience
from cuvee.catalog.project import declination_range
from cuvee.config import load
from cuvee.errors import ConfigError, StoreError, TransientError
from cuvee.run.facts import footprint_facts, footprint_from
from cuvee.run.options import Reporter, RunOptions
from cuvee.run.stage import Product
from cuvee.run.start import look_at_images
from cuvee.sky.strip_fetch import StripOutcome, fetch_strips, named_tic, stored_strips, strip_sizes, tic_folder
from cuvee.store.sky_store import STORE_ORDER, is_stored

__all__ = ["DRIFT", "Listed", "list_strips", "strips_for_run", "strips_met", "strips_of"]

DRIFT = 0.1
"""How far a star may have come since the catalogue's epoch (deg): the fastest comes 0.087 deg in thirty years."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What is known of a strip that has not been fetched.

    Parameters
    ----------
    strip : Strip
        Which.
    here : bool
        Whether the stored catalogue has it.
    size : int
        Bytes of the archive's file; -1 where nobody knows.
    message : str
        What the archive says if it is not to be had.
    """

    strip: Strip
    here: bool
    size: int = -1
    message: str = ""


def strips_met(
    root: Path, reporter: Reporter, known: Collection[Strip] = (), options: RunOptions | None = None
) -> set[Strip]:
    """Return the strips in which stars lie that the images of a workspace may show.

    Parameters
    ----------
    root : Path
        The workspace.
    reporter : Reporter
        Takes the news.
    known : collection of Strip
        Strips that need not be found.
    options : RunOptions, optional
        Of the run that it is for.

    Raises
    ------
    ConfigError
        If there are no images, or it is no workspace.
    """
    products = look_at_images(root, reporter, options)
    return strips_of(products, load(root).targets.margin, known)


def strips_of(products: Iterable[Product], margin: float, known: Collection[Strip] = ()) -> set[Strip]:
    """Return the strips in which stars lie that fall on some footprints.

    Parameters
    ----------
    products : iterable of Product
        Footprints.
    margin : float
        How far off the pixels a star may lie (px).
    known : collection of Strip
        Strips that need not be found; where they are all that a footprint may meet, it is not looked at closely.
    """
    found: set[Strip] = set()
    by_cells: dict[tuple[int, ...], set[Strip]] = {}
    for product in products:
        cells = tuple(product.meta["cells"])
        if cells not in by_cells:
            by_cells[cells] = _strips_of_cells(cells)
        if not by_cells[cells] - found - set(known):
            continue
        low, high = declination_range(footprint_from(footprint_facts(product)), margin, DRIFT)
        found.update(strips_between(low, high))
    return found


def _strips_of_cells(cells: Sequence[int]) -> set[Strip]:
    from cdshealpix.nested import vertices

    _, lat = vertices(np.asarray(cells, dtype=np.uint64), STORE_ORDER)
    return set(strips_between(float(lat.to_value("deg").min()), float(lat.to_value("deg").max())))


def strips_for_run(
    root: Path, reporter: Reporter, patience: Patience | None = None, options: RunOptions | None = None
) -> StripOutcome | None:
    """Fetch the strips that the images of a workspace meet, where ``[acquire]`` wants something and ``[catalog]`` names the TIC.

    Parameters
    ----------
    root : Path
        The workspace.
    reporter : Reporter
        Takes the news.
    patience : Patience, optional
        How long to try.
    options : RunOptions, optional
        Of the run.

    Returns
    -------
    StripOutcome or None
        None where nothing is missing, or nobody can know. Where ``[acquire]`` wants nothing, nothing is fetched, and what a stored catalogue lacks
        is ``wanted``.

    Raises
    ------
    ConfigError
        If there are no images, or another acquisition is at work.
    StoreError
        If there is not enough room, the disk cannot be written, or nothing of the catalogue is there and nothing came.
    """
    config, folder = load(root), named_tic(root)
    if folder is None:
        return None
    wants = bool(config.acquire.sector or config.acquire.target)
    try:
        known = stored_strips(folder)
    except ConfigError:  # somebody's own table of that name
        return None
    if len(known) == N_STRIP or not (wants or known):
        return None
    lacking = tuple(sorted(strips_met(root, reporter, known, options) - known))
    if not lacking:
        return None
    if not wants:
        return StripOutcome(lacking, folder, trouble={"wanted": [(strip, "") for strip in lacking]})
    outcome = fetch_strips(root, lacking, reporter, patience=patience)
    if not is_stored(folder):
        why = outcome.offline or "; ".join(message for pairs in outcome.trouble.values() for _, message in pairs)
        raise StoreError(f"There is no catalogue for this run, and none of its {len(lacking)} strips came: {why}")
    return outcome


def list_strips(root: Path, strips: Iterable[Strip], patience: Patience | None = None) -> tuple[list[Listed], str]:
    """Say of strips whether they are there, and how large they are if not.

    Parameters
    ----------
    root : Path
        The workspace.
    strips : iterable of Strip
        Which.
    patience : Patience, optional
        How long to try.

    Returns
    -------
    listed : list of Listed
        From south to north.
    offline : str
        Why the archive could not be asked; empty where it was, or need not be.
    """
    wanted = sorted(strips)
    known = stored_strips(tic_folder(root))
    sizes: dict[Strip, int | str] = {}
    offline = ""
    params = load(root).acquire
    with archive_at(params.archive, patience, params.parallel) as archive:
        try:
            sizes = strip_sizes(archive, [strip for strip in wanted if strip not in known], params.parallel)
        except TransientError as error:
            offline = error.message
    listed = []
    for strip in wanted:
        size = sizes.get(strip, -1)
        told = isinstance(size, str)
        listed.append(Listed(strip, strip in known, -1 if told else int(size), str(size) if told else ""))
    return listed, offline
