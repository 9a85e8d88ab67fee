"""The row of a star in the normal equations of PSF photometry: its pixels, their weights, and the stars whose light they see.

What `cuvee.photometry.psf` plans for all stars at once in single precision, for one star at a time, from its definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.photometry.psf import ENOUGH
from cuvee.photometry.psf_pairs import LINKED, TOGETHER, UNSEEN
from cuvee.provenance.prf_stamps import higher_orders, stamps
from cuvee.provenance.psf_scene import Scene

__all__ = ["Row", "Rows", "Variance"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Row:
    """The row of one star.

    Parameters
    ----------
    star : int
        Its number.
    rows, cols : int64 array, shape (n_pixel,)
        Image pixels that take part.
    weight : float64 array, shape (n_pixel,)
        Inverse variance x PRF (s / e-)^2.
    norm : float
        N_ss, the sum of weight x PRF.
    n_full : int
        Pixels in the box that take no part: nearly full, or unknown.
    near : int64 array, shape (n_near,)
        Stars whose stamps overlap that of this one, itself included.
    values : float64 array, shape (6, n_near, n_pixel)
        Their PRFs and derivatives at the pixels.
    higher : float64 array, shape (9, n_pixel)
        Third and fourth derivatives of those seen well, times their reference flux, summed (e-/s/px^3).
    told : float64 array, shape (n_near,)
        N_st, the sums of weight x PRF of each.
    followed : bool array, shape (n_near,)
        Stars whose change from frame to frame enters; the others count as bright as in the reference image.
    """

    star: int
    rows: IntArray
    cols: IntArray
    weight: FloatArray
    norm: float
    n_full: int
    near: IntArray
    values: FloatArray
    higher: FloatArray
    told: FloatArray
    followed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Variance:
    """Where the error of a PSF flux comes from.

    Parameters
    ----------
    alone : float
        1 / N_ss: variance of the flux in a frame as bright as the reference image, had the star no neighbours ((e-/s)^2).
    reference : float
        The same with the star's group: its element of the inverse of N within the group.
    squares : float
        By how much it grows with the variance of the pixels: sum of weight^2 / N_ss^2.
    lean : float
        Change of the flux with the background (px).
    group : int64 array
        Stars that are solved together with this one.
    """

    alone: float
    reference: float
    squares: float
    lean: float
    group: IntArray


class Rows:
    """Rows of stars, each made when it is asked for.

    Parameters
    ----------
    scene : Scene
        The stars.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._stamps: dict[int, FloatArray] = {}
        self._higher: dict[int, FloatArray] = {}
        self._rows: dict[int, Row] = {}

    def row(self, star: int) -> Row:
        """Return the row of a star."""
        if star not in self._rows:
            self._rows[star] = self._make(star)
        return self._rows[star]

    def _draw(self, stars: IntArray) -> None:
        model = self.scene.model
        missing = np.array([k for k in stars.tolist() if k not in self._stamps], np.int64)
        if missing.size:
            values = stamps(model.prf, model.col[missing], model.row[missing])[1]
            self._stamps.update(zip(missing.tolist(), values.transpose(1, 0, 2, 3), strict=True))
        missing = np.array([k for k in stars[self.scene.seen_well[stars]].tolist() if k not in self._higher], np.int64)
        if missing.size:
            higher = higher_orders(model.prf, model.col[missing], model.row[missing])
            self._higher.update(zip(missing.tolist(), higher.transpose(1, 0, 2, 3), strict=True))

    def _make(self, star: int) -> Row:
        scene, model = self.scene, self.scene.model
        half, side = model.prf.half, 2 * model.prf.half + 1
        away = np.abs(scene.corner - scene.corner[star]).max(axis=1)
        near = np.flatnonzero(scene.apart & (away < side))
        self._draw(near)
        own = self._stamps[star][0]
        j, i = np.indices((side, side))
        rows, cols = scene.corner[star, 0] + j, scene.corner[star, 1] + i
        n_row, n_col = scene.light.shape
        on = (rows >= 0) & (rows < n_row) & (cols >= 0) & (cols < n_col)
        inverse = np.zeros((side, side))
        inverse[on] = scene.inverse_variance[rows[on], cols[on]]
        # The smallest square round the middle that tells nearly all there is.
        ring = np.maximum(np.abs(j - half), np.abs(i - half))
        within = np.cumsum([(inverse * own**2)[ring == r].sum() for r in range(half + 1)])
        box = on & (ring <= int(np.argmax(within >= ENOUGH * within[-1])))
        used = box & (inverse > 0.0)
        rows, cols, weight = rows[used], cols[used], (inverse * own)[used]
        values = np.stack([self._at(self._stamps, int(k), rows, cols) for k in near], axis=1)
        higher = np.zeros((9, rows.size))
        for k in near[scene.seen_well[near]]:
            higher += model.flux[k] * self._at(self._higher, int(k), rows, cols)
        told = values[0] @ weight
        norm = float((weight * own[used]).sum())
        seen = np.abs(told) * model.flux[near] / np.sqrt(norm) if norm > 0.0 else np.zeros(near.size)
        followed = scene.solved[near] & ((seen > UNSEEN) | (near == star))
        n_full = int(np.count_nonzero(box & ~used))
        return Row(star, rows, cols, weight, norm, n_full, near, values, higher, told, followed)

    def _at(self, images: dict[int, FloatArray], star: int, rows: IntArray, cols: IntArray) -> FloatArray:
        """Take a star's stamps at image pixels; beyond a stamp there is no light."""
        stamp = images[star]
        j, i = rows - self.scene.corner[star, 0], cols - self.scene.corner[star, 1]
        side = stamp.shape[1]
        inside = (j >= 0) & (j < side) & (i >= 0) & (i < side)
        return np.asarray(stamp[:, np.clip(j, 0, side - 1), np.clip(i, 0, side - 1)] * inside)

    def variance(self, star: int) -> Variance:
        """Say what the error of a star's flux is made of.

        Parameters
        ----------
        star : int
            Its number; some pixel must see it.

        Returns
        -------
        Variance
        """
        group = self._group(star)
        rows = [self.row(k) for k in group]
        scale = 1.0 / np.sqrt([row.norm for row in rows])
        normal = np.array([[self._entry(row, k) for k in group] for row in rows]) * scale[:, None] * scale
        np.fill_diagonal(normal, 1.0 + 1e-6)
        inverse = (np.linalg.inv(normal) * scale[:, None] * scale)[group.index(star)]
        mine = self.row(star)
        return Variance(
            alone=1.0 / mine.norm,
            reference=float(inverse[group.index(star)]),
            squares=float((mine.weight**2).sum() / mine.norm**2),
            lean=float(inverse @ [row.weight.sum() for row in rows]),
            group=np.array(group, np.int64),
        )

    def _entry(self, row: Row, star: int) -> float:
        """N between two stars, where the second is followed in the row of the first."""
        at = np.flatnonzero((row.near == star) & row.followed)
        return float(row.told[at[0]]) if at.size else 0.0

    def _group(self, star: int) -> list[int]:
        """Find the stars that are linked to one, directly or through others; in a group that is too large only the stronger links count."""
        limit = LINKED
        while True:
            group, todo = {star}, [star]
            while todo and (len(group) <= TOGETHER or limit > 1.0):
                row = self.row(todo.pop())
                for k in row.near[self.scene.solved[row.near]].tolist():
                    other = self.row(k)
                    if k in group or not other.norm > 0.0:
                        continue
                    link = max(abs(self._entry(row, k)), abs(self._entry(other, row.star)))
                    if link > limit * np.sqrt(row.norm * other.norm):
                        group.add(k)
                        todo.append(k)
            if len(group) <= TOGETHER or limit > 1.0:
                return sorted(group)
            limit *= 1.5
