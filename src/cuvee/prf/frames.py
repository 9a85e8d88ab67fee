"""What the learning keeps of the frames: their mean, cutouts around stars, and dark pixels for the sky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MARGIN", "Kept", "Sky", "dark_pixels", "fit_sky", "keep"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MARGIN = 2
"""Pixels of a cutout beyond the stamp on each side: how far a star may be found from its catalogue position."""

CELL = 64
"""Wanted side of a cell of the sky (px)."""

PICKS = 400
"""Pixels used of a cell: its error is then a twentieth of the noise of a pixel."""

DARK = 0.25
"""Share of a cell's pixels, those with the least expected starlight, of which the picks are taken."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of the frames.

    Parameters
    ----------
    mean : float64 array, shape (n_row, n_col)
        Mean image (e-/s); a value that stands alone far above those of the other frames has been left out.
    bad : bool array, shape (n_row, n_col)
        Pixels without a finite value in every frame.
    cut_col, cut_row : int64 array, shape (n_cut,)
        Where the cutouts begin.
    cutouts : float32 array, shape (n_cut, n_frame, size, size)
        Pixels around the stars that may teach (e-/s).
    pixel : int64 array, shape (n_sample,)
        Dark pixels, cell by cell.
    samples : float32 array, shape (n_frame, n_sample)
        Their values (e-/s).
    """

    mean: FloatArray
    bad: NDArray[np.bool_]
    cut_col: IntArray
    cut_row: IntArray
    cutouts: NDArray[np.float32]
    pixel: IntArray
    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sky:
    """The sky: cubic splines through the levels of a mesh.

    Parameters
    ----------
    mesh : float64 array, shape (n_frame, n_up, n_across)
        Levels (e-/s).
    up, across : float64 array, shape (n_row, n_up) and (n_col, n_across)
        From the mesh to rows and columns.
    """

    mesh: FloatArray
    up: FloatArray
    across: FloatArray

    def mean_image(self) -> FloatArray:
        """Return the mean over the frames, shape (n_row, n_col)."""
        # Neither here nor below a matrix product: the linear algebra library would start threads of its own.
        lines = np.einsum("yi,ij->yj", self.up, self.mesh.mean(axis=0))
        return np.asarray(np.einsum("yj,xj->yx", lines, self.across))

    def planes(self, cut_col: IntArray, cut_row: IntArray, size: int) -> FloatArray:
        """Return value in the middle of cutouts, and slopes along columns and rows, shape (n_cut, n_frame, 3)."""
        middle, reach = size // 2, size - 1
        across = self.across[cut_col + middle]
        slope = (self.across[cut_col + reach] - self.across[cut_col]) / reach
        up = self.up[cut_row + middle]
        rise = (self.up[cut_row + reach] - self.up[cut_row]) / reach
        lines = np.einsum("si,tij->stj", up, self.mesh)
        rises = np.einsum("si,tij->stj", rise, self.mesh)
        planes = [np.einsum("stj,sj->st", a, b) for a, b in ((lines, across), (lines, slope), (rises, across))]
        return np.stack(planes, axis=2)


def _edges(n: int) -> IntArray:
    return np.round(np.linspace(0, n, max(1, round(n / CELL)) + 1)).astype(np.int64)


def dark_pixels(bad: NDArray[np.bool_], col: FloatArray, row: FloatArray, flux: FloatArray, faint: float) -> IntArray:
    """Choose the pixels in which the sky is measured: the darkest by the catalogue, whatever the frames show in them.

    Parameters
    ----------
    bad : bool array, shape (n_row, n_col)
        Pixels to leave out.
    col, row, flux : float64 array, shape (n_star,)
        Stars, their places counted from pixel [0, 0].
    faint : float
        Starlight that does not matter (e-/s).

    Returns
    -------
    int64 array, shape (n_sample,)
        Pixel numbers, cell by cell, the cells row by row.
    """
    from cuvee.kernels.prf_frames import expected_light

    shape = bad.shape
    light = np.zeros(shape)
    expected_light(col, row, flux, faint, light)
    light[bad] = np.inf
    up, across = _edges(shape[0]), _edges(shape[1])
    chosen = []
    for i in range(up.size - 1):
        for j in range(across.size - 1):
            cell = light[up[i] : up[i + 1], across[j] : across[j + 1]]
            dark = np.flatnonzero((cell <= np.quantile(cell, DARK, method="lower")) & np.isfinite(cell))
            if dark.size > PICKS:
                dark = dark[(np.arange(PICKS) * dark.size) // PICKS]
            width = int(across[j + 1] - across[j])
            chosen.append((up[i] + dark // width) * shape[1] + across[j] + dark % width)
    return np.concatenate(chosen)


def keep(
    frames: Sequence[NDArray[Any]], cut_col: IntArray, cut_row: IntArray, size: int, pixel: IntArray, noise: FloatArray,
    gain: NDArray[np.float32] | None = None,
) -> Kept:  # fmt: skip
    """Read every frame once and keep of it what the learning needs.

    Parameters
    ----------
    frames : sequence of arrays, each of shape (n_row, n_col)
        e-/s, any float type and byte order.
    cut_col, cut_row : int64 array, shape (n_cut,)
        Where cutouts begin; they lie on the frames.
    size : int
        Pixels along a side of a cutout.
    pixel : int64 array, shape (n_sample,)
        Dark pixels.
    noise : float64 array, shape (n_col,)
        Standard deviation of a dark pixel (e-/s).
    gain : float32 array, shape (n_col,), optional
        By what the pixels of each column are multiplied first.

    Returns
    -------
    Kept
    """
    from cuvee.kernels.prf_frames import keep_frame

    n_frame, shape = len(frames), frames[0].shape
    total, bad = np.zeros(shape), np.zeros(shape, np.bool_)
    top, second = np.full(shape, -np.inf, np.float32), np.full(shape, -np.inf, np.float32)
    cutouts = np.empty((cut_col.size, n_frame, size, size), np.float32)
    samples = np.empty((n_frame, pixel.size), np.float32)
    for t, frame in enumerate(frames):
        native = np.array(frame, np.float32, order="C")
        if gain is not None:
            native *= gain
        keep_frame(native, t, total, top, second, bad, cut_col, cut_row, cutouts, pixel, samples)
    # Particles and asteroids: ten times the noise and half the light above the second brightest of all frames, which no jitter
    # is. The mean would keep a share of them.
    with np.errstate(invalid="ignore"):
        alone = top - second > 10.0 * noise + 0.5 * np.maximum(second, 0.0)
    total[alone] += second[alone] - top[alone]
    mean = total / n_frame
    mean[bad] = 0.0
    return Kept(mean, bad, cut_col, cut_row, cutouts, pixel, samples)


def fit_sky(
    kept: Kept, shape: tuple[int, int], model: NDArray[np.float32] | None = None, pointing: FloatArray | None = None
) -> Sky:
    """Fit the sky to the dark pixels.

    Parameters
    ----------
    kept : Kept
        The dark pixels' values.
    shape : tuple of int
        Rows and columns of the frames.
    model : float32 array, shape (6, n_row, n_col), optional
        The stars' light and its derivatives with the pointing; without it, none.
    pointing : float64 array, shape (n_frame, 6), optional
        Factors of the six.

    Returns
    -------
    Sky
    """
    from cuvee.kernels.prf_frames import sky_cells

    n_frame, n_sample = kept.samples.shape
    light = np.zeros((6, n_sample), np.float32) if model is None else model.reshape(6, -1)[:, kept.pixel]
    factors = np.zeros((n_frame, 6)) if pointing is None else pointing
    up, across = _edges(shape[0]), _edges(shape[1])
    n_up, n_across = up.size - 1, across.size - 1
    cell = (np.searchsorted(up, kept.pixel // shape[1], side="right") - 1) * n_across
    cell += np.searchsorted(across, kept.pixel % shape[1], side="right") - 1
    ptr = np.searchsorted(cell, np.arange(n_up * n_across + 1)).astype(np.int64)
    level = np.empty((n_frame, n_up * n_across))
    sky_cells(kept.samples, np.ascontiguousarray(light), factors, ptr, 3.0, level)
    empty = np.isnan(level[0])
    if empty.any():
        level[:, empty] = np.median(level[:, ~empty], axis=1)[:, None] if not empty.all() else 0.0
    cells = level.reshape(n_frame, n_up, n_across)
    rows, row_slope, row_middle = _spline(up)
    cols, col_slope, col_middle = _spline(across)
    count = np.maximum(np.diff(ptr), 1)
    off_row = np.add.reduceat(np.append(kept.pixel // shape[1], 0), ptr[:-1]) / count
    off_col = np.add.reduceat(np.append(kept.pixel % shape[1], 0), ptr[:-1]) / count
    off_row = np.where(np.diff(ptr) > 0, off_row - np.repeat(row_middle, n_across), 0.0).reshape(n_up, n_across)
    off_col = np.where(np.diff(ptr) > 0, off_col - np.tile(col_middle, n_up), 0.0).reshape(n_up, n_across)
    # The dark pixels of a cell do not lie around its middle; the surface's own slopes say what that makes.
    mesh = cells
    for _ in range(4):
        down = np.einsum("ij,tjk->tik", row_slope, mesh) * off_row
        right = np.einsum("kj,tij->tik", col_slope, mesh) * off_col
        mesh = cells - down - right
    return Sky(mesh, rows, cols)


def _spline(edges: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what leads from a line of cells to all pixels, to the slopes in the cells' middles, and these middles."""
    from scipy.interpolate import make_interp_spline

    n = edges.size - 1
    middle = np.asarray(0.5 * (edges[1:] + edges[:-1] - 1), dtype=np.float64)
    if n == 1:
        return np.ones((int(edges[-1]), 1)), np.zeros((1, 1)), middle
    spline = make_interp_spline(middle, np.eye(n), k=min(3, n - 1))
    return np.asarray(spline(np.arange(edges[-1]))), np.asarray(spline.derivative()(middle)), middle
