"""Reference images on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cuvee.errors import StoreError
from cuvee.model.records import Geometry, Readout, Reference
from cuvee.store.arrow import values_of
from cuvee.store.atomic import atomic_path

__all__ = ["read_reference", "readout_from", "write_reference"]

_DAMAGED = (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError, OSError)


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
        image = values_of(batch.column("image").flatten()).reshape(geometry.n_row, geometry.n_col)
        members = tuple(facts.pop("members"))
        return Reference(image=image, geometry=geometry, readout=readout, members=members, **facts)
    except FileNotFoundError as error:
        raise StoreError(f"The reference image {path} is missing; run again to make it anew.") from error
    except _DAMAGED as error:
        raise StoreError(f"The reference image {path} is damaged ({error}); delete it and run again.") from error
