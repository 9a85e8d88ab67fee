"""The clean pixels of an annulus round every star."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Annuli", "annuli"]

N_LEAST_CLEAN = 30
"""An annulus with fewer clean pixels takes this many of its faintest."""


@dataclass(frozen=True, slots=True)
class Annuli:
    """Static annulus pixels of every star.

    Parameters
    ----------
    ptr : int64 array, shape (n_star + 1,)
        Star ``s`` owns the entries ``ptr[s]:ptr[s + 1]``.
    pixel : int32 array, shape (n_entry, 1)
        Pixel numbers in the star's tile.
    base : float32 array, shape (n_entry,)
        Reference image at the pixel less its mean over the star's pixels (e-/s).
    """

    ptr: NDArray[np.int64]
    pixel: NDArray[np.int32]
    base: NDArray[np.float32]


def annuli(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    inner: float,
    outer: float,
    clean: NDArray[np.bool_],
    image: NDArray[np.float32],
    row0: NDArray[np.int64],
    col0: NDArray[np.int64],
    width: NDArray[np.int64],
) -> Annuli:
    """Choose each star's annulus pixels.

    Parameters
    ----------
    col, row : float64 array, shape (n_star,)
        Positions, from the centre of pixel [0, 0] (px).
    inner, outer : float
        Radii (px); a pixel belongs to the annulus if its centre does.
    clean : bool array, shape (n_row, n_col)
        From `clean_pixels`. Where fewer than `N_LEAST_CLEAN` are, the faintest are taken.
    image : float32 array, shape (n_row, n_col)
        The reference image.
    row0, col0, width : int64 array, shape (n_star,)
        Each star's tile.

    Returns
    -------
    Annuli
    """
    from cuvee.kernels import overlap

    n_clean, n_all = np.empty(col.size, np.int64), np.empty(col.size, np.int64)
    overlap.count_annulus(col, row, inner, outer, clean, n_clean, n_all)
    n = np.where(n_clean >= N_LEAST_CLEAN, n_clean, np.minimum(n_all, N_LEAST_CLEAN))
    ptr = np.concatenate([[0], np.cumsum(n)])
    pixel = np.zeros((int(ptr[-1]), 1), np.int32)
    overlap.annulus_pixels(
        col, row, inner, outer, clean, image, N_LEAST_CLEAN, n_clean, row0, col0, width, ptr, pixel
    )  # fmt: skip
    owner = np.repeat(np.arange(col.size), n)
    at = pixel[:, 0]
    value = image[row0[owner] + at // width[owner], col0[owner] + at % width[owner]].astype(np.float64)
    finite = np.isfinite(value)
    value = np.where(finite, value, 0.0)
    number = np.bincount(owner[finite], minlength=col.size)
    mean = np.bincount(owner, value, minlength=col.size) / np.maximum(number, 1)
    # A pixel that the reference image lacks stands out by nothing that is known.
    base = np.where(finite, value - mean[owner], 0.0).astype(np.float32)
    return Annuli(ptr, pixel, base)
