"""What the detector does to the light: straps, cosmic rays, saturation. No file format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CosmicRays", "add_cosmic_rays", "draw_cosmic_rays", "strap_response"]

FloatArray = NDArray[np.float64]

COLUMNS = 2048
STRAP_FIRST, STRAP_EVERY, STRAP_GROUPS = 76, 128, 8
STRAP_PAIRS = ((0, 1.0), (4, 0.8), (8, 0.5))
"""In each group three pairs of columns, and how bright they are."""
CLOCK_FIRST, CLOCK_SHARE = 515, 0.5
SENSOR_FIRST, SENSOR_COLUMNS, SENSOR_SHARE = 672, 4, 0.35

PIXEL, DEPTH = 15.0, 100.0
"""Side of a pixel and thickness of the silicon (micrometres)."""
ELECTRONS, ELECTRON_SCATTER, LONGEST = 80.0, 0.35, 1500.0
"""A fast charged particle frees about 80 electrons a micrometre, with a long tail; the longest track (micrometres)."""


def strap_response(brightest: float) -> NDArray[np.float32]:
    """Return by how much each column of a TESS CCD responds better than its neighbours.

    Metal straps lie below the silicon and send red light back that would have passed through it. So all light is
    enhanced, stars' and background's, and the columns glow with the stray light.

    Parameters
    ----------
    brightest : float
        Excess of the brightest straps.

    Returns
    -------
    float32 array, shape (2048,)
        Excess; 0 outside the straps.

    References
    ----------
    Vanderspek et al. 2018, TESS Instrument Handbook v0.1, on straps: in each half three pairs of columns, repeated every 128
    columns, and those of clock lines and temperature sensors between them; the halves are mirror images. A real image (sector 1,
    camera 1, CCD 4) shows the pairs at columns 76, 80 and 84 (from 0) with 4, 3 and 2 % of the background.
    """
    response = np.zeros(COLUMNS, dtype=np.float32)
    pairs = [(STRAP_FIRST + STRAP_EVERY * k + step, share) for k in range(STRAP_GROUPS) for step, share in STRAP_PAIRS]
    pairs += [(CLOCK_FIRST + step, CLOCK_SHARE) for step, _ in STRAP_PAIRS]
    for first, share in pairs:
        response[first : first + 2] = brightest * share
    response[SENSOR_FIRST : SENSOR_FIRST + SENSOR_COLUMNS] = brightest * SENSOR_SHARE
    response[COLUMNS // 2 :] = response[: COLUMNS // 2][::-1]
    return response


@dataclass(frozen=True, slots=True)
class CosmicRays:
    """Tracks of charged particles in one frame; every array has shape (n,).

    Parameters
    ----------
    col, row : float64 array
        Where they enter, in pixels of the image.
    d_col, d_row : float64 array
        How far they run (px).
    electrons : float64 array
        What they free in all.
    """

    col: FloatArray
    row: FloatArray
    d_col: FloatArray
    d_row: FloatArray
    electrons: FloatArray


def draw_cosmic_rays(rng: np.random.Generator, shape: tuple[int, int], fluence: float) -> CosmicRays:
    """Draw the cosmic rays that are left in one frame.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where chance comes from.
    shape : tuple of int
        Rows and columns of the image.
    fluence : float
        Particles per square centimetre that the mitigation leaves.

    Returns
    -------
    CosmicRays
        They come from all directions alike: the cosine of the angle to the normal has a density proportional to itself.

    References
    ----------
    Janesick 2001, Scientific Charge-Coupled Devices, section 7.3: 80 electrons a micrometre.
    """
    n = int(rng.poisson(fluence * shape[0] * shape[1] * (PIXEL * 1e-4) ** 2))
    col, row = rng.random(n) * shape[1] - 0.5, rng.random(n) * shape[0] - 0.5
    cosine = np.sqrt(rng.random(n))
    through = np.minimum(DEPTH / np.maximum(cosine, 1e-6), LONGEST)
    run = np.sqrt(np.maximum(through**2 - DEPTH**2, 0.0)) / PIXEL
    angle = 2.0 * np.pi * rng.random(n)
    electrons = ELECTRONS * through * np.exp(ELECTRON_SCATTER * rng.standard_normal(n))
    return CosmicRays(col, row, run * np.cos(angle), run * np.sin(angle), electrons)


def add_cosmic_rays(image: NDArray[np.float32], rays: CosmicRays, exposure: float) -> None:
    """Add cosmic rays to an image in place.

    Parameters
    ----------
    image : float32 array, shape (n_row, n_col)
        e-/s.
    rays : CosmicRays
        From `draw_cosmic_rays`.
    exposure : float
        Time on source (s).
    """
    from cuvee.kernels.render import add_tracks

    add_tracks(image, rays.col, rays.row, rays.d_col, rays.d_row, rays.electrons / exposure)
