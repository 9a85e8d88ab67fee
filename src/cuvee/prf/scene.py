"""The state of the learning: PRF, stars and pointing, and the light that they put on the frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.model.prf import Prf
from cuvee.model.records import Geometry
from cuvee.prf.spline import stamps

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
    values : float32 array, shape (6, n_star, K, K)
        As from `cuvee.prf.stamps`.
    model : float32 array, shape (6, n_row, n_col)
        The light of all stars, and its derivatives with the pointing.
    """

    first_col: IntArray
    first_row: IntArray
    values: NDArray[np.float32]
    model: NDArray[np.float32]


def pointing_factors(pointing: FloatArray) -> FloatArray:
    """Factors of the Taylor series up to second order: 1, dx, dy, dx^2/2, dx dy, dy^2/2; shape (n_frame, 6)."""
    dx, dy = pointing[:, 0], pointing[:, 1]
    return np.stack([np.ones_like(dx), dx, dy, 0.5 * dx * dx, dx * dy, 0.5 * dy * dy], axis=1)


def draw(scene: Scene, geometry: Geometry) -> Drawn:
    """Draw all stars of a scene on frames of a geometry."""
    from cuvee.kernels.prf_stamps import add_stamps

    first_col, first_row, values = stamps(scene.prf, scene.col, scene.row)
    first_col -= geometry.col0
    first_row -= geometry.row0
    model = np.empty((6, geometry.n_row, geometry.n_col), np.float32)
    image = np.empty((geometry.n_row, geometry.n_col))
    amount = np.ascontiguousarray(scene.flux[None, :])
    for a in range(6):
        image[:] = 0.0
        add_stamps(first_col, first_row, amount, values[a : a + 1], image)
        model[a] = image
    return Drawn(first_col, first_row, values, model)
