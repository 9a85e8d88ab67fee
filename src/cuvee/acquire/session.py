"""A whole acquisition: what is there already is left alone, the rest is fetched side by side, and the ledger is told before each rename."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from cuvee.acquire.amount import Amount, amount_of, check_room
from cuvee.acquire.archive import Archive
from cuvee.acquire.journal import HAVE, Journal, known_names, past, stat_of, wrong_path
from cuvee.acquire.journal import now as now_text
from cuvee.acquire.judge import judge
from cuvee.acquire.manifest import Manifest, Query, Wanted, read_record, write_record
from cuvee.acquire.outcome import Outcome, Reporter, Silent
from cuvee.acquire.parallel import Meter, SideBySide
from cuvee.acquire.transfer import Expected, Fetched, Tap, fetch, temporary_path
from cuvee.errors import BadData, ConfigError, TransientError
from cuvee.store.atomic import content_hash
from cuvee.store.lock import workspace_lock
from cuvee.store.own_ledger import has_ledger, open_ledger
from cuvee.store.paths import Paths

__all__ = ["QUARANTINE_AFTER", "acquire_manifest", "cached", "without_known"]

QUARANTINE_AFTER = 3
"""Acquisitions in which nothing sound came of a file, before it is no longer asked for."""


def acquire_manifest(
    paths: Paths,
    manifest: Manifest,
    archive: Archive,
    *,
    cloud: bool = False,
    parallel: int = 4,
    bandwidth: float = 0.0,
    again: bool = False,
    record: Path | None = None,
    reporter: Reporter | None = None,
) -> Outcome:
    """Fetch what is wanted and not there.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    manifest : Manifest
        What is wanted; files with a hash must have it.
    archive : Archive
        Who has it.
    cloud : bool
        Ask the bucket in the cloud first, where it is known to have a file.
    parallel : int
        Files at a time.
    bandwidth : float
        Bytes a second in all; 0: as many as come.
    again : bool
        Ask for files in quarantine, too.
    record : Path, optional
        Where the record goes; in ``PROJ`` by default.
    reporter : Reporter, optional
        Takes the news.

    Raises
    ------
    ConfigError
        If another acquisition is at work in the workspace.
    StoreError
        If there is not enough room, or the disk cannot be written.
    """
    query = manifest.query
    record = record or paths.acquisition(query.mission, query.key)
    outcome = Outcome(manifest, record=record)
    with ExitStack() as stack:
        stack.enter_context(workspace_lock(paths.acquire_lock, "acquisition"))
        journal = Journal(stack.enter_context(open_ledger(paths)), paths.root)
        todo = _plan(paths.root, manifest, journal, outcome, again)
        amount = amount_of(paths.root, todo, archive, journal)
        check_room(paths.root, amount)
        journal.begin(manifest, record)
        tap, start = Tap(bandwidth), time.monotonic()
        try:
            _fetch_all(paths.root, todo, amount, archive, journal, outcome, cloud, parallel, tap, reporter or Silent())
        finally:
            outcome.seconds = time.monotonic() - start
            finished = now_text() if not archive.wire.stop.is_set() else ""
            write_record(record, manifest, finished, archive.name, journal.rows)
        journal.finish(manifest)
    return outcome


def cached(paths: Paths, query: Query, reason: str) -> Outcome:
    """Say what is there of an earlier acquisition of the same query, when the archive cannot be asked.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    query : Query
        What was asked.
    reason : str
        Why it cannot.

    Raises
    ------
    TransientError
        If it was never asked before.
    """
    if not has_ledger(paths):
        raise TransientError(reason)
    with open_ledger(paths, read_only=True) as ledger:
        earlier = past(ledger, query.key)
        if earlier is None:
            raise TransientError(reason)
        rows = {row["path"]: row for row in ledger.rows("downloads")}
    manifest = read_record(paths.root / earlier["record"])
    outcome = Outcome(manifest, offline=reason, record=paths.root / earlier["record"])
    for file in manifest.files:
        row = rows.get(file.path, {})
        facts = stat_of(paths.root / file.path)
        if row.get("state") == HAVE and _same(facts, row):
            outcome.here += 1
        else:
            outcome.trouble.setdefault("wanted", []).append((file, ""))
    return outcome


def without_known(paths: Paths, manifest: Manifest) -> Manifest:
    """Leave out files that are known: here, or in quarantine.

    Raises
    ------
    ConfigError
        If nothing is left.
    """
    if not has_ledger(paths):
        return manifest
    with open_ledger(paths, read_only=True) as ledger:
        names = known_names(ledger)
    files = [file for file in manifest.files if file.name not in names]
    if not files:
        raise ConfigError(f"Nothing is new: all {len(manifest.files)} files are here or in quarantine.")
    return replace(manifest, files=files)


# -- before the start ------------------------------------------------------------------------------------------------


def _plan(root: Path, manifest: Manifest, journal: Journal, outcome: Outcome, again: bool) -> list[Wanted]:
    """Return the files to fetch; one whose size, time and inode are known is not even opened."""
    todo, found = [], []
    for file in manifest.files:
        row = journal.rows.get(file.path, {})
        facts = stat_of(root / file.path)
        if facts is None and row.get("state") == HAVE and _same(stat_of(temporary_path(root / file.path)), row):
            temporary_path(root / file.path).replace(root / file.path)  # killed between the ledger's word and the name
            facts = stat_of(root / file.path)
        unchanged = _same(facts, row)
        if unchanged and row["state"] == HAVE and file.hash in ("", row["hash"]):
            outcome.here += 1
            continue
        if facts is not None and not unchanged and (digest := _recognise(root, file, row)):
            found.append((file, facts, digest))
            outcome.here += 1
            continue
        if row.get("state") == "broken" and row["failures"] >= QUARANTINE_AFTER and not again:
            outcome.trouble.setdefault("quarantined", []).append((file, row["message"]))
            continue
        todo.append(file)
    journal.found(found)
    return todo


def _same(facts: Mapping[str, int] | None, row: Mapping[str, object]) -> bool:
    """Tell whether a file is the one that the ledger knows, by size, time and inode."""
    return facts is not None and all(row.get(name) == value for name, value in facts.items())


def _recognise(root: Path, file: Wanted, row: dict[str, object]) -> str:
    """Return the hash of a file that lies where it belongs, if it is known to be right by its bytes; else an empty text.

    A file that is known to be wrong is put aside, lest a run takes it.
    """
    path = root / file.path
    expected = file.hash or (str(row["hash"]) if row.get("state") == HAVE else "")
    if expected:
        digest = content_hash(path)
        if digest == expected:
            return digest
    else:
        try:
            verdict = judge(path, file.name)
        except BadData:
            pass
        else:
            of_this_size = file.size in (-1, path.stat().st_size)
            return verdict.hash if verdict.proven and of_this_size else ""
    path.replace(wrong_path(path))
    return ""


# -- the work --------------------------------------------------------------------------------------------------------


def _fetch_all(
    root: Path,
    todo: Sequence[Wanted],
    amount: Amount,
    archive: Archive,
    journal: Journal,
    outcome: Outcome,
    cloud: bool,
    parallel: int,
    tap: Tap,
    reporter: Reporter,
) -> None:
    """Fetch files; what has come is written down in any case."""
    if not todo:
        return

    def get(file: Wanted) -> Fetched:
        urls = [archive.file_url(file.uri)]
        if cloud and file.key:
            urls.insert(0, archive.cloud_url(file.key))
        made_anew = file.path.startswith("RAW/hst/")  # on request, and not always as long as listed
        size = -1 if made_anew and not file.hash else file.size
        final = root / file.path
        try:
            return fetch(archive.wire, urls, final, Expected(file.name, size, file.hash), tap)
        except OSError as error:
            error.filename = error.filename or str(final)  # what is said of a write names no file
            raise

    def settle(batch: Sequence[tuple[Wanted, Fetched]]) -> None:
        journal.settle(batch)
        for file, answer in batch:
            if answer.state == HAVE:
                outcome.fetched.append(file)
                outcome.size += answer.size
                if answer.message:
                    outcome.remarks.append((file, answer.message))
            else:
                outcome.trouble.setdefault(answer.state, []).append((file, answer.message))

    what = f"{amount.n_file} {'file' if amount.n_file == 1 else 'files'}"
    meter = Meter(reporter, what, amount.n_file, 0 if amount.n_unknown else amount.n_byte, bool(amount.n_guessed))
    # Short, so that nobody runs far ahead of the ledger: what it does not know yet would have to come again after a kill.
    work = SideBySide(archive.wire, get, settle, ahead=parallel)
    try:  # twice as many: while some fetch, others judge and sync what they have
        work.work(todo, 2 * parallel, lambda: meter.show(tap.taken, len(outcome.fetched) + len(outcome.troubled())))
    finally:
        journal.sync()
        reporter.end()
