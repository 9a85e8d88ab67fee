"""What the ledger knows of acquisitions: each file that was wanted, what became of it, and by which bytes it is known again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cuvee.acquire.manifest import Manifest, Wanted
from cuvee.acquire.transfer import Fetched, temporary_path
from cuvee.store.atomic import sync_folder
from cuvee.store.ledger import Ledger

__all__ = ["HAVE", "Journal", "known_names", "now", "past", "stat_of", "wrong_path"]

HAVE = "have"
_SYNC_EVERY = 1.0
"""Seconds between two syncs of folders; one for each file would hold up those that come after it."""
Row = dict[str, Any]


def now() -> str:
    """Return the time (ISO 8601, UTC)."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def stat_of(path: Path) -> dict[str, int] | None:
    """Return size, time and inode of a file, by which it is known without reading it; None where there is none."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns, "inode": facts.st_ino}


class Journal:
    """The tables ``acquisitions`` and ``downloads`` of a ledger.

    A file's row is written before it gets its final name: whoever finds the name finds the row, too, whenever the last run was killed.

    Parameters
    ----------
    ledger : Ledger
        Open for writing.
    root : Path
        The workspace.
    """

    def __init__(self, ledger: Ledger, root: Path) -> None:
        self._ledger = ledger
        self._root = root
        self._unsynced: set[Path] = set()
        self._synced = time.monotonic()
        self.rows: dict[str, Row] = {row["path"]: row for row in ledger.rows("downloads")}

    def begin(self, manifest: Manifest, record: Path) -> None:
        """Write down that an acquisition begins."""
        row = {
            "id": manifest.query.key,
            "mission": manifest.query.mission,
            "query": manifest.query.as_dict(),
            "asked": manifest.asked,
            "record": os.path.relpath(record, self._root),
            "n_file": len(manifest.files),
        }
        self._ledger.put("acquisitions", [row])

    def finish(self, manifest: Manifest) -> None:
        """Write down that it has ended."""
        self._ledger.update("acquisitions", [{"id": manifest.query.key, "finished": now()}])

    def settle(self, results: Sequence[tuple[Wanted, Fetched]]) -> None:
        """Write down what became of files; then give those that have come their final names."""
        rows = []
        for file, answer in results:
            before = self.rows.get(file.path, {})
            kept = answer.state == HAVE
            rows.append(
                {
                    "path": file.path,
                    "name": file.name,
                    "uri": file.uri,
                    "url": answer.url,
                    "state": answer.state,
                    "size": answer.size if kept else 0,
                    "mtime_ns": answer.mtime_ns,
                    "inode": answer.inode,
                    "hash": answer.hash if kept else "",
                    "etag": answer.etag,
                    "tries": int(before.get("tries", 0)) + answer.tries,
                    "failures": 0 if kept else int(before.get("failures", 0)) + (answer.state == "broken"),
                    "message": answer.message,
                    "fetched": now(),
                }
            )
        self.put(rows)
        for file, answer in results:
            if answer.state == HAVE:
                final = self._root / file.path
                temporary_path(final).replace(final)
                wrong_path(final).unlink(missing_ok=True)
                self._unsynced.add(final.parent)
        if time.monotonic() - self._synced > _SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        """Make new names durable; whoever loses power before finds the files under their temporary names, and the ledger's word for them."""
        for folder in self._unsynced:
            sync_folder(folder)
        self._unsynced.clear()
        self._synced = time.monotonic()

    def found(self, files: Iterable[tuple[Wanted, Mapping[str, int], str]]) -> None:
        """Write down files that lie where they belong, with their size, time and inode, and their hash."""
        rows = []
        for file, facts, digest in files:
            before = self.rows.get(file.path, {"uri": file.uri, "fetched": now()})
            more = {"path": file.path, "name": file.name, "state": HAVE, "hash": digest, "failures": 0, "message": ""}
            rows.append({**before, **facts, **more})
        self.put(rows)

    def put(self, rows: Sequence[Row]) -> None:
        """Write rows of ``downloads``."""
        self._ledger.put("downloads", rows)
        self.rows.update((row["path"], row) for row in rows)


def wrong_path(final: Path) -> Path:
    """Return where a file goes that has turned out to be another than the one that came, until it has been fetched again."""
    return final.with_name(f"{final.name}.wrong")


def known_names(ledger: Ledger) -> set[str]:
    """Return the names of files that are here, or in quarantine: of what a run can do nothing with, or the archive has no sound copy."""
    rows = ledger.rows("downloads")
    names = {row["name"] for row in rows if row["state"] in (HAVE, "broken")}
    return (
        names
        | {os.path.basename(row["path"]) for row in ledger.quarantined()}
        | {os.path.basename(p) for p in ledger.files()}
    )


def past(ledger: Ledger, key: str) -> dict[str, Any] | None:
    """Return the row of an earlier acquisition of the same query."""
    rows = ledger.rows("acquisitions", id=key)
    return dict(rows[0]) if rows else None
