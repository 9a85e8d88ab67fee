"""The figure of one star: its light curve with what was left out, folded, and its pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.model.flags import FLAGS, QUALITY, Bit, default_mask
from cuvee.quicklook.fold import draw_folded, flux_range
from cuvee.quicklook.residual import Residual, figure_residual
from cuvee.quicklook.stamp import Stamp, draw_stamp
from cuvee.quicklook.style import (
    BLUE,
    FLUX,
    GREY,
    MANY,
    PURPLE,
    VERMILION,
    legend,
    place,
    plain_numbers,
    relative_unit,
    slide,
    styled,
    tidy,
)
from cuvee.quicklook.words import detector_words, segment_words

__all__ = ["Drawable", "figure_light_curve", "figure_strip", "show_residual", "show_star"]

_GAP = 10.0
"""Days without a point after which the time axis is broken."""

FloatArray = NDArray[np.float64]


class Drawable(Protocol):
    """What a light curve must have to be drawn; `cuvee.survey.LightCurve` is one."""

    @property
    def instrument(self) -> str:
        """Name of the instrument."""

    @property
    def id(self) -> Any:
        """Its number in the catalogue."""

    @property
    def name(self) -> str:
        """What to call the star."""

    @property
    def mag(self) -> float:
        """Its magnitude."""

    @property
    def observations(self) -> Sequence[Mapping[str, Any]]:
        """The rows: segment, detector, crowding, best."""

    @property
    def observation(self) -> NDArray[np.int64]:
        """Which row each point belongs to."""

    @property
    def good(self) -> NDArray[np.bool_]:
        """The default mask."""

    @property
    def time(self) -> FloatArray:
        """BTJD."""

    @property
    def flux(self) -> NDArray[Any]:
        """e-/s."""

    @property
    def quality(self) -> NDArray[Any]:
        """The mission's bits."""

    @property
    def flag(self) -> NDArray[Any]:
        """Our bits."""


class _Surveyed(Protocol):
    def stamp(self, light_curve: Any, observation: int = 0) -> Stamp | None: ...

    def residual(self, light_curve: Any, observation: int = 0) -> Residual | None: ...


def show_star(survey: _Surveyed, light_curve: Drawable, period: float | None = None) -> Figure:
    """Draw everything about a star: light curve, folded when a period is given, and pixels where they are at hand.

    Parameters
    ----------
    survey : Survey
        Where its pixels are.
    light_curve : LightCurve
        Its light curve.
    period : float, optional
        Days.

    Returns
    -------
    Figure
    """
    return figure_light_curve(light_curve, period, survey.stamp(light_curve))


def show_residual(survey: _Surveyed, light_curve: Drawable) -> Figure:
    """Draw a star's mean pixels, the PSF model of them, and what it leaves, in its first observation that has a model.

    Parameters
    ----------
    survey : Survey
        Where its pixels are.
    light_curve : LightCurve
        Its light curve.

    Returns
    -------
    Figure

    Raises
    ------
    ConfigError
        If there is no PSF model of it.
    """
    for k, row in enumerate(light_curve.observations):
        found = survey.residual(light_curve, k)
        if found is not None:
            where = f"{_segment(light_curve.instrument, row)}, {detector_words(light_curve.instrument, str(row['detector']))}"
            return figure_residual(found, f"{light_curve.name}   {_magnitude(light_curve)}   {where}")
    raise ConfigError(
        f"There is no PSF model of star {light_curve.id}: set psf = true under [extract] and run, or see in cuvee status why none could be made."
    )


@styled
def figure_light_curve(
    lc: Drawable,
    period: float | None = None,
    stamp: Stamp | None = None,
    title: str = "",
    epoch: float | None = None,
) -> Figure:
    """Draw a light curve with its flagged points marked, and beneath it the folded light curve and the pixels, if given.

    Parameters
    ----------
    lc : LightCurve
        The light curve.
    period : float, optional
        Fold at this period (d).
    stamp : Stamp, optional
        The star's surroundings.
    title : str
        Instead of the star's name and magnitude.
    epoch : float, optional
        BTJD of phase 0; the faintest phase is put there by default.

    Returns
    -------
    Figure
        16:9, for a slide; `cuvee.quicklook.save` writes it.
    """
    figure = slide(title or f"{lc.name}   {_magnitude(lc)}", height=7.5 if period is not None else 4.6)
    top = figure.get_figheight() - 1.2
    if period is not None:
        _draw_time(figure, lc, (1.15, 12.2, 4.15, top))
        _draw_folded(figure, lc, period, 12.2 if stamp is None else 8.0, epoch)
    else:
        _draw_time(figure, lc, (1.15, 12.2 if stamp is None else 7.7, 0.75, top))
    if stamp is not None:
        draw_stamp(
            place(figure, 9.0, 11.9, 0.72, 3.1) if period is not None else place(figure, 9.5, 12.4, 0.75, top), stamp
        )
    return figure


@styled
def figure_strip(lc: Drawable) -> Figure:
    """Draw a light curve small and without a title, for a page that shows many.

    Parameters
    ----------
    lc : LightCurve
        The light curve.

    Returns
    -------
    Figure
        9.6 by 2.9 inches.
    """
    figure = Figure(figsize=(9.6, 2.9))
    _draw_time(figure, lc, (1.15, 8.65, 0.8, 2.45), heading=False)
    return figure


def _magnitude(lc: Drawable) -> str:
    band = {"tess": "T", "kepler": "Kp"}.get(lc.instrument, "mag")
    return f"{band} = {lc.mag:.2f}" if np.isfinite(lc.mag) else ""


def _draw_folded(figure: Figure, lc: Drawable, period: float, right: float, epoch: float | None) -> None:
    good = lc.good
    # Each observation has its own aperture and throughput, so each is divided by its own median.
    relative = np.full(good.size, np.nan)
    for k in range(len(lc.observations)):
        here = good & (lc.observation == k)
        if here.any():
            relative[here] = lc.flux[here] / np.median(lc.flux[here]) - 1.0
    draw_folded(place(figure, 1.15, right, 0.72, 3.1), lc.time[good], relative[good], period, epoch)


def _pieces(time: FloatArray) -> list[tuple[float, float]]:
    """Return start and stop of each stretch of time without a long gap."""
    ordered = np.sort(time[np.isfinite(time)])
    if ordered.size == 0:
        return [(0.0, 1.0)]
    breaks = np.flatnonzero(np.diff(ordered) > _GAP)
    first, last = np.append(0, breaks + 1), np.append(breaks, ordered.size - 1)
    return [(float(ordered[a]), float(ordered[b])) for a, b in zip(first, last, strict=True)]


def _names(values: NDArray[Any], bits: tuple[Bit, ...]) -> str:
    """Name the bad bits that are set, the most frequent first."""
    counts = [(int(np.count_nonzero(values & bit.value)), bit.name.replace("_", " ")) for bit in bits if bit.bad]
    names = [name for count, name in sorted(counts, reverse=True) if count]
    return ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")


def _kinds(lc: Drawable) -> Iterator[tuple[NDArray[np.bool_], str, dict[str, Any]]]:
    """Sort the points: mask, words for the legend, and how to draw them."""
    good, bits = lc.good, QUALITY.get(lc.instrument, ())
    seen = np.isfinite(lc.time) & np.isfinite(lc.flux)
    by_mission = seen & ((lc.quality & default_mask(bits)) != 0)
    by_us = seen & ~by_mission & ((lc.flag & default_mask(FLAGS)) != 0)
    size = 3.0 if good.sum() > 4000 else 4.5
    dot = {"marker": "o", "color": BLUE, "markersize": size, "markeredgewidth": 0.0, "zorder": 3}
    yield good, f"{good.sum():,} good points", dot
    large = 6.0 if by_mission.sum() + by_us.sum() < 300 else 3.5
    words = f"{by_mission.sum():,} left out, mission's quality: {_names(lc.quality[by_mission], bits)}"
    yield (
        by_mission,
        words,
        {"marker": "x", "color": VERMILION, "markersize": large, "markeredgewidth": large / 4.0, "zorder": 2},
    )
    words = f"{by_us.sum():,} left out, cuvee's flag: {_names(lc.flag[by_us], FLAGS)}"
    open_mark = {"marker": "s", "color": PURPLE, "markersize": large, "markeredgewidth": large / 4.0}
    yield by_us, words, open_mark | {"markerfacecolor": "none", "zorder": 4}


def _draw_time(figure: Figure, lc: Drawable, box: tuple[float, float, float, float], heading: bool = True) -> None:
    """Draw flux against time between the edges left, right, bottom and top (inches)."""
    first, last, bottom, top = box
    pieces = _pieces(lc.time)
    spans = np.array([stop - start for start, stop in pieces])
    widths = np.maximum(spans, 0.08 * spans.sum() or 1.0)
    edges = np.append(0.0, np.cumsum(widths / widths.sum()))
    panels: list[Axes] = []
    for left, right in pairwise(first + (last - first) * edges):
        gap = 0.12 if right < last - 0.01 else 0.0
        panels.append(place(figure, left, right - gap, bottom, top, sharey=panels[0] if panels else None))
    # Without a good point the others are all there is to look at.
    low, high = flux_range(lc.flux[lc.good if lc.good.any() else np.isfinite(lc.flux)])
    panels[0].set_ylim(low, high)
    handles = []
    for mask, words, look in _kinds(lc):
        if not mask.any():
            continue
        # Points off the chart are drawn at its edge, as arrowheads.
        inside = np.clip(lc.flux, low, high)
        beyond = mask & (inside != lc.flux)
        for ax in panels:
            (line,) = ax.plot(
                lc.time[mask & ~beyond],
                lc.flux[mask & ~beyond],
                ls="none",
                rasterized=mask.sum() > MANY,
                label=words,
                **look,
            )
            for side, marker in ((high, "^"), (low, "v")):
                at = beyond & (inside == side)
                ax.plot(
                    lc.time[at], inside[at], ls="none", **look | {"marker": marker, "markersize": 7, "clip_on": False}
                )
        if beyond.any():
            line.set_label(f"{words} (off the chart: ▼▲)")
        handles.append(line)
    lost = np.isfinite(lc.time) & ~np.isfinite(lc.flux)
    for ax in panels:
        if lost.any():
            (line,) = ax.plot(
                lc.time[lost], np.zeros(lost.sum()), "|", color=GREY, markersize=9, transform=ax.get_xaxis_transform(),
                label=f"{lost.sum():,} without a flux",
            )  # fmt: skip
    if lost.any():
        handles.append(line)
    for k, (ax, (start, stop)) in enumerate(zip(panels, pieces, strict=True)):
        margin = 0.012 * float(spans.max()) + 0.02
        ax.set_xlim(start - margin, stop + margin)
        ax.xaxis.set_major_locator(MaxNLocator(max(2, round(9 * widths[k] / widths.sum())), integer=stop - start > 2.0))
        ax.tick_params(which="both", left=k == 0, labelleft=k == 0)
        ax.spines["left"].set_visible(k == 0)
        if heading:
            tidy(ax)
            ax.set_title(_where(lc, start, stop, wide=len(pieces) == 1), fontsize=12.5, color=GREY)
    plain_numbers(panels[0])
    panels[0].set_ylabel(f"flux ({FLUX})")
    middle, height = 0.5 * (first + last) / figure.get_figwidth(), (bottom - 0.38) / figure.get_figheight()
    figure.text(middle, height, r"BTJD = BJD$_\mathrm{TDB}$ - 2457000 (d)", fontsize=15, ha="center", va="top")
    _relative_axis(panels[-1], lc)
    if handles:
        legend(figure, handles, 0.5 if heading else 0.06)


def _relative_axis(ax: Axes, lc: Drawable) -> None:
    middle = float(np.median(lc.flux[lc.good])) if lc.good.any() else 0.0
    if middle <= 0.0:
        return
    low, high = ax.get_ylim()
    factor, unit = relative_unit((high - low) / middle)

    def relative(flux: Any) -> Any:
        return factor * (flux / middle - 1.0)

    def absolute(value: Any) -> Any:
        return middle * (1.0 + value / factor)

    right = ax.secondary_yaxis("right", functions=(relative, absolute))
    right.set_ylabel(f"relative flux ({unit})")
    right.spines["right"].set_visible(True)


def _where(lc: Drawable, start: float, stop: float, wide: bool) -> str:
    """Say in words which observations lie between two times, in detail where there is room."""
    inside = (lc.time >= start) & (lc.time <= stop)
    rows = [lc.observations[k] for k in np.unique(lc.observation[inside])]
    if wide and len(rows) == 1:
        return _segment(lc.instrument, rows[0]) + _detail(lc.instrument, rows[0])
    return ", ".join(dict.fromkeys(_segment(lc.instrument, row) for row in rows))


def _segment(instrument: str, row: Mapping[str, Any]) -> str:
    return segment_words(instrument, str(row["segment"]))


def _detail(instrument: str, row: Mapping[str, Any]) -> str:
    text = f", {detector_words(instrument, str(row['detector']))}; {row['best']}".replace("aperture", "aperture ")
    share = row.get("crowding")
    if share is not None and np.isfinite(share):
        text += f", {100.0 * share:.0f} % of its light from the star"
    return text
