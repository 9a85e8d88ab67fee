"""The door to a run: opens a workspace, sees that what the user asks can be done, and lets the driver work.

First run, resume and repair are this one code path. The driver is the only writer of the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from cuvee.catalog import TargetParams
from cuvee.config import Config, load
from cuvee.errors import ConfigError
from cuvee.events.params import EventParams
from cuvee.instruments.registry import find_files, instrument
from cuvee.instruments.spacecraft import check_kernels
from cuvee.instruments.tess_prf import read_prf_files
from cuvee.run.driver import Driver
from cuvee.run.filing import file_under_targets
from cuvee.run.garbage import collector_paused
from cuvee.run.inputs import prf_paths, read_mask
from cuvee.run.known_objects import read_known
from cuvee.run.options import Reporter, RunOptions, RunSummary
from cuvee.run.stage import Product, Stage
from cuvee.store.ledger import Ledger
from cuvee.store.lock import workspace_lock
from cuvee.store.own_ledger import has_ledger, open_ledger
from cuvee.store.paths import Paths
from cuvee.store.sharing import shared
from cuvee.store.sky_store import TIC, find_stored

__all__ = ["TOLD", "Reporter", "RunOptions", "RunSummary", "look_at_images", "run_workspace"]

TOLD = 5
"""Exposures and composites of photons that nothing was made of, and that a run names; more are counted."""


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
    config = config.model_copy(
        update={"targets": _with_lists(config.targets, root), "events": _with_names(config.events, root)}
    )
    root = root.resolve()  # whatever folder the next run is started from, the files have the same names
    device = instrument(config.workspace.instrument)
    names = [stage.name for stage in stages]
    if options.until and options.until not in names:
        raise ConfigError(f"There is no stage {options.until!r}; choose from {', '.join(names)}.")
    if not config.catalog.files and device.photons is None:
        raise ConfigError(
            f"{root / 'cuvee.toml'} names no catalogue; set [catalog] files to a table of stars, or have the TIC fetched with: cuvee catalog fetch tic."
        )
    _check_aperture(config)
    raw = find_files(config.data.files, device.patterns, root)
    space = config.workspace
    paths = Paths.of_project(root, space.base, space.red, space.lc, space.project, config.database.url)
    links = f"{paths.filed}{os.sep}"  # they lie among the data where these are all that is in the workspace
    raw = [path for path in raw if not path.startswith(links)]
    stored = {source: where for source in config.catalog.files if (where := find_stored(source, root, paths.catalogs))}
    plain = [source for source in config.catalog.files if source not in stored]
    if TIC in plain and not (root / TIC).exists():
        raise ConfigError(
            f"{root / 'cuvee.toml'} names the catalogue {TIC!r}, and nothing of it has been taken in; fetch it with: cuvee catalog fetch {TIC} "
            f"-w {root}, or take files in that you have: cuvee catalog import FILE."
        )
    tables = find_files(plain, ("*",), root)
    _check_names(raw, tables)
    if config.extract.mask not in (None, "pipeline"):
        read_mask(root / str(config.extract.mask))
    if config.extract.psf and config.prf.files:
        if device.name != "tess":
            raise ConfigError(f"[prf] files: PRF files are read for TESS only; leave them out for {device.title}.")
        read_prf_files(prf_paths(config, root))
    read_known(config, root)
    check_kernels([root / kernel for kernel in config.time.kernel], device.naif_id, device.title)
    sharing = nullcontext() if options.dry_run else shared(paths, config.files.mode, config.files.group)
    with sharing, _ledger(paths, options.dry_run) as ledger:
        ledger.say = reporter.say
        driver = Driver(config, device, paths, ledger, stages, options, reporter)
        summary = driver.run(raw, tables, list(stored.values()))
        if device.photons is not None and not options.dry_run:
            for one in driver.idle[:TOLD]:
                reporter.say(one.message)
            if len(driver.idle) > TOLD:
                reporter.say(f"Nothing was made of {len(driver.idle) - TOLD} more exposures or composites.")
            try:
                file_under_targets(paths.filed, driver.stock.inventory, config.events.called)
            except OSError as error:
                reporter.say(
                    f"Raw files are not filed under their targets: {paths.filed} cannot hold links ({error.strerror})."
                )
        return summary


def look_at_images(root: Path, reporter: Reporter, options: RunOptions | None = None) -> list[Product]:
    """Return the footprints of all raw files of a workspace; nothing is written.

    Parameters
    ----------
    root : Path
        The workspace.
    reporter : Reporter
        Takes the news.
    options : RunOptions, optional
        Those of the run that it is for, which say by how many workers headers are read.

    Raises
    ------
    ConfigError
        If there are no raw files, or it is no workspace.
    """
    config = load(root)
    root = root.resolve()
    device = instrument(config.workspace.instrument)
    raw = find_files(config.data.files, device.patterns, root)
    _check_names(raw, ())
    space = config.workspace
    paths = Paths.of_project(root, space.base, space.red, space.lc, space.project, config.database.url)
    given = options or RunOptions()
    only_look = RunOptions(workers=given.workers, executor=given.executor, dry_run=True)
    with _ledger(paths, dry_run=True) as ledger:
        driver = Driver(config, device, paths, ledger, (), only_look, reporter)
        with driver.crew, collector_paused():
            return [product for some in driver.look(raw) for product in some]


@contextmanager
def _ledger(paths: Paths, dry_run: bool) -> Iterator[Ledger]:
    """Open the ledger: for the one writer, under the lock, or only to be looked at."""
    if not dry_run:
        with workspace_lock(paths.lock), open_ledger(paths) as ledger:
            yield ledger
    elif has_ledger(paths):
        with open_ledger(paths, read_only=True) as ledger:
            yield ledger
    else:
        with TemporaryDirectory() as folder, Ledger.open(Path(folder) / "empty.db") as ledger:
            yield ledger


def _with_lists(params: TargetParams, root: Path) -> TargetParams:
    """Return which stars are targets with the files read in that hold lists of ids, so that their content is what counts."""
    lists = {}
    for name, value in (("exclude", params.exclude), ("priority", params.priority)):
        if not isinstance(value, str):
            continue
        try:
            words = [line.partition("#")[0].strip() for line in (root / value).read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"[targets] {name}: {root / value} cannot be read; name a text file with an id a line, or give a list of ids."
            ) from error
        for k, word in enumerate(words, 1):
            if word and not word.isdecimal():
                raise ConfigError(f"[targets] {name}: line {k} of {root / value} is no catalogue id: {word!r}.")
        lists[name] = tuple(int(word) for word in words if word)
    return params.model_copy(update=lists)


def _with_names(params: EventParams, root: Path) -> EventParams:
    """Return the parameters with the table of targets' names read in, so that its content is what counts."""
    if not isinstance(params.names, str):
        return params
    path, names = root / params.names, dict[str, str]()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"[events] names: {path} cannot be read; name a text file with lines as GJ-436,GJ436, or leave it out."
        ) from error
    for k, line in enumerate(lines, 1):
        words = [word.strip() for word in line.partition("#")[0].split(",")]
        if words == [""]:
            continue
        if len(words) != 2 or not all(words):
            raise ConfigError(f"[events] names: line {k} of {path} is no pair of names, as GJ-436,GJ436: {line!r}.")
        if names.setdefault(words[0], words[1]) != words[1]:
            raise ConfigError(
                f"[events] names: {path} calls {words[0]} both {names[words[0]]} and {words[1]}; keep one."
            )
    return params.model_copy(update={"names": names})


def _check_aperture(config: Config) -> None:
    name, extract = config.collect.aperture, config.extract
    measured = [f"aperture{k + 1}" for k in range(1 if extract.mask else len(extract.radii))]
    wanted = {"mask": extract.k2p2, "psf": extract.psf_of_frames or extract.psf_of_stamps, "halo": extract.halo}
    measured += [method for method, asked in wanted.items() if asked]
    if name != "best" and name not in measured:
        setting = {
            "mask": "set [extract] k2p2 = true",
            "psf": "set [extract] psf = true",
            "halo": "set [extract] halo = true",
        }
        raise ConfigError(
            f"[collect] aperture: {name!r} will not be measured; choose best or {', '.join(measured)}, or "
            f"{setting.get(name, 'add to [extract] radii')}."
        )


def _check_names(raw: Sequence[str], tables: Sequence[str]) -> None:
    for path in (*raw, *tables):
        try:
            path.encode()
        except UnicodeEncodeError as error:
            name = path.encode(errors="backslashreplace").decode()
            raise ConfigError(
                f"The name of {name} is not valid UTF-8 and cannot be written down; rename the file."
            ) from error
    names: dict[str, str] = {}
    for path in tables:
        other = names.setdefault(Path(path).name, path)
        if other != path:
            raise ConfigError(f"The catalogue tables {other} and {path} have the same name; rename one of them.")
