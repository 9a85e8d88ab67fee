"""What exists: the products and units that the ledger and the receipts vouch for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from cuvee.model.keys import DataId
from cuvee.run.inventory import BadFile, FileFacts, Inventory, facts_to_row
from cuvee.run.receipts import Receipt, read_receipt
from cuvee.run.stage import Product, Unit
from cuvee.store.hats import patch_path
from cuvee.store.ledger import Ledger
from cuvee.store.numbers import read_columns
from cuvee.store.paths import Paths
from cuvee.store.tables import read_targets

__all__ = ["Stock", "bad_file_from_row", "bad_file_to_row"]


def bad_file_to_row(bad: BadFile, run_id: int) -> dict[str, Any]:
    """Return a bad file as the ledger's table ``quarantine`` keeps it."""
    size, mtime_ns, inode = bad.stat
    return {
        "path": bad.path,
        "size": size,
        "mtime_ns": mtime_ns,
        "inode": inode,
        "reason": bad.reason,
        "message": bad.message,
        "run_id": run_id,
    }


def bad_file_from_row(row: Mapping[str, Any]) -> BadFile:
    """Read what `bad_file_to_row` wrote."""
    return BadFile(row["path"], (row["size"], row["mtime_ns"], row["inode"]), row["reason"], row["message"])


class Stock:
    """Products and units at hand, kept equal to the ledger.

    Parameters
    ----------
    ledger : Ledger
        Where they are written down.
    paths : Paths
        Where the files lie.
    """

    def __init__(self, ledger: Ledger, paths: Paths) -> None:
        self.ledger = ledger
        self.paths = paths
        self.inventory = Inventory()
        self.run_id = 0
        self._products: dict[DataId, dict[str, dict[DataId, Product]]] = defaultdict(lambda: defaultdict(dict))
        self._units: dict[str, dict[DataId, Receipt]] = defaultdict(dict)
        self._adopted: list[tuple[Unit, Receipt]] = []
        self._makers: dict[tuple[str, DataId], list[Product]] = defaultdict(list)
        for row in ledger.products():
            product = Product(row["kind"], DataId.parse(row["data_id"]), row["content"], row["path"], row["meta"])
            self._keep(product, row["stage"], DataId.parse(row["unit"]))
        for row in ledger.units():
            data_id = DataId.parse(row["data_id"])
            made = tuple(self._makers.get((row["stage"], data_id), ()))
            self._units[row["stage"]][data_id] = Receipt(
                row["stage"], data_id, row["recipe"], row["outcome"], row["message"], row["reason"], made
            )

    def _keep(self, product: Product, stage: str, unit: DataId) -> None:
        self._products[_home(product.data_id)][product.kind][product.data_id] = product
        self._makers[stage, unit].append(product)

    def take(self, group: DataId) -> dict[str, list[Product]]:
        """Return the products of a group by kind, with the instrument's catalogue partitions."""
        kinds = {kind: list(found.values()) for kind, found in self._products[group].items()}
        home = DataId(group.instrument)
        if group != home:
            kinds["partition"] = list(self._products[home]["partition"].values())
        return kinds

    def everywhere(self, kind: str) -> list[Product]:
        """Return the products of one kind in all groups."""
        return [product for group in self._products.values() for product in group[kind].values()]

    def units(self, stage: str, group: DataId) -> list[Receipt]:
        """Return what became of the units of a stage in a group when they were last planned."""
        return [receipt for data_id, receipt in self._units[stage].items() if _home(data_id) == group]

    def state(self, unit: Unit, params: Any) -> Receipt | None:
        """Return the receipt of a unit that needs no work, None where there is work to do.

        Parameters
        ----------
        unit : Unit
            With the inputs at hand.
        params : object
            The parameters it depends on.
        """
        last = self._units[unit.stage.name].get(unit.data_id)
        if unit.known:
            recipe = unit.recipe(params)
            if last is not None and last.recipe == recipe and last.outcome in ("done", "no-work", "failed"):
                return last if all(map(self._there, last.products)) else None
        receipt = read_receipt(self.paths.receipt(unit.stage.name, unit.data_id))
        if receipt is None or not all(map(self._there, receipt.products)):
            return None
        # A receipt that the ledger missed, as after a kill: what it read is known as far as the files are unchanged.
        known = tuple(_with_content(product, receipt) for product in unit.inputs)
        complete = all(product.content for product in known)
        if complete and Unit(unit.stage, unit.data_id, known).recipe(params) == receipt.recipe:
            self._adopted.append((unit, receipt))
            return receipt
        return None

    def adopt(self) -> None:
        """Take in the receipts that `state` found on disk and the ledger did not know."""
        adopted, self._adopted = self._adopted, []
        if adopted:
            self.settle(adopted)

    def recipe(self, unit: Unit) -> str:
        """Return the recipe of the products that are there now; empty for none."""
        last = self._units[unit.stage.name].get(unit.data_id)
        return last.recipe if last is not None and last.products and all(map(self._there, last.products)) else ""

    def _there(self, product: Product) -> bool:
        if not product.path or product.meta.get("evicted"):
            return True
        try:
            return (self.paths.root / product.path).stat().st_size == product.meta.get("size")
        except OSError:
            return False

    def settle(self, done: Iterable[tuple[Unit, Receipt]]) -> None:
        """Take receipts in: products replace those of the unit's last time, and the ledger is told in one batch."""
        done = list(done)
        receipts = [receipt for _, receipt in done]
        dropped: list[Product] = []
        fresh: list[FileFacts] = []
        for receipt in receipts:
            key = (receipt.stage, receipt.data_id)
            if receipt.outcome != "have":
                new = {(product.kind, product.data_id) for product in receipt.products}
                stale = [p for p in self._makers.pop(key, []) if (p.kind, p.data_id) not in new]
                for product in stale:
                    self._products[_home(product.data_id)][product.kind].pop(product.data_id, None)
                dropped += stale
                for product in receipt.products:
                    self._keep(product, *key)
                self._units[receipt.stage][receipt.data_id] = receipt
            fresh += self._learn(receipt)
            for bad in receipt.bad:
                self.inventory.good.pop(bad.path, None)
                self.inventory.bad[bad.path] = bad
        new_units = [receipt for receipt in receipts if receipt.outcome != "have"]
        self.ledger.put_files([facts_to_row(facts) for facts in fresh])
        self.ledger.put_quarantine([bad_file_to_row(bad, self.run_id) for r in receipts for bad in r.bad])
        self.ledger.drop_products([(p.kind, str(p.data_id)) for p in dropped])
        self.ledger.put_units([_unit_row(receipt, self.run_id) for receipt in new_units])
        self.ledger.put_products([_product_row(p, receipt) for receipt in new_units for p in receipt.products])
        self.ledger.put("lineage", [row for unit, r in done if r.outcome != "have" for row in _lineage(unit, r)])
        for receipt in new_units:
            for product in receipt.products:
                self._index(product)
        for product in dropped:
            if product.path:
                (self.paths.root / product.path).unlink(missing_ok=True)

    def _index(self, product: Product) -> None:
        """Let the ledger find stars: where they are measured, and where their light curves are."""
        unit = product.data_id
        where = {"instrument": unit.instrument, "segment": unit.segment, "detector": unit.detector, "kind": unit.kind}
        if product.kind == "targets":
            targets = read_targets(self.paths.root / product.path)
            names = ("id", "healpix", "series", "ra", "col", "row", "mag")
            columns = [getattr(targets, name).tolist() for name in names]
            rows = [
                {**where, **dict(zip(names, values, strict=True)), "decl": dec, "row_number": i}
                for i, (*values, dec) in enumerate(zip(*columns, targets.dec.tolist(), strict=True))
            ]
            self.ledger.replace_targets(unit.segment, unit.detector, unit.kind, rows)
        elif product.kind == "metrics":
            table = read_columns(self.paths.root / product.path)
            patch = int(unit.part.removeprefix("p"))
            file = patch_path(self.paths.light_curves, unit.instrument, patch, unit.segment, unit.detector, unit.kind)
            path = str(file.relative_to(self.paths.root))
            facts = {name: table[name].tolist() for name in ("id", "healpix", "series", "best", "n_point", "scatter")}
            stars = (dict(zip(facts, values, strict=True)) for values in zip(*facts.values(), strict=True))
            rows = [{**where, "path": path, **star} for star in stars]
            self.ledger.replace_light_curves(path, rows)

    def _learn(self, receipt: Receipt) -> list[FileFacts]:
        learnt = []
        for path, (state, content) in receipt.contents.items():
            facts = self.inventory.good.get(path)
            if facts is None or facts.stat != tuple(state) or facts.content == content:
                continue
            values = {name: getattr(facts, name) for name in FileFacts.__slots__}
            self.inventory.good[path] = FileFacts(**{**values, "content": content})
            learnt.append(self.inventory.good[path])
        return learnt

    def forget(self, receipts: Iterable[Receipt]) -> None:
        """Drop units that are no longer called for, and their products."""
        gone = list(receipts)
        for receipt in gone:
            for product in self._makers.pop((receipt.stage, receipt.data_id), []):
                self._products[_home(product.data_id)][product.kind].pop(product.data_id, None)
                self.ledger.drop_products([(product.kind, str(product.data_id))])
                if product.path:
                    (self.paths.root / product.path).unlink(missing_ok=True)
            self._units[receipt.stage].pop(receipt.data_id, None)
            self.paths.receipt(receipt.stage, receipt.data_id).unlink(missing_ok=True)
        self.ledger.drop_units([(receipt.stage, str(receipt.data_id)) for receipt in gone])

    def evict(self, group: DataId) -> None:
        """Delete the bytes of a group's flux blocks; their refs stay, and the bytes are made again on need."""
        rows = []
        for (stage, unit), products in list(self._makers.items()):
            for i, product in enumerate(products):
                if product.kind != "fluxes" or _home(product.data_id) != group or product.meta.get("evicted"):
                    continue
                (self.paths.root / product.path).unlink(missing_ok=True)
                meta = {**product.meta, "evicted": True}
                kept = Product(product.kind, product.data_id, product.content, product.path, meta)
                products[i] = kept
                self._products[group]["fluxes"][product.data_id] = kept
                receipt = self._units[stage][unit]
                self._units[stage][unit] = Receipt(
                    stage, unit, receipt.recipe, receipt.outcome, receipt.message, receipt.reason, tuple(products)
                )
                rows.append(_product_row(kept, self._units[stage][unit]))
        self.ledger.put_products(rows)


def _home(data_id: DataId) -> DataId:
    return data_id.group


def _with_content(product: Product, receipt: Receipt) -> Product:
    facts = product.meta.get("facts")
    seen = receipt.contents.get(product.path)
    if product.content or seen is None:
        return product
    stat = facts.stat if isinstance(facts, FileFacts) else product.meta.get("stat")
    content = seen[1] if stat is not None and tuple(seen[0]) == tuple(stat) else ""
    return Product(product.kind, product.data_id, content, product.path, product.meta)


def _lineage(unit: Unit, receipt: Receipt) -> list[dict[str, Any]]:
    return [
        {
            "kind": product.kind,
            "data_id": str(product.data_id),
            "input_kind": source.kind,
            "input_id": str(source.data_id),
            "content": receipt.contents[source.path][1] if source.path in receipt.contents else source.content,
        }
        for product in receipt.products
        for source in unit.inputs
    ]


def _unit_row(receipt: Receipt, run_id: int) -> dict[str, Any]:
    return {
        "stage": receipt.stage,
        "data_id": str(receipt.data_id),
        "recipe": receipt.recipe,
        "outcome": receipt.outcome,
        "message": receipt.message,
        "reason": receipt.reason,
        "seconds": receipt.seconds,
        "memory": receipt.memory,
        "counts": dict(receipt.counts),
        "run_id": run_id,
    }


def _product_row(product: Product, receipt: Receipt) -> dict[str, Any]:
    return {
        "kind": product.kind,
        "data_id": str(product.data_id),
        "content": product.content,
        "path": product.path,
        "size": product.meta.get("size", 0),
        "meta": dict(product.meta),
        "stage": receipt.stage,
        "unit": str(receipt.data_id),
        "recipe": receipt.recipe,
    }
