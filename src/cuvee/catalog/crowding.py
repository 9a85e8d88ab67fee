"""How much of the light in an aperture belongs to its star, by catalogue and PRF."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.model.records import Geometry

__all__ = ["crowding", "gaussian_sigma"]

FloatArray = NDArray[np.float64]

REACH = 6.0  # Gaussian widths; a star ten magnitudes brighter leaves 2e-5 of the target's flux beyond


def gaussian_sigma(fwhm: float) -> float:
    """Return the standard deviation of a Gaussian from its full width at half maximum."""
    return fwhm / np.sqrt(8.0 * np.log(2.0))  # type: ignore[no-any-return]


def crowding(
    geometry: Geometry,
    col: FloatArray,
    row: FloatArray,
    flux: FloatArray,
    target: NDArray[np.int64],
    radii: tuple[float, ...],
    fwhm: float,
) -> FloatArray:
    """Return the targets' share of the flux in their apertures.

    All stars are drawn into one image of the series, so neighbours need not be searched for, and the shares are read from it.

    Parameters
    ----------
    geometry : Geometry
        Pixels of the series; apertures end at their edge.
    col, row : float64 array, shape (n_star,)
        Detector coordinates of all stars on or near the pixels, contaminants included.
    flux : float64 array, shape (n_star,)
        Their flux (any unit).
    target : int64 array, shape (n_target,)
        Which of them are targets.
    radii : tuple of float
        Aperture radii (px).
    fwhm : float
        Full width at half maximum of the Gaussian PRF (px), before it is integrated over pixels.

    Returns
    -------
    float64 array, shape (n_target, n_radii)
        f_t E_t / sum_j f_j E_j, where E_j is the fraction of star j's pixel-integrated PRF in the exact-overlap
        circle around target t; 1 for a star alone. NaN where the circle misses the pixels.

    Notes
    -----
    The quantity that TESS and Kepler call CROWDSAP (Bryson et al. 2010, ApJ 713, L97), here for a circle and a Gaussian.
    """
    if not radii:  # somebody only counts the stars
        return np.zeros((target.size, 0))
    from cuvee.kernels.crowding import aperture_shares, render_stars

    sigma = gaussian_sigma(fwhm)
    image = np.zeros((geometry.n_row, geometry.n_col))
    x, y = col - geometry.col0, row - geometry.row0
    # In order of row the stars share cache lines, and the sums do not depend on the order of the catalogue.
    order = np.lexsort((flux, x, y))
    render_stars(x[order], y[order], flux[order], sigma, REACH * sigma + 0.5, image)
    shares: FloatArray = aperture_shares(
        x[target], y[target], flux[target], sigma, np.asarray(radii, dtype=np.float64), image
    )
    # Where a star is alone, rounding and the PRF's cut wings may lift its share a hair above one.
    return np.minimum(shares, 1.0)
