"""Parameters of photon lists: what is left out, how events are binned, in which bands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["AIRGLOW", "EventParams"]

AIRGLOW = ((1208.0, 1225.0), (1298.0, 1312.0), (1354.0, 1360.0))
"""Lyman alpha, O I 1304 and O I 1356 with what their light, which fills the aperture, spreads over (Angstrom)."""

Band = tuple[Annotated[float, Field(gt=0.0)], Annotated[float, Field(gt=0.0)]]


class EventParams(BaseModel):
    """``[events]`` of the configuration.

    Parameters
    ----------
    step : float
        Length of a bin (s).
    band : tuple of float
        Wavelengths of the light curve (Angstrom).
    bands : dict of str to tuple of float
        More of them, each with columns of its own, by name.
    airglow : {"windows", "night", "keep"}
        What is done about the light of the Earth's upper atmosphere: its lines are left out, or all time at which the Sun is up, or nothing.
    quality : int
        Quality bits of events that are left out, beside those of the instrument: 64 (burst), 512 (pulse height), 2048 (bad time) of COS, which
        its own SDQFLAGS lacks. Bits of SDQFLAGS are those of pixels, which stay in the mission's GCOUNTS, too.
    least : float
        Exposures shorter than this are set aside (s).
    proposals : tuple of int
        Proposals whose exposures are set aside.
    resolve : float
        Width of wavelength cells (Angstrom), each with a light curve of its own, that are kept beside those of the bands; 0: none.
    blocks : bool
        Whether Bayesian blocks are found, too.
    names : str or dict of str to str
        What targets are called, by what proposers call them: a mapping, or a text file of lines ``GJ-436,GJ436``, relative to the workspace.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: float = Field(default=2.0, gt=0.0)
    band: Band = (912.0, 9000.0)
    bands: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,20}$")], Band] = {}
    airglow: Literal["windows", "night", "keep"] = "windows"
    quality: int = Field(default=0, ge=0)
    least: float = Field(default=1.0, ge=0.0)
    proposals: tuple[int, ...] = ()
    resolve: float = Field(default=0.0, ge=0.0)
    blocks: bool = False
    names: str | dict[str, str] = {}

    @property
    def called(self) -> Mapping[str, str]:
        """What targets are called, by what the files call them; nothing while ``names`` is a file that nobody has read."""
        return {} if isinstance(self.names, str) else self.names

    @field_validator("band", "bands")
    @classmethod
    def _rising(cls, value: Band | dict[str, Band]) -> Band | dict[str, Band]:
        for low, high in value.values() if isinstance(value, dict) else [value]:
            if not low < high:
                raise ValueError(f"a band runs from its shorter to its longer wavelength, not from {low} to {high}")
        return value
