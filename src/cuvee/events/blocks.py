"""Bayesian blocks: the light curve as the fewest steps that its counts ask for.

References
----------
Scargle et al. 2013, ApJ 764, 167: equations 19 (fitness of events) and 21 (prior on the number of blocks).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_CELLS", "bayesian_blocks"]

MOST_CELLS = 20_000
"""Cells that blocks are made of, at most: the work grows with the square of their number."""


def bayesian_blocks(
    counts: NDArray[np.float64], exposure: NDArray[np.float64], false_alarm: float = 0.01
) -> NDArray[np.int64]:
    """Find the cells at which the rate changes.

    Parameters
    ----------
    counts, exposure : float64 arrays, shape (n_cell,)
        Events of each cell, and its good time (s), which may be zero.
    false_alarm : float
        Probability of a change where there is none.

    Returns
    -------
    int64 array, shape (n_block,)
        First cell of each block; the first is 0.

    Raises
    ------
    ValueError
        If there are more than `MOST_CELLS` cells.
    """
    from cuvee.kernels.blocks import best_changes

    counts, exposure = np.asarray(counts, np.float64), np.asarray(exposure, np.float64)
    if counts.size > MOST_CELLS:
        raise ValueError(f"{counts.size} cells are more than {MOST_CELLS}: bin them first")
    if counts.size == 0:
        return np.zeros(0, np.int64)
    prior = 4.0 - np.log(73.53 * false_alarm * max(counts.sum(), 1.0) ** -0.478)
    last = np.zeros(counts.size, np.int64)
    best_changes(np.r_[0.0, np.cumsum(counts)], np.r_[0.0, np.cumsum(exposure)], prior, np.zeros(counts.size), last)
    changes = []
    at = counts.size
    while at > 0:
        changes.append(int(last[at - 1]))
        at = changes[-1]
    return np.array(changes[::-1], np.int64)
