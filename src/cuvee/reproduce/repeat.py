"""Doing a run of another workspace again, in an empty one, from the same inputs with the same configuration.

What the run was made from stands in its workspace's ledger: the effective configuration, what was asked, the raw files and
catalogue tables, the frames of each reference set, and the content of all of them. The reference sets are written down
before the work, because they were chosen among the frames that were there at the time.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cuvee import __version__
from cuvee.config import CONFIG_NAME, Config, load
from cuvee.errors import ConfigError, StoreError
from cuvee.instruments.registry import find_files, instrument
from cuvee.model.keys import DataId
from cuvee.reproduce.past import Comparison, PastRun, compare, past_run
from cuvee.run.options import Reporter, RunOptions, RunSummary
from cuvee.run.params import known_params
from cuvee.run.software import software_versions
from cuvee.run.stage import Stage
from cuvee.run.start import run_workspace
from cuvee.store.atomic import atomic_path
from cuvee.store.ledger import Ledger
from cuvee.store.own_ledger import open_ledger
from cuvee.store.paths import Paths

__all__ = ["Reproduction", "reproduce_run"]

_PLACES = {
    "workspace": ("base", "red", "lc", "project"),
    "data": ("files",),
    "catalog": ("files",),
    "extract": ("mask",),
    "time": ("kernel",),
    "moving": ("ephemerides",),
    "run": ("workers", "executor"),
    "database": ("url",),
}
"""What the new workspace's own configuration may say: where things lie, and how the work is spread."""

_NAMED = 5
"""Missing files that are named before the work."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of doing a run again.

    Parameters
    ----------
    past : PastRun
        The run.
    summary : RunSummary
        What this run did.
    software : mapping of str to (str, str)
        Packages whose version was another one then: then, now.
    comparison : Comparison
        Of the products.
    """

    past: PastRun
    summary: RunSummary
    software: Mapping[str, tuple[str, str]]
    comparison: Comparison


def reproduce_run(
    root: Path, run: str, stages: Sequence[Stage], options: RunOptions, reporter: Reporter
) -> Reproduction:
    """Do a run again in an empty workspace, and compare what comes out with what came out then.

    Parameters
    ----------
    root : Path
        Where to do it: a folder that is empty or not there yet; or a new workspace (``cuvee init``) whose ``cuvee.toml``
        says where the inputs lie now; or one where this very reproduction was begun.
    run : str
        The run's workspace, or its ledger, with ``#N`` behind it for run N; by default the newest one that was finished.
    stages : sequence of Stage
        The pipeline.
    options : RunOptions
        How the work is spread; what is done is what was asked of the run.
    reporter : Reporter
        Takes the news; what differs already before the work is told at once.

    Returns
    -------
    Reproduction

    Raises
    ------
    ConfigError
        If there is no such run, or the workspace is not empty, or the inputs are not there; nothing has been done then.
    StoreError
        If the workspace cannot be used.
    """
    path, number = _find(run)
    if path.parent.resolve() == root.resolve():
        raise ConfigError(f"{root} is the workspace of that run; name an empty folder with -w.")
    with _open(path) as ledger:
        past = past_run(ledger, path, number, stages)
        members = _members(ledger)
    config = _configuration(root, past)
    raw, missing = _raw_files(config, root, past)
    config = _with_files(config, root, raw)
    text = _toml(config, past)
    target = root / CONFIG_NAME
    if not (target.is_file() and target.read_text() == text):
        _check_empty(root, config)
    changed = _changed_parameters(config, root, past)
    now = {"cuvee": __version__, **software_versions()}
    software = {k: (v, now.get(k, "")) for k, v in past.software.items() if now.get(k, "") != v}
    for name, (then, here) in software.items():
        reporter.say(f"Other software: {name} {then} then, {here or 'none'} now.")
    for name in missing[:_NAMED]:
        reporter.say(f"Missing: {name}")
    if len(missing) > _NAMED:
        reporter.say(f"Missing: {len(missing) - _NAMED} more files; all are listed in the end.")
    for change in changed:
        reporter.say(f"Different: {change}")
    with atomic_path(target) as temporary:
        temporary.write_text(text)
    places = config.workspace
    paths = Paths.of_project(root, places.base, places.red, places.lc, places.project, config.database.url)
    for series, names in members.items():
        _write_members(paths.reference_set(series), names)
    asked = replace(options, segment=past.segment, detector=past.detector, until=past.until)
    summary = run_workspace(root, stages, asked, reporter)
    with _open(path) as old, open_ledger(paths, read_only=True) as new:
        comparison = compare(old, new, past, changed)
    return Reproduction(past, summary, software, comparison)


# -- the run that was ---------------------------------------------------------------------------------------------


def _find(run: str) -> tuple[Path, int | None]:
    """Return the ledger that a user's words mean, and the run's number where one is named."""
    name, _, number = run.rpartition("#")
    if os.path.exists(run) or not (name and number.isdigit()):
        name, number = run, ""
    path = Path(name)
    if path.is_dir():
        ledgers = sorted(path.glob("cuvee*.db"))
        if not ledgers and (paths := _on_server(path)) is not None:
            ledgers = [paths.ledger_file]  # where it would be; `_open` knows where it is
        if not ledgers:
            raise ConfigError(
                f"There is no ledger (cuvee.db) in {path}, so no run of it is known; name a workspace, as in my-survey or my-survey#3."
            )
        if len(ledgers) > 1:
            there = ", ".join(ledger.name for ledger in ledgers)
            raise ConfigError(f"{path} has the ledgers of several projects ({there}); name one, as in {ledgers[0]}#1.")
        path = ledgers[0]
    elif not path.is_file():
        raise ConfigError(
            f"There is no workspace {path}; name the one whose run you mean, as in my-survey or my-survey#3."
        )
    elif path.suffix != ".db":
        raise ConfigError(f"{path} is no ledger of cuvee; name a workspace, as in my-survey or my-survey#3.")
    return path, int(number) if number else None


def _on_server(folder: Path) -> Paths | None:
    """Return the names of a workspace whose ledger is on a server, None of any other."""
    if not (folder / CONFIG_NAME).is_file():
        return None
    config = load(folder)
    places, url = config.workspace, config.database.url
    return Paths.of_project(folder, places.base, places.red, places.lc, places.project, url) if url else None


def _open(path: Path) -> Ledger:
    paths = None if path.is_file() else _on_server(path.parent)
    try:
        return Ledger.open(path, read_only=True) if paths is None else open_ledger(paths, read_only=True)
    except StoreError as error:
        raise ConfigError(f"No run can be reproduced from there: {error.message}") from error


def _members(ledger: Ledger) -> dict[DataId, list[str]]:
    """Return the frames of each reference set, in cadence order."""
    found: dict[DataId, list[str]] = defaultdict(list)
    cadence = {(row["segment"], row["detector"], row["name"]): row["first_cadence"] for row in ledger.files().values()}
    for row in ledger.rows("lineage", kind="reference", input_kind="member"):
        found[DataId.parse(row["data_id"])].append(DataId.parse(row["input_id"]).part)
    for series, names in found.items():
        names.sort(key=lambda name, at=series: (cadence.get((at.segment, at.detector, name), 0), name))  # type: ignore[misc]
    return dict(found)


def _write_members(path: Path, names: Sequence[str]) -> None:
    # The driver sees that the state of the frame in the middle is unknown, and reads its WCS.
    kept = {"members": list(names), "stat": [0, 0, 0], "footprint": {}, "cells": []}
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(kept, indent=1) + "\n")


# -- the workspace that will be -----------------------------------------------------------------------------------


def _configuration(root: Path, past: PastRun) -> Config:
    """Return the run's configuration, with places as the new workspace's own configuration says, else as they were."""
    home = past.ledger.resolve().parent
    values: dict[str, Any] = {name: dict(past.config[name]) for name in Config.model_fields if name in past.config}
    for name in ("data", "catalog"):
        values[name]["files"] = [_absolute(home, source) for source in values[name]["files"]]
    values["time"]["kernel"] = [_absolute(home, kernel) for kernel in values["time"]["kernel"]]
    if "moving" in values:
        values["moving"]["ephemerides"] = [_absolute(home, name) for name in values["moving"]["ephemerides"]]
    if values["extract"]["mask"] not in (None, "pipeline"):
        values["extract"]["mask"] = _absolute(home, values["extract"]["mask"])
    # Never the folders of the old workspace: they may lie outside of it, and would be written over.
    values["workspace"] = {name: values["workspace"][name] for name in ("instrument", "project")}
    values.pop("run", None)
    try:
        config = Config.model_validate(values)
    except (ValidationError, KeyError) as error:
        raise ConfigError(
            f"The configuration of {past.name} cannot be read: cuvee {past.software['cuvee']} made it; use that version."
        ) from error
    own = root / CONFIG_NAME
    if not own.is_file():
        return config
    given = load(root).model_dump(exclude_unset=True)
    for section, settings in given.items():
        kept = values.setdefault(section, {})
        for key, value in settings.items():
            if key in _PLACES.get(section, ()):
                if not _is_empty_source(root, section, key, value):
                    kept[key] = value
            elif value != getattr(getattr(config, section), key):
                raise ConfigError(
                    f"{own} sets [{section}] {key}, which {past.name} decides; take it out, or use an empty folder."
                )
    return Config.model_validate(values)


def _absolute(home: Path, name: str) -> str:
    return os.path.normpath(os.path.join(home, os.path.expanduser(name)))


def _is_empty_source(root: Path, section: str, key: str, value: Any) -> bool:
    """Tell whether a setting is what ``cuvee init`` writes where the user has named nothing."""
    if key == "files" and section == "data" and list(value) == ["RAW"]:
        return not (root / "RAW").is_dir() or not any((root / "RAW").iterdir())
    return key == "files" and not value


def _raw_files(config: Config, root: Path, past: PastRun) -> tuple[list[str], list[str]]:
    """Return the run's raw files where they lie now, and those that are nowhere."""
    patterns = instrument(config.workspace.instrument).patterns
    found: set[str] = set()
    for source in config.data.files:
        try:
            found.update(find_files([source], patterns, root.resolve()))
        except ConfigError:  # whatever lay there is missed below, by its name
            continue
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in found:
        by_name[_stem(path)].append(path)
    taken: set[str] = set()
    missing = []
    for path in past.raw:
        here = [path] if path in found else by_name.get(_stem(path), [])
        taken.update(here)
        if not here:
            missing.append(path)
    if not taken:
        where = ", ".join(config.data.files)
        raise ConfigError(
            f"None of the {len(missing)} raw files of {past.name} is in {where}; say where they are with "
            "cuvee init NEW --data PLACE --catalog TABLE, then: cuvee run -w NEW --reproduce RUN"
        )
    return sorted(taken), sorted(missing)


def _stem(path: str) -> str:
    # Compressed or not, the same frame; the content is compared later.
    return os.path.basename(path).removesuffix(".gz").removesuffix(".fz")


def _with_files(config: Config, root: Path, raw: Sequence[str]) -> Config:
    """Name the raw files one by one where the places hold others, too, as those that came later."""
    patterns = instrument(config.workspace.instrument).patterns
    try:
        if find_files(config.data.files, patterns, root.resolve()) == list(raw):
            return config
    except ConfigError:
        pass
    data = config.data.model_copy(update={"files": tuple(raw)})
    return config.model_copy(update={"data": data})


def _check_empty(root: Path, config: Config) -> None:
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file; name an empty folder with -w.")
    places = config.workspace
    own = root / CONFIG_NAME
    ledgers = list(root.glob("cuvee*.db"))
    if ledgers or (not own.is_file() and root.is_dir() and any(root.iterdir())):
        raise ConfigError(f"{root} is not empty; a run is reproduced in an empty folder: name one with -w.")
    for name in (places.base, places.red, places.lc):
        folder = root / name
        if folder.is_dir() and any(path.is_file() for path in folder.rglob("*")):
            raise ConfigError(f"{folder} is not empty; a run is reproduced in an empty workspace: name one with -w.")


def _changed_parameters(config: Config, root: Path, past: PastRun) -> list[str]:
    """Return the files named by the configuration that hold something else now."""
    files = list(config.time.kernel)
    mask = config.extract.mask
    if mask not in (None, "pipeline"):
        files.append(str(mask))
    for name in files:
        if not (root / name).is_file():
            raise ConfigError(
                f"{name}, which {past.name} needs, is not there; bring it back, or name it in a cuvee.toml in {root}."
            )
    known = known_params(config, root)
    changed = [str(mask)] if known.get("mask") != past.config.get("mask") else []
    then = past.config.get("kernels", [])
    changed += [name for i, name in enumerate(config.time.kernel) if i >= len(then) or known["kernels"][i] != then[i]]
    if known.get("ephemerides", []) != past.config.get("ephemerides", []):
        changed += config.moving.ephemerides
    return changed


def _toml(config: Config, past: PastRun) -> str:
    lines = [
        f"# The configuration of {past.name} of {past.ledger.resolve()}, which cuvee run --reproduce did again here."
    ]
    for section, values in config.effective().items():
        lines += ["", f"[{section}]"]
        # JSON's texts, numbers and lists are TOML's, as long as no character is written as a surrogate pair.
        lines += [
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items() if value is not None
        ]
    if config.database.url:
        lines += ["", "[database]", f"url = {json.dumps(config.database.url, ensure_ascii=False)}"]
    return "\n".join(lines) + "\n"
