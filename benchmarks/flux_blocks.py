"""Flux blocks made up, with noise as a star and the sky of such a brightness have it, as extraction leaves them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cuvee.catalog.stars import healpix_index
from cuvee.model.flags import SATURATED
from cuvee.model.keys import BLOCK_CADENCES, DataId, block_of
from cuvee.model.records import FluxBlock, Moments, Targets
from cuvee.pipeline import PIPELINE
from cuvee.run.facts import footprint_product
from cuvee.run.outputs import put_output
from cuvee.run.stage import Product, Unit
from cuvee.run.streams import StreamLog
from cuvee.store.paths import Paths

RADII = (1.5, 2.5, 3.5)
SHARES = (0.77, 0.98, 1.0)
EXPOSURE, SKY, READ_VARIANCE = 1425.6, 90.0, 0.05
RA0, DEC0, FIELD = 130.0, -53.0, 12.0
GROUP = DataId("tess", "s0008", "3-4", "ffi")
BY_NAME = {stage.name: stage for stage in PIPELINE}


@dataclass(frozen=True, slots=True)
class Survey:
    """Flux blocks of one detector, as extraction leaves them."""

    paths: Paths
    n_star: int
    n_frame: int
    products: dict[str, list[Product]]

    @property
    def blocks(self) -> list[Path]:
        return [self.paths.root / product.path for product in self.products["fluxes"]]


def make_survey(root: Path, n_star: int, n_frame: int, field: float = FIELD) -> Survey:
    """Write targets and flux blocks of one detector, whose stars lie in a square of so many degrees."""
    paths, log = Paths(root), StreamLog()
    rng = np.random.default_rng(1)
    targets = make_targets(n_star, field, rng)
    (target,), _ = put_output(Unit(BY_NAME["targets"], GROUP, ()), targets, paths, log)
    facts = {
        "series": "ffi", "wcs": "", "epoch": 2019.1, "time_ra": RA0, "time_dec": DEC0,
        "geometry": {"n_row": 2048, "n_col": 2048, "row0": 0, "col0": 0, "detector_rows": 2048, "detector_cols": 2048},
    }  # fmt: skip
    series = DataId("tess", "s0008", "3-4", "ffi", "ffi")
    products = {"targets": [target], "footprint": [footprint_product(series, facts, (1,))], "fluxes": []}
    for first in range(0, n_frame, BLOCK_CADENCES):
        data_id = DataId("tess", "s0008", "3-4", "ffi", "ffi", block_of(first))
        block = make_block(targets, first, min(BLOCK_CADENCES, n_frame - first), rng)
        products["fluxes"] += put_output(Unit(BY_NAME["extract"], data_id, (target,)), block, paths, log)[0]
    return Survey(paths, n_star, n_frame, products)


def make_targets(n: int, field: float, rng: np.random.Generator) -> Targets:
    """Return stars of a square field, more faint ones than bright ones."""
    dec = DEC0 + field * (rng.random(n) - 0.5)
    ra = RA0 + field * (rng.random(n) - 0.5) / np.cos(np.radians(dec))
    healpix = healpix_index(ra, dec)
    order = np.argsort(healpix)
    col = 2047.0 * ((ra - RA0) * np.cos(np.radians(dec)) / field + 0.5)
    row = 2047.0 * ((dec - DEC0) / field + 0.5)
    mag = np.maximum(16.0 + np.log10(1.0 - rng.random(n)) / 0.3, 6.0)
    return Targets(
        healpix[order], rng.permutation(n)[order] + 93_000_000, ra[order], dec[order], mag[order], np.full(n, "ffi"),
        col[order], row[order], rng.uniform(0.5, 1.0, (n, 3)), np.zeros(n, np.int32), RADII,
    )  # fmt: skip


def make_block(targets: Targets, first: int, n_frame: int, rng: np.random.Generator) -> FluxBlock:
    """Return a block of fluxes with the noise of star, sky and reading, drifting centroids and a slow sky."""
    shape = (len(targets), n_frame)
    cadence = np.arange(first, first + n_frame)
    start = 1517.4 + cadence / 48.0
    phase = 2.0 * np.pi * cadence / 640.0
    light = 10.0 ** (0.4 * (20.44 - targets.mag))[:, None]
    sky = (SKY * (1.0 + 0.3 * np.sin(phase)) * (1.0 + 0.1 * (targets.col / 2048.0))[:, None]).astype(np.float32)
    planes: dict[str, Any] = {}
    for k, (radius, share) in enumerate(zip(RADII, SHARES, strict=True)):
        true = light * share * (1.0 + 1e-3 * np.sin(phase + k))
        area = np.pi * radius**2
        variance = true / EXPOSURE + area * (sky / EXPOSURE + READ_VARIANCE)
        flux = true + np.sqrt(variance) * rng.standard_normal(shape, np.float32)
        planes[f"aperture{k + 1}_flux"] = flux.astype(np.float32)
        error = np.sqrt(np.maximum(flux, 0.0) / EXPOSURE + area * (sky / EXPOSURE + READ_VARIANCE))
        planes[f"aperture{k + 1}_flux_err"] = error.astype(np.float32)
    planes["background"] = sky + 0.02 * rng.standard_normal(shape, np.float32)
    planes["background_err"] = 0.02 + 0.001 * rng.standard_normal(shape, np.float32)
    scatter = (planes["aperture2_flux_err"] / planes["aperture2_flux"]).clip(1e-4, 0.3)
    for name, centre in (("centroid_col", targets.col), ("centroid_row", targets.row)):
        drift = centre[:, None] + 0.05 * np.sin(phase)
        planes[name] = (drift + scatter * rng.standard_normal(shape, np.float32)).astype(np.float32)
    planes["flag"] = np.where(rng.random(shape, np.float32) < 0.01, SATURATED, 0).astype(np.int32)
    bits = rng.choice([0, 0, 0, 0, 0, 0, 32, 128], n_frame).astype(np.int32)
    moments = Moments(cadence, start, start + EXPOSURE / 86400.0, np.full(n_frame, 0.004), bits)
    names = tuple(f"frame{c}" for c in cadence)
    return FluxBlock(moments, names, planes, np.arange(len(targets)), {})
