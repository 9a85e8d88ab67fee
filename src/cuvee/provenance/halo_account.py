"""A halo flux accounted for: which pixels, their weights, the sum in this frame, and what gives it its level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee import background
from cuvee.errors import AlgorithmError, StoreError
from cuvee.extract.halo import REACH, halo_levels, halo_pixels, halo_stars, weigh_halo
from cuvee.model.records import FluxBlock, Neighbours
from cuvee.photometry.halo import MIN_LIGHT, Halo
from cuvee.photometry.rounding import SHORTENED, round_to_noise
from cuvee.provenance.account import Made, rounding_of
from cuvee.provenance.backgrounds import mean_image
from cuvee.provenance.chain import intact_products
from cuvee.provenance.raw import RawFrame
from cuvee.provenance.stamp_account import is_small
from cuvee.provenance.sums import EPS, compare
from cuvee.store.blocks import read_block
from cuvee.store.numbers import read_columns
from cuvee.store.targets import read_targets

__all__ = ["halo_of"]

Facts = dict[str, Any]
FloatArray = NDArray[np.float64]


def halo_of(
    root: Path, steps: Sequence[Mapping[str, Any]], made: Made, star_id: int, raw: RawFrame | None, place: Facts | None,
    under: Mapping[str, Any], values: Mapping[str, Any],
) -> tuple[Facts | None, list[str]]:  # fmt: skip
    """Redo a point's halo flux: the weights are sought again in all frames, the sum of this one is done by hand.

    Parameters
    ----------
    root : Path
        The workspace.
    steps : sequence of dict
        The chain of products behind the point.
    made : Made
        From `cuvee.provenance.account.made_of`.
    star_id : int
        Catalogue id of the star.
    raw : RawFrame or None
        The stamp and the frame in it.
    place : dict or None
        From `cuvee.provenance.raw.find_pixels`.
    under : mapping
        The point's background, redone.
    values : mapping
        The point's columns as stored.

    Returns
    -------
    dict or None
        As `cuvee.provenance.explain_star` says; None where it cannot be redone.
    list of str
        Sentences about what is missing.
    """
    facts: Facts = {
        "stored_flux": float(values["halo_flux"]), "stored_flux_err": float(values["halo_flux_err"]), "why_not": None, "pixels": [],
    }  # fmt: skip
    if not is_small(made):
        return facts | {
            "why_not": "Halos are weighed in small stamps only: a block of full frames holds too little of the series."
        }, []
    if raw is None:
        return None, []  # that the file is gone has been said
    products, changed = intact_products(root, steps, ("neighbours", "targets", "fluxes"))
    if changed is not None:
        return None, [
            f"{changed} is not what the halo flux was made with, so it cannot be redone; cuvee run makes it anew."
        ]
    try:
        near = Neighbours(**read_columns(products["neighbours"])).of(raw.info.series)
        table, block = read_targets(products["targets"]), read_block(products["fluxes"])
    except StoreError as problem:
        return None, [f"The halo flux cannot be redone: {problem}"]
    ids, mag = table.id[block.rows], table.mag[block.rows]
    image = mean_image(raw.pixels.flux, raw.info.moments.quality)
    star = int(np.flatnonzero(ids == star_id)[0])
    if star not in halo_stars(image, raw.info, near, ids, mag, made.params.halo_limit):
        words = f"The star is not the brightest within {REACH:g} px of a saturated pixel of the mean image"
        if made.params.halo_limit is not None:
            words += f", nor of magnitude {made.params.halo_limit:g} or brighter"
        return facts | {"why_not": f"{words}."}, []
    level = level_err = np.zeros(raw.info.moments.cadence.size)
    if made.background == "faint_third":
        level, level_err = background.faint_third(raw.pixels.flux, image)
    cube, error = halo_pixels(raw.pixels, level, level_err, raw.info, near, star_id)
    try:
        found = weigh_halo(cube, error, raw.info)
    except AlgorithmError as reason:
        return facts | {"why_not": reason.message}, []
    return facts | _sum(found, cube, error, block, star, raw, made, place, under, values), []


def _sum(
    found: Halo, cube: FloatArray, error: FloatArray, block: FluxBlock, star: int, raw: RawFrame, made: Made, place: Facts | None,
    under: Mapping[str, Any], values: Mapping[str, Any],
) -> Facts:  # fmt: skip
    """Add the frame's pixels up, and hold the flux against the stored one."""
    t = raw.frame
    part = int(found.part[t])
    facts: Facts = {"n_part": len(found.weights), "part": part + 1, "n_full": int(found.saturated.sum())}
    if part < 0:
        return facts | {"why_not": "The frame has no time."}
    good = raw.info.moments.quality == 0
    members = good & (found.part == part) & np.isfinite(cube).any(axis=(1, 2))
    weights = found.weights[part]
    own = np.argwhere(weights > 0.0)
    geometry, subtracted = made.geometry, float(under["subtracted"])
    pixels, light, whole, variance = [], 0.0, 0.0, 0.0
    for i, j in own.tolist():
        seen = cube[members, i, j]
        mean = float(np.mean(seen[np.isfinite(seen)]))
        weight, value = float(weights[i, j]), float(raw.flux[i, j])
        whole += weight * mean
        one: Facts = {"col": geometry.col0 + j, "row": geometry.row0 + i}
        if place is not None:
            one |= {"x": one["col"] + place["col_to_x"], "y": one["row"] + place["row_to_y"]}
        if math.isfinite(value):
            light += weight * mean
            variance += (weight * float(error[t, i, j])) ** 2
        product = weight * (value - subtracted) if math.isfinite(value) else math.nan
        pixels.append(one | {"value": value, "weight": weight, "mean": mean, "product": product})
    total = math.fsum(one["product"] for one in pixels if math.isfinite(one["product"]))
    # The level of the halo: its median over the good frames is that of a flux that holds a known share of the star.
    names = halo_levels(block)
    fluxes = {name: np.asarray(block.planes[f"{name}_flux"][star], np.float64) for name in names}
    name = next((name for name in names if np.isfinite(fluxes[name]).any()), names[-1])
    wanted, plain = (_median(one, good) for one in (fluxes[name], found.flux))
    scale = wanted / plain * float(found.level[part])
    facts |= {
        "pixels": pixels, "sum": total, "light": light, "whole": whole, "background": subtracted, "like": name, "level_like": wanted,
        "level": scale, "n_good": int(members.sum()), "before": float(found.before[part]), "after": float(found.after[part]),
    }  # fmt: skip
    if not scale > 0.0:
        return facts | {"why_not": f"Nothing gives it a level: the median of {name} is {wanted:.1f} e-/s."}
    if light < MIN_LIGHT * whole:
        facts["why_not"] = (
            f"Pixels with {100 * (1 - light / whole):.0f} % of the weighted light are not numbers in this frame."
        )
        flux = flux_err = math.nan
    else:
        flux, flux_err = scale * total / light, scale * math.sqrt(variance) / light
    step = rounding_of(flux_err, made.round_noise)
    if step:
        facts["rounding_step"] = step
        facts["rounded_flux"] = float(
            round_to_noise(np.array([flux], np.float32), np.array([flux_err]), made.round_noise)[0]
        )
    facts["flux"] = compare(flux, float(values["halo_flux"]), 8.0 * EPS * abs(flux) + 0.5 * step)
    facts["flux_err"] = compare(flux_err, float(values["halo_flux_err"]), (8.0 * EPS + SHORTENED) * abs(flux_err))
    return facts


def _median(flux: FloatArray, good: NDArray[np.bool_]) -> float:
    kept = flux[good & np.isfinite(flux)]
    return float(np.median(kept)) if kept.size else math.nan
