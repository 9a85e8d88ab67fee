"""What an acquisition wants, and the record of what it got, from which it can be repeated bit for bit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from cuvee import __version__
from cuvee.acquire.names import Named, identify
from cuvee.acquire.portal import Answer
from cuvee.errors import ConfigError
from cuvee.store.atomic import atomic_path

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Found", "Manifest", "Query", "Wanted", "read_record", "wanted", "write_record"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Query:
    """What a user asks an archive for; which of these count depends on the mission.

    Parameters
    ----------
    mission : str
        ``tess``, ``kepler`` (K2 too) or ``hst``.
    sectors : tuple of int
        Of TESS.
    camera, ccd : int
        Of TESS full-frame images; 0: all.
    targets : tuple of str
        Stars: catalogue ids or names.
    products : tuple of str
        Kinds of files, of `cuvee.acquire.names.KINDS`.
    instrument, programme, grating : str
        Of HST.
    time_tag : bool
        Only exposures of HST that list photons.
    where : tuple of str
        More conditions, as `cuvee.acquire.portal.parse_where` takes them.
    """

    mission: str
    sectors: tuple[int, ...] = ()
    camera: int = 0
    ccd: int = 0
    targets: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    instrument: str = ""
    programme: str = ""
    grating: str = ""
    time_tag: bool = False
    where: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A word that is the same for the same question."""
        return xxhash.xxh3_64_hexdigest(json.dumps(self.as_dict(), sort_keys=True).encode())

    def as_dict(self) -> dict[str, Any]:
        """Return what was asked, ready for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items() if value
        }

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> Query:
        """Return the query that `as_dict` has written down."""
        values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in given.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file that is wanted.

    Parameters
    ----------
    name : str
        Of the file.
    path : str
        Where it goes, relative to the workspace.
    uri : str
        Its name at the archive.
    key : str
        Its name in the cloud; empty where that is not known.
    size : int
        Its bytes by the archive's list; -1 where that does not say.
    hash : str
        XXH3-128 (hex) of the bytes that it had to the maker of a record; empty where there is none.
    """

    name: str
    path: str
    uri: str
    key: str = ""
    size: int = -1
    hash: str = ""


def wanted(named: Named, uri: str = "", size: int = -1) -> Wanted:
    """Return a file as something wanted, with the archive's own name for it where that is known."""
    return Wanted(named.name, f"RAW/{named.path}", uri or named.uri, named.key, size)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an acquisition wants.

    Parameters
    ----------
    query : Query
        What was asked.
    asked : str
        When (ISO 8601, UTC).
    files : sequence of Wanted
        Sorted by path, each once.
    notes : tuple of str
        Sentences on what was asked for and not found.
    """

    query: Query
    asked: str
    files: Sequence[Wanted]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(max(0, file.size) for file in self.files)

    @property
    def table(self) -> Table:
        """The files as an astropy Table."""
        from astropy.table import Table

        names = [item.name for item in fields(Wanted)]
        return Table({name: [getattr(file, name) for file in self.files] for name in names}, names=names)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    Parameters
    ----------
    manifest : Manifest
        The files, ready to be fetched.
    answers : mapping of str to Answer
        What the archive said: ``observations`` and ``products``; empty where a bulk script told it all.
    """

    manifest: Manifest
    answers: dict[str, Answer] = field(default_factory=dict)

    @property
    def observations(self) -> Table:
        """The archive's rows of the observations, as an astropy Table."""
        return self.answers.get("observations", _NOTHING).table

    @property
    def products(self) -> Table:
        """The archive's rows of the files of these observations, all kinds, as an astropy Table."""
        return self.answers.get("products", _NOTHING).table


_NOTHING = Answer([], ())


def write_record(
    path: Path, manifest: Manifest, finished: str, archive: str, states: dict[str, dict[str, Any]]
) -> None:
    """Write down a whole acquisition.

    Parameters
    ----------
    path : Path
        The JSON file.
    manifest : Manifest
        What was wanted.
    finished : str
        When it ended; empty while it goes on.
    archive : str
        Where the files came from.
    states : mapping
        By path: columns of the ledger's table ``downloads`` (``state``, ``url``, ``size``, ``hash``, ``message``).

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    files = []
    for file in manifest.files:
        state = states.get(file.path, {})
        size = int(state.get("size", 0)) if state.get("hash") else file.size
        facts: dict[str, Any] = {"name": file.name, "path": file.path, "uri": file.uri, "key": file.key, "size": size}
        facts |= {
            "xxh3_128": state.get("hash", "") or file.hash,
            "url": state.get("url", ""),
            "state": state.get("state", "wanted"),
        }
        files.append({**facts, **({"message": state["message"]} if state.get("message") else {})})
    record = {
        "format": _FORMAT,
        "cuvee": __version__,
        "query": manifest.query.as_dict(),
        "asked": manifest.asked,
        "finished": finished,
        "archive": archive,
        "files": files,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def read_record(path: Path) -> Manifest:
    """Read what an acquisition wanted and got.

    Raises
    ------
    ConfigError
        If it is no such record.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != _FORMAT:
            raise ConfigError(f"{path} was written by another version of cuvee ({record.get('cuvee')}); use that one.")
        files = [
            Wanted(f["name"], f["path"], f["uri"], f.get("key", ""), int(f["size"]), f["xxh3_128"])
            for f in record["files"]
        ]
        query = Query.from_dict(record["query"])
    except OSError as error:
        raise ConfigError(f"The record {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no record of an acquisition, or damaged; cuvee acquire --record writes one."
        ) from error
    for file in files:  # a record may come from anybody, and says where on this disk files go
        named = identify(file.name)
        if named is None or file.path != f"RAW/{named.path}":
            raise ConfigError(
                f"{path} wants {file.name!r} at {file.path!r}, where cuvee would not put it; mend the record."
            )
    return Manifest(query, str(record["asked"]), files)
