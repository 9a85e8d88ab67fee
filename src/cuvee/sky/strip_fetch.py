"""Strips of the TIC from the archive into the stored catalogue: fetched, held against the archive's sums, taken in, and let go.

What is there, the index of the stored catalogue says, and nothing else. The ledger's tables of acquisitions are left out on purpose: they say which
files lie in RAW, and a strip that has been taken in lies there no longer; a catalogue may be shared by workspaces with a ledger each; and the
index is written last, after a strip's rows, so that it is true whenever somebody was killed. Two that fetch in a workspace exclude each other by the
lock of acquisitions. Of two workspaces that add to a shared catalogue at the same moment, the index may lose a strip, which then comes again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cuvee.acquire.api import archive_at, paths_of
from cuvee.acquire.archive import Archive
from cuvee.acquire.journal import HAVE, stat_of
from cuvee.acquire.outcome import byte_text
from cuvee.acquire.parallel import Meter, SideBySide
from cuvee.acquire.strips import STRIP_FOLDER, SUMS, Strip, strip_of
from cuvee.acquire.transfer import Expected, Fetched, Tap, fetch, temporary_path
from cuvee.acquire.wire import Patience, Refused
from cuvee.config import AcquireParams, load
from cuvee.errors import ConfigError, StoreError, TransientError
from cuvee.run.options import Reporter
from cuvee.sky.home import home_of
from cuvee.sky.take import Taken, take_in
from cuvee.store.atomic import atomic_path, sync_folder
from cuvee.store.lock import workspace_lock
from cuvee.store.sky_import import md5_list, taking_folder
from cuvee.store.sky_store import TIC, find_stored, is_stored, read_catalog

__all__ = ["StripOutcome", "fetch_strips", "named_tic", "stored_strips", "strip_sizes", "tic_folder"]

_GROWTH = 2.0
"""Room that a strip takes in the store, in lengths of its compressed file; 1.6 of 150,000 rows like those of the TIC."""
_SPARE = 1 << 24
"""Bytes that stay free."""
_COMING = ".coming"
"""Folder within `STRIP_FOLDER` of strips that have not been taken in yet."""
_FETCHES = 2
"""How often a strip is fetched whose sum is wrong."""


@dataclass(slots=True)
class StripOutcome:
    """What became of strips.

    Parameters
    ----------
    wanted : tuple of Strip
        All that were asked for.
    folder : Path
        The stored catalogue.
    here : list of Strip
        Those that were there before.
    taken : list of Taken
        Those that came, and what of them was taken in.
    size, seconds : int, float
        Bytes that came, and how long all of it took.
    trouble : dict of str to list
        Strips that are not there, with the reason, by state: ``missing``, ``failed`` and ``broken`` as of any acquisition, ``wanted`` where
        the archive could not be asked, or nobody asked it.
    offline : str
        Why the archive could not be asked; empty where it was.
    """

    wanted: tuple[Strip, ...]
    folder: Path
    here: list[Strip] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    size: int = 0
    seconds: float = 0.0
    trouble: dict[str, list[tuple[Strip, str]]] = field(default_factory=dict)
    offline: str = ""

    def add_trouble(self, state: str, strip: Strip, message: str = "") -> None:
        """Note a strip that is not there."""
        self.trouble.setdefault(state, []).append((strip, message))

    @property
    def absent(self) -> list[Strip]:
        """Strips that are not there."""
        return sorted(strip for pairs in self.trouble.values() for strip, _ in pairs)


def tic_folder(root: Path) -> Path:
    """Return where a workspace has the TIC, or would have it: the stored catalogue that its configuration names, else its own.

    Raises
    ------
    ConfigError
        If it is no workspace.
    StoreError
        If the index of a catalogue is damaged.
    """
    return named_tic(root) or home_of(root) / TIC


def named_tic(root: Path) -> Path | None:
    """Return where the TIC is that a configuration names, taken in or not; None where it names none."""
    home = home_of(root)
    for source in load(root).catalog.files:
        where = find_stored(source, root, home)
        if where is not None and read_catalog(where).name == TIC:
            return where
        if where is None and source == TIC and not (root / TIC).exists():
            return home / TIC
    return None


def stored_strips(folder: Path) -> set[Strip]:
    """Return the strips that a stored catalogue has.

    Raises
    ------
    ConfigError
        If it was made of other files.
    """
    if not is_stored(folder):
        return set()
    sources = read_catalog(folder).sources
    found = {strip for source in sources if (strip := strip_of(source.file))}
    if sources and not found:
        raise ConfigError(
            f"{folder} was made of other files than the archive's strips ({sources[0].file}), so none are added to it; move it away, or go on with it."
        )
    return found


def strip_sizes(archive: Archive, strips: Sequence[Strip], parallel: int) -> dict[Strip, int | str]:
    """Ask for the lengths of strips; a text says that there is none such."""

    def ask(strip: Strip) -> int | str:
        try:
            return archive.wire.size(archive.catalog_url(strip.name))
        except Refused as refusal:
            return f"the archive answers with {refusal.status}"

    pool = ThreadPoolExecutor(parallel)
    try:
        return dict(zip(strips, pool.map(ask, strips), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)  # without a network, one that says so is enough


def fetch_strips(
    root: Path, strips: Iterable[Strip], reporter: Reporter, *, keep: bool = False, patience: Patience | None = None
) -> StripOutcome:
    """Fetch strips that are not there and take them into the stored catalogue.

    Parameters
    ----------
    root : Path
        The workspace; its ``[acquire]`` says which archive, how many at a time, and how fast.
    strips : iterable of Strip
        Which.
    reporter : Reporter
        Takes the news.
    keep : bool
        Keep the archive's files, too, in `STRIP_FOLDER`.
    patience : Patience, optional
        How long to try.

    Returns
    -------
    StripOutcome
        What came, and what did not, with the reasons. Where the archive cannot be reached, ``offline`` says why.

    Raises
    ------
    ConfigError
        If it is no workspace, another acquisition is at work there, or the stored catalogue was made of other files.
    StoreError
        If there is not enough room, or the disk cannot be written.
    """
    folder, params = tic_folder(root), load(root).acquire
    outcome = StripOutcome(tuple(sorted(strips)), folder)
    start = time.monotonic()
    coming = root.absolute() / STRIP_FOLDER / _COMING
    if _missing(outcome) or any(coming.glob("*.csv.gz")):
        with workspace_lock(paths_of(root).acquire_lock, "acquisition"):
            outcome.here.clear()
            missing = _missing(outcome)  # whoever held the lock before may have fetched them
            with archive_at(params.archive, patience, params.parallel) as archive:
                _Fetch(coming, outcome, archive, params, keep, reporter).run(missing)
    outcome.seconds = time.monotonic() - start
    return outcome


def _missing(outcome: StripOutcome) -> list[Strip]:
    known = stored_strips(outcome.folder)
    outcome.here += [strip for strip in outcome.wanted if strip in known]
    return [strip for strip in outcome.wanted if strip not in known]


class _Fetch:
    """One acquisition of strips, under the lock."""

    def __init__(
        self,
        coming: Path,
        outcome: StripOutcome,
        archive: Archive,
        params: AcquireParams,
        keep: bool,
        reporter: Reporter,
    ) -> None:
        self._outcome, self._archive, self._keep, self._reporter = outcome, archive, keep, reporter
        self._parallel, self._tap = params.parallel, Tap(params.bandwidth * 1e6)
        self._kept, self._coming = coming.parent, coming
        self._sizes: dict[Strip, int] = {}
        self._wrong: dict[Strip, str] = {}

    def run(self, missing: Sequence[Strip]) -> None:
        """Fetch strips and take them in."""
        outcome = self._outcome
        for path in self._coming.glob("*.csv.gz"):
            if strip_of(path.name) in stored_strips(outcome.folder):  # somebody was killed after it was taken in
                shutil.rmtree(taking_folder(outcome.folder, path.name), ignore_errors=True)
                self._let_go(path)
        if missing:
            self._run(missing)
        if self._coming.is_dir() and all(SUMS in path.name for path in self._coming.iterdir()):
            shutil.rmtree(self._coming)
            with suppress(OSError):  # the user's files stay
                self._kept.rmdir()
                self._kept.parent.rmdir()

    def _run(self, missing: Sequence[Strip]) -> None:
        outcome = self._outcome
        try:
            named = self._get_sums(missing)
            found = strip_sizes(self._archive, missing, self._parallel)
        except TransientError as error:
            outcome.offline = error.message
            outcome.trouble["wanted"] = [(strip, "") for strip in missing]
            return
        todo = []
        for strip in missing:
            size = found[strip]
            if isinstance(size, str):
                outcome.add_trouble("missing", strip, size)
            elif f"{strip.stem}.csv" not in named:
                outcome.add_trouble(
                    "missing", strip, f"the archive's {SUMS} has no sum of it, by which it could be judged"
                )
            else:
                self._sizes[strip] = size
                todo.append(strip)
        self._check_room(todo)
        for fetches in range(_FETCHES):
            if fetches:
                self._reporter.say(f"{_some(todo)} came with a wrong sum: fetched once more.")
                with suppress(TransientError):
                    self._get_sums(todo)  # that list may have been the wrong one
            self._wrong = {}
            self._fetch_all(todo)
            todo = sorted(self._wrong)
            if not todo:
                break
        for strip, message in self._wrong.items():
            outcome.add_trouble("broken", strip, message)

    def _get_sums(self, wanted: Sequence[Strip]) -> dict[str, str]:
        """Fetch the archive's list of sums, until it is one; where it lacks any that are wanted, once more."""
        wire, path = self._archive.wire, self._coming / SUMS
        found: dict[str, str] | None = None
        trouble, lacks = "", False
        for attempt in range(wire.patience.tries):
            if attempt:
                wire.sleep(wire.patience.pause(attempt - 1))
            answer = wire.ask("GET", self._archive.catalog_url(SUMS))
            with atomic_path(path) as temporary:
                temporary.write_bytes(answer.content)
            try:
                found = md5_list(path)
            except ConfigError as error:
                trouble = error.message
                continue
            if lacks or all(f"{strip.stem}.csv" in found for strip in wanted):
                break
            lacks = True
        if found is None:
            raise TransientError(f"{self._archive.catalog_url(SUMS)} is no list of sums: {trouble}")
        return found

    def _check_room(self, todo: Sequence[Strip]) -> None:
        """Check that there is room for what comes and for what is made of it; a file is deleted when it has been taken in."""
        sizes = {strip: max(0, self._sizes[strip]) for strip in todo}
        some = sorted(sizes.values(), reverse=True)
        coming = sum(some) if self._keep else sum(some[: self._parallel + 2])
        for strip in todo:
            part = stat_of(temporary_path(self._coming / strip.name)) or stat_of(self._coming / strip.name)
            coming -= min(sizes[strip], part["size"]) if part else 0
        home = next(folder for folder in (self._outcome.folder, *self._outcome.folder.parents) if folder.exists())
        needs = [(self._coming, max(0, coming)), (home, int(_GROWTH * sum(some)))]
        if os.stat(self._coming).st_dev == os.stat(home).st_dev:
            needs = [(home, needs[0][1] + needs[1][1])]
        for place, need in needs:
            free = shutil.disk_usage(place).free
            if need and need + _SPARE > free:
                raise StoreError(
                    f"{_some(todo)} of the TIC ({byte_text(sum(some))}) would take about {byte_text(need)}, and {byte_text(free)} are free in {place};"
                    " nothing was fetched: free some space, or ask for less."
                )

    def _fetch_all(self, todo: Sequence[Strip]) -> None:
        if not todo:
            return
        meter = Meter(
            self._reporter, f"{_some(todo)} of the TIC", len(todo), _total([self._sizes[strip] for strip in todo])
        )
        start = self._tap.taken

        def show() -> None:
            meter.show(self._tap.taken - start, len(self._outcome.taken))

        def settle(batch: Sequence[tuple[Strip, Fetched]]) -> None:
            for strip, answer in batch:
                if self._archive.wire.stop.is_set():
                    return  # it takes minutes; what has come is there the next time
                show()
                self._settle(strip, answer)
                meter.interrupted()

        try:
            SideBySide(self._archive.wire, self._get, settle, ahead=1).work(todo, self._parallel, show)
        finally:
            self._reporter.end()

    def _get(self, strip: Strip) -> Fetched:
        """Fetch a strip, unless it came before somebody was killed."""
        final = self._coming / strip.name
        if (facts := stat_of(final)) is not None:
            return Fetched(HAVE, "", size=facts["size"])
        url = self._archive.catalog_url(strip.name)
        answer = fetch(self._archive.wire, [url], final, Expected(strip.name, self._sizes[strip]), self._tap)
        if answer.state == HAVE:
            temporary_path(final).replace(final)
            sync_folder(final.parent)
        return answer

    def _settle(self, strip: Strip, answer: Fetched) -> None:
        """Take a strip in whose bytes have the archive's sum."""
        outcome, path = self._outcome, self._coming / strip.name
        if answer.state != HAVE:
            outcome.add_trouble(answer.state, strip, answer.message)
            return
        folder = outcome.folder
        try:
            (taken,) = take_in([path], folder.parent, self._reporter, folder.name, self._coming / SUMS)
        except ConfigError as error:
            path.unlink()
            self._wrong[strip] = error.message.replace(str(path), strip.name)
            return
        self._let_go(path)
        outcome.taken.append(taken)
        outcome.size += answer.size

    def _let_go(self, path: Path) -> None:
        """Delete a file that has been taken in, or give it to the user."""
        if not self._keep:
            path.unlink()
            return
        with atomic_path(self._kept / SUMS) as temporary:
            shutil.copyfile(self._coming / SUMS, temporary)
        path.replace(self._kept / path.name)


def _some(strips: Sequence[Strip]) -> str:
    return f"{len(strips)} {'strip' if len(strips) == 1 else 'strips'}"


def _total(sizes: Sequence[int]) -> int:
    """Return the bytes of all; 0 where nobody knows those of one."""
    return sum(sizes) if min(sizes) >= 0 else 0
