"""Columns that answer to light otherwise than their neighbours, found in the light between the stars of a reference image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.background.clean import flattened, mode
from cuvee.background.layout import tiles

__all__ = ["column_excess", "column_response"]

CELL = 64
"""Side of the cells of the surface from which columns stand out (px)."""

AROUND = 25
"""Columns with whose median a column is compared: in a group of straps six of ten are enhanced, so no more than a quarter of these."""

SURE = 6.0
"""Robust standard deviations of all columns by which one must stand out, so that of some thousand others none does."""

LEAST, LARGEST = 0.002, 0.2
"""What differs by less may be a bend of the background; what differs by more is no strap but a defect, about which its light says nothing."""

FEWEST = 64
"""Rows that an image must have, or each column holds too few pixels between the stars."""

CLEAR = 5.0
"""The light between the stars must exceed its spread so many times, or the mission has subtracted it, and nothing is told."""


def column_response(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find out how each column of a detector answers to light, relative to the columns around it.

    Metal straps under some columns of the TESS CCDs send red light back that would have passed through the silicon: all light
    of these columns is enhanced by some per cent, that of the stars and that between them. Between them it can be measured
    (`column_excess`). The same factor holds for light of the same colour: zodiacal and scattered sunlight are as red as the Sun.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        Reference image (e-/s), with the background in it; NaN pixels are left out.

    Returns
    -------
    float32 array, shape (n_col,)
        Exactly 1 for all columns that do not stand out.

    References
    ----------
    Vanderspek et al. 2018, TESS Instrument Handbook v0.1, on straps.
    """
    excess = column_excess(image)
    size = np.abs(excess)
    usual = 1.4826 * np.median(size)
    strap = (size > max(SURE * usual, LEAST)) & (size < LARGEST)
    return np.where(strap, 1.0 + excess, 1.0).astype(np.float32)


def column_excess(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measure by how much the light between the stars of each column exceeds that of the columns around it.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        As in `column_response`.

    Returns
    -------
    float64 array, shape (n_col,)
        Of each column the mode over its rows of (image - surface) / surface, less the median of that of the columns around it; 0 where the
        image does not tell.
    """
    from scipy.ndimage import median_filter  # takes a while to import, and only workers need it

    nothing = np.zeros(image.shape[1])
    if image.shape[0] < FEWEST or not np.isfinite(image).any():
        return nothing
    residual, spread = flattened(image, tiles((image.shape[0], image.shape[1]), CELL, 0))
    surface = image - residual
    if not np.nanmedian(surface) > CLEAR * np.nanmedian(spread):
        return nothing
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(surface > 0.0, residual / surface, np.nan)
    level = np.array([mode(column)[0] for column in np.ascontiguousarray(share.T)])
    known = np.isfinite(level)
    level[~known] = np.median(level[known])
    return np.where(known, level - median_filter(level, AROUND, mode="nearest"), 0.0)
