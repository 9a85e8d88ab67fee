"""Which page answers which path."""

from __future__ import annotations

from collections.abc import Callable

from cuvee.testing.archive.cutouts import astrocut, sectors
from cuvee.testing.archive.downloads import bulk_page, bundle, by_path, download, path_lookup, script
from cuvee.testing.archive.missions import column_list, mission_page
from cuvee.testing.archive.portal import columns_config, invoke
from cuvee.testing.archive.reply import Reply, refusal
from cuvee.testing.archive.resolver import santa
from cuvee.testing.archive.s3 import BUCKET, bucket
from cuvee.testing.archive.site import Question, Site

__all__ = ["ROUTES", "answer"]

_CATALOGS = "/missions/tess/catalogs/"


def _catalog(site: Site, question: Question) -> Reply:
    """Return a table of stars, or what lies beside it."""
    relative = question.path.removeprefix(_CATALOGS)
    tables = site.catalogs
    wrong = (
        {path.name for path in tables.tables if site.menu.strike(("md5",), (path.name,))}
        if tables and relative.endswith("md5sum.txt")
        else set()
    )
    found = tables.serve(relative, wrong) if tables else None
    return found or by_path(site, question)


ROUTES: tuple[tuple[str, Callable[[Site, Question], Reply]], ...] = (
    ("/api/v0.1/Download/file", download),
    ("/api/v0.1/Download/bundle.sh", bundle),
    ("/api/v0.1/path_lookup", path_lookup),
    ("/api/v0/invoke", invoke),
    ("/portal/Mashup/Mashup.asmx/columnsconfig", columns_config),
    ("/Santa-war/query", santa),
    ("/tesscut/api/v0.1/sector", sectors),
    ("/tesscut/api/v0.1/astrocut", astrocut),
    ("/search/util/api/v0.1/column_list", column_list),
    ("/search/", mission_page),
    ("/missions/tess/download_scripts/", script),
    (_CATALOGS, _catalog),
    ("/missions/tess/", by_path),
    ("/tess/bulk_downloads/", bulk_page),
    (f"/{BUCKET}", bucket),
)
"""How a path begins, and what answers it; the first that fits."""


def answer(site: Site, question: Question) -> Reply:
    """Answer a request."""
    for prefix, page in ROUTES:
        if question.path.startswith(prefix):
            return page(site, question)
    return refusal(404, f"There is no {question.path}.")
