"""Where the stars fall in each frame: jitter, momentum dumps, and the aberration of light over the field.

References
----------
Velocity aberration to first order: Urban & Seidelmann 2013, Explanatory Supplement to the Astronomical Almanac, third
edition, section 7.2.3: the direction n of a star appears at n + b - (n.b) n, b being the observer's velocity over the speed
of light (the next order is 0.001 arcsec). The spacecraft holds a direction p fixed by its guide stars, so the images
are turned back by the rotation that brings p to its place; what is left is differential velocity aberration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvee.simulate.params import SimulationParams

__all__ = ["AU_DAYS", "MIDDLE", "Attitude", "aberration", "draw_attitude", "observer"]

FloatArray = NDArray[np.float64]

AU_DAYS = 499.004784 / 86400.0
"""Light time of an astronomical unit (d)."""
ORBIT_RADIUS, ORBIT_PERIOD = 40 * 6378.137 / 149597870.7, 13.7
"""The spacecraft about the Earth (au, d); a circle, where the true orbit reaches from 17 to 60 Earth radii."""
ORBIT_AXES = np.array([[1.0, 0.0, 0.0], [0.0, 0.8, 0.6]])
CREEP = np.array([0.8, 0.6])
"""Direction of a slow drift."""
RELAXATION = 0.15
"""After a jump the pointing comes back with this time constant (d)."""
MIDDLE = 1023.5
"""Centre of the detector (px)."""


@dataclass(frozen=True, slots=True)
class Attitude:
    """How far the stars lie from their mean places; every array's first axis has length n_frame.

    Parameters
    ----------
    rigid : float64 array, shape (n_frame, 2)
        Shift of all stars by the spacecraft's pointing, column first (px).
    smear : float64 array, shape (n_frame,)
        Standard deviation of the pointing within the exposure in each coordinate (px).
    dump : bool array, shape (n_frame,)
        Whether the exposure holds a momentum dump.
    drift : float64 array, shape (n_frame, 2)
        Shift by differential aberration at the middle of the detector since the middle of the observation (px).
    stretch : float64 array, shape (n_frame, 2, 2)
        Its gradient: ``stretch[k, 0, 1]`` is the shift along columns for each row from the middle.
    """

    rigid: FloatArray
    smear: FloatArray
    dump: NDArray[np.bool_]
    drift: FloatArray
    stretch: FloatArray

    def shift(self, k: int, col: FloatArray, row: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return how far stars at these detector coordinates are shifted in frame ``k`` (px), columns and rows."""
        x, y = col - MIDDLE, row - MIDDLE
        (a, b), (c, d) = self.stretch[k].tolist()
        d_col, d_row = (self.rigid[k] + self.drift[k]).tolist()
        return d_col + a * x + b * y, d_row + c * x + d * y


def observer(time: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return where the spacecraft is and how fast it moves, in the barycentric frame.

    Straight from the ephemeris of the Earth: the truth must not rest on the code that is to be tested against it.

    Parameters
    ----------
    time : float64 array, shape (n,)
        TDB - 2457000 (d).

    Returns
    -------
    position : float64 array, shape (n, 3)
        au.
    velocity : float64 array, shape (n, 3)
        Relative to the speed of light.
    """
    from astropy.coordinates import get_body_barycentric_posvel
    from astropy.time import Time

    when = Time(2457000.0, time, format="jd", scale="tdb")
    earth, earth_velocity = get_body_barycentric_posvel("earth", when, ephemeris="builtin")
    phase = 2.0 * np.pi * time / ORBIT_PERIOD
    circle = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    tangent = np.stack([-np.sin(phase), np.cos(phase)], axis=1) * (2.0 * np.pi / ORBIT_PERIOD)
    position = earth.xyz.to_value("au").T + ORBIT_RADIUS * np.einsum("ij,jk->ik", circle, ORBIT_AXES)
    speed = earth_velocity.xyz.to_value("au/d").T + ORBIT_RADIUS * np.einsum("ij,jk->ik", tangent, ORBIT_AXES)
    return position, speed * AU_DAYS


def aberration(direction: FloatArray, velocity: FloatArray, pointing: FloatArray) -> FloatArray:
    """Return how far stars are displaced by aberration in the frame of a spacecraft that holds one direction.

    Parameters
    ----------
    direction : float64 array, shape (..., 3)
        Unit vectors to the stars.
    velocity : float64 array, shape (..., 3)
        Of the observer, relative to the speed of light; broadcasts with ``direction``.
    pointing : float64 array, shape (3,)
        Unit vector to what stays in place.

    Returns
    -------
    float64 array, shape (..., 3)
        Radians; zero at ``pointing``.
    """
    moved = velocity - np.sum(direction * velocity, axis=-1, keepdims=True) * direction
    # The rotation by p x b, applied to the direction: b (p.n) - p (b.n).
    along = np.sum(pointing * direction, axis=-1, keepdims=True) * velocity
    turned = along - np.sum(velocity * direction, axis=-1, keepdims=True) * pointing
    return np.asarray(moved - turned)


def _differential(
    velocity: FloatArray,
    pointing: FloatArray,
    to_sky: Callable[[FloatArray, FloatArray], FloatArray],
    to_pixel: Callable[[FloatArray], FloatArray],
) -> tuple[FloatArray, FloatArray]:
    # drift and stretch: the displacement on a grid over the detector, taken to pixels by the derivative of the WCS
    axis = np.linspace(-1000.0, 1000.0, 9)
    x, y = (g.ravel() for g in np.meshgrid(axis, axis))
    sky = to_sky(x + MIDDLE, y + MIDDLE)
    step = 1e-4
    slopes = [(to_pixel(sky + step * unit) - to_pixel(sky - step * unit)) / (2.0 * step) for unit in np.eye(3)]
    offset = velocity - velocity[velocity.shape[0] // 2]
    radians = aberration(sky, offset[:, None, :], pointing)
    pixels = sum(radians[:, :, i, None] * slopes[i] for i in range(3))
    gradient = [np.mean(pixels * v[None, :, None], axis=1) / np.mean(v * v) for v in (x, y)]
    return np.mean(pixels, axis=1), np.stack(gradient, axis=2)


def _wander(steps: FloatArray, since: FloatArray, time: float) -> FloatArray:
    """Turn white steps into an Ornstein-Uhlenbeck process of the same variance, sampled where the frames are."""
    if time == 0.0:
        return steps
    place = steps.copy()
    for k in range(1, since.size):
        kept = np.exp(-(since[k] - since[k - 1]) / time)
        place[k] = kept * place[k - 1] + np.sqrt(1.0 - kept * kept) * steps[k]
    return place


def draw_attitude(
    rng: np.random.Generator,
    params: SimulationParams,
    since: FloatArray,
    exposure: float,
    velocity: FloatArray,
    pointing: FloatArray,
    to_sky: Callable[[FloatArray, FloatArray], FloatArray],
    to_pixel: Callable[[FloatArray], FloatArray],
) -> Attitude:
    """Draw the pointing of all frames.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    params : SimulationParams
        Effects and strengths.
    since : float64 array, shape (n_frame,)
        Start of each exposure after the first (d).
    exposure : float
        Length of an exposure (d).
    velocity : float64 array, shape (n_frame, 3)
        Of the observer, relative to the speed of light.
    pointing : float64 array, shape (3,)
        Unit vector to the direction that the spacecraft holds.
    to_sky, to_pixel : callable
        Detector coordinates to unit vectors of shape (n, 3), and back to an array of shape (n, 2).

    Returns
    -------
    Attitude
        Of all frames.
    """
    n = since.size
    rigid = _wander(params.jitter * rng.standard_normal((n, 2)), since, params.jitter_time)
    if n > 1:
        rigid += params.drift * (since / since[-1] - 0.5)[:, None] * CREEP
    smear, dump = np.zeros(n), np.zeros(n, dtype=np.bool_)
    if params.has("dumps"):
        phase = (since - params.dump_first) / params.dump_every
        dump = np.floor(phase) != np.floor(phase + exposure / params.dump_every)
        smear = np.where(dump, params.dump_jitter, 0.0)
        for k in np.flatnonzero(dump):
            later = np.maximum(since - since[k], 0.0)
            jump = params.dump_jump * rng.standard_normal(2)
            rigid += np.where(since >= since[k], np.exp(-later / RELAXATION), 0.0)[:, None] * jump
    drift, stretch = np.zeros((n, 2)), np.zeros((n, 2, 2))
    if params.has("aberration"):
        drift, stretch = _differential(velocity, pointing, to_sky, to_pixel)
    return Attitude(rigid, smear, dump, drift, stretch)
