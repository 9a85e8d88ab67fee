"""Where the light of a source falls on a segment, and what a count there is worth: from the mission's spectrum, or from the header's boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.model.photons import Boxes, Spectrum, Trace

__all__ = ["box_trace", "column_widths", "columns_of", "spectrum_trace"]

FloatArray = NDArray[np.float64]


def _rows(middle: FloatArray, height: float) -> FloatArray:
    """Return first and last row of a box, as the mission counts them: ``height`` rows, half of them below the middle one."""
    low = np.rint(middle) - int(height) // 2
    return np.stack([low, low + int(height) - 1])


def box_trace(name: str, boxes: Boxes) -> Trace:
    """Return the regions of a segment without a spectrum: counts can be taken, fluxes cannot.

    Parameters
    ----------
    name : str
        The segment.
    boxes : Boxes
        What the header says.

    Returns
    -------
    Trace
        Without wavelengths.
    """
    column = np.arange(boxes.n_col, dtype=np.float64)
    low, high = _rows(boxes.source[0] + boxes.slope * column, boxes.source[1])
    nothing = np.zeros(boxes.n_col)
    return Trace(name, low, high, _behind(boxes), nothing, nothing, np.full(boxes.n_col, np.nan), False)


def spectrum_trace(spectrum: Spectrum, boxes: Boxes | None) -> Trace:
    """Return the regions of a segment as its extracted spectrum has them, and the energy of a count in each column.

    NET / FLUX is the sensitivity at the time of the exposure, free of noise. Where either is zero it is interpolated.

    Parameters
    ----------
    spectrum : Spectrum
        The mission's spectrum of the same exposure.
    boxes : Boxes, optional
        What the header says of the background, where the spectrum does not.

    Returns
    -------
    Trace
    """
    told = (spectrum.net != 0.0) & (spectrum.flux != 0.0)
    told &= np.isfinite(spectrum.net) & np.isfinite(spectrum.flux) & (spectrum.wavelength > 0.0)
    column = np.arange(spectrum.net.size)
    gain = np.zeros(column.size)
    if told.any():
        ratio = spectrum.flux[told] / spectrum.net[told]
        sound = ratio > 0.0
        told[np.flatnonzero(told)[~sound]] = False
    if told.any():
        gain = np.interp(column, column[told], spectrum.flux[told] / spectrum.net[told])
        share = np.where(spectrum.share > 0.0, spectrum.share, 1.0)
        gain = np.where(spectrum.wavelength > 0.0, gain * column_widths(spectrum.wavelength) / share, 0.0)
    behind = spectrum.behind
    if not behind.shape[0] and boxes is not None:
        behind = _behind(boxes)
    return Trace(
        spectrum.name, spectrum.low, spectrum.high, behind, spectrum.wavelength, gain, spectrum.dark, bool(told.any())
    )


def column_widths(wavelength: FloatArray) -> FloatArray:
    """Return the width of columns, shape (n_col,) (Angstrom): half the way to each neighbour that has a wavelength.

    Parameters
    ----------
    wavelength : float64 array, shape (n_col,)
        Angstrom; 0 where a column has none.
    """
    known = wavelength > 0.0
    step = np.where(known[1:] & known[:-1], np.abs(np.diff(wavelength)), np.nan)
    beside = np.stack([np.r_[np.nan, step], np.r_[step, np.nan]])
    n = np.isfinite(beside).sum(axis=0)
    return np.asarray(np.where(n > 0, np.nansum(beside, axis=0) / np.maximum(n, 1), 0.0))


def _behind(boxes: Boxes) -> FloatArray:
    column = np.arange(boxes.n_col, dtype=np.float64)
    found = [_rows(middle + boxes.slope * column, height) for middle, height in boxes.behind]
    return np.stack(found) if found else np.zeros((0, 2, boxes.n_col))


def columns_of(trace: Trace, low: float, high: float) -> tuple[int, int]:
    """Return the first and the last column whose wavelength lies in ``low <= wavelength < high``; (0, -1) where none does.

    A trace without wavelengths has one band: all of it.
    """
    if not (trace.wavelength > 0.0).any():
        return 0, trace.wavelength.size - 1
    inside = np.flatnonzero((trace.wavelength >= low) & (trace.wavelength < high) & (trace.wavelength > 0.0))
    return (int(inside[0]), int(inside[-1])) if inside.size else (0, -1)
