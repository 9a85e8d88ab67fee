"""The photon lists behind a light curve, opened anew."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cuvee.errors import BadData, ConfigError
from cuvee.events.screen import EventList
from cuvee.model.instrument import Instrument
from cuvee.model.keys import DataId
from cuvee.run.inputs import open_photons
from cuvee.run.stage import Product
from cuvee.run.streams import StreamLog
from cuvee.store.own_ledger import open_ledger
from cuvee.store.paths import Paths

__all__ = ["RawFile", "event_lists", "raw_files"]

_COLUMNS = ("path", "size", "mtime_ns", "inode", "name", "series")


class RawFile(NamedTuple):
    """A raw file that a light curve was made of.

    Parameters
    ----------
    kind : str
        ``events`` or ``spectrum``.
    path : str
        Where it is; empty where the ledger has lost it.
    content : str
        XXH3-128 when it was measured.
    state : str
        ``unchanged``, ``touched`` (its date or place is another; what is in it may be the same) or ``gone``.
    """

    kind: str
    path: str
    content: str
    state: str


def raw_files(paths: Paths, unit: DataId) -> list[RawFile]:
    """Return the files that the light curve of an exposure was made of.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    unit : DataId
        The exposure.

    Raises
    ------
    StoreError
        If there is no ledger.
    """
    with open_ledger(paths, read_only=True) as ledger:
        lineage = ledger.lineage("lightcurves", str(unit))
        columns = ledger.columns("files", _COLUMNS, segment=unit.segment, detector=unit.detector, series=unit.series)
    known = {row[4]: row for row in zip(*columns, strict=True)}
    found = []
    for row in lineage:
        path, *stat = known.get(DataId.parse(row["input_id"]).part, ("",))[:4]
        found.append(RawFile(row["input_kind"], path, row["content"], _state(path, stat)))
    return sorted(found)


def _state(path: str, stat: Sequence[int]) -> str:
    try:
        now = os.stat(path)
    except OSError:
        return "gone"
    return "unchanged" if [now.st_size, now.st_mtime_ns, now.st_ino] == list(stat) else "touched"


def event_lists(paths: Paths, device: Instrument, row: Mapping[str, Any]) -> list[EventList]:
    """Open the photon lists of an exposure, with the regions of its spectrum.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    device : Instrument
        Reads them.
    row : mapping
        ``segment``, ``detector`` and ``series`` of the light curve.

    Raises
    ------
    ConfigError
        If one of them is gone, or not as it was.
    """
    unit = DataId(device.name, str(row["segment"]), str(row["detector"]), "events", str(row["series"]))
    files = raw_files(paths, unit)
    wrong = next((one for one in files if one.state != "unchanged"), None)
    if wrong is not None or not files:
        what = "is gone" if wrong is None or wrong.state == "gone" else "has changed since its events were counted"
        name = Path(wrong.path).name if wrong is not None and wrong.path else f"A file of {unit.series}"
        raise ConfigError(
            f"{name} {what}, and events are cut from the raw files; bring it back, or run again: cuvee run"
        )
    made = [Product(one.kind, unit._replace(part=Path(one.path).name), one.content, one.path) for one in files]
    lists, spectra = ([one for one in made if one.kind == kind] for kind in ("events", "spectrum"))
    try:
        return open_photons(lists, spectra, device, StreamLog())[0]
    except BadData as error:
        raise ConfigError(f"{error.message} Run again: cuvee run") from error
