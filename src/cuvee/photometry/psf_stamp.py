"""PSF fluxes of a stamp: it has so few stars that their normal matrix is inverted whole, with the pointing and the background.

The frames are compared with their own mean: what no PRF describes is in both, and only changes are fitted. A frame less the mean is

    D_p - D0_p = b + sum_s f_s A_sp + d_x M_x,p + d_y M_y,p + (second order in d, and products of f and d)

with f the changes of the fluxes, A the stars' stamps, M the light of all stars and b the change of the background. The second order
is small: it is taken from the last solution and moved to the left, until nothing changes.

References
----------
Lawson & Hanson 1995, Solving Least Squares Problems, ch. 7 (pseudo-inverse); Stetson 1987, PASP 99, 191 (simultaneous fits).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.photometry.psf_solve import BELIEVED, GOOD, MOST_HIT, ODD

__all__ = ["StampFluxes", "StampModel", "solve_stamp"]

FloatArray = NDArray[np.float64]

TURNS = 4
"""Solutions one after the other; the second order is settled after two or three."""

SURE = 0.03
"""Where the stars tell less of a frame's pointing than this (px), it is taken to be that of the mean."""

STEEP = 0.05
"""What the model is believed to at best, as a share of what a displacement changes in a pixel."""

CORE = 0.05
"""Pixels with this share of the light of a star's brightest one tell how well it fits."""

RANK = 1e-6
"""Directions that the pixels see less than this share of what they see best are not told apart."""


@dataclass(frozen=True, slots=True)
class StampModel:
    """What frames of a stamp are compared with; pixels lie in one row.

    Parameters
    ----------
    still : float64 array, shape (n_pixel,)
        Mean image (e-/s); NaN where a pixel is never seen.
    stars : float64 array, shape (3, n_pixel, n_star)
        Stars of unit flux whose flux is sought, and their derivatives in column and row (1/px).
    light : float64 array, shape (6, n_pixel)
        All stars as they are in the mean, and the derivatives in column, row, column^2, column x row, row^2 (e-/s).
    inverse_variance : float64 array, shape (n_pixel,)
        Of the pixels of one frame; 0 for those that take no part.
    exposure : float
        Time on source (s).
    level : bool
        Whether the background may change.
    """

    still: FloatArray
    stars: FloatArray
    light: FloatArray
    inverse_variance: FloatArray
    exposure: float
    level: bool


@dataclass(frozen=True, slots=True)
class StampFluxes:
    """What was found; arrays of shape (n_frame, n_star) unless said.

    Parameters
    ----------
    change, error : float64 array
        Change of the fluxes against the mean image, and the error of the fluxes (e-/s); NaN where the pixels do not tell.
    chi2 : float64 array
        Reduced chi2 of the pixels in the stars' cores.
    missing : float64 array
        Share of the stars' weights that lies on missing pixels.
    hit : bool array
        Whether a pixel in the star's core was left out as a cosmic ray.
    pointing : float64 array, shape (n_frame, 2)
        Displacement in column and row (px); 0 where the stars do not tell.
    """

    change: FloatArray
    error: FloatArray
    chi2: FloatArray
    missing: FloatArray
    hit: NDArray[np.bool_]
    pointing: FloatArray


def solve_stamp(model: StampModel, cube: NDArray[np.float32]) -> StampFluxes:
    """Solve for fluxes, pointing and background of frames of a stamp.

    A pixel more than six errors too bright is left out, at most four one after the other, if what remains fits then.

    Parameters
    ----------
    model : StampModel
        What they are compared with.
    cube : float32 array, shape (n_frame, n_pixel)
        The frames (e-/s); NaN where a pixel is missing.

    Returns
    -------
    StampFluxes
    """
    weight = np.sqrt(model.inverse_variance)
    stars = model.stars[0]
    columns = [stars, *([np.ones((stars.shape[0], 1))] if model.level else [])]
    moved = model.light[1:3].T
    design = np.column_stack([*columns, moved]) * weight[:, None]
    known = np.isfinite(model.still) & (weight > 0.0)
    told = _inverse(design[known])
    if not told.size or not (np.linalg.norm(told[-2:], axis=1) < SURE).all():
        design = design[:, :-2]
    above = cube.astype(np.float64) - model.still
    seen = np.isfinite(above) & known
    out = _fit(model, design, above, seen)
    # The worst pixel at a time, in the frames that do not fit; where that does not help, all pixels count.
    core = stars > CORE * np.maximum(stars.max(axis=0), 1e-30)
    tried = seen.copy()
    todo = np.flatnonzero((_worst(out.pull, tried) > ODD) & tried.any(axis=1))
    for _ in range(MOST_HIT):
        if not todo.size:
            break
        worst = np.where(tried[todo] & np.isfinite(out.pull[todo]), out.pull[todo], -np.inf)
        tried[todo, np.argmax(worst, axis=1)] = False
        again = _fit(model, design, above[todo], tried[todo])
        out = out.put(todo, again)
        bad = _worst(again.pull, tried[todo]) > ODD
        todo = todo[bad]
    chi2 = _chi2(out, core, tried)
    odd = np.flatnonzero((tried != seen).any(axis=1))
    spoilt = odd[~(chi2[odd] <= GOOD).all(axis=1)]
    if spoilt.size:
        tried[spoilt] = seen[spoilt]
        out = out.put(spoilt, _fit(model, design, above[spoilt], seen[spoilt]))
        chi2 = _chi2(out, core, tried)
    share = np.where(known[:, None], model.inverse_variance[:, None] * stars, 0.0)
    whole = share.sum(axis=0)
    lost = (~np.isfinite(above)).astype(np.float64) @ share
    missing = np.where(whole > 0.0, lost / np.where(whole > 0.0, whole, 1.0), 1.0)
    hit = ((seen & ~tried).astype(np.float64) @ core) > 0.0
    return StampFluxes(out.change, out.error, chi2, missing, hit, out.pointing)


@dataclass(frozen=True, slots=True)
class _Fit:
    """Solutions of frames; ``pull``, shape (n_frame, n_pixel): how far pixels lie off what the others tell, in errors."""

    change: FloatArray
    error: FloatArray
    pointing: FloatArray
    pull: FloatArray

    def put(self, frames: NDArray[np.int64], new: _Fit) -> _Fit:
        """Return the solutions with those of some frames replaced."""
        change, error, pointing, pull = (np.array(part) for part in (self.change, self.error, self.pointing, self.pull))
        change[frames], error[frames], pointing[frames], pull[frames] = new.change, new.error, new.pointing, new.pull
        return _Fit(change, error, pointing, pull)


def _fit(model: StampModel, design: FloatArray, above: FloatArray, used: NDArray[np.bool_]) -> _Fit:
    """Solve frames with the pixels that are used in each."""
    n_star = model.stars.shape[2]
    n_frame, n_pixel = above.shape
    weight = np.sqrt(model.inverse_variance)
    steady = n_star + model.level == design.shape[1]
    out = _Fit(
        np.full((n_frame, n_star), np.nan), np.full((n_frame, n_star), np.nan), np.zeros((n_frame, 2)),
        np.full((n_frame, n_pixel), np.nan),
    )  # fmt: skip
    patterns, which = np.unique(used, axis=0, return_inverse=True)
    for k, pattern in enumerate(patterns):
        frames = np.flatnonzero(which.ravel() == k)
        inverse = _inverse(design[pattern])
        if not inverse.size:
            continue
        values, amount = above[np.ix_(frames, np.flatnonzero(pattern))], np.zeros((frames.size, design.shape[1]))
        w = weight[pattern]
        curved = np.zeros_like(values)
        for _ in range(1 if steady else TURNS):
            amount = ((values - curved) * w) @ inverse.T
            if not steady:
                curved = _second_order(model, pattern, amount[:, :n_star], amount[:, -2:])
        left = (values - curved) * w - amount @ design[pattern].T
        # What the model is believed to counts where pixels are judged, not where they are weighed.
        slope = 0.0 if steady else amount[:, -2:] @ model.light[1:3, pattern]
        doubt = (BELIEVED * model.light[0, pattern]) ** 2 + (STEEP * slope) ** 2
        left /= np.sqrt(1.0 + model.inverse_variance[pattern] * doubt)
        # A pixel draws the solution to itself; without it, it would lie so much farther off.
        own = 1.0 - np.einsum("pk,kp->p", design[pattern], inverse)
        pull = np.where(own > 0.05, left / np.sqrt(np.maximum(own, 0.05)), np.nan)
        out.pull[np.ix_(frames, np.flatnonzero(pattern))] = pull
        gain = inverse[:n_star] * w
        level = amount[:, n_star] if model.level else np.zeros(frames.size)
        variance = (inverse[:n_star] ** 2).sum(axis=1)
        brighter = level[:, None] * (gain**2).sum(axis=1) / model.exposure
        out.change[frames] = amount[:, :n_star]
        out.error[frames] = np.sqrt(np.maximum(variance + brighter, 0.2 * variance))
        if not steady:
            out.pointing[frames] = amount[:, -2:]
    return out


def _second_order(model: StampModel, pattern: NDArray[np.bool_], change: FloatArray, moved: FloatArray) -> FloatArray:
    """Return the terms that are not linear, shape (n_frame, n_used)."""
    dx, dy = moved[:, :1], moved[:, 1:]
    bent = np.hstack([0.5 * dx * dx, dx * dy, 0.5 * dy * dy]) @ model.light[3:, pattern]
    along_col, along_row = (change @ model.stars[k, pattern].T for k in (1, 2))
    return np.asarray(bent + dx * along_col + dy * along_row)


def _inverse(columns: FloatArray) -> FloatArray:
    """Return the pseudo-inverse of a design, shape (n_column, n_pixel); empty where the pixels do not suffice."""
    if columns.shape[0] <= columns.shape[1]:
        return np.zeros((0, 0))
    reach = np.sqrt((columns**2).sum(axis=0))
    reach = np.where(reach > 0.0, reach, 1.0)
    return np.asarray(np.linalg.pinv(columns / reach, rcond=RANK) / reach[:, None])


def _worst(pull: FloatArray, used: NDArray[np.bool_]) -> FloatArray:
    return np.asarray(np.max(np.where(used & np.isfinite(pull), pull, 0.0), axis=1, initial=0.0))


def _chi2(fit: _Fit, core: NDArray[np.bool_], used: NDArray[np.bool_]) -> FloatArray:
    """Return the reduced chi2 of each star's core, shape (n_frame, n_star): each pixel by how free the solution leaves it."""
    there = used & np.isfinite(fit.pull)
    number = there.astype(np.float64) @ core
    squares = np.where(there, fit.pull, 0.0) ** 2 @ core
    return np.where(number > 0.0, squares / np.maximum(number, 1.0), np.nan)
