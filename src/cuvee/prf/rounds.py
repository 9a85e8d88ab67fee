"""The steps that the learning takes in turn: stars, pointing, PRF."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cuvee.model.records import Geometry
from cuvee.prf.frames import MARGIN, Kept, Sky
from cuvee.prf.params import PrfParams
from cuvee.prf.pointing import flux_series, solve_pointing
from cuvee.prf.scene import Drawn, Scene
from cuvee.prf.solve import WINDOW, Lesson, improve
from cuvee.prf.spline import stamps
from cuvee.prf.stars import field_shift, settle

__all__ = ["Data", "constant", "first_prf", "improve_prf", "in_cutouts", "mean_residual", "point", "settle_stars"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FAR = 0.12
"""Pointing beyond which a frame does not teach (px): the series ends after the second order, and the next term, which grows with the
third power, is then as large as the noise of the brightest stars."""

FEW = 6
"""Frames that are needed within it."""


@dataclass(frozen=True, slots=True)
class Data:
    """What does not change while the PRF is learned.

    Parameters
    ----------
    kept : Kept
        What is kept of the frames.
    geometry : Geometry
        Where their pixels lie.
    variance : float32 array, shape (n_row, n_col)
        Of a pixel of one frame ((e-/s)^2).
    weight : float32 array, shape (n_row, n_col)
        Its inverse; 0 where the pixel is bad.
    catalogue : tuple of float64 array, shape (n_star,)
        Column, row and flux of all stars.
    cutout : int64 array, shape (n_star,)
        Number of each star's cutout; -1 where it has none.
    params : PrfParams
        How.
    """

    kept: Kept
    geometry: Geometry
    variance: NDArray[np.float32]
    weight: NDArray[np.float32]
    catalogue: tuple[FloatArray, FloatArray, FloatArray]
    cutout: IntArray
    params: PrfParams


def in_cutouts(data: Data, scene: Scene, teachers: IntArray) -> NDArray[np.bool_]:
    """Tell which teachers' stamps lie in their cutouts, and shine."""
    place = data.cutout[teachers]
    half, geometry = data.params.half, data.geometry
    off_col = np.rint(scene.col[teachers]) - half - geometry.col0 - data.kept.cut_col[place]
    off_row = np.rint(scene.row[teachers]) - half - geometry.row0 - data.kept.cut_row[place]
    room = 2 * MARGIN
    there = (off_col >= 0) & (off_col <= room) & (off_row >= 0) & (off_row <= room)
    return np.asarray(there & (scene.flux[teachers] > 0.0))


def mean_residual(data: Data, scene: Scene, drawn: Drawn, sky: Sky) -> NDArray[np.float32]:
    """Return the mean image less sky and stars (e-/s), shape (n_row, n_col)."""
    residual = data.kept.mean - sky.mean_image()
    for factor, light in zip(scene.factors.mean(axis=0), drawn.model, strict=True):
        residual -= factor * light
    return residual.astype(np.float32)


def settle_stars(data: Data, scene: Scene, drawn: Drawn, sky: Sky, teachers: IntArray) -> Scene:
    """Improve all stars on the mean image.

    Parameters
    ----------
    data, scene, drawn, sky
        Where the learning stands.
    teachers : int64 array, shape (n_teacher,)
        Rows of the stars that teach.

    Returns
    -------
    Scene
    """
    residual = mean_residual(data, scene, drawn, sky)
    weight = data.weight * np.float32(scene.pointing.shape[0])
    col, row, flux = data.catalogue
    shift = field_shift(scene, col, row, teachers)
    prior = (col + shift[:, 0], row + shift[:, 1], flux)
    col, row, flux = settle(scene, drawn, residual, weight, prior, data.params.position_error)
    return replace(scene, col=col, row=row, flux=flux)


def point(
    data: Data, scene: Scene, drawn: Drawn, sky: Sky, teachers: IntArray, clip: float
) -> tuple[FloatArray, FloatArray]:
    """Find the pointing of every frame.

    Parameters
    ----------
    data, scene, drawn, sky
        Where the learning stands.
    teachers : int64 array, shape (n_teacher,)
        Rows of the stars that teach.
    clip : float
        As in `cuvee.kernels.prf_frames.star_moments`.

    Returns
    -------
    pointing : float64 array, shape (n_frame, 2)
        px.
    scatter : float64 array, shape (n_teacher,)
        Of each teacher's flux from frame to frame, in units of what photons explain.
    """
    from cuvee.kernels.prf_frames import star_projections

    kept, n, n_frame = data.kept, teachers.size, scene.pointing.shape[0]
    residual, response, gram = np.empty((n, 3, n_frame)), np.empty((n, 3, 6)), np.empty((n, 3, 3))
    _, _, values = stamps(scene.prf, scene.col[teachers], scene.row[teachers])
    star_projections(
        kept.cutouts, kept.cut_col, kept.cut_row, sky.planes(kept.cut_col, kept.cut_row, kept.cutouts.shape[2]),
        drawn.model, data.variance, scene.factors, clip, data.cutout[teachers], drawn.first_col[teachers],
        drawn.first_row[teachers], values[:3], data.weight, residual, response, gram,
    )  # fmt: skip
    pointing = solve_pointing(residual, response, gram, scene.flux[teachers], scene.pointing)
    series, error = flux_series(residual, response, gram, scene.pointing, pointing)
    return pointing, series.std(axis=1, ddof=1) / error


def constant(scatter: FloatArray, flux: FloatArray) -> NDArray[np.bool_]:
    """Tell which stars scatter no more than twice what others as bright do: a variable star would bend the PRF."""
    from scipy.ndimage import median_filter

    order = np.argsort(-flux, kind="stable")
    usual = np.empty_like(scatter)
    usual[order] = median_filter(scatter[order], min(101, scatter.size), mode="nearest")
    return np.asarray(scatter < 2.0 * usual + 0.5)


def _steady(pointing: FloatArray) -> NDArray[np.bool_]:
    """Tell which frames the Taylor series describes; all of them where it does few."""
    near = np.hypot(*(pointing - np.median(pointing, axis=0)).T) <= FAR
    return near if near.sum() >= FEW else np.ones_like(near)


def improve_prf(
    data: Data, scene: Scene, model: NDArray[np.float32], sky: Sky, teachers: IntArray, free: bool, clip: float
) -> tuple[Scene, int]:
    """Improve the PRF.

    Parameters
    ----------
    data, scene, sky
        Where the learning stands.
    model : float32 array, shape (6, n_row, n_col)
        The light of all stars.
    teachers : int64 array, shape (n_teacher,)
        Rows of the stars that teach.
    free : bool
        Whether their fluxes and positions are free.
    clip : float
        As in `cuvee.kernels.prf_frames.star_moments`.

    Returns
    -------
    scene : Scene
        With the better PRF.
    n_unknown : int
        Number of coefficients fitted.
    """
    from cuvee.kernels.prf_frames import star_moments

    kept, half = data.kept, data.params.half
    width = 2 * half + 1
    col, row, flux = scene.col[teachers], scene.row[teachers], scene.flux[teachers]
    first_col, first_row, values = stamps(scene.prf, col, row)
    first_col -= data.geometry.col0
    first_row -= data.geometry.row0
    moments = np.empty((teachers.size, width * width, 6))
    steady = _steady(scene.pointing)
    star_moments(
        kept.cutouts, kept.cut_col, kept.cut_row, sky.planes(kept.cut_col, kept.cut_row, kept.cutouts.shape[2]), model,
        data.variance, scene.factors, steady, clip, data.cutout[teachers], first_col, first_row, width,
        moments,
    )  # fmt: skip
    across = np.arange(width)
    pixels = (first_row[:, None, None] + across[:, None], first_col[:, None, None] + across)
    catalogue_col, catalogue_row, _ = data.catalogue
    shift = field_shift(scene, catalogue_col, catalogue_row, teachers)[teachers]
    lesson = Lesson(
        col=col,
        row=row,
        flux=flux,
        off_prior=np.stack([col - catalogue_col[teachers], row - catalogue_row[teachers]], axis=1) - shift,
        stamps=values,
        weight=data.weight[pixels].reshape(teachers.size, -1).astype(np.float64),
        variance=data.variance[first_row + half, first_col + half].astype(np.float64),
        residual=moments,
        moments=np.einsum("ta,tb->ab", scene.factors[steady], scene.factors[steady]),
    )
    prf, n_unknown = improve(scene.prf, lesson, free, data.params.position_error)
    return replace(scene, prf=prf), n_unknown


def first_prf(data: Data, scene: Scene, sky: Sky, teachers: IntArray) -> tuple[Scene, IntArray]:
    """Fit a constant PRF to the catalogue's stars as they are, and move all of them until it is centred.

    Parameters
    ----------
    data, scene, sky
        Where the learning stands; the scene's PRF is zero.
    teachers : int64 array, shape (n_teacher,)
        Rows of the stars that teach.

    Returns
    -------
    scene : Scene
        With the PRF, and moved stars.
    teachers : int64 array
        Those that are where their cutouts are.
    """
    nothing = np.zeros((6, data.geometry.n_row, data.geometry.n_col), np.float32)
    dark = scene.prf
    for _ in range(4):
        teachers = teachers[in_cutouts(data, scene, teachers)]
        scene, _ = improve_prf(data, replace(scene, prf=dark), nothing, sky, teachers, free=False, clip=np.inf)
        coef = scene.prf.coef[0]
        at = (np.arange(coef.shape[0]) - coef.shape[0] // 2) / scene.prf.knots
        seen = coef * np.exp(-(at[:, None] ** 2 + at**2) / (2.0 * WINDOW**2))
        shift = np.array([(seen * at).sum(), (seen * at[:, None]).sum()]) / seen.sum()
        if np.abs(shift).max() < 0.01:
            break
        # The window hides about a third of the shift.
        shift = np.clip(1.4 * shift, -1.0, 1.0)
        scene = replace(scene, col=scene.col + shift[0], row=scene.row + shift[1])
    return scene, teachers
