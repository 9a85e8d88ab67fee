"""Which pixels of a reference image are free of stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.background.layout import Tiles, cell_position, cubic_rows

__all__ = ["clean_pixels"]


def _dense(n_pixel: int, edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Interpolation from a line of cells to every pixel as a matrix, shape (n_pixel, n_cell)."""
    n = edges.size - 1
    node, weight = cubic_rows(cell_position(np.arange(n_pixel, dtype=np.float64), edges), n)
    matrix = np.zeros((n_pixel, n))
    for k in range(4):
        matrix[np.arange(n_pixel), node[:, k]] += weight[:, k]
    return matrix


def _mode(values: NDArray[np.float32]) -> tuple[float, float]:
    """Level of the faint side of a distribution with a long bright tail, and its spread.

    The spread is the distance from the median down to the 16th percentile; whatever lies two of it above the median is
    cut off, until nothing more is.
    """
    v = np.sort(values[np.isfinite(values)])
    if v.size == 0:
        return float("nan"), float("nan")
    low, high = 0, v.size
    level, spread = float(v[(v.size - 1) // 2]), 0.0
    for _ in range(30):
        n = high - low
        level = float(v[low + n // 2])
        spread = level - float(v[low + int(0.159 * n)])
        new_low = int(np.searchsorted(v, level - 5.0 * spread, side="left"))
        new_high = int(np.searchsorted(v, level + 2.0 * spread, side="right"))
        if (new_low, new_high) == (low, high) or new_high - new_low < 8:
            break
        low, high = new_low, new_high
    return level, spread


def clean_pixels(image: NDArray[np.float32], layout: Tiles, kappa: float = 3.0) -> NDArray[np.bool_]:
    """Pixels of a reference image that no star reaches.

    The level of each mesh cell is the mode of its faint side; the surface through the cells is subtracted, so that a
    slope across a cell does not count as structure, and what then lies within ``kappa`` spreads of its cell's mode is clean.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        Reference image (e-/s).
    layout : Tiles
        Mesh cells.
    kappa : float
        Threshold in units of the cell's spread.

    Returns
    -------
    bool array, shape (n_row, n_col)
        NaN pixels are not clean.
    """
    shape = (layout.row_edges.size - 1, layout.col_edges.size - 1)
    up, across = _dense(image.shape[0], layout.row_edges), _dense(image.shape[1], layout.col_edges)
    residual = image
    level = np.empty(shape)
    spread = np.empty(shape)
    for _ in range(3):
        for i in range(shape[0]):
            for j in range(shape[1]):
                cell = residual[
                    layout.row_edges[i] : layout.row_edges[i + 1], layout.col_edges[j] : layout.col_edges[j + 1]
                ]
                level[i, j], spread[i, j] = _mode(cell.ravel()[:: max(1, cell.size // 2048)])
        filled = np.where(np.isnan(level), 0.0 if np.isnan(level).all() else np.nanmedian(level), level)
        surface = (up @ filled @ across.T).astype(np.float32)
        residual = residual - surface
    limit = np.repeat(
        np.repeat(kappa * np.nan_to_num(spread), np.diff(layout.row_edges), axis=0), np.diff(layout.col_edges), axis=1
    )
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(residual) <= limit)
