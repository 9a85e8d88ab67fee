"""Open any table an astronomer may have, and read a few of its columns fast.

What a file is, its first bytes say; its name does not matter. Text tables (csv, tab, semicolon, ECSV) go through pyarrow's
reader, which parses only what is asked for.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from cuvee.errors import ConfigError

__all__ = ["NULL_WORDS", "OpenTable", "TextLayout", "open_table"]

NULL_WORDS = ("", "NULL", "null", "NaN", "nan", "NAN", "N/A", "n/a", "None", "--")
"""What stands for no value in text."""

_HEAD = 1 << 20  # bytes looked at before a header must be complete
_COMPRESSION = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_KINDS = "csv, ECSV, FITS, VOTable or Parquet"

Loader = Callable[[Mapping[int, "pa.DataType"]], dict[int, "pa.ChunkedArray"]]


@dataclass(frozen=True, slots=True)
class TextLayout:
    """How a text table is to be parsed.

    Parameters
    ----------
    delimiter : str
        Between fields.
    skip : int
        Lines before the first row.
    compression : str or None
        As pyarrow calls it.
    """

    delimiter: str
    skip: int
    compression: str | None


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A table whose columns can be read.

    Parameters
    ----------
    path : str
        The file.
    names : tuple of str
        Column names in order; a table without a header has none.
    n_column : int
        Number of columns.
    units : mapping of int to str
        Units of those columns that have one.
    load : callable
        ``load({column: type}) -> {column: array}``; text that does not parse as the type wished for stays text.
    text : TextLayout, optional
        Of a text table.
    """

    path: str
    names: tuple[str, ...]
    n_column: int
    units: Mapping[int, str]
    load: Loader
    text: TextLayout | None = None


def open_table(path: Path) -> OpenTable:
    """Find out what kind of table a file is, and read its column names.

    Parameters
    ----------
    path : Path
        csv (also with tabs, semicolons or bars, gzip, bzip2, zstd), ECSV, FITS binary or ASCII table, VOTable, Parquet.

    Returns
    -------
    OpenTable

    Raises
    ------
    ConfigError
        If the file is missing, empty, damaged or no table.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name the table files in it.")
    try:
        with path.open("rb") as file:
            magic = file.read(8)
        if not magic:
            raise ConfigError(f"{path} is empty; fetch the table again.")
        compression = next((name for start, name in _COMPRESSION.items() if magic.startswith(start)), None)
        with pa.input_stream(str(path), compression=compression) as stream:
            head = bytes(stream.read(_HEAD))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no catalogue {path}; check the name.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {_first_line(error)}; fetch it again.") from error
    start = head[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = start[:512].lower()
    if not start:
        raise ConfigError(f"{path} is empty; fetch the table again.")
    if start.startswith(b"PAR1"):
        return _parquet(path)
    if start.startswith(b"SIMPLE  ="):
        return _fits(path)
    if lower.startswith((b"<!doctype html", b"<html")):
        raise ConfigError(f"{path} is a web page, not a table; fetch the table itself ({_KINDS}).")
    if start.startswith(b"<"):
        if b"<VOTABLE" in head:
            return _votable(path)
        raise ConfigError(f"{path} is XML, but not a VOTable; cuvee reads {_KINDS}.")
    if b"\0" in head:
        raise ConfigError(f"{path} is not a table that cuvee reads ({_KINDS}).")
    return _text(path, head, compression)


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def _is_number(text: str) -> bool:
    """Tell whether a word is a decimal number."""
    return _NUMBER.fullmatch(text.strip()) is not None


# --- text -------------------------------------------------------------------------------------------------------------


def _text(path: Path, head: bytes, compression: str | None) -> OpenTable:
    text = head.decode("utf-8", errors="replace").removeprefix("\ufeff")
    lines = text.splitlines()
    if len(head) == _HEAD and len(lines) > 1:
        lines.pop()  # cut off in the middle
    n_comment = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    if n_comment == len(lines):
        raise ConfigError(f"{path} holds nothing but comments; fetch the table again.")
    comments = [line for line in lines[:n_comment] if line.startswith("#")]
    units: dict[int, str] = {}
    if comments and comments[0].startswith("# %ECSV"):
        delimiter = "," if any(re.fullmatch(r"# delimiter: [\"']?,[\"']?", line) for line in comments) else " "
    else:
        delimiter = max(",\t;|", key=lines[n_comment].count)
    first = _fields(lines[n_comment], delimiter)
    skip = n_comment
    names: tuple[str, ...] = ()
    if not any(_is_number(field) for field in first):
        names, skip = tuple(field.strip() for field in first), n_comment + 1
    elif comments:
        above = _fields(comments[-1].lstrip("# "), delimiter)
        if len(above) == len(first):
            names = tuple(field.strip() for field in above)
    if len(first) < 3:
        raise ConfigError(
            f"{path} is not a table that cuvee reads: its line {n_comment + 1} has {len(first)} column(s), "
            f"where id, ra, dec and a magnitude are needed ({_KINDS})."
        )
    if comments and comments[0].startswith("# %ECSV"):
        units = _ecsv_units(path, comments)

    def load(kinds: Mapping[int, pa.DataType]) -> dict[int, pa.ChunkedArray]:
        columns = [f"c{i}" for i in range(len(first))]
        wanted = {columns[i]: kind for i, kind in kinds.items()}
        parse = pa_csv.ParseOptions(delimiter=delimiter)
        for types, threads in ((wanted, True), (dict.fromkeys(wanted, pa.string()), False)):
            try:
                with pa.input_stream(str(path), compression=compression) as stream:
                    table = pa_csv.read_csv(
                        stream,
                        read_options=pa_csv.ReadOptions(column_names=columns, skip_rows=skip, use_threads=threads),
                        parse_options=parse,
                        convert_options=pa_csv.ConvertOptions(
                            include_columns=list(wanted),
                            column_types=types,
                            null_values=list(NULL_WORDS),
                            strings_can_be_null=True,
                        ),
                    )
                return {i: table[columns[i]] for i in kinds}
            except pa.ArrowInvalid as error:
                # A word in a column of numbers: read it as text, and whoever wants the numbers says which row it is.
                reason = error
            except OSError as error:
                raise ConfigError(f"{path} is cut short or damaged: {_first_line(error)}; fetch it again.") from error
        ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(reason))
        if ragged:
            row, expected, got = (int(group) for group in ragged.groups())
            raise ConfigError(
                f"{path}: row {row - skip} has {got} columns where {expected} are expected; mend or remove that row."
            ) from reason
        if "Empty CSV" in str(reason):
            return {i: pa.chunked_array([[]], pa.string()) for i in kinds}
        raise ConfigError(f"{path} is not a readable table: {_first_line(reason)}.") from reason

    return OpenTable(str(path), names, len(first), units, load, TextLayout(delimiter, skip, compression))


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _ecsv_units(path: Path, comments: list[str]) -> dict[int, str]:
    from astropy.table.meta import YamlParseError, get_header_from_yaml

    try:
        header = get_header_from_yaml(line.removeprefix("#").removeprefix(" ") for line in comments)
        return {i: str(column["unit"]) for i, column in enumerate(header["datatype"]) if column.get("unit")}
    except (YamlParseError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: its ECSV header is damaged; write the table again or remove the header.") from error


# --- binary -----------------------------------------------------------------------------------------------------------


def _parquet(path: Path) -> OpenTable:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path} is a damaged Parquet file: {_first_line(error)}; fetch it again.") from error
    names = tuple(file.schema_arrow.names)

    def load(kinds: Mapping[int, pa.DataType]) -> dict[int, pa.ChunkedArray]:
        try:
            table = file.read(columns=[names[i] for i in kinds])
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"{path} is a damaged Parquet file: {_first_line(error)}; fetch it again.") from error
        return {i: table[names[i]] for i in kinds}

    return OpenTable(str(path), names, len(names), {}, load)


def _fits(path: Path) -> OpenTable:
    from astropy.io import fits

    def read(kinds: Mapping[int, pa.DataType]) -> tuple[list[tuple[str, str]], dict[int, pa.ChunkedArray]]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # odd units and cut-off files; what matters is checked here
                with fits.open(path, memmap=False) as file:
                    table = next((hdu for hdu in file if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
                    if table is None:
                        raise ConfigError(f"{path} is a FITS file without a table; name a table of stars.")
                    columns = [(column.name or "", column.unit or "") for column in table.columns]
                    return columns, {i: _fits_column(table, i) for i in kinds}
        except (OSError, TypeError, ValueError, IndexError, KeyError) as error:
            raise ConfigError(f"{path} is a damaged FITS file: {_first_line(error)}; fetch it again.") from error

    columns, _ = read({})
    units = {i: unit for i, (_, unit) in enumerate(columns) if unit}
    names = tuple(name for name, _ in columns)
    return OpenTable(str(path), names, len(names), units, lambda kinds: read(kinds)[1])


def _fits_column(table: Any, i: int) -> pa.ChunkedArray:
    values = table.data.field(i)
    null = table.columns[i].null
    masked = np.ma.masked_equal(values, null) if null is not None and values.dtype.kind in "iu" else values
    return _arrow(masked)


def _votable(path: Path) -> OpenTable:
    from astropy.io.votable import parse_single_table

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # VOTables in the wild break the standard in a hundred harmless ways
            table = parse_single_table(path, verify="ignore").to_table(use_names_over_ids=True)
    except Exception as error:  # expat's, astropy's and numpy's errors alike mean a damaged file
        raise ConfigError(f"{path} is a damaged VOTable: {_first_line(error)}; fetch it again.") from error
    names = tuple(str(name) for name in table.colnames)
    units = {i: str(table[name].unit) for i, name in enumerate(names) if table[name].unit is not None}

    def load(kinds: Mapping[int, pa.DataType]) -> dict[int, pa.ChunkedArray]:
        return {i: _arrow(table[names[i]]) for i in kinds}

    return OpenTable(str(path), names, len(names), units, load)


def _arrow(values: Any) -> pa.ChunkedArray:
    """Return a column of a table of numpy arrays as Arrow's, masked elements as null."""
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    data = np.asarray(values)
    if data.ndim != 1:
        data = np.array([str(item) for item in data])
    if data.dtype.kind in "SUO":
        words = [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in data.tolist()]
        return pa.chunked_array([pa.array([word.strip() for word in words], pa.string(), mask=mask)])
    return pa.chunked_array([pa.array(data.astype(data.dtype.newbyteorder("=")), mask=mask)])
