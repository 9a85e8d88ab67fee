"""Pixels, what the PSF model makes of them, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cuvee.model.psf import ModelImage, StarModel
from cuvee.model.records import Reference
from cuvee.quicklook.stamp import extent_of, frame_pixels, round_ticks, stretch
from cuvee.quicklook.style import BLUE, FLUX, GREEN, GREY, VERMILION, legend, place, slide, styled

__all__ = ["Residual", "figure_residual"]

FloatArray = NDArray[np.float64]

_LEAST = 5.0
"""The colours of what is left reach at least so many errors either way."""
_UNUSED = "#C9C9C9"
_BOTTOM, _SIDE = 0.75, 3.2
"""Where the pictures stand, and how long their longer sides are (inches)."""


@dataclass(frozen=True, slots=True)
class Residual:
    """Mean pixels around a star beside the model of them; places are columns and rows in detector coordinates.

    Parameters
    ----------
    picture : ModelImage
        Pixels and model.
    target : float64 array, shape (n, 2)
        Where the star was fitted; empty where the model lacks it.
    known : float64 array, shape (n, 2)
        Other stars of the catalogue.
    found : float64 array, shape (n, 2)
        Stars that the catalogue lacks.
    """

    picture: ModelImage
    target: FloatArray
    known: FloatArray
    found: FloatArray

    @classmethod
    def around(
        cls, model: StarModel, still: Reference, star: int, col: float, row: float, half: int
    ) -> Residual | None:
        """Show the surroundings of a star.

        Parameters
        ----------
        model : StarModel
            PRF and stars; of a small stamp also the image that they were fitted to, which is shown whole.
        still : Reference
            The reference image, of which a part is shown otherwise.
        star : int
            Catalogue id of the star.
        col, row : float
            Where it is (detector px).
        half : int
            The part reaches this far from there (px).

        Returns
        -------
        Residual or None
            None where there is no pixel to show.
        """
        from cuvee.extract import model_image  # takes a while to import

        picture = model.shown or model_image(still, model, col, row, half)
        if picture is None:
            return None
        left, right, bottom, top = extent_of(picture.image, picture.col0, picture.row0)
        there = (model.col > left) & (model.col < right) & (model.row > bottom) & (model.row < top)
        places = np.column_stack([model.col, model.row])
        kinds = (model.id == star, (model.id != star) & (model.id != 0), model.id == 0)
        return cls(picture, *(places[there & kind] for kind in kinds))

    @property
    def sentence(self) -> str:
        """How much the model leaves, in words."""
        shown = self.picture
        return (
            f"left by the model: {100.0 * shown.left:.1f} % of the stars' light; root mean square "
            f"{shown.rms:.1f} errors of this mean of {shown.n_frame:,} frames, {shown.rms / np.sqrt(shown.n_frame):.1f} of one frame"
        )


@styled
def figure_residual(residual: Residual, title: str = "") -> Figure:
    """Draw pixels and model on one scale, and what is left in units of its error, with all stars of the model.

    Parameters
    ----------
    residual : Residual
        The pixels.
    title : str
        Of what.

    Returns
    -------
    Figure
        As wide as a slide.
    """
    shown = residual.picture
    n_row, n_col = shown.image.shape
    wide, high = (_SIDE * n / max(n_row, n_col) for n in (n_col, n_row))
    figure = slide(title or "Pixels and PSF model", _BOTTOM + high + 1.5)
    figure.text(
        0.25 / 13.33, 1.0 - 0.58 / figure.get_figheight(), residual.sentence, fontsize=12.5, color=GREY, va="top"
    )
    extent = extent_of(shown.image, shown.col0, shown.row0)
    norm = stretch(shown.image)
    reach = float(np.nanpercentile(np.abs(shown.pull), 99)) if np.isfinite(shown.rms) else 0.0
    reach = max(_LEAST, reach)
    panels = (
        (0.9, f"data: mean of {shown.n_frame:,} frames", shown.image, norm, "Greys"),
        (4.25, "model: stars and background", shown.light + shown.level, norm, "Greys"),
        (8.8, "data - model", shown.pull, Normalize(-reach, reach), "RdBu_r"),
    )
    for left, words, pixels, scale, colours in panels:
        ax = place(figure, left, left + wide, _BOTTOM, _BOTTOM + high)
        ax.set_facecolor(_UNUSED)
        drawn = ax.imshow(pixels, origin="lower", extent=extent, cmap=colours, norm=scale, aspect="equal")
        for places, look in ((residual.known, _KNOWN), (residual.found, _FOUND), (residual.target, _TARGET)):
            ax.plot(places[:, 0], places[:, 1], **look)
        frame_pixels(ax, extent)
        ax.set_title(words, fontsize=12.5, color=GREY)
        if left > 1.0:
            ax.tick_params(labelleft=False)
            ax.set_ylabel("")
            edge = left + wide + 0.1
            bar = figure.colorbar(drawn, cax=place(figure, edge, edge + 0.15, _BOTTOM, _BOTTOM + high))
            bar.set_label(FLUX if scale is norm else "over its error", labelpad=2.0)
            if scale is norm:
                round_ticks(bar, norm)
    labels = ("the star", "other stars of the catalogue", "stars that were found in the image")
    handles: list[Any] = [
        Line2D([], [], label=label, **look)
        for label, look, places in zip(
            labels, (_TARGET, _KNOWN, _FOUND), (residual.target, residual.known, residual.found), strict=True
        )
        if len(places)
    ]
    if not np.isfinite(shown.error).all():
        handles.append(Patch(color=_UNUSED, label="not fitted: unknown, or nearly full of charge"))
    legend(figure, handles, 0.85)
    return figure


def _mark(marker: str, colour: str, size: float) -> dict[str, Any]:
    return {
        "linestyle": "none", "marker": marker, "color": colour, "markersize": size, "markerfacecolor": "none", "markeredgewidth": 1.8,
    }  # fmt: skip


_TARGET, _KNOWN, _FOUND = _mark("+", VERMILION, 12.0), _mark("o", BLUE, 8.0), _mark("D", GREEN, 6.5)
