"""Looking ahead, before heavy work, whether the disk suffices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cuvee.config import Config
from cuvee.errors import StoreError
from cuvee.model.keys import DataId
from cuvee.run.disk.forecast import Forecast
from cuvee.run.disk.need import Need, Room, room_for
from cuvee.run.stage import Product, Unit
from cuvee.run.stock import Stock
from cuvee.store.paths import Paths

__all__ = ["Outlook"]

Raw = Mapping[str, Sequence[Product]]

_CERTAIN = 0.5
"""The estimate is good to a factor of 1.5, so less than this share of it is too little for certain."""


class Outlook:
    """What the detectors of one run need.

    Parameters
    ----------
    forecast : Forecast
        Estimates it.
    stock : Stock
        What exists.
    raw : callable
        Returns the raw files and footprints of a detector.
    config : Config
        The effective configuration.
    paths : Paths
        Where things go.
    """

    def __init__(
        self, forecast: Forecast, stock: Stock, raw: Callable[[DataId], Raw], config: Config, paths: Paths
    ) -> None:
        self._forecast, self._stock, self._raw = forecast, stock, raw
        self._config, self._paths = config, paths
        self._seen: set[DataId] = set()
        self._ahead: dict[DataId, Need] = {}
        self._planned: dict[DataId, tuple[Raw | None, list[Unit]]] = {}

    def see(
        self, group: DataId, raw: Raw, units: Sequence[Unit], after: Sequence[DataId], say: Callable[[str], None]
    ) -> Room | None:
        """Estimate what is needed, before the first heavy work of a detector; the first time, say it.

        The stars of this detector are chosen by now; those of the detectors after it are counted in the catalogue. So
        the first estimate, before any flux is measured, is for all of the run.

        Parameters
        ----------
        group : DataId
            The detector.
        raw : mapping of str to sequence of Product
            Its raw files and footprints.
        units : sequence of Unit
            What is to be done, of a stage that makes flux blocks or reads them.
        after : sequence of DataId
            The detectors that come after it.
        say : callable
            Takes sentences.

        Returns
        -------
        Room or None
            None where the detector has been looked at before.

        Raises
        ------
        StoreError
            If the disk cannot suffice.
        """
        if group in self._seen:
            return None
        # A detector that has been done before is only mended, and looked at in its turn.
        new = [other for other in after if not self._stock.take(other).get("fluxes")]
        for other in new:
            if other not in self._ahead:
                self._ahead[other] = self._forecast.whole(other, self._raw(other))
        needs = [self._forecast.rest(group, raw, units), *(self._ahead[other] for other in new)]
        room = room_for(needs, self._config, self._paths)
        if lack := room.lacking(_CERTAIN):
            raise StoreError(f"The disk does not suffice: {lack}")
        if not self._seen:
            say(room.sentence)
        if lack := room.lacking(1.0):
            say(f"The disk may not suffice: {lack}")
        self._seen.add(group)
        return room

    def note(self, group: DataId, raw: Raw, units: Sequence[Unit]) -> None:
        """Remember units that a dry run would do, and the raw files and footprints of their detector."""
        self._planned.setdefault(group, (raw, []))[1].extend(units)

    def foresee(self, groups: Sequence[DataId], tables: Sequence[str]) -> Room | None:
        """Estimate what a run needs of which only the units to do first are known.

        Parameters
        ----------
        groups : sequence of DataId
            Its detectors.
        tables : sequence of str
            The catalogue's tables: stars are counted there where they have not been taken in.

        Returns
        -------
        Room or None
            None where there is nothing to do.
        """
        fresh = [u.inputs[0].path for _, units in self._planned.values() for u in units if u.stage.name == "catalog"]
        needs = [self._forecast.catalog(fresh)] if fresh else []
        for group in groups:
            raw, units = self._planned.get(group, (None, []))
            if not (units or fresh):
                continue
            if raw is None:  # whole by the catalogue that is there, which another will replace
                raw = self._raw(group)
            chosen = not fresh and "targets" in self._stock.take(group)
            if chosen and not any(unit.stage.name in ("reference", "targets") for unit in units):
                heavy = [u for u in units if "fluxes" in (*u.stage.reads, *u.stage.writes)]
                needs.append(self._forecast.rest(group, raw, heavy))
            else:
                needs.append(self._forecast.whole(group, raw, tables if fresh else ()))
        return room_for(needs, self._config, self._paths) if needs else None
