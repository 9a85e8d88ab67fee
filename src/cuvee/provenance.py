"""Where a number came from: the chain from a flux back to pixels, parameters and versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cuvee.errors import ConfigError
from cuvee.instruments.registry import instrument
from cuvee.model.flags import FLAGS, describe
from cuvee.model.keys import BLOCK_CADENCES, DataId, patch_of
from cuvee.store.ledger import Ledger
from cuvee.survey import LightCurve, Survey

__all__ = ["explain_star", "format_explanation"]


def explain_star(survey: Survey, star: int, time: float | None = None) -> dict[str, Any]:
    """Gather everything that is behind a star's fluxes.

    Parameters
    ----------
    survey : Survey
        The workspace.
    star : int
        Catalogue id.
    time : float, optional
        Explain the point nearest this time (BTJD) too.

    Returns
    -------
    dict
        Ready for JSON: the star, each observation with its chain of products, and the point.

    Raises
    ------
    ConfigError
        If there is no such star, or no point near ``time``.
    """
    curve = survey.light_curve(star)
    facts: dict[str, Any] = {
        "id": curve.id,
        "ra": curve.ra,
        "dec": curve.dec,
        "mag": curve.mag,
        "workspace": str(survey.path),
        "observations": [],
    }
    with Ledger.open(survey.paths.ledger, read_only=True) as ledger:
        runs = {run["id"]: run for run in ledger.runs()}
        rows = {(row["segment"], row["detector"], row["series"]): row for row in ledger.light_curves(star)}
        points = None if time is None else _nearest(curve, time)
        for i, seen in enumerate(curve.observations):
            if points is not None and curve.observation[points] != i:
                continue
            row = rows.get((seen["segment"], seen["detector"], seen["series"]))
            here: dict[str, Any] = {name: _plain(value) for name, value in seen.items() if name != "lc"}
            if row is not None:
                here["light_curves"] = row["path"]
                group = DataId(row["instrument"], row["segment"], row["detector"], row["kind"])
                here["chain"] = _chain(ledger, runs, group, patch_of(int(row["healpix"])), row["series"])
            if points is not None:
                here["point"] = _point(ledger, curve, points, seen, here.get("chain", []))
            facts["observations"].append(here)
    return facts


def _nearest(curve: LightCurve, time: float) -> int:
    distance = np.abs(curve.time - time)
    if not np.isfinite(distance).any():
        raise ConfigError(f"No point of star {curve.id} has a time.")
    i = int(np.nanargmin(distance))
    if distance[i] > 0.5:
        raise ConfigError(
            f"Star {curve.id} has no point within half a day of BTJD {time:.5f}; its points run from "
            f"{np.nanmin(curve.time):.5f} to {np.nanmax(curve.time):.5f}."
        )
    return i


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _chain(
    ledger: Ledger, runs: dict[int, dict[str, Any]], group: DataId, patch: str, series: str
) -> list[dict[str, Any]]:
    """Return the products from the light curve back to the catalogue, each with what made it."""
    series_id = str(DataId(group.instrument, group.segment, group.detector, group.kind, series))
    wanted = [
        ("lightcurves", str(DataId(group.instrument, group.segment, group.detector, group.kind, part=patch))),
        ("targets", str(group)),
        ("reference", series_id),
    ]
    chain = []
    units = {(unit["stage"], unit["data_id"]): unit for unit in ledger.units()}
    products = {(p["kind"], p["data_id"]): p for p in ledger.products()}
    blocks = sorted(key for key in products if key[0] == "fluxes" and (key[1] + "/").startswith(series_id + "/"))
    for key in [wanted[0], *blocks, *wanted[1:]]:
        product = products.get(key)
        if product is None:
            continue
        unit = units[product["stage"], product["unit"]]
        run = runs.get(unit["run_id"], {})
        inputs = ledger.lineage(*key)
        chain.append(
            {
                "product": key[0],
                "data_id": key[1],
                "path": product["path"],
                "content": product["content"],
                "recipe": product["recipe"],
                "stage": product["stage"],
                "seconds": unit["seconds"],
                "run": unit["run_id"],
                "cuvee": run.get("version", ""),
                "started": run.get("started", ""),
                "parameters": _parameters(product["stage"], run.get("config", {})),
                "inputs": [{name: row[name] for name in ("input_kind", "input_id", "content")} for row in inputs],
            }
        )
    return chain


def _parameters(stage: str, config: dict[str, Any]) -> dict[str, Any]:
    from cuvee.pipeline import PIPELINE

    sections = next((known.params for known in PIPELINE if known.name == stage), ())
    return {section: config.get(section, {}) for section in sections}


def _point(ledger: Ledger, curve: LightCurve, i: int, seen: Any, chain: list[dict[str, Any]]) -> dict[str, Any]:
    values = {name: _plain(column[i]) for name, column in curve.points.items()}
    bits = instrument(curve.instrument).quality
    point: dict[str, Any] = {
        "values": values,
        "quality": describe(int(values["quality"]), bits),
        "flag": describe(int(values["flag"]), FLAGS),
    }
    cadence = int(values["cadence"])
    frames = list(ledger.rows("frames", segment=seen["segment"], detector=seen["detector"], cadence=cadence))
    files = ledger.files() if frames else {}
    if frames:
        point["frame"] = frames[0]["file"]
        point["content"] = files.get(frames[0]["file"], {}).get("content", "")
        point["block"] = f"b{cadence // BLOCK_CADENCES:06d}"
    else:
        stamps = list(ledger.rows("files", segment=seen["segment"], series=seen["series"]))
        if stamps:
            point["frame"] = stamps[0]["path"]
            point["content"] = stamps[0]["content"]
    for step in chain:
        if step["product"] == "fluxes" and step["data_id"].endswith(point.get("block", "\0")):
            point["made_by"] = step["recipe"]
    return point


def format_explanation(facts: dict[str, Any]) -> str:
    """Write an explanation as text for the terminal.

    Parameters
    ----------
    facts : dict
        From `explain_star`.

    Returns
    -------
    str
    """
    lines = [f"Star {facts['id']}, RA {facts['ra']:.6f} Dec {facts['dec']:.6f} deg, magnitude {facts['mag']:.3f}"]
    for seen in facts["observations"]:
        lines += [
            "",
            (
                f"{seen['segment']} {seen['detector']}, series {seen['series']}: column {seen['col']:.3f}, row {seen['row']:.3f}; "
                f"flux is {seen['best']}, {100 * seen['crowding']:.1f} % of its light is the star's"
            ),
        ]
        if "light_curves" in seen:
            lines.append(f"  light curve in {seen['light_curves']}")
        if "point" in seen:
            lines += _point_lines(seen["point"])
        for step in seen.get("chain", []):
            lines += _step_lines(step, seen.get("point"))
    return "\n".join(lines)


def _point_lines(point: dict[str, Any]) -> list[str]:
    values = point["values"]
    lines = [
        f"  point at BTJD {values['time']:.6f} (BJD_TDB {values['time'] + 2457000.0:.6f}), cadence {values['cadence']}",
        f"    flux {values['flux']:.3f} +- {values['flux_err']:.3f} e-/s, background {values['background']:.3f} e-/s/pixel",
    ]
    lines += [
        f"    {name} {values[name]:.3f} +- {values[name + '_err']:.3f} e-/s"
        for name in values
        if name.startswith("aperture") and name.endswith("_flux")
    ]
    if "frame" in point:
        lines.append(f"    from {Path(point['frame']).name}, content {point['content'] or 'unknown'}")
    lines += [f"    quality: {words}" for words in point["quality"] or ["0, nothing to report"]]
    lines += [f"    flag: {words}" for words in point["flag"] or ["0, nothing to report"]]
    return lines


def _step_lines(step: dict[str, Any], point: dict[str, Any] | None) -> list[str]:
    if (
        step["product"] == "fluxes"
        and point is not None
        and point.get("block")
        and step["recipe"] != point.get("made_by")
    ):
        return []
    kinds: dict[str, int] = {}
    for source in step["inputs"]:
        kinds[source["input_kind"]] = kinds.get(source["input_kind"], 0) + 1
    sources = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    lines = [
        f"  {step['product']} {step['data_id']}",
        f"    {step['path']}, content {step['content']}",
        (
            f"    made by {step['stage']} of cuvee {step['cuvee']} in run {step['run']} ({step['started']}) from {sources}; "
            f"recipe {step['recipe']}"
        ),
    ]
    for section, values in step["parameters"].items():
        text = ", ".join(f"{name} = {value}" for name, value in values.items())
        lines.append(f"    [{section}] {text}")
    return lines
