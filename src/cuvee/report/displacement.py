"""Where each frame points, as its PSF fluxes have it: shift, roll and scale from the flux blocks, and their picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cuvee.metrics import MAD_TO_SIGMA
from cuvee.model.flags import Bit, default_mask
from cuvee.quicklook.style import GREY, ORANGE, legend, place, slide, styled
from cuvee.report.detector import Timeline
from cuvee.report.figures import BTJD, GOOD, LEFT, OUT, RIGHT, shade, span
from cuvee.store.blocks import read_block

__all__ = [
    "Displacement",
    "Terms",
    "figure_displacement",
    "gather_displacement",
    "good_frames",
    "scatter_of",
    "terms_of",
]

FloatArray = NDArray[np.float64]
ARCSEC = 180.0 * 3600.0 / np.pi
"""Arc seconds in a radian."""
_FAR = 10.0
"""Robust standard deviations from the median that are drawn."""


@dataclass(frozen=True, slots=True)
class Displacement:
    """How the frames of a series are displaced against its reference image; every array runs over the frames that were measured.

    Parameters
    ----------
    cadence : int64 array, shape (n,)
        The mission's cadence numbers, ascending.
    coef : float64 array, shape (n, 2, n_term)
        Displacement in column and row (px): its part that is the same everywhere, and what grows with the place along columns
        and along rows, from -1 to 1 over the image; ``n_term`` is 0, 1 or 3. NaN for a frame that was left without.
    """

    cadence: NDArray[np.int64]
    coef: FloatArray


@dataclass(frozen=True, slots=True)
class Terms:
    """The displacement in terms that an astronomer knows; every array has shape (n,).

    Parameters
    ----------
    col, row : float64 array
        Shift in the middle of the image (px).
    roll : float64 array
        Rotation from columns towards rows (arcsec); NaN where only the shift was found.
    scale : float64 array
        How much farther apart the stars are (parts per million); NaN where only the shift was found.
    """

    col: FloatArray
    row: FloatArray
    roll: FloatArray
    scale: FloatArray


def gather_displacement(blocks: Iterable[Path]) -> Displacement | None:
    """Read the displacement of every frame from flux blocks.

    Parameters
    ----------
    blocks : iterable of Path
        Flux blocks of one series; those that are no longer there are left out.

    Returns
    -------
    Displacement or None
        None where no block tells of one.

    Raises
    ------
    StoreError
        If a block is damaged.
    """
    cadence: list[int] = []
    coef: list[Any] = []
    for path in blocks:
        if not path.is_file():
            continue
        block = read_block(path)
        where = block.meta.get("pointing", ())
        for number, name, one in zip(block.moments.cadence.tolist(), block.names, where, strict=False):
            if name:
                cadence.append(number)
                coef.append(one)
    n_term = max((len(one[0]) for one in coef if one is not None), default=0)
    if n_term == 0:
        return None
    nothing = [[float("nan")] * n_term] * 2
    values = np.array([nothing if one is None or len(one[0]) != n_term else one for one in coef], np.float64)
    order = np.argsort(cadence, kind="stable")
    return Displacement(np.asarray(cadence, np.int64)[order], values[order])


def terms_of(found: Displacement, n_col: int, n_row: int, half: int) -> Terms:
    """Turn coefficients into shift, roll and scale.

    With u and v from -1 to 1 along columns and rows, a small rotation by a and a stretch by s displace a star in column by
    s u W/2 - a v H/2 and in row by a u W/2 + s v H/2, where W and H are the image's size; both are taken from the mean of the two
    coefficients that tell of them.

    Parameters
    ----------
    found : Displacement
        From `gather_displacement`.
    n_col, n_row : int
        Size of the image (px).
    half : int
        Half width of a stamp (px): the place of a star is counted at the first pixel of its stamp.

    Returns
    -------
    Terms
    """
    coef = found.coef
    nothing = np.full(coef.shape[0], np.nan)
    if coef.shape[2] < 3:
        return Terms(coef[:, 0, 0], coef[:, 1, 0], nothing, nothing)
    u, v = (2.0 * (0.5 * (n - 1) - half) / n - 1.0 for n in (n_col, n_row))
    middle = coef[:, :, 0] + u * coef[:, :, 1] + v * coef[:, :, 2]
    across, up = coef[:, :, 1] / (0.5 * n_col), coef[:, :, 2] / (0.5 * n_row)
    roll = 0.5 * (across[:, 1] - up[:, 0])
    scale = 0.5 * (across[:, 0] + up[:, 1])
    return Terms(middle[:, 0], middle[:, 1], ARCSEC * roll, 1e6 * scale)


def scatter_of(values: FloatArray) -> float:
    """Return the scatter of some frames about their median, robust; NaN for none."""
    known = values[np.isfinite(values)]
    return MAD_TO_SIGMA * float(np.median(np.abs(known - np.median(known)))) if known.size else float("nan")


def good_frames(cadence: NDArray[np.int64], timeline: Timeline, bits: Sequence[Bit]) -> NDArray[np.bool_]:
    """Return which frames the mission's quality bits leave in; those that the light curves do not know are not."""
    at = cadence - timeline.cadence[0]
    inside = (at >= 0) & (at < timeline.cadence.size)
    good: NDArray[np.bool_] = inside.copy()
    good[inside] = timeline.quality[at[inside]] & default_mask(tuple(bits)) == 0
    return good


@styled
def figure_displacement(
    cadence: NDArray[np.int64],
    terms: Terms,
    timeline: Timeline,
    bits: Sequence[Bit],
    title: str = "",
) -> Figure:
    """Draw shift, roll and scale of the frames over time.

    Parameters
    ----------
    cadence : int64 array, shape (n,)
        Cadence numbers of ``terms``.
    terms : Terms
        From `terms_of`.
    timeline : Timeline
        Times and quality of the frames.
    bits : sequence of Bit
        The mission's quality bits; frames that the default mask leaves out are drawn as crosses.
    title : str
        Of what.

    Returns
    -------
    Figure
        As wide as a slide.
    """
    at = cadence - timeline.cadence[0]
    inside = (at >= 0) & (at < timeline.cadence.size)
    at = at[inside]
    time, out = timeline.time[at], ~good_frames(cadence, timeline, bits)[inside]
    panels = [("column (px)", terms.col[inside]), ("row (px)", terms.row[inside])]
    for words, values in (("roll (arcsec)", terms.roll), ("scale (ppm)", terms.scale)):
        if np.isfinite(values).any():
            panels.append((words, values[inside]))
    each = 1.5
    figure = slide(title or "Displacement of the frames", height=1.75 + each * len(panels))
    shared: dict[str, Any] = {}
    handles: dict[str, Any] = {}
    for k, (words, values) in enumerate(panels):
        bottom = 0.85 + each * (len(panels) - 1 - k)
        ax = place(figure, LEFT, RIGHT, bottom, bottom + each - 0.2, **shared)
        shared = {"sharex": ax}
        shade(ax, timeline)
        _draw_values(ax, time, values, out, handles)
        ax.set_ylabel(words.replace(" (", "\n("))
        ax.tick_params(labelbottom=k == len(panels) - 1)
    ax.set_xlim(*span(timeline))
    ax.set_xlabel(BTJD)
    legend(figure, list(handles.values()))
    return figure


def _draw_values(
    ax: Axes, time: FloatArray, values: FloatArray, out: NDArray[np.bool_], handles: dict[str, Any]
) -> None:
    """Draw one term; what lies off the chart stands at its edge, frames without a displacement below."""
    good = values[~out & np.isfinite(values)]
    good = good if good.size else values[np.isfinite(values)]
    if good.size:
        middle, reach = float(np.median(good)), _FAR * scatter_of(good)
        low, high = max(float(good.min()), middle - reach), min(float(good.max()), middle + reach)
        margin = 0.12 * (high - low) or 1e-3
        ax.set_ylim(low - margin, high + margin)
    low, high = ax.get_ylim()
    known = np.isfinite(values)
    drawn = np.clip(values, low, high)
    kinds = ((known & ~out, "frames", GOOD), (known & out, "left out by their quality", OUT))
    for which, words, look in kinds:
        beyond = which & (drawn != values)
        (line,) = ax.plot(time[which & ~beyond], values[which & ~beyond], ls="none", label=words, zorder=3, **look)
        for side, marker in ((high, "^"), (low, "v")):
            edge = {"marker": marker, "markersize": 8, "color": look["color"], "clip_on": False}
            ax.plot(time[beyond & (drawn == side)], drawn[beyond & (drawn == side)], ls="none", zorder=4, **edge)
        if beyond.any():
            line.set_label(f"{words} (▼▲: off the chart)")
        if which.any():
            handles[words] = line
    if not known.all():
        (line,) = ax.plot(
            time[~known], np.full((~known).sum(), 0.06), ls="none", marker="D", markersize=7, color=ORANGE, markeredgecolor=GREY,
            transform=ax.get_xaxis_transform(), label="frames without a displacement", zorder=5,
        )  # fmt: skip
        handles["without"] = line
    ax.axhline(0.0, color=GREY, linewidth=1.0, zorder=1)
    ax.yaxis.set_major_locator(MaxNLocator(4))
