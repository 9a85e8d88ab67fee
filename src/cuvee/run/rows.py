"""How the ledger's rows speak of units, products, lineage and stars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cuvee.catalog.stars import healpix_index
from cuvee.model.flags import FLAGS, default_mask, describe
from cuvee.model.keys import PATCH_ORDER, DataId
from cuvee.model.photons import composite_key, setting_words
from cuvee.run.receipts import Receipt
from cuvee.run.stage import NOTHING, Product, Unit
from cuvee.store.hats import patch_path
from cuvee.store.ledger import Ledger
from cuvee.store.numbers import read_columns
from cuvee.store.paths import Paths
from cuvee.store.photon_curves import composites_of, read_composite, read_facts
from cuvee.store.targets import read_targets

__all__ = [
    "columns_of_group",
    "failures",
    "forget_stars",
    "known_units",
    "lineage_rows",
    "product_row",
    "unit_row",
    "write_stars",
]


def unit_row(receipt: Receipt, run_id: int) -> dict[str, Any]:
    """Return what became of a unit as the table ``units`` keeps it."""
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


def product_row(product: Product, receipt: Receipt) -> dict[str, Any]:
    """Return a product as the table ``products`` keeps it."""
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


def columns_of_group(
    ledger: Ledger, table: str, names: Sequence[str], group: DataId, **among: Any
) -> list[Sequence[Any]]:
    """Return columns of the units or products of one group, reading no other rows.

    Parameters
    ----------
    ledger : Ledger
        Where they are.
    table : str
        ``units`` or ``products``.
    names : sequence of str
        The columns.
    group : DataId
        Segment, detector and kind; or only the instrument, for what belongs to none of them.
    **among
        The values of the key's other column.
    """
    whole = "/".join(group[:4])
    parts = [
        ledger.columns(table, names, data_id=str(group), **among),
        ledger.columns(table, names, within=(f"{whole}/", f"{whole}0"), **among),  # "0" comes after "/"
    ]
    return [[*first, *second] for first, second in zip(*parts, strict=True)]


def known_units(
    ledger: Ledger, group: DataId, kinds: Collection[str], stages: Collection[str]
) -> tuple[list[Product], list[Receipt]]:
    """Return what the ledger knows of a group's products, and of its units: everything but which raw files they read.

    Parameters
    ----------
    ledger : Ledger
        Where `unit_row` and `product_row` went.
    group : DataId
        Segment, detector and kind; or only the instrument.
    kinds, stages : collection of str
        Those that the ledger has.
    """
    ids: dict[str, DataId] = {}  # a unit and its products mostly have the same

    def data_id(text: str) -> DataId:
        found = ids.get(text)
        if found is None:
            found = ids[text] = DataId.parse(text)
        return found

    products = []
    made: dict[str, dict[str, list[Product]]] = defaultdict(lambda: defaultdict(list))
    columns = columns_of_group(
        ledger, "products", ("kind", "data_id", "content", "path", "meta", "stage", "unit"), group, kind=kinds
    )
    for kind, text, content, path, meta, stage, unit in zip(*columns, strict=True):
        product = Product(kind, data_id(text), content, path, meta)
        products.append(product)
        made[stage][unit].append(product)
    units = []
    columns = columns_of_group(
        ledger,
        "units",
        ("stage", "data_id", "recipe", "outcome", "message", "reason", "seconds", "memory", "counts"),
        group,
        stage=stages,
    )
    for stage, text, recipe, outcome, message, reason, seconds, memory, counts in zip(*columns, strict=True):
        mine = tuple(made[stage].get(text, ()))
        units.append(
            Receipt(stage, data_id(text), recipe, outcome, message, reason, mine, NOTHING, (), seconds, memory, counts)
        )
    return products, units


def lineage_rows(unit: Unit, receipt: Receipt) -> list[dict[str, Any]]:
    """Return what each product of a unit was made from; files that proved bad are no part of it.

    Of many series done at once, each product names its own: what all have in common, as a PRF has from all stamps of a detector, is in the
    recipe, and would take as many rows as there are pairs of stamps.
    """
    bad = {file.path for file in receipt.bad}
    read = [source for source in unit.inputs if not source.path or source.path not in bad]
    return [
        {
            "kind": product.kind,
            "data_id": str(product.data_id),
            "input_kind": source.kind,
            "input_id": str(source.data_id),
            "content": receipt.contents[source.path][1] if source.path in receipt.contents else source.content,
        }
        for product in receipt.products
        for source in read
        if unit.data_id.series or product.data_id.series in ("", source.data_id.series) or not source.data_id.series
    ]


_STATISTICS = (
    "total", "mean", "spread", "poisson_factor", "excess_variance", "constant", "pearson_r", "pearson_p",
)  # fmt: skip

_NUMBERS = {
    name: name
    for name in (
        "id", "healpix", "series", "best", "n_point", "scatter", "n_good", "cdpp_1h", "cdpp_6_5h", "variance", "variability",
        "rms_hour", "ptp", "contamination", "edge_flux", "flag",
    )
} | {"mean_flux": "flux", "mask_size": "n_pixel"}  # fmt: skip
"""What the ledger has of each light curve, and the column of the metrics that it comes from."""


def write_stars(
    ledger: Ledger,
    paths: Paths,
    product: Product,
    elaptime: float = float("nan"),
    failed: Mapping[str, Sequence[str]] = NOTHING,
) -> None:
    """Let the ledger find stars: where they are measured, and where their light curves are and what sums them up.

    Parameters
    ----------
    ledger : Ledger
        Takes the rows.
    paths : Paths
        Of the workspace.
    product : Product
        Of any kind; ``targets`` and ``metrics`` name stars.
    elaptime : float
        Time that each of these stars took (s).
    failed : mapping of str to sequence of str
        What is wrong with each series, from `failures`.
    """
    unit = product.data_id
    where = {"instrument": unit.instrument, "segment": unit.segment, "detector": unit.detector, "kind": unit.kind}
    if product.kind == "targets":
        targets = read_targets(paths.root / product.path)
        names = ("id", "healpix", "series", "ra", "col", "row", "mag")
        columns = [getattr(targets, name).tolist() for name in names]
        rows = [
            {**where, **dict(zip(names, values, strict=True)), "decl": dec, "row_number": i}
            for i, (*values, dec) in enumerate(zip(*columns, targets.dec.tolist(), strict=True))
        ]
        ledger.replace("targets", rows, segment=unit.segment, detector=unit.detector, kind=unit.kind)
    elif product.kind == "metrics":
        table = read_columns(paths.root / product.path)
        file = _light_curves(paths, unit)
        same = {**where, "path": file, "elaptime": elaptime}
        columns = [table[name].tolist() for name in _NUMBERS.values()]
        rows = [{**same, **dict(zip(_NUMBERS, values, strict=True))} for values in zip(*columns, strict=True)]
        for row in rows:
            row["errors"] = "; ".join(_errors(row, failed))
        ledger.replace("light_curves", rows, path=file)
    elif _is_exposure(product):
        ledger.put("exposures", [_exposure(paths, product)])


def failures(receipts: Iterable[Receipt]) -> dict[str, list[str]]:
    """Return what is wrong with each series of a detector in words; under the empty name, with all of them.

    Parameters
    ----------
    receipts : iterable of Receipt
        Of the units that light curves are made from.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for one in receipts:
        if one.outcome not in ("done", "have") and one.message:
            part = f" {one.data_id.part}" if one.data_id.part else ""
            found[one.data_id.series].append(f"{one.stage}{part}: {one.message}")
    return dict(found)


def _errors(row: Mapping[str, Any], failed: Mapping[str, Sequence[str]]) -> list[str]:
    """Say what went wrong with a star: what was not done for it, and the bits that every point of it has and that make a point bad."""
    said = [words for series in dict.fromkeys(["", row["series"]]) for words in failed.get(series, ())]
    if row["n_good"]:
        return said
    if not row["n_point"]:
        return [*said, "no frame shows it"]
    bits = int(row["flag"]) & default_mask(FLAGS)
    return [*said, *(f"all points: {words}" for words in describe(bits, FLAGS))] or ["no good point"]


def forget_stars(ledger: Ledger, paths: Paths, product: Product) -> None:
    """Take back what `write_stars` wrote.

    Parameters
    ----------
    ledger : Ledger
        Loses the rows.
    paths : Paths
        Of the workspace.
    product : Product
        One that is no more.
    """
    unit = product.data_id
    if product.kind == "targets":
        ledger.replace("targets", [], segment=unit.segment, detector=unit.detector, kind=unit.kind)
    elif product.kind == "metrics":
        ledger.replace("light_curves", [], path=_light_curves(paths, unit))
    elif _is_exposure(product):
        series = unit.part if product.kind == "composites" else unit.series
        ledger.replace("exposures", [], instrument=unit.instrument, series=series)


def _light_curves(paths: Paths, unit: DataId) -> str:
    patch = int(unit.part.removeprefix("p"))
    path = patch_path(paths.light_curves, unit.instrument, patch, unit.segment, unit.detector, unit.kind)
    return _within(paths, path)


def _within(paths: Paths, path: Path) -> str:
    return str(path.relative_to(paths.root)) if path.is_relative_to(paths.root) else str(path)


def _is_exposure(product: Product) -> bool:
    """Tell whether a product is what is known of an exposure of photons, or of a composite; this has its light curve as another product."""
    return product.kind == "exposures" or (product.kind == "composites" and product.data_id.series == "facts")


def _exposure(paths: Paths, product: Product) -> dict[str, Any]:
    unit, path = product.data_id, paths.root / product.path
    several = product.kind == "composites"
    facts = read_composite(path) if several else read_facts(path)
    _, detector, grating, cenwave, aperture = (*facts["setting"], "", "", "")[:5]
    key = composite_key({"setting": setting_words(facts["setting"]), "target": facts["target"]}, NOTHING)
    if several:
        unit = unit._replace(segment="composite", detector=detector.lower(), series=unit.part)
    patch = int(healpix_index(np.array([facts["ra"]]), np.array([facts["dec"]]))[0]) >> 2 * (29 - PATCH_ORDER)
    catalog = composites_of(unit.instrument) if several else unit.instrument
    curve = patch_path(paths.light_curves, catalog, patch, unit.segment, unit.detector, unit.series)
    known = [peak for peak in facts["peaks"].values() if peak[2] == peak[2]]
    period, _, false_alarm = min(known, key=lambda peak: float(peak[2]), default=(None, None, None))
    cards, numbers = facts["cards"], facts["statistics"]
    return {
        "instrument": unit.instrument, "segment": unit.segment, "detector": unit.detector, "series": unit.series, "target": facts["target"],
        "composite": key, "ra": facts["ra"], "decl": facts["dec"], "grating": grating, "cenwave": int(cenwave) if cenwave.isdigit() else None,
        "aperture": aperture, "obstype": str(cards.get("optical", "")), "fppos": str(cards.get("fppos", "")),
        "proposal": int(cards.get("proposal", 0)), "n_exposure": len(facts.get("members", [""])), "mjd": facts["mjd"], "seconds": facts["seconds"],
        "step": facts.get("exposures", [facts])[0]["step"], "events": sum(facts["events"].values()) if "events" in facts else None,
        **{name: numbers[name] for name in _STATISTICS}, "period": period, "false_alarm": false_alarm,
        "calibrated": bool(facts.get("calibrated", facts.get("limits"))), "path": _within(paths, curve),
    }  # fmt: skip
