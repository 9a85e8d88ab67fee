"""PostgreSQL's binary COPY format, made of whole columns at once.

The format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". Each row is the number of its fields, then for
each its length in bytes (-1: NULL) and its bytes, the most significant first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["copy_blocks"]

_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_CHUNK = 1 << 16


def copy_blocks(columns: Sequence[NDArray[Any]]) -> Iterator[bytes]:
    """Yield what is sent to a ``COPY ... FROM STDIN (FORMAT binary)``, piece by piece.

    Parameters
    ----------
    columns : sequence of ndarray
        Integers, for columns of BIGINT, or floats, for columns of DOUBLE PRECISION; shape (n,) each. NaN becomes NULL.
    """
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for k, column in enumerate(columns):
        fields += [(f"length{k}", ">i4"), (f"value{k}", ">f8" if column.dtype.kind == "f" else ">i8")]
    layout = np.dtype(fields)
    yield _START
    for first in range(0, len(columns[0]), _CHUNK):
        parts = [column[first : first + _CHUNK] for column in columns]
        rows = np.zeros(len(parts[0]), layout)
        rows["fields"] = len(columns)
        kept = np.ones((rows.size, layout.itemsize), np.bool_)
        for k, part in enumerate(parts):
            rows[f"value{k}"] = part
            rows[f"length{k}"] = 8
            if part.dtype.kind == "f" and (none := np.isnan(part)).any():
                rows[f"length{k}"][none] = -1
                start = int(layout.fields[f"value{k}"][1])  # type: ignore[index]
                kept[none, start : start + 8] = False
        data = rows.view(np.uint8).reshape(rows.size, layout.itemsize)
        yield data.tobytes() if kept.all() else data[kept].tobytes()
    yield _END
