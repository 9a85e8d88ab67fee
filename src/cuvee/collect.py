"""From blocks of frames to light curves of stars: one patch of the sky at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cuvee.errors import AlgorithmError, ConfigError, NoWork
from cuvee.metrics import median, point_to_point_scatter
from cuvee.model.flags import EDGE, FLAGS, NO_FRAME, NO_TIME, default_mask
from cuvee.model.records import FluxBlock, Geometry, LightCurves, Targets
from cuvee.model.time import earth_position, move_time
from cuvee.photometry.rounding import round_to_noise

__all__ = ["CollectParams", "SeriesFluxes", "TimeParams", "choose_aperture", "collect", "enclosed_light"]

FloatArray = NDArray[np.float64]

_SINGLE = ("background", "centroid_col", "centroid_row")


class CollectParams(BaseModel):
    """``[collect]``: how light curves are put together.

    Parameters
    ----------
    aperture : str
        What ``flux`` holds: ``best`` takes the aperture of the smallest scatter for each star, ``aperture1``,
        ``aperture2``, ... the same one for all.
    round_noise : float
        0 keeps every bit. A number N rounds fluxes and background to steps of at most their error over N (a power of two, see
        `cuvee.photometry.rounding`), so that they take less room: this adds noise of at most 0.29 / N of the error in
        quadrature, which for N = 8 is 3.6 % of it and makes it larger by 0.065 %. Errors, times, positions and flags stay exact.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    aperture: str = Field(default="best", pattern=r"^(best|aperture[1-9][0-9]*)$")
    round_noise: float = Field(default=0.0, ge=0.0, le=1e6)

    @field_validator("round_noise")
    @classmethod
    def _fine_or_none(cls, steps: float) -> float:
        if 0.0 < steps < 1.0:
            raise ValueError(
                "steps coarser than the error would lose the signal; give 0 (lossless) or at least 1, say 8"
            )
        return steps


class TimeParams(BaseModel):
    """``[time]``: where the observer was.

    Parameters
    ----------
    kernel : tuple of str
        SPICE kernels (one name, or a list), relative to the workspace, from which the position of the spacecraft comes; without one
        the Earth stands in for it, and the times of TESS stars are within 0.25 s.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kernel: tuple[str, ...] = ()

    @field_validator("kernel", mode="before")
    @classmethod
    def _one_or_many(cls, kernel: object) -> object:
        return (kernel,) if isinstance(kernel, str) else kernel


@dataclass(frozen=True, slots=True)
class SeriesFluxes:
    """What one frame series contributes to a patch.

    Parameters
    ----------
    blocks : sequence of FluxBlock
        Its blocks, cut to the stars of the patch, all with the same stars in the same order.
    rows : int64 array, shape (n_star,)
        Where these stars stand among the patch's targets.
    time_ra, time_dec : float
        Direction (deg) for which the frames' times hold; NaN where unknown, then times are left as they are.
    geometry : Geometry, optional
        Where its pixels lie: with it the flag ``edge`` is that of the aperture which ``flux`` holds, not of the largest.
    observer : sequence of float64 arrays, each of shape (n_frame, 3), optional
        One a block: where the observer was (light-seconds, ICRS, from the barycentre); the Earth where not given.
    """

    blocks: Sequence[FluxBlock]
    rows: NDArray[np.int64]
    time_ra: float
    time_dec: float
    geometry: Geometry | None = None
    observer: Sequence[FloatArray] | None = None


@dataclass(frozen=True, slots=True)
class _Matrix:
    """One series on one time axis: planes of shape (n_star, n_frame)."""

    rows: NDArray[np.int64]
    time: NDArray[np.float64]
    cadence: NDArray[np.int64]
    quality: NDArray[np.int32]
    planes: Mapping[str, NDArray[Any]]
    circles: bool
    """Whether its apertures are the targets' circles, and not one given mask."""
    whole: NDArray[np.bool_] | None
    """Which apertures lie wholly on the pixels, shape (n_star, n_aperture); None where that is not known."""


def collect(
    series: Sequence[SeriesFluxes],
    targets: Targets,
    segment: str,
    detector: str,
    params: CollectParams,
    quality_mask: int,
    fwhm: float = 1.9,
) -> LightCurves:
    """Put the flux blocks of a patch together into light curves.

    A cadence in which a series has no frame is left out. The time of a point is its frame's mid-exposure, moved from the
    direction in which the frame's times hold to the star.

    Parameters
    ----------
    series : sequence of SeriesFluxes
        One for full-frame images, one a stamp otherwise.
    targets : Targets
        The patch's rows.
    segment, detector : str
        Which observation.
    params : CollectParams
        Which aperture becomes ``flux``.
    quality_mask : int
        Mission's quality bits that the default mask leaves out (`cuvee.model.flags.default_mask`).
    fwhm : float
        Full width at half maximum of a star (px), for the share of its light in each aperture.

    Returns
    -------
    LightCurves
        Stars in the order of ``targets``; those that no series measures have no points.

    Raises
    ------
    NoWork
        If there is nothing to collect.
    ConfigError
        If ``params`` names an aperture that was not measured.
    AlgorithmError
        If the blocks do not belong together.
    """
    matrices = [_join(one, targets) for one in series if one.blocks and one.rows.size]
    if not matrices:
        raise NoWork(f"There is no flux block for this patch of {segment} {detector}.")
    apertures = _apertures(matrices)
    if params.aperture != "best" and params.aperture not in apertures:
        raise ConfigError(
            f"[collect] aperture: {params.aperture!r} was not measured; choose best or one of {', '.join(apertures)}."
        )
    n_star = len(targets)
    circles = all(matrix.circles for matrix in matrices)
    # A mask has no radius that the catalogue's crowding could belong to.
    crowding = targets.crowding if circles else np.full((n_star, len(apertures)), np.nan)
    chosen = np.full(n_star, _by_distance_from_middle(len(apertures))[0])
    shares = enclosed_light(targets.radii, fwhm) if circles else (1.0,) * len(apertures)
    if params.aperture == "best":
        for matrix in matrices:
            fluxes = [matrix.planes[f"{name}_flux"] for name in apertures]
            good = _good(matrix, quality_mask)
            chosen[matrix.rows] = choose_aperture(fluxes, good, shares, matrix.whole)
    else:
        chosen[:] = apertures.index(params.aperture)
    for matrix in matrices:
        if matrix.whole is not None:
            clipped = ~matrix.whole[np.arange(matrix.rows.size), chosen[matrix.rows]]
            flag = matrix.planes["flag"]
            flag &= ~np.int32(EDGE)
            flag[clipped] |= np.int32(EDGE)
        if params.round_noise:  # after the choice of the aperture, which it must not sway
            for name in ("background", *(f"{aperture}_flux" for aperture in apertures)):
                plane = matrix.planes[name]
                plane[...] = round_to_noise(plane, matrix.planes[f"{name}_err"], params.round_noise)

    counts = np.zeros(n_star, np.int64)
    for matrix in matrices:
        counts[matrix.rows] = matrix.cadence.size
    offsets = np.concatenate([[0], np.cumsum(counts)])
    # All light curves of a survey have the same columns, or LSDB cannot open them together: an aperture that was not
    # measured, as beside the mission's own mask, is NaN.
    missing = [f"aperture{k + 1}" for k in range(len(targets.radii)) if f"aperture{k + 1}" not in apertures]
    points = _empty_points(int(offsets[-1]), [*apertures, *missing])
    for matrix in matrices:
        _fill(points, matrix, offsets, chosen, apertures)
    rows = targets.take(slice(None))
    values = {name: getattr(rows, name) for name in Targets.__slots__}
    values["crowding"] = crowding[np.arange(n_star), chosen][:, None]
    values["radii"] = targets.radii if circles else ()
    best = np.asarray(apertures, dtype=np.str_)[chosen]
    return LightCurves(Targets(**values), segment, detector, best, offsets, points, params.round_noise)


def choose_aperture(
    fluxes: Sequence[NDArray[Any]],
    good: NDArray[np.bool_],
    enclosed: Sequence[float],
    whole: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return which aperture has the smallest scatter relative to the star's own light in it.

    The star's own light is its unknown but one total times the share of it that each aperture encloses. Dividing by
    the measured flux instead would favour apertures full of a neighbour's light, which lowers the relative scatter
    without showing more of the star; and not every neighbour is in the catalogue.

    Parameters
    ----------
    fluxes : sequence of float arrays, each of shape (n_star, n_point)
        One an aperture (e-/s).
    good : bool array, shape (n_star, n_point)
        Points to use.
    enclosed : sequence of float
        Share of a star's light that each aperture encloses.
    whole : bool array, shape (n_star, n_aperture), optional
        Which apertures lie wholly on the pixels; a clipped one is taken only where all are clipped.

    Returns
    -------
    int64 array, shape (n_star,)
        Index of the aperture. Of equals, the one nearest the middle; the middle one where nothing can be measured.
    """
    scatter = np.empty((good.shape[0], len(fluxes)))
    for k, flux in enumerate(fluxes):
        level = median(np.where(good, flux, np.nan))
        noise = point_to_point_scatter(flux, good) / enclosed[k]
        scatter[:, k] = np.where((level > 0) & np.isfinite(noise), noise, np.inf)
    if whole is not None:
        scatter = np.where(whole | ~whole.any(axis=1, keepdims=True), scatter, np.inf)
    order = _by_distance_from_middle(len(fluxes))
    chosen: NDArray[np.int64] = order[np.argmin(scatter[:, order], axis=1)]
    # Where no scatter is known, a whole aperture still beats a clipped one.
    if whole is not None:
        lost = ~np.isfinite(scatter).any(axis=1) & whole.any(axis=1)
        chosen[lost] = order[np.argmax(whole[lost][:, order], axis=1)]
    return chosen


def enclosed_light(radii: Iterable[float], fwhm: float) -> tuple[float, ...]:
    """Return the share of a star's light within circles about it, for a Gaussian on square pixels.

    Parameters
    ----------
    radii : iterable of float
        Radii (px).
    fwhm : float
        Full width at half maximum before the blurring (px).

    Returns
    -------
    tuple of float
        1 - exp(-r^2 / (2 s^2)) for each radius, where s^2 is the Gaussian's variance plus 1/12 twice: pixels blur the light, and exact
        overlap spreads each pixel's light over its area once more.
    """
    variance = fwhm**2 / (8.0 * np.log(2.0)) + 2.0 / 12.0
    return tuple(float(1.0 - np.exp(-(r**2) / (2.0 * variance))) for r in radii)


def _by_distance_from_middle(n: int) -> NDArray[np.int64]:
    middle = (n - 1) // 2
    return np.asarray(sorted(range(n), key=lambda k: (abs(k - middle), k)), dtype=np.int64)


def _apertures(matrices: Sequence[_Matrix]) -> list[str]:
    names = {tuple(key for key in matrix.planes if key.endswith("_flux")) for matrix in matrices}
    if len(names) != 1 or not next(iter(names)):
        raise AlgorithmError(
            "The flux blocks of one patch hold different apertures; run extract again for all of them."
        )
    return [key.removesuffix("_flux") for key in names.pop()]


def _join(one: SeriesFluxes, targets: Targets) -> _Matrix:
    """Join the blocks of a series along time, without the cadences that have no frame."""
    order = sorted(range(len(one.blocks)), key=lambda i: int(one.blocks[i].moments.cadence[0]))
    blocks = [one.blocks[i] for i in order]
    names = list(blocks[0].planes)
    for block in blocks:
        if list(block.planes) != names or block.planes["flag"].shape != (one.rows.size, block.moments.cadence.size):
            raise AlgorithmError(
                "The flux blocks of one series differ in stars or planes; run extract again for all of them.",
                {"stars": one.rows.size, "cadence": int(block.moments.cadence[0])},
            )
    kept = [~((block.planes["flag"] & NO_FRAME) != 0).all(axis=0) for block in blocks]
    ends = np.cumsum([int(keep.sum()) for keep in kept])
    planes = {}
    for name in names:
        first = blocks[0].planes[name]
        joined = np.empty((one.rows.size, int(ends[-1])), first.dtype)
        for block, keep, end in zip(blocks, kept, ends, strict=True):
            part = block.planes[name]
            joined[:, end - int(keep.sum()) : end] = part if keep.all() else part[:, keep]
        planes[name] = joined

    def axis(field: str) -> NDArray[Any]:
        return np.concatenate([getattr(block.moments, field)[keep] for block, keep in zip(blocks, kept, strict=True)])

    mid = axis("mid")
    observer = None
    if one.observer is not None:
        observer = np.concatenate([one.observer[i][keep] for i, keep in zip(order, kept, strict=True)])
    ra, dec = targets.direction
    time = _star_times(mid, one, observer, ra[one.rows], dec[one.rows])
    planes["flag"] |= np.where(np.isfinite(time), 0, NO_TIME).astype(np.int32)
    circles = not blocks[0].meta.get("mask", False)
    if circles and sum(name.endswith("_flux") for name in names) != len(targets.radii):
        raise AlgorithmError(
            f"The flux blocks of one series do not hold the {len(targets.radii)} apertures of its targets; "
            "run extract again for all of them."
        )
    whole = None
    if one.geometry is not None and circles:
        whole = _whole_apertures(one.geometry, targets.col[one.rows], targets.row[one.rows], targets.radii)
    return _Matrix(one.rows, time, axis("cadence"), axis("quality"), planes, circles, whole)


def _whole_apertures(
    geometry: Geometry, col: NDArray[np.float64], row: NDArray[np.float64], radii: Sequence[float]
) -> NDArray[np.bool_]:
    """Return which circles lie wholly on the pixels, shape (n_star, n_radius)."""
    x, y = col - geometry.col0 + 0.5, row - geometry.row0 + 0.5
    room = np.minimum(np.minimum(x, geometry.n_col - x), np.minimum(y, geometry.n_row - y))
    inside: NDArray[np.bool_] = room[:, None] >= np.asarray(radii)
    return inside


def _star_times(
    mid: FloatArray, one: SeriesFluxes, observer: FloatArray | None, ra: FloatArray, dec: FloatArray
) -> NDArray[np.float64]:
    """Return the time of each point, shape (n_star, n_frame); NaN stays NaN."""
    time = np.full((ra.size, mid.size), np.nan)
    known = np.isfinite(mid)
    if not known.any():
        return time
    if np.isfinite(one.time_ra) and np.isfinite(one.time_dec):
        finite = mid[known]
        place = earth_position(finite) if observer is None else observer[known]
        time[:, known] = move_time(finite, one.time_ra, one.time_dec, ra, dec, place)
    else:
        time[:, known] = mid[known]
    return time


def _good(matrix: _Matrix, quality_mask: int) -> NDArray[np.bool_]:
    # A clipped aperture is dealt with aperture by aperture where it is known which ones are.
    bad = default_mask(FLAGS) & ~(EDGE if matrix.whole is not None else 0)
    clean: NDArray[np.bool_] = (matrix.planes["flag"] & bad) == 0
    good: NDArray[np.bool_] = clean & ((matrix.quality & quality_mask) == 0)
    return good


def _empty_points(n: int, apertures: Sequence[str]) -> dict[str, NDArray[Any]]:
    points: dict[str, NDArray[Any]] = {"time": np.empty(n, np.float64)}
    points |= {name: np.empty(n, np.int32) for name in ("cadence", "quality", "flag")}
    points |= {name: np.empty(n, np.float32) for name in ("flux", "flux_err", *_SINGLE)}
    for name in apertures:
        points[f"{name}_flux"] = np.full(n, np.nan, np.float32)
        points[f"{name}_flux_err"] = np.full(n, np.nan, np.float32)
    return points


def _fill(
    points: dict[str, NDArray[Any]],
    matrix: _Matrix,
    offsets: NDArray[np.int64],
    chosen: NDArray[np.int64],
    apertures: Sequence[str],
) -> None:
    """Copy a series into its stars' stretches of the points."""
    n_frame = matrix.cadence.size
    where: Any = (offsets[matrix.rows][:, None] + np.arange(n_frame)).ravel()
    if where.size and where[-1] - where[0] + 1 == where.size and (np.diff(matrix.rows) == 1).all():
        where = slice(int(where[0]), int(where[-1]) + 1)  # neighbouring stars: one plain copy instead of a scatter
    n_star = matrix.rows.size
    points["time"][where] = matrix.time.ravel()
    points["cadence"][where] = np.tile(matrix.cadence, n_star)
    points["quality"][where] = np.tile(matrix.quality, n_star)
    for name in ("flag", *_SINGLE, *(f"{a}{end}" for a in apertures for end in ("_flux", "_flux_err"))):
        points[name][where] = matrix.planes[name].ravel()
    for end in ("flux", "flux_err"):
        best = np.empty((n_star, n_frame), np.float32)
        for k, name in enumerate(apertures):
            stars = chosen[matrix.rows] == k
            best[stars] = matrix.planes[f"{name}_{end}"][stars]
        points[end][where] = best.ravel()
