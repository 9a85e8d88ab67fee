"""Vineyard's HDF5 stamps: 13 x 13 pixels of TESS full-frame images around one star.

What the numbers in such a file mean was found out from the files themselves (tests):
``header/x``, ``y`` are the star's pixel of the full frame counted from 0 (detector column = x - 44), ``cx``, ``cy`` the same in the
stamp. ``TPF/X_POS``, ``Y_POS`` are no positions of the star but CRVAL1 and CRVAL2 of each frame, so they tell where pixel (1045, 1001)
of the CCD looks; together with the star and the nominal camera they give scale and turn of the pixels. ``TPF/TIME`` is the barycentric
*start* of the exposure, in the direction of the CCD's reference pixel. The files name no data release, so no sector offset is
applied (up to 2 s). ``MY_QUALITY`` is not the mission's and is left aside. The background is not subtracted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from cuvee.errors import BadData, ConfigError
from cuvee.instruments.fits_bytes import bad
from cuvee.instruments.stamps import series_name
from cuvee.instruments.tess_camera import (
    FOCAL_LENGTH,
    REFERENCE_PIXEL,
    WCS_PIXEL,
    attitude,
    camera_vectors,
    sky_angles,
    sky_vectors,
)
from cuvee.instruments.tess_clock import FRAME_SECONDS, cadence_number
from cuvee.instruments.tess_ffi import (
    DEFAULT_GAIN,
    DEFAULT_READ_NOISE,
    FIRST_COL,
    INT_TIME,
    OUTPUT_COLS,
    OUTPUTS,
    SATURATION,
    SCIENCE,
    product_name,
)
from cuvee.instruments.wcs_text import header_text
from cuvee.model.records import FileInfo, Geometry, Moments, Pixels, Readout
from cuvee.model.time import DAY, earth_position

__all__ = ["is_hdf5", "read_hdf5", "scan_hdf5"]

FloatArray = NDArray[np.float64]

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_RATIO, MAX_SPARE = 64, 1 << 28
"""A dataset may be 64 times as large as its whole file and 256 MB more; compressed noise is never so small, so a larger one is damage."""

MAX_MISFIT = 30.0
"""Pixels by which the distance of star and CRVAL may differ from the nominal camera's before the file counts as damaged."""


def is_hdf5(path: str) -> bool:
    """Tell by its first bytes whether a file is HDF5; a file that cannot be opened is none."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def _open(path: str) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise ConfigError(f"{path} is an HDF5 stamp, which needs h5py: pip install 'cuvee[hdf5]'.") from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        text = str(error).strip("\"'").splitlines()
        what = f"cannot be read as an HDF5 stamp ({text[0] if text else type(error).__name__})"
        reason = "truncated" if "truncated" in str(error) else "unreadable"
        raise bad(path, what, reason) from error


def _dataset(file: Any, name: str, path: str) -> Any:
    """Return a dataset whose size is one that the file can hold; libhdf5 would allocate whatever a damaged one claims."""
    data = file[name]
    limit = MAX_RATIO * os.path.getsize(path) + MAX_SPARE
    stored = data.id.get_storage_size() if data.chunks is None else 0
    chunk = math.prod(data.chunks or ()) * data.dtype.itemsize
    if max(int(data.nbytes), chunk, stored) > limit:
        what = f"is damaged: its {name} claims {int(data.nbytes)} bytes, more than such a file can hold"
        raise bad(path, what, "wrong-shape")
    return data


def _values(file: Any, name: str, path: str) -> NDArray[Any]:
    return np.asarray(_dataset(file, name, path)[()])


def _series(file: Any, name: str, count: int, path: str, kinds: str = "f") -> NDArray[Any]:
    data = _dataset(file, f"TPF/{name}", path)
    if data.shape != (count,) or data.dtype.kind not in kinds:
        raise bad(path, f"is damaged: its TPF/{name} has not one number a frame", "header")
    return np.asarray(data[()])


def _flux(file: Any, path: str) -> Any:
    flux = _dataset(file, "TPF/ROW_CNTS", path)
    if flux.ndim != 3 or flux.dtype.kind != "f" or flux.size == 0:
        raise bad(path, "holds no series of images in TPF/ROW_CNTS", "wrong-shape")
    return flux


def _number(file: Any, name: str, path: str) -> float:
    value = float(_values(file, f"header/{name}", path))
    if not abs(value) < 1e18:
        raise bad(path, f"is damaged: its header/{name} is {value}", "header")
    return value


def _turn(ccd: int, col: float, row: float, star: FloatArray, file: Any, count: int, path: str) -> FloatArray:
    """Return the rotation from camera to sky, shape (3, 3), from the star and the frames' median CRVAL."""
    places = [_series(file, name, count, path).astype(np.float64) for name in ("X_POS", "Y_POS")]
    known = np.isfinite(places[0]) & np.isfinite(places[1])
    if not known.any():
        raise bad(path, "has no position: TPF/X_POS and Y_POS hold no number", "header")
    crval = [float(np.median(place[known])) for place in places]
    on_sky = np.concatenate([star, sky_vectors(*crval)])
    in_camera = camera_vectors(ccd, [col, WCS_PIXEL[0] - FIRST_COL - 1.0], [row, WCS_PIXEL[1] - 1.0])
    misfit = np.linalg.norm(on_sky[0] - on_sky[1]) - np.linalg.norm(in_camera[0] - in_camera[1])
    if not abs(misfit) * FOCAL_LENGTH < MAX_MISFIT:
        what = "is damaged: its header/x, y and TPF/X_POS, Y_POS do not belong to one CCD"
        raise bad(path, what, "header")
    return attitude(in_camera, on_sky)


def _local_wcs(ccd: int, col: float, row: float, ra: float, dec: float, turn: FloatArray) -> str:
    """Return a TAN WCS that holds around the star, in detector coordinates."""
    step = 0.5
    near = camera_vectors(ccd, col + step * np.array([1, -1, 0, 0]), row + step * np.array([0, 0, 1, -1])) @ turn
    a, d = np.radians(ra), np.radians(dec)
    east = np.array([-np.sin(a), np.cos(a), 0.0])
    north = np.array([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)])
    by_col, by_row = near[0] - near[1], near[2] - near[3]
    cards: dict[str, str | float | int] = {"WCSAXES": 2, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    cards |= {"CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "ICRS", "CRVAL1": ra, "CRVAL2": dec}
    cards |= {"CRPIX1": col + 1.0, "CRPIX2": row + 1.0}
    for k, axis in ((1, east), (2, north)):
        cards |= {f"CD{k}_1": float(np.degrees(by_col @ axis)), f"CD{k}_2": float(np.degrees(by_row @ axis))}
    return header_text(cards)


def scan_hdf5(path: str) -> FileInfo:
    """Describe an HDF5 stamp ``tess_{tic}_{sector}_{camera}_{chip}.h5`` (kind ``hdf5``).

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    FileInfo
        All frames of the file; a local WCS in which the star lies at its ``header/x``, ``y``.

    Raises
    ------
    BadData
        If it cannot be read or is no such stamp.
    ConfigError
        If h5py is not installed.
    """
    with _open(path) as file:
        count, n_row, n_col = _flux(file, path).shape
        head = {name: _number(file, name, path) for name in ("ra", "dec", "x", "y", "cx", "cy")}
        sector, camera, ccd = (round(_number(file, name, path)) for name in ("sector", "camera", "chip"))
        if not (camera in (1, 2, 3, 4) and ccd in (1, 2, 3, 4) and 0 < sector < 10000):
            raise bad(path, "is damaged: its header/sector, camera, chip are no CCD of TESS", "header")
        left, low = head["x"] - head["cx"], head["y"] - head["cy"]
        if abs(left - round(left)) > 1e-6 or abs(low - round(low)) > 1e-6:
            raise bad(path, "is damaged: its header/x - cx and y - cy are no whole pixels", "header")
        geometry = Geometry(n_row, n_col, round(low), round(left) - FIRST_COL, SCIENCE, SCIENCE)
        if not (0 <= geometry.row0 <= SCIENCE - n_row and 0 <= geometry.col0 <= SCIENCE - n_col):
            raise bad(path, "lies off the science pixels", "wrong-shape")
        ra, dec, col, row = head["ra"], head["dec"], head["x"] - FIRST_COL, head["y"]
        turn = _turn(ccd, col, row, sky_vectors(ra, dec), file, count, path)
        begin = _series(file, "TIME", count, path).astype(np.float64)
        quality = _series(file, "QUALITY", count, path, "iu")
        target = round(_number(file, "TID", path))
    reference = camera_vectors(ccd, REFERENCE_PIXEL[0] - FIRST_COL - 1.0, REFERENCE_PIXEL[1] - 1.0) @ turn
    length = 1800.0 if sector <= 26 else 600.0 if sector <= 55 else 200.0
    at_spacecraft = begin - earth_position(begin) @ reference[0] / DAY
    known = np.isfinite(at_spacecraft) & (at_spacecraft > 0.0) & (at_spacecraft < 1e6)
    cadence = np.where(known, cadence_number(np.where(known, at_spacecraft, 0.0), length), -1)
    time_ra, time_dec = sky_angles(reference)
    n_read = round(0.4 * length)
    assumed = tuple(f"{key}{letter}" for key in ("GAIN", "READNOI") for letter in OUTPUTS)
    return FileInfo(
        path=path,
        instrument="tess",
        segment=f"s{sector:04d}",
        detector=f"{camera}-{ccd}",
        kind="hdf5",
        series=series_name(path),
        name=product_name(path),
        geometry=geometry,
        readout=Readout(
            n_read * INT_TIME,
            DEFAULT_GAIN,
            DEFAULT_READ_NOISE,
            n_read,
            OUTPUT_COLS,
            SATURATION,
            (*assumed, "EXPOSURE", "NREADOUT"),
        ),
        moments=Moments(
            cadence.astype(np.int64),
            begin,
            begin + length * FRAME_SECONDS / DAY,
            np.full(count, np.nan),
            quality.astype(np.int32),
        ),
        wcs=_local_wcs(ccd, col, row, ra, dec, turn),
        time_ra=float(time_ra[0]),
        time_dec=float(time_dec[0]),
        target_id=target,
    )


def read_hdf5(info: FileInfo) -> Pixels:
    """Read the pixels of a file that `scan_hdf5` has described.

    Raises
    ------
    BadData
        ``all-nan``, ``wrong-shape`` where the file has changed since, and all of `scan_hdf5`.
    """
    path = info.path
    state = xxhash.xxh3_128()
    with _open(path) as file:
        data = _flux(file, path)
        geometry = info.geometry
        if data.shape != (info.moments.cadence.size, geometry.n_row, geometry.n_col):
            raise BadData(f"{path} has changed its shape since it was scanned; run again.", "wrong-shape", path)
        flux: NDArray[Any] = data[()]
        for group in ("header", "TPF"):
            for name in sorted(file[group]):
                state.update(f"{group}/{name}".encode())
                state.update(np.ascontiguousarray(_values(file, f"{group}/{name}", path)).tobytes())
    if not np.any(np.isfinite(flux) & (flux != 0.0)):
        raise bad(path, "is blank: no pixel is finite and other than zero", "all-nan")
    return Pixels(flux, state.hexdigest())
