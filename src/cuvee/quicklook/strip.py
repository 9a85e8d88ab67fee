"""The background of a detector over time as a strip of small maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from cuvee.quicklook.style import FLUX, GREY, place, slide, styled

__all__ = ["SLICES", "Slice", "background_slices", "figure_strip"]

FloatArray = NDArray[np.float64]
SLICES = 20
"""Maps of a strip, in two rows."""
SIDE = 24
"""Cells along a side of a map."""
_ACROSS = 10
_NEAR = 1.0 / 14.0
"""How far a star's background counts (a Gaussian's standard deviation, as a share of the side): stars are about so far apart."""
_STEEP = 4.0
"""Highest over lowest background from which colours are logarithmic."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The background in a stretch of time.

    Parameters
    ----------
    start, stop : float
        From when to when (BTJD).
    n_frame : int
        Frames in it.
    image : float64 array, shape (24, 24)
        Median over these frames (e-/s/pixel), rows upwards; NaN all over where there is no frame.
    """

    start: float
    stop: float
    n_frame: int
    image: FloatArray


def background_slices(
    time: FloatArray, seen: NDArray[np.bool_], place: FloatArray, background: NDArray[Any], n: int = SLICES
) -> list[Slice]:
    """Cut a light curve's length into equal stretches, and map the background in each.

    Parameters
    ----------
    time : float64 array, shape (n_frame,)
        Ascending (BTJD).
    seen : bool array, shape (n_frame,)
        Whether there is a frame.
    place : float64 array, shape (2, n_star)
        Where stars are, column and row (px).
    background : float array, shape (n_star, n_frame)
        Under the stars (e-/s/pixel); NaN where unknown.
    n : int
        Stretches.

    Returns
    -------
    list of Slice
        Between the stars the map is their mean, weighted by a Gaussian of the distance.
    """
    edges = np.linspace(time[0], time[-1], n + 1)
    which = np.clip(np.searchsorted(edges, time, side="right") - 1, 0, n - 1)
    centre = (np.arange(SIDE) + 0.5) / SIDE
    along = [(centre[:, None] - (x - x.min()) / max(float(np.ptp(x)), 1e-9)) / _NEAR for x in place[::-1]]
    weight = np.exp(-0.5 * (along[0][:, None] ** 2 + along[1][None] ** 2))  # row, column, star
    slices = []
    for k in range(n):
        here = np.flatnonzero((which == k) & seen)
        image = np.full((SIDE, SIDE), np.nan)
        values = background[:, here]
        known = np.isfinite(values).any(axis=1)
        if known.any():
            middle = np.nanmedian(values[known], axis=1)
            near = weight[:, :, known]
            image = (near @ middle) / np.maximum(near.sum(axis=2), 1e-300)
        slices.append(Slice(float(edges[k]), float(edges[k + 1]), int(here.size), image))
    return slices


@styled
def figure_strip(slices: Sequence[Slice], title: str = "") -> Figure:
    """Draw the background of a detector over time as a strip of small maps.

    Parameters
    ----------
    slices : sequence of Slice
        In the order of time; at least one with a frame.
    title : str
        Of what.

    Returns
    -------
    Figure
        Ten maps a row, all in the same colours.
    """
    n_row = -(-len(slices) // _ACROSS)
    height = 0.78 + 1.42 * n_row
    figure = slide(title or "Background over time", height)
    known = np.concatenate([one.image[np.isfinite(one.image)] for one in slices])
    low, high = (float(value) for value in np.percentile(known, [1.0, 99.0]))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    steep = low > 0.0 and high > _STEEP * low
    norm = LogNorm(low, high) if steep else Normalize(low, high)  # what is beyond has the colour of the end
    for k, one in enumerate(slices):
        left, top = 0.3 + 1.16 * (k % _ACROSS), height - 0.62 - 1.42 * (k // _ACROSS)
        ax = place(figure, left, left + 1.08, top - 1.08, top)
        ax.set(xticks=[], yticks=[])
        ax.grid(visible=False)
        for side in ax.spines.values():
            side.set_visible(False)
        if one.n_frame:
            ax.imshow(one.image, origin="lower", cmap="cividis", norm=norm, interpolation="bilinear", aspect="auto")
        else:
            ax.set_facecolor("#EEEEEE")
            ax.text(0.5, 0.5, "no frame", transform=ax.transAxes, fontsize=10, color=GREY, ha="center", va="center")
        middle = f"{0.5 * (one.start + one.stop):.1f}"
        ax.text(0.5, -0.04, middle, transform=ax.transAxes, fontsize=10.5, color=GREY, ha="center", va="top")
    scale = place(figure, 12.05, 12.2, height - 0.62 - 1.08 - 1.42 * (n_row - 1), height - 0.62)
    bar = figure.colorbar(ScalarMappable(norm, "cividis"), cax=scale)
    bar.outline.set_visible(False)
    scale.yaxis.set_major_locator(LogLocator(10.0, subs=(1.0, 2.0, 3.0, 5.0)) if steep else MaxNLocator(5))
    scale.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.4g}"))
    scale.yaxis.set_minor_locator(NullLocator())
    scale.tick_params(labelsize=11)
    scale.set_ylabel(f"{FLUX}/pixel", fontsize=11.5)
    return figure
