"""The PSF solution of a stamp's frame once more, by dense least squares in double precision.

`cuvee.photometry.psf_stamp` says what is solved; here it is written down a second time, frame by frame, with the PRF drawn by its
definition (`cuvee.provenance.prf_stamps`). Arrays in, arrays out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from cuvee.extract.psf_stars import FULL, solved_stars
from cuvee.model.psf import StarModel
from cuvee.model.records import Geometry, Readout
from cuvee.photometry.dead import dead_pixels
from cuvee.photometry.noise import output_of, pixel_variance
from cuvee.photometry.psf_solve import BELIEVED, GOOD, MOST_HIT, ODD
from cuvee.photometry.psf_stamp import CORE, RANK, STEEP, SURE, TURNS
from cuvee.provenance.prf_stamps import stamps

__all__ = ["FrameSolution", "StampScene", "solve_frame", "stamp_scene"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StampScene:
    """The mean of frames that point alike, and its stars; pixels lie in one row.

    Parameters
    ----------
    image : float64 array, shape (n_pixel,)
        The mean (e-/s).
    weight : float64 array, shape (n_pixel,)
        One over the error of a pixel in one frame; 0 where it takes no part.
    solved : int64 array, shape (n_solved,)
        Stars of the model whose flux is sought.
    drawn : float64 array, shape (6, n_pixel, n_solved)
        They with unit flux, and their derivatives.
    light : float64 array, shape (6, n_pixel)
        All stars as they are in the mean.
    flux : float64 array, shape (n_star,)
        Fluxes of all stars of the model in the mean (e-/s).
    level : bool
        Whether the background may change.
    exposure : float
        s.
    """

    image: FloatArray
    weight: FloatArray
    solved: NDArray[np.int64]
    drawn: FloatArray
    light: FloatArray
    flux: FloatArray
    level: bool
    exposure: float


@dataclass(frozen=True, slots=True)
class FrameSolution:
    """What is found in one frame.

    Parameters
    ----------
    change, error, chi2, missing : float64 array, shape (n_solved,)
        Change of the flux against the mean, its error (e-/s), reduced chi2 of the star's core, share of its weights on missing pixels.
    pointing : float64 array, shape (2,)
        Displacement against the mean (px).
    brighter : float
        Change of the background (e-/s/pixel); 0 where it may not change.
    gain : float64 array, shape (n_solved, n_pixel)
        What a pixel adds to a flux; 0 for those not used.
    curved : float64 array, shape (n_pixel,)
        What is not linear in displacement and fluxes (e-/s).
    hit : int64 array
        Pixels that were left out as hit by a cosmic ray.
    variance : float64 array, shape (2, n_solved)
        Terms of the error's square: of a frame like the mean, of the change of the background.
    last : float64 array, shape (n_solved,)
        How far the fluxes moved in the last turn of the solution (e-/s).
    """

    change: FloatArray
    error: FloatArray
    chi2: FloatArray
    missing: FloatArray
    pointing: FloatArray
    brighter: float
    gain: FloatArray
    curved: FloatArray
    hit: NDArray[np.int64]
    variance: FloatArray
    last: FloatArray


def stamp_scene(
    model: StarModel, cube: NDArray[np.float32], quality: NDArray[np.int32], targets: BoolArray, geometry: Geometry,
    readout: Readout, behind: NDArray[np.float32] | None, level: bool,
) -> StampScene:  # fmt: skip
    """Take the mean of frames, and fit the stars to it.

    Parameters
    ----------
    model : StarModel
        Stars, moved to where these frames have them.
    cube : float32 array, shape (n_frame, n_row, n_col)
        The frames (e-/s).
    quality : int32 array, shape (n_frame,)
        The mission's bits: frames without any make the mean, where there are such.
    targets : bool array, shape (n_star,)
        Stars of the model that are targets.
    geometry, readout
        Where the pixels lie, and the terms of the noise model.
    behind : float32 array, shape (n_row, n_col), optional
        What the mission subtracted in the mean of all frames (e-/s).
    level : bool
        Whether the background may change.
    """
    good = cube[quality == 0] if (quality == 0).any() else cube
    seen = np.isfinite(good)
    total = np.where(seen, good, 0.0).astype(np.float64).sum(axis=0)
    image = np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), np.nan)
    image = image.astype(np.float32).astype(np.float64)  # as it is kept
    col = geometry.col0 + np.arange(geometry.n_col, dtype=np.float64)
    light = image if behind is None else image + behind
    with np.errstate(invalid="ignore"):
        variance = np.maximum(light, 0.0) / readout.exposure + pixel_variance(readout)[output_of(col, readout)]
        usable = (light < FULL * readout.saturation) & np.isfinite(image) & (variance > 0.0)
        usable &= ~dead_pixels(image.astype(np.float32), np.sqrt(pixel_variance(readout)[output_of(col, readout)]))
        usable &= ~binary_dilation(light >= FULL * readout.saturation, np.ones((3, 3), bool))
        weight = np.where(usable, 1.0 / np.sqrt(variance), 0.0).ravel()
    where = model.col - geometry.col0, model.row - geometry.row0
    solved = np.flatnonzero(solved_stars(*where, model.flux, targets, image.shape))
    drawn = _draw(model, geometry)
    flux = _fluxes(drawn[0], model.flux, solved, image.ravel(), weight)
    return StampScene(
        image.ravel(), weight, solved, drawn[:, :, solved], drawn @ flux, flux, level, readout.exposure
    )  # fmt: skip


def _draw(model: StarModel, geometry: Geometry) -> FloatArray:
    """Draw all stars with unit flux on the stamp's pixels, shape (6, n_pixel, n_star)."""
    corner, values = stamps(model.prf, model.col, model.row)
    side = values.shape[-1]
    out = np.zeros((6, len(model), geometry.n_row, geometry.n_col))
    for k, (first_row, first_col) in enumerate((corner - [geometry.row0, geometry.col0]).tolist()):
        for i in range(max(0, -first_row), min(side, geometry.n_row - first_row)):
            low, high = max(0, -first_col), min(side, geometry.n_col - first_col)
            if low < high:
                out[:, k, first_row + i, first_col + low : first_col + high] = values[:, k, i, low:high]
    return out.reshape(6, len(model), -1).transpose(0, 2, 1)


def _fluxes(
    drawn: FloatArray, flux: FloatArray, solved: NDArray[np.int64], image: FloatArray, weight: FloatArray
) -> FloatArray:
    """Fit the stars that are solved for, and a background, to the mean."""
    used = weight > 0.0
    others = np.setdiff1d(np.arange(flux.size), solved)
    out = flux.copy()
    if used.sum() > solved.size + 1:
        rest = image[used] - drawn[np.ix_(used, others)] @ flux[others]
        columns = np.column_stack([drawn[np.ix_(used, solved)], np.ones(rest.size)])
        out[solved] = _solve(columns * weight[used, None], rest * weight[used])[:-1]
    return out


def _inverse(columns: FloatArray) -> FloatArray:
    """Return the pseudo-inverse of columns that are brought to one length first."""
    reach = np.linalg.norm(columns, axis=0)
    reach[reach == 0.0] = 1.0
    left, size, right = np.linalg.svd(columns / reach, full_matrices=False)
    kept = size > RANK * size[0]
    return np.asarray((right[kept].T / size[kept]) @ left[:, kept].T / reach[:, None])


def _solve(columns: FloatArray, right: FloatArray) -> FloatArray:
    return _inverse(columns) @ right


def solve_frame(scene: StampScene, frame: FloatArray) -> FrameSolution | None:
    """Solve one frame.

    Parameters
    ----------
    scene : StampScene
        What it is compared with.
    frame : float64 array, shape (n_pixel,)
        Its pixels (e-/s); NaN where one is missing.

    Returns
    -------
    FrameSolution or None
        None where it has too few pixels.
    """
    known = np.isfinite(scene.image) & (scene.weight > 0.0)
    design = [scene.drawn[0], *([np.ones((scene.image.size, 1))] if scene.level else [])]
    columns = np.column_stack([*design, scene.light[1:3].T]) * scene.weight[:, None]
    if known.sum() <= columns.shape[1] or not (np.linalg.norm(_inverse(columns[known])[-2:], axis=1) < SURE).all():
        columns = columns[:, :-2]
    used = np.isfinite(frame) & known
    if used.sum() <= columns.shape[1]:
        return None
    whole, pull = _fit(scene, columns, frame, used)
    core = scene.drawn[0] > CORE * np.maximum(scene.drawn[0].max(axis=0), 1e-30)
    kept, found, left = used.copy(), whole, pull
    for _ in range(MOST_HIT):
        if not np.nanmax(left, initial=0.0) > ODD or kept.sum() <= columns.shape[1] + 1:
            break
        kept[np.nanargmax(left)] = False
        found, left = _fit(scene, columns, frame, kept)
    chi2 = _chi2(left, core)
    if not (kept == used).all() and not (chi2 <= GOOD).all():
        kept, found, chi2 = used, whole, _chi2(pull, core)
    amount, variance = found.amount, found.variance
    n = scene.solved.size
    share = np.where(known[:, None], scene.weight[:, None] ** 2 * scene.drawn[0], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        missing = share[~np.isfinite(frame - scene.image)].sum(axis=0) / share.sum(axis=0)
    return FrameSolution(
        amount[:n], np.sqrt(np.maximum(variance.sum(axis=0), 0.2 * variance[0])), chi2, np.where(np.isfinite(missing), missing, 1.0),
        amount[-2:] if columns.shape[1] > n + scene.level else np.zeros(2), found.brighter, found.gain, found.curved,
        np.flatnonzero(used & ~kept), variance, np.abs(found.last),
    )  # fmt: skip


class _Found(NamedTuple):
    """A solution: all amounts, and as `FrameSolution` has them; ``last`` is how far the fluxes moved in the last turn."""

    amount: FloatArray
    gain: FloatArray
    curved: FloatArray
    variance: FloatArray
    brighter: float
    last: FloatArray


def _fit(scene: StampScene, columns: FloatArray, frame: FloatArray, used: BoolArray) -> tuple[_Found, FloatArray]:
    """Return the solution with some pixels, and how far each of these lies off what the others tell, in errors."""
    n, steady = scene.solved.size, columns.shape[1] == scene.solved.size + scene.level
    inverse = _inverse(columns[used])
    above = frame - scene.image
    curved = np.zeros(frame.size)
    amount = before = np.zeros(columns.shape[1])
    for _ in range(1 if steady else TURNS):
        before = amount
        amount = inverse @ ((above - curved) * scene.weight)[used]
        if not steady:
            dx, dy = amount[-2:]
            _, _, _, xx, xy, yy = scene.light
            curved = 0.5 * dx * dx * xx + dx * dy * xy + 0.5 * dy * dy * yy
            curved = curved + (dx * scene.drawn[1] + dy * scene.drawn[2]) @ amount[:n]
    left = (above - curved) * scene.weight - columns @ amount
    slope = np.zeros(frame.size) if steady else amount[-2:] @ scene.light[1:3]
    doubt = (BELIEVED * scene.light[0]) ** 2 + (STEEP * slope) ** 2
    own = np.full(frame.size, np.nan)
    own[used] = 1.0 - (columns[used] * inverse.T).sum(axis=1)
    with np.errstate(invalid="ignore"):
        pull = left / np.sqrt(1.0 + scene.weight**2 * doubt) / np.sqrt(own)
    pull[~used | ~(own > 0.05)] = np.nan
    gain = np.zeros((n, frame.size))
    gain[:, used] = inverse[:n] * scene.weight[used]
    brighter = float(amount[n]) if scene.level else 0.0
    variance = np.stack([(inverse[:n] ** 2).sum(axis=1), brighter * (gain**2).sum(axis=1) / scene.exposure])
    last = np.zeros(n) if steady else amount[:n] - before[:n]
    return _Found(amount, gain, curved, variance, brighter, last), pull


def _chi2(pull: FloatArray, core: BoolArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            np.nansum(pull[:, None] ** 2 * core, axis=0) / (np.isfinite(pull)[:, None] & core).sum(axis=0)
        )
