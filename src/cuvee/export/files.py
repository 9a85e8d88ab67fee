"""Write light curves in other people's formats: one file a star and observation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.export.csv import csv_bytes
from cuvee.export.ecsv import ecsv_bytes
from cuvee.export.fits import fits_bytes
from cuvee.export.photons import photon_fits_bytes, photon_name, photon_observation
from cuvee.export.resolved import resolved_tables
from cuvee.export.rows import Observation, observations, star_name
from cuvee.export.votable import votable_bytes
from cuvee.store.atomic import atomic_path

__all__ = ["FORMATS", "LightCurveSource", "PhotonSource", "export", "export_photons", "file_name"]

FORMATS: dict[str, Callable[[str, Observation], bytes]] = {
    "fits": fits_bytes,
    "csv": csv_bytes,
    "ecsv": ecsv_bytes,
    "votable": votable_bytes,
}
"""What writes each format."""

SUFFIXES = {"votable": "vot"}
"""Suffix of the files of a format, where it is not the format's name."""


class PhotonSource(Protocol):
    """Where light curves of photons come from; `Survey.counted` is one."""

    @property
    def instrument(self) -> str:
        """Name of the instrument."""

    def count_exposures(self, ids: Collection[Any] | None = None) -> int:
        """Return how many exposures and composites there are (of some targets)."""

    def exposures(self, ids: Collection[Any] | None = None) -> Iterator[tuple[Observation, Mapping[str, Any]]]:
        """Walk through them, each with what is known of it."""

    def exposure(self, series: str) -> tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]:
        """Return what was counted in an exposure: facts, and arrays by name."""


class LightCurveSource(Protocol):
    """Where light curves come from; `cuvee.survey.Survey` is one."""

    @property
    def instrument(self) -> str:
        """Name of the instrument."""

    def index(self, ids: Collection[int] | None = None) -> pa.Table:
        """Return the columns ``id`` and ``segment`` of the rows there are (of some stars)."""

    def batches(self, ids: Collection[int] | None = None) -> Iterator[pa.Table]:
        """Walk through the rows (of some stars) in pieces that fit into memory."""


def file_name(
    instrument: str, row: Mapping[str, Any], suffix: str, repeated: bool = False, product: str = "llc"
) -> str:
    """Name the exported file of one row.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    row : mapping
        Plain columns of the row.
    suffix : str
        ``fits``, ``csv``, ``ecsv`` or ``vot``.
    repeated : bool
        Whether the star has more than one row in this segment, so that detector and series must be in the name as well.
    product : str
        ``llc`` for light curves, ``tp`` for target pixels.

    Returns
    -------
    str
        For example ``hlsp_cuvee_tess_ffi_s0008-TIC0000000144996772_tess_v1_llc.fits``.
    """
    catalog, star = star_name(instrument, int(row["id"]))
    segment, detector, series = (str(row[name]) for name in ("segment", "detector", "series"))
    kind = "tpf" if instrument == "kepler" else "ffi"
    where = f"{segment}-{detector}-{series}" if repeated else segment
    return f"hlsp_cuvee_{instrument}_{kind}_{where}-{catalog}{star:016d}_{instrument}_v1_{product}.{suffix}"


def export(
    survey: LightCurveSource,
    ids: Collection[int] | None,
    format: str,  # noqa: A002 (the word of the command line)
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write one file a row: one star in one observation.

    Parameters
    ----------
    survey : LightCurveSource
        The survey.
    ids : collection of int, optional
        Only these stars; all of them where it is None.
    format : str
        One of `FORMATS`.
    folder : Path
        Where the files go; made if it is missing. Each file appears whole or not at all, and replaces one of its name.
    progress : callable, optional
        Called after each file as ``progress(1, total)``.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    ConfigError
        If there is no such format or no such star, or ``folder`` is a file.
    StoreError
        If there are no light curves, or the disk is full, or the folder cannot be written.
    """
    _check(format, folder)
    index = survey.index(ids)
    rows = Counter(zip(index["id"].to_pylist(), index["segment"].to_pylist(), strict=True))
    count = 0
    for table in survey.batches(ids):
        for observation in observations(table):
            row = observation.row
            content = FORMATS[format](survey.instrument, observation)
            suffix = SUFFIXES.get(format, format)
            name = file_name(survey.instrument, row, suffix, repeated=rows[row["id"], row["segment"]] > 1)
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(content)
            count += 1
            if progress is not None:
                progress(1, index.num_rows)
    return count


def export_photons(
    survey: PhotonSource,
    ids: Collection[Any] | None,
    format: str,  # noqa: A002 (the word of the command line)
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write one file an exposure of photons, and one a composite.

    Parameters
    ----------
    survey : PhotonSource
        The survey.
    ids, format, folder, progress
        As in `export`.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    ConfigError, StoreError
        As `export`; or if what was counted in an exposure is gone.
    """
    _check(format, folder)
    total, count = survey.count_exposures(ids), 0
    for stored, facts in survey.exposures(ids):
        observation = photon_observation(stored, facts)
        if format == "fits":
            content = photon_fits_bytes(survey.instrument, observation, facts)
            if facts.get("resolved"):
                _, arrays = survey.exposure(observation.row["series"])
                content += resolved_tables(arrays, np.isfinite(observation.points["time"]))
        else:
            content = FORMATS[format](survey.instrument, observation)
        name = photon_name(survey.instrument, observation.row, facts, SUFFIXES.get(format, format))
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
        count += 1
        if progress is not None:
            progress(1, total)
    return count


def _check(format: str, folder: Path) -> None:  # noqa: A002
    if format not in FORMATS:
        raise ConfigError(f"There is no export format {format!r}; choose from {', '.join(FORMATS)}.")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder to export to.")
