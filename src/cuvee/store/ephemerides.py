"""Tables that say where known moving objects are on the sky, in any format that a catalogue may have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from cuvee.errors import ConfigError
from cuvee.model.moving import Ephemerides
from cuvee.model.records import BJD_OFFSET
from cuvee.store.catalog_columns import Column
from cuvee.store.catalog_formats import OpenTable, open_table

__all__ = ["read_ephemerides"]

NAMES = {
    "name": ("name", "targetname", "target", "object", "designation"),
    "time": ("time", "jd", "datetimejd", "bjd", "bjdtdb", "jdtdb"),
    "ra": ("ra",),
    "dec": ("dec",),
    "mag": ("mag", "tmag", "v", "vmag"),
}
"""Names of each column, without blanks and underscores, in any case; JPL Horizons' are among them. Of several the first is taken."""
PLAUSIBLE = (2_400_000.0, 2_500_000.0)
"""Julian dates from 1858 to 2132."""


def read_ephemerides(paths: Sequence[Path]) -> Ephemerides:
    """Read tables of known moving objects.

    Parameters
    ----------
    paths : sequence of Path
        csv, ECSV, FITS, VOTable or Parquet; a row an object and time. Columns ``name``, ``time`` (JD; TDB, though UTC is 69 s off only), ``ra``, ``dec`` (deg,
        ICRS, astrometric, as seen from the spacecraft), and ``mag``, which may be missing.

    Returns
    -------
    Ephemerides
        Sorted by name and time.

    Raises
    ------
    ConfigError
        If a file is no table, lacks a column, or has a row that cannot be; or an object has one row only, or two for the same time.
    """
    every = [_read(path) for path in paths]
    known = Ephemerides(*(np.concatenate([getattr(one, name) for one in every]) for name in Ephemerides.__slots__))
    order = np.lexsort((known.time, known.name))
    known = Ephemerides(*(getattr(known, name)[order] for name in Ephemerides.__slots__))
    same = known.name[1:] == known.name[:-1]
    twice = np.flatnonzero(same & (np.diff(known.time) <= 0.0))
    where = ", ".join(map(str, paths))
    if twice.size:
        k = int(twice[0])
        raise ConfigError(f"{where}: {known.name[k]} has two rows for JD {known.time[k] + BJD_OFFSET:.6f}; remove one.")
    names, count = np.unique(known.name, return_counts=True)
    if (count < 2).any():
        raise ConfigError(
            f"{where}: {names[count < 2][0]} has one row only; positions are interpolated between rows, say every six hours."
        )
    return known


def _read(path: Path) -> Ephemerides:
    table = open_table(path)
    columns = {role: _column(table, names) for role, names in NAMES.items()}
    missing = [role for role in ("name", "time", "ra", "dec") if columns[role] is None]
    if missing:
        raise ConfigError(
            f"{path} has no column {missing[0]}; a table of moving objects needs name, time (JD), ra and dec (deg), and has "
            f"{', '.join(table.names) or 'no column names'}."
        )
    known = {role: number for role, number in columns.items() if number is not None}
    loaded = table.load({number: pa.string() if role == "name" else pa.float64() for role, number in known.items()})
    cells = {role: Column(table, number, loaded[number]) for role, number in known.items()}
    words = cells["name"].words().to_pylist()
    values = {"time": cells["time"].scaled("d"), "ra": cells["ra"].scaled("deg"), "dec": cells["dec"].scaled("deg")}
    fine = {
        "time": (values["time"] >= PLAUSIBLE[0]) & (values["time"] <= PLAUSIBLE[1]),
        "ra": np.abs(values["ra"] - 180.0) <= 180.0,
        "dec": np.abs(values["dec"]) <= 90.0,
    }
    need = {"time": "where a Julian date is needed", "ra": "where 0 to 360 deg are", "dec": "where -90 to 90 deg are"}
    for role, good in fine.items():
        if not good.all():
            raise cells[role].complain(int(np.flatnonzero(~good)[0]), need[role])
    if None in words:
        raise cells["name"].complain(words.index(None), "where the object's name is needed")
    mag = cells["mag"].floats() if "mag" in cells else np.full(len(words), np.nan)
    return Ephemerides(np.array(words, np.str_), values["time"] - BJD_OFFSET, values["ra"], values["dec"], mag)


def _column(table: OpenTable, names: Sequence[str]) -> int | None:
    plain = [re.sub(r"[\s_\-]", "", name).casefold() for name in table.names]
    return next((plain.index(name) for name in names if name in plain), None)
