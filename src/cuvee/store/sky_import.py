"""Take a catalogue file into the store: read as a stream, sorted by place on the sky, written cell by cell.

The TIC is 90 files of up to thirty million rows of 125 columns, so no file is ever in memory as a whole: while one part of it is parsed, the part
before is sorted and written. A file is there when all of it is, and not before.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cuvee.catalog.stars import HEALPIX_ORDER, healpix_index
from cuvee.errors import ConfigError, StoreError
from cuvee.store.atomic import sync_folder
from cuvee.store.sky_columns import column_types, rows_of
from cuvee.store.sky_store import (
    PIXEL_COLUMN,
    STORE_ORDER,
    Source,
    StoredCatalog,
    cell_file,
    is_stored,
    read_catalog,
    write_catalog,
)

__all__ = ["import_table", "md5_list", "taking_folder"]

PART = 300_000
"""Rows that are sorted together: of the TIC some 300 MB, three of which are in memory."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Counts:
    n_row: int = 0
    n_off: int = 0


def md5_list(path: Path) -> dict[str, str]:
    """Read MAST's ``md5sum.txt``.

    Parameters
    ----------
    path : Path
        Lines of a sum and a name, which may have ``*`` before it.

    Returns
    -------
    dict of str to str
        Sums by name; the sum of a ``.csv.gz`` stands under ``.csv``, for it is that of the uncompressed file.

    Raises
    ------
    ConfigError
        If it is no such list.
    """
    found = {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*([0-9a-fA-F]{32})\s+\*?(\S+)\s*", line)
        if match is None:
            raise ConfigError(f"{path}: line {number} is no md5 sum with a file name; fetch the list again.")
        found[Path(match[2]).name.removesuffix(".gz")] = match[1].lower()
    return found


def taking_folder(folder: Path, name: str) -> Path:
    """Return where the rows of a file are until all of them are there; what lies there after a kill is of no use."""
    return folder / f".taking-{name}"


def import_table(path: Path, folder: Path, name: str, md5: str, progress: Progress) -> Source:
    """Take one file into a stored catalogue.

    Parameters
    ----------
    path : Path
        A table as `cuvee.store.catalog_formats.open_table` reads it; text may be of any length.
    folder : Path
        Root of the catalogue; made if it is missing.
    name : str
        What the catalogue is called.
    md5 : str
        What the md5 of the uncompressed bytes must be; empty if that is unknown.
    progress : callable
        ``progress(bytes read, bytes in all)`` of the file.

    Returns
    -------
    Source
        As it was before, if the same bytes were taken in before.

    Raises
    ------
    ConfigError
        If the file is no table, or lacks id or position, or has other columns than the catalogue, or is not what ``md5`` says.
    StoreError
        If the store cannot be written.
    """
    known = read_catalog(folder) if is_stored(folder) else None
    types, roles = column_types(path)
    if known is not None:
        _check_same(path, known, types)
    with ExitStack() as stack:
        temporary = taking_folder(folder, path.name)
        shutil.rmtree(temporary, ignore_errors=True)
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        source = _take(path, temporary, types, roles, progress)
        if md5 and source.md5 != md5:
            raise ConfigError(
                f"{path} is damaged: its md5 is {source.md5}, and should be {md5}; fetch it again (nothing was taken in)."
            )
        before = [] if known is None else [one for one in known.sources if one.file == source.file]
        if source in before:
            return source
        _publish(temporary, folder, source.tag)
        kept = () if known is None else tuple(one for one in known.sources if one.file != source.file)
        catalog = known or StoredCatalog(name, {column: str(kind) for column, kind in types.items()}, roles)
        write_catalog(folder, replace(catalog, sources=tuple(sorted((*kept, source), key=lambda one: one.tag))))
        for old in before:
            _remove(folder, old.tag)
    return source


def _check_same(path: Path, known: StoredCatalog, types: Mapping[str, pa.DataType]) -> None:
    if set(types) != set(known.columns):
        odd = sorted(set(types) ^ set(known.columns))
        where = "lacks" if odd[0] in known.columns else "has"
        raise ConfigError(
            f"{path} {where} the column {odd[0]} and so is no part of the catalogue {known.name!r}, which has {len(known.columns)} columns; "
            "take it in under another name with --name."
        )


def _take(
    path: Path, temporary: Path, types: Mapping[str, pa.DataType], roles: Mapping[str, str], progress: Progress
) -> Source:
    """Write all rows of a file to a folder, and say what they were."""
    digest, counts = hashlib.md5(usedforsecurity=False), _Counts()
    writers: dict[int, pq.ParquetWriter] = {}
    try:
        with ThreadPoolExecutor(1) as pool:
            pending: Future[None] | None = None
            for part in _parts(rows_of(path, types, digest, progress)):
                if pending is not None:
                    pending.result()
                pending = pool.submit(_write_part, part, roles, temporary, writers, counts)
            if pending is not None:
                pending.result()
    except OSError as error:
        raise StoreError(
            f"Cannot write {temporary.parent}: {error.strerror or error}; free some space, then do it again."
        ) from error
    finally:
        for writer in writers.values():
            writer.close()
    if counts.n_row == 0:
        raise ConfigError(f"{path} has no row with a position; fetch the table again.")
    stem = re.sub(r"[^A-Za-z0-9_.+-]", "_", path.name.removesuffix(".gz").rsplit(".", 1)[0])
    md5 = digest.hexdigest()
    return Source(path.name, f"{stem}-{md5[:8]}", md5, counts.n_row, counts.n_off)


def _parts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Gather batches to parts of some `PART` rows."""
    gathered: list[pa.RecordBatch] = []
    n = 0
    for batch in batches:
        gathered.append(batch)
        n += batch.num_rows
        if n >= PART:
            yield pa.Table.from_batches(gathered)
            gathered, n = [], 0
    if n:
        yield pa.Table.from_batches(gathered)


def _write_part(
    part: pa.Table, roles: Mapping[str, str], temporary: Path, writers: dict[int, pq.ParquetWriter], counts: _Counts
) -> None:
    """Sort rows by place on the sky and add them to the files of their cells."""
    ra, dec = (_floats(part[roles[axis]]) for axis in ("ra", "dec"))
    there = (ra >= 0.0) & (ra <= 360.0) & (np.abs(dec) <= 90.0)
    counts.n_off += int(ra.size - np.count_nonzero(there))
    rows = np.flatnonzero(there)
    index = healpix_index(np.where(ra == 360.0, 0.0, ra)[rows], dec[rows])
    order = np.argsort(index, kind="stable")
    index = index[order]
    taken = part.take(pa.array(rows[order])).combine_chunks()
    taken = taken.add_column(0, PIXEL_COLUMN, pa.array(index))
    pixels = index >> 2 * (HEALPIX_ORDER - STORE_ORDER)
    edges = np.flatnonzero(np.diff(pixels, prepend=-1, append=-1)) if index.size else np.zeros(1, np.int64)
    for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        pixel = int(pixels[first])
        if pixel not in writers:
            path = cell_file(temporary, pixel, "x")
            path.parent.mkdir(parents=True, exist_ok=True)
            # LZ4 rather than zstd: a tenth larger, and written in two thirds of the time.
            writers[pixel] = pq.ParquetWriter(
                path,
                taken.schema,
                compression="lz4",
                use_dictionary=False,
                write_statistics=[PIXEL_COLUMN],
            )
        writers[pixel].write_table(taken.slice(first, last - first))
    counts.n_row += int(rows.size)


def _floats(column: pa.ChunkedArray) -> Any:
    return pc.fill_null(pc.cast(column, pa.float64()), float("nan")).to_numpy()


def _publish(temporary: Path, folder: Path, tag: str) -> None:
    """Give the files of a source the names under which readers look, all before the index names the source."""
    for path in sorted(temporary.glob("Norder=*/Dir=*/Npix=*/*.parquet")):
        target = cell_file(folder, int(path.parent.name.removeprefix("Npix=")), tag)
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        path.replace(target)
        sync_folder(target.parent)


def _remove(folder: Path, tag: str) -> None:
    for path in folder.glob(f"Norder=*/Dir=*/Npix=*/{tag}-Npix*.parquet"):
        path.unlink()
