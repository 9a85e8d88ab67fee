"""Pixel masks cut to the stars of an image: one aperture a star that follows its light, after K2P2.

Pixels above a level that the sky's own scatter sets are joined to clusters, clusters are cut up along the valleys between the
stars of the catalogue in them, and saturated stars take along the columns that they bleed into. A pixel belongs to one
mask at most; of several stars in a mask the brightest keeps it.

References
----------
Lund et al. 2015, ApJ 806, 30 (K2P2), section 2.2; Handberg & Lund 2014, MNRAS 445, 2698; Handberg & Lund 2017, A&A 597, A36.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cuvee.model.records import Geometry
from cuvee.photometry import mask_segments as parts
from cuvee.photometry.mask_params import MaskParams
from cuvee.photometry.mask_threshold import threshold

__all__ = ["MaskParams", "Masks", "grow", "masks"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Masks:
    """Masks of all stars of one image.

    Parameters
    ----------
    labels : int32 array, shape (n_row, n_col)
        Number of the mask that a pixel belongs to, from 1; 0 for none.
    threshold : float
        Level above which pixels count as bright (e-/s); NaN where the image has no finite pixel.
    label : int32 array, shape (n_star,)
        Number of the mask that holds the star's pixel; 0 where that pixel is off the image or has no value.
    owner : int64 array, shape (n_star,)
        Which star keeps that mask: the brightest in it; -1 without a mask.
    minimum : bool array, shape (n_star,)
        The star does not stand out of the image, or in too few pixels: the mask is what lies within a pixel of its position.
    edge : bool array, shape (n_star, 4)
        Whether the mask reaches the first column, the last column, the first row, the last row: where the image is too small.
    size : int64 array, shape (n_star,)
        Pixels in the mask.
    edge_flux : float64 array, shape (n_star,)
        Sum of the image over the pixels of the mask on the image's edge (e-/s).
    contamination : float64 array, shape (n_star,)
        1 - own light / light of all stars whose pixels lie in the mask, both from their magnitudes; NaN without a mask or a magnitude.
    """

    labels: NDArray[np.int32]
    threshold: float
    label: NDArray[np.int32]
    owner: NDArray[np.int64]
    minimum: NDArray[np.bool_]
    edge: NDArray[np.bool_]
    size: NDArray[np.int64]
    edge_flux: FloatArray
    contamination: FloatArray

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which stars have a mask to themselves; a star in the mask of a brighter one has no light curve of its own."""
        kept: NDArray[np.bool_] = self.owner == np.arange(self.owner.size)
        return kept

    def of(self, star: int) -> NDArray[np.bool_]:
        """Return the pixels of the star's mask, shape (n_row, n_col): none where it has no mask."""
        inside: NDArray[np.bool_] = (self.labels == self.label[star]) & (self.label[star] > 0)
        return inside


def masks(image: FloatArray, col: FloatArray, row: FloatArray, mag: FloatArray, params: MaskParams) -> Masks:
    """Cut an image into the masks of its stars.

    Parameters
    ----------
    image : float64 array, shape (n_row, n_col)
        Mean of the frames, background subtracted (e-/s); NaN where there is nothing.
    col, row : float64 array, shape (n_star,)
        Positions of the stars (px), from the centre of pixel [0, 0]; they may lie off the image.
    mag : float64 array, shape (n_star,)
        Magnitudes in the instrument's band; NaN where unknown, which counts as no light.
    params : MaskParams
        Parameters.

    Returns
    -------
    Masks
        Masks do not depend on the order of the stars. No mask holds a pixel without a value.
    """
    image = np.array(image, dtype=np.float64)
    image[~np.isfinite(image)] = np.nan
    pixel = _pixels(image.shape, col, row)
    light = _light(mag, params.saturation_mag)
    level = threshold(image, params.threshold, params.trim)

    labels = parts.clusters(image, level, params.min_neighbours)
    if params.segment and labels.any():
        near = np.isfinite(col) & np.isfinite(row)
        height = parts.smooth(image, params.blur)
        full = parts.bled_columns(image, labels, _bright(labels, pixel, light))
        saturated = mag[near] <= params.saturation_mag
        marks = parts.markers(height, labels, full, col[near], row[near], saturated, params)
        labels = parts.segments(height, labels, marks)
    labels = parts.fill_holes(labels, np.isfinite(image))
    if params.bleed:
        labels = parts.follow_bleeding(image, level, labels, _bright(labels, pixel, light))
    labels = parts.renumber(labels, params.min_pixels)
    return _assign(image, level, labels, col, row, mag, pixel, light)


def grow(stamp: Geometry, edge: NDArray[np.bool_], step: int = 10) -> Geometry:
    """Return a stamp that is larger where the mask reaches its edge.

    Parameters
    ----------
    stamp : Geometry
        The stamp that the mask was made in.
    edge : bool array, shape (4,)
        Whether the mask reaches the first column, the last column, the first row, the last row.
    step : int
        How far each of these edges moves (px).

    Returns
    -------
    Geometry
        Within the detector, as far as its size is known; equal to ``stamp`` where it needs no growth or has no room for it.
    """
    col1, row1 = stamp.col0 + stamp.n_col, stamp.row0 + stamp.n_row
    left, right, down, up = (step * int(reached) for reached in edge)
    col0, row0 = min(stamp.col0, max(stamp.col0 - left, 0)), min(stamp.row0, max(stamp.row0 - down, 0))
    last_col = max(col1, min(col1 + right, stamp.detector_cols)) if stamp.detector_cols else col1 + right
    last_row = max(row1, min(row1 + up, stamp.detector_rows)) if stamp.detector_rows else row1 + up
    return replace(stamp, n_row=last_row - row0, n_col=last_col - col0, row0=row0, col0=col0)


def _pixels(shape: tuple[int, ...], col: FloatArray, row: FloatArray) -> NDArray[np.int64]:
    """Return the number of the pixel that each star lies in, counted row by row; -1 off the image."""
    c, r = np.floor(col + 0.5), np.floor(row + 0.5)
    on_image = (c >= 0) & (c < shape[1]) & (r >= 0) & (r < shape[0])
    return np.where(on_image, r * shape[1] + c, -1.0).astype(np.int64)


def _light(mag: FloatArray, unit: float) -> FloatArray:
    """Return the light of each star relative to one of magnitude ``unit``; 0 where the magnitude is unknown."""
    known = np.isfinite(mag)
    light: FloatArray = np.where(known, 10.0 ** (-0.4 * (np.where(known, mag, unit) - unit)), 0.0)
    return light


def _bright(labels: NDArray[np.int32], pixel: NDArray[np.int64], light: FloatArray) -> NDArray[np.int64]:
    """Return the regions whose stars together are bright enough to bleed, the brightest first."""
    inside = pixel >= 0
    total = np.bincount(labels.flat[pixel[inside]], light[inside], labels.max() + 1)[1:]
    order = np.argsort(-total, kind="stable")
    return order[total[order] >= 1.0] + 1


def _assign(
    image: FloatArray,
    level: float,
    labels: NDArray[np.int32],
    col: FloatArray,
    row: FloatArray,
    mag: FloatArray,
    pixel: NDArray[np.int64],
    light: FloatArray,
) -> Masks:
    """Find each star its mask, and each mask its star."""
    from cuvee.kernels.mask import minimum_apertures

    labels = np.ascontiguousarray(labels)
    order = np.lexsort((row, col, mag))  # the brightest first, no magnitude last
    order = order[pixel[order] >= 0]
    n_found = int(labels.max(initial=0))
    x, y = (np.ascontiguousarray(a, dtype=np.float64) for a in (col, row))
    n_mask = minimum_apertures(x, y, order, np.isfinite(image), labels, n_found)

    label = np.zeros(col.size, np.int32)
    label[order] = labels.flat[pixel[order]]
    has = label > 0
    keeper = np.full(n_mask + 1, -1, np.int64)
    numbers, first = np.unique(label[order], return_index=True)
    keeper[numbers] = order[first]
    keeper[0] = -1
    total = np.bincount(label, light, n_mask + 1).astype(np.float64)[label]
    known = has & np.isfinite(mag)
    edges = np.zeros((n_mask + 1, 4), np.bool_)
    for k, side in enumerate((labels[:, 0], labels[:, -1], labels[0], labels[-1])):
        edges[side, k] = True
    edges[0] = False
    size = np.bincount(labels.ravel(), minlength=n_mask + 1)
    size[0] = 0
    on_rim = np.where(labels > 0, image, 0.0)
    on_rim[1:-1, 1:-1] = 0.0
    edge_flux = np.bincount(labels.ravel(), on_rim.ravel(), n_mask + 1).astype(np.float64)
    return Masks(
        labels=labels,
        threshold=level,
        label=label,
        owner=keeper[label],
        minimum=label > n_found,
        edge=edges[label],
        size=size[label],
        edge_flux=edge_flux[label],
        contamination=np.where(known, 1.0 - np.divide(light, total, out=np.ones_like(total), where=known), np.nan),
    )
