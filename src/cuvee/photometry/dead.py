"""Pixels that do not see the sky."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dead_pixels"]

CELL = 64
"""The usual level is that of squares of about this side (px)."""

FAINT = 0.1
"""Share of a square's pixels that are darker than its usual level."""

DARK = 0.6
"""A pixel with less than this share of the usual level sees no sky: stars only add to it."""

SURE = 10.0
"""Errors of a pixel by which the usual level must be above zero; without a background nothing tells a dead pixel."""


def dead_pixels(image: NDArray[np.float32], error: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find dead pixels and columns in an image that holds its background.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        Mean of some frames (e-/s); NaN where there is nothing.
    error : float64 array, shape (n_col,)
        What reading adds to the error of a pixel (e-/s).

    Returns
    -------
    bool array, shape (n_row, n_col)
    """
    dead = np.zeros(image.shape, np.bool_)
    rows, cols = (np.linspace(0, n, max(1, round(n / CELL)) + 1).astype(np.int64) for n in image.shape)
    for i in range(rows.size - 1):
        for j in range(cols.size - 1):
            here = slice(rows[i], rows[i + 1]), slice(cols[j], cols[j + 1])
            cell = image[here]
            seen = cell[np.isfinite(cell)]
            level = float(np.quantile(seen, FAINT)) if seen.size else 0.0
            if level > SURE * float(error[here[1]].max()):
                dead[here] = cell < DARK * level
    return dead
