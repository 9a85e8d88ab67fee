"""Putting a unit's output: the door through which what a stage made goes to the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.events.composite import Composite
from cuvee.events.exposure import PhotonCurve
from cuvee.model.keys import PATCH_ORDER, DataId, patch_of
from cuvee.model.moving import Tracks
from cuvee.model.psf import StarModel
from cuvee.model.records import FluxBlock, LightCurves, Neighbours, Reference, Stars, Targets
from cuvee.run.stage import Product, Unit
from cuvee.run.streams import StreamLog
from cuvee.store import blocks, catalogs, hats, numbers, photon_curves, references, star_models
from cuvee.store import targets as target_table
from cuvee.store.atomic import content_hash
from cuvee.store.paths import Paths

__all__ = ["WRITERS", "put_output"]

Written = tuple[tuple[Product, ...], dict[str, int]]


def put_output(unit: Unit, output: Any, paths: Paths, log: StreamLog) -> tuple[tuple[Product, ...], dict[str, int]]:
    """Write what a unit made, atomically.

    Parameters
    ----------
    unit : Unit
        The unit.
    output : object
        What the stage's ``run`` returned.
    paths : Paths
        Where things go.
    log : StreamLog
        What was learnt while the inputs were read.

    Returns
    -------
    tuple of Product
        What was written.
    dict of str to int
        Numbers for the ledger.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    products, counts = WRITERS[unit.stage.name](unit, output, paths)
    # Catalogue tables are remembered with the state in which they were read, so that an untouched one is not read again.
    read = tuple(
        Product("table", p.data_id, log.contents[p.path], "", p.meta) for p in unit.inputs if p.kind == "table"
    )
    return (*products, *read), counts


def _product(kind: str, data_id: DataId, path: Path, paths: Paths, **meta: Any) -> Product:
    state = path.stat()
    # Parts of a workspace may lie elsewhere ([workspace] red = "/scratch/red"); then the whole name is kept.
    name = str(path.relative_to(paths.root)) if path.is_relative_to(paths.root) else str(path)
    kept = {"size": state.st_size, "mtime_ns": state.st_mtime_ns, **meta}
    return Product(kind, data_id, content_hash(path), name, kept)


def _write_partitions(unit: Unit, stars: Stars, paths: Paths) -> Written:
    table = unit.inputs[0]
    tag = table.data_id.part
    products = []
    for path in catalogs.write_partitions(stars, paths.partitions, tag):
        cell = int(path.parent.name.removeprefix("Npix="))
        data_id = DataId(unit.data_id.instrument, part=f"{tag}@{cell}")
        products.append(_product("partition", data_id, path, paths, cell=cell))
    return tuple(products), {"stars": len(stars)}


def _write_reference(unit: Unit, reference: Reference, paths: Paths) -> Written:
    path = paths.reference(unit.data_id)
    references.write_reference(path, reference)
    return (_product("reference", unit.data_id, path, paths),), {"frames": len(reference.members)}


def _write_neighbours(unit: Unit, near: Neighbours, paths: Paths) -> Written:
    path = paths.neighbours(unit.data_id)
    numbers.write_columns(path, {name: getattr(near, name) for name in near.__slots__})
    return (_product("neighbours", unit.data_id, path, paths),), {"stars": int(near.id.size)}


def _write_stars(unit: Unit, model: StarModel, paths: Paths) -> Written:
    path = paths.stars(unit.data_id)
    star_models.write_star_model(path, model)
    return (_product("stars", unit.data_id, path, paths),), {"stars": len(model)}


def _write_star_models(unit: Unit, models: Sequence[StarModel], paths: Paths) -> Written:
    products = []
    for model in models:
        data_id = unit.data_id._replace(series=model.series)
        star_models.write_star_model(paths.stars(data_id), model)
        products.append(_product("stars", data_id, paths.stars(data_id), paths))
    return tuple(products), {"stars": sum(map(len, models)), "stamps": len(models)}


def _patches(healpix: NDArray[np.int64]) -> dict[str, tuple[int, int]]:
    """Return where each patch's rows lie; rows are sorted by HEALPix index."""
    names = np.array([patch_of(int(h)) for h in healpix])
    values, starts, counts = np.unique(names, return_index=True, return_counts=True)
    return {str(v): (int(s), int(s + n)) for v, s, n in zip(values, starts, counts, strict=True)}


def _write_targets(unit: Unit, targets: Targets, paths: Paths) -> Written:
    path = paths.targets(unit.data_id)
    target_table.write_targets(path, targets)
    product = _product("targets", unit.data_id, path, paths, patches=_patches(targets.healpix))
    return (product,), {"stars": len(targets)}


def _write_fluxes(unit: Unit, block: FluxBlock, paths: Paths) -> Written:
    path = paths.fluxes(unit.data_id)
    blocks.write_block(path, block)
    targets = next(product for product in unit.inputs if product.kind == "targets")
    # Rows of the block that belong to each patch: both are sorted by the targets' row number.
    patches = {}
    for patch, (start, stop) in targets.meta["patches"].items():
        i, j = np.searchsorted(block.rows, (start, stop))
        if j > i:
            patches[patch] = (int(i), int(j))
    counts = {"stars": int(block.rows.size), "frames": int(np.count_nonzero([bool(name) for name in block.names]))}
    products = [_product("fluxes", unit.data_id, path, paths, patches=patches)]
    if block.moving is not None:
        path = paths.candidates(unit.data_id)
        numbers.write_columns(path, {name: getattr(block.moving, name) for name in block.moving.__slots__})
        products.append(_product("candidates", unit.data_id, path, paths, block=unit.data_id.part))
    return tuple(products), counts


def _write_tracks(unit: Unit, found: dict[str, Tracks], paths: Paths) -> Written:
    path = paths.tracks(unit.data_id)
    columns = {name: np.concatenate([getattr(one, name) for one in found.values()]) for name in Tracks.__slots__}
    series = np.repeat(np.array(list(found), np.str_), [one.number.size for one in found.values()])
    numbers.write_columns(path, {"series": series, **columns})
    return (_product("tracks", unit.data_id, path, paths),), {"tracks": sum(len(one.paths()) for one in found.values())}


def _write_series(unit: Unit, output: tuple[FluxBlock, Reference], paths: Paths) -> Written:
    block, reference = output
    fluxes, counts = _write_fluxes(unit, block, paths)
    image, _ = _write_reference(unit, reference, paths)
    return (*fluxes, *image), counts


def _write_patch(unit: Unit, output: tuple[LightCurves, dict[str, Any]], paths: Paths) -> Written:
    curves, metrics = output
    data_id = unit.data_id
    patch = int(data_id.part.removeprefix("p"))
    path = hats.patch_path(
        paths.light_curves, data_id.instrument, patch, data_id.segment, data_id.detector, data_id.kind
    )
    hats.write_patch(path, curves)
    table = paths.metrics(data_id)
    numbers.write_columns(table, metrics)
    patches = (data_id.part,)
    return (
        _product("lightcurves", data_id, path, paths, patches=patches),
        _product("metrics", data_id, table, paths, patches=patches),
    ), {"stars": len(curves.targets), "points": int(curves.offsets[-1])}


def _write_summary(unit: Unit, table: dict[str, NDArray[Any]], paths: Paths) -> Written:
    path = paths.summary(unit.data_id, "parquet")
    numbers.write_columns(path, table)
    return (_product("summary", unit.data_id, path, paths),), {"stars": int(table["id"].size)}


def _write_binned(unit: Unit, curve: PhotonCurve, paths: Paths) -> Written:
    data_id = unit.data_id
    curves = photon_curves.light_curves_of(curve, data_id)
    patch = int(curves.targets.healpix[0]) >> 2 * (29 - PATCH_ORDER)
    path = hats.patch_path(
        paths.light_curves, data_id.instrument, patch, data_id.segment, data_id.detector, data_id.series
    )
    hats.write_patch(path, curves)
    counted = paths.exposure(data_id)
    photon_curves.write_exposure(counted, curve)
    counts = {
        "events": sum(curve.events.values()),
        "points": int(curves.offsets[-1]),
        **curve.reasons,
    }
    return (_product("lightcurves", data_id, path, paths), _product("exposures", data_id, counted, paths)), counts


def _write_composite(unit: Unit, found: Composite, paths: Paths) -> Written:
    data_id = unit.data_id
    curves = photon_curves.light_curves_of_composite(found, data_id.part)
    patch = int(curves.targets.healpix[0]) >> 2 * (29 - PATCH_ORDER)
    catalog = photon_curves.composites_of(data_id.instrument)
    path = hats.patch_path(paths.light_curves, catalog, patch, curves.segment, curves.detector, data_id.part)
    hats.write_patch(path, curves)
    facts = paths.composite(data_id)
    photon_curves.write_composite(facts, found)
    products = (
        _product("composites", data_id, path, paths),
        _product("composites", data_id._replace(series="facts"), facts, paths),
    )
    return products, {"exposures": len(found.members), "points": int(curves.offsets[-1])}


def _write_catalog(unit: Unit, instrument: str, paths: Paths) -> Written:
    written = hats.write_catalog_metadata(paths.light_curves, instrument)
    if any(product.kind == "composites" for product in unit.inputs):
        written += hats.write_catalog_metadata(paths.light_curves, photon_curves.composites_of(instrument))
    # Both catalogues have files of the same names.
    products = [
        _product("catalog", DataId(instrument, part=path.name, series="" if k < 4 else "composite"), path, paths)
        for k, path in enumerate(written)
    ]
    return tuple(products), {"files": len(unit.inputs)}


WRITERS: dict[str, Callable[[Unit, Any, Paths], Written]] = {
    "catalog": _write_partitions,
    "reference": _write_reference,
    "neighbours": _write_neighbours,
    "prf": _write_stars,
    "prf-series": _write_star_models,
    "targets": _write_targets,
    "extract": _write_fluxes,
    "tracks": _write_tracks,
    "extract-series": _write_series,
    "collect": _write_patch,
    "summary": _write_summary,
    "bin": _write_binned,
    "composite": _write_composite,
    "publish": _write_catalog,
}
"""How the output of each stage is written, by the stage's name."""
