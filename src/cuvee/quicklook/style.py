"""How figures look, and how they are saved: for a talk, for every kind of colour vision, and always with the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoMinorLocator, StrMethodFormatter

from cuvee.errors import ConfigError
from cuvee.store.atomic import atomic_path

__all__ = [
    "BLACK",
    "BLUE",
    "FLUX",
    "GREEN",
    "GREY",
    "MANY",
    "ORANGE",
    "PURPLE",
    "SKY",
    "VERMILION",
    "legend",
    "place",
    "plain_numbers",
    "relative_unit",
    "save",
    "slide",
    "styled",
    "tidy",
]

# Okabe & Ito 2008, Color Universal Design: eight colours that all kinds of colour vision tell apart.
BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#6B6B6B"
FLUX = "e⁻/s"
"""Unit of flux, as figures write it."""
MANY = 10_000
"""Points from which dots are drawn as pixels in vector formats, too."""

_LOOK: Any = {
    "font.size": 14,
    "axes.titlesize": 14,
    "axes.titlelocation": "left",
    "axes.labelsize": 15,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.labelsize": 13,
    "ytick.labelsize": 13,
    "xtick.major.size": 5,
    "ytick.major.size": 5,
    "legend.frameon": False,
    "legend.fontsize": 12.5,
    "legend.handletextpad": 0.4,
    "figure.facecolor": "white",
    "figure.titlesize": 19,
    "figure.titleweight": "bold",
    "pdf.fonttype": 42,
    "svg.hashsalt": "cuvee",
}
_DPI = 150
# What would otherwise hold the time of writing, or the version of matplotlib.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in the house's style, whatever the user's own settings are."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_LOOK)
            return draw(*args, **kwargs)

    return drawn


def slide(title: str, height: float = 7.5) -> Figure:
    """Return an empty figure as wide as a slide (13.33 inches), with a title."""
    figure = Figure(figsize=(13.33, height))
    figure.text(0.25 / 13.33, 1.0 - 0.12 / height, title, fontsize=19, fontweight="bold", va="top")
    return figure


def place(figure: Figure, left: float, right: float, bottom: float, top: float, **sharing: Any) -> Axes:
    """Add axes whose edges lie at these inches from the figure's lower left corner; so nothing moves with the data."""
    width, height = figure.get_size_inches()
    box = (left / width, bottom / height, (right - left) / width, (top - bottom) / height)
    return figure.add_axes(box, **sharing)


def legend(figure: Figure, handles: Sequence[Artist], top: float = 0.5) -> None:
    """Put one line of words ``top`` inches below the figure's upper edge, where a title leaves room for it."""
    width, height = figure.get_size_inches()
    letters = sum(len(str(handle.get_label())) + 7 for handle in handles)
    room = 140 * width / 13.33
    figure.legend(
        handles=list(handles), loc="upper left", bbox_to_anchor=(0.1 / width, 1.0 - top / height), ncols=len(handles),
        columnspacing=1.2, borderaxespad=0.0, markerscale=1.4, fontsize=min(12.5, 12.5 * room / letters),
    )  # fmt: skip


def tidy(ax: Axes) -> None:
    """Give linear axes minor ticks without labels."""
    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "linear":
            axis.set_minor_locator(AutoMinorLocator())


def plain_numbers(ax: Axes) -> None:
    """Write the numbers of the y axis in full, not as an offset and a remainder."""
    low, high = ax.get_ylim()
    decimals = 0 if high - low > 5.0 else 1 if high - low > 0.5 else 3
    ax.yaxis.set_major_formatter(StrMethodFormatter(f"{{x:,.{decimals}f}}"))


def relative_unit(width: float) -> tuple[float, str]:
    """Choose the unit for relative numbers that spread over ``width``: the factor, and its name."""
    if width > 0.08:
        return 1e2, "%"
    return (1e3, "ppt") if width > 0.004 else (1e6, "ppm")


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically; the same figure always gives the same bytes.

    Parameters
    ----------
    figure : Figure
        The figure.
    path : Path
        Its suffix says the format: png, pdf or svg.

    Raises
    ------
    ConfigError
        If the suffix is another one.
    StoreError
        If the file cannot be written.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in _METADATA:
        raise ConfigError(f"{path} ends in no format for a picture; let it end in .png, .pdf or .svg.")
    with atomic_path(path) as temporary:
        _write(figure, temporary, form)


@styled  # ticks are made only now
def _write(figure: Figure, path: Path, form: str) -> None:
    figure.savefig(path, format=form, dpi=_DPI, metadata=_METADATA[form])
