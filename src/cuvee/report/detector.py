"""What the products of one detector say, as plain arrays: its stars, its frames over time, and the stars to show.

The numbers of each frame come from the light curves of a few stars spread over the detector, one in each cell of a grid: the
store reads some hundred stars in a second, while the flux blocks of a sector are gigabytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import CuveeError
from cuvee.export import Observation, observations
from cuvee.model.flags import NO_FRAME
from cuvee.model.keys import DataId
from cuvee.quicklook import Residual, Stamp
from cuvee.quicklook.noise import relative_numbers
from cuvee.report.judge import quantiles, spread_over_noise
from cuvee.store.numbers import read_columns
from cuvee.store.references import read_reference
from cuvee.store.star_models import read_star_model
from cuvee.store.targets import read_targets
from cuvee.survey import LightCurve, Survey

__all__ = ["Shown", "Timeline", "choose_sample", "gather_stars", "gather_timeline", "pick_stars", "show_stars"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
T = TypeVar("T")

GRID = 14
"""The detector's frames are judged by the brightest star in each of this many cells squared."""
CANDIDATES = 1000
"""The most variable star is looked for among this many of the brightest."""
OWN_LIGHT = 0.5
"""Stars are compared with the noise model only where at least this share of the light is theirs."""
_MOST_VALUES = 4_000_000
_HALF_STAMP = 7
_FEWEST_GOOD = 20


@dataclass(frozen=True, slots=True)
class Timeline:
    """The frames of a detector; every array runs over all cadences from the first to the last.

    Parameters
    ----------
    cadence : int64 array, shape (n,)
        The mission's cadence numbers.
    time : float64 array, shape (n,)
        BTJD; interpolated where there is no frame.
    seen : bool array, shape (n,)
        Whether there is a frame.
    quality : int64 array, shape (n,)
        The mission's bits, each where at least half of the stars have it.
    background : float64 array, shape (3, n)
        10th, 50th and 90th percentile over the stars (e-/s/pixel).
    col, row : float64 array, shape (3, n)
        How far the stars' centroids are from where they are in the median frame: 16th, 50th and 84th percentile (px).
    offset : tuple of float
        Median of centroid less catalogue position, column and row (px).
    n_star : int
        Stars that this rests on.
    place : float64 array, shape (2, n_star)
        Where they are, column and row (px).
    each_background : float32 array, shape (n_star, n)
        The background under each of them (e-/s/pixel).
    """

    cadence: IntArray
    time: FloatArray
    seen: NDArray[np.bool_]
    quality: IntArray
    background: FloatArray
    col: FloatArray
    row: FloatArray
    offset: tuple[float, float]
    n_star: int
    place: FloatArray
    each_background: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shown:
    """A star in the gallery.

    Parameters
    ----------
    label : str
        ``B1`` is the brightest, ``V1`` varies most, ``W1`` is worst against the noise model; ``B1 W2`` is two of them.
    curve : LightCurve
        This observation of it.
    stamp : Stamp or None
        Its surroundings, where the workspace has them.
    residual : Residual or None
        What the PSF model makes of them, where there is one.
    ratio : float
        Scatter over expected noise.
    spread : float
        As `spread_over_noise` gives it.
    """

    label: str
    curve: LightCurve
    stamp: Stamp | None
    residual: Residual | None
    ratio: float
    spread: float


def gather_stars(table: Path) -> dict[str, NDArray[Any]]:
    """Read the numbers of a detector's stars; raises StoreError where they are missing or damaged."""
    return read_columns(table)


def choose_sample(stars: Mapping[str, NDArray[Any]], cells: int = GRID) -> NDArray[np.bool_]:
    """Choose the brightest usable star in each cell of a grid over the detector.

    Parameters
    ----------
    stars : mapping of str to array, each of shape (n_star,)
        ``col``, ``row``, ``mag``, ``n_good``, ``crowding``.
    cells : int
        Cells along a side.

    Returns
    -------
    bool array, shape (n_star,)
    """
    usable = (stars["n_good"] > 0) & np.isfinite(stars["col"] + stars["row"]) & ~(stars["crowding"] < OWN_LIGHT)
    chosen = np.zeros(usable.size, bool)
    if not usable.any():
        return chosen
    place = []
    for name in ("col", "row"):
        low, high = stars[name][usable].min(), stars[name][usable].max()
        scaled = cells * (stars[name] - low) / max(high - low, 1e-9)
        place.append(np.clip(np.nan_to_num(scaled), 0, cells - 1).astype(np.int64))
    at = np.flatnonzero(usable)
    at = at[np.argsort(np.nan_to_num(stars["mag"][at], nan=np.inf), kind="stable")]
    first = np.unique((place[0] * cells + place[1])[at], return_index=True)[1]
    chosen[at[first]] = True
    return chosen


def _rows(
    survey: Survey, group: DataId, stars: Mapping[str, NDArray[Any]], which: Any, points: tuple[str, ...]
) -> Iterator[Observation]:
    """Read some stars of a detector, only the columns that are wanted."""
    series = dict(zip(stars["id"][which].tolist(), stars["series"][which].tolist(), strict=True))
    if not series:
        return
    names = ["id", "ra", "dec", "mag", "segment", "detector", "series", "col", "row", "crowding", "best"]
    table = survey.light_curves([*names, *(f"lc.{name}" for name in points)], series, group.segment, group.detector)
    for seen in observations(table):
        if seen.row["series"] == series[seen.row["id"]]:  # the same star may have been seen in another kind of file
            yield seen


def gather_timeline(survey: Survey, group: DataId, stars: Mapping[str, NDArray[Any]]) -> Timeline | None:
    """Gather what the frames of a detector are like, from the light curves of a few stars.

    Parameters
    ----------
    survey : Survey
        The workspace.
    group : DataId
        The detector.
    stars : mapping of str to array
        As `gather_stars` returns them.

    Returns
    -------
    Timeline or None
        None where no star has a point.

    Raises
    ------
    StoreError
        If the light curves are missing or damaged.
    """
    longest = int(stars["n_point"].max(initial=1))
    cells = int(np.clip(np.sqrt(_MOST_VALUES / max(longest, 1)), 3, GRID))
    points = ("time", "cadence", "quality", "flag", "background", "centroid_col", "centroid_row")
    rows = list(_rows(survey, group, stars, choose_sample(stars, cells), points))
    rows = [seen for seen in rows if seen.points["cadence"].size]
    if not rows:
        return None
    first = min(int(seen.points["cadence"].min()) for seen in rows)
    last = max(int(seen.points["cadence"].max()) for seen in rows)
    shape = (len(rows), last - first + 1)
    values = {name: np.full(shape, np.nan) for name in ("time", "background", "col", "row")}
    quality = np.zeros(shape, np.int64)
    for k, seen in enumerate(rows):
        here = (seen.points["flag"] & NO_FRAME) == 0
        at = seen.points["cadence"][here].astype(np.int64) - first
        quality[k, at] = seen.points["quality"][here]
        for name in ("time", "background"):
            values[name][k, at] = seen.points[name][here]
        for name in ("col", "row"):
            values[name][k, at] = seen.points[f"centroid_{name}"][here] - float(seen.row[name])
    time = quantiles(values["time"], (0.5,))[0]
    seen_at = np.isfinite(time)
    if not seen_at.any():
        return None
    number = np.arange(shape[1])
    # Missing frames are marked where they would have been.
    time[~seen_at] = np.interp(number[~seen_at], number[seen_at], time[seen_at])
    usual = {name: quantiles(values[name].T, (0.5,))[0] for name in ("col", "row")}
    spread = {name: quantiles(values[name] - usual[name][:, None], (0.16, 0.5, 0.84)) for name in usual}
    return Timeline(
        first + number.astype(np.int64),
        time,
        seen_at,
        _common_bits(quality, np.isfinite(values["time"])),
        quantiles(values["background"], (0.1, 0.5, 0.9)),
        spread["col"],
        spread["row"],
        (_median(usual["col"]), _median(usual["row"])),
        len(rows),
        np.array([[float(seen.row[name]) for seen in rows] for name in ("col", "row")]),
        values["background"].astype(np.float32),
    )


def _median(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _common_bits(quality: IntArray, seen: NDArray[np.bool_]) -> IntArray:
    """Return the bits that at least half of the stars have; a cosmic ray in one aperture is not the frame's."""
    count = np.maximum(seen.sum(axis=0), 1)
    common = np.zeros(quality.shape[1], np.int64)
    for bit in range(int(np.bitwise_or.reduce(quality, axis=None)).bit_length()):
        have = ((quality >> bit & 1 == 1) & seen).sum(axis=0)
        common |= np.where(2 * have >= count, 1 << bit, 0) * (have > 0)
    return common


def pick_stars(
    survey: Survey, group: DataId, stars: Mapping[str, NDArray[Any]], each: int
) -> list[tuple[str, int, float]]:
    """Pick the stars of the gallery: the brightest, the most variable, and the worst against the noise model.

    Parameters
    ----------
    survey : Survey
        The workspace.
    group : DataId
        The detector.
    stars : mapping of str to array
        As `gather_stars` returns them.
    each : int
        How many of each; a star may be more than one of them.

    Returns
    -------
    list of (labels, place in ``stars``, spread over noise)
    """
    usable = (stars["n_good"] >= _FEWEST_GOOD) & (stars["flux"] > 0.0)
    own = usable & ~(stars["crowding"] < OWN_LIGHT)
    scatter, expected = relative_numbers(stars)
    ratio = np.where(own, scatter / expected, np.nan)
    by_mag = np.argsort(np.nan_to_num(stars["mag"], nan=np.inf), kind="stable")
    place = {int(star): k for k, star in enumerate(stars["id"].tolist())}
    spread = np.full(usable.size, np.nan)
    candidates = np.zeros(usable.size, bool)
    candidates[by_mag[own[by_mag]][:CANDIDATES]] = True
    for seen in _rows(survey, group, stars, candidates, ("time", "quality", "flag", "flux")):
        curve = _curve(survey.instrument, seen)
        spread[place[curve.id]] = spread_over_noise(curve.flux, curve.good)
    orders = {
        "B": by_mag[usable[by_mag]],
        "V": np.argsort(-np.nan_to_num(spread, nan=-np.inf), kind="stable")[: np.isfinite(spread).sum()],
        "W": np.argsort(-np.nan_to_num(ratio, nan=-np.inf), kind="stable")[: np.isfinite(ratio).sum()],
    }
    labels: dict[int, list[str]] = {}
    for letter, order in orders.items():
        for n, k in enumerate(order[:each].tolist(), 1):
            labels.setdefault(k, []).append(f"{letter}{n}")
    return [(" ".join(names), k, float(spread[k])) for k, names in labels.items()]


def _curve(instrument: str, seen: Observation) -> LightCurve:
    row = seen.row
    observation = np.zeros(seen.points["time"].size, np.int64)
    facts = (int(row["id"]), float(row["ra"]), float(row["dec"]), float(row["mag"]))
    return LightCurve(instrument, *facts, (row,), observation, dict(seen.points))


def show_stars(
    survey: Survey,
    group: DataId,
    stars: Mapping[str, NDArray[Any]],
    picked: list[tuple[str, int, float]],
    references: Mapping[DataId, Path],
    models: Mapping[DataId, Path],
) -> list[Shown]:
    """Fetch light curves and surroundings of the stars that were picked.

    Parameters
    ----------
    survey : Survey
        The workspace.
    group : DataId
        The detector.
    stars : mapping of str to array
        As `gather_stars` returns them.
    picked : list
        From `pick_stars`.
    references, models : mapping of DataId to Path
        Reference image of each series, and PRF and stars of those that have PSF fluxes.

    Returns
    -------
    list of Shown
        In the order of ``picked``.
    """
    which = np.zeros(stars["id"].size, bool)
    which[[k for _, k, _ in picked]] = True
    points = ("time", "cadence", "quality", "flag", "flux", "flux_err")
    curves = {
        int(seen.row["id"]): _curve(survey.instrument, seen) for seen in _rows(survey, group, stars, which, points)
    }
    scatter, expected = relative_numbers(stars)
    targets = _there(read_targets, survey.paths.targets(group))
    image = cache(partial(_there, read_reference))
    model = cache(partial(_there, read_star_model))
    shown = []
    for label, k, spread in picked:
        curve = curves.get(int(stars["id"][k]))
        if curve is not None:
            series = DataId(*group[:4], str(curve.observations[0]["series"]))
            reference = image(references[series]) if series in references else None
            # Only a circle has a known share of light; a given mask has no shape here.
            best = str(curve.observations[0]["best"]) if np.isfinite(stars["crowding"][k]) else "mask"
            stamp = residual = None
            if reference is not None and targets is not None:
                stamp = Stamp.cut(reference, targets, curve.id, best, _HALF_STAMP)
            fitted = model(models[series]) if series in models else None
            if reference is not None and fitted is not None:
                place = (float(stars["col"][k]), float(stars["row"][k]))
                residual = Residual.around(fitted, reference, curve.id, *place, _HALF_STAMP)
            shown.append(Shown(label, curve, stamp, residual, float(scatter[k] / expected[k]), spread))
    return shown


def _there(read: Callable[[Path], T], path: Path) -> T | None:
    """Read a product, or return None: images may have been cleared away, and the light curve stands without."""
    try:
        return read(path)
    except CuveeError:
        return None
