"""Write a file so that nobody ever sees a part of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import xxhash

from cuvee.errors import StoreError

__all__ = ["TEMPORARY_SUFFIX", "atomic_path", "content_hash", "sync_folder"]

TEMPORARY_SUFFIX = ".partial"


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it becomes ``path`` durably, on failure it vanishes.

    Parameters
    ----------
    path : Path
        Where the finished file goes; its folder is made if it is missing.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"Cannot write {path}: {reason}; free some space or mend the permissions, then run again."
        ) from error
    finally:
        with suppress(OSError):  # where the folder is none, there is nothing to take away
            temporary.unlink(missing_ok=True)


def content_hash(path: Path) -> str:
    """Return the XXH3-128 (hex) of a file's bytes."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()
