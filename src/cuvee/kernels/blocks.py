"""The dynamic programme of Bayesian blocks."""

from __future__ import annotations

import numpy as np
from numba import float64, int64, njit, void
from numpy.typing import NDArray

__all__ = ["best_changes"]


@njit(
    [void(float64[::1], float64[::1], float64, float64[::1], int64[::1])], cache=True, nogil=True, error_model="numpy"
)
def best_changes(
    counts: NDArray[np.float64],
    exposure: NDArray[np.float64],
    prior: float,
    best: NDArray[np.float64],
    last: NDArray[np.int64],
) -> None:
    """For each cell find where the last block begins of the best partition that ends with it.

    Parameters
    ----------
    counts, exposure : float64 arrays, shape (n_cell + 1,)
        Counts and exposures (s) added up, from 0.
    prior : float
        What a block costs.
    best : float64 array, shape (n_cell,)
        Receives the fitness of the best partition.
    last : int64 array, shape (n_cell,)
        Receives the first cell of its last block.
    """
    for end in range(1, counts.size):
        top, at = -np.inf, 0
        for begin in range(end):
            n, t = counts[end] - counts[begin], exposure[end] - exposure[begin]
            value = n * np.log(n / t) if n > 0.0 and t > 0.0 else 0.0
            value += (best[begin - 1] if begin else 0.0) - prior
            if value > top:
                top, at = value, begin
        best[end - 1] = top
        last[end - 1] = at
