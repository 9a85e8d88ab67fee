"""cuvee's own downloader and searches, as functions that `cuvee.testing.archive.trial` can try."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.acquire.files import HASTY

from cuvee.acquire.api import fetch
from cuvee.acquire.archive import Archive
from cuvee.acquire.manifest import Manifest, Query, wanted
from cuvee.acquire.names import identify
from cuvee.acquire.wire import Wire
from cuvee.config import write_workspace


def fetch_with_cuvee(url: str, name: str, target: Path) -> bool:
    """Fetch a file into a workspace in which lies, under its final name, what lies at the target."""
    root = target.parent / "survey"
    path = write_workspace(root, "tess", ["RAW"], [])
    path.write_text(path.read_text().replace('# archive = ""', f'archive = "{url}"'))
    named = identify(name)
    assert named is not None
    file = wanted(named)
    final = root / file.path
    final.parent.mkdir(parents=True)
    if target.is_file():
        target.rename(final)
    outcome = fetch(root, Manifest(Query("tess", sectors=(named.first,)), "", [file]), patience=HASTY)
    if final.is_file():
        shutil.copyfile(final, target)
    return outcome.complete


def search_with_cuvee(url: str) -> list[str]:
    """Return the ``obs_id`` of all observations of TESS, two to a page."""
    params = {"columns": "*", "filters": [{"paramName": "obs_collection", "values": ["TESS"]}]}
    with Wire(HASTY) as wire:
        answer = Archive(wire, url, page_size=2).portal.search("Mast.Caom.Filtered", params, "obsid")
    return [str(row["obs_id"]) for row in answer.rows]
