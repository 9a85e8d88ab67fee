"""Stars of a stored catalogue in a circle or a polygon of the sky, in milliseconds: of each cell that meets it, the rows that lie inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.catalog.motion import unit_vectors
from cuvee.catalog.project import Cone, cone_cells
from cuvee.catalog.stars import HEALPIX_ORDER
from cuvee.errors import ConfigError, StoreError
from cuvee.store.sky_store import PIXEL_COLUMN, STORE_ORDER, StoredCatalog, cell_file, read_catalog

__all__ = ["DISTANCE", "catalog_type", "cone_search", "polygon_search"]

DISTANCE = "distance"
"""Column that a cone search adds: from the centre (arcsec)."""

FINEST = 9
"""Rows are picked by cells of at most this order (7 arcmin) before a distance is computed."""

ACROSS = 16
"""Cells across a circle by which rows are picked, in about: many more would take longer to list than they save."""

Inside = Callable[[NDArray[np.float64]], NDArray[np.bool_]]


def cone_search(folder: Path, ra: float, dec: float, radius: float, columns: Sequence[str] = ()) -> pa.Table:
    """Find the stars within a circle.

    Parameters
    ----------
    folder : Path
        Root of the catalogue.
    ra, dec : float
        Centre (deg), in the frame and at the epoch of the catalogue.
    radius : float
        Radius (deg), to 180.
    columns : sequence of str, optional
        Columns wanted, by default all.

    Returns
    -------
    pyarrow.Table
        Nearest first, with `DISTANCE`.

    Raises
    ------
    ConfigError
        If the place is off the sphere, or there is no such column.
    StoreError
        If there is no such catalogue, or a file of it is damaged.
    """
    if not (0.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0 and 0.0 < radius <= 180.0):
        raise ConfigError(
            f"There is no circle of {radius:g} deg around {ra:g} {dec:g}: RA is from 0 to 360, Dec from -90 to 90, a radius from 0 to 180."
        )
    centre = unit_vectors(np.array([ra]), np.array([dec]))[0]
    chord = 2.0 * np.sin(0.5 * np.deg2rad(radius))
    table = _search(
        folder,
        Cone(ra, dec, radius),
        columns,
        lambda place: np.asarray(((place - centre) ** 2).sum(axis=1) <= chord**2),
    )
    away = np.linalg.norm(_places(table, read_catalog(folder)) - centre, axis=1)
    distance = np.rad2deg(2.0 * np.arcsin(np.minimum(0.5 * away, 1.0))) * 3600.0
    order = pa.array(np.argsort(distance, kind="stable"))
    return _only(table.append_column(DISTANCE, pa.array(distance)).take(order), columns, DISTANCE)


def polygon_search(folder: Path, ra: Sequence[float], dec: Sequence[float], columns: Sequence[str] = ()) -> pa.Table:
    """Find the stars within a polygon.

    Parameters
    ----------
    folder : Path
        Root of the catalogue.
    ra, dec : sequence of float
        Its corners in their order (deg); sides are great circles, and it must be convex and smaller than a hemisphere.
    columns : sequence of str, optional
        Columns wanted, by default all.

    Returns
    -------
    pyarrow.Table
        By place on the sky.

    Raises
    ------
    ConfigError
        If it is no convex polygon, or there is no such column.
    StoreError
        If there is no such catalogue, or a file of it is damaged.
    """
    corners = unit_vectors(np.asarray(ra, np.float64), np.asarray(dec, np.float64))
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise ConfigError("A polygon has three corners or more, each with RA and Dec in degrees.")
    middle = corners.mean(axis=0)
    middle /= np.linalg.norm(middle)
    sides = np.cross(corners, np.roll(corners, -1, axis=0))
    if (sides @ middle).sum() < 0.0:
        sides = -sides
    if ((corners @ sides.T) < -1e-12).any() or (corners @ middle).min() <= 0.0:
        raise ConfigError("The polygon is not convex, or as large as half the sky; cut it into convex ones.")
    reach = np.rad2deg(np.arccos(np.clip((corners @ middle).min(), -1.0, 1.0)))
    centre_dec = float(np.rad2deg(np.arcsin(middle[2])))
    centre_ra = float(np.rad2deg(np.arctan2(middle[1], middle[0])) % 360.0)
    found = _search(
        folder,
        Cone(centre_ra, centre_dec, reach),
        columns,
        lambda place: np.asarray((place @ sides.T >= 0.0).all(axis=1)),
    )
    return _only(found, columns)


def _search(folder: Path, around: Cone, columns: Sequence[str], inside: Inside) -> pa.Table:
    catalog = read_catalog(folder)
    odd = [name for name in columns if name not in catalog.columns]
    if odd:
        raise ConfigError(
            f"The catalogue {catalog.name!r} has no column {odd[0]!r}; it has {', '.join(catalog.columns)}."
        )
    wanted = list(dict.fromkeys([*(columns or catalog.columns), catalog.roles["ra"], catalog.roles["dec"]]))
    # Whole cells, so that a few integers are compared before anything else is read. Those of order 0 are 58.6 deg wide.
    order = int(np.clip(np.log2(58.6 * ACROSS / (2.0 * around.radius)), STORE_ORDER, FINEST))
    fine = cone_cells(Cone(around.ra, around.dec, around.radius * (1.0 + 1e-9) + 1e-9), order)
    found = []
    for pixel in np.unique(fine >> 2 * (order - STORE_ORDER)).tolist():
        for source in catalog.sources:
            path = cell_file(folder, pixel, source.tag)
            if path.is_file():
                found += _rows(path, fine, order, wanted, catalog, inside)
    if not found:
        return pa.table({name: pa.array([], catalog_type(catalog, name)) for name in wanted})
    return pa.concat_tables(found)


def catalog_type(catalog: StoredCatalog, name: str) -> pa.DataType:
    """Return the type of a column."""
    kinds: dict[str, Any] = {"double": pa.float64(), "float": pa.float32(), "string": pa.string()}
    kind = catalog.columns[name]
    return kinds.get(kind) or pa.type_for_alias(kind)


def _rows(
    path: Path, fine: NDArray[np.int64], order: int, wanted: list[str], catalog: StoredCatalog, inside: Inside
) -> list[pa.Table]:
    """Return the rows of one file that lie inside, row group by row group."""
    found = []
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                index = file.read_row_group(group, [PIXEL_COLUMN])[PIXEL_COLUMN].to_numpy() >> 2 * (
                    HEALPIX_ORDER - order
                )
                at = np.searchsorted(fine, index)
                near = np.flatnonzero(fine[np.minimum(at, fine.size - 1)] == index)
                if near.size:
                    rows = file.read_row_group(group, wanted).take(pa.array(near))
                    found.append(rows.filter(pa.array(inside(_places(rows, catalog)))))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise StoreError(f"{path} is damaged; take its table in again with: cuvee catalog import FILE.") from error
    return found


def _places(table: pa.Table, catalog: StoredCatalog) -> NDArray[np.float64]:
    ra, dec = (table[catalog.roles[axis]].to_numpy() for axis in ("ra", "dec"))
    return unit_vectors(ra, dec)


def _only(table: pa.Table, columns: Sequence[str], *more: str) -> pa.Table:
    return table.select([*columns, *more]) if columns else table
