"""Parameters of the extraction."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["ExtractParams"]

Positive = Annotated[float, Field(gt=0.0, le=50.0)]


class ExtractParams(BaseModel):
    """Parameters of the extraction.

    Parameters
    ----------
    radii : tuple of float
        Radii of the apertures (px), ascending; centroids are taken in the middle one.
    annulus : tuple of float
        Inner and outer radius of the background annulus (px).
    background : {"mesh", "annulus"}
        Where the background of a full frame comes from. The mesh is the default because it scatters less: over 64 simulated
        frames (50,000 stars a detector, a moving glow of 15 e-/s, jitter 0.05 px) the scatter of stars of magnitude 13.5 to
        16 in apertures of 1.5, 2.5 and 3.5 px is 1.00, 1.01 and 1.01 times that with the true background taken off, against
        1.04, 1.09 and 1.16 for the annulus; with a glow ten times as strong 1.00, 1.00 and 0.99 against 1.38, 1.65 and 1.87;
        with six times the stars and no jitter 1.01, 1.02 and 1.03 against 1.06, 1.15 and 1.26.
    mesh_size : int
        Side of a mesh cell (px).
    mask : str, optional
        Small series only: ``pipeline`` sums the mission's own mask, anything else names a file with a mask; neither has
        any further background subtracted.
    psf : {"frames"} or bool
        Measure the PSF flux of every star, too: all stars of a detector, or of a stamp, are fitted together, with a PRF that is
        learned from the data or read from the mission's files. ``"frames"`` does so for full frames whose background is the mesh, and leaves out
        stamps, each of which takes about a second; True does so for all, False for none.
    k2p2 : bool
        Sum a pixel mask of each star's own, too, cut from the mean image among the stars of the catalogue (`cuvee.photometry.mask`): it
        follows saturated stars along their columns, and keeps out of their neighbours' light.
    k2p2_limit : float, optional
        Only stars this bright or brighter (mag) have such a mask; by default all.
    halo : bool
        Measure saturated stars by their halo, too (`cuvee.photometry.halo`): in small series, whose frames are all at hand; of full frames the
        column stays empty.
    halo_limit : float, optional
        Stars this bright or brighter (mag) have a halo flux whether they saturate or not.
    moving : bool
        Full frames only: look for what moves, for the flag ``asteroid``.
    small_series : int
        A series narrower or lower than this (px) takes its background from the faintest third of its pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    radii: tuple[Positive, ...] = Field(default=(1.5, 2.5, 3.5), min_length=1, max_length=9)
    annulus: tuple[Positive, Positive] = (6.0, 9.0)
    background: Literal["mesh", "annulus"] = "mesh"
    mesh_size: int = Field(default=64, ge=16, le=512)
    mask: str | None = None
    psf: Literal["frames"] | bool = "frames"
    k2p2: bool = False
    k2p2_limit: float | None = None
    halo: bool = False
    halo_limit: float | None = None
    moving: bool = True
    small_series: int = Field(default=64, ge=16)

    @property
    def psf_of_frames(self) -> bool:
        """Whether full frames get PSF fluxes."""
        return bool(self.psf) and self.background == "mesh"

    @property
    def psf_of_stamps(self) -> bool:
        """Whether stamps do."""
        return self.psf is True

    @model_validator(mode="after")
    def _ascending(self) -> ExtractParams:
        if list(self.radii) != sorted(set(self.radii)):
            raise ValueError(f"radii must ascend, but are {self.radii}")
        if not self.annulus[0] < self.annulus[1]:
            raise ValueError(f"annulus needs an inner radius below the outer one, but is {self.annulus}")
        if self.psf is True and self.background != "mesh":
            raise ValueError("psf = true needs background = 'mesh'")
        if self.mask is not None and (self.k2p2 or self.halo):
            which = "k2p2" if self.k2p2 else "halo"
            raise ValueError(
                f"{which} = true cannot stand beside mask = {self.mask!r}, which is summed in place of all else"
            )
        return self
