"""Measure how clients fare under each fault, and write it down: ``python -m tests.testing.archive.fault_page`` makes docs/archive_faults.md."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from tests.testing.archive.clients import CURL, Astroquery, curl_version, fetch_with_curl
from tests.testing.archive.holdings import make_holdings
from tests.testing.archive.ours import fetch_with_cuvee, search_with_cuvee

from cuvee.testing.archive import KINDS, LoopbackArchive
from cuvee.testing.archive.trial import SEARCH_FAULTS, STATES, TRANSFER_FAULTS, Outcomes, try_downloads, try_searches

PAGE = Path(__file__).resolve().parents[3] / "docs" / "archive_faults.md"


def measure(served: Path, scratch: Path) -> dict[str, list[str]]:
    """Try all clients that are installed, on one of the frames served; return a table each, by title."""
    # Mostly they wait, so they do it together, each before an archive of its own.
    with ThreadPoolExecutor() as pool:
        tried = [pool.submit(try_one, served, scratch) for try_one in (_cuvee, _curl, _astroquery)]
        return {title: rows for one in tried for title, rows in one.result().items()}


def _cuvee(served: Path, scratch: Path) -> dict[str, list[str]]:
    (scratch / "cuvee").mkdir()
    with LoopbackArchive(served) as archive:
        outcomes = try_downloads(fetch_with_cuvee, archive, _frame(archive), scratch / "cuvee")
        searches = try_searches(search_with_cuvee, archive)
    return {"cuvee, `cuvee acquire`": _transfer_rows(outcomes), "cuvee, its searches": _search_rows(searches)}


def _curl(served: Path, scratch: Path) -> dict[str, list[str]]:
    if CURL is None:
        return {}
    (scratch / "curl").mkdir()
    with LoopbackArchive(served) as archive:
        outcomes = try_downloads(fetch_with_curl, archive, _frame(archive), scratch / "curl")
    title = f"curl {curl_version()} as the bulk scripts call it (`curl -C - -L -o NAME URL`)"
    return {title: _transfer_rows(outcomes)}


def _astroquery(served: Path, scratch: Path) -> dict[str, list[str]]:
    version = metadata.version("astroquery")
    (scratch / "astroquery").mkdir()
    (scratch / "home").mkdir()
    with LoopbackArchive(served) as archive, Astroquery(archive.url, scratch / "home") as astroquery:
        outcomes = try_downloads(astroquery.fetch, archive, _frame(archive), scratch / "astroquery")
        searches = try_searches(astroquery.search, archive)
    return {
        f"astroquery {version}, `Observations.download_file`": _transfer_rows(outcomes),
        f"astroquery {version}, `Observations.query_criteria`": _search_rows(searches),
    }


def _frame(archive: LoopbackArchive) -> str:
    return min(name for name in archive.site.shelf.names if "_ffic" in name)


def _transfer_rows(outcomes: Outcomes) -> list[str]:
    head = ["| Fault | " + " | ".join(STATES) + " |", "| --- |" + " --- |" * len(STATES)]
    return head + [
        f"| {fault} | " + " | ".join(_cell(outcomes[fault, state]) for state in STATES) + " |"
        for fault in TRANSFER_FAULTS
    ]


def _search_rows(outcomes: Mapping[str, str]) -> list[str]:
    return [
        "| Fault | ended with |",
        "| --- | --- |",
        *(f"| {fault} | {_cell(outcomes[fault])} |" for fault in SEARCH_FAULTS),
    ]


def _cell(outcome: str) -> str:
    return "**wrong**" if outcome == "wrong" else outcome


def page(tables: Mapping[str, list[str]]) -> str:
    """Return the page."""
    lines = [
        "# Faults of an archive, and who survives them",
        "",
        "<!-- Made by `python -m tests.testing.archive.fault_page`; change it there, or in src/cuvee/testing/archive. -->",
        "",
        "`cuvee archive serve FOLDER --fault KIND:PATTERN:times=N:number=X` serves a folder as MAST would, and does wrong what it is told to.",
        "`cuvee.testing.archive.LoopbackArchive` is the same for tests. These are the kinds:",
        "",
        "| Kind | What happens |",
        "| --- | --- |",
        *(f"| `{kind}` | {words} |" for kind, words in KINDS.items()),
        "",
        "The tables below are measured: each client fetches one full-frame image while every request is struck by the fault.",
        "",
        *(f"- **{state}**: {words}." for state, words in STATES.items()),
        "",
        "*right*: the client says that it is done, and the file is whole, byte by byte. **wrong**: it says so, and the file is not. *failed*: it says that it",
        "failed; *part left*: and a file that is not whole lies under the final name. *hangs*: it waits for ever. Of a file that the archive has changed,",
        "both versions are right, a mixture is not. In a search, *right* is every observation once.",
        "",
    ]
    for title, rows in tables.items():
        lines += [f"## {title}", "", *rows, ""]
    return "\n".join(lines)


def main() -> None:
    """Measure, and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        served = make_holdings(scratch)
        PAGE.write_text(page(measure(served, scratch)), encoding="utf-8")


if __name__ == "__main__":
    main()
