"""Errors of a few counts.

References
----------
Garwood 1936, Biometrika 28, 437 (central intervals of a Poisson mean); Gehrels 1986, ApJ 303, 336 (tables and approximations of them);
Bohm & Zech 2014, NIM A 748, 1 (weighted counts: as many counts of one weight as have the same mean and variance).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["poisson_errors", "weighted_errors"]

FloatArray = NDArray[np.float64]

TAIL = 0.15865525393145707
"""What a normal distribution has beyond one standard deviation on one side."""


def poisson_errors(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return how far the central 68.27 % interval of a Poisson mean reaches below and above what was counted.

    Parameters
    ----------
    counts : float64 array
        Zero or more; fractions come from weights.

    Returns
    -------
    low, high : float64 arrays, of the same shape
        Both positive; of no counts 0 and 1.841.
    """
    from scipy.special import gammaincinv

    counts = np.asarray(counts, np.float64)
    values, back = np.unique(counts, return_inverse=True)
    low = np.zeros(values.size)
    some = values > 0.0
    low[some] = gammaincinv(values[some], TAIL)
    high = gammaincinv(values + 1.0, 1.0 - TAIL)
    back = back.reshape(counts.shape)
    return (values - low)[back], (high - values)[back]


def weighted_errors(total: FloatArray, squares: FloatArray, mean: float) -> tuple[FloatArray, FloatArray]:
    """Return the errors of sums of weights.

    Parameters
    ----------
    total, squares : float64 arrays, shape (n_bin,)
        Sums of the weights and of their squares.
    mean : float
        What one event would add where there was none.

    Returns
    -------
    low, high : float64 arrays, shape (n_bin,)
    """
    some = squares > 0.0
    one = np.where(some, squares / np.where(some, total, 1.0), mean)
    low, high = poisson_errors(np.where(some, total**2 / np.where(some, squares, 1.0), 0.0))
    return low * one, high * one
