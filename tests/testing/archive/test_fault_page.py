"""docs/archive_faults.md says what clients do today: they are tried again, and the tables compared."""

from __future__ import annotations

from pathlib import Path

from tests.testing.archive.fault_page import PAGE, measure, page


def test_the_page_says_what_clients_do(served: Path, tmp_path: Path) -> None:
    tables = measure(served, tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(page({}).rstrip())
    # Another version of a client may do otherwise; then its row on the page is of the other version.
    compared = [title for title in tables if f"## {title}\n" in text]
    assert any("astroquery" in title for title in compared)
    for title in compared:
        shown = text.split(f"## {title}\n\n")[1].split("\n\n")[0].rstrip().splitlines()
        assert shown == tables[title], f"{title}: make docs"
