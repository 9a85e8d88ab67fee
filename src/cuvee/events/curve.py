"""From sums over bins to a light curve: exposure, background, net rates, fluxes and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.events.gti import open_times
from cuvee.events.limits import weighted_errors
from cuvee.events.sums import Sums
from cuvee.model.photons import Trace

__all__ = ["LEAST_BEHIND", "Band", "Part", "band_curve", "bin_edges", "parts_curve"]

FloatArray = NDArray[np.float64]

Part = tuple[Trace, Sums, int]
"""A segment, stripe or order, its sums, and which of its bands is meant."""

LEAST_BEHIND = 100
"""Background events from which its rate is told: it is 10 % good, and what the orbit does to it takes longer than they take to come."""


@dataclass(frozen=True, slots=True)
class Band:
    """The light curve of one band; arrays have shape (n_bin,).

    Parameters
    ----------
    exposure : float64 array
        Good time (s).
    gross : float64 array
        Events in the source's region.
    background : float64 array
        How many of them are expected to be background.
    net, net_err : float64 array
        Weighted rate without background (count/s), and its error.
    flux, flux_err_low, flux_err_high : float64 array
        Energy in the band (erg/s/cm2), and how far its 68.27 % interval reaches below and above; NaN without a calibration.
    row : float64 array
        Mean row of the source's events (px).
    """

    exposure: FloatArray
    gross: FloatArray
    background: FloatArray
    net: FloatArray
    net_err: FloatArray
    flux: FloatArray
    flux_err_low: FloatArray
    flux_err_high: FloatArray
    row: FloatArray

    @property
    def flux_err(self) -> FloatArray:
        """Half of the interval's length."""
        return 0.5 * (self.flux_err_low + self.flux_err_high)


def bin_edges(gti: FloatArray, step: float) -> FloatArray:
    """Return the edges of bins of equal length that hold all good time, from its start.

    Parameters
    ----------
    gti : float64 array, shape (n, 2)
        Tidy intervals (s).
    step : float
        Length of a bin (s); the last one reaches as far, and has less exposure.
    """
    n = max(1, int(np.ceil((gti[-1, 1] - gti[0, 0]) / step - 1e-9)))
    return np.asarray(gti[0, 0] + step * np.arange(n + 1))


def band_curve(trace: Trace, sums: Sums, band: int, gti: FloatArray, edges: FloatArray) -> Band:
    """Return the light curve of one band of one segment.

    The background has the spectrum that the mission found, which is the mean of the exposure, and changes with time as the
    events in the background's regions do. Without a spectrum it is these, by the number of rows.

    Parameters
    ----------
    trace : Trace
        Regions, calibration and background of the segment.
    sums : Sums
        Its events.
    band : int
        Number of the band.
    gti : float64 array, shape (n, 2)
        Good time (s).
    edges : float64 array, shape (n_bin + 1,)
        Of the bins (s).

    Returns
    -------
    Band
        NaN where a bin has no good time, and where no calibration exists.
    """
    return parts_curve([(trace, sums, band)], gti, edges)


def parts_curve(parts: Sequence[Part], gti: FloatArray, edges: FloatArray) -> Band:
    """Return the light curve of one band of several segments or orders that were open at the same time.

    Errors are those of all their events together: each order of an echelle may have one or none.

    Parameters
    ----------
    parts : sequence of (Trace, Sums, int)
        The segments, and the number that the band has in each.
    gti, edges
        As in `band_curve`.

    Returns
    -------
    Band
        The mean row is that of the first.
    """
    exposure = open_times(gti, edges)
    some = exposure > 0.0
    n_bin = exposure.size
    gross, weights, spread, energy, squares, rate, of_energy, expected = np.zeros((8, n_bin))
    rate_var, energy_var = np.zeros((2, n_bin))
    gains = []
    for trace, sums, band in parts:
        events, weight, worth, worth_squared, *_ = sums.bins[band]
        level, level_energy, level_err = _behind(trace, sums, band, exposure)
        n_all = events.sum()
        ratio = weight.sum() / n_all if n_all else 1.0
        gross, weights, energy, squares = gross + events, weights + weight, energy + worth, squares + worth_squared
        # The weights within a bin hardly differ, and the background is weighted as the source is.
        spread = spread + np.where(events > 0.0, weight**2 / np.maximum(events, 1.0), 0.0)
        rate, of_energy, expected = rate + level, of_energy + level_energy, expected + level * exposure / ratio
        rate_var, energy_var = rate_var + (level * level_err) ** 2, energy_var + (level_energy * level_err) ** 2
        gains.append(_mean_gain(trace, sums, band) * ratio)
    total = gross.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.where(some, exposure, np.nan)
        low, high = weighted_errors(weights, spread, weights.sum() / total if total else 1.0)
        net_err = np.hypot(0.5 * (low + high) / time, np.sqrt(rate_var))
        low, high = weighted_errors(energy, squares, energy.sum() / total if total else float(np.mean(gains)))
        flux = energy / time - of_energy
        below, above = (np.hypot(one / time, np.sqrt(energy_var)) for one in (low, high))
        # Where no column that is used has a worth, the band was not observed.
        if not all(trace.calibrated for trace, _, _ in parts) or not any(gains):
            flux, below, above = (np.full(n_bin, np.nan) for _ in range(3))
        _, sums, band = parts[0]
        events, rows = sums.bins[band, 0], sums.bins[band, 4]
        where = np.where(events > 0.0, rows / np.maximum(events, 1.0), np.nan)
        return Band(
            exposure, np.where(some, gross, np.nan), np.where(some, expected, np.nan), weights / time - rate, net_err, flux, below, above,
            where,
        )  # fmt: skip


def _behind(trace: Trace, sums: Sums, band: int, exposure: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the background's weighted rate (count/s), its energy (erg/s/cm2) and their relative error, bin by bin."""
    used = np.zeros(sums.kept.size, np.bool_)
    first, last = sums.columns[band]
    used[first : last + 1] = sums.kept[first : last + 1]
    seconds = exposure.sum()
    level, error = _drift(sums.behind[0], exposure)
    if used.any() and np.isfinite(trace.dark[used]).all():
        mean, energy = float(trace.dark[used].sum()), float((trace.dark * trace.gain)[used].sum())
        return mean * level, energy * level, error
    height = np.maximum(trace.high - trace.low + 1.0, 0.0)[used].sum()
    open_rows = (
        np.maximum(trace.behind[:, 1] - trace.behind[:, 0] + 1.0, 0.0)[:, used].sum() if trace.behind.size else 0.0
    )
    if open_rows <= 0.0 or seconds <= 0.0:
        nothing = np.zeros(exposure.size)
        return nothing, nothing, nothing
    n_all = sums.bins[band, 0].sum()
    ratio = sums.bins[band, 1].sum() / n_all if n_all else 1.0
    total = float(sums.behind[band].sum())
    share = height / open_rows / seconds
    error = np.hypot(error, 1.0 / np.sqrt(max(total, 1.0)))
    return total * share * ratio * level, float(sums.bins[band, 5].sum()) * share * level, error


def _mean_gain(trace: Trace, sums: Sums, band: int) -> float:
    first, last = sums.columns[band]
    used = sums.kept[first : last + 1]
    return float(trace.gain[first : last + 1][used].mean()) if used.any() else 0.0


def _drift(behind: NDArray[np.int64], exposure: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the background's rate over its mean, and its relative error: a line through points of `LEAST_BEHIND` events each."""
    total, seconds = float(behind.sum()), float(exposure.sum())
    if total < 2 * LEAST_BEHIND or seconds <= 0.0:
        return np.ones(exposure.size), np.zeros(exposure.size)
    grown = np.cumsum(behind)
    n_piece = int(total // LEAST_BEHIND)
    cuts = np.unique(np.searchsorted(grown, total * np.arange(1, n_piece) / n_piece) + 1)
    starts = np.r_[0, cuts[cuts < exposure.size]]
    counts, open_time = np.add.reduceat(behind, starts).astype(np.float64), np.add.reduceat(exposure, starts)
    middle = np.add.reduceat(np.arange(exposure.size) * exposure, starts)
    good = open_time > 0.0
    at = middle[good] / open_time[good]
    rate = counts[good] / open_time[good] / (total / seconds)
    level = np.interp(np.arange(exposure.size), at, rate)
    # What the line lost or gained between its points, the mean must not.
    level *= seconds / float((level * exposure).sum())
    error = np.interp(np.arange(exposure.size), at, 1.0 / np.sqrt(np.maximum(counts[good], 1.0)))
    return level, error
