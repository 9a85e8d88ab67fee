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
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from cuvee.export.hdu import EMPTY, Card, hdu_bytes, header_text, table_shape
from cuvee.export.rows import Observation, column_order
from cuvee.export.star_cards import finite, primary_cards, table_cards
from cuvee.model.flags import FLAGS, QUALITY

__all__ = ["fits_bytes", "light_curve_file"]

_NAMES = {"cadence": "CADENCENO"}
_UNITS = {
    "electron/s": "e-/s",
    "electron/(s pixel)": "e-/s",
    "erg/(cm2 s)": "erg s-1 cm-2",
    "count/s": "count s-1",
}
"""Both readers know the mission's "e-/s", which is outside the FITS Standard, but nothing built from it; the others as the standard writes them."""
_FORMATS = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "i2": "I"}


def _cards(row: Mapping[str, Any]) -> list[Card]:
    """Return the cards that only a light curve has, for its table's header."""
    return [
        ("BESTAPER", str(row["best"]), "aperture that FLUX holds"),
        ("CROWDING", finite(row["crowding"]), "target's share of the flux in that aperture"),
    ]


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
    return header_text(cards), header_text(words)


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
    first = [*EMPTY, ("CREATOR", "cuvee", "program that made this file"), *primary_cards(instrument, observation.row)]
    return light_curve_file(
        instrument, observation, first, table_cards(instrument, observation.row) + _cards(observation.row)
    )


def light_curve_file(instrument: str, observation: Observation, first: list[Card], table: list[Card]) -> bytes:
    """Write an empty primary HDU and the table LIGHTCURVE.

    Parameters
    ----------
    instrument : str
        Whose quality bits to name.
    observation : Observation
        The points; those without a finite time are left out.
    first, table : list of (keyword, value, comment)
        All of the primary header, and what the table's says beside its columns and flags.
    """
    keep = np.isfinite(observation.points["time"])
    names = column_order(observation.points)
    types = [observation.points[name].dtype.newbyteorder(">") for name in names]
    data = np.empty(int(keep.sum()), dtype=list(zip(names, types, strict=True)))
    for name in names:
        data[name] = observation.points[name][keep]
    form = tuple(
        (name, _FORMATS[kind.str[1:]], *observation.describe(name)) for name, kind in zip(names, types, strict=True)
    )
    columns, words = _table_cards(form, instrument)
    if observation.rounding:
        said = textwrap.wrap(f"Flux and background are {observation.rounding}.", 72)
        words += header_text([("COMMENT", line, "") for line in said])
    second = header_text(table_shape(data.itemsize, data.size)) + columns + header_text(table) + words
    return hdu_bytes(header_text(first)) + hdu_bytes(second, data.tobytes())
