"""One writer a workspace."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cuvee.errors import ConfigError, StoreError

__all__ = ["workspace_lock"]


@contextmanager
def workspace_lock(path: Path) -> Iterator[None]:
    """Hold a workspace's lock; the operating system frees it however the process ends.

    Parameters
    ----------
    path : Path
        The lock file; it names the holder's process and is never deleted.

    Raises
    ------
    ConfigError
        If another process holds it.
    StoreError
        If the workspace cannot be written.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise StoreError(f"Cannot write in the workspace {path.parent}: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            raise ConfigError(
                f"Another run (process {holder}) is working in {path.parent}; wait for it, or stop it first."
            ) from error
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)
