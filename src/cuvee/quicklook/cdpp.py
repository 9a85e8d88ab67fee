"""How noisy each way of measuring is over 1 h and 6.5 h, against magnitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from cuvee.collect import light_shares
from cuvee.quicklook.methods import method_colours, method_words
from cuvee.quicklook.style import BLACK, GREY, legend, place, slide, styled

__all__ = ["HOURS", "CdppBin", "cdpp_bins", "cdpp_methods", "figure_cdpp"]

HOURS = {"1h": "1 h", "6_5h": "6.5 h"}
"""Names in the columns, and in words."""
FEWEST = 5
"""Stars that a bin of magnitude must hold."""


@dataclass(frozen=True, slots=True)
class CdppBin:
    """Stars of about one magnitude.

    Parameters
    ----------
    low, high : float
        Magnitudes from where to where.
    n_star : int
        Stars whose ``flux`` has a CDPP.
    flux : tuple of float
        Median CDPP of ``flux`` over each of `HOURS` (ppm).
    methods : tuple of tuples of float
        The same of each method; NaN where too few of these stars have one.
    """

    low: float
    high: float
    n_star: int
    flux: tuple[float, ...]
    methods: tuple[tuple[float, ...], ...]


def cdpp_methods(stars: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Return the methods that have a CDPP of some star; none in a table of an earlier version of cuvee."""
    end = "_noise_6_5h"
    return tuple(name.removesuffix(end) for name in stars if name.endswith(end) and np.isfinite(stars[name]).any())


def cdpp_bins(
    stars: Mapping[str, NDArray[Any]],
    radii: Sequence[float],
    fwhm: float,
    zero_point: float,
    width: float,
    fewest: int = FEWEST,
) -> list[CdppBin]:
    """Compare the CDPP of methods by magnitude.

    The noise of a method counts for the star's own light: it is divided by the share of that light which an aperture takes in, and by the
    star's flux after its magnitude. The measured flux would flatter apertures that are full of a neighbour's light.

    Parameters
    ----------
    stars : mapping of str to array, each of shape (n_star,)
        As `cuvee.metrics.summarise` gives them.
    radii : sequence of float
        Radii of ``aperture1``, ``aperture2``, ... (px); the PSF flux is all of a star's light.
    fwhm : float
        Full width at half maximum of a star (px).
    zero_point : float
        Magnitude of one electron a second.
    width : float
        Of the bins (mag).
    fewest : int
        Stars that a bin must hold.

    Returns
    -------
    list of CdppBin
        From bright to faint.
    """
    methods = cdpp_methods(stars)
    if not methods:
        return []
    circles = np.isfinite(stars["crowding"]).any()  # a given mask is called aperture1, too
    share = light_shares(radii, fwhm, stars.get("mask_share"))
    flux = 10.0 ** (-0.4 * (stars["mag"] - zero_point))
    relative = np.stack(
        [
            [
                1e6 * stars[f"{name}_noise_{hours}"] / (share.get(name, 1.0) if circles else 1.0) / flux
                for hours in HOURS
            ]
            for name in methods
        ]
    )
    best = np.stack([stars["best"] == name for name in methods])[:, None]
    own = np.where(best.any(axis=0), np.where(best, relative, 0.0).sum(axis=0), np.nan)
    known = np.isfinite(own).all(axis=0) & np.isfinite(flux)
    number = np.floor(np.where(known, stars["mag"], 0.0) / width).astype(np.int64)
    bins = []
    for k in np.unique(number[known]):
        here = np.flatnonzero(known & (number == k))
        if here.size >= fewest:
            bins.append(
                CdppBin(
                    float(k * width),
                    float((k + 1) * width),
                    int(here.size),
                    tuple(np.median(own[:, here], axis=1).tolist()),
                    tuple(tuple(_median(values[here], fewest) for values in one) for one in relative),
                )
            )
    return bins


def _median(values: NDArray[np.float64], fewest: int) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size >= fewest else float("nan")


@styled
def figure_cdpp(
    bins: Sequence[CdppBin],
    methods: Sequence[str],
    radii: Sequence[float] = (),
    title: str = "",
    band: str = "magnitude",
) -> Figure:
    """Draw the median CDPP of each method, and of what ``flux`` holds, against magnitude.

    Parameters
    ----------
    bins : sequence of CdppBin
        From `cdpp_bins`, from bright to faint; at least one.
    methods : sequence of str
        Their methods.
    radii : sequence of float
        Radii of the apertures (px).
    title : str
        Of what.
    band : str
        What to call the magnitude.

    Returns
    -------
    Figure
    """
    figure = slide(title or "CDPP", 5.4)
    colours = method_colours(methods)
    mag = np.array([0.5 * (one.low + one.high) for one in bins])
    left = place(figure, 1.2, 6.6, 0.75, 4.35)
    panels = (left, place(figure, 7.5, 12.9, 0.75, 4.35, sharex=left, sharey=left))
    lines: list[Any] = []
    for k, (ax, words) in enumerate(zip(panels, HOURS.values(), strict=True)):
        dashed: dict[str, Any] = {"color": BLACK, "linewidth": 2.2, "linestyle": (0, (2, 2)), "zorder": 6}
        dashed["path_effects"] = [withStroke(linewidth=4.0, foreground="white")]
        drawn = [
            ax.plot(
                mag, [one.methods[m][k] for one in bins], "o-", color=colours[name], linewidth=2.4, markersize=6.0,
                label=method_words(name, radii),
            )[0]
            for m, name in enumerate(methods)
        ]  # fmt: skip
        drawn += ax.plot(mag, [one.flux[k] for one in bins], label="what flux holds", **dashed)
        lines = lines or drawn
        ax.set_title(f"over {words}", fontsize=12.5, color=GREY)
        ax.set_xlabel(f"{band} (mag)")
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(10.0, subs=(1.0, 3.0)))
    left.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    left.yaxis.set_minor_locator(NullLocator())
    left.set_ylabel("median CDPP (ppm)")
    left.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    panels[1].tick_params(labelleft=False)
    legend(figure, lines)
    return figure
