"""What moves through the frames: places where something has appeared, and the paths of objects."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Candidates", "Ephemerides", "Tracks"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Places where something stands above the reference image; every array has shape (n,).

    Parameters
    ----------
    time : float64 array
        Middle of the frames that were averaged (BTJD), ascending: all places of one image share it.
    col, row : float64 array
        Detector coordinates (px).
    flux : float64 array
        e-/s.
    snr : float64 array
        Signal to noise.
    """

    time: FloatArray
    col: FloatArray
    row: FloatArray
    flux: FloatArray
    snr: FloatArray


@dataclass(frozen=True, slots=True)
class Tracks:
    """Paths of objects as nodes, between which they are straight; every array has shape (n_node,).

    Parameters
    ----------
    number : int64 array
        To which path a node belongs; ascending.
    name : str array
        What the object is called; empty for one that was found.
    time : float64 array
        BTJD, as the frames have it; ascending in each path.
    col, row : float64 array
        Detector coordinates (px).
    flux : float64 array
        Of the object (e-/s), the same in all nodes; NaN where unknown.
    seen : int64 array
        In how many images it was found, the same in all nodes; 0 for one from an ephemeris.
    """

    number: NDArray[np.int64]
    name: NDArray[np.str_]
    time: FloatArray
    col: FloatArray
    row: FloatArray
    flux: FloatArray
    seen: NDArray[np.int64]

    def paths(self) -> list[slice]:
        """Return where the nodes of each path stand."""
        edges = np.flatnonzero(np.diff(self.number)) + 1
        bounds = [0, *edges.tolist(), self.number.size]
        return [slice(i, j) for i, j in itertools.pairwise(bounds) if j > i]


@dataclass(frozen=True, slots=True)
class Ephemerides:
    """Where known objects are on the sky; every array has shape (n_row,).

    Parameters
    ----------
    name : str array
        Of the object; its rows follow one another, and objects are sorted.
    time : float64 array
        JD (TDB) - 2457000 at the observer; ascending for each object.
    ra, dec : float64 array
        Astrometric position as seen by the observer (deg, ICRS).
    mag : float64 array
        NaN where not given.
    """

    name: NDArray[np.str_]
    time: FloatArray
    ra: FloatArray
    dec: FloatArray
    mag: FloatArray
