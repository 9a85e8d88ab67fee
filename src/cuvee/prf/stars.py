"""Stars: which of them teach, and where and how bright all of them are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.model.records import Geometry
from cuvee.prf.scene import Drawn, Scene
from cuvee.prf.spline import monomials

__all__ = ["field_shift", "inside", "isolated", "settle", "solve_blocks"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NEIGHBOURS = 3
"""How far beyond the half width of a stamp a neighbour counts (px)."""

NEIGHBOUR_FLUX = (0.3, 0.5)
"""Share of a teacher's flux that one neighbour, and that all of them, may have at most."""

FLUX_ERROR = 0.3
"""Relative standard deviation of the catalogue's fluxes."""

LARGEST_STEP = 0.2
"""A star is moved no farther than this at once (px)."""

CLOSE = 0.3
"""Overlap of two stars, as the correlation of their fluxes, from which they are solved together."""

LARGEST_GROUP = 100
"""Larger groups are solved star by star."""

STEPS = 60
"""Steps of the conjugate gradients; it takes about ten."""

ACCURACY = 1e-4
"""The gradients stop where the residual has come down to this share."""


def isolated(col: FloatArray, row: FloatArray, flux: FloatArray, candidates: IntArray, half: int) -> NDArray[np.bool_]:
    """Tell which candidates outshine what surrounds them.

    Parameters
    ----------
    col, row, flux : float64 array, shape (n_star,)
        All stars.
    candidates : int64 array, shape (n_candidate,)
        Their rows.
    half : int
        Half width of the stamp (px).

    Returns
    -------
    bool array, shape (n_candidate,)
        Whether one neighbour, and all of them together, have little enough of a candidate's flux.
    """
    from scipy.spatial import cKDTree

    place = np.stack([col, row], axis=1)
    near = cKDTree(place).query_ball_point(place[candidates], half + NEIGHBOURS)
    one, all_of_them = NEIGHBOUR_FLUX
    alone = np.zeros(candidates.size, np.bool_)
    for k, (star, found) in enumerate(zip(candidates, near, strict=True)):
        others = flux[[n for n in found if n != star]]
        alone[k] = others.size == 0 or bool(others.max() < one * flux[star] and others.sum() < all_of_them * flux[star])
    return alone


def solve_blocks(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solve small positive-definite systems of one size, shape (..., n, n) and (..., n), one operation on all at a time.

    Cholesky's method without pivots; a loop over stars would spend its time in calls.
    """
    n = right.shape[-1]
    low = np.zeros_like(matrix)
    x = np.array(right)
    for j in range(n):
        low[..., j, j] = np.sqrt(matrix[..., j, j] - (low[..., j, :j] ** 2).sum(axis=-1))
        for i in range(j + 1, n):
            dot = (low[..., i, :j] * low[..., j, :j]).sum(axis=-1)
            low[..., i, j] = (matrix[..., i, j] - dot) / low[..., j, j]
    for j in range(n):
        x[..., j] = (x[..., j] - (low[..., j, :j] * x[..., :j]).sum(axis=-1)) / low[..., j, j]
    for j in range(n - 1, -1, -1):
        x[..., j] = (x[..., j] - (low[..., j + 1 :, j] * x[..., j + 1 :]).sum(axis=-1)) / low[..., j, j]
    return x


def field_shift(scene: Scene, col: FloatArray, row: FloatArray, teachers: IntArray) -> FloatArray:
    """Smooth shift of the stars from their catalogue positions, shape (n_star, 2).

    The catalogue's coordinates, a polynomial as well, may be off by more than its stars are from one another; so the prior on the
    positions is about what is left when polynomials of the PRF's order have been fitted to the teachers.
    """
    prf = scene.prf
    phi = monomials(col, row, prf.order, prf.centre, prf.scale)
    moved = np.stack([scene.col - col, scene.row - row], axis=1)[teachers]
    rows = phi[teachers]
    weight = np.ones(teachers.size)
    shift = np.zeros((phi.shape[1], 2))
    for _ in range(3):
        matrix = np.einsum("s,si,sj->ij", weight, rows, rows)
        right = np.einsum("s,si,sk->ki", weight, rows, moved)
        shift = solve_blocks(np.broadcast_to(matrix, (2, *matrix.shape)), right).T
        left = np.hypot(*(moved - np.einsum("si,ik->sk", rows, shift)).T)
        weight = (left <= 5.0 * np.median(left)).astype(np.float64)
    return np.asarray(np.einsum("si,ik->sk", phi, shift))


def settle(
    scene: Scene,
    drawn: Drawn,
    residual: NDArray[np.float32],
    weight: NDArray[np.float32],
    prior: tuple[FloatArray, FloatArray, FloatArray],
    position_error: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Improve fluxes and positions of all stars together on the mean image: one Newton step.

    Parameters
    ----------
    scene, drawn : Scene, Drawn
        The stars so far.
    residual : float32 array, shape (n_row, n_col)
        Mean image less sky and stars (e-/s).
    weight : float32 array, shape (n_row, n_col)
        Inverse variance of a pixel of the mean image; 0 where it is bad.
    prior : tuple of float64 array, shape (n_star,)
        Column, row and flux that the catalogue leads to expect. Fluxes are held to it within `FLUX_ERROR`: nothing to a star of
        its own, but two stars that no pixel tells apart share what is measured as the catalogue says, nothing becomes singular,
        and a faint star does not take from its bright neighbour what the PRF lacks.
    position_error : float
        Standard deviation of the expected positions (px).

    Returns
    -------
    col, row, flux : float64 array, shape (n_star,)
        The better ones.
    """
    from cuvee.kernels.prf_pairs import count_pairs, pair_blocks, star_blocks

    n = scene.flux.size
    place = (drawn.first_col, drawn.first_row)
    order = np.argsort(drawn.first_row, kind="stable")
    n_pair = count_pairs(*place, order, drawn.design.shape[2])
    one, other = np.empty(n_pair, np.int32), np.empty(n_pair, np.int32)
    blocks = np.empty((n_pair, 3, 3), np.float32)
    pair_blocks(*place, order, drawn.design, scene.flux, weight, one, other, blocks)
    own, right = np.empty((n, 3, 3)), np.empty((n, 3))
    star_blocks(*place, drawn.design, scene.flux, weight, residual, own, right)
    hold = np.empty((n, 3))
    hold[:, 0] = 1.0 / (FLUX_ERROR * np.maximum(prior[2], 1.0)) ** 2
    hold[:, 1:] = 1.0 / position_error**2
    own[:, range(3), range(3)] += hold
    right += hold * np.stack([prior[2] - scene.flux, prior[0] - scene.col, prior[1] - scene.row], axis=1)

    step = _gradients(own, one, other, blocks, right)
    moved = np.clip(step[:, 1:], -LARGEST_STEP, LARGEST_STEP)
    return scene.col + moved[:, 0], scene.row + moved[:, 1], scene.flux + step[:, 0]


def _gradients(
    own: FloatArray, one: NDArray[np.int32], other: NDArray[np.int32], blocks: NDArray[np.float32], right: FloatArray
) -> FloatArray:
    """Solve for all stars, shape (n_star, 3), by conjugate gradients.

    Golub & Van Loan 2013, Matrix Computations, 4th ed., algorithm 11.5.1. The preconditioner solves groups of close stars exactly;
    stars farther apart couple weakly, so a few dozen steps do, and no factorisation of all stars is needed.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    from cuvee.kernels.prf_pairs import factor_groups, multiply, solve_groups

    n = right.shape[0]
    close = np.abs(blocks[:, 0, 0]) > CLOSE * np.sqrt(own[one, 0, 0] * own[other, 0, 0])
    links = sparse.coo_array((np.ones(int(close.sum()), np.int8), (one[close], other[close])), shape=(n, n))
    _, group = connected_components(links, directed=False)
    alone = np.bincount(group)[group] > LARGEST_GROUP
    group = np.unique(np.where(alone, n + np.arange(n), group), return_inverse=True)[1].astype(np.int64)
    members = np.argsort(group, kind="stable")
    size = np.bincount(group).astype(np.int64)
    start = np.cumsum(size) - size
    local = np.empty(n, np.int64)
    local[members] = np.arange(n) - start[group[members]]
    offset = np.cumsum((3 * size) ** 2) - (3 * size) ** 2
    factors = np.zeros(int(((3 * size) ** 2).sum()))
    factor_groups(group, local, size, offset, own, one, other, blocks, factors)

    step, product, better = np.zeros_like(right), np.empty_like(right), np.empty_like(right)
    solve_groups(members, start, size, offset, factors, right, better)
    direction = better.copy()
    power = first = float((right * better).sum())
    for _ in range(STEPS):
        if power <= ACCURACY**2 * first:
            break
        multiply(own, one, other, blocks, direction, product)
        length = power / float((direction * product).sum())
        step += length * direction
        right -= length * product
        solve_groups(members, start, size, offset, factors, right, better)
        before, power = power, float((right * better).sum())
        direction = better + (power / before) * direction
    return step


def inside(col: FloatArray, row: FloatArray, geometry: Geometry, margin: int) -> NDArray[np.bool_]:
    """Tell which stars lie on the frames, at least ``margin`` pixels from their edges."""
    c, r = np.rint(col) - geometry.col0, np.rint(row) - geometry.row0
    return np.asarray(
        (c >= margin) & (c < geometry.n_col - margin) & (r >= margin) & (r < geometry.n_row - margin)
    )  # fmt: skip
