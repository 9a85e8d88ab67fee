"""What a stage is, what a product is, and which units of work the products at hand call for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cuvee.model.keys import DataId, recipe_head, recipe_of

__all__ = ["DIMENSIONS", "NOTHING", "Product", "Stage", "Unit", "units_of"]

_GROUP = ("instrument", "segment", "detector", "kind")

DIMENSIONS: dict[str, tuple[str, ...]] = {
    "table": ("instrument", "table"),
    "partition": ("instrument", "cell"),
    "frame": (*_GROUP, "series", "block", "exposure"),
    "member": (*_GROUP, "series", "exposure"),
    "stamp": (*_GROUP, "series"),
    "footprint": (*_GROUP, "series"),
    "reference": (*_GROUP, "series"),
    "stars": (*_GROUP, "series"),
    "neighbours": _GROUP,
    "targets": (*_GROUP, "patch"),
    "fluxes": (*_GROUP, "series", "block", "patch"),
    "candidates": (*_GROUP, "series", "block"),
    "tracks": _GROUP,
    "lightcurves": (*_GROUP, "patch"),
    "metrics": (*_GROUP, "patch"),
    "summary": _GROUP,
    "catalog": ("instrument",),
    "events": (*_GROUP, "series", "composite", "exposure"),
    "spectrum": (*_GROUP, "series", "composite", "exposure"),
    "exposures": (*_GROUP, "series"),
    "composites": ("instrument", "composite"),
}
"""The dimensions of each kind of product, coarse to fine. ``patch`` comes last and is computed: a product lists the patches it touches."""


NOTHING: Mapping[str, Any] = {}
"""What a record has where there is nothing to say; nobody writes to it."""


class Product(NamedTuple):
    """Something that exists: a raw file, or what a unit made.

    It is a tuple, as units and receipts are, because these are made in a third of the time that a frozen dataclass takes.

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
    meta: Mapping[str, Any] = NOTHING


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
    along : mapping of str to str
        Kinds of products that belong to the unit with those of another kind, read before: ``{"footprint": "fluxes"}`` takes the
        footprints of the unit's flux blocks, not all those of its detector.
    optional : tuple of str
        Kinds that a unit can do without.
    wanted : callable, optional
        ``wanted(config) -> bool``: whether the stage takes part in a run; it always does without.
    """

    name: str
    version: int
    per: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    params: tuple[str, ...]
    run: Callable[..., Any]
    where: Callable[[Sequence[Product]], Callable[[Product], bool]] | None = None
    along: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    wanted: Callable[[Any], bool] | None = None

    def recipe_head(self, params: Any) -> str:
        """Return what the recipes of all its units begin with."""
        return recipe_head(self.name, self.version, params)


class Unit(NamedTuple):
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
        return recipe_of(self.stage.recipe_head(params), self.contents())

    def contents(self) -> list[tuple[str, str, str]]:
        """Return what a recipe knows of the inputs: kind, data id and content of each."""
        return [(p.kind, str(p.data_id), p.content) for p in self.inputs]


Key = tuple[str, ...]


def _plain(dimensions: Sequence[str]) -> int:
    """Return how many dimensions are fields of the data id; these come first, in the order of its fields."""
    n = sum(name in DataId._fields for name in dimensions)
    if tuple(dimensions[:n]) != DataId._fields[:n]:
        raise ValueError(f"The dimensions {', '.join(dimensions)} are not in the order of a data id.")
    return n


def _keys(dimensions: Sequence[str]) -> Callable[[Product], Sequence[Key]]:
    """Return what tells the values of a product in some dimensions; several where it touches several patches."""
    n = _plain(dimensions)
    finer = dimensions[n:]

    def keys(product: Product) -> Sequence[Key]:
        key = product.data_id[:n]
        patches: Sequence[str] | None = None
        for name in finer:
            if name == "patch":
                patches = product.meta.get("patches", ())
            else:
                key += (product.data_id.part if name == "exposure" else str(product.meta.get(name, "")),)
        return (key,) if patches is None else [(*key, patch) for patch in patches]

    return keys if finer else lambda product: (product.data_id[:n],)


def _index(products: Iterable[Product], dimensions: Sequence[str]) -> dict[Key, list[Product]]:
    found: dict[Key, list[Product]] = defaultdict(list)
    n = _plain(dimensions)
    if n == len(dimensions):
        for product in products:
            found[product.data_id[:n]].append(product)
        return found
    keys = _keys(dimensions)
    for product in products:
        for key in keys(product):
            found[key].append(product)
    return found


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
    groups = _index(products.get(first, ()), stage.per)
    if not groups:
        return []
    joins = []
    for kind in others:
        leader = stage.along.get(kind, "")
        shared = tuple(name for name in DIMENSIONS.get(leader, stage.per) if name in DIMENSIONS[kind])
        joins.append((kind, _keys_of_unit(stage, leader, shared), _index(products.get(kind, ()), shared)))
    n = _plain(stage.per)
    blank = ("",) * (len(DataId._fields) - 1 - n)
    units = []
    for key in sorted(groups):
        found = {first: groups[key]}
        belongs = stage.where(groups[key]) if stage.where is not None else None
        for kind, keys, index in joins:
            found[kind] = [product for one in keys(key, found) for product in index.get(one, ())]
            if belongs is not None:
                found[kind] = [product for product in found[kind] if belongs(product)]
        inputs = tuple(product for joined in found.values() for product in joined)
        units.append(Unit(stage, DataId._make((*key[:n], *blank, "".join(key[n:]))), inputs))
    return units


def _keys_of_unit(
    stage: Stage, leader: str, shared: Sequence[str]
) -> Callable[[Key, Mapping[str, Sequence[Product]]], Iterable[Key]]:
    """Return what tells by which keys products are joined to a unit: its own, or those of the products they follow."""
    if leader:
        of = _keys(shared)
        return lambda _, found: dict.fromkeys(key for product in found[leader] for key in of(product))
    positions = [stage.per.index(name) for name in shared]
    return lambda key, _: (tuple([key[i] for i in positions]),)
