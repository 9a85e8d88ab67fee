"""What a comparison with the truth consists of: one record a kind of thing that was put in."""

from __future__ import annotations

from dataclasses import dataclass

from cuvee.simulate.signals import FLARE_AREA, SINUSOID

__all__ = ["SURE", "Bright", "Comparison", "Found", "FoundFlare", "FoundMode", "NoiseBin", "Passage"]

WITHIN = 0.05
"""A period counts as found when it is as close as this to the true one, relatively."""
SURE = 5.0
"""Injected signals this many times their error ought to be found."""
SEEN = 3.0
"""An amplitude this many times its error counts as found."""


@dataclass(frozen=True, slots=True)
class Found:
    """One injected star that varies periodically.

    Parameters
    ----------
    id : int
        Its number.
    kind : str
        ``sinusoid``, ``transit``, ``eclipses`` or ``pulsator``.
    mag : float
        Magnitude.
    crowding : float
        Its share of the flux in the aperture, by which the measured amplitude has been divided.
    flux_ratio : float
        Median flux times ``crowding``, over the true flux: the share of the star's light in the aperture.
    period, period_found, period_err : float
        Days; what was found is the strongest Lomb-Scargle peak, NaN for transits and eclipses.
    amplitude, amplitude_found, amplitude_err : float
        Semi-amplitude (a pulsator's of its strongest mode) or depth (a binary's of the primary eclipse) relative to
        the star's own flux.
    secondary, secondary_found, secondary_err : float
        Depth of the secondary eclipse; NaN for all but binaries.
    """

    id: int
    kind: str
    mag: float
    crowding: float
    flux_ratio: float
    period: float
    period_found: float
    period_err: float
    amplitude: float
    amplitude_found: float
    amplitude_err: float
    secondary: float = float("nan")
    secondary_found: float = float("nan")
    secondary_err: float = float("nan")

    @property
    def pull(self) -> float:
        """Found minus injected amplitude, in errors."""
        return (self.amplitude_found - self.amplitude) / self.amplitude_err

    @property
    def sure(self) -> bool:
        """Whether the injected signal is strong enough that it ought to be found."""
        return self.amplitude >= SURE * self.amplitude_err

    @property
    def recovered(self) -> bool:
        """Whether it was: a sinusoid by its period, anything else by an amplitude of more than three errors."""
        if self.kind == SINUSOID:
            return abs(self.period_found / self.period - 1.0) <= WITHIN
        return self.amplitude_found > SEEN * self.amplitude_err


@dataclass(frozen=True, slots=True)
class FoundMode:
    """One mode of a pulsator.

    Parameters
    ----------
    id : int
        The star.
    mag : float
        Its magnitude.
    frequency : float
        Cycles a day.
    amplitude, amplitude_found, amplitude_err : float
        Semi-amplitude relative to the star's own flux; all modes of a star are fitted together.
    """

    id: int
    mag: float
    frequency: float
    amplitude: float
    amplitude_found: float
    amplitude_err: float

    @property
    def pull(self) -> float:
        """Found minus injected amplitude, in errors."""
        return (self.amplitude_found - self.amplitude) / self.amplitude_err

    @property
    def sure(self) -> bool:
        """Whether the mode is strong enough that it ought to be found."""
        return self.amplitude >= SURE * self.amplitude_err

    @property
    def recovered(self) -> bool:
        """Whether its amplitude exceeds three errors."""
        return self.amplitude_found > SEEN * self.amplitude_err


@dataclass(frozen=True, slots=True)
class FoundFlare:
    """One flare.

    Parameters
    ----------
    id : int
        The star.
    mag : float
        Its magnitude.
    peak : float
        BTJD at the star.
    width : float
        Full width at half maximum (d).
    amplitude, amplitude_found, amplitude_err : float
        Height of the peak relative to the star's own flux, fitted at the true time and width.
    """

    id: int
    mag: float
    peak: float
    width: float
    amplitude: float
    amplitude_found: float
    amplitude_err: float

    @property
    def _seconds(self) -> float:
        return 86400.0 * FLARE_AREA * self.width

    @property
    def energy(self) -> float:
        """Injected equivalent duration: energy over the star's luminosity (s)."""
        return self._seconds * self.amplitude

    @property
    def energy_found(self) -> float:
        """The same as found (s)."""
        return self._seconds * self.amplitude_found

    @property
    def energy_err(self) -> float:
        """Its error (s)."""
        return self._seconds * self.amplitude_err

    @property
    def pull(self) -> float:
        """Found minus injected energy, in errors."""
        return (self.amplitude_found - self.amplitude) / self.amplitude_err

    @property
    def sure(self) -> bool:
        """Whether the flare is strong enough that it ought to be found."""
        return self.amplitude >= SURE * self.amplitude_err

    @property
    def recovered(self) -> bool:
        """Whether its energy exceeds three errors."""
        return self.amplitude_found > SEEN * self.amplitude_err


@dataclass(frozen=True, slots=True)
class Passage:
    """An asteroid that passes through the largest aperture of a constant star.

    Parameters
    ----------
    asteroid : int
        Which one.
    id : int
        The star.
    mag, asteroid_mag : float
        Their magnitudes.
    time : float
        BTJD of the frame in which they are closest.
    distance : float
        px, of the middle of the trail from the star.
    expected, found, error : float
        e-/s: the asteroid's light in the aperture, and the star's flux above its median.
    flagged : bool
        Whether the point has the flag ``asteroid``.
    """

    asteroid: int
    id: int
    mag: float
    asteroid_mag: float
    time: float
    distance: float
    expected: float
    found: float
    error: float
    flagged: bool


@dataclass(frozen=True, slots=True)
class Bright:
    """A star that saturates.

    Parameters
    ----------
    id : int
        Its number.
    mag : float
        Magnitude.
    flux_ratio : float
        Median flux in the largest aperture over the true flux; less than 1 where charge bleeds out of it.
    scatter : float
        Robust standard deviation of the relative flux.
    flagged : float
        Share of the points that say that they are saturated.
    """

    id: int
    mag: float
    flux_ratio: float
    scatter: float
    flagged: float


@dataclass(frozen=True, slots=True)
class NoiseBin:
    """The constant stars in one range of magnitude.

    Parameters
    ----------
    bright, faint : float
        The range.
    n : int
        Stars.
    scatter : float
        Median over the stars of the robust standard deviation of the relative flux.
    expected : float
        Median over the stars of flux error over flux.
    """

    bright: float
    faint: float
    n: int
    scatter: float
    expected: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `cuvee.simulate.recover.recover` returns.

    Parameters
    ----------
    stars : tuple of Found
        The stars with a periodic signal that have a light curve, brightest first.
    noise : tuple of NoiseBin
        The constant stars by magnitude; empty ranges are left out.
    without : int
        Injected stars that have no light curve, or one of fewer than eight good points.
    modes : tuple of FoundMode
        Of the pulsators among ``stars``.
    flares : tuple of FoundFlare
        Those that good points cover.
    flares_unseen : int
        Flares in light curves without a good point in their time.
    passages : tuple of Passage
        The closest first.
    bright : tuple of Bright
        Saturated stars, brightest first.
    strap_noise : tuple of NoiseBin
        As ``noise``, of those that lie on a strap column; they are among ``noise``, too.
    """

    stars: tuple[Found, ...]
    noise: tuple[NoiseBin, ...]
    without: int
    modes: tuple[FoundMode, ...] = ()
    flares: tuple[FoundFlare, ...] = ()
    flares_unseen: int = 0
    passages: tuple[Passage, ...] = ()
    bright: tuple[Bright, ...] = ()
    strap_noise: tuple[NoiseBin, ...] = ()
