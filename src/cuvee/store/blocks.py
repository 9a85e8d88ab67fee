"""Flux blocks on disk: one file a block, of which any run of stars can be had without reading the rest.

The file is Arrow IPC, uncompressed: one record batch, one column a plane, one row a star, each cell the star's values in
the frames of the block. A plane is thus one contiguous array, and the stars of a patch, neighbours in the fixed order of
the targets, are one contiguous stretch of it, to which a memory map leads. Everything that is not a plane stands in the
schema's metadata.
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.errors import StoreError
from cuvee.model.records import FluxBlock, Moments, PixelMasks, Readout
from cuvee.store.arrow import values_of
from cuvee.store.atomic import atomic_path
from cuvee.store.references import readout_from

__all__ = ["read_block", "write_block"]

_ROWS = "rows"
_MASKS = ("mask_col", "mask_row", "mask_clipped", "mask_crowding")
"""Columns of the stars' own masks, one value or one list a star; the others are planes."""
_MOMENTS: dict[str, np.dtype[Any]] = {
    "cadence": np.dtype("<i8"),
    "start": np.dtype("<f8"),
    "stop": np.dtype("<f8"),
    "barycorr": np.dtype("<f8"),
    "quality": np.dtype("<i4"),
}
_DAMAGED = (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError, OSError)


def write_block(path: Path, block: FluxBlock) -> None:
    """Write a flux block atomically; the same block always gives the same bytes.

    Parameters
    ----------
    path : Path
        Where it goes.
    block : FluxBlock
        What to write; planes of shape (n_star, n_frame), n_frame >= 1.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    n_frame = block.moments.cadence.size
    arrays = [pa.array(np.ascontiguousarray(block.rows, np.int64))]
    arrays += [_column(plane, block.rows.size, n_frame) for plane in block.planes.values()]
    names = [_ROWS, *block.planes]
    if block.masks is not None:
        arrays += _mask_columns(block.masks)
        names += _MASKS
    metadata = {
        f"moments.{name}": base64.b64encode(np.ascontiguousarray(getattr(block.moments, name), dtype).tobytes())
        for name, dtype in _MOMENTS.items()
    }
    metadata["names"] = json.dumps(list(block.names)).encode()
    metadata["meta"] = json.dumps(dict(block.meta), sort_keys=True, default=_plain).encode()
    fields = [pa.field(name, array.type, nullable=False) for name, array in zip(names, arrays, strict=True)]
    schema = pa.schema(fields, metadata)
    batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
    with atomic_path(path) as temporary, pa.OSFile(str(temporary), "wb") as file:  # noqa: SIM117
        with pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(batch)


def read_block(path: Path, rows: slice | None = None) -> FluxBlock:
    """Read a flux block, or a run of its stars.

    Parameters
    ----------
    path : Path
        The file.
    rows : slice, optional
        Positions within the block of the stars to return, in steps of one; all of them by default.

    Returns
    -------
    FluxBlock
        Its planes are read-only views of the file: only what is looked at is read from disk. They stay valid when
        the file is replaced.

    Raises
    ------
    StoreError
        If the file is missing or damaged.
    """
    try:
        with pa.memory_map(str(path), "r") as file:
            reader = pa.ipc.open_file(file)
            if reader.num_record_batches != 1:
                raise ValueError("not one record batch")
            batch = reader.get_batch(0)
        metadata = {key.decode(): value for key, value in batch.schema.metadata.items()}
        moments = {
            name: np.frombuffer(base64.b64decode(metadata[f"moments.{name}"], validate=True), dtype)
            for name, dtype in _MOMENTS.items()
        }
        names = tuple(json.loads(metadata["names"]))
        meta = json.loads(metadata["meta"])
        if "readout" in meta:
            meta["readout"] = readout_from(meta["readout"])
        start, stop, step = (rows or slice(None)).indices(batch.num_rows)
        if step != 1:
            raise IndexError("Stars of a flux block are read as one run, in steps of one.")
        part = batch.slice(start, max(stop - start, 0))
        part.validate()
        planes = {
            name: _plane(part.column(name), moments["cadence"].size)
            for name in part.schema.names
            if name not in (_ROWS, *_MASKS)
        }
        masks = _masks(part) if _MASKS[0] in part.schema.names else None
        return FluxBlock(Moments(**moments), names, planes, values_of(part.column(_ROWS)), meta, masks)
    except FileNotFoundError as error:
        raise StoreError(f"The flux block {path} is missing; run again to make it anew.") from error
    except _DAMAGED as error:
        raise StoreError(
            f"The flux block {path} is damaged ({error}); delete it and run again to make it anew."
        ) from error


def _plain(value: object) -> Any:
    if isinstance(value, Readout):
        return asdict(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"The meta of a flux block cannot hold a {type(value).__name__}.")


def _column(plane: NDArray[Any], n_star: int, n_frame: int) -> pa.FixedSizeListArray:
    if plane.shape != (n_star, n_frame):
        raise ValueError(f"A plane has shape {plane.shape}, but the block has {n_star} stars and {n_frame} frames.")
    flat = np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).reshape(-1)
    # nulls are never made: a missing value is NaN
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, from_pandas=False), n_frame)


def _mask_columns(masks: PixelMasks) -> list[pa.Array]:
    ptr = pa.array(masks.ptr.astype(np.int32))
    lists = [pa.ListArray.from_arrays(ptr, pa.array(np.ascontiguousarray(a, np.int32))) for a in (masks.col, masks.row)]
    return [*lists, pa.array(masks.clipped), pa.array(masks.crowding, from_pandas=False)]


def _masks(part: pa.RecordBatch) -> PixelMasks:
    col, row, clipped, crowding = (part.column(name) for name in _MASKS)
    ptr = np.concatenate([[0], np.cumsum(values_of(col.value_lengths()))]).astype(np.int64)
    inside = np.asarray(clipped.to_numpy(zero_copy_only=False), np.bool_)
    return PixelMasks(ptr, values_of(col.flatten()), values_of(row.flatten()), inside, values_of(crowding))


def _plane(column: pa.FixedSizeListArray, n_frame: int) -> NDArray[Any]:
    return values_of(column.flatten()).reshape(len(column), n_frame)
