"""Waves of work that are known to be whole, so that an idle rerun need not plan each of their units again.

A seal is to a wave what a recipe is to a unit: the hash of all that its plan depends on. It is written when a wave has ended
with nothing left to do, and taken away before anything of the wave is changed. What can change behind cuvee's back, the products on
disk, is looked at each time.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict

from cuvee.model.keys import DataId, text_hash
from cuvee.run.facts import FileFacts
from cuvee.run.refset import ReferenceSet
from cuvee.run.rows import columns_of_group
from cuvee.run.stage import Product
from cuvee.store.ledger import Ledger

__all__ = ["Outcomes", "Seals", "inputs_hash", "seal_of"]

Outcomes = Counter[tuple[str, str]]
"""How many units of a stage, which comes first, ended how."""

_WHOLE = ("have", "done", "dropped", "no-work")
"""How units of a whole wave have ended."""


def inputs_hash(products: Iterable[Product]) -> str:
    """Return a hash of what products are and hold, in whatever order they come."""
    return text_hash("\n".join(sorted(f"{p.kind} {p.data_id} {p.content}" for p in products)))


def seal_of(
    files: Iterable[FileFacts], sets: Mapping[DataId, ReferenceSet], catalogue: str, settings: Sequence[str]
) -> str:
    """Return the hash of all that the plan of a wave depends on, but for its own units and products.

    Parameters
    ----------
    files : iterable of FileFacts
        Raw files of the wave, those gone from disk among them.
    sets : mapping of DataId to ReferenceSet
        Its reference sets, by series.
    catalogue : str
        `inputs_hash` of the catalogue's partitions.
    settings : sequence of str
        Heads of the recipes of its stages, and what else the user has asked for.
    """
    # A file that no unit had to read has no content; then its state on disk stands for it.
    known = sorted(f"{f.data_id} {f.content or f.stat} {f.footprint} {f.state}" for f in files)
    chosen = [(str(series), asdict(one)) for series, one in sorted(sets.items())]
    return text_hash("\n".join([*settings, catalogue, json.dumps(chosen, sort_keys=True), *known]))


class Seals:
    """The seals that the ledger keeps.

    Parameters
    ----------
    ledger : Ledger
        Where they are.
    root : str
        The workspace, to which the paths of products are relative.
    """

    def __init__(self, ledger: Ledger, root: str) -> None:
        self._ledger = ledger
        self._root = root
        self._kinds = ledger.values("products", "kind")
        columns = ledger.columns("waves", ("data_id", "seal", "units"))
        self._known = {text: (seal, units) for text, seal, units in zip(*columns, strict=True)}

    def __contains__(self, group: DataId) -> bool:
        return str(group) in self._known

    def outcomes(self, group: DataId, seal: str) -> Outcomes | None:
        """Return how the units of a whole wave have ended; None where it must be planned.

        Parameters
        ----------
        group : DataId
            Segment, detector and kind.
        seal : str
            From `seal_of`, now.
        """
        kept, units = self._known[str(group)]
        if kept != seal or not self._all_there(group):
            return None
        return Counter({(stage, outcome): n for stage, outcome, n in units})

    def _all_there(self, group: DataId) -> bool:
        names = ("path", "meta")
        for path, meta in zip(*columns_of_group(self._ledger, "products", names, group, kind=self._kinds), strict=True):
            if not path or meta.get("evicted"):
                continue
            try:
                found = os.stat(path if path.startswith("/") else f"{self._root}/{path}")
            except OSError:
                return False
            if found.st_mtime_ns != meta.get("mtime_ns") or found.st_size != meta.get("size"):
                return False
        return True

    def take_away(self, group: DataId) -> None:
        """Let a wave be planned again next time, whatever becomes of it now."""
        if self._known.pop(str(group), None) is not None:
            self._ledger.drop("waves", [(str(group),)])

    def put(self, group: DataId, seal: str, ended: Collection[tuple[tuple[str, str], int]]) -> None:
        """Write down that a wave is whole, if it is.

        Parameters
        ----------
        group : DataId
            Segment, detector and kind.
        seal : str
            From `seal_of`, now.
        ended : collection of ((stage, outcome), number)
            How its units ended in this run.
        """
        units: Counter[tuple[str, str]] = Counter()
        for (stage, outcome), n in ended:
            if outcome not in _WHOLE:
                return
            if outcome != "dropped":
                units[stage, "no-work" if outcome == "no-work" else "have"] += n
        if not any(stage == "collect" for stage, _ in units):
            return  # nothing has come out of it: that is said each time, with the reason
        rows = [[stage, outcome, n] for (stage, outcome), n in sorted(units.items())]
        self._ledger.put("waves", [{"data_id": str(group), "seal": seal, "units": rows}])
        self._known[str(group)] = seal, rows
