"""What can be said about moving objects."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

__all__ = ["MovingParams"]


class MovingParams(BaseModel):
    """``[moving]``: known moving objects.

    Parameters
    ----------
    ephemerides : tuple of str
        Tables (one name, or a list; relative to the workspace) that say where known objects are as seen from the spacecraft: a row an
        object and time, with name, time (JD), ra and dec (deg), and perhaps a magnitude.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ephemerides: tuple[str, ...] = ()

    @field_validator("ephemerides", mode="before")
    @classmethod
    def _one_or_many(cls, ephemerides: object) -> object:
        return (ephemerides,) if isinstance(ephemerides, str) else ephemerides
