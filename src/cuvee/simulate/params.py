"""Parameters of the simulator: which effects, and how strong."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["EFFECTS", "PLAIN", "Effect", "SimulationParams"]

Effect = Literal[
    "aberration", "asteroids", "corner-glow", "cosmic-rays", "dumps", "flares", "halos", "eclipses", "pulsators", "saturation",
    "stray-light", "straps",
]  # fmt: skip
EFFECTS: tuple[Effect, ...] = get_args(Effect)
"""What can be added to a plain scene: constant stars, sinusoids and transits under a breathing background."""

NotNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]


class SimulationParams(BaseModel):
    """Parameters of the simulator; the defaults are what TESS shows.

    Parameters
    ----------
    effects : frozenset of str
        Some of `EFFECTS`; all by default.
    jitter : float
        Standard deviation of the pointing in each coordinate (px).
    jitter_time : float
        Time over which the pointing forgets where it was (d): the correlation of two frames falls as exp(-t / jitter_time). 0 for
        white jitter, each frame for itself.
    drift : float
        How far the pointing creeps from the first frame to the last (px), beside what aberration does.
    dump_first, dump_every : float
        The first momentum dump and the interval between two (d).
    dump_jump, dump_jitter : float
        How far the pointing jumps in each coordinate at a dump (px, standard deviation; it relaxes within hours), and
        the standard deviation of its movement within that exposure (px), which widens the stars.
    full_well : float
        Electrons that a pixel holds in one read; what exceeds them bleeds along the column.
    brightest : float
        Magnitude of the brightest star, where stars saturate; else 7.
    straps : float
        Share by which the brightest kind of strap column exceeds its neighbours.
    earth_peak, moon_peak : float
        Stray light of Earth and Moon, averaged over the detector at its height (e-/s/pixel).
    corner_glow : float
        Glow in the corner of the camera's field where there is no stray light (e-/s/pixel).
    cosmic_ray_rate : float
        Charged particles through the detector (1/cm2/s).
    cosmic_ray_survivors : float
        Share of them that the spacecraft's mitigation leaves in the images.
    asteroids : int
        How many cross the pixels.
    asteroid_mag : tuple of float
        Range of their magnitudes.

    References
    ----------
    Full well (about 200,000 electrons) and the mitigation of cosmic rays, which leaves out the highest and the lowest of
    each ten reads of a pixel: Vanderspek et al. 2018, TESS Instrument Handbook v0.1. Rate of cosmic rays: Sullivan et al.
    2015, ApJ 809, 77, section 6. Dumps every 2.5 days: TESS Data Release Notes, Sector 1 (DR1).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    effects: frozenset[Effect] = frozenset(EFFECTS)
    jitter: NotNegative = 0.03
    jitter_time: NotNegative = 0.0
    drift: NotNegative = 0.0
    dump_first: NotNegative = 0.6
    dump_every: Positive = 2.5
    dump_jump: NotNegative = 0.08
    dump_jitter: NotNegative = 0.35
    full_well: Positive = 2.0e5
    brightest: float = Field(default=3.5, ge=0.0, le=12.0)
    straps: NotNegative = 0.04
    earth_peak: NotNegative = 300.0
    moon_peak: NotNegative = 60.0
    corner_glow: NotNegative = 60.0
    cosmic_ray_rate: NotNegative = 5.0
    cosmic_ray_survivors: float = Field(default=0.01, ge=0.0, le=1.0)
    asteroids: int = Field(default=2, ge=0)
    asteroid_mag: tuple[float, float] = (10.5, 13.0)

    def has(self, effect: Effect) -> bool:
        """Whether an effect is on."""
        return effect in self.effects


PLAIN = SimulationParams(effects=frozenset())
"""Nothing but constant stars, sinusoids, transits, a breathing background and jitter."""
