"""The picture of a PRF: drawn in the middle and the corners of its detector, and its profile there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from cuvee.model.prf import Prf
from cuvee.prf.spline import monomials, spline_rows
from cuvee.quicklook.style import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION, place, slide, styled

__all__ = ["PrfView", "figure_prf", "noise_pixels", "sample_prf", "view_prf"]

FloatArray = NDArray[np.float64]

FINE = 6
"""Samples a pixel of the pictures."""
_RINGS, _ANGLES = 10, 24
"""Radii a pixel, and directions, of the profiles."""
_DEPTH = 1e-4
"""What is left of the peak where pictures and profiles end."""
_SIDE = 2.0
_CORNERS = ((2.22, 2.22), (0.03, 0.03), (4.42, 0.03), (0.03, 4.42), (4.42, 4.42))
"""Size of a picture, and where the five lie on their board (inches): as on a die."""
_STEPS = 16
"""Colours of the pictures: four for a factor of ten."""
_COLOURS = (BLACK, BLUE, VERMILION, GREEN, ORANGE)
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


@dataclass(frozen=True, slots=True)
class PrfView:
    """A PRF at one place on the detector.

    Parameters
    ----------
    name : str
        Where that is.
    col, row : float
        The place (detector px).
    image : float64 array, shape (n, n)
        Share of the star's light that a pixel receives whose centre lies so far from the star, `FINE` samples a pixel, rows upwards.
    reach : float
        From the star to the edge of the image (px).
    radius, profile : float64 array, shape (n_radius,)
        Distance from the star (px), and the mean over all directions.
    fwhm : float
        Full width at half maximum of the profile (px); NaN where it has none.
    """

    name: str
    col: float
    row: float
    image: FloatArray
    reach: float
    radius: FloatArray
    profile: FloatArray
    fwhm: float


def sample_prf(
    prf: Prf, col: float, row: float, dx: FloatArray, dy: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the splines along both axes, and the coefficients between them, for a star at one place.

    Parameters
    ----------
    prf : Prf
        The PRF.
    col, row : float
        Where the star is (detector px).
    dx, dy : float64 array, shape (n,) and (m,)
        Distances of pixel centres from the star (px), within the stamp.

    Returns
    -------
    across, coef, up : float64 arrays, shape (n, n_knot), (n_knot, n_knot), (m, n_knot)
        ``up @ coef @ across.T`` is the PRF on the grid, rows by columns.
    """
    phi = monomials(np.array([col]), np.array([row]), prf.order, prf.centre, prf.scale)[0]
    coef = np.tensordot(phi, prf.coef, 1)
    return spline_rows(dx, prf.knots, prf.half), coef, spline_rows(dy, prf.knots, prf.half)


def noise_pixels(prf: Prf, col: float, row: float) -> float:
    """Return how many pixels' noise is in a star's flux, 1 / sum of P^2, for a star in the middle of a pixel.

    References
    ----------
    King 1983, PASP 95, 163 (the equivalent noise area).
    """
    along = np.arange(-prf.half, prf.half + 1, dtype=np.float64)
    across, coef, up = sample_prf(prf, col, row, along, along)
    return float(1.0 / np.sum((up @ coef @ across.T) ** 2))


def view_prf(prf: Prf, name: str, col: float, row: float) -> PrfView:
    """Draw a PRF finely at one place on the detector, and measure its width there.

    Parameters
    ----------
    prf : Prf
        The PRF.
    name : str
        What to call the place.
    col, row : float
        Where it is (detector px).

    Returns
    -------
    PrfView
    """
    reach = prf.half + 0.5
    fine = (np.arange(FINE * (2 * prf.half + 1)) + 0.5) / FINE - reach
    across, coef, up = sample_prf(prf, col, row, fine, fine)
    image = up @ coef @ across.T
    radius = np.arange(_RINGS * prf.half + 1) / _RINGS
    angle = 2.0 * np.pi * np.arange(_ANGLES) / _ANGLES
    x, y = (radius[:, None] * turn for turn in (np.cos(angle), np.sin(angle)))
    across, coef, up = sample_prf(prf, col, row, x.ravel(), y.ravel())
    profile = np.einsum("ik,ik->i", up @ coef, across).reshape(x.shape).mean(axis=1)
    return PrfView(name, col, row, image, reach, radius, profile, _width(radius, profile))


def _width(radius: FloatArray, profile: FloatArray) -> float:
    """Return the full width where a profile first falls to half of its middle."""
    below = np.flatnonzero(profile < 0.5 * profile[0])
    if profile[0] <= 0.0 or below.size == 0:
        return float("nan")
    k = int(below[0])
    share = (profile[k - 1] - 0.5 * profile[0]) / (profile[k - 1] - profile[k])
    return float(2.0 * (radius[k - 1] + share * (radius[k] - radius[k - 1])))


@styled
def figure_prf(views: Sequence[PrfView], title: str = "", pixel: float = float("nan")) -> Figure:
    """Draw a PRF at up to five places, as on a die, and its profiles beside them.

    Parameters
    ----------
    views : sequence of PrfView
        The middle first, then lower left, lower right, upper left, upper right.
    title : str
        Of what.
    pixel : float
        Size of a pixel (arcsec), to give widths in that unit, too; NaN leaves it out.

    Returns
    -------
    Figure
        16:9, for a slide.
    """
    figure = slide(title or "The PRF")
    board = place(figure, 0.25, 6.7, 0.2, 6.65)
    board.set_xlim(0.0, 6.45)
    board.set_ylim(0.0, 6.45)
    board.axis("off")
    look = {"norm": LogNorm(_DEPTH, 1.0), "cmap": mpl.colormaps["viridis"].resampled(_STEPS)}
    for view, corner, colour in zip(views, _CORNERS, _COLOURS, strict=False):
        shown = _draw_stamp(board, view, corner, colour, look)
    bar = figure.colorbar(shown, cax=place(figure, 7.0, 7.17, 0.28, 6.62))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(labelsize=12.5)
    words = "over the light in its middle, at five places of the detector; circle: full width at half maximum"
    figure.text(0.3 / 13.33, 6.78 / 7.5, words, fontsize=12.5, color=GREY)
    upper = place(figure, 9.15, 13.1, 2.75, 6.65)
    lower = place(figure, 9.15, 13.1, 0.85, 2.4, sharex=upper)
    top = max(float(view.profile.max()) for view in views)
    for view, colour, dashes in zip(views, _COLOURS, _DASHES, strict=False):
        seen = view.profile > 0.1 * _DEPTH * top
        words = f"{view.name}: {view.fwhm:.2f} px" + (f" ({view.fwhm * pixel:.1f}″)" if np.isfinite(pixel) else "")
        line: Any = {"color": colour, "linestyle": dashes, "linewidth": 2.4}
        upper.plot(view.radius[seen], view.profile[seen], label=words, **line)
        both = seen & (views[0].profile > _DEPTH * top)
        lower.plot(view.radius[both], view.profile[both] / views[0].profile[both], **line)
    upper.set_yscale("log")
    upper.set_ylim(_DEPTH * top, 1.6 * top)
    upper.set_xlim(0.0, float(views[0].radius[-1]))
    upper.yaxis.set_major_locator(LogLocator(10.0))
    upper.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100.0 * value:g} %"))
    upper.yaxis.set_minor_locator(NullLocator())
    upper.set_ylabel("share of the star's light\nin a pixel")
    upper.tick_params(labelbottom=False)
    upper.legend(
        loc="upper right",
        title="full width at half maximum",
        title_fontsize=11.5,
        fontsize=11.5,
        handlelength=1.8,
        borderaxespad=0.0,
    )
    low, high = lower.get_ylim()
    reach = max(0.02, 1.0 - low, high - 1.0)
    lower.set_ylim(1.0 - reach, 1.0 + reach)
    lower.set_ylabel("over that\nin the centre")
    lower.set_xlabel("pixel's distance from the star (px)")
    return figure


def _draw_stamp(ax: Axes, view: PrfView, corner: tuple[float, float], colour: str, look: Mapping[str, Any]) -> Any:
    """Draw a view with its lower left corner at a place of the board (inches); one pair of axes for all is soon drawn."""
    left, bottom = corner
    share = np.maximum(view.image / view.image.max(), _DEPTH)
    edges = (left, left + _SIDE, bottom, bottom + _SIDE)
    shown = ax.imshow(share, origin="lower", extent=edges, interpolation="nearest", **look)
    frame: dict[str, Any] = {"fill": False, "edgecolor": colour, "linewidth": 3.5, "joinstyle": "miter"}
    ax.add_patch(Rectangle(corner, _SIDE, _SIDE, **frame))
    if np.isfinite(view.fwhm):
        middle = (left + 0.5 * _SIDE, bottom + 0.5 * _SIDE)
        radius = 0.25 * view.fwhm / view.reach * _SIDE
        ax.add_patch(Circle(middle, radius, fill=False, edgecolor=BLACK, linewidth=1.4))
    ax.text(left + 0.08, bottom + _SIDE - 0.08, view.name, va="top", color="white", fontsize=12.5)
    at = f"col {view.col:.0f}, row {view.row:.0f}"
    ax.text(left + _SIDE - 0.08, bottom + 0.09, at, ha="right", color="white", fontsize=11)
    return shown
