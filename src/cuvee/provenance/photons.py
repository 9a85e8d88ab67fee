"""Everything that is behind the light curves of a target of photons, and behind one bin; and the same in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cuvee import __version__
from cuvee.config import CONFIG_NAME
from cuvee.errors import BadData, ConfigError, NoWork
from cuvee.events.composite import within
from cuvee.events.curve import band_curve, bin_edges
from cuvee.events.exposure import PhotonCurve, bin_exposure
from cuvee.model.keys import DataId
from cuvee.model.photons import REASONS, short_limits
from cuvee.provenance.chain import Chain
from cuvee.provenance.explain import FAR, nearest, plain_facts, points_of
from cuvee.provenance.words import run_lines, step_lines, wrapped
from cuvee.run.software import software_versions
from cuvee.store.own_ledger import open_ledger
from cuvee.survey import LightCurve, Survey
from cuvee.survey.photon_lists import raw_files

__all__ = ["explain_composites", "explain_target", "format_target"]

SHOWN = 20
"""Exposures of a composite that are named."""

_SINGLE = 1e-5
"""Share by which numbers may differ that are stored in single precision."""


def explain_target(survey: Survey, target: str, time: float | None = None) -> dict[str, Any]:
    """Gather everything that is behind the light curves of a target of photons.

    Parameters
    ----------
    survey : Survey
        The workspace, of a photon counter.
    target : str
        The target's name.
    time : float, optional
        Explain the bin nearest this time (BJD_TDB - 2457000), too.

    Returns
    -------
    dict
        Ready for JSON. ``id``, ``ra``, ``dec``, ``instrument``, ``workspace``, ``configuration``, ``software_now`` and ``runs`` as
        `cuvee.provenance.explain_star` has them; ``observations``, with ``time`` only that of the bin: the columns of the light curve's row; how many
        ``points``, how many ``good`` and with which ``flag``; ``facts``, what was counted (events by segment, events left out by reason, statistics);
        ``files``, each with ``kind``, ``path``, ``content`` when it was measured and ``state``; ``chain``, the product with its recipe, stage and parameters;
        and the ``point``: ``values`` as stored, and ``parts``, by segment what its events add up to when they are counted anew from the raw files:
        ``events``, ``weights``, ``energy`` (erg/cm2), ``exposure`` (s), ``background`` (events), ``background_rate`` (count/s, weighted), ``background_flux`` (erg/s/cm2),
        ``net`` = weights / exposure - background_rate, ``flux`` = energy / exposure - background_flux; whether the sums ``agree`` with what is
        stored; ``trouble``, a sentence about why they cannot be redone.

    Raises
    ------
    ConfigError
        If there is no such target, or no bin near ``time``.
    """
    curve = survey.light_curve(target)
    facts = _head(survey, curve)
    chosen = None if time is None else nearest(curve, time)
    with open_ledger(survey.paths, read_only=True) as ledger:
        chain = Chain(survey, ledger)
        for i, row in enumerate(curve.observations):
            if chosen is not None and curve.observation[chosen] != i:
                continue
            unit = DataId(curve.instrument, str(row["segment"]), str(row["detector"]), "events", str(row["series"]))
            step = chain.step("lightcurves", unit)
            here = {name: row[name] for name in ("segment", "detector", "series")} | points_of(curve, i)
            here |= {
                "facts": survey.counted.facts(row),
                "files": [one._asdict() for one in raw_files(survey.paths, unit)],
            }
            here |= {"light_curves": step["path"] if step else "", "chain": [step] if step else []}
            if chosen is not None:
                values = {name: column[chosen] for name, column in curve.points.items()}
                here["point"] = _point(survey, values, int(values["cadence"]), row)
            facts["observations"].append(here)
    facts["runs"] = [chain.runs[number] for number in sorted(chain.runs)]
    return plain_facts(facts)


def explain_composites(survey: Survey, target: str, time: float | None = None) -> dict[str, Any]:
    """Gather everything that is behind the composites of a target of photons.

    Parameters
    ----------
    survey, target, time
        As for `explain_target`.

    Returns
    -------
    dict
        As `explain_target` has it. An observation is a composite: ``series`` (what its exposures have in common), ``points``, ``facts`` (its exposures, the
        wavelengths that they share, who is left out and why, statistics), ``chain``, and the ``point`` with the ``exposure`` that its bin is of.

    Raises
    ------
    ConfigError
        If there is no such target, it has no composite, or no bin near ``time``.
    """
    curve = survey.light_curve(target)
    facts = _head(survey, curve)
    found = [one for one in survey.counted.exposures([target]) if one[0].row["segment"] == "composite"]
    if not found:
        raise ConfigError(
            f"{target} has no composite: it takes two exposures in one configuration; leave --composite out."
        )
    if time is not None:
        found = [min(found, key=lambda one: float(np.abs(one[0].points["time"] - time).min()))]
        if np.abs(found[0][0].points["time"] - time).min() > FAR:
            raise ConfigError(f"No composite of {target} has a bin within half a day of BTJD {time:.5f}.")
    rows = {str(row["series"]): row for row in curve.observations}
    with open_ledger(survey.paths, read_only=True) as ledger:
        chain = Chain(survey, ledger)
        for one, known in found:
            key = str(one.row["series"])
            step = chain.step("composites", DataId(survey.instrument, part=key))
            here = {
                "series": key,
                "points": int(one.points["time"].size),
                "facts": known,
                "chain": [step] if step else [],
            }
            if time is not None:
                chosen = int(np.abs(one.points["time"] - time).argmin())
                number = one.points["dataset"][chosen]
                k = int(np.count_nonzero(one.points["dataset"][:chosen] == number))
                member = known["members"][number - 1]
                values = {name: column[chosen] for name, column in one.points.items()}
                here["point"] = {**_point(survey, values, k, rows[member], known["limits"]), "exposure": member}
            facts["observations"].append(here)
    facts["runs"] = [chain.runs[number] for number in sorted(chain.runs)]
    return plain_facts(facts)


def _head(survey: Survey, curve: LightCurve) -> dict[str, Any]:
    return {
        "id": curve.id, "ra": curve.ra, "dec": curve.dec, "instrument": curve.instrument, "workspace": str(survey.path),
        "configuration": str(survey.path / CONFIG_NAME), "software_now": {"cuvee": __version__, **software_versions()}, "observations": [],
    }  # fmt: skip


def _point(
    survey: Survey,
    values: dict[str, Any],
    k: int,
    row: Mapping[str, Any],
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """Count the events of a bin anew, the k-th of an exposure; of a composite within its limits."""
    found: dict[str, Any] = {"values": values, "parts": [], "trouble": "", "agree": None}
    params, bits = survey.counted.event_params
    assert survey.device.photons is not None
    try:
        lists = survey.counted.event_lists(row)
        lists = within(lists, limits) if limits else lists
        again = bin_exposure(lists, params, bits, survey.device.photons.n_row, limits=limits)
    except (BadData, ConfigError, NoWork) as error:
        return {**found, "trouble": f"The sums cannot be done again: {error.message}"}
    if k >= again.points["time"].size:
        return {**found, "trouble": "The sums cannot be done again: [events] of cuvee.toml is not as it was."}
    found["parts"] = [_part(again, name, k) for name in again.sums]
    redone = {name: again.points[name][k] for name in ("gross", "background", "exposure", "net", "flux")}
    agree = all(
        np.isclose(value, values[name], rtol=_SINGLE, atol=0.0, equal_nan=True) for name, value in redone.items()
    )
    return {**found, "redone": redone, "agree": bool(agree)}


def _part(again: PhotonCurve, name: str, k: int) -> dict[str, Any]:
    """Return what the events of a segment in one bin add up to."""
    sums, trace = again.sums[name], again.traces[name]
    band = band_curve(trace, sums, 0, again.gti, bin_edges(again.gti, again.step))
    events, weights, energy = (float(sums.bins[0, row, k]) for row in range(3))
    exposure = float(band.exposure[k])
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, light = np.divide([weights, energy], exposure)
    return {
        "name": name, "events": int(events), "weights": weights, "energy": energy if trace.calibrated else None, "exposure": exposure,
        "background": float(band.background[k]), "background_rate": float(rate - band.net[k]),
        "background_flux": float(light - band.flux[k]), "net": float(band.net[k]), "flux": float(band.flux[k]),
        "by_spectrum": bool(np.isfinite(trace.dark[sums.kept]).all()),
    }  # fmt: skip


def format_target(facts: Mapping[str, Any]) -> str:
    """Write an explanation as text for the terminal.

    Parameters
    ----------
    facts : mapping
        From `explain_target`.
    """
    lines = [f"{facts['id']}, RA {facts['ra']:.6f} Dec {facts['dec']:.6f} deg, {facts['instrument']}"]
    in_full = any("point" in seen for seen in facts["observations"])
    for seen in facts["observations"]:
        lines += _composite_lines(seen) if "members" in seen["facts"] else _exposure_lines(seen)
        if "point" in seen:
            lines += _point_lines(seen["point"])
            lines += ["", "  WHAT IT WAS MADE FROM"]
        for step in seen["chain"]:
            lines += step_lines(step, in_full)
    for run in facts["runs"]:
        lines += ["", *run_lines(run, facts, in_full)]
    return "\n".join(piece for line in lines for piece in wrapped(line))


def _composite_lines(seen: Mapping[str, Any]) -> list[str]:
    known = seen["facts"]
    members = known["members"]
    lines = [
        "",
        f"composite {seen['series']}: {' '.join(word for word in known['setting'] if word)}",
        f"  {len(members)} exposures, {known['seconds']:.3f} s of good time, {seen['points']} bins; {known['statistics']['total']} events are counted",
        f"  {', '.join(members[:SHOWN])}{f' and {len(members) - SHOWN} more' if len(members) > SHOWN else ''}",
    ]
    lines += [
        f"    {name}: {low:.1f} to {high:.1f} A, which all of them have"
        for name, (low, high) in short_limits(known["limits"]).items()
    ]
    lines += [] if known["limits"] else ["  no extracted spectra: counts and rates, no flux"]
    lines += [f"  left out: {name}, for {why}" for name, why in known["left_out"].items()]
    return [*lines, "  what each was made of: cuvee explain without --composite"]


def _exposure_lines(seen: Mapping[str, Any]) -> list[str]:
    known = seen["facts"]
    total, kept = sum(known["events"].values()), known["statistics"]["total"]
    gone = {name: n for name, n in known["reasons"].items() if n}
    behind = total - kept - sum(gone.values())
    shared = len(known["segments"]) > len(known["events"])
    lines = [
        "",
        f"{seen['segment']} {seen['detector']}, exposure {seen['series']}: {' '.join(word for word in known['setting'] if word)}",
        f"  {known['seconds']:.3f} s of good time, {seen['points']} bins of {known['step']:g} s; {seen['good']} are good by the default mask",
        *(
            f"    flag {row['meaning']}: {row['points']} {'bin' if row['points'] == 1 else 'bins'}"
            for row in seen["flag"]
        ),
        f"  {total} events in {' and '.join(known['events'])}:",
        f"    {kept:>9}  are in the source's region, and counted",
    ]
    lines += [f"    {behind:>9}  are in the background's region, or in no bin"] if behind > 0 and not shared else []
    lines += [f"    {n:>9}  left out: {REASONS.get(name, name)}" for name, n in gone.items()]
    if shared:
        lines.append(
            "    the others are in a background's region, or in none; what is in the regions of two counts in both"
        )
    low, high = known["wavelengths"]
    if known["calibrated"]:
        lines.append(f"  flux is calibrated, by the exposure's extracted spectrum, from {low:.1f} to {high:.1f} A")
    elif known["cards"].get("raw"):
        lines.append("  a raw list, whose columns have no wavelengths: counts and rates, no flux")
        walk = known["cards"].get("walk", 0.0)
        lines += [f"  the detector's walk is out of its rows, {walk:g} a unit of pulse height"] if walk else []
    elif any(one["kind"] == "spectrum" for one in seen["files"]):
        lines.append(
            "  its extracted spectrum took another time, or lacks its segments, and is not used: counts and rates, no flux"
        )
    else:
        lines.append("  no extracted spectrum of this exposure: counts and rates, no flux")
    lines += ["  a segment of the detector is missing or set aside"] if known.get("missing") else []
    lines += ["  files"] + [
        f"    {one['content']}  {one['kind']} {Path(one['path']).name or 'that the ledger has lost'}, {_STATES[one['state']]}"
        for one in seen["files"]
    ]
    return lines


_STATES = {"unchanged": "unchanged since", "touched": "changed or moved since", "gone": "gone"}


def _point_lines(point: Mapping[str, Any]) -> list[str]:
    values = point["values"]
    of = f" of exposure {point['exposure']}," if "exposure" in point else ""
    lines = [
        "",
        f"  BIN {values['cadence']}{of} at BJD_TDB - 2457000 = {_number(values['time'], '.7f')}, as stored",
        (
            f"    gross {_number(values['gross'], '.0f')} events, of which {_number(values['background'], '.3f')} are expected to be background; "
            f"{_number(values['exposure'], '.3f')} s of good time"
        ),
        f"    net {_number(values['net'], '.4f')} +- {_number(values['net_err'], '.4f')} count/s",
        f"    flux {_number(values['flux'], '.4e')} - {_number(values['flux_err_low'], '.2e')} + {_number(values['flux_err_high'], '.2e')} erg/s/cm2",
    ]
    if point["trouble"]:
        return [*lines, f"    {point['trouble']}"]
    lines += ["", "  COUNTED ANEW from the raw files"]
    for one in point["parts"]:
        how = (
            "the extracted spectrum's, with the course of the background's region"
            if one["by_spectrum"]
            else "the background's region, by rows"
        )
        lines.append(
            f"    {one['name']}: {one['events']} events, of weights {one['weights']:.4f}, in {one['exposure']:.3f} s"
        )
        lines.append(f"      background {_number(one['background_rate'], '.5f')} count/s ({how})")
        lines.append(
            f"      net = {one['weights']:.4f} / {one['exposure']:.3f} - {_number(one['background_rate'], '.5f')} = {_number(one['net'], '.5f')} count/s"
        )
        if one["energy"] is not None:
            lines.append(
                f"      flux = {one['energy']:.4e} / {one['exposure']:.3f} - {_number(one['background_flux'], '.4e')} = {_number(one['flux'], '.4e')} "
                "erg/s/cm2 (each event: its weight x energy of a count in its column / effective area)"
            )
    names = " + ".join(one["name"] for one in point["parts"])
    lines.append(
        f"    {names}: {'that is what is stored' if point['agree'] else 'NOT what is stored; run again: cuvee run'}"
    )
    return lines


def _number(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)
