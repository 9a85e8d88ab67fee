"""What was put into the simulated stars against what the light curves give back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.model.flags import ASTEROID, SATURATED
from cuvee.simulate.comparison import Bright, Comparison, Found, FoundFlare, FoundMode, NoiseBin, Passage
from cuvee.simulate.measure import (
    Points,
    aperture_share,
    fit_shapes,
    good_points,
    relative_scatter,
    strongest_period,
)
from cuvee.simulate.signals import (
    CONSTANT,
    ECLIPSES,
    FLARES,
    PULSATOR,
    SINUSOID,
    TRANSIT,
    eclipses_mean,
    flare_mean,
    sinusoid_mean,
    transit_mean,
)

__all__ = ["EDGES", "FEWEST", "injected_shapes", "recover"]

FloatArray = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]

FEWEST = 8
"""A light curve with fewer good points says nothing."""
EDGES = (7.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0)
COVERED = 0.02
"""A flare is seen where a good point holds this share of its peak."""
NEAR = 1.5
"""An asteroid passes a star where it comes as close (px) in some frame."""
PRF_SIGMA = 0.81
"""Of the simulated PRF (px)."""


def _share(curve: Mapping[str, Any]) -> float:
    crowding = float(curve["crowding"])
    return crowding if crowding > 0.0 else 1.0


def injected_shapes(truth: Mapping[str, Any], modes: Columns, time: FloatArray, exposure: float) -> FloatArray:
    """Return what was put into a periodic star, at unit amplitude.

    Parameters
    ----------
    truth : mapping
        The star's row of ``truth/stars.parquet``.
    modes : mapping of str to array
        The table of modes; pulsators only.
    time : float64 array, shape (n,)
        Mid-exposures (BTJD).
    exposure : float
        Their length (d).

    Returns
    -------
    float64 array, shape (n_shape, n)
        One shape a fitted number: one, but two for a binary and one a mode for a pulsator.
    """
    period, epoch, duration = (np.asarray(truth[name]) for name in ("period", "epoch", "duration"))
    if truth["kind"] == SINUSOID:
        return sinusoid_mean(time, period, epoch, exposure)[None]
    if truth["kind"] == TRANSIT:
        return -transit_mean(time, period, epoch, duration, exposure)[None]
    if truth["kind"] == ECLIPSES:
        return -np.stack(eclipses_mean(time, period, epoch, duration, exposure))
    own = modes["id"] == truth["id"]
    return sinusoid_mean(time, 1.0 / modes["frequency"][own, None], modes["epoch"][own, None], exposure)


def _periodic(
    truth: Mapping[str, Any], curve: Mapping[str, Any], points: Points, modes: Columns
) -> tuple[Found, list[FoundMode]]:
    exposure = float(np.median(np.diff(points.time)))
    fit = fit_shapes(points, injected_shapes(truth, modes, points.time, exposure))
    share, kind = _share(curve), str(truth["kind"])
    amplitude, error = fit.amplitude / share, fit.error / share
    found = found_err = np.nan
    if kind in (SINUSOID, PULSATOR):
        found = strongest_period(points)
        # Montgomery & O'Donoghue 1999, DSSN 13, 28, equation 10, for the frequency.
        span = float(points.time[-1] - points.time[0])
        height = max(abs(float(fit.amplitude[0])), float(fit.error[0]))
        found_err = found**2 * np.sqrt(6.0 / points.time.size) * fit.scatter / (np.pi * span * height)
    binary = kind == ECLIPSES
    star = Found(
        id=int(truth["id"]),
        kind=kind,
        mag=float(truth["mag"]),
        crowding=float(curve["crowding"]),
        flux_ratio=float(np.median(points.flux)) * share / float(truth["flux"]),
        period=float(truth["period"]),
        period_found=found,
        period_err=float(found_err),
        amplitude=float(truth["amplitude"]),
        amplitude_found=float(amplitude[0]),
        amplitude_err=float(error[0]),
        secondary=float(truth["secondary"]) if binary else np.nan,
        secondary_found=float(amplitude[1]) if binary else np.nan,
        secondary_err=float(error[1]) if binary else np.nan,
    )
    if kind != PULSATOR:
        return star, []
    own = np.flatnonzero(modes["id"] == truth["id"])
    return star, [
        FoundMode(
            id=star.id,
            mag=star.mag,
            frequency=float(modes["frequency"][m]),
            amplitude=float(modes["amplitude"][m]),
            amplitude_found=float(a),
            amplitude_err=float(e),
        )
        for m, a, e in zip(own, amplitude, error, strict=True)
    ]


def _flares(
    truth: Mapping[str, Any], curve: Mapping[str, Any], points: Points, flares: Columns
) -> tuple[list[FoundFlare], int]:
    # All flares of a star that good points cover, fitted together; and how many others there are.
    exposure = float(np.median(np.diff(points.time)))
    own = np.flatnonzero(flares["id"] == truth["id"])
    shapes = flare_mean(points.time, flares["peak"][own, None], flares["width"][own, None], exposure)
    covered = shapes.max(axis=1, initial=0.0) > COVERED
    if not covered.any():
        return [], own.size
    fit, share = fit_shapes(points, shapes[covered]), _share(curve)
    return [
        FoundFlare(
            id=int(truth["id"]),
            mag=float(truth["mag"]),
            peak=float(flares["peak"][m]),
            width=float(flares["width"][m]),
            amplitude=float(flares["amplitude"][m]),
            amplitude_found=float(a) / share,
            amplitude_err=float(e) / share,
        )
        for m, a, e in zip(own[covered], fit.amplitude, fit.error, strict=True)
    ], int(own.size - np.count_nonzero(covered))


def _passages(
    truth: Mapping[str, Any], curve: Mapping[str, Any], tracks: Columns, radii: tuple[float, ...]
) -> list[Passage]:
    out = []
    near = np.hypot(tracks["col"] - truth["col"], tracks["row"] - truth["row"])
    points: Points | None = None
    for asteroid in np.unique(tracks["asteroid"][near < NEAR]):
        k = int(np.argmin(np.where(tracks["asteroid"] == asteroid, near, np.inf)))
        points = points or good_points(curve, f"aperture{len(radii)}_flux", ASTEROID)
        at = np.flatnonzero(points.cadence == tracks["cadence"][k])
        if at.size == 0 or points.flux.size < FEWEST:
            continue
        offset = (float(tracks["col"][k] - truth["col"]), float(tracks["row"][k] - truth["row"]))
        run = (float(tracks["d_col"][k]), float(tracks["d_row"][k]))
        middle = float(np.median(points.flux))
        out.append(
            Passage(
                asteroid=int(asteroid),
                id=int(truth["id"]),
                mag=float(truth["mag"]),
                asteroid_mag=float(tracks["mag"][k]),
                time=float(tracks["time"][k]),
                distance=float(near[k]),
                expected=float(tracks["flux"][k]) * aperture_share(offset, run, PRF_SIGMA, radii[-1]),
                found=float(points.flux[at[0]]) - middle,
                error=max(float(points.error[at[0]]), relative_scatter(points.flux) * abs(middle)),
                flagged=bool(
                    np.any(np.asarray(curve["flag"])[np.asarray(curve["cadence"]) == tracks["cadence"][k]] & ASTEROID)
                ),
            )
        )
    return out


def _bright(truth: Mapping[str, Any], curve: Mapping[str, Any], radii: tuple[float, ...]) -> Bright | None:
    points = good_points(curve, f"aperture{len(radii)}_flux")
    if points.flux.size < FEWEST:
        return None
    flag = np.asarray(curve["flag"])
    return Bright(
        id=int(truth["id"]),
        mag=float(truth["mag"]),
        flux_ratio=float(np.median(points.flux)) / float(truth["flux"]),
        scatter=relative_scatter(points.flux),
        flagged=float(np.mean((flag & SATURATED) != 0)),
    )


def _bins(quiet: list[tuple[float, float, float]]) -> tuple[NoiseBin, ...]:
    table = np.array(quiet).reshape(-1, 3)
    noise = []
    for bright, faint in pairwise(EDGES):
        rows = table[(table[:, 0] >= bright) & (table[:, 0] < faint)]
        if rows.size:
            noise.append(NoiseBin(bright, faint, len(rows), *(float(v) for v in np.median(rows[:, 1:], axis=0))))
    return tuple(noise)


def recover(
    stars_truth: Columns,
    light_curves: Iterable[Mapping[str, Any]],
    *,
    modes: Columns | None = None,
    flares: Columns | None = None,
    asteroids: Columns | None = None,
    radii: tuple[float, ...] = (),
) -> Comparison:
    """Compare light curves with the truth of a simulation.

    Amplitudes, depths and energies are fitted at the true ephemeris, to the injected shape averaged over an exposure; a
    fit in the aperture sees them diluted by the neighbours' light, so they are divided by ``crowding``. Periods are
    searched blindly.

    Parameters
    ----------
    stars_truth : mapping of str to array, each of shape (n_star,)
        The columns of ``truth/stars.parquet``: ``id, mag, flux, kind, period, epoch, amplitude, duration``, and where they
        are needed ``secondary, col, row, saturated, strap``.
    light_curves : iterable of mapping
        For each light curve ``id``, ``crowding``, and arrays of shape (n_point,) ``time`` (BTJD), ``flux``, ``flux_err``
        (e-/s), ``quality``, ``flag``, ``cadence`` and the apertures. Stars that the truth does not know are passed over.
    modes, flares, asteroids : mapping of str to array, optional
        The tables of the same names (`cuvee.simulate.truth.Truth`); without them those signals are passed over.
    radii : tuple of float, optional
        Radii of the apertures (px); saturated stars and asteroids are measured in the last.

    Returns
    -------
    Comparison
        Star by star for the injected ones, by magnitude for the noise of the constant ones.
    """
    row_of = {int(number): row for row, number in enumerate(stars_truth["id"])}
    stars: list[Found] = []
    found_modes: list[FoundMode] = []
    found_flares: list[FoundFlare] = []
    passages: list[Passage] = []
    bright: list[Bright] = []
    quiet: list[tuple[float, float, float]] = []
    on_strap: list[tuple[float, float, float]] = []
    seen: set[int] = set()
    unseen = 0
    for curve in light_curves:
        row = row_of.get(int(curve["id"]))
        points = good_points(curve)
        if row is None or points.flux.size < FEWEST:
            continue
        truth = {name: values[row] for name, values in stars_truth.items()}
        seen.add(int(curve["id"]))
        if truth["kind"] == FLARES and flares is not None:
            new, others = _flares(truth, curve, points, flares)
            found_flares += new
            unseen += others
        elif truth["kind"] in (SINUSOID, TRANSIT, ECLIPSES) or (truth["kind"] == PULSATOR and modes is not None):
            star, own = _periodic(truth, curve, points, modes or {})
            stars.append(star)
            found_modes += own
        elif truth["kind"] == CONSTANT and float(np.median(points.flux)) > 0.0:
            expected = float(np.median(points.error)) / float(np.median(points.flux))
            quiet.append((float(truth["mag"]), relative_scatter(points.flux), expected))
            on_strap += quiet[-1:] if truth.get("strap", 0.0) > 0.0 else []
            if asteroids is not None and radii:
                passages += _passages(truth, curve, asteroids, radii)
        if radii and truth.get("saturated", False):
            bright += [one for one in [_bright(truth, curve, radii)] if one is not None]
    kinds = np.asarray(stars_truth["kind"])
    injected = np.isin(kinds, [SINUSOID, TRANSIT, ECLIPSES])
    injected |= ((kinds == PULSATOR) & (modes is not None)) | ((kinds == FLARES) & (flares is not None))
    return Comparison(
        stars=tuple(sorted(stars, key=lambda star: (star.mag, star.id))),
        noise=_bins(quiet),
        without=len(set(np.asarray(stars_truth["id"])[injected].tolist()) - seen),
        modes=tuple(sorted(found_modes, key=lambda mode: (mode.mag, mode.id, mode.frequency))),
        flares=tuple(sorted(found_flares, key=lambda flare: (flare.mag, flare.id, flare.peak))),
        flares_unseen=unseen,
        passages=tuple(sorted(passages, key=lambda one: (one.asteroid, one.distance))),
        bright=tuple(sorted(bright, key=lambda one: (one.mag, one.id))),
        strap_noise=_bins(on_strap),
    )
