"""A PRF of few parameters, for stamps: two Gaussians, as wide as the stars of a detector's stamps are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import AlgorithmError
from cuvee.model.prf import Prf, knot_count
from cuvee.model.records import Geometry
from cuvee.prf.spline import spline_rows
from cuvee.prf.stamp import Settled, pixel_weights, settle_stamp, unit_stars

__all__ = ["SHAPE_MISFIT", "StampImage", "fit_shape", "gaussian_prf"]

FloatArray = NDArray[np.float64]

KNOTS = 3

SAMPLES = 9
"""Samples a pixel to which the splines are fitted."""

CORE, WING, SPREAD = 0.6, 0.46, 2.5
"""Width of the narrower Gaussian over that of the whole, share of the light in the wider one, and by how much it is wider: as in TESS's PRF files."""

CROWD = 0.01
"""Light of stars that are not known, as a share of the brightest pixel."""

USUAL = np.array([0.15, 0.15, 0.5, 0.15])
"""How far the logarithms of the widths, of the wider Gaussian's odds, and of its spread may be from the usual (standard deviations)."""

ROUNDS = 2
"""How often the shape and the stars are fitted in turn."""

MOST = 60
"""Stamps that teach, at most."""

SHAPE_MISFIT = 0.05
"""What two Gaussians lack of a PRF, as a share of the light in the brightest pixel nearby."""


def gaussian_prf(width: tuple[float, float], wing: float, spread: float, half: int, geometry: Geometry) -> Prf:
    """Return a PRF of two Gaussians, integrated over the pixels.

    Parameters
    ----------
    width : tuple of float
        Standard deviations along columns and rows (px).
    wing : float
        Share of the light in the wider Gaussian.
    spread : float
        By how much that is wider.
    half : int
        Half width of the stamps (px).
    geometry : Geometry
        Where the pixels lie.

    Returns
    -------
    Prf
        The same at all places; its stamps add up to 1 but for the light beyond them.
    """
    from scipy.special import erf

    at = np.arange(-SAMPLES * (2 * half + 1) // 2, SAMPLES * (2 * half + 1) // 2 + 1) / SAMPLES
    rows = spline_rows(at, KNOTS, half)
    inverse = np.linalg.pinv(rows, rcond=1e-6)

    def line(sigma: float) -> FloatArray:
        scale = np.sqrt(2.0) * sigma
        return np.asarray(inverse @ (0.5 * (erf((at + 0.5) / scale) - erf((at - 0.5) / scale))))

    n_knot = knot_count(KNOTS, half)
    coef = np.zeros((1, n_knot, n_knot))
    for share, factor in ((1.0 - wing, 1.0), (wing, spread)):
        coef[0] += share * np.outer(line(factor * width[1]), line(factor * width[0]))
    centre = (geometry.col0 + 0.5 * (geometry.n_col - 1), geometry.row0 + 0.5 * (geometry.n_row - 1))
    return Prf(coef, KNOTS, half, 0, centre, (0.5 * geometry.n_col, 0.5 * geometry.n_row))


class StampImage(NamedTuple):
    """The mean images of a stamp, and the catalogue's stars on and around it.

    Parameters
    ----------
    image, variance : float32 array, shape (n_image, n_row, n_col)
        Means of frames that point alike: e-/s and (e-/s)^2; the variance is inf where a pixel takes no part.
    geometry : Geometry
        Where the pixels lie.
    col, row, flux : float64 array, shape (n_star,)
        Detector positions (px) and fluxes by the catalogue (e-/s).
    """

    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    geometry: Geometry
    col: FloatArray
    row: FloatArray
    flux: FloatArray


def fit_shape(
    stamps: Sequence[StampImage], fwhm: float, half: int, position_error: float, common_error: float
) -> tuple[Prf, tuple[float, float, float, float]]:
    """Fit the shape of the stars of several stamps, together with the stars.

    Parameters
    ----------
    stamps : sequence of StampImage
        Stamps of one detector; the `MOST` in which most light is seen teach.
    fwhm : float
        What the instrument's stars measure about (px).
    half : int
        Half width of the PRF's stamps (px).
    position_error, common_error : float
        Standard deviations of the catalogue's positions, among neighbours and as a whole (px).

    Returns
    -------
    prf : Prf
        Two Gaussians.
    shape : tuple of float
        Widths of the narrower one along columns and rows (px), share of the light in the wider one, and by how much it is wider.

    Raises
    ------
    AlgorithmError
        If no stamp shows a star.
    """
    from scipy.optimize import least_squares, nnls

    sigma = CORE * fwhm / 2.3548
    usual = np.log([sigma, sigma, WING / (1.0 - WING), SPREAD])
    teachers = sorted(stamps, key=_light, reverse=True)[:MOST]
    if not teachers or not _light(teachers[0]) > 0.0:
        raise AlgorithmError("No stamp shows a star whose shape could be taken for the PRF.", {"n_stamp": len(stamps)})
    weights = [_weights(one) for one in teachers]

    def shape_of(logs: FloatArray) -> tuple[float, float, float, float]:
        across, up, odds, spread = (float(value) for value in np.exp(logs))
        return across, up, odds / (1.0 + odds), spread

    def prf_of(logs: FloatArray) -> Prf:
        across, up, wing, spread = shape_of(logs)
        return gaussian_prf((across, up), wing, spread, half, teachers[0].geometry)

    def unlike(logs: FloatArray, settled: Sequence[Settled]) -> FloatArray:
        prf, left = prf_of(logs), [(logs - usual) / USUAL]
        for one, weight, stars in zip(teachers, weights, settled, strict=True):
            place = np.column_stack([stars.col, stars.row])
            light = np.concatenate([unit_stars(prf, place + shift, one.geometry)[0] for shift in stars.shift])
            level = np.kron(np.eye(stars.shift.shape[0]), np.ones((one.image[0].size, 1)))
            columns = np.column_stack([light, level, -level]) * weight[:, None]
            seen = np.nan_to_num(one.image.ravel().astype(np.float64)) * weight
            left.append(columns @ nnls(columns, seen)[0] - seen)
        return np.concatenate(left)

    logs = usual
    for _ in range(ROUNDS):
        settled = [settle_stamp(prf_of(logs), *one, position_error, common_error, SHAPE_MISFIT) for one in teachers]
        logs = least_squares(unlike, logs, args=(settled,), diff_step=1e-3, x_scale=0.1, max_nfev=20).x
    return prf_of(logs), shape_of(logs)


def _light(stamp: StampImage) -> float:
    """Return the light of a stamp's stars in the pixels that take part (e-/s)."""
    seen = stamp.image[np.isfinite(stamp.image) & np.isfinite(stamp.variance)]
    return float((seen - np.percentile(seen, 20)).sum()) / stamp.image.shape[0] if seen.size else 0.0


def _weights(stamp: StampImage) -> FloatArray:
    """Return one over the error of each pixel, where stars are not known that are faint beside the brightest."""
    one = pixel_weights(stamp.image, stamp.variance, SHAPE_MISFIT)
    light = np.where(one > 0.0, stamp.image, 0.0)
    return np.asarray((one / np.sqrt(1.0 + (one * CROWD * (light.max() - np.percentile(light, 20))) ** 2)).ravel())
