"""The figure of a run: how quiet its light curves are, against magnitude, with the noise they should have."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from cuvee.quicklook.noise import NoiseCurve, share_within
from cuvee.quicklook.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    legend,
    place,
    slide,
    styled,
    tidy,
)

__all__ = ["figure_scatter"]

FloatArray = NDArray[np.float64]
_FEWEST = 5
_CLOSE, _NEAR = 0.10, 0.25
"""How far from the expected noise a star's scatter may be to count as close to it, and as near it."""
_LEAST, _MOST = 0.5, 8.0
"""Range of measured over expected that is drawn."""


@styled
def figure_scatter(
    mag: FloatArray,
    scatter: FloatArray,
    model: NoiseCurve | None = None,
    crowding: FloatArray | None = None,
    expected: FloatArray | None = None,
    ids: NDArray[np.int64] | None = None,
    title: str = "",
    exposure: float = 0.0,
    label_best: int = 3,
    band: str = "magnitude",
) -> Figure:
    """Draw relative scatter against magnitude, with the noise model over it and the ratio of the two beneath.

    Parameters
    ----------
    mag : float64 array, shape (n_star,)
        Magnitude.
    scatter : float64 array, shape (n_star,)
        Point-to-point scatter over median flux.
    model : NoiseCurve, optional
        Noise and its components against magnitude, from `cuvee.quicklook.noise_curve`.
    crowding : float64 array, shape (n_star,), optional
        The star's share of the flux in its aperture; gives the colours.
    expected : float64 array, shape (n_star,), optional
        Each star's own flux error over flux; the lower panel divides by it, or by ``model`` where it is not given.
    ids : int array, shape (n_star,), optional
        Catalogue ids, to name the quietest stars.
    title : str
        What the run is of.
    exposure : float
        Seconds of one exposure, for the axis label; 0 leaves it out.
    label_best : int
        How many of the quietest stars to name.
    band : str
        What to call the magnitude.

    Returns
    -------
    Figure
        16:9, for a slide.
    """
    figure = slide(title or "Scatter of the light curves")
    ratio = _ratio(mag, scatter, model, expected)
    shown = np.isfinite(mag) & np.isfinite(scatter) & (scatter > 0.0)
    right = 11.9 if crowding is not None else 13.0
    ax = place(figure, 1.35, right, 0.8 if ratio is None else 2.85, 6.65)
    lower = None if ratio is None else place(figure, 1.35, right, 0.8, 2.4, sharex=ax)
    colours = None if crowding is None else np.clip(np.nan_to_num(crowding, nan=1.0), 0.0, 1.0)[shown]
    size = float(np.clip(3.0e4 / max(1, shown.sum()), 2.0, 40.0))
    ppm = 1e6 * scatter
    look: dict[str, Any] = {
        "s": size,
        "linewidths": 0.0,
        "rasterized": True,
        "cmap": "viridis_r",
        "vmin": 0.0,
        "vmax": 1.0,
    }
    if colours is None:
        look = {"s": size, "linewidths": 0.0, "rasterized": True, "color": BLUE}
    points = ax.scatter(mag[shown], ppm[shown], c=colours, alpha=0.75, **look)
    if colours is not None:
        bar = figure.colorbar(points, cax=place(figure, 12.1, 12.3, 0.8, 6.65))
        bar.set_label("the star's share of the light in its aperture")
        if bar.solids is not None:
            bar.solids.set_alpha(1.0)
    ax.set_yscale("log")
    if shown.any():
        _frame(ax, mag[shown], ppm[shown], None if model is None else 1e6 * model.total)
    lines = _draw_medians(ax, mag[shown], ppm[shown])
    if model is not None:
        lines += _draw_model(ax, model)
    if lines:
        legend(figure, lines)
    words = [f"{shown.sum():,} star{'' if shown.sum() == 1 else 's'}"]
    if ids is not None:
        words += _name_best(ax, mag, ppm, ids, shown, label_best)
    ax.text(0.99, 0.04, "\n".join(words), transform=ax.transAxes, ha="right", fontsize=13, linespacing=1.4)
    what = f"scatter of one {exposure:,.0f} s exposure (ppm)" if exposure else "point-to-point scatter (ppm)"
    ax.set_ylabel(what, fontsize=12.5)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    last = ax
    if lower is not None and ratio is not None:
        _draw_ratio(lower, mag[shown], ratio[shown], colours, look)
        lower.set_title(_share_words(ratio), fontsize=12.5, color=GREY)
        last = lower
        ax.tick_params(labelbottom=False)
    last.set_xlabel(f"{band} (mag)")
    tidy(ax)
    return figure


def _ratio(
    mag: FloatArray, scatter: FloatArray, model: NoiseCurve | None, expected: FloatArray | None
) -> FloatArray | None:
    if expected is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(scatter / expected)
    if model is not None:
        return np.asarray(scatter / np.exp(np.interp(mag, model.mag, np.log(model.total))))
    return None


def _frame(ax: Axes, mag: FloatArray, ppm: FloatArray, expected: FloatArray | None) -> None:
    low, high = np.percentile(ppm, [0.1, 99.8])
    if expected is not None:
        low, high = min(low, float(expected.min())), max(high, float(expected.max()))
    ax.set_ylim(0.5 * low, 2.0 * high)
    ax.set_xlim(float(mag.min()) - 0.3, float(mag.max()) + 0.3)
    steps = (1.0,) if high > 100.0 * low else (1.0, 2.0, 5.0)
    ax.yaxis.set_major_locator(LogLocator(10.0, subs=steps, numticks=12))


def _medians(mag: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return centre and median of half-magnitude bins that hold enough stars."""
    if mag.size == 0:
        return np.empty(0), np.empty(0)
    which = np.floor(2.0 * mag).astype(np.int64)
    usable = np.isfinite(values)
    bins = [k for k in np.unique(which) if np.count_nonzero(usable & (which == k)) >= _FEWEST]
    middles = [float(np.median(values[usable & (which == k)])) for k in bins]
    return np.array([0.5 * k + 0.25 for k in bins]), np.array(middles)


def _draw_medians(ax: Axes, mag: FloatArray, ppm: FloatArray) -> list[Artist]:
    centre, middle = _medians(mag, ppm)
    if not centre.size:
        return []
    drawn: list[Artist] = [*ax.plot(
        centre, middle, "o", color="white", markeredgecolor=BLACK, markeredgewidth=1.8, markersize=8, zorder=6,
        label="median in half a magnitude",
    )]  # fmt: skip
    return drawn


def _draw_model(ax: Axes, model: NoiseCurve) -> list[Artist]:
    outline = [withStroke(linewidth=4.0, foreground="white")]
    lines = (
        ("expected noise:", model.total, BLACK, "-", 2.4),
        ("the star's photons", model.photon, ORANGE, "--", 2.0),
        ("background", model.background, VERMILION, "-.", 2.0),
        ("read noise", model.read, PURPLE, ":", 2.4),
    )
    drawn: list[Artist] = []
    for words, values, colour, style, width in lines:
        order = 5.5 if style == "-" else 5.0
        drawn += ax.plot(
            model.mag,
            1e6 * values,
            color=colour,
            linestyle=style,
            linewidth=width,
            path_effects=outline,
            zorder=order,
            label=words,
        )
    return drawn


def _name_best(
    ax: Axes, mag: FloatArray, ppm: FloatArray, ids: NDArray[np.int64], shown: NDArray[np.bool_], n: int
) -> list[str]:
    """Ring the quietest stars and return their names."""
    candidates = np.flatnonzero(shown)
    best = candidates[np.argsort(ppm[candidates], kind="stable")][:n]
    ax.plot(
        mag[best],
        ppm[best],
        "o",
        markersize=15,
        markerfacecolor="none",
        markeredgecolor=GREEN,
        markeredgewidth=2.0,
        zorder=7,
    )
    return ["quietest (ringed):", *(f"{ids[i]}: {ppm[i]:,.0f} ppm" for i in best)] if best.size else []


def _draw_ratio(ax: Axes, mag: FloatArray, ratio: FloatArray, colours: FloatArray | None, look: dict[str, Any]) -> None:
    ax.axhspan(1.0 - _CLOSE, 1.0 + _CLOSE, color="#E0E0E0", linewidth=0.0, zorder=0.5)
    ax.scatter(mag, ratio, c=colours, alpha=0.75, **look)
    for beyond, edge, marker in ((ratio > _MOST, _MOST, "^"), (ratio < _LEAST, _LEAST, "v")):
        ax.plot(
            mag[beyond],
            np.full(beyond.sum(), edge),
            marker,
            color=GREY,
            markersize=5,
            markeredgewidth=0.0,
            clip_on=False,
        )
    ax.axhline(1.0, color=BLACK, linewidth=2.0)
    centre, middle = _medians(mag, ratio)
    ax.plot(centre, middle, "o", color="white", markeredgecolor=BLACK, markeredgewidth=1.8, markersize=8, zorder=6)
    ax.set_yscale("log")
    ax.set_ylim(_LEAST, _MOST)
    ax.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    ax.yaxis.set_minor_locator(LogLocator(10.0, subs=()))
    ax.set_ylabel("measured /\nexpected")
    tidy(ax)


def _share_words(ratio: FloatArray) -> str:
    """Say how many stars scatter as expected."""
    known = ratio[np.isfinite(ratio)]
    if not known.size:
        return ""
    within, far = (f"{100.0 * share_within(known, limit):.0f} %" for limit in (_CLOSE, _NEAR))
    words = f"median {np.median(known):.2f}; {within} of the stars within 10 % of the expected noise (grey), {far} within 25 %"
    return words + ("; ▼▲: off the chart" if ((known > _MOST) | (known < _LEAST)).any() else "")
