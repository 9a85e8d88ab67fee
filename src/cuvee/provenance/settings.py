"""Where each parameter of a run was set: a line of cuvee.toml, an option of the command, or nowhere, so that its default held."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from typing import Any

from cuvee.config import Config, WorkspaceParams

__all__ = ["key_lines", "settings_of"]

_OPTIONS = {("run", "workers"): "--workers", ("run", "executor"): "--executor"}
"""Parameters that an option of ``cuvee run`` overrides."""


def key_lines(text: str) -> dict[tuple[str, str], int]:
    """Find the line (from 1) on which each key of a TOML file begins.

    Parameters
    ----------
    text : str
        Valid TOML: sections with keys, however they are written (tables, inline tables, dotted keys).

    Returns
    -------
    dict of (section, key) to int
        Found with the parser itself: a key begins on the line behind the longest part of the file that is valid and does not have it.
    """
    lines = text.split("\n")
    found: dict[tuple[str, str], int] = {}
    whole = 0  # lines of the longest part so far that is valid
    for n in range(1, len(lines) + 1):
        try:
            given = tomllib.loads("\n".join(lines[:n]))
        except tomllib.TOMLDecodeError:  # in the middle of a value of many lines
            continue
        for section, values in given.items():
            for key in values if isinstance(values, dict) else ():
                found.setdefault((section, key), whole + 1)
        whole = n
    return found


def settings_of(run: Mapping[str, Any], now: Config, text: str) -> list[dict[str, Any]]:
    """List the parameters of a run and say where each was set.

    Parameters
    ----------
    run : mapping
        Its row in the ledger: ``id``, ``config``, ``command``.
    now : Config
        What the configuration says now.
    text : str
        ``cuvee.toml`` as it is now.

    Returns
    -------
    list of dict
        ``section``, ``key``, ``value`` in that run; ``set`` in words; ``line`` of ``cuvee.toml`` (None where it is not there) and ``now``, the value that the
        configuration has now. The ledger keeps values, not lines: what ``cuvee.toml`` says otherwise now was set in it, or was its default, then.
    """
    lines = key_lines(text)
    current = now.effective()
    default = Config(workspace=WorkspaceParams(instrument=now.workspace.instrument)).effective()
    try:
        words = shlex.split(run.get("command", ""))
    except ValueError:
        words = []
    rows = []
    for section in Config.model_fields:
        for key, value in run.get("config", {}).get(section, {}).items():
            line, today = lines.get((section, key)), current.get(section, {}).get(key)
            option = _option(words, _OPTIONS.get((section, key), ""))
            if option:
                where = f"overridden on the command line: {option}"
            elif value != today:
                what = (
                    f"line {line} now says {_text(today)}" if line else f"does not set it now (default {_text(today)})"
                )
                where = f"as of run {run['id']}; cuvee.toml {what}"
            elif line:
                where = f"cuvee.toml line {line}"
            else:
                where = "default" if value == default.get(section, {}).get(key) else f"as of run {run['id']}"
            rows.append({"section": section, "key": key, "value": value, "set": where, "line": line, "now": today})
    return rows


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _option(words: list[str], name: str) -> str:
    for i, word in enumerate(words):
        if name and word == name:
            return " ".join(words[i : i + 2])
        if name and word.startswith(f"{name}="):
            return word
    return ""
