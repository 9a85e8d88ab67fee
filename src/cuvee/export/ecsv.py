"""Light curves as ECSV: text with units, meanings and metadata that astropy reads back bit for bit."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.csv

from cuvee import __version__
from cuvee.export.rows import Observation, column_order, star_title
from cuvee.model.records import BJD_OFFSET

__all__ = ["ecsv_bytes"]


def ecsv_bytes(instrument: str, observation: Observation) -> bytes:
    """Write one observation of a star as ECSV.

    ``astropy.table.Table.read(file)`` gives every number back as it was, with types, units, meanings, and the row's plain columns in ``meta``.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    observation : Observation
        The row and its points; all of them, with ``nan`` where there is no number, time included.

    Returns
    -------
    bytes
        The file. The same row always gives the same bytes.

    References
    ----------
    Astropy Proposal for Enhancement 6: Enhanced Character Separated Values table format (https://doi.org/10.5281/zenodo.1043901).
    """
    import astropy.units as u
    from astropy.table import Column, Table

    star = star_title(instrument, observation.row["id"])
    names = column_order(observation.points)
    meta: dict[str, Any] = {"object": star, "creator": f"cuvee {__version__}", "instrument": instrument}
    meta |= {name: value for name, value in observation.row.items() if not name.startswith("_")}
    meta |= {"time_scale": "tdb", "time_reference": "barycenter", "time_zero_jd": BJD_OFFSET}
    if observation.rounding:
        meta["rounding"] = f"flux and background are {observation.rounding}"
    columns = []
    for name in names:
        unit, meaning = observation.describe(name)
        none = observation.points[name][:0]
        columns.append(Column(none, name=name, unit=u.Unit(unit) if unit else None, description=meaning))
    # Astropy writes the header; arrow writes the numbers, which is many times faster and as exact (the shortest text that reads
    # back as the same number).
    head = io.StringIO(newline="")
    Table(columns, meta=meta).write(head, format="ascii.ecsv", delimiter=",")
    out = io.BytesIO(head.getvalue().encode())
    out.seek(0, io.SEEK_END)
    table = pa.table({name: observation.points[name] for name in names})
    plain = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(table, out, plain)
    return out.getvalue()
