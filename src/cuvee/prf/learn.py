"""Learning the PRF, the stars and the pointing from the frames together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import AlgorithmError
from cuvee.model.prf import Prf, knot_count
from cuvee.model.records import Geometry, Readout
from cuvee.prf import frames as pixels
from cuvee.prf.params import PrfParams
from cuvee.prf.pointing import flux_series, solve_pointing
from cuvee.prf.scene import Drawn, Scene, draw
from cuvee.prf.solve import WINDOW, Lesson, improve
from cuvee.prf.stars import field_shift, inside, isolated, settle

__all__ = ["Learned", "learn"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NEEDED = (15, 60, 150, 250)
"""Teachers that a PRF of order 0, 1, 2, 3 needs."""

ITERATIONS = 3

NOISE_PIXELS = 10.0
"""Pixels whose noise counts in a star's signal-to-noise ratio, to choose teachers by."""

CORE = 3
"""A star with a bad pixel this near to its middle (px) does not teach."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned.

    Parameters
    ----------
    prf : Prf
        The PRF; its stamps add up to 1.
    col, row : float64 array, shape (n_star,)
        Refined detector positions (px) at the mean pointing, of all stars in the order given.
    flux : float64 array, shape (n_star,)
        Their mean fluxes (e-/s). Stars that were given without a finite position and a positive flux come back as they were.
    pointing : float64 array, shape (n_frame, 2)
        Shift of the stars along columns and rows in each frame (px); its mean is 0.
    variance : float32 array, shape (n_row, n_col)
        Variance of a pixel of one frame that was used ((e-/s)^2); inf where a pixel was left out.
    teachers : int64 array, shape (n_teacher,)
        Rows of the stars that taught in the end.
    numbers : mapping of str to float
        ``n_teacher``, ``n_unknown``, ``order``.
    """

    prf: Prf
    col: FloatArray
    row: FloatArray
    flux: FloatArray
    pointing: FloatArray
    variance: NDArray[np.float32]
    teachers: IntArray
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Data:
    """The frames, as far as they are kept, and the catalogue."""

    kept: pixels.Kept
    geometry: Geometry
    variance: NDArray[np.float32]
    weight: NDArray[np.float32]
    catalogue: tuple[FloatArray, FloatArray, FloatArray]
    params: PrfParams

    @property
    def shape(self) -> tuple[int, int]:
        return self.geometry.n_row, self.geometry.n_col

    def planes(self, sky: pixels.Sky) -> FloatArray:
        return sky.planes(self.kept.cut_col, self.kept.cut_row, self.kept.cutouts.shape[2])

    def fit_sky(self, scene: Scene, drawn: Drawn) -> pixels.Sky:
        return pixels.fit_sky(self.kept, self.shape, drawn.model, scene.factors)


def _candidates(
    data_shape: Geometry,
    stars: tuple[FloatArray, FloatArray, FloatArray],
    noise: float,
    exposure: float,
    params: PrfParams,
) -> IntArray:
    """Stars that may teach, best first."""
    col, row, flux = stars
    snr = flux / np.sqrt(flux / exposure + NOISE_PIXELS * noise**2)
    margin = params.half + pixels.MARGIN + 1
    chosen = np.flatnonzero((snr >= params.snr) & inside(col, row, data_shape, margin))
    chosen = chosen[np.argsort(-snr[chosen], kind="stable")]
    chosen = chosen[isolated(col, row, flux, chosen, params.half)]
    # Some of the brightest will turn out to be saturated.
    return chosen[: params.stars + params.stars // 4]


def _inside_cutouts(data: _Data, first_col: IntArray, first_row: IntArray) -> NDArray[np.bool_]:
    room = 2 * pixels.MARGIN
    off_col, off_row = first_col - data.kept.cut_col, first_row - data.kept.cut_row
    return np.asarray((off_col >= 0) & (off_col <= room) & (off_row >= 0) & (off_row <= room))


def _whole(data: _Data, col: FloatArray, row: FloatArray) -> NDArray[np.bool_]:
    """Tell which stars have no bad pixel in their core."""
    from scipy import ndimage

    blocked = ndimage.maximum_filter(data.weight == 0.0, 2 * CORE + 1, mode="nearest")
    c = np.rint(col).astype(np.int64) - data.geometry.col0
    r = np.rint(row).astype(np.int64) - data.geometry.row0
    return np.asarray(~blocked[r, c])


def _step(
    data: _Data, scene: Scene, drawn: Drawn, sky: pixels.Sky, teachers: IntArray, good: NDArray[np.bool_], free: bool
) -> tuple[Prf, int]:
    """Improve the PRF with the good ones among the teachers."""
    from cuvee.kernels.prf_frames import star_moments

    kept = data.kept.take(good) if not good.all() else data.kept
    stars = teachers[good]
    width = 2 * data.params.half + 1
    first_col, first_row = drawn.first_col[stars], drawn.first_row[stars]
    moments = np.empty((stars.size, width * width, 6))
    planes = sky.planes(kept.cut_col, kept.cut_row, kept.cutouts.shape[2])
    star_moments(
        kept.cutouts, kept.cut_col, kept.cut_row, planes, drawn.model, data.variance, scene.factors,
        1.0 if free else np.inf, first_col, first_row, width, moments,
    )  # fmt: skip
    across = np.arange(width)
    pixel_row, pixel_col = first_row[:, None, None] + across[:, None], first_col[:, None, None] + across
    col, row, _ = data.catalogue
    shift = field_shift(scene, col, row, teachers)[stars]
    lesson = Lesson(
        col=scene.col[stars],
        row=scene.row[stars],
        flux=scene.flux[stars],
        off_prior=np.stack([scene.col[stars] - col[stars], scene.row[stars] - row[stars]], axis=1) - shift,
        stamps=drawn.values[:, stars],
        weight=data.weight[pixel_row, pixel_col].reshape(stars.size, -1).astype(np.float64),
        variance=data.variance[first_row + data.params.half, first_col + data.params.half].astype(np.float64),
        residual=moments,
        moments=np.einsum("ta,tb->ab", scene.factors, scene.factors),
    )
    return improve(scene.prf, lesson, free, data.params.position_error)


def _settle(data: _Data, scene: Scene, drawn: Drawn, sky: pixels.Sky, teachers: IntArray) -> Scene:
    """Improve all stars on the mean image."""
    residual = data.kept.mean - sky.mean_image()
    residual -= np.einsum("a,ayx->yx", scene.factors.mean(axis=0), drawn.model)
    col, row, flux = data.catalogue
    shift = field_shift(scene, col, row, teachers)
    prior = (col + shift[:, 0], row + shift[:, 1], flux)
    col, row, flux = settle(scene, drawn, residual, data.weight, prior, data.params.position_error)
    return replace(scene, col=col, row=row, flux=flux)


def _point(
    data: _Data, scene: Scene, drawn: Drawn, sky: pixels.Sky, teachers: IntArray, clip: float
) -> tuple[Scene, FloatArray]:
    """Find the pointing; return the scene with it and the scatter of each teacher's flux over what photons explain."""
    from cuvee.kernels.prf_frames import star_projections

    n, n_frame = teachers.size, scene.pointing.shape[0]
    residual, response, gram = np.empty((n, 3, n_frame)), np.empty((n, 3, 6)), np.empty((n, 3, 3))
    star_projections(
        data.kept.cutouts, data.kept.cut_col, data.kept.cut_row, data.planes(sky), drawn.model, data.variance,
        scene.factors, clip, drawn.first_col[teachers], drawn.first_row[teachers],
        np.ascontiguousarray(drawn.values[:3, teachers]), data.weight, residual, response, gram,
    )  # fmt: skip
    flux = scene.flux[teachers]
    pointing = solve_pointing(residual, response, gram, flux, scene.pointing)
    series, error = flux_series(residual, response, gram, scene.pointing, pointing)
    # The mean pointing is where the stars are.
    mean = pointing.mean(axis=0)
    scene = replace(scene, col=scene.col + mean[0], row=scene.row + mean[1], pointing=pointing - mean)
    return scene, series.std(axis=1, ddof=1) / error


def _constant(ratio: FloatArray, flux: FloatArray) -> NDArray[np.bool_]:
    """Tell which stars scatter no more than others as bright: a variable star would bend the PRF."""
    from scipy.ndimage import median_filter

    order = np.argsort(-flux, kind="stable")
    usual = np.empty_like(ratio)
    usual[order] = median_filter(ratio[order], min(101, ratio.size), mode="nearest")
    return np.asarray(ratio < 2.0 * usual + 0.5)


def _first(data: _Data, scene: Scene, sky: pixels.Sky, teachers: IntArray) -> tuple[Scene, _Data, IntArray]:
    """Fit a constant PRF to the catalogue's stars as they are, and move them so that it is centred."""
    for _ in range(4):
        scene = replace(scene, prf=replace(scene.prf, coef=np.zeros_like(scene.prf.coef)))
        first_col = np.rint(scene.col).astype(np.int64) - data.params.half - data.geometry.col0
        first_row = np.rint(scene.row).astype(np.int64) - data.params.half - data.geometry.row0
        inside_it = _inside_cutouts(data, first_col[teachers], first_row[teachers])
        data, teachers = replace(data, kept=data.kept.take(inside_it)), teachers[inside_it]
        drawn = draw(scene, data.geometry)
        prf, _ = _step(data, scene, drawn, sky, teachers, np.ones(teachers.size, np.bool_), free=False)
        scene = replace(scene, prf=prf)
        at = (np.arange(prf.coef.shape[1]) - prf.coef.shape[1] // 2) / prf.knots
        seen = prf.coef[0] * np.exp(-(at[:, None] ** 2 + at**2) / (2.0 * WINDOW**2))
        shift = np.array([(seen * at).sum(), (seen * at[:, None]).sum()]) / seen.sum()
        if np.abs(shift).max() < 0.01:
            break
        # The window hides about a third of the shift.
        shift = np.clip(1.4 * shift, -1.0, 1.0)
        scene = replace(scene, col=scene.col + shift[0], row=scene.row + shift[1])
    return scene, data, teachers


def learn(
    frames: Sequence[NDArray[Any]],
    geometry: Geometry,
    readout: Readout,
    col: FloatArray,
    row: FloatArray,
    flux: FloatArray,
    params: PrfParams | None = None,
    bad: NDArray[np.bool_] | None = None,
) -> Learned:
    """Learn the effective PRF from frames, together with the stars' positions and fluxes and the frames' pointing.

    The light of all stars in a frame is the Taylor series of their stamps in the frame's pointing, up to second order. So all
    that the frames say about the PRF is in six sums over the frames, weighted by the factors of the series, and the cost does not
    grow with their number. The PRF, its variation over the detector, and the stars' fluxes and positions are improved in turn with
    the pointing; in the PRF's step fluxes and positions of the stars that teach are free as well.

    Parameters
    ----------
    frames : sequence of arrays, each of shape (n_row, n_col)
        e-/s, any float type and byte order; memory-mapped views are read once, one after the other. Eight or more whose pointing
        differs: without jitter the pixel phase cannot be told from the shape.
    geometry : Geometry
        Where the pixels lie.
    readout : Readout
        Terms of the noise model.
    col, row : float64 array, shape (n_star,)
        Catalogue positions of *all* stars whose light reaches the pixels (detector px), good to a pixel in common and to
        ``params.position_error`` among neighbours.
    flux : float64 array, shape (n_star,)
        Their expected fluxes (e-/s), good to some ten percent.
    params : PrfParams, optional
        How.
    bad : bool array, shape (n_row, n_col), optional
        Pixels to leave out: bled over, say. Saturated ones (``readout.saturation``) and those that are not finite in every frame
        are left out anyhow.

    Returns
    -------
    Learned
        Two stars so near to each other that no pixel tells them apart share the measured flux by the catalogue's ratio.

    Raises
    ------
    AlgorithmError
        If fewer than 15 stars can teach, or the frames differ in shape, or there are fewer than two.
    """
    params = params or PrfParams()
    shape = (geometry.n_row, geometry.n_col)
    if len(frames) < 2 or any(frame.shape != shape for frame in frames):
        raise AlgorithmError(
            f"A PRF is learned from two or more frames of {shape} pixels, but got {len(frames)} of shapes "
            f"{sorted({frame.shape for frame in frames})}: check the reference set.",
            {"n_frame": len(frames)},
        )
    usable = np.isfinite(col) & np.isfinite(row) & np.isfinite(flux) & (flux > 0.0)
    stars = (
        np.asarray(col, np.float64)[usable],
        np.asarray(row, np.float64)[usable],
        np.asarray(flux, np.float64)[usable],
    )
    read = pixels.read_variance(readout, geometry.col0, geometry.n_col)
    level = np.asarray(frames[len(frames) // 2][::7, ::7], np.float64)
    level = level[np.isfinite(level)]
    noise = np.sqrt(max(float(np.median(level)) if level.size else 0.0, 0.0) / readout.exposure + read)
    teachers = _candidates(geometry, stars, float(np.median(noise)), readout.exposure, params)

    cut = 2 * (params.half + pixels.MARGIN) + 1
    cut_col = np.rint(stars[0][teachers]).astype(np.int64) - geometry.col0 - cut // 2
    cut_row = np.rint(stars[1][teachers]).astype(np.int64) - geometry.row0 - cut // 2
    left_out = np.zeros(shape, np.bool_) if bad is None else bad
    dark = pixels.dark_pixels(
        shape, left_out, stars[0] - geometry.col0, stars[1] - geometry.row0, stars[2], 0.1 * float(np.median(noise))
    )  # fmt: skip
    kept = pixels.keep(frames, cut_col, cut_row, cut, dark, noise)
    left_out = left_out | kept.bad | (kept.mean >= readout.saturation)
    variance = (np.maximum(kept.mean, 0.0) / readout.exposure + read).astype(np.float32)
    weight = np.where(left_out, np.float32(0.0), 1.0 / variance).astype(np.float32)
    data = _Data(kept, geometry, variance, weight, stars, params)

    whole = np.flatnonzero(_whole(data, stars[0][teachers], stars[1][teachers]))[: params.stars]
    data, teachers = replace(data, kept=kept.take(whole)), teachers[whole]
    if teachers.size < NEEDED[0]:
        raise AlgorithmError(
            f"Only {teachers.size} stars are bright, whole and isolated enough to teach the PRF, and it takes {NEEDED[0]}: "
            "use aperture photometry, or a lower signal-to-noise ratio.",
            {"n_teacher": teachers.size, "n_star": int(usable.sum()), "snr": params.snr},
        )
    order = min(params.order, sum(teachers.size >= n for n in NEEDED) - 1)
    n_knot = knot_count(params.knots, params.half)
    prf = Prf(
        coef=np.zeros((1, n_knot, n_knot)),
        knots=params.knots,
        half=params.half,
        order=0,
        centre=(geometry.col0 + 0.5 * (geometry.n_col - 1), geometry.row0 + 0.5 * (geometry.n_row - 1)),
        scale=(0.5 * geometry.n_col, 0.5 * geometry.n_row),
    )
    scene = Scene(prf, *stars, np.zeros((len(frames), 2)))
    sky = pixels.fit_sky(data.kept, shape)
    scene, data, teachers = _first(data, scene, sky, teachers)

    good = np.ones(teachers.size, np.bool_)
    n_unknown = 0
    for iteration in range(ITERATIONS):
        # The catalogue's fluxes are farther off than one linear step reaches.
        for _ in range(2 if iteration == 0 else 1):
            drawn = draw(scene, geometry)
            scene = _settle(data, scene, drawn, sky, teachers)
        drawn = draw(scene, geometry)
        found = _inside_cutouts(data, drawn.first_col[teachers], drawn.first_row[teachers]) & (
            scene.flux[teachers] > 0.0
        )
        data, teachers = replace(data, kept=data.kept.take(found)), teachers[found]
        scene, ratio = _point(data, scene, drawn, sky, teachers, 1.0 if iteration else np.inf)
        good = _constant(ratio, scene.flux[teachers]) if iteration else np.ones(teachers.size, np.bool_)
        if scene.prf.order < order:
            coef = np.zeros(((order + 1) * (order + 2) // 2, n_knot, n_knot))
            coef[: scene.prf.coef.shape[0]] = scene.prf.coef
            scene = replace(scene, prf=replace(scene.prf, coef=coef, order=order))
        drawn = draw(scene, geometry)
        good &= _inside_cutouts(data, drawn.first_col[teachers], drawn.first_row[teachers])
        prf, n_unknown = _step(data, scene, drawn, sky, teachers, good, free=iteration > 0)
        scene = replace(scene, prf=prf)
        if iteration < 2:
            sky = data.fit_sky(scene, draw(scene, geometry))
    for _ in range(2):
        scene = _settle(data, scene, draw(scene, geometry), sky, teachers)

    out = [np.array(values, np.float64) for values in (col, row, flux)]
    for values, new in zip(out, (scene.col, scene.row, scene.flux), strict=True):
        values[usable] = new
    return Learned(
        prf=scene.prf,
        col=out[0],
        row=out[1],
        flux=out[2],
        pointing=scene.pointing,
        variance=np.where(left_out, np.float32(np.inf), variance),
        teachers=np.flatnonzero(usable)[teachers[good]],
        numbers={"n_teacher": int(good.sum()), "n_unknown": n_unknown, "order": scene.prf.order},
    )
