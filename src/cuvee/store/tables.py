"""Targets and reference images on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cuvee.errors import StoreError
from cuvee.model.records import Geometry, Readout, Reference, Targets
from cuvee.store.atomic import atomic_path

__all__ = ["read_reference", "read_targets", "readout_from", "write_reference", "write_targets"]

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


def readout_from(facts: Mapping[str, Any]) -> Readout:
    """Return the readout that `dataclasses.asdict` turned into plain facts and JSON into lists.

    Parameters
    ----------
    facts : mapping
        One item a field.

    Returns
    -------
    Readout

    Raises
    ------
    TypeError
        If fields are missing or unknown.
    """
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    return Readout(**values)


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
        values: dict[str, Any] = {name: table.column(name).to_numpy() for name in _PLAIN}
        for name in _PLAIN:
            if values[name].dtype == object:
                values[name] = values[name].astype(np.str_)
        values |= {name: table.column(name).to_numpy() for name in _MOVED if name in table.column_names}
        n_aperture = int(table.schema.metadata[b"n_aperture"])
        crowding = pa.chunked_array(table.column("crowding")).combine_chunks().flatten().to_numpy()
        radii = tuple(json.loads(table.schema.metadata[b"radii"]))
        return Targets(**values, crowding=crowding.reshape(table.num_rows, n_aperture), radii=radii)
    except FileNotFoundError as error:
        raise StoreError(f"The targets {path} are missing; run again to make them anew.") from error
    except _DAMAGED as error:
        raise StoreError(f"The targets {path} are damaged ({error}); delete them and run again.") from error


def write_reference(path: Path, reference: Reference) -> None:
    """Write a reference image as Arrow IPC, one row of pixels a row, atomically and always with the same bytes.

    Parameters
    ----------
    path : Path
        Where it goes.
    reference : Reference
        What to write.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    image = np.ascontiguousarray(reference.image, np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(image.reshape(-1), from_pandas=False), image.shape[1])
    facts = {name: value for name, value in asdict(reference).items() if name != "image"}
    metadata = {"unit": "electron/s", "reference": json.dumps(facts, sort_keys=True)}
    schema = pa.schema([pa.field("image", column.type, nullable=False)], metadata)
    with atomic_path(path) as temporary, pa.OSFile(str(temporary), "wb") as file:  # noqa: SIM117
        with pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))


def read_reference(path: Path) -> Reference:
    """Read what `write_reference` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Reference
        Its image is a read-only view of the file.

    Raises
    ------
    StoreError
        If the file is missing or damaged.
    """
    try:
        with pa.memory_map(str(path), "r") as file:
            batch = pa.ipc.open_file(file).get_batch(0)
        batch.validate()
        facts = json.loads(batch.schema.metadata[b"reference"])
        geometry = Geometry(**facts.pop("geometry"))
        readout = readout_from(facts.pop("readout"))
        image = batch.column("image").flatten().to_numpy(zero_copy_only=True).reshape(geometry.n_row, geometry.n_col)
        members = tuple(facts.pop("members"))
        return Reference(image=image, geometry=geometry, readout=readout, members=members, **facts)
    except FileNotFoundError as error:
        raise StoreError(f"The reference image {path} is missing; run again to make it anew.") from error
    except _DAMAGED as error:
        raise StoreError(f"The reference image {path} is damaged ({error}); delete it and run again.") from error
