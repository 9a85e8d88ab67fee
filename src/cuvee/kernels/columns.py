"""Columns that answer to light otherwise than those around them, evened in sixteen frames at once."""

from __future__ import annotations

import numpy as np
from numba import float32, int64, njit, void
from numpy.typing import NDArray

__all__ = ["even_columns"]

N_LANE = 16


@njit([void(float32[:, ::1], float32[::1], int64, int64, int64)], cache=True, nogil=True)
def even_columns(image: NDArray[np.float32], gain: NDArray[np.float32], col0: int, col1: int, n_row: int) -> None:
    """Multiply the columns of a tile by their gain.

    Parameters
    ----------
    image : float32 array, shape (>= n_row (col1 - col0), 16)
        Lanes of the tile, row by row; changed in place.
    gain : float32 array, shape (n_col,)
        Of all columns of the frame; nothing is done where it is 1.
    col0, col1 : int
        The tile's first and last column (exclusive).
    n_row : int
        Its rows.
    """
    width = col1 - col0
    at = np.empty(width, np.int64)
    n = 0
    for c in range(width):
        if gain[col0 + c] != 1.0:
            at[n] = c
            n += 1
    # Few columns have one: a factor in every pixel, while the lanes are made, costs more.
    for r in range(n_row if n else 0):
        for k in range(n):
            p = r * width + at[k]
            factor = gain[col0 + at[k]]
            for b in range(N_LANE):
                image[p, b] *= factor
