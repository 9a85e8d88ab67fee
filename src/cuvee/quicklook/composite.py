"""The figure of a composite: flux, net rate and background of all its exposures, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cuvee.quicklook.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, place, slide, styled, tidy

__all__ = ["figure_composite"]

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
MOST_POINTS = 600
"""Points in a panel: shorter bins are put together, for the eye."""


@styled
def figure_composite(points: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Figure:
    """Draw a composite.

    Parameters
    ----------
    points : mapping of str to array, each of shape (n_bin,)
        Its columns.
    facts : mapping
        As `cuvee.store.photon_curves.read_composite` returns them.

    Returns
    -------
    Figure
        16:9, for a slide. Exposures follow one another without the time between them.
    """
    figure = slide(f"{facts['target']}   {' '.join(word for word in facts['setting'] if word)}   composite")
    found = facts["statistics"]
    n = len(facts["members"])
    words = f"{n} exposures, {facts['seconds']:,.0f} s, {found['total']:,} events; probability of a constant source {found['constant']:.2g}"
    if facts["limits"]:
        words += "; " + ", ".join(f"{name} {low:.0f} to {high:.0f} Å" for name, (low, high) in facts["limits"].items())
    has_flux = bool(np.isfinite(points["flux"]).any())
    rows = [("flux", "flux_err")] if has_flux else []
    rows += [("net", "net_err"), ("background", "")]
    height = 5.6 / len(rows)
    for k, (value, error) in enumerate(rows):
        top = 6.6 - k * height
        ax = place(figure, 1.25, 12.95, top - height + 0.25, top)
        _panel(ax, points, value, error)
        if k == 0:
            ax.set_title(words, fontsize=12.5, color=GREY)
        if k < len(rows) - 1:
            ax.tick_params(labelbottom=False)
        else:
            ax.set_xlabel("good time of the exposures, one behind the other (s)")
    _names(figure, points, facts)
    return figure


def _panel(ax: Axes, points: Mapping[str, NDArray[Any]], value: str, error: str) -> None:
    live = np.cumsum(np.nan_to_num(points["exposure"]).astype(np.float64))
    together = -(-live.size // MOST_POINTS)
    values = points[value].astype(np.float64)
    if value == "background":
        values = values / points["exposure"]
    scale = 1.0
    if value == "flux" and np.isfinite(values).any():
        scale = 10.0 ** np.floor(np.log10(np.nanmax(np.abs(values)) or 1.0))
    for k in np.unique(points["dataset"]):
        here = np.flatnonzero((points["dataset"] == k) & (points["exposure"] > 0.0) & np.isfinite(values))
        if not here.size:
            continue
        starts = np.arange(0, here.size, together)
        n = np.diff(np.r_[starts, here.size])
        weight = points["exposure"][here].astype(np.float64)
        total = np.add.reduceat(weight, starts)
        mean = np.add.reduceat(values[here] * weight, starts) / total / scale
        at = np.add.reduceat(live[here], starts) / n
        colour = COLOURS[(int(k) - 1) % len(COLOURS)]
        if error:
            spread = (
                np.sqrt(np.add.reduceat((points[error][here].astype(np.float64) * weight) ** 2, starts)) / total / scale
            )
            ax.errorbar(at, mean, spread, fmt="o", ms=3.0, color=colour, elinewidth=0.8, alpha=0.85)
        else:
            ax.plot(at, mean, color=colour, lw=1.4)
    ax.set_ylabel(
        {"flux": rf"flux ($10^{{{np.log10(scale):.0f}}}$ cgs)", "net": "net (1/s)", "background": "background (1/s)"}[
            value
        ]
    )
    ax.axhline(0.0, color=GREY, lw=0.8)
    tidy(ax)


def _names(figure: Figure, points: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Name the exposures beneath, as many as there is room for."""
    first = [float(points["time"][points["dataset"] == k + 1][0]) for k in range(len(facts["members"]))]
    words = [f"{name} (BTJD {time:.3f})" for name, time in zip(facts["members"], first, strict=True)]
    shown = words[:4]
    if len(words) > len(shown):
        shown.append(f"and {len(words) - len(shown)} more")
    for k, word in enumerate(shown):
        colour = COLOURS[k % len(COLOURS)] if k < 4 else GREY
        figure.text((1.25 + 2.6 * k) / 13.33, 0.08 / 7.5, word, color=colour, fontsize=11)
