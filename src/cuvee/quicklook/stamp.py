"""A star's surroundings: pixels, apertures and neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cuvee.model.records import Reference, Targets
from cuvee.quicklook.style import BLUE, FLUX, GREY, VERMILION, place, styled

__all__ = ["Stamp", "draw_stamp", "extent_of", "figure_stamp", "frame_pixels", "round_ticks", "stretch"]

_LABELLED = 8


@dataclass(frozen=True, slots=True)
class Stamp:
    """A cut-out of the reference image around a star, in detector coordinates.

    Parameters
    ----------
    image : float array, shape (n_row, n_col)
        e-/s; NaN where there is no pixel.
    col0, row0 : int
        Detector coordinates of its pixel [0, 0].
    target : tuple of float
        Column, row and magnitude of the star.
    neighbours : float64 array, shape (n, 3)
        Column, row and magnitude of the other stars.
    radii : tuple of float
        Aperture radii (px).
    best : int
        Index of the aperture that ``flux`` holds; -1 for none of these.
    """

    image: NDArray[np.float32]
    col0: int
    row0: int
    target: tuple[float, float, float]
    neighbours: NDArray[np.float64]
    radii: tuple[float, ...]
    best: int = -1

    @classmethod
    def cut(cls, reference: Reference, targets: Targets, star: int, best: str, half: int) -> Stamp | None:
        """Cut a star's surroundings out of a reference image.

        Parameters
        ----------
        reference : Reference
            The image.
        targets : Targets
            Stars on the detector.
        star : int
            Catalogue id of the one in the middle.
        best : str
            Name of its aperture, for example ``aperture2``; of another name, no circles are drawn.
        half : int
            The cut-out reaches this far from the star's pixel (px).

        Returns
        -------
        Stamp or None
            None where the star is not among the targets, or not on the image.
        """
        at = np.flatnonzero(targets.id == star)
        if at.size == 0:
            return None
        col, row, mag = (float(values[at[0]]) for values in (targets.col, targets.row, targets.mag))
        part = reference.cut(col, row, half)
        if part is None:
            return None
        near = (np.abs(targets.col - col) <= half + 0.5) & (np.abs(targets.row - row) <= half + 0.5)
        near &= targets.id != star
        neighbours = np.stack([targets.col[near], targets.row[near], targets.mag[near]], axis=1)
        index = int(best.removeprefix("aperture")) - 1 if best.removeprefix("aperture").isdigit() else -1
        radii = targets.radii if index >= 0 else ()
        return cls(part.image, part.geometry.col0, part.geometry.row0, (col, row, mag), neighbours, radii, index)


@styled
def figure_stamp(stamp: Stamp) -> Figure:
    """Draw a stamp alone and small, for a page that shows many.

    Parameters
    ----------
    stamp : Stamp
        The star's surroundings.

    Returns
    -------
    Figure
        4.2 by 2.9 inches.
    """
    figure = Figure(figsize=(4.2, 2.9))
    ax = place(figure, 0.75, 3.28, 0.5, 2.8)
    draw_stamp(ax, stamp, heading=False)
    ax.set_xlabel("column (px)", fontsize=12, labelpad=1.0)
    ax.set_ylabel("row (px)", fontsize=12, labelpad=2.0)
    for axes in figure.axes:
        axes.tick_params(labelsize=11)
    figure.axes[-1].yaxis.label.set_fontsize(12)
    return figure


def extent_of(image: NDArray[Any], col0: int, row0: int) -> tuple[float, float, float, float]:
    """Return the outer edges of an image's pixels: left, right, bottom, top (detector px)."""
    return (col0 - 0.5, col0 + image.shape[1] - 0.5, row0 - 0.5, row0 + image.shape[0] - 0.5)


def stretch(image: NDArray[Any]) -> Normalize:
    """Return the scale of an image of stars: faint ones are seen beside a bright one."""
    finite = image[np.isfinite(image)]
    low, high = (float(np.percentile(finite, 1)), float(finite.max())) if finite.size else (0.0, 1.0)
    return PowerNorm(0.35, vmin=low, vmax=max(high, low + 1.0))


def round_ticks(bar: Colorbar, norm: Normalize) -> None:
    """Give a colour bar round numbers, as many as have room on a scale that is neither linear nor logarithmic."""
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    every = np.array([k * 10.0**n for n in range(8) for k in (1, 2, 5)])
    values = every[(every >= low) & (every <= high)]
    if values.size < 3:
        values = np.array([k * 10.0**n for n in range(8) for k in range(1, 10)])
        values = values[(values >= low) & (values <= high)]
    ticks: list[float] = []
    height = -1.0
    for value, at in zip(values, np.asarray(norm(values), dtype=np.float64), strict=True):
        if at - height > 0.13:
            ticks.append(float(value))
            height = float(at)
    bar.set_ticks(ticks, labels=[f"{value:,.0f}" for value in ticks])
    bar.ax.minorticks_off()


def frame_pixels(ax: Axes, extent: tuple[float, float, float, float]) -> None:
    """Frame an image of pixels and name its axes."""
    ax.set_xlim(extent[0], extent[1])
    ax.set_ylim(extent[2], extent[3])
    ax.grid(visible=False)
    ax.set_xlabel("column (px)")
    ax.set_ylabel("row (px)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4, integer=True))
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)


def draw_stamp(ax: Axes, stamp: Stamp, heading: bool = True) -> None:
    """Draw a stamp: image with apertures, neighbours as rings that are larger the brighter they are."""
    extent = extent_of(stamp.image, stamp.col0, stamp.row0)
    norm = stretch(stamp.image)
    shown = ax.imshow(
        stamp.image,
        origin="lower",
        extent=extent,
        cmap="Greys",
        norm=norm,
        aspect="equal",
    )
    bar = ax.figure.colorbar(shown, ax=ax, pad=0.03, fraction=0.06)
    bar.set_label(f"reference image ({FLUX})")
    round_ticks(bar, norm)
    outlined = [withStroke(linewidth=3.0, foreground="white")]
    col, row, mag = stamp.target
    faintest = float(np.nanmax(stamp.neighbours[:, 2], initial=mag))
    order = np.argsort(stamp.neighbours[:, 2], kind="stable")
    labelled: list[tuple[float, float]] = []
    for k, i in enumerate(order):
        x, y, m = stamp.neighbours[i]
        size = 40.0 + 45.0 * max(0.0, faintest - m) if np.isfinite(m) else 40.0
        ax.scatter([x], [y], s=size, facecolors="none", edgecolors=BLUE, linewidths=1.8)
        if k < _LABELLED and np.isfinite(m) and all(abs(x - u) > 2.6 or abs(y - v) > 1.3 for u, v in labelled):
            labelled.append((x, y))
            ax.annotate(
                f"{m:.1f}", (x, y), xytext=(0, -4 - 0.5 * size**0.5), textcoords="offset points", ha="right" if x > extent[1] - 1.5 else "left" if x < extent[0] + 1.5 else "center", va="top",
                fontsize=11, color=BLUE, path_effects=outlined, annotation_clip=True, clip_on=True,
            )  # fmt: skip
    for k, radius in enumerate(stamp.radii):
        best = k == stamp.best
        ring = Circle(
            (col, row),
            radius,
            fill=False,
            edgecolor=VERMILION,
            linewidth=2.8 if best else 1.3,
            linestyle="-" if best else "--",
        )
        ax.add_patch(ring)
    ax.plot([col], [row], "+", color=VERMILION, markersize=11, markeredgewidth=2.0)
    frame_pixels(ax, extent)
    if heading:
        ax.set_title(
            "apertures (the best one thick), neighbours" if stamp.radii else "the star and its neighbours",
            fontsize=12.5,
            color=GREY,
        )
