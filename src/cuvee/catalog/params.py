"""Which stars become targets."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["TargetParams"]


class TargetParams(BaseModel):
    """``[targets]``: which stars get a light curve, and which only count as their neighbours.

    Parameters
    ----------
    mag_limit : float
        Stars this bright or brighter are targets (mag, instrument's band).
    contaminant_limit : float, optional
        Stars this bright or brighter count as contaminants (mag); by default three magnitudes beyond ``mag_limit``,
        where a neighbour adds at most 6 % to the faintest target's light.
    margin : float
        How far off the silicon a contaminant may lie (px); light from farther away does not reach an aperture.
    ids : tuple of int, optional
        Only these stars are targets, whatever their magnitude; by default all that ``mag_limit`` lets pass.
    exclude : tuple of int, or str
        These stars are no targets, though they count as contaminants; a text names a file with an id a line.
    priority : tuple of int, or str
        These stars are targets, whatever their magnitude, and come first where ``max_stars`` leaves some out; a text as above.
    max_stars : int, optional
        At most so many targets a detector: those of ``priority`` in their order, then the brightest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mag_limit: float = 16.0
    contaminant_limit: float | None = None
    margin: float = Field(default=6.0, ge=0.0, le=50.0)
    ids: tuple[int, ...] | None = None
    exclude: tuple[int, ...] | str = ()
    priority: tuple[int, ...] | str = ()
    max_stars: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _contaminants_are_deeper(self) -> TargetParams:
        if self.contaminant_limit is not None and self.contaminant_limit < self.mag_limit:
            raise ValueError(
                f"contaminant_limit ({self.contaminant_limit:g}) must not be brighter than mag_limit "
                f"({self.mag_limit:g}); raise it or leave it out"
            )
        return self

    @property
    def depth(self) -> float:
        """The faintest magnitude that matters at all."""
        return self.mag_limit + 3.0 if self.contaminant_limit is None else self.contaminant_limit
