"""Fetch what is missing or broken, and only that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cuvee.acquire.api import paths_of
from cuvee.acquire.archive import Archive
from cuvee.acquire.journal import now, wrong_path
from cuvee.acquire.manifest import Manifest, Query, Wanted, wanted
from cuvee.acquire.names import identify
from cuvee.acquire.session import acquire_manifest
from cuvee.run.options import Reporter
from cuvee.store.own_ledger import has_ledger, open_ledger
from cuvee.verify.examine import Examine
from cuvee.verify.judge import Report

__all__ = ["repair"]


def repair(root: Path, report: Report, archive: Archive, reporter: Reporter, again: bool = False) -> Report:
    """Fetch files again.

    A broken file is put aside before, under its name with ``.wrong`` behind it, and taken away when a sound one has come; so no run takes it
    meanwhile, and nothing is lost if none comes.

    Parameters
    ----------
    root : Path
        The workspace.
    report : Report
        What is wrong; its ``repaired`` and ``unrepaired`` are filled in, and what was repaired leaves ``broken`` and ``missing``.
    archive : Archive
        Who has the files.
    reporter : Reporter
        Takes the news.
    again : bool
        Ask for files in quarantine, too.

    Returns
    -------
    Report
        The same.
    """
    root = root.resolve()
    sources = _sources(root)
    todo: dict[str, Wanted] = {}
    for path in [*(one.path for one in report.broken), *report.missing]:
        named = identify(os.path.basename(path))
        if named is None:
            report.unrepaired.append(f"{path}: its name is of no archive that cuvee knows.")
            continue
        file = wanted(named)
        if os.path.isabs(path) and not Path(path).is_relative_to(root):
            report.unrepaired.append(f"{path}: it lies outside of the workspace; fetch it there yourself.")
            continue
        if os.path.isabs(path):
            file = sources.get(path) or Wanted(file.name, os.path.relpath(path, root), file.uri, file.key)
        todo[str(root / file.path)] = file
    for path in todo:
        if os.path.exists(path):
            os.replace(path, wrong_path(Path(path)))
    if todo:
        manifest = Manifest(Query("repair", where=(now(),)), now(), sorted(todo.values(), key=lambda file: file.path))
        outcome = acquire_manifest(paths_of(root), manifest, archive, again=again, reporter=reporter)
        for file, why in outcome.troubled():
            report.unrepaired.append(f"{root / file.path}: {why}")
    for path in todo:
        if os.path.isfile(path) and not Examine(report.full)([path])[0].reason:
            report.repaired.append(path)
    mended: Callable[[str], bool] = set(report.repaired).__contains__
    names = {os.path.basename(path) for path in report.repaired}
    report.broken = [one for one in report.broken if not mended(one.path)]
    report.missing = [path for path in report.missing if not mended(path) and path not in names]
    return report


def _sources(root: Path) -> dict[str, Wanted]:
    """Return what is known of files that were fetched before, by absolute path."""
    paths = paths_of(root)
    if not has_ledger(paths):
        return {}
    with open_ledger(paths, read_only=True) as opened:
        rows = opened.rows("downloads")
    return {
        str(root / row["path"]): Wanted(
            row["name"], row["path"], row["uri"], named.key if (named := identify(row["name"])) else ""
        )
        for row in rows
    }
