"""Write the pixels around stars in other people's formats: one file a star and observation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from cuvee.errors import BadData, ConfigError
from cuvee.export.files import LightCurveSource, file_name
from cuvee.export.hdf5 import hdf5_bytes, hdf5_name
from cuvee.export.pixels import RawSeries, TargetPixels, cut_targets
from cuvee.export.rows import Observation, observations
from cuvee.export.tpf import tpf_bytes
from cuvee.model.instrument import Instrument
from cuvee.store.atomic import atomic_path

__all__ = ["PIXEL_FORMATS", "PixelSource", "export_pixels"]

PIXEL_FORMATS: dict[str, tuple[Callable[[str, TargetPixels], bytes], int]] = {
    "tpf": (tpf_bytes, 11),
    "hdf5": (hdf5_bytes, 13),
}
"""What writes each format, and how many rows and columns it cuts unless told otherwise."""

_LARGEST = 201
"""Rows and columns; a larger cut is a frame, not a target."""


class PixelSource(LightCurveSource, Protocol):
    """Where light curves and their raw files come from; `cuvee.survey.Survey` is one."""

    @property
    def device(self) -> Instrument:
        """The instrument, which reads the raw files."""

    def raw_series(self, segment: str, detector: str, series: str, ids: Collection[int]) -> RawSeries:
        """Return the raw files behind light curves, and what is needed to cut some stars out of them."""


def _name(instrument: str, format: str, target: TargetPixels, repeated: bool) -> str:  # noqa: A002
    if format == "hdf5":
        return hdf5_name(target, repeated)
    return file_name(instrument, target.observation.row, "fits", repeated, "tp")


def export_pixels(
    source: PixelSource,
    ids: Collection[int] | None,
    format: str,  # noqa: A002 (the word of the command line)
    folder: Path,
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Cut the pixels around stars out of their raw frames and write one file a star and observation.

    Parameters
    ----------
    source : PixelSource
        The survey.
    ids : collection of int, optional
        Only these stars; all of them where it is None.
    format : str
        One of `PIXEL_FORMATS`.
    folder : Path
        Where the files go; made if it is missing. Each file appears whole or not at all, and replaces one of its name.
    size : int, optional
        Rows and columns of the cut, odd; by default as `PIXEL_FORMATS` says.
    progress : callable, optional
        Called after each star and observation as ``progress(1, total)``.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    ConfigError
        If there is no such format or star, ``size`` is none, or ``folder`` is a file.
    StoreError
        If there are no light curves, or the disk is full, or the folder cannot be written.
    BadData
        If a star has no frames at hand; the others are written first.
    """
    if format not in PIXEL_FORMATS:
        raise ConfigError(f"There is no pixel format {format!r}; choose from {', '.join(PIXEL_FORMATS)}.")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder to export to.")
    write, usual = PIXEL_FORMATS[format]
    n = usual if size is None else size
    if not (1 <= n <= _LARGEST and n % 2):
        raise ConfigError(
            f"--size {n} has no middle pixel for the star, or is too large; choose an odd number up to {_LARGEST}."
        )
    index = source.index(ids)
    rows = Counter(zip(index["id"].to_pylist(), index["segment"].to_pylist(), strict=True))
    count = 0
    lacking: list[str] = []
    for table in source.batches(ids):
        for series, seen in _by_series(list(observations(table))):
            row = seen[0].row
            files = source.raw_series(
                str(row["segment"]), str(row["detector"]), series, [int(one.row["id"]) for one in seen]
            )
            done: set[int] = set()
            placed = [one for one in seen if np.isfinite(float(one.row["col"]) + float(one.row["row"]))]
            for target in cut_targets(source.device, files, placed, n):
                star = int(target.observation.row["id"])
                if target.point.size == 0 or not np.isfinite(target.flux).any():
                    continue
                content = write(source.instrument, target)
                name = _name(source.instrument, format, target, rows[star, row["segment"]] > 1)
                with atomic_path(folder / name) as temporary:
                    temporary.write_bytes(content)
                done.add(star)
                if progress is not None:
                    progress(1, index.num_rows)
            count += len(done)
            lacking += [_lack(one, files) for one in seen if int(one.row["id"]) not in done]
    if lacking:
        more = f" (and {len(lacking) - 1} more like it)" if len(lacking) > 1 else ""
        raise BadData(f"{lacking[0]}{more}; {count} files were written.", "unreadable")
    return count


def _by_series(seen: Sequence[Observation]) -> Iterator[tuple[str, list[Observation]]]:
    names = dict.fromkeys(str(one.row["series"]) for one in seen)
    for name in names:
        yield name, [one for one in seen if one.row["series"] == name]


def _lack(observation: Observation, files: RawSeries) -> str:
    row = observation.row
    what = f"Star {row['id']} has no frames in {row['segment']} {row['detector']}"
    if not files.files:
        return f"{what}: of the {files.n_known} raw files that measured it none is at hand as it was then; bring them back or run again"
    return f"{what}: none of its points has a time, a position and a raw file that can be read"
