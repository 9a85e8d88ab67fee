"""Which stars of a catalogue may fall on a footprint, found without looking at the others."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cuvee.catalog.motion import MAS
from cuvee.catalog.project import cone_cells, footprint_cone
from cuvee.catalog.stars import HEALPIX_ORDER
from cuvee.model.records import Footprint, Stars

__all__ = ["Drift", "stars_near"]


class Drift(NamedTuple):
    """Bounds on how far any star of a catalogue has come: the fastest one's pace (deg a year), the oldest and the newest epoch (Julian years)."""

    pace: float
    oldest: float
    newest: float

    @classmethod
    def of(cls, stars: Stars) -> Drift:
        """Return the bounds for these stars."""
        pace = float(np.max(np.hypot(stars.pmra, stars.pmdec), initial=0.0)) * np.rad2deg(MAS)
        return cls(float(pace), float(np.min(stars.epoch, initial=np.inf)), float(np.max(stars.epoch, initial=-np.inf)))

    def until(self, epoch: float) -> float:
        """Return how far (deg) a star may have come by an epoch (Julian year)."""
        return self.pace * max(abs(epoch - self.oldest), abs(epoch - self.newest)) if self.pace else 0.0


def stars_near(stars: Stars, footprint: Footprint, margin: float, drift: Drift) -> NDArray[np.int64]:
    """Return the stars, by their rows, whose HEALPix cell meets the circle round a footprint; reads nothing but the sorted index.

    Parameters
    ----------
    stars : Stars
        Reference catalogue, sorted by HEALPix.
    footprint : Footprint
        Pixels, WCS and epoch.
    margin : float
        How far beyond the pixels (px).
    drift : Drift
        Of these stars.

    Returns
    -------
    int64 array
        Ascending.

    Raises
    ------
    BadData
        If the WCS cannot be read.
    """
    cone = footprint_cone(footprint, margin)
    cone = replace(cone, radius=cone.radius + drift.until(footprint.epoch))
    # Cells of about a quarter of the radius: a hundred ranges, and little overhang.
    order = int(np.clip(np.ceil(np.log2(58.6 / max(cone.radius, 1e-4))) + 2, 0, 14))
    shift = 2 * (HEALPIX_ORDER - order)
    cells = cone_cells(cone, order)
    first = np.searchsorted(stars.healpix, cells << shift, side="left")
    last = np.searchsorted(stars.healpix, (cells + 1) << shift, side="left")
    filled = np.flatnonzero(last > first)
    if filled.size == 0:
        return np.zeros(0, dtype=np.int64)
    return np.concatenate([np.arange(first[i], last[i]) for i in filled])
