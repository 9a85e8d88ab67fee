"""TESScut cutouts and SPOC target pixel files.

TESScut copies the mission's numbers but not their sense: its TIME lies on a coarse grid (up to 3.5 s off), CADENCENO is zero, and
BACKAPP is 0.0. So times are rebuilt from the start of the first and the stop of the last frame, which the primary header holds at full precision,
the frames' names, and TIMECORR; cadence numbers are those that the full-frame images themselves get.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cuvee.instruments.fits_bytes import bad
from cuvee.instruments.stamps import (
    Place,
    Stamp,
    column,
    load,
    pipeline_mask,
    place_of,
    read_stamp,
    series_name,
    target_of,
    wcs_of,
)
from cuvee.instruments.tess_camera import REFERENCE_PIXEL, attitude, camera_vectors, sky_angles, sky_vectors
from cuvee.instruments.tess_clock import FRAME_SECONDS, cadence_number, name_seconds
from cuvee.instruments.tess_ffi import FIRST_COL, INT_TIME, SCIENCE, product_name, readout, sector_of
from cuvee.instruments.wcs_text import tan_to_sky
from cuvee.model.records import BJD_OFFSET, FileInfo, Moments, Pixels
from cuvee.model.time import DAY, sector_offset

__all__ = ["PIXEL_SCALE", "frame_names", "read_tess_stamp", "scan_tess_stamp"]

FloatArray = NDArray[np.float64]

PIXEL_SCALE = 21.1 / 3600.0
"""Degrees; it varies by 4 % over the field."""

GRID_TOLERANCE = 2.0
"""Seconds that the primary's TSTOP may differ from the end of the last frame before times are taken from TIME instead."""

NAME_TOLERANCE = 1.0 / 24.0
"""Days that the first frame's name, in UTC of the spacecraft's clock, may differ from the primary's TSTART, in TDB."""


def _place(stamp: Stamp) -> Place:
    return place_of(stamp, FIRST_COL + 1, 1, SCIENCE, SCIENCE)


def frame_names(path: str) -> tuple[str, ...]:
    """Return the names of the full-frame images that a TESScut cutout was cut from (its column ``FFI_FILE``, cut at 38 letters).

    Raises
    ------
    BadData
        If the file is broken.
    """
    return _names(load(path))


def _names(stamp: Stamp) -> tuple[str, ...]:
    if "FFI_FILE" not in (stamp.rows.dtype.names or ()):
        return ()
    return tuple(text.decode("latin-1").strip() for text in stamp.rows["FFI_FILE"])


def _cut_moments(stamp: Stamp, offset: tuple[float, float]) -> tuple[Moments, float]:
    """Return the time axis of a cutout and the length of its cadences (s)."""
    primary, table, path = stamp.primary, stamp.table, stamp.table.path
    time, barycorr = column(stamp, "TIME", "f"), column(stamp, "TIMECORR", "f")
    seconds = np.array([name_seconds(name) for name in _names(stamp)])
    named = seconds.size == time.size and bool(np.isfinite(seconds).all())
    begin, end = primary.real("TSTART"), primary.real("TSTOP")
    length = table.real("TIMEDEL", (end - begin) / time.size) * DAY
    length = 200.0 * max(1, round(length / 200.0)) if 0.0 < length < DAY else math.nan
    if not (math.isfinite(length) and 0.0 < begin < end < 1e6):
        raise bad(path, "is damaged: its header cards TSTART, TSTOP and TIMEDEL are no time axis", "header")
    if named and not abs(seconds[0] / DAY - begin) < NAME_TOLERANCE:
        raise bad(
            path,
            "has a wrong clock: the header card TSTART and the name of its first frame contradict each other",
            "clock",
        )
    if named:
        index = np.rint((seconds - seconds[0]) / length)
    else:
        place = (time - barycorr - begin) * DAY / length - 0.5
        index = np.rint(np.where(np.isfinite(place), place, np.arange(time.size)))
    if np.abs(index).max() > 1e6:
        raise bad(path, "is damaged: its frames span more than a sector", "header")
    step = length * FRAME_SECONDS
    if abs((end - begin) * DAY - step * (index.max() + 1.0)) < GRID_TOLERANCE:
        # Both ends are exact, so the clock's rate is, too.
        step = (end - begin) * DAY / (index.max() + 1.0)
        start = begin + index * step / DAY
    else:
        start = time - barycorr - 0.5 * step / DAY
    if "FFIINDEX" in primary:
        cadence = primary.within("FFIINDEX", 0, 10**9) + index.astype(np.int64)
    else:
        cadence = cadence_number(begin, length) + index.astype(np.int64)
    if np.any(np.diff(cadence) <= 0):
        raise bad(path, "has a wrong clock: its frames are not in the order of time", "clock")
    moments = Moments(
        cadence,
        start + barycorr + offset[0] / DAY,
        start + step / DAY + barycorr + offset[1] / DAY,
        barycorr,
        column(stamp, "QUALITY", "iu").astype(np.int32),
    )
    return moments, length


def _table_moments(stamp: Stamp, offset: tuple[float, float]) -> tuple[Moments, float]:
    """Return the time axis of a target pixel file and the length of its cadences (s)."""
    table = stamp.table
    zero = table.whole("BJDREFI", int(BJD_OFFSET)) + table.real("BJDREFF", 0.0) - BJD_OFFSET
    time = column(stamp, "TIME", "f") + zero
    length = table.real("TIMEDEL") * DAY
    if not 1.0 <= length < DAY:
        raise bad(table.path, "is damaged: the header card TIMEDEL is no length of an exposure", "header")
    half = 0.5 * length / DAY
    moments = Moments(
        column(stamp, "CADENCENO", "iu"),
        time - half + offset[0] / DAY,
        time + half + offset[1] / DAY,
        column(stamp, "TIMECORR", "f"),
        column(stamp, "QUALITY", "iu").astype(np.int32),
    )
    return moments, length


def _reference_direction(wcs: dict[str, float], place: Place, ccd: int) -> tuple[float, float]:
    """Return the direction of the CCD's reference pixel, from the stamp's WCS and the nominal camera; within 0.4 s of light."""
    g = place.geometry
    col = g.col0 + 0.5 * (g.n_col - 1) + np.array([0.0, 10.0])
    row = np.full(2, g.row0 + 0.5 * (g.n_row - 1))
    u, v = col + 1.0 - wcs["CRPIX1"], row + 1.0 - wcs["CRPIX2"]
    xi, eta = wcs["CD1_1"] * u + wcs["CD1_2"] * v, wcs["CD2_1"] * u + wcs["CD2_2"] * v
    sky = [tan_to_sky(x, y, wcs["CRVAL1"], wcs["CRVAL2"]) for x, y in zip(xi, eta, strict=True)]
    turn = attitude(camera_vectors(ccd, col, row), sky_vectors(*np.array(sky).T))
    reference = camera_vectors(ccd, REFERENCE_PIXEL[0] - FIRST_COL - 1, REFERENCE_PIXEL[1] - 1)
    ra, dec = sky_angles(reference @ turn)
    return float(ra[0]), float(dec[0])


def scan_tess_stamp(path: str) -> FileInfo:
    """Describe a TESScut cutout (kind ``tesscut``) or a SPOC target pixel file (``tpf-120s``, ``tpf-20s``).

    Parameters
    ----------
    path : str
        FITS, plain or gzip.

    Returns
    -------
    FileInfo
        All frames of the file. The background of a cutout is not subtracted, whatever its ``BACKAPP`` says.

    Raises
    ------
    BadData
        With a reason, whatever the bytes are.
    """
    stamp = load(path)
    primary, table = stamp.primary, stamp.table
    is_cut = primary.text("CREATOR", "") == "astrocut" or bool(_names(stamp))
    camera, ccd = primary.within("CAMERA", 1, 4), primary.within("CCD", 1, 4)
    release = primary.whole("DATA_REL", -1)
    offset = (0.0, 0.0)
    if release >= 0:
        # A cutout's PROCVER is that of astrocut, so releases 27 and 29, which exist in two processings, stay as they are.
        offset = sector_offset(release, primary.text("PROCVER", ""), camera, ccd, is_ffi=is_cut)
    moments, length = _cut_moments(stamp, offset) if is_cut else _table_moments(stamp, offset)
    place = _place(stamp)
    wcs, values = wcs_of(stamp, place, PIXEL_SCALE)
    if not is_cut:
        ra, dec = primary.real("RA_OBJ", math.nan), primary.real("DEC_OBJ", math.nan)
    else:
        ra, dec = _reference_direction(values, place, ccd)
    n_read = table.within("NREADOUT", 1, 10**6) if "NREADOUT" in table else round(0.4 * length)
    return FileInfo(
        path=path,
        instrument="tess",
        segment=f"s{sector_of(path, primary):04d}",
        detector=f"{camera}-{ccd}",
        kind="tesscut" if is_cut else f"tpf-{round(length)}s",
        series=series_name(path),
        name=product_name(path),
        geometry=place.geometry,
        # EXPOSURE is that of one frame in cutouts, of the whole series in target pixel files; the reads tell both.
        readout=readout(table, n_read * INT_TIME, n_read),
        moments=moments,
        wcs=wcs,
        time_ra=ra,
        time_dec=dec,
        background_subtracted=table.flag("BACKAPP") and not is_cut,
        has_mask=not is_cut and pipeline_mask(stamp, place) is not None,
        target_id=target_of(primary, "TICID"),
        data_release=max(release, 0),
    )


def read_tess_stamp(info: FileInfo) -> Pixels:
    """Read the pixels of a file that `scan_tess_stamp` has described.

    Raises
    ------
    BadData
        ``all-nan``, ``wrong-shape`` where the file has changed since, and all of `scan_tess_stamp`.
    """
    stamp = load(info.path)
    return read_stamp(info, _place(stamp), stamp)
