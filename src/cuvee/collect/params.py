"""What `collect` can be told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["CollectParams", "TimeParams"]


class CollectParams(BaseModel):
    """``[collect]``: how light curves are put together.

    Parameters
    ----------
    aperture : str
        What ``flux`` holds: ``best`` takes what scatters least for each star; ``aperture1``, ``aperture2``, ..., ``mask``, ``psf`` and ``halo`` the
        same for all.
    round_noise : float
        0 keeps fluxes to their last bit. A number N rounds fluxes and background to steps of at most their error over N (a power of two, see
        `cuvee.photometry.rounding`), so that they take less room: this adds noise of at most 0.29 / N of the error in
        quadrature, which for N = 8 is 3.6 % of it and makes it larger by 0.065 %. Times, positions and flags stay exact;
        errors, and chi2, always keep nine bits of their mantissa: they are right to one part in 1024.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    aperture: str = Field(default="best", pattern=r"^(best|mask|psf|halo|aperture[1-9][0-9]*)$")
    round_noise: float = Field(default=0.0, ge=0.0, le=1e6)

    @field_validator("round_noise")
    @classmethod
    def _fine_or_none(cls, steps: float) -> float:
        if 0.0 < steps < 1.0:
            raise ValueError(
                "steps coarser than the error would lose the signal; give 0 (lossless) or at least 1, say 8"
            )
        return steps


class TimeParams(BaseModel):
    """``[time]``: where the observer was.

    Parameters
    ----------
    kernel : tuple of str
        SPICE kernels (one name, or a list), relative to the workspace, from which the position of the spacecraft comes; without one
        the Earth stands in for it, and the times of TESS stars are within 0.25 s.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kernel: tuple[str, ...] = ()

    @field_validator("kernel", mode="before")
    @classmethod
    def _one_or_many(cls, kernel: object) -> object:
        return (kernel,) if isinstance(kernel, str) else kernel
