"""Which way of measuring is best for which stars: the scatter of every aperture and of the PSF flux against magnitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from cuvee.quicklook.noise import NoiseCurve
from cuvee.quicklook.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    legend,
    place,
    slide,
    styled,
)

__all__ = ["MethodBin", "figure_methods", "method_bins", "method_colours", "method_words", "methods_of", "yardstick"]

FloatArray = NDArray[np.float64]
FEWEST = 5
"""Stars that a bin of magnitude must hold."""
_MOST = 4.0
"""Scatter over the PSF's up to which it is drawn."""
_SCATTER = "_scatter"


@dataclass(frozen=True, slots=True)
class MethodBin:
    """Stars of about one magnitude.

    Parameters
    ----------
    low, high : float
        Magnitudes from where to where.
    n_star : int
        Stars with a flux of every method.
    scatter : tuple of float
        Median scatter of each method, relative to the star's flux and divided by the share of its light that the method takes in.
    over : tuple of float
        Median of each star's scatter in each method, so divided, over that in the `yardstick`.
    best : tuple of float
        Share of the stars whose ``flux`` is each method's.
    chi2 : tuple of float
        16th, 50th and 84th percentile of the stars' median reduced chi2; NaN without PSF fluxes.
    n_cosmic_ray : int
        Points from which a cosmic ray was taken out.
    """

    low: float
    high: float
    n_star: int
    scatter: tuple[float, ...]
    over: tuple[float, ...]
    best: tuple[float, ...]
    chi2: tuple[float, float, float]
    n_cosmic_ray: int


def methods_of(stars: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Return the methods whose scatter is known: the apertures, then masks, PSF and halo; none where there are only apertures."""
    methods = tuple(name.removesuffix(_SCATTER) for name in stars if name.endswith(_SCATTER))
    return () if all(name.startswith("aperture") for name in methods) else methods


def yardstick(methods: Sequence[str]) -> str:
    """Return the method that the others are compared with: the PSF, or without it the aperture in the middle."""
    apertures = [name for name in methods if name.startswith("aperture")]
    return "psf" if "psf" in methods else apertures[(len(apertures) - 1) // 2]


def method_words(method: str, radii: Sequence[float] = ()) -> str:
    """Say what a method is: ``aperture 2 (2.5 px)``, ``PSF``, ``own mask``, ``halo``."""
    named = {"psf": "PSF", "mask": "own mask", "halo": "halo"}
    if method in named:
        return named[method]
    number = method.removeprefix("aperture")
    size = f" ({radii[int(number) - 1]:g} px)" if number.isdigit() and int(number) <= len(radii) else ""
    return f"aperture {number}{size}"


def method_bins(
    stars: Mapping[str, NDArray[Any]],
    shares: Sequence[float | FloatArray],
    zero_point: float,
    width: float,
    fewest: int = FEWEST,
) -> list[MethodBin]:
    """Compare methods by magnitude.

    The scatter of a flux is divided by the share of the star's light that it holds, and by the star's flux after its magnitude: the
    measured flux would flatter apertures that are full of a neighbour's light.

    Parameters
    ----------
    stars : mapping of str to array, each of shape (n_star,)
        As `cuvee.metrics.summarise` gives them where there is more than apertures.
    shares : sequence of float, or of float64 array of shape (n_star,)
        Share of a star's light that each of `methods_of` takes in.
    zero_point : float
        Magnitude of one electron a second.
    width : float
        Of the bins (mag).
    fewest : int
        Stars that a bin must hold.

    Returns
    -------
    list of MethodBin
        From bright to faint.
    """
    methods = methods_of(stars)
    if not methods:
        return []
    own = np.stack([stars[name + _SCATTER] / share for name, share in zip(methods, shares, strict=True)])
    flux = 10.0 ** (-0.4 * (stars["mag"] - zero_point))
    # Few stars have a halo flux; it is left out where stars are told apart by whether they have all.
    needed = own[[name != "halo" for name in methods]]
    known = np.isfinite(needed).all(axis=0) & (needed > 0.0).all(axis=0) & np.isfinite(flux)
    other = methods.index(yardstick(methods))
    number = np.floor(np.where(known, stars["mag"], 0.0) / width).astype(np.int64)
    bins = []
    for k in np.unique(number[known]):
        here = np.flatnonzero(known & (number == k))
        if here.size < fewest:
            continue
        chi2 = stars["psf_chi2"][here] if "psf_chi2" in stars else np.full(here.size, np.nan)
        quantiles = (
            np.percentile(chi2[np.isfinite(chi2)], [16.0, 50.0, 84.0]) if np.isfinite(chi2).any() else [np.nan] * 3
        )
        relative, ratio = own[:, here] / flux[here], own[:, here] / own[other, here]
        bins.append(
            MethodBin(
                float(k * width),
                float((k + 1) * width),
                int(here.size),
                tuple(_median(one) for one in relative),
                tuple(_median(one) for one in ratio),
                tuple(float(np.mean(stars["best"][here] == name)) for name in methods),
                (float(quantiles[0]), float(quantiles[1]), float(quantiles[2])),
                int(stars["n_cosmic_ray"][here].sum()) if "n_cosmic_ray" in stars else 0,
            )
        )
    return bins


def _median(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


@styled
def figure_methods(
    bins: Sequence[MethodBin],
    methods: Sequence[str],
    radii: Sequence[float] = (),
    model: NoiseCurve | None = None,
    title: str = "",
    exposure: float = 0.0,
    band: str = "magnitude",
) -> Figure:
    """Draw which method is best against magnitude.

    Parameters
    ----------
    bins : sequence of MethodBin
        From `method_bins`, from bright to faint; at least one.
    methods : sequence of str
        Their methods.
    radii : sequence of float
        Radii of the apertures (px).
    model : NoiseCurve, optional
        Noise that the PSF flux should have.
    title : str
        Of what.
    exposure : float
        Seconds of one exposure, for the axis label; 0 leaves it out.
    band : str
        What to call the magnitude.

    Returns
    -------
    Figure
        16:9, for a slide.
    """
    figure = slide(title or "Apertures, masks and the PSF")
    colours = method_colours(methods)
    mag = np.array([0.5 * (one.low + one.high) for one in bins])
    main = place(figure, 1.35, 6.75, 0.8, 6.35)
    lines = []
    outline = [withStroke(linewidth=4.5, foreground="white")]
    for k, name in enumerate(methods):
        look: dict[str, Any] = {"color": colours[name], "marker": "o", "markersize": 7.0, "linewidth": 2.4}
        if name == "psf":
            look |= {"marker": "D", "markersize": 8.0, "linewidth": 3.0, "zorder": 5, "path_effects": outline}
        lines += main.plot(mag, [1e6 * one.scatter[k] for one in bins], label=method_words(name, radii), **look)
    limits = main.get_ylim()
    main.set_yscale("log")
    if model is not None:
        dashed: dict[str, Any] = {"color": BLACK, "linewidth": 2.4, "linestyle": "--", "zorder": 6}
        lines += main.plot(model.mag, 1e6 * model.total, label="noise expected of the PSF flux", **dashed)
    low = np.nanmin(
        [1e6 * s for one in bins for s in one.scatter] + ([] if model is None else [1e6 * model.total.min()])
    )
    main.set_ylim(0.7 * low, 1.5 * limits[1])
    main.yaxis.set_major_locator(LogLocator(10.0))
    main.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    main.yaxis.set_minor_locator(NullLocator())
    main.set_ylabel(f"scatter of one {exposure:,.0f} s exposure (ppm)" if exposure else "point-to-point scatter (ppm)")
    main.set_title("median of the stars' scatter over their own flux", fontsize=12.5, color=GREY)
    main.set_xlim(bins[0].low - 0.2, bins[-1].high + 0.2)
    main.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    spans = ((4.65, 6.35), (2.7, 4.15), (0.8, 2.2)) if "psf" in methods else ((3.8, 6.35), (0.8, 3.2))
    right = [place(figure, 8.05, 13.05, bottom, top, sharex=main) for bottom, top in spans]
    _draw_ratio(right[0], mag, bins, methods, colours, method_words(yardstick(methods)))
    _draw_best(right[1], bins, methods, colours)
    if "psf" in methods:
        _draw_chi2(right[2], mag, bins)
    for ax in right[:-1]:
        ax.tick_params(labelbottom=False)
    for ax in (main, right[-1]):
        ax.set_xlabel(f"{band} (mag)")
    legend(figure, lines)
    return figure


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """Return a colour for each method, the same in all pictures."""
    usual = (SKY, BLUE, GREEN, PURPLE, ORANGE)
    apertures = [name for name in methods if name != "psf"]
    return {"psf": VERMILION, **{name: usual[k % len(usual)] for k, name in enumerate(apertures)}}


def _draw_ratio(
    ax: Axes,
    mag: FloatArray,
    bins: Sequence[MethodBin],
    methods: Sequence[str],
    colours: Mapping[str, str],
    other: str,
) -> None:
    for k, name in enumerate(methods):
        values = np.array([one.over[k] for one in bins])
        shown = np.clip(values, 1.0 / _MOST, _MOST)
        ax.plot(mag, shown, color=colours[name], linewidth=3.0 if name == "psf" else 2.4, zorder=3)
        for beyond, marker in ((values > _MOST, "^"), (values < 1.0 / _MOST, "v")):
            ax.plot(mag[beyond], shown[beyond], marker, color=colours[name], markersize=9, clip_on=False, zorder=4)
    ax.set_yscale("log")
    ends = [np.clip(value, 1.0 / _MOST, _MOST) for one in bins for value in one.over if np.isfinite(value)]
    ax.set_ylim(min(0.8, 0.95 * min(ends)), max(1.25, 1.05 * max(ends)))
    ax.yaxis.set_major_locator(FixedLocator([0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylabel(f"over that of\n{other}")
    ax.set_title(f"scatter over that of {other}: above 1 {other} wins", fontsize=12.5, color=GREY)


def _draw_best(ax: Axes, bins: Sequence[MethodBin], methods: Sequence[str], colours: Mapping[str, str]) -> None:
    left = np.array([one.low for one in bins])
    width = np.array([one.high - one.low for one in bins])
    below = np.zeros(len(bins))
    for k, name in enumerate(methods):
        share = 100.0 * np.array([one.best[k] for one in bins])
        ax.bar(left, share, width, below, align="edge", color=colours[name], edgecolor="white", linewidth=0.8)
        below += share
    ax.set_ylim(0.0, 100.0)
    ax.set_yticks([0, 50, 100], ["0", "50", "100"])
    ax.set_ylabel("stars (%)")
    ax.set_title("what flux holds, by the same colours", fontsize=12.5, color=GREY)


def _draw_chi2(ax: Axes, mag: FloatArray, bins: Sequence[MethodBin]) -> None:
    low, middle, high = np.array([one.chi2 for one in bins]).T
    ax.fill_between(mag, low, high, color=VERMILION, alpha=0.25, linewidth=0)
    ax.plot(mag, middle, color=VERMILION, linewidth=3.0)
    ax.axhline(1.0, color=BLACK, linewidth=1.6)
    ax.set_yscale("log")
    known = np.concatenate([low, middle, high])
    known = known[np.isfinite(known) & (known > 0.0)]
    bottom, top = (
        (min(0.7, 0.9 * float(known.min())), max(2.0, 1.15 * float(known.max()))) if known.size else (0.5, 2.0)
    )
    ax.set_ylim(bottom, top)
    ax.yaxis.set_major_locator(LogLocator(10.0, subs=(1.0,) if top > 100.0 * bottom else (1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylabel("reduced χ²")
    ax.set_title("of the PSF fit: median, and where two thirds lie", fontsize=12.5, color=GREY)
