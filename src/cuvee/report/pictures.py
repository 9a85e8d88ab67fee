"""Figures as text that stands inside a page."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from cuvee.quicklook.style import styled

__all__ = ["Picture", "picture"]

_ON_PAGE = 85
"""CSS pixels to an inch of a figure."""
_COLOURS = 256
"""A figure of dots and lines looks the same with so few, and is half the size."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG inside a page.

    Parameters
    ----------
    uri : str
        ``data:image/png;base64,...``
    width, height : int
        Its pixels.
    shown : int
        How wide it is on the page at most (CSS px), so that letters have one size in all pictures.
    """

    uri: str
    width: int
    height: int
    shown: int


@styled  # ticks are made only now
def picture(figure: Figure, dpi: int) -> Picture:
    """Turn a figure into a PNG of few colours; the same figure always gives the same bytes.

    Parameters
    ----------
    figure : Figure
        The figure.
    dpi : int
        Pixels an inch.

    Returns
    -------
    Picture
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.fromarray(drawn).convert("RGB")
    # Chosen to cover all colours, not by how often they occur: thin lines must keep theirs.
    few = image.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    few.save(packed, format="png", compress_level=6)
    return Picture(
        "data:image/png;base64," + b64encode(packed.getvalue()).decode("ascii"),
        *few.size,
        round(_ON_PAGE * figure.get_figwidth()),
    )
