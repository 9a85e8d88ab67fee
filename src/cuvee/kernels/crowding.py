"""Light of catalogue stars in pixels and in apertures, for a round Gaussian PRF integrated over each pixel."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["aperture_shares", "render_stars"]


@njit(cache=True, nogil=True)
def render_stars(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    flux: NDArray[np.float64],
    sigma: float,
    reach: float,
    image: NDArray[np.float64],
) -> None:
    """Add stars to an image, in place.

    Parameters
    ----------
    col, row : float64 array, shape (n_star,)
        Positions (px) relative to the centre of ``image[0, 0]``; they may lie outside.
    flux : float64 array, shape (n_star,)
        Total flux of each star.
    sigma : float
        Width of the Gaussian (px), before it is integrated over pixels.
    reach : float
        Half width of the square that a star is drawn in (px).
    image : float64 array, shape (n_row, n_col)
        Changed in place.
    """
    n_row, n_col = image.shape
    scale = 1.0 / (sigma * math.sqrt(2.0))
    width = int(2.0 * reach) + 3
    across = np.empty(width)
    for s in range(col.size):
        first_col = max(0, math.floor(col[s] - reach + 0.5))
        last_col = min(n_col - 1, math.floor(col[s] + reach + 0.5))
        first_row = max(0, math.floor(row[s] - reach + 0.5))
        last_row = min(n_row - 1, math.floor(row[s] + reach + 0.5))
        if first_col > last_col or first_row > last_row:
            continue
        edge = math.erf((first_col - 0.5 - col[s]) * scale)
        for c in range(first_col, last_col + 1):
            nxt = math.erf((c + 0.5 - col[s]) * scale)
            across[c - first_col] = 0.5 * (nxt - edge)
            edge = nxt
        edge = math.erf((first_row - 0.5 - row[s]) * scale)
        for r in range(first_row, last_row + 1):
            nxt = math.erf((r + 0.5 - row[s]) * scale)
            light = 0.5 * flux[s] * (nxt - edge)
            edge = nxt
            for c in range(first_col, last_col + 1):
                image[r, c] += light * across[c - first_col]


@njit(cache=True, nogil=True)
def aperture_shares(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    flux: NDArray[np.float64],
    sigma: float,
    radii: NDArray[np.float64],
    nodes: NDArray[np.float64],
    weights: NDArray[np.float64],
    image: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return each star's share of the light in circles around it.

    Parameters
    ----------
    col, row : float64 array, shape (n_star,)
        Positions (px) relative to the centre of ``image[0, 0]``.
    flux : float64 array, shape (n_star,)
        Total flux of each star.
    sigma : float
        Width of the Gaussian (px), before it is integrated over pixels.
    radii : float64 array, shape (n_radii,)
        Radii of the circles (px).
    nodes, weights : float64 array, shape (n_node,)
        Gauss-Legendre rule on [-1, 1]; along it the overlap of circle and pixel is integrated.
    image : float64 array, shape (n_row, n_col)
        The light of all stars, these included.

    Returns
    -------
    float64 array, shape (n_star, n_radii)
        Own light over all light in the part of the circle that lies on the image; NaN where that part is dark.
    """
    n_row, n_col = image.shape
    scale = 1.0 / (sigma * math.sqrt(2.0))
    shares = np.empty((col.size, radii.size))
    for s in range(col.size):
        for a in range(radii.size):
            radius = radii[a]
            first_col = max(0, math.floor(col[s] - radius + 0.5))
            last_col = min(n_col - 1, math.floor(col[s] + radius + 0.5))
            first_row = max(0, math.floor(row[s] - radius + 0.5))
            last_row = min(n_row - 1, math.floor(row[s] + radius + 0.5))
            own = 0.0
            total = 0.0
            for r in range(first_row, last_row + 1):
                # The part of the pixel row that the circle reaches, so that the rule's ends lie on the circle's.
                low = max(r - 0.5 - row[s], -radius)
                high = min(r + 0.5 - row[s], radius)
                if high <= low:
                    continue
                middle = 0.5 * (low + high)
                half = 0.5 * (high - low)
                light_row = 0.25 * (math.erf((r + 0.5 - row[s]) * scale) - math.erf((r - 0.5 - row[s]) * scale))
                for c in range(first_col, last_col + 1):
                    left = c - 0.5 - col[s]
                    overlap = 0.0
                    for k in range(nodes.size):
                        y = middle + half * nodes[k]
                        chord = math.sqrt(max(radius * radius - y * y, 0.0))
                        overlap += weights[k] * max(min(left + 1.0, chord) - max(left, -chord), 0.0)
                    overlap *= half
                    if overlap > 0.0:
                        total += overlap * image[r, c]
                        own += overlap * light_row * (math.erf((left + 1.0) * scale) - math.erf(left * scale))
            shares[s, a] = flux[s] * own / total if total > 0.0 else np.nan
    return shares
