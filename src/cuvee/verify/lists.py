"""Which files there should be, by a list from outside."""

from __future__ import annotations

import json
from pathlib import Path

from cuvee.acquire.script import script_line
from cuvee.errors import ConfigError

__all__ = ["read_list"]


def read_list(path: Path) -> set[str]:
    """Read names of files from a bulk script of the archive, from the record of an acquisition, or from lines with a name each.

    Parameters
    ----------
    path : Path
        The list.

    Returns
    -------
    set of str
        Names, without folders.

    Raises
    ------
    ConfigError
        If it cannot be read, or names nothing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The list {path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}."
        ) from error
    if text.lstrip().startswith("{"):
        try:
            names = {str(file["name"]) for file in json.loads(text)["files"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is no record of an acquisition, or damaged; name another list.") from error
    else:
        names = {name for line in text.splitlines() if (name := _name(line))}
    if not names or text.lstrip()[:14].lower().startswith(("<!doctype", "<html")):
        raise ConfigError(f"{path} names no files; give a bulk script of the archive, a record, or a file name a line.")
    return names


def _name(line: str) -> str:
    name, words = script_line(line)
    if not name and len(words) == 1:
        name = words[0]
    return name.rsplit("/", 1)[-1]
