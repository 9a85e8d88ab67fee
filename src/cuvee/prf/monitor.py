"""How well a PRF fits: what the residuals under stars say about its width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.model.prf import Prf
from cuvee.model.records import Geometry
from cuvee.prf.spline import stamps
from cuvee.prf.stars import solve_blocks

__all__ = ["Mismatch", "monitor"]

FloatArray = NDArray[np.float64]

BINS = 6
"""Bins of brightness, with as many stars in each."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """How well a PRF fits.

    Parameters
    ----------
    width : float
        By how much the stars are wider than the PRF, as a fraction of the width: 0.02 where they are 2 % wider.
    width_error : float
        Its standard deviation, from the noise and from how the stars differ among themselves.
    flux : float64 array, shape (n_bin,)
        Median flux of the stars in each bin of brightness, brightest first (e-/s).
    chi2 : float64 array, shape (n_bin,)
        Median reduced chi^2 of the stars' residuals in each bin, flux and position of each star fitted: 1 for noise alone. It grows
        with the brightness where the PRF is wrong.
    n_star : int
        Stars that were used.
    """

    width: float
    width_error: float
    flux: FloatArray
    chi2: FloatArray
    n_star: int


def monitor(
    prf: Prf,
    residual: NDArray[np.float32],
    variance: NDArray[np.float32],
    geometry: Geometry,
    col: FloatArray,
    row: FloatArray,
    flux: FloatArray,
) -> Mismatch:
    """Fit a change of the width to what an image shows beyond its stars.

    A PRF stretched by a factor s is P(r / s) / s^2; its derivative at s = 1 is -2 P - r dP/dr. Its amplitude is fitted to the
    residual under each star, together with corrections of the star's flux and position.

    Parameters
    ----------
    prf : Prf
        The PRF.
    residual : float32 array, shape (n_row, n_col)
        An image, or the mean of many, less its sky and all stars drawn with ``prf`` (e-/s).
    variance : float32 array, shape (n_row, n_col)
        Its variance ((e-/s)^2); inf where a pixel is left out.
    geometry : Geometry
        Where the pixels lie.
    col, row, flux : float64 array, shape (n_star,)
        Detector positions (px) and fluxes (e-/s) of the stars to look at: bright, isolated, not saturated. Those whose stamps
        leave the image are left out.

    Returns
    -------
    Mismatch
        Of NaN where no star is left.
    """
    first_col, first_row, values = stamps(prf, col, row)
    width = 2 * prf.half + 1
    first_col, first_row = first_col - geometry.col0, first_row - geometry.row0
    there = (first_col >= 0) & (first_col + width <= geometry.n_col)
    there &= (first_row >= 0) & (first_row + width <= geometry.n_row) & (flux > 0.0)
    if not there.any():
        return Mismatch(float("nan"), float("nan"), np.zeros(0), np.zeros(0), 0)
    first_col, first_row, flux = first_col[there], first_row[there], flux[there]
    n = flux.size
    light = values[:3, there].astype(np.float64)
    around = np.arange(width)
    pixel = (first_row[:, None, None] + around[:, None], first_col[:, None, None] + around)
    dx = pixel[1] + geometry.col0 - col[there, None, None]
    dy = pixel[0] + geometry.row0 - row[there, None, None]
    # Derivatives are those of a star that moves, so opposite to those along r.
    wider = -2.0 * light[0] + dx * light[1] + dy * light[2]
    design = np.stack([light[0], light[1], light[2], wider]).reshape(4, n, -1) * flux[:, None]
    weight = 1.0 / variance[pixel].reshape(n, -1).astype(np.float64)
    values = residual[pixel].reshape(n, -1).astype(np.float64)
    normal = np.einsum("isp,jsp,sp->sij", design, design, weight)
    right = np.einsum("isp,sp,sp->si", design, weight, values)
    scale = 1.0 / np.sqrt(np.maximum(normal[:, range(4), range(4)], 1e-300))
    normal = normal * scale[:, :, None] * scale[:, None, :]
    normal[:, range(4), range(4)] += 1e-9
    right = right * scale
    # The last column of the inverse gives both the amplitude of the width and its variance.
    unit = np.broadcast_to(np.array([0.0, 0.0, 0.0, 1.0]), right.shape)
    column = solve_blocks(normal, unit)
    amplitude = (column * right).sum(axis=1) * scale[:, 3]
    noise = column[:, 3] * scale[:, 3] ** 2
    middle = float(np.median(amplitude))
    spread = (1.4826 * float(np.median(np.abs(amplitude - middle)))) ** 2
    trust = 1.0 / (noise + max(spread - float(np.median(noise)), 0.0))
    near = np.abs(amplitude - middle) < 5.0 / np.sqrt(trust)
    total = float(trust[near].sum())
    own = solve_blocks(normal[:, :3, :3], right[:, :3])
    chi2 = (weight * values**2).sum(axis=1) - (own * right[:, :3]).sum(axis=1)
    chi2 /= np.maximum((weight > 0.0).sum(axis=1) - 3, 1)
    order = np.argsort(-flux, kind="stable")
    bins = np.array_split(order, min(BINS, n))
    return Mismatch(
        width=float((trust * amplitude)[near].sum()) / total,
        width_error=total**-0.5,
        flux=np.array([np.median(flux[b]) for b in bins]),
        chi2=np.array([np.median(chi2[b]) for b in bins]),
        n_star=n,
    )
