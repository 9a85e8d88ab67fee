"""Which pixels of a reference image are free of stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.background.layout import Tiles, cell_position, cubic_rows

__all__ = ["clean_pixels", "flattened", "mode"]


def _surface(level: NDArray[np.float64], layout: Tiles, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Lead from the levels of cells to every pixel, shape (n_row, n_col)."""
    rows, cols = (
        cubic_rows(cell_position(np.arange(n, dtype=np.float64), edges), edges.size - 1)
        for n, edges in zip(shape, (layout.row_edges, layout.col_edges), strict=True)
    )
    # Sums of four terms, no matrix products: the linear algebra library would start threads of its own.
    lines = np.zeros((level.shape[1], shape[0]), np.float32)
    for node, weight in zip(rows[0].T, rows[1].T, strict=True):
        lines += (weight[:, np.newaxis] * level[node]).T.astype(np.float32)
    surface = np.zeros((shape[1], shape[0]), np.float32)  # transposed, for whole lines to be read
    for node, weight in zip(cols[0].T, cols[1].astype(np.float32).T, strict=True):
        surface += lines[node] * weight[:, np.newaxis]
    return np.ascontiguousarray(surface.T)


def mode(values: NDArray[np.float32]) -> tuple[float, float]:
    """Level of the faint side of a distribution with a long bright tail, and its spread.

    The spread is the distance from the median down to the 16th percentile; whatever lies two of it above the median is
    cut off, until nothing more is.

    Parameters
    ----------
    values : float32 array, shape (n,)
        What is not a number is left out.

    Returns
    -------
    level, spread : float
        NaN where there is no value.
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


def flattened(image: NDArray[np.float32], layout: Tiles) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Subtract from a reference image the surface through the levels of its cells.

    The level of a cell is the mode of its faint side; what is left of it then counts once more, so that the surface
    follows a slope across a cell, too.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        Reference image (e-/s).
    layout : Tiles
        Mesh cells.

    Returns
    -------
    residual : float32 array, shape (n_row, n_col)
        The image less the surface (e-/s).
    spread : float64 array, shape (n_cell_row, n_cell_col)
        How far the faint side of each cell reaches (e-/s, one standard deviation); NaN where there is none.
    """
    shape = (layout.row_edges.size - 1, layout.col_edges.size - 1)
    residual = image
    level = np.empty(shape)
    spread = np.empty(shape)
    for _ in range(3):
        for i in range(shape[0]):
            for j in range(shape[1]):
                cell = residual[
                    layout.row_edges[i] : layout.row_edges[i + 1], layout.col_edges[j] : layout.col_edges[j + 1]
                ]
                level[i, j], spread[i, j] = mode(cell.ravel()[:: max(1, cell.size // 2048)])
        filled = np.where(np.isnan(level), 0.0 if np.isnan(level).all() else np.nanmedian(level), level)
        residual = residual - _surface(filled, layout, image.shape)
    return residual, spread


def clean_pixels(image: NDArray[np.float32], layout: Tiles, kappa: float = 3.0) -> NDArray[np.bool_]:
    """Pixels of a reference image that no star reaches.

    What lies within ``kappa`` spreads of its cell's mode is clean, once the surface through these (`flattened`) is taken off, so that
    a slope across a cell does not count as structure.

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
    residual, spread = flattened(image, layout)
    limit = np.repeat(
        np.repeat(kappa * np.nan_to_num(spread), np.diff(layout.row_edges), axis=0), np.diff(layout.col_edges), axis=1
    )
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(residual) <= limit)
