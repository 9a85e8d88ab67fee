"""Which column of a catalogue table is what, and its values as numbers, with complaints that name file, row and value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.store.catalog_formats import NULL_WORDS, OpenTable

__all__ = [
    "EPOCH_NAMES",
    "ID_NAMES",
    "MAG_NAMES",
    "MOTION_NAMES",
    "POSITION_NAMES",
    "TIC_COLUMNS",
    "Column",
    "find_columns",
    "find_places",
    "plain_name",
]

_TIC = """
ID version HIP TYC UCAC TWOMASS SDSS ALLWISE GAIA APASS KIC objType typeSrc ra dec POSflag pmRA e_pmRA pmDEC e_pmDEC
PMflag plx e_plx PARflag gallong gallat eclong eclat Bmag e_Bmag Vmag e_Vmag umag e_umag gmag e_gmag rmag e_rmag imag
e_imag zmag e_zmag Jmag e_Jmag Hmag e_Hmag Kmag e_Kmag TWOMflag prox w1mag e_w1mag w2mag e_w2mag w3mag e_w3mag w4mag
e_w4mag GAIAmag e_GAIAmag Tmag e_Tmag TESSflag SPFlag Teff e_Teff logg e_logg MH e_MH rad e_rad mass e_mass rho e_rho
lumclass lum e_lum d e_d ebv e_ebv numcont contratio disposition duplicate_id priority eneg_EBV epos_EBV EBVflag
eneg_Mass epos_Mass eneg_Rad epos_Rad eneg_rho epos_rho eneg_logg epos_logg eneg_lum epos_lum eneg_dist epos_dist
distflag eneg_Teff epos_Teff TeffFlag gaiabp e_gaiabp gaiarp e_gaiarp gaiaqflag starchareFlag VmagFlag BmagFlag splists
e_RA e_Dec RA_orig Dec_orig e_RA_orig e_Dec_orig raddflag wdflag objID
"""
TIC_COLUMNS = tuple(_TIC.split())
"""Columns of the TIC v8.2 bulk files, which have no header (MAST, tic_column_description.txt)."""

ID_NAMES = ("id", "ticid", "tic", "epicid", "epic", "kicid", "kic", "kepid", "starid", "sourceid")
POSITION_NAMES = (
    ("ra", "dec"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("radeg", "dedeg"),
    ("radeg", "decdeg"),
    ("ra2000", "dec2000"),
    ("ra", "decl"),
    ("ra", "de"),
)
MOTION_NAMES = (("pmra", "pmdec"), ("pmra", "pmde"), ("pmra*", "pmdec"), ("pmra*", "pmde"), ("pmracosdec", "pmdec"))
EPOCH_NAMES = ("epoch", "refepoch", "posepoch")
MAG_NAMES = {
    "tess": ("tmag", "tessmag", "tmagnitude", "mag"),
    "kepler": ("kepmag", "kpmag", "kp", "kickepmag", "mag"),
}

# --- which column is what ---------------------------------------------------------------------------------------------


def plain_name(name: str) -> str:
    """Strip what spellings of a column name differ in: case, blanks, underscores, MAST's ``[ID]:Integer``."""
    name = re.sub(r"^\[(.*)\]:.*$", r"\1", name.strip())
    return re.sub(r"[\s_\-]", "", name).casefold()


class _Finder:
    """Finds columns by alias; a name that occurs twice means the one after the id column (crossmatched tables)."""

    def __init__(self, table: OpenTable) -> None:
        self.table = table
        self.plain = [plain_name(name) for name in table.names]
        self.anchor = 0

    def one(self, aliases: Iterable[str]) -> int | None:
        for alias in aliases:
            found = [i for i, name in enumerate(self.plain) if name == alias]
            if found:
                return next((i for i in found if i >= self.anchor), found[-1])
        return None

    def pair(self, aliases: Iterable[tuple[str, str]]) -> tuple[int, int] | None:
        for first, second in aliases:
            i, j = self.one([first]), self.one([second])
            if i is not None and j is not None:
                return i, j
        return None

    def missing(self, what: str, aliases: Iterable[str]) -> ConfigError:
        names = self.table.names
        shown = ", ".join(names[:40]) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
        return ConfigError(
            f"{self.table.path} has no column for the {what} (looked for {', '.join(dict.fromkeys(aliases))}, in any case); "
            f"its columns are: {shown}."
        )


def find_columns(table: OpenTable, band: str) -> dict[str, int]:
    """Find the columns of a table of stars.

    Parameters
    ----------
    table : OpenTable
        The table; one without column names must be of TIC v8.2 bulk rows.
    band : str
        Which magnitude.

    Returns
    -------
    dict
        Column number by role: ``id``, ``ra``, ``dec``, ``mag``, and where the table has them ``pmra`` and ``pmdec``,
        ``epoch``, ``disposition``.

    Raises
    ------
    ConfigError
        If one of the first four is missing.
    """
    if not table.names:
        if table.n_column not in (len(TIC_COLUMNS), len(TIC_COLUMNS) + 1):
            raise ConfigError(
                f"{table.path} has no header line, and its {table.n_column} columns are not the {len(TIC_COLUMNS)} of the "
                "TIC; add a line with the column names."
            )
        return {name: TIC_COLUMNS.index(column) for name, column in _TIC_ROLES.items()}
    columns = _Finder(table)
    found = _identity(columns)
    names = MAG_NAMES.get(band, (f"{band}mag", "mag"))
    mag = columns.one(names)
    if mag is None:
        raise columns.missing(f"{band} magnitude", names)
    found["mag"] = mag
    motion = columns.pair(MOTION_NAMES)
    if motion is not None:
        found["pmra"], found["pmdec"] = motion
    for role, aliases in (("epoch", EPOCH_NAMES), ("disposition", ("disposition",))):
        column = columns.one(aliases)
        if column is not None:
            found[role] = column
    return found


def find_places(table: OpenTable) -> dict[str, str]:
    """Find the names of the columns that say which star it is, and where.

    Parameters
    ----------
    table : OpenTable
        A table with column names.

    Returns
    -------
    dict
        Name by role: ``id``, ``ra``, ``dec``.

    Raises
    ------
    ConfigError
        If one of them is missing.
    """
    return {role: table.names[column] for role, column in _identity(_Finder(table)).items()}


def _identity(columns: _Finder) -> dict[str, int]:
    id_column = columns.one(ID_NAMES)
    if id_column is None:
        raise columns.missing("star's id", ID_NAMES)
    columns.anchor = id_column
    position = columns.pair(POSITION_NAMES)
    if position is None:
        raise columns.missing("position", (name for pair in POSITION_NAMES for name in pair))
    return {"id": id_column, "ra": position[0], "dec": position[1]}


_TIC_ROLES = {
    "id": "ID",
    "ra": "ra",
    "dec": "dec",
    "mag": "Tmag",
    "pmra": "pmRA",
    "pmdec": "pmDEC",
    "disposition": "disposition",
}


# --- numbers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, with what it takes to complain about it."""

    table: OpenTable
    column: int
    values: pa.ChunkedArray

    @property
    def name(self) -> str:
        """The column's name in the table."""
        return self.table.names[self.column] if self.table.names else TIC_COLUMNS[self.column]

    def complain(self, row: int, what: str) -> ConfigError:
        """Return an error that names file, row (counted from 0 here, from 1 there) and value."""
        value = self.values[row].as_py()
        shown = "missing" if value is None else repr(value)
        return ConfigError(
            f"{self.table.path}: row {row + 1}: {self.name} is {shown}, {what}; mend or remove that row."
        )

    def words(self) -> pa.ChunkedArray:
        """Return the column as trimmed text, null for no value."""
        words = pc.utf8_trim_whitespace(self.values.cast(pa.string()))
        return pc.if_else(pc.is_in(words, value_set=pa.array(NULL_WORDS)), pa.scalar(None, pa.string()), words)

    def floats(self) -> NDArray[np.float64]:
        """Return the column as float64, NaN for no value."""
        values = self.values
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            words = self.words()
            bad = pc.invert(pc.match_substring_regex(words, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"))
            at = pc.index(bad, True).as_py()
            if at >= 0:
                raise self.complain(at, "which is not a number")
            values = words
        try:
            numbers = values.cast(pa.float64(), safe=False)
        except pa.ArrowException as error:
            raise ConfigError(f"{self.table.path}: column {self.name} holds no numbers ({values.type}).") from error
        return np.array(pc.fill_null(numbers, np.nan).to_numpy(), dtype=np.float64)

    def integers(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the column as positive int64, and where it has a value."""
        values = self.values
        if pa.types.is_floating(values.type):
            numbers = self.floats()
            known = ~np.isnan(numbers)
            with np.errstate(invalid="ignore"):
                bad = np.flatnonzero(known & ~((numbers == np.rint(numbers)) & (np.abs(numbers) < 2.0**53)))
            if bad.size:
                raise self.complain(int(bad[0]), "which is not a whole number below 2^53")
            ids = np.where(known, numbers, 0.0).astype(np.int64)
        else:
            if not pa.types.is_integer(values.type):
                if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
                    raise ConfigError(f"{self.table.path}: column {self.name} holds no ids ({values.type}).")
                # "TIC 123" and pandas' "123.0" are ids, too.
                words = pc.replace_substring_regex(self.words(), r"^(?i:TIC|EPIC|KIC)\s*", "")
                values = pc.replace_substring_regex(words, r"^(\d+)\.0*$", r"\1")
                at = pc.index(pc.invert(pc.match_substring_regex(values, r"^[+-]?\d+$")), True).as_py()
                if at >= 0:
                    raise self.complain(at, "which is not a whole number")
            try:
                values = values.cast(pa.int64())
            except pa.ArrowInvalid as error:
                at = next(i for i, value in enumerate(values.to_pylist()) if value and abs(int(value)) >= 2**63)
                raise self.complain(at, "which does not fit 64 bits") from error
            known = np.asarray(pc.is_valid(values).to_numpy(), dtype=np.bool_)
            ids = np.array(pc.fill_null(values, 0).to_numpy(), dtype=np.int64)
        bad = np.flatnonzero(known & (ids <= 0))
        if bad.size:
            raise self.complain(int(bad[0]), "where ids are positive")
        return ids, known

    def scaled(self, unit: str) -> NDArray[np.float64]:
        """Return the column in the unit wished for, by the unit that the table gives it."""
        numbers = self.floats()
        given = self.table.units.get(self.column)
        if given is None or given == unit:
            return numbers
        import astropy.units as u

        try:
            factor = u.Unit(given).to(u.Unit(unit))
        except (ValueError, TypeError, u.UnitsError) as error:
            raise ConfigError(
                f"{self.table.path}: column {self.name} has the unit {given!r} where {unit} is expected."
            ) from error
        return numbers * float(factor)
