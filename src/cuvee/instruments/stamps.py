"""Small frame series in one FITS table, as TESS, Kepler and K2 target pixel files and TESScut cutouts have them.

Layout: TESS Science Data Products Description Document, EXP-TESS-ARC-ICD-0014 Rev F, section 4.4; Kepler Archive Manual,
KDMC-10008-006, section 2.3.2; Brasseur et al. 2019, ascl:1905.007 (astrocut).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from cuvee.errors import BadData
from cuvee.instruments.bintable import column_number, table_rows
from cuvee.instruments.fits_bytes import (
    BLOCK,
    Cards,
    bad,
    check_extensions,
    data_size,
    open_stream,
    read_exactly,
    read_header,
)
from cuvee.instruments.sums import add_bytes, check_sum
from cuvee.instruments.wcs_text import header_text, tan_to_sky
from cuvee.model.records import FileInfo, Geometry, Pixels

__all__ = [
    "Place",
    "Stamp",
    "column",
    "load",
    "pipeline_mask",
    "place_of",
    "read_stamp",
    "series_name",
    "target_of",
    "wcs_of",
]

PIPELINE_MASK = 2
"""The bit of the APERTURE image that marks the pixels of the mission's own aperture; the same for all three missions."""

TARGET_REACH = 0.5
"""Degrees from a stamp's middle to its target, at most: beyond the sides of the largest, and what the fastest star moves in a century."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file of this kind in memory.

    Parameters
    ----------
    primary, table : Cards
        Its first two headers.
    rows : structured array, shape (n_frame,)
        The table.
    aperture : int32 array, shape (rows, columns), or None
        The APERTURE image.
    content : str
        XXH3-128 (hex) of everything that was read.
    """

    primary: Cards
    table: Cards
    rows: NDArray[Any]
    aperture: NDArray[Any] | None
    content: str


@dataclass(frozen=True, slots=True)
class Place:
    """Which pixels of a stamp lie on science pixels of the detector.

    Parameters
    ----------
    geometry : Geometry
        Where those pixels lie.
    rows, cols : slice
        Which of the file's pixels they are.
    shift_col, shift_row : float
        To be added to the file's pixel numbers (counted from 0) to get detector coordinates.
    """

    geometry: Geometry
    rows: slice
    cols: slice
    shift_col: int
    shift_row: int


class _Hashing:
    """A stream that hashes and adds up what passes through it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.state = xxhash.xxh3_128()
        self.total = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.state.update(data)
        self.total = add_bytes(data, self.total)
        return data


def load(path: str) -> Stamp:
    """Read a whole file.

    Raises
    ------
    BadData
        If it is not whole, has a wrong bit, or is no table of pixel images.
    """
    with open_stream(path) as (raw, _):
        stream: Any = _Hashing(raw)
        found: list[tuple[Cards, bytearray]] = []
        while (header := read_header(stream, path, first=not found)) is not None:
            size = data_size(header[0])
            data = read_exactly(stream, -(-size // BLOCK) * BLOCK, path)
            if size:
                check_sum(header[0], stream.total)
            stream.total = 0
            found.append((header[0], data))
        content = stream.state.hexdigest()
    if len(found) < 2 or found[1][0].text("XTENSION", "") != "BINTABLE":
        raise bad(path, "holds no table of pixels", "wrong-shape")
    primary, table = found[0][0], found[1][0]
    check_extensions(primary, len(found) - 1)
    rows = table_rows(table, found[1][1])
    if rows.size == 0:
        raise bad(path, "holds no frame: its table has no rows", "wrong-shape")
    if "FLUX" not in (rows.dtype.names or ()) or rows["FLUX"].ndim not in (1, 3):
        raise bad(
            path, "holds no images: its table has no column FLUX of two dimensions (a light curve?)", "wrong-shape"
        )
    aperture = None
    for cards, data in found[2:]:
        if cards.text("EXTNAME", "") == "APERTURE" and cards.whole("BITPIX") == 32 and cards.whole("NAXIS") == 2:
            shape = cards.whole("NAXIS2"), cards.whole("NAXIS1")
            aperture = np.frombuffer(data, dtype=">i4", count=math.prod(shape)).reshape(shape)
    return Stamp(primary, table, rows, aperture, content)


def column(stamp: Stamp, name: str, kind: str) -> NDArray[Any]:
    """Return a column of one number a frame.

    Parameters
    ----------
    stamp : Stamp
        From `load`.
    name : str
        ``TIME``, ``QUALITY`` ...
    kind : str
        Kinds of number that are allowed (`numpy.dtype.kind`): ``f``, ``iu``.

    Raises
    ------
    BadData
        If the column is missing or holds something else.
    """
    names = stamp.rows.dtype.names or ()
    if name not in names or stamp.rows[name].ndim != 1 or stamp.rows[name].dtype.kind not in kind:
        raise bad(stamp.table.path, f"is damaged: its table has no proper column {name}", "header")
    return stamp.rows[name].astype(np.float64 if kind == "f" else np.int64)


def _flux(stamp: Stamp, name: str) -> NDArray[Any]:
    values = stamp.rows[name]
    # A stamp of one pixel has no TDIM in some versions.
    return values.reshape(-1, 1, 1) if values.ndim == 1 else values


def place_of(stamp: Stamp, first_col: int, first_row: int, detector_rows: int, detector_cols: int) -> Place:
    """Find out where a stamp lies, from the physical WCS of its FLUX column; collateral pixels are left out.

    Parameters
    ----------
    stamp : Stamp
        From `load`.
    first_col, first_row : int
        The physical coordinates of the detector's first science pixel.
    detector_rows, detector_cols : int
        Size of the detector's science area.

    Raises
    ------
    BadData
        If the cards are missing, or the stamp lies off the science pixels.
    """
    cards, number = stamp.table, column_number(stamp.table, "FLUX")
    col, row = (cards.whole(f"{k}CRV{number}P") - cards.whole(f"{k}CRP{number}P", 1) + 1 for k in (1, 2))
    col, row = col - first_col, row - first_row
    n_row, n_col = _flux(stamp, "FLUX").shape[1:]
    left, right = max(0, -col), min(n_col, detector_cols - col)
    low, high = max(0, -row), min(n_row, detector_rows - row)
    if right <= left or high <= low:
        raise bad(cards.path, f"lies off the science pixels (column {col}, row {row})", "wrong-shape")
    geometry = Geometry(high - low, right - left, row + low, col + left, detector_rows, detector_cols)
    return Place(geometry, slice(low, high), slice(left, right), col, row)


def wcs_of(stamp: Stamp, place: Place, scale: float) -> tuple[str, dict[str, float]]:
    """Return the WCS of the FLUX column in detector coordinates.

    Parameters
    ----------
    stamp, place : Stamp, Place
        The file, and where it lies.
    scale : float
        The detector's pixel scale (deg).

    Returns
    -------
    text, values : str, dict
        FITS header text, and its numbers by card.

    Raises
    ------
    BadData
        If it has none; if its pixels are not of that scale to 20 %, as happens where a cutout is too small to fit a WCS; or if it
        lies elsewhere on the sky than the target that the primary header names.
    """
    cards, n = stamp.table, column_number(stamp.table, "FLUX")
    if not cards.text(f"1CTYP{n}", "").startswith("RA---TAN") or f"1CRVL{n}" not in cards:
        raise bad(cards.path, "has no WCS, so no star can be placed on its pixels", "header")
    values: dict[str, float] = {}
    for k, shift in ((1, place.shift_col), (2, place.shift_row)):
        step = cards.real(f"{k}CDLT{n}", 1.0)
        values[f"CRVAL{k}"] = cards.real(f"{k}CRVL{n}")
        values[f"CRPIX{k}"] = cards.real(f"{k}CRPX{n}") + shift
        for j in (1, 2):
            values[f"CD{k}_{j}"] = step * cards.real(f"{k}{j}PC{n}", float(k == j))
    matrix = np.array([[values["CD1_1"], values["CD1_2"]], [values["CD2_1"], values["CD2_2"]]])
    with np.errstate(all="ignore"):
        stretch = np.linalg.svd(matrix / scale, compute_uv=False) if np.isfinite(matrix / scale).all() else np.zeros(2)
    if not (stretch[1] > 0.8 and stretch[0] < 1.25):
        what = f"has a WCS whose pixels are not of the detector's scale of {3600.0 * scale:.1f} arcsec (a cutout too small to fit one?)"
        raise BadData(f"{cards.path} {what}; make a cutout of at least 3 x 3 pixels.", "header", cards.path)
    if (
        abs(values["CRVAL1"]) > 360.0
        or abs(values["CRVAL2"]) > 90.0
        or abs(values["CRPIX1"]) + abs(values["CRPIX2"]) > 1e6
    ):
        raise bad(cards.path, "is damaged: the WCS of its column FLUX is out of range", "header")
    if _away_from_target(values, place, stamp.primary) > TARGET_REACH:
        raise bad(
            cards.path, "has a wrong WCS: it lies elsewhere than RA_OBJ and DEC_OBJ of its primary header", "header"
        )
    head: dict[str, str | float | int] = {"WCSAXES": 2, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    head |= {"CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "ICRS"}
    return header_text({**head, **values}), values


def _away_from_target(values: dict[str, float], place: Place, primary: Cards) -> float:
    """Return how far the stamp's middle lies from its target (deg); 0 where the primary header names no target."""
    ra, dec = primary.real("RA_OBJ", math.nan), primary.real("DEC_OBJ", math.nan)
    if not math.isfinite(ra + dec):
        return 0.0
    g = place.geometry
    u = g.col0 + 0.5 * (g.n_col + 1) - values["CRPIX1"]
    v = g.row0 + 0.5 * (g.n_row + 1) - values["CRPIX2"]
    xi, eta = (values[f"CD{k}_1"] * u + values[f"CD{k}_2"] * v for k in (1, 2))
    east, north = (math.radians(angle) for angle in tan_to_sky(xi, eta, values["CRVAL1"], values["CRVAL2"]))
    ra, dec = math.radians(ra), math.radians(dec)
    half = math.sin(0.5 * (north - dec)) ** 2 + math.cos(north) * math.cos(dec) * math.sin(0.5 * (east - ra)) ** 2
    return math.degrees(2.0 * math.asin(math.sqrt(min(1.0, half))))


def series_name(path: str) -> str:
    """Return the stem of a file's name: no folder, ``.gz``, ``.fits`` or ``.h5``."""
    name = os.path.basename(path).removesuffix(".gz")
    return os.path.splitext(name)[0]


def target_of(cards: Cards, key: str) -> int:
    """Return the catalogue id that a card names; 0 where it names none."""
    text = cards.text(key, "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def read_stamp(info: FileInfo, place: Place, stamp: Stamp) -> Pixels:
    """Return the pixels of a stamp; the mission's background and mask with them where there are any.

    Parameters
    ----------
    info : FileInfo
        From the scan.
    place, stamp : Place, Stamp
        The file as it is now.

    Raises
    ------
    BadData
        ``all-nan`` (no finite pixel, or zeros only), or ``wrong-shape`` where the file has changed since the scan.
    """
    flux = _flux(stamp, "FLUX")[:, place.rows, place.cols]
    if place.geometry != info.geometry or flux.shape[0] != info.moments.cadence.size:
        raise BadData(f"{info.path} has changed its shape since it was scanned; run again.", "wrong-shape", info.path)
    if flux.dtype.kind != "f":
        raise bad(info.path, "is damaged: its column FLUX does not hold real numbers", "header")
    if not np.any(np.isfinite(flux) & (flux != 0.0)):
        raise bad(info.path, "is blank: no pixel is finite and other than zero", "all-nan")
    background = None
    if info.background_subtracted and "FLUX_BKG" in (stamp.rows.dtype.names or ()):
        values = _flux(stamp, "FLUX_BKG")
        if values.shape == _flux(stamp, "FLUX").shape and values.dtype.kind == "f":
            background = values[:, place.rows, place.cols]
    mask = pipeline_mask(stamp, place) if info.has_mask else None
    return Pixels(flux, stamp.content, background, mask)


def pipeline_mask(stamp: Stamp, place: Place) -> NDArray[np.bool_] | None:
    """Return the mission's own aperture, shape (n_row, n_col); None where the file has none or it is empty."""
    shape = _flux(stamp, "FLUX").shape[1:]
    if stamp.aperture is None or stamp.aperture.shape != shape:
        return None
    mask = (stamp.aperture[place.rows, place.cols] & PIPELINE_MASK) != 0
    return mask if mask.any() else None
