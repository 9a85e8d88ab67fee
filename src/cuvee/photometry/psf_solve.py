"""Fluxes of all stars and the pointing of sixteen frames, from what their pixels project on the stars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.photometry.psf import FLOOR, PsfPlan

__all__ = ["Lanes", "solve"]

N_LANE = 16

MOST_ROUNDS = 12

SETTLED = 3e-3
"""Change of every flux, in its error, at which it is left alone."""

SETTLED_POINTING = 2e-6
"""Change of the pointing (px) at which it is left alone."""

CLIP = 5.0
"""A star that lies further off than this many robust standard deviations does not tell where a frame points."""


class Lanes:
    """Arrays that a plan needs for sixteen frames, allocated once.

    Parameters
    ----------
    plan : PsfPlan
        The plan.

    Attributes
    ----------
    seen : float32 array, shape (n_star, 16)
        Projections of the pixels, to be filled before `solve`.
    missing : float32 array, shape (n_star, 16)
        Share of a star's weights that lies on pixels which are not numbers.
    moved, moved_missing : float32 array, shape (2 n_bright, 16)
        The same for the derivatives of the bright stars, in the order of the tiles.
    level, level_err : float32 array, shape (n_star, 16)
        Background at the stars and its error (e-/s/pixel).
    flux : float32 array, shape (n_star, 16)
        Filled by `solve` (e-/s).
    """

    def __init__(self, plan: PsfPlan) -> None:
        n_star, n_bright = plan.order.size, plan.bright.size
        self.seen, self.missing, self.level, self.level_err = (lines((n_star, N_LANE)) for _ in range(4))
        self.moved, self.moved_missing = (lines((2 * n_bright, N_LANE)) for _ in range(2))
        self.flux, self.rest, self.dcol, self.drow = (lines((n_star, N_LANE)) for _ in range(4))
        self.in_col, self.in_row, self.rest_col, self.rest_row = (lines((n_bright, N_LANE)) for _ in range(4))
        self.factor = lines((n_star, 6, N_LANE))


def lines(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return float32 memory that starts with a line of the cache."""
    memory = np.empty(4 * math.prod(shape) + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 4 * math.prod(shape)].view(np.float32).reshape(shape)


def solve(plan: PsfPlan, lanes: Lanes, there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Solve for the fluxes of all stars and for the pointing, frame by frame.

    Gauss-Newton in turns: the displacement that the bright stars' derivatives still ask for, then the fluxes by the approximate
    inverse of the normal matrix, each from the residual of the whole model to second order, until neither changes.

    Parameters
    ----------
    plan : PsfPlan
        The plan.
    lanes : Lanes
        With projections and background filled in; its ``flux`` receives the fluxes.
    there : bool array, shape (16,)
        Which lanes hold a frame; the others become zero.

    Returns
    -------
    float64 array, shape (2, n_basis, 16)
        Displacement of each frame in column and row: coefficients of ``plan.basis`` (px).
    """
    from cuvee.kernels import star_space

    n_bright, n_basis = plan.bright.size, plan.basis.shape[1]
    lanes.seen -= plan.weight_sum[:, None] * lanes.level
    lanes.seen[:, ~there] = 0.0
    unsorted = np.empty((2 * n_bright, N_LANE), np.float32)
    unsorted[plan.moved_order] = lanes.moved
    unsorted -= plan.moved_sum[:, None] * np.concatenate([lanes.level[plan.bright]] * 2)
    unsorted[:, ~there] = 0.0
    lanes.in_col[:], lanes.in_row[:] = unsorted[:n_bright], unsorted[n_bright:]
    np.nan_to_num(lanes.seen, copy=False)  # no background: such a star is not measured, and must not spoil others
    usable = np.isfinite(unsorted[:n_bright]) & np.isfinite(unsorted[n_bright:])
    lost = np.empty((2 * n_bright, N_LANE), np.float32)
    lost[plan.moved_order] = lanes.moved_missing
    usable &= (lost[:n_bright] == 0.0) & (lost[n_bright:] == 0.0) & there
    pointing = np.zeros((2, n_basis, N_LANE))
    sigma = np.sqrt(np.where(np.isfinite(plan.variance), plan.variance, 1.0)).astype(np.float32)[:, None]
    lanes.flux[:] = 0.0
    star_space.add_rows(plan.inverse_ptr, plan.inverse_column, plan.inverse_value, lanes.seen, lanes.flux)
    factor = lanes.factor.reshape(-1, N_LANE)
    lanes.dcol[:] = lanes.drow[:] = 0.0
    for _ in range(MOST_ROUNDS):
        step = 0.0
        if n_basis:
            star_space.expand(lanes.flux, lanes.dcol, lanes.drow, lanes.factor)
            pairs = (plan.bright_ptr, plan.bright_column)
            star_space.residual(*pairs, plan.bright_col_terms, factor, lanes.in_col, lanes.rest_col)
            star_space.residual(*pairs, plan.bright_row_terms, factor, lanes.in_row, lanes.rest_row)
            change = _pointing(plan, lanes, usable)
            step = float(np.abs(change).max())
            pointing += change
            lanes.dcol[:], lanes.drow[:] = (plan.basis @ part for part in pointing)
        star_space.expand(lanes.flux, lanes.dcol, lanes.drow, lanes.factor)
        star_space.residual(plan.ptr, plan.column, plan.terms, factor, lanes.seen, lanes.rest)
        before = lanes.flux.copy()
        star_space.add_rows(plan.inverse_ptr, plan.inverse_column, plan.inverse_value, lanes.rest, lanes.flux)
        if step < SETTLED_POINTING and float(np.abs((lanes.flux - before) / sigma).max(initial=0.0)) < SETTLED:
            break
    return pointing


def _pointing(plan: PsfPlan, lanes: Lanes, usable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return by how much the displacements must change, shape (2, n_basis, 16), from the bright stars' residuals."""
    flux = plan.flux[plan.bright, None]
    force = np.stack([lanes.rest_col, lanes.rest_row]).astype(np.float64) * flux
    xx, xy, yy = plan.information.T
    basis = plan.basis[plan.bright]
    n_basis = basis.shape[1]
    # What each star alone asks for; those that ask for something else than the others (variables, blends) are left out.
    asked = force / np.stack([xx, yy])[:, :, None]
    asked = np.where(usable, asked, np.nan)
    used = usable.copy()
    with np.errstate(invalid="ignore"):
        for part, told in zip(asked, (xx, yy), strict=True):
            off = part - _median(part)
            spread = np.sqrt(FLOOR**2 + 1.0 / told)[:, None]
            width = 1.4826 * _median(np.abs(off / spread))
            used &= np.abs(off) <= CLIP * np.maximum(width, 1.0) * spread
    weight = used / (1.0 + np.sqrt(xx * yy)[:, None] * FLOOR**2)
    products = basis[:, :, None] * basis[:, None, :]
    matrix = np.zeros((N_LANE, 2, n_basis, 2, n_basis))
    for (a, b), told in (((0, 0), xx), ((0, 1), xy), ((1, 0), xy), ((1, 1), yy)):
        matrix[:, a, :, b, :] = np.einsum("sl,s,sij->lij", weight, told, products, optimize=True)
    right = np.einsum("asl,sl,si->lai", np.where(used, force, 0.0), weight, basis, optimize=True)
    size = 2 * n_basis
    flat = matrix.reshape(N_LANE, size, size)
    enough = used.sum(axis=0) >= max(3, 4 * n_basis)
    flat[~enough] = np.eye(size)
    right[~enough] = 0.0
    change = np.linalg.solve(flat, right.reshape(N_LANE, size, 1))[:, :, 0]
    return np.asarray(change.reshape(N_LANE, 2, n_basis).transpose(1, 2, 0))


def _median(values: NDArray[Any]) -> NDArray[Any]:
    """Return the median over stars, lane by lane; 0 where there is none."""
    empty = np.isnan(values).all(axis=0)
    return np.nanmedian(np.where(empty, 0.0, values), axis=0)
