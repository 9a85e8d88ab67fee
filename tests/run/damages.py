"""Damage that files suffer, beyond what `cuvee.simulate.faults` does: turned bits, wrong clocks, wrong coordinates, doubles."""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits


def flip(path: Path, at: int, bit: int) -> None:
    """Turn one bit of a file, or of what a gzip file holds."""
    packed = path.suffix == ".gz"
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(gzip.compress(bytes(content), 1) if packed else content)


def plain(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def header_bit(card: bytes, bit: int, extension: bool = True) -> Callable[[Path], None]:
    """Turn a bit of the last digit of a card's value, in the first extension or before it."""

    def damage(path: Path) -> None:
        content = plain(path)
        at = content.index(card.ljust(8) + b"= ", content.index(b"XTENSION") if extension else 0)
        end = at + 10 + len(content[at + 10 : at + 80].split(b"/")[0].rstrip()) - 1
        flip(path, end, bit)

    return damage


def pixel_bit(path: Path) -> None:
    """Turn a bit in the middle of the first extension's pixels: a few per cent of one value."""
    with fits.open(io.BytesIO(plain(path)), disable_image_compression=True) as units:
        place, size = units[1].fileinfo()["datLoc"], units[1].header["NAXIS1"] * units[1].header["NAXIS2"]
        size = size * abs(units[1].header["BITPIX"]) // 8 + units[1].header["PCOUNT"]
    flip(path, place + size // 2 // 4 * 4 + 1, 3)


def cut(share: float) -> Callable[[Path], None]:
    """Cut a file off after a share of its bytes."""

    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * share))

    return damage


def edit(change: Callable[[fits.HDUList], object]) -> Callable[[Path], None]:
    """Change a file as a sound program does, sums and all."""

    def damage(path: Path) -> None:
        with fits.open(path, mode="update", memmap=False) as units:
            change(units)
            for unit in units:
                unit.add_checksum()

    return damage


def shift_times(days: float) -> Callable[[fits.HDUList], None]:
    def change(units: fits.HDUList) -> None:
        for unit in units:
            for card in ("TSTART", "TSTOP"):
                if card in unit.header:
                    unit.header[card] += days

    return change


def shift_cadence(units: fits.HDUList) -> None:
    units[0].header["FFIINDEX"] += 100_000


def shift_both(units: fits.HDUList) -> None:
    shift_cadence(units)
    shift_times(100_000 * 1800.0 / 86400.0)(units)


def move_wcs(units: fits.HDUList) -> None:
    units[1].header["CRVAL1"] += 5.0
    units[1].header["CRVAL2"] -= 3.0


def some_nan(units: fits.HDUList) -> None:
    units[1].data[28:36, 28:36] = np.nan


def copy_beside(change: Callable[[Path], None] | None) -> Callable[[Path], None]:
    """Put the same cadence beside a file, under another name."""

    def damage(path: Path) -> None:
        copy = path.with_name(path.name.replace("_ffic", "_x_ffic"))  # by its name it comes second
        shutil.copyfile(path, copy)
        if change is not None:
            change(copy)

    return damage


def copy_into_folder(change: Callable[[Path], None] | None) -> Callable[[Path], None]:
    """Put the same series into a folder below a file's, under the same name."""

    def damage(path: Path) -> None:
        copy = path.parent / "x" / path.name  # by its path it comes second
        copy.parent.mkdir()
        shutil.copyfile(path, copy)
        if change is not None:
            change(copy)

    return damage


def brighten(units: fits.HDUList) -> None:
    units[1].data *= np.float32(1.5)


def nan_stamp(units: fits.HDUList) -> None:
    units["PIXELS"].data["FLUX"][:] = np.nan


def some_nan_stamp(units: fits.HDUList) -> None:
    units["PIXELS"].data["FLUX"][2:4, 4, 4] = np.nan


def without_pixels(units: fits.HDUList) -> None:
    """Make a light curve of a stamp: a table that holds no images."""
    table = units["PIXELS"]
    table.columns.change_name("FLUX", "SAP_FLUX")


def shift_stamp(units: fits.HDUList) -> None:
    shift_times(3650.0)(units)
    units["PIXELS"].data["TIME"] += 3650.0


def jump_of_one_time(units: fits.HDUList) -> None:
    units["PIXELS"].data["TIME"][3] -= 1.0 / 24.0


def jump_of_one_name(units: fits.HDUList) -> None:
    names = units["PIXELS"].data["FFI_FILE"]
    names[3] = names[1]


def strip_stamp_wcs(units: fits.HDUList) -> None:
    header = units["PIXELS"].header
    for name in [card for card in header if card[:6] in ("1CTYP4", "2CTYP4", "1CRVL4", "2CRVL4", "1CRPX4", "2CRPX4")]:
        del header[name]


def move_stamp_wcs(units: fits.HDUList) -> None:
    units["PIXELS"].header["1CRVL4"] += 5.0
    units["PIXELS"].header["2CRVL4"] -= 3.0


def name_target(ra: float, dec: float) -> Callable[[fits.HDUList], None]:
    """Say in the primary header whom a stamp is about, as the mission does."""

    def change(units: fits.HDUList) -> None:
        units[0].header["RA_OBJ"], units[0].header["DEC_OBJ"] = ra, dec

    return change
