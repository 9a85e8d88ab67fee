"""What a stage is, what a product is, and which units of work the products at hand call for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cuvee.model.keys import DataId, recipe_hash

__all__ = ["DIMENSIONS", "Product", "Stage", "Unit", "units_of"]

_GROUP = ("instrument", "segment", "detector", "kind")

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "table": ("instrument", "table"),
    "partition": ("instrument", "cell"),
    "frame": (*_GROUP, "series", "block", "exposure"),
    "member": (*_GROUP, "series", "exposure"),
    "stamp": (*_GROUP, "series"),
    "footprint": (*_GROUP, "series"),
    "reference": (*_GROUP, "series"),
    "targets": (*_GROUP, "patch"),
    "fluxes": (*_GROUP, "series", "block", "patch"),
    "lightcurves": (*_GROUP, "patch"),
    "metrics": (*_GROUP, "patch"),
    "summary": _GROUP,
    "catalog": ("instrument",),
}
"""The dimensions of each kind of product. ``patch`` is computed: a product lists the patches it touches."""


@dataclass(frozen=True, slots=True)
class Product:
    """Something that exists: a raw file, or what a unit made.

    Parameters
    ----------
    kind : str
        A key of `DIMENSIONS`.
    data_id : DataId
        What it is about.
    content : str
        Content hash; empty where nobody has read the file yet.
    path : str
        Where its bytes are; empty for a product that is only facts (``footprint``).
    meta : mapping
        Small facts that planning needs: ``block``, ``patches``, ``cells``, file facts.
    """

    kind: str
    data_id: DataId
    content: str
    path: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def values(self, dimensions: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Yield the product's value in each dimension; several when it touches several patches."""
        patches: Sequence[str] = self.meta.get("patches", ()) if "patch" in dimensions else ("",)
        for patch in patches:
            yield tuple(patch if name == "patch" else self._value(name) for name in dimensions)

    def _value(self, name: str) -> str:
        if name in ("block", "cell", "table"):
            return str(self.meta.get(name, ""))
        return self.data_id.part if name == "exposure" else str(getattr(self.data_id, name))


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the pipeline.

    Parameters
    ----------
    name : str
        The verb.
    version : int
        Raised by hand when results change.
    per : tuple of str
        Dimensions of one unit of work.
    reads : tuple of str
        Kinds of products; the first one decides which units there are. A product finer than ``per`` arrives
        as a list, a coarser one once.
    writes : tuple of str
        Kinds of its products.
    params : tuple of str
        Sections of the configuration that the result depends on.
    run : callable
        ``run(inputs, params, instrument) -> output``; pure, in memory.
    where : callable, optional
        ``where(first)(product) -> bool``: which products of the other kinds belong to the unit whose first kind
        is ``first``, where equal dimensions do not say it.
    """

    name: str
    version: int
    per: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    params: tuple[str, ...]
    run: Callable[..., Any]
    where: Callable[[Sequence[Product]], Callable[[Product], bool]] | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work.

    Parameters
    ----------
    stage : Stage
        What is done.
    data_id : DataId
        On what.
    inputs : tuple of Product
        Everything it reads.
    """

    stage: Stage
    data_id: DataId
    inputs: tuple[Product, ...]

    def recipe(self, params: Any) -> str:
        """Return the identity of the unit's product, from what is read."""
        inputs = ((p.kind, str(p.data_id), p.content) for p in self.inputs)
        return recipe_hash(self.stage.name, self.stage.version, params, inputs)


def _data_id(per: Sequence[str], key: Sequence[str]) -> DataId:
    values = dict(zip(per, key, strict=True))
    part = values.pop("patch", "") or values.pop("block", "") or values.pop("table", "")
    return DataId(**{name: value for name, value in values.items() if name not in ("block", "table")}, part=part)


def units_of(stage: Stage, products: Mapping[str, Iterable[Product]]) -> list[Unit]:
    """Return the units of a stage that the products at hand call for.

    One index a kind of product; the cost is linear in the number of (product, unit) pairs.

    Parameters
    ----------
    stage : Stage
        The stage.
    products : mapping of str to iterable of Product
        All products by kind.

    Returns
    -------
    list of Unit
        In the order of their data ids.
    """
    first, *others = stage.reads
    groups: dict[tuple[str, ...], list[Product]] = defaultdict(list)
    for product in products.get(first, ()):
        for key in product.values(stage.per):
            groups[key].append(product)
    joins: list[tuple[tuple[int, ...], dict[tuple[str, ...], list[Product]]]] = []
    for kind in others:
        shared = tuple(name for name in stage.per if name in DIMENSIONS[kind])
        index: dict[tuple[str, ...], list[Product]] = defaultdict(list)
        for product in products.get(kind, ()):
            for key in product.values(shared):
                index[key].append(product)
        joins.append((tuple(stage.per.index(name) for name in shared), index))
    units = []
    for key in sorted(groups):
        inputs = list(groups[key])
        belongs = stage.where(groups[key]) if stage.where is not None else None
        for positions, index in joins:
            joined = index.get(tuple(key[i] for i in positions), [])
            if belongs is not None:
                joined = [product for product in joined if belongs(product)]
            inputs += joined
        units.append(Unit(stage, _data_id(stage.per, key), tuple(inputs)))
    return units
