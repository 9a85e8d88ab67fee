"""How much of what stars are measured by lies at the edge of the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.model.records import FluxBlock, Geometry, Targets
from cuvee.photometry import aperture

__all__ = ["with_edge"]


def with_edge(
    block: FluxBlock,
    targets: Targets,
    image: NDArray[Any],
    geometry: Geometry,
    radii: Sequence[float],
    mask: NDArray[np.bool_] | None = None,
    subtracted: bool = False,
) -> FluxBlock:
    """Return a block whose meta says which apertures and masks have pixels in the outermost rows and columns, and their light.

    Parameters
    ----------
    block : FluxBlock
        With its stars and their own masks.
    targets : Targets
        The targets of the detector.
    image : array, shape (n_row, n_col)
        Mean or reference image (e-/s).
    geometry : Geometry
        Where it lies.
    radii : sequence of float
        Of the apertures (px).
    mask : bool array, shape (n_row, n_col), optional
        The given mask that is summed instead.
    subtracted : bool
        Whether the image has no background.

    Returns
    -------
    FluxBlock
        ``meta["edge"]`` has of each of these stars the number among the targets (``star``), and a list for each of its ``methods``: the
        ``light`` in these pixels (e-/s), with ``area`` (px) of a background in it.
    """
    shape = (geometry.n_row, geometry.n_col)
    outermost = np.ones(shape, bool)
    outermost[1:-1, 1:-1] = False
    light = np.nan_to_num(np.where(outermost, image, 0.0).astype(np.float64), posinf=0.0, neginf=0.0)
    names = [
        name.removesuffix("_flux") for name in block.planes if name.startswith("aperture") and name.endswith("_flux")
    ]
    found: dict[int, dict[str, tuple[float, float]]] = {}
    if mask is not None:
        whole = (float(light[mask].sum()), float((outermost & mask).sum()))
        found = {int(star): {names[0]: whole} for star in block.rows if whole[1]}
    else:
        found = _circles(block.rows, targets, light, outermost, geometry, radii, names)
    if block.masks is not None:
        names = [*names, "mask"]
        for s, star in enumerate(block.rows.tolist()):
            col, row = block.masks.of(s)
            x, y = col - geometry.col0, row - geometry.row0
            if outermost[y, x].any():
                found.setdefault(star, {})["mask"] = (float(light[y, x].sum()), float(outermost[y, x].sum()))
    nothing = (0.0, 0.0)
    parts = [[one.get(name, nothing) for name in names] for one in found.values()]
    edge: Mapping[str, Any] = {
        "methods": names,
        "star": list(found),
        "light": [[part[0] for part in one] for one in parts],
        "area": [[0.0 if subtracted else part[1] for part in one] for one in parts],
    }
    return replace(block, meta={**block.meta, "edge": edge})


def _circles(
    rows: NDArray[np.int64], targets: Targets, light: NDArray[np.float64], outermost: NDArray[np.bool_], geometry: Geometry,
    radii: Sequence[float], names: Sequence[str],
) -> dict[int, dict[str, tuple[float, float]]]:  # fmt: skip
    n_row, n_col = outermost.shape
    col, row = targets.col[rows] - geometry.col0, targets.row[rows] - geometry.row0
    inner = (
        (col - radii[-1] > 0.5)
        & (col + radii[-1] < n_col - 1.5)
        & (row - radii[-1] > 0.5)
        & (row + radii[-1] < n_row - 1.5)
    )
    near = np.flatnonzero(~inner & np.isfinite(col + row))
    corner, width = np.zeros(near.size, np.int64), np.full(near.size, n_col)
    circles = aperture.circles(col[near], row[near], radii, (n_row, n_col), corner, corner, width)
    found = {}
    for s, star in enumerate(rows[near].tolist()):
        entries = slice(int(circles.ptr[s, 0]), int(circles.ptr[s, -1]))
        pixel, weight = circles.pixel[entries, 0], circles.weight[entries].astype(np.float64)
        sums = light.ravel()[pixel] @ weight
        areas = outermost.ravel()[pixel].astype(np.float64) @ weight
        if areas.any():
            found[star] = {name: (float(a), float(b)) for name, a, b in zip(names, sums, areas, strict=True)}
    return found
