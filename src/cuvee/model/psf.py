"""The record of what PSF photometry of a series rests on: the PRF, and every star that its frames show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cuvee.model.prf import Prf

__all__ = ["StarModel"]


@dataclass(frozen=True, slots=True)
class StarModel:
    """A PRF and all stars near the pixels of a series, targets and others; every array has shape (n_star,).

    Parameters
    ----------
    series : str
        Name of the series.
    prf : Prf
        Its effective PRF.
    id : int64 array
        Catalogue ids; 0 for a star that no catalogue has.
    col, row : float64 array
        Detector coordinates (px), refined on the reference frames.
    flux : float64 array
        Mean flux in the reference frames (e-/s).
    numbers : mapping of str to float
        How well it fits: ``n_teacher`` stars that it was learned from, ``n_found`` stars that the catalogue lacks, by what fraction
        the stars are wider than the PRF and its error (``width_mismatch``, ``width_error``), reduced chi2 of the brightest
        (``chi2_brightest``), ``order`` of its variation over the detector, ``n_unknown`` coefficients.
    """

    series: str
    prf: Prf
    id: NDArray[np.int64]
    col: NDArray[np.float64]
    row: NDArray[np.float64]
    flux: NDArray[np.float64]
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.id.size)
