"""What FITS headers say of a star and of where it was seen, under the mission's own keywords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cuvee import __version__
from cuvee.export.hdu import Card
from cuvee.export.rows import star_name
from cuvee.model.records import BJD_OFFSET

__all__ = ["finite", "primary_cards", "table_cards"]

_TELESCOPE = {"tess": ("TESS", "TESS Photometer"), "kepler": ("Kepler", "Kepler Photometer")}


def _number(text: str) -> int | None:
    digits = "".join(c for c in text if c.isdigit())
    return int(digits) if digits else None


def finite(value: Any) -> float | None:
    """Return a number, or None, which FITS can write, where it is none."""
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


def _who(instrument: str, row: Mapping[str, Any]) -> list[Card]:
    catalog, star = star_name(instrument, int(row["id"]))
    telescope, camera = _TELESCOPE.get(instrument, (instrument, instrument))
    return [
        ("TELESCOP", telescope, "telescope"),
        ("INSTRUME", camera, "instrument"),
        ("OBJECT", f"{catalog} {star}", "name of the target"),
    ]


def _where(row: Mapping[str, Any]) -> list[Card]:
    return [
        ("RADESYS", "ICRS", "reference frame of celestial coordinates"),
        ("RA_OBJ", finite(row["ra"]), "[deg] right ascension"),
        ("DEC_OBJ", finite(row["dec"]), "[deg] declination"),
        ("EQUINOX", 2000.0, "[yr] equinox of celestial coordinates"),
    ]


def primary_cards(instrument: str, row: Mapping[str, Any]) -> list[Card]:
    """Return the cards of a row for the primary header, behind those that say which program made the file.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    row : mapping
        Plain columns of the row.
    """
    catalog, star = star_name(instrument, int(row["id"]))
    return [
        ("PROCVER", __version__, "version of cuvee"),
        ("FILEVER", "1.0", "version of this file format"),
        *_who(instrument, row),
        ("TICID" if catalog == "TIC" else "KEPLERID", star, f"id in the catalogue {catalog}"),
        *_mission_cards(instrument, row),
        *_where(row),
        ("TESSMAG" if catalog == "TIC" else "KEPMAG", finite(row["mag"]), "[mag] magnitude in the instrument's band"),
    ]


def table_cards(instrument: str, row: Mapping[str, Any]) -> list[Card]:
    """Return the cards of a row for the header of a table of points: who, where, and what TIME means.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    row : mapping
        Plain columns of the row.
    """
    return [
        *_who(instrument, row),
        *_where(row),
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
        ("COL", finite(row["col"]), "[pixel] column; 0 = 1st science column"),
        ("ROW", finite(row["row"]), "[pixel] row; 0 = 1st science row"),
    ]
