"""The record of an effective point response function (PRF): how much of a star's light each pixel receives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Prf", "knot_count"]


def knot_count(knots: int, half: int) -> int:
    """Return how many knots lie along one axis, so that a stamp of ``half`` pixels each way is covered at any pixel phase.

    A quintic B-spline reaches three knots to either side, and the outermost pixel centre lies up to half a pixel beyond
    ``half`` from the star.
    """
    return 2 * (knots * (2 * half + 1) // 2 + 3) + 1


@dataclass(frozen=True, slots=True)
class Prf:
    """An effective PRF: quintic B-splines in the pixels' distance from the star, polynomials over the detector.

    The share of a star's light that falls into the pixel ``dx`` columns right of and ``dy`` rows above it is

        P(dx, dy; u, v) = sum_k phi_k(u, v) sum_ij coef[k, i, j] beta5(M dy - i') beta5(M dx - j')

    with beta5 the centred quintic B-spline on unit knots, ``i' = i - n_knot // 2`` (and ``j'``) counted from the middle knot,
    u and v the star's place on the detector, and phi the monomials 1, u, v, u^2, uv, v^2, ... up to ``order``. It is *effective*
    (Anderson & King 2000, PASP 112, 1360): integrated over the pixel already, so it is sampled at the pixels' centres.

    Parameters
    ----------
    coef : float64 array, shape (n_term, n_knot, n_knot)
        Coefficients: term, row knot, column knot.
    knots : int
        Knots a pixel, M.
    half : int
        Half width of the stamp (px): a stamp has (2 half + 1)^2 pixels.
    order : int
        Order of the monomials; there are (order + 1) (order + 2) / 2 of them.
    centre : tuple of float
        Detector column and row where u = v = 0.
    scale : tuple of float
        Pixels along the columns and rows for which u and v are 1.
    """

    coef: NDArray[np.float64]
    knots: int
    half: int
    order: int
    centre: tuple[float, float]
    scale: tuple[float, float]
