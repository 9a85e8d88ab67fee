"""Parquet files of plain columns: one row a star, a few numbers each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.errors import StoreError
from cuvee.store.arrow import column_values
from cuvee.store.atomic import atomic_path

__all__ = ["read_columns", "write_columns"]


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write columns atomically; the same columns give the same bytes.

    Parameters
    ----------
    path : Path
        Where they go.
    columns : mapping of str to array, each of shape (n_row,)
        Numbers or text.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    arrays = {
        name: pa.array(values.tolist(), pa.string()) if values.dtype.kind == "U" else pa.array(values)
        for name, values in columns.items()
    }
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(arrays), temporary, compression="zstd", use_dictionary=False)


def read_columns(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_columns` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to array, each of shape (n_row,)

    Raises
    ------
    StoreError
        If the file is missing or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)  # a few kilobytes: threads would cost more than they save
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path} is damaged or missing; remove it and run again to make it anew.") from error
    return {name: column_values(table[name]) for name in table.column_names}
