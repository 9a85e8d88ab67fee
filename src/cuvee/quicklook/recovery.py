"""The picture of a simulation: what was put in against what came out, and some of the light curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from cuvee.quicklook.fold import draw_folded
from cuvee.quicklook.style import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION, place, slide, styled

__all__ = ["Example", "Injection", "figure_recovery"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Injection:
    """Signals of one kind; every array has shape (n_star,).

    Parameters
    ----------
    kind : str
        What they are, in the plural: ``transits``, ``sinusoids``.
    injected : float64 array
        True depth or semi-amplitude relative to the star's flux.
    recovered, error : float64 array
        What the light curves give back, and its error; NaN where nothing was found.
    """

    kind: str
    injected: FloatArray
    recovered: FloatArray
    error: FloatArray


@dataclass(frozen=True, slots=True)
class Example:
    """One light curve of the gallery.

    Parameters
    ----------
    title : str
        What to write over it.
    time : float64 array, shape (n,)
        BTJD of good points.
    relative : float64 array, shape (n,)
        Flux over its median, less 1.
    period, epoch : float
        Days; BTJD of phase 0.
    model : tuple of two float64 arrays, optional
        Phase (-0.5 to 0.5) and relative flux of what was injected.
    """

    title: str
    time: FloatArray
    relative: FloatArray
    period: float
    epoch: float
    model: tuple[FloatArray, FloatArray] | None = None


@styled
def figure_recovery(injections: Sequence[Injection], examples: Sequence[Example] = (), title: str = "") -> Figure:
    """Draw injected against recovered amplitudes, and a gallery of folded light curves.

    Parameters
    ----------
    injections : sequence of Injection
        One a kind of signal.
    examples : sequence of Example
        Up to six light curves.
    title : str
        What the simulation is of.

    Returns
    -------
    Figure
        16:9, for a slide.
    """
    figure = slide(title or "Injected and recovered signals")
    right = 5.85 if examples else 13.0
    upper = place(figure, 1.35, right, 2.6, 6.75)
    lower = place(figure, 1.35, right, 0.8, 2.35, sharex=upper)
    for injection, colour, marker in zip(injections, (BLUE, VERMILION, GREEN), ("o", "s", "D"), strict=False):
        _draw_kind(upper, lower, injection, colour, marker)
    _finish(upper, lower)
    if any(example.model is not None for example in examples):
        words = "black: medians of what was measured; orange: what was injected"
        figure.text(6.95 / 13.33, 7.0 / 7.5, words, fontsize=12.5, color=GREY)
    for k, example in enumerate(examples[:6]):
        left, top = 6.95 + 3.6 * (k % 2), 6.6 - 2.02 * (k // 2)
        ax = place(figure, left, left + 2.4, top - 1.5, top)
        _draw_example(ax, example)
        if k >= len(examples[:6]) - 2:
            ax.set_xlabel("phase")
        else:
            ax.tick_params(labelbottom=False)
    return figure


def _draw_kind(upper: Axes, lower: Axes, injection: Injection, colour: str, marker: str) -> None:
    found = np.isfinite(injection.recovered) & (injection.recovered > 0.0)
    true, got, error = injection.injected[found], injection.recovered[found], injection.error[found]
    look: dict[str, Any] = {
        "ls": "none",
        "marker": marker,
        "color": colour,
        "markersize": 5.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
        "elinewidth": 1.0,
        "alpha": 0.85,
    }
    missing = found.size - int(found.sum())
    words = f"{found.size:,} {injection.kind}" + (f" ({missing:,} not above 0)" if missing else "")
    # On a log axis an error bar may not reach zero.
    down = np.minimum(error, 0.98 * got)
    upper.errorbar(1e6 * true, 1e6 * got, 1e6 * np.stack([down, error]), label=words, **look)
    lower.errorbar(1e6 * true, (got - true) / true, error / true, **look)


def _finish(upper: Axes, lower: Axes) -> None:
    for ax in (upper, lower):
        ax.set_xscale("log")
    upper.set_yscale("log")
    low, high = upper.get_xlim()
    upper.plot([low, high], [low, high], color=BLACK, linewidth=1.8, zorder=1, label="recovered = injected")
    upper.set_xlim(low, high)
    upper.set_ylim(0.5 * low, 2.0 * high)
    upper.legend(loc="upper left")
    upper.set_ylabel("recovered depth or semi-amplitude (ppm)")
    lower.axhline(0.0, color=BLACK, linewidth=1.8, zorder=1)
    lower.set_ylim(-0.6, 0.6)
    lower.set_ylabel("recovered /\ninjected - 1")
    lower.set_xlabel("injected depth or semi-amplitude (ppm)")
    upper.tick_params(labelbottom=False)
    for axis in (upper.xaxis, upper.yaxis, lower.xaxis):
        axis.set_major_locator(LogLocator(10.0, numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_minor_formatter(NullFormatter())


def _draw_example(ax: Axes, example: Example) -> None:
    factor, _ = draw_folded(ax, example.time, example.relative, example.period, example.epoch, small=True)
    if example.model is not None:
        phase, relative = example.model
        ax.plot(phase, factor * relative, color=ORANGE, linewidth=2.2, zorder=4)
    ax.set_title(example.title, fontsize=11.5, color=GREY)
