"""The columns of a catalogue file and its rows, as a stream, whatever kind of table it is."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv as pa_csv

from cuvee.errors import ConfigError
from cuvee.store.catalog_columns import TIC_COLUMNS, find_places
from cuvee.store.catalog_formats import NULL_WORDS, OpenTable, TextLayout, open_table

__all__ = ["HEADER_NAME", "Digest", "column_types", "rows_of"]

HEADER_NAME = "header.csv"
"""What MAST calls the file beside its bulk files that names their columns."""

_TIC_TEXT = frozenset(
    [
        "version",
        "TYC",
        "UCAC",
        "TWOMASS",
        "ALLWISE",
        "GAIA",
        "APASS",
        "objType",
        "typeSrc",
        "POSflag",
        "PMflag",
        "PARflag",
        "TWOMflag",
        "TESSflag",
        "SPFlag",
        "lumclass",
        "disposition",
        "EBVflag",
        "distflag",
        "TeffFlag",
        "starchareFlag",
        "VmagFlag",
        "BmagFlag",
        "splists",
    ]
)
_TIC_WHOLE = frozenset(
    ["ID", "HIP", "SDSS", "KIC", "numcont", "duplicate_id", "gaiaqflag", "raddflag", "wdflag", "objID"]
)
"""Types of the columns of the TIC (MAST, tic_column_description.txt); all others are numbers with a fraction."""

_READ = 1 << 24
_AGREE = 10
"""A table is one of the TIC's if it has at least so many columns of its names."""

_OVERFLOW = re.compile(r"CSV conversion error to (\w+): invalid value '(.*)'")


class Digest(Protocol):
    """What `hashlib` returns."""

    def update(self, data: Any, /) -> None:
        """Tell it bytes."""


def column_types(path: Path) -> tuple[dict[str, pa.DataType], dict[str, str]]:
    """Find out which columns a catalogue file has.

    Parameters
    ----------
    path : Path
        The file. Column names are those of its own header line, else of ``header.csv`` beside it, else those of the TIC v8.2, if it has
        as many columns.

    Returns
    -------
    types : dict of str to pyarrow.DataType
        By name, in the order of the file.
    roles : dict of str to str
        Names of the columns ``id``, ``ra`` and ``dec``.

    Raises
    ------
    ConfigError
        If it is no table, or has no id or position.
    """
    table = _named(path)
    types = _types(table)
    roles = find_places(table)
    for role, column in roles.items():
        kind = types[column]
        if role == "id" and not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
            types[column] = pa.int64()
        if role != "id" and not pa.types.is_floating(kind):
            types[column] = pa.float64()
    return types, roles


def _named(path: Path) -> OpenTable:
    table = open_table(path)
    if table.names:
        return replace(table, names=tuple(_bare(name) for name in table.names))
    beside = path.parent / HEADER_NAME
    if beside.is_file():
        names = tuple(_bare(name) for name in next(csv.reader(beside.read_text().splitlines()), []))
        if len(names) != table.n_column:
            raise ConfigError(
                f"{path} has {table.n_column} columns, but {beside} names {len(names)}; fetch both again, or take {HEADER_NAME} away."
            )
        return replace(table, names=names)
    if table.n_column != len(TIC_COLUMNS):
        raise ConfigError(
            f"{path} has no header line, and its {table.n_column} columns are not the {len(TIC_COLUMNS)} of the TIC; put {HEADER_NAME} "
            "beside it, or add a line with the column names."
        )
    return replace(table, names=TIC_COLUMNS)


def _bare(name: str) -> str:
    """Strip MAST's ``[ID]:Integer`` to ``ID``."""
    return re.sub(r"^\[(.*)\](:.*)?$", r"\1", name.strip())


def _types(table: OpenTable) -> dict[str, pa.DataType]:
    if len(set(table.names)) != len(table.names):
        twice = next(name for name in table.names if table.names.count(name) > 1)
        raise ConfigError(f"{table.path} has two columns {twice!r}; rename one of them.")
    if table.text is not None and len(set(table.names) & set(TIC_COLUMNS)) >= _AGREE:
        return {name: _tic_type(name) for name in table.names}
    if table.text is None:
        found = table.load({k: pa.null() for k in range(table.n_column)})
        return {name: found[k].type for k, name in enumerate(table.names)}
    with _open(table.path, table.text) as stream:
        head = pa_csv.open_csv(stream, **_options(table.text, table.names, {}))
        return {
            name: pa.string() if pa.types.is_null(kind) else kind
            for name, kind in zip(head.schema.names, head.schema.types, strict=True)
        }


def _tic_type(name: str) -> pa.DataType:
    if name in _TIC_TEXT or name not in TIC_COLUMNS:
        return pa.string()
    return pa.int64() if name in _TIC_WHOLE else pa.float64()


def rows_of(
    path: Path, types: Mapping[str, pa.DataType], digest: Digest, progress: Callable[[int, int], None]
) -> Iterator[pa.RecordBatch]:
    """Read all rows of a catalogue file.

    Parameters
    ----------
    path : Path
        The file.
    types : mapping of str to pyarrow.DataType
        From `column_types`, of this file or of others like it: that is the order of the columns that are yielded.
    digest : hash object
        Is told all bytes, uncompressed where the file is text.
    progress : callable
        ``progress(bytes read, bytes in all)`` of the file as it lies on disk.

    Yields
    ------
    pyarrow.RecordBatch

    Raises
    ------
    ConfigError
        If a row has too many or too few fields, or text stands where a number should, or the file is cut short.
    """
    table = _named(path)
    if table.text is None:
        with path.open("rb") as file:
            while piece := file.read(_READ):
                digest.update(piece)
        loaded = table.load({k: types[name] for k, name in enumerate(table.names)})
        whole = pa.table({name: loaded[k].cast(types[name]) for k, name in enumerate(table.names)})
        yield from whole.select(list(types)).to_batches()
        return
    with _open(str(path), table.text, digest, progress) as stream:
        try:
            reader = pa_csv.open_csv(stream, **_options(table.text, table.names, types))
            for batch in reader:
                yield batch.select(list(types))
            stream.rest()
        except pa.ArrowInvalid as error:
            raise _complaint(path, error) from error
        except (OSError, EOFError) as error:
            raise ConfigError(
                f"{path} is cut short or damaged: {str(error).splitlines()[0]}; fetch it again."
            ) from error


def _complaint(path: Path, error: pa.ArrowInvalid) -> ConfigError:
    text = str(error)
    ragged = re.search(r"Expected (\d+) columns, got (\d+): (.*)", text)
    if ragged:
        start = ragged[3][:40]
        return ConfigError(
            f"{path}: the row that starts with {start!r} has {ragged[2]} fields where {ragged[1]} are expected; fetch the file again, or mend that row."
        )
    odd = re.search(r"In CSV column #(\d+).*invalid value '(.*)'", text)
    if odd:
        return ConfigError(
            f"{path}: column {int(odd[1]) + 1} has {odd[2]!r} where a number is expected; are its columns those of its header? Nothing was taken in."
        )
    return ConfigError(f"{path} is not a readable table: {text.splitlines()[0]}.")


class _Stream:
    """The uncompressed bytes of a file, told to a digest as they pass."""

    def __init__(
        self, path: str, layout: TextLayout, digest: Digest | None, progress: Callable[[int, int], None] | None
    ) -> None:
        self._raw = pa.OSFile(path, "rb")
        self._stream = pa.CompressedInputStream(self._raw, layout.compression) if layout.compression else self._raw
        self._size, self._digest, self._progress = self._raw.size(), digest, progress
        self.closed = False

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True
        if self._stream is not self._raw:
            self._stream.close()
        self._raw.close()

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        if self._digest is not None:
            self._digest.update(data)
        if self._progress is not None:
            self._progress(min(self._raw.tell(), self._size), self._size)
        return data

    def rest(self) -> None:
        """Read what the parser left."""
        while self.read(_READ):
            pass

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


def _open(
    path: str, layout: TextLayout, digest: Digest | None = None, progress: Callable[[int, int], None] | None = None
) -> _Stream:
    return _Stream(path, layout, digest, progress)


def _options(layout: TextLayout, names: tuple[str, ...], types: Mapping[str, pa.DataType]) -> dict[str, Any]:
    return {
        "read_options": pa_csv.ReadOptions(column_names=list(names), skip_rows=layout.skip, block_size=_READ),
        "parse_options": pa_csv.ParseOptions(delimiter=layout.delimiter),
        "convert_options": pa_csv.ConvertOptions(
            column_types=dict(types), null_values=list(NULL_WORDS), strings_can_be_null=True
        ),
    }
