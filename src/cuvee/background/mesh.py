"""The mesh: clean pixels of each cell, and the way from cells to stars."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cuvee.background.layout import Tiles, cell_position, cubic_rows
from cuvee.model.records import LANES

__all__ = ["Mesh", "beside_stars", "mesh"]

N_PICK = 400
"""Clean pixels used of a mesh cell: the error of the cell is then a twentieth of the pixel noise."""

BESIDE = 2
"""Pixels of a row no farther apart than this (px) are neighbours: over so little no slope of the light is as large as the noise."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """Static mesh: the clean pixels of its cells, and the rows that lead from cells to stars.

    Parameters
    ----------
    ptr : int64 array, shape (n_cell + 1,)
        Cells in the order of the tiles; a cell owns ``pixel[ptr[k]:ptr[k + 1]]``.
    pixel : int32 array, shape (n_entry, 1)
        Pixel numbers in the cell's tile.
    base : float32 array, shape (n_entry,)
        Reference image at the pixel less its mean over the cell's pixels (e-/s).
    of_tile : int64 array, shape (n_tile + 1,)
        Where each tile's cells begin.
    grid : int64 array, shape (n_cell,)
        Place of each cell in the mesh, row by row.
    shape : tuple of int
        Rows and columns of the mesh.
    shift : float64 array, shape (n_cell_row, n_cell_col, 2)
        Centroid of the chosen pixels less the centre of the cell, in cells.
    still : float64 array, shape (n_cell_row, n_cell_col)
        Value at the cell's centre in the reference image, less the light of stars where that is known (e-/s).
    cell, weight : int32 and float32 arrays, shape (n_star, 16)
        The interpolation rows.
    """

    ptr: NDArray[np.int64]
    pixel: NDArray[np.int32]
    base: NDArray[np.float32]
    of_tile: NDArray[np.int64]
    grid: NDArray[np.int64]
    shape: tuple[int, int]
    shift: NDArray[np.float64]
    still: NDArray[np.float64]
    cell: NDArray[np.int32]
    weight: NDArray[np.float32]


def mesh(
    clean: NDArray[np.bool_],
    image: NDArray[np.float32],
    layout: Tiles,
    col: NDArray[np.float64],
    row: NDArray[np.float64],
) -> Mesh:
    """Choose the pixels of each mesh cell and the rows that lead from the mesh to the stars.

    Parameters
    ----------
    clean : bool array, shape (n_row, n_col)
        From `clean_pixels`.
    image : float32 array, shape (n_row, n_col)
        The reference image (e-/s).
    layout : Tiles
        Mesh cells and tiles.
    col, row : float64 array, shape (n_star,)
        Positions, from the centre of pixel [0, 0] (px).

    Returns
    -------
    Mesh
    """
    n_up, n_across = layout.row_edges.size - 1, layout.col_edges.size - 1
    pixels, bases, grid, of_tile = [], [], [], [0]
    shift = np.zeros((n_up, n_across, 2))
    still = np.full((n_up, n_across), np.nan)
    borders = itertools.product(itertools.pairwise(layout.tile_rows), itertools.pairwise(layout.tile_cols))
    for ((row0, row1), (col0, col1)), (top, _, left, right) in zip(borders, layout.outer, strict=True):
        for i in range(*np.searchsorted(layout.row_edges, (row0, row1))):
            for j in range(*np.searchsorted(layout.col_edges, (col0, col1))):
                y0, y1 = layout.row_edges[i], layout.row_edges[i + 1]
                x0, x1 = layout.col_edges[j], layout.col_edges[j + 1]
                found = np.flatnonzero(clean[y0:y1, x0:x1])
                found = _pick(found, int(x1 - x0))
                y, x = y0 + found // (x1 - x0), x0 + found % (x1 - x0)
                if found.size:
                    shift[i, j] = (
                        (y.mean() - 0.5 * (y0 + y1 - 1)) / (y1 - y0),
                        (x.mean() - 0.5 * (x0 + x1 - 1)) / (x1 - x0),
                    )
                pixels.append(((y - top) * (right - left) + x - left).astype(np.int32))
                value = image[y, x].astype(np.float64)
                if value.size:
                    still[i, j] = value.mean()
                bases.append((value - value.mean() if value.size else value).astype(np.float32))
                grid.append(i * n_across + j)
        of_tile.append(len(grid))
    ptr = np.concatenate([[0], np.cumsum([p.size for p in pixels])]).astype(np.int64)
    node_row, weight_row = cubic_rows(cell_position(row, layout.row_edges), n_up)
    node_col, weight_col = cubic_rows(cell_position(col, layout.col_edges), n_across)
    cell = (node_row[:, :, None] * n_across + node_col[:, None, :]).reshape(-1, 16).astype(np.int32)
    weight = (weight_row[:, :, None] * weight_col[:, None, :]).reshape(-1, 16).astype(np.float32)
    return Mesh(
        ptr=ptr,
        pixel=np.concatenate(pixels)[:, None],
        base=np.concatenate(bases),
        of_tile=np.array(of_tile, np.int64),
        grid=np.array(grid, np.int64),
        shape=(n_up, n_across),
        shift=shift,
        still=_at_centres(still, shift),
        cell=cell,
        weight=weight,
    )


def beside_stars(mesh: Mesh, stars: NDArray[np.float32], layout: Tiles) -> Mesh:
    """Let a mesh look at its pixels beside the light of stars, instead of at their mean level with it.

    Parameters
    ----------
    mesh : Mesh
        From `mesh`.
    stars : float32 array, shape (n_row, n_col)
        The light of all stars, without background (e-/s).
    layout : Tiles
        Mesh cells and tiles.

    Returns
    -------
    Mesh
    """
    base, light = np.empty_like(mesh.base), np.full(mesh.shape, np.nan)
    for tile, (top, _, left, right) in enumerate(layout.outer):
        entries = slice(int(mesh.ptr[mesh.of_tile[tile]]), int(mesh.ptr[mesh.of_tile[tile + 1]]))
        pixel = mesh.pixel[entries, 0]
        base[entries] = stars[top + pixel // (right - left), left + pixel % (right - left)]
    for k, at in enumerate(mesh.grid):
        if mesh.ptr[k + 1] > mesh.ptr[k]:
            light[np.unravel_index(at, mesh.shape)] = base[mesh.ptr[k] : mesh.ptr[k + 1]].mean(dtype=np.float64)
    return replace(mesh, base=base, still=mesh.still - _at_centres(light, mesh.shift))


def _pick(found: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Return which of a cell's clean pixels are used: neighbours in pairs, for how they differ tells the noise, then single ones."""
    beside = (np.diff(found) <= BESIDE) & (found[:-1] // width == found[1:] // width)
    at = np.arange(beside.size)
    in_run = at - np.maximum.accumulate(np.where(beside, -1, at)) - 1
    pairs = np.flatnonzero(beside & (in_run % 2 == 0))
    pairs = pairs[_evenly(pairs.size, N_PICK // 2)]
    paired = np.stack([pairs, pairs + 1], axis=1).ravel()
    single = np.setdiff1d(np.arange(found.size), paired)
    return np.asarray(found[np.concatenate([paired, single[_evenly(single.size, N_PICK - paired.size)]])])


def _evenly(n: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of n numbers, evenly spread."""
    picks: NDArray[np.int64] = np.arange(min(n, most), dtype=np.int64)
    return picks if n <= most else np.asarray(picks * n // most)


def _at_centres(mean: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn means of cells into values at their centres, as is done in every frame."""
    from cuvee.kernels import cells

    value = np.repeat(mean[:, :, np.newaxis], LANES, axis=2).astype(np.float32)
    cells.fill_cells(value, np.zeros_like(value), shift, np.zeros_like(mean))
    return value[:, :, 0].astype(np.float64)
