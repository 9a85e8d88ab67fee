"""A PSF flux in one frame once more: the star's row, with what all other stars give to its pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.photometry.psf_pairs import TOGETHER
from cuvee.photometry.psf_solve import BELIEVED, GOOD, LEAST_NOISE, MOST_HIT, ODD
from cuvee.provenance.prf_stamps import displaced
from cuvee.provenance.psf_rows import Row, Rows
from cuvee.provenance.sums import EPS

__all__ = ["Frame", "Rays", "Solved", "cosmic_rays", "solve_star"]

FloatArray = NDArray[np.float64]

LINKS = 3
"""How many steps from the star stars whose flux is not kept are solved for again."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What PSF photometry knows of one frame.

    Parameters
    ----------
    image : float64 array, shape (n_row, n_col)
        Its pixels (e-/s); NaN where one is not a number. None where they are not known.
    kept : float64 array, shape (n_star,)
        Fluxes of the stars that are stored as they came out of the solution, NaN for all others (e-/s).
    pointing : float64 array, shape (2, n_basis)
        Displacement in column and row (px): coefficients of `basis`.
    level : callable
        Background at a star of that number (e-/s/pixel).
    """

    image: FloatArray | None
    kept: FloatArray
    pointing: FloatArray
    level: Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Solved:
    """A star's row in one frame.

    Parameters
    ----------
    row : Row
        The row.
    basis : float64 array, shape (n_basis,)
        What displacements are made of, at the star.
    x, y : float
        Displacement of the frame at the star (px).
    own : float64 array, shape (n_pixel,)
        The star's own PRF, displaced.
    value : float64 array, shape (n_pixel,)
        The pixels (e-/s), mended.
    mended : bool array, shape (n_pixel,)
        Those that are not numbers, so that the reference image stands in.
    others : float64 array, shape (n_pixel,)
        Light of all other stars, and the higher orders of all (e-/s).
    flux : float64 array, shape (n_near,)
        Flux with which each near star enters (e-/s); the star's own is the solution.
    source : tuple of str
        Where each comes from: ``stored``, ``solved here``, ``reference``.
    slope : tuple of float
        Change of the flux with the displacement in column and row (e-/s/px).
    level : float
        Background at the star (e-/s/pixel).
    """

    row: Row
    basis: FloatArray
    x: float
    y: float
    own: FloatArray
    value: FloatArray
    mended: NDArray[np.bool_]
    others: FloatArray
    flux: FloatArray
    source: tuple[str, ...]
    slope: tuple[float, float]
    level: float

    @property
    def result(self) -> float:
        """The flux that the row leads to: sum of w (D - others) less the background, over the sum of w P (e-/s)."""
        weight = self.row.weight
        return float(weight @ (self.value - self.others - self.level) / (weight @ self.own))


def _basis(rows: Rows, star: int, n_basis: int) -> FloatArray:
    """Return 1 and the star's place on the detector, from -1 to 1 in column and row, as many of them as there are."""
    up, across = 2.0 * rows.scene.corner[star] / np.array(rows.scene.light.shape) - 1.0
    return np.array([1.0, across, up])[:n_basis]


def solve_star(rows: Rows, star: int, frame: Frame) -> Solved:
    """Solve for the flux of one star.

    Parameters
    ----------
    rows : Rows
        Makes the rows.
    star : int
        Number of the star.
    frame : Frame
        The frame; without its image fluxes that are not kept are those of the reference image.

    Returns
    -------
    Solved
        Stars whose fluxes are kept enter with these; those that were solved for but not kept are solved for again, together with the
        star; all others are as bright as in the reference image.
    """
    flux = rows.scene.model.flux
    together, edge = [star], [star]
    for _ in range(LINKS if frame.image is not None else 0):
        found = [k for s in edge for k in _unknown(rows.row(s), frame) if rows.row(k).norm > 0.0]
        edge = [k for k in dict.fromkeys(found) if k not in together][: TOGETHER - len(together)]
        together += edge
    place = {k: n for n, k in enumerate(together)}
    matrix, right = np.eye(len(together)), np.zeros(len(together))
    for n, k in enumerate(together):
        row = rows.row(k)
        light = displaced(row.values, *_shift(rows, k, frame)[1:])
        told = light @ row.weight
        value = _pixels(rows, row, frame)[0]
        matrix[n, n] = 0.0
        right[n] = row.weight @ (value - _higher(rows, row, frame) - frame.level(k))
        for t, near, followed in zip(told, row.near.tolist(), row.followed, strict=True):
            if followed and near in place:
                matrix[n, place[near]] += t
            else:
                right[n] -= t * (frame.kept[near] if followed and np.isfinite(frame.kept[near]) else flux[near])
    # The frame may be unknown, or without a background.
    solution = np.linalg.solve(matrix, right) if np.isfinite(right).all() else np.full(right.size, np.nan)

    row = rows.row(star)
    basis, x, y = _shift(rows, star, frame)
    fluxes, source = flux[row.near].copy(), ["reference"] * row.near.size
    for n, (k, followed) in enumerate(zip(row.near.tolist(), row.followed, strict=True)):
        if followed and k in place:
            fluxes[n], source[n] = solution[place[k]], "solved here"
        elif followed and np.isfinite(frame.kept[k]):
            fluxes[n], source[n] = frame.kept[k], "stored"
    light = displaced(row.values, x, y)
    mine = int(np.flatnonzero(row.near == star)[0])
    others = np.delete(fluxes, mine) @ np.delete(light, mine, axis=0) + _higher(rows, row, frame)
    value, mended = _pixels(rows, row, frame)
    if frame.image is None:
        fluxes[mine] = np.nan
    norm = row.weight @ light[mine]
    ahead = displaced(row.values, x + 0.5, y), displaced(row.values, x, y + 0.5)
    behind = displaced(row.values, x - 0.5, y), displaced(row.values, x, y - 0.5)
    slope = tuple(float(fluxes @ (a - b) @ row.weight / norm) for a, b in zip(ahead, behind, strict=True))
    return Solved(
        row, basis, x, y, light[mine], value, mended, others, fluxes, tuple(source), (slope[0], slope[1]), frame.level(star)
    )  # fmt: skip


def _unknown(row: Row, frame: Frame) -> list[int]:
    return [k for k in row.near[row.followed].tolist() if k != row.star and not np.isfinite(frame.kept[k])]


def _shift(rows: Rows, star: int, frame: Frame) -> tuple[FloatArray, float, float]:
    basis = _basis(rows, star, frame.pointing.shape[1])
    x, y = frame.pointing @ basis
    return basis, float(x), float(y)


def _higher(rows: Rows, row: Row, frame: Frame) -> FloatArray:
    _, x, y = _shift(rows, row.star, frame)
    third = [x**3 / 6.0, x * x * y / 2.0, x * y * y / 2.0, y**3 / 6.0]
    fourth = [x**4 / 24.0, x**3 * y / 6.0, x * x * y * y / 4.0, x * y**3 / 6.0, y**4 / 24.0]
    return np.asarray(np.array([*third, *fourth]) @ row.higher)


def _pixels(rows: Rows, row: Row, frame: Frame) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the pixels of a row, with the reference image where one is not a number."""
    if frame.image is None:
        return np.full(row.rows.size, np.nan), np.zeros(row.rows.size, bool)
    value = frame.image[row.rows, row.cols].astype(np.float64)
    mended = ~np.isfinite(value)
    still = np.nan_to_num(rows.scene.still[row.rows, row.cols].astype(np.float64))
    return np.where(mended, still, value), mended


@dataclass(frozen=True, slots=True)
class Rays:
    """How well the model fits, and what cosmic rays added.

    Parameters
    ----------
    chi2 : float
        Reduced chi2, without the pixels that were hit.
    chi2_before : float
        With them.
    hit : tuple of int
        Which of the row's pixels were hit, the worst first.
    excess : tuple of float
        By how many of its errors each was too bright.
    added : float
        What they added to the flux (e-/s).
    slack : float
        How far single precision and the tolerance of the flux may move chi2.
    """

    chi2: float
    chi2_before: float
    hit: tuple[int, ...]
    excess: tuple[float, ...]
    added: float
    slack: float


def cosmic_rays(rows: Rows, solved: Solved, still_level: float, exposure: float, tolerance: float) -> Rays:
    """Look for pixels that are too bright for the star's PRF.

    Parameters
    ----------
    rows : Rows
        Made the row.
    solved : Solved
        From `solve_star`.
    still_level : float
        Background at the star in the reference image (e-/s/pixel).
    exposure : float
        Time on source (s).
    tolerance : float
        Of the flux (e-/s).

    Returns
    -------
    Rays
        As `cuvee.kernels.psf_judge` finds them: against the reference image, displaced to second order as the model of all stars is, and
        the change of this one.
    """
    row, still = solved.row, rows.scene.model.flux[solved.row.near]
    mine = int(np.flatnonzero(row.near == row.star)[0])
    share = row.values[0, mine]
    floor = BELIEVED * (still @ row.values[0])
    w = 1.0 / (1.0 / rows.scene.inverse_variance[row.rows, row.cols] + floor**2)
    # All pixels count as noisier under a brighter sky, by as much as they are on average.
    w = w / max(1.0 + w.mean() * (solved.level - still_level) / exposure, LEAST_NOISE)
    pull = row.weight * share
    light = rows.scene.still[row.rows, row.cols] - still_level
    light = light + still @ (displaced(row.values, solved.x, solved.y) - row.values[0])
    rest = (
        np.where(solved.mended, np.nan, solved.value) - solved.level - light - (solved.flux[mine] - still[mine]) * share
    )
    size = np.abs(solved.value) + np.abs(light) + abs(solved.level) + np.abs((solved.flux[mine] - still[mine]) * share)
    moved = 4.0 * EPS * size + tolerance * np.abs(share)
    n = rest.size
    slack = float((w * (2.0 * np.abs(rest) + moved) * moved).sum()) / max(n - 1 - MOST_HIT, 1)
    total = float((w * rest**2).sum())
    before = total / (n - 1) if n > 1 else np.nan
    kept, shift, hit, excess = np.ones(n, bool), 0.0, list[int](), list[float]()
    if not before > GOOD:
        return Rays(before, before, (), (), 0.0, slack)
    while len(hit) < min(MOST_HIT, n - 3):
        told = float(pull[kept].sum())
        free = 1.0 - pull / told
        left = rest - shift * share
        odd = np.where(
            kept & (rest >= 0.0) & (left > 0.0) & (free > 0.05), w * left**2 / np.where(free > 0.0, free, 1.0), 0.0
        )
        worst = int(np.argmax(odd))
        if not odd[worst] > ODD**2:
            break
        kept[worst] = False
        # The fit moves by what this pixel alone had pulled.
        shift -= row.weight[worst] * left[worst] / (told - pull[worst])
        total -= float(odd[worst])
        hit.append(worst)
        excess.append(float(np.sqrt(odd[worst])))
        if total / (kept.sum() - 1) <= GOOD:
            return Rays(max(total, 0.0) / (kept.sum() - 1), before, tuple(hit), tuple(excess), -shift, slack)
    return Rays(before, before, (), (), 0.0, slack)
