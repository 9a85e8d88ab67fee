"""The state of the learning: PRF, stars and pointing, and the light that they put on the frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.model.prf import Prf
from cuvee.model.records import Geometry
from cuvee.prf.spline import place_stamps

__all__ = ["Drawn", "Scene", "draw", "pointing_factors"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scene:
    """What the learning believes.

    Parameters
    ----------
    prf : Prf
        The PRF.
    col, row, flux : float64 array, shape (n_star,)
        Detector positions (px) at the mean pointing, and fluxes (e-/s).
    pointing : float64 array, shape (n_frame, 2)
        Shift of the stars along columns and rows in each frame (px).
    """

    prf: Prf
    col: FloatArray
    row: FloatArray
    flux: FloatArray
    pointing: FloatArray

    @property
    def factors(self) -> FloatArray:
        """Factors of the six derivatives in each frame, shape (n_frame, 6)."""
        return pointing_factors(self.pointing)


@dataclass(frozen=True, slots=True)
class Drawn:
    """The stars of a scene, drawn.

    Parameters
    ----------
    first_col, first_row : int64 array, shape (n_star,)
        Place of each stamp's pixel [0, 0] on the frames.
    design : float32 array, shape (3, n_star, K, K)
        Each star on the mean image, and how it changes when the star moves along columns and rows, for unit flux.
    model : float32 array, shape (6, n_row, n_col)
        The light of all stars, and its derivatives with the pointing.
    """

    first_col: IntArray
    first_row: IntArray
    design: NDArray[np.float32]
    model: NDArray[np.float32]


def pointing_factors(pointing: FloatArray) -> FloatArray:
    """Factors of the Taylor series up to second order: 1, dx, dy, dx^2/2, dx dy, dy^2/2; shape (n_frame, 6)."""
    dx, dy = pointing[:, 0], pointing[:, 1]
    return np.stack([np.ones_like(dx), dx, dy, 0.5 * dx * dx, dx * dy, 0.5 * dy * dy], axis=1)


def draw(scene: Scene, geometry: Geometry) -> Drawn:
    """Draw all stars of a scene on frames of a geometry."""
    from cuvee.kernels.prf_stamps import draw_scene

    prf = scene.prf
    place = place_stamps(prf, scene.col, scene.row)
    first_col, first_row = place.first_col - geometry.col0, place.first_row - geometry.row0
    width = 2 * prf.half + 1
    design = np.empty((3, scene.col.size, width, width), np.float32)
    model = np.zeros((6, geometry.n_row, geometry.n_col), np.float32)
    draw_scene(
        place.knot_col, place.weight_col, place.knot_row, place.weight_row, place.phi, prf.coef, prf.knots, first_col,
        first_row, scene.flux, scene.factors.mean(axis=0), design, model,
    )  # fmt: skip
    return Drawn(first_col, first_row, design, model)
