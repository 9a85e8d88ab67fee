"""One unit: get its inputs, call the stage's pure ``run``, put its output. The only place that does so."""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cuvee import __version__
from cuvee.config import Config
from cuvee.errors import AlgorithmError, BadData, ConfigError, CuveeError, NoWork, StoreError, TransientError
from cuvee.instruments.registry import instrument
from cuvee.model.instrument import Instrument
from cuvee.run.facts import BadFile, FileFacts, Stat, stat_files
from cuvee.run.inputs import get_inputs
from cuvee.run.outputs import put_output
from cuvee.run.receipts import Receipt, Slip, read_receipt, write_receipt
from cuvee.run.stage import Product, Unit
from cuvee.run.streams import StreamLog, read_frames
from cuvee.store.atomic import content_hash
from cuvee.store.paths import Paths

__all__ = ["Task", "perform", "receipt_of"]

_PAUSES = (1.0, 5.0)
"""Seconds to wait before a unit that failed for a passing reason is tried again."""


@dataclass(frozen=True, slots=True)
class Task:
    """A unit with everything a worker needs for it.

    Parameters
    ----------
    unit : Unit
        What to do.
    config : Config
        The effective configuration.
    params : mapping
        The parameters that the unit's recipe holds (`cuvee.run.params.params_of`).
    paths : Paths
        Where things go.
    last : Receipt, optional
        That of the products which are there now.
    """

    unit: Unit
    config: Config
    params: Mapping[str, Any]
    paths: Paths
    last: Receipt | None = None


def perform(task: Task) -> Slip:
    """Do one unit of work and leave its products and its receipt.

    Parameters
    ----------
    task : Task
        The unit.

    Returns
    -------
    Slip
        Where the receipt is. A failure of the unit is an outcome, never an exception; only an unusable workspace raises.

    Raises
    ------
    StoreError
        If the workspace cannot be written.
    ConfigError
        If a catalogue or another input that the user chose cannot be used as it is.
    """
    unit = task.unit
    path = task.paths.receipt(unit.stage.name, unit.data_id)
    start = time.perf_counter()
    confirmed = _confirm(task)
    if confirmed is not None:
        write_receipt(path, confirmed)
        return Slip(str(path), "have")
    log = StreamLog()
    try:
        receipt = _done(task, log)
    except NoWork as error:
        receipt = Receipt(unit.stage.name, unit.data_id, "", "no-work", error.message)
    except BadData as error:
        if error.path in {p.path for p in unit.inputs if _facts(p) is not None} - {path for path, _, _ in log.bad}:
            log.bad.append((error.path, error.reason, error.message))  # only its contents told
        receipt = Receipt(unit.stage.name, unit.data_id, "", "bad-data", error.message, error.reason)
    except AlgorithmError as error:
        numbers = {name: int(value) for name, value in error.numbers.items()}
        receipt = Receipt(unit.stage.name, unit.data_id, "", "failed", error.message, counts=numbers)
    except TransientError as error:
        receipt = Receipt(unit.stage.name, unit.data_id, "", "retry", error.message)
    except (StoreError, ConfigError):
        raise
    except CuveeError as error:
        receipt = Receipt(unit.stage.name, unit.data_id, "", "failed", error.message)
    except MemoryError:
        message = "the memory does not suffice; try again with fewer --workers."
        receipt = Receipt(unit.stage.name, unit.data_id, "", "retry", message)
    except Exception as error:
        return _unexpected(task, path, error)
    receipt = receipt._replace(
        recipe=_recipe(unit, task, log),
        contents=_contents(unit, log),
        bad=_bad_files(log),
        seconds=time.perf_counter() - start,
        memory=_memory(),
    )
    write_receipt(path, receipt)
    return Slip(str(path), receipt.outcome)


def _done(task: Task, log: StreamLog) -> Receipt:
    """Do the unit, again if what went wrong may pass; what is learnt about raw files goes into ``log``."""
    unit = task.unit
    device = instrument(task.config.workspace.instrument)
    for pause in (*_PAUSES, None):
        for known in (log.contents, log.bad, log.notes):
            known.clear()
        try:
            inputs = get_inputs(unit, device, task.config, task.paths, log)
            output = unit.stage.run(inputs, task.config, device)
            products, counts = put_output(unit, output, task.paths, log)
        except TransientError:
            if pause is None:
                raise
            time.sleep(pause)
            continue
        break
    notes = " ".join(log.notes)
    return Receipt(unit.stage.name, unit.data_id, "", "done", notes, products=products, counts=counts)


def _unexpected(task: Task, path: Path, error: Exception) -> Slip:
    """Write down a failure that nobody foresaw, so that it can be reported; the unit is tried again next time."""
    unit = task.unit
    report = task.paths.temporary / "errors" / f"{unit.stage.name}-{path.stem}.txt"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(f"cuvee {__version__}, {unit.stage.name} {unit.data_id}\n\n{traceback.format_exc()}")
    message = f"unexpected {type(error).__name__}: {error}; please report it with {report}."
    write_receipt(path, Receipt(unit.stage.name, unit.data_id, "", "failed", message, "unexpected"))
    return Slip(str(path), "failed")


def _facts(product: Product) -> FileFacts | None:
    facts = product.meta.get("facts")
    return facts if isinstance(facts, FileFacts) else None


def _confirm(task: Task) -> Receipt | None:
    """Read files that were touched for their hash alone; return the old receipt, renewed, if they are what they were."""
    unit = task.unit
    unknown = [product for product in unit.inputs if not product.content]
    touched = [facts for facts in map(_facts, unknown) if facts is not None and facts.had]
    if task.last is None or not touched or len(touched) < len(unknown):
        return None
    device: Instrument = instrument(task.config.workspace.instrument)
    log = StreamLog()
    if device.photons is not None:
        log.contents |= {facts.path: content_hash(Path(facts.path)) for facts in touched}
    else:
        for _ in read_frames(device, [facts.info for facts in touched], log):
            pass
    if log.bad or _recipe(unit, task, log) != task.last.recipe:
        return None
    known = {p.path: (f.stat, p.content) for p in unit.inputs if (f := _facts(p)) is not None and p.content}
    return task.last._replace(contents={**known, **_contents(unit, log)})


def _recipe(unit: Unit, task: Task, log: StreamLog) -> str:
    bad = {path for path, _, _ in log.bad}
    inputs = tuple(
        p._replace(content=log.contents.get(p.path, p.content)) for p in unit.inputs if p.path not in bad or not p.path
    )
    return Unit(unit.stage, unit.data_id, inputs).recipe(task.params)


def _contents(unit: Unit, log: StreamLog) -> dict[str, tuple[Stat, str]]:
    states = {p.path: f.stat if (f := _facts(p)) is not None else p.meta.get("stat", (0, 0, 0)) for p in unit.inputs}
    return {path: (states[path], content) for path, content in log.contents.items() if path in states}


def _bad_files(log: StreamLog) -> tuple[BadFile, ...]:
    states = stat_files(path for path, _, _ in log.bad)
    return tuple(BadFile(path, states.get(path, (0, 0, 0)), why, text) for path, why, text in log.bad)


def _memory() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def receipt_of(unit: Unit, result: Slip | BaseException) -> Receipt:
    """Return the receipt that a worker left, or one for a worker that left none.

    Parameters
    ----------
    unit : Unit
        What it was to do.
    result : Slip or exception
        What came back from it; mistakes of the user's and a store that cannot be used are raised.
    """
    if isinstance(result, Slip):
        receipt = read_receipt(Path(result.path))
        if receipt is not None:
            return receipt._replace(outcome=result.outcome)
        result = TransientError(f"its receipt {result.path} has vanished.")
    if isinstance(result, StoreError | ConfigError) or not isinstance(result, Exception):
        raise result
    if isinstance(result, TransientError):
        return Receipt(unit.stage.name, unit.data_id, "", "retry", result.message)
    message = f"unexpected {type(result).__name__}: {result}."
    return Receipt(unit.stage.name, unit.data_id, "", "failed", message, "unexpected")
