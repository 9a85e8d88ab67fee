"""A run for some stars only: on which detectors and in which patches these are. What is done there is what a whole run does, to the bit.

A frame is read once for all stars in it, and light curves lie together by patches of the sky. So the detectors on which the stars
fall are measured whole, and of the light curves their patches are collected; the next whole run has the rest still to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cuvee.catalog import TargetParams, select_targets, wanted_stars
from cuvee.errors import BadData, ConfigError, NoWork
from cuvee.model.instrument import Instrument
from cuvee.model.keys import DataId, patch_of
from cuvee.model.records import Footprint, Geometry
from cuvee.run.facts import footprint_facts
from cuvee.run.plan import Plan
from cuvee.run.stage import Product, Unit
from cuvee.store.catalogs import find_stars
from cuvee.store.targets import read_targets

__all__ = ["check_targets", "only_patches", "places_of_stars"]


def places_of_stars(
    ids: Collection[int],
    folder: Path,
    partitions: Iterable[Product],
    footprints: Iterable[tuple[DataId, Sequence[Product]]],
    params: TargetParams,
    device: Instrument,
    tables: Iterable[str],
) -> dict[DataId, dict[int, str]]:
    """Find where stars fall on the pixels.

    Parameters
    ----------
    ids : collection of int
        Their catalogue ids.
    folder : Path
        Root of the catalogue's partitions.
    partitions : iterable of Product
        Those that there are.
    footprints : iterable of (DataId, sequence of Product)
        Detectors, and what is known of the places of their series.
    params : TargetParams
        Which stars are targets.
    device : Instrument
        The instrument.
    tables : iterable of str
        Names of the catalogue's tables, for messages.

    Returns
    -------
    dict of DataId to dict of int to str
        By detector, where there are any: the stars on it, and their patches.

    Raises
    ------
    ConfigError
        If a star is not in the catalogue, or no target, or on no pixel.
    """
    names = ", ".join(Path(table).name for table in tables)
    stars = find_stars(folder, {product.meta["cell"] for product in partitions}, ids)
    known = set(stars.id.tolist())
    if lost := sorted(set(ids) - known):
        raise ConfigError(f"{_named(lost)} not in the catalogue ({names}); look the id up there.")
    able = wanted_stars(stars, params)
    if not able.all():
        k = int(able.argmin())
        raise ConfigError(
            f"Star {stars.id[k]} (magnitude {stars.mag[k]:.2f}) is no target by [targets]; put it into [targets] priority, and out of exclude."
        )
    found: dict[DataId, dict[int, str]] = {}
    alone = params.model_copy(update={"max_stars": None})  # of a few stars it would leave out none
    for group, places in footprints:
        facts = [footprint_facts(product) for product in places]
        series = [Footprint(one["series"], Geometry(**one["geometry"]), one["wcs"], one["epoch"]) for one in facts]
        try:
            here = select_targets(series, stars, alone, fwhm=device.fwhm, zero_point=device.zero_point, radii=())
        except (NoWork, BadData):  # a WCS that cannot be read is spoken of where targets are chosen
            continue
        found[group] = {
            star: patch_of(cell) for star, cell in zip(here.id.tolist(), here.healpix.tolist(), strict=True)
        }
        known -= set(here.id.tolist())
    if known:
        raise ConfigError(f"{_named(sorted(known))} on no pixel of the files that this run would read.")
    return found


def _named(ids: Sequence[int]) -> str:
    listed = ", ".join(map(str, ids[:5])) + (f", ... ({len(ids)} in all)" if len(ids) > 5 else "")
    return f"Star {listed} is" if len(ids) == 1 else f"Stars {listed} are"


def check_targets(places: Mapping[int, str], targets: Iterable[Product], root: Path) -> None:
    """See that stars which fall on a detector are among its targets.

    Parameters
    ----------
    places : mapping of int to str
        These stars, and their patches.
    targets : iterable of Product
        The detector's targets.
    root : Path
        The workspace.

    Raises
    ------
    ConfigError
        If one is none.
    """
    for product in targets:
        if lost := sorted(set(places) - set(read_targets(root / product.path).id.tolist())):
            where = f"{product.data_id.segment} {product.data_id.detector}"
            raise ConfigError(
                f"{_named(lost)} left out on {where} by [targets] max_stars; raise it, or put what matters into priority."
            )


def only_patches(plan: Plan, places: Mapping[int, str], targets: Sequence[Product], root: Path) -> Plan:
    """Leave out of a plan what the light curves of some stars' patches do not need.

    Parameters
    ----------
    plan : Plan
        Of one stage.
    places : mapping of int to str
        The stars, and their patches.
    targets : sequence of Product
        The detector's targets, or nothing yet.
    root : Path
        The workspace.

    Returns
    -------
    Plan
        Without other patches, and without stamps in which no star of the patches is measured. Nothing is dropped either.
    """
    patches = set(places.values())
    series: set[str] = set()
    for product in targets:
        every = read_targets(root / product.path)
        for patch in patches:
            start, stop = product.meta["patches"].get(patch, (0, 0))
            series |= set(every.series[start:stop].tolist())

    def needed(unit: Unit) -> bool:
        if "patch" in unit.stage.per:
            return unit.data_id.part in patches
        # A stage that reads all stamps of a detector at once, to learn their PRF, reads them for some stars, too.
        alone = "stamp" in unit.stage.reads and "series" in unit.stage.per
        return not alone or unit.data_id.series in series

    blocked = [(unit, receipt) for unit, receipt in plan.blocked if needed(unit)]
    return replace(plan, todo=[unit for unit in plan.todo if needed(unit)], blocked=blocked, dropped=[])
