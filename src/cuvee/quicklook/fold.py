"""Fold a light curve at a period, and draw it with bins over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from cuvee.metrics import MAD_TO_SIGMA
from cuvee.quicklook.style import BLACK, BLUE, GREY, MANY, relative_unit, tidy

__all__ = ["draw_folded", "flux_range", "fold"]

FloatArray = NDArray[np.float64]


def flux_range(flux: NDArray[Any]) -> tuple[float, float]:
    """Return the range of flux to show: all good points, unless two or three of them lie absurdly far out.

    An eclipse may be hundreds of standard deviations deep, but it has more points than that.
    """
    if flux.size == 0:
        return 0.0, 1.0
    middle = float(np.median(flux))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(flux - middle))) or float(np.ptp(flux)) or 1.0
    few = max(3.0, 0.002 * flux.size)
    low, high = float(flux.min()), float(flux.max())
    if np.count_nonzero(flux < middle - 60.0 * spread) <= few:
        low = max(low, middle - 60.0 * spread)
    if np.count_nonzero(flux > middle + 60.0 * spread) <= few:
        high = min(high, middle + 60.0 * spread)
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def fold(time: FloatArray, period: float, epoch: float) -> FloatArray:
    """Return the phase of each time, from -0.5 to 0.5 with 0 at ``epoch``."""
    return (np.asarray(time) - epoch + 0.5 * period) % period / period - 0.5


def _binned(phase: FloatArray, values: FloatArray, n_bin: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return centre, median and its error of equal bins in phase that hold at least three points."""
    edges = np.linspace(-0.5, 0.5, n_bin + 1)
    which = np.clip(np.digitize(phase, edges) - 1, 0, n_bin - 1)
    rows = []
    for k in range(n_bin):
        here = values[which == k]
        if here.size >= 3:
            middle = float(np.median(here))
            # The median of n normal deviates scatters by sqrt(pi/2) times the mean's sigma/sqrt(n).
            error = 1.2533 * MAD_TO_SIGMA * float(np.median(np.abs(here - middle))) / np.sqrt(here.size)
            rows.append((0.5 * (edges[k] + edges[k + 1]), middle, error))
    table = np.array(rows).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _faintest(time: FloatArray, relative: FloatArray, period: float, n_bin: int) -> float:
    """Return the time in the middle of the first dip: the centre of gravity of the bins about the faintest one."""
    if time.size == 0:
        return 0.0
    start = float(time.min())
    centre, middle, _ = _binned(fold(time, period, start), relative, n_bin)
    if centre.size == 0:
        return start
    away = (centre - centre[np.argmin(middle)] + 0.5) % 1.0 - 0.5
    depth = np.clip(0.5 * (middle.min() + np.median(middle)) - middle, 0.0, None) * (np.abs(away) < 0.2)
    dip = centre[np.argmin(middle)] + (float(np.average(away, weights=depth)) if depth.any() else 0.0)
    return float(start + dip % 1.0 * period)


def draw_folded(
    ax: Axes, time: FloatArray, relative: FloatArray, period: float, epoch: float | None = None, small: bool = False
) -> tuple[float, float]:
    """Draw a folded light curve with bins over it.

    Parameters
    ----------
    ax : Axes
        Where.
    time : float64 array, shape (n,)
        BTJD of good points.
    relative : float64 array, shape (n,)
        Flux over its median, less 1.
    period : float
        Days.
    epoch : float, optional
        BTJD of phase 0; the faintest bin is put there by default.
    small : bool
        Leave out labels: the panel is one of many.

    Returns
    -------
    factor, epoch : float
        What the y axis multiplies relative flux with, and BTJD of phase 0.
    """
    n_bin = int(np.clip(time.size / 12, 12, 80))
    if epoch is None:
        epoch = _faintest(time, relative, period, n_bin)
    low, high = flux_range(relative)
    factor, unit = relative_unit(high - low)
    phase = fold(time, period, epoch)
    ax.plot(
        phase, factor * relative, ls="none", marker="o", markersize=3.5 if small else 4.0, markeredgewidth=0.0, color=BLUE,
        alpha=0.35, rasterized=time.size > MANY, zorder=2,
    )  # fmt: skip
    centre, middle, error = _binned(phase, relative, n_bin)
    ax.errorbar(
        centre, factor * middle, factor * error, ls="none", marker="o", markersize=4.5 if small else 6.5, color=BLACK,
        markeredgecolor="white", markeredgewidth=0.8, elinewidth=1.4, zorder=5,
    )  # fmt: skip
    ax.set_xlim(-0.5, 0.5)
    ax.set_ylim(factor * low, factor * high)
    tidy(ax)
    if small:
        ax.tick_params(labelsize=11.5)
    ax.set_ylabel(f"relative flux ({unit})", labelpad=2.0 if small else 4.0, fontsize=12.0 if small else 15.0)
    if not small:
        ax.set_xlabel(f"phase (0 at BTJD {epoch:.4f})")
        ax.set_title(f"Folded at {period:.6g} d; black: medians of {centre.size} bins", fontsize=12.5, color=GREY)
    return factor, epoch
