"""Light curves as FITS files that `lightkurve.read` and astropy's ``TimeSeries.read`` open.

The files follow what both readers look for (astropy: ``format="tess.fits"`` or ``"kepler.fits"``) without posing as the mission's
own product: they name cuvee as their creator and have no ORIGIN card. (lightkurve takes a TESS file with both
CREATOR and ORIGIN for the mission's, and then refuses it.)

References
----------
FITS Standard 4.0 (IAU FITS Working Group, 2018): binary tables section 7.3, time section 9, checksums section 4.4.2.7 and
appendix J.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from astropy.io import fits

from cuvee import __version__
from cuvee.export.rows import Observation, column_order, star_name
from cuvee.model.flags import FLAGS, QUALITY
from cuvee.model.records import BJD_OFFSET

__all__ = ["fits_bytes"]

Card = tuple[str, int | float | str | None, str]

_TELESCOPE = {"tess": ("TESS", "TESS Photometer"), "kepler": ("Kepler", "Kepler Photometer")}
_RECORD = 2880
_NAMES = {"cadence": "CADENCENO"}
_UNITS = {"electron/s": "e-/s", "electron/(s pixel)": "e-/s"}
"""Both readers know the mission's "e-/s", which is outside the FITS Standard, but nothing built from it."""
_FORMATS = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "i2": "I"}


def _number(text: str) -> int | None:
    digits = "".join(c for c in text if c.isdigit())
    return int(digits) if digits else None


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _mission_cards(instrument: str, row: Mapping[str, Any]) -> list[Card]:
    """Return the cards that say where the star was seen, under the mission's own keywords."""
    segment, detector = str(row["segment"]), str(row["detector"])
    if instrument == "tess":
        camera, _, ccd = detector.partition("-")
        return [
            ("SECTOR", _number(segment), "observing sector"),
            ("CAMERA", _number(camera), "camera number"),
            ("CCD", _number(ccd), "CCD number"),
        ]
    if instrument == "kepler":
        keyword, word = ("CAMPAIGN", "K2 campaign") if segment.startswith("c") else ("QUARTER", "observing quarter")
        module, _, output = detector.partition("-")
        return [
            (keyword, _number(segment), word),
            ("MODULE", _number(module), "CCD module"),
            ("OUTPUT", _number(output), "output of that module"),
        ]
    return []


def _cards(instrument: str, row: Mapping[str, Any]) -> tuple[list[Card], list[Card]]:
    """Return the cards of a row for the primary header and for the table's header."""
    catalog, star = star_name(instrument, int(row["id"]))
    telescope, camera = _TELESCOPE.get(instrument, (instrument, instrument))
    best = str(row["best"])
    who: list[Card] = [
        ("TELESCOP", telescope, "telescope"),
        ("INSTRUME", camera, "instrument"),
        ("OBJECT", f"{catalog} {star}", "name of the target"),
    ]
    where: list[Card] = [
        ("RADESYS", "ICRS", "reference frame of celestial coordinates"),
        ("RA_OBJ", _finite(row["ra"]), "[deg] right ascension"),
        ("DEC_OBJ", _finite(row["dec"]), "[deg] declination"),
        ("EQUINOX", 2000.0, "[yr] equinox of celestial coordinates"),
    ]
    primary: list[Card] = [
        ("CREATOR", "cuvee", "program that made this file"),
        ("PROCVER", __version__, "version of cuvee"),
        ("FILEVER", "1.0", "version of this file format"),
        *who,
        ("TICID" if catalog == "TIC" else "KEPLERID", star, f"id in the catalogue {catalog}"),
        *_mission_cards(instrument, row),
        *where,
        ("TESSMAG" if catalog == "TIC" else "KEPMAG", _finite(row["mag"]), "[mag] magnitude in the instrument's band"),
    ]
    table: list[Card] = [
        *who,
        *where,
        ("TIMEREF", "SOLARSYSTEM", "times are barycentric"),
        ("TASSIGN", "SPACECRAFT", "where time is assigned"),
        ("TIMESYS", "TDB", "barycentric dynamical time"),
        ("BJDREFI", int(BJD_OFFSET), "[d] integer part of the zero of TIME"),
        ("BJDREFF", 0.0, "[d] fraction of the zero of TIME"),
        ("TIMEUNIT", "d", "unit of TIME"),
        ("TIMEPIXR", 0.5, "TIME is the middle of the exposure"),
        ("SEGMENT", str(row["segment"]), "cuvee's name of the observation"),
        ("DETECTOR", str(row["detector"]), "cuvee's name of the detector"),
        ("SERIES", str(row["series"]), "frame series"),
        ("COL", _finite(row["col"]), "[pixel] column; 0 = 1st science column"),
        ("ROW", _finite(row["row"]), "[pixel] row; 0 = 1st science row"),
        ("BESTAPER", best, "aperture that FLUX holds"),
        ("CROWDING", _finite(row["crowding"]), "target's share of the flux in that aperture"),
    ]
    return primary, table


def _header(cards: Iterable[Card]) -> str:
    """Write cards; a comment gives way where the value is long."""
    made = []
    for keyword, value, comment in cards:
        room = 67 - max(20, len(value.replace("'", "''")) + 2 if isinstance(value, str) else 0)
        made.append(fits.Card(keyword, value, comment[: max(0, room)]))
    return str(fits.Header(made).tostring(endcard=False, padding=False))


def _padded(text: str) -> bytes:
    """Close a header and fill its last record."""
    text += "END".ljust(80)
    return text.ljust(-(-len(text) // _RECORD) * _RECORD).encode("ascii")


def _sum32(data: bytes) -> int:
    """Return the 32-bit ones'-complement sum of whole FITS records (FITS Standard 4.0, section 4.4.2.7)."""
    total = int(np.frombuffer(data, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encode(value: int) -> str:
    """Write a 32-bit number as the 16 letters and digits of a CHECKSUM card (FITS Standard 4.0, appendix J)."""
    columns = []
    for byte in value.to_bytes(4, "big"):
        # Four characters whose offsets from "0" add up to the byte; pairs are spread until none is punctuation.
        four = [ord("0") + byte // 4] * 4
        four[0] += byte % 4
        for k in (0, 2):
            while not (chr(four[k]).isalnum() and chr(four[k + 1]).isalnum()):
                four[k] += 1
                four[k + 1] -= 1
        columns.append(four)
    text = "".join(chr(columns[byte][k]) for k in range(4) for byte in range(4))
    return text[-1] + text[:-1]


def _hdu(cards: str, data: bytes = b"") -> bytes:
    """Join header and data, both filled to whole records, under a valid CHECKSUM and DATASUM."""
    data += bytes(-len(data) % _RECORD)
    total = _sum32(data)
    cards += _header([("DATASUM", str(total), "sum of the data, 32-bit ones' complement")])
    blank = _header([("CHECKSUM", "0" * 16, "makes the sum over this HDU -0")])
    right = _encode(0xFFFFFFFF - _sum32(_padded(cards + blank) + data))
    return _padded(cards + blank.replace("0" * 16, right)) + data


@cache
def _table_cards(columns: tuple[tuple[str, str, str, str], ...], instrument: str) -> tuple[str, str]:
    """Return what all tables of one form share: the cards on columns, and the comments on flags.

    Parameters
    ----------
    columns : tuple of (name, FITS format, unit, meaning)
        In their order.
    instrument : str
        Whose quality bits to name.
    """
    cards: list[Card] = [("TFIELDS", len(columns), "number of columns")]
    for i, (name, form, unit, meaning) in enumerate(columns, 1):
        cards.append((f"TTYPE{i}", _NAMES.get(name, name.upper()), meaning))
        cards.append((f"TFORM{i}", form, "column format"))
        if unit:
            cards.append((f"TUNIT{i}", _UNITS.get(unit, unit), "unit of the column"))
    cards += [
        ("INHERIT", True, "the primary header holds for this table, too"),
        ("EXTNAME", "LIGHTCURVE", "name of this extension"),
        ("EXTVER", 1, "version of this extension"),
    ]
    words: list[Card] = [("COMMENT", f"FLAG {bit.value}: {bit.name}", "") for bit in FLAGS]
    words += [("COMMENT", f"QUALITY {bit.value}: {bit.name}", "") for bit in QUALITY.get(instrument, ())]
    return _header(cards), _header(words)


def fits_bytes(instrument: str, observation: Observation) -> bytes:
    """Write one observation of a star as a FITS file.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    observation : Observation
        The row and its points; points without a finite time are left out, as both readers would do.

    Returns
    -------
    bytes
        The file: an empty primary HDU and the table LIGHTCURVE, with checksums. The same row always gives the same bytes.
    """
    keep = np.isfinite(observation.points["time"])
    names = column_order(observation.points)
    types = [observation.points[name].dtype.newbyteorder(">") for name in names]
    data = np.empty(int(keep.sum()), dtype=list(zip(names, types, strict=True)))
    for name in names:
        data[name] = observation.points[name][keep]
    primary, table = _cards(instrument, observation.row)
    form = tuple(
        (name, _FORMATS[kind.str[1:]], *observation.describe(name)) for name, kind in zip(names, types, strict=True)
    )
    columns, words = _table_cards(form, instrument)
    if observation.rounding:
        said = textwrap.wrap(f"Flux and background are {observation.rounding}.", 72)
        words += _header([("COMMENT", line, "") for line in said])
    first: list[Card] = [
        ("SIMPLE", True, "conforms to the FITS standard"),
        ("BITPIX", 8, "no data in this HDU"),
        ("NAXIS", 0, "no data in this HDU"),
        ("EXTEND", True, "extensions follow"),
    ]
    second: list[Card] = [
        ("XTENSION", "BINTABLE", "binary table"),
        ("BITPIX", 8, "8-bit bytes"),
        ("NAXIS", 2, "2-dimensional table"),
        ("NAXIS1", data.itemsize, "bytes in a row"),
        ("NAXIS2", data.size, "number of rows"),
        ("PCOUNT", 0, "no heap"),
        ("GCOUNT", 1, "one group"),
    ]
    return _hdu(_header(first + primary)) + _hdu(_header(second) + columns + _header(table) + words, data.tobytes())
