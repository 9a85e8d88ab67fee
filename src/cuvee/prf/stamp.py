"""The stars of a stamp, of which there are few: where they are and how bright, with a PRF that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.model.prf import Prf
from cuvee.model.records import Geometry
from cuvee.prf.spline import stamps

__all__ = ["Settled", "pixel_weights", "settle_stamp", "unit_stars"]

FloatArray = NDArray[np.float64]

SEARCHES = 2
"""How often stars are looked for that the catalogue lacks."""

TRIES = 5
"""Places each way at which a stamp is looked for, within two standard deviations."""

FARTHEST = 1.5
"""A stamp's image is moved no farther than this (px)."""

FLUX_ERROR = 0.3
"""Relative standard deviation of the catalogue's fluxes."""

FOUND = 0.2
"""Standard deviation of the place of a star that was found (px)."""

SIGNAL = 8.0
"""Signal-to-noise ratio from which there is one more star."""

STEP, BESIDE = 0.5, 1.5
"""Stars are looked for on a grid of this step, so far beside the pixels, too (px)."""

HIDDEN = 0.1
"""Where the pixels would see less than this of what they see of a star elsewhere, none is looked for."""

FAR = 2.0
"""No star is moved farther than so many of these standard deviations."""

GHOST, BESIDE_STAR = 0.2, 2.5
"""A peak nearer than this (px) to a known star, and with less than this share of its light, is what the PRF lacks, too."""

APART = 1.2
"""A peak nearer than this (px) to a known star is what the PRF lacks, not a star."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The stars of a stamp.

    Parameters
    ----------
    col, row, flux : float64 array, shape (n_star,)
        Detector positions (px) and fluxes (e-/s): first the given stars, then those that were found.
    shift : float64 array, shape (n_image, 2)
        How far the stars of each image lie off those of the middle one (px).
    level : float64 array, shape (n_image,)
        Background of the images (e-/s/pixel).
    light : float32 array, shape (n_image, n_row, n_col)
        All stars in the images (e-/s).
    """

    col: FloatArray
    row: FloatArray
    flux: FloatArray
    shift: FloatArray
    level: FloatArray
    light: NDArray[np.float32]


def settle_stamp(
    prf: Prf,
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    geometry: Geometry,
    col: FloatArray,
    row: FloatArray,
    flux: FloatArray,
    position_error: float,
    common_error: float,
    misfit: float,
) -> Settled:
    """Fit all stars and the background of a stamp's mean images, and look for stars that are not known.

    Fluxes and background are linear, and fluxes are not negative (Lawson & Hanson 1995, Solving Least Squares Problems, ch. 23); the
    places are improved about them (variable projection, Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413; its derivatives after
    Kaufman 1975, BIT 15, 49): where the stars lie in each image, and each star within ``position_error``.

    Parameters
    ----------
    prf : Prf
        The PRF.
    image : float32 array, shape (n_image, n_row, n_col)
        Means of frames that point alike (e-/s).
    variance : float32 array, shape (n_image, n_row, n_col)
        Of their pixels ((e-/s)^2); inf for those that take no part.
    geometry : Geometry
        Where they lie.
    col, row : float64 array, shape (n_star,)
        Detector positions of the catalogue's stars (px), good to ``common_error`` as a whole and to ``position_error`` among
        neighbours.
    flux : float64 array, shape (n_star,)
        Their fluxes by the catalogue (e-/s), good to `FLUX_ERROR`: that tells what no pixel does, how stars share light where they
        stand close together.
    position_error, common_error : float
        Standard deviations (px).
    misfit : float
        What the PRF lacks, as a share of the light in the brightest pixel nearby.

    Returns
    -------
    Settled
    """
    from scipy.optimize import least_squares, nnls

    n_image, n_known = image.shape[0], col.size
    held = 1.0 / (FLUX_ERROR * np.maximum(flux, 1.0))
    place = np.column_stack([col, row]).astype(np.float64)
    error = np.full(n_known, position_error)
    weight = pixel_weights(image, variance, misfit).reshape(n_image, -1)
    used = weight > 0.0
    seen = np.nan_to_num(image.reshape(n_image, -1).astype(np.float64)) * weight

    def drawn(places: FloatArray, shift: FloatArray) -> FloatArray:
        """Return the weighted stars in the pixels that are used of all images, and their derivatives, shape (3, n_pixel, n_star)."""
        each = [unit_stars(prf, places + shift[k], geometry)[:3] * weight[k, :, None] for k in range(n_image)]
        return np.concatenate([one[:, used[k]] for k, one in enumerate(each)], axis=1)

    level = np.zeros((int(used.sum()), n_image))
    level[np.arange(level.shape[0]), np.repeat(np.arange(n_image), used.sum(axis=1))] = weight[used]
    of_image = level > 0.0

    def solved(places: FloatArray, shift: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return fluxes and backgrounds, what is left of the pixels, and how that changes with each star's column and row."""
        design, *slopes = drawn(places, shift)
        # Light that the faintest pixels share may be below zero; so the background has both signs.
        pixels = np.column_stack([design, level, -level])
        columns = np.vstack([pixels, np.eye(n_known, pixels.shape[1]) * held[:, None]])
        right = np.append(seen[used], held * flux)
        amount = nnls(columns, right)[0]
        moved = np.zeros((columns.shape[0], *places.shape))
        moved[: level.shape[0]] = -np.stack(slopes, axis=2) * amount[: places.shape[0], None]
        return amount, right - columns @ amount, moved - _along(columns[:, amount > 0.0], moved)

    def parts(at: FloatArray) -> tuple[FloatArray, FloatArray]:
        return at[: 2 * n_image].reshape(-1, 2), at[2 * n_image :].reshape(-1, 2)

    def unlike(at: FloatArray) -> FloatArray:
        shift, own = parts(at)
        return np.concatenate(
            [solved(place + own, shift)[1], shift.ravel() / common_error, (own / error[:, None]).ravel()]
        )

    def slope(at: FloatArray) -> FloatArray:
        shift, own = parts(at)
        moved = solved(place + own, shift)[2]
        # An image that moves as a whole: what its own pixels lose by all stars' moving.
        whole = np.zeros((moved.shape[0], n_image, 2))
        whole[: level.shape[0]] = of_image[:, :, None] * moved[: level.shape[0]].sum(axis=1)[:, None, :]
        both = np.column_stack([whole.reshape(moved.shape[0], -1), moved.reshape(moved.shape[0], -1)])
        return np.vstack([both, np.diag(1.0 / np.append(np.full(2 * n_image, common_error), np.repeat(error, 2)))])

    grid = _grid(geometry)
    told = (unit_stars(prf, grid, geometry)[0, used.all(axis=0)] ** 2).sum(axis=0)
    grid = grid[told > HIDDEN * told.max(initial=1e-30)]
    tries = np.linspace(-2.0, 2.0, TRIES) * common_error
    tried = [np.tile(one, (n_image, 1)) for one in np.stack(np.meshgrid(tries, tries), axis=-1).reshape(-1, 2)]
    nothing = np.zeros(2 * error.size)
    # Where the known stars alone fit best; a shift costs what it is worth by its error.
    shift = min(tried, key=lambda one: float((unlike(np.append(one.ravel(), nothing)) ** 2).sum()))
    places = place
    for _ in range(SEARCHES):
        # Stars that are missing would draw the others off their places: they are added first.
        new = _found(lambda at, shift=shift: solved(at, shift)[:2], places, grid, drawn(grid, shift)[0])  # type: ignore[misc]
        place = np.concatenate([place, grid[new]])
        error = np.append(error, np.full(new.size, FOUND))
        start = np.append(shift.ravel(), np.zeros(2 * error.size))
        far = np.append(np.full(2 * n_image, FARTHEST), np.repeat(FAR * error, 2))
        shift, own = parts(least_squares(unlike, start, slope, (-far, far), x_scale=0.1).x)
        places = place + own
    amount = solved(places, shift)[0]
    n_star = places.shape[0]
    levels = amount[n_star : n_star + n_image] - amount[n_star + n_image :]
    light = np.stack([unit_stars(prf, places + one, geometry)[0] @ amount[:n_star] for one in shift])
    middle = shift[n_image // 2]
    return Settled(
        places[:, 0] + middle[0], places[:, 1] + middle[1], amount[:n_star], shift - middle, levels,
        light.reshape(image.shape).astype(np.float32),
    )  # fmt: skip


def pixel_weights(image: NDArray[np.float32], variance: NDArray[np.float32], misfit: float) -> FloatArray:
    """Return one over the error of the pixels of mean images, where a PRF lacks something.

    Parameters
    ----------
    image, variance : float32 array, shape (n_image, n_row, n_col)
        e-/s and (e-/s)^2.
    misfit : float
        What it lacks, as a share of the light in the brightest pixel nearby.

    Returns
    -------
    float64 array, shape (n_image, n_row, n_col)
        0 where a pixel takes no part.
    """
    from scipy.ndimage import maximum_filter

    usable = np.isfinite(image) & np.isfinite(variance)
    faint = np.percentile(image[usable], 20) if usable.any() else 0.0
    light = np.where(usable, np.maximum(image - faint, 0.0), 0.0).astype(np.float64)
    total = np.where(usable, variance, 1.0) + (misfit * maximum_filter(light, (1, 3, 3))) ** 2
    return np.where(usable, 1.0 / np.sqrt(np.maximum(total, 1e-30)), 0.0)


def _along(columns: FloatArray, moved: FloatArray) -> FloatArray:
    """Return the part of some changes that the linear parameters take up."""
    span, _ = np.linalg.qr(columns)
    return np.asarray(np.einsum("pk,ksc->psc", span, np.einsum("pk,psc->ksc", span, moved)))


def _grid(geometry: Geometry) -> FloatArray:
    """Return places where a star may be looked for, on the pixels and a little beside them; shape (n_place, 2) (px)."""
    col = np.arange(-BESIDE, geometry.n_col - 1 + BESIDE + STEP, STEP) + geometry.col0
    row = np.arange(-BESIDE, geometry.n_row - 1 + BESIDE + STEP, STEP) + geometry.row0
    return np.stack(np.meshgrid(col, row), axis=-1).reshape(-1, 2)


def _found(
    left_by: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    places: FloatArray,
    grid: FloatArray,
    light: FloatArray,
) -> NDArray[np.int64]:
    """Return where on a grid stars must be added, one after the other that which explains most of what is left.

    Pati, Rezaiifar & Krishnaprasad 1993, 27th Asilomar Conf. Signals Syst. Comput. (orthogonal matching pursuit).
    """
    power = (light**2).sum(axis=0)
    new: list[int] = []
    while 3 * (places.shape[0] + 1) < light.shape[0]:
        amount, left = left_by(places)
        pull = light.T @ left[: light.shape[0]]
        away = np.hypot(grid[:, :1] - places[:, 0], grid[:, 1:] - places[:, 1])
        least = (np.where(away < BESIDE_STAR, GHOST, 0.0) * amount[: places.shape[0]]).max(axis=1, initial=0.0)
        free = (away > APART).all(axis=1) & (pull > least * power)
        gain = np.where(free & (pull > 0.0), pull**2 / np.maximum(power, 1e-30), 0.0)
        best = int(np.argmax(gain))
        if gain[best] < SIGNAL**2:
            break
        new.append(best)
        places = np.vstack([places, grid[best]])
    return np.array(new, np.int64)


def unit_stars(prf: Prf, place: FloatArray, geometry: Geometry) -> FloatArray:
    """Draw stars of unit flux on the pixels of a stamp.

    Parameters
    ----------
    prf : Prf
        The PRF.
    place : float64 array, shape (n_star, 2)
        Detector columns and rows (px).
    geometry : Geometry
        Where the pixels lie.

    Returns
    -------
    float64 array, shape (6, n_row * n_col, n_star)
        Their light in each pixel, and its derivatives in the stars' column, row, column^2, column x row and row^2.
    """
    shape = (geometry.n_row, geometry.n_col)
    out = np.zeros((6, place.shape[0], *shape))
    if place.shape[0]:
        first_col, first_row, values = stamps(prf, place[:, 0], place[:, 1])
        side = values.shape[2]
        for k, (c, r) in enumerate(zip(first_col - geometry.col0, first_row - geometry.row0, strict=True)):
            rows, cols = _overlap(int(r), side, shape[0]), _overlap(int(c), side, shape[1])
            part = values[:, k, rows[0] - r : rows[1] - r, cols[0] - c : cols[1] - c]
            out[:, k, rows[0] : rows[1], cols[0] : cols[1]] = part
    return out.reshape(6, place.shape[0], -1).transpose(0, 2, 1)


def _overlap(first: int, side: int, size: int) -> tuple[int, int]:
    low = min(max(first, 0), size)
    return low, max(min(first + side, size), low)
