"""Columns as the text that servers load in bulk: commas, line feeds, nothing where there is no value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

__all__ = ["csv_blocks"]

_CHUNK = 1 << 16


def csv_blocks(columns: Sequence[NDArray[Any]]) -> Iterator[bytes]:
    """Yield rows as text, piece by piece; numbers to their last bit.

    Parameters
    ----------
    columns : sequence of ndarray
        Integers, floats or texts, shape (n,) each. NaN and None become nothing.
    """
    for first in range(0, len(columns[0]), _CHUNK):
        parts = [pa.array(column[first : first + _CHUNK], from_pandas=True) for column in columns]
        out = pa.BufferOutputStream()
        names = [str(k) for k in range(len(parts))]
        pa_csv.write_csv(pa.table(parts, names=names), out, pa_csv.WriteOptions(include_header=False))
        yield out.getvalue().to_pybytes()
