"""Light curves as VOTable, for TOPCAT, Aladin and everything else of the Virtual Observatory.

References
----------
VOTable Format Definition 1.4 (IVOA Recommendation, 2019): TIMESYS section 3.5, BINARY2 section 6; UCD1+ controlled vocabulary 1.5
(IVOA, 2023); VOUnits 1.1 (IVOA, 2023): units that the standard does not know, such as the electron, stand in quotes (section 2.7).
"""

from __future__ import annotations

import base64
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from cuvee import __version__
from cuvee.export.rows import Observation, column_order, star_title
from cuvee.model.flags import FLAGS, QUALITY
from cuvee.model.records import BJD_OFFSET

__all__ = ["votable_bytes"]

_TYPES = {"f8": "double", "f4": "float", "i8": "long", "i4": "int", "i2": "short"}
_UNITS = {
    "electron/s": "'electron'.s**-1",
    "electron/(s pixel)": "'electron'.s**-1.pixel**-1",
    "count/s": "count.s**-1",
    "erg/(cm2 s)": "mW.m**-2",  # the same; VOUnits deprecates the erg
}
_UCD = {
    "time": "time.epoch;meta.main",
    "cadence": "meta.id;obs.exposure",
    "quality": "meta.code.qual",
    "flag": "meta.code.qual",
    "flux": "phot.flux;em.opt;meta.main",
    "centroid_col": "pos.cartesian.x;instr.det",
    "centroid_row": "pos.cartesian.y;instr.det",
    "id": "meta.id;meta.main",
    "ra": "pos.eq.ra;meta.main",
    "dec": "pos.eq.dec;meta.main",
    "mag": "phot.mag;em.opt",
    "segment": "meta.id;obs",
    "detector": "meta.id;instr.det",
    "series": "meta.id;obs.image",
    "col": "pos.cartesian.x;instr.det",
    "row": "pos.cartesian.y;instr.det",
    "crowding": "phot.flux;arith.ratio",
    "best": "meta.id",
    "exposure": "time.duration;obs.exposure",
    "dataset": "meta.id;obs",
    "gross": "phot.count",
    "net": "arith.rate;phot.count",
    "grating": "instr.dispersion",
    "cenwave": "em.wl.central",
    "aperture": "instr.setup",
    "proposal": "meta.id;obs.proposal",
    "mjd": "time.start;obs.exposure",
    "seconds": "time.duration;obs.exposure",
}


def _ucd(name: str, unit: str) -> str:
    """Return the UCD of a column: what kind of quantity it is, in the Virtual Observatory's words."""
    if unit == "erg/(cm2 s)":  # of photons, in whatever band
        return _UCD["flux"].replace("em.opt;", "") if name == "flux" else _stat(name, "phot.flux")
    if unit.startswith("count"):
        return _UCD.get(name) or _stat(name, f"phot.count{';instr.background' if name == 'background' else ''}")
    if name in _UCD:
        return _UCD[name]
    plain = name.removesuffix("_err")
    word = "phot.flux;instr.background" if plain.startswith("background") else "phot.flux;em.opt"
    return _stat(name, word)


def _stat(name: str, word: str) -> str:
    return f"stat.error;{word}" if "_err" in name else word


def _param(name: str, value: Any, unit: str, meaning: str) -> str:
    if isinstance(value, int):
        kind, text = 'datatype="long"', str(value)
    elif isinstance(value, str):
        kind, text = 'datatype="char" arraysize="*"', value
    else:
        kind, text = 'datatype="double"', "NaN" if value is None or np.isnan(value) else repr(float(value))
    place = ' ref="icrs"' if name in ("ra", "dec") else ""
    return _element("PARAM", name, kind + place, unit, meaning, f" value={quoteattr(text)}")


def _element(tag: str, name: str, kind: str, unit: str, meaning: str, rest: str = "") -> str:
    said = f" unit={quoteattr(_UNITS.get(unit, unit))}" if unit else ""
    words = f"<DESCRIPTION>{escape(meaning)}</DESCRIPTION>" if meaning else ""
    return f'<{tag} name={quoteattr(name)} {kind}{said} ucd="{_ucd(name, unit)}"{rest}>{words}</{tag}>'


def _bits(instrument: str) -> list[str]:
    groups = (("flag", FLAGS), ("quality", QUALITY.get(instrument, ())))
    return [
        f'<INFO name="{column}_{bit.value}" value={quoteattr(bit.name)}>{escape(bit.meaning)}</INFO>'
        for column, bits in groups
        for bit in bits
    ]


def votable_bytes(instrument: str, observation: Observation) -> bytes:
    """Write one observation of a star as VOTable 1.4.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    observation : Observation
        The row and its points; all of them, with NaN where there is no number, time included.

    Returns
    -------
    bytes
        The file: one table, the star's facts as PARAM, the points in BINARY2, so every number is exact; the column ``time`` refers to a TIMESYS.
        The same row always gives the same bytes.
    """
    star = star_title(instrument, observation.row["id"])
    names = column_order(observation.points)
    size = observation.points["time"].size
    # Ahead of each row BINARY2 has a bit a column that says whether the value is missing. A float that is missing is NaN.
    fields: list[Any] = [("", "u1", (-(-len(names) // 8),))]
    fields += [(name, observation.points[name].dtype.newbyteorder(">")) for name in names]
    data = np.zeros(size, dtype=fields)
    for name in names:
        data[name] = observation.points[name]
    rounding = f"flux and background are {observation.rounding}"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">',
        '<RESOURCE type="results">',
        f"<DESCRIPTION>Light curve of {star}</DESCRIPTION>",
        f'<INFO name="creator" value="cuvee {__version__}"/>',
        f'<INFO name="instrument" value={quoteattr(instrument)}/>',
        *([f'<INFO name="rounding" value={quoteattr(rounding)}/>'] if observation.rounding else []),
        *_bits(instrument),
        '<COOSYS ID="icrs" system="ICRS" epoch="J2000.0"/>',
        f'<TIMESYS ID="btjd" timeorigin="{BJD_OFFSET!r}" timescale="TDB" refposition="BARYCENTER"/>',
        f'<TABLE name="light_curve" nrows="{size}">',
        *(
            _param(name, value, *observation.about(name))
            for name, value in observation.row.items()
            if not name.startswith("_")
        ),
    ]
    for name in names:
        kind = f'datatype="{_TYPES[observation.points[name].dtype.str[1:]]}"'
        unit, meaning = observation.describe(name)
        lines.append(_element("FIELD", name, kind + (' ref="btjd"' if name == "time" else ""), unit, meaning))
    lines.append('<DATA><BINARY2><STREAM encoding="base64">')
    text = base64.encodebytes(data.tobytes()).decode()
    end = "</STREAM></BINARY2></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"
    return ("\n".join(lines) + "\n" + text + end).encode()
