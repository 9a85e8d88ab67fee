"""The sky map: where the stars are, and the detectors over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from cuvee.catalog.project import read_wcs
from cuvee.errors import BadData
from cuvee.model.records import Footprint
from cuvee.quicklook.style import BLACK, BLUE, GREY, VERMILION, styled

__all__ = ["MOST_STARS", "Outline", "figure_sky", "outline_of", "pixel_size", "sky_centre"]

FloatArray = NDArray[np.float64]
_SAMPLES = 25
MOST_STARS = 20_000
"""More than these on one map would be black."""
_SMALLEST = 0.05
"""Half the side of the smallest map (deg)."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The edge of a detector or stamp on the sky.

    Parameters
    ----------
    name : str
        Written beside it; empty for none.
    ra, dec : float64 array, shape (n,)
        Points along it (deg, ICRS), closed.
    """

    name: str
    ra: FloatArray
    dec: FloatArray


def outline_of(footprint: Footprint, name: str = "") -> Outline | None:
    """Return the edge of a series' pixels on the sky, or None where its WCS does not say."""
    if not footprint.wcs:
        return None
    place = footprint.geometry
    t = np.linspace(0.0, 1.0, _SAMPLES)
    low, high = place.row0 - 0.5, place.row0 + place.n_row - 0.5
    left, right = place.col0 - 0.5, place.col0 + place.n_col - 0.5
    across, up, one = left + t * (right - left), low + t * (high - low), np.ones_like(t)
    col = np.concatenate([across, right * one, across[::-1], left * one])
    row = np.concatenate([low * one, up, high * one, up[::-1]])
    try:
        ra, dec = read_wcs(footprint).all_pix2world(col, row, 0, ra_dec_order=True)
    except BadData:
        return None
    return Outline(name, np.asarray(ra), np.asarray(dec)) if np.isfinite(ra + dec).all() else None


def pixel_size(footprint: Footprint) -> float:
    """Return the side of a pixel (arcsec) in the middle of a series; NaN where its WCS does not say."""
    if not footprint.wcs:
        return float("nan")
    place = footprint.geometry
    col, row = place.col0 + 0.5 * (place.n_col - 1), place.row0 + 0.5 * (place.n_row - 1)
    corners = np.array([[col, row]]) + np.array([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5]])
    try:
        ra, dec = read_wcs(footprint).all_pix2world(corners[:, 0], corners[:, 1], 0, ra_dec_order=True)
    except BadData:
        return float("nan")
    vectors = _vectors(np.asarray(ra), np.asarray(dec))
    area = np.linalg.norm(np.cross(vectors[1] - vectors[0], vectors[2] - vectors[0]))
    return float(np.degrees(np.sqrt(area)) * 3600.0)


def _vectors(ra: FloatArray, dec: FloatArray) -> FloatArray:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def sky_centre(ra: FloatArray, dec: FloatArray) -> tuple[float, float]:
    """Return the direction in the middle of some positions (deg); RA 0 and the poles are nothing special."""
    mean = _vectors(ra, dec).mean(axis=0)
    if np.linalg.norm(mean) < 1e-9:
        return 0.0, 0.0
    return (
        float(np.degrees(np.arctan2(mean[1], mean[0])) % 360.0),
        float(np.degrees(np.arctan2(mean[2], np.hypot(mean[0], mean[1])))),
    )


def _equal_area(centre: tuple[float, float]) -> Any:
    """Return a WCS whose pixels are degrees, 0 at the centre, east to the left: the zenithal equal-area projection.

    References
    ----------
    Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.7.
    """
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---ZEA", "DEC--ZEA"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = list(centre)
    wcs.wcs.crpix = [1.0, 1.0]
    wcs.wcs.cdelt = [-1.0, 1.0]
    wcs.wcs.lonpole = 180.0
    wcs.wcs.set()
    return wcs


@styled
def figure_sky(
    ra: FloatArray,
    dec: FloatArray,
    mag: FloatArray,
    outlines: Sequence[Outline] = (),
    marks: Sequence[tuple[str, float, float]] = (),
    title: str = "",
    band: str = "magnitude",
) -> Figure:
    """Draw stars as a chart, brighter ones larger, with the outlines of detectors; north is up, east to the left.

    Parameters
    ----------
    ra, dec, mag : float64 array, shape (n_star,)
        Positions (deg, ICRS) and magnitudes.
    outlines : sequence of Outline
        Detectors or stamps.
    marks : sequence of (name, ra, dec)
        Stars to name.
    title : str
        Of what.
    band : str
        What to call the magnitude.

    Returns
    -------
    Figure
    """
    every_ra = np.concatenate([ra, *(edge.ra for edge in outlines)])
    every_dec = np.concatenate([dec, *(edge.dec for edge in outlines)])
    wcs = _equal_area(sky_centre(every_ra, every_dec))
    x, y = (np.asarray(values) for values in wcs.wcs_world2pix(every_ra, every_dec, 0))
    height = 7.0
    width = height * float(np.clip(np.ptp(x) / max(np.ptp(y), 1e-9), 1.15, 1.7))
    across, up = 1.25 + width + 1.75, 8.5
    figure = Figure(figsize=(across, up))
    figure.text(0.25 / across, 1.0 - 0.12 / up, title or "Stars on the sky", fontsize=19, fontweight="bold", va="top")
    ax: Any = figure.add_axes((1.25 / across, 0.8 / up, width / across, height / up), projection=wcs)
    middle = (0.5 * (x.min() + x.max()), 0.5 * (y.min() + y.max()))
    half = max(0.54 * np.ptp(y), 0.54 * np.ptp(x) * height / width, _SMALLEST)
    ax.set_xlim(middle[0] - half * width / height, middle[0] + half * width / height)
    ax.set_ylim(middle[1] - half, middle[1] + half)
    for edge in outlines:
        ex, ey = wcs.wcs_world2pix(edge.ra, edge.dec, 0)
        ax.plot(ex, ey, color=VERMILION, linewidth=2.2 if len(outlines) < 60 else 1.0, zorder=4)
        if edge.name:
            ax.text(
                np.mean(ex),
                np.mean(ey),
                edge.name,
                ha="center",
                va="center",
                fontsize=14,
                fontweight="bold",
                color=VERMILION,
                path_effects=[withStroke(linewidth=4.0, foreground="white")],
                zorder=6,
            )
    _draw_stars(ax, x[: ra.size], y[: ra.size], mag, band)
    _draw_marks(ax, wcs, marks)
    _grid(ax)
    return figure


def _draw_stars(ax: Any, x: FloatArray, y: FloatArray, mag: FloatArray, band: str) -> None:
    """Draw the stars and a scale of sizes; of very many, the brighter ones."""
    known = np.nan_to_num(mag, nan=float(np.nanmax(mag)) if np.isfinite(mag).any() else 0.0)
    brightest = np.argsort(known, kind="stable")[:MOST_STARS]
    if brightest.size == 0:
        return
    faint = float(known[brightest].max())
    crowd = float(np.clip(1500.0 / brightest.size, 0.12, 1.0))

    def size(of: Any) -> Any:
        return np.clip(1.2 + 14.0 * crowd * np.maximum(faint - np.asarray(of), 0.0) ** 1.35, 1.0, 260.0)

    ax.scatter(
        x[brightest],
        y[brightest],
        s=size(known[brightest]),
        color=BLACK,
        alpha=0.75,
        linewidths=0.25,
        edgecolors="white",
        rasterized=True,
        zorder=3,
    )
    steps = np.unique(np.round(np.linspace(known[brightest].min(), faint, 5)))
    handles = [
        Line2D(
            [],
            [],
            ls="none",
            marker="o",
            color=BLACK,
            markeredgewidth=0.0,
            markersize=float(np.sqrt(size(step))),
            label=f"{step:.0f}",
        )
        for step in steps
    ]
    chart = ax.legend(
        handles=handles, title=band, loc="upper left", bbox_to_anchor=(1.005, 1.0), labelspacing=0.9, borderaxespad=0.0
    )
    chart.get_title().set_fontsize(12.5)


def _draw_marks(ax: Any, wcs: Any, marks: Sequence[tuple[str, float, float]]) -> None:
    outlined = [withStroke(linewidth=3.5, foreground="white")]
    places = [tuple(float(value) for value in wcs.wcs_world2pix(ra, dec, 0)) for _, ra, dec in marks]
    rings = [_points(ax, at) for at in places]
    taken = [(x - 8.0, y - 8.0, x + 8.0, y + 8.0) for x, y in rings]
    for (name, _, _), at, ring in zip(marks, places, rings, strict=True):
        away, side = _room(ring, 9.5 * len(name), taken)
        ax.plot(*at, "o", markersize=13, markerfacecolor="none", markeredgecolor=BLUE, markeredgewidth=2.0, zorder=6)
        ax.annotate(
            name,
            at,
            xytext=away,
            textcoords="offset points",
            ha=side,
            color=BLUE,
            fontsize=14,
            fontweight="bold",
            path_effects=outlined,
            zorder=7,
        )


def _points(ax: Any, at: tuple[float, ...]) -> tuple[float, float]:
    """Return where a position lies on the figure, in points from its lower left corner."""
    across, up = (72.0 * size for size in ax.figure.get_size_inches())
    box = ax.get_position()
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    x = across * (box.x0 + box.width * (at[0] - left) / (right - left))
    y = up * (box.y0 + box.height * (at[1] - low) / (high - low))
    return x, y


def _room(
    ring: tuple[float, float], width: float, taken: list[tuple[float, float, float, float]]
) -> tuple[tuple[float, float], str]:
    """Choose the corner of a ring where its name meets no other, nor a ring; the upper right where it can."""
    x, y = ring
    corners = (((9.0, 7.0), "left"), ((-9.0, 7.0), "right"), ((9.0, -17.0), "left"), ((-9.0, -17.0), "right"))
    places = []
    for (dx, dy), side in corners:
        start = x + dx - (width if side == "right" else 0.0)
        places.append((start, y + dy, start + width, y + dy + 12.0))
    free = [all(a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1] for b in taken) for a in places]
    best = free.index(True) if any(free) else 0
    taken.append(places[best])
    return corners[best]


def _grid(ax: Any) -> None:
    ax.coords.grid(visible=True, color=GREY, alpha=0.45, linewidth=0.8)
    for axis, word in zip(ax.coords, ("right ascension", "declination"), strict=True):
        axis.set_major_formatter("d.d" if np.ptp(ax.get_ylim()) < 5.0 else "d")
        axis.set_axislabel(f"{word} (deg, ICRS)", fontsize=15)
        axis.set_ticks(number=6)
        axis.set_ticklabel(size=13, exclude_overlapping=True)
