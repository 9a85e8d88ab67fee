"""Parameters of the pixel masks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["MaskParams"]


class MaskParams(BaseModel):
    """Parameters of the pixel masks; the defaults are those of K2P2.

    Parameters
    ----------
    threshold : float
        How far a pixel must stand above the mode of the image, in standard deviations of the pixels fainter than the mode.
    trim : float
        Share of the pixels, the brightest, that the mode is found without.
    min_neighbours : int
        Bright pixels, itself included, that a pixel needs among itself and its eight neighbours to belong to a cluster.
    min_pixels : int
        A cluster with fewer pixels is no mask.
    segment : bool
        Whether clusters are cut up among the stars in them.
    blur : float
        Width of the Gaussian that smooths the image before clusters are cut up (px).
    peak_size : int
        A peak is the largest in a square of this side (px).
    peaks : {"catalogue", "all"}
        Which peaks cut a cluster up: those nearest to a star of the catalogue, or all, for want of a catalogue deep enough.
    saturation_mag : float
        Stars whose light together is this bright or brighter (mag, the instrument's band) may bleed along columns.
    bleed : bool
        Whether masks of such stars follow the bleeding.

    References
    ----------
    Lund et al. 2015, ApJ 806, 30, section 2.2; Handberg & Lund 2017, A&A 597, A36.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(default=0.8, ge=0.0, le=100.0)
    trim: float = Field(default=0.15, ge=0.0, lt=1.0)
    min_neighbours: int = Field(default=4, ge=1, le=9)
    min_pixels: int = Field(default=4, ge=1)
    segment: bool = True
    blur: float = Field(default=0.5, ge=0.0, le=5.0)
    peak_size: int = Field(default=3, ge=3, le=15)
    peaks: Literal["catalogue", "all"] = "catalogue"
    saturation_mag: float = 7.0
    bleed: bool = True

    @field_validator("peak_size")
    @classmethod
    def _has_a_middle(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"peak_size must be odd, so that the square has a middle, but is {value}")
        return value
