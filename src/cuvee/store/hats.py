"""The light-curve store: one HATS catalogue an instrument, Parquet files that LSDB, DuckDB, pandas and pyarrow open.

A patch of the sky is a folder ``Npix=P``, and one file in it holds one segment and detector: new sectors add files, and no
two writers ever meet in one. A row is a star in one observation; its points are lists in the column ``lc``. What describes
the catalogue as a whole is derived from the files that are there, by one closing unit.

References
----------
HATS: IVOA Note "Hierarchical Adaptive Tiling Scheme", https://www.ivoa.net/documents/Notes/HATS/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cuvee.errors import ConfigError, StoreError
from cuvee.model.keys import PATCH_ORDER
from cuvee.model.records import LightCurves
from cuvee.store.atomic import atomic_path
from cuvee.store.curve_table import POINT_COLUMNS, ROW_COLUMNS, light_curve_table

__all__ = ["find_star", "has_catalog", "patch_path", "read_light_curves", "write_catalog_metadata", "write_patch"]

ROW_GROUP = 100
"""Stars in a row group, the least that a reader of one star must decode."""

WRITE_BATCH = 1 << 16
"""Values encoded in one go: many, because the lists are long."""


def patch_path(root: Path, instrument: str, patch: int, segment: str, detector: str, kind: str) -> Path:
    """Name the file of one patch, segment, detector and kind; makes nothing.

    Parameters
    ----------
    root : Path
        Folder of the light-curve catalogues (``LC``).
    instrument : str
        Name of the instrument, and of its catalogue.
    patch : int
        Nested HEALPix index of the patch, at order `cuvee.model.keys.PATCH_ORDER`.
    segment, detector, kind : str
        Which observation; full-frame images (``ffi``) go without the kind.

    Returns
    -------
    Path
    """
    stem = f"{segment}-{detector}" if kind == "ffi" else f"{segment}-{detector}-{kind}"
    return _patch_folder(root, instrument, patch) / f"{stem}.parquet"


def write_patch(path: Path, light_curves: LightCurves) -> None:
    """Write the light curves of a patch atomically; the same light curves always give the same bytes.

    Parameters
    ----------
    path : Path
        As `patch_path` names it.
    light_curves : LightCurves
        What to write, stars sorted by ``healpix``.

    Raises
    ------
    StoreError
        If they cannot be written.
    """
    table = light_curve_table(light_curves)
    encoding = {"_healpix_29": "DELTA_BINARY_PACKED"}
    for name, values in light_curves.points.items():
        # Bytes of like significance side by side compress well. Integers stay plain: they repeat from star to star, which
        # costs no room in any encoding, and the compact ones cost time.
        if values.dtype.kind == "f":
            encoding[f"lc.{name}.list.element"] = "BYTE_STREAM_SPLIT"
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            row_group_size=ROW_GROUP,
            compression="zstd",
            # Of all bits -1 makes smaller files than 1, in less time; of rounded ones it makes larger files.
            compression_level=1 if light_curves.round_noise else -1,
            use_dictionary=False,
            column_encoding=encoding,
            write_statistics=["_healpix_29", "id", "ra", "dec", "mag"],
            write_batch_size=WRITE_BATCH,
        )


def read_light_curves(
    root: Path,
    instrument: str,
    columns: Sequence[str] | None = None,
    ids: Iterable[int | str] | None = None,
    segment: str = "",
    detector: str = "",
) -> pa.Table:
    """Read light curves, one row a star and observation, in the order of patches, then segments.

    Parameters
    ----------
    root : Path
        Folder of the light-curve catalogues.
    instrument : str
        Name of the catalogue.
    columns : sequence of str, optional
        Names of columns, ``lc.flux`` for one of the nested ones; all by default.
    ids : iterable of int or str, optional
        Only these stars.
    segment, detector : str
        Only this observation; empty for all.

    Returns
    -------
    pyarrow.Table
        A column that some observation lacks is null there.

    Raises
    ------
    StoreError
        If there is no catalogue, or a file of it is damaged.
    ConfigError
        If it has no such column.
    """
    files = [path for path in _files(root, instrument) if _is_of(path, segment, detector)]
    if not files:
        where = " ".join(part for part in (segment, detector) if part)
        raise StoreError(
            f"There are no light curves{' of ' + where if where else ''} in {root / instrument}; make them with: cuvee run"
        )
    wanted = None if ids is None else pa.array(list(ids))
    return _read(files, columns, wanted, None)


def find_star(
    root: Path,
    instrument: str,
    id: int | str,  # noqa: A002 - the column's name
    healpix: int | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Read every observation of one star.

    Parameters
    ----------
    root : Path
        Folder of the light-curve catalogues.
    instrument : str
        Name of the catalogue.
    id : int or str
        The star's catalogue id.
    healpix : int, optional
        Its order-29 nested HEALPix index, where known: then one row group a file is decoded. Without it
        the id column of the whole catalogue is read.
    columns : sequence of str, optional
        As in `read_light_curves`.

    Returns
    -------
    pyarrow.Table
        In the order of segments; no rows where the star is not there.

    Raises
    ------
    StoreError
        If there is no catalogue, or a file of it is damaged.
    ConfigError
        If it has no such column.
    """
    if healpix is None:
        healpix = _place_of(root, instrument, id)
    folder = _patch_folder(root, instrument, healpix >> 2 * (29 - PATCH_ORDER))
    files = sorted(folder.glob("[!.]*.parquet"), key=lambda path: path.stem) or _files(root, instrument)[:1]
    if not files:
        raise StoreError(f"There are no light curves in {root / instrument}; make them with: cuvee run")
    return _read(files, columns, pa.array([id]), healpix)


def _place_of(root: Path, instrument: str, id: int | str) -> int:  # noqa: A002 - the column's name
    """Return the HEALPix index of a star, -1 where it is not in the catalogue; a star lies in one patch only."""
    for path in _files(root, instrument):
        found = _read([path], ["_healpix_29"], pa.array([id]), None)
        if found.num_rows:
            return int(found.column(0)[0].as_py())
    return -1


def write_catalog_metadata(root: Path, instrument: str) -> list[Path]:
    """Describe the catalogue as a whole, from the files that are there: properties, partitions, common schema.

    Each of the files is replaced atomically, and left alone where nothing has changed.

    Parameters
    ----------
    root : Path
        Folder of the light-curve catalogues.
    instrument : str
        Name of the catalogue.

    Returns
    -------
    list of Path
        The files that describe the catalogue.

    Raises
    ------
    StoreError
        If there are no light curves, or a file is damaged, or the folder cannot be written.
    """
    files = _files(root, instrument)
    if not files:
        raise StoreError(f"There are no light curves in {root / instrument}; make them with: cuvee run")
    with ThreadPoolExecutor() as pool:
        footers = list(pool.map(_footer, files))
    schema = _merge_schemas(footer.schema.to_arrow_schema() for footer in footers)
    pixels = sorted({int(path.parent.name.removeprefix("Npix=")) for path in files})
    size = sum(path.stat().st_size for path in files)
    base = root / instrument
    common = pa.BufferOutputStream()
    pq.write_metadata(schema, common)
    partitions = "Norder,Npix\n" + "".join(f"{PATCH_ORDER},{pixel}\n" for pixel in pixels)
    properties = {
        "obs_collection": instrument,
        "dataproduct_type": "object",
        "hats_nrows": sum(footer.num_rows for footer in footers),
        "hats_col_ra": "ra",
        "hats_col_dec": "dec",
        "hats_col_healpix": "_healpix_29",
        "hats_col_healpix_order": 29,
        "hats_npix_suffix": "/",
        "hats_order": PATCH_ORDER,
        "hats_frame": "equatorial",
        "hats_estsize": (size + 1023) // 1024,
        "moc_sky_fraction": f"{len(pixels) / (12 * 4**PATCH_ORDER):.6g}",
        "hats_builder": "cuvee",
        "hats_version": "v1.0",
    }
    text = "#HATS catalog\n" + "".join(f"{key}={value}\n" for key, value in properties.items())
    contents = {
        base / "dataset" / "_common_metadata": common.getvalue().to_pybytes(),
        base / "partition_info.csv": partitions.encode(),
        # Both names are in use; the newer one comes last, when everything else is there.
        base / "properties": text.encode(),
        base / "hats.properties": text.encode(),
    }
    for path, data in contents.items():
        _write_bytes(path, data)
    return list(contents)


def has_catalog(root: Path, instrument: str) -> bool:
    """Tell whether there is a catalogue of that name."""
    return bool(_files(root, instrument))


def _patch_folder(root: Path, instrument: str, patch: int) -> Path:
    norder = root / instrument / "dataset" / f"Norder={PATCH_ORDER}"
    return norder / f"Dir={patch // 10000 * 10000}" / f"Npix={patch}"


def _files(root: Path, instrument: str) -> list[Path]:
    """Return the data files of a catalogue by patch, then name; files that are being written begin with a dot."""
    found = (root / instrument / "dataset").glob("Norder=*/Dir=*/Npix=*/[!.]*.parquet")
    return sorted(found, key=lambda path: (int(path.parent.name.removeprefix("Npix=")), path.stem))


def _is_of(path: Path, segment: str, detector: str) -> bool:
    # A file is named segment-detector or segment-detector-kind, and a detector's name may hold a hyphen.
    name = f"{path.stem}-"
    if segment and not name.startswith(f"{segment}-"):
        return False
    return not detector or name[len(segment) if segment else name.index("-") :].startswith(f"-{detector}-")


def _damaged(path: Path, error: BaseException) -> StoreError:
    return StoreError(f"The light curves {path} are damaged ({error}); delete the file and run again to make it anew.")


def _footer(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _merge_schemas(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Return a schema with every column of every file, the nested ones too; the first file's order leads."""
    merged: dict[str, pa.Field] = {}
    nested: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            merged.setdefault(field.name, field)
            if field.name == "lc":
                for child in field.type.fields:
                    nested.setdefault(child.name, child)
    if nested:
        merged["lc"] = merged["lc"].with_type(pa.struct(list(nested.values())))
    return pa.schema(list(merged.values()))


def _read(files: Sequence[Path], columns: Sequence[str] | None, ids: pa.Array | None, healpix: int | None) -> pa.Table:
    tables = []
    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                tables.append(_part(file, columns, ids, healpix))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from error
    schema = _merge_schemas(table.schema for table in tables)
    found = {field.name for field in schema}
    if "lc" in found:
        found |= {f"lc.{child.name}" for child in schema.field("lc").type.fields}
    for name in columns or ():
        if name not in found:
            known = sorted({*ROW_COLUMNS, "lc", *(f"lc.{point}" for point in POINT_COLUMNS)})
            raise ConfigError(
                f"The light curves have no column {name!r}; choose from {', '.join(known)}, lc.aperture1_flux ..."
            )
    return pa.concat_tables([_conform(table, schema) for table in tables])


def _part(file: pq.ParquetFile, columns: Sequence[str] | None, ids: pa.Array | None, healpix: int | None) -> pa.Table:
    """Read the wanted rows of one file, decoding only the row groups that hold them."""
    groups = list(range(file.num_row_groups))
    names = None if columns is None else list(columns)
    if ids is None:
        return file.read_row_groups(groups, names)
    try:
        wanted = ids.cast(file.schema_arrow.field("id").type)
    except pa.ArrowInvalid:
        wanted = pa.array([], file.schema_arrow.field("id").type)  # a word where ids are numbers: no such star
    if healpix is not None:
        groups = _groups_with(file, groups, "_healpix_29", healpix, healpix)
    if len(wanted):
        groups = _groups_with(file, groups, "id", *(pc.min_max(wanted)[end].as_py() for end in ("min", "max")))
    else:
        groups = []
    mask = pc.is_in(file.read_row_groups(groups, ["id"]).column("id"), value_set=wanted).to_numpy()
    ends = np.cumsum([file.metadata.row_group(group).num_rows for group in groups], dtype=np.int64)
    hits = np.unique(np.searchsorted(ends, np.flatnonzero(mask), side="right"))
    if hits.size == 0:
        return file.read_row_groups([], names)
    kept = np.concatenate([mask[(ends[hit - 1] if hit else 0) : ends[hit]] for hit in hits])
    return file.read_row_groups([groups[hit] for hit in hits], names).filter(pa.array(kept))


def _groups_with(file: pq.ParquetFile, groups: Sequence[int], column: str, low: Any, high: Any) -> list[int]:
    """Return the row groups that may hold a value from ``low`` to ``high``, by their statistics."""
    # Plain columns come first in the schema, so their place among the leaves is that among the fields.
    place = file.schema_arrow.get_field_index(column)
    found = []
    for group in groups:
        statistics = file.metadata.row_group(group).column(place).statistics
        if statistics is None or not statistics.has_min_max or (statistics.min <= high and statistics.max >= low):
            found.append(group)
    return found


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Give a table the columns of the schema; what it lacks is null."""
    if table.schema.equals(schema):
        return table.replace_schema_metadata(None)
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if field.name == "lc" and not column.type.equals(field.type):
            chunks = [_conform_struct(chunk, field.type) for chunk in column.chunks]
            column = pa.chunked_array(chunks, field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)


def _conform_struct(points: pa.StructArray, kind: pa.StructType) -> pa.StructArray:
    have = {child.name for child in points.type.fields}
    lists = [
        points.field(child.name) if child.name in have else pa.nulls(len(points), child.type) for child in kind.fields
    ]
    return pa.StructArray.from_arrays(lists, fields=list(kind.fields))


def _write_bytes(path: Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
