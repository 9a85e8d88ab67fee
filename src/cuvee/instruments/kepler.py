"""Kepler and K2: target pixel files.

Detector coordinates count from 0 at the first science pixel of a module output: physical column 13 and row 21 (12 leading
black columns, 20 masked rows), taking the files' physical WCS as counted from 1 (Kepler Archive Manual, KDMC-10008-006, section 2.3.2).
The science area has 1024 rows and 1100 columns (Kepler Instrument Handbook, KSCI-19033, section 2.6).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cuvee.instruments.fits_bytes import Cards, bad
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
from cuvee.instruments.tess_ffi import product_name
from cuvee.model.flags import KEPLER_QUALITY
from cuvee.model.instrument import Instrument
from cuvee.model.records import BJD_OFFSET, FileInfo, Moments, Pixels, Readout
from cuvee.model.time import DAY

__all__ = ["KEPLER", "read", "scan"]

FIRST_COL, FIRST_ROW = 13, 21
SCIENCE_ROWS, SCIENCE_COLS = 1024, 1100
PIXEL_SCALE = 3.98 / 3600.0
INT_TIME, FRAME_TIME = 6.019802903270, 6.538751429414
DEFAULT_GAIN, DEFAULT_READ_NOISE = 110.0, 95.0
"""Medians over the 84 outputs (Kepler Instrument Handbook, section 4.5): electrons/count, electrons."""
SATURATION = 0.8 * 1.0e6 / INT_TIME
"""80 % of the full well of about 10^6 electrons (Kepler Instrument Handbook, section 4.4), as a rate (e-/s)."""


def _place(stamp: Stamp) -> Place:
    return place_of(stamp, FIRST_COL, FIRST_ROW, SCIENCE_ROWS, SCIENCE_COLS)


def _segment(primary: Cards) -> str:
    for key, letter in (("CAMPAIGN", "c"), ("QUARTER", "q")):
        if key in primary:
            return f"{letter}{primary.within(key, 0, 999):02d}"
    raise bad(primary.path, "is damaged: it has neither of the header cards CAMPAIGN and QUARTER", "header")


def _readout(cards: Cards, length: float) -> Readout:
    n_read = cards.within("NREADOUT", 1, 10**6) if "NREADOUT" in cards else max(1, round(length / FRAME_TIME))
    defaults = {"GAIN": DEFAULT_GAIN, "READNOIS": DEFAULT_READ_NOISE}
    values = {key: cards.real(key, default) for key, default in defaults.items()}
    assumed = tuple(key for key in ("NREADOUT", *defaults) if key not in cards)
    return Readout(n_read * INT_TIME, (values["GAIN"],), (values["READNOIS"],), n_read, (0,), SATURATION, assumed)


def scan(path: str) -> FileInfo:
    """Describe a Kepler or K2 target pixel file: segment ``q03`` or ``c91``, detector ``module-output``, kind ``tpf-long`` or ``tpf-short``.

    Parameters
    ----------
    path : str
        FITS, plain or gzip.

    Raises
    ------
    BadData
        With a reason, whatever the bytes are.
    """
    stamp = load(path)
    primary, table = stamp.primary, stamp.table
    telescope = primary.text("TELESCOP", "Kepler")
    if telescope != "Kepler":
        raise bad(path, f"is not from Kepler but from {telescope}", "header")
    zero = table.whole("BJDREFI", 2454833) + table.real("BJDREFF", 0.0) - BJD_OFFSET
    time = column(stamp, "TIME", "f") + zero
    length = table.real("TIMEDEL") * DAY
    if not 1.0 <= length < DAY:
        raise bad(path, "is damaged: the header card TIMEDEL is no length of an exposure", "header")
    place = _place(stamp)
    wcs, _ = wcs_of(stamp, place, PIXEL_SCALE)
    return FileInfo(
        path=path,
        instrument="kepler",
        segment=_segment(primary),
        detector=f"{primary.within('MODULE', 2, 24)}-{primary.within('OUTPUT', 1, 4)}",
        kind="tpf-long" if length > 600.0 else "tpf-short",
        series=series_name(path),
        name=product_name(path),
        geometry=place.geometry,
        readout=_readout(table, length),
        moments=Moments(
            column(stamp, "CADENCENO", "iu"),
            time - 0.5 * length / DAY,
            time + 0.5 * length / DAY,
            column(stamp, "TIMECORR", "f"),
            column(stamp, "QUALITY", "iu").astype(np.int32),
        ),
        wcs=wcs,
        time_ra=primary.real("RA_OBJ", math.nan),
        time_dec=primary.real("DEC_OBJ", math.nan),
        background_subtracted=table.flag("BACKAPP"),
        has_mask=pipeline_mask(stamp, place) is not None,
        target_id=target_of(primary, "KEPLERID"),
        data_release=max(primary.whole("DATA_REL", 0), 0),
    )


def read(info: FileInfo, buffer: NDArray[np.uint8] | None = None) -> Pixels:  # noqa: ARG001
    """Read the pixels of a file that `scan` has described; see `cuvee.model.instrument.Instrument`."""
    stamp = load(info.path)
    return read_stamp(info, _place(stamp), stamp)


KEPLER = Instrument(
    name="kepler",
    title="Kepler and K2",
    zero_point=25.1,
    fwhm=1.6,
    patterns=("*_lpd-targ.fits", "*_lpd-targ.fits.gz", "*_spd-targ.fits", "*_spd-targ.fits.gz"),
    quality=KEPLER_QUALITY,
    scan=scan,
    read=read,
    naif_id=-227,
    pointing_error=0.5,  # the WCS of a K2 stamp is that of the commanded pointing, before the roll
)
