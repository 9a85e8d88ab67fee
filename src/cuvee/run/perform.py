"""One unit: get its inputs, call the stage's pure ``run``, put its output. The only place that does so."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cuvee.config import Config
from cuvee.errors import AlgorithmError, BadData, ConfigError, CuveeError, NoWork, StoreError, TransientError
from cuvee.instruments.registry import instrument
from cuvee.run.exchange import get_inputs, put_output
from cuvee.run.inventory import BadFile, FileFacts, Stat, stat_files
from cuvee.run.receipts import Outcome, Receipt, write_receipt
from cuvee.run.stage import Product, Stage, Unit
from cuvee.run.streams import StreamLog
from cuvee.store.paths import Paths

__all__ = ["Task", "params_of", "perform"]


@dataclass(frozen=True, slots=True)
class Task:
    """A unit with everything a worker needs for it.

    Parameters
    ----------
    unit : Unit
        What to do.
    config : Config
        The effective configuration.
    paths : Paths
        Where things go.
    recipe : str
        The recipe of the products that are there now; empty for none.
    """

    unit: Unit
    config: Config
    paths: Paths
    recipe: str = ""


def params_of(stage: Stage, config: Config) -> dict[str, Any]:
    """Return the parameters that a stage's result depends on, as JSON can hold them."""
    effective = config.effective()
    return {section: effective[section] for section in stage.params}


def perform(task: Task) -> Receipt:
    """Do one unit of work and leave its products and its receipt.

    Parameters
    ----------
    task : Task
        The unit.

    Returns
    -------
    Receipt
        A failure of the unit is an outcome, never an exception; only an unusable workspace raises.

    Raises
    ------
    StoreError
        If the workspace cannot be written.
    ConfigError
        If a catalogue or another input that the user chose cannot be used as it is.
    """
    unit = task.unit
    start = time.perf_counter()
    log = StreamLog()
    products: tuple[Product, ...] = ()
    counts: Mapping[str, int] = {}
    outcome: Outcome = "done"
    message = reason = ""
    device = instrument(task.config.workspace.instrument)
    touched = _touched(unit)
    if touched and task.recipe:
        # Files that were touched since they were read: read them for their hash alone; the same content is done.
        log = _rehash(task, touched)
        if not log.bad and _recipe(unit, task, log) == task.recipe:
            return Receipt(
                unit.stage.name, unit.data_id, task.recipe, "have", contents=_contents(unit, log),
                seconds=time.perf_counter() - start, memory=_memory(),
            )  # fmt: skip
        log = StreamLog()
    try:
        inputs, log = get_inputs(unit, device, task.config, task.paths)
        output = unit.stage.run(inputs, task.config, device)
        products, counts = put_output(unit, output, task.paths, log)
        message = " ".join(log.notes)
    except NoWork as error:
        outcome, message = "no-work", error.message
    except BadData as error:
        outcome, message, reason = "bad-data", error.message, error.reason
    except AlgorithmError as error:
        outcome, message = "failed", error.message
        counts = {name: int(value) for name, value in error.numbers.items()}
    except TransientError as error:
        outcome, message = "retry", error.message
    except (StoreError, ConfigError):
        raise
    except CuveeError as error:
        outcome, message = "failed", error.message
    except MemoryError:
        outcome, message = "retry", f"{unit.stage.name} {unit.data_id}: out of memory; use fewer workers."
    receipt = Receipt(
        unit.stage.name,
        unit.data_id,
        _recipe(unit, task, log),
        outcome,
        message,
        reason,
        products,
        _contents(unit, log),
        _bad_files(log),
        time.perf_counter() - start,
        _memory(),
        counts,
    )
    if outcome in ("done", "no-work"):
        write_receipt(task.paths.receipt(unit.stage.name, unit.data_id), receipt)
    return receipt


def _facts(product: Product) -> FileFacts | None:
    facts = product.meta.get("facts")
    return facts if isinstance(facts, FileFacts) else None


def _touched(unit: Unit) -> list[FileFacts]:
    unknown = [product for product in unit.inputs if not product.content]
    facts = [f for f in map(_facts, unknown) if f is not None and f.had]
    return facts if len(facts) == len(unknown) else []


def _rehash(task: Task, touched: list[FileFacts]) -> StreamLog:
    from cuvee.run.streams import read_frames

    log = StreamLog()
    for _ in read_frames(instrument(task.config.workspace.instrument), [facts.info for facts in touched], log):
        pass
    return log


def _recipe(unit: Unit, task: Task, log: StreamLog) -> str:
    bad = {path for path, _, _ in log.bad}
    inputs = tuple(
        Product(p.kind, p.data_id, log.contents.get(p.path, p.content), p.path, p.meta)
        for p in unit.inputs
        if p.path not in bad or not p.path
    )
    return Unit(unit.stage, unit.data_id, inputs).recipe(params_of(unit.stage, task.config))


def _contents(unit: Unit, log: StreamLog) -> dict[str, tuple[Stat, str]]:
    states = {p.path: f.stat if (f := _facts(p)) is not None else p.meta.get("stat", (0, 0, 0)) for p in unit.inputs}
    return {path: (states[path], content) for path, content in log.contents.items() if path in states}


def _bad_files(log: StreamLog) -> tuple[BadFile, ...]:
    states = stat_files(path for path, _, _ in log.bad)
    return tuple(BadFile(path, states.get(path, (0, 0, 0)), why, text) for path, why, text in log.bad)


def _memory() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
