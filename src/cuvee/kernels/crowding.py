"""Light of catalogue stars in pixels and in apertures, for a round Gaussian PRF integrated over each pixel."""

from __future__ import annotations

import math

import numpy as np
from numba import float64, njit, void
from numpy.typing import NDArray

__all__ = ["aperture_shares", "render_stars"]


@njit([void(float64[::1], float64[::1], float64[::1], float64, float64, float64[:, ::1])], cache=True, nogil=True)
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


@njit([float64(float64, float64, float64)], cache=True, nogil=True)
def _corner_area(x: float, y: float, radius: float) -> float:
    """Area of the circle around the origin between the axes and (x, y); odd in both, so corners add up to rectangles."""
    sign = 1.0 if (x >= 0.0) == (y >= 0.0) else -1.0
    x = min(abs(x), radius)
    y = min(abs(y), radius)
    if x * x + y * y <= radius * radius:
        return sign * x * y
    # A rectangle as far as the circle is above y, then the integral of the circle itself.
    turn = math.sqrt(radius * radius - y * y)
    end = math.sqrt(radius * radius - x * x)
    sector = radius * radius * (math.asin(x / radius) - math.asin(turn / radius))
    return sign * 0.5 * (turn * y + x * end + sector)


@njit(
    [float64[:, ::1](float64[::1], float64[::1], float64[::1], float64, float64[::1], float64[:, ::1])],
    cache=True,
    nogil=True,
)
def aperture_shares(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    flux: NDArray[np.float64],
    sigma: float,
    radii: NDArray[np.float64],
    image: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return each star's share of the light in circles around it, pixels weighted by their exact overlap.

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
    width = int(2.0 * radii.max()) + 3
    across = np.empty(width)
    below = np.empty(width)
    for s in range(col.size):
        for a in range(radii.size):
            radius = radii[a]
            first_col = max(0, math.floor(col[s] - radius + 0.5))
            last_col = min(n_col - 1, math.floor(col[s] + radius + 0.5))
            first_row = max(0, math.floor(row[s] - radius + 0.5))
            last_row = min(n_row - 1, math.floor(row[s] + radius + 0.5))
            own = 0.0
            total = 0.0
            left = first_col - 0.5 - col[s]
            low = first_row - 0.5 - row[s]
            edge = math.erf(left * scale)
            for c in range(last_col - first_col + 1):
                nxt = math.erf((left + c + 1.0) * scale)
                across[c] = 0.5 * (nxt - edge)
                edge = nxt
                below[c] = _corner_area(left + c + 1.0, low, radius) - _corner_area(left + c, low, radius)
            edge = math.erf(low * scale)
            for r in range(last_row - first_row + 1):
                high = low + r + 1.0
                nxt = math.erf(high * scale)
                light = 0.5 * (nxt - edge)
                edge = nxt
                corner = _corner_area(left, high, radius)
                for c in range(last_col - first_col + 1):
                    next_corner = _corner_area(left + c + 1.0, high, radius)
                    strip = next_corner - corner
                    corner = next_corner
                    overlap = strip - below[c]
                    below[c] = strip
                    total += overlap * image[first_row + r, first_col + c]
                    own += overlap * light * across[c]
            shares[s, a] = flux[s] * own / total if total > 0.0 else np.nan
    return shares
