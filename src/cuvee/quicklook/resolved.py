"""The figure of an exposure by time and wavelength: its light curve above, its spectrum beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.quicklook.photons import Counted
from cuvee.quicklook.style import BLUE, GREY, place, slide, styled, tidy

__all__ = ["figure_resolved"]

MOST_TIMES, MOST_CELLS = 240, 320
"""Bins and cells that are drawn; more of them are put together, for the eye."""

FloatArray = NDArray[np.float64]


@styled
def figure_resolved(points: Mapping[str, NDArray[Any]], counted: Counted) -> Figure:
    """Draw an exposure by time and wavelength.

    Parameters
    ----------
    points : mapping of str to array, each of shape (n_bin,)
        The columns of its light curve.
    counted : (mapping, mapping)
        Facts and arrays of the exposure.

    Returns
    -------
    Figure
        16:9, for a slide.

    Raises
    ------
    ConfigError
        If it was not binned by wavelength.
    """
    facts, arrays = counted
    if "resolved.flux" not in arrays:
        raise ConfigError(
            f"Exposure {facts['rootname']} was not binned by wavelength: set [events] resolve to a width in Angstrom, and run again"
            " (it takes a list with an extracted spectrum)."
        )
    edges, width = arrays["resolved.edges"], arrays["resolved.width"]
    exposure = np.nan_to_num(points["exposure"].astype(np.float64))
    flux, time_starts, cell_starts = _together(arrays["resolved.flux"].astype(np.float64), exposure, width)
    seconds = (points["time"] - points["time"][0]) * 86400.0
    step = seconds[1] - seconds[0] if seconds.size > 1 else 1.0
    time_edges = np.r_[seconds[time_starts], seconds[-1] + step] - 0.5 * step
    wave_edges = np.r_[edges[:-1][cell_starts], edges[-1]]
    words = " ".join(word for word in facts["setting"] if word)
    figure = slide(f"{facts['target']}   {words}   {facts['rootname']}")
    finite = flux[np.isfinite(flux)]
    scale = 10.0 ** np.floor(np.log10(max(float(np.percentile(np.abs(finite), 99.5)), 1e-300))) if finite.size else 1.0
    unit = rf"$10^{{{np.log10(scale):.0f}}}$ erg/s/cm$^2$"
    image = place(figure, 1.25, 9.6, 0.85, 4.95)
    low, high = np.percentile(finite / scale, (1.0, 99.7)) if finite.size else (0.0, 1.0)
    shown = image.pcolormesh(
        time_edges, wave_edges, flux / scale, vmin=min(low, 0.0), vmax=high, cmap="magma", rasterized=True
    )
    image.set_xlabel(f"seconds since BTJD {points['time'][0]:.5f}")
    image.set_ylabel("wavelength (Å)")
    image.set_facecolor("#D8D8D8")
    image.grid(visible=False)
    bar = figure.colorbar(shown, cax=place(figure, 12.1, 12.35, 0.85, 4.95))
    bar.set_label(f"flux ({unit}/Å)")
    _light_curve(place(figure, 1.25, 9.6, 5.3, 6.6), time_edges, _mean(flux, _sum(width, cell_starts), 0) / scale, unit)
    _spectrum(
        place(figure, 9.8, 11.9, 0.85, 4.95), wave_edges, _mean(flux, _sum(exposure, time_starts), 1) / scale, unit
    )
    return figure


def _sum(values: FloatArray, starts: NDArray[np.int64]) -> FloatArray:
    return np.asarray(np.add.reduceat(np.asarray(values, np.float64), starts))


def _mean(flux: FloatArray, weight: FloatArray, axis: int) -> FloatArray:
    """Return the weighted mean over cells (0) or times (1) of what was observed."""
    share = np.where(np.isfinite(flux), weight[:, None] if axis == 0 else weight, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.nansum(np.nan_to_num(flux) * share, axis=axis) / share.sum(axis=axis))


def _together(
    flux: FloatArray, exposure: FloatArray, width: FloatArray
) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """Return the mean flux of bins and cells put together, by exposure and by what was observed of a cell, and where they begin."""
    times, cells = (
        np.arange(0, n, -(-n // most)) for n, most in ((exposure.size, MOST_TIMES), (width.size, MOST_CELLS))
    )
    weight = np.where(np.isfinite(flux), exposure * width[:, None], 0.0)
    total, of_weight = (
        np.add.reduceat(np.add.reduceat(values, cells, axis=0), times, axis=1)
        for values in (np.nan_to_num(flux) * weight, weight)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return total / of_weight, times, cells


def _light_curve(ax: Axes, edges: FloatArray, flux: FloatArray, unit: str) -> None:
    ax.stairs(flux, edges, color=BLUE, lw=1.2)
    ax.set_xlim(edges[0], edges[-1])
    ax.tick_params(labelbottom=False)
    ax.set_ylabel(f"mean flux\n({unit}/Å)", fontsize=12)
    ax.set_title(f"{edges[1] - edges[0]:.3g} s a column", fontsize=12.5, color=GREY)
    tidy(ax)


def _spectrum(ax: Axes, edges: FloatArray, flux: FloatArray, unit: str) -> None:
    ax.stairs(flux, edges, orientation="horizontal", color=BLUE, lw=1.0)
    ax.set_ylim(edges[0], edges[-1])
    ax.tick_params(labelleft=False)
    ax.set_xlabel(f"flux ({unit}/Å)", fontsize=12)
    ax.set_title("mean spectrum", fontsize=12.5, color=GREY)
    tidy(ax)
