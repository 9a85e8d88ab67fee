"""Pixel masks: flooding an image from markers, and the smallest apertures of stars that stand out nowhere."""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int32, int64, njit, void
from numpy.typing import NDArray

__all__ = ["flood", "minimum_apertures"]


@njit([boolean(float64[::1], int64, int64)], cache=True, nogil=True)
def _first(height: NDArray[np.float64], a: int, b: int) -> bool:
    """Whether queued pixel ``a`` leaves before ``b``: the higher one, of equals the one that came first."""
    return height[a] > height[b] or (height[a] == height[b] and a < b)


@njit([void(int64[::1], float64[::1], int64)], cache=True, nogil=True)
def _rise(heap: NDArray[np.int64], height: NDArray[np.float64], at: int) -> None:
    """Move the entry ``at`` of the heap up to where it belongs."""
    moved = heap[at]
    while at > 0:
        parent = (at - 1) // 2
        if not _first(height, moved, heap[parent]):
            break
        heap[at] = heap[parent]
        at = parent
    heap[at] = moved


@njit([void(int64[::1], float64[::1], int64)], cache=True, nogil=True)
def _sink(heap: NDArray[np.int64], height: NDArray[np.float64], size: int) -> None:
    """Move the top of a heap of ``size`` entries down to where it belongs."""
    moved = heap[0]
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _first(height, heap[child + 1], heap[child]):
            child += 1
        if not _first(height, heap[child], moved):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = moved


@njit([void(float64[:, ::1], int32[:, ::1], int32[:, ::1])], cache=True, nogil=True)
def flood(image: NDArray[np.float64], region: NDArray[np.int32], label: NDArray[np.int32]) -> None:
    """Let labels run downhill from their markers until they meet, each within its own region: a watershed.

    Parameters
    ----------
    image : float64 array, shape (n_row, n_col)
        Heights; finite in all regions.
    region : int32 array, shape (n_row, n_col)
        Number of the region of each pixel, 0 for none. No label crosses from one to another.
    label : int32 array, shape (n_row, n_col)
        The markers, 0 elsewhere; changed in place.

    Notes
    -----
    The flooding of Meyer 1994 (Signal Processing 38, 113), upside down: of all pixels next to a labelled one (of eight neighbours)
    the highest is taken next, of equals the one that was reached first, so that plateaus are shared by distance. A pixel
    gets the label from which it was reached first.
    """
    n_row, n_col = image.shape
    pixel = np.empty(image.size, np.int64)  # in the order of arrival
    height = np.empty(image.size)
    heap = np.empty(image.size, np.int64)
    n_queued = 0
    size = 0
    for p in range(image.size):
        if label[p // n_col, p % n_col] > 0:
            pixel[n_queued], height[n_queued] = p, image[p // n_col, p % n_col]
            heap[size] = n_queued
            _rise(heap, height, size)
            n_queued += 1
            size += 1
    while size > 0:
        r, c = pixel[heap[0]] // n_col, pixel[heap[0]] % n_col
        size -= 1
        heap[0] = heap[size]
        _sink(heap, height, size)
        for y in range(max(r - 1, 0), min(r + 2, n_row)):
            for x in range(max(c - 1, 0), min(c + 2, n_col)):
                if label[y, x] != 0 or region[y, x] == 0 or region[y, x] != region[r, c]:
                    continue
                label[y, x] = label[r, c]
                pixel[n_queued], height[n_queued] = y * n_col + x, image[y, x]
                heap[size] = n_queued
                _rise(heap, height, size)
                n_queued += 1
                size += 1


@njit([int64(float64[::1], float64[::1], int64[::1], boolean[:, ::1], int32[:, ::1], int64)], cache=True, nogil=True)
def minimum_apertures(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    order: NDArray[np.int64],
    usable: NDArray[np.bool_],
    label: NDArray[np.int32],
    last: int,
) -> int:
    """Give stars on pixels without a label those within a pixel of their position, in column and in row.

    Parameters
    ----------
    col, row : float64 array, shape (n_star,)
        Positions (px) relative to the centre of pixel [0, 0].
    order : int64 array, shape (n,)
        The stars to look at, the first to choose first; all on the image.
    usable : bool array, shape (n_row, n_col)
        Pixels that may be taken.
    label : int32 array, shape (n_row, n_col)
        Changed in place where it was 0.
    last : int
        The largest label so far.

    Returns
    -------
    int
        The largest label now.
    """
    n_row, n_col = label.shape
    for s in order:
        r, c = math.floor(row[s] + 0.5), math.floor(col[s] + 0.5)
        if label[r, c] != 0 or not usable[r, c]:
            continue
        last += 1
        for y in range(max(math.ceil(row[s] - 1.0), 0), min(math.floor(row[s] + 1.0), n_row - 1) + 1):
            for x in range(max(math.ceil(col[s] - 1.0), 0), min(math.floor(col[s] + 1.0), n_col - 1) + 1):
                if label[y, x] == 0 and usable[y, x]:
                    label[y, x] = last
    return last
