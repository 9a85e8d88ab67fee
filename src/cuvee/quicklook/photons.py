"""The figure of an exposure of photons: its light curve, where the events fell, its spectrum, pulse heights and cumulative counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cuvee.quicklook.style import BLUE, GREY, ORANGE, SKY, VERMILION, place, slide, styled, tidy

__all__ = ["Counted", "figure_exposure"]

MOST_POINTS = 150
"""Points that a light curve is drawn with: shorter bins are put together, for the eye."""

MOST_COLUMNS = 600

_THOUSANDS = 2000
"""Events in one step of a histogram, from which they are counted in thousands."""

MOST_LETTERS = 115
"""Of the line above the light curve; longer ones are written smaller."""

Counted = tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]
"""Facts and arrays of an exposure, as `cuvee.store.photon_curves.read_exposure` returns them."""


@styled
def figure_exposure(points: Mapping[str, NDArray[Any]], counted: Counted) -> Figure:
    """Draw an exposure.

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
    """
    facts, arrays = counted
    instrument, detector, grating, cenwave, aperture = [*facts["setting"], "", "", "", "", ""][:5]
    words = " ".join(word for word in (instrument, detector, grating, cenwave, aperture) if word)
    figure = slide(f"{facts['target']}   {words}   {facts['rootname']}")
    _light_curve(place(figure, 1.15, 12.95, 4.35, 6.6), points, facts, arrays["blocks"])
    has_places = arrays[f"{facts['segments'][0]}.wavelength"].size > 1
    has_pulses = any(arrays[f"{name}.pulses"].any() for name in facts["segments"])
    right = 8.35 if has_pulses else 10.85
    if has_places:
        _image(place(figure, 1.15, 4.35, 0.75, 3.35), facts["segments"], arrays)
        _spectrum(place(figure, 5.35, right, 0.75, 3.35), facts, arrays)
    if has_pulses:
        _pulses(place(figure, 9.15 if has_places else 1.15, 10.85, 0.75, 3.35), facts, arrays)
    _cumulative(place(figure, 11.65, 12.95, 0.75, 3.35), points)
    return figure


def _together(points: Mapping[str, NDArray[Any]], names: tuple[str, str]) -> tuple[NDArray[Any], ...]:
    """Return seconds since the first bin, values and errors of bins put together for the eye, weighted by exposure."""
    exposure = points["exposure"].astype(np.float64)
    value, error = (points[name].astype(np.float64) for name in names)
    used = (exposure > 0.0) & np.isfinite(value) & np.isfinite(error)
    n = -(-used.size // MOST_POINTS)
    starts = np.arange(0, used.size, n)
    weight = np.where(used, exposure, 0.0)
    total = np.add.reduceat(weight, starts)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.add.reduceat(weight * np.nan_to_num(value), starts) / total
        spread = np.sqrt(np.add.reduceat((weight * np.nan_to_num(error)) ** 2, starts)) / total
        time = np.add.reduceat(points["time"], starts) / np.add.reduceat(np.ones(used.size), starts)
    good = total > 0.0
    return (time[good] - points["time"][0]) * 86400.0, mean[good], spread[good]


def _light_curve(
    ax: Axes, points: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], blocks: NDArray[np.int64]
) -> None:
    has_flux = bool(np.isfinite(points["flux"]).any())
    names = ("flux", "flux_err") if has_flux else ("net", "net_err")
    time, value, error = _together(points, names)
    scale = (
        10.0 ** np.floor(np.log10(np.abs(value).max()))
        if has_flux and value.size and np.abs(value).max() > 0.0
        else 1.0
    )
    step = float(np.median(np.diff(time))) if time.size > 1 else 0.0
    ax.errorbar(time, value / scale, error / scale, fmt="o", ms=3.5, color=BLUE, ecolor=SKY, elinewidth=1.0, zorder=3)
    ax.axhline(0.0, color=GREY, lw=1.0)
    ax.set_xlabel(f"seconds since BTJD {points['time'][0]:.5f}   ({step:.3g} s a point)")
    ax.set_ylabel(rf"flux ($10^{{{np.log10(scale):.0f}}}$ erg/s/cm$^2$)" if has_flux else "net rate (counts/s)")
    found = facts["statistics"]
    chance = found["constant"]
    words = [f"{found['total']:,} events in {facts['seconds']:,.0f} s"]
    if np.isfinite(chance):
        words.append(f"probability of a constant source {chance:.2g}")
    peaks = [peak for peak in facts["peaks"].values() if np.isfinite(peak[0]) and peak[2] < 0.01]
    if peaks:
        best = min(peaks, key=lambda peak: float(peak[2]))
        words.append(f"period {best[0]:.4g} s (false alarm {best[2]:.1g})")
    if not has_flux:
        words.append("no calibration: counts, no flux")
    if blocks.size:
        _blocks(ax, points, names[0], scale, blocks)
        words.append(f"{blocks.size} Bayesian block{'s' if blocks.size > 1 else ''}")
    title = "; ".join(words)
    ax.set_title(title, fontsize=min(12.5, 12.5 * MOST_LETTERS / len(title)), color=GREY)
    tidy(ax)


def _blocks(ax: Axes, points: Mapping[str, NDArray[Any]], name: str, scale: float, blocks: NDArray[np.int64]) -> None:
    """Draw Bayesian blocks, each at the mean of its bins."""
    seconds = (points["time"] - points["time"][0]) * 86400.0
    half = 0.5 * float(seconds[1] - seconds[0]) if seconds.size > 1 else 0.5
    weight = np.where(np.isfinite(points[name]), points["exposure"], 0.0).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.add.reduceat(weight * np.nan_to_num(points[name]), blocks) / np.add.reduceat(weight, blocks)
    ax.stairs(
        mean / scale,
        np.r_[seconds[blocks], seconds[-1] + 2.0 * half] - half,
        baseline=None,
        color=VERMILION,
        lw=1.6,
        zorder=4,
    )


def _image(ax: Axes, segments: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Draw the first segment's image with its regions; where others lie on the same image, with the source's of all."""
    segment = segments[0]
    image = arrays[f"{segment}.image"]
    n_col = arrays[f"{segment}.wavelength"].size
    others = [name for name in segments[1:] if not arrays[f"{name}.image"].size]
    ax.imshow(
        np.maximum(image, 0.5), norm=LogNorm(vmin=0.5, vmax=max(2.0, float(image.max()))), origin="lower", aspect="auto", cmap="Greys",
        extent=(0, n_col, 0, 4 * image.shape[0]), interpolation="nearest",
    )  # fmt: skip
    column = np.arange(n_col)
    around = []
    for name in (segment, *others):
        rows = arrays[f"{name}.rows"]
        shown = rows[1] > rows[0]
        around.append(rows[:, shown].ravel())
        for edge in rows:
            ax.plot(column[shown], edge[shown], color=BLUE, lw=0.3 if others else 1.2)
    behind = arrays[f"{segment}.behind"]
    for edge in behind.reshape(-1, n_col) if not others else ():
        ax.plot(column, edge, color=ORANGE, lw=1.2)
    shown_rows = np.concatenate([*around, behind.ravel()])
    shown_rows = shown_rows[np.isfinite(shown_rows)]
    if shown_rows.size:
        ax.set_ylim(max(0.0, shown_rows.min() - 60.0), min(4.0 * image.shape[0], shown_rows.max() + 60.0))
    ax.set_xlabel("column (px)")
    ax.set_ylabel("row (px)")
    words = f"{segment}: source (blue), background" if not others else f"{len(others) + 1} orders or stripes"
    ax.set_title(words, fontsize=12.5, color=GREY)
    ax.grid(visible=False)


def _spectrum(ax: Axes, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    by_wavelength = all((arrays[f"{name}.wavelength"] > 0.0).any() for name in facts["segments"])
    for name, colour in zip(facts["segments"], (BLUE, VERMILION, ORANGE) * 20, strict=False):
        wavelength, counts = arrays[f"{name}.wavelength"], arrays[f"{name}.spectrum"]
        used = wavelength > 0.0 if by_wavelength else np.ones(counts.size, np.bool_)
        if np.count_nonzero(used) < 2:
            continue
        x = (wavelength if by_wavelength else np.arange(counts.size, dtype=np.float64))[used]
        n = -(-x.size // MOST_COLUMNS)
        starts = np.arange(0, x.size, n)
        width = np.add.reduceat(np.abs(np.gradient(x)), starts) if by_wavelength else 1.0
        value = np.add.reduceat(counts[used], starts) / max(facts["seconds"], 1e-9) / width
        ax.step(x[starts], value, where="post", color=colour, lw=1.0, label=name)
    ax.set_xlabel("wavelength (Å)" if by_wavelength else "column (px)")
    ax.set_ylabel("counts/s/Å" if by_wavelength else "counts/s a step")
    if len(facts["segments"]) <= 3:
        ax.legend(loc="upper right", fontsize=11)
    words = "spectrum, airglow left out" if facts["reasons"]["airglow"] else "spectrum"
    ax.set_title(words, fontsize=12.5, color=GREY)
    tidy(ax)


def _pulses(ax: Axes, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    total = np.sum([arrays[f"{name}.pulses"] for name in facts["segments"]], axis=0)
    last = int(np.flatnonzero(total)[-1]) + 1 if total.any() else 1
    scale, unit = (1e3, "thousand events") if total.max() >= _THOUSANDS else (1.0, "events")
    ax.step(np.arange(max(last, 32)), total[: max(last, 32)] / scale, where="mid", color=BLUE)
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("pulse height" if last < total.size else "pulse height (up to 255)")
    ax.set_ylabel(unit)
    everywhere = arrays[f"{facts['segments'][0]}.wavelength"].size == 1
    ax.set_title("all events" if everywhere else "in source region", fontsize=12.5, color=GREY)
    tidy(ax)


def _cumulative(ax: Axes, points: Mapping[str, NDArray[Any]]) -> None:
    live = np.cumsum(np.nan_to_num(points["exposure"]).astype(np.float64))
    for name, colour, word in (("gross", BLUE, "all"), ("background", ORANGE, "background")):
        ax.plot(live, np.cumsum(np.nan_to_num(points[name]).astype(np.float64)) / 1e3, color=colour, lw=1.6, label=word)
    ax.set_ylim(0.0, 1.3 * max(ax.get_ylim()[1], 1e-3))
    ax.set_xlabel("good time (s)")
    ax.set_ylabel("thousand counts")
    ax.legend(loc="upper left", fontsize=10, handlelength=1.0)
    ax.set_title("cumulative", fontsize=12.5, color=GREY)
