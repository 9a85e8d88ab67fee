"""Getting a unit's inputs: the door through which files come to the stages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.collect import SeriesFluxes
from cuvee.config import Config
from cuvee.errors import BadData, ConfigError
from cuvee.events.screen import EventList
from cuvee.instruments.registry import find_files
from cuvee.instruments.spacecraft import spacecraft_position
from cuvee.instruments.tess_prf import PrfFile, read_prf_files
from cuvee.model.instrument import Instrument
from cuvee.model.keys import BLOCK_CADENCES
from cuvee.model.moving import Candidates, Ephemerides, Tracks
from cuvee.model.photons import Spectrum
from cuvee.model.psf import StarModel
from cuvee.model.records import FileInfo, FluxBlock, Footprint, Neighbours, Stars, Targets
from cuvee.model.time import observer_time
from cuvee.run.facts import footprint_facts, footprint_from
from cuvee.run.known_objects import found_tracks, read_known, tracks_over
from cuvee.run.refset import middle_member
from cuvee.run.stage import Product, Unit
from cuvee.run.streams import FrameStream, StreamLog, read_frames
from cuvee.store import blocks, catalogs, numbers, references, star_models
from cuvee.store import targets as target_table
from cuvee.store.atomic import content_hash
from cuvee.store.paths import Paths

__all__ = ["get_inputs", "open_photons", "prf_paths", "read_mask", "readers"]


def get_inputs(unit: Unit, device: Instrument, config: Config, paths: Paths, log: StreamLog) -> dict[str, Any]:
    """Read what a unit needs.

    Parameters
    ----------
    unit : Unit
        The unit.
    device : Instrument
        Reads raw files.
    config : Config
        For the pixel mask of ``[extract] mask`` and the kernels of ``[time] kernel``.
    paths : Paths
        Where things lie.
    log : StreamLog
        Takes content hashes and bad files, also while streams are read later.

    Returns
    -------
    dict of str to object
        By kind of product; ``prf_files`` where a PRF is wanted and the mission's are at hand.
    """
    read = readers(unit, device, config, paths, log)
    inputs = {kind: read[kind]() for kind in dict.fromkeys(product.kind for product in unit.inputs)}
    if config.prf.files and "stars" in unit.stage.writes:
        inputs["prf_files"] = _prf_files(tuple(prf_paths(config, paths.root)))
    return inputs


def readers(
    unit: Unit, device: Instrument, config: Config, paths: Paths, log: StreamLog
) -> dict[str, Callable[[], Any]]:
    """Return how each kind of product is read for a unit; nothing is read until it is called.

    Parameters
    ----------
    unit, device, config, paths, log
        As in `get_inputs`.

    Returns
    -------
    dict of str to callable
        By kind of product.
    """
    found: dict[str, list[Product]] = defaultdict(list)
    for product in unit.inputs:
        found[product.kind].append(product)
    root, part = paths.root, unit.data_id.part
    return {
        "table": lambda: _table(found["table"][0].path, device, log),
        "frame": lambda: _frames(found["frame"], device, log),
        "member": lambda: _members(found["member"], device, log),
        "stamp": lambda: (
            _stamp(found["stamp"][0].path, device, _mask_file(config, root), log)
            if "series" in unit.stage.per
            else _stamps(found["stamp"], device, log)
        ),
        "footprint": lambda: _footprints(found["footprint"]),
        "partition": lambda: _partitions(found["partition"], paths.partitions),
        "reference": lambda: references.read_reference(root / found["reference"][0].path),
        "stars": lambda: _read_stars(root / found["stars"][0].path, found["stars"][0].content),
        "neighbours": lambda: Neighbours(**numbers.read_columns(root / found["neighbours"][0].path)),
        "targets": lambda: _targets(found["targets"][0], root, part if unit.stage.name == "collect" else ""),
        "fluxes": lambda: _fluxes(
            _by_series(found["fluxes"], root, part),
            found["targets"][0].meta["patches"][part][0],
            _footprints(found["footprint"]),
            [root / kernel for kernel in config.time.kernel],
            device.naif_id,
            found_tracks(root / found["tracks"][0].path, found["tracks"][0].content) if found["tracks"] else {},
            read_known(config, root),
            device.zero_point,
        ),
        "candidates": lambda: [
            (product.data_id.series, Candidates(**numbers.read_columns(root / product.path)))
            for product in _in_order(found["candidates"])
        ],
        "tracks": lambda: None,
        "metrics": lambda: [numbers.read_columns(root / product.path) for product in _in_order(found["metrics"])],
        "lightcurves": lambda: None,
        "composites": lambda: None,
        "events": lambda: (
            open_photons(found["events"], found["spectrum"], device, log)
            if "series" in unit.stage.per
            else _all_photons(found["events"], found["spectrum"], device, log)
        ),
        "spectrum": lambda: None,
    }


def open_photons(
    lists: Sequence[Product], spectra: Sequence[Product], device: Instrument, log: StreamLog
) -> tuple[list[EventList], int]:
    """Open the lists of photons of one exposure, and return how many its detector's segments should give."""
    reader = device.photons
    assert reader is not None
    known: dict[str, Spectrum] = {}
    for product in spectra:
        if not product.content and product.path not in log.contents:  # else it is known, and a list may have gigabytes
            log.contents[product.path] = content_hash(Path(product.path))
        try:
            known |= reader.spectra(product.path)[1]
        except BadData as error:
            log.bad.append((product.path, error.reason, error.message))
    opened: dict[str, EventList] = {}
    for product in _in_order(lists):
        try:
            exposure, start = reader.exposure(product.path)
        except BadData as error:
            log.bad.append((product.path, error.reason, error.message))
            raise
        if not product.content and product.path not in log.contents:  # else it is known, and a list may have gigabytes
            log.contents[product.path] = content_hash(Path(product.path))
        before = opened.get(exposure.part)
        if before is not None and exposure.cards.get("raw") and not before.exposure.cards.get("raw"):
            continue  # of a raw and a calibrated list the calibrated one counts
        opened[exposure.part] = EventList(
            exposure, partial(reader.chunks, exposure, start), reader.traces(exposure, known)
        )
    return list(opened.values()), reader.parts(next(iter(opened.values())).exposure)


def _all_photons(
    lists: Sequence[Product], spectra: Sequence[Product], device: Instrument, log: StreamLog
) -> list[Callable[[], tuple[list[EventList], int]]]:
    """Return what opens the lists of photons of each of several exposures: they need not all be in memory."""
    names = sorted({product.data_id.series for product in lists})
    own, theirs = (defaultdict(list), defaultdict(list))  # type: tuple[dict[str, list[Product]], dict[str, list[Product]]]
    for products, sorted_out in ((lists, own), (spectra, theirs)):
        for product in products:
            sorted_out[product.data_id.series].append(product)
    return [partial(open_photons, own[name], theirs[name], device, log) for name in names]


def _in_order(products: Sequence[Product]) -> list[Product]:
    return sorted(products, key=lambda product: product.data_id)


def _table(path: str, device: Instrument, log: StreamLog) -> Stars:
    # Hash first: a table that changes while it is read is then read again next time, never taken for the new one.
    log.contents[path] = content_hash(Path(path))
    stars, report = catalogs.read_stars(Path(path), device.name)
    log.notes.append(report.sentence)
    return stars


def _frames(products: Sequence[Product], device: Instrument, log: StreamLog) -> FrameStream:
    infos = [product.meta["facts"].info for product in products]
    first = min(int(info.moments.cadence[0]) for info in infos) // BLOCK_CADENCES * BLOCK_CADENCES
    return FrameStream(device, infos, first, log)


def _members(
    products: Sequence[Product], device: Instrument, log: StreamLog
) -> tuple[FileInfo, list[tuple[FileInfo, NDArray[Any]]]]:
    facts = [product.meta["facts"] for product in products]
    infos = [one.info for one in facts]
    members = [(infos[i], pixels.flux[0]) for i, pixels in read_frames(device, infos, log)]
    if log.bad:
        path, reason, message = log.bad[0]
        raise BadData(message, reason, path)
    return device.scan(middle_member(facts).info.path), members


def _stamp(
    path: str, device: Instrument, mask: Path | None, log: StreamLog
) -> tuple[Any, FileInfo, NDArray[np.bool_] | None]:
    try:
        info = device.scan(path)
        pixels = device.read(info, None)
    except BadData as error:
        log.bad.append((path, error.reason, error.message))
        raise
    log.contents[path] = pixels.content
    return pixels, info, None if mask is None else read_mask(mask)


def _stamps(
    products: Sequence[Product], device: Instrument, log: StreamLog
) -> Iterator[tuple[Any, FileInfo, NDArray[np.bool_] | None]]:
    """Read the stamps of a detector one after the other."""
    for product in _in_order(products):
        yield _stamp(product.path, device, None, log)


def prf_paths(config: Config, root: Path) -> list[Path]:
    """Return the mission's PRF files that ``[prf] files`` names.

    Parameters
    ----------
    config : Config
        The effective configuration.
    root : Path
        The workspace.

    Returns
    -------
    list of Path

    Raises
    ------
    ConfigError
        If one is missing.
    """
    try:
        return [Path(path) for path in find_files(config.prf.files, ("*prf*.fits*",), root)]
    except ConfigError as error:
        raise ConfigError(f"[prf] files: {error}") from error


@lru_cache(maxsize=1)
def _prf_files(paths: tuple[Path, ...]) -> list[PrfFile]:
    """Read the PRF files once a worker; a run has seen that they can be read."""
    return read_prf_files(paths)


def _mask_file(config: Config, root: Path) -> Path | None:
    mask = config.extract.mask
    return None if mask is None or mask == "pipeline" else root / mask


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


def _footprints(products: Sequence[Product]) -> list[tuple[Footprint, float, float]]:
    footprints = []
    for product in products:
        facts = footprint_facts(product)
        footprints.append((footprint_from(facts), facts["time_ra"], facts["time_dec"]))
    return footprints


def _partitions(products: Sequence[Product], folder: Path) -> Stars:
    return catalogs.read_partitions(folder, sorted({product.meta["cell"] for product in products}))


def _targets(product: Product, root: Path, patch: str) -> Targets | tuple[str, str, Targets]:
    """Read the targets of a detector, or of one patch of it together with which observation that is."""
    targets = _read_targets(root / product.path, product.content)
    if not patch:
        return targets
    start, stop = product.meta["patches"][patch]
    return product.data_id.segment, product.data_id.detector, targets.take(slice(start, stop))


@lru_cache(maxsize=1)
def _read_targets(path: Path, content: str) -> Targets:  # noqa: ARG001 - the same path may come to hold others
    """Read the targets of a detector once a worker, not once for each of its blocks and patches."""
    return target_table.read_targets(path)


@lru_cache(maxsize=1)
def _read_stars(path: Path, content: str) -> StarModel:  # noqa: ARG001 - the same path may come to hold others
    return star_models.read_star_model(path)


def _by_series(products: Sequence[Product], root: Path, patch: str) -> dict[str, list[FluxBlock]]:
    """Read the stars of one patch from flux blocks."""
    series: dict[str, list[FluxBlock]] = defaultdict(list)
    for product in _in_order(products):
        start, stop = product.meta["patches"][patch]
        series[product.data_id.series].append(blocks.read_block(root / product.path, slice(start, stop)))
    return series


def _fluxes(
    series: Mapping[str, list[FluxBlock]],
    first: int,
    footprints: Sequence[tuple[Footprint, float, float]],
    kernels: Sequence[Path],
    spacecraft: int,
    tracks: Mapping[str, Tracks],
    known: Ephemerides | None,
    zero_point: float,
) -> list[SeriesFluxes]:
    """Join flux blocks with where their pixels, the spacecraft and moving objects were; ``first`` is the patch's first row."""
    places = {footprint.series: (footprint, ra, dec) for footprint, ra, dec in footprints}
    fluxes = []
    for name, found in sorted(series.items()):
        footprint, ra, dec = places.get(name, (None, np.nan, np.nan))
        observer = _observer(found, ra, dec, kernels, spacecraft)
        geometry = None if footprint is None else footprint.geometry
        paths = [tracks[name]] if name in tracks else []
        if footprint is not None:
            paths += tracks_over(footprint, ra, dec, found, known, zero_point)
        fluxes.append(SeriesFluxes(found, found[0].rows - first, ra, dec, geometry, observer, paths))
    return fluxes


def _observer(
    found: Sequence[FluxBlock], ra: float, dec: float, kernels: Sequence[Path], spacecraft: int
) -> list[NDArray[np.float64]] | None:
    """Return where the spacecraft was in the frames of each block; None without a kernel or a known direction."""
    if not kernels or not np.isfinite(ra + dec):
        return None
    mids = [observer_time(block.moments.mid, ra, dec) for block in found]
    places = spacecraft_position(kernels, spacecraft, np.concatenate(mids))
    return np.split(places, np.cumsum([mid.size for mid in mids])[:-1])
