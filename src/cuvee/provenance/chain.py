"""Follow the ledger's lineage from a star's light curve back to raw files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cuvee.errors import ConfigError
from cuvee.instruments.registry import instrument
from cuvee.model.flags import FLAGS, Bit, describe
from cuvee.model.keys import DataId, block_of, patch_of
from cuvee.pipeline import PIPELINE
from cuvee.run.params import params_of
from cuvee.store.catalogs import PARTITION_ORDER
from cuvee.store.ledger import Ledger
from cuvee.survey import LightCurve, Survey

__all__ = ["explain_star"]

_FAR = 0.5
"""A time further than this from every point of a star (d) is a slip of the user's."""

_BEHIND = {"lightcurves": ("fluxes", "targets"), "fluxes": ("reference",), "targets": ("partition",)}
"""Which inputs of a product are products themselves, made by a stage before."""


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
        Ready for JSON: the star; each observation with how many of its points carry which bit, and with its chain of
        products (path, content, the stage that made it with version, parameters and all inputs); and the point.

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
        rows = {(row["segment"], row["detector"], row["series"]): row for row in ledger.light_curves(star)}
        chosen = None if time is None else _nearest(curve, time)
        for i, seen in enumerate(curve.observations):
            if chosen is not None and curve.observation[chosen] != i:
                continue
            here: dict[str, Any] = {name: _plain(value) for name, value in seen.items() if name != "lc"}
            here |= _points_of(curve, i)
            row = rows.get((seen["segment"], seen["detector"], seen["series"]))
            point = None if chosen is None else _point(ledger, curve, chosen, seen)
            if row is not None:
                here["light_curves"] = row["path"]
                here["chain"] = _Chain(ledger, row, "" if point is None else point.get("block", "")).steps
            if point is not None:
                here["point"] = point
            facts["observations"].append(here)
    return facts


def _nearest(curve: LightCurve, time: float) -> int:
    distance = np.abs(curve.time - time)
    if not np.isfinite(distance).any():
        raise ConfigError(f"No point of star {curve.id} has a time.")
    i = int(np.nanargmin(distance))
    if distance[i] > _FAR:
        raise ConfigError(
            f"Star {curve.id} has no point within half a day of BTJD {time:.5f}; its points run from "
            f"{np.nanmin(curve.time):.5f} to {np.nanmax(curve.time):.5f}."
        )
    return i


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _points_of(curve: LightCurve, i: int) -> dict[str, Any]:
    """Count the points of an observation, and say in words how many carry which bit."""
    mine = curve.observation == i

    def tally(values: Any, bits: tuple[Bit, ...]) -> list[dict[str, Any]]:
        union = int(np.bitwise_or.reduce(values)) if values.size else 0
        single = [1 << k for k in range(union.bit_length()) if union >> k & 1]
        return [{"points": int(np.count_nonzero(values & bit)), "meaning": describe(bit, bits)[0]} for bit in single]

    return {
        "points": int(mine.sum()),
        "good": int(curve.good[mine].sum()),
        "quality": tally(curve.quality[mine], instrument(curve.instrument).quality),
        "flag": tally(curve.flag[mine], FLAGS),
    }


class _Chain:
    """The products from a light curve back to the catalogue, each with what made it.

    Parameters
    ----------
    ledger : Ledger
        Knows them.
    row : dict
        The star's row in ``light_curves``.
    block : str
        Only this block of frames; empty for all.
    """

    def __init__(self, ledger: Ledger, row: dict[str, Any], block: str) -> None:
        self._ledger = ledger
        self._series = DataId(row["instrument"], row["segment"], row["detector"], row["kind"], row["series"])
        self._healpix = int(row["healpix"])
        self._block = block
        self._runs: dict[int, dict[str, Any]] = {}
        self._seen: set[tuple[str, str]] = set()
        self.steps: list[dict[str, Any]] = []
        self._add("lightcurves", str(replace(self._series.group, part=patch_of(self._healpix))))

    def _add(self, kind: str, data_id: str) -> None:
        if (kind, data_id) in self._seen:
            return
        self._seen.add((kind, data_id))
        products = self._ledger.rows("products", kind=kind, data_id=data_id)
        if not products:
            return
        product = products[0]
        unit = self._ledger.rows("units", stage=product["stage"], data_id=product["unit"])[0]
        inputs = [
            {name: row[name] for name in ("input_kind", "input_id", "content")}
            for row in self._ledger.lineage(kind, data_id)
        ]
        run = self._run(unit["run_id"])
        stage = next((stage for stage in PIPELINE if stage.name == product["stage"]), None)
        self.steps.append(
            {
                "product": kind,
                "data_id": data_id,
                "path": product["path"],
                "content": product["content"],
                "recipe": product["recipe"],
                "stage": product["stage"],
                "version": None if stage is None else stage.version,
                "seconds": unit["seconds"],
                "run": unit["run_id"],
                "cuvee": run.get("version", ""),
                "started": run.get("started", ""),
                "parameters": {} if stage is None else params_of(stage, run.get("config", {})),
                "inputs": inputs,
            }
        )
        for behind in _BEHIND.get(kind, ()):
            for source in inputs:
                if source["input_kind"] == behind and self._concerns(behind, source["input_id"]):
                    self._add(behind, source["input_id"])

    def _concerns(self, kind: str, data_id: str) -> bool:
        other = DataId.parse(data_id)
        if kind == "fluxes":
            return other.series == self._series.series and self._block in ("", other.part)
        if kind == "partition":  # the others hold neighbours only
            return other.part.rpartition("@")[2] == str(self._healpix >> 2 * (29 - PARTITION_ORDER))
        return kind != "reference" or other.series == self._series.series

    def _run(self, number: int) -> dict[str, Any]:
        if number not in self._runs:
            rows = self._ledger.rows("runs", id=number)
            self._runs[number] = rows[0] if rows else {}
        return self._runs[number]


def _point(ledger: Ledger, curve: LightCurve, i: int, seen: Any) -> dict[str, Any]:
    values = {name: _plain(column[i]) for name, column in curve.points.items()}
    point: dict[str, Any] = {
        "values": values,
        "quality": describe(int(values["quality"]), instrument(curve.instrument).quality),
        "flag": describe(int(values["flag"]), FLAGS),
    }
    cadence = int(values["cadence"])
    for frame in ledger.rows("frames", segment=seen["segment"], detector=seen["detector"], cadence=cadence):
        for file in ledger.rows("files", path=frame["file"]):
            if file["series"] == seen["series"] and file["state"] != "bad":
                return {**point, "frame": file["path"], "content": file["content"], "block": block_of(cadence)}
    for file in ledger.rows("files", segment=seen["segment"], detector=seen["detector"], series=seen["series"]):
        return {**point, "frame": file["path"], "content": file["content"]}
    return point
