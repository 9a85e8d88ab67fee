"""The stars: where they are, how bright, and how they vary. No instrument's format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.simulate.signals import CONSTANT, SINUSOID, TRANSIT, sinusoid_mean, transit_mean

__all__ = ["Scene", "brightness", "draw_scene"]

FloatArray = NDArray[np.float64]
TARGET_FAINT = 16.0
"""Stars to this magnitude are counted by ``stars`` and may vary; fainter ones are constant contaminants."""
FAINTEST = 17.0
BRIGHTEST = 7.0
"""Brighter stars would saturate in the two seconds between reads."""
SLOPE = 0.3
"""d log10(N) / d mag of the luminosity function: a disc field at middle Galactic latitude."""
MARGIN = 10
"""Stars lie up to this far beyond the pixels, since their light reaches in (px)."""
SINUSOID_SHARE = 0.08
TRANSIT_SHARE = 0.04
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
        e-/s, mean of a sinusoid, out of transit.
    col, row : float64 array
        Detector coordinates where the pointing has no jitter.
    kind : str array
        `CONSTANT`, `SINUSOID` or `TRANSIT`.
    period, epoch, amplitude, duration : float64 array
        Days, BTJD at the star (rising zero of a sinusoid, middle of a transit), semi-amplitude or depth relative
        to ``flux``, days from first to last contact. NaN where they mean nothing.
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

    def __len__(self) -> int:
        return int(self.id.size)


def _magnitudes(rng: np.random.Generator, n: int, bright: float, faint: float) -> FloatArray:
    # Inverse of the cumulative distribution of N(m) ~ 10^(SLOPE m) between two limits.
    low, high = 10.0 ** (SLOPE * bright), 10.0 ** (SLOPE * faint)
    return np.asarray(np.log10(low + (high - low) * rng.random(n)) / SLOPE)


def _log_uniform(rng: np.random.Generator, n: int, low: float, high: float) -> FloatArray:
    return np.asarray(low * (high / low) ** rng.random(n))


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
) -> Scene:
    """Draw a field of stars.

    ``stars`` of them lie on the pixels and are brighter than magnitude 16; as many again are contaminants down to
    magnitude 17, and both go on for `MARGIN` pixels beyond the edge. Of the stars brighter than 16 a share of
    `SINUSOID_SHARE` are sinusoids and `TRANSIT_SHARE` show transits.

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

    Returns
    -------
    Scene
        The stars.
    """
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
            _magnitudes(rng, stars, BRIGHTEST, TARGET_FAINT),
            _magnitudes(rng, contaminants, TARGET_FAINT, FAINTEST),
            _magnitudes(rng, outside.shape[0], BRIGHTEST, FAINTEST),
        ]
    )
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
    span = max(baseline, 16 * cadence)
    longest = min(LONGEST_PERIOD, 0.45 * span)
    period = np.full(n, np.nan)
    epoch, amplitude, duration = period.copy(), period.copy(), period.copy()
    rows = np.flatnonzero(kind == SINUSOID)
    period[rows] = _log_uniform(rng, rows.size, max(0.1 * longest, 5 * cadence), longest)
    amplitude[rows] = _log_uniform(rng, rows.size, *SINUSOID_AMPLITUDE)
    rows = np.flatnonzero(kind == TRANSIT)
    period[rows] = _log_uniform(rng, rows.size, 0.5 * longest, longest)
    amplitude[rows] = _log_uniform(rng, rows.size, *TRANSIT_DEPTH)
    # A transit is to be seen: not shorter than three exposures, nor longer than a quarter of the period.
    duration[rows] = np.minimum(np.maximum(0.08 * period[rows] ** (1 / 3), 3 * cadence), 0.25 * period[rows])
    rows = np.flatnonzero(kind != CONSTANT)
    epoch[rows] = start + period[rows] * rng.random(rows.size)

    number = 10_000_000 + np.cumsum(rng.integers(1, 4000, n))
    number = rng.permutation(number)
    order = np.argsort(number)
    columns: tuple[Any, ...] = (number, ra, dec, ra2000, dec2000, pmra, pmdec, mag, 10.0 ** (0.4 * (zero_point - mag)))
    columns += (col, row, kind, period, epoch, amplitude, duration)
    return Scene(*(c[order] for c in columns))


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
    relative = np.ones(rows.size)
    kind = scene.kind[rows]
    for name, sign in ((SINUSOID, 1.0), (TRANSIT, -1.0)):
        here = np.flatnonzero(kind == name)
        of = rows[here]
        if name == SINUSOID:
            shape = sinusoid_mean(time[here], scene.period[of], scene.epoch[of], exposure)
        else:
            shape = transit_mean(time[here], scene.period[of], scene.epoch[of], scene.duration[of], exposure)
        relative[here] += sign * scene.amplitude[of] * shape
    return scene.flux[rows] * relative
