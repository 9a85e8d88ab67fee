"""Which kind of event each place on a detector gives, and to which sums it goes: what the loop over events looks up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.model.photons import REASONS, Trace

__all__ = ["Regions", "Screen", "column_reasons", "kinds_of_reason", "regions_of"]

SOURCE, BEHIND = 0, 1
"""As `cuvee.kernels.photons` numbers what is kept."""

N_PLACE = 3
"""How many of the last `REASONS` are those of places: wavelength, airglow, outside."""

IMAGE_COLUMNS = 512
"""Columns of the image of counts, at most."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What is left out of a segment's events.

    Parameters
    ----------
    gti : float64 array, shape (n, 2)
        Good time (s).
    bits : int
        Quality bits of events that are left out.
    pulse : tuple of float
        Lowest and highest pulse height of a photon.
    windows : tuple of (float, float)
        Wavelengths that are left out, of source and background alike (Angstrom).
    band : tuple of float
        Wavelengths that are kept (Angstrom).
    """

    gti: NDArray[np.float64]
    bits: int
    pulse: tuple[float, float]
    windows: tuple[tuple[float, float], ...]
    band: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of a trace, and the pieces that its bands are put together from.

    Parameters
    ----------
    profile : uint32 array, shape (n_col,)
        Where in ``kinds`` the rows of each column begin.
    kinds : uint8 array
        Kinds of events by row: ``n_low`` of them, from row ``low``, for each run of columns that are alike.
    low, n_low : int
        First row that is told apart, and how many are.
    group : int16 array, shape (n_col,)
        The piece that each column belongs to.
    pieces : bool array, shape (n_band, n_piece)
        Which pieces make up each band.
    shift : int
        An image's column is the detector's, shifted to the right by so many bits.
    reach : tuple of float
        Rows beyond which there is no region, half a row included, for loops round.
    """

    profile: NDArray[np.uint32]
    kinds: NDArray[np.uint8]
    low: int
    n_low: int
    group: NDArray[np.int16]
    pieces: NDArray[np.bool_]
    shift: int
    reach: tuple[float, float]


def kinds_of_reason(name: str) -> slice:
    """Return the numbers that `cuvee.kernels.photons` gives to events that are left out for that reason."""
    back = len(REASONS) - list(REASONS).index(name)
    # Reasons of places follow the kinds that are kept; of the others each takes eight numbers, one for each place.
    return slice(1 + back, 2 + back) if back <= N_PLACE else slice(8 * (back - N_PLACE), 8 * (back - N_PLACE) + 8)


def regions_of(trace: Trace, reason: NDArray[np.uint8], bands: NDArray[np.int64]) -> Regions:
    """Return the regions of a trace.

    Parameters
    ----------
    trace : Trace
        Rows of source and background by column.
    reason : uint8 array, shape (n_col,)
        As `column_reasons` has it.
    bands : int64 array, shape (n_band, 2)
        First and last column of each band, both included.
    """
    n_col = trace.low.size
    edges = np.stack(
        [
            np.ceil(trace.low),
            np.floor(trace.high),
            *(f(e) for low_high in trace.behind for f, e in zip((np.ceil, np.floor), low_high, strict=True)),
        ]
    )
    edges[0::2], edges[1::2] = (
        np.where(np.isnan(edges[0::2]), np.inf, edges[0::2]),
        np.where(np.isnan(edges[1::2]), -np.inf, edges[1::2]),
    )
    known = edges[np.isfinite(edges)]
    low, high = (int(known.min()), int(known.max())) if known.size else (0, 0)
    row = np.arange(low - 1, high + 2)
    changes = (edges[:, 1:] != edges[:, :-1]).any(axis=0) | (reason[1:] != reason[:-1])
    runs = np.r_[0, np.flatnonzero(changes) + 1]
    inside = (edges[0::2, runs, None] <= row) & (row <= edges[1::2, runs, None])
    kept = np.where(reason[runs, None] > 0, 2 + len(REASONS) - reason[runs, None], np.where(inside[0], SOURCE, BEHIND))
    kinds = np.where(inside.any(axis=0), kept, kinds_of_reason("outside").start).astype(np.uint8)
    profile = np.cumsum(np.r_[False, changes]) * row.size
    cuts = np.unique(np.concatenate([[0], bands[:, 0], bands[:, 1] + 1]))
    piece = np.searchsorted(cuts, np.arange(n_col), side="right") - 1
    # Only pieces of which a column is used; the columns that are not may be in any.
    used = np.unique(piece[reason == 0]) if (reason == 0).any() else np.zeros(1, np.int64)
    pieces = (bands[:, :1] <= cuts[used]) & (cuts[used] <= bands[:, 1:])
    group = np.minimum(np.searchsorted(used, piece), used.size - 1)
    return Regions(
        profile.astype(np.uint32), np.ascontiguousarray(kinds.ravel()), low - 1, row.size, group.astype(np.int16), pieces,
        max(0, int(np.ceil(np.log2(n_col / IMAGE_COLUMNS)))), (known.min(initial=np.inf) - 1.0, known.max(initial=-np.inf) + 1.0),
    )  # fmt: skip


def column_reasons(trace: Trace, screen: Screen) -> NDArray[np.uint8]:
    """Return why a column is not used, 0 where it is; the number is the reason's place in `REASONS`, from 1."""
    names = list(REASONS)
    reason = np.zeros(trace.low.size, np.uint8)
    wavelength = trace.wavelength
    if not (wavelength > 0.0).any():
        return reason
    low, high = screen.band
    for start, stop in screen.windows:
        reason[(wavelength > start) & (wavelength < stop)] = names.index("airglow") + 1
    reason[(wavelength <= 0.0) | (wavelength < low) | (wavelength >= high)] = names.index("wavelength") + 1
    return reason
