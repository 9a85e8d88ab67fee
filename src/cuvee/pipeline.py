"""The floor plan: every stage, one record each, in the order of the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cuvee import steps
from cuvee.instruments.registry import instrument
from cuvee.run.stage import Product, Stage

__all__ = ["PIPELINE"]

_DETECTOR = ("instrument", "segment", "detector", "kind")


def _meets_footprint(footprints: Sequence[Product]) -> Callable[[Product], bool]:
    cells = frozenset().union(*(product.meta["cells"] for product in footprints))
    return lambda product: product.kind != "partition" or product.meta["cell"] in cells


def _meets_stamps(stamps: Sequence[Product]) -> Callable[[Product], bool]:
    cells = frozenset().union(*(stamp.meta["facts"].cells for stamp in stamps))
    return lambda product: product.kind != "partition" or product.meta["cell"] in cells


def _counts_photons(config: Any) -> bool:
    return instrument(config.workspace.instrument).photons is not None


def _psf_of_frames(config: Any) -> bool:
    return bool(config.extract.psf_of_frames)


def _psf_of_stamps(config: Any) -> bool:
    return bool(config.extract.psf_of_stamps)


def _neighbours_wanted(config: Any) -> bool:
    return bool(config.extract.k2p2 or config.extract.halo)


PIPELINE: tuple[Stage, ...] = (
    Stage(
        name="catalog",
        version=1,
        per=("instrument", "table"),
        reads=("table",),
        writes=("partition",),
        params=(),
        run=steps.import_table,
    ),
    Stage(
        name="reference",
        version=1,
        per=(*_DETECTOR, "series"),
        reads=("member", "footprint"),
        writes=("reference",),
        params=("reference",),
        run=steps.build_reference,
    ),
    Stage(
        name="targets",
        version=1,
        per=_DETECTOR,
        reads=("footprint", "partition"),
        writes=("targets",),
        params=("targets", "extract"),
        run=steps.choose_targets,
        where=_meets_footprint,
    ),
    Stage(
        name="neighbours",
        version=1,
        per=_DETECTOR,
        reads=("footprint", "partition"),
        writes=("neighbours",),
        params=("targets",),
        run=steps.find_neighbours,
        where=_meets_footprint,
        wanted=_neighbours_wanted,
    ),
    Stage(
        name="prf",
        version=2,
        per=(*_DETECTOR, "series"),
        reads=("member", "footprint", "reference", "partition"),
        writes=("stars",),
        params=("prf", "targets"),
        run=steps.learn_prf,
        where=_meets_footprint,
        wanted=_psf_of_frames,
    ),
    Stage(
        name="extract",
        version=3,
        per=(*_DETECTOR, "series", "block"),
        reads=("frame", "reference", "targets", "stars", "neighbours"),
        writes=("fluxes", "candidates"),
        params=("extract",),
        run=steps.extract_block,
        optional=("stars", "neighbours"),
    ),
    Stage(
        name="tracks",
        version=1,
        per=_DETECTOR,
        reads=("candidates",),
        writes=("tracks",),
        params=(),
        run=steps.link_tracks,
    ),
    Stage(
        name="prf-series",
        version=2,
        per=_DETECTOR,
        reads=("stamp", "footprint", "partition"),
        writes=("stars",),
        params=("prf", "targets", "extract"),
        run=steps.place_stamp_stars,
        where=_meets_stamps,
        wanted=_psf_of_stamps,
    ),
    Stage(
        name="extract-series",
        version=2,
        per=(*_DETECTOR, "series"),
        reads=("stamp", "targets", "stars", "neighbours"),
        writes=("fluxes", "reference"),
        params=("extract", "reference"),
        run=steps.extract_stamp,
        optional=("stars", "neighbours"),
    ),
    Stage(
        name="collect",
        version=4,
        per=(*_DETECTOR, "patch"),
        reads=("targets", "fluxes", "footprint", "tracks"),
        writes=("lightcurves", "metrics"),
        params=("collect", "time", "moving"),
        run=steps.collect_patch,
        optional=("tracks",),
        along={"footprint": "fluxes"},
    ),
    Stage(
        name="summary",
        version=1,
        per=_DETECTOR,
        reads=("metrics",),
        writes=("summary",),
        params=(),
        run=steps.join_summary,
    ),
    Stage(
        name="bin",
        version=4,
        per=(*_DETECTOR, "series"),
        reads=("events", "spectrum"),
        writes=("lightcurves", "exposures"),
        params=("events",),
        run=steps.bin_photons,
        optional=("spectrum",),
        wanted=_counts_photons,
    ),
    Stage(
        name="composite",
        version=4,
        per=("instrument", "composite"),
        reads=("events", "spectrum"),
        writes=("composites",),
        params=("events",),
        run=steps.compose_exposures,
        optional=("spectrum",),
        wanted=_counts_photons,
    ),
    Stage(
        name="publish",
        version=1,
        per=("instrument",),
        reads=("lightcurves", "composites"),
        writes=("catalog",),
        params=(),
        run=steps.publish,
        optional=("composites",),
    ),
)
