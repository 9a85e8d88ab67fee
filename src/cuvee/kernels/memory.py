"""Memory that the kernels run well on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["on_lines"]

LINE = 64
"""Bytes of a line of the cache."""


def on_lines(shape: tuple[int, ...], dtype: type = np.float32) -> NDArray[Any]:
    """Return memory that starts with a line of the cache.

    Sixteen lanes that straddle two lines, or two pages, cost up to four times as much.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : type, optional
        Of its elements.

    Returns
    -------
    array, shape ``shape``
        Not initialised.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)
