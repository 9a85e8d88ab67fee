"""One point of a light curve: its frame, and everything that its flux, its error and its time were computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cuvee.errors import BadData, ConfigError, StoreError
from cuvee.instruments.registry import instrument
from cuvee.model.flags import FLAGS, describe
from cuvee.model.keys import DataId, block_of
from cuvee.provenance.account import Made, account_of, made_of, mesh_of
from cuvee.provenance.halo_account import halo_of
from cuvee.provenance.mask_account import own_mask_of
from cuvee.provenance.moment import choice_of, time_of
from cuvee.provenance.psf_account import fitted_of, psf_of
from cuvee.provenance.raw import find_pixels, read_raw
from cuvee.provenance.stamp_account import is_small, stamp_psf_of
from cuvee.store.atomic import content_hash
from cuvee.store.ledger import Ledger
from cuvee.store.targets import read_targets
from cuvee.survey import LightCurve, Survey

__all__ = ["explain_point", "file_of"]

Facts = dict[str, Any]


def file_of(ledger: Ledger, series: DataId, cadence: int) -> tuple[dict[str, Any], str] | None:
    """Find the raw file of a point.

    Parameters
    ----------
    ledger : Ledger
        Knows the files.
    series : DataId
        The point's series.
    cadence : int
        Its cadence number.

    Returns
    -------
    tuple of (dict, str), or None
        The file's row in the ledger, and the block of frames that it belongs to (empty for a stamp); None where the ledger knows it no longer.
    """
    here = {"segment": series.segment, "detector": series.detector, "kind": series.kind}
    if series.kind == "ffi":
        names = [row["file"] for row in ledger.rows("frames", cadence=cadence, **here)]
        rows = [row for name in names for row in ledger.rows("files", path=name)]
    else:
        rows = ledger.rows("files", series=series.series, **here)
    rows = [row for row in rows if row["series"] == series.series]
    rows.sort(key=lambda row: row["state"] == "bad")
    return (rows[0], block_of(cadence) if series.kind == "ffi" else "") if rows else None


def explain_point(
    survey: Survey, curve: LightCurve, i: int, steps: Sequence[Mapping[str, Any]], file: Mapping[str, Any] | None, block: str
) -> Facts:  # fmt: skip
    """Account for one point.

    Parameters
    ----------
    survey : Survey
        The workspace.
    curve : LightCurve
        The star.
    i : int
        Which of its points.
    steps : sequence of dict
        The chain of products behind it.
    file : mapping or None
        Its raw file's row in the ledger.
    block : str
        Its block of frames.

    Returns
    -------
    dict
        ``values`` as stored; ``quality``, ``flag`` in words; ``file``, ``place``, ``background``, ``readout``, ``apertures``, ``time``, ``choice`` and, in sentences,
        ``troubles``.
    """
    seen = curve.observations[int(curve.observation[i])]
    values = {name: column[i].item() for name, column in curve.points.items()}
    device = instrument(curve.instrument)
    facts: Facts = {
        "values": values,
        "quality": describe(int(values["quality"]), device.quality),
        "flag": describe(int(values["flag"]), FLAGS),
        "troubles": [],
    }
    if file is None:
        facts["troubles"] = ["The ledger does not know the raw file of this point any more."]
        return facts
    facts |= {"frame": file["path"], "block": block}
    content = _measured(steps, file)
    facts["content"] = content
    raw, facts["file"] = read_raw(str(file["path"]), device, content, int(values["cadence"]), float(values["time"]))
    facts["place"] = None if raw is None else find_pixels(raw)
    try:
        made = made_of(survey.path, steps, file, raw)
    except StoreError as error:
        facts["troubles"] = [str(error)]
        return facts
    raw = None if raw is None else replace(raw, gain=made.gain)
    col, row = float(seen["col"]), float(seen["row"])
    fitted, missing = fitted_of(survey.path, steps, made, int(values["cadence"]))
    mesh = mesh_of(made, raw, None if fitted is None else fitted.scene.light)
    places = [(col, row)] + ([] if fitted is None else fitted.places(curve.id))
    own, lost = own_mask_of(survey.path, steps, made, curve.id)
    facts |= account_of(made, raw, facts["place"], places, values, mesh, own)
    facts["troubles"] += missing + lost
    if fitted is not None:
        facts["psf"] = psf_of(made, fitted, curve.id, raw, mesh, facts["place"], facts["readout"]["variance"], values)
    elif is_small(made) and "psf" in _beside(made, steps):
        found, missing = stamp_psf_of(survey.path, steps, made, curve.id, raw, facts["place"], values)
        facts |= {} if found is None else {"psf": found}
        facts["troubles"] += missing
    if made.params.halo:
        found, missing = halo_of(survey.path, steps, made, curve.id, raw, facts["place"], facts["background"], values)
        facts |= {} if found is None else {"halo": found}
        facts["troubles"] += missing
    facts["troubles"] += _clock(facts, survey, curve, steps, file, made.reference, raw)
    mine = np.flatnonzero(curve.observation == curve.observation[i])
    mine = mine[np.argsort(curve.points["cadence"][mine], kind="stable")]
    collect = _parameters(steps, "lightcurves", "collect")
    facts["choice"] = choice_of(
        {name: column[mine] for name, column in curve.points.items()},
        str(seen["best"]),
        str(collect.get("aperture", "best")),
        () if made.masked else made.params.radii,
        made.geometry,
        col,
        row,
        device,
        _beside(made, steps),
        own,
    )
    return facts


def _beside(made: Made, steps: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the methods that were measured beside the apertures."""
    learned = any(
        source["input_kind"] == "stars" for step in steps if step["product"] == "fluxes" for source in step["inputs"]
    )
    asked = {"mask": made.params.k2p2, "psf": learned, "halo": made.params.halo}
    return {name for name, measured in asked.items() if measured}


def _parameters(steps: Sequence[Mapping[str, Any]], product: str, section: str) -> dict[str, Any]:
    return next((dict(step["parameters"].get(section, {})) for step in steps if step["product"] == product), {})


def _measured(steps: Sequence[Mapping[str, Any]], file: Mapping[str, Any]) -> str:
    """Return the content that the file had when the flux block was made."""
    end = f"/{file['name']}" if file["kind"] == "ffi" else ""
    for step in steps:
        if step["product"] == "fluxes":
            for source in step["inputs"]:
                if source["input_kind"] == "stamp" or (
                    source["input_kind"] == "frame" and source["input_id"].endswith(end)
                ):
                    return str(source["content"])
    return str(file["content"])


def _clock(
    facts: Facts, survey: Survey, curve: LightCurve, steps: Sequence[Mapping[str, Any]], file: Mapping[str, Any], reference: Any, raw: Any
) -> list[str]:  # fmt: skip
    """Add ``time`` to the facts; return what is missing for it, in sentences."""
    if raw is not None:
        moments, at = raw.info.moments, raw.frame
        start, stop = float(moments.start[at]), float(moments.stop[at])
        direction = raw.info.time_ra, raw.info.time_dec
    elif file["kind"] == "ffi":
        _, start, stop, _, _ = file["info"]["moments"]
    else:
        return []  # of a stamp that is gone the times of its frames are, too
    if file["kind"] == "ffi":
        if reference is None:
            return ["Without the reference image it is not known for which direction the frame's time holds."]
        direction = reference.time_ra, reference.time_dec
    troubles = []
    star = curve.ra, curve.dec
    targets = next((step for step in steps if step["product"] == "targets"), None)
    path = None if targets is None else survey.path / targets["path"]
    if path is not None and path.is_file() and targets is not None and content_hash(path) == targets["content"]:
        table = read_targets(path)
        at = int(np.flatnonzero(table.id == curve.id)[0])
        star = float(table.direction[0][at]), float(table.direction[1][at])
    else:
        troubles.append("The list of targets has changed, so the star's proper motion is left out of its time here.")
    known = _parameters(steps, "lightcurves", "time").get("kernel", [])
    stored = float(facts["values"]["time"])
    device = instrument(curve.instrument)
    try:
        kernels = [survey.path / name for name in known]
        facts["time"] = time_of(start, stop, direction, star, stored, kernels, device)
    except (ConfigError, BadData) as error:
        troubles.append(f"The time cannot be redone: {error}")
    return troubles
