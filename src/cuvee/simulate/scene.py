"""The stars: where they are, how bright, and how they vary. No instrument's format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.simulate.params import PLAIN, SimulationParams
from cuvee.simulate.signals import (
    CONSTANT,
    ECLIPSES,
    FLARES,
    PULSATOR,
    SINUSOID,
    TRANSIT,
    eclipses_mean,
    flare_mean,
    sinusoid_mean,
    transit_mean,
)
from cuvee.simulate.variables import Flares, Modes, draw_eclipses, draw_flares, draw_modes, log_uniform

__all__ = ["Scene", "brightness", "draw_scene"]

FloatArray = NDArray[np.float64]
TARGET_FAINT = 16.0
"""Stars to this magnitude are counted by ``stars`` and may vary; fainter ones are constant contaminants."""
FAINTEST = 17.0
BRIGHTEST = 7.0
"""Brighter stars saturate in the two seconds between reads."""
SLOPE = 0.3
"""d log10(N) / d mag of the luminosity function: a disc field at middle Galactic latitude."""
MARGIN = 10
"""Stars lie up to this far beyond the pixels, since their light reaches in (px)."""
SINUSOID_SHARE = 0.08
TRANSIT_SHARE = 0.04
ECLIPSES_SHARE, PULSATOR_SHARE, FLARES_SHARE = 0.03, 0.02, 0.03
SHOWS_ONE = 1000
"""Where so many stars may saturate, one certainly does."""
FLARES_BRIGHTEST = 11.0
"""Flare stars are red dwarfs, which are faint."""
FLARES_OVER = 20.0
"""Flares longer ago or still to come than this many widths are left out."""
SINUSOID_AMPLITUDE = (0.002, 0.2)
TRANSIT_DEPTH = (0.003, 0.05)
LONGEST_PERIOD = 12.0
"""Days; a TESS orbit lasts 13.7."""
PROPER_MOTION = 8.0
"""Standard deviation in each coordinate (mas/yr); one star in fifty moves twenty times as fast."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The stars; every array has shape (n_star,), sorted by ``id``.

    Parameters
    ----------
    id : int64 array
        Unique.
    ra, dec : float64 array
        ICRS (deg) at the epoch of the frames.
    ra2000, dec2000 : float64 array
        The same at epoch 2000, as a catalogue gives them.
    pmra, pmdec : float64 array
        Proper motion (mas/yr, ``pmra`` includes cos dec).
    mag : float64 array
        Magnitude in the instrument's band.
    flux : float64 array
        e-/s, mean of a sinusoid or pulsation, out of transit, eclipse and flare.
    col, row : float64 array
        Detector coordinates where the pointing has no jitter.
    kind : str array
        `CONSTANT` or one of `cuvee.simulate.signals.KINDS`.
    period, epoch, amplitude, duration : float64 array
        Days, BTJD at the star (rising zero of a sinusoid, middle of a transit or primary eclipse), semi-amplitude or
        depth relative to ``flux``, days from first to last contact. Those of a pulsator are its strongest mode's, the
        amplitude of a flare star is its largest flare's. NaN where they mean nothing.
    secondary : float64 array
        Depth of the secondary eclipse relative to ``flux``; NaN for all but binaries.
    modes : Modes
        Of the pulsators.
    flares : Flares
        Of the flare stars.
    """

    id: NDArray[np.int64]
    ra: FloatArray
    dec: FloatArray
    ra2000: FloatArray
    dec2000: FloatArray
    pmra: FloatArray
    pmdec: FloatArray
    mag: FloatArray
    flux: FloatArray
    col: FloatArray
    row: FloatArray
    kind: NDArray[np.str_]
    period: FloatArray
    epoch: FloatArray
    amplitude: FloatArray
    duration: FloatArray
    secondary: FloatArray
    modes: Modes
    flares: Flares

    def __len__(self) -> int:
        return int(self.id.size)


def _magnitudes(rng: np.random.Generator, n: int, bright: float, faint: float) -> FloatArray:
    # Inverse of the cumulative distribution of N(m) ~ 10^(SLOPE m) between two limits.
    low, high = 10.0 ** (SLOPE * bright), 10.0 ** (SLOPE * faint)
    return np.asarray(np.log10(low + (high - low) * rng.random(n)) / SLOPE)


def draw_scene(
    rng: np.random.Generator,
    stars: int,
    *,
    col0: int,
    row0: int,
    size: int,
    to_sky: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
    start: float,
    baseline: float,
    cadence: float,
    years: float,
    zero_point: float,
    params: SimulationParams = PLAIN,
) -> Scene:
    """Draw a field of stars.

    ``stars`` of them lie on the pixels and are brighter than magnitude 16; as many again are contaminants down to
    magnitude 17, and both go on for `MARGIN` pixels beyond the edge. Of the stars brighter than 16 a share of
    `SINUSOID_SHARE` are sinusoids and `TRANSIT_SHARE` show transits; where the effects are on, `ECLIPSES_SHARE` are binaries,
    `PULSATOR_SHARE` pulsate, and `FLARES_SHARE` of those fainter than 11 flare.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    stars : int
        Stars on the pixels brighter than magnitude 16.
    col0, row0, size : int
        First detector column and row, and the width of the square of pixels.
    to_sky : callable
        ``to_sky(col, row) -> (ra, dec)`` in detector coordinates and degrees.
    start, baseline, cadence : float
        First exposure (BTJD), length of the observation and of one exposure (d); periods are chosen so that the
        observation holds at least two.
    years : float
        Years from 2000 to the observation.
    zero_point : float
        Magnitude of one electron a second.
    params : SimulationParams, optional
        Effects and strengths.

    Returns
    -------
    Scene
        The stars. Other effects leave places, motions and numbers as they are.
    """
    brightest = params.brightest if params.has("saturation") else BRIGHTEST
    # Of stars to magnitude 7, so that the number does not depend on the effects.
    ratio = (10.0 ** (SLOPE * FAINTEST) - 10.0 ** (SLOPE * TARGET_FAINT)) / (
        10.0 ** (SLOPE * TARGET_FAINT) - 10.0 ** (SLOPE * BRIGHTEST)
    )
    contaminants = round(stars * ratio)
    wide = size + 2 * MARGIN
    around = round((stars + contaminants) * (wide**2 - size**2) / size**2)
    inside = -0.5 + size * rng.random((stars + contaminants, 2))
    outside = -0.5 - MARGIN + wide * rng.random((wide**2 * around // (wide**2 - size**2) + 1, 2))
    outside = outside[np.any((outside < -0.5) | (outside >= size - 0.5), axis=1)]
    place = np.concatenate([inside, outside])
    mag = np.concatenate(
        [
            _magnitudes(rng, stars, brightest, TARGET_FAINT),
            _magnitudes(rng, contaminants, TARGET_FAINT, FAINTEST),
            _magnitudes(rng, outside.shape[0], brightest, FAINTEST),
        ]
    )
    if params.has("saturation") and stars >= SHOWS_ONE:
        mag[0] = brightest + 1.0
    n = mag.size
    col, row = place[:, 0] + col0, place[:, 1] + row0
    ra, dec = to_sky(col, row)

    speed = np.where(rng.random(n) < 0.02, 20.0, 1.0) * PROPER_MOTION
    pmra, pmdec = speed * rng.standard_normal(n), speed * rng.standard_normal(n)
    dec2000 = dec - pmdec * years / 3.6e6
    ra2000 = (ra - pmra * years / 3.6e6 / np.cos(np.radians(dec2000))) % 360.0

    kind = np.full(n, CONSTANT, dtype="<U8")
    lot = rng.random(stars)
    kind[:stars][lot < SINUSOID_SHARE] = SINUSOID
    kind[:stars][lot > 1.0 - TRANSIT_SHARE] = TRANSIT
    edge = SINUSOID_SHARE
    for name, effect, share, limit in (
        (ECLIPSES, "eclipses", ECLIPSES_SHARE, 0.0),
        (PULSATOR, "pulsators", PULSATOR_SHARE, 0.0),
        (FLARES, "flares", FLARES_SHARE, FLARES_BRIGHTEST),
    ):
        if effect in params.effects:
            kind[:stars][(lot >= edge) & (lot < edge + share) & (mag[:stars] >= limit)] = name
        edge += share
    span = max(baseline, 16 * cadence)
    longest = min(LONGEST_PERIOD, 0.45 * span)
    period = np.full(n, np.nan)
    epoch, amplitude, duration = period.copy(), period.copy(), period.copy()
    rows = np.flatnonzero(kind == SINUSOID)
    period[rows] = log_uniform(rng, rows.size, max(0.1 * longest, 5 * cadence), longest)
    amplitude[rows] = log_uniform(rng, rows.size, *SINUSOID_AMPLITUDE)
    rows = np.flatnonzero(kind == TRANSIT)
    period[rows] = log_uniform(rng, rows.size, 0.5 * longest, longest)
    amplitude[rows] = log_uniform(rng, rows.size, *TRANSIT_DEPTH)
    # A transit is to be seen: not shorter than three exposures, nor longer than a quarter of the period.
    duration[rows] = np.minimum(np.maximum(0.08 * period[rows] ** (1 / 3), 3 * cadence), 0.25 * period[rows])
    rows = np.flatnonzero((kind == SINUSOID) | (kind == TRANSIT))
    epoch[rows] = start + period[rows] * rng.random(rows.size)

    number = 10_000_000 + np.cumsum(rng.integers(1, 4000, n))
    number = rng.permutation(number)
    order = np.argsort(number)
    columns: tuple[Any, ...] = (number, ra, dec, ra2000, dec2000, pmra, pmdec, mag, 10.0 ** (0.4 * (zero_point - mag)))
    columns += (col, row, kind, period, epoch, amplitude, duration, np.full(n, np.nan))
    columns = tuple(c[order] for c in columns)
    # A generator of their own, so that these effects leave everything else as it is.
    own = rng.spawn(1)[0]
    return _with_variables(own, columns, start, baseline, longest, cadence)


def _with_variables(
    rng: np.random.Generator, columns: tuple[Any, ...], start: float, baseline: float, longest: float, cadence: float
) -> Scene:
    # Fills in binaries, pulsators and flare stars.
    kind, period, epoch, amplitude, duration, secondary = columns[-6:]
    rows = np.flatnonzero(kind == ECLIPSES)
    period[rows], duration[rows], amplitude[rows], secondary[rows] = draw_eclipses(rng, rows.size, longest, cadence)
    epoch[rows] = start + period[rows] * rng.random(rows.size)
    modes = draw_modes(rng, np.flatnonzero(kind == PULSATOR), start, longest, cadence)
    rows, first = np.unique(modes.star, return_index=True)
    period[rows], amplitude[rows], epoch[rows] = (
        1.0 / modes.frequency[first],
        modes.amplitude[first],
        modes.epoch[first],
    )
    flares = draw_flares(rng, np.flatnonzero(kind == FLARES), start, baseline)
    largest = np.zeros(kind.size)
    np.maximum.at(largest, flares.star, flares.amplitude)
    amplitude[kind == FLARES] = largest[kind == FLARES]
    names = [field.name for field in fields(Scene)]
    return Scene(**dict(zip(names, (*columns, modes, flares), strict=True)))


def brightness(scene: Scene, rows: NDArray[np.int64], time: FloatArray, exposure: float) -> FloatArray:
    """Return the flux of some stars, averaged over one exposure.

    Parameters
    ----------
    scene : Scene
        The stars.
    rows : int64 array, shape (n,)
        Which of them.
    time : float64 array, shape (n,)
        Mid-exposure, BTJD at each star.
    exposure : float
        From the start to the end of the exposure (d).

    Returns
    -------
    float64 array, shape (n,)
        e-/s.
    """
    of = np.full(len(scene), -1)
    of[rows] = np.arange(rows.size)
    relative = np.ones(rows.size)
    for name in (SINUSOID, TRANSIT, ECLIPSES):
        here = np.flatnonzero(scene.kind[rows] == name)
        star = rows[here]
        ephemeris = (time[here], scene.period[star], scene.epoch[star])
        if name == SINUSOID:
            relative[here] += scene.amplitude[star] * sinusoid_mean(*ephemeris, exposure)
        elif name == TRANSIT:
            relative[here] -= scene.amplitude[star] * transit_mean(*ephemeris, scene.duration[star], exposure)
        else:
            primary, secondary = eclipses_mean(*ephemeris, scene.duration[star], exposure)
            relative[here] -= scene.amplitude[star] * primary + scene.secondary[star] * secondary
    modes = scene.modes
    at = of[modes.star]
    change = modes.amplitude * sinusoid_mean(time[at], 1.0 / modes.frequency, modes.epoch, exposure)
    np.add.at(relative, at[at >= 0], change[at >= 0])
    flares = scene.flares
    at = of[flares.star]
    now = np.abs(time[at] - flares.peak) < FLARES_OVER * flares.width + exposure
    seen = np.flatnonzero((at >= 0) & now)
    change = flares.amplitude[seen] * flare_mean(time[at[seen]], flares.peak[seen], flares.width[seen], exposure)
    np.add.at(relative, at[seen], change)
    return scene.flux[rows] * relative
