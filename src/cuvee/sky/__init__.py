"""Reference catalogues on the user's side: taken in from files, searched, and cut into one table of targets a detector."""

from __future__ import annotations

from cuvee.sky.chips import ChipTable, chip_tables
from cuvee.sky.home import catalogs_of, find_catalog
from cuvee.sky.take import Taken, take_in
from cuvee.store.sky_search import cone_search, polygon_search

__all__ = [
    "ChipTable",
    "Taken",
    "catalogs_of",
    "chip_tables",
    "cone_search",
    "find_catalog",
    "polygon_search",
    "take_in",
]
