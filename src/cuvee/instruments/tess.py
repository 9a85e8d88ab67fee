"""TESS: calibrated full-frame images, TESScut cutouts, target pixel files, and HDF5 stamps; told apart by what the file is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cuvee.instruments.fits_bytes import bad, first_header, open_stream, read_header
from cuvee.instruments.hdf5_stamps import is_hdf5, read_hdf5, scan_hdf5
from cuvee.instruments.tess_ffi import read_ffi, scan_ffi
from cuvee.instruments.tess_stamps import read_tess_stamp, scan_tess_stamp
from cuvee.instruments.tiles import is_tiled
from cuvee.model.flags import TESS_QUALITY
from cuvee.model.instrument import Instrument
from cuvee.model.records import FileInfo, Pixels

__all__ = ["TESS", "read", "scan"]


def _has_table(path: str) -> bool:
    """Tell whether the first extension is a table (a stamp) rather than an image (a frame)."""
    with open_stream(path) as (stream, _):
        primary, _ = first_header(stream, path)
        telescope = primary.text("TELESCOP", "TESS")
        if telescope != "TESS":
            raise bad(path, f"is not from TESS but from {telescope}", "header")
        second = read_header(stream, path, first=False)
        if second is None:
            raise bad(path, "is cut short: it ends before the pixels", "truncated")
        return second[0].text("XTENSION", "") == "BINTABLE" and not is_tiled(second[0])


def scan(path: str) -> FileInfo:
    """Read the headers of any TESS file that holds pixels.

    Parameters
    ----------
    path : str
        A calibrated full-frame image (plain, gzip or tile-compressed), TESScut cutout, SPOC target pixel file (FITS, plain or gzip) or HDF5 stamp.

    Raises
    ------
    BadData
        With a reason, whatever the bytes are.
    ConfigError
        If it is an HDF5 file and h5py is not installed.
    """
    if is_hdf5(path):
        return scan_hdf5(path)
    return scan_tess_stamp(path) if _has_table(path) else scan_ffi(path)


def read(info: FileInfo, buffer: NDArray[np.uint8] | None = None) -> Pixels:
    """Read the pixels of a file that `scan` has described; see `cuvee.model.instrument.Instrument`."""
    if info.kind == "ffi":
        return read_ffi(info, buffer)
    return read_hdf5(info) if info.kind == "hdf5" else read_tess_stamp(info)


TESS = Instrument(
    name="tess",
    title="TESS",
    zero_point=20.44,
    fwhm=1.9,
    patterns=(
        "*_ffic.fits",
        "*_ffic.fits.gz",
        "*_ffic.fits.fz",
        "*_astrocut.fits",
        "*_astrocut.fits.gz",
        "*[_-]tp.fits",
        "*[_-]tp.fits.gz",
        "*[Tt][Pp][Ff]*.fits",
        "*[Tt][Pp][Ff]*.fits.gz",
        "tess_*_*_*_*.h5",
    ),
    quality=TESS_QUALITY,
    scan=scan,
    read=read,
    naif_id=-95,
)
