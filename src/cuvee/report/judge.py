"""How good the light curves of a detector are, in numbers: arithmetic on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.metrics import MAD_TO_SIGMA
from cuvee.quicklook.noise import relative_numbers, share_within

__all__ = ["NoiseRow", "noise_table", "quantiles", "spread_over_noise"]

FloatArray = NDArray[np.float64]

ISOLATED = 0.9
"""Share of an aperture's light from which a star counts as alone in it."""


@dataclass(frozen=True, slots=True)
class NoiseRow:
    """The scatter of some stars beside the noise that they should have.

    Parameters
    ----------
    words : str
        Which stars.
    n_star : int
        How many of them have a measured scatter and an expected noise.
    scatter, expected : float
        Medians, relative to the flux.
    ratio : float
        Median of each star's scatter over its expected noise.
    within_10, within_25 : float
        Share of the stars whose ratio is within 10 % and 25 % of 1.
    """

    words: str
    n_star: int
    scatter: float
    expected: float
    ratio: float
    within_10: float
    within_25: float


def noise_table(stars: Mapping[str, NDArray[Any]]) -> list[NoiseRow]:
    """Compare scatter with expected noise: all stars, those alone in their aperture, and by whole magnitudes.

    Parameters
    ----------
    stars : mapping of str to array, each of shape (n_star,)
        ``mag``, ``flux``, ``flux_err``, ``scatter``, ``crowding``.

    Returns
    -------
    list of NoiseRow
        First all stars, then the isolated ones, then bins of magnitude that hold a star.
    """
    scatter, expected = relative_numbers(stars)
    known = np.isfinite(scatter)
    alone = known & ~(stars["crowding"] < ISOLATED)  # unknown counts as alone
    rows = [_row("all stars", known, scatter, expected)]
    rows.append(_row(f"alone ({100 * ISOLATED:.0f} % of the light is theirs)", alone, scatter, expected))
    whole = np.floor(stars["mag"])
    bins = np.unique(whole[known & np.isfinite(whole)])
    rows += [_row(f"{k:.0f} to {k + 1:.0f} mag", known & (whole == k), scatter, expected) for k in bins]
    return rows


def _row(words: str, which: NDArray[np.bool_], scatter: FloatArray, expected: FloatArray) -> NoiseRow:
    if not which.any():
        nan = float("nan")
        return NoiseRow(words, 0, nan, nan, nan, nan, nan)
    ratio = scatter[which] / expected[which]
    return NoiseRow(
        words,
        int(which.sum()),
        float(np.median(scatter[which])),
        float(np.median(expected[which])),
        float(np.median(ratio)),
        share_within(ratio, 0.10),
        share_within(ratio, 0.25),
    )


def spread_over_noise(flux: NDArray[Any], good: NDArray[np.bool_]) -> float:
    """Return how much a light curve varies: its range over the range that its point-to-point scatter alone would give.

    Parameters
    ----------
    flux : float array, shape (n_point,)
        In time order.
    good : bool array, shape (n_point,)
        Points to use.

    Returns
    -------
    float
        About 1 for white noise; NaN with fewer than 20 good points.

    References
    ----------
    Basri et al. 2011, AJ 141, 20, section 2.2 (the range from the 5th to the 95th percentile).
    """
    kept = np.asarray(flux, np.float64)[good]
    if kept.size < 20:
        return float("nan")
    low, high = np.percentile(kept, [5.0, 95.0])
    step = MAD_TO_SIGMA * float(np.median(np.abs(np.diff(kept)))) / np.sqrt(2.0)
    # Of a normal distribution, 90 % lie within 1.645 standard deviations.
    return float((high - low) / (2.0 * 1.645 * step)) if step > 0.0 else float("nan")


def quantiles(values: NDArray[Any], which: tuple[float, ...]) -> FloatArray:
    """Return quantiles of each column, ignoring what is not a number.

    Parameters
    ----------
    values : float array, shape (n_row, n)
        NaN where there is nothing.
    which : tuple of float
        Quantiles, from 0 to 1.

    Returns
    -------
    float64 array, shape (len(which), n)
        Interpolated linearly between order statistics; NaN for a column without a number.
    """
    out = np.full((len(which), values.shape[1]), np.nan)
    if values.shape[0] == 0:
        return out
    ordered = np.sort(np.asarray(values, np.float64), axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    some = np.flatnonzero(count)
    for k, quantile in enumerate(which):
        at = quantile * (count[some] - 1)
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, count[some] - 1)
        out[k, some] = ordered[low, some] + (at - low) * (ordered[high, some] - ordered[low, some])
    return out
