"""Moving objects on one detector: how many, how fast, how bright, and where they went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from cuvee.errors import BadData
from cuvee.model.instrument import Instrument
from cuvee.model.moving import Ephemerides, Tracks
from cuvee.model.records import Reference
from cuvee.moving import known_tracks
from cuvee.quicklook.style import BLUE, VERMILION, place, slide, styled, tidy
from cuvee.report.markup import Html, figure, join, number, plural, table, tag
from cuvee.report.pictures import picture
from cuvee.run.known_objects import found_tracks

__all__ = ["Passage", "moving_part", "passages_of"]

_MOST_ROWS = 40
_SAME = 3.0
"""A path that was found is that of a known object if it keeps as close to it (px, in the median)."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One path over the pixels of a series.

    Parameters
    ----------
    name : str
        The known object; empty where none is known that goes this way.
    seen : int
        Images in which it was found; 0 for a known object that was not.
    start, stop : float
        BTJD.
    speed : float
        Mean (px a day).
    flux : float
        e-/s; NaN where unknown.
    col, row : array, shape (n_node,)
        Detector coordinates.
    """

    name: str
    seen: int
    start: float
    stop: float
    speed: float
    flux: float
    col: np.ndarray
    row: np.ndarray


def passages_of(found: Tracks | None, known: Tracks | None) -> list[Passage]:
    """List the objects that cross a series, those first that were found, each once.

    Parameters
    ----------
    found, known : Tracks, optional
        Paths that were found, and those of known objects.

    Returns
    -------
    list of Passage
        Found ones by brightness, then the known ones that were not found.
    """
    ours, theirs = ([] if one is None else [_passage(one, nodes) for nodes in one.paths()] for one in (found, known))
    times = ([] if one is None else [one.time[nodes] for nodes in one.paths()] for one in (found, known))
    our_times, their_times = times
    passed: list[Passage] = []
    taken = set()
    for one, at in zip(ours, our_times, strict=True):
        name = one.name
        for k, (other, when) in enumerate(zip(theirs, their_times, strict=True)):
            both = (at >= when[0]) & (at <= when[-1])
            away = np.hypot(
                np.interp(at[both], when, other.col) - one.col[both],
                np.interp(at[both], when, other.row) - one.row[both],
            )
            if away.size and np.median(away) < _SAME:
                name = other.name
                taken.add(k)
        passed.append(Passage(name, one.seen, one.start, one.stop, one.speed, one.flux, one.col, one.row))
    passed.sort(key=lambda one: -one.flux)
    return passed + [other for k, other in enumerate(theirs) if k not in taken]


def _passage(tracks: Tracks, nodes: slice) -> Passage:
    time, col, row = tracks.time[nodes], tracks.col[nodes], tracks.row[nodes]
    speed = float(np.hypot(np.diff(col), np.diff(row)).sum() / max(time[-1] - time[0], 1e-9))
    name, seen, flux = str(tracks.name[nodes][0]), int(tracks.seen[nodes][0]), float(tracks.flux[nodes][0])
    return Passage(name, seen, float(time[0]), float(time[-1]), speed, flux, col, row)


def moving_part(
    path: Path | None,
    images: Sequence[Reference],
    known: Ephemerides | None,
    span: tuple[float, float],
    device: Instrument,
    title: str,
    dpi: int,
    anchor: str,
) -> Html:
    """Make the part of a section about moving objects; nothing where nobody has looked for them.

    Parameters
    ----------
    path : Path, optional
        The paths that were found.
    images : sequence of Reference
        Of the detector's series.
    known : Ephemerides, optional
        Known objects.
    span : tuple of float
        First and last time of the frames (BTJD).
    device : Instrument
        For its zero point.
    title : str
        The detector, for the title of the figure.
    dpi : int
        Pixels an inch of its pictures.
    anchor : str
        Of the section.

    Raises
    ------
    StoreError
        If the paths are damaged.
    """
    if path is None and known is None:
        return Html("")
    found: Mapping[str, Tracks] = {} if path is None else found_tracks(path, str(path.stat().st_mtime_ns))
    passed: list[Passage] = []
    for image in images:
        theirs = None
        if known is not None and np.isfinite(span).all() and image.wcs:
            try:
                theirs = known_tracks(known, image.footprint, image.time_ra, image.time_dec, span, device.zero_point)
            except BadData:
                theirs = None
        passed += passages_of(found.get(image.series), theirs)
    head = tag("h3", "Moving objects", id=f"{anchor}-moving")
    n_found = sum(one.seen > 0 for one in passed)
    words = f"{plural(n_found, 'object')} found by {'its' if n_found == 1 else 'their'} motion"
    if known is not None:
        named = sum(bool(one.name) for one in passed)
        words += f"; {plural(named, 'path')} of known objects, {sum(bool(one.name) and one.seen > 0 for one in passed):,} of which found"
    words += ". Points whose largest aperture one of them crosses have the flag asteroid, unless it has less light than half the point's error."
    if not passed:
        return join([head, tag("p", words)])
    rows = [
        (
            one.name or ("found" if one.seen else "known"),
            f"{one.seen:,}" if one.seen else "not found",
            f"{number(one.start, 2)} to {number(one.stop, 2)}",
            number(one.speed, 1),
            number(device.zero_point - 2.5 * float(np.log10(one.flux)), 1) if one.flux > 0.0 else number(float("nan")),
        )
        for one in passed[:_MOST_ROWS]
    ]
    caption = "Times are BTJD; the speed is the mean along the path, the magnitude that of the median of the images."
    if len(passed) > _MOST_ROWS:
        caption += f" The first {_MOST_ROWS} of {len(passed):,}."
    numbers = table(("object", "images", "from, to", "px a day", "magnitude"), rows, caption, left=3)
    drawn = picture(_figure(passed, images, f"Moving objects: {title}"), dpi)
    alt = f"Paths of {plural(len(passed), 'moving object')} over the detector, columns to the right and rows up."
    below = "Paths over the detector, columns to the right and rows up; blue were found, red are known only."
    return join([head, tag("p", words), figure(drawn, alt, below), numbers])


@styled
def _figure(passed: Sequence[Passage], images: Sequence[Reference], title: str) -> Figure:
    drawn = slide(title, 8.6)
    ax = place(drawn, 3.2, 10.9, 0.8, 8.0)
    for colour, some in (
        (VERMILION, [one for one in passed if not one.seen]),
        (BLUE, [one for one in passed if one.seen]),
    ):
        lines = [np.column_stack([one.col, one.row]) for one in some]
        ax.add_collection(LineCollection(lines, colors=colour, linewidths=1.6))
    places = [image.geometry for image in images]
    ax.set_xlim(min(p.col0 for p in places) - 0.5, max(p.col0 + p.n_col for p in places) - 0.5)
    ax.set_ylim(min(p.row0 for p in places) - 0.5, max(p.row0 + p.n_row for p in places) - 0.5)
    ax.set_aspect("equal")
    ax.set_xlabel("column (px)")
    ax.set_ylabel("row (px)")
    tidy(ax)
    return drawn
