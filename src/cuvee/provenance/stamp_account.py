"""A PSF flux of a small stamp accounted for: its mean image, its stars, the frame's solution, and what each pixel adds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import StoreError
from cuvee.extract.psf import SPOILT
from cuvee.extract.psf_series import FAR, SEEN
from cuvee.extract.psf_stars import TOO_NEAR, apart
from cuvee.model.psf import StarModel
from cuvee.model.records import FluxBlock
from cuvee.photometry.rounding import SHORTENED, round_to_noise
from cuvee.provenance.account import Made, rounding_of
from cuvee.provenance.chain import psf_products
from cuvee.provenance.raw import RawFrame
from cuvee.provenance.stamp_sums import FrameSolution, StampScene, solve_frame, stamp_scene
from cuvee.provenance.sums import EPS, compare

__all__ = ["is_small", "stamp_psf_of"]

Facts = dict[str, Any]


def is_small(made: Made) -> bool:
    """Tell whether a series is a stamp that is measured whole, not as full frames are."""
    least = min(made.geometry.n_row, made.geometry.n_col)
    return made.reference is None and (made.masked or made.by_mission or least < made.params.small_series)


def stamp_psf_of(
    root: Path, steps: Sequence[Mapping[str, Any]], made: Made, star_id: int, raw: RawFrame | None, place: Facts | None,
    values: Mapping[str, Any],
) -> tuple[Facts | None, list[str]]:  # fmt: skip
    """Redo a point's PSF flux from all frames of its stamp.

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
    values : mapping
        The point's columns as stored.

    Returns
    -------
    dict or None
        As `cuvee.provenance.explain_star` says; None where it cannot be redone.
    list of str
        Sentences about what is missing.
    """
    if raw is None:
        return None, []  # that the file is gone has been said
    try:
        model, table, block = psf_products(root, steps)
    except StoreError as error:
        return None, [error.message]
    facts: Facts = {
        "stamp": True, "stored_flux": float(values["psf_flux"]), "stored_flux_err": float(values["psf_flux_err"]),
        "why_not": None, "pixels": [], "fit": dict(model.numbers),
    }  # fmt: skip
    moved = block.meta["shift"][raw.frame]
    if moved is None:
        return facts | {"why_not": "No pixel of this frame is a number."}, []
    return facts | _redone(model, block, table.id[block.rows], star_id, raw, made, place, values, moved), []


def _redone(
    model: StarModel, block: FluxBlock, ids: NDArray[np.int64], star_id: int, raw: RawFrame, made: Made, place: Facts | None,
    values: Mapping[str, Any], moved: Sequence[float],
) -> Facts:  # fmt: skip
    kept = apart(model)
    at = np.flatnonzero(kept.id == star_id)
    if at.size == 0:
        return {"why_not": _no_star(model, star_id)}
    shift: list[Any] = block.meta["shift"]
    alike = np.array([one == moved for one in shift])
    measured = np.array([one is not None for one in shift])
    there = replace(kept, col=kept.col + moved[0], row=kept.row + moved[1])
    scene = _scene(there, alike, ids, raw, made)
    star = int(at[0])
    facts: Facts = {
        "col": float(there.col[star]), "row": float(there.row[star]), "reference_flux": float(kept.flux[star]),
        "n_frame": int(alike.sum()), "n_measured": int(measured.sum()), "why_not": None,
    }  # fmt: skip
    if star not in scene.solved:
        return facts | {"why_not": "The star lies beyond the pixels."}
    k = int(np.flatnonzero(scene.solved == star)[0])
    frame = np.where(np.isfinite(raw.flux), raw.flux, np.nan).astype(np.float64).ravel()
    done = solve_frame(scene, frame)
    if done is None:
        return facts | {"why_not": "The frame has fewer pixels than unknowns."}
    # The fluxes of all frames lie on the scale of the model: what its stars are in the mean of all of them less that is taken off.
    every = scene if alike.sum() == measured.sum() else _scene(kept, measured, ids, raw, made)
    base = float(scene.flux[star] + kept.flux[star] - every.flux[star])
    facts |= {
        "flux_in_mean": base,
        "pointing": {"shift": (done.pointing + moved).tolist(), "mean": list(moved), "stored": _pair(block.meta["pointing"][raw.frame])},
        "level": {"may_change": scene.level, "change": done.brighter},
        "stars": _stars(there, scene, done, every.flux, kept.flux),
        "missing": float(done.missing[k]),
        "variance": {"frame": float(done.variance[0, k]), "level": float(done.variance[1, k])},
        "chi2": float(done.chi2[k]),
    }  # fmt: skip
    facts["pixels"] = _pixels(scene, done, k, frame, made, place)
    facts["sum"] = float(sum(one["product"] for one in facts["pixels"]))
    lit = scene.drawn[0][:, k]
    if lit[scene.weight > 0.0].sum() < SEEN * lit.sum():
        facts["why_not"] = (
            f"Less than {100 * SEEN:.0f} % of its light lies on pixels that take part: the others are full of charge, or beside such."
        )
    elif np.abs(done.pointing).max() > FAR:
        facts["why_not"] = (
            f"The frame lies {np.abs(done.pointing).max():.2f} px off the mean; beyond {FAR:g} px no flux is given."
        )
    elif done.missing[k] > SPOILT:
        facts["why_not"] = (
            f"Pixels with {100 * done.missing[k]:.1f} % of its weights are not numbers; beyond {100 * SPOILT:.0f} % no flux is given."
        )
    return facts | _compared(facts, scene, done, k, frame, made, values)


def _scene(
    model: StarModel, frames: NDArray[np.bool_], ids: NDArray[np.int64], raw: RawFrame, made: Made
) -> StampScene:
    pixels = raw.pixels
    cube = np.asarray(pixels.flux[np.flatnonzero(frames)], np.float32)
    behind = None
    if pixels.background is not None:
        whole = np.asarray(pixels.background, np.float32).astype(np.float64)
        finite = np.isfinite(whole)
        number = finite.sum(axis=0)
        behind = np.where(number > 0, np.where(finite, whole, 0.0).sum(axis=0) / np.maximum(number, 1), np.nan).astype(
            np.float32
        )
    quality = raw.info.moments.quality[frames]
    targets = np.isin(model.id, ids)
    return stamp_scene(model, cube, quality, targets, made.geometry, made.readout, behind, not made.by_mission)


def _no_star(model: StarModel, star_id: int) -> str:
    found = np.flatnonzero(model.id == star_id)
    if found.size == 0:
        return "The star is none of those that were fitted to the stamp."
    star = int(found[0])
    near = np.flatnonzero(np.hypot(model.col - model.col[star], model.row - model.row[star]) <= TOO_NEAR)
    other = int(model.id[near[np.argmax(model.flux[near])]])
    return f"The brighter star {other or 'that no catalogue has'} is nearer than {TOO_NEAR:g} px; no pixels tell the two apart."


def _pair(stored: Any) -> list[float] | None:
    return None if stored is None else [float(one[0]) for one in stored]


def _stars(
    model: StarModel, scene: StampScene, done: FrameSolution, every: NDArray[np.float64], flux: NDArray[np.float64]
) -> list[Facts]:
    """List all stars, the brightest first; those that are not solved for are as bright as in the mean."""
    place = {int(star): j for j, star in enumerate(scene.solved)}
    table = []
    for star in np.argsort(-scene.flux, kind="stable").tolist():
        j = place.get(star)
        mean = float(scene.flux[star] + flux[star] - every[star])
        change, error = (0.0, math.nan) if j is None else (float(done.change[j]), float(done.error[j]))
        one = {"id": int(model.id[star]), "col": float(model.col[star]), "row": float(model.row[star])}
        table.append({**one, "mean": mean, "flux": mean + change, "error": error, "solved": j is not None})
    return table


def _pixels(
    scene: StampScene, done: FrameSolution, k: int, frame: NDArray[np.float64], made: Made, place: Facts | None
) -> list[Facts]:
    """List every pixel that adds to the flux."""
    table = []
    for p in np.flatnonzero(done.gain[k]).tolist():
        col, row = made.geometry.col0 + p % made.geometry.n_col, made.geometry.row0 + p // made.geometry.n_col
        one: Facts = {"col": col, "row": row}
        if place is not None:
            one |= {"x": col + place["col_to_x"], "y": row + place["row_to_y"]}
        gain, curved = float(done.gain[k, p]), float(done.curved[p])
        product = gain * (float(frame[p]) - float(scene.image[p]) - curved)
        table.append(
            one | {
                "value": float(frame[p]), "mean": float(scene.image[p]), "curved": curved, "prf": float(scene.drawn[0, p, k]),
                "gain": gain, "product": product,
            }
        )  # fmt: skip
    return table


def _compared(
    facts: Facts, scene: StampScene, done: FrameSolution, k: int, frame: NDArray[np.float64], made: Made, values: Mapping[str, Any]
) -> Facts:  # fmt: skip
    """Hold flux, error and chi2 against the stored ones."""
    given = facts["why_not"] is None
    flux = facts["flux_in_mean"] + facts["sum"] if given else math.nan
    error = float(done.error[k]) if given else math.nan
    step = rounding_of(error, made.round_noise)
    used = done.gain[k] != 0.0
    size = float(np.abs(done.gain[k][used]) @ (np.abs(frame[used]) + np.abs(scene.image[used])))
    tolerance = {
        "turns": float(done.last[k]),
        "arithmetic": 8.0 * EPS * (size + abs(facts["flux_in_mean"])),
        "rounding": 0.5 * step,
    }
    hit = [
        {"col": made.geometry.col0 + p % made.geometry.n_col, "row": made.geometry.row0 + p // made.geometry.n_col}
        for p in done.hit.tolist()
    ]
    out: Facts = {
        "tolerance": tolerance,
        "cosmic_ray": hit,
        "flux": compare(flux, float(values["psf_flux"]), sum(tolerance.values())),
    }
    if step and given:
        out |= {"rounding_step": step}
        out["rounded_flux"] = float(
            round_to_noise(np.array([flux], np.float32), np.array([error]), made.round_noise)[0]
        )
    out["flux_err"] = compare(error, float(values["psf_flux_err"]), (1e-5 + SHORTENED) * error)
    out["chi2_compared"] = compare(
        facts["chi2"] if given else math.nan,
        float(values["psf_chi2"]),
        1e-4 * max(facts["chi2"], 1.0) + SHORTENED * facts["chi2"],
    )
    return out
