"""From bright pixels to one segment a star: clusters, peaks, a watershed, and what bled along columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.photometry.mask_params import MaskParams

__all__ = ["bled_columns", "clusters", "fill_holes", "follow_bleeding", "markers", "renumber", "segments", "smooth"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]

EIGHT = np.ones((3, 3), np.bool_)
NEAR = 2.0 * np.sqrt(2.0)
"""A star marks the peak nearest to it within two pixels along each axis (px)."""
NEAR_SATURATED = 5.0 * np.sqrt(2.0)
"""The brightest pixel of a saturated star may lie farther from it (px)."""
FLAT = 0.01
"""Bled charge fills a column evenly: from pixel to pixel it changes by less than this share of its largest."""


def clusters(image: FloatArray, level: float, min_neighbours: int) -> IntArray:
    """Join bright pixels that have enough bright neighbours.

    Parameters
    ----------
    image : float64 array, shape (n_row, n_col)
        NaN where there is nothing.
    level : float
        Pixels above it are bright.
    min_neighbours : int
        Bright pixels, itself included, that a pixel needs among itself and its eight neighbours.

    Returns
    -------
    int32 array, shape (n_row, n_col)
        Number of the cluster, 0 outside.

    Notes
    -----
    The core points of DBSCAN with a reach of sqrt 2 px (Ester et al. 1996, KDD-96, 226); on a grid they are connected components.
    Pixels that only touch a core point are not in: the watershed of K2P2 leaves them out, too.
    """
    from scipy import ndimage

    bright = image > level
    near = ndimage.convolve(bright.astype(np.int16), EIGHT.astype(np.int16), mode="constant")
    labels: IntArray = ndimage.label(bright & (near >= min_neighbours), EIGHT)[0].astype(np.int32)
    return labels


def smooth(image: FloatArray, blur: float) -> FloatArray:
    """Return the image smoothed by a Gaussian, missing pixels filled from their neighbours as far as it reaches, and 0 beyond."""
    from scipy import ndimage

    there = np.isfinite(image)
    light = ndimage.gaussian_filter(np.where(there, image, 0.0), blur)
    weight = ndimage.gaussian_filter(there.astype(np.float64), blur)
    smoothed: FloatArray = np.divide(light, weight, out=np.zeros_like(light), where=weight > 1e-12)
    return smoothed


def bled_columns(image: FloatArray, labels: IntArray, bright: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Find columns that are full of charge: at least three pixels, their median half of the brightest of all, their steps small.

    Parameters
    ----------
    image : float64 array, shape (n_row, n_col)
        Finite in all regions.
    labels : int32 array, shape (n_row, n_col)
        Regions; 0 outside.
    bright : int64 array
        The regions to look at.

    Returns
    -------
    bool array, shape (n_row, n_col)
        The pixels in such columns that hold at least half of their region's brightest.
    """
    from scipy import ndimage

    full = np.zeros(image.shape, np.bool_)
    places = ndimage.find_objects(labels)
    for number in bright:
        place = places[number - 1]
        inside = labels[place] == number
        top = image[place][inside].max()
        for c in np.flatnonzero(inside.sum(axis=0) >= 3):
            column = image[place][inside[:, c], c]
            if np.median(column) >= 0.5 * top and abs(np.median(np.diff(column))) < FLAT * column.max():
                full[place][:, c] |= inside[:, c] & (image[place][:, c] >= 0.5 * top)
    return full


def markers(
    height: FloatArray,
    labels: IntArray,
    full: NDArray[np.bool_],
    col: FloatArray,
    row: FloatArray,
    saturated: NDArray[np.bool_],
    params: MaskParams,
) -> IntArray:
    """Find the peaks from which the clusters are flooded, and number them.

    A peak counts where it is the nearest one to a star of the catalogue, so that noise cuts nothing up, or always, as
    ``params.peaks`` says. Columns full of charge are one peak together. A cluster in which nothing counts has its highest pixel.

    Parameters
    ----------
    height : float64 array, shape (n_row, n_col)
        The smoothed image.
    labels : int32 array, shape (n_row, n_col)
        The clusters.
    full : bool array, shape (n_row, n_col)
        Columns that are full of charge.
    col, row : float64 array, shape (n_star,)
        Positions of the stars (px); finite.
    saturated : bool array, shape (n_star,)
        Stars whose peak may lie farther away.
    params : MaskParams
        How large a peak is, and which ones count.

    Returns
    -------
    int32 array, shape (n_row, n_col)
        0 where there is no marker.
    """
    from scipy import ndimage
    from scipy.spatial import cKDTree

    masked = np.where(labels > 0, height, -np.inf)
    peak = (labels > 0) & (masked == ndimage.maximum_filter(masked, params.peak_size, mode="constant", cval=-np.inf))
    peak &= ~ndimage.binary_dilation(full, EIGHT)
    group, n_group = ndimage.label(peak, EIGHT)
    kept = np.full(n_group + 1, params.peaks == "all")
    kept[0] = False
    at = np.argwhere(peak)
    if len(at) and col.size:
        distance, nearest = cKDTree(at).query(np.stack([row, col], axis=1))
        found = nearest[distance <= np.where(saturated, NEAR_SATURATED, NEAR)]
        kept[group[tuple(at[found].T)]] = True
    chosen = kept[group] | full
    marked = np.bincount(labels[chosen], minlength=labels.max() + 1) > 0
    for place in ndimage.maximum_position(height, labels, np.flatnonzero(~marked[1:]) + 1):
        chosen[place] = True
    marks: IntArray = ndimage.label(chosen, EIGHT)[0].astype(np.int32)
    return marks


def segments(height: FloatArray, labels: IntArray, marks: IntArray) -> IntArray:
    """Cut the clusters up among their markers, along the valleys between them; shapes as for `markers`."""
    from cuvee.kernels.mask import flood

    cut = marks.copy()
    flood(np.ascontiguousarray(height), np.ascontiguousarray(labels), cut)
    return cut


def fill_holes(labels: IntArray, usable: NDArray[np.bool_]) -> IntArray:
    """Give single pixels whose four neighbours lie in one mask to it; pixels that are not usable stay out."""
    wide = np.pad(labels, 1)
    up, down, left, right = wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]
    hole = (labels == 0) & usable & (up == down) & (up == left) & (up == right)
    return np.where(hole, up, labels)


def follow_bleeding(image: FloatArray, level: float, labels: IntArray, bright: NDArray[np.int64]) -> IntArray:
    """Let masks of saturated stars follow the charge along the columns that are full of it.

    Parameters
    ----------
    image : float64 array, shape (n_row, n_col)
        NaN where there is nothing.
    level : float
        A mask follows pixels above this.
    labels : int32 array, shape (n_row, n_col)
        The masks.
    bright : int64 array
        The masks that may bleed, the brightest first.

    Returns
    -------
    int32 array, shape (n_row, n_col)
        The masks with what bled. A pixel of another mask is taken only if it is full itself, holding at
        least half of this mask's brightest.
    """
    grown = labels.copy()
    full = bled_columns(image, labels, bright)
    for number in bright:
        mine = labels == number
        top = image[mine].max() if mine.any() else np.inf
        for r, c in np.argwhere(full & mine):
            for step in (-1, 1):
                y = r + step
                while 0 <= y < labels.shape[0] and not (full[y, c] and labels[y, c] == number):
                    free = grown[y, c] in (0, number)
                    if not (image[y, c] > level and (free or image[y, c] >= 0.5 * top)):
                        break
                    grown[y, c] = number
                    y += step
    return grown


def renumber(labels: IntArray, min_pixels: int) -> IntArray:
    """Return the masks with at least ``min_pixels`` pixels, numbered 1, 2, ... without gaps."""
    size = np.bincount(labels.ravel())
    kept = size >= min_pixels
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    renumbered: IntArray = numbers[labels]
    return renumbered
