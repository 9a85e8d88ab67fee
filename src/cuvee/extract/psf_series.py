"""PSF fluxes of a stamp in all its frames, with the pointing and the background of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee import prf
from cuvee.extract.params import ExtractParams
from cuvee.extract.psf import SPOILT
from cuvee.extract.psf_stars import FULL, apart, inverse_variance, solved_stars
from cuvee.model import flags
from cuvee.model.psf import StarModel
from cuvee.model.records import FileInfo, Pixels, Reference
from cuvee.photometry.psf_stamp import StampModel, solve_stamp

__all__ = ["psf_planes", "stamp_images", "with_psf"]

FloatArray = NDArray[np.float64]

PLANES = ("psf_flux", "psf_flux_err", "psf_chi2")


CELL = 0.2
"""Frames are measured together that lie in a square of this side (px); those of others have a mean image of their own."""

FAR, FARTHEST = 0.5, 1.5
"""A frame that lies farther than this off its mean image has no PSF fluxes; and frames are looked for no farther off the stamp's (px)."""

MOVING, PARTS = 0.1, 5
"""Where the centre of a stamp's light moves by more than this (px, standard deviations up and down), this many mean images are made."""

SEEN = 0.5
"""Share of a star's light on the stamp that must lie on pixels which take part."""

TOGETHER = 1024
"""Frames that are in memory several times at once."""


def with_psf(
    params: ExtractParams,
    model: StarModel | None,
    pixels: Pixels,
    info: FileInfo,
    ids: NDArray[np.int64],
    flag: NDArray[np.int32],
    meta: dict[str, Any],
) -> dict[str, NDArray[np.float32]]:
    """Return the planes of PSF photometry where it is asked for, and put the pointing into ``meta``.

    Parameters
    ----------
    params : ExtractParams
        Whether it is.
    model, pixels, info, ids, flag
        As `psf_planes` takes them.
    meta : dict
        Receives ``pointing``, and ``shift``.

    Returns
    -------
    dict of str to float32 array, shape (n_star, n_frame)
        Nothing where it is not asked for.
    """
    if not params.psf_of_stamps:
        return {}
    planes, meta["pointing"], meta["shift"] = psf_planes(model, pixels, info, ids, flag)
    return planes


def psf_planes(
    model: StarModel | None,
    pixels: Pixels,
    info: FileInfo,
    ids: NDArray[np.int64],
    flag: NDArray[np.int32],
) -> tuple[dict[str, NDArray[np.float32]], list[Any], list[Any]]:
    """Measure the PSF fluxes of a stamp's stars, all cadences at once.

    Parameters
    ----------
    model : StarModel, optional
        PRF and stars; without it there are no fluxes, and the flags say so.
    pixels : Pixels
        The stamp's pixels.
    info : FileInfo
        What its headers say.
    ids : int64 array, shape (n_star,)
        Catalogue ids of the stamp's targets.
    flag : int32 array, shape (n_star, n_frame)
        Receives the bits ``NO_PSF``, ``NAN_PIXEL`` and ``COSMIC_RAY`` beside those that it holds.

    Returns
    -------
    planes : dict of str to float32 array, shape (n_star, n_frame)
        ``psf_flux``, ``psf_flux_err`` (e-/s) and ``psf_chi2``.
    pointing : list
        How far the stars lie in each frame from where the model has them, in column and row (px); None where that is not known.
    shift : list
        By how much of that the stars were moved before the frame was measured (px), which is the same for all frames that share a mean
        image; None for a frame that was not measured.
    """
    n_frame = info.moments.cadence.size
    planes = {name: np.full((ids.size, n_frame), np.nan, np.float32) for name in PLANES}
    where: list[Any] = [None] * n_frame
    shift: list[Any] = [None] * n_frame
    cube = np.asarray(pixels.flux, np.float32)
    cube = np.where(np.isfinite(cube), cube, np.float32(np.nan))
    frames = np.flatnonzero(np.isfinite(cube).any(axis=(1, 2)))
    if model is not None and frames.size:
        behind = None if pixels.background is None else _mean(np.asarray(pixels.background, np.float32))
        for some, moved, done in _groups(apart(model), cube, frames, info, ids, behind):
            for name, values in zip(PLANES, done.planes, strict=True):
                planes[name][:, some] = values
            flag[:, some] |= done.flag
            for k, one in zip(some.tolist(), done.pointing, strict=True):
                where[k] = np.round(one + moved, 7)[:, None].tolist() if np.isfinite(one).all() else None
                shift[k] = moved.tolist()
    flag[np.isnan(planes["psf_flux"])] |= np.int32(flags.NO_PSF)
    return planes, where, shift


class _Done(NamedTuple):
    """What was measured: planes, shape (3, n_target, n_frame), flags, pointing, shape (n_frame, 2), all stars' mean fluxes."""

    planes: NDArray[np.float32]
    flag: NDArray[np.int32]
    pointing: FloatArray
    flux: FloatArray


def stamp_images(pixels: Pixels, info: FileInfo) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Return means of a stamp's frames of quality 0 (of all, if there is none) that point alike, and their variance.

    Parameters
    ----------
    pixels : Pixels
        The stamp's pixels.
    info : FileInfo
        What its headers say.

    Returns
    -------
    image, variance : float32 array, shape (n_image, n_row, n_col)
        e-/s and (e-/s)^2; the variance is inf where a pixel is full of charge, or never seen. One image where the stars keep their
        place, else `PARTS` along the way that they go.
    number : int64 array, shape (n_image,)
        Frames in each.
    """
    good = np.flatnonzero(info.moments.quality == 0)
    good = good if good.size else np.arange(info.moments.quality.size)
    cube = np.asarray(pixels.flux[good], np.float32)
    behind = None if pixels.background is None else _mean(np.asarray(pixels.background, np.float32))
    parts = _parts(cube)
    images = np.stack([_mean(cube[part]) for part in parts])
    variance = np.full(images.shape, np.inf, np.float32)
    for image, part, out in zip(images, parts, variance, strict=True):
        trust = _trust(info, image, behind)
        np.divide(1.0 / part.size, trust, out=out, where=trust > 0.0)
    return images, variance, np.array([part.size for part in parts])


def _parts(cube: NDArray[np.float32]) -> list[NDArray[np.int64]]:
    """Return frames whose light has nearly the same centre: parts of the way along which it moves most."""
    row, col = np.indices(cube.shape[1:])
    with np.errstate(invalid="ignore"):
        light = np.nan_to_num(np.clip(cube - _median(cube)[:, None, None], 0.0, None))
    total = np.maximum(light.sum(axis=(1, 2)), 1e-30)
    middle = np.stack([(light * axis).sum(axis=(1, 2)) / total for axis in (col, row)], axis=1)
    off = middle - np.median(middle, axis=0)
    near = np.hypot(*off.T) < 5.0 * max(float(np.median(np.hypot(*off.T))), 1e-6)
    along = off @ np.linalg.svd(off[near], full_matrices=False)[2][0]
    order = np.argsort(along, kind="stable")
    if np.subtract(*np.percentile(along, [84, 16])) < MOVING or cube.shape[0] < 10 * PARTS:
        return [np.sort(order[order.size // 4 : order.size - order.size // 4])]
    # Of each part the middle, lest its own mean be blurred, or an odd frame be in it.
    return [np.sort(part[part.size // 5 : part.size - part.size // 5]) for part in np.array_split(order, PARTS)]


def _median(cube: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of each frame; 0 where it has no pixel."""
    seen = np.where(np.isfinite(cube).any(axis=(1, 2), keepdims=True), cube, np.float32(0.0))
    return np.asarray(np.nanmedian(seen, axis=(1, 2)), np.float32)


def _trust(info: FileInfo, image: NDArray[np.float32], behind: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return the weights of the pixels; those beside one that is full of charge take no part either, for it runs over."""
    from scipy.ndimage import binary_dilation

    still = Reference(
        info.series, info.geometry, image, info.wcs, np.nan, info.time_ra, info.time_dec, (), info.readout
    )
    weight = inverse_variance(image, still, behind)
    light = image if behind is None else image + behind
    full = binary_dilation(light >= FULL * info.readout.saturation, np.ones((3, 3), bool))
    return np.where(full, np.float32(0.0), weight)


def _groups(
    model: StarModel, cube: NDArray[np.float32], frames: NDArray[np.int64], info: FileInfo, ids: NDArray[np.int64],
    behind: NDArray[np.float32] | None,
) -> Iterator[tuple[NDArray[np.int64], FloatArray, _Done]]:  # fmt: skip
    """Yield groups of frames that point alike, by how much the stars are moved there, and what was measured in them."""
    quality = info.moments.quality
    first = _measure(model, cube[frames], info, quality[frames], ids, behind)
    # All frames' stars lie on one scale, that of the model.
    first.planes[0] += _of_targets(model.flux - first.flux, model, ids)
    at = np.clip(first.pointing, -FARTHEST, FARTHEST)
    cells, which = np.unique(np.rint(at / CELL).astype(np.int64), axis=0, return_inverse=True)
    if cells.shape[0] == 1:
        yield frames, np.zeros(2), first
        return
    for k in range(cells.shape[0]):
        some = np.flatnonzero(which.ravel() == k)
        moved = at[some].mean(axis=0)
        there = replace(model, col=model.col + moved[0], row=model.row + moved[1])
        done = _measure(there, cube[frames[some]], info, quality[frames[some]], ids, behind)
        done.planes[0] += _of_targets(model.flux - first.flux, model, ids)
        yield frames[some], moved, done


def _of_targets(values: FloatArray, model: StarModel, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return values of the targets, shape (n_target, 1); 0 for those that the model lacks."""
    number = {star: k for k, star in enumerate(model.id.tolist())}
    return np.array([[values[number[star]] if star in number else 0.0] for star in ids.tolist()], np.float32)


def _measure(
    model: StarModel, cube: NDArray[np.float32], info: FileInfo, quality: NDArray[np.int32], ids: NDArray[np.int64],
    behind: NDArray[np.float32] | None,
) -> _Done:  # fmt: skip
    """Measure frames that point nearly alike."""
    geometry = info.geometry
    image = _mean(cube[quality == 0] if (quality == 0).any() else cube)
    trust = _trust(info, image, behind)
    order = {star: k for k, star in enumerate(ids.tolist())}
    output = np.array([order.get(star, -1) for star in model.id.tolist()], np.int64)
    col, row = model.col - geometry.col0, model.row - geometry.row0
    solved = np.flatnonzero(solved_stars(col, row, model.flux, output >= 0, image.shape))
    stars = prf.unit_stars(model.prf, np.column_stack([model.col, model.row]), geometry)
    flux = _as_seen(stars[0], model.flux, solved, image, trust)
    scene = StampModel(
        still=image.ravel().astype(np.float64),
        stars=stars[:3, :, solved],
        light=stars @ flux,
        inverse_variance=trust.ravel().astype(np.float64),
        exposure=info.readout.exposure,
        level=not info.background_subtracted,
    )
    out = _Done(
        np.full((3, ids.size, cube.shape[0]), np.nan, np.float32), np.zeros((ids.size, cube.shape[0]), np.int32),
        np.zeros((cube.shape[0], 2)), flux,
    )  # fmt: skip
    # Of a star whose middle is full of charge there are only the wings, and these are the PRF's weakest part.
    light = stars[0][:, solved]
    hidden = light[scene.inverse_variance > 0.0].sum(axis=0) < SEEN * light.sum(axis=0)
    target = output[solved] >= 0
    to = output[solved][target]
    for start in range(0, cube.shape[0], TOGETHER):
        some = slice(start, min(start + TOGETHER, cube.shape[0]))
        found = solve_stamp(scene, cube[some].reshape(-1, image.size))
        known = (found.missing <= SPOILT) & np.isfinite(found.change + found.chi2)
        away = np.abs(found.pointing).max(axis=1) > FAR
        lost: NDArray[np.bool_] = ~known | hidden | away[:, None]
        for plane, values in zip(out.planes, (found.change + flux[solved], found.error, found.chi2), strict=True):
            plane[to, some] = np.where(lost, np.nan, values)[:, target].T
        bits = np.where(found.missing > 0.0, flags.NAN_PIXEL, 0) | np.where(found.hit & ~lost, flags.COSMIC_RAY, 0)
        out.flag[to, some] |= bits[:, target].T.astype(np.int32)
        out.pointing[some] = found.pointing
    return out


def _as_seen(
    stars: FloatArray,
    flux: FloatArray,
    solved: NDArray[np.int64],
    image: NDArray[np.float32],
    trust: NDArray[np.float32],
) -> FloatArray:
    """Return the fluxes of the stars in an image: those that are solved are fitted to it with its background."""
    weight = np.sqrt(trust.ravel().astype(np.float64))
    used = weight > 0.0
    fixed = np.ones(flux.size, bool)
    fixed[solved] = False
    rest = image.ravel()[used] - stars[used][:, fixed] @ flux[fixed]
    columns = np.column_stack([stars[used][:, solved], np.ones(rest.size)]) * weight[used, None]
    reach = np.maximum(np.sqrt((columns**2).sum(axis=0)), 1e-30)
    out = flux.copy()
    if rest.size > columns.shape[1]:
        out[solved] = (np.linalg.lstsq(columns / reach, rest * weight[used], rcond=1e-6)[0] / reach)[:-1]
    return out


def _mean(cube: NDArray[np.float32]) -> NDArray[np.float32]:
    seen = np.isfinite(cube)
    number = seen.sum(axis=0)
    total = np.where(seen, cube, np.float32(0.0)).sum(axis=0, dtype=np.float64)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan).astype(np.float32)
