"""Light curves of many narrow bands at once: what came at which time and which wavelength."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData
from cuvee.events.curve import Part, parts_curve
from cuvee.events.sums import Sums
from cuvee.events.trace import column_widths, columns_of
from cuvee.model.photons import Trace

__all__ = ["MOST_CELLS", "Resolved", "cell_columns", "cell_edges", "resolve"]

FloatArray = NDArray[np.float64]

MOST_CELLS = 10_000
"""Cells by wavelength, at most: each is binned as a band is."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """An exposure by time and wavelength; two-dimensional arrays have shape (n_cell, n_bin).

    Parameters
    ----------
    edges : float64 array, shape (n_cell + 1,)
        Of the cells (Angstrom).
    width : float64 array, shape (n_cell,)
        How much of each cell was observed (Angstrom): not what lies beyond the detector, in its gap, or in a line that is left out.
    flux, flux_err_low, flux_err_high : float32 arrays
        Mean flux in what was observed of the cell (erg/s/cm2/A), and how far its 68.27 % interval reaches below and above.
        NaN where nothing of a cell was observed, or no good time lies in the bin, or no calibration exists.
    gross, background : float32 arrays
        Events in the source's region, and how many of them are expected to be background.
    """

    edges: FloatArray
    width: FloatArray
    flux: NDArray[np.float32]
    flux_err_low: NDArray[np.float32]
    flux_err_high: NDArray[np.float32]
    gross: NDArray[np.float32]
    background: NDArray[np.float32]


def cell_edges(traces: Sequence[Trace], band: tuple[float, float], width: float) -> FloatArray:
    """Return the edges of cells, whole multiples of their width, that hold all wavelengths of a band that some trace has.

    Parameters
    ----------
    traces : sequence of Trace
        Of all segments.
    band : tuple of float
        Wavelengths that are used (Angstrom).
    width : float
        Of a cell (Angstrom).

    Returns
    -------
    float64 array, shape (n_cell + 1,)
        Of shape (1,) where there is no wavelength.

    Raises
    ------
    BadData
        ``too-long``, if they are more than `MOST_CELLS`.
    """
    known = np.concatenate([one.wavelength[one.wavelength > 0.0] for one in traces])
    known = known[(known >= band[0]) & (known < band[1])]
    if not known.size:
        return np.zeros(1)
    low, high = known.min(), known.max()
    if (high - low) / width > MOST_CELLS:
        raise BadData(
            f"its wavelengths from {low:.6g} to {high:.6g} A are more than {MOST_CELLS:,} cells of [events] resolve = {width:g}.",
            "too-long",
        )
    # The end of the last cell lies beyond the last wavelength, not on it.
    return np.asarray(width * np.arange(np.floor(low / width), np.floor(high / width) + 2.0))


def cell_columns(trace: Trace, edges: FloatArray) -> dict[int, tuple[int, int]]:
    """Return the first and last column of each cell that a trace has a part of, by the cell's number."""
    found = {}
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        first, last = columns_of(trace, float(low), float(high))
        if first <= last:
            found[k] = first, last
    return found


def resolve(
    parts: Sequence[tuple[Trace, Sums, dict[int, int]]],
    edges: FloatArray,
    gti: FloatArray,
    bins: FloatArray,
) -> Resolved:
    """Return an exposure by time and wavelength. Each cell is a band, with the background and the errors that a band has.

    Parameters
    ----------
    parts : sequence of (Trace, Sums, dict of int to int)
        The segments; of each, which of the bands in its sums is which cell.
    edges : float64 array, shape (n_cell + 1,)
        Of the cells (Angstrom).
    gti : float64 array, shape (n, 2)
        Good time (s).
    bins : float64 array, shape (n_bin + 1,)
        Edges of the bins (s).
    """
    n_cell, n_bin = edges.size - 1, bins.size - 1
    width = np.zeros(n_cell)
    flux, low, high, gross, background = np.full((5, n_cell, n_bin), np.nan, np.float32)
    widths = {id(trace): column_widths(trace.wavelength) for trace, _, _ in parts}
    for k in range(n_cell):
        mine: list[Part] = []
        for trace, sums, bands in parts:
            if k not in bands:
                continue
            first, last = sums.columns[bands[k]]
            seen = float(widths[id(trace)][first : last + 1][sums.kept[first : last + 1]].sum())
            if seen > 0.0:
                mine.append((trace, sums, bands[k]))
                width[k] += seen
        if not mine:
            continue
        band = parts_curve(mine, gti, bins)
        flux[k], low[k], high[k] = (one / width[k] for one in (band.flux, band.flux_err_low, band.flux_err_high))
        gross[k], background[k] = band.gross, band.background
    return Resolved(edges, width, flux, low, high, gross, background)
