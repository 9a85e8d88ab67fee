"""The background under one star in one frame, redone from the pixels, with everything that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee import background
from cuvee.background.annulus import N_LEAST_CLEAN
from cuvee.background.layout import cell_position, cubic_rows
from cuvee.background.mesh import N_PICK
from cuvee.extract.measure import N_LEAST
from cuvee.extract.params import ExtractParams
from cuvee.model.records import Geometry
from cuvee.provenance.sums import Clipped, clipped_mean, clipped_median, mesh_nodes

__all__ = ["MeshHere", "annulus_background", "faint_background", "mean_image", "measure_mesh", "mesh_background"]

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


@dataclass(frozen=True, slots=True)
class MeshHere:
    """The mesh as one frame fills it.

    Parameters
    ----------
    geometry : Geometry
        Where the pixels lie.
    row_edges, col_edges : int64 array
        Borders of the cells, from 0.
    mean, error : float64 array, shape (n_cell_row, n_cell_col)
        Clipped mean of each cell's pixels, and its error (e-/s/pixel).
    shift : float64 array, shape (n_cell_row, n_cell_col, 2)
        Centroid of these pixels less the centre of the cell, in cells.
    still : float64 array, shape (n_cell_row, n_cell_col)
        Mean of these pixels in the reference image (e-/s/pixel).
    pixels : dict
        Columns, rows, bases, values of each cell's pixels, and how they were clipped.
    beside_stars : bool
        Whether the base of a pixel is the light of all stars in it, and not what it stands out by in the reference image.
    """

    geometry: Geometry
    row_edges: NDArray[np.int64]
    col_edges: NDArray[np.int64]
    mean: FloatArray
    error: FloatArray
    shift: FloatArray
    still: FloatArray
    pixels: dict[tuple[int, int], tuple[Any, ...]]
    beside_stars: bool

    def at(self, col: float, row: float) -> Facts:
        """Interpolate the mesh.

        Parameters
        ----------
        col, row : float
            A place on the detector (px).

        Returns
        -------
        dict
            ``level`` and ``error`` (e-/s/pixel); ``position`` in cells; the ``nodes`` with their ``value``, ``error``, ``weight``.
        """
        n_up, n_across = self.mean.shape
        value, value_err = mesh_nodes(self.mean, self.error, self.shift, self.still)
        x, y = np.array([col - self.geometry.col0]), np.array([row - self.geometry.row0])
        place_row, place_col = cell_position(y, self.row_edges), cell_position(x, self.col_edges)
        (up, weight_up), (across, weight_across) = cubic_rows(place_row, n_up), cubic_rows(place_col, n_across)
        nodes: list[Facts] = []
        for i, wi in zip(up[0].tolist(), weight_up[0], strict=True):
            for j, wj in zip(across[0].tolist(), weight_across[0], strict=True):
                weight = float(np.float32(wi * wj))
                if weight != 0.0:
                    node = {"cell_row": i, "cell_col": j, "weight": weight}
                    nodes.append(node | {"value": float(value[i, j]), "error": float(value_err[i, j])})
        return {
            "level": sum(node["weight"] * node["value"] for node in nodes),
            "error": float(np.sqrt(sum((node["weight"] * node["error"]) ** 2 for node in nodes))),
            "position": {"cell_row": float(place_row[0]), "cell_col": float(place_col[0])},
            "nodes": nodes,
        }


def measure_mesh(
    frame: NDArray[Any],
    image: NDArray[np.float32],
    geometry: Geometry,
    params: ExtractParams,
    stars: FloatArray | None = None,
) -> MeshHere:
    """Measure the mesh in a frame.

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
    stars : float64 array, shape (n_row, n_col), optional
        Light of all stars (e-/s), beside which the pixels are looked at where PSF fluxes are measured.

    Returns
    -------
    MeshHere
    """
    layout = background.tiles(frame.shape, params.mesh_size, 0)
    mesh = background.mesh(background.clean_pixels(image, layout), image, layout, np.zeros(0), np.zeros(0))
    n_across = mesh.shape[1]
    mean, error, still = (np.full(mesh.shape, np.nan) for _ in range(3))
    pixels: dict[tuple[int, int], tuple[Any, ...]] = {}
    tile = np.searchsorted(mesh.of_tile, np.arange(mesh.grid.size), side="right") - 1
    for k, at in enumerate(mesh.grid):
        entries = slice(int(mesh.ptr[k]), int(mesh.ptr[k + 1]))
        top, _, left, right = layout.outer[tile[k]]
        number = mesh.pixel[entries, 0]
        rows, cols = top + number // (right - left), left + number % (right - left)
        base = (mesh.base[entries] if stars is None else stars[rows, cols].astype(np.float32)).astype(np.float64)
        value = frame[rows, cols].astype(np.float64)
        clipped = clipped_mean(value - base, _KAPPA, _N_PASS, N_LEAST)
        cell = int(at) // n_across, int(at) % n_across
        mean[cell], error[cell] = clipped.level, clipped.error
        if base.size:
            dark = image[rows, cols].astype(np.float64) - (0.0 if stars is None else base)
            still[cell] = dark.mean()
        pixels[cell] = cols, rows, base, value, clipped
    return MeshHere(
        geometry, layout.row_edges, layout.col_edges, mean, error, mesh.shift, still, pixels, stars is not None
    )


def mesh_background(mesh: MeshHere, places: Sequence[tuple[float, float]]) -> Facts:
    """Background from the mesh.

    Parameters
    ----------
    mesh : MeshHere
        From `measure_mesh`.
    places : sequence of tuple of float
        Columns and rows for which it is wanted (px); the star's place comes first.

    Returns
    -------
    dict
        What `MeshHere.at` says of the first place; ``cells``, those that enter the nodes of any place, with ``mean``, ``shift`` and ``pixels``;
        and the ``means`` of all cells.
    """
    geometry = mesh.geometry
    here = [mesh.at(*place) for place in places]
    nodes = [node for one in here for node in one["nodes"]]
    # Slope and curvature at a node need the cells beside it, at the border the next two.
    n_up, n_across = mesh.mean.shape
    window = [_window([node[name] for node in nodes], n) for name, n in (("cell_row", n_up), ("cell_col", n_across))]
    cells = []
    for i in window[0]:
        for j in window[1]:
            cols, rows, base, values, clipped = mesh.pixels[i, j]
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
        **here[0],
        "kind": "mesh",
        "beside_stars": mesh.beside_stars,
        "kappa": _KAPPA,
        "n_pass": _N_PASS,
        "n_least": N_LEAST,
        "n_pick": N_PICK,
        "row_edges": (mesh.row_edges + geometry.row0).tolist(),
        "col_edges": (mesh.col_edges + geometry.col0).tolist(),
        "cells": cells,
        "means": mesh.mean.tolist(),
        "errors": mesh.error.tolist(),
        "stills": mesh.still.tolist(),
        "shifts": mesh.shift.tolist(),
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
    frame, image, geometry, params
        As in `measure_mesh`; the annulus for the side of the mesh.
    col, row : float
        The star, in detector coordinates (px).

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
