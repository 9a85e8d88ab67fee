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
from cuvee.photometry.noise import variance_at
from cuvee.prf.frames import MARGIN, dark_pixels, fit_sky, keep
from cuvee.prf.monitor import Mismatch, monitor
from cuvee.prf.params import PrfParams
from cuvee.prf.rounds import Data, constant, first_prf, improve_prf, in_cutouts, mean_residual, point, settle_stars
from cuvee.prf.scene import Scene, draw
from cuvee.prf.stars import inside, isolated

__all__ = ["Learned", "learn"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NEEDED = (15, 60, 150, 250)
"""Teachers that a PRF of order 0, 1, 2, 3 needs."""

CLIP = (float("inf"), 0.5, 0.1)
"""Share of the stars' light by which a pixel may differ from them in each iteration; at first nothing is known of the jitter."""

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
    residual : float32 array, shape (n_row, n_col)
        The mean of the frames less sky and stars (e-/s).
    teachers : int64 array, shape (n_teacher,)
        Rows of the stars that taught in the end.
    numbers : mapping of str to float
        ``n_teacher``, ``n_unknown``, ``order``.
    mismatch : Mismatch
        How well the PRF fits the teachers on the mean of the frames.
    """

    prf: Prf
    col: FloatArray
    row: FloatArray
    flux: FloatArray
    pointing: FloatArray
    variance: NDArray[np.float32]
    residual: NDArray[np.float32]
    teachers: IntArray
    numbers: Mapping[str, float]
    mismatch: Mismatch


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
    margin = params.half + MARGIN + 1
    chosen = np.flatnonzero((snr >= params.snr) & inside(col, row, data_shape, margin))
    chosen = chosen[np.argsort(-snr[chosen], kind="stable")]
    chosen = chosen[isolated(col, row, flux, chosen, params.half)]
    # Some of the brightest will turn out to be saturated.
    return chosen[: params.stars + params.stars // 4]


def _whole(weight: NDArray[np.float32], geometry: Geometry, col: FloatArray, row: FloatArray) -> NDArray[np.bool_]:
    """Tell which stars have no bad pixel in their core."""
    from scipy import ndimage

    blocked = ndimage.maximum_filter(weight == 0.0, 2 * CORE + 1, mode="nearest")
    c = np.rint(col).astype(np.int64) - geometry.col0
    r = np.rint(row).astype(np.int64) - geometry.row0
    return np.asarray(~blocked[r, c])


def _prepare(
    frames: Sequence[NDArray[Any]],
    geometry: Geometry,
    readout: Readout,
    stars: tuple[FloatArray, FloatArray, FloatArray],
    params: PrfParams,
    bad: NDArray[np.bool_] | None,
    gain: NDArray[np.float32] | None,
) -> tuple[Data, IntArray]:
    """Choose the teachers, read the frames, and weigh their pixels."""
    col, row, flux = stars
    read = variance_at(geometry.col0 + np.arange(geometry.n_col, dtype=np.float64), readout)
    level = np.asarray(frames[len(frames) // 2][::7, ::7], np.float64)
    level = level[np.isfinite(level)]
    noise = np.sqrt(max(float(np.median(level)) if level.size else 0.0, 0.0) / readout.exposure + read)
    usual = float(np.median(noise))
    teachers = _candidates(geometry, stars, usual, readout.exposure, params)
    size = 2 * (params.half + MARGIN) + 1
    cut_col = np.rint(col[teachers]).astype(np.int64) - geometry.col0 - size // 2
    cut_row = np.rint(row[teachers]).astype(np.int64) - geometry.row0 - size // 2
    left_out = np.zeros((geometry.n_row, geometry.n_col), np.bool_) if bad is None else bad
    dark = dark_pixels(left_out, col - geometry.col0, row - geometry.row0, flux, 0.1 * usual)
    kept = keep(frames, cut_col, cut_row, size, dark, noise, gain)
    left_out = left_out | kept.bad | (kept.mean >= readout.saturation)
    variance = (np.maximum(kept.mean, 0.0) / readout.exposure + read).astype(np.float32)
    weight = np.where(left_out, np.float32(0.0), 1.0 / variance).astype(np.float32)
    cutout = np.full(col.size, -1)
    cutout[teachers] = np.arange(teachers.size)
    whole = _whole(weight, geometry, col[teachers], row[teachers])
    return Data(kept, geometry, variance, weight, stars, cutout, params), teachers[whole][: params.stars]


def _need(teachers: IntArray, params: PrfParams) -> None:
    """Raise `AlgorithmError` if there are too few teachers."""
    if teachers.size < NEEDED[0]:
        raise AlgorithmError(
            f"Only {teachers.size} stars are bright, whole and isolated enough to teach the PRF, and it takes {NEEDED[0]}: "
            "use aperture photometry, or a lower signal-to-noise ratio.",
            {"n_teacher": teachers.size, "snr": params.snr},
        )


def _centred(scene: Scene) -> Scene:
    """Move the stars to the mean pointing."""
    mean = scene.pointing.mean(axis=0)
    return replace(scene, col=scene.col + mean[0], row=scene.row + mean[1], pointing=scene.pointing - mean)


def _raised(prf: Prf, order: int) -> Prf:
    """Give a PRF terms up to an order; the new ones are zero."""
    coef = np.zeros(((order + 1) * (order + 2) // 2, *prf.coef.shape[1:]))
    coef[: prf.coef.shape[0]] = prf.coef
    return replace(prf, coef=coef, order=order)


def learn(
    frames: Sequence[NDArray[Any]],
    geometry: Geometry,
    readout: Readout,
    col: FloatArray,
    row: FloatArray,
    flux: FloatArray,
    params: PrfParams | None = None,
    bad: NDArray[np.bool_] | None = None,
    known: Prf | None = None,
    gain: NDArray[np.float32] | None = None,
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
    known : Prf, optional
        The PRF, where it need not be learned; ``params.half`` must be its own.
    gain : float32 array, shape (n_col,), optional
        By what the pixels of each column are multiplied first, so that all of them answer to light alike.

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
    usable = np.flatnonzero(np.isfinite(col) & np.isfinite(row) & np.isfinite(flux) & (flux > 0.0))
    # Neighbours on the frames should be neighbours in memory.
    usable = usable[np.lexsort((col[usable], np.rint(row[usable])))]
    stars = (
        np.asarray(col, np.float64)[usable],
        np.asarray(row, np.float64)[usable],
        np.asarray(flux, np.float64)[usable],
    )
    data, teachers = _prepare(frames, geometry, readout, stars, params, bad, gain)
    _need(teachers, params)
    order = min(params.order, sum(teachers.size >= n for n in NEEDED) - 1)
    n_knot = knot_count(params.knots, params.half)
    nothing = Prf(
        coef=np.zeros((1, n_knot, n_knot)),
        knots=params.knots,
        half=params.half,
        order=0,
        centre=(geometry.col0 + 0.5 * (geometry.n_col - 1), geometry.row0 + 0.5 * (geometry.n_row - 1)),
        scale=(0.5 * geometry.n_col, 0.5 * geometry.n_row),
    )
    sky = fit_sky(data.kept, shape)
    scene, teachers = first_prf(data, Scene(nothing, *stars, np.zeros((len(frames), 2))), sky, teachers)
    if known is not None:
        scene = replace(scene, prf=known)
    drawn = draw(scene, geometry)
    n_unknown = 0
    for iteration, clip in enumerate(CLIP):
        # The catalogue's fluxes are farther off than one linear step reaches.
        for _ in range(2 if iteration == 0 else 1):
            scene = settle_stars(data, scene, drawn, sky, teachers)
            del drawn
            drawn = draw(scene, geometry)
        teachers = teachers[in_cutouts(data, scene, teachers)]
        _need(teachers, params)
        pointing, scatter = point(data, scene, drawn, sky, teachers, clip)
        if iteration:
            teachers = teachers[constant(scatter, scene.flux[teachers])]
        _need(teachers, params)
        scene = replace(scene, pointing=pointing)
        if known is None:
            scene = replace(scene, prf=_raised(scene.prf, order))
            scene, n_unknown = improve_prf(data, scene, drawn.model, sky, teachers, iteration > 0, clip)
        scene = _centred(scene)
        del drawn
        drawn = draw(scene, geometry)
        if iteration < 2:
            sky = fit_sky(data.kept, shape, drawn.model, scene.factors)
    scene = settle_stars(data, scene, drawn, sky, teachers)
    del drawn
    residual = mean_residual(data, scene, draw(scene, geometry), sky)
    variance = np.where(data.weight > 0.0, data.variance, np.inf).astype(np.float32)
    taught = (scene.col[teachers], scene.row[teachers], scene.flux[teachers])
    mismatch = monitor(scene.prf, residual, variance / np.float32(len(frames)), geometry, *taught)

    out = [np.array(values, np.float64) for values in (col, row, flux)]
    for values, new in zip(out, (scene.col, scene.row, scene.flux), strict=True):
        values[usable] = new
    return Learned(
        prf=scene.prf,
        col=out[0],
        row=out[1],
        flux=out[2],
        pointing=scene.pointing,
        variance=variance,
        residual=residual.astype(np.float32),
        teachers=usable[teachers],
        mismatch=mismatch,
        numbers={"n_teacher": teachers.size, "n_unknown": n_unknown, "order": scene.prf.order},
    )
