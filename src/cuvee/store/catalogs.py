"""Reference catalogues: tables of stars as people have them, and the HEALPix-partitioned store they become."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.catalog.stars import HEALPIX_ORDER, make_stars
from cuvee.errors import ConfigError, StoreError
from cuvee.model.records import Stars
from cuvee.store.arrow import column_values
from cuvee.store.atomic import atomic_path
from cuvee.store.catalog_columns import Column, find_columns
from cuvee.store.catalog_formats import open_table

__all__ = [
    "PARTITION_ORDER",
    "CatalogReport",
    "find_stars",
    "partition_files",
    "partition_tags",
    "read_partitions",
    "read_stars",
    "read_tag",
    "write_partitions",
]

PARTITION_ORDER = 5
"""HEALPix order of the catalogue's partitions: 12,288 of them, 1.8 deg wide."""

DROPPED = ("DUPLICATE", "ARTIFACT")

_COLUMNS = ("id", "ra", "dec", "mag", "pmra", "pmdec", "epoch")


@dataclass(frozen=True, slots=True)
class CatalogReport:
    """What became of the rows of one table.

    Parameters
    ----------
    path : str
        The table.
    n_row, n_star : int
        Rows in the file; stars that came of them.
    no_id : int
        Rows left out because they have no id, as those of a crossmatch without a partner.
    dispositions : mapping of str to int
        Rows left out by their disposition.
    repeated : int
        Rows left out because they repeat an earlier row (same id, position, magnitude and motion).
    first_repeat : int
        Row number (from 1) of the first of them; 0 for none.
    no_mag : int
        Stars kept that have no magnitude; they become neither targets nor contaminants.
    unread_dispositions : int
        Stars kept whose disposition is a code that TIC v8.2 does not define.
    """

    path: str
    n_row: int
    n_star: int
    no_id: int = 0
    dispositions: Mapping[str, int] = field(default_factory=dict)
    repeated: int = 0
    first_repeat: int = 0
    no_mag: int = 0
    unread_dispositions: int = 0

    @property
    def sentence(self) -> str:
        """The report in words."""
        parts = [f"{self.path}: {self.n_star} stars from {self.n_row} rows"]
        parts += [f"{count} rows of disposition {name} left out" for name, count in self.dispositions.items()]
        if self.no_id:
            parts.append(f"{self.no_id} rows without an id left out")
        if self.repeated:
            parts.append(
                f"{self.repeated} rows left out that repeat an earlier one, the first in row {self.first_repeat}"
            )
        if self.no_mag:
            parts.append(f"{self.no_mag} stars without a magnitude")
        if self.unread_dispositions:
            parts.append(f"{self.unread_dispositions} stars with a disposition unknown to TIC v8.2 kept")
        return "; ".join(parts) + "."


def read_stars(path: Path, band: str = "tess") -> tuple[Stars, CatalogReport]:
    """Read a table of stars.

    Columns are found by name, whatever the case, with or without blanks and underscores; of several that fit, the first in
    the order of `cuvee.store.catalog_columns.ID_NAMES`, ``POSITION_NAMES``, ``MAG_NAMES``, ``MOTION_NAMES``, ``EPOCH_NAMES`` is taken (so ``ra`` before
    ``RAJ2000``; ``RA_orig``, which is at another epoch, never). Where one name occurs twice, as in crossmatched tables, the
    one after the id column is meant. Tables without a header are read as TIC v8.2 bulk files.

    Parameters
    ----------
    path : Path
        csv, ECSV, FITS, VOTable or Parquet, compressed or not.
    band : str
        Which magnitude: ``tess`` or ``kepler``.

    Returns
    -------
    stars : Stars
        Sorted by HEALPix index. Positions without an epoch are of 2000. Stars without a magnitude are kept with NaN.
    report : CatalogReport
        What was left out: rows without an id, with disposition DUPLICATE or ARTIFACT, and verbatim repeats.

    Raises
    ------
    ConfigError
        If the file is no table, or lacks a column, or a row has text in a number, a position missing or off the sphere, an
        id beyond 64 bits, or the id of an earlier row with other values; file, row (from 1, header not counted) and value are
        named.
    """
    table = open_table(Path(path))
    found = find_columns(table, band)
    kinds = {
        column: pa.int64() if role == "id" else pa.string() if role == "disposition" else pa.float64()
        for role, column in found.items()
    }
    loaded = table.load(kinds)
    cells = {role: Column(table, column, loaded[column]) for role, column in found.items()}
    n_row = len(cells["id"].values)
    if n_row == 0:
        raise ConfigError(f"{path} has a header but no rows; fetch the table again.")
    ids, known = cells["id"].integers()
    dropped, unread = _dispositions(cells.get("disposition"), n_row)
    keep = known.copy()
    for rows in dropped.values():
        keep[rows] = False
    values: dict[str, Any] = {
        "ra": cells["ra"].scaled("deg"),
        "dec": cells["dec"].scaled("deg"),
        "mag": cells["mag"].floats(),
    }
    for role, unit in (("pmra", "mas / yr"), ("pmdec", "mas / yr"), ("epoch", "yr")):
        if role in cells:
            values[role] = cells[role].scaled(unit)
    for role, low, high in (("ra", 0.0, 360.0), ("dec", -90.0, 90.0)):
        bad = np.flatnonzero(keep & ~((values[role] >= low) & (values[role] <= high)))
        if bad.size:
            raise cells[role].complain(int(bad[0]), f"where {low:g} to {high:g} deg is expected")
    values["ra"][values["ra"] == 360.0] = 0.0
    rows = np.flatnonzero(keep)
    repeats = _repeats(cells["id"], ids, values, rows)
    rows = np.setdiff1d(rows, repeats, assume_unique=True)
    stars = make_stars(ids[rows], **{role: column[rows] for role, column in values.items()})
    report = CatalogReport(
        path=str(path),
        n_row=n_row,
        n_star=len(stars),
        no_id=int(n_row - known.sum()),
        dispositions={name: int(at.size) for name, at in dropped.items() if at.size},
        repeated=int(repeats.size),
        first_repeat=int(repeats.min()) + 1 if repeats.size else 0,
        no_mag=int(np.isnan(stars.mag).sum()),
        unread_dispositions=unread,
    )
    return stars, report


def _dispositions(cells: Column | None, n_row: int) -> tuple[dict[str, NDArray[np.int64]], int]:
    """Return the rows to leave out by disposition, and how many have one that is not the TIC's."""
    if cells is None or pa.types.is_null(cells.values.type):
        return {}, 0
    words = pc.utf8_upper(cells.words())
    if words.null_count == n_row:
        return {}, 0
    dropped = {}
    for name in DROPPED:
        at = pc.fill_null(pc.equal(words, name), False)
        dropped[name] = np.flatnonzero(np.asarray(at.to_numpy(), dtype=np.bool_))
    other = pc.fill_null(pc.invert(pc.is_in(words, value_set=pa.array([*DROPPED, "SPLIT"]))), False)
    unread = pc.and_(other, pc.is_valid(words))
    return dropped, int(pc.sum(unread).as_py() or 0)


def _repeats(
    cells: Column, ids: NDArray[np.int64], values: Mapping[str, NDArray[np.float64]], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the rows that say again what an earlier row says; the same id with other values is the user's to settle."""
    order = rows[np.argsort(ids[rows], kind="stable")]
    again = np.flatnonzero(ids[order][1:] == ids[order][:-1]) + 1
    later, earlier = order[again], order[again - 1]
    same = np.ones(later.size, dtype=np.bool_)
    for column in values.values():
        a, b = column[later], column[earlier]
        same &= (a == b) | (np.isnan(a) & np.isnan(b))
    if not same.all():
        at = np.flatnonzero(~same)
        k = at[np.argmin(later[at])]
        raise cells.complain(int(later[k]), f"as in row {int(earlier[k]) + 1}, but with other values")
    return later


# --- the partitioned store --------------------------------------------------------------------------------------------


def _pixel_folder(folder: Path, pixel: int) -> Path:
    return folder / f"Norder={PARTITION_ORDER}" / "Dir=0" / f"Npix={pixel}"


def write_partitions(stars: Stars, folder: Path, tag: str) -> list[Path]:
    """Write stars as one Parquet file for each HEALPix pixel of order 5.

    Files of the same tag in pixels where it no longer has stars are removed. The same stars give the same bytes.

    Parameters
    ----------
    stars : Stars
        Sorted by HEALPix index.
    folder : Path
        Root of the partitions.
    tag : str
        Names the source of the stars; part of the file names.

    Returns
    -------
    list of Path
        The files, by pixel.

    Raises
    ------
    StoreError
        If they cannot be written.
    """
    pixels = stars.healpix >> 2 * (HEALPIX_ORDER - PARTITION_ORDER)
    present, starts = np.unique(pixels, return_index=True)
    paths = []
    for pixel, first, last in zip(present.tolist(), starts, np.append(starts[1:], pixels.size), strict=False):
        part = stars.take(slice(first, last))
        path = _pixel_folder(folder, pixel) / f"{tag}.parquet"
        table = pa.table({"_healpix_29": part.healpix, **{name: getattr(part, name) for name in _COLUMNS}})
        with atomic_path(path) as temporary:
            pq.write_table(
                table, temporary, compression="zstd", use_dictionary=False, use_byte_stream_split=list(_COLUMNS[1:])
            )
        paths.append(path)
    for stale in set(folder.glob(f"Norder={PARTITION_ORDER}/Dir=0/Npix=*/{tag}.parquet")).difference(paths):
        stale.unlink()
    return paths


def partition_files(folder: Path, pixels: Iterable[int]) -> list[Path]:
    """Return the files that hold the stars of some pixels, by pixel then tag; pixels without stars have none."""
    return [
        path for pixel in sorted(set(pixels)) for path in sorted(_pixel_folder(folder, int(pixel)).glob("*.parquet"))
    ]


def partition_tags(folder: Path) -> list[str]:
    """Return the names of the sources whose stars there are.

    Parameters
    ----------
    folder : Path
        Root of the partitions.
    """
    return sorted({path.stem for path in folder.glob(f"Norder={PARTITION_ORDER}/Dir=0/Npix=*/*.parquet")})


def read_tag(folder: Path, tag: str) -> Stars:
    """Read all stars of one source.

    Parameters
    ----------
    folder : Path
        Root of the partitions.
    tag : str
        Its name.

    Returns
    -------
    Stars
        Sorted by HEALPix index.

    Raises
    ------
    StoreError
        If a file is damaged.
    """
    files = folder.glob(f"Norder={PARTITION_ORDER}/Dir=0/Npix=*/{glob.escape(tag)}.parquet")
    found = [_read_columns(path, ["_healpix_29", *_COLUMNS]) for path in files]
    joined = {name: np.concatenate([part[name] for part in found]) for name in ("_healpix_29", *_COLUMNS)}
    stars = Stars(joined.pop("_healpix_29"), **joined)
    return stars.take(np.argsort(stars.healpix, kind="stable"))


def find_stars(folder: Path, pixels: Iterable[int], ids: Iterable[int]) -> Stars:
    """Read some stars, wherever they are; of the others no more than their ids.

    Parameters
    ----------
    folder : Path
        Root of the partitions.
    pixels : iterable of int
        Nested HEALPix pixels of order 5 in which to look.
    ids : iterable of int
        Catalogue ids.

    Returns
    -------
    Stars
        As `read_partitions` returns them; those that are there.

    Raises
    ------
    StoreError
        If a file is damaged.
    """
    wanted = np.array(sorted(set(ids)), np.int64)
    there = set()
    for pixel in pixels:
        for path in partition_files(folder, [pixel]):
            if np.isin(_read_columns(path, ["id"])["id"], wanted).any():
                there.add(pixel)
    stars = read_partitions(folder, there)
    return stars.take(np.flatnonzero(np.isin(stars.id, wanted)))


def _read_columns(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    try:
        # Not read_table: it would add the folders' names as columns.
        with pq.ParquetFile(path) as file:
            table = file.read(columns=names)
        return {name: column_values(table[name]) for name in names}
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StoreError(f"{path} is damaged; remove it and run again to make it anew.") from error


def read_partitions(folder: Path, pixels: Iterable[int]) -> Stars:
    """Read the stars of some pixels, of all tags.

    Parameters
    ----------
    folder : Path
        Root of the partitions.
    pixels : iterable of int
        Nested HEALPix pixels of order 5.

    Returns
    -------
    Stars
        Sorted by HEALPix index, then id. Of a star in several tags, the row of the first tag by name.

    Raises
    ------
    StoreError
        If a file is damaged.
    """
    files = partition_files(folder, pixels)
    rank = {tag: i for i, tag in enumerate(sorted({path.stem for path in files}))}
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("_healpix_29", *_COLUMNS)}
    ranks = []
    for path in files:
        found = _read_columns(path, list(columns))
        for name, parts in columns.items():
            parts.append(found[name])
        ranks.append(np.full(found["id"].size, rank[path.stem]))
    joined = {
        name: np.concatenate(parts)
        if parts
        else np.zeros(0, dtype=np.int64 if name in ("_healpix_29", "id") else float)
        for name, parts in columns.items()
    }
    stars = Stars(joined.pop("_healpix_29"), **joined)
    first = np.lexsort((np.concatenate(ranks) if ranks else np.zeros(0), stars.id))
    keep = first[np.flatnonzero(np.diff(stars.id[first], prepend=-1))]
    return stars.take(keep[np.lexsort((stars.id[keep], stars.healpix[keep]))])
