"""Which aperture shows most of a star."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.metrics import median, point_to_point_scatter
from cuvee.model.records import Geometry, PixelMasks

__all__ = [
    "by_distance_from_middle",
    "choose_aperture",
    "enclosed_light",
    "light_in_masks",
    "light_shares",
    "unspilt",
    "whole_apertures",
]


def choose_aperture(
    fluxes: Sequence[NDArray[Any]],
    good: NDArray[np.bool_],
    enclosed: Sequence[float | NDArray[np.float64]],
    whole: NDArray[np.bool_] | None = None,
    order: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return which aperture has the smallest scatter relative to the star's own light in it.

    The star's own light is its unknown but one total times the share of it that each aperture encloses. Dividing by
    the measured flux instead would favour apertures full of a neighbour's light, which lowers the relative scatter
    without showing more of the star; and not every neighbour is in the catalogue.

    Parameters
    ----------
    fluxes : sequence of float arrays, each of shape (n_star, n_point)
        One an aperture (e-/s).
    good : bool array, shape (n_star, n_point)
        Points to use.
    enclosed : sequence of float, or of float64 array of shape (n_star,)
        Share of a star's light that each aperture encloses.
    whole : bool array, shape (n_star, n_aperture), optional
        Which apertures lie wholly on the pixels; a clipped one is taken only where all are clipped.
    order : int64 array, shape (n_aperture,), optional
        Which of equals is taken first; by default that nearest the middle.

    Returns
    -------
    int64 array, shape (n_star,)
        Index of the aperture. Of equals, the first of ``order``; this one, too, where nothing can be measured.
    """
    scatter = np.empty((good.shape[0], len(fluxes)))
    for k, flux in enumerate(fluxes):
        kept = np.where(good, flux, np.nan)
        level = median(kept)
        noise = point_to_point_scatter(kept) / enclosed[k]
        scatter[:, k] = np.where((level > 0) & np.isfinite(noise), noise, np.inf)
    if whole is not None:
        scatter = np.where(whole | ~whole.any(axis=1, keepdims=True), scatter, np.inf)
    order = by_distance_from_middle(len(fluxes)) if order is None else order
    chosen: NDArray[np.int64] = order[np.argmin(scatter[:, order], axis=1)]
    # Where no scatter is known, a whole aperture still beats a clipped one.
    if whole is not None:
        lost = ~np.isfinite(scatter).any(axis=1) & whole.any(axis=1)
        chosen[lost] = order[np.argmax(whole[lost][:, order], axis=1)]
    return chosen


def enclosed_light(radii: Iterable[float], fwhm: float) -> tuple[float, ...]:
    """Return the share of a star's light within circles about it, for a Gaussian on square pixels.

    Parameters
    ----------
    radii : iterable of float
        Radii (px).
    fwhm : float
        Full width at half maximum before the blurring (px).

    Returns
    -------
    tuple of float
        1 - exp(-r^2 / (2 s^2)) for each radius, where s^2 is the Gaussian's variance plus 1/12 twice: pixels blur the light, and exact
        overlap spreads each pixel's light over its area once more.
    """
    variance = fwhm**2 / (8.0 * np.log(2.0)) + 2.0 / 12.0
    return tuple(float(1.0 - np.exp(-(r**2) / (2.0 * variance))) for r in radii)


def unspilt(
    methods: Sequence[str],
    fluxes: Sequence[NDArray[Any]],
    good: NDArray[np.bool_],
    saturated: NDArray[np.bool_],
    whole: NDArray[np.bool_] | None,
) -> NDArray[np.bool_] | None:
    """Return which methods may be chosen: no PSF, mask or halo without a flux, and of a saturated star with one of these no circle.

    A pixel that is full does not follow the star, and what it spills leaves the circle along the column. Such a sum may be very
    quiet, and shows nothing.

    Parameters
    ----------
    methods : sequence of str
        The apertures, and what was measured beside them.
    fluxes, good, whole
        As `choose_aperture` takes them.
    saturated : bool array, shape (n_star, n_point)
        Points with a saturated pixel.

    Returns
    -------
    bool array, shape (n_star, n_method), or None
        As `choose_aperture` takes it.
    """
    others = [k for k, name in enumerate(methods) if not name.startswith("aperture")]
    if not others:
        return whole
    allowed = np.ones((good.shape[0], len(methods)), np.bool_) if whole is None else whole.copy()
    for k in others:
        allowed[:, k] &= (good & np.isfinite(fluxes[k])).any(axis=1)
    wide = [k for k, name in enumerate(methods) if name in ("mask", "halo")]
    spilt = (2 * (saturated & good).sum(axis=1) > good.sum(axis=1)) & allowed[:, wide].any(axis=1)
    circles = [k for k, name in enumerate(methods) if name.startswith("aperture")]
    allowed[np.ix_(spilt, circles)] = False
    return allowed


def light_shares(
    radii: Sequence[float], fwhm: float, in_mask: NDArray[np.float64] | None = None
) -> dict[str, float | NDArray[np.float64]]:
    """Return the share of a star's light that each method takes in.

    Parameters
    ----------
    radii : sequence of float
        Radii of ``aperture1``, ``aperture2``, ... (px).
    fwhm : float
        Full width at half maximum of a star (px).
    in_mask : float64 array, shape (n_star,), optional
        From `light_in_masks`; NaN for a star without a mask.

    Returns
    -------
    dict of str to float, or float64 array of shape (n_star,)
        The PSF flux is all of a star's light; a halo has the level of the mask, or of the largest circle without one.
    """
    circles = enclosed_light(radii, fwhm)
    found: dict[str, float | NDArray[np.float64]] = {f"aperture{k + 1}": share for k, share in enumerate(circles)}
    found |= {"psf": 1.0, "halo": circles[-1]}
    if in_mask is not None:
        found |= {"mask": in_mask, "halo": np.where(np.isnan(in_mask), circles[-1], in_mask)}
    return found


def light_in_masks(
    masks: PixelMasks, col: NDArray[np.float64], row: NDArray[np.float64], fwhm: float
) -> NDArray[np.float64]:
    """Return the share of a star's light within its pixel mask, for a Gaussian on square pixels.

    Parameters
    ----------
    masks : PixelMasks
        One a star.
    col, row : float64 array, shape (n_star,)
        The stars, in detector coordinates (px).
    fwhm : float
        Full width at half maximum of a star (px).

    Returns
    -------
    float64 array, shape (n_star,)
        The Gaussian integrated over each pixel, summed; NaN without a mask.
    """
    from scipy.special import ndtr

    sigma = fwhm / np.sqrt(8.0 * np.log(2.0))
    count = np.diff(masks.ptr)
    share = np.ones(masks.col.size)
    for pixel, star in ((masks.col, col), (masks.row, row)):
        away = pixel - np.repeat(star, count)
        share *= ndtr((away + 0.5) / sigma) - ndtr((away - 0.5) / sigma)
    total = np.bincount(np.repeat(np.arange(count.size), count), share, count.size)
    return np.where(count > 0, total, np.nan)


def by_distance_from_middle(n: int) -> NDArray[np.int64]:
    """Return the numbers of ``n`` apertures, the middle one first; of two as far from it, the smaller."""
    middle = (n - 1) // 2
    return np.asarray(sorted(range(n), key=lambda k: (abs(k - middle), k)), dtype=np.int64)


def whole_apertures(
    geometry: Geometry, col: NDArray[np.float64], row: NDArray[np.float64], radii: Sequence[float]
) -> NDArray[np.bool_]:
    """Return which circles lie wholly on the pixels.

    Parameters
    ----------
    geometry : Geometry
        Where the pixels lie.
    col, row : float64 array, shape (n_star,)
        Centres, in detector coordinates (px).
    radii : sequence of float
        Radii (px).

    Returns
    -------
    bool array, shape (n_star, n_radius)
    """
    x, y = col - geometry.col0 + 0.5, row - geometry.row0 + 0.5
    room = np.minimum(np.minimum(x, geometry.n_col - x), np.minimum(y, geometry.n_row - y))
    inside: NDArray[np.bool_] = room[:, None] >= np.asarray(radii)
    return inside
