"""What exists: the products and units that the ledger and the receipts vouch for."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from cuvee.errors import StoreError
from cuvee.model.keys import DataId, recipe_of
from cuvee.run.facts import BadFile, FileFacts, bad_file_to_row, learnt_row
from cuvee.run.inventory import Inventory
from cuvee.run.receipts import Receipt, read_receipt, write_receipt
from cuvee.run.rows import (
    failures,
    forget_stars,
    known_units,
    lineage_rows,
    product_row,
    unit_row,
    write_stars,
)
from cuvee.run.stage import Product, Unit
from cuvee.store.atomic import content_hash
from cuvee.store.ledger import Ledger
from cuvee.store.paths import Paths, receipt_name

__all__ = ["Stock"]

_SETTLED = ("done", "no-work", "failed")
"""Outcomes that come out the same again as long as the recipe is the same."""

_EXTRACTING = ("extract", "extract-series")
"""Stages that measure stars."""


class _Group:
    """Products by kind and units by stage of one segment, detector and kind."""

    __slots__ = ("products", "units")

    def __init__(self) -> None:
        self.products: dict[str, dict[DataId, Product]] = defaultdict(dict)
        self.units: dict[str, dict[DataId, Receipt]] = defaultdict(dict)


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
        self._root = str(paths.root)
        self.inventory = Inventory()
        self.run_id = 0
        self._groups: dict[DataId, _Group] = {}
        self._kinds, self._stages = ledger.values("products", "kind"), ledger.values("units", "stage")
        self._adopted: list[tuple[Unit, Receipt]] = []
        self._renewed: list[tuple[Receipt, Product]] = []
        self._listed: dict[tuple[str, str], frozenset[str]] = {}
        self._extracting: dict[DataId, float] = {}
        self._failures: dict[DataId, dict[str, list[str]]] = {}

    def _of(self, group: DataId) -> _Group:
        """Return what is known of a group; it is read when it is first asked for."""
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = _Group()
            products, units = known_units(self.ledger, group, self._kinds, self._stages)
            for product in products:
                found.products[product.kind][product.data_id] = product
            for receipt in units:
                found.units[receipt.stage][receipt.data_id] = receipt
        return found

    # -- what there is -------------------------------------------------------------------------------------------

    def take(self, group: DataId) -> dict[str, list[Product]]:
        """Return the products of a group by kind, with the instrument's catalogue partitions."""
        kinds = {kind: list(found.values()) for kind, found in self._of(group).products.items()}
        if group.segment:
            kinds["partition"] = list(self._of(DataId(group.instrument)).products["partition"].values())
        return kinds

    def everywhere(self, kind: str) -> list[Product]:
        """Return the products of one kind in all groups."""
        names = ("data_id", "content", "path", "meta")
        ids, *rest = self.ledger.columns("products", names, kind=kind)
        stored = (Product(kind, DataId.parse(text), *row) for text, *row in zip(ids, *rest, strict=True))
        others = [product for product in stored if product.data_id.group not in self._groups]
        return [product for group in self._groups.values() for product in group.products[kind].values()] + others

    def units(self, stage: str, group: DataId) -> dict[DataId, Receipt]:
        """Return what became of the units of a stage in a group when they were last planned."""
        return self._of(group).units[stage]

    # -- what needs to be done -----------------------------------------------------------------------------------

    def state(self, unit: Unit, head: str) -> Receipt | None:
        """Return the receipt of a unit that needs no work, None where there is work to do.

        Parameters
        ----------
        unit : Unit
            With the inputs at hand.
        head : str
            What the recipes of its stage begin with (`cuvee.run.stage.Stage.recipe_head`).
        """
        last = self.units(unit.stage.name, unit.data_id.group).get(unit.data_id)
        if last is not None and _answers(last, unit, head):
            return last if self._all_there(last) else None
        if not self._has_receipt(unit):
            return None
        receipt = read_receipt(self.paths.receipt(unit.stage.name, unit.data_id))
        if receipt is None:
            return None
        # A receipt that the ledger missed, as after a kill: what it read is known as far as the files are unchanged.
        bad = {(file.path, file.stat) for file in receipt.bad}
        inputs = [_with_content(product, receipt) for product in unit.inputs]
        inputs = [product for product in inputs if (product.path, _stat(product)) not in bad]
        if _answers(receipt, unit._replace(inputs=tuple(inputs)), head) and self._all_there(receipt):
            self._adopted.append((unit, receipt))
            return receipt
        return None

    def _has_receipt(self, unit: Unit) -> bool:
        # The folder is listed once; receipts written since are of units that the ledger knows.
        key = (unit.stage.name, unit.data_id.segment)
        if key not in self._listed:
            try:
                self._listed[key] = frozenset(os.listdir(self.paths.receipts(*key)))
            except PermissionError as error:
                raise StoreError(f"Cannot read {error.filename}: {error.strerror}; mend the permissions.") from error
            except OSError:
                self._listed[key] = frozenset()
        names = self._listed[key]
        return bool(names) and receipt_name(unit.data_id) in names

    def last(self, unit: Unit) -> Receipt | None:
        """Return the receipt of the products of a unit that are there now."""
        last = self.units(unit.stage.name, unit.data_id.group).get(unit.data_id)
        return last if last is not None and last.products and self._all_there(last) else None

    def _all_there(self, receipt: Receipt) -> bool:
        return all(self._there(receipt, product) for product in receipt.products)

    def _there(self, receipt: Receipt, product: Product) -> bool:
        if not product.path or product.meta.get("evicted"):
            return True
        path = product.path if product.path.startswith("/") else f"{self._root}/{product.path}"
        try:
            found = os.stat(path)
            if found.st_size != product.meta.get("size"):
                return False
            if found.st_mtime_ns == product.meta.get("mtime_ns"):
                return True
            # Copied with the workspace, or written by a run that was killed before its receipt: only the bytes can tell.
            same = content_hash(Path(path)) == product.content
        except OSError:
            return False
        if same:
            self._renewed.append((receipt, product._replace(meta={**product.meta, "mtime_ns": found.st_mtime_ns})))
        return same

    # -- what was done -------------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Take in what `state` found on disk and the ledger did not know."""
        adopted, self._adopted = self._adopted, []
        if adopted:
            self.settle(adopted)
        renewed, self._renewed = self._renewed, []
        rows = []
        for receipt, product in renewed:
            # A unit that was done in the meantime has other products, which know their own times.
            now = self._of(product.data_id.group).products[product.kind].get(product.data_id)
            if now is not None and now.content == product.content and "evicted" not in now.meta:
                rows.append(product_row(product, self._replace(receipt, product)))
        self.ledger.put_products(rows)

    def renew(self, stage: str, product: Product, receipt: Receipt | None = None) -> None:
        """Take in new small facts about a product whose content has stayed.

        Parameters
        ----------
        stage : str
            The stage that made it.
        product : Product
            With the new facts.
        receipt : Receipt, optional
            Of the unit that made it; by default the unit of the same data id.
        """
        receipt = receipt or self.units(stage, product.data_id.group)[product.data_id]
        self._replace(receipt, product)
        self.ledger.put_products([product_row(product, receipt)])

    def _replace(self, receipt: Receipt, product: Product) -> Receipt:
        units = self.units(receipt.stage, receipt.data_id.group)
        now = units.get(receipt.data_id, receipt)
        same = (product.kind, product.data_id)
        made = tuple(product if (p.kind, p.data_id) == same else p for p in now.products)
        units[receipt.data_id] = now._replace(products=made)
        self._of(product.data_id.group).products[product.kind][product.data_id] = product
        return units[receipt.data_id]

    def settle(self, done: Iterable[tuple[Unit, Receipt]]) -> None:
        """Take receipts in: products replace those of the unit's last time, and the ledger is told in one batch."""
        done = list(done)
        receipts = [receipt for _, receipt in done]
        made = [(unit, receipt) for unit, receipt in done if receipt.outcome != "have"]
        stale: list[Product] = []
        again: list[Product] = []
        fresh: list[FileFacts] = []
        for receipt in receipts:
            fresh += self._learn(receipt)
        for _, receipt in made:
            units = self.units(receipt.stage, receipt.data_id.group)
            if receipt.stage != "collect":
                self._extracting.pop(receipt.data_id.group, None)
                self._failures.pop(receipt.data_id.group, None)
            before = units.get(receipt.data_id)
            new = {(product.kind, product.data_id) for product in receipt.products}
            if before is not None:
                stale += [p for p in before.products if (p.kind, p.data_id) not in new]
            units[receipt.data_id] = receipt
            for product in receipt.products:
                known = self._of(product.data_id.group).products[product.kind]
                if product.data_id in known:
                    again.append(product)
                known[product.data_id] = product
        self._remove(stale)
        with self.ledger.batch():
            self.ledger.update("files", [learnt_row(facts) for facts in fresh])
            self.ledger.put_quarantine([bad_file_to_row(bad, self.run_id) for r in receipts for bad in r.bad])
            new_products = [(product, receipt) for _, receipt in made for product in receipt.products]
            self.ledger.drop_products([(p.kind, str(p.data_id)) for p in stale])
            # What is made again may have had more inputs than it has now.
            self.ledger.drop_lineage([(p.kind, str(p.data_id)) for p in again])
            self.ledger.put_units([unit_row(receipt, self.run_id) for _, receipt in made])
            self.ledger.put_products([product_row(product, receipt) for product, receipt in new_products])
            self.ledger.put("lineage", [row for unit, receipt in made for row in lineage_rows(unit, receipt)])
            for product in stale:
                forget_stars(self.ledger, self.paths, product)
            for product, receipt in new_products:
                failed = self._failed(product.data_id.group) if product.kind == "metrics" else {}
                write_stars(self.ledger, self.paths, product, self._time_a_star(receipt), failed)

    def _time_a_star(self, receipt: Receipt) -> float:
        """Return how long (s) a star of a patch took: its part of its detector's extraction, and of its patch's collection."""
        n_patch = receipt.counts.get("stars", 0)
        if receipt.stage != "collect" or not n_patch:
            return float("nan")
        group = receipt.data_id.group
        if group not in self._extracting:  # the same for all patches of a detector, which may be as many as its stamps
            n_star = max((one.counts.get("stars", 0) for one in self.units("targets", group).values()), default=n_patch)
            seconds = sum(one.seconds for name in _EXTRACTING for one in self.units(name, group).values())
            self._extracting[group] = seconds / max(n_star, 1)
        return self._extracting[group] + receipt.seconds / n_patch

    def _failed(self, group: DataId) -> dict[str, list[str]]:
        """Return what is wrong with the series of a detector; the same for all its patches, which may be as many as its stamps."""
        if group not in self._failures:
            stages = ("prf", "prf-series", *_EXTRACTING)
            self._failures[group] = failures(one for name in stages for one in self.units(name, group).values())
        return self._failures[group]

    def condemn(self, bad: BadFile, write: bool) -> None:
        """Set a file aside that was found bad outside any unit.

        Parameters
        ----------
        bad : BadFile
            The file.
        write : bool
            Whether to tell the ledger.
        """
        fresh = self._set_aside(bad)
        if write:
            with self.ledger.batch():
                self.ledger.update("files", [learnt_row(facts) for facts in fresh])
                self.ledger.put_quarantine([bad_file_to_row(bad, self.run_id)])

    def _remove(self, products: Iterable[Product]) -> None:
        # Files go first: whatever the ledger then still names is missing, and is seen to be.
        for product in products:
            self._of(product.data_id.group).products[product.kind].pop(product.data_id, None)
            if product.path:
                (self.paths.root / product.path).unlink(missing_ok=True)

    def _learn(self, receipt: Receipt) -> list[FileFacts]:
        """Take in what a unit learnt about the raw files that it read."""
        learnt = []
        for path, (stat, content) in receipt.contents.items():
            facts = self.inventory.good.get(path)
            if facts is not None and facts.stat == tuple(stat) and facts.content != content:
                self.inventory.good[path] = facts._replace(content=content)
                self.inventory.changes += 1
                learnt.append(self.inventory.good[path])
        for bad in receipt.bad:
            learnt += self._set_aside(bad)
        return learnt

    def _set_aside(self, bad: BadFile) -> list[FileFacts]:
        facts = self.inventory.good.pop(bad.path, None)
        self.inventory.bad[bad.path] = bad
        self.inventory.changes += 1
        if facts is None:
            return []
        self.inventory.spoilt[bad.path] = facts._replace(content="", had="", state="bad")
        return [self.inventory.spoilt[bad.path]]

    def forget(self, receipts: Iterable[Receipt]) -> None:
        """Drop units that are no longer called for, and their products."""
        gone = list(receipts)
        products = [product for receipt in gone for product in receipt.products]
        for receipt in gone:
            self.units(receipt.stage, receipt.data_id.group).pop(receipt.data_id, None)
            self.paths.receipt(receipt.stage, receipt.data_id).unlink(missing_ok=True)
        self._remove(products)
        if gone:
            with self.ledger.batch():
                self.ledger.drop_products([(product.kind, str(product.data_id)) for product in products])
                self.ledger.drop("units", [(receipt.stage, str(receipt.data_id)) for receipt in gone])
                for product in products:
                    forget_stars(self.ledger, self.paths, product)

    def evict(self, group: DataId) -> None:
        """Delete the bytes of a group's flux blocks; their refs stay, and the bytes are made again on need."""
        rows = []
        for stage in ("extract", "extract-series"):
            for receipt in list(self.units(stage, group).values()):
                for product in receipt.products:
                    if product.kind != "fluxes":
                        continue
                    if not product.meta.get("evicted"):
                        kept = self._replace(receipt, product._replace(meta={**product.meta, "evicted": True}))
                        rows += [product_row(p, kept) for p in kept.products]
                        path = self.paths.receipt(stage, receipt.data_id)
                        if (written := read_receipt(path)) is not None:
                            write_receipt(path, written._replace(products=kept.products))
                    (self.paths.root / product.path).unlink(missing_ok=True)
        self.ledger.put_products(rows)


def _answers(receipt: Receipt, unit: Unit, head: str) -> bool:
    """Tell whether doing the unit would end as the receipt says."""
    if receipt.outcome not in _SETTLED:
        return False
    contents = unit.contents()
    # A unit that found nothing to do may have done so before it read its frames; then they do not matter.
    known = receipt.outcome == "no-work" or all(content for _, _, content in contents)
    return known and receipt.recipe == recipe_of(head, contents)


def _stat(product: Product) -> tuple[int, ...] | None:
    facts = product.meta.get("facts")
    stat = facts.stat if isinstance(facts, FileFacts) else product.meta.get("stat")
    return None if stat is None else tuple(stat)


def _with_content(product: Product, receipt: Receipt) -> Product:
    seen = receipt.contents.get(product.path)
    if product.content or seen is None or _stat(product) != tuple(seen[0]):
        return product
    return product._replace(content=seen[1])
