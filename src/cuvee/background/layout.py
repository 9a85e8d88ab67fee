"""How an image is cut into mesh cells and tiles, and the cubic rows that lead from cells to points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tiles", "cell_position", "cubic_rows", "tiles"]


@dataclass(frozen=True, slots=True)
class Tiles:
    """The image cut into tiles of two by two mesh cells, each with a margin that holds its stars' apertures.

    Parameters
    ----------
    row_edges, col_edges : int64 array
        Borders of the mesh cells.
    core : int64 array, shape (n_tile, 4)
        First and last row, first and last column (exclusive) of each tile.
    outer : int64 array, shape (n_tile, 4)
        The same with margins, within the image, at least 16 columns wide where the image is.
    """

    row_edges: NDArray[np.int64]
    col_edges: NDArray[np.int64]
    core: NDArray[np.int64]
    outer: NDArray[np.int64]

    def of(self, col: NDArray[np.float64], row: NDArray[np.float64]) -> NDArray[np.int64]:
        """Tile of each position; positions outside the image count to the nearest tile."""
        n_across = -(-(self.col_edges.size - 1) // 2)
        n_up = -(-(self.row_edges.size - 1) // 2)
        i = np.clip(np.searchsorted(self.row_edges[2:-1:2] - 0.5, np.nan_to_num(row), side="right"), 0, n_up - 1)
        j = np.clip(np.searchsorted(self.col_edges[2:-1:2] - 0.5, np.nan_to_num(col), side="right"), 0, n_across - 1)
        return np.asarray(i * n_across + j)


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
    edges = []
    for n in shape:
        n_cell = max(1, round(n / mesh_size))
        edges.append(np.round(np.linspace(0, n, n_cell + 1)).astype(np.int64))
    core, outer = [], []
    for r0, r1 in zip(
        edges[0][:-1:2], np.append(edges[0][2::2], shape[0])[: -(-(edges[0].size - 1) // 2)], strict=True
    ):
        for c0, c1 in zip(
            edges[1][:-1:2], np.append(edges[1][2::2], shape[1])[: -(-(edges[1].size - 1) // 2)], strict=True
        ):
            core.append((r0, r1, c0, c1))
            left, right = max(c0 - margin, 0), min(c1 + margin, shape[1])
            if right - left < 16:
                right = min(left + 16, shape[1])
                left = max(right - 16, 0)
            outer.append((max(r0 - margin, 0), min(r1 + margin, shape[0]), left, right))
    return Tiles(edges[0], edges[1], np.array(core, np.int64), np.array(outer, np.int64))


def cubic_rows(position: NDArray[np.float64], n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cubic-convolution weights of four neighbouring nodes at positions on a line of ``n`` nodes.

    Parameters
    ----------
    position : float64 array, shape (n_point,)
        In units of the node spacing, node ``k`` at ``k``; beyond the ends the line goes on straight.
    n : int
        Number of nodes.

    Returns
    -------
    node : int64 array, shape (n_point, 4)
        Nodes.
    weight : float64 array, shape (n_point, 4)
        Their weights; they sum to 1 and reproduce parabolas inside.

    References
    ----------
    Keys 1981, IEEE Trans. ASSP 29, 1153, eq. 15.
    """
    p = np.clip(np.nan_to_num(position), -1.0, float(n))
    base = np.clip(np.floor(p), 0, max(n - 2, 0)).astype(np.int64)
    t = p - base
    inside = np.clip(t, 0.0, 1.0)
    u = inside
    w = np.stack(
        [
            -0.5 * u + u**2 - 0.5 * u**3,
            1.0 - 2.5 * u**2 + 1.5 * u**3,
            0.5 * u + 2.0 * u**2 - 1.5 * u**3,
            -0.5 * u**2 + 0.5 * u**3,
        ],
        axis=1,
    )
    # Beyond the outermost nodes: straight on, through the last two.
    beyond = t - inside
    w[:, 1] -= beyond
    w[:, 2] += beyond
    node = base[:, None] + np.arange(-1, 3)
    if n == 1:
        return np.zeros_like(node), np.tile([0.0, 1.0, 0.0, 0.0], (p.size, 1))
    # A node that the line lacks is the straight continuation of the two next to it.
    low, high = node[:, 0] < 0, node[:, 3] > n - 1
    w[low, 1] += 2.0 * w[low, 0]
    w[low, 2] -= w[low, 0]
    w[low, 0] = 0.0
    w[high, 2] += 2.0 * w[high, 3]
    w[high, 1] -= w[high, 3]
    w[high, 3] = 0.0
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
