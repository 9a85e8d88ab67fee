"""Who may read and write what cuvee writes into a workspace: the mode and the group of new files."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cuvee.errors import ConfigError
from cuvee.store.paths import Paths

__all__ = ["shared"]


@contextmanager
def shared(paths: Paths, mode: str, group: str) -> Iterator[None]:
    """Give files and folders that are made meanwhile a mode and a group, by this process and by its workers.

    The mode is the process's umask, so it holds for every file from its first byte, whoever writes it; folders may be entered by those who may
    read them. The group is handed down by the folders of the workspace (their set-group-ID bit).

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    mode : str
        Of files, octal; empty: as the user's umask says.
    group : str
        Its name; empty: the user's.

    Raises
    ------
    ConfigError
        If there is no such group, or the user is not in it. Folders of somebody else stay as they are.
    """
    folders = [paths.root, *paths.products, paths.temporary, paths.report().parent]
    folders += [paths.root / name for name in ("RAW", "PROJ")]
    wanted = int(mode, 8) if mode else None
    before = None if wanted is None else os.umask(0o777 & ~(wanted | (wanted & 0o444) >> 2))
    try:
        if group:
            _hand_down(folders, group)
        yield
    finally:
        if before is not None:
            os.umask(before)
            for path in paths.root.glob("cuvee*.db*"):  # SQLite lets nobody write but the owner, whatever the umask
                if path.stat().st_uid == os.geteuid():
                    path.chmod(int(mode, 8))


def _hand_down(folders: list[Path], group: str) -> None:
    """Let folders, and those within them, give their group to what is made in them."""
    try:
        number = grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ConfigError(f"[files] group: this machine has no group {group!r}; name one that you are in.") from error
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        within = [Path(here) for here, _, _ in os.walk(folder)] if folder != folders[0] else [folder]
        for one in within:
            found = one.stat()
            if found.st_uid != os.geteuid() or (found.st_gid == number and found.st_mode & stat.S_ISGID):
                continue
            try:
                os.chown(one, -1, number)
                one.chmod(stat.S_IMODE(found.st_mode) | stat.S_ISGID)
            except PermissionError as error:
                raise ConfigError(
                    f"[files] group: {one} cannot be given to the group {group!r}: you are not in it."
                ) from error
