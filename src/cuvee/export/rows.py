"""What the exports share: rows of the light-curve store as arrays, and the words for their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["Observation", "column_order", "describe_column", "observations", "star_name"]

_CATALOG = {"tess": "TIC", "kepler": "KIC"}
_FIRST_K2_ID = 200_000_000
_FIRST = ("time", "flux", "flux_err", "quality", "flag", "cadence", "background", "centroid_col", "centroid_row")

_COLUMNS = {
    "time": ("d", "BJD_TDB - 2457000 at mid-exposure"),
    "cadence": ("", "the mission's cadence number"),
    "quality": ("", "the mission's quality bits, unchanged"),
    "flag": ("", "cuvee's own bits"),
    "flux": ("e-/s", "flux in the best aperture"),
    "flux_err": ("e-/s", "1-sigma error of flux"),
    "background": ("e-/s/pixel", "background under the star, in one pixel"),
    "background_err": ("e-/s/pixel", "1-sigma error of background"),
    "centroid_col": ("pixel", "column centroid; 0 = 1st science column"),
    "centroid_row": ("pixel", "row centroid; 0 = 1st science row"),
}


@dataclass(frozen=True, slots=True)
class Observation:
    """One row of the light-curve store: a star in one observation.

    Parameters
    ----------
    row : mapping of str to object
        The row's plain columns: ``id, ra, dec, mag, segment, detector, series, col, row, crowding, best``.
    points : mapping of str to array, each of shape (n_point,)
        The nested columns: ``time`` (BTJD), ``flux`` (e-/s) and so on, as the store holds them.
    """

    row: Mapping[str, Any]
    points: Mapping[str, NDArray[Any]]

    def column(self, name: str) -> NDArray[Any]:
        """Return a nested column, NaN where this observation has none of that name."""
        if name in self.points:
            return self.points[name]
        return np.full(self.points["time"].size, np.nan, np.float32)


def observations(table: pa.Table) -> Iterator[Observation]:
    """Walk through the rows of a light-curve table without copying their points.

    Parameters
    ----------
    table : pyarrow.Table
        Rows of the light-curve store; ``lc`` is a struct of lists of equal length.

    Yields
    ------
    Observation
        Row by row; the arrays are views. A nested column that the store has not for this observation is left out.
    """
    for batch in table.to_batches():
        nested = batch.column("lc")
        lists = {field.name: nested.field(field.name) for field in nested.type}
        values = {name: x.values.to_numpy(zero_copy_only=False) for name, x in lists.items()}
        offsets = {name: x.offsets.to_numpy() for name, x in lists.items()}
        known = {name: x.is_valid().to_numpy(zero_copy_only=False) for name, x in lists.items()}
        rows = batch.drop_columns(["lc"]).to_pylist()
        for i, row in enumerate(rows):
            points = {name: values[name][offsets[name][i] : offsets[name][i + 1]] for name in lists if known[name][i]}
            yield Observation(row, points)


def describe_column(name: str) -> tuple[str, str]:
    """Return unit and meaning of a column of ``lc``; both empty for one that is not known."""
    if name.startswith("aperture"):
        aperture, _, kind = name.removeprefix("aperture").partition("_")
        if kind == "flux":
            return "e-/s", f"flux in aperture {aperture}"
        if kind == "flux_err":
            return "e-/s", f"1-sigma error of flux in aperture {aperture}"
    return _COLUMNS.get(name, ("", ""))


def star_name(instrument: str, star: int) -> tuple[str, int]:
    """Return the catalogue that a star's id belongs to, and the id."""
    if instrument == "kepler" and star >= _FIRST_K2_ID:
        return "EPIC", star
    return _CATALOG.get(instrument, "ID"), star


def column_order(points: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of the nested columns, those that everybody looks for first."""
    return [name for name in _FIRST if name in points] + [name for name in points if name not in _FIRST]
