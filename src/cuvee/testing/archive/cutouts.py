"""TESScut: which full-frame images see a place, and the pixels around it, cut from the files on the shelf.

Layout of a cutout: Brasseur et al. 2019, ascl:1905.007 (astrocut), and the headers of a real one.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.instruments.local_wcs import local_wcs
from cuvee.model.records import FileInfo
from cuvee.testing.archive.content import text_content
from cuvee.testing.archive.observations import FFI, Observation, footprint
from cuvee.testing.archive.reply import Reply, refusal
from cuvee.testing.archive.site import Question, Site

__all__ = ["astrocut", "cut", "sectors"]

_PIXEL = 21.0 / 3600
"""Degrees of sky that a pixel sees, by which sizes in angles are turned into pixels."""
_LIMIT = 100
_FRAME_COLUMN, _FRAME_ROW = 45, 1
"""Of the first science pixel, counted from 1, in the columns and rows of the file of a whole CCD."""


def sectors(site: Site, question: Question) -> Reply:
    """``/tesscut/api/v0.1/sector``: who has seen a place."""
    try:
        ra, dec, radius = (
            float(question.argument(key, default)) for key, default in (("ra", ""), ("dec", ""), ("radius", "0"))
        )
    except ValueError:
        return refusal(400, "The place is not understood: give ra and dec in degrees.")
    found = []
    for observation in _covering(site, ra, dec, radius, question.argument("product", "SPOC")):
        named = observation.files[0]
        found.append(
            {
                "sectorName": observation.row["obs_id"],
                "sector": f"{named.first:04d}",
                "camera": str(named.camera),
                "ccd": str(named.ccd),
            }
        )
    return Reply(text_content(json.dumps({"results": found})))


def astrocut(site: Site, question: Question) -> Reply:
    """``/tesscut/api/v0.1/astrocut``: a zip file of target pixel files, one a detector that has seen the place."""
    try:
        ra, dec = (float(question.argument(key)) for key in ("ra", "dec"))
        size = [float(question.argument(key, "5")) for key in ("x", "y")]
        wanted = int(question.argument("sector", "0"))
        scale = {"px": 1.0, "d": _PIXEL, "m": _PIXEL * 60}[question.argument("units", "px")]
    except (ValueError, KeyError):
        return refusal(400, "The cutout is not understood: give ra and dec in degrees, x, y and units (px, d or m).")
    if not all(0.5 < side / scale <= _LIMIT for side in size):
        return refusal(400, f"A cutout has 1 to {_LIMIT} pixels a side.")
    width, height = (round(side / scale) for side in size)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for observation in _covering(site, ra, dec, 0.0, question.argument("product", "SPOC")):
            if wanted in (0, observation.files[0].first):
                names = [named.name for named in observation.files if named.kind == "ffic"]
                made = cut(
                    [site.shelf.paths[name] for name in names if name in site.shelf.paths], ra, dec, width, height
                )
                if made is not None:
                    archive.writestr(
                        f"{observation.row['obs_id']}_{ra:.6f}_{dec:.6f}_{width}x{height}_astrocut.fits", made
                    )
        empty = not archive.namelist()
    if empty:
        return Reply(text_content(json.dumps({"msg": "No TESS sectors found for the given coordinates."})))
    return Reply(text_content(packed.getvalue()), "application/zip")


def _covering(site: Site, ra: float, dec: float, radius: float, product: str) -> list[Observation]:
    # TICA makes images of its own, which this archive does not have.
    seen = site.observations if product.upper() == "SPOC" else []
    return [of for of in seen if of.row["target_name"] == FFI and of.distance(ra, dec, radius) is not None]


def cut(frames: list[Path], ra: float, dec: float, width: int, height: int) -> bytes | None:
    """Cut the same pixels out of all frames of a detector.

    Parameters
    ----------
    frames : list of Path
        In the order of time; what cannot be read is left out, and what lies outside the image is NaN.
    ra, dec : float
        The place in the middle (deg).
    width, height : int
        Columns and rows.

    Returns
    -------
    bytes or None
        A target pixel file; None where no frame knows where it looks.
    """
    from astropy.io import fits
    from astropy.wcs import WCS

    info, _ = footprint(frames)
    if info is None:
        return None
    col, row = (float(value) for value in WCS(fits.Header.fromstring(info.wcs)).all_world2pix(ra, dec, 0, quiet=True))
    with fits.open(info.path, memmap=False) as units:
        own = units[1].header
        there = fits.Header.fromstring(info.wcs)
        skip = [round(own[key] - there[key]) for key in ("CRPIX1", "CRPIX2")]
        heads = units[0].header, own
        first = _first(col + skip[0], width), _first(row + skip[1], height)
        rows = [found for frame in frames if (found := _frame(frame, first, width, height)) is not None]
        corner = first[0] - skip[0], first[1] - skip[1]
        made = _file(fits, heads, info, rows, corner, (width, height), (ra, dec))
    packed = io.BytesIO()
    made.writeto(packed, checksum=True)
    return packed.getvalue()


def _first(centre: float, size: int) -> int:
    """Return the first pixel of so many around a centre; a pixel's centre is a whole number, as in astrocut."""
    return int(np.round(centre - size / 2))


def _frame(path: Path, first: tuple[int, int], width: int, height: int) -> tuple[Any, ...] | None:
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False, lazy_load_hdus=True) as units:
            primary, head = units[0].header, units[1].header
            planes = [_window(units[k], first, width, height) for k in (1, 2)]
            middle = (head["TSTART"] + head["TSTOP"]) / 2
            return middle, head.get("BARYCORR", 0.0), *planes, head.get("DQUALITY", 0), path.name, primary, head
    except (OSError, KeyError, IndexError, TypeError, ValueError):
        return None


def _window(unit: Any, first: tuple[int, int], width: int, height: int) -> NDArray[np.float32]:
    rows, cols = unit.shape
    out = np.full((height, width), np.nan, np.float32)
    left, right = max(0, first[0]), min(cols, first[0] + width)
    low, high = max(0, first[1]), min(rows, first[1] + height)
    if left < right and low < high:
        out[low - first[1] : high - first[1], left - first[0] : right - first[0]] = unit.section[low:high, left:right]
    return out


_COPIED = [
    "BACKAPP",
    "DEADAPP",
    "DEADC",
    "EXPOSURE",
    "FRAMETIM",
    "FXDOFF",
    "GAINA",
    "GAINB",
    "GAINC",
    "GAIND",
    "INT_TIME",
    "LIVETIME",
    "MEANBLCA",
    "MEANBLCB",
    "MEANBLCC",
    "MEANBLCD",
    "NREADOUT",
    "NUM_FRM",
    "READNOIA",
    "READNOIB",
    "READNOIC",
    "READNOID",
    "READTIME",
    "TIERRELA",
    "TIMEDEL",
    "TIMEPIXR",
    "VIGNAPP",
]
_SHARED = [
    "SIMDATA",
    "TIMVERSN",
    "TELESCOP",
    "INSTRUME",
    "DATA_REL",
    "ASTATE",
    "SCCONFIG",
    "RADESYS",
    "FFIINDEX",
    "EQUINOX",
    "CRMITEN",
    "CRBLKSZ",
    "CRSPOC",
    "TIMEREF",
    "TASSIGN",
    "TIMESYS",
    "BJDREFI",
    "BJDREFF",
    "TIMEUNIT",
]


def _file(
    fits: Any,
    heads: tuple[Any, Any],
    info: FileInfo,
    rows: list[tuple[Any, ...]],
    corner: tuple[int, int],
    size: tuple[int, int],
    place: tuple[float, float],
) -> Any:
    """Put a target pixel file together; ``corner`` is the detector's column and row of the first pixel."""
    (width, height), dims = size, f"({size[0]}, {size[1]})"
    cells, number = f"{width * height}E", len(rows)
    flux, error = (np.array([row[k] for row in rows], np.float32).reshape(number, height, width) for k in (2, 3))
    none = np.zeros_like(flux)
    columns = [
        fits.Column("TIME", "D", "BJD - 2457000, days", disp="D14.7", array=np.array([row[0] for row in rows])),
        fits.Column("TIMECORR", "E", "d", disp="E14.7", array=np.array([row[1] for row in rows])),
        fits.Column("CADENCENO", "J", disp="I10", array=np.zeros(number, np.int32)),
        fits.Column(
            "RAW_CNTS",
            f"{width * height}J",
            "count",
            null=-1,
            disp="I8",
            dim=dims,
            array=np.full(flux.shape, -1, np.int32),
        ),
        fits.Column("FLUX", cells, "e-/s", disp="E14.7", dim=dims, array=flux),
        fits.Column("FLUX_ERR", cells, "e-/s", disp="E14.7", dim=dims, array=error),
        fits.Column("FLUX_BKG", cells, "e-/s", disp="E14.7", dim=dims, array=none),
        fits.Column("FLUX_BKG_ERR", cells, "e-/s", disp="E14.7", dim=dims, array=none),
        fits.Column("QUALITY", "J", disp="B16.16", array=np.array([row[4] for row in rows])),
        fits.Column("POS_CORR1", "E", "pixel", disp="E14.7", array=np.zeros(number)),
        fits.Column("POS_CORR2", "E", "pixel", disp="E14.7", array=np.zeros(number)),
        fits.Column("FFI_FILE", "38A", "pixel", array=np.array([row[5] for row in rows])),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="PIXELS")
    plane = local_wcs(info.wcs, corner[0] + (width - 1) / 2, corner[1] + (height - 1) / 2, max(size) / 2)
    wcs = _plane_cards(plane, corner)
    for k in range(4, 9):
        for key, value in wcs.items():
            table.header[_of_column(key, k)] = value
        table.header.update({
            f"WCAX{k}": 2, f"WCSN{k}P": "PHYSICAL", f"WCAX{k}P": 2, f"1CTY{k}P": "RAWX", f"2CTY{k}P": "RAWY", f"1CUN{k}P": "PIXEL",
            f"2CUN{k}P": "PIXEL", f"1CRV{k}P": corner[0] + _FRAME_COLUMN, f"2CRV{k}P": corner[1] + _FRAME_ROW, f"1CDL{k}P": 1.0, f"2CDL{k}P": 1.0,
            f"1CRP{k}P": 1, f"2CRP{k}P": 1,
        })  # fmt: skip
    primary = fits.PrimaryHDU()
    aperture = fits.ImageHDU(np.ones((height, width), np.int32), name="APERTURE")
    for key, value in wcs.items():
        aperture.header[key] = value
    starts, stops = (_ends(rows, key) for key in ("TSTART", "TSTOP"))
    shared: dict[str, Any] = {key: head[key] for key in _SHARED for head in heads if key in head}
    shared |= {
        "ORIGIN": "STScI/MAST", "TSTART": starts[0], "TSTOP": stops[1], "CREATOR": "astrocut", "PROCVER": "0.7", "FILEVER": "1.0",
        "SECTOR": int(info.segment[1:]), "CAMERA": int(info.detector[0]), "CCD": int(info.detector[2]), "RA_OBJ": place[0], "DEC_OBJ": place[1],
        "TELAPSE": stops[1] - starts[0], "OBJECT": "", "TICID": "",
    }  # fmt: skip
    if rows:
        shared |= {"DATE-OBS": rows[0][7].get("DATE-OBS", ""), "DATE-END": rows[-1][7].get("DATE-END", "")}
        shared |= {"FFIINDEX": rows[0][6]["FFIINDEX"]} if "FFIINDEX" in rows[0][6] else {}
    primary.header.update({"NEXTEND": 2, "EXTNAME": "PRIMARY", **shared})
    table.header.update({"INHERIT": True, **{key: heads[1][key] for key in _COPIED if key in heads[1]}, **shared})
    aperture.header.update({"INHERIT": True, **shared})
    return fits.HDUList([primary, table, aperture])


def _ends(rows: list[tuple[Any, ...]], key: str) -> tuple[float, float]:
    return (float(rows[0][7][key]), float(rows[-1][7][key])) if rows else (0.0, 0.0)


def _plane_cards(plane: Any, corner: tuple[int, int]) -> dict[str, Any]:
    """Write a tangent plane as cards that count pixels from the cutout's first, which is 1."""
    matrix = plane.matrix
    return {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": plane.col - corner[0] + 1, "CRPIX2": plane.row - corner[1] + 1, "CRVAL1": plane.ra,
        "CRVAL2": plane.dec, "CUNIT1": "deg", "CUNIT2": "deg", "CDELT1": 1.0, "CDELT2": 1.0, "PC1_1": float(matrix[0, 0]),
        "PC1_2": float(matrix[0, 1]), "PC2_1": float(matrix[1, 0]), "PC2_2": float(matrix[1, 1]),
    }  # fmt: skip


def _of_column(key: str, k: int) -> str:
    """Return the keyword of a table's column that says what ``key`` says of an image (FITS Standard 4.0, table 22)."""
    if key.startswith("PC"):
        return f"{key[2]}{key[4]}PC{k}"
    return f"{key[-1]}{ {'CTYPE': 'CTYP', 'CRPIX': 'CRPX', 'CRVAL': 'CRVL', 'CUNIT': 'CUNI', 'CDELT': 'CDLT'}[key[:-1]] }{k}".replace(
        " ", ""
    )
