"""The PRF that a mission publishes: samples at some places of a detector, turned into a `Prf`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.model.prf import Prf, knot_count
from cuvee.prf.spline import monomials, spline_rows, sum_rows

__all__ = ["mission_prf"]

FloatArray = NDArray[np.float64]

KNOTS = 3

FIRST_COL, FIRST_ROW = 45, 1
"""FFI column and row, counted from 1, of the first science pixel."""

SIZE = 2048
"""Science pixels each way."""

RIDGE = 1e-9
"""Of the least squares, relative to what a sample weighs: for knots that no sample reaches."""


def _coefficients(values: FloatArray, per_pixel: int, half: int) -> FloatArray:
    """Fit splines to the samples of one file; a product of lines, since the samples lie on a grid."""
    at = (np.arange(values.shape[0]) - values.shape[0] // 2) / per_pixel
    rows = spline_rows(at, KNOTS, half)
    normal = np.einsum("si,sj->ij", rows, rows)
    normal += RIDGE * np.trace(normal) / normal.shape[0] * np.eye(normal.shape[0])
    inverse = np.linalg.solve(normal, rows.T)
    coef = np.einsum("is,sj->ij", inverse, np.einsum("st,jt->sj", values, inverse))
    line = sum_rows(KNOTS, half)
    return np.asarray(coef / np.einsum("ai,ij,bj->ab", line, coef, line).mean())


def mission_prf(files: Sequence[tuple[Mapping[str, Any], NDArray[Any]]], camera: int, ccd: int) -> tuple[Prf, float]:
    """Turn the PRF files of TESS into a `Prf`.

    A file holds the light that a pixel receives as a function of its distance from the star, sampled nine times a pixel, for stars
    at one place of a CCD; there are 25 places on each.

    Parameters
    ----------
    files : sequence of (header, image)
        Primary header (``CAM``, ``CCD``, ``CCD_CREF``, ``CCD_RREF``, ``NSAMP``) and primary image of each file.
    camera, ccd : int
        Which detector it is for.

    Returns
    -------
    prf : Prf
        Quadratic over the detector where there are six places or more on three rows and three columns, else linear, or
        constant. Its stamps add up to 1.
    rms : float
        Root mean square of its difference from the samples, in units of the star's light.

    Raises
    ------
    ConfigError
        If there is no file, or one is of another detector, or it is no PRF.

    References
    ----------
    TESS Instrument Handbook (Vanderspek et al. 2018), and the headers of the files, version 2 (from Sector 4 on).
    """
    if not files:
        raise ConfigError(f"There is no PRF file for camera {camera}, CCD {ccd}: give those of this CCD.")
    samples, places = [], []
    per_pixel, size = int(files[0][0].get("NSAMP", 0)), files[0][1].shape
    for header, image in files:
        try:
            found = int(header["CAM"]), int(header["CCD"])
            place = float(header["CCD_CREF"]) - FIRST_COL, float(header["CCD_RREF"]) - FIRST_ROW
            step = int(header["NSAMP"])
        except KeyError as error:
            raise ConfigError(
                f"A PRF file lacks the header card {error.args[0]}: give the mission's own files, unchanged."
            ) from None
        if found != (camera, ccd):
            raise ConfigError(
                f"A PRF file is of camera {found[0]}, CCD {found[1]}, but the frames are of camera {camera}, CCD {ccd}: "
                "give the files of this CCD."
            )
        if step != per_pixel or step < 2 * KNOTS or image.shape != size or image.ndim != 2 or size[0] != size[1]:
            raise ConfigError(
                f"A PRF file holds {image.shape} samples, {step} a pixel, which the others do not: "
                "give files of one version of the PRF."
            )
        samples.append(np.asarray(image, np.float64) * (per_pixel**2 / float(image.sum())))
        places.append(place)
    half = (size[0] // per_pixel - 1) // 2
    coefs = [_coefficients(values, per_pixel, half) for values in samples]

    col, row = np.array(places).T
    lines = min(np.unique(col).size, np.unique(row).size)
    order = 2 if len(files) >= 6 and lines >= 3 else 1 if len(files) >= 3 and lines >= 2 else 0
    centre, scale = (0.5 * (SIZE - 1),) * 2, (0.5 * SIZE,) * 2
    phi = monomials(col, row, order, centre, scale)
    terms: FloatArray = np.linalg.lstsq(phi, np.stack(coefs).reshape(len(files), -1), rcond=None)[0].astype(np.float64)
    n_knot = knot_count(KNOTS, half)
    prf = Prf(terms.reshape(-1, n_knot, n_knot), KNOTS, half, order, centre, scale)

    at = (np.arange(size[0]) - size[0] // 2) / per_pixel
    rows = spline_rows(at, KNOTS, half)
    here = np.einsum("fk,kij->fij", phi, prf.coef)
    model = np.einsum("fsj,tj->fst", np.einsum("fij,si->fsj", here, rows), rows)
    return prf, float(np.sqrt(np.mean((model - np.stack(samples)) ** 2)))
