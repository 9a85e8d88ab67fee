"""Files by name and by path, and the scripts that fetch a sector's files with curl."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from cuvee.testing.archive.content import text_content
from cuvee.testing.archive.names import FileName
from cuvee.testing.archive.reply import Reply, refusal
from cuvee.testing.archive.site import Question, Site

__all__ = ["bulk_page", "bundle", "by_path", "download", "path_lookup", "script", "script_paths"]

_SECTOR_KINDS = ("ffic", "ffir", "lc", "fast-lc", "tp", "fast-tp", "cbv", "dv")
_SCRIPT = re.compile(r"/missions/tess/download_scripts/sector/tesscurl_sector_(\d+)_([a-z-]+)\.sh")
_MULTI = re.compile(r"/missions/tess/download_scripts/multisector/tesscurl_multisector_s(\d{4})-s(\d{4})_dv\.sh")


def download(site: Site, question: Question) -> Reply:
    """``/api/v0.1/Download/file?uri=mast:TESS/product/NAME``."""
    uri = question.argument("uri")
    if not uri:
        return refusal(400, "Which file? Add ?uri=mast:TESS/product/NAME.")
    return site.fetch(uri.rpartition("/")[2])


def bundle(site: Site, question: Question) -> Reply:
    """``/api/v0.1/Download/bundle.sh``: a script for the files that were posted."""
    names = [uri.rpartition("/")[2] for uri in question.arguments.get("uri", [])]
    return _shell(_curl(site, name) for name in names)


def path_lookup(site: Site, question: Question) -> Reply:
    """``/api/v0.1/path_lookup/?uri=...``: where in the cloud files are."""
    found: dict[str, dict[str, object]] = {}
    for uri in question.arguments.get("uri", []):
        named = site.shelf.names.get(uri.rpartition("/")[2])
        known = named is not None and named.key
        found[uri] = {"status_code": 200 if known else 404, "path": f"/{named.key}" if named and known else None}
    return Reply(text_content(json.dumps(found)))


def by_path(site: Site, question: Question) -> Reply:
    """``/missions/tess/ffi/s0001/...``: a file by its folder."""
    named = site.shelf.by_key.get("tess/public/" + question.path.removeprefix("/missions/tess/"))
    return refusal(404, f"There is no {question.path}.") if named is None else site.fetch(named.name)


def script(site: Site, question: Question) -> Reply:
    """Return a bulk script: one line of curl for each file of a kind in a sector, or for each report of a run of sectors."""
    if match := _SCRIPT.fullmatch(question.path):
        found = _of_sector(site, int(match[1]), int(match[1]), match[2])
    elif match := _MULTI.fullmatch(question.path):
        found = _of_sector(site, int(match[1]), int(match[2]), "dv")
    else:
        found = []
    return _shell(_curl(site, named.name) for named in found) if found else refusal(404, "There is no such script.")


def bulk_page(site: Site, _: Question) -> Reply:
    """Return the page that links to all scripts."""
    rows = "\n".join(
        f'<li><a href="{site.url}{link}">{link.rpartition("/")[2]}</a></li>' for link in script_paths(site)
    )
    page = f"<!DOCTYPE html>\n<html><head><title>TESS bulk downloads</title></head><body><ul>\n{rows}\n</ul></body></html>\n"
    return Reply(text_content(page), "text/html; charset=utf-8")


def script_paths(site: Site) -> list[str]:
    """Return where the scripts are."""
    return sorted({_script_path(named) for named in site.listed() if named.mission == "TESS" and _family(named)})


def _family(named: FileName) -> str:
    kind = "dv" if named.kind.startswith("dv") else named.kind
    return kind if kind in _SECTOR_KINDS else ""


def _of_sector(site: Site, first: int, last: int, family: str) -> list[FileName]:
    return [
        n for n in site.listed() if n.mission == "TESS" and (n.first, n.last) == (first, last) and _family(n) == family
    ]


def _script_path(named: FileName) -> str:
    folder = "/missions/tess/download_scripts"
    if named.first == named.last:
        return f"{folder}/sector/tesscurl_sector_{named.first}_{_family(named)}.sh"
    return f"{folder}/multisector/tesscurl_multisector_s{named.first:04d}-s{named.last:04d}_dv.sh"


def _curl(site: Site, name: str) -> str:
    named = site.shelf.names.get(name)
    uri = named.uri if named else f"mast:TESS/product/{name}"
    return f"curl -C - -L -o {name} {site.url}/api/v0.1/Download/file/?uri={uri}"


def _shell(lines: Iterable[str]) -> Reply:
    return Reply(text_content("\n".join(("#!/bin/sh", *lines, ""))), "text/plain")
