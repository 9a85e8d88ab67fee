"""Light curves as commented text."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.csv

from cuvee import __version__
from cuvee.export.rows import Observation, column_order, star_title

__all__ = ["csv_bytes"]


def csv_bytes(instrument: str, observation: Observation) -> bytes:
    """Write one observation of a star as comma-separated text under a commented header.

    ``pandas.read_csv(file, comment="#", float_precision="round_trip")`` and ``Table.read(file, format="ascii.csv", comment="#")`` open it. Numbers have as many
    digits as it takes to read the same number back.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    observation : Observation
        The row and its points; all of them, with ``nan`` where there is no number.

    Returns
    -------
    bytes
        The file. The same row always gives the same bytes.
    """
    star = star_title(instrument, observation.row["id"])
    names = column_order(observation.points)
    lines = [f"# light curve of {star}, made by cuvee {__version__}"]
    for name, value in observation.row.items():
        if not name.startswith("_"):
            unit, meaning = observation.about(name)
            lines.append(f"# {name} = {value}{f' {unit}' if unit else ''} ({meaning})")
    if observation.rounding:
        lines.append(f"# flux and background are {observation.rounding}")
    for name in names:
        unit, meaning = observation.describe(name)
        lines.append(f"# column {name} [{unit or '1'}]: {meaning}")
    out = io.BytesIO(("\n".join(lines) + "\n").encode())
    out.seek(0, io.SEEK_END)
    table = pa.table({name: observation.points[name] for name in names})
    pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(quoting_style="none", quoting_header="none"))
    return out.getvalue()
