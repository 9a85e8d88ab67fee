"""What was counted of photons: exposures, composites, and the photon lists behind them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cuvee.errors import ConfigError
from cuvee.events.params import EventParams
from cuvee.events.screen import EventList
from cuvee.export import Observation, observations
from cuvee.model.instrument import Instrument
from cuvee.model.keys import DataId
from cuvee.store.hats import has_catalog, read_light_curves
from cuvee.store.paths import Paths
from cuvee.store.photon_curves import composites_of, read_composite, read_exposure, read_facts
from cuvee.survey.photon_lists import event_lists

if TYPE_CHECKING:
    from cuvee.quicklook.photons import Counted

__all__ = ["Exposures", "batches_of"]

_BATCH = 500
"""Stars whose light curves are in memory at once while they are exported."""


@dataclass(frozen=True, slots=True)
class Exposures:
    """What was counted of photons in a workspace.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    device : Instrument
        The photon counter.
    params : EventParams
        What is left out of photon lists.
    index : callable
        `cuvee.survey.Survey.index`.
    """

    paths: Paths
    device: Instrument
    params: EventParams
    index: Callable[[Collection[Any] | None], pa.Table]

    @property
    def instrument(self) -> str:
        """Name of the instrument."""
        return self.device.name

    def exposure(self, series: str) -> Counted:
        """Return what was counted in an exposure of photons: facts, and arrays by name.

        Parameters
        ----------
        series : str
            Its name, as the column ``series`` has it.

        Raises
        ------
        ConfigError
            If there is none of that name.
        """
        row = [
            row
            for row in read_light_curves(
                self.paths.light_curves, self.instrument, ["segment", "detector", "series"]
            ).to_pylist()
            if row["series"] == series
        ]
        if not row:
            raise ConfigError(f"There is no exposure {series!r} in {self.paths.root}; cuvee status says what there is.")
        unit = DataId(self.instrument, row[0]["segment"], row[0]["detector"], "events", series)
        return read_exposure(self.paths.exposure(unit))

    def composites(self, target: str = "") -> list[tuple[Mapping[str, Any], dict[str, np.ndarray[Any, Any]]]]:
        """Return composites of photons: what is known of each, and its columns by name.

        Parameters
        ----------
        target : str
            Only those of this target; empty for all.

        Returns
        -------
        list of (mapping, dict of str to array)
            In the order of their names; none where no target was exposed twice in one configuration.
        """
        catalog = composites_of(self.instrument)
        if not has_catalog(self.paths.light_curves, catalog):
            return []
        table = read_light_curves(self.paths.light_curves, catalog, None, [target] if target else None)
        found = sorted(observations(table), key=lambda one: str(one.row["series"]))
        units = [DataId(self.instrument, part=str(one.row["series"])) for one in found]
        return [
            (read_composite(self.paths.composite(unit)), dict(one.points))
            for unit, one in zip(units, found, strict=True)
        ]

    def count_exposures(self, ids: Collection[Any] | None = None, composites: bool = True) -> int:
        """Return how many exposures and composites of photons there are (of some targets)."""
        return sum(index.num_rows for _, index in self._indexes(ids, composites))

    def exposures(
        self, ids: Collection[Any] | None = None, composites: bool = True
    ) -> Iterator[tuple[Observation, Mapping[str, Any]]]:
        """Walk through exposures of photons, then composites (of some targets), each with what is known of it."""
        for catalog, index in self._indexes(ids, composites):
            for table in batches_of(self.paths, catalog, index):
                for one in observations(table):
                    yield one, self.facts(one.row)

    def facts(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is known of an exposure of photons, or of a composite, but for its points.

        Parameters
        ----------
        row : mapping
            ``segment``, ``detector`` and ``series``, as its light curve has them.

        Raises
        ------
        StoreError
            If it is missing or damaged.
        """
        segment, detector, series = (str(row[name]) for name in ("segment", "detector", "series"))
        if segment == "composite":
            return read_composite(self.paths.composite(DataId(self.instrument, part=series)))
        return read_facts(self.paths.exposure(DataId(self.instrument, segment, detector, "events", series)))

    def event_lists(self, row: Mapping[str, Any]) -> list[EventList]:
        """Open the photon lists of an exposure; raises ConfigError for one that is gone, or not as it was."""
        return event_lists(self.paths, self.device, row)

    @property
    def event_params(self) -> tuple[EventParams, int]:
        """What is left out of photon lists, and the quality bits that the instrument always leaves out."""
        return self.params, self.device.photons.bits if self.device.photons is not None else 0

    def _indexes(self, ids: Collection[Any] | None, composites: bool) -> Iterator[tuple[str, pa.Table]]:
        yield self.instrument, self.index(ids)
        catalog = composites_of(self.instrument)
        if composites and has_catalog(self.paths.light_curves, catalog):
            yield catalog, read_light_curves(self.paths.light_curves, catalog, ["id", "segment", "detector"], ids)


def batches_of(paths: Paths, catalog: str, index: pa.Table) -> Iterator[pa.Table]:
    """Walk through the light curves of a catalogue, some hundred stars of one observation at a time.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    catalog : str
        Name of the catalogue.
    index : pyarrow.Table
        ``id``, ``segment`` and ``detector`` of those that are wanted.
    """
    for row in index.group_by(["segment", "detector"], use_threads=False).aggregate([]).to_pylist():
        here = pc.and_(pc.equal(index["segment"], row["segment"]), pc.equal(index["detector"], row["detector"]))
        stars = pc.unique(index.filter(here)["id"]).to_pylist()
        for i in range(0, len(stars), _BATCH):
            yield read_light_curves(paths.light_curves, catalog, None, stars[i : i + _BATCH], **row)
