"""The targets of a detector on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.errors import StoreError
from cuvee.model.records import Targets
from cuvee.store.arrow import column_values, values_of
from cuvee.store.atomic import atomic_path

__all__ = ["read_targets", "write_targets"]

_DAMAGED = (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError, OSError)
_PLAIN = ("healpix", "id", "ra", "dec", "mag", "series", "col", "row", "flag")
_MOVED = ("moved_ra", "moved_dec")
_UNITS = {
    "healpix": ("", "order-29 nested HEALPix index of the catalogue position"),
    "id": ("", "catalogue id"),
    "ra": ("deg", "right ascension, ICRS, epoch 2000"),
    "dec": ("deg", "declination, ICRS, epoch 2000"),
    "mag": ("mag", "magnitude in the instrument's band"),
    "series": ("", "frame series that measures the star"),
    "col": ("pixel", "detector column at the epoch of the frames, 0-based centre of the first science pixel"),
    "row": ("pixel", "detector row at the epoch of the frames, 0-based centre of the first science pixel"),
    "flag": ("", "bits of cuvee's flag column"),
    "moved_ra": ("deg", "right ascension, ICRS, at the epoch of the frames"),
    "moved_dec": ("deg", "declination, ICRS, at the epoch of the frames"),
    "crowding": ("", "the star's share of the flux in each aperture"),
}


def write_targets(path: Path, targets: Targets) -> None:
    """Write the targets of a detector as Parquet, atomically; the same targets always give the same bytes.

    Parameters
    ----------
    path : Path
        Where they go.
    targets : Targets
        What to write.

    Raises
    ------
    StoreError
        If they cannot be written.
    """
    columns: dict[str, pa.Array] = {}
    for name in (*_PLAIN, *_MOVED):
        values = getattr(targets, name)
        if values is None:
            continue
        columns[name] = pa.array(values.tolist() if values.dtype.kind == "U" else values, from_pandas=False)
        if values.dtype.kind == "U":
            columns[name] = columns[name].cast(pa.string())
    n_aperture = targets.crowding.shape[1]
    flat = pa.array(np.ascontiguousarray(targets.crowding, np.float64).reshape(-1), from_pandas=False)
    columns["crowding"] = pa.ListArray.from_arrays(np.arange(len(targets) + 1, dtype=np.int32) * n_aperture, flat)
    fields = [
        pa.field(
            name, array.type, nullable=False, metadata=dict(zip(("unit", "description"), _UNITS[name], strict=True))
        )
        for name, array in columns.items()
    ]
    schema = pa.schema(fields, {"radii": json.dumps(list(targets.radii)), "n_aperture": str(n_aperture)})
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(list(columns.values()), schema=schema), temporary, compression="zstd")


def read_targets(path: Path) -> Targets:
    """Read what `write_targets` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Targets

    Raises
    ------
    StoreError
        If the file is missing or damaged.
    """
    try:
        table = pq.ParquetFile(path).read()
        there = [name for name in _MOVED if name in table.column_names]
        values: dict[str, Any] = {name: column_values(table.column(name)) for name in (*_PLAIN, *there)}
        n_aperture = int(table.schema.metadata[b"n_aperture"])
        crowding = values_of(table.column("crowding").combine_chunks().flatten())
        radii = tuple(json.loads(table.schema.metadata[b"radii"]))
        return Targets(**values, crowding=crowding.reshape(table.num_rows, n_aperture), radii=radii)
    except FileNotFoundError as error:
        raise StoreError(f"The targets {path} are missing; run again to make them anew.") from error
    except _DAMAGED as error:
        raise StoreError(f"The targets {path} are damaged ({error}); delete them and run again.") from error
