"""What a STIS detector writes down in a simulated exposure: the source's photons, the airglow's, and its own, less what its dead time loses.

References
----------
STIS Data Handbook, section 5.6 (time-tag); STIS Instrument Handbook, section 7.5 (dark of the MAMA detectors); calstis, doNonLin (a true
rate x is seen as x exp(-tau x)); ACS Instrument Handbook, section 4.5.6 (of a detector of this kind: 10 % are lost at 360,000 counts/s).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cuvee.simulate.photon_lists import PIECE
from cuvee.simulate.photon_source import ORBIT, Source, spectrum, sun_altitude
from cuvee.simulate.stis_settings import LOW, SETTINGS, Order, Setting

__all__ = ["ROWS", "SPEED", "START", "TICK", "Scene", "draw"]

FloatArray = NDArray[np.float64]

HIGH = 2 * LOW
TICK = 0.000125
"""Seconds: STIS tells times no better."""
START = 58849.25
TAU = -np.log(0.9) / 360_000.0
"""Dead time (s), from what the ACS handbook says of a detector of this kind; the mission's own number is in a reference file."""
DARK = {"FUV-MAMA": 10.0, "NUV-MAMA": 1400.0}
"""Events/s of the whole detector, evenly."""
GLOW = {"FUV-MAMA": 20.0, "NUV-MAMA": 0.0}
"""Events/s of the glow at the start of an exposure; it lies in the upper left, and doubles in an orbit, as the detector warms."""
GLOW_PLACE = ((360.0, 170.0), (660.0, 170.0))
"""Its middle and its width (standard deviation) on the spectrum's columns, and on its rows."""
SPREAD = 0.8
"""How far the source's light spreads over rows (px of the spectrum, standard deviation)."""
AIRGLOW = ((1215.67, 2.1e-14), (1302.168, 1.9e-15), (1304.858, 1.3e-15), (1306.029, 7e-16), (1355.6, 2e-16))
"""Lines of the Earth's upper atmosphere, and how bright they are by day (erg/s/cm2/arcsec2): what COS counts of them; by night a twentieth."""
SPEED = 7.5
"""Of Hubble about the Earth (km/s)."""
LIGHT = 299_792.458

ROWS = np.dtype([("TIME", ">i4"), ("AXIS1", ">i2"), ("AXIS2", ">i2"), ("DETAXIS1", ">i2")])


@dataclass(frozen=True)
class Scene:
    """One exposure.

    Parameters
    ----------
    setting : Setting
        The grating.
    scale : float
        Of the source's spectrum (erg/s/cm2/A).
    source : Source
        How it varies.
    gti : tuple of (float, float)
        When the detector was read (s since the start).
    shape : callable
        The spectrum of the constant light by wavelength, to be scaled.
    dark, glow : float, optional
        Events/s of the whole detector; by default what it has.
    sky : float
        How bright the airglow is; 0 for none.
    tau : float
        Dead time (s).
    phase : float
        Of the orbit, at the start.
    rootname : str
        Of the exposure.
    mjd : float
        When it starts (UTC).
    cards : dict
        Of the primary header, instead of what it would have.
    """

    setting: Setting = SETTINGS["G140L"]
    scale: float = 1e-14
    source: Source = field(default_factory=Source)
    gti: tuple[tuple[float, float], ...] = ((0.0, 1500.0),)
    shape: Callable[[FloatArray], FloatArray] = spectrum
    dark: float | None = None
    glow: float | None = None
    sky: float = 1.0
    tau: float = TAU
    phase: float = 0.05
    rootname: str = "osim01010"
    mjd: float = START
    cards: dict[str, object] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Good time (s)."""
        return float(sum(stop - start for start, stop in self.gti))

    def flux(self, order: Order) -> FloatArray:
        """Return the constant light in the columns of an order, shape (1024,) (erg/s/cm2/A)."""
        return np.asarray(self.scale * self.shape(order.wavelength))

    @cached_property
    def source_rates(self) -> FloatArray:
        """The constant light in each order and column of the events, shape (n_order * 2048,) (count/s)."""
        return np.concatenate([np.repeat(0.5 * self.flux(one) * one.sensitivity, 2) for one in self.setting.orders])

    @cached_property
    def lines(self) -> list[tuple[Order, float, float]]:
        """Order, column (from 1) and rate by day (count/s) of each line of the airglow, in each order that has it."""
        found = []
        for order in self.setting.orders:
            for line, energy in AIRGLOW:
                at = (line - order.first) / order.step
                if self.sky > 0.0 and 0.0 <= at <= LOW - 1:
                    rate = self.sky * energy * self.setting.sky * float(order.sensitivity[round(at)]) / order.step
                    found.append((order, at + 1.0, rate))
        return found

    @property
    def of_detector(self) -> tuple[float, float]:
        """Events/s of the dark, and of the glow at the start."""
        detector = self.setting.detector
        return (DARK[detector] if self.dark is None else self.dark), (
            GLOW[detector] if self.glow is None else self.glow
        )

    def sunlight(self, time: FloatArray) -> FloatArray:
        """Return how bright the airglow is at some times, over that of the day."""
        return np.where(sun_altitude(time, self.phase) > 0.0, 1.0, 0.05)

    def warmth(self, time: FloatArray) -> FloatArray:
        """Return how bright the glow is at some times, over that of the start."""
        return np.asarray(1.0 + time / ORBIT)

    def others(self, time: FloatArray) -> FloatArray:
        """Return the rate of all events that are not the source's at some times (count/s)."""
        dark, glow = self.of_detector
        return np.asarray(
            dark + glow * self.warmth(time) + self.sunlight(time) * sum(rate for _, _, rate in self.lines)
        )

    def seen(self, time: FloatArray) -> FloatArray:
        """Return the share of events that the dead time leaves at some times."""
        rate = self.source_rates.sum() * self.source.light(time) + self.others(time)
        return np.asarray(np.exp(-self.tau * rate))

    def mean(self, of: Callable[[FloatArray], FloatArray]) -> float:
        """Return the mean of a function of time over the good time."""
        parts = [
            (stop - start) * of(start + (np.arange(20_000) + 0.5) * (stop - start) / 20_000).mean()
            for start, stop in self.gti
        ]
        return float(sum(parts) / self.seconds)

    def dark_image(self) -> FloatArray:
        """Return the mean dark and glow on the spectrum's pixels, shape (1024, 1024) (count/s)."""
        from scipy.special import ndtr

        dark, glow = self.of_detector
        edges = np.arange(LOW + 1) + 0.5
        shares = [np.diff(ndtr((edges - centre) / width)) for centre, width in GLOW_PLACE]
        return np.asarray(dark / LOW**2 + glow * self.mean(self.warmth) * np.outer(shares[1], shares[0]))


def draw(scene: Scene, rng: np.random.Generator) -> Iterator[NDArray[np.void]]:
    """Yield the events of an exposure, some seconds at a time, in order; places are pixels of the events, from 1.

    Parameters
    ----------
    scene : Scene
        What is seen.
    rng : Generator
        Of its noise.

    Yields
    ------
    structured array of `ROWS`
    """
    rates = scene.source_rates
    cumulative = np.cumsum(rates) / max(float(rates.sum()), 1e-300)
    flare = scene.source.flare.height if scene.source.flare else 0.0
    peak = 1.0 + scene.source.amplitude + flare
    most = float(rates.sum()) * peak + float(scene.others(np.array([scene.gti[-1][1]]))[0]) + 1.0
    for begin, end in scene.gti:
        for start in np.arange(begin, end, max(PIECE / most, 1.0)):
            stop = min(start + max(PIECE / most, 1.0), end)
            kinds = [
                _of_source(scene, rng, start, stop, peak, cumulative),
                *(_of_line(scene, rng, start, stop, *line) for line in scene.lines),
                _of_detector(scene, rng, start, stop),
            ]
            time, column, row = (np.concatenate(values) for values in zip(*kinds, strict=True))
            kept = (
                (rng.random(time.size) < scene.seen(time))
                & (row >= 1)
                & (row <= HIGH)
                & (column >= 1)
                & (column <= HIGH)
            )
            order = np.flatnonzero(kept)[np.argsort(time[kept], kind="stable")]
            yield _rows(scene, time[order], column[order], row[order])


_Kind = tuple[FloatArray, FloatArray, FloatArray]


def _times(rng: np.random.Generator, start: float, stop: float, rate: float) -> FloatArray:
    return rng.uniform(start, stop, rng.poisson(rate * (stop - start)))


def _pixels(middle: FloatArray) -> FloatArray:
    """Return the events' pixels of places on a spectrum's: its pixel p, from p - 1/2 to p + 1/2, holds 2 p - 1 and 2 p."""
    return np.asarray(np.floor(2.0 * (middle - 0.5)) + 1.0)


def _of_source(
    scene: Scene, rng: np.random.Generator, start: float, stop: float, peak: float, cumulative: FloatArray
) -> _Kind:
    time = _times(rng, start, stop, float(scene.source_rates.sum()) * peak)
    time = time[rng.random(time.size) * peak < scene.source.light(time)]
    at = np.searchsorted(cumulative, rng.random(time.size))
    order, column = np.divmod(np.minimum(at, cumulative.size - 1), HIGH)
    rows, tilts = (np.array([getattr(one, name) for one in scene.setting.orders]) for name in ("row", "tilt"))
    middle = rows[order] + tilts[order] * (0.5 * (column + 0.5) + 0.5 - 512.5)
    return time, column + 1.0, _pixels(middle + SPREAD * rng.standard_normal(time.size))


def _of_line(
    scene: Scene, rng: np.random.Generator, start: float, stop: float, order: Order, middle: float, rate: float
) -> _Kind:
    time = _times(rng, start, stop, rate)
    time = time[rng.random(time.size) < scene.sunlight(time)]
    width, height = scene.setting.slit
    column = middle + width * rng.uniform(-0.5, 0.5, time.size)
    # What is as high as the detector covers it, wherever the source is.
    row = order.row_at(column) if height < LOW else np.full(time.size, 0.5 * (LOW + 1))
    return time, _pixels(column), _pixels(row + height * rng.uniform(-0.5, 0.5, time.size))


def _of_detector(scene: Scene, rng: np.random.Generator, start: float, stop: float) -> _Kind:
    dark, glow = scene.of_detector
    even = _times(rng, start, stop, dark)
    most = float(scene.warmth(np.array(stop)))
    bright = _times(rng, start, stop, glow * most)
    bright = bright[rng.random(bright.size) * most < scene.warmth(bright)]
    place = [_pixels(centre + width * rng.standard_normal(bright.size)) for centre, width in GLOW_PLACE]
    columns, rows = (np.r_[rng.integers(1, HIGH + 1, even.size), values] for values in place)
    return np.r_[even, bright], columns, rows


def _rows(scene: Scene, time: FloatArray, column: FloatArray, row: FloatArray) -> NDArray[np.void]:
    found = np.zeros(time.size, ROWS)
    one = scene.setting.orders[len(scene.setting.orders) // 2]
    # Columns are those of a telescope at rest; where on the detector an event fell, it fell with the telescope's speed.
    shift = (
        2.0 * SPEED / LIGHT * one.wavelength[LOW // 2] / one.step * np.sin(2.0 * np.pi * (time / ORBIT + scene.phase))
    )
    found["TIME"], found["AXIS1"], found["AXIS2"] = np.floor(time / TICK), column, row
    found["DETAXIS1"] = np.clip(column + np.rint(shift), 1, HIGH)
    return found
