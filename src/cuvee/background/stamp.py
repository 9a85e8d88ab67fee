"""The background of a small stamp: its faintest pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["faint_third"]


def _sorted_median(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Median and number of the finite values of each row; rows must be sorted, NaN last."""
    n = np.isfinite(values).sum(axis=1)
    at = np.arange(values.shape[0])
    last = max(values.shape[1] - 1, 0)
    low, high = np.clip((n - 1) // 2, 0, last), np.clip(n // 2, 0, last)
    return 0.5 * (values[at, low] + values[at, high]), n


def faint_third(
    flux: NDArray[np.floating], image: NDArray[np.float64], kappa: float = 3.0, n_pass: int = 5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Background of a small series: the clipped median of the third of its pixels that is faintest in the mean.

    How far each of these pixels stands out from their median in the mean image is taken off first: structure that does not
    change is neither noise nor a reason to clip.

    Parameters
    ----------
    flux : array, shape (n_frame, n_row, n_col)
        e-/s; NaN pixels are left out.
    image : float64 array, shape (n_row, n_col)
        Mean image that ranks the pixels; NaN where a pixel has no value.
    kappa : float
        Clip beyond this many standard deviations.
    n_pass : int
        Rounds of clipping at most.

    Returns
    -------
    level, error : float64 array, shape (n_frame,)
        The median and its standard error, 1.2533 sigma / sqrt(n) (e-/s/pixel); NaN where fewer than three pixels remain.
    """
    finite = np.flatnonzero(np.isfinite(image.ravel()))
    chosen = np.sort(finite[np.argsort(image.ravel()[finite], kind="stable")[: finite.size // 3]])
    n_frame = flux.shape[0]
    if chosen.size < 3:
        return np.full(n_frame, np.nan), np.full(n_frame, np.nan)
    base = image.ravel()[chosen] - np.median(image.ravel()[chosen])
    values = np.asarray(flux).reshape(n_frame, -1)[:, chosen].astype(np.float64) - base
    values[~np.isfinite(values)] = np.nan
    values = np.sort(values, axis=1)
    level, n = _sorted_median(values)
    spread = np.full(n_frame, np.nan)
    for _ in range(n_pass):
        good = np.isfinite(values)
        mean = np.where(good, values, 0.0).sum(axis=1) / np.maximum(n, 1)
        squares = np.where(good, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
        spread = np.sqrt(squares / np.maximum(n - 1, 1))
        keep = np.abs(values - level[:, None]) <= kappa * spread[:, None]
        if not (good & ~keep).any():
            break
        values = np.sort(np.where(keep, values, np.nan), axis=1)
        level, n = _sorted_median(values)
    enough = n >= 3
    error = 1.2533 * spread / np.sqrt(np.maximum(n, 1))
    return np.where(enough, level, np.nan), np.where(enough, error, np.nan)
