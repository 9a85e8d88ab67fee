"""A nominal TESS camera: where the pixels of a CCD look, to some arc minutes over the whole CCD and to 0.1 % locally.

Stamps tell where their own pixels look and no more. Two things need the rest of the CCD: the direction for which the
barycentric times of a cutout hold (the reference pixel of its CCD, up to 8.6 deg away), and the scale and turn of pixels in
stamps that come without a WCS. All cameras share one lens design, so one radial law serves all:
``r = F (t + A2 t^3 + A4 t^5)`` pixels from the axis, ``t`` the tangent of the angle to it. The constants are a fit to the SIP WCS of
all 16 CCDs in sectors 1 and 8 (each CCD alone: 0.1 px RMS); with these common ones a CCD is met to about 0.1 % of distances.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FOCAL_LENGTH", "REFERENCE_PIXEL", "WCS_PIXEL", "attitude", "camera_vectors", "sky_angles", "sky_vectors"]

FloatArray = NDArray[np.float64]

FOCAL_LENGTH, A2, A4 = 9735.0, 0.2205, 0.69
AXIS_ROW = 2103.0
AXIS_COL = {1: 2107.0, 2: -60.0, 3: 2107.0, 4: -60.0}
"""Where the camera's axis meets the plane of each CCD, in detector coordinates: just off the corner that the four share."""

REFERENCE_PIXEL = (1068.0, 1024.0)
"""``BTC_PIX1``, ``BTC_PIX2``: where the barycentric times hold, in pixels of the full frame counted from 1."""

WCS_PIXEL = (1045.0, 1001.0)
"""``CRPIX1``, ``CRPIX2`` of every full frame."""


def camera_vectors(ccd: int, col: ArrayLike, row: ArrayLike) -> FloatArray:
    """Return unit vectors of detector coordinates in the frame of the camera, shape (n, 3)."""
    dx = (np.atleast_1d(np.asarray(col, dtype=np.float64)) - AXIS_COL[ccd]) / FOCAL_LENGTH
    dy = (np.atleast_1d(np.asarray(row, dtype=np.float64)) - AXIS_ROW) / FOCAL_LENGTH
    radius = np.hypot(dx, dy)
    tangent = radius
    for _ in range(6):  # Newton; four digits more each time
        error = tangent + A2 * tangent**3 + A4 * tangent**5 - radius
        tangent = tangent - error / (1.0 + 3.0 * A2 * tangent**2 + 5.0 * A4 * tangent**4)
    stretch = np.where(radius > 0.0, tangent / np.where(radius > 0.0, radius, 1.0), 1.0)
    vectors = np.stack([dx * stretch, dy * stretch, np.ones_like(dx)], axis=-1)
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def sky_vectors(ra: ArrayLike, dec: ArrayLike) -> FloatArray:
    """Return unit vectors of directions (deg), shape (n, 3)."""
    a, d = np.radians(np.atleast_1d(ra)), np.radians(np.atleast_1d(dec))
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def sky_angles(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return right ascension (0 to 360) and declination (deg) of vectors of shape (n, 3)."""
    ra = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360.0
    return ra, np.degrees(np.arctan2(vectors[:, 2], np.hypot(vectors[:, 0], vectors[:, 1])))


def _triad(first: FloatArray, second: FloatArray) -> FloatArray:
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal)
    return np.stack([first, normal, np.cross(first, normal)])


def attitude(in_camera: FloatArray, on_sky: FloatArray) -> FloatArray:
    """Return the rotation from the camera's frame to the sky that two directions settle (TRIAD: Black 1964, AIAA J. 2, 1350).

    Parameters
    ----------
    in_camera, on_sky : float64 array, shape (2, 3)
        Unit vectors; the first is met exactly, the second in its sense.

    Returns
    -------
    float64 array, shape (3, 3)
        ``vectors_on_sky = vectors_in_camera @ rotation``.
    """
    return _triad(in_camera[0], in_camera[1]).T @ _triad(on_sky[0], on_sky[1])
