"""Light curves of the stars of one patch of the sky."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.collect.aperture import by_distance_from_middle, choose_aperture, enclosed_light
from cuvee.collect.params import CollectParams
from cuvee.collect.series import JoinedSeries, SeriesFluxes, join_blocks
from cuvee.errors import AlgorithmError, ConfigError, NoWork
from cuvee.model.flags import EDGE, FLAGS, default_mask
from cuvee.model.records import LightCurves, Targets
from cuvee.photometry.rounding import round_to_noise

__all__ = ["collect"]

_SINGLE = ("background", "centroid_col", "centroid_row")


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
    matrices = [join_blocks(one, targets) for one in series if one.blocks and one.rows.size]
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
    chosen = np.full(n_star, by_distance_from_middle(len(apertures))[0])
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


def _apertures(matrices: Sequence[JoinedSeries]) -> list[str]:
    names = {tuple(key for key in matrix.planes if key.endswith("_flux")) for matrix in matrices}
    if len(names) != 1 or not next(iter(names)):
        raise AlgorithmError(
            "The flux blocks of one patch hold different apertures; run extract again for all of them."
        )
    return [key.removesuffix("_flux") for key in names.pop()]


def _good(matrix: JoinedSeries, quality_mask: int) -> NDArray[np.bool_]:
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
    matrix: JoinedSeries,
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
