"""The figure of a composite: flux and its error, gross and net rate and background of all its exposures, one behind the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cuvee.model.photons import short_limits
from cuvee.quicklook.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, place, slide, styled, tidy

__all__ = ["figure_composite"]

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
MOST_LETTERS = 125
"""Of the line above the panels; longer ones are written smaller."""
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
    rows: tuple[str, ...] = ("flux", "error", "gross", "net", "background")
    if not np.isfinite(points["flux"]).any():
        rows = ("gross", "net", "background")
    height = 5.75 / len(rows)
    drawn = _put_together(points)
    for k, value in enumerate(rows):
        top = 6.6 - k * height
        ax = place(figure, 1.35, 12.95, top - height + 0.15, top)
        _panel(ax, drawn, value)
        if k == 0:
            words = _words(facts)
            ax.set_title(words, fontsize=min(12.5, 12.5 * MOST_LETTERS / len(words)), color=GREY)
        if k < len(rows) - 1:
            ax.tick_params(labelbottom=False)
        else:
            ax.set_xlabel("good time of the exposures, one behind the other (s)")
    _names(figure, points, facts)
    return figure


def _words(facts: Mapping[str, Any]) -> str:
    found = facts["statistics"]
    words = [
        f"{len(facts['members'])} exposures, {facts['seconds']:,.0f} s, {found['total']:,} events",
        f"probability of a constant source {found['constant']:.2g}",
    ]
    if facts["limits"]:
        words.append(
            ", ".join(
                f"{name} {low:.0f} to {high:.0f} Å" for name, (low, high) in short_limits(facts["limits"]).items()
            )
        )
    peaks = [peak for peak in facts["peaks"].values() if np.isfinite(peak[0]) and peak[2] < 0.01]
    if peaks:
        best = min(peaks, key=lambda peak: float(peak[2]))
        words.append(f"period {best[0]:.4g} s (false alarm {best[2]:.1g})")
    return "; ".join(words)


def _put_together(points: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return what is drawn: bins of an exposure put together for the eye, weighted by their good time."""
    exposure = points["exposure"].astype(np.float64)
    here = np.flatnonzero(exposure > 0.0)
    seconds, number = exposure[here], points["dataset"][here]
    k = np.arange(here.size)
    first = np.maximum.accumulate(np.where(np.diff(number, prepend=-1) != 0, k, 0))
    starts = np.flatnonzero((k - first) % -(-here.size // MOST_POINTS) == 0)
    total = np.add.reduceat(seconds, starts)

    def mean(name: str, power: int = 1) -> NDArray[np.float64]:
        summed = np.add.reduceat((points[name][here].astype(np.float64) * seconds) ** power, starts)
        return np.asarray(summed ** (1.0 / power) / total)

    counts, behind = (
        np.add.reduceat(points[name][here].astype(np.float64), starts) for name in ("gross", "background")
    )
    return {
        "at": np.add.reduceat(np.cumsum(exposure)[here], starts) / np.diff(np.r_[starts, here.size]), "number": number[starts],
        "flux": mean("flux"), "error": mean("flux_err", 2), "gross": counts / total, "gross_err": np.sqrt(counts) / total,
        "net": mean("net"), "net_err": mean("net_err", 2), "background": behind / total,
    }  # fmt: skip


def _panel(ax: Axes, drawn: Mapping[str, NDArray[Any]], value: str) -> None:
    scale = 1.0
    if value in ("flux", "error") and np.isfinite(drawn[value]).any():
        scale = 10.0 ** np.floor(np.log10(np.nanmax(np.abs(drawn[value])) or 1.0))
    error = drawn.get({"flux": "error", "gross": "gross_err", "net": "net_err"}.get(value, ""))
    for k, colour in enumerate(COLOURS):
        own = (drawn["number"] - 1) % len(COLOURS) == k
        spread = error[own] / scale if error is not None else None
        ax.errorbar(
            drawn["at"][own],
            drawn[value][own] / scale,
            spread,
            fmt="o",
            ms=2.5,
            color=colour,
            elinewidth=0.8,
            alpha=0.85,
        )
    unit = rf"$10^{{{np.log10(scale):.0f}}}$" "\nerg/s/cm$^2$" if value in ("flux", "error") else "count/s"
    ax.set_ylabel(f"{value}\n({unit})", fontsize=11)
    if value not in ("error", "background"):
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
