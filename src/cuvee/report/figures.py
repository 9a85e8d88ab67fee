"""The figures that only a report has: background, quality and pointing of the frames over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from cuvee.model.flags import Bit, default_mask
from cuvee.quicklook.style import (
    BLACK,
    BLUE,
    FLUX,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    place,
    plain_numbers,
    slide,
    styled,
    tidy,
)
from cuvee.report.detector import Timeline

__all__ = [
    "BAD_FRAME",
    "BTJD",
    "GOOD",
    "LEFT",
    "OUT",
    "RIGHT",
    "figure_background",
    "figure_pointing",
    "quality_rows",
    "scaled_axis",
    "shade",
    "span",
]

FloatArray = NDArray[np.float64]
BAD_FRAME = "file cannot be used"
_MISSING = "no frame"
LEFT, RIGHT = 2.85, 12.15
"""Edges of the panels over time (inches), so that they stand below one another on the page."""
_LONG_GAP = 8
"""Missing cadences in a row from which they are shaded."""
GOOD: dict[str, Any] = {"marker": "o", "markersize": 4.0, "markeredgewidth": 0.0, "color": BLUE}
OUT: dict[str, Any] = {"marker": "x", "markersize": 7.0, "markeredgewidth": 1.8, "color": VERMILION}
"""How frames are drawn, and those that the default mask leaves out."""
BTJD = r"BTJD = BJD$_\mathrm{TDB}$ - 2457000 (d)"
"""What the axis of time is called."""


def quality_rows(
    timeline: Timeline, bits: Sequence[Bit], bad: Sequence[int] = ()
) -> list[tuple[str, str, bool, NDArray[np.bool_]]]:
    """Sort the frames by what is noteworthy about them.

    Parameters
    ----------
    timeline : Timeline
        The frames.
    bits : sequence of Bit
        The mission's quality bits.
    bad : sequence of int
        Cadence numbers of frames whose files cannot be used.

    Returns
    -------
    list of (name, meaning, left out, mask)
        One for each kind that occurs; ``left out`` says whether such points are outside the default mask.
    """
    broken = np.isin(timeline.cadence, np.asarray(bad, np.int64)) & ~timeline.seen
    rows = [
        (_MISSING, "the data hold nothing for this cadence", True, ~timeline.seen & ~broken),
        (BAD_FRAME, "the file is broken and was set aside; see the table of files", True, broken),
    ]
    known = 0
    for bit in bits:
        known |= bit.value
        rows.append((bit.name.replace("_", " "), bit.meaning, bit.bad, timeline.quality & bit.value != 0))
    rest = timeline.quality & ~known
    rows.append(("unknown bit", "a bit that the mission's handbook does not name", False, rest != 0))
    return [row for row in rows if row[3].any()]


def shade(ax: Axes, timeline: Timeline) -> None:
    """Shade long stretches without a frame."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ~timeline.seen, [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start >= _LONG_GAP:
            ax.axvspan(timeline.time[start], timeline.time[stop - 1], color="#EFEFEF", zorder=0, linewidth=0)


def span(timeline: Timeline) -> tuple[float, float]:
    """Return where the axis of time begins and ends."""
    low, high = float(timeline.time.min()), float(timeline.time.max())
    margin = 0.012 * (high - low) + 0.02
    return low - margin, high + margin


def _broken(time: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Leave out what is not a number, but keep the line from bridging it."""
    return time, np.where(np.isfinite(values), values, np.nan)


@styled
def figure_background(timeline: Timeline, bits: Sequence[Bit], bad: Sequence[int] = (), title: str = "") -> Figure:
    """Draw the background of each frame, and beneath it which frames are flagged or missing.

    Parameters
    ----------
    timeline : Timeline
        The frames.
    bits : sequence of Bit
        The mission's quality bits.
    bad : sequence of int
        Cadence numbers of frames whose files cannot be used.
    title : str
        Of what.

    Returns
    -------
    Figure
        As wide as a slide.
    """
    rows = quality_rows(timeline, bits, bad)
    strip = 0.34 * max(1, len(rows))
    figure = slide(title or "Background and quality", height=4.9 + strip)
    ax = place(figure, LEFT, RIGHT, 1.25 + strip, 4.2 + strip)
    shade(ax, timeline)
    low, middle, high = timeline.background
    ax.fill_between(timeline.time, low, high, color=SKY, alpha=0.35, linewidth=0, zorder=1)
    ax.plot(*_broken(timeline.time, middle), color=BLUE, linewidth=2.0, zorder=3)
    lone = np.isfinite(middle) & ~np.isfinite(np.roll(middle, 1)) & ~np.isfinite(np.roll(middle, -1))
    ax.plot(timeline.time[lone], middle[lone], ".", color=BLUE, markersize=6, zorder=3)
    _background_axis(ax, timeline.background)
    ax.set_ylabel(f"background\n({FLUX}/pixel)")
    ax.set_title(
        "line: median over the detector; band: where 80 % of it lies; grey: no frames", fontsize=12.5, color=GREY
    )
    ax.set_xlim(*span(timeline))
    ax.tick_params(labelbottom=False)
    tidy(ax)
    lower = place(figure, LEFT, RIGHT, 0.85, 0.95 + strip, sharex=ax)
    shade(lower, timeline)
    _draw_rows(lower, timeline, rows)
    lower.set_xlabel(BTJD)
    return figure


def _background_axis(ax: Axes, background: FloatArray) -> None:
    known = background[np.isfinite(background)]
    if known.size == 0:
        return
    middle = background[1][np.isfinite(background[1])]
    low, high = float(np.percentile(known, 0.2)), max(float(np.percentile(known, 99.8)), float(middle.max()))
    if low > 0.0 and high > 8.0 * low:
        ax.set_yscale("log")
        ax.set_ylim(0.8 * low, 1.25 * high)
        ax.yaxis.set_major_locator(LogLocator(10.0, subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        return
    margin = 0.1 * (high - low) or max(1.0, 0.01 * abs(high))
    ax.set_ylim(low - margin, high + margin)
    plain_numbers(ax)


def _draw_rows(ax: Axes, timeline: Timeline, rows: Sequence[tuple[str, str, bool, NDArray[np.bool_]]]) -> None:
    """Draw a line of ticks for each kind of frame, named at the left and counted at the right."""
    colours = (VERMILION, PURPLE, ORANGE, GREEN, BLUE)
    ax.set_ylim(-0.5, max(1, len(rows)) - 0.5)
    ax.invert_yaxis()
    ax.yaxis.grid(visible=False)
    ax.spines["left"].set_visible(False)
    names = []
    used = 0
    for k, (name, _, left_out, which) in enumerate(rows):
        look: dict[str, Any] = {"marker": "|", "markersize": 15, "markeredgewidth": 2.2, "color": SKY}
        if name == _MISSING:
            look["color"] = GREY
        elif name == BAD_FRAME:
            look |= {"marker": "X", "markersize": 10, "markeredgewidth": 0.0, "color": BLACK}
        elif left_out:
            look["color"] = colours[used % len(colours)]
            used += 1
        at = timeline.time[which]
        ax.plot(at, np.full(at.size, k), ls="none", clip_on=False, **look)
        ax.text(1.012, k, f"{which.sum():,}", transform=ax.get_yaxis_transform(), va="center", fontsize=13)
        names.append(name)
    ax.set_yticks(range(len(rows)), names)
    ax.tick_params(axis="y", length=0)
    if not rows:
        ax.text(0.5, 0.0, "every frame is there, and none is flagged", transform=ax.get_yaxis_transform(), ha="center", va="center", fontsize=13, color=GREY)  # fmt: skip


@styled
def figure_pointing(timeline: Timeline, bits: Sequence[Bit], pixel: float = float("nan"), title: str = "") -> Figure:
    """Draw how far the stars of each frame are from where they usually are.

    Parameters
    ----------
    timeline : Timeline
        The frames.
    bits : sequence of Bit
        The mission's quality bits; frames that the default mask leaves out are drawn as crosses.
    pixel : float
        Size of a pixel (arcsec), for the axis on the right; NaN leaves it out.
    title : str
        Of what.

    Returns
    -------
    Figure
        As wide as a slide.
    """
    figure = slide(title or "Pointing", height=5.2)
    out = timeline.quality & default_mask(tuple(bits)) != 0
    limit = _reach([timeline.col, timeline.row], timeline.seen & ~out)
    upper = place(figure, LEFT, RIGHT, 2.85, 4.5)
    lower = place(figure, LEFT, RIGHT, 0.85, 2.5, sharex=upper)
    for ax, values, word in ((upper, timeline.col, "column"), (lower, timeline.row, "row")):
        shade(ax, timeline)
        low, middle, high = values
        ax.axhline(0.0, color=GREY, linewidth=1.0, zorder=1)
        ax.fill_between(timeline.time, low, high, color=SKY, alpha=0.35, linewidth=0, zorder=1)
        for which, look in ((timeline.seen & ~out, GOOD), (timeline.seen & out, OUT)):
            inside = which & (np.abs(middle) <= limit)
            ax.plot(timeline.time[inside], middle[inside], ls="none", zorder=3, **look)
            for sign, marker in ((1.0, "^"), (-1.0, "v")):
                beyond = which & (sign * middle > limit)
                edge = {"marker": marker, "markersize": 8, "color": look["color"], "clip_on": False}
                ax.plot(timeline.time[beyond], np.full(beyond.sum(), sign * limit), ls="none", zorder=4, **edge)
        ax.set_ylim(-limit, limit)
        ax.yaxis.set_major_locator(MaxNLocator(5, symmetric=True))
        ax.set_ylabel(f"{word} (px)")
        tidy(ax)
        if np.isfinite(pixel):
            scaled_axis(ax, pixel, "(arcsec)")
    upper.set_xlim(*span(timeline))
    upper.tick_params(labelbottom=False)
    words = (
        f"median over {timeline.n_star} stars; band: where two thirds of them lie"
        if timeline.n_star > 1
        else "of the only star"
    )
    words += "; crosses: frames left out (▼▲: off the chart)" if out.any() else ""
    upper.set_title(words, fontsize=12.5, color=GREY)
    lower.set_xlabel(BTJD)
    return figure


def scaled_axis(ax: Axes, factor: float, words: str) -> None:
    """Put an axis in another unit on the right, whose numbers are ``factor`` times those on the left."""

    def there(value: Any) -> Any:
        return value * factor

    def back(value: Any) -> Any:
        return value / factor

    right = ax.secondary_yaxis("right", functions=(there, back))
    right.set_ylabel(words)
    right.spines["right"].set_visible(True)


def _reach(both: Sequence[FloatArray], good: NDArray[np.bool_]) -> float:
    """Return how far the axes must reach to show all but a few wild frames, and the bulk of the bands."""
    far = [0.0]
    for values in both:
        middle, edges = np.abs(values[1, good]), np.abs(values[[0, 2]][:, good]).ravel()
        middle, edges = middle[np.isfinite(middle)], edges[np.isfinite(edges)]
        if middle.size:
            most = float(np.percentile(middle, 99.0))
            far += [min(float(middle.max()), 3.0 * most), float(np.percentile(edges, 90.0))]
    return 1.1 * max(far) or 0.01
