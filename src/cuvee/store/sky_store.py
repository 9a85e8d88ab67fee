"""A reference catalogue with all its columns, cut by place on the sky: as large as the TIC, and searched in milliseconds.

``FOLDER/Norder=5/Dir=0/Npix=P/TAG-NpixP.parquet`` holds the rows of one source in one HEALPix cell, each row group sorted by the order-29 index in
``_healpix_29``, so that whatever reads HATS reads it, too. ``FOLDER/catalog.json`` says which sources there are and what the columns mean; it
is written last, and a file whose tag it does not name is not there for any reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cuvee.errors import StoreError
from cuvee.store.atomic import atomic_path

__all__ = [
    "INDEX", "PIXEL_COLUMN", "STORE_ORDER", "TIC", "Source", "StoredCatalog", "cell_file", "find_stored", "is_stored", "read_catalog", "stored_files",
    "write_catalog",
]  # fmt: skip

INDEX = "catalog.json"
PIXEL_COLUMN = "_healpix_29"
TIC = "tic"
"""What the TESS Input Catalog is called, in whatever workspace."""
STORE_ORDER = 5
"""HEALPix order of the cells, as of the partitions that a run makes: 12,288 of them, 1.8 deg wide."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was taken in.

    Parameters
    ----------
    file : str
        Its name, without folders.
    tag : str
        What its rows' files are called.
    md5 : str
        Of the file's bytes, uncompressed, as MAST's ``md5sum.txt`` has it.
    n_row : int
        Rows that were taken in.
    n_off : int
        Rows left out for want of a position.
    """

    file: str
    tag: str
    md5: str
    n_row: int
    n_off: int


@dataclass(frozen=True, slots=True)
class StoredCatalog:
    """What is known of a stored catalogue.

    Parameters
    ----------
    name : str
        ``tic``, ``ctl``, ``gaia`` or the user's word.
    columns : mapping of str to str
        Arrow types of the columns, in their order.
    roles : mapping of str to str
        Which column is ``id``, ``ra``, ``dec``, ``mag``, ``pmra``, ``pmdec``, ``epoch`` or ``disposition``.
    sources : tuple of Source
        By tag.
    """

    name: str
    columns: Mapping[str, str]
    roles: Mapping[str, str]
    sources: tuple[Source, ...] = field(default=())

    @property
    def n_row(self) -> int:
        """Rows of all sources."""
        return sum(source.n_row for source in self.sources)


def cell_file(folder: Path, pixel: int, tag: str) -> Path:
    """Return where the rows of one source in one cell are."""
    name = f"{tag}-Npix{pixel}.parquet"  # so that no two files of a catalogue have the same name
    return folder / f"Norder={STORE_ORDER}" / f"Dir={pixel // 10000 * 10000}" / f"Npix={pixel}" / name


def is_stored(folder: Path) -> bool:
    """Tell whether a folder is a catalogue that was taken in."""
    return (folder / INDEX).is_file()


def find_stored(source: str, root: Path, home: Path) -> Path | None:
    """Find the stored catalogue that a word of the configuration names.

    Parameters
    ----------
    source : str
        Its folder, relative to ``root``, or its name.
    root : Path
        The workspace.
    home : Path
        Where the workspace keeps its own.

    Returns
    -------
    Path or None
        None where it names something else.
    """
    for folder in (root / Path(source).expanduser(), home / source):
        if is_stored(folder):
            return folder
    return None


def stored_files(folder: Path, pixels: Iterable[int]) -> list[Path]:
    """Return the files of a stored catalogue in some cells, by cell and source.

    Raises
    ------
    StoreError
        If the catalogue cannot be read.
    """
    tags = [source.tag for source in read_catalog(folder).sources]
    return [path for pixel in pixels for tag in tags if (path := cell_file(folder, pixel, tag)).is_file()]


def read_catalog(folder: Path) -> StoredCatalog:
    """Read what is known of a stored catalogue.

    Parameters
    ----------
    folder : Path
        Its root.

    Returns
    -------
    StoredCatalog

    Raises
    ------
    StoreError
        If there is none, or its index is damaged.
    """
    path = folder / INDEX
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        sources = tuple(Source(**source) for source in found.pop("sources"))
        return StoredCatalog(**found, sources=sources)
    except FileNotFoundError as error:
        raise StoreError(f"There is no catalogue in {folder}; make one with: cuvee catalog import FILE.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is damaged; take the catalogue in anew with: cuvee catalog import FILE.") from error


def write_catalog(folder: Path, catalog: StoredCatalog) -> None:
    """Write what is known of a catalogue, after all its files.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    with atomic_path(folder / INDEX) as temporary:
        temporary.write_text(json.dumps(asdict(catalog), indent=1) + "\n")
