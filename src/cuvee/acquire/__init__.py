"""From an archive to RAW: find files, fetch them whole or not at all, and keep a record from which it can be done again.

>>> import cuvee.acquire
>>> found = cuvee.acquire.tess(sectors=1, camera=1, ccd=1)  # doctest: +SKIP
>>> found.manifest.table  # doctest: +SKIP
>>> cuvee.acquire.fetch("my-survey", found)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cuvee.acquire.api import columns, fetch, hst, kepler, repeat, tess
    from cuvee.acquire.manifest import Found, Manifest, Query, Wanted, read_record
    from cuvee.acquire.outcome import Outcome

__all__ = [
    "Found",
    "Manifest",
    "Outcome",
    "Query",
    "Wanted",
    "columns",
    "fetch",
    "hst",
    "kepler",
    "read_record",
    "repeat",
    "tess",
]

_WHERE = {
    **dict.fromkeys(("columns", "fetch", "hst", "kepler", "repeat", "tess"), "api"),
    **dict.fromkeys(("Found", "Manifest", "Query", "Wanted", "read_record"), "manifest"),
    "Outcome": "outcome",
}


def __getattr__(name: str) -> Any:
    # An HTTP client takes a while to import; whoever asks for one name pays for that alone.
    if name not in _WHERE:
        raise AttributeError(f"module 'cuvee.acquire' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"cuvee.acquire.{_WHERE[name]}"), name)
