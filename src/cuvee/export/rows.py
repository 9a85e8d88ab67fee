"""What the exports share: rows of the light-curve store as arrays, and the words for their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cuvee.store.curve_table import ROW_COLUMNS, point_column

__all__ = ["Observation", "column_order", "observations", "star_name", "star_title"]

_CATALOG = {"tess": "TIC", "kepler": "KIC"}
_FIRST_K2_ID = 200_000_000
_FIRST = (
    "time",
    "flux",
    "flux_err",
    "quality",
    "flag",
    "cadence",
    "exposure",
    "background",
    "centroid_col",
    "centroid_row",
)


@dataclass(frozen=True, slots=True)
class Observation:
    """One row of the light-curve store: a star in one observation.

    Parameters
    ----------
    row : mapping of str to object
        The row's plain columns: ``id, ra, dec, mag, segment, detector, series, col, row, crowding, best``.
    points : mapping of str to array, each of shape (n_point,)
        The nested columns: ``time`` (BTJD), ``flux`` (e-/s) and so on, as the store holds them.
    columns : mapping of str to (unit, meaning), optional
        What the store says of them, the radii of apertures included.
    rounding : str
        By what fluxes were rounded and what noise that added; empty where every bit was kept.
    """

    row: Mapping[str, Any]
    points: Mapping[str, NDArray[Any]]
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    rounding: str = ""

    def describe(self, name: str) -> tuple[str, str]:
        """Return unit and meaning of a nested column; the unit is empty where there is none."""
        return self.columns.get(name) or point_column(name)

    def about(self, name: str) -> tuple[str, str]:
        """Return unit and meaning of a plain column."""
        return self.columns.get(name) or ROW_COLUMNS.get(name, ("", name))

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
        lists = {child.name: nested.field(child.name) for child in nested.type}
        said = {child.name: child.metadata for child in nested.type if child.metadata}
        columns = {
            name: (words.get(b"unit", b"").decode(), words[b"description"].decode())
            for name, words in said.items()
            if b"description" in words
        }
        rounding = said.get("flux", {}).get(b"rounding", b"").decode()
        values = {name: x.values.to_numpy(zero_copy_only=False) for name, x in lists.items()}
        offsets = {name: x.offsets.to_numpy() for name, x in lists.items()}
        known = {name: x.is_valid().to_numpy(zero_copy_only=False) for name, x in lists.items()}
        rows = batch.drop_columns(["lc"]).to_pylist()
        for i, row in enumerate(rows):
            points = {name: values[name][offsets[name][i] : offsets[name][i + 1]] for name in lists if known[name][i]}
            yield Observation(row, points, columns, rounding)


def star_title(instrument: str, star: int | str) -> str:
    """Return what a star is called: ``TIC 25155310``; of a photon counter the target's name."""
    return star if isinstance(star, str) else "{} {}".format(*star_name(instrument, int(star)))


def star_name(instrument: str, star: int) -> tuple[str, int]:
    """Return the catalogue that a star's id belongs to, and the id."""
    if instrument == "kepler" and star >= _FIRST_K2_ID:
        return "EPIC", star
    return _CATALOG.get(instrument, "ID"), star


def column_order(points: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the names of the nested columns, those that everybody looks for first."""
    return [name for name in _FIRST if name in points] + [name for name in points if name not in _FIRST]
