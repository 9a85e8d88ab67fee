"""Stars whose stamps overlap: which pairs matter, and an approximate inverse of their normal matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse as sp

__all__ = ["Pairs", "approximate_inverse", "chosen_rows", "linked_pairs", "overlapping_pairs", "project_images"]

LINKED = 0.02
"""Stars whose correlation is larger are solved together, exactly; weaker links are left to the iterations."""

TOGETHER = 48
"""Stars that are solved together, at most."""

UNSEEN = 0.05
"""Light that a star adds to another one, in the error of one frame, below which it need not be followed frame by frame."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the stars project on rows: the pairs that matter one by one, all others as a sum.

    Parameters
    ----------
    ptr, column, terms
        Rows of pairs and their six sums (`cuvee.kernels.star_space.gram`).
    rest : float32 array, shape (n_row, 15)
        What the other stars project, which stay as bright as they are in the reference image; last the third and fourth order of the bright
        stars, whose changes matter as little to it.
    star : int64 array, shape (n_row,)
        The star of each row.
    """

    ptr: NDArray[np.int64]
    column: NDArray[np.int64]
    terms: NDArray[np.float32]
    rest: NDArray[np.float32]
    star: NDArray[np.int64]


def overlapping_pairs(corner: NDArray[np.int64], side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, by rows, which stars' stamps overlap each star's, itself included."""
    from scipy.spatial import cKDTree

    n = corner.shape[0]
    found = cKDTree(corner.astype(np.float64)).query_pairs(side - 0.5, p=np.inf, output_type="ndarray")
    i = np.concatenate([found[:, 0], found[:, 1], np.arange(n)])
    j = np.concatenate([found[:, 1], found[:, 0], np.arange(n)])
    place = np.lexsort((j, i))
    ptr = np.searchsorted(i[place], np.arange(n + 1)).astype(np.int64)
    return ptr, np.ascontiguousarray(j[place], np.int64)


def chosen_rows(
    ptr: NDArray[np.int64], column: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return some of the rows of pairs."""
    length = ptr[rows + 1] - ptr[rows]
    begin = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    entry = np.repeat(ptr[rows] - begin[:-1], length) + np.arange(begin[-1])
    return begin, np.ascontiguousarray(column[entry])


def linked_pairs(
    star: NDArray[np.int64],
    ptr: NDArray[np.int64],
    column: NDArray[np.int64],
    terms: NDArray[np.float32],
    flux: NDArray[np.float64],
    scale: NDArray[np.float64],
    rest: NDArray[np.float64],
) -> Pairs:
    """Keep the pairs whose changes one frame could show; what all other stars project on a row stays with it as a sum.

    Parameters
    ----------
    star, ptr, column, terms
        As in `Pairs`: all pairs there are.
    flux : float64 array, shape (n_star,)
        Fluxes in the reference image (e-/s).
    scale : float64 array, shape (n_row,)
        What makes a projection a number of errors.
    rest : float64 array, shape (n_row, 15)
        What all stars together project on the rows; changed in place.

    Returns
    -------
    Pairs
    """
    row = np.repeat(np.arange(star.size), np.diff(ptr))
    light = np.abs(terms[:, 0].astype(np.float64)) * flux[column] * scale[row]
    kept = (light > UNSEEN) | (star[row] == column)
    row, column, terms = row[kept], np.ascontiguousarray(column[kept]), np.ascontiguousarray(terms[kept])
    for q in range(terms.shape[1]):
        rest[:, q] -= np.bincount(row, terms[:, q].astype(np.float64) * flux[column], minlength=star.size)
    begin = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=star.size))]).astype(np.int64)
    return Pairs(begin, column, terms, rest.astype(np.float32), star)


def project_images(
    weight: NDArray[np.float32], corner: NDArray[np.int64], images: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return what images project on stamps, shape (n_row, n_image)."""
    from cuvee.kernels import star_space

    out = np.empty((corner.shape[0], images.shape[0]))
    star_space.project_images(np.ascontiguousarray(weight), np.ascontiguousarray(corner), images, out)
    return out


def approximate_inverse(normal: sp.csr_matrix) -> tuple[sp.csr_matrix, NDArray[np.float64]]:
    """Return the inverse of N within groups of strongly linked stars, and the variance of each star's flux by it."""
    import scipy.sparse as sp

    n = normal.shape[0]
    diagonal = normal.diagonal()
    scale = np.zeros(n)
    np.divide(1.0, np.sqrt(np.maximum(diagonal, 0.0)), out=scale, where=diagonal > 0.0)
    links = normal.tocoo()
    correlation = np.abs(links.data) * scale[links.row] * scale[links.col]
    group = _groups(links.row, links.col, correlation, n)
    by_group = np.argsort(group, kind="stable")
    size = np.bincount(group)
    begin = np.concatenate([[0], np.cumsum(size)])
    place = np.empty(n, np.int64)
    place[by_group] = np.arange(n) - begin[group[by_group]]
    within = group[links.row] == group[links.col]
    row, col, value = links.row[within], links.col[within], links.data[within]
    pieces = []
    variance = np.full(n, np.inf)
    for k in np.unique(size):
        mine = np.flatnonzero(size == k)
        number = np.full(size.size, -1)
        number[mine] = np.arange(mine.size)
        star = by_group[begin[mine][:, None] + np.arange(k)]
        block = np.zeros((mine.size, k, k))
        chosen = number[group[row]] >= 0
        block[number[group[row[chosen]]], place[row[chosen]], place[col[chosen]]] = value[chosen]
        s = scale[star]
        block *= s[:, :, None] * s[:, None, :]
        # Stars too near to be told apart would be inverted into noise; a star that no pixel sees stands alone.
        block[:, np.arange(k), np.arange(k)] = 1.0 + 1e-6
        block = np.linalg.inv(block) * s[:, :, None] * s[:, None, :]
        own = block[:, np.arange(k), np.arange(k)]
        variance[star[own > 0.0]] = own[own > 0.0]
        pieces.append((np.repeat(star, k, axis=1).ravel(), np.tile(star, (1, k)).ravel(), block.ravel()))
    rows, cols, values = (np.concatenate([piece[i] for piece in pieces]) for i in range(3))
    return sp.csr_matrix((values, (rows, cols)), shape=(n, n)), variance


def _groups(
    row: NDArray[np.int64], col: NDArray[np.int64], correlation: NDArray[np.float64], n: int
) -> NDArray[np.int64]:
    """Return which stars are solved together; where that would be too many, only those more strongly linked."""
    import scipy.sparse as sp
    from scipy.sparse.csgraph import connected_components

    group = np.arange(n)
    todo = np.ones(n, bool)
    limit = LINKED
    while todo.any():
        linked = (correlation > limit) & todo[row] & todo[col]
        graph = sp.coo_matrix((np.ones(int(linked.sum()), np.int8), (row[linked], col[linked])), shape=(n, n))
        _, found = connected_components(graph, directed=False)
        fits = todo & ((np.bincount(found)[found] <= TOGETHER) | (limit > 1.0))
        group[fits] = found[fits] + n * (group.max() // n + 1)
        todo &= ~fits
        limit *= 1.5
    return np.asarray(np.unique(group, return_inverse=True)[1])
