"""Target pixel files: the pixels around a star as FITS, in the form of the missions' own, which `lightkurve.read` opens.

They do not pose as the mission's: ORIGIN is cuvee, CREATOR begins with cuvee, and the file has a name of its own. (lightkurve goes by the words
TELESCOP and "TargetPixel" in CREATOR, and needs some ORIGIN.)

FLUX is what the raw frame has less the background that the light curve subtracted: one number a frame, the level at the star, which
FLUX_BKG repeats in every pixel (BACKAPP = T). So FLUX + FLUX_BKG is the raw pixel (on a column that answers to light otherwise than those
around it, as straps do, the raw pixel over its response, as it was measured), and a sum of FLUX over a mask wants no further
background taken off. Where the mission had subtracted a background of its own, FLUX_BKG is the sum of both.

References
----------
TESS Science Data Products Description Document, EXP-TESS-ARC-ICD-0014 Rev F, section 4.4 (target pixel files).
FITS Standard 4.0 (IAU FITS Working Group, 2018): WCS in table cells section 8.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.export.hdu import EMPTY, Card, hdu_bytes, header_text, table_shape
from cuvee.export.pixels import TargetPixels
from cuvee.export.star_cards import primary_cards, table_cards
from cuvee.model.flags import FLAGS, QUALITY
from cuvee.photometry.noise import variance_at

__all__ = ["pixel_noise", "tpf_bytes"]

_FIRST_PIXEL = {"tess": (45, 1), "kepler": (13, 21)}
"""Column and row that the mission gives to the first science pixel."""

_COLLECTED, _OPTIMAL = 1, 2
"""Bits of the APERTURE image: the pixel is there; the pixel is in the star's aperture."""

_UNKNOWN_COUNTS = -1

_IMAGES = {
    "RAW_CNTS": ("J", "count", "not known to cuvee; keeps FLUX in column 5"),
    "FLUX": ("E", "e-/s", "pixel less background"),
    "FLUX_ERR": ("E", "e-/s", "one standard deviation: photons, reading"),
    "FLUX_BKG": ("E", "e-/s", "background that FLUX lacks"),
    "FLUX_BKG_ERR": ("E", "e-/s", "one standard deviation of it; NaN: unknown"),
}
_NUMBERS = {
    "TIME": ("D", "d", "BJD_TDB - 2457000 at mid-exposure, at the star"),
    "TIMECORR": ("E", "d", "barycentric correction within TIME"),
    "CADENCENO": ("J", "", "the mission's cadence number"),
    "QUALITY": ("J", "", "the mission's quality bits, unchanged"),
    "POS_CORR1": ("E", "pixel", "column motion by the frames' WCS"),
    "POS_CORR2": ("E", "pixel", "row motion by the frames' WCS"),
    "FLAG": ("J", "", "cuvee's flag bits"),
}
_ORDER = ("TIME", "TIMECORR", "CADENCENO", *_IMAGES, "QUALITY", "POS_CORR1", "POS_CORR2", "FLAG")
_TYPES = {"D": ">f8", "E": ">f4", "J": ">i4"}


def pixel_noise(target: TargetPixels) -> NDArray[np.float64]:
    """Return one standard deviation of each pixel (e-/s), shape (n, size, size): photons, reading and digitising.

    The error of the background is the same for all pixels of a frame, so it is not in here.

    Parameters
    ----------
    target : TargetPixels
        The pixels.
    """
    readout = target.axis.readout
    light = target.flux.astype(np.float64)
    if target.subtracted is not None:
        light += np.nan_to_num(target.subtracted)
    light *= target.gain
    cols = target.col0 + np.arange(light.shape[2], dtype=np.float64)
    reading = variance_at(cols, readout)
    return np.asarray(np.sqrt(np.maximum(light, 0.0) / readout.exposure + reading))


def _rows(target: TargetPixels) -> NDArray[Any]:
    n, size = target.point.size, target.flux.shape[1]
    kinds: list[Any] = []
    for name in _ORDER:
        form = (_IMAGES.get(name) or _NUMBERS[name])[0]
        kinds.append((name, _TYPES[form], (size, size)) if name in _IMAGES else (name, _TYPES[form]))
    rows = np.zeros(n, dtype=kinds)
    axis, frame = target.axis, target.frame
    time = target.column("time")
    level = target.column("background").astype(np.float64)[:, np.newaxis, np.newaxis]
    there = np.isfinite(target.flux)
    rows["TIME"] = time
    # What was added to the file's own time on the way to the star's was light path, too.
    rows["TIMECORR"] = axis.barycorr[frame] + time - 0.5 * (axis.start + axis.stop)[frame]
    rows["CADENCENO"] = target.column("cadence")
    rows["RAW_CNTS"] = _UNKNOWN_COUNTS
    rows["FLUX"] = target.flux * target.gain - level
    rows["FLUX_ERR"] = pixel_noise(target)
    lacking = level if target.subtracted is None else level + target.subtracted * target.gain
    rows["FLUX_BKG"] = np.where(there, lacking, np.nan)
    rows["FLUX_BKG_ERR"] = np.where(there, target.background_err[:, np.newaxis, np.newaxis], np.nan)
    rows["QUALITY"] = target.column("quality")
    rows["POS_CORR1"], rows["POS_CORR2"] = target.motion.T
    rows["FLAG"] = target.column("flag")
    return rows


def _wcs_values(target: TargetPixels) -> list[tuple[str, str, str | float | int, str]]:
    """Return the WCS of the images: keyword in the cells of column n of a table, keyword of an image, value, comment."""
    if target.wcs is None:
        return []
    wcs = target.wcs
    scale = float(np.sqrt(abs(np.linalg.det(wcs.matrix))))
    steps = -scale, scale
    cards: list[tuple[str, str, str | float | int, str]] = [
        ("1CTYP{n}", "CTYPE1", "RA---TAN", "right ascension, gnomonic"),
        ("2CTYP{n}", "CTYPE2", "DEC--TAN", "declination, gnomonic"),
        ("1CUNI{n}", "CUNIT1", "deg", "unit of axis 1"),
        ("2CUNI{n}", "CUNIT2", "deg", "unit of axis 2"),
        ("1CRPX{n}", "CRPIX1", wcs.col - target.col0 + 1.0, "[pixel] the star's column; 1 = 1st"),
        ("2CRPX{n}", "CRPIX2", wcs.row - target.row0 + 1.0, "[pixel] the star's row; 1 = 1st"),
        ("1CRVL{n}", "CRVAL1", wcs.ra, "[deg] right ascension there"),
        ("2CRVL{n}", "CRVAL2", wcs.dec, "[deg] declination there"),
        ("1CDLT{n}", "CDELT1", steps[0], "[deg] scale of axis 1"),
        ("2CDLT{n}", "CDELT2", steps[1], "[deg] scale of axis 2"),
    ]
    for i in (1, 2):
        for j in (1, 2):
            value = float(wcs.matrix[i - 1, j - 1]) / steps[i - 1]
            cards.append((f"{i}{j}PC{{n}}", f"PC{i}_{j}", value, "turn of the pixels"))
    return cards


def _place(instrument: str, target: TargetPixels) -> list[tuple[str, str, str | float | int, str]]:
    """Return where the images lie on the detector, in the mission's own count of its pixels."""
    first = _FIRST_PIXEL.get(instrument, (0, 0))
    return [
        ("WCSN{n}P", "WCSNAMEP", "PHYSICAL", "name of the second WCS"),
        ("1CTY{n}P", "CTYPE1P", "RAWX", "detector column"),
        ("2CTY{n}P", "CTYPE2P", "RAWY", "detector row"),
        ("1CUN{n}P", "CUNIT1P", "PIXEL", "unit of detector column"),
        ("2CUN{n}P", "CUNIT2P", "PIXEL", "unit of detector row"),
        ("1CRP{n}P", "CRPIX1P", 1, "reference pixel"),
        ("2CRP{n}P", "CRPIX2P", 1, "reference pixel"),
        ("1CRV{n}P", "CRVAL1P", target.col0 + first[0], f"[pixel] column; 1st science column = {first[0]}"),
        ("2CRV{n}P", "CRVAL2P", target.row0 + first[1], f"[pixel] row; 1st science row = {first[1]}"),
        ("1CDL{n}P", "CDELT1P", 1.0, "[pixel] step"),
        ("2CDL{n}P", "CDELT2P", 1.0, "[pixel] step"),
    ]


def _columns(size: int) -> list[Card]:
    cards: list[Card] = [("TFIELDS", len(_ORDER), "number of columns")]
    for i, name in enumerate(_ORDER, 1):
        form, unit, meaning = _IMAGES.get(name) or _NUMBERS[name]
        cards.append((f"TTYPE{i}", name, meaning))
        cards.append((f"TFORM{i}", f"{size * size}{form}" if name in _IMAGES else form, "column format"))
        if unit:
            cards.append((f"TUNIT{i}", unit, "unit of the column"))
        if name in _IMAGES:
            cards.append((f"TDIM{i}", f"({size},{size})", "columns and rows of the image"))
        if name == "RAW_CNTS":
            cards.append((f"TNULL{i}", _UNKNOWN_COUNTS, "stands for no value"))
    return cards


def _table(instrument: str, target: TargetPixels) -> list[Card]:
    axis, row = target.axis, target.observation.row
    time = target.column("time")
    half = 0.5 * float(np.median((axis.stop - axis.start)[target.frame]))
    readout = axis.readout
    letters = "ABCD" if len(readout.gain) == 4 else ("" if len(readout.gain) == 1 else None)
    cards: list[Card] = [
        ("INHERIT", True, "the primary header holds for this table, too"),
        ("EXTNAME", "PIXELS" if instrument == "tess" else "TARGETTABLES", "name of this extension"),
        ("EXTVER", 1, "version of this extension"),
        *table_cards(instrument, row),
        ("BESTAPER", str(row["best"]), "aperture that the light curve holds"),
        ("TSTART", float(time.min()) - half, "[d] start of the first exposure, BJDREF + this"),
        ("TSTOP", float(time.max()) + half, "[d] end of the last exposure, BJDREF + this"),
        ("TIMEDEL", 2.0 * half, "[d] from start to end of one frame"),
        ("NREADOUT", readout.n_read, "reads summed in one frame"),
        ("FRAMEEXP", readout.exposure, "[s] time on source of one frame"),
        ("BACKAPP", True, "background is subtracted: see FLUX_BKG"),
    ]
    for keyword, values, unit in (("GAIN", readout.gain, "e-/count"), ("READNOI", readout.read_noise, "e-")):
        if letters is not None:
            names = [f"{keyword}{letter}" for letter in letters] or [{"READNOI": "READNOIS"}.get(keyword, keyword)]
            cards += [
                (name, value, f"[{unit}] of the readout output")
                for name, value in zip(names, values, strict=True)
                if name not in readout.assumed
            ]
    return cards


def tpf_bytes(instrument: str, target: TargetPixels) -> bytes:
    """Write the pixels around one star as a target pixel file.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    target : TargetPixels
        The pixels; at least one frame.

    Returns
    -------
    bytes
        PRIMARY, the table PIXELS (for Kepler TARGETTABLES) and the image APERTURE, with checksums. The same pixels always give the same bytes.
    """
    size = target.flux.shape[1]
    rows = _rows(target)
    first: list[Card] = [
        *EMPTY,
        ("NEXTEND", 2, "number of extensions"),
        ("EXTNAME", "PRIMARY", "name of this HDU"),
        ("ORIGIN", "cuvee", "not a product of the mission"),
        ("CREATOR", "cuvee TargetPixelFile", "program that made this file"),
        *primary_cards(instrument, target.observation.row),
    ]
    wcs, place = _wcs_values(target), _place(instrument, target)
    words: list[Card] = [
        ("COMMENT", "FLUX + FLUX_BKG is the pixel of the raw frame (straps evened).", ""),
        *(("COMMENT", f"FLAG {bit.value}: {bit.name}", "") for bit in FLAGS),
        *(("COMMENT", f"QUALITY {bit.value}: {bit.name}", "") for bit in QUALITY.get(instrument, ())),
    ]
    # All images alike, as in the missions' files: some readers look at one column, some at another.
    in_cells: list[Card] = [
        (key.format(n=_ORDER.index(name) + 1), value, comment)
        for name in _IMAGES
        for key, _, value, comment in wcs + place
    ]
    table = header_text(
        [*table_shape(rows.dtype.itemsize, rows.size), *_columns(size), *in_cells, *_table(instrument, target), *words]
    )
    aperture = np.where(np.isfinite(target.flux).any(axis=0), _COLLECTED, 0)
    aperture = np.where(target.aperture & (aperture > 0), aperture | _OPTIMAL, aperture).astype(">i4")
    image: list[Card] = [
        ("XTENSION", "IMAGE", "image"),
        ("BITPIX", 32, "32-bit whole numbers"),
        ("NAXIS", 2, "2-dimensional image"),
        ("NAXIS1", size, "columns"),
        ("NAXIS2", size, "rows"),
        ("PCOUNT", 0, "no heap"),
        ("GCOUNT", 1, "one group"),
        ("INHERIT", True, "the primary header holds for this image, too"),
        ("EXTNAME", "APERTURE", "name of this extension"),
        ("EXTVER", 1, "version of this extension"),
        ("NPIXSAP", int(((aperture & _OPTIMAL) > 0).sum()), "pixels in the aperture"),
        *((key, value, comment) for _, key, value, comment in wcs + place),
        ("COMMENT", "1: the pixel is there. 2: at least half of it is in the star's aperture.", ""),
    ]
    return (
        hdu_bytes(header_text(first))
        + hdu_bytes(table, rows.tobytes())
        + hdu_bytes(header_text(image), aperture.tobytes())
    )
