"""A simulated TESS observation before any pixel is drawn, and the pixels of one frame before they are noisy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.simulate import ffi, stray
from cuvee.simulate.asteroids import Asteroids, draw_asteroids, trail
from cuvee.simulate.attitude import AU_DAYS, Attitude, draw_attitude, observer
from cuvee.simulate.detector import CosmicRays, add_cosmic_rays, draw_cosmic_rays, strap_response
from cuvee.simulate.params import SimulationParams
from cuvee.simulate.pixels import HALO_BRIGHTER, Prf, add_halos, background, halo_share, prf_at
from cuvee.simulate.pointing import BORESIGHT, CRPIX, make_wcs, moved
from cuvee.simulate.scene import Scene, brightness, draw_scene
from cuvee.simulate.signals import CONSTANT

__all__ = ["SECTORS", "ZERO_POINT", "Light", "Plan", "draw_light", "frame_wcs", "make_plan", "saturated_stars"]

FloatArray = NDArray[np.float64]

ZERO_POINT = 20.44
SECTORS: dict[int, dict[str, Any]] = {
    1800: {"sector": 8, "start": 1517.4, "scid": 136, "ra": 128.25, "dec": -46.5},
    600: {"sector": 30, "start": 2115.9, "scid": 195, "ra": 14.6, "dec": -38.2},
    200: {"sector": 60, "start": 2936.9, "scid": 249, "ra": 98.7, "dec": -51.3},
}
"""Cadence (s) to a sector that was observed with it, its first exposure (TDB - 2457000) and an invented pointing."""
RELEASE = 30
"""DATA_REL of files whose times need no correction: sectors processed earlier start some 2 s too late."""
CAMERA, CCD, ROLL = 3, 4, 23.0
DUMP_BIT = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a frame needs; the same for every frame.

    Parameters
    ----------
    seed : int
        Where chance comes from.
    params : SimulationParams
        Effects and strengths.
    window : Window
        The pixels.
    sector, wcs : dict
        For the headers.
    scene, prf, half : Scene, Prf, int64 array of shape (n_star,)
        The stars, their shape, and how far it reaches (px).
    varying : int64 array
        Rows of the variable stars.
    toward : float64 array, shape (n_star, 3)
        Unit vectors to the stars.
    frames : tuple of Frame
        For the headers.
    attitude : Attitude
        Where the stars fall in each frame.
    position : float64 array, shape (n_frame, 3)
        Of the spacecraft (au).
    asteroids : Asteroids
        What crosses the field.
    strap : float32 array, shape (n_col,)
        Excess response of each column.
    names : tuple of str
        Of the files.
    """

    seed: int
    params: SimulationParams
    window: ffi.Window
    sector: dict[str, Any]
    wcs: dict[str, Any]
    scene: Scene
    prf: Prf
    half: NDArray[np.int64]
    varying: NDArray[np.int64]
    toward: FloatArray
    frames: tuple[ffi.Frame, ...]
    attitude: Attitude
    position: FloatArray
    asteroids: Asteroids
    strap: NDArray[np.float32]
    names: tuple[str, ...]

    def day(self, k: int) -> float:
        """Return the middle of exposure ``k`` in days since the observation began."""
        return 0.5 * (self.frames[k].start + self.frames[k].stop) - self.frames[0].start


@dataclass(frozen=True, slots=True)
class Light:
    """The science pixels of a frame before they are read.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        e-/s.
    background, stray : float
        Mean of the whole background and of its stray light, without straps (e-/s/pixel).
    rays : CosmicRays
        In pixels of the window.
    full : int
        Pixels at the limit.
    lost : float
        What bled over the edge (e-/s).
    """

    image: NDArray[np.float32]
    background: float
    stray: float
    rays: CosmicRays
    full: int
    lost: float


def _direction(ra: Any, dec: Any) -> FloatArray:
    a, d = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


class _Sky:
    # Detector coordinates to the sky and back.
    def __init__(self, cards: dict[str, Any]) -> None:
        from astropy.io import fits
        from astropy.wcs import WCS

        self._wcs = WCS(fits.Header(cards))

    def degrees(self, col: FloatArray, row: FloatArray) -> tuple[FloatArray, FloatArray]:
        ra, dec = self._wcs.all_pix2world(col + ffi.FIRST_COL, row, 0)
        return np.asarray(ra), np.asarray(dec)

    def vectors(self, col: FloatArray, row: FloatArray) -> FloatArray:
        return _direction(*self.degrees(col, row))

    def pixels(self, vectors: FloatArray) -> FloatArray:
        x, y, z = vectors.T
        ra, dec = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
        return np.stack(self._wcs.all_world2pix(ra, dec, 0), axis=1) - [ffi.FIRST_COL, 0.0]

    def pointing(self) -> FloatArray:
        # The axis that the spacecraft holds: some 19 degrees away, where the distortion says nothing any more.
        return _direction(*self._wcs.wcs_pix2world(CRPIX[0] + BORESIGHT[0], CRPIX[1] + BORESIGHT[1], 1))


def make_plan(frames: int, stars: int, size: int, cadence: int, seed: int, params: SimulationParams) -> Plan:
    """Make the plan of a simulation; arguments as of `cuvee.simulate.tess.simulate`."""
    sector = SECTORS[cadence] | {
        "camera": CAMERA, "ccd": CCD, "cadence": cadence, "release": RELEASE, "roll": ROLL
    }  # fmt: skip
    first = (ffi.SCIENCE - size) // 2
    window = ffi.Window(first, first, size)
    wcs = make_wcs(sector["ra"], sector["dec"], ROLL)
    sky = _Sky(wcs)
    days = cadence / 86400.0
    since = days * np.arange(frames)
    start = sector["start"] + since
    position, velocity = observer(start + 0.5 * days)
    reference = sky.vectors(np.array(ffi.REFERENCE_PIXEL[0] - 45.0), np.array(ffi.REFERENCE_PIXEL[1] - 1.0))
    barycorr = np.einsum("ij,j->i", position, reference) * AU_DAYS
    attitude = draw_attitude(
        np.random.default_rng([seed, 1]),
        params,
        np.asarray(since),
        days,
        velocity,
        sky.pointing(),
        sky.vectors,
        sky.pixels,
    )
    light = [stray.patches(params, float(day)) for day in since + 0.5 * days]
    quality = [int(DUMP_BIT * dump) | stray.quality(p) for dump, p in zip(attitude.dump, light, strict=True)]
    # The cadence number grew by one in half an hour from 4697 at the start of sector 1.
    index = 4697 + round((sector["start"] - 1325.3131) / days) + np.arange(frames)
    scene = draw_scene(
        np.random.default_rng([seed, 0]),
        stars,
        to_sky=sky.degrees,
        start=float(start[0] + barycorr[0]),
        baseline=frames * days,
        cadence=days,
        years=float((start.mean() + 2457000.0 - 2451545.0) / 365.25),
        params=params,
        col0=first,
        row0=first,
        size=size,
        zero_point=ZERO_POINT,
    )
    count = params.asteroids if params.has("asteroids") else 0
    asteroids = draw_asteroids(
        np.random.default_rng([seed, 3]),
        count,
        col0=first,
        row0=first,
        size=size,
        days=frames * days,
        mag=params.asteroid_mag,
        zero_point=ZERO_POINT,
    )
    strap = strap_response(params.straps if params.has("straps") else 0.0)
    name = "tess{:%Y%j%H%M%S}-s{:04d}-{}-{}-{:04d}-s_ffic.fits"
    return Plan(
        seed=seed,
        params=params,
        window=window,
        sector=sector,
        wcs=wcs,
        scene=scene,
        prf=prf_at(scene.col, scene.row),
        half=np.where(scene.mag < 12.0, 10, 7),
        varying=np.flatnonzero(scene.kind != CONSTANT),
        toward=_direction(scene.ra, scene.dec),
        frames=tuple(
            ffi.Frame(float(s), float(s + days), float(b), int(i), q)
            for s, b, i, q in zip(start, barycorr, index, quality, strict=True)
        ),
        attitude=attitude,
        position=position,
        asteroids=asteroids,
        strap=strap[first : first + size],
        names=tuple(name.format(ffi.date_of(float(s)), sector["sector"], CAMERA, CCD, sector["scid"]) for s in start),
    )


def frame_wcs(plan: Plan, k: int) -> dict[str, Any]:
    """Return the WCS of frame ``k``, which follows the stars."""
    at = [np.array(c - 1.0 - skip) for c, skip in zip(CRPIX, (ffi.FIRST_COL, 0), strict=True)]
    d_col, d_row = plan.attitude.shift(k, *at)
    return moved(plan.wcs, float(d_col), float(d_row), plan.attitude.stretch[k])


def draw_light(plan: Plan, k: int) -> Light:
    """Draw the science pixels of frame ``k`` before they are read.

    Stars and asteroids fall on the background; straps enhance all of it; cosmic rays come on top; what a pixel cannot hold
    bleeds.

    Parameters
    ----------
    plan : Plan
        From `make_plan`.
    k : int
        Number of the frame.

    Returns
    -------
    Light
        Its pixels, and what is in them.
    """
    from cuvee.kernels.render import bleed

    window, params, frame = plan.window, plan.params, plan.frames[k]
    image = background(window.col0, window.row0, window.size, frame.start - plan.frames[0].start)
    plain = float(image.mean(dtype=np.float64))
    patches = stray.patches(params, plan.day(k))
    stray.add_patches(image, window.col0, window.row0, patches)
    if params.has("corner-glow"):
        stray.add_corner_glow(image, window.col0, window.row0, params.corner_glow, patches)
    level = float(image.mean(dtype=np.float64))
    _add_sources(plan, k, image)
    if params.has("straps"):
        image *= np.float32(1.0) + plan.strap
    exposure = 0.792 * plan.sector["cadence"]
    survivors = params.cosmic_ray_survivors if params.has("cosmic-rays") else 0.0
    fluence = params.cosmic_ray_rate * plan.sector["cadence"] * survivors
    rays = draw_cosmic_rays(np.random.default_rng([plan.seed, 4, k]), image.shape, fluence)
    add_cosmic_rays(image, rays, exposure)
    full, lost = bleed(image, params.full_well / ffi.INT_TIME) if params.has("saturation") else (0, 0.0)
    return Light(image, level, level - plain, rays, full, lost)


def _flux(plan: Plan, k: int) -> FloatArray:
    # Of all stars, averaged over the exposure.
    frame, rows = plan.frames[k], plan.varying
    flux = plan.scene.flux.copy()
    # A sum, not a matrix product: the linear algebra library would start threads of its own.
    delay = np.sum(plan.toward[rows] * plan.position[k], axis=1) * AU_DAYS
    flux[rows] = brightness(plan.scene, rows, 0.5 * (frame.start + frame.stop) + delay, frame.stop - frame.start)
    return flux


def _add_sources(plan: Plan, k: int, image: NDArray[np.float32]) -> None:
    from cuvee.kernels.render import add_stars

    scene, window, prf, frame = plan.scene, plan.window, plan.prf, plan.frames[k]
    smear = float(plan.attitude.smear[k])

    def draw(col: FloatArray, row: FloatArray, flux: FloatArray, shape: Prf, half: NDArray[np.int64]) -> None:
        d_col, d_row = plan.attitude.shift(k, col, row)
        add_stars(
            image,
            col + d_col - window.col0,
            row + d_row - window.row0,
            flux,
            np.sqrt(shape.core_sigma**2 + smear**2),
            shape.core_shift,
            float(np.hypot(shape.wing_sigma, smear)),
            shape.wing_shift,
            shape.wing_share,
            half,
        )

    flux = _flux(plan, k)
    if plan.params.has("halos"):
        share = halo_share(scene.mag)
        rows = np.flatnonzero(scene.mag < HALO_BRIGHTER)
        d_col, d_row = plan.attitude.shift(k, scene.col[rows], scene.row[rows])
        x, y = scene.col[rows] + d_col - window.col0, scene.row[rows] + d_row - window.row0
        add_halos(image, x, y, share[rows] * flux[rows])
        flux *= 1.0 - share
    draw(scene.col, scene.row, flux, prf, plan.half)
    if plan.asteroids.mag.size:
        col, row, flux = trail(plan.asteroids, plan.day(k), frame.stop - frame.start)
        draw(col, row, flux, prf_at(col, row), np.full(col.size, 7))


def saturated_stars(plan: Plan) -> NDArray[np.bool_]:
    """Return which stars saturate by themselves where the pointing has no jitter, shape (n_star,)."""
    from scipy.special import erf

    if not plan.params.has("saturation"):
        return np.zeros(len(plan.scene), dtype=np.bool_)
    share = np.ones(len(plan.scene))
    for axis, at in enumerate((plan.scene.col, plan.scene.row)):
        offset = np.rint(at) - at
        scale = np.sqrt(2.0) * plan.prf.core_sigma[:, axis]
        share *= 0.5 * (erf((offset + 0.5) / scale) - erf((offset - 0.5) / scale))
    peak = (1.0 - plan.prf.wing_share) * share * plan.scene.flux
    return np.asarray(peak >= plan.params.full_well / ffi.INT_TIME)
