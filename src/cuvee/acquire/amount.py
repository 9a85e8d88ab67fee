"""How much is to come, and whether there is room for it."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cuvee.acquire.archive import Archive
from cuvee.acquire.journal import HAVE, Journal, stat_of
from cuvee.acquire.manifest import Wanted
from cuvee.acquire.names import identify
from cuvee.acquire.outcome import byte_text
from cuvee.acquire.transfer import temporary_path
from cuvee.errors import StoreError, TransientError

__all__ = ["Amount", "amount_of", "check_room"]

_SPARE = 1 << 24
"""Bytes that stay free for the ledger."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What is to come.

    Parameters
    ----------
    n_file : int
        Files.
    n_byte : int
        Their bytes, without those that came before a transfer broke off, and of files whose size nobody knows.
    n_guessed : int
        Files whose size is that of others of their kind.
    n_unknown : int
        Files whose size nobody knows.
    """

    n_file: int
    n_byte: int
    n_guessed: int
    n_unknown: int


def amount_of(root: Path, todo: Sequence[Wanted], archive: Archive, journal: Journal) -> Amount:
    """Find out how much is to come; of a kind without sizes in the list, files that are here tell, or else one that the archive is asked for.

    Parameters
    ----------
    root : Path
        The workspace.
    todo : sequence of Wanted
        The files.
    archive : Archive
        Who has them.
    journal : Journal
        Knows what is here.
    """
    here: dict[str, list[int]] = defaultdict(list)
    for row in journal.rows.values():
        if row["state"] == HAVE:
            here[_kind(row["name"])].append(int(row["size"]))
    typical = {kind: sum(sizes) // len(sizes) for kind, sizes in here.items()}
    n_byte = n_guessed = n_unknown = 0
    for file in todo:
        size, kind = file.size, _kind(file.name)
        if size < 0:
            if kind not in typical:
                typical[kind] = _ask_size(archive, file)
            size = typical[kind]
            n_guessed, n_unknown = n_guessed + (size >= 0), n_unknown + (size < 0)
        partial = stat_of(temporary_path(root / file.path))
        n_byte += max(0, size - (partial["size"] if partial else 0))
    return Amount(len(todo), n_byte, n_guessed, n_unknown)


def check_room(root: Path, amount: Amount) -> None:
    """Check that there is room for what is to come.

    Raises
    ------
    StoreError
        If there is not.
    """
    place = root / "RAW"  # which may be a disk of its own
    place = place if place.is_dir() else root
    free = shutil.disk_usage(place).free
    if amount.n_byte and amount.n_byte + _SPARE > free:
        raise StoreError(
            f"{amount.n_file} files need about {byte_text(amount.n_byte)}, and {byte_text(free)} are free in {place}; nothing was fetched:"
            " free some space, or ask for less."
        )


def _kind(name: str) -> str:
    named = identify(name)
    return f"{named.mission} {named.kind}" if named else ""


def _ask_size(archive: Archive, file: Wanted) -> int:
    try:
        return archive.wire.size(archive.file_url(file.uri))
    except TransientError:
        return -1
