"""TESS cadence numbers, from the spacecraft's clock.

``FFIINDEX`` counts the full-frame images since commissioning; files of sectors 1 to 5 lack it. The clock that paces the exposures runs at a
constant rate, so the number follows from the uncorrected start time. Verified: the starts of sector 1 (4697), sector 8 (``FFIINDEX`` 13915) and
sector 12 (19080) lie on one line to 0.002 cadences. Shorter cadences count from the same origin (sector 56 begins near 690247).
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cuvee.model.time import DAY

__all__ = ["FRAME_SECONDS", "cadence_number", "name_seconds"]

ANCHOR_TIME, ANCHOR_CADENCE, ANCHOR_SECONDS = 1325.313100604524, 4697, 1800.0
"""Start of the first full-frame image of sector 1 (TDB - 2457000 at the spacecraft), its number, and its length."""

FRAME_SECONDS = 1.0 - 4.2e-7
"""TDB seconds in one second of the clock that paces the exposures (1799.99924 s in 1800 s, sectors 1 to 12)."""

_EPOCH = datetime(2014, 12, 8, 12)


def cadence_number(start: ArrayLike, cadence_seconds: float) -> NDArray[np.int64]:
    """Return the number of the full-frame images that start at given times.

    Parameters
    ----------
    start : array_like, shape (n,)
        Start of the exposure at the spacecraft, without barycentric correction (TDB - 2457000, d).
    cadence_seconds : float
        Nominal time from one image to the next (s): 1800, 600 or 200.

    Returns
    -------
    int64 array, shape (n,)
    """
    elapsed = (np.atleast_1d(np.asarray(start, dtype=np.float64)) - ANCHOR_TIME) * DAY / FRAME_SECONDS
    return np.rint((elapsed + ANCHOR_CADENCE * ANCHOR_SECONDS) / cadence_seconds).astype(np.int64)


def name_seconds(name: str) -> float:
    """Return the spacecraft's UTC clock in a file name ``tessYYYYDDDHHMMSS-...``, as seconds of UTC - 2457000; NaN where it has none."""
    try:
        return (datetime.strptime(name[4:17], "%Y%j%H%M%S") - _EPOCH).total_seconds()
    except ValueError:
        return float("nan")
