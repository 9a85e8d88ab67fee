"""What each stage does, in memory: the thin joints between the pipeline's table and the rooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cuvee import prf, reference
from cuvee.catalog import catalog_neighbours, catalog_scene, select_targets
from cuvee.collect import collect
from cuvee.errors import AlgorithmError, BadData, NoWork
from cuvee.extract import extract, extract_series
from cuvee.metrics import summarise
from cuvee.model.flags import FLAGS, default_mask
from cuvee.model.instrument import Instrument
from cuvee.model.psf import StarModel
from cuvee.model.records import FluxBlock, LightCurves, Neighbours, Reference, Targets

if TYPE_CHECKING:
    from cuvee.config import Config

__all__ = [
    "build_reference",
    "choose_targets",
    "collect_patch",
    "extract_block",
    "extract_stamp",
    "find_neighbours",
    "import_table",
    "join_summary",
    "learn_prf",
    "publish",
]

Inputs = Mapping[str, Any]


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
    try:
        learned = prf.learn(frames, still.geometry, still.readout, col, row, flux, config.prf)
    except AlgorithmError as error:
        raise NoWork(f"{error.message} There are apertures, but no PSF fluxes.") from error
    variance = learned.variance / np.float32(len(frames))
    light = np.maximum(still.image - np.float32(np.nanmedian(still.image)), np.float32(0.0))
    new = prf.find_stars(learned.prf, learned.residual, variance, light, still.geometry)
    known = (learned.col, learned.row, learned.flux)
    numbers = {
        **learned.numbers,
        "n_found": new[0].size,
        "width_mismatch": learned.mismatch.width,
        "width_error": learned.mismatch.width_error,
        "chi2_brightest": float(learned.mismatch.chi2[0]) if learned.mismatch.chi2.size else float("nan"),
    }
    col, row, flux = (np.concatenate(pair) for pair in zip(known, new, strict=True))
    everyone = np.concatenate([ids, np.zeros(new[0].size, np.int64)])
    return StarModel(still.series, learned.prf, everyone, col, row, flux, numbers)


def extract_block(inputs: Inputs, config: Config, device: Instrument) -> FluxBlock:  # noqa: ARG001
    """Measure all stars of a series in one block of frames."""
    stream = inputs["frame"]
    moments, names = stream.axis()
    model = inputs.get("stars") if config.extract.psf else None
    still = inputs["reference"]
    near = inputs["neighbours"].of(still.series) if config.extract.k2p2 else None
    block = extract(iter(stream), moments, names, inputs["targets"], still, config.extract, model, near)
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
    block = extract_series(pixels, info, inputs["targets"], config.extract, mask, near)
    image = reference.build_from_series(info, pixels.flux, config.reference)
    return block, image


def collect_patch(inputs: Inputs, config: Config, device: Instrument) -> tuple[LightCurves, dict[str, Any]]:
    """Put the light curves of a patch together, and judge them."""
    segment, detector, targets = inputs["targets"]
    mask = default_mask(device.quality)
    curves = collect(inputs["fluxes"], targets, segment, detector, config.collect, mask, device.fwhm)
    return curves, summarise(curves, mask, default_mask(FLAGS))


def join_summary(inputs: Inputs, config: Config, device: Instrument) -> dict[str, Any]:  # noqa: ARG001
    """Join the patches' numbers to one table a detector."""
    tables = inputs["metrics"]
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def publish(inputs: Inputs, config: Config, device: Instrument) -> str:  # noqa: ARG001
    """Name the instrument whose light-curve catalogue is to be described."""
    return device.name
