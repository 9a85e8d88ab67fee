"""One writer a workspace."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cuvee.errors import ConfigError, StoreError

__all__ = ["lock_holder", "workspace_lock"]


@contextmanager
def workspace_lock(path: Path, what: str = "run") -> Iterator[None]:
    """Hold a workspace's lock; the operating system frees it however the process ends.

    Parameters
    ----------
    path : Path
        The lock file; it names the holder's process and is never deleted.
    what : str
        What its holders do, for the message.

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
                f"Another {what} (process {holder}) is working in {path.parent}; wait for it, or stop it first."
            ) from error
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise StoreError(f"Cannot write in the workspace {path.parent}: {error.strerror}.") from error
        yield
    finally:
        os.close(file)


def lock_holder(path: Path) -> int:
    """Return the process that holds a workspace's lock, 0 if nobody does; needs no right to write.

    Parameters
    ----------
    path : Path
        The lock file.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return 0
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.read(file, 32).decode(errors="replace").strip()
        return int(text) if text.isdigit() else -1
    finally:
        os.close(file)
    return 0
