"""A flux accounted for: pixels, weights, background and errors of one star in one frame, redone and held against what is stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import ConfigError, StoreError
from cuvee.extract.params import ExtractParams
from cuvee.extract.plan import even, gain_of
from cuvee.model.records import Geometry, PixelMasks, Readout, Reference
from cuvee.photometry.noise import output_of, pixel_variance
from cuvee.photometry.rounding import SHORTENED, round_to_noise
from cuvee.provenance.backgrounds import (
    MeshHere,
    annulus_background,
    faint_background,
    mean_image,
    measure_mesh,
    mesh_background,
)
from cuvee.provenance.raw import RawFrame
from cuvee.provenance.sums import EPS, Sum, circle, compare, weighted_sum
from cuvee.run.inputs import read_mask
from cuvee.store.atomic import content_hash
from cuvee.store.references import read_reference, readout_from

__all__ = ["Made", "account_of", "made_of", "mesh_of", "noise_terms", "pixel_rows", "rounding_of", "tolerance_of_level"]

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """What a flux was made with, beside the pixels.

    Parameters
    ----------
    params : ExtractParams
        Of the run that measured it.
    geometry : Geometry
        Where the pixels lie.
    readout : Readout
        Terms of the noise model.
    reference : Reference, optional
        The reference image, where one says which pixels are clean; its columns answer to light alike.
    background : str
        Where the background came from: ``mesh``, ``annulus``, ``faint_third``, or ``none`` was taken off.
    by_mission : bool
        Whether the mission had subtracted the background.
    masked : bool
        Whether a mask was summed and not circles.
    mask : bool array, optional
        That mask, where it is known.
    round_noise : float
        Steps per error to which the stored values were rounded; 0 where every bit was kept.
    troubles : tuple of str
        Sentences about what is missing.
    gain : float32 array, shape (n_col,), optional
        By what the pixels of each column were multiplied; None where they were not.
    """

    params: ExtractParams
    geometry: Geometry
    readout: Readout
    background: str
    by_mission: bool
    masked: bool
    reference: Reference | None = None
    mask: NDArray[np.bool_] | None = None
    round_noise: float = 0.0
    troubles: tuple[str, ...] = ()
    gain: NDArray[np.float32] | None = None


def made_of(root: Path, steps: Sequence[Mapping[str, Any]], file: Mapping[str, Any], raw: RawFrame | None) -> Made:
    """Gather what a flux was made with.

    Parameters
    ----------
    root : Path
        The workspace.
    steps : sequence of dict
        The chain of products behind the point.
    file : mapping
        The raw file's row in the ledger.
    raw : RawFrame or None
        The raw file, where it is still what it was.

    Raises
    ------
    StoreError
        If the chain lacks the flux block.
    """
    fluxes = next((step for step in steps if step["product"] == "fluxes"), None)
    if fluxes is None or "extract" not in fluxes["parameters"]:
        raise StoreError("The ledger does not know the flux block of this point; cuvee run makes it anew.")
    params = ExtractParams(**fluxes["parameters"]["extract"])
    known = file["info"]
    geometry = Geometry(**known["geometry"])
    readout = readout_from(known["readout"])
    stamp, masked = file["kind"] != "ffi", file["kind"] != "ffi" and params.mask is not None
    by_mission = bool(known["rest"]["background_subtracted"])
    background: str = params.background
    if masked or (stamp and by_mission):
        background = "none"
    elif stamp and min(geometry.n_row, geometry.n_col) < params.small_series:
        background = "faint_third"
    troubles: list[str] = []
    reference = mask = gain = None
    source = next((source for source in fluxes["inputs"] if source["input_kind"] == "reference"), None)
    if source is not None:
        path, content = root / _path_of(steps, source["input_id"]), source["content"]
        if path.is_file() and content_hash(path) == content:
            reference, gain = even(read_reference(path))
            geometry, readout = reference.geometry, reference.readout
        else:
            troubles.append(
                f"The reference image {path} is not the one that was used (content {content}), so neither the background nor the errors can "
                "be redone; cuvee run makes it anew."
            )
    if masked and params.mask != "pipeline":
        name = root / str(params.mask)
        try:
            if content_hash(name) != fluxes["parameters"].get("mask"):
                raise ConfigError(f"The mask {name} has changed since it was used, so its pixels are not known.")
            mask = read_mask(name)
        except (ConfigError, OSError) as error:
            troubles.append(str(error))
    elif masked and raw is not None:
        mask = raw.pixels.mask
    collected = [step["parameters"].get("collect", {}) for step in steps if step["product"] == "lightcurves"]
    rounding = float(collected[0].get("round_noise", 0.0)) if collected else 0.0
    if stamp and raw is not None and background in ("mesh", "annulus"):
        gain = gain_of(mean_image(raw.pixels.flux, raw.info.moments.quality).astype(np.float32))
    return Made(
        params, geometry, readout, background, by_mission, masked, reference, mask, rounding, tuple(troubles), gain
    )


def _path_of(steps: Sequence[Mapping[str, Any]], data_id: str) -> str:
    return next((str(s["path"]) for s in steps if s["product"] == "reference" and s["data_id"] == data_id), "")


def mesh_of(made: Made, raw: RawFrame | None, stars: NDArray[np.float64] | None = None) -> MeshHere | None:
    """Measure the mesh in a frame; None where no mesh was used, or where its pixels are not known.

    Parameters
    ----------
    made : Made
        From `made_of`.
    raw : RawFrame or None
        The frame.
    stars : float64 array, shape (n_row, n_col), optional
        Light of all stars, where PSF fluxes were measured (e-/s).
    """
    image = None if raw is None else _still_image(made, raw)
    if raw is None or image is None or made.background != "mesh":
        return None
    return measure_mesh(_finite(raw), image, made.geometry, made.params, stars)


def _still_image(made: Made, raw: RawFrame) -> NDArray[np.float32] | None:
    """Return the image that says which pixels are clean: of a stamp the mean of its own frames."""
    image = made.reference.image if made.reference is not None else None
    if raw.info.kind != "ffi":
        image = mean_image(raw.pixels.flux, raw.info.moments.quality).astype(np.float32)
        image = image if made.gain is None else image * made.gain
    return None if image is None else np.ascontiguousarray(image, np.float32)


def _finite(raw: RawFrame) -> NDArray[np.float32]:
    return np.where(np.isfinite(raw.flux), raw.flux, np.float32(np.nan))


def account_of(
    made: Made,
    raw: RawFrame | None,
    place: Facts | None,
    places: Sequence[tuple[float, float]],
    values: Mapping[str, Any],
    mesh: MeshHere | None,
    own: PixelMasks | None = None,
) -> Facts:
    """Redo a point's fluxes from the pixels.

    Parameters
    ----------
    made : Made
        From `made_of`.
    raw : RawFrame or None
        The frame; without it there are pixels and weights, but no values.
    place : dict or None
        From `cuvee.provenance.raw.find_pixels`.
    places : sequence of tuple of float
        Column and row of the star (px); then others for which the cells of the mesh are wanted.
    values : mapping
        The point's columns as stored.
    mesh : MeshHere or None
        From `mesh_of`.
    own : PixelMasks, optional
        The star's own mask, where one was summed beside the circles.

    Returns
    -------
    dict
        ``gain``, ``background``, ``readout``, ``apertures``, ``troubles``.
    """
    col, row = places[0]
    background, level_err = _background(made, raw, places, mesh)
    stored = float(values["background"])
    level_tolerance = 0.0
    if background["level"] is not None:
        tolerance = tolerance_of_level(background, made.round_noise)
        background |= compare(float(background["level"]), stored, tolerance)
        level_tolerance = tolerance if background["kind"] != "none" else 0.0
    level = math.nan if background["subtracted"] is None else float(background["subtracted"])
    readout = noise_terms(made, col)
    apertures = []
    for name, radius, cols, rows, weight in _sums(made, own, col, row):
        one: Facts = {"name": name, "radius": radius}
        one |= {"area": float(weight.sum()), "area2": float((weight**2).sum())}
        one["missing"] = 0.0 if radius is None else max(math.pi * radius**2 - one["area"], 0.0)
        flux, flux_err = float(values[f"{name}_flux"]), float(values[f"{name}_flux_err"])
        one |= {"stored_flux": flux, "stored_flux_err": flux_err}
        value = counts = np.full(weight.size, np.nan)
        if raw is None:
            one["implied_sum"] = flux + one["area"] * (stored if background["subtracted"] is None else level)
        else:
            value, counts = raw.flux[rows, cols], raw.counts[rows, cols]
            done = weighted_sum(value, counts, weight, level, level_err, made.readout.exposure, readout["variance"])
            one |= _one(done, level_err, flux, flux_err, level_tolerance, made)
            one["nan_pixels"] = int((~np.isfinite(value)).sum())
            one["saturated_pixels"] = int((counts >= made.readout.saturation).sum())
        one["pixels"] = pixel_rows(rows, cols, weight, value, counts, made.geometry, place, raw is not None)
        apertures.append(one)
    known = np.ones(0) if made.gain is None else made.gain
    return {
        "gain": [[int(k) + made.geometry.col0, float(known[k])] for k in np.flatnonzero(known != 1.0)],
        "background": background,
        "readout": readout,
        "apertures": apertures,
        "troubles": list(made.troubles),
    }


def _radii(made: Made) -> tuple[float | None, ...]:
    if not made.masked:
        return made.params.radii
    return () if made.mask is None else (None,)


def _sums(
    made: Made, own: PixelMasks | None, col: float, row: float
) -> Iterator[tuple[str, float | None, NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Yield every sum's name, radius, columns and rows of its pixels, from 0, and their weights."""
    for k, radius in enumerate(_radii(made)):
        yield f"aperture{k + 1}", radius, *_weights(made, radius, col, row)
    if own is not None and own.col.size:
        yield "mask", None, own.col - made.geometry.col0, own.row - made.geometry.row0, np.ones(own.col.size)


def _weights(
    made: Made, radius: float | None, col: float, row: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return columns and rows of an aperture's pixels, from 0, and their weights; without a radius those of the mask."""
    geometry = made.geometry
    if radius is not None:
        return circle(col - geometry.col0, row - geometry.row0, radius, (geometry.n_row, geometry.n_col))
    assert made.mask is not None
    rows, cols = np.nonzero(made.mask)
    return cols, rows, np.ones(rows.size)


def _background(
    made: Made, raw: RawFrame | None, places: Sequence[tuple[float, float]], mesh: MeshHere | None
) -> tuple[Facts, float]:
    """Return how the background comes about and what of it was subtracted, and its error."""
    facts: Facts = {
        "kind": made.background,
        "by_mission": made.by_mission,
        "level": None,
        "error": None,
        "subtracted": None,
    }
    if made.background == "none":
        facts["subtracted"] = 0.0
    if raw is None:
        return facts, math.nan
    col, row = places[0]
    geometry = made.geometry
    if made.background == "none":
        facts |= {"level": 0.0, "error": 0.0}
        radii = _radii(made)
        if raw.pixels.background is not None and radii:
            # The column `background` then says what the mission took off, in the mean over the largest aperture.
            cols, rows, weight = _weights(made, radii[-1], col, row)
            taken = np.asarray(raw.pixels.background[raw.frame], np.float64)[rows, cols]
            facts["level"] = float(taken @ weight / weight.sum()) if weight.size else math.nan
        return facts, 0.0
    if made.background == "faint_third":
        facts |= faint_background(raw.flux, mean_image(raw.pixels.flux, raw.info.moments.quality), geometry)
        facts["subtracted"] = facts["level"]
        return facts, float(facts["error"])
    if made.background == "mesh" and mesh is not None:
        facts |= mesh_background(mesh, places)
    elif made.background == "annulus" and (image := _still_image(made, raw)) is not None:
        facts |= annulus_background(_finite(raw), image, geometry, made.params, col, row)
    else:
        return facts, math.nan
    facts["subtracted"] = facts["level"]
    return facts, float(facts["error"])


def tolerance_of_level(background: Mapping[str, Any], round_noise: float) -> float:
    """How far the redone background may be from the stored one: what sixteen sums in single precision lose, and half a step of rounding."""
    return 8.0 * EPS * abs(float(background["level"])) + 0.5 * rounding_of(float(background["error"]), round_noise)


def rounding_of(error: float, round_noise: float) -> float:
    """Step to which a value of this error was rounded."""
    if not (round_noise > 0.0 and math.isfinite(error) and error > 0.0):
        return 0.0
    return float(np.ldexp(1.0, int(np.frexp(error / round_noise)[1]) - 1))


def _one(done: Sum, level_err: float, flux: float, flux_err: float, level_tolerance: float, made: Made) -> Facts:
    step = rounding_of(done.flux_err, made.round_noise)
    size = max(abs(done.total), abs(done.flux))
    tolerance = done.area * level_tolerance + 2.0 * EPS * size + 0.5 * step
    facts: Facts = {"sum": done.total, "light2": done.light2, "light2_guessed": done.guessed, "variance": done.variance}
    facts["background_err"] = level_err
    if step:
        rounded = round_to_noise(np.array([done.flux], np.float32), np.array([done.flux_err]), made.round_noise)
        facts |= {"rounding_step": step, "rounded_flux": float(rounded[0])}
    facts["flux"] = compare(done.flux, flux, tolerance)
    facts["flux_err"] = compare(done.flux_err, flux_err, (8.0 * EPS + SHORTENED) * abs(done.flux_err))
    return facts


def noise_terms(made: Made, col: float) -> Facts:
    """Return the terms of the noise model at a column."""
    readout = made.readout
    at = int(output_of(np.array([col]), readout)[0])
    return {
        **asdict(readout),
        "output": at,
        "gain_here": readout.gain[at],
        "read_noise_here": readout.read_noise[at],
        "variance": float(pixel_variance(readout)[at]),
        "from": "the reference frame in the middle of its set" if made.reference is not None else "the file's headers",
    }


def pixel_rows(rows: Any, cols: Any, weight: Any, value: Any, counts: Any, geometry: Geometry, place: Facts | None, known: bool) -> list[Facts]:  # fmt: skip
    """Return a table of pixels; ``rows`` and ``cols`` count from the first pixel of the image."""
    table = []
    for j, i, w, v, c in zip(rows, cols, weight, value, counts, strict=True):
        col, row = int(i) + geometry.col0, int(j) + geometry.row0
        one: Facts = {"col": col, "row": row, "weight": float(w)}
        if place is not None:
            one |= {"x": col + place["col_to_x"], "y": row + place["row_to_y"]}
        if known:
            one |= {"value": float(v), "product": float(w) * float(v)}
            if c != v and not (math.isnan(c) and math.isnan(v)):
                one["before_subtraction"] = float(c)
        table.append(one)
    return table
