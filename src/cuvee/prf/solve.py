"""One Gauss-Newton step of the PRF's coefficients, the teachers' fluxes and positions eliminated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import AlgorithmError
from cuvee.model.prf import Prf
from cuvee.prf.spline import Placed, place_stamps, sum_rows

__all__ = ["Lesson", "improve"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

REACH = 4.5
"""How far from the star the terms reach that vary over the detector (px)."""

SMOOTH = 100.0
"""Strength of the smoothness: third differences of the coefficients within `LOOSE` of the profile, divided by its root."""

LOOSE = (0.05, 0.02)
"""For the constant term, and for those that vary over the detector."""

CORE, WINGS = 1.3, 3e-3
"""The profile: a Gaussian of this standard deviation (px), and not less than this."""

SUM_ERROR = 1e-5
"""How strictly the pixels of a stamp add up to 1 at every phase."""

WINDOW = 1.5
"""Standard deviation of the window in which the PRF is centred (px)."""

MISFIT = 5e-4 * 0.15
"""Error of the model in a pixel that does not change from frame to frame, in units of the star's flux; only what moves with the
pointing makes scatter, and a few bright stars would bend the PRF for the sake of what does not."""

CHUNK = 256


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the teachers' pixels say.

    Parameters
    ----------
    col, row, flux : float64 array, shape (n_star,)
        Detector positions (px) and fluxes (e-/s).
    off_prior : float64 array, shape (n_star, 2)
        How far each star lies from where the catalogue expects it (px).
    stamps : float32 array, shape (6, n_star, K, K)
        Their stamps with the PRF so far.
    weight : float64 array, shape (n_star, K * K)
        Inverse variances of a pixel of one frame.
    variance : float64 array, shape (n_star,)
        Variance of the middle pixel of one frame ((e-/s)^2).
    residual : float64 array, shape (n_star, K * K, 6)
        From `cuvee.kernels.prf_frames.star_moments`.
    moments : float64 array, shape (6, 6)
        Sums over the frames of products of the factors of the pointing.
    """

    col: FloatArray
    row: FloatArray
    flux: FloatArray
    off_prior: FloatArray
    stamps: NDArray[np.float32]
    weight: FloatArray
    variance: FloatArray
    residual: FloatArray
    moments: FloatArray


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which coefficients are unknowns: knots in the disc that each term reaches, and where the term begins among them."""

    active: list[IntArray]
    start: list[int]
    exponents: list[tuple[int, int]]
    reach: list[float]

    @property
    def size(self) -> int:
        return self.start[-1]


def _knot_distance(prf: Prf) -> FloatArray:
    n = prf.coef.shape[1]
    return np.asarray((np.arange(n) - n // 2) / prf.knots)


def _layout(prf: Prf) -> _Layout:
    at = _knot_distance(prf)
    radius = np.hypot(at[:, None], at).ravel()
    exponents = [(n - k, k) for n in range(prf.order + 1) for k in range(n + 1)]
    whole = prf.half + 0.75
    reach = [whole] + [min(REACH, whole)] * (len(exponents) - 1)
    active = [np.flatnonzero(radius < r) for r in reach]
    return _Layout(active, [0, *np.cumsum([a.size for a in active]).tolist()], exponents, reach)


def _smoothness(prf: Prf, loose: float) -> Any:
    """Sparse matrix of the prior on the coefficients of a term: third differences against the profile, and their size."""
    from scipy import sparse

    at = _knot_distance(prf)
    n = at.size
    profile = np.maximum(np.exp(-(at[:, None] ** 2 + at**2) / (2.0 * CORE**2)), WINGS).ravel()
    third = sparse.csr_matrix(np.diff(np.eye(n), 3, axis=0))
    eye = sparse.identity(n, format="csr")
    matrix = sparse.diags(1.0 / (10.0 * profile) ** 2)
    for difference in (sparse.kron(third, eye), sparse.kron(eye, third)):
        scale = loose * (abs(difference).sign() @ profile) / 4.0
        scaled = sparse.diags(1.0 / scale) @ difference
        matrix = matrix + scaled.T @ scaled
    return matrix.tocsr()


def _constraints(prf: Prf) -> tuple[FloatArray, int]:
    """Rows over the knots that are held: the stamp's sum at each pair of phases, then the two windowed centroids."""
    at = _knot_distance(prf)
    n = at.size
    line = sum_rows(prf.knots, prf.half)
    sums = np.einsum("ai,bj->abij", line, line).reshape(-1, n * n)
    window = np.exp(-(at[:, None] ** 2 + at**2) / (2.0 * WINDOW**2)) / prf.knots**2
    return np.concatenate([sums, [(at * window).ravel()], [(at[:, None] * window).ravel()]]), sums.shape[0]


def _fill(layout: _Layout, bands: FloatArray, parts: dict[tuple[int, int], int], matrix: FloatArray) -> None:
    """Write the bands into the upper triangle of the dense matrix of all unknowns."""
    n = bands.shape[1]
    around = np.arange(-5, 6)
    shift_row, shift_col = (a.ravel() for a in np.meshgrid(around, around, indexing="ij"))
    for i, (mine, mine_at) in enumerate(zip(layout.active, layout.start[:-1], strict=True)):
        for j in range(i + 1):
            (a, b), (c, d) = layout.exponents[i], layout.exponents[j]
            values = bands[parts[a + c, b + d]].reshape(n * n, -1)[mine]
            row = mine[:, None] // n + shift_row
            col = mine[:, None] % n + shift_col
            place = np.full(n * n, -1)
            place[layout.active[j]] = np.arange(layout.active[j].size)
            within = (row >= 0) & (row < n) & (col >= 0) & (col < n)
            other = np.where(within, place[np.where(within, row * n + col, 0)], -1)
            which, _ = np.nonzero(other >= 0)
            matrix[layout.start[j] + other[other >= 0], mine_at + which] = values[other >= 0]


def _teachers_matrix(prf: Prf, lesson: Lesson, layout: _Layout, place: Placed, keep: FloatArray) -> FloatArray:
    """Return the coefficients' normal matrix, its upper triangle, nothing eliminated or held yet; padded to whole packed blocks."""
    from cuvee.kernels.prf_normal import add_bands

    n_knot = prf.coef.shape[1]
    u, v = (lesson.col - prf.centre[0]) / prf.scale[0], (lesson.row - prf.centre[1]) / prf.scale[1]
    # The products of the polynomials of two terms are polynomials, and many are the same.
    parts: dict[tuple[int, int], int] = {}
    for a, b in layout.exponents:
        for c, d in layout.exponents:
            parts.setdefault((a + c, b + d), len(parts))
    reach = np.array([layout.reach[0] if k == 0 else layout.reach[-1] for k in range(len(parts))])
    low = np.maximum(np.ceil(n_knot // 2 - reach * prf.knots), 0).astype(np.int64)
    high = np.minimum(np.floor(n_knot // 2 + reach * prf.knots) + 1, n_knot).astype(np.int64)
    bands = np.zeros((len(parts), n_knot, n_knot, 121))
    factors = np.stack([u**a * v**b for a, b in parts])
    add_bands(
        place.knot_col, place.weight_col, place.knot_row, place.weight_row, lesson.moments, keep, lesson.weight,
        lesson.flux, factors, prf.knots, low, high, bands,
    )  # fmt: skip
    size = -(-layout.size // 16) * 16
    matrix = np.zeros((size, size))
    _fill(layout, bands, parts, matrix)
    padding = np.arange(layout.size, size)
    matrix[padding, padding] = 1.0
    return matrix


def _eliminated(own: FloatArray, own_right: FloatArray, cross: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what the stars' own unknowns take away: with own = L L^T, L^-1 cross and L^-1 own_right."""
    try:
        low = np.linalg.cholesky(own)
    except np.linalg.LinAlgError:
        raise AlgorithmError(
            f"The flux and position of one of {own.shape[0]} stars cannot be told from its pixels while the PRF is learned: "
            "mark the bad pixels of the frames.",
            {"n_star": own.shape[0]},
        ) from None
    taken, taken_right = np.empty_like(cross), np.empty_like(own_right)
    for i in range(3):
        pivot = low[:, i, i]
        done = np.einsum("sj,sjn->sn", low[:, i, :i], taken[:, :i])
        taken[:, i] = (cross[:, i] - done) / pivot[:, None]
        taken_right[:, i] = (own_right[:, i] - (low[:, i, :i] * taken_right[:, :i]).sum(axis=1)) / pivot
    return taken, taken_right


def _add_stars(
    prf: Prf, lesson: Lesson, layout: _Layout, place: Placed, keep: FloatArray, hold: float, matrix: FloatArray
) -> FloatArray:
    """Return the right-hand sides of the coefficients, shape (n_term, n_knot^2).

    Where ``hold``, the inverse variance of a position, is positive, fluxes and positions are eliminated from ``matrix``, too.
    """
    from cuvee.kernels.prf_dense import subtract_gram
    from cuvee.kernels.prf_normal import star_terms

    n_star, n_knot = lesson.flux.size, prf.coef.shape[1]
    time_mean = lesson.residual[:, :, :1] * (lesson.moments[0] / lesson.moments[0, 0])
    residual = lesson.residual - (1.0 - keep)[:, None, None] * time_mean
    stamps = lesson.stamps.reshape(6, n_star, -1)
    size = matrix.shape[0]
    right = np.zeros((place.phi.shape[1], n_knot * n_knot))
    for k in range(0, n_star, CHUNK):
        part = slice(k, min(k + CHUNK, n_star))
        n, phi = part.stop - k, place.phi[part]
        first = np.empty((n, n_knot * n_knot))
        cross, own, own_right = np.empty((n, 3, n_knot * n_knot)), np.empty((n, 3, 3)), np.empty((n, 3))
        star_terms(
            place.knot_col[part], np.ascontiguousarray(place.weight_col[:, part]), place.knot_row[part],
            np.ascontiguousarray(place.weight_row[:, part]), lesson.moments, keep[part], lesson.weight[part],
            residual[part], lesson.flux[part], np.ascontiguousarray(stamps[:, part]), prf.knots, n_knot, first, cross,
            own, own_right,
        )  # fmt: skip
        right += np.einsum("sk,sn->kn", phi, first)
        if not hold > 0.0:
            continue
        own[:, range(1, 3), range(1, 3)] += hold
        own_right[:, 1:] -= hold * lesson.off_prior[part]
        taken, taken_right = _eliminated(own, own_right, cross)
        right -= np.einsum("sk,sn->kn", phi, np.einsum("sj,sjn->sn", taken_right, taken))
        packed = np.zeros((3 * n, size), np.float32)
        for t, active in enumerate(layout.active):
            values = phi[:, t, None, None] * taken[:, :, active]
            packed[:, layout.start[t] : layout.start[t + 1]] = values.reshape(3 * n, -1)
        subtract_gram(np.ascontiguousarray(packed.reshape(3 * n, size // 16, 16).transpose(1, 0, 2)), matrix)
    return right


def _hold(prf: Prf, layout: _Layout, right: FloatArray, centred: bool, matrix: FloatArray) -> FloatArray:
    """Add smoothness and constraints to the matrix; return the right-hand side of the unknowns, shape (n_row of it,)."""
    held, n_sum = _constraints(prf)
    vector = np.zeros(matrix.shape[0])
    for t, active in enumerate(layout.active):
        here = slice(layout.start[t], layout.start[t + 1])
        now = prf.coef[t].ravel()[active]
        prior = SMOOTH * _smoothness(prf, LOOSE[min(t, 1)])[active][:, active].tocoo()
        rows = held[: None if centred else n_sum][:, active] / SUM_ERROR
        goal = np.zeros(rows.shape[0])
        goal[:n_sum] = (1.0 if t == 0 else 0.0) / SUM_ERROR
        matrix[here, here] += np.einsum("ci,cj->ij", rows, rows)
        matrix[here.start + prior.row, here.start + prior.col] += prior.data
        vector[here] = right[t][active] - prior @ now
        vector[here] += np.einsum("ci,c->i", rows, goal - np.einsum("ci,i->c", rows, now))
    return vector


def improve(prf: Prf, lesson: Lesson, eliminate: bool, position_error: float) -> tuple[Prf, int]:
    """Improve the coefficients of a PRF.

    Normal equations of the residuals' moments (Gauss-Newton), with the teachers' fluxes and positions eliminated (variable
    projection, Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413): alternating between PRF and stars would leave the errors that
    both can express, flux and position as functions of the pixel phase, almost as they were.

    Parameters
    ----------
    prf : Prf
        The PRF so far.
    lesson : Lesson
        What the teachers' pixels say.
    eliminate : bool
        Whether fluxes and positions are free; else they are taken as they are, and the PRF is not centred.
    position_error : float
        Standard deviation of the expected positions (px).

    Returns
    -------
    prf : Prf
        The better one.
    n_unknown : int
        Number of coefficients fitted.

    Raises
    ------
    AlgorithmError
        If the normal equations are singular.
    """
    from cuvee.kernels.prf_dense import cholesky, solve_cholesky

    layout = _layout(prf)
    place = place_stamps(prf, lesson.col, lesson.row)
    keep = lesson.variance / (lesson.variance + lesson.moments[0, 0] * (MISFIT * lesson.flux) ** 2)
    matrix = _teachers_matrix(prf, lesson, layout, place, keep)
    hold = position_error**-2 if eliminate else 0.0
    right = _add_stars(prf, lesson, layout, place, keep, hold, matrix)
    vector = _hold(prf, layout, right, eliminate, matrix)
    scale = 1.0 / np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    matrix *= scale[:, None]
    matrix *= scale
    vector *= scale
    failed = cholesky(matrix)
    if failed < matrix.shape[0]:
        n_star = lesson.flux.size
        raise AlgorithmError(
            f"The normal equations of the PRF are singular at unknown {failed} of {layout.size}, with {n_star} stars: "
            "lower the order or the knots of the PRF.",
            {"n_star": n_star, "n_unknown": layout.size, "unknown": failed},
        )
    solve_cholesky(matrix, vector)
    vector *= scale
    coef = prf.coef.reshape(prf.coef.shape[0], -1).copy()
    for t, active in enumerate(layout.active):
        coef[t, active] += vector[layout.start[t] : layout.start[t + 1]]
    return replace(prf, coef=coef.reshape(prf.coef.shape)), layout.size
