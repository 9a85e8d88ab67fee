"""The PRF once more, slowly: its definition in double precision, beside the kernel that draws it.

`cuvee.model.prf.Prf` says what the function is; here it is written down a second time, with scipy's B-splines. Arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from cuvee.model.prf import Prf

__all__ = ["SECOND_ORDER", "displaced", "higher_orders", "stamps"]

FloatArray = NDArray[np.float64]

SECOND_ORDER = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
"""How often each image is differentiated in the column and in the row of the star."""

STENCIL = 0.1
"""Steps by which a star is moved to see how its second derivatives change (px), as `cuvee.photometry.psf` does it."""

_SPLINE = BSpline.basis_element(np.arange(-3.0, 4.0), extrapolate=False)
_AT_A_TIME = 500


def _along(distance: FloatArray, knots: int, half: int, n_knot: int, order: int) -> FloatArray:
    """Return what each knot of an axis gives to each pixel, shape (n_star, n_side, n_knot), differentiated by the star's place."""
    pixel = np.arange(-half, half + 1)
    at = knots * (pixel - distance[:, None])
    first = np.floor(at).astype(np.int64) - 2
    knot = first[:, :, None] + np.arange(6)
    spline = _SPLINE.derivative(order) if order else _SPLINE
    weight = np.nan_to_num(spline(at[:, :, None] - knot)) * (-knots) ** order
    matrix = np.zeros((distance.size, pixel.size, n_knot))
    np.put_along_axis(matrix, knot + n_knot // 2, weight, axis=2)
    return matrix


def stamps(
    prf: Prf, col: FloatArray, row: FloatArray, orders: Sequence[tuple[int, int]] = SECOND_ORDER
) -> tuple[NDArray[np.int64], FloatArray]:
    """Light of unit stars in the pixels around them, and its derivatives.

    Parameters
    ----------
    prf : Prf
        The PRF.
    col, row : float64 array, shape (n_star,)
        Detector positions (px).
    orders : sequence of tuple of int
        How often to differentiate, in column and in row of the star.

    Returns
    -------
    corner : int64 array, shape (n_star, 2)
        Detector row and column of each stamp's pixel [0, 0].
    values : float64 array, shape (n_order, n_star, n_side, n_side)
        The stamps, in the order of ``orders``.
    """
    place = np.rint(np.stack([row, col], axis=1))
    u, v = (col - prf.centre[0]) / prf.scale[0], (row - prf.centre[1]) / prf.scale[1]
    phi = np.stack([u ** (n - k) * v**k for n in range(prf.order + 1) for k in range(n + 1)], axis=1)
    n_knot, side = prf.coef.shape[1], 2 * prf.half + 1
    values = np.empty((len(orders), col.size, side, side))
    for begin in range(0, col.size, _AT_A_TIME):
        some = slice(begin, begin + _AT_A_TIME)
        coef = np.tensordot(phi[some], prf.coef, 1)
        across, up = (
            {k: _along((at - near)[some], prf.knots, prf.half, n_knot, k) for k in {order[axis] for order in orders}}
            for axis, at, near in ((0, col, place[:, 1]), (1, row, place[:, 0]))
        )
        for k, (in_col, in_row) in enumerate(orders):
            values[k, some] = up[in_row] @ coef @ across[in_col].transpose(0, 2, 1)
    return place.astype(np.int64) - prf.half, values


def higher_orders(prf: Prf, col: FloatArray, row: FloatArray) -> FloatArray:
    """Return derivatives by differences, shape (9, n_star, n_side, n_side): col^3, col^2 row ... row^3, col^4, col^3 row ... row^4.

    The stars are moved towards the middle of their pixel, up to three times by `STENCIL`; derivatives are those of the cubic through
    the four values.
    """
    across = np.where(col > np.rint(col), -STENCIL, STENCIL)
    along = np.where(row > np.rint(row), -STENCIL, STENCIL)
    wanted = ((2, 0), (1, 1), (0, 2))
    # The cubic's coefficients, from its values at 0, 1, 2 and 3.
    fit = np.linalg.inv(np.vander(np.arange(4.0), increasing=True))
    slope, bend = [], []
    for dx, dy in ((across, 0.0 * along), (0.0 * across, along)):
        values = np.stack([stamps(prf, col + k * dx, row + k * dy, wanted)[1] for k in range(4)])
        step = (dx + dy)[:, None, None]
        slope.append(np.tensordot(fit[1], values, 1) / step)
        bend.append(2.0 * np.tensordot(fit[2], values, 1) / step**2)
    third = [slope[0][0], slope[1][0], slope[0][2], slope[1][2]]
    return np.stack([*third, bend[0][0], bend[0][1], bend[1][0], bend[1][1], bend[1][2]])


def displaced(values: FloatArray, x: float, y: float) -> FloatArray:
    """Move stamps by a small distance.

    Parameters
    ----------
    values : float64 array, shape (6, ...)
        From `stamps`.
    x, y : float
        Displacement in column and row (px).

    Returns
    -------
    float64 array, shape (...)
        To second order.
    """
    terms = np.array([1.0, x, y, 0.5 * x * x, x * y, 0.5 * y * y])
    return np.tensordot(terms, values, 1)
