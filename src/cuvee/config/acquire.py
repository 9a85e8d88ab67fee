"""``[acquire]``: which files of an archive a workspace wants, and how they come. The room `cuvee.acquire` lies above the configuration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["ACQUIRE_TEMPLATE", "AcquireParams"]


class AcquireParams(BaseModel):
    """``[acquire]``: what is fetched from an archive when `cuvee acquire` is not told otherwise, and how.

    Parameters
    ----------
    mission : str
        ``tess``, ``kepler`` (K2 too) or ``hst``.
    sector : tuple of str
        TESS sectors: 1, [1, 2], "1-3".
    camera, ccd : int
        Of TESS full-frame images; 0: all.
    target : tuple of str
        Stars: ids or names.
    product : tuple of str
        Kinds of files; empty: frames of sectors, light curves of TESS stars, target pixels of Kepler stars, photon lists of HST.
    archive : str
        Base URL of a mirror that has portal, files, scripts and bulk catalogues; empty: MAST.
    cloud : bool
        Ask the public bucket in the cloud first, and the archive for what it does not have.
    parallel : int
        Files at a time.
    bandwidth : float
        Megabytes a second in all; 0: as many as come.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mission: Literal["tess", "kepler", "hst"] = "tess"
    sector: tuple[str, ...] = ()
    camera: int = Field(default=0, ge=0, le=4)
    ccd: int = Field(default=0, ge=0, le=4)
    target: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    archive: str = Field(default="", pattern=r"^(https?://[^\s]*[^\s/])?$")
    cloud: bool = False
    parallel: int = Field(default=4, ge=1, le=64)
    bandwidth: float = Field(default=0.0, ge=0.0)

    @field_validator("sector", "target", "product", mode="before")
    @classmethod
    def _as_words(cls, given: Any) -> Any:
        values = given if isinstance(given, list | tuple) else [given]
        if any(isinstance(value, bool) or not isinstance(value, str | int) for value in values):
            raise ValueError("must be a number, a text, or a list of them")
        return tuple(str(value) for value in values)


ACQUIRE_TEMPLATE = """
[acquire]
# What `cuvee acquire`, or a run before all else, fetches into RAW: of "tess", "kepler" (K2 too) or "hst" ...
# mission = "tess"
# ... all files of sectors (1, "1-3", [1, 5]), of one camera and CCD (0: all), or of stars (ids or names).
# sector = []
# camera = 0
# ccd = 0
# target = []
# Kinds of files ("ffic", "tp", "lc", ...); without, what a run can reduce.
# product = []
# A mirror, as "http://127.0.0.1:8000"; empty: MAST. true asks the public bucket in the cloud first.
# archive = ""
# cloud = false
# Files at a time; megabytes a second in all, 0 for as many as come.
# parallel = {acquire.parallel}
# bandwidth = {acquire.bandwidth:g}
"""
