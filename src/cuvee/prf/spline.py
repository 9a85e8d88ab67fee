"""Quintic B-splines at the pixels of a stamp, and the polynomials over the detector."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.model.prf import Prf, knot_count

__all__ = ["Placed", "monomials", "place_stamps", "spline_rows", "stamps", "sum_rows"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

DEGREE = 5


def _pieces() -> FloatArray:
    """Polynomials of the centred quintic B-spline, shape (6, 6): [piece, power of the distance from its left end].

    From truncated powers, beta5(x) = sum_j (-1)^j C(6, j) (x + 3 - j)_+^5 / 5! (Unser 1999, IEEE Signal Process. Mag. 16(6), 22,
    eq. 3); piece p reaches from p - 3 to p - 2.
    """
    pieces = np.zeros((DEGREE + 1, DEGREE + 1))
    for p in range(DEGREE + 1):
        for j in range(p + 1):
            for power in range(DEGREE + 1):
                binomials = math.comb(DEGREE + 1, j) * math.comb(DEGREE, power)
                pieces[p, power] += (-1) ** j * binomials * (p - j) ** (DEGREE - power) / math.factorial(DEGREE)
    return pieces


_PIECES = _pieces()


def _knot_weights(distance: FloatArray, knots: int, half: int) -> tuple[IntArray, FloatArray]:
    """Weights of the knots under the pixels of a stamp along one axis.

    With whole numbers of knots a pixel, all pixels of a star see the same six weights.

    Parameters
    ----------
    distance : float64 array, shape (n_star,)
        Of the star from the centre of its pixel (px), at most a half.
    knots, half : int
        As in `Prf`.

    Returns
    -------
    first : int64 array, shape (n_star,)
        First of the six knots of the stamp's first pixel; those of pixel k begin ``knots * k`` further.
    weight : float64 array, shape (3, n_star, 6)
        Weights of the value, and of its first and second derivative with respect to the star's position.
    """
    where = -knots * distance
    floor = np.floor(where)
    r = (where - floor)[:, None]
    # The pixel's knots, from left to right, see the pieces of the spline from right to left.
    c = _PIECES[::-1]
    value = np.zeros((distance.size, DEGREE + 1))
    slope = np.zeros_like(value)
    curve = np.zeros_like(value)
    for power in range(DEGREE, -1, -1):
        value = value * r + c[:, power]
    for power in range(DEGREE, 0, -1):
        slope = slope * r + power * c[:, power]
    for power in range(DEGREE, 1, -1):
        curve = curve * r + power * (power - 1) * c[:, power]
    first = floor.astype(np.int64) - 2 - knots * half + knot_count(knots, half) // 2
    return first, np.stack([value, -knots * slope, knots * knots * curve])


def monomials(
    col: FloatArray, row: FloatArray, order: int, centre: tuple[float, float], scale: tuple[float, float]
) -> FloatArray:
    """Return phi of `Prf` at detector positions, shape (n_star, n_term): by degree, within it by falling power of u."""
    u = (col - centre[0]) / scale[0]
    v = (row - centre[1]) / scale[1]
    return np.stack([u ** (n - k) * v**k for n in range(order + 1) for k in range(n + 1)], axis=1)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where stamps lie, and the splines and polynomials that they are made of.

    Parameters
    ----------
    first_col, first_row : int64 array, shape (n_star,)
        Detector coordinates of each stamp's pixel [0, 0].
    knot_col, knot_row : int64 array, shape (n_star,)
        First knot of its first pixel.
    weight_col, weight_row : float64 array, shape (3, n_star, 6)
        Weights of the knots.
    phi : float64 array, shape (n_star, n_term)
        The polynomials over the detector.
    """

    first_col: IntArray
    first_row: IntArray
    knot_col: IntArray
    knot_row: IntArray
    weight_col: FloatArray
    weight_row: FloatArray
    phi: FloatArray


def place_stamps(prf: Prf, col: FloatArray, row: FloatArray) -> Placed:
    """Place stamps around stars: at the pixel nearest to each, less the half width."""
    nearest_col, nearest_row = np.rint(col), np.rint(row)
    knot_col, weight_col = _knot_weights(col - nearest_col, prf.knots, prf.half)
    knot_row, weight_row = _knot_weights(row - nearest_row, prf.knots, prf.half)
    return Placed(
        first_col=nearest_col.astype(np.int64) - prf.half,
        first_row=nearest_row.astype(np.int64) - prf.half,
        knot_col=knot_col,
        knot_row=knot_row,
        weight_col=weight_col,
        weight_row=weight_row,
        phi=monomials(col, row, prf.order, prf.centre, prf.scale),
    )


def stamps(
    prf: Prf, col: FloatArray, row: FloatArray
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Light of unit stars in the pixels around them, and how it changes when they move.

    Parameters
    ----------
    prf : Prf
        The PRF.
    col, row : float64 array, shape (n_star,)
        Detector positions (px).

    Returns
    -------
    first_col, first_row : int64 array, shape (n_star,)
        Detector coordinates of each stamp's pixel [0, 0]: the pixel nearest to the star less ``prf.half``.
    values : float32 array, shape (6, n_star, K, K)
        P, dP/dcol, dP/drow, d2P/dcol2, d2P/dcol drow and d2P/drow2 with respect to the *star's* position, where
        K = 2 half + 1; pixel [j, i] lies in row ``first_row + j`` and column ``first_col + i``.
    """
    from cuvee.kernels.prf_stamps import draw_stamps

    place = place_stamps(prf, np.asarray(col, dtype=np.float64), np.asarray(row, dtype=np.float64))
    width = 2 * prf.half + 1
    values = np.empty((6, place.knot_col.size, width, width), np.float32)
    # Coefficients that were read from disk are a read-only view, which the kernel does not take.
    coef = np.require(prf.coef, np.float64, ["C", "W"])
    draw_stamps(
        place.knot_col, place.weight_col, place.knot_row, place.weight_row, place.phi, coef, prf.knots, values
    )  # fmt: skip
    return place.first_col, place.first_row, values


def spline_rows(distance: FloatArray, knots: int, half: int) -> FloatArray:
    """Return the splines of all knots at distances from the star (px) along one axis, shape (n_distance, n_knot)."""
    nearest = np.rint(distance)
    first, weight = _knot_weights(nearest - distance, knots, half)
    rows = np.zeros((distance.size, knot_count(knots, half)))
    # The stamp's pixel that is ``nearest`` away; the phase of a star that lies as far on the other side of it.
    start = first + knots * (nearest.astype(np.int64) + half)
    for q in range(DEGREE + 1):
        rows[np.arange(distance.size), start + q] = weight[0, :, q]
    return rows


def sum_rows(knots: int, half: int) -> FloatArray:
    """Return sums of a stamp's pixels along one axis as rows over the knots, shape (2 knots, n_knot): one row a pixel phase."""
    n_phase = 2 * knots
    first, weight = _knot_weights((np.arange(n_phase) + 0.5) / n_phase - 0.5, knots, half)
    rows = np.zeros((n_phase, knot_count(knots, half)))
    for p in range(n_phase):
        for k in range(2 * half + 1):
            rows[p, first[p] + knots * k : first[p] + knots * k + DEGREE + 1] += weight[0, p]
    return rows
