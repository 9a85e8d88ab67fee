"""A PSF flux accounted for: what it was made with, the star's row in the frame, and why there is none where there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import StoreError
from cuvee.extract.psf import SPOILT
from cuvee.extract.psf_stars import TOO_NEAR
from cuvee.model.flags import COSMIC_RAY
from cuvee.model.psf import StarModel
from cuvee.photometry.psf_solve import (
    DISTURBED,
    FAR,
    GOOD,
    MOST_ROUNDS,
    POINTING_FIRST,
    SETTLED,
    SETTLED_POINTING,
    UNSETTLED,
)
from cuvee.photometry.rounding import SHORTENED, round_to_noise
from cuvee.provenance.account import Made, pixel_rows, rounding_of, tolerance_of_level
from cuvee.provenance.backgrounds import MeshHere, measure_mesh
from cuvee.provenance.chain import psf_products
from cuvee.provenance.psf_rows import Rows
from cuvee.provenance.psf_scene import Scene, scene_of
from cuvee.provenance.psf_sums import Frame, Solved, cosmic_rays, solve_star
from cuvee.provenance.raw import RawFrame
from cuvee.provenance.stamp_account import is_small
from cuvee.provenance.sums import EPS, compare

__all__ = ["Fitted", "fitted_of", "psf_of"]

Facts = dict[str, Any]

KEPT_POINTING = 0.5e-7
"""Half a step of the pointing as it is kept (px)."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the PSF fluxes of a frame were made with.

    Parameters
    ----------
    scene : Scene
        All stars.
    kept : float64 array, shape (n_star,)
        Their fluxes in the frame as the solution had them; NaN for those that are not kept (e-/s).
    pointing : float64 array, shape (2, n_basis)
        Displacement of the frame (px).
    unfit : float
        Share of the targets whose pixels do not fit.
    """

    scene: Scene
    kept: NDArray[np.float64]
    pointing: NDArray[np.float64]
    unfit: float

    def places(self, star_id: int) -> list[tuple[float, float]]:
        """Return where the model has a star: nowhere, or at a column and a row (px)."""
        star = self.scene.star(star_id)
        return [] if star is None else [(float(self.scene.model.col[star]), float(self.scene.model.row[star]))]


def fitted_of(
    root: Path, steps: Sequence[Mapping[str, Any]], made: Made, cadence: int
) -> tuple[Fitted | None, list[str]]:
    """Gather what a PSF flux was made with.

    Parameters
    ----------
    root : Path
        The workspace.
    steps : sequence of dict
        The chain of products behind the point.
    made : Made
        From `cuvee.provenance.account.made_of`.
    cadence : int
        Cadence number of the frame.

    Returns
    -------
    Fitted or None
        None where no PSF fluxes were measured, or what they were made with is no longer there.
    list of str
        Sentences about what is missing.
    """
    fluxes = next(step for step in steps if step["product"] == "fluxes")
    stamp = any(source["input_kind"] == "stamp" for source in fluxes["inputs"])
    if not any(source["input_kind"] == "stars" for source in fluxes["inputs"]):
        wanted = made.params.psf_of_stamps if stamp else made.params.psf_of_frames
        return None, [
            "No PRF could be learned from the frames (cuvee status says why), so there is no PSF flux."
        ] * wanted
    if is_small(made):
        return None, []  # `cuvee.provenance.stamp_account` does that
    if stamp:
        return None, ["The PSF flux of a large cutout, which is measured like full frames, is not redone here."]
    if made.reference is None:
        return None, ["Without the reference image the PSF flux cannot be redone."]
    try:
        model, table, block = psf_products(root, steps)
    except StoreError as error:
        return None, [error.message]
    at = int(np.flatnonzero(block.moments.cadence == cadence)[0])
    pointing = block.meta["pointing"][at]
    if pointing is None:
        return None, ["The flux block has no frame here, so there is no PSF flux."]
    ids = table.id[block.rows]
    flux = np.where(block.planes["flag"][:, at] & COSMIC_RAY, np.nan, block.planes["psf_flux"][:, at])
    chi2 = block.planes["psf_chi2"][:, at]
    unfit = int((chi2 > GOOD).sum()) / max(int(np.isfinite(chi2).sum()), 1)
    col, row = block.meta["shift"][at]
    scene = scene_of(model, ids, made.reference, (col, row))
    off = np.array(pointing, float)
    if off.shape[1]:
        off[:, 0] -= col, row
    return Fitted(scene, _by_star(model, ids, flux), off, unfit), []


def _by_star(model: StarModel, ids: NDArray[np.int64], flux: NDArray[Any]) -> NDArray[np.float64]:
    order = np.argsort(ids, kind="stable")
    place = order[np.clip(np.searchsorted(ids, model.id, sorter=order), 0, ids.size - 1)]
    return np.where(ids[place] == model.id, flux[place].astype(np.float64), np.nan)


def psf_of(
    made: Made, fitted: Fitted, star_id: int, raw: RawFrame | None, mesh: MeshHere | None, place: Facts | None, variance: float,
    values: Mapping[str, Any],
) -> Facts:  # fmt: skip
    """Redo a point's PSF flux from the pixels.

    Parameters
    ----------
    made, fitted
        From `cuvee.provenance.account.made_of` and `fitted_of`.
    star_id : int
        Catalogue id of the star.
    raw : RawFrame or None
        The frame; without it there are pixels and weights, but no values.
    mesh : MeshHere or None
        The background of the frame.
    place : dict or None
        From `cuvee.provenance.raw.find_pixels`.
    variance : float
        What reading adds to the variance of a pixel ((e-/s)^2).
    values : mapping
        The point's columns as stored.

    Returns
    -------
    dict
        As `cuvee.provenance.explain_star` says.
    """
    scene = fitted.scene
    facts: Facts = {
        "stored_flux": float(values["psf_flux"]), "stored_flux_err": float(values["psf_flux_err"]), "why_not": None, "pixels": [],
        "read_variance": variance,
    }  # fmt: skip
    star = scene.star(star_id)
    if star is None or not scene.solved[star]:
        return facts | {"why_not": _no_place(scene, star)}
    model, geometry = scene.model, made.geometry
    col, row = float(model.col[star]), float(model.row[star])
    rows = Rows(scene)
    facts |= {"col": col, "row": row, "reference_flux": float(model.flux[star])}
    if not rows.row(star).norm > 0.0:
        return facts | {"why_not": "All its pixels are nearly full of charge in the reference image, or unknown there."}

    def level(k: int) -> float:
        return math.nan if mesh is None else float(mesh.at(float(model.col[k]), float(model.row[k]))["level"])

    image = None if raw is None or mesh is None else np.where(np.isfinite(raw.flux), raw.flux, np.nan).astype(float)
    solved = solve_star(rows, star, Frame(image, fitted.kept, fitted.pointing, level))
    table = pixel_rows(
        solved.row.rows, solved.row.cols, solved.row.weight / solved.row.norm, solved.value, solved.value, geometry, place, image is not None
    )  # fmt: skip
    for one, others, own, mended in zip(table, solved.others, solved.own, solved.mended, strict=True):
        one |= {"others": float(others), "prf": float(own)}
        if image is not None:
            one |= {"product": one["weight"] * (one["value"] - float(others)), "mended": bool(mended)}
    facts |= {
        "pixels": table,
        "full_pixels": solved.row.n_full,
        "pointing": {
            "coefficients": fitted.pointing.tolist(), "basis": solved.basis.tolist(), "shift": [solved.x, solved.y]
        },
        "neighbours": _neighbours(scene, solved),
        "weight": float(sum(one["weight"] for one in table)),
        "norm": float(sum(one["weight"] * one["prf"] for one in table)),
    }  # fmt: skip
    if image is None or mesh is None:
        return facts
    here = mesh.at(col, row)
    facts |= {"background": here, "sum": float(sum(one["product"] for one in table))}
    weight = np.abs(solved.row.weight)
    facts["missing"] = float(weight[solved.mended].sum() / weight.sum())
    if not math.isfinite(here["level"]):
        facts["why_not"] = "There is no background."
    elif (away := float(np.abs(fitted.pointing).sum(axis=1).max())) > FAR:
        facts["why_not"] = f"The frame lies up to {away:.2f} px off the reference; beyond {FAR:g} px no flux is given."
    elif facts["missing"] > SPOILT:
        facts["why_not"] = (
            f"Pixels with {100 * facts['missing']:.1f} % of its weights are not numbers; beyond {100 * SPOILT:.0f} % no flux is given."
        )
    still = measure_mesh(scene.reference.image, scene.reference.image, geometry, made.params, scene.light).at(col, row)
    facts |= _error(rows, star, solved, here, float(np.nan_to_num(still["level"])), made)
    facts |= _flux(rows, solved, facts, fitted, made, values)
    return facts


def _no_place(scene: Scene, star: int | None) -> str:
    """Say why a star has no row."""
    if star is None:
        return "The star is none of those that the PRF was learned with."
    beside = scene.brighter_beside(star)
    if beside is not None:
        name = beside or "that no catalogue has"
        return f"The brighter star {name} is nearer than {TOO_NEAR:g} px; no pixels tell the two apart."
    return "The star lies beyond the pixels."


def _neighbours(scene: Scene, solved: Solved) -> list[Facts]:
    """List the other stars in the row, by the light that they put into it."""
    row, model = solved.row, scene.model
    light = np.tensordot(
        [1.0, solved.x, solved.y, 0.5 * solved.x**2, solved.x * solved.y, 0.5 * solved.y**2], row.values, 1
    )
    taken = solved.flux * (light @ row.weight) / float(row.weight @ solved.own)
    return [
        {
            "id": int(model.id[row.near[n]]), "col": float(model.col[row.near[n]]), "row": float(model.row[row.near[n]]),
            "flux": float(solved.flux[n]), "reference_flux": float(model.flux[row.near[n]]), "from": solved.source[n], "light": float(taken[n]),
        }
        for n in np.argsort(-np.abs(taken), kind="stable") if row.near[n] != row.star
    ]  # fmt: skip


def _error(rows: Rows, star: int, solved: Solved, here: Facts, still: float, made: Made) -> Facts:
    """Redo the error: that in the reference image, what a brighter sky adds, and the background's own error."""
    found = rows.variance(star)
    exposure = made.readout.exposure
    brighter = found.squares * (here["level"] - still) / exposure
    background = (found.lean * here["error"]) ** 2
    total = max(found.reference + brighter, 0.2 * found.reference) + background
    return {
        "variance": {
            "alone": found.alone, "reference": found.reference, "sky": brighter, "background": background,
            "squares": found.squares, "lean": found.lean, "still_level": still,
        },
        "group": [int(rows.scene.model.id[k]) for k in found.group],
        "flux_err_redone": math.sqrt(total) if math.isfinite(solved.level) else math.nan,
    }  # fmt: skip


def _flux(rows: Rows, solved: Solved, facts: Facts, fitted: Fitted, made: Made, values: Mapping[str, Any]) -> Facts:
    """Hold flux and error against the stored ones."""
    given = facts["why_not"] is None
    flux = (facts["sum"] - facts["background"]["level"] * facts["weight"]) / facts["norm"]
    error = facts["flux_err_redone"] if given else math.nan
    step = rounding_of(error, made.round_noise)
    weight = np.abs(solved.row.weight) / solved.row.norm / facts["norm"]
    size = weight @ (np.abs(solved.value) + np.abs(solved.others) + abs(flux) * np.abs(solved.own) + abs(solved.level))
    lever = float(np.abs(solved.basis).sum()) * sum(abs(slope) for slope in solved.slope)
    tolerance = {
        "settled": SETTLED * math.sqrt(facts["variance"]["reference"]),
        "pointing": (SETTLED_POINTING + KEPT_POINTING) * lever,
        "background": abs(facts["weight"] / facts["norm"]) * tolerance_of_level(facts["background"], 0.0),
        "arithmetic": 8.0 * EPS * float(size),
        "rounding": 0.5 * step,
    }
    rays = cosmic_rays(rows, solved, facts["variance"]["still_level"], made.readout.exposure, sum(tolerance.values()))
    # Whether the frame was disturbed, all its stars tell together; of this one, the flag does.
    taken = rays.added if int(values["flag"]) & COSMIC_RAY else 0.0
    out: Facts = {"solution": flux, "cosmic_ray": None, "tolerance": tolerance}
    out["settled"] = {
        "change": SETTLED,
        "except": UNSETTLED,
        "pointing": SETTLED_POINTING,
        "rounds": POINTING_FIRST + MOST_ROUNDS,
    }
    out["slope"] = list(solved.slope)
    out["chi2"] = rays.chi2
    out["chi2_compared"] = compare(
        rays.chi2 if given else math.nan, float(values["psf_chi2"]), rays.slack + SHORTENED * rays.chi2
    )
    if rays.hit:
        pixels = [
            {"col": facts["pixels"][k]["col"], "row": facts["pixels"][k]["row"], "excess": excess}
            for k, excess in zip(rays.hit, rays.excess, strict=True)
        ]
        out["cosmic_ray"] = {"pixels": pixels, "chi2_before": rays.chi2_before, "added": rays.added, "taken": taken}
        out["cosmic_ray"] |= {"unfit": fitted.unfit, "disturbed": DISTURBED}
    # Where stars can hardly be told apart, rounding of their matrix is blown up as the variance is.
    inflated = facts["variance"]["reference"] / facts["variance"]["alone"]
    final = flux - taken if given else math.nan
    if step:
        rounded = round_to_noise(np.array([final], np.float32), np.array([error]), made.round_noise)
        out |= {"rounding_step": step, "rounded_flux": float(rounded[0])}
    out["flux"] = compare(final, facts["stored_flux"], sum(tolerance.values()))
    out["flux_err"] = compare(error, facts["stored_flux_err"], (8.0 * EPS * inflated + SHORTENED) * error)
    return out
