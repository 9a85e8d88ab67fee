"""The driver: takes stock, plans each stage from what exists now, hands out units, keeps the ledger.

First run, resume and repair are this one code path. The driver is the only writer of the ledger.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cuvee import __version__
from cuvee.config import Config, load
from cuvee.errors import ConfigError, StoreError
from cuvee.extract import warm_up
from cuvee.instruments.registry import find_files, instrument
from cuvee.model.instrument import Instrument
from cuvee.model.keys import DataId
from cuvee.run.executors import SerialExecutor, cores, map_unordered, open_executor
from cuvee.run.inventory import (
    BadFile,
    FileFacts,
    facts_from_row,
    facts_to_row,
    footprint_product,
    frame_row,
    stat_files,
    take_inventory,
)
from cuvee.run.lock import workspace_lock
from cuvee.run.perform import Task, params_of, perform
from cuvee.run.receipts import Receipt
from cuvee.run.refset import middle_member, reference_set
from cuvee.run.stage import Product, Stage, Unit, units_of
from cuvee.run.stock import Stock, bad_file_from_row, bad_file_to_row
from cuvee.store.ledger import Ledger
from cuvee.store.paths import Paths

__all__ = ["Reporter", "RunOptions", "RunSummary", "run_workspace"]


class Reporter(Protocol):
    """Takes the news of a run; a terminal shows them, a test collects them."""

    def begin(self, label: str, total: int) -> None:
        """Start a stretch of ``total`` steps."""

    def advance(self, steps: int = 1) -> None:
        """Tell that steps are finished."""

    def end(self) -> None:
        """Finish the stretch."""

    def say(self, message: str) -> None:
        """Tell one sentence."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user asked of one run.

    Parameters
    ----------
    segment, detector : str
        Do only this segment, only detectors whose name starts so; empty for all.
    until : str
        Stop after this stage; empty for all.
    renew_reference : bool
        Choose the reference frames anew.
    workers : int
        Worker processes; 0 takes the configuration's.
    executor : str
        ``serial`` or ``process``; empty takes the configuration's.
    dry_run : bool
        Only say what would be done first.
    command : str
        What was typed, for the record.
    """

    segment: str = ""
    detector: str = ""
    until: str = ""
    renew_reference: bool = False
    workers: int = 0
    executor: str = ""
    dry_run: bool = False
    command: str = ""


@dataclass(slots=True)
class RunSummary:
    """What a run did.

    Parameters
    ----------
    counts : dict of (stage, outcome) to int
        Units.
    bad : dict of str to BadFile
        Raw files that cannot be used, those of earlier runs among them.
    troubled : list of Receipt
        Units that are neither done nor without work.
    n_files : int
        Raw files that are good.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    bad: dict[str, BadFile] = field(default_factory=dict)
    troubled: list[Receipt] = field(default_factory=list)
    n_files: int = 0

    @property
    def worked(self) -> int:
        """Units that were not there already."""
        return sum(n for (_, outcome), n in self.counts.items() if outcome not in ("have", "no-work"))


def run_workspace(root: Path, stages: Sequence[Stage], options: RunOptions, reporter: Reporter) -> RunSummary:
    """Bring a workspace up to date.

    Parameters
    ----------
    root : Path
        The workspace.
    stages : sequence of Stage
        The pipeline.
    options : RunOptions
        What the user asked for.
    reporter : Reporter
        Takes the news.

    Returns
    -------
    RunSummary

    Raises
    ------
    ConfigError
        If the user made a mistake; nothing has been done then.
    StoreError
        If the workspace cannot be used.
    """
    config = load(root)
    device = instrument(config.workspace.instrument)
    names = [stage.name for stage in stages]
    if options.until and options.until not in names:
        raise ConfigError(f"There is no stage {options.until!r}; choose from {', '.join(names)}.")
    if not config.catalog.files:
        raise ConfigError(f"{root / 'cuvee.toml'} names no catalogue; set [catalog] files to a table of stars.")
    raw = find_files(config.data.files, device.patterns, root)
    tables = find_files(config.catalog.files, ("*",), root)
    space = config.workspace
    paths = Paths(root.resolve(), space.base, space.red, space.lc)
    with workspace_lock(paths.lock), Ledger.open(paths.ledger) as ledger:
        return _Driver(config, device, paths, ledger, stages, options, reporter).run(raw, tables)


class _Driver:
    """One run. It exists only while `run_workspace` runs."""

    def __init__(
        self,
        config: Config,
        device: Instrument,
        paths: Paths,
        ledger: Ledger,
        stages: Sequence[Stage],
        options: RunOptions,
        reporter: Reporter,
    ) -> None:
        self.config = config
        self.device = device
        self.paths = paths
        self.ledger = ledger
        names = [stage.name for stage in stages]
        until = names.index(options.until) + 1 if options.until else len(names)
        self.stages = {stage.name: stage for stage in stages[:until]}
        self.options = options
        self.reporter = reporter
        engine = options.executor or config.run.executor
        self.workers = 1 if engine == "serial" else options.workers or config.run.workers or cores()
        self.make: Callable[[], Executor] = functools.partial(open_executor, engine, self.workers)
        self.stock = Stock(ledger, paths)
        self.summary = RunSummary()
        self.groups: dict[DataId, list[str]] = defaultdict(list)
        self.idle: list[Receipt] = []

    def run(self, raw: Sequence[str], tables: Sequence[str]) -> RunSummary:
        self._take_stock(raw)
        home = DataId(self.device.name)
        self._stage("catalog", home, {"table": self._tables(tables)})
        for group in sorted(self.groups):
            if self._wanted(group):
                self._wave(group)
        self._stage("publish", home, {"lightcurves": self.stock.everywhere("lightcurves")})
        if not self.options.dry_run and "collect" in self.stages and not self.stock.everywhere("lightcurves"):
            # Nothing at all has come out: then a detector without stars is news, not routine.
            self.summary.troubled += self.idle
        self.summary.bad = dict(self.stock.inventory.bad)
        self.summary.n_files = len(self.stock.inventory.good)
        if not self.options.dry_run:
            self.ledger.finish_run(self.stock.run_id)
        return self.summary

    def _take_stock(self, raw: Sequence[str]) -> None:
        known = {path: facts_from_row(row) for path, row in self.ledger.files().items()}
        quarantined = {row["path"]: bad_file_from_row(row) for row in self.ledger.quarantined()}
        read = 0

        def progress(done: int, total: int) -> None:
            nonlocal read
            if not read:
                self.reporter.begin("Reading headers", total)
            self.reporter.advance(done - read)
            read = done

        inventory = take_inventory(raw, self.device.scan, known, quarantined, self.make, self.workers, progress)
        if read:
            self.reporter.end()
        self.stock.inventory = inventory
        if not self.options.dry_run:
            self.stock.run_id = self.ledger.start_run(__version__, self.config.effective(), self.options.command)
            self.ledger.drop_files(inventory.gone)
            self.ledger.put_files([facts_to_row(facts) for facts in inventory.fresh])
            self.ledger.put_frames([frame_row(facts) for facts in inventory.fresh if facts.is_frame])
            rows = [bad_file_to_row(bad, self.stock.run_id) for bad in inventory.bad.values()]
            self.ledger.replace_quarantine(rows)
        for path, facts in inventory.good.items():
            self.groups[facts.data_id.group].append(path)

    def _wanted(self, group: DataId) -> bool:
        options = self.options
        return (not options.segment or group.segment == options.segment) and group.detector.startswith(options.detector)

    def _tables(self, paths: Sequence[str]) -> list[Product]:
        # A catalogue table is read whole, once; its content is then known as long as the file stays untouched.
        known = {product.data_id: product for product in self.stock.take(DataId(self.device.name)).get("table", ())}
        products = []
        for path, state in stat_files(paths).items():
            name = Path(path).name
            data_id = DataId(self.device.name, part=name)
            old = known.get(data_id)
            content = old.content if old is not None and tuple(old.meta["stat"]) == state else ""
            products.append(Product("table", data_id, content, path, {"table": name, "stat": state}))
        return products

    def _wave(self, group: DataId) -> None:
        """Do everything for one segment, detector and kind."""
        while True:
            raw = self._raw_products(group)
            self._stage("reference", group, raw)
            # A member that proved bad has left the inventory: choose the set anew.
            if all(product.path in self.stock.inventory.good for product in raw["member"]):
                break
        self._stage("targets", group, raw)
        if not self.stock.take(group).get("targets"):
            return  # no star can be placed, or none falls on the pixels: said once, not once a block
        for name in ("extract", "extract-series", "collect", "summary"):
            self._stage(name, group, self._raw_products(group) if name.startswith("extract") else raw)
        if not self.config.keep.flux_blocks and not self.options.dry_run:
            self.stock.evict(group)

    def _raw_products(self, group: DataId) -> dict[str, list[Product]]:
        """Return the raw files of a group as products: frames, reference members, stamps and footprints."""
        raw: dict[str, list[Product]] = {"frame": [], "member": [], "stamp": [], "footprint": []}
        series: dict[DataId, dict[str, FileFacts]] = defaultdict(dict)
        for path in self.groups[group]:
            facts = self.stock.inventory.good.get(path)
            if facts is None:
                continue
            if facts.is_frame:
                raw["frame"].append(facts.product("frame"))
                series[facts.series_id][facts.info.name] = facts
            else:
                raw["stamp"].append(facts.product("stamp"))
                if facts.has_wcs:
                    raw["footprint"].append(footprint_product(facts.info, facts.cells))
        for data_id, frames in series.items():
            members = reference_set(self.paths.reference_set(data_id), frames, self.options.renew_reference)
            if members:
                raw["member"] += [facts.product("member") for facts in members]
                raw["footprint"].append(footprint_product(self.device.scan(middle_member(members).info.path)))
        return raw

    def _stage(self, name: str, group: DataId, raw: Mapping[str, Sequence[Product]]) -> None:
        """Plan one stage from what exists now, and do what is to do."""
        stage = self.stages.get(name)
        if stage is None:
            return
        units = units_of(stage, {**self.stock.take(group), **raw})
        params = params_of(stage, self.config)
        todo = []
        for unit in units:
            missing = [kind for kind in stage.reads if not any(product.kind == kind for product in unit.inputs)]
            if missing:
                self._count(Receipt(name, unit.data_id, "", "blocked", _blocked(unit, missing)))
                continue
            receipt = self.stock.state(unit, params)
            if receipt is None:
                todo.append(unit)
            elif receipt.outcome == "done":
                self.summary.counts[name, "have"] += 1
            else:
                self._count(receipt)
        if self.options.dry_run:
            self.summary.counts[name, "to do"] += len(todo)
            return
        self.stock.adopt()
        if name == "collect":
            planned = {unit.data_id for unit in units}
            self.stock.forget(r for r in self.stock.units(name, group) if r.data_id not in planned)
            todo = self._with_bytes(todo, group)
        self._perform(stage, group, todo)

    def _with_bytes(self, todo: list[Unit], group: DataId) -> list[Unit]:
        """Make evicted flux blocks again that a unit needs; their content is the same, so the units stay."""
        lost = {p.data_id for unit in todo for p in unit.inputs if p.meta.get("evicted")}
        for name in ("extract", "extract-series"):
            units = units_of(self.stages[name], {**self.stock.take(group), **self._raw_products(group)})
            self._perform(self.stages[name], group, [unit for unit in units if unit.data_id in lost])
        if lost:
            return [
                u for u in units_of(todo[0].stage, self.stock.take(group)) if u.data_id in {t.data_id for t in todo}
            ]
        return todo

    def _perform(self, stage: Stage, group: DataId, units: Sequence[Unit]) -> None:
        if not units:
            return
        label = " ".join(part for part in (stage.name, group.segment, group.detector, group.kind) if part)
        self.reporter.begin(label, len(units))
        tasks = (Task(unit, self.config, self.paths, self.stock.recipe(unit)) for unit in units)
        small = len(units) < 2 or stage.name == "publish"
        make, workers = (SerialExecutor, 1) if small else (self.make, self.workers)
        if stage.name.startswith("extract"):
            warm_up()  # compiled kernels reach the workers through the cache on disk; they must not race to compile
        for task, result in map_unordered(make, workers, perform, tasks):
            if isinstance(result, StoreError | ConfigError | KeyboardInterrupt):
                raise result
            if isinstance(result, BaseException):
                unit = task.unit
                result = Receipt(stage.name, unit.data_id, "", "failed", f"{type(result).__name__}: {result}")
            self.stock.settle([(task.unit, result)])
            self._count(result)
            if result.outcome == "done" and result.message:
                self.reporter.say(result.message)
            self.reporter.advance()
        self.reporter.end()

    def _count(self, receipt: Receipt) -> None:
        self.summary.counts[receipt.stage, receipt.outcome] += 1
        if receipt.outcome == "no-work":
            self.idle.append(receipt)
        elif receipt.outcome not in ("have", "done"):
            self.summary.troubled.append(receipt)


def _blocked(unit: Unit, missing: Sequence[str]) -> str:
    if "footprint" in missing or "reference" in missing:
        return f"No frame of {unit.data_id.segment} {unit.data_id.detector} has a WCS and a time, so no star can be placed."
    if "partition" in missing:
        return f"No star of the catalogue is near {unit.data_id.segment} {unit.data_id.detector}; is it the right catalogue?"
    return f"It waits for {', '.join(missing)}, which could not be made."
