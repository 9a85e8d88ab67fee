"""The background under one star in one frame, redone from the pixels, with everything that it is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee import background
from cuvee.background.annulus import N_LEAST_CLEAN
from cuvee.background.layout import cell_position
from cuvee.background.mesh import N_PICK
from cuvee.extract.measure import N_LEAST
from cuvee.extract.params import ExtractParams
from cuvee.model.records import Geometry
from cuvee.provenance.sums import Clipped, clipped_mean, clipped_median, mesh_nodes

__all__ = ["annulus_background", "faint_background", "mean_image", "mesh_background"]

FloatArray = NDArray[np.float64]
Facts = dict[str, Any]

_KAPPA, _N_PASS = 3.0, 4
_N_FAINT_PASS, _N_FAINT_LEAST = 5, 3


def mean_image(flux: NDArray[Any], quality: NDArray[np.int32]) -> FloatArray:
    """Mean over the frames of quality 0 (over all, if there is none), shape (n_row, n_col); what is not a number is left out."""
    cube = flux[quality == 0] if (quality == 0).any() else flux
    finite = np.isfinite(cube)
    total = np.where(finite, cube, 0.0).sum(axis=0, dtype=np.float64)
    return np.where(finite.any(axis=0), total / np.maximum(finite.sum(axis=0), 1), np.nan)


def _pixels(col: NDArray[Any], row: NDArray[Any], base: NDArray[Any], value: FloatArray, clipped: Clipped, geometry: Geometry) -> Facts:  # fmt: skip
    """Columns of a table of pixels, in detector coordinates."""
    return {
        "col": (col + geometry.col0).tolist(),
        "row": (row + geometry.row0).tolist(),
        "value": value.tolist(),
        "base": np.asarray(base, np.float64).tolist(),
        "kept": clipped.kept.tolist(),
    }


def mesh_background(
    frame: NDArray[Any], image: NDArray[np.float32], geometry: Geometry, params: ExtractParams, col: float, row: float
) -> Facts:
    """Background from the mesh.

    Parameters
    ----------
    frame : float array, shape (n_row, n_col)
        The frame's science pixels (e-/s).
    image : float32 array, shape (n_row, n_col)
        The reference image, which says which pixels are clean.
    geometry : Geometry
        Where the pixels lie.
    params : ExtractParams
        Side of the mesh.
    col, row : float
        The star, in detector coordinates (px).

    Returns
    -------
    dict
        ``level`` and ``error`` (e-/s/pixel); ``position`` of the star in cells; ``nodes`` with their ``value``, ``error``, ``weight``; ``cells``,
        those that enter the nodes, with ``mean``, ``shift`` and ``pixels``; and the ``means`` of all cells.
    """
    x, y = np.array([col - geometry.col0]), np.array([row - geometry.row0])
    layout = background.tiles(frame.shape, params.mesh_size, 0)
    mesh = background.mesh(background.clean_pixels(image, layout), image, layout, x, y)
    n_up, n_across = mesh.shape
    mean, error = np.full(mesh.shape, np.nan), np.full(mesh.shape, np.nan)
    pixels: dict[tuple[int, int], tuple[Any, ...]] = {}
    tile = np.searchsorted(mesh.of_tile, np.arange(mesh.grid.size), side="right") - 1
    for k, at in enumerate(mesh.grid):
        entries = slice(int(mesh.ptr[k]), int(mesh.ptr[k + 1]))
        top, _, left, right = layout.outer[tile[k]]
        number, base = mesh.pixel[entries, 0], mesh.base[entries].astype(np.float64)
        rows, cols = top + number // (right - left), left + number % (right - left)
        value = frame[rows, cols].astype(np.float64)
        clipped = clipped_mean(value - base, _KAPPA, _N_PASS, N_LEAST)
        cell = int(at) // n_across, int(at) % n_across
        mean[cell], error[cell] = clipped.level, clipped.error
        pixels[cell] = cols, rows, base, value, clipped
    value, value_err = mesh_nodes(mean, error, mesh.shift)
    nodes: list[Facts] = [
        {"cell_row": int(c) // n_across, "cell_col": int(c) % n_across, "weight": float(w)}
        for c, w in zip(mesh.cell[0], mesh.weight[0].astype(np.float64), strict=True)
        if w != 0.0
    ]
    for node in nodes:
        place = node["cell_row"], node["cell_col"]
        node |= {"value": float(value[place]), "error": float(value_err[place])}
    # Slope and curvature at a node need the cells beside it, at the border the next two.
    window = [_window([node[name] for node in nodes], n) for name, n in (("cell_row", n_up), ("cell_col", n_across))]
    cells = []
    for i in window[0]:
        for j in window[1]:
            cols, rows, base, values, clipped = pixels[i, j]
            cells.append(
                {
                    "cell_row": i,
                    "cell_col": j,
                    "mean": clipped.level,
                    "error": clipped.error,
                    "shift_row": float(mesh.shift[i, j, 0]),
                    "shift_col": float(mesh.shift[i, j, 1]),
                    "passes": list(clipped.passes),
                    "pixels": _pixels(cols, rows, base, values, clipped, geometry),
                }
            )
    return {
        "kind": "mesh",
        "level": sum(node["weight"] * node["value"] for node in nodes),
        "error": float(np.sqrt(sum((node["weight"] * node["error"]) ** 2 for node in nodes))),
        "kappa": _KAPPA,
        "n_pass": _N_PASS,
        "n_least": N_LEAST,
        "n_pick": N_PICK,
        "row_edges": (layout.row_edges + geometry.row0).tolist(),
        "col_edges": (layout.col_edges + geometry.col0).tolist(),
        "position": {
            "cell_row": float(cell_position(y, layout.row_edges)[0]),
            "cell_col": float(cell_position(x, layout.col_edges)[0]),
        },
        "nodes": nodes,
        "cells": cells,
        "means": mean.tolist(),
        "errors": error.tolist(),
    }


def _window(nodes: list[int], n: int) -> range:
    low, high = max(min(nodes) - 1, 0), min(max(nodes) + 1, n - 1)
    return range(max(min(low, n - 3), 0), min(max(high, 2), n - 1) + 1)


def annulus_background(
    frame: NDArray[Any], image: NDArray[np.float32], geometry: Geometry, params: ExtractParams, col: float, row: float
) -> Facts:
    """Background from the clean pixels of an annulus.

    Parameters
    ----------
    frame, image, geometry, params, col, row
        As in `mesh_background`; the annulus for the side of the mesh.

    Returns
    -------
    dict
        ``level`` and ``error`` (e-/s/pixel), ``pixels`` and the ``passes`` of the clipping; ``n_clean`` of ``n_annulus`` pixels are clean.
    """
    layout = background.tiles(frame.shape, params.mesh_size, 0)
    clean = background.clean_pixels(image, layout)
    inner, outer = params.annulus
    rows, cols = np.arange(frame.shape[0])[:, None], np.arange(frame.shape[1])
    distance2 = (cols - (col - geometry.col0)) ** 2 + (rows - (row - geometry.row0)) ** 2
    inside = (distance2 >= inner**2) & (distance2 < outer**2)
    n_clean = int((inside & clean).sum())
    if n_clean >= N_LEAST_CLEAN:
        y, x = np.nonzero(inside & clean)
    else:  # the faintest, in the order of the rows where the last of them are equal
        y, x = np.nonzero(inside)
        rank = np.where(np.isfinite(image[y, x]), image[y, x], np.inf)
        n = min(y.size, N_LEAST_CLEAN)
        chosen = np.flatnonzero(rank <= np.sort(rank)[n - 1])[:n] if n else np.zeros(0, np.int64)
        y, x = y[chosen], x[chosen]
    value, known = frame[y, x].astype(np.float64), image[y, x].astype(np.float64)
    finite = np.isfinite(known)
    base = np.where(finite, known - (known[finite].mean() if finite.any() else 0.0), 0.0)
    clipped = clipped_mean(value - base, _KAPPA, _N_PASS, N_LEAST)
    return {
        "kind": "annulus",
        "level": clipped.level,
        "error": clipped.error,
        "inner": inner,
        "outer": outer,
        "kappa": _KAPPA,
        "n_pass": _N_PASS,
        "n_least": N_LEAST,
        "n_annulus": int(inside.sum()),
        "n_clean": n_clean,
        "n_least_clean": N_LEAST_CLEAN,
        "passes": list(clipped.passes),
        "pixels": _pixels(x, y, base, value, clipped, geometry),
    }


def faint_background(frame: NDArray[Any], image: FloatArray, geometry: Geometry) -> Facts:
    """Background of a small stamp: the clipped median of the third of its pixels that is faintest in the mean of its frames.

    Parameters
    ----------
    frame : float array, shape (n_row, n_col)
        The frame's pixels (e-/s).
    image : float64 array, shape (n_row, n_col)
        From `mean_image`.
    geometry : Geometry
        Where the pixels lie.

    Returns
    -------
    dict
        ``level`` and ``error`` (e-/s/pixel), ``pixels`` and the ``passes`` of the clipping.
    """
    finite = np.flatnonzero(np.isfinite(image.ravel()))
    chosen = np.sort(finite[np.argsort(image.ravel()[finite], kind="stable")[: finite.size // 3]])
    rows, cols = np.unravel_index(chosen, image.shape)
    mean = image.ravel()[chosen]
    base = mean - np.median(mean) if mean.size else mean
    value = frame[rows, cols].astype(np.float64)
    clipped = clipped_median(value - base, _KAPPA, _N_FAINT_PASS, _N_FAINT_LEAST)
    return {
        "kind": "faint_third",
        "level": clipped.level,
        "error": clipped.error,
        "kappa": _KAPPA,
        "n_pass": _N_FAINT_PASS,
        "n_least": _N_FAINT_LEAST,
        "n_stamp": int(finite.size),
        "passes": list(clipped.passes),
        "pixels": _pixels(cols, rows, base, value, clipped, geometry),
    }
