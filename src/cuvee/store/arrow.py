"""Arrow columns as NumPy arrays.

pyarrow's own ``to_numpy`` imports pandas where that is installed: 0.35 s and 40 MB in a process that only wants to look at some
numbers. The buffers do without.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["column_values", "values_of"]


def values_of(array: pa.Array) -> NDArray[Any]:
    """Return numbers as a view, without a copy (but of Arrow's packed truth values); it may not be written to.

    Parameters
    ----------
    array : Array
        Numbers or truth values, without nulls.

    Returns
    -------
    array, of shape (len(array),)

    Raises
    ------
    pyarrow.ArrowException
        If there are nulls, or no numbers.
    """
    if pa.types.is_boolean(array.type):
        return values_of(array.cast(pa.uint8())).view(np.bool_)
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)) or array.null_count:
        raise pa.ArrowInvalid(f"numbers without nulls are wanted, and there are {array.type}, {array.null_count} null")
    values = np.frombuffer(array.buffers()[1], array.type.to_pandas_dtype())
    return values[array.offset : array.offset + len(array)]


def column_values(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column of numbers, truth values or text as an array of its own.

    Parameters
    ----------
    column : ChunkedArray
        Without nulls.

    Returns
    -------
    array, of shape (len(column),)

    Raises
    ------
    pyarrow.ArrowException
        If there are nulls, or something else.
    """
    if pa.types.is_string(column.type):
        if column.null_count:
            raise pa.ArrowInvalid("a text is missing")
        return np.array(column.to_pylist(), dtype=np.str_)
    chunks = [values_of(chunk) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.zeros(0, column.type.to_pandas_dtype())
