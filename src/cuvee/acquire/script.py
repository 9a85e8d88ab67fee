"""Bulk scripts of the archive: shell scripts with a curl a line."""

from __future__ import annotations

import shlex

__all__ = ["script_line"]


def script_line(line: str) -> tuple[str, list[str]]:
    """Read one line.

    Parameters
    ----------
    line : str
        For example ``curl -C - -L -o NAME URL``.

    Returns
    -------
    name : str
        Of the file that it writes; empty where it writes none.
    words : list of str
        Its words; none of an empty line or a remark.
    """
    line = line.strip()
    if line.startswith("#"):
        return "", []
    try:
        words = shlex.split(line)
    except ValueError:  # a quotation mark without its other half
        words = line.split()
    return words[words.index("-o") + 1] if "-o" in words[:-1] else "", words
