"""Exact overlap of circles and pixels, and the pixels of annuli, for all stars at once."""
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int32, int64, njit, void
from numpy.typing import NDArray

__all__ = ["annulus_pixels", "count_annulus", "count_overlaps", "overlaps", "rectangle_overlap"]


@njit(float64(float64, float64, float64), cache=True, nogil=True)
def _quadrant(a: float, b: float, radius: float) -> float:
    """Area of the circle round the origin within the rectangle from the origin to (a, b), odd in a and in b."""
    sign = 1.0
    if a < 0.0:
        a, sign = -a, -sign
    if b < 0.0:
        b, sign = -b, -sign
    a, b = min(a, radius), min(b, radius)
    if a * a + b * b <= radius * radius:
        return sign * a * b
    # Flat top up to the column where the circle falls below b, then the integral of sqrt(r^2 - x^2) to a.
    c = np.sqrt(radius * radius - b * b)
    d = np.sqrt(radius * radius - a * a)
    sector = 0.5 * radius * radius * (np.arcsin(a / radius) - np.arcsin(c / radius))
    return sign * (b * c + 0.5 * (a * d - c * b) + sector)


@njit(float64(float64, float64, float64, float64, float64), cache=True, nogil=True)
def rectangle_overlap(x0: float, x1: float, y0: float, y1: float, radius: float) -> float:
    """Area of the circle of this radius round the origin within a rectangle.

    Exact: the area to a corner (a, b) is the integral of min(b, sqrt(r^2 - x^2)) over 0..a, and a rectangle is the
    signed sum over its four corners.
    """
    x, y = max(abs(x0), abs(x1)), max(abs(y0), abs(y1))
    if x * x + y * y <= radius * radius:
        return (x1 - x0) * (y1 - y0)
    area = (
        _quadrant(x1, y1, radius)
        - _quadrant(x0, y1, radius)
        - _quadrant(x1, y0, radius)
        + _quadrant(x0, y0, radius)
    )  # fmt: skip
    return max(area, 0.0)


@njit(int64(float64, float64, float64[::1]), cache=True, nogil=True)
def _level(dx: float, dy: float, radii: NDArray[np.float64]) -> int:
    """Return the first aperture that overlaps the pixel whose centre is (dx, dy) away; their number if none does."""
    x, y = max(abs(dx) - 0.5, 0.0), max(abs(dy) - 0.5, 0.0)
    nearest = x * x + y * y
    for a in range(radii.size):
        # The margin leaves out overlaps that vanish in rounding; they would only let a bad pixel in.
        if nearest < radii[a] * radii[a] * (1.0 - 1e-12):
            return a
    return radii.size


@njit(
    [void(float64[::1], float64[::1], float64[::1], int64, int64, int64[:, ::1], boolean[::1])], cache=True, nogil=True
)
def count_overlaps(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    radii: NDArray[np.float64],
    n_row: int,
    n_col: int,
    count: NDArray[np.int64],
    clipped: NDArray[np.bool_],
) -> None:
    """Count each star's pixels by the smallest aperture that holds them.

    Parameters
    ----------
    col, row : float64 array, shape (n_star,)
        Positions (px) from the centre of pixel [0, 0]; not finite means no pixels.
    radii : float64 array, shape (n_aperture,)
        Ascending (px).
    n_row, n_col : int
        Size of the image.
    count : int64 array, shape (n_star, n_aperture)
        Receives the numbers.
    clipped : bool array, shape (n_star,)
        Receives whether the largest aperture reaches beyond the image.
    """
    reach = radii[-1] + 0.5
    for s in range(col.size):
        count[s] = 0
        if not (abs(col[s]) < 1e6 and abs(row[s]) < 1e6):
            clipped[s] = True
            continue
        clipped[s] = False
        for j in range(int(np.ceil(row[s] - reach)), int(np.floor(row[s] + reach)) + 1):
            for i in range(int(np.ceil(col[s] - reach)), int(np.floor(col[s] + reach)) + 1):
                a = _level(i - col[s], j - row[s], radii)
                if a < radii.size:
                    if 0 <= j < n_row and 0 <= i < n_col:
                        count[s, a] += 1
                    else:
                        clipped[s] = True


@njit(
    [
        void(
            float64[::1], float64[::1], float64[::1], int64, int64, int64[::1], int64[::1], int64[::1],
            int64[:, ::1], int32[:, ::1], float32[:, ::1], float32[:, ::1], float64[:, :, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def overlaps(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    radii: NDArray[np.float64],
    n_row: int,
    n_col: int,
    row0: NDArray[np.int64],
    col0: NDArray[np.int64],
    width: NDArray[np.int64],
    cursor: NDArray[np.int64],
    pixel: NDArray[np.int32],
    weight: NDArray[np.float32],
    offset: NDArray[np.float32],
    area: NDArray[np.float64],
) -> None:
    """Write the sparse rows of all apertures.

    Parameters
    ----------
    col, row, radii, n_row, n_col
        As in `count_overlaps`.
    row0, col0, width : int64 array, shape (n_star,)
        First row, first column and width of the tile that the star is measured in.
    cursor : int64 array, shape (n_star, n_aperture)
        Where each star's pixels of each level begin; moved on to where they end.
    pixel, weight, offset
        Receive pixel numbers in the tile, overlaps and offsets, as `cuvee.kernels.aperture_sums.sum_apertures` wants them.
    area : float64 array, shape (n_star, n_aperture, 4)
        Receives the sums of weight, weight^2, weight x column offset and weight x row offset.
    """
    reach = radii[-1] + 0.5
    for s in range(col.size):
        area[s] = 0.0
        if not (abs(col[s]) < 1e6 and abs(row[s]) < 1e6):
            continue
        for j in range(max(int(np.ceil(row[s] - reach)), 0), min(int(np.floor(row[s] + reach)) + 1, n_row)):
            for i in range(max(int(np.ceil(col[s] - reach)), 0), min(int(np.floor(col[s] + reach)) + 1, n_col)):
                dx, dy = i - col[s], j - row[s]
                first = _level(dx, dy, radii)
                if first == radii.size:
                    continue
                k = cursor[s, first]
                cursor[s, first] += 1
                pixel[k, 0] = (j - row0[s]) * width[s] + i - col0[s]
                offset[k, 0] = dx
                offset[k, 1] = dy
                for a in range(radii.size):
                    w = 0.0
                    if a >= first:
                        w = rectangle_overlap(dx - 0.5, dx + 0.5, dy - 0.5, dy + 0.5, radii[a])
                    weight[k, a] = w
                    area[s, a, 0] += w
                    area[s, a, 1] += w * w
                    area[s, a, 2] += w * dx
                    area[s, a, 3] += w * dy


@njit(
    [void(float64[::1], float64[::1], float64, float64, boolean[:, ::1], int64[::1], int64[::1])],
    cache=True,
    nogil=True,
)
def count_annulus(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    inner: float,
    outer: float,
    clean: NDArray[np.bool_],
    n_clean: NDArray[np.int64],
    n_all: NDArray[np.int64],
) -> None:
    """Count the pixels whose centres lie ``inner <= d < outer`` from each star: the clean ones, and all."""
    n_row, n_col = clean.shape
    for s in range(col.size):
        n_clean[s] = 0
        n_all[s] = 0
        if not (abs(col[s]) < 1e6 and abs(row[s]) < 1e6):
            continue
        for j in range(max(int(np.ceil(row[s] - outer)), 0), min(int(np.floor(row[s] + outer)) + 1, n_row)):
            for i in range(max(int(np.ceil(col[s] - outer)), 0), min(int(np.floor(col[s] + outer)) + 1, n_col)):
                d = (i - col[s]) ** 2 + (j - row[s]) ** 2
                if inner * inner <= d < outer * outer:
                    n_all[s] += 1
                    n_clean[s] += clean[j, i]


@njit(
    [
        void(
            float64[::1], float64[::1], float64, float64, boolean[:, ::1], float32[:, ::1], int64, int64[::1],
            int64[::1], int64[::1], int64[::1], int64[::1], int32[:, ::1],
        )
    ],
    cache=True,
    nogil=True,
)  # fmt: skip
def annulus_pixels(
    col: NDArray[np.float64],
    row: NDArray[np.float64],
    inner: float,
    outer: float,
    clean: NDArray[np.bool_],
    image: NDArray[np.float32],
    n_least: int,
    n_clean: NDArray[np.int64],
    row0: NDArray[np.int64],
    col0: NDArray[np.int64],
    width: NDArray[np.int64],
    ptr: NDArray[np.int64],
    pixel: NDArray[np.int32],
) -> None:
    """Write the annulus pixels of every star: the clean ones, or the ``n_least`` faintest where too few are clean.

    Parameters
    ----------
    col, row, inner, outer, clean
        As in `count_annulus`.
    image : float32 array, shape (n_row, n_col)
        Ranks the pixels where fewer than ``n_least`` are clean; NaN ranks last.
    n_least : int
        See above.
    n_clean : int64 array, shape (n_star,)
        From `count_annulus`.
    row0, col0, width : int64 array, shape (n_star,)
        The star's tile.
    ptr : int64 array, shape (n_star + 1,)
        Where each star's pixels begin.
    pixel : int32 array, shape (n_entry, 1)
        Receives pixel numbers in the tile.
    """
    n_row, n_col = clean.shape
    side = 2 * int(outer) + 3
    values = np.empty(side * side)
    for s in range(col.size):
        k, end = ptr[s], ptr[s + 1]
        if k == end:
            continue
        crowded = n_clean[s] < n_least
        limit = np.inf
        # Where it is crowded: find the limit, take what is not above it, then fill up with pixels of no known value.
        for visit in range(3):
            if (visit != 1 and not crowded) or k == end:
                continue
            n = 0
            for j in range(max(int(np.ceil(row[s] - outer)), 0), min(int(np.floor(row[s] + outer)) + 1, n_row)):
                for i in range(max(int(np.ceil(col[s] - outer)), 0), min(int(np.floor(col[s] + outer)) + 1, n_col)):
                    d = (i - col[s]) ** 2 + (j - row[s]) ** 2
                    if not inner * inner <= d < outer * outer:
                        continue
                    known = image[j, i] == image[j, i]
                    if visit == 0:
                        values[n] = image[j, i] if known else np.inf
                        n += 1
                        continue
                    wanted = clean[j, i] if not crowded else known and image[j, i] <= limit if visit == 1 else not known
                    if wanted and k < end:
                        pixel[k, 0] = (j - row0[s]) * width[s] + i - col0[s]
                        k += 1
            if visit == 0:
                limit = np.sort(values[:n])[min(end - ptr[s], n) - 1]
