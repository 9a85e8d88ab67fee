"""Getting a unit's inputs and putting its output: the only doors between the stages and the files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.collect import SeriesFluxes
from cuvee.config import Config
from cuvee.errors import BadData, ConfigError
from cuvee.instruments.spacecraft import spacecraft_position
from cuvee.model.instrument import Instrument
from cuvee.model.keys import BLOCK_CADENCES, DataId, patch_of
from cuvee.model.records import FileInfo, FluxBlock, Footprint, Geometry, LightCurves, Reference, Stars, Targets
from cuvee.model.time import observer_time
from cuvee.run.refset import middle_member
from cuvee.run.stage import Product, Unit
from cuvee.run.streams import FrameStream, StreamLog, read_frames
from cuvee.store import blocks, catalogs, hats, numbers, tables
from cuvee.store.atomic import content_hash
from cuvee.store.paths import Paths

__all__ = ["get_inputs", "put_output", "read_mask"]


def get_inputs(unit: Unit, device: Instrument, config: Config, paths: Paths, log: StreamLog) -> dict[str, Any]:
    """Read what a unit needs.

    Parameters
    ----------
    unit : Unit
        The unit.
    device : Instrument
        Reads raw files.
    config : Config
        For the pixel mask of ``[extract] mask``.
    paths : Paths
        Where things lie.
    log : StreamLog
        Takes content hashes and bad files, also while streams are read later.

    Returns
    -------
    dict of str to object
        By kind of product.
    """
    found: dict[str, list[Product]] = defaultdict(list)
    for product in unit.inputs:
        found[product.kind].append(product)
    inputs: dict[str, Any] = {}
    for kind, products in found.items():
        inputs[kind] = _GET[kind](products, _Context(unit, device, config, paths, log, found))
    return inputs


class _Context:
    """What the readers below may need besides their products."""

    __slots__ = ("config", "device", "found", "log", "paths", "unit")

    def __init__(
        self,
        unit: Unit,
        device: Instrument,
        config: Config,
        paths: Paths,
        log: StreamLog,
        found: Mapping[str, list[Product]],
    ) -> None:
        self.unit = unit
        self.device = device
        self.config = config
        self.paths = paths
        self.log = log
        self.found = found


def _get_table(products: Sequence[Product], at: _Context) -> Stars:
    path = products[0].path
    # Hash first: a table that changes while it is read is then read again next time, never taken for the new one.
    at.log.contents[path] = content_hash(Path(path))
    stars, report = catalogs.read_stars(Path(path), at.device.name)
    at.log.notes.append(report.sentence)
    return stars


def _get_frames(products: Sequence[Product], at: _Context) -> FrameStream:
    infos = [product.meta["facts"].info for product in products]
    first = min(int(info.moments.cadence[0]) for info in infos) // BLOCK_CADENCES * BLOCK_CADENCES
    return FrameStream(at.device, infos, first, at.log)


def _get_members(products: Sequence[Product], at: _Context) -> tuple[FileInfo, list[tuple[FileInfo, NDArray[Any]]]]:
    facts = [product.meta["facts"] for product in products]
    infos = [one.info for one in facts]
    members = [(infos[i], pixels.flux[0]) for i, pixels in read_frames(at.device, infos, at.log)]
    if at.log.bad:
        path, reason, message = at.log.bad[0]
        raise BadData(message, reason, path)
    return at.device.scan(middle_member(facts).info.path), members


def _get_stamp(products: Sequence[Product], at: _Context) -> tuple[Any, FileInfo, NDArray[np.bool_] | None]:
    path = products[0].path
    try:
        info = at.device.scan(path)
        pixels = at.device.read(info, None)
    except BadData as error:
        at.log.bad.append((path, error.reason, error.message))
        raise
    at.log.contents[path] = pixels.content
    mask = at.config.extract.mask
    given = read_mask(at.paths.root / mask) if mask is not None and mask != "pipeline" else None
    return pixels, info, given


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a pixel mask: the first two-dimensional image of a FITS file, or a ``.npy`` array; nonzero is inside.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool array, shape (n_row, n_col)

    Raises
    ------
    ConfigError
        If there is no such file, or no mask in it.
    """
    try:
        if path.suffix == ".npy":
            found = np.load(path)
            if found.ndim == 2:
                return np.asarray(found != 0)
        else:
            from astropy.io import fits

            with fits.open(path) as file:
                for unit in file:
                    if unit.data is not None and unit.is_image and unit.data.ndim == 2:
                        return np.asarray(unit.data != 0)
    except FileNotFoundError as error:
        raise ConfigError(f"[extract] mask: there is no file {path}.") from error
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"[extract] mask: {path} cannot be read: {error}.") from error
    raise ConfigError(f"[extract] mask: {path} holds no two-dimensional image.")


def _get_footprints(products: Sequence[Product], _at: _Context) -> list[tuple[Footprint, float, float]]:
    footprints = []
    for product in products:
        facts = product.meta["facts"]
        footprint = Footprint(facts["series"], Geometry(**facts["geometry"]), facts["wcs"], facts["epoch"])
        footprints.append((footprint, facts["time_ra"], facts["time_dec"]))
    return footprints


def _get_partitions(products: Sequence[Product], at: _Context) -> Stars:
    return catalogs.read_partitions(at.paths.partitions, sorted({product.meta["cell"] for product in products}))


def _get_reference(products: Sequence[Product], at: _Context) -> Reference:
    return tables.read_reference(at.paths.root / products[0].path)


def _get_targets(products: Sequence[Product], at: _Context) -> Any:
    product = products[0]
    targets = tables.read_targets(at.paths.root / product.path)
    if at.unit.stage.name != "collect":
        return targets
    start, stop = product.meta["patches"][at.unit.data_id.part]
    return product.data_id.segment, product.data_id.detector, targets.take(slice(start, stop))


def _get_fluxes(products: Sequence[Product], at: _Context) -> list[SeriesFluxes]:
    patch = at.unit.data_id.part
    first, _ = at.found["targets"][0].meta["patches"][patch]
    places = {f.series: (ra, dec, f.geometry) for f, ra, dec in _get_footprints(at.found["footprint"], at)}
    series: dict[str, list[FluxBlock]] = defaultdict(list)
    for product in sorted(products, key=lambda p: p.data_id):
        start, stop = product.meta["patches"][patch]
        series[product.data_id.series].append(blocks.read_block(at.paths.root / product.path, slice(start, stop)))
    fluxes = []
    for name, found in sorted(series.items()):
        ra, dec, geometry = places.get(name, (np.nan, np.nan, None))
        observer = _observer(found, ra, dec, at)
        fluxes.append(SeriesFluxes(found, found[0].rows - first, ra, dec, geometry, observer))
    return fluxes


def _observer(found: Sequence[FluxBlock], ra: float, dec: float, at: _Context) -> list[NDArray[np.float64]] | None:
    """Return where the spacecraft was in the frames of each block; None where no kernel is given or no direction is known."""
    kernels = [at.paths.root / kernel for kernel in at.config.time.kernel]
    if not kernels or not np.isfinite(ra + dec):
        return None
    mids = [observer_time(block.moments.mid, ra, dec) for block in found]
    places = spacecraft_position(kernels, at.device.naif_id, np.concatenate(mids))
    return np.split(places, np.cumsum([mid.size for mid in mids])[:-1])


def _get_metrics(products: Sequence[Product], at: _Context) -> list[dict[str, NDArray[Any]]]:
    return [numbers.read_columns(at.paths.root / product.path) for product in sorted(products, key=lambda p: p.data_id)]


def _get_nothing(_products: Sequence[Product], _at: _Context) -> None:
    return None


_GET: dict[str, Callable[[Sequence[Product], _Context], Any]] = {
    "table": _get_table,
    "frame": _get_frames,
    "member": _get_members,
    "stamp": _get_stamp,
    "footprint": _get_footprints,
    "partition": _get_partitions,
    "reference": _get_reference,
    "targets": _get_targets,
    "fluxes": _get_fluxes,
    "metrics": _get_metrics,
    "lightcurves": _get_nothing,
}


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
    products, counts = _PUT[unit.stage.name](unit, output, paths)
    # Catalogue tables are remembered with the state in which they were read, so that an untouched one is not read again.
    read = tuple(
        Product("table", p.data_id, log.contents[p.path], "", p.meta) for p in unit.inputs if p.kind == "table"
    )
    return (*products, *read), counts


Put = tuple[tuple[Product, ...], dict[str, int]]


def _product(kind: str, data_id: DataId, path: Path, paths: Paths, **meta: Any) -> Product:
    state = path.stat()
    # Parts of a workspace may lie elsewhere ([workspace] red = "/scratch/red"); then the whole name is kept.
    name = str(path.relative_to(paths.root)) if path.is_relative_to(paths.root) else str(path)
    kept = {"size": state.st_size, "mtime_ns": state.st_mtime_ns, **meta}
    return Product(kind, data_id, content_hash(path), name, kept)


def _put_partitions(unit: Unit, stars: Stars, paths: Paths) -> Put:
    table = unit.inputs[0]
    tag = table.data_id.part
    products = []
    for path in catalogs.write_partitions(stars, paths.partitions, tag):
        cell = int(path.parent.name.removeprefix("Npix="))
        data_id = DataId(unit.data_id.instrument, part=f"{tag}@{cell}")
        products.append(_product("partition", data_id, path, paths, cell=cell))
    return tuple(products), {"stars": len(stars)}


def _put_reference(unit: Unit, reference: Reference, paths: Paths) -> Put:
    path = paths.reference(unit.data_id)
    tables.write_reference(path, reference)
    return (_product("reference", unit.data_id, path, paths),), {"frames": len(reference.members)}


def _patches(healpix: NDArray[np.int64]) -> dict[str, tuple[int, int]]:
    """Return where each patch's rows lie; rows are sorted by HEALPix index."""
    names = np.array([patch_of(int(h)) for h in healpix])
    values, starts, counts = np.unique(names, return_index=True, return_counts=True)
    return {str(v): (int(s), int(s + n)) for v, s, n in zip(values, starts, counts, strict=True)}


def _put_targets(unit: Unit, targets: Targets, paths: Paths) -> Put:
    path = paths.targets(unit.data_id)
    tables.write_targets(path, targets)
    product = _product("targets", unit.data_id, path, paths, patches=_patches(targets.healpix))
    return (product,), {"stars": len(targets)}


def _put_fluxes(unit: Unit, block: FluxBlock, paths: Paths) -> Put:
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
    return (_product("fluxes", unit.data_id, path, paths, patches=patches),), counts


def _put_series(unit: Unit, output: tuple[FluxBlock, Reference], paths: Paths) -> Put:
    block, reference = output
    fluxes, counts = _put_fluxes(unit, block, paths)
    image, _ = _put_reference(unit, reference, paths)
    return (*fluxes, *image), counts


def _put_patch(unit: Unit, output: tuple[LightCurves, dict[str, Any]], paths: Paths) -> Put:
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


def _put_summary(unit: Unit, table: dict[str, NDArray[Any]], paths: Paths) -> Put:
    path = paths.summary(unit.data_id, "parquet")
    numbers.write_columns(path, table)
    return (_product("summary", unit.data_id, path, paths),), {"stars": int(table["id"].size)}


def _put_catalog(unit: Unit, instrument: str, paths: Paths) -> Put:
    written = hats.write_catalog_metadata(paths.light_curves, instrument)
    products = [_product("catalog", DataId(instrument, part=path.name), path, paths) for path in written]
    return tuple(products), {"files": len(unit.inputs)}


_PUT: dict[str, Callable[[Unit, Any, Paths], Put]] = {
    "catalog": _put_partitions,
    "reference": _put_reference,
    "targets": _put_targets,
    "extract": _put_fluxes,
    "extract-series": _put_series,
    "collect": _put_patch,
    "summary": _put_summary,
    "publish": _put_catalog,
}
