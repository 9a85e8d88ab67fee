"""Which stars and which pixels take part in PSF photometry, of full frames and of stamps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cuvee.model.psf import StarModel
from cuvee.model.records import Reference
from cuvee.photometry import noise
from cuvee.photometry.dead import dead_pixels

__all__ = ["apart", "inverse_variance", "solved_stars"]

TOO_NEAR = 0.3
"""Stars nearer to a brighter one than this (px) are one with it: nothing in the pixels tells them apart."""

FULL = 0.9
"""Share of the saturation limit from which a pixel of the reference image takes no part."""

LEAST = 0.01
"""Share of the targets that may be fainter than the stars as bright as them are."""

BESIDE, FAINTER = 3.0, 2.5
"""A neighbour nearer than this (px) that is fainter by less than this factor is solved for, too, though it is no target."""


def apart(model: StarModel) -> StarModel:
    """Return the stars that have no brighter one nearer than `TOO_NEAR`.

    Parameters
    ----------
    model : StarModel
        All stars.

    Returns
    -------
    StarModel
        Those that the pixels can tell apart.
    """
    from scipy.spatial import cKDTree  # takes a while to import, and only workers need it

    col, row, flux = model.col, model.row, model.flux
    placed = np.flatnonzero(np.isfinite(col + row + flux))
    pairs = cKDTree(np.column_stack([col, row])[placed]).query_pairs(TOO_NEAR, output_type="ndarray")
    a, b = placed[pairs[:, 0]], placed[pairs[:, 1]]
    fainter = np.where((flux[a] < flux[b]) | ((flux[a] == flux[b]) & (a > b)), a, b)
    kept = np.setdiff1d(placed, fainter)
    return replace(model, id=model.id[kept], col=col[kept], row=row[kept], flux=flux[kept])


def solved_stars(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    flux: NDArray[np.float64],
    target: NDArray[np.bool_],
    shape: tuple[int, ...],
) -> NDArray[np.bool_]:
    """Return the stars whose flux must be found: targets, stars as bright as these, and neighbours not much fainter.

    All others are as bright in every frame as they are in the reference image.

    Parameters
    ----------
    col, row : float64 array, shape (n_star,)
        Places on the image (px).
    flux : float64 array, shape (n_star,)
        In the reference image (e-/s).
    target : bool array, shape (n_star,)
        Stars whose flux is wanted.
    shape : tuple of int
        Rows and columns of the image.

    Returns
    -------
    bool array, shape (n_star,)
    """
    from scipy.spatial import cKDTree  # takes a while to import, and only workers need it

    solved = target.copy()
    if not target.any():
        return solved
    solved |= flux >= np.quantile(flux[target], LEAST)
    stars = cKDTree(np.column_stack([col, row]))
    near = stars.query_ball_point(np.column_stack([col, row])[target], BESIDE, workers=1)
    for one, others in zip(flux[target].tolist(), near, strict=True):
        for k in others:
            solved[k] |= flux[k] > one / FAINTER
    # Of stars beside the image the pixels tell too little; their light is taken as it is.
    return solved & (col > -0.5) & (row > -0.5) & (col < shape[1] - 0.5) & (row < shape[0] - 0.5)


def inverse_variance(
    image: NDArray[np.float32], reference: Reference, behind: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Return the weights of the pixels; those that are full of charge, dead, or unknown, take no part.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        The reference image (e-/s).
    reference : Reference
        Where it lies, and the terms of the noise model.
    behind : float32 array, shape (n_row, n_col), optional
        What the mission subtracted from it (e-/s): it has photons, too.

    Returns
    -------
    float32 array, shape (n_row, n_col)
    """
    readout, geometry = reference.readout, reference.geometry
    read = noise.variance_at(geometry.col0 + np.arange(geometry.n_col, dtype=np.float64), readout)
    light = image if behind is None else image + behind
    with np.errstate(invalid="ignore"):
        variance = np.maximum(light, 0.0) / readout.exposure + read
        usable = (light < FULL * readout.saturation) & np.isfinite(image) & (variance > 0.0)
        usable &= ~dead_pixels(image, np.sqrt(read))
    weight = np.zeros(image.shape, np.float32)
    np.divide(1.0, variance, out=weight, where=usable)
    return weight
