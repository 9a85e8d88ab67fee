"""The raw files behind light curves: which of them are still what was measured."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import StoreError
from cuvee.export import RawSeries
from cuvee.model.keys import DataId, block_of
from cuvee.store.blocks import read_block
from cuvee.store.own_ledger import open_ledger
from cuvee.store.paths import Paths
from cuvee.store.references import read_reference
from cuvee.store.targets import read_targets

__all__ = ["raw_series"]

_COLUMNS = ("path", "size", "mtime_ns", "inode", "kind", "first_cadence", "state")
_Errors = dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]]


def raw_series(
    paths: Paths, instrument: str, segment: str, detector: str, series: str, ids: Collection[int]
) -> RawSeries:
    """Return the raw files of a series, and what is needed to cut some of its stars out of them.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    instrument, segment, detector, series : str
        As in a row of the light curves.
    ids : collection of int
        The stars.

    Returns
    -------
    RawSeries
        Files that are gone, in quarantine, or not as they were when they were measured are left out; reference image, targets
        and flux blocks are taken where they are still there.

    Raises
    ------
    StoreError
        If there is no ledger.
    """
    with open_ledger(paths, read_only=True) as ledger:
        found = ledger.columns("files", _COLUMNS, segment=segment, detector=detector, series=series)
    rows = sorted(zip(*found, strict=True), key=lambda row: (row[5], row[0]))
    kind = str(rows[0][4]) if rows else ""
    files = tuple(str(row[0]) for row in rows if row[6] == "" and _is_as_it_was(str(row[0]), row[1:4]))
    unit = DataId(instrument, segment, detector, kind, series)
    wcs = ""
    radii: tuple[float, ...] = ()
    if (image := paths.reference(unit)).exists():
        wcs = read_reference(image).wcs
    errors: _Errors = {}
    gain: dict[int, float] = {}
    if (table := paths.targets(unit.group)).exists():
        targets = read_targets(table)
        radii = targets.radii
        numbers = np.flatnonzero(np.isin(targets.id, list(ids)) & (targets.series == series))
        blocks = [""] if kind != "ffi" else list(dict.fromkeys(block_of(int(row[5])) for row in rows))
        errors, gain = _from_blocks(paths, unit, blocks, numbers, targets.id)
    return RawSeries(kind, files, len(rows), wcs, radii, errors, gain)


def _is_as_it_was(path: str, state: Sequence[int]) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns, found.st_ino) == tuple(state)


def _from_blocks(
    paths: Paths, unit: DataId, blocks: Sequence[str], numbers: NDArray[np.int64], ids: NDArray[np.int64]
) -> tuple[_Errors, dict[int, float]]:
    """Return cadences and errors of the background by star, and the columns' gain, from the flux blocks that are still there."""
    gain: dict[int, float] = {}
    cadences: list[NDArray[np.int64]] = []
    errors: list[NDArray[np.float32]] = []
    for part in blocks:
        try:
            block = read_block(paths.fluxes(unit._replace(part=part)))
        except StoreError:
            continue  # not kept ([keep] flux_blocks), or to be made again by the next run
        gain = dict(block.meta.get("gain", ()))
        at = np.searchsorted(block.rows, numbers)
        if at.size and at.max() < block.rows.size and np.array_equal(block.rows[at], numbers):
            cadences.append(block.moments.cadence)
            errors.append(block.planes["background_err"][at])
    if not cadences:
        return {}, gain
    cadence, error = np.concatenate(cadences), np.concatenate(errors, axis=1)
    return {int(ids[number]): (cadence, error[k]) for k, number in enumerate(numbers.tolist())}, gain
