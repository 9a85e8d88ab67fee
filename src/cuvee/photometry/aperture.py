"""Apertures as sparse rows of weights: exact circles round every star, and given pixel masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Apertures", "circles", "mask_rows"]


@dataclass(frozen=True, slots=True)
class Apertures:
    """Sparse rows of all apertures of all stars.

    Parameters
    ----------
    ptr : int64 array, shape (n_star, n_aperture + 1)
        Star ``s`` owns the entries ``ptr[s, 0]:ptr[s, a + 1]`` in aperture ``a``.
    pixel : int32 array, shape (n_entry, 1)
        Pixel number in the star's tile.
    weight : float32 array, shape (n_entry, n_aperture)
        Share of the pixel within the aperture.
    offset : float32 array, shape (n_entry, 2)
        Column and row of the pixel less those of the star (px).
    area : float64 array, shape (n_star, n_aperture, 4)
        Sums of weight, weight^2, weight x column offset, weight x row offset.
    clipped : bool array, shape (n_star,)
        Whether the largest aperture reaches beyond the pixels.
    """

    ptr: NDArray[np.int64]
    pixel: NDArray[np.int32]
    weight: NDArray[np.float32]
    offset: NDArray[np.float32]
    area: NDArray[np.float64]
    clipped: NDArray[np.bool_]


def circles(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    radii: Sequence[float],
    shape: tuple[int, int],
    row0: NDArray[np.int64],
    col0: NDArray[np.int64],
    width: NDArray[np.int64],
) -> Apertures:
    """Exact overlap of concentric circles with the pixels they touch.

    Parameters
    ----------
    col, row : float64 array, shape (n_star,)
        Centres, from the centre of pixel [0, 0] (px); where not finite the star has no pixels.
    radii : sequence of float
        Ascending (px).
    shape : tuple of int
        Rows and columns of the image.
    row0, col0, width : int64 array, shape (n_star,)
        First row, first column and width of the tile that each star is measured in.

    Returns
    -------
    Apertures
        Where a circle leaves the image, the rows hold what is there.
    """
    from cuvee.kernels import overlap

    n_star, n_aperture = col.size, len(radii)
    r = np.asarray(radii, dtype=np.float64)
    count = np.empty((n_star, n_aperture), np.int64)
    clipped = np.empty(n_star, np.bool_)
    overlap.count_overlaps(col, row, r, shape[0], shape[1], count, clipped)
    ptr = np.zeros((n_star, n_aperture + 1), np.int64)
    edges = np.concatenate([[0], np.cumsum(count.ravel())])
    ptr[:, :-1] = edges[:-1].reshape(n_star, n_aperture)
    ptr[:, -1] = edges[n_aperture::n_aperture]
    n_entry = int(edges[-1])
    pixel = np.empty((n_entry, 1), np.int32)
    weight = np.empty((n_entry, n_aperture), np.float32)
    offset = np.empty((n_entry, 2), np.float32)
    area = np.empty((n_star, n_aperture, 4))
    cursor = ptr[:, :-1].copy()
    overlap.overlaps(
        col, row, r, shape[0], shape[1], row0, col0, width, cursor, pixel, weight, offset, area
    )  # fmt: skip
    return Apertures(ptr, pixel, weight, offset, area, clipped)


def mask_rows(mask: NDArray[np.bool_], col: NDArray[np.float64], row: NDArray[np.float64]) -> Apertures:
    """One aperture a star that is a given pixel mask, the same for every star.

    Parameters
    ----------
    mask : bool array, shape (n_row, n_col)
        The pixels to sum.
    col, row : float64 array, shape (n_star,)
        Positions, from the centre of pixel [0, 0] (px); centroids are taken relative to them.

    Returns
    -------
    Apertures
        With one aperture.
    """
    rows, cols = np.nonzero(mask)
    n_star, n_pixel = col.size, rows.size
    # A star without a position still has its mask; its centroid is then counted from pixel [0, 0].
    x, y = np.nan_to_num(col), np.nan_to_num(row)
    pixel = np.tile((rows * mask.shape[1] + cols).astype(np.int32), n_star)[:, None]
    offset = np.stack([(cols - x[:, None]).ravel(), (rows - y[:, None]).ravel()], axis=1).astype(np.float32)
    area = np.empty((n_star, 1, 4))
    area[:, 0, :2] = n_pixel
    area[:, 0, 2:] = offset.reshape(n_star, n_pixel, 2).sum(axis=1, dtype=np.float64)
    start = np.arange(n_star, dtype=np.int64) * n_pixel
    ptr = np.stack([start, start + n_pixel], axis=1)
    weight = np.ones((n_star * n_pixel, 1), np.float32)
    return Apertures(ptr, pixel, weight, offset, area, np.zeros(n_star, np.bool_))
