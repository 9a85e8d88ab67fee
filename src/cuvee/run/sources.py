"""What a group of raw files offers to the stages: frames, stamps, reference sets, footprints; and the catalogue's tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cuvee.errors import BadData
from cuvee.events.params import EventParams
from cuvee.events.screen import unwanted
from cuvee.model.instrument import Instrument
from cuvee.model.keys import DataId
from cuvee.model.photons import composite_key
from cuvee.run.facts import BadFile, FileFacts, stat_files
from cuvee.run.refset import ReferenceSet, reference_set
from cuvee.run.stage import Product
from cuvee.run.stock import Stock
from cuvee.store.atomic import content_hash
from cuvee.store.paths import Paths
from cuvee.store.sky_store import stored_files

__all__ = ["Sources", "stored_tables"]


class Sources:
    """Raw files and tables as products.

    Parameters
    ----------
    device : Instrument
        Reads headers again where a WCS is needed.
    paths : Paths
        Where the reference sets are written down.
    stock : Stock
        Knows the files.
    write : bool
        Whether to write down what is chosen and found.
    params : EventParams
        What photon counters' targets are called, and which exposures are not wanted.
    """

    def __init__(self, device: Instrument, paths: Paths, stock: Stock, write: bool, params: EventParams) -> None:
        self._device = device
        self._paths = paths
        self._stock = stock
        self._write = write
        self._params = params
        self._last: tuple[Sequence[str], Mapping[DataId, ReferenceSet], int] | None = None
        self._raw: dict[str, list[Product]] = {}

    def tables(self, paths: Sequence[str]) -> list[Product]:
        """Return the catalogue's tables; the content of one that was read before counts, not when it was touched."""
        home = DataId(self._device.name)
        known = {product.data_id: product for product in self._stock.take(home).get("table", ())}
        products = []
        for path, state in stat_files(paths).items():
            meta = {"table": Path(path).name, "stat": state}
            product = Product("table", home._replace(part=Path(path).name), "", path, meta)
            old = known.get(product.data_id)
            if old is not None and tuple(old.meta["stat"]) == state:
                product = product._replace(content=old.content)
            elif old is not None:
                product = product._replace(content=content_hash(Path(path)))
                if product.content == old.content and self._write:
                    self._stock.renew("catalog", old._replace(meta=meta))
            products.append(product)
        return products

    def reference_sets(self, files: Sequence[str], renew: bool) -> dict[DataId, ReferenceSet]:
        """Return the reference set of each series of frames; those without a WCS have none.

        Parameters
        ----------
        files : sequence of str
            Paths of the group's raw files.
        renew : bool
            Choose anew in any case.
        """
        sets = {}
        for series, frames in self._frames(files).items():
            while True:
                try:
                    chosen = reference_set(
                        self._paths.reference_set(series), frames, self._device.scan, renew, self._write
                    )
                except BadData as error:
                    # The file was whole when the inventory was taken.
                    facts = next(facts for facts in frames.values() if facts.path == error.path)
                    self._stock.condemn(BadFile(error.path, facts.stat, error.reason, error.message), self._write)
                    del frames[facts.data_id.part]
                    continue
                break
            if chosen is not None:
                sets[series] = chosen
        return sets

    def photons(self) -> dict[str, list[Product]]:
        """Return all files of a photon counter, by kind: lists of events, and spectra that the mission extracted from them."""
        inventory = self._stock.inventory
        names = self._params.called
        found: dict[str, list[Product]] = {"events": [], "spectrum": []}
        for facts in (*inventory.good.values(), *inventory.gone.values()):
            if facts.is_photons:
                info = facts.info
                why = unwanted(info.readout.exposure, int(info.facts["proposal"]), self._params)
                if why is not None and info.facts["role"] == "events":
                    self._stock.condemn(BadFile(facts.path, facts.stat, why[0], f"{facts.path} {why[1]}"), self._write)
                    continue
                meta = {"facts": facts, "composite": composite_key(info.facts, names)}
                product = Product(info.facts["role"], facts.data_id, facts.content, facts.path, meta)
                found[product.kind].append(product)
        return found

    def products(self, files: Sequence[str], sets: Mapping[DataId, ReferenceSet]) -> dict[str, list[Product]]:
        """Return the raw files of a group as they are known now, by kind: frames, reference members, stamps and footprints.

        Parameters
        ----------
        files : sequence of str
            Their paths.
        sets : mapping
            From `reference_sets`.
        """
        changes = self._stock.inventory.changes
        if self._last is not None and self._last[0] is files and self._last[1] is sets and self._last[2] == changes:
            return self._raw  # asked for at every stage, and few stages learn anything new of raw files
        raw: dict[str, list[Product]] = {"frame": [], "member": [], "stamp": [], "footprint": []}
        for facts in self._facts(files):
            if facts.is_frame:
                raw["frame"].append(facts.product("frame"))
                continue
            raw["stamp"].append(facts.product("stamp"))
            if facts.has_wcs:
                raw["footprint"].append(facts.footprint_product())
        for series, frames in self._frames(files).items() if sets else ():
            if series in sets:
                *members, footprint = sets[series].products(series, frames)
                raw["member"] += members
                raw["footprint"].append(footprint)
        self._last, self._raw = (files, sets, changes), raw
        return raw

    def _facts(self, files: Sequence[str]) -> Iterator[FileFacts]:
        good, gone = self._stock.inventory.good, self._stock.inventory.gone
        for path in files:
            facts = good.get(path) or gone.get(path)
            if facts is not None:
                yield facts

    def _frames(self, files: Sequence[str]) -> dict[DataId, dict[str, FileFacts]]:
        series: dict[DataId, dict[str, FileFacts]] = defaultdict(dict)
        for facts in self._facts(files):
            if not facts.is_frame:
                break  # the files of a group are all of one kind
            series[facts.series_id][facts.data_id.part] = facts
        return series


def stored_tables(stored: Sequence[Path], footprints: Iterable[Sequence[Product]]) -> list[str]:
    """Return the files of stored catalogues in the cells that any footprint meets.

    Parameters
    ----------
    stored : sequence of Path
        Their folders.
    footprints : iterable of sequence of Product
        Of each group of raw files.
    """
    cells = sorted({cell for some in footprints for product in some for cell in product.meta["cells"]})
    return [str(path) for folder in stored for path in stored_files(folder, cells)]
