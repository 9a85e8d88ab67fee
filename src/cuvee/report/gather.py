"""What the ledger says about a run, as plain records."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cuvee.config import Config
from cuvee.model.keys import DataId
from cuvee.pipeline import PIPELINE
from cuvee.store.own_ledger import has_ledger, open_ledger
from cuvee.store.paths import Paths

__all__ = ["BadFrame", "GroupFiles", "RunFacts", "StageWork", "Trouble", "gather_run"]

_SOUND = ("done", "have", "no-work")


@dataclass(frozen=True, slots=True)
class StageWork:
    """What a stage cost, as its units were last done.

    Parameters
    ----------
    stage : str
        Its name.
    outcomes : mapping of str to int
        Number of units by what became of them.
    in_this_run : int
        Units that this run did.
    seconds, longest : float
        Time of all units together, and of the longest (s).
    memory : float
        Peak memory of a worker (MiB).
    n_product, size : int
        Files that exist of it, and their bytes.
    """

    stage: str
    outcomes: Mapping[str, int]
    in_this_run: int
    seconds: float
    longest: float
    memory: float
    n_product: int
    size: int


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A file that cannot be used.

    Parameters
    ----------
    path, reason, message : str
        As the ledger has them.
    group : DataId or None
        The detector that it seems to belong to; None where the name does not say.
    cadence : int
        The cadence that it would have filled; -1 where unknown, or for a file of many frames.
    """

    path: str
    reason: str
    message: str
    group: DataId | None = None
    cadence: int = -1


@dataclass(frozen=True, slots=True)
class Trouble:
    """A unit of work that did not succeed: its stage, what it was about, what became of it, and why."""

    stage: str
    unit: str
    outcome: str
    message: str


@dataclass(frozen=True, slots=True)
class GroupFiles:
    """The good raw files of one detector.

    Parameters
    ----------
    n_file : int
        How many.
    size : int
        Their bytes.
    assumed : mapping of str to int
        Header cards that were missing, and in how many files.
    no_wcs : tuple of str
        Names of the files without a WCS of their own.
    subtracted : int
        Files whose background the mission has subtracted.
    releases : tuple of int
        The mission's data releases.
    """

    n_file: int = 0
    size: int = 0
    assumed: Mapping[str, int] = field(default_factory=dict)
    no_wcs: tuple[str, ...] = ()
    subtracted: int = 0
    releases: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run of a workspace, and the state that it left.

    Parameters
    ----------
    number : int
        The run's number; 0 where there was none.
    started, finished : str
        When (UTC, ISO 8601); ``finished`` is empty for a run that was killed.
    seconds : float
        From start to finish; NaN where unknown.
    version, command : str
        cuvee's version, and what was typed.
    config : mapping
        The effective configuration: section to key to value.
    defaults : mapping
        What the configuration would be if nothing had been set.
    groups : tuple of (DataId, Path)
        Detectors that have light curves, with the table of their stars' numbers.
    references : mapping of DataId to path
        Reference image of each series.
    models : mapping of DataId to path
        PRF and stars of each series that has PSF fluxes.
    blocks : mapping of DataId to paths
        Flux blocks of these series, in the order of time.
    tracks : mapping of DataId to path
        Paths of moving objects, by detector, where they were looked for.
    lacking : mapping of DataId to str
        Why a series has no PRF although PSF fluxes were wanted.
    files : mapping of DataId to GroupFiles
        Good raw files by detector.
    bad : tuple of BadFrame
        Files that cannot be used.
    troubles : tuple of Trouble
        Units that did not succeed.
    stages : tuple of StageWork
        In the order of the floor plan.
    made : frozenset of DataId
        Detectors whose light curves this run has made or made anew.
    idle : tuple of Trouble
        Exposures and composites of photons that nothing was made of, as nothing was asked of them or can be.
    """

    number: int = 0
    started: str = ""
    finished: str = ""
    seconds: float = float("nan")
    version: str = ""
    command: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[tuple[DataId, Path], ...] = ()
    references: Mapping[DataId, Path] = field(default_factory=dict)
    models: Mapping[DataId, Path] = field(default_factory=dict)
    blocks: Mapping[DataId, tuple[Path, ...]] = field(default_factory=dict)
    tracks: Mapping[DataId, Path] = field(default_factory=dict)
    lacking: Mapping[DataId, str] = field(default_factory=dict)
    files: Mapping[DataId, GroupFiles] = field(default_factory=dict)
    bad: tuple[BadFrame, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    stages: tuple[StageWork, ...] = ()
    made: frozenset[DataId] = frozenset()
    idle: tuple[Trouble, ...] = ()


def gather_run(paths: Paths, config: Config, run: int | None = None) -> RunFacts:
    """Read from the ledger what a report says about a run.

    Parameters
    ----------
    paths : Paths
        Of the workspace; there need be no ledger.
    config : Config
        Its configuration, shown where no run has been made yet.
    run : int, optional
        Number of the run; the last one by default.

    Returns
    -------
    RunFacts

    Raises
    ------
    StoreError
        If the ledger is damaged.
    """
    defaults = Config.model_validate({"workspace": {"instrument": config.workspace.instrument}}).effective()
    if not has_ledger(paths):
        return RunFacts(config=config.effective(), defaults=defaults)
    with open_ledger(paths, read_only=True) as ledger:
        runs = ledger.runs()
        found = next((row for row in reversed(runs) if run is None or row["id"] == run), None) or {}
        number = int(found.get("id", 0))
        units, products, files = ledger.units(), ledger.products(), list(ledger.files().values())
        frames, quarantined = ledger.rows("frames"), ledger.quarantined()
    root = paths.root
    unusable = {row["path"] for row in quarantined}
    groups = [(DataId.parse(row["data_id"]), root / row["path"]) for row in products if row["kind"] == "summary"]
    references = {DataId.parse(row["data_id"]): root / row["path"] for row in products if row["kind"] == "reference"}
    models = {DataId.parse(row["data_id"]): root / row["path"] for row in products if row["kind"] == "stars"}
    no_wcs = {row["file"] for row in frames if not row["has_wcs"]}
    return RunFacts(
        number,
        found.get("started", ""),
        found.get("finished", ""),
        _seconds(found.get("started", ""), found.get("finished", "")),
        found.get("version", ""),
        found.get("command", ""),
        found.get("config") or config.effective(),
        defaults,
        tuple(sorted(groups, key=lambda item: item[0])),
        references,
        models,
        _blocks_of(models, products, root),
        {DataId.parse(row["data_id"]): root / row["path"] for row in products if row["kind"] == "tracks"},
        {
            DataId.parse(unit["data_id"]): unit["message"]
            for unit in units
            if unit["stage"] == "prf" and unit["outcome"] == "no-work"
        },
        _group_files([row for row in files if row["path"] not in unusable], no_wcs),
        tuple(_place_bad(quarantined, files, frames)),
        tuple(
            Trouble(row["stage"], row["data_id"], row["outcome"], row["message"])
            for row in units
            if row["outcome"] not in _SOUND
        ),
        tuple(_stage_work(units, products, number)),
        frozenset(
            DataId.parse(unit["data_id"]).group
            for unit in units
            if unit["stage"] == "collect" and unit["outcome"] == "done" and unit["run_id"] == number
        ),
        tuple(
            Trouble(row["stage"], row["data_id"], row["outcome"], row["message"])
            for row in units
            if row["stage"] in ("bin", "composite") and row["outcome"] == "no-work"
        ),
    )


def _seconds(started: str, finished: str) -> float:
    try:
        return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()
    except ValueError:
        return float("nan")


def _blocks_of(
    models: Mapping[DataId, Path], products: list[dict[str, Any]], root: Path
) -> dict[DataId, tuple[Path, ...]]:
    """Return the flux blocks of each series that has a PRF."""
    found: dict[DataId, list[tuple[str, Path]]] = defaultdict(list)
    if models:
        for row in products:
            block = DataId.parse(row["data_id"]) if row["kind"] == "fluxes" and row["path"] else None
            if block is not None and (series := block._replace(part="")) in models:
                found[series].append((block.part, root / row["path"]))
    return {series: tuple(path for _, path in sorted(parts)) for series, parts in found.items()}


def _group_of(row: Mapping[str, Any]) -> DataId:
    return DataId(row["instrument"], row["segment"], row["detector"], row["kind"])


def _group_files(files: list[dict[str, Any]], no_wcs: set[str]) -> dict[DataId, GroupFiles]:
    by_group: dict[DataId, list[dict[str, Any]]] = defaultdict(list)
    for row in files:
        by_group[_group_of(row)].append(row)
    found = {}
    for group, rows in by_group.items():
        infos = [row["info"] or {} for row in rows]
        headers = [info.get("rest", {}) for info in infos]
        assumed = Counter(card for info in infos for card in info.get("readout", {}).get("assumed", ()))
        found[group] = GroupFiles(
            len(rows),
            sum(row["size"] for row in rows),
            dict(sorted(assumed.items())),
            tuple(sorted(row["name"] for row in rows if row["path"] in no_wcs)),
            sum(bool(header.get("background_subtracted")) for header in headers),
            tuple(sorted({int(header.get("data_release", 0)) for header in headers} - {0})),
        )
    return found


def _stage_work(units: list[dict[str, Any]], products: list[dict[str, Any]], number: int) -> list[StageWork]:
    by_stage: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for unit in units:
        by_stage[unit["stage"]].append(unit)
    size: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for product in products:
        if product["path"]:
            size[product["stage"]] += product["size"]
            count[product["stage"]] += 1
    order = [stage.name for stage in PIPELINE]
    names = [name for name in order if name in by_stage] + sorted(set(by_stage) - set(order))
    return [
        StageWork(
            name,
            dict(sorted(Counter(unit["outcome"] for unit in by_stage[name]).items())),
            sum(unit["run_id"] == number for unit in by_stage[name]),
            float(sum(unit["seconds"] for unit in by_stage[name])),
            float(max(unit["seconds"] for unit in by_stage[name])),
            float(max(unit["memory"] for unit in by_stage[name])),
            count[name],
            size[name],
        )
        for name in names
    ]


def _shape(name: str) -> str:
    """Return what a file name has in common with those of the same series: all but its long numbers."""
    return re.sub(r"\d{7,}", "#", name.removesuffix(".gz"))


def _place_bad(
    quarantined: list[dict[str, Any]], files: list[dict[str, Any]], frames: list[dict[str, Any]]
) -> list[BadFrame]:
    """Say to which detector, and which cadence, each broken file would belong: by its headers once read, else by its name.

    Names of frames sort by time, so a frame whose headers cannot be read lies between its neighbours by name.
    """
    known = {row["path"]: row for row in files}
    broken = {row["path"] for row in quarantined}
    cadence = {row["file"]: int(row["cadence"]) for row in frames}
    shapes: dict[str, DataId] = {}
    by_name: dict[DataId, list[tuple[str, int]]] = defaultdict(list)
    for row in files:
        name, group = Path(row["path"]).name, _group_of(row)
        shapes.setdefault(_shape(name), group)
        if row["path"] in cadence and row["path"] not in broken:
            by_name[group].append((name, cadence[row["path"]]))
    for names in by_name.values():
        names.sort()
    taken: dict[DataId, set[int]] = {group: {number for _, number in names} for group, names in by_name.items()}
    placed = []
    for row in sorted(quarantined, key=lambda row: Path(row["path"]).name):
        path, name = row["path"], Path(row["path"]).name
        own = known.get(path)
        home: DataId | None = shapes.get(_shape(name)) if own is None else _group_of(own)
        number = cadence.get(path, -1)
        if number < 0 and home in by_name:
            names = by_name[home]
            at = bisect_left(names, (name, -1))
            if 0 < at < len(names):
                between = range(names[at - 1][1] + 1, names[at][1])
                number = next((k for k in between if k not in taken[home]), -1)
        if home in taken and number >= 0:
            taken[home].add(number)
        placed.append(BadFrame(path, row["reason"], row["message"], home, number))
    return placed
