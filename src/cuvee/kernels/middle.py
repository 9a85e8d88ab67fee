"""Medians and median deviations of many rows, by counting: sorting does more than is asked.

The bits of a float32 make an integer of the same order. The nth smallest number of a row is the least integer that n + 1 numbers
of the row do not exceed, and bisection finds it in at most 32 counts; a count of a row is a few vector operations, in cache.
"""
# mypy: disable-error-code="no-untyped-call,no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import float32, float64, int32, int64, njit, types, void
from numpy.typing import NDArray

__all__ = ["middle_of_rows"]

NONE = np.int32(np.iinfo(np.int32).max)
"""Stands above all numbers: what is not one."""


@njit(int32(int32[::1], int32), cache=True, nogil=True)
def _count(keys, limit):
    """Count the keys that do not exceed a limit."""
    n = int32(0)
    for i in range(keys.size):
        n += int32(keys[i] <= limit)
    return n


@njit(types.UniTuple(int32, 2)(int32[::1], int64, int32, int32), cache=True, nogil=True)
def _middle_two(keys, n, low, high):
    """Return the two keys in the middle of the ``n`` smallest, the same twice where ``n`` is odd; all lie from ``low`` to ``high``."""
    wanted = int32((n - 1) // 2 + 1)
    while low < high:
        # Halfway without leaving the integers.
        half = int32((int64(low) + int64(high)) >> 1)
        if _count(keys, half) >= wanted:
            high = half
        else:
            low = int32(half + 1)
    if n % 2 == 1 or _count(keys, low) > wanted:
        return low, low
    following = NONE
    for i in range(keys.size):
        following = min(following, keys[i] if keys[i] > low else NONE)
    return low, following


@njit(void(types.Array(float32, 1, "C", readonly=True), int32[::1]), cache=True, nogil=True)
def _write_keys(values, keys):
    bits = values.view(np.int32)
    for i in range(values.size):
        key = int32(bits[i] ^ ((bits[i] >> int32(31)) & int32(0x7FFFFFFF)))
        keys[i] = key if values[i] == values[i] else NONE


@njit(
    float64(types.Array(float32, 1, "C", readonly=True), int32[::1], float32[::1], int32[::1]), cache=True, nogil=True
)
def _middle(values, keys, one, bits):
    """Return the median; ``bits`` are those of ``one``."""
    _write_keys(values, keys)
    n, low, high = 0, NONE, int32(-NONE - 1)
    for i in range(keys.size):
        there = keys[i] != NONE
        n += there
        low = min(low, keys[i])
        high = max(high, keys[i] if there else low)
    if n == 0:
        return np.nan
    total = 0.0
    for key in _middle_two(keys, n, low, high):
        bits[0] = int32(key ^ ((key >> int32(31)) & int32(0x7FFFFFFF)))
        total += float64(one[0])
    return 0.5 * total


@njit(
    void(types.Array(float32, 2, "C", readonly=True), float64[::1], float64[::1], types.boolean),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def middle_of_rows(
    values: NDArray[np.float32], centre: NDArray[np.float64], deviation: NDArray[np.float64], deviating: bool
) -> None:
    """Find the median of each row, and the median of what its numbers lie off it.

    Parameters
    ----------
    values : float32 array, shape (n_row, n)
        Any unit; NaN where there is nothing.
    centre : float64 array, shape (n_row,)
        Receives the medians: of an even count of numbers the mean of the two in the middle; NaN for a row without a number.
    deviation : float64 array, shape (n_row,)
        Receives the median absolute deviations, where they are wanted; NaN where the median is not finite.
    deviating : bool
        Whether they are.
    """
    n = values.shape[1]
    keys, one = np.empty(n, np.int32), np.empty(1, np.float32)
    bits, rest = one.view(np.int32), np.empty(n, np.float32)
    for k in range(values.shape[0]):
        centre[k] = _middle(values[k], keys, one, bits)
        if not deviating:
            continue
        middle = centre[k]
        deviation[k] = np.nan
        if np.isfinite(middle):
            for i in range(n):
                rest[i] = abs(float64(values[k, i]) - middle)
            deviation[k] = _middle(rest, keys, one, bits)
