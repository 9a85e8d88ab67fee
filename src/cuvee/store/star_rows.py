"""Catalogue stars on their way into a table in SQL: from a table as people have them, a stored catalogue, or what runs have read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cuvee.catalog.stars import healpix_index
from cuvee.errors import ConfigError, StoreError
from cuvee.model.records import Stars
from cuvee.store.catalog_columns import TIC_COLUMNS, Column, find_columns, plain_name
from cuvee.store.catalog_formats import OpenTable, open_table
from cuvee.store.databases import Columns
from cuvee.store.sky_search import catalog_type
from cuvee.store.sky_store import PIXEL_COLUMN, STORE_ORDER, StoredCatalog, read_catalog

__all__ = ["STAR_COLUMNS", "StarRows", "read_star_table", "rows_of_stars", "stored_stars"]

STAR_COLUMNS = {"id": "ID", "ra": "ra", "decl": "dec", "pmra": "pmRA", "pmdec": "pmDEC", "tmag": "Tmag", "teff": "Teff"}
"""The columns of every such table but ``healpix``, and what the TIC calls them; positions in deg, motions in mas/yr, K."""


_KINDS = {"i": "i", "u": "i", "f": "f", "O": "t"}
"""What numpy's kinds of columns are here."""
_MANY = 2_000_000
"""Stars that are in memory at a time, in about."""


class StarRows(NamedTuple):
    """Stars on their way into a table in SQL.

    Parameters
    ----------
    kinds : mapping of str to str
        What each column holds, in their order: ``i`` whole numbers, ``f`` numbers, ``t`` texts.
    parts : iterable of mapping of str to ndarray
        The columns, as many stars at a time as are at hand.
    """

    kinds: Mapping[str, str]
    parts: Iterable[Columns]


def read_star_table(path: Path, more: Sequence[str] = (), band: str = "tess") -> StarRows:
    """Read a table of stars, as people have them, into the columns of a table in SQL.

    Parameters
    ----------
    path : Path
        Whatever `cuvee.store.catalog_formats.open_table` opens.
    more : sequence of str
        Names of further columns of the file.
    band : str
        Which magnitude.

    Returns
    -------
    StarRows
        Columns of `STAR_COLUMNS` (NaN where the file lacks one), ``healpix``, and the others under their names in small letters.
        Rows without an id, and duplicates and artefacts of the TIC, are left out.

    Raises
    ------
    ConfigError
        If the file is no such table, or lacks a column.
    """
    table = open_table(path)
    found = dict(find_columns(table, band))
    names = [plain_name(name) for name in table.names or TIC_COLUMNS]
    if "teff" in names:
        found["teff"] = names.index("teff")
    for name in more:
        if plain_name(name) not in names:
            known = ", ".join(table.names or TIC_COLUMNS)
            raise ConfigError(f"{path} has no column {name}; its columns are: {known}.")
    extra = {name: names.index(plain_name(name)) for name in more if plain_name(name) not in (*STAR_COLUMNS, "dec")}
    kinds = {
        index: pa.int64() if role == "id" else pa.string() if role == "disposition" else pa.float64()
        for role, index in found.items()
    }
    loaded = table.load({**{index: pa.string() for index in extra.values()}, **kinds})
    cells = {role: Column(table, index, loaded[index]) for role, index in found.items()}
    ids, keep = cells["id"].integers()
    if "disposition" in cells:
        words = pc.utf8_upper(cells["disposition"].words())
        keep &= ~np.asarray(
            pc.fill_null(pc.is_in(words, value_set=pa.array(["DUPLICATE", "ARTIFACT"])), False).to_numpy(), np.bool_
        )
    none = np.full(ids.size, np.nan)
    columns: dict[str, NDArray[Any]] = {"id": ids}
    for name, role, unit in (
        ("ra", "ra", "deg"),
        ("decl", "dec", "deg"),
        ("pmra", "pmra", "mas / yr"),
        ("pmdec", "pmdec", "mas / yr"),
    ):
        columns[name] = cells[role].scaled(unit) if role in cells else none
    columns["tmag"] = cells["mag"].floats()
    columns["teff"] = cells["teff"].floats() if "teff" in cells else none
    for name, index in extra.items():
        columns[name.lower()] = _values(loaded[index])
    columns = {name: values[keep] for name, values in columns.items()}
    for name, low, high in (("ra", 0.0, 360.0), ("decl", -90.0, 90.0)):
        if not np.all((columns[name] >= low) & (columns[name] <= high)):
            raise ConfigError(f"{path} has a position that is missing or off the sphere; mend or remove that row.")
    columns["healpix"] = healpix_index(columns["ra"] % 360.0, columns["decl"])
    return StarRows({name: _KINDS[values.dtype.kind] for name, values in columns.items()}, [columns])


def stored_stars(
    folder: Path, more: Sequence[str] = (), within: tuple[float, float] = (-90.0, 90.0), band: str = "tess"
) -> StarRows:
    """Read a stored catalogue as the columns of a table in SQL, cell by cell.

    Parameters
    ----------
    folder : Path
        Root of the catalogue (`cuvee.store.sky_store`).
    more : sequence of str
        Names of further columns; ``all`` for all.
    within : (float, float)
        Declinations (deg) beyond which nothing is wanted.
    band : str
        Which magnitude.

    Returns
    -------
    StarRows
        As `read_star_table` returns them.

    Raises
    ------
    ConfigError
        If there is no such column.
    StoreError
        If the catalogue is damaged.
    """
    catalog = read_catalog(folder)
    spelled = {plain_name(name): name for name in catalog.columns}
    names = tuple(catalog.columns)
    found = find_columns(OpenTable(str(folder), names, len(names), {}, lambda _: {}), band)
    known = {role: names[index] for role, index in found.items()}
    if "teff" in spelled:
        known["teff"] = spelled["teff"]
    wanted = list(catalog.columns) if "all" in more else []
    for name in more:
        if name != "all":
            if plain_name(name) not in spelled:
                raise ConfigError(
                    f"The catalogue {catalog.name} has no column {name}; its columns are: {', '.join(catalog.columns)}."
                )
            wanted.append(spelled[plain_name(name)])
    extra = {name.lower(): name for name in wanted if name not in known.values() or name == known.get("disposition")}
    letters = {name: _kind(catalog_type(catalog, column)) for name, column in extra.items()}
    kinds = {"id": "i", **dict.fromkeys(list(STAR_COLUMNS)[1:], "f"), **letters, "healpix": "i"}
    roles = {"id": "id", "ra": "ra", "decl": "dec", "pmra": "pmra", "pmdec": "pmdec", "tmag": "mag", "teff": "teff"}
    columns = list(dict.fromkeys([*known.values(), *extra.values()]))

    def parts() -> Iterator[Columns]:
        for table in _cells(folder, catalog, columns, known["dec"], within):
            rows = table
            if "disposition" in known:
                bad = pc.is_in(pc.utf8_upper(rows[known["disposition"]]), value_set=pa.array(["DUPLICATE", "ARTIFACT"]))
                rows = rows.filter(pc.invert(bad))
            rows = rows.filter(pc.is_valid(rows[known["id"]]))
            part: dict[str, NDArray[Any]] = {}
            for name, role in roles.items():
                part[name] = _numbers(rows[known[role]]) if role in known else np.full(len(rows), np.nan)
            part["id"] = np.asarray(rows[known["id"]].cast(pa.int64()).to_numpy(), np.int64)
            for name, column in extra.items():
                part[name] = (
                    _numbers(rows[column]) if kinds[name] == "f" else np.array(rows[column].to_pylist(), object)
                )
            part["healpix"] = np.asarray(rows[PIXEL_COLUMN].to_numpy(), np.int64)
            yield part

    return StarRows(kinds, parts())


def _cells(
    folder: Path, catalog: StoredCatalog, columns: list[str], dec: str, within: tuple[float, float]
) -> Iterator[pa.Table]:
    """Yield the rows of a stored catalogue, many at a time."""
    held: list[pa.Table] = []
    for path in sorted(folder.glob(f"Norder={STORE_ORDER}/Dir=*/Npix=*/*.parquet")):
        if not any(path.name.startswith(f"{source.tag}-Npix") for source in catalog.sources):
            continue  # of a source that is no more
        try:
            with pq.ParquetFile(path) as file:
                rows = file.read(columns=[PIXEL_COLUMN, *columns])
        except (pa.ArrowException, OSError, KeyError) as error:
            raise StoreError(f"{path} is damaged; take its table in again with: cuvee catalog import FILE.") from error
        inside = pc.and_(pc.greater_equal(rows[dec], within[0]), pc.less_equal(rows[dec], within[1]))
        held.append(rows.filter(inside))
        if sum(map(len, held)) > _MANY:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _kind(kind: pa.DataType) -> str:
    return "i" if pa.types.is_integer(kind) else "f" if pa.types.is_floating(kind) else "t"


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(values.cast(pa.float64()), np.nan).to_numpy(), np.float64)


def _values(values: pa.ChunkedArray) -> NDArray[Any]:
    """Return a further column as what all of it is: whole numbers, numbers, or text."""
    words = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    for kind in (pa.int64(), pa.float64()):
        if not words and kind == pa.int64() and not pa.types.is_integer(values.type):
            continue
        try:
            numbers = values.cast(kind)
        except pa.ArrowException:
            continue
        if numbers.null_count == 0:
            return np.array(numbers.to_numpy(), kind.to_pandas_dtype())
        if kind == pa.float64() and numbers.null_count < len(numbers):
            return np.array(pc.fill_null(numbers, np.nan).to_numpy(), np.float64)
    return np.array(values.cast(pa.string()).to_pylist(), object)


def rows_of_stars(stars: Stars) -> StarRows:
    """Return stars of the catalogue partitions of a run as the columns of a table in SQL.

    Parameters
    ----------
    stars : Stars
        From `cuvee.store.catalogs.read_partitions`.
    """
    columns = {
        "id": stars.id,
        "ra": stars.ra,
        "decl": stars.dec,
        "pmra": stars.pmra,
        "pmdec": stars.pmdec,
        "tmag": stars.mag,
        "teff": np.full(len(stars), np.nan),
        "healpix": stars.healpix,
    }
    return StarRows({name: _KINDS[values.dtype.kind] for name, values in columns.items()}, [columns])
