"""Light curves of the stars of one patch of the sky."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.collect.aperture import by_distance_from_middle, choose_aperture, enclosed_light, light_in_masks, unspilt
from cuvee.collect.edge import edge_flux
from cuvee.collect.params import CollectParams
from cuvee.collect.series import JoinedSeries, SeriesFluxes, join_blocks
from cuvee.errors import AlgorithmError, ConfigError, NoWork
from cuvee.model.flags import EDGE, FLAGS, NO_TIME, SATURATED, default_mask
from cuvee.model.records import LightCurves, Targets
from cuvee.moving import mark_crossings
from cuvee.photometry.rounding import round_to_noise, shorten

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
    joined = [join_blocks(one, targets) for one in series if one.blocks and one.rows.size]
    if not joined:
        raise NoWork(f"There is no flux block for this patch of {segment} {detector}.")
    apertures = joined[0].apertures
    methods = joined[0].methods
    if not apertures or any(one.methods != methods for one in joined):
        raise AlgorithmError(
            "The flux blocks of one patch hold different apertures; run extract again for all of them."
        )
    if params.aperture != "best" and params.aperture not in methods:
        raise ConfigError(
            f"[collect] aperture: {params.aperture!r} was not measured; choose best or one of {', '.join(methods)}."
        )
    n_star = len(targets)
    circles = all(one.circles for one in joined)
    # A mask has no radius that a share of the light, or the catalogue's crowding, could belong to.
    shares = enclosed_light(targets.radii, fwhm) if circles else (1.0,) * len(apertures)
    crowding = targets.crowding if circles else np.full((n_star, len(apertures)), np.nan)
    crowding = _with_others(crowding, joined, methods)
    # All light curves of a survey have the same columns, or LSDB cannot open them together: an aperture that was not
    # measured, as beside the mission's own mask, is NaN.
    wanted = [f"aperture{k + 1}" for k in range(len(targets.radii))]
    wanted = [*methods, *(name for name in wanted if name not in methods)]
    order = np.append(by_distance_from_middle(len(apertures)), np.arange(len(apertures), len(methods)))
    chosen = np.full(n_star, order[0])
    edge = np.full(n_star, np.nan)
    columns = []
    for one in joined:
        flag, planes = _flag(one), one.planes(*_measured(methods, params.round_noise))
        error, place = planes[f"{apertures[-1]}_flux_err"], (targets.col[one.rows], targets.row[one.rows])
        for tracks in one.tracks:
            # Times differ from star to star by a minute at most, in which nothing moves far.
            mark_crossings(flag, error, one.time[0], *place, targets.radii[-1], tracks)
        if params.aperture == "best":
            fluxes = [planes[f"{name}_flux"] for name in methods]
            enclosed = _shares(one, shares, targets, fwhm)
            good = _good(one, flag, quality_mask)
            allowed = unspilt(methods, fluxes, good, flag & np.int32(SATURATED) != 0, _whole(one))
            chosen[one.rows] = choose_aperture(fluxes, good, enclosed, allowed, order)
        else:
            chosen[one.rows] = methods.index(params.aperture)
        _mark_edge(flag, one, chosen[one.rows])
        edge[one.rows] = edge_flux(one, methods, chosen[one.rows], planes["background"])
        if params.round_noise:  # after the choice of the aperture, which it must not sway
            for name in ("background", *(f"{method}_flux" for method in methods)):
                planes[name] = round_to_noise(planes[name], planes[f"{name}_err"], params.round_noise)
        for name in planes:
            if name.endswith(("_flux_err", "_chi2")):
                shorten(planes[name])
        columns.append(_columns(one, planes | {"flag": flag}, chosen[one.rows], wanted))
    offsets, points = _lay_out([one.rows for one in joined], columns, n_star)
    rows = replace(
        targets,
        crowding=crowding[np.arange(n_star), chosen][:, None],
        radii=targets.radii if circles else (),
    )
    best = np.asarray(methods, dtype=np.str_)[chosen]
    numbers = {"edge_flux": edge} | (_mask_numbers(joined, targets, fwhm) if "mask" in methods else {})
    return LightCurves(rows, segment, detector, best, offsets, points, params.round_noise, numbers)


def _mask_numbers(joined: Sequence[JoinedSeries], targets: Targets, fwhm: float) -> dict[str, NDArray[Any]]:
    size, share = np.zeros(len(targets), np.int64), np.full(len(targets), np.nan)
    for one in joined:
        if one.masks is not None:
            size[one.rows] = np.diff(one.masks.ptr)
            share[one.rows] = light_in_masks(one.masks, targets.col[one.rows], targets.row[one.rows], fwhm)
    return {"mask_size": size, "mask_share": share}


def _with_others(
    crowding: NDArray[np.float64], joined: Sequence[JoinedSeries], methods: Sequence[str]
) -> NDArray[np.float64]:
    """Return the crowding with a column for each method beside the apertures."""
    columns = []
    for name in methods[crowding.shape[1] :]:
        column = np.full(crowding.shape[0], np.nan)
        for one in joined:
            if name == "psf":  # its flux is all of the star's own light, and none of the stars fitted beside it
                column[one.rows] = 1.0
            elif name == "mask" and one.masks is not None:
                column[one.rows] = one.masks.crowding
        columns.append(column)
    return np.column_stack([crowding, *columns])


def _shares(
    one: JoinedSeries, circles: Sequence[float], targets: Targets, fwhm: float
) -> list[float | NDArray[np.float64]]:
    """Return the share of a star's light that each method holds.

    Parameters
    ----------
    one : JoinedSeries
        The series.
    circles : sequence of float
        Shares of its apertures.
    targets : Targets
        The patch's rows.
    fwhm : float
        Full width at half maximum of a star (px).

    Returns
    -------
    list of float, or of float64 array of shape (n_star,)
        A PSF flux is all of the star's light; a halo flux stands at the level of the mask, or of the largest aperture where the star has none.
    """
    mask: NDArray[np.float64] = np.full(one.rows.size, np.nan)
    if one.masks is not None:
        mask = light_in_masks(one.masks, targets.col[one.rows], targets.row[one.rows], fwhm)
    others: dict[str, float | NDArray[np.float64]] = {
        "mask": mask,
        "psf": 1.0,
        "halo": np.where(np.isnan(mask), circles[-1], mask),
    }
    return [*circles, *(others[name] for name in one.methods[len(circles) :])]


def _measured(methods: Sequence[str], round_noise: float) -> list[str]:
    """Return the planes that light curves are made of; the error of the background only tells how to round it."""
    names = [f"{method}_{what}" for method in methods for what in ("flux", "flux_err")]
    chi2 = ["psf_chi2"] if "psf" in methods else []
    return [*_SINGLE, *names, *chi2, *(["background_err"] if round_noise else [])]


def _flag(one: JoinedSeries) -> NDArray[np.int32]:
    flag: NDArray[np.int32] = one.planes("flag")["flag"]
    lost = ~np.isfinite(one.time)
    if lost.any():
        flag[lost] |= np.int32(NO_TIME)
    return flag


def _good(one: JoinedSeries, flag: NDArray[np.int32], quality_mask: int) -> NDArray[np.bool_]:
    # A clipped aperture is dealt with aperture by aperture where it is known which ones are.
    bad = default_mask(FLAGS) & ~(EDGE if one.whole is not None else 0)
    good: NDArray[np.bool_] = (flag & np.int32(bad)) == 0
    good &= (one.quality & quality_mask) == 0
    return good


def _mark_edge(flag: NDArray[np.int32], one: JoinedSeries, chosen: NDArray[np.int64]) -> None:
    """Let the flag ``edge`` be that of the aperture chosen, where it is known which ones are clipped."""
    if one.whole is not None:
        whole = _whole(one)
        assert whole is not None
        flag &= np.int32(~EDGE)
        flag[~whole[np.arange(chosen.size), chosen]] |= np.int32(EDGE)


def _whole(one: JoinedSeries) -> NDArray[np.bool_] | None:
    """Return which methods see all of the star that they mean to; a fit and a halo need only a part of it."""
    if one.whole is None:
        return None
    n_star = one.whole.shape[0]
    mask = np.ones(n_star, bool) if one.masks is None else ~one.masks.clipped
    others = (mask if name == "mask" else np.ones(n_star, bool) for name in one.methods[len(one.apertures) :])
    return np.column_stack([one.whole, *others])


def _columns(
    one: JoinedSeries, planes: Mapping[str, NDArray[Any]], chosen: NDArray[np.int64], wanted: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Return the columns of a series in their order, each of shape (n_star, n_frame)."""
    shape = one.time.shape
    columns: dict[str, NDArray[Any]] = {"time": one.time}
    for name, values in (("cadence", one.cadence), ("quality", one.quality)):
        columns[name] = np.tile(values.astype(np.int32), (shape[0], 1))
    columns["flag"] = planes["flag"]
    for what in ("flux", "flux_err"):
        columns[what] = np.empty(shape, np.float32)
        for k, name in enumerate(one.methods):
            stars = np.flatnonzero(chosen == k)
            columns[what][stars] = planes[f"{name}_{what}"][stars]
    columns |= {name: planes[name] for name in _SINGLE}
    for name in (f"{aperture}_{what}" for aperture in wanted for what in ("flux", "flux_err")):
        columns[name] = planes[name] if name in planes else np.full(shape, np.nan, np.float32)
    if "psf" in wanted:
        columns["psf_chi2"] = planes["psf_chi2"] if "psf_chi2" in planes else np.full(shape, np.nan, np.float32)
    return columns


def _lay_out(
    rows: Sequence[NDArray[np.int64]], columns: Sequence[Mapping[str, NDArray[Any]]], n_star: int
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Return where each star's points begin, and the points of all stars one after the other."""
    counts = np.zeros(n_star, np.int64)
    for stars, one in zip(rows, columns, strict=True):
        counts[stars] = one["time"].shape[1]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    if len(columns) == 1 and (np.diff(rows[0]) > 0).all():  # full frames: they lie there as they should
        return offsets, {name: values.reshape(-1) for name, values in columns[0].items()}
    points = {name: np.empty(offsets[-1], values.dtype) for name, values in columns[0].items()}
    for stars, one in zip(rows, columns, strict=True):
        where = (offsets[stars][:, None] + np.arange(one["time"].shape[1])).reshape(-1)
        for name, values in one.items():
            points[name][where] = values.reshape(-1)
    return offsets, points
