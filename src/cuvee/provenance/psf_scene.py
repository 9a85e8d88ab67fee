"""All stars of a series as PSF photometry knows them: which are fitted, how bright they are, what light they give to each pixel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cuvee.extract.psf_stars import BESIDE, FAINTER, FULL, LEAST, TOO_NEAR
from cuvee.model.psf import StarModel
from cuvee.model.records import Reference
from cuvee.photometry.dead import dead_pixels
from cuvee.photometry.noise import output_of, pixel_variance
from cuvee.photometry.psf import LEAST_SNR
from cuvee.provenance.prf_stamps import stamps

__all__ = ["Scene", "scene_of"]

_AT_A_TIME = 2000


@dataclass(frozen=True, slots=True)
class Scene:
    """The stars of a series; arrays over stars have shape (n_star,) and the order of the star model.

    Parameters
    ----------
    model : StarModel
        PRF, places and fluxes.
    reference : Reference
        The reference image.
    apart : bool array
        Stars that no brighter one is so near to that they are one with it.
    solved : bool array
        Stars whose flux is found in every frame; the others are as bright as in the reference image.
    seen_well : bool array
        Stars whose displacement counts beyond the second order.
    corner : int64 array, shape (n_star, 2)
        Image row and column of each stamp's pixel [0, 0], perhaps outside the image.
    inverse_variance : float64 array, shape (n_row, n_col)
        Of the pixels of one frame; 0 for those that take no part.
    light : float64 array, shape (n_row, n_col)
        All stars as they are in the reference image, without background (e-/s).
    still : float array, shape (n_row, n_col)
        The reference image, with its stars moved to where the model has them (e-/s).
    """

    model: StarModel
    reference: Reference
    apart: NDArray[np.bool_]
    solved: NDArray[np.bool_]
    seen_well: NDArray[np.bool_]
    corner: NDArray[np.int64]
    inverse_variance: NDArray[np.float64]
    light: NDArray[np.float64]
    still: NDArray[Any]

    def star(self, star_id: int) -> int | None:
        """Return the number of the star of a catalogue id; None if there is none."""
        found = np.flatnonzero(self.model.id == star_id)
        return int(found[0]) if found.size else None

    def brighter_beside(self, star: int) -> int | None:
        """Return the catalogue id of the brighter star that a star is one with; None for a star that stands apart."""
        if self.apart[star]:
            return None
        away = np.hypot(self.model.col - self.model.col[star], self.model.row - self.model.row[star])
        near = np.flatnonzero((away <= TOO_NEAR) & (self.model.flux >= self.model.flux[star]))
        near = near[near != star]
        return int(self.model.id[near[np.argmax(self.model.flux[near])]]) if near.size else None


def scene_of(
    model: StarModel, target_ids: NDArray[np.int64], reference: Reference, shift: tuple[float, float] = (0.0, 0.0)
) -> Scene:
    """Find out how PSF photometry takes each star, and draw them all.

    Parameters
    ----------
    model : StarModel
        PRF and stars of the series.
    target_ids : int64 array, shape (n_target,)
        Catalogue ids of the series' targets.
    reference : Reference
        Its reference image.
    shift : tuple of float, optional
        By how much the frames lie off the reference image, in column and row, for which the stars were planned (px).

    Returns
    -------
    Scene
        With the stars of the model moved by ``shift``.
    """
    if any(shift):
        still = scene_of(model, target_ids, reference)
        model = replace(model, col=model.col + shift[0], row=model.row + shift[1])
        moved = scene_of(model, target_ids, reference)
        return replace(moved, light=still.light, still=reference.image + (moved.light - still.light))
    geometry = reference.geometry
    shape = (geometry.n_row, geometry.n_col)
    apart = _apart(model)
    solved = apart & _wanted(model, apart, np.isin(model.id, target_ids), reference)
    weight = _inverse_variance(reference)
    light = np.zeros(shape)
    corner = np.zeros((len(model), 2), np.int64)
    snr = np.zeros(len(model))
    drawn = np.flatnonzero(apart)
    for begin in range(0, drawn.size, _AT_A_TIME):
        some = drawn[begin : begin + _AT_A_TIME]
        at, values = stamps(model.prf, model.col[some], model.row[some], ((0, 0),))
        corner[some] = at - [geometry.row0, geometry.col0]
        side = values.shape[2]
        rows = corner[some, 0, None, None] + np.arange(side)[:, None]
        cols = corner[some, 1, None, None] + np.arange(side)
        inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
        rows, cols = np.broadcast_arrays(rows, cols)
        np.add.at(light, (rows[inside], cols[inside]), (values[0] * model.flux[some, None, None])[inside])
        seen = np.zeros(inside.shape)
        seen[inside] = weight[rows[inside], cols[inside]]
        snr[some] = model.flux[some] * np.sqrt((seen * values[0] ** 2).sum(axis=(1, 2)))
    snr[~solved] = 0.0
    return Scene(model, reference, apart, solved, snr > LEAST_SNR, corner, weight, light, reference.image)


def _apart(model: StarModel) -> NDArray[np.bool_]:
    """Return the stars that no brighter one is nearer to than `TOO_NEAR`."""
    known = np.isfinite(model.col + model.row + model.flux)
    placed = np.flatnonzero(known)
    place = np.column_stack([model.col, model.row])[placed]
    apart = known.copy()
    for i, j in cKDTree(place).query_pairs(TOO_NEAR):
        a, b = sorted((int(placed[i]), int(placed[j])))
        apart[a if model.flux[a] < model.flux[b] else b] = False
    return apart


def _wanted(
    model: StarModel, apart: NDArray[np.bool_], target: NDArray[np.bool_], reference: Reference
) -> NDArray[np.bool_]:
    """Return which stars on the image are targets, as bright as nearly all of these are, or beside one and not much fainter."""
    target = target & apart
    geometry = reference.geometry
    x, y = model.col - geometry.col0, model.row - geometry.row0
    wanted = target | (model.flux >= (np.quantile(model.flux[target], LEAST) if target.any() else np.inf))
    stars, places = np.flatnonzero(apart), np.column_stack([x, y])
    tree = cKDTree(places[stars])
    for one in np.flatnonzero(target):
        near = stars[tree.query_ball_point(places[one], BESIDE)]
        wanted[near[model.flux[near] > model.flux[one] / FAINTER]] = True
    on = (x > -0.5) & (y > -0.5) & (x < geometry.n_col - 0.5) & (y < geometry.n_row - 0.5)
    return np.asarray(wanted & on)


def _inverse_variance(reference: Reference) -> NDArray[np.float64]:
    """Return what a pixel counts: 1 / (light / exposure + reading), or nothing where it is nearly full, or unknown."""
    readout, geometry, image = reference.readout, reference.geometry, reference.image.astype(np.float64)
    output = output_of(geometry.col0 + np.arange(geometry.n_col, dtype=np.float64), readout)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.maximum(image, 0.0) / readout.exposure + pixel_variance(readout)[output]
        usable = (image < FULL * readout.saturation) & (variance > 0.0)
        usable &= ~dead_pixels(reference.image, np.sqrt(pixel_variance(readout)[output]))
        return np.where(usable, 1.0 / variance, 0.0)
