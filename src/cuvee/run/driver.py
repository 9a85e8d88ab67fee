"""The driver of one run: wave after wave, stage after stage, it plans from what exists and hands out units."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cuvee import __version__
from cuvee.config import Config
from cuvee.errors import ConfigError
from cuvee.model.instrument import Instrument
from cuvee.model.keys import DataId
from cuvee.run.chosen import check_targets, only_patches, places_of_stars
from cuvee.run.disk.forecast import Forecast
from cuvee.run.disk.outlook import Outlook
from cuvee.run.executors import Crew, SerialExecutor, cores, open_executor
from cuvee.run.garbage import collector_paused, collector_running
from cuvee.run.options import Reporter, RunOptions, RunSummary
from cuvee.run.params import known_params, params_of
from cuvee.run.perform import Task, perform, receipt_of
from cuvee.run.plan import is_gone, make_plan
from cuvee.run.receipts import Receipt
from cuvee.run.refset import ReferenceSet
from cuvee.run.scanning import scan_raw_files
from cuvee.run.seals import Seals, inputs_hash, seal_of
from cuvee.run.sources import Sources, stored_tables
from cuvee.run.stage import Product, Stage, Unit, units_of
from cuvee.run.stock import Stock
from cuvee.run.sweep import sweep
from cuvee.store.ledger import Ledger
from cuvee.store.paths import Paths

__all__ = ["Driver"]

Raw = Mapping[str, Sequence[Product]]
Sets = Mapping[DataId, ReferenceSet]

_CHUNK = 16
"""Tiny units that travel to a worker together, at most."""


class Driver:
    """One run. It exists only while `cuvee.run.start.run_workspace` runs.

    Parameters
    ----------
    config : Config
        The effective configuration.
    device : Instrument
        Reads the raw files.
    paths : Paths
        Where things go.
    ledger : Ledger
        What is known; written by nobody else meanwhile.
    stages : sequence of Stage
        The pipeline.
    options : RunOptions
        What the user asked for.
    reporter : Reporter
        Takes the news.
    """

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
        stages = [stage for stage in stages if stage.wanted is None or stage.wanted(config)]
        names = [stage.name for stage in stages]
        if options.until and options.until not in names:
            raise ConfigError(
                f"The stage {options.until} takes no part in this run; the configuration does not ask for it."
            )
        until = names.index(options.until) + 1 if options.until else len(names)
        self.stages = {stage.name: stage for stage in stages[:until]}
        # What is done for one segment, detector and kind after the other; the rest comes before them all, or after.
        self.wave = [stage.name for stage in self.stages.values() if "detector" in stage.per]
        self.known = known_params(config, paths.root)
        self.params = {stage.name: params_of(stage, self.known) for stage in self.stages.values()}
        self.options = options
        self.reporter = reporter
        engine = options.executor or config.run.executor
        workers = 1 if engine == "serial" else options.workers or config.run.workers or cores()
        self.crew = Crew(functools.partial(open_executor, engine, workers), workers)
        self.stock = Stock(ledger, paths)
        self.seals = Seals(ledger, str(paths.root))
        self.catalogue = ""
        self.sources = Sources(device, paths, self.stock, write=not options.dry_run, params=config.events)
        self.summary = RunSummary()
        self.groups: dict[DataId, list[str]] = {}
        self.idle: list[Receipt] = []
        # Stars asked for and their patches, by detector; None where all are wanted, or where nobody has looked yet.
        self.places: dict[DataId, dict[int, str]] | None = None
        forecast = Forecast(config, device, paths, self.stock, self.stages)
        self.outlook = Outlook(forecast, self.stock, self._raw_ahead, config, paths)

    def run(self, raw: Sequence[str], tables: Sequence[str], stored: Sequence[Path] = ()) -> RunSummary:
        """Bring everything up to date with raw files, catalogue tables, and stored catalogues, whose cells that the pixels meet are tables, too."""
        with self.crew, collector_paused():
            if not self.options.dry_run:
                self._open_run()
            footprints = self.look(raw)
            # Whatever part of the raw files this run is for, the catalogue is one.
            return self._run([*tables, *stored_tables(stored, footprints)] if stored else tables)

    def look(self, raw: Sequence[str]) -> Iterator[list[Product]]:
        """Take the inventory, and return the footprints of each group of raw files, which are found when they are asked for."""
        self._take_inventory(raw)
        return (self._raw_ahead(group)["footprint"] for group in sorted(self.groups) if self.groups[group])

    def _run(self, tables: Sequence[str]) -> RunSummary:
        home = DataId(self.device.name)
        if self.device.photons is not None:
            done = self._exposures(home)
        else:
            self._stage("catalog", home, {"table": self.sources.tables(tables)})
            self.catalogue = inputs_hash(self.stock.take(home).get("partition", ()))
            if self.options.stars and not self.summary.counts["catalog", "to do"]:
                self.places = self._places(home, tables)
            for group in sorted(self.groups):
                if self._wanted(group):
                    self._wave(group)
            done = {"catalog", *self.wave}
        for stage in self.stages.values():
            if stage.name not in done:
                self._stage(stage.name, home, {kind: self.stock.everywhere(kind) for kind in stage.reads})
        of_images = self.device.photons is None and "collect" in self.stages
        if of_images and not self.options.dry_run and not self.stock.everywhere("lightcurves"):
            # Nothing at all has come out: then a detector without stars is news, not routine.
            named = ", ".join(self.config.catalog.files)
            self.summary.troubled += [one._replace(message=f"{one.message} Catalogue: {named}.") for one in self.idle]
        if self.options.dry_run and self.device.photons is None:
            groups = [group for group in sorted(self.groups) if self.groups[group] and self._wanted(group)]
            self.summary.room = self.outlook.foresee(groups, tables)
        inventory = self.stock.inventory
        self.summary.bad = dict(inventory.bad)
        self.summary.n_files, self.summary.n_gone = len(inventory.good), len(inventory.gone)
        if not self.options.dry_run:
            if self.crew.lost:
                sweep(self.paths.products)  # what dead workers left half-written
            self.ledger.finish_run(self.stock.run_id)
        return self.summary

    def _open_run(self) -> None:
        last = self.ledger.last_run()
        # The report is written after a run has been finished.
        folders = [self.paths.report().parent]
        if last is None or not last["finished"]:
            folders += self.paths.products
        sweep(folders)
        asked = {name: getattr(self.options, name) for name in ("segment", "detector", "until", "stars")}
        self.stock.run_id = self.ledger.start_run(__version__, {**self.known, "asked": asked}, self.options.command)

    # -- raw files -----------------------------------------------------------------------------------------------

    def _take_inventory(self, raw: Sequence[str]) -> None:
        run_id = None if self.options.dry_run else self.stock.run_id
        inventory = scan_raw_files(raw, self.device, self.ledger, self.crew, self.reporter, run_id)
        self.stock.inventory = inventory
        self.groups = inventory.groups()
        if not any(map(self._wanted, self.groups)) and (self.options.segment or self.options.detector):
            if not self.options.dry_run:
                self.ledger.finish_run(self.stock.run_id)
            raise ConfigError(self.options.no_files(self.groups))

    def _wanted(self, group: DataId) -> bool:
        return self.options.asks_for(group) and (self.places is None or group in self.places)

    def _places(self, home: DataId, tables: Sequence[str]) -> dict[DataId, dict[int, str]]:
        groups = [group for group in sorted(self.groups) if self.groups[group] and self._wanted(group)]
        raw = ((group, self._raw_ahead(group)["footprint"]) for group in groups)
        stars = self.options.stars, self.paths.partitions, self.stock.take(home).get("partition", ())
        try:
            return places_of_stars(*stars, raw, self.config.targets, self.device, tables)
        except ConfigError:
            if not self.options.dry_run:
                self.ledger.finish_run(self.stock.run_id)
            raise

    # -- stages --------------------------------------------------------------------------------------------------

    def _exposures(self, home: DataId) -> set[str]:
        """Do all exposures of a photon counter together, for a visit has few; return the stages that this were."""
        names = [stage.name for stage in self.stages.values() if "events" in stage.reads]
        while True:
            counts, troubled = self.summary.counts.copy(), list(self.summary.troubled)
            everything = self.sources.photons()
            n_bad = len(self.stock.inventory.bad)
            raw = {kind: [p for p in found if self._wanted(p.data_id.group)] for kind, found in everything.items()}
            todo = [unit for name in names for unit in self._planned(name, home, raw)]
            # Neither waits for the other, and a composite of many is begun while there is work for the other workers.
            self._perform(home, sorted(todo, key=lambda unit: -len(unit.inputs)))
            if len(self.stock.inventory.bad) == n_bad:
                return set(names)
            # Files proved bad: what the others of their exposures make without them is found now, not in the next run.
            self.summary.counts, self.summary.troubled = counts, troubled

    def _wave(self, group: DataId) -> None:
        """Do everything for one segment, detector and kind, unless it is known to be whole."""
        if group in self.seals:
            whole = self.seals.outcomes(group, self._seal(group, self.options.renew_reference))
            if whole is not None:
                self.summary.counts.update(whole)
                return
        if self.options.dry_run:
            self._work(group)
            return
        self.seals.take_away(group)
        before = self.summary.counts.copy()
        self._work(group)
        if self.places is None:
            self.seals.put(group, self._seal(group), (self.summary.counts - before).items())

    def _seal(self, group: DataId, renew: bool = False) -> str:
        files = [facts for path in self.groups[group] if (facts := self.stock.inventory.facts(path)) is not None]
        sets = self.sources.reference_sets(self.groups[group], renew)
        heads = [self.stages[name].recipe_head(self.params[name]) for name in self.wave]
        return seal_of(files, sets, self.catalogue, [*heads, f"flux blocks kept: {self.config.keep.flux_blocks}"])

    def _work(self, group: DataId) -> None:
        """Plan and do the stages of a wave one after the other."""
        if not self.groups[group]:
            self._drop(group, self.wave)  # every file of it is bad now: what was made of them is true no longer
            return
        while True:
            counts, troubled = self.summary.counts.copy(), list(self.summary.troubled)
            sets = self.sources.reference_sets(self.groups[group], self.options.renew_reference)
            raw = self._raw(group, sets)
            self._stage("reference", group, raw)
            if all(self.stock.inventory.facts(product.path) is not None for product in raw["member"]):
                break
            # A member proved bad and has left the inventory: choose the set anew, and do not speak of this try.
            self.summary.counts, self.summary.troubled = counts, troubled
        self._stage("targets", group, raw)
        if not raw["footprint"]:
            where = f"{group.segment} {group.detector}"
            self._blocked("targets", group, f"no frame of {where} has a WCS and a time, so no star can be placed.")
        held = self.stock.take(group)
        if not held.get("targets"):
            last = self.stock.units("targets", group).get(group)
            if last is not None and last.outcome in ("no-work", "blocked"):
                self._drop(group, [name for name in self.wave if name not in ("reference", "targets")])
            return  # no star can be placed, or none falls on the pixels: said once, not once a block
        if self.places is not None:
            check_targets(self.places[group], held["targets"], self.paths.root)
        if sets and not held.get("reference"):
            return  # it failed, and that has been said
        for name in self.wave:
            if name in ("reference", "targets"):
                continue
            n_bad = len(self.stock.inventory.bad)
            self._stage(name, group, self._raw(group, sets), sets)
            if "stamp" in self.stages[name].reads and len(self.stock.inventory.bad) > n_bad:
                # Stamps proved bad, and their places on the sky are gone with them: as above, and as it would be next time.
                self.summary.counts, self.summary.troubled = counts, troubled
                self.groups[group] = [
                    path for path in self.groups[group] if self.stock.inventory.facts(path) is not None
                ]
                self._work(group)
                return
        if not self.config.keep.flux_blocks and not self.options.dry_run and "collect" in self.stages:
            self.stock.evict(group)

    def _raw(self, group: DataId, sets: Sets) -> dict[str, list[Product]]:
        return self.sources.products(self.groups[group], sets)

    def _stage(self, name: str, group: DataId, raw: Raw, sets: Sets | None = None) -> None:
        """Plan one stage from what exists now, and do what is to do."""
        self._perform(group, self._planned(name, group, raw, sets))

    def _planned(self, name: str, group: DataId, raw: Raw, sets: Sets | None = None) -> list[Unit]:
        """Plan one stage from what exists now, and return what is to do."""
        stage = self.stages.get(name)
        if stage is None:
            return []
        products = {**self.stock.take(group), **raw}
        groups = [group, *filter(self._wanted, self.groups)] if "events" in stage.reads else [group]
        plan = make_plan(self.stock, stage, groups, products, self.params[name])
        if self.places is not None and group in self.places:
            plan = only_patches(plan, self.places[group], self.stock.take(group).get("targets", ()), self.paths.root)
        for receipt in plan.settled:
            if receipt.outcome == "done":
                self.summary.counts[name, "have"] += 1
            else:
                self._count(receipt)
        for unit, receipt in plan.blocked:
            self._blocked(name, unit.data_id, receipt.message)
        if self.options.dry_run:
            self.summary.counts[name, "to do"] += len(plan.todo)
            if self.device.photons is None:
                self.outlook.note(group, raw, plan.todo)
            return []
        self.stock.adopt()
        self._forget(plan.dropped)
        todo = plan.todo
        if todo and "fluxes" in (*stage.reads, *stage.writes):
            self._see_room(group, raw, todo)
        if name == "collect" and todo and sets is not None:
            todo = self._with_bytes(todo, group, sets)
        return todo

    def _raw_ahead(self, group: DataId) -> dict[str, list[Product]]:
        sets = self.sources.reference_sets(self.groups[group], self.options.renew_reference)
        return self._raw(group, sets)

    def _see_room(self, group: DataId, raw: Raw, units: Sequence[Unit]) -> None:
        after = [other for other in sorted(self.groups) if other > group and self.groups[other] and self._wanted(other)]
        room = self.outlook.see(group, raw, units, after, self.reporter.say)
        self.summary.room = self.summary.room or room

    def _blocked(self, name: str, data_id: DataId, message: str) -> None:
        if name not in self.stages:
            return
        if self.options.dry_run and any(n for (_, outcome), n in self.summary.counts.items() if outcome == "to do"):
            return  # what it waits for may well be among what is to do
        receipt = Receipt(name, data_id, "", "blocked", message)
        self._count(receipt)
        last = self.stock.units(name, data_id.group).get(data_id)
        if not self.options.dry_run and (last is None or (last.outcome, last.message) != ("blocked", message)):
            self.stock.settle([(Unit(self.stages[name], data_id, ()), receipt)])

    def _forget(self, receipts: Sequence[Receipt]) -> None:
        for receipt in receipts:
            if receipt.products:
                self.summary.counts[receipt.stage, "dropped"] += 1
                self.summary.worked += 1
        self.stock.forget(receipts)

    def _drop(self, group: DataId, names: Sequence[str]) -> None:
        if not self.options.dry_run:
            for name in names:
                self._forget(list(self.stock.units(name, group).values()))

    def _with_bytes(self, todo: list[Unit], group: DataId, sets: Sets) -> list[Unit]:
        """Make evicted flux blocks again that units need; their content is the same, so the units stay."""
        lost = {p.data_id for unit in todo for p in unit.inputs if p.meta.get("evicted")}
        if not lost:
            return todo
        for name in ("extract", "extract-series"):
            units = units_of(self.stages[name], {**self.stock.take(group), **self._raw(group, sets)})
            whole = [unit for unit in units if unit.data_id in lost and not any(map(is_gone, unit.inputs))]
            self._perform(group, whole)
        called = {unit.data_id for unit in todo}
        units = units_of(todo[0].stage, {**self.stock.take(group), **self._raw(group, sets)})
        ready = []
        for unit in units:
            if unit.data_id not in called:
                continue
            absent = [product for product in unit.inputs if product.meta.get("evicted")]
            if absent:
                # Without settling: the light curves as they are hold more than could be made now.
                message = f"it needs {absent[0].data_id} again, whose raw files are gone; bring them back."
                self._count(Receipt(unit.stage.name, unit.data_id, "", "blocked", message))
            else:
                ready.append(unit)
        return ready

    @collector_running()
    def _perform(self, group: DataId, units: Sequence[Unit]) -> None:
        if not units:
            return
        names = sorted({unit.stage.name for unit in units})
        label = " ".join(filter(None, (" and ".join(names), group.segment, group.detector, group.kind)))
        self.reporter.begin(label, len(units))
        tasks = (
            Task(unit, self.config, self.params[unit.stage.name], self.paths, self.stock.last(unit)) for unit in units
        )
        crew = Crew(SerialExecutor, 1) if len(units) < 2 else self.crew
        if crew.workers > 1 and any({"frame", "stamp"} & set(self.stages[name].reads) for name in names):
            from cuvee.extract import warm_up

            warm_up()  # compiled once, here, and not by every worker at the same time
        chunk = max(1, min(_CHUNK, len(units) // (8 * crew.workers))) if len(names) == 1 else 1
        for batch in crew.map_batches(perform, tasks, chunk):
            done = [(task.unit, receipt_of(task.unit, result)) for task, result in batch]
            self.stock.settle(done)
            for _, receipt in done:
                self._count(receipt)
                self.summary.worked += receipt.outcome != "have"
                if receipt.outcome == "done" and receipt.message:
                    self.reporter.say(receipt.message)
            self.reporter.advance(len(done))
        self.reporter.end()

    def _count(self, receipt: Receipt) -> None:
        self.summary.counts[receipt.stage, receipt.outcome] += 1
        if receipt.outcome == "no-work":
            self.idle.append(receipt)
        elif receipt.outcome not in ("have", "done"):
            self.summary.troubled.append(receipt)
