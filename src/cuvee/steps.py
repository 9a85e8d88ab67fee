"""What each stage does, in memory: the thin joints between the pipeline's table and the rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cuvee import prf, reference
from cuvee.catalog import catalog_neighbours, catalog_scene, select_targets
from cuvee.collect import collect
from cuvee.errors import AlgorithmError, BadData, NoWork
from cuvee.events.composite import Composite, compose
from cuvee.events.exposure import PhotonCurve, bin_exposure
from cuvee.extract import even, extract, extract_series, stamp_images, without_psf_fluxes
from cuvee.metrics import good_points, summarise
from cuvee.model.flags import FLAGS, default_mask
from cuvee.model.instrument import Instrument
from cuvee.model.moving import Candidates, Tracks
from cuvee.model.photons import Exposure
from cuvee.model.prf import Prf
from cuvee.model.psf import ModelImage, StarModel
from cuvee.model.records import FileInfo, FluxBlock, LightCurves, Neighbours, Pixels, Reference, Targets
from cuvee.moving import find_tracks
from cuvee.photometry.dead import dead_pixels
from cuvee.photometry.diagnostics import diagnose
from cuvee.photometry.noise import variance_at

if TYPE_CHECKING:
    from cuvee.config import Config

__all__ = [
    "bin_photons",
    "build_reference",
    "choose_targets",
    "collect_patch",
    "compose_exposures",
    "extract_block",
    "extract_stamp",
    "find_neighbours",
    "import_table",
    "join_summary",
    "learn_prf",
    "link_tracks",
    "place_stamp_stars",
    "publish",
]

Inputs = Mapping[str, Any]

MISFIT = 0.02
"""What the mission's PRF lacks, as a share of the light in the brightest pixel nearby."""


def import_table(inputs: Inputs, config: Config, device: Instrument) -> Any:  # noqa: ARG001
    """Take a catalogue table in: its stars, which are written as partitions."""
    return inputs["table"]


def build_reference(inputs: Inputs, config: Config, device: Instrument) -> Reference:  # noqa: ARG001
    """Make the reference image of a series from its reference set."""
    middle, members = inputs["member"]
    infos = [info for info, _ in members]
    times = np.array([float(info.moments.mid[0]) for info in infos])
    return reference.build(
        middle, [flux for _, flux in members], [info.name for info in infos], config.reference, times
    )


def choose_targets(inputs: Inputs, config: Config, device: Instrument) -> Targets:
    """Choose the stars of a detector and say how crowded they are."""
    return select_targets(
        [footprint for footprint, _, _ in inputs["footprint"]],
        inputs["partition"],
        config.targets,
        fwhm=device.fwhm,
        zero_point=device.zero_point,
        radii=config.extract.radii,
    )


def find_neighbours(inputs: Inputs, config: Config, device: Instrument) -> Neighbours:
    """Place the catalogue stars of every series of a detector, for the methods that look at a star among its neighbours."""
    footprints = [footprint for footprint, _, _ in inputs["footprint"]]
    return catalog_neighbours(footprints, inputs["partition"], config.targets, device.zero_point)


def learn_prf(inputs: Inputs, config: Config, device: Instrument) -> StarModel:
    """Learn the PRF of a series from its reference set, and where its stars are and how bright, those too that no catalogue has."""
    _, members = inputs["member"]
    still = inputs["reference"]
    ids, col, row, flux = catalog_scene(
        inputs["footprint"][0][0], inputs["partition"], config.targets, device.zero_point
    )
    frames = [pixels for _, pixels in members]
    known = _mission_prf(inputs, members[0][0].detector)
    return _learned(frames, still, (ids, col, row, flux), config, known)


def _learned(
    frames: Sequence[NDArray[Any]], still: Reference, stars: tuple[NDArray[Any], ...], config: Config, known: Prf | None
) -> StarModel:
    """Learn from frames of one geometry; with a PRF that is known only the stars are."""
    ids, col, row, flux = stars
    read = np.sqrt(variance_at(still.geometry.col0 + np.arange(still.geometry.n_col, dtype=np.float64), still.readout))
    dead = dead_pixels(still.image, read)
    still, gain = even(still)
    params = config.prf if known is None else config.prf.model_copy(update={"half": known.half})
    try:
        learned = prf.learn(frames, still.geometry, still.readout, col, row, flux, params, dead, known, gain)
    except AlgorithmError as error:
        raise NoWork(f"{error.message} There are apertures, but no PSF fluxes.") from error
    variance = learned.variance / np.float32(len(frames))
    light = np.maximum(still.image - np.float32(np.nanmedian(still.image)), np.float32(0.0))
    new = prf.find_stars(learned.prf, learned.residual, variance, light, still.geometry)
    old = (learned.col, learned.row, learned.flux)
    numbers = {
        **learned.numbers,
        **({} if known is None else {"mission": 1.0, "order": known.order}),
        "n_found": new[0].size,
        "width_mismatch": learned.mismatch.width,
        "width_error": learned.mismatch.width_error,
        "chi2_brightest": float(learned.mismatch.chi2[0]) if learned.mismatch.chi2.size else float("nan"),
    }
    col, row, flux = (np.concatenate(pair) for pair in zip(old, new, strict=True))
    everyone = np.concatenate([ids, np.zeros(new[0].size, np.int64)])
    return StarModel(still.series, learned.prf, everyone, col, row, flux, numbers)


def place_stamp_stars(inputs: Inputs, config: Config, device: Instrument) -> list[StarModel]:
    """Find out about the stars of a detector's stamps: their PRF, from the mission's files or from all stamps together, and their places."""
    footprints = {footprint.series: footprint for footprint, _, _ in inputs["footprint"]}
    small: list[tuple[FileInfo, NDArray[np.int64], prf.StampImage, NDArray[np.int64]]] = []
    models, detector = [], ""
    known: Prf | None = None
    for pixels, info, _ in inputs["stamp"]:
        if not detector:
            detector, known = info.detector, _mission_prf(inputs, info.detector)
        if info.series not in footprints:
            continue
        ids, *stars = catalog_scene(footprints[info.series], inputs["partition"], config.targets, device.zero_point)
        if min(info.geometry.n_row, info.geometry.n_col) >= config.extract.small_series:
            with suppress(NoWork):
                models.append(_large_stamp(pixels, info, (ids, *stars), config, known))
            continue
        images, variance, n_frame = stamp_images(pixels, info)
        if np.isfinite(variance).any():
            small.append((info, ids, prf.StampImage(images, variance, info.geometry, *stars), n_frame))
    numbers = {"mission": 1.0} if known is not None else {"n_stamp": float(len(small))}
    if known is None and small:
        try:
            known, shape = prf.fit_shape(
                [one for _, _, one, _ in small],
                device.fwhm,
                config.prf.half,
                config.prf.position_error,
                device.pointing_error,
            )
        except AlgorithmError as error:
            raise NoWork(f"{error.message} There are apertures, but no PSF fluxes.") from error
        numbers |= dict(zip(("width_col", "width_row", "wing", "spread"), shape, strict=True))
    for info, ids, one, n_frame in small:
        assert known is not None
        models.append(_stamp_model(info, ids, one, n_frame, known, config, device, numbers))
    if not models:
        raise NoWork(
            f"No stamp of {detector} has stars that a PRF could be fitted to. There are apertures, but no PSF fluxes."
        )
    return models


def _stamp_model(
    info: FileInfo, ids: NDArray[np.int64], one: prf.StampImage, n_frame: NDArray[np.int64], known: Prf, config: Config,
    device: Instrument, numbers: Mapping[str, float],
) -> StarModel:  # fmt: skip
    misfit = MISFIT if "mission" in numbers else prf.SHAPE_MISFIT
    settled = prf.settle_stamp(known, *one, config.prf.position_error, device.pointing_error, misfit)
    n_found = settled.col.size - ids.size
    everyone = np.concatenate([ids, np.zeros(n_found, np.int64)])
    # The places are those in the image in the middle.
    middle = n_frame.size // 2
    shown = ModelImage(
        one.image[middle], settled.light[middle], np.sqrt(one.variance[middle]), float(settled.level[middle]),
        info.geometry.col0, info.geometry.row0, int(n_frame[middle]),
    )  # fmt: skip
    return StarModel(
        info.series, known, everyone, settled.col, settled.row, settled.flux,
        {**numbers, "n_found": float(n_found), "order": float(known.order)}, shown,
    )  # fmt: skip


def _large_stamp(
    pixels: Pixels, info: FileInfo, stars: tuple[NDArray[Any], ...], config: Config, known: Prf | None
) -> StarModel:
    """Learn from frames of a big cutout as from full frames."""
    still = reference.build_from_series(info, pixels.flux, config.reference)
    chosen = [int(name.rpartition("#")[2]) for name in still.members]
    chosen = [chosen[k] for k in np.unique(np.linspace(0, len(chosen) - 1, 32).astype(np.int64))]
    return _learned([pixels.flux[k] for k in chosen], still, stars, config, known)


def _mission_prf(inputs: Inputs, detector: str) -> Prf | None:
    """Return the PRF of the mission's files for a detector of TESS ("3-4"); None where no files are given."""
    files = inputs.get("prf_files")
    if files is None:
        return None
    camera, ccd = (int(part) for part in detector.split("-"))
    own = [(cards, image) for cards, image in files if (int(cards["CAM"]), int(cards["CCD"])) == (camera, ccd)]
    if not own:
        others = ", ".join(sorted({f"{int(cards['CAM'])}-{int(cards['CCD'])}" for cards, _ in files}))
        raise NoWork(
            f"[prf] files names PRF files of {others}, but none of {detector}: add those of this detector, or leave all of them "
            "out to learn from the data. There are apertures, but no PSF fluxes."
        )
    return prf.mission_prf(own, camera, ccd)[0]


def extract_block(inputs: Inputs, config: Config, device: Instrument) -> FluxBlock:
    """Measure all stars of a series in one block of frames."""
    stream = inputs["frame"]
    moments, names = stream.axis()
    model = inputs.get("stars") if config.extract.psf_of_frames else None
    still = inputs["reference"]
    near = inputs["neighbours"].of(still.series) if config.extract.k2p2 else None
    bad = default_mask(device.quality)
    block = extract(iter(stream), moments, names, inputs["targets"], still, config.extract, model, near, bad)
    if config.extract.psf_of_frames and model is None:
        block = without_psf_fluxes(block)
    # Only now is it known which frames could be read.
    moments, names = stream.axis()
    if not any(names):
        raise BadData("none of its frames can be used; they are listed one by one.", "no-frame")
    return replace(block, moments=moments, names=names)


def extract_stamp(
    inputs: Inputs,
    config: Config,
    device: Instrument,  # noqa: ARG001
) -> tuple[FluxBlock, Reference]:
    """Measure the stars of a stamp in all its frames, and keep its mean image for looking at."""
    pixels, info, mask = inputs["stamp"]
    wanted = config.extract.k2p2 or config.extract.halo
    near = inputs["neighbours"].of(info.series) if wanted else None
    model = inputs.get("stars") if config.extract.psf_of_stamps else None
    block = extract_series(pixels, info, inputs["targets"], config.extract, mask, near, model)
    image = reference.build_from_series(info, pixels.flux, config.reference)
    return block, image


def link_tracks(inputs: Inputs, config: Config, device: Instrument) -> dict[str, Tracks]:  # noqa: ARG001
    """Link what may be moving objects in all blocks of a detector to paths, series by series."""
    found: dict[str, list[Candidates]] = {}
    for series, candidates in inputs["candidates"]:
        found.setdefault(series, []).append(candidates)
    names = Candidates.__slots__
    return {
        series: find_tracks(Candidates(*(np.concatenate([getattr(one, name) for one in every]) for name in names)))
        for series, every in sorted(found.items())
    }


def collect_patch(inputs: Inputs, config: Config, device: Instrument) -> tuple[LightCurves, dict[str, Any]]:
    """Put the light curves of a patch together, and judge them."""
    segment, detector, targets = inputs["targets"]
    mask = default_mask(device.quality)
    curves = collect(inputs["fluxes"], targets, segment, detector, config.collect, mask, device.fwhm)
    good = good_points(curves, mask, default_mask(FLAGS))
    summary = summarise(curves, good)
    return curves, {**summary, **diagnose(curves, good, summary["flux_err"])}


def join_summary(inputs: Inputs, config: Config, device: Instrument) -> dict[str, Any]:  # noqa: ARG001
    """Join the patches' numbers to one table a detector."""
    tables = inputs["metrics"]
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def publish(inputs: Inputs, config: Config, device: Instrument) -> str:  # noqa: ARG001
    """Name the instrument whose light-curve catalogue is to be described."""
    return device.name


def bin_photons(inputs: Inputs, config: Config, device: Instrument) -> PhotonCurve:
    """Bin the photons of an exposure."""
    assert device.photons is not None
    lists, parts = inputs["events"]
    curve = bin_exposure(lists, config.events, device.photons.bits, device.photons.n_row, parts)
    return replace(curve, exposure=_renamed(curve.exposure, config))


def compose_exposures(inputs: Inputs, config: Config, device: Instrument) -> Composite:
    """Bin the photons of all exposures of a target in one configuration together."""
    assert device.photons is not None
    if len(inputs["events"]) < 2:
        raise NoWork("A composite needs two exposures.")
    found = compose(inputs["events"], config.events, device.photons.bits, device.photons.n_row)
    members = (replace(one, exposure=_renamed(one.exposure, config)) for one in found.members)
    return replace(found, members=tuple(members))


def _renamed(exposure: Exposure, config: Config) -> Exposure:
    """Return the exposure under the name that the table of names gives its target."""
    return replace(exposure, target=config.events.called.get(exposure.target, exposure.target))
