"""The pointing of every frame, from the stars that teach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.prf.scene import pointing_factors
from cuvee.prf.stars import solve_blocks

__all__ = ["flux_series", "solve_pointing"]

FloatArray = NDArray[np.float64]

FLOOR = 1e-3
"""Error of the model of one star, as a shift (px): so the few brightest do not decide alone."""

CLIP = 5.0
"""Standard deviations from which a star does not count in a frame."""

ROUNDS = 8


def flux_series(
    residual: FloatArray, response: FloatArray, gram: FloatArray, before: FloatArray, now: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Flux of each star in each frame less its mean flux, and its error.

    Parameters
    ----------
    residual, response, gram
        From `cuvee.kernels.prf_frames.star_projections`.
    before, now : float64 array, shape (n_frame, 2)
        Pointing with which the residuals were made, and the one that holds.

    Returns
    -------
    series : float64 array, shape (n_star, n_frame)
        e-/s.
    error : float64 array, shape (n_star,)
        e-/s, from the pixels' variances.
    """
    change = pointing_factors(now) - pointing_factors(before)
    projected = residual[:, 0] - np.einsum("sa,ta->st", response[:, 0], change)
    return projected / gram[:, 0, 0, None], 1.0 / np.sqrt(gram[:, 0, 0])


def solve_pointing(
    residual: FloatArray, response: FloatArray, gram: FloatArray, flux: FloatArray, before: FloatArray
) -> FloatArray:
    """Find the pointing that leaves no shift in the residuals of the stars, each with a flux of its own in each frame.

    Parameters
    ----------
    residual, response, gram
        From `cuvee.kernels.prf_frames.star_projections`.
    flux : float64 array, shape (n_star,)
        Mean fluxes (e-/s).
    before : float64 array, shape (n_frame, 2)
        Pointing with which the residuals were made (px).

    Returns
    -------
    float64 array, shape (n_frame, 2)
        Pointing (px).
    """
    # A star's own flux is eliminated: what is left of the derivatives is at right angles to the star itself.
    share = gram[:, 1:, 0] / gram[:, :1, 0]
    slope = gram[:, 1:, 1:] - share[:, :, None] * gram[:, None, 0, 1:]
    slope = slope * (flux**2)[:, None, None]
    response = (response[:, 1:] - share[:, :, None] * response[:, :1]) * flux[:, None, None]
    residual = (residual[:, 1:] - share[:, :, None] * residual[:, :1]) * flux[:, None, None]
    slope[:, range(2), range(2)] *= 1.0 + 1e-12
    # Error of one star's shift: photons, and the model's own.
    photons = np.stack([slope[:, 0, 0], slope[:, 1, 1]], axis=1)
    trust = 1.0 / (1.0 + FLOOR**2 * photons.mean(axis=1))
    pointing = before.copy()
    for _ in range(ROUNDS):
        change = pointing_factors(pointing) - pointing_factors(before)
        left = residual - np.einsum("ska,ta->skt", response, change)
        shift = solve_blocks(slope[:, None], left.transpose(0, 2, 1))
        sigma = np.sqrt(1.0 / photons + FLOOR**2)
        middle = np.median(shift, axis=0)
        good = (np.abs(shift - middle) < CLIP * sigma[:, None]).all(axis=2)
        weight = trust[:, None] * good
        matrix = np.einsum("st,sij->tij", weight, slope)
        right = np.einsum("st,sit->ti", weight, left)
        seen = weight.sum(axis=0) > 0.0
        step = np.zeros_like(pointing)
        step[seen] = solve_blocks(matrix[seen], right[seen])
        pointing += step
        if np.abs(step).max() < 1e-9:
            break
    return pointing
