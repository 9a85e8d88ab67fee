"""How an image is cut into mesh cells and tiles, and the cubic rows that lead from cells to points."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tiles", "cell_position", "cubic_rows", "tiles"]


CELLS_DOWN = 1
CELLS_ACROSS = 8
"""Mesh cells in a tile: a strip of 512 columns is long enough to stream from memory, and fits the second cache."""

REACH = 0.6
"""How far beyond the outermost cell centres a position may lie: half a cell to the edge of the image, and a little."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """The image cut into tiles of whole mesh cells, each with a margin that holds its stars' apertures.

    Parameters
    ----------
    row_edges, col_edges : int64 array
        Borders of the mesh cells.
    tile_rows, tile_cols : int64 array
        Borders of the tiles; tiles are numbered row by row.
    outer : int64 array, shape (n_tile, 4)
        First and last row, first and last column (exclusive) of each tile with its margin, within the image, at least 16
        columns wide where the image is.
    """

    row_edges: NDArray[np.int64]
    col_edges: NDArray[np.int64]
    tile_rows: NDArray[np.int64]
    tile_cols: NDArray[np.int64]
    outer: NDArray[np.int64]

    def of(self, col: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.int64]:
        """Tile of each position; positions outside the image count to the nearest tile."""
        i = np.searchsorted(self.tile_rows[1:-1] - 0.5, np.nan_to_num(row), side="right")
        j = np.searchsorted(self.tile_cols[1:-1] - 0.5, np.nan_to_num(col), side="right")
        return np.asarray(i * (self.tile_cols.size - 1) + j)


def tiles(shape: tuple[int, int], mesh_size: int, margin: int) -> Tiles:
    """Cut an image into mesh cells and tiles.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    mesh_size : int
        Wanted side of a mesh cell (px); cells are made equal to within a pixel.
    margin : int
        How far a star's pixels may lie from it (px).

    Returns
    -------
    Tiles
    """
    edges, borders = [], []
    for n, n_together in zip(shape, (CELLS_DOWN, CELLS_ACROSS), strict=True):
        n_cell = max(1, round(n / mesh_size))
        edges.append(np.round(np.linspace(0, n, n_cell + 1)).astype(np.int64))
        borders.append(np.append(edges[-1][:-1:n_together], n))
    outer = []
    for row0, row1 in itertools.pairwise(borders[0]):
        for col0, col1 in itertools.pairwise(borders[1]):
            left, right = max(col0 - margin, 0), min(col1 + margin, shape[1])
            if right - left < 16:
                right = min(left + 16, shape[1])
                left = max(right - 16, 0)
            outer.append((max(row0 - margin, 0), min(row1 + margin, shape[0]), left, right))
    return Tiles(edges[0], edges[1], borders[0], borders[1], np.array(outer, np.int64))


def cubic_rows(position: NDArray[np.float64], n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cubic-convolution weights of four neighbouring nodes at positions on a line of ``n`` nodes.

    Parameters
    ----------
    position : float64 array, shape (n_point,)
        In units of the node spacing, node ``k`` at ``k``; used to `REACH` beyond the ends, and further out as there.
    n : int
        Number of nodes.

    Returns
    -------
    node : int64 array, shape (n_point, 4)
        Nodes.
    weight : float64 array, shape (n_point, 4)
        Their weights; they sum to 1 and reproduce parabolas.

    References
    ----------
    Keys 1981, IEEE Trans. ASSP 29, 1153, eq. 15.
    """
    p = np.clip(np.nan_to_num(position), -REACH, n - 1 + REACH)
    base = np.clip(np.floor(p), 0, max(n - 2, 0)).astype(np.int64)
    u = p - base
    w = np.stack(
        [
            -0.5 * u + u**2 - 0.5 * u**3,
            1.0 - 2.5 * u**2 + 1.5 * u**3,
            0.5 * u + 2.0 * u**2 - 1.5 * u**3,
            -0.5 * u**2 + 0.5 * u**3,
        ],
        axis=1,
    )
    node = base[:, None] + np.arange(-1, 3)
    if n == 1:
        return np.zeros_like(node), np.tile([0.0, 1.0, 0.0, 0.0], (p.size, 1))
    # A node that the line lacks lies on the parabola through the nearest three (of two nodes, on their straight line).
    missing = np.array([3.0, -3.0, 1.0]) if n > 2 else np.array([2.0, -1.0, 0.0])
    low, high = node[:, 0] < 0, node[:, 3] > n - 1
    before, behind = w[:, 0] * low, w[:, 3] * high
    w[:, 0] -= before
    w[:, 3] -= behind
    w[:, 1:] += before[:, None] * missing
    w[:, :3] += behind[:, None] * missing[::-1]
    return np.clip(node, 0, n - 1), w


def cell_position(x: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Turn pixel coordinates into cell coordinates.

    Parameters
    ----------
    x : float64 array, shape (n,)
        Pixel coordinates along one axis.
    edges : int64 array, shape (n_cell + 1,)
        Borders of the cells along it.

    Returns
    -------
    float64 array, shape (n,)
        The centre of cell ``k`` lies at ``k``.
    """
    centre = 0.5 * (edges[1:] + edges[:-1] - 1)
    if centre.size == 1:
        return np.zeros_like(x)
    step = (centre[-1] - centre[0]) / (centre.size - 1)
    return np.asarray((x - centre[0]) / step)
