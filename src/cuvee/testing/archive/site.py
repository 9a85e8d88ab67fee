"""What the archive's pages have to hand: the files, the faults, and the question."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qs

from cuvee.testing.archive.content import file_content
from cuvee.testing.archive.faults import FaultMenu
from cuvee.testing.archive.names import FileName, read_name
from cuvee.testing.archive.observations import Observation, observe
from cuvee.testing.archive.reply import Reply, refusal
from cuvee.testing.archive.shelf import Shelf
from cuvee.testing.archive.stars import StarTables

__all__ = ["Question", "Site"]


@dataclass(frozen=True)
class Question:
    """A request.

    Parameters
    ----------
    method : str
        GET, HEAD or POST.
    path : str
        Decoded, without the query.
    query : str
        Behind the question mark.
    headers : mapping of str to str
        Of HTTP; whichever case is asked for.
    body : bytes
        What was posted.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @cached_property
    def arguments(self) -> dict[str, list[str]]:
        """Query and posted form together."""
        form = self.body.decode("utf-8", "replace") if self.method == "POST" else ""
        both = parse_qs(self.query, keep_blank_values=True)
        for key, values in parse_qs(form, keep_blank_values=True).items():
            both.setdefault(key, []).extend(values)
        return both

    def argument(self, key: str, default: str = "") -> str:
        """Return the first value of an argument."""
        return self.arguments.get(key, [default])[0]


@dataclass
class Site:
    """The files and the faults.

    Parameters
    ----------
    shelf : Shelf
        The files.
    catalogs : StarTables or None
        The tables of stars.
    menu : FaultMenu
        What goes wrong.
    url : str
        Where it all is, without a slash at its end.
    """

    shelf: Shelf
    catalogs: StarTables | None
    menu: FaultMenu
    url: str = ""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._observed: tuple[list[str], list[Observation]] | None = None

    @property
    def observations(self) -> list[Observation]:
        """The table of observations, made from headers when it is first asked for, and again when a fault adds a file."""
        with self._lock:
            absent = self._absent()
            if self._observed is None or self._observed[0] != absent:
                self._observed = (absent, observe(self.listed(), self.shelf.paths))
            return self._observed[1]

    def sizes(self, observation: Observation) -> dict[str, int]:
        """Return the sizes of an observation's files (bytes), by name; those that are missing have none."""
        paths = ((named.name, self.shelf.paths.get(named.name)) for named in observation.files)
        return {name: path.stat().st_size for name, path in paths if path is not None and path.is_file()}

    def fetch(self, name: str) -> Reply:
        """Return a file, or 404."""
        path = self.shelf.paths.get(name)
        if path is None or self.menu.strike(("missing",), (name,)) or not path.is_file():
            return refusal(404, f"There is no file {name}.")
        return Reply(
            file_content(path), "application/fits" if ".fits" in name else "application/octet-stream", name=name
        )

    def listed(self) -> list[FileName]:
        """Return all files that searches and scripts tell of: those on the shelf, and those that a fault says are missing."""
        return sorted([*self.shelf.names.values(), *map(read_name, self._absent())], key=lambda named: named.name)

    def _absent(self) -> list[str]:
        missing = [fault.pattern for fault in self.menu.faults if fault.kind == "missing"]
        return [name for name in missing if name not in self.shelf.names]
