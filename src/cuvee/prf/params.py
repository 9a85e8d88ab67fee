"""Parameters of the learning of a PRF."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PrfParams"]


class PrfParams(BaseModel):
    """How a PRF is learned from frames.

    Parameters
    ----------
    files : tuple of str
        The mission's PRF files (folders, globs or files, relative to the workspace): their PRF is taken, none is learned. Those of
        other detectors are left alone.
    half : int
        Half width of the stamp (px); light farther from a star than this counts to the sky.
    knots : int
        Knots of the spline in a pixel: 3 resolve a PRF whose FWHM is 1.3 px, 2 are enough from 1.9 px on.
    order : int
        Order of the polynomials with which the PRF varies over the detector; lowered where there are few stars.
    snr : float
        Signal-to-noise ratio in one frame from which a star may teach.
    stars : int
        The most stars that teach: those with the highest ratio.
    position_error : float
        Standard deviation of the catalogue's positions on the frames (px), after a smooth shift of the field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: tuple[str, ...] = ()
    half: int = Field(default=7, ge=3, le=15)
    knots: int = Field(default=3, ge=2, le=4)
    order: int = Field(default=2, ge=0, le=3)
    snr: float = Field(default=200.0, gt=0.0)
    stars: int = Field(default=3000, ge=15)
    position_error: float = Field(default=0.02, gt=0.0)
