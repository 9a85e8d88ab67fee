"""An exposure by time and wavelength as two more tables of its FITS file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.export.hdu import Card, hdu_bytes, header_text, table_shape

__all__ = ["resolved_tables"]

_PLANES = {
    "flux": ("erg s-1 cm-2 Angstrom-1", "mean flux in the cell"),
    "flux_err_low": ("erg s-1 cm-2 Angstrom-1", "its 68.27 % interval reaches so far below"),
    "flux_err_high": ("erg s-1 cm-2 Angstrom-1", "and so far above"),
    "gross": ("count", "events in the source's region"),
    "background": ("count", "how many are expected to be background"),
}
_CELLS = {
    "low": ("Angstrom", "where the cell begins"),
    "high": ("Angstrom", "where it ends"),
    "width": ("Angstrom", "how much of it was observed"),
}


def resolved_tables(arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.bool_]) -> bytes:
    """Write the tables RESOLVED, a row a bin as LIGHTCURVE has them, and WAVELENGTH, a row a cell.

    Parameters
    ----------
    arrays : mapping of str to array
        What `cuvee.store.photon_curves.read_exposure` returns.
    rows : bool array, shape (n_bin,)
        Bins that the light curve's table has.

    Returns
    -------
    bytes
        Whole FITS units, to follow the light curve's; none where the exposure was not binned by wavelength.
    """
    if "resolved.flux" not in arrays:
        return b""
    edges = arrays["resolved.edges"]
    planes = {name: arrays[f"resolved.{name}"].T[rows] for name in _PLANES}
    cells = {"low": edges[:-1], "high": edges[1:], "width": arrays["resolved.width"]}
    return _table("RESOLVED", planes, _PLANES, ">f4") + _table("WAVELENGTH", cells, _CELLS, ">f8")


def _table(name: str, columns: Mapping[str, NDArray[Any]], said: Mapping[str, tuple[str, str]], kind: str) -> bytes:
    n_row = next(iter(columns.values())).shape[0]
    data = np.empty(n_row, [(key, kind, values.shape[1:]) for key, values in columns.items()])
    cards: list[Card] = [("TFIELDS", len(columns), "number of columns")]
    for k, (key, values) in enumerate(columns.items(), 1):
        data[key] = values
        unit, meaning = said[key]
        many = str(values.shape[1]) if values.ndim > 1 else ""
        cards += [
            (f"TTYPE{k}", key.upper(), meaning),
            (f"TFORM{k}", many + ("E" if kind == ">f4" else "D"), "column format"),
            (f"TUNIT{k}", unit, "unit of the column"),
        ]
    cards += [("EXTNAME", name, "name of this extension"), ("EXTVER", 1, "version of this extension")]
    return hdu_bytes(header_text(table_shape(data.itemsize, n_row)) + header_text(cards), data.tobytes())
