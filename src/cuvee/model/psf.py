"""The records of what PSF photometry of a series rests on: the PRF, every star that its frames show, and how well that fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cuvee.model.prf import Prf

__all__ = ["ModelImage", "StarModel"]


@dataclass(frozen=True, slots=True)
class ModelImage:
    """A mean image beside what the model makes of it; arrays have shape (n_row, n_col).

    Parameters
    ----------
    image : float32 array
        Mean of frames that point alike (e-/s); NaN where a pixel is never seen.
    light : float32 array
        All stars of the model (e-/s).
    error : float32 array
        Standard deviation of the image's pixels by the noise model (e-/s); inf for those that took no part in the fit.
    level : float
        Background of a pixel (e-/s).
    col0, row0 : int
        Detector coordinates of pixel [0, 0].
    n_frame : int
        Frames in the mean.
    """

    image: NDArray[np.float32]
    light: NDArray[np.float32]
    error: NDArray[np.float32]
    level: float
    col0: int
    row0: int
    n_frame: int

    @property
    def residual(self) -> NDArray[np.float64]:
        """Image less stars and background (e-/s); NaN for pixels that took no part."""
        left = self.image.astype(np.float64) - self.light - self.level
        return np.where(np.isfinite(self.error), left, np.nan)

    @property
    def pull(self) -> NDArray[np.float64]:
        """The residual over the error of the mean."""
        return self.residual / self.error

    @property
    def rms(self) -> float:
        """Root mean square of `pull`; NaN where no pixel took part."""
        square = self.pull[np.isfinite(self.pull)] ** 2
        return float(np.sqrt(square.mean())) if square.size else float("nan")

    @property
    def left(self) -> float:
        """Sum of the residual without its signs, over the stars' light in the same pixels."""
        there = np.isfinite(self.residual)
        light = float(self.light[there].sum(dtype=np.float64))
        return float(np.abs(self.residual[there]).sum() / light) if light > 0.0 else float("nan")


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
    shown : ModelImage, optional
        Of a stamp, the mean image that the stars were fitted to. For full frames the reference image serves (`cuvee.extract.model_image`).
    """

    series: str
    prf: Prf
    id: NDArray[np.int64]
    col: NDArray[np.float64]
    row: NDArray[np.float64]
    flux: NDArray[np.float64]
    numbers: Mapping[str, float] = field(default_factory=dict)
    shown: ModelImage | None = None

    def __len__(self) -> int:
        return int(self.id.size)
