"""What to do at one stage: judged from the products that exist now, never predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cuvee.model.keys import DataId
from cuvee.run.facts import FileFacts
from cuvee.run.receipts import Receipt
from cuvee.run.stage import Product, Stage, Unit, units_of
from cuvee.run.stock import Stock

__all__ = ["Plan", "is_gone", "make_plan", "without_gone"]


@dataclass(slots=True)
class Plan:
    """The units of one stage in one group.

    Parameters
    ----------
    todo : list of Unit
        To be done.
    settled : list of Receipt
        Those that need no work.
    blocked : list of (Unit, Receipt)
        Those that lack an input.
    dropped : list of Receipt
        Units of earlier runs that nothing calls for any more.
    """

    todo: list[Unit] = field(default_factory=list)
    settled: list[Receipt] = field(default_factory=list)
    blocked: list[tuple[Unit, Receipt]] = field(default_factory=list)
    dropped: list[Receipt] = field(default_factory=list)


def is_gone(product: Product) -> bool:
    """Tell whether a raw file was deleted after it had been measured."""
    facts = product.meta.get("facts")
    return isinstance(facts, FileFacts) and facts.state == "gone"


def without_gone(unit: Unit) -> Unit | None:
    """Return a unit with only those raw files that are there; None where nothing is left to work on."""
    left = tuple(product for product in unit.inputs if not is_gone(product))
    if not any(product.kind == unit.stage.reads[0] for product in left):
        return None
    return unit._replace(inputs=left)


def make_plan(
    stock: Stock,
    stage: Stage,
    groups: Sequence[DataId],
    products: Mapping[str, Iterable[Product]],
    params: Mapping[str, Any],
) -> Plan:
    """Plan one stage.

    Parameters
    ----------
    stock : Stock
        What exists.
    stage : Stage
        The stage.
    groups : sequence of DataId
        Segments, detectors and kinds to which the stage's units belong; the instrument alone for those of none.
    products : mapping of str to iterable of Product
        By kind: those of the groups, and its raw files, those gone from disk among them.
    params : mapping
        The parameters that the stage depends on.

    Returns
    -------
    Plan
    """
    plan = Plan()
    planned = set()
    head = stage.recipe_head(params)
    some_gone = bool(stock.inventory.gone)
    for called in units_of(stage, products):
        unit: Unit | None = called
        kinds = {product.kind for product in called.inputs}
        missing = [kind for kind in stage.reads if kind not in kinds and kind not in stage.optional]
        receipt = None if missing else stock.state(called, head)
        if receipt is None and some_gone and any(map(is_gone, called.inputs)):
            # What was made with the files that are gone is not there, or not as it is wanted now: do without them.
            unit = without_gone(called)
            receipt = None if missing or unit is None else stock.state(unit, head)
        if unit is None:
            continue
        planned.add(unit.data_id)
        if missing:
            message = _lack(unit, missing, products)
            plan.blocked.append((unit, Receipt(stage.name, unit.data_id, "", "blocked", message)))
        elif receipt is None:
            plan.todo.append(unit)
        else:
            plan.settled.append(receipt)
    units = [one for group in groups for one in stock.units(stage.name, group).items()]
    plan.dropped = [receipt for data_id, receipt in units if data_id not in planned]
    return plan


def _lack(unit: Unit, missing: list[str], products: Mapping[str, Iterable[Product]]) -> str:
    where = f"{unit.data_id.segment} {unit.data_id.detector}"
    if "partition" in missing:
        tables = sorted({product.data_id.part.partition("@")[0] for product in products.get("partition", ())})
        return f"no star of the catalogue ({', '.join(tables)}) is near {where}; is it the right catalogue?"
    if "reference" in missing and unit.stage.name == "extract":
        return f"no frame of series {unit.data_id.series} of {where} has a WCS and a time, so no star can be placed."
    return f"it waits for {', '.join(missing)}, which could not be made."
