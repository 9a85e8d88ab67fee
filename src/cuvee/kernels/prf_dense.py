"""Dense normal equations: products of a tall matrix with itself, and the Cholesky factorisation.

A linear algebra library would do, were it not that its sums depend on how many threads it is given, and so on how many workers
a run has. Here every sum has its order. The inner loop keeps a tile of eight rows in vector registers; numba's own loops would
store each sum after each product, which takes five times as long.
"""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import math

import numpy as np
from numba import float32, float64, int64, njit, types, void
from numba.core import cgutils
from numba.core.cgutils import ir  # the language of numba's own compiler
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["cholesky", "solve_cholesky", "subtract_gram"]

N_ROW = 8
"""Rows of a tile; its columns are one packed block: 16 in single, 8 in double precision."""

PANEL = 96
"""Rows that are factorised together."""

STRIP = 16
"""Packed blocks that stay in the cache while the others pass by."""


@intrinsic
def _tile(_typing, packed, left, skip, right, out):
    """Set ``out[a, b]`` to the sum over k of ``packed[left, k, skip + a] * packed[right, k, b]``."""

    def build(context, builder, signature, args):
        p_type, l_type, s_type, r_type, o_type = signature.args
        array = context.make_array(p_type)(context, builder, args[0])
        n_k, n_lane = (builder.extract_value(array.shape, axis) for axis in (1, 2))
        scalar = context.get_value_type(p_type.dtype)
        lanes = 16 if p_type.dtype == float32 else 8
        vector = ir.VectorType(scalar, lanes)
        zero = ir.Constant(vector, [0.0] * lanes)
        spread = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)

        def block(index, index_type):
            steps = builder.mul(context.cast(builder, index, index_type, int64), builder.mul(n_k, n_lane))
            return builder.gep(array.data, [steps])

        rows = builder.gep(block(args[1], l_type), [context.cast(builder, args[2], s_type, int64)])
        columns = block(args[3], r_type)
        sums = [cgutils.alloca_once(builder, vector) for _ in range(N_ROW)]
        for total in sums:
            builder.store(zero, total)
        with cgutils.for_range(builder, n_k) as loop:
            step = builder.mul(loop.index, n_lane)
            across = builder.bitcast(builder.gep(columns, [step]), vector.as_pointer())
            values = builder.load(across, align=4)
            here = builder.gep(rows, [step])
            for a, total in enumerate(sums):
                factor = builder.load(builder.gep(here, [ir.Constant(ir.IntType(64), a)]))
                single = builder.insert_element(
                    ir.Constant(vector, ir.Undefined), factor, ir.Constant(ir.IntType(32), 0)
                )
                product = builder.fmul(builder.shuffle_vector(single, single, spread), values, flags=["contract"])
                builder.store(builder.fadd(builder.load(total), product, flags=["contract"]), total)
        target = context.make_array(o_type)(context, builder, args[4]).data
        for a, total in enumerate(sums):
            place = builder.gep(target, [builder.mul(n_lane, ir.Constant(ir.IntType(64), a))])
            builder.store(builder.load(total), builder.bitcast(place, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(packed, left, skip, right, out), build


@njit([void(float32[:, :, ::1], float64[:, ::1])], cache=True, nogil=True)
def subtract_gram(packed: NDArray[np.float32], matrix: NDArray[np.float64]) -> None:
    """Subtract U^T U from the upper triangle of a matrix.

    Parameters
    ----------
    packed : float32 array, shape (n_block, n_k, 16)
        U, of shape (n_k, 16 n_block), in blocks of sixteen columns: single precision is enough for the *slope* of a least-squares
        fit, which decides only how fast it converges.
    matrix : float64 array, shape (16 n_block, 16 n_block)
        Changed in place, on and right of the diagonal (and in the tiles that the diagonal crosses).
    """
    out = np.empty((N_ROW, 16), np.float32)
    n_block = packed.shape[0]
    for j0 in range(0, n_block, STRIP):
        j1 = min(j0 + STRIP, n_block)
        for i in range(j1):
            for j in range(max(i, j0), j1):
                for skip in (0, N_ROW):
                    _tile(packed, i, skip, j, out)
                    for a in range(N_ROW):
                        for b in range(16):
                            matrix[16 * i + skip + a, 16 * j + b] -= out[a, b]


@njit([int64(float64[:, ::1])], cache=True, nogil=True)
def cholesky(matrix: NDArray[np.float64]) -> int:
    """Factorise A = U^T U in place.

    Parameters
    ----------
    matrix : float64 array, shape (n, n)
        A in its upper triangle, which U replaces; n is a multiple of 8.

    Returns
    -------
    int
        Number of the first row whose pivot is not positive; n where all are.

    References
    ----------
    Golub & Van Loan 2013, Matrix Computations, 4th ed., section 4.2.6 (block form).
    """
    n: int = matrix.shape[0]
    out = np.empty((N_ROW, N_ROW))
    for k0 in range(0, n, PANEL):
        k1 = min(k0 + PANEL, n)
        for k in range(k0, k1):
            if not matrix[k, k] > 0.0:
                return k
            pivot = math.sqrt(matrix[k, k])
            for j in range(k, k1):
                matrix[k, j] /= pivot
            for i in range(k + 1, k1):
                f = matrix[k, i]
                for j in range(i, k1):
                    matrix[i, j] -= f * matrix[k, j]
        # The rows right of the diagonal block, some columns at a time, so that they stay in the cache.
        for c0 in range(k1, n, 256):
            c1 = min(c0 + 256, n)
            for k in range(k0, k1):
                pivot = matrix[k, k]
                for j in range(c0, c1):
                    matrix[k, j] /= pivot
                for i in range(k + 1, k1):
                    f = matrix[k, i]
                    for j in range(c0, c1):
                        matrix[i, j] -= f * matrix[k, j]
        n_block = (n - k1) // N_ROW
        packed = np.empty((n_block, k1 - k0, N_ROW))
        for b in range(n_block):
            for k in range(k1 - k0):
                for j in range(N_ROW):
                    packed[b, k, j] = matrix[k0 + k, k1 + N_ROW * b + j]
        for j0 in range(0, n_block, 4 * STRIP):
            j1 = min(j0 + 4 * STRIP, n_block)
            for i in range(j1):
                for j in range(max(i, j0), j1):
                    _tile(packed, i, 0, j, out)
                    for a in range(N_ROW):
                        for b in range(N_ROW):
                            matrix[k1 + N_ROW * i + a, k1 + N_ROW * j + b] -= out[a, b]
    return n


@njit([void(float64[:, ::1], float64[::1])], cache=True, nogil=True)
def solve_cholesky(factor: NDArray[np.float64], x: NDArray[np.float64]) -> None:
    """Solve U^T U x = b in place.

    Parameters
    ----------
    factor : float64 array, shape (n, n)
        U in its upper triangle, from `cholesky`.
    x : float64 array, shape (n,)
        b; x afterwards.
    """
    n = x.size
    for k in range(n):
        x[k] /= factor[k, k]
        f = x[k]
        for j in range(k + 1, n):
            x[j] -= f * factor[k, j]
    for k in range(n - 1, -1, -1):
        total = x[k]
        for j in range(k + 1, n):
            total -= factor[k, j] * x[j]
        x[k] = total / factor[k, k]
