"""Damage FITS files in place, in the ways archives, disks and downloads do; for tests and the demonstration."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

__all__ = [
    "FAULTS",
    "all_nan",
    "damage_header",
    "duplicate",
    "replace_by_html",
    "strip_wcs",
    "truncate",
    "wrong_shape",
    "zero_byte",
]

_POSITION = ("WCSAXES", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
_CCD = 2136
_DISTORTION = ("A_", "B_", "AP_", "BP_")


def truncate(path: Path) -> None:
    """Cut a file off after 60 % of its bytes, as a broken download does."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 6 // 10)


def zero_byte(path: Path) -> None:
    """Leave a file without content, as a full disk does."""
    with path.open("r+b") as file:
        file.truncate(0)


def replace_by_html(path: Path) -> None:
    """Replace a file by an error page under the file's name, as an overloaded archive sends it."""
    path.write_text(
        "<!DOCTYPE html>\n<html><head><title>503 Service Unavailable</title></head>\n"
        "<body><h1>Service Unavailable</h1><p>Please try again later.</p></body></html>\n"
    )


def damage_header(path: Path) -> None:
    """Overwrite part of the first extension's header with bytes that no header may hold."""
    with fits.open(path) as file:
        start = file.fileinfo(1)["hdrLoc"]
    with path.open("r+b") as file:
        file.seek(start + 2 * 80)
        file.write(b"\xff\x00\x17garbage\xfe" * 60)


def all_nan(path: Path) -> None:
    """Set every pixel of all images to NaN."""
    with fits.open(path, mode="update", memmap=False) as file:
        for unit in file[1:]:
            unit.data[:] = np.nan


def strip_wcs(path: Path) -> None:
    """Take the celestial WCS out of all headers, as in frames taken in coarse pointing; the physical one stays."""
    with fits.open(path, mode="update", memmap=False) as file:
        for unit in file[1:]:
            for name in [n for n in unit.header if n in _POSITION or n.startswith(_DISTORTION)]:
                del unit.header[name]


def wrong_shape(path: Path) -> None:
    """Repeat the columns of all images until they are wider than a CCD; the file stays valid."""
    with fits.open(path, memmap=False) as file:
        units = [fits.PrimaryHDU(header=file[0].header)]
        units += [
            fits.ImageHDU(np.tile(unit.data, (1, _CCD // unit.data.shape[1] + 1)), unit.header) for unit in file[1:]
        ]
    fits.HDUList(units).writeto(path, overwrite=True, checksum=True)


def duplicate(path: Path) -> Path:
    """Put a copy of a file into a folder beside it, under the same name.

    Returns
    -------
    Path
        The copy.
    """
    folder = path.parent / "again"
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy2(path, folder / path.name))


FAULTS: dict[str, Callable[[Path], None]] = {
    "truncated": truncate,
    "zero-byte": zero_byte,
    "html": replace_by_html,
    "header": damage_header,
    "all-nan": all_nan,
    "no-wcs": strip_wcs,
    "wrong-shape": wrong_shape,
}
"""What changes one file, by name."""
