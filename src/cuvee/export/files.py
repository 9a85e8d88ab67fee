"""Write light curves in other people's formats: one file a star and observation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from cuvee.errors import ConfigError
from cuvee.export.csv import csv_bytes
from cuvee.export.fits import fits_bytes
from cuvee.export.rows import Observation, observations, star_name
from cuvee.store.atomic import atomic_path

__all__ = ["FORMATS", "check_format", "export", "file_name"]

FORMATS: dict[str, Callable[[str, Observation], bytes]] = {"fits": fits_bytes, "csv": csv_bytes}
"""What writes each format; a format's name is the suffix of its files."""


def file_name(instrument: str, row: Mapping[str, Any], suffix: str, repeated: bool = False) -> str:
    """Name the exported file of one row.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    row : mapping
        Plain columns of the row.
    suffix : str
        ``fits`` or ``csv``.
    repeated : bool
        Whether the star has more than one row in this segment, so that detector and series must be in the name as well.

    Returns
    -------
    str
        For example ``hlsp_cuvee_tess_ffi_s0008-TIC0000000144996772_tess_v1_llc.fits``.
    """
    catalog, star = star_name(instrument, int(row["id"]))
    segment, detector, series = (str(row[name]) for name in ("segment", "detector", "series"))
    kind = "tpf" if str(row.get("kind", "")).startswith("tpf") or instrument == "kepler" else "ffi"
    where = f"{segment}-{detector}-{series}" if repeated else segment
    return f"hlsp_cuvee_{instrument}_{kind}_{where}-{catalog}{star:016d}_{instrument}_v1_llc.{suffix}"


def check_format(name: str) -> None:
    """Refuse a format that there is not.

    Raises
    ------
    ConfigError
        Naming those that there are.
    """
    if name not in FORMATS:
        raise ConfigError(f"There is no export format {name!r}; choose from {', '.join(sorted(FORMATS))}.")


def export(
    tables: Iterable[pa.Table],
    instrument: str,
    format: str,  # noqa: A002  (the word of the command line)
    folder: Path,
    repeated: Collection[tuple[int, str]] = frozenset(),
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write one file a row: one star in one observation.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Rows of the light-curve store, in pieces that fit into memory.
    instrument : str
        Name of the instrument.
    format : str
        One of `FORMATS`.
    folder : Path
        Where the files go; made if it is missing. Each file appears whole or not at all.
    repeated : collection of (id, segment)
        Stars with more than one row in a segment; their files also name detector and series.
    progress : callable, optional
        Called with 1 after each file.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    ConfigError
        If there is no such format, or ``folder`` is a file.
    StoreError
        If the disk is full or the folder cannot be written.
    """
    check_format(format)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder to export to.")
    count = 0
    for table in tables:
        for observation in observations(table):
            key = (int(observation.row["id"]), str(observation.row["segment"]))
            content = FORMATS[format](instrument, observation)
            with atomic_path(folder / file_name(instrument, observation.row, format, key in repeated)) as temporary:
                temporary.write_bytes(content)
            count += 1
            if progress is not None:
                progress(1)
    return count
