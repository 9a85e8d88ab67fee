"""Which page answers which path."""

from __future__ import annotations

from collections.abc import Callable

from cuvee.testing.archive.downloads import bulk_page, bundle, by_path, download, path_lookup, script
from cuvee.testing.archive.reply import Reply, refusal
from cuvee.testing.archive.s3 import BUCKET, bucket
from cuvee.testing.archive.site import Question, Site

__all__ = ["ROUTES", "answer", "service_of"]

ROUTES: tuple[tuple[str, Callable[[Site, Question], Reply]], ...] = (
    ("/api/v0.1/Download/file", download),
    ("/api/v0.1/Download/bundle.sh", bundle),
    ("/api/v0.1/path_lookup", path_lookup),
    ("/missions/tess/download_scripts/", script),
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


def service_of(question: Question) -> list[str]:
    """Return the name of the search service that a request calls, if it calls one."""
    return [question.argument("service")] if "service" in question.arguments else []
