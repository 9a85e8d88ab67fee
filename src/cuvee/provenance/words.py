"""Say an explanation in words."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cuvee.model.records import BJD_OFFSET
from cuvee.provenance.sum_words import aperture_lines, choice_lines, file_lines, time_lines

__all__ = ["format_explanation", "run_lines", "step_lines", "wrapped"]

_NOUNS = {
    "events": ("list of photons", "lists of photons"),
    "spectrum": ("extracted spectrum", "extracted spectra"),
    "candidates": ("list of what may be moving", "lists of what may be moving"),
    "fluxes": ("flux block", "flux blocks"),
    "frame": ("frame", "frames"),
    "member": ("frame of the reference set", "frames of the reference set"),
    "footprint": ("footprint", "footprints"),
    "neighbours": ("list of stars in the field", "lists of stars in the field"),
    "partition": ("part of the catalogue", "parts of the catalogue"),
    "reference": ("reference image", "reference images"),
    "stamp": ("stamp", "stamps"),
    "stars": ("PRF with its stars", "PRFs with their stars"),
    "table": ("table", "tables"),
    "targets": ("list of targets", "lists of targets"),
    "tracks": ("list of moving objects", "lists of moving objects"),
}
_TITLES = {
    "lightcurves": "light curves",
    "fluxes": "flux block",
    "targets": "targets",
    "reference": "reference image",
    "partition": "catalogue",
    "neighbours": "stars in the field",
    "stars": "PRF and stars",
    "tracks": "moving objects",
}
_WIDTH = 100
_SHOWN = 4
"""Inputs of one kind that are listed; of more, the first ones."""


def format_explanation(facts: dict[str, Any]) -> str:
    """Write an explanation as text for the terminal.

    Parameters
    ----------
    facts : dict
        From `cuvee.provenance.explain_star`.

    Returns
    -------
    str
    """
    lines = [f"Star {facts['id']}, RA {facts['ra']:.6f} Dec {facts['dec']:.6f} deg, magnitude {_plain(facts['mag'])}"]
    in_full = any("point" in seen for seen in facts["observations"])
    for seen in facts["observations"]:
        share = "" if seen["crowding"] is None else f"; {100 * seen['crowding']:.1f} % of its light is the star's"
        lines += [
            "",
            f"{seen['segment']} {seen['detector']}, series {seen['series']}",
            f"  at column {_plain(seen['col'])}, row {_plain(seen['row'])}; flux is that of {seen['best']}{share}",
            f"  {seen['good']} of {seen['points']} points are good by the default mask",
        ]
        for column in ("quality", "flag"):
            lines += [
                f"    {column} {row['meaning']}: {row['points']} {'point' if row['points'] == 1 else 'points'}"
                for row in seen[column]
            ]
        if "point" in seen:
            lines += _point_lines(seen["point"], seen)
            lines += ["", "  WHAT IT WAS MADE FROM"]
        for step in seen.get("chain", []):
            lines += step_lines(step, in_full)
    for run in facts["runs"]:
        lines += ["", *run_lines(run, facts, in_full)]
    return "\n".join(piece for line in lines for piece in wrapped(line))


def wrapped(line: str) -> list[str]:
    """Break a line that a terminal of 100 columns would break; names of files stay whole."""
    if len(line) <= _WIDTH:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _plain(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _point_lines(point: dict[str, Any], seen: Mapping[str, Any]) -> list[str]:
    values = point["values"]
    when = "without a time"
    if values["time"] is not None:
        when = f"at BTJD {values['time']:.6f} (BJD_TDB {values['time'] + BJD_OFFSET:.6f})"
    lines = [
        "",
        f"  POINT {when}, cadence {values['cadence']}",
        f"    flux {_plain(values['flux'])} +- {_plain(values['flux_err'])} e-/s, background {_plain(values['background'])} e-/s/pixel",
    ]
    lines += [
        f"    {name} {values[name]:.3f} +- {_plain(values[name + '_err'])} e-/s"
        for name in values
        if name.startswith(("aperture", "mask", "psf", "halo")) and name.endswith("_flux") and values[name] is not None
    ]
    lines += _bit_lines("quality", point["quality"]) + _bit_lines("flag", point["flag"])
    if "file" in point:
        lines += file_lines(point)
    lines += aperture_lines(point, seen["best"], seen["col"], seen["row"])
    if "time" in point:
        lines += ["", *time_lines(point["time"])]
    if "choice" in point:
        lines += ["", *choice_lines(point["choice"])]
    return lines


def _bit_lines(column: str, words: Sequence[str]) -> list[str]:
    return [f"    {column} {word}" for word in words] or [f"    {column} 0: nothing to report"]


def step_lines(step: Mapping[str, Any], in_full: bool) -> list[str]:
    """Say what a product is, and what it was made of."""
    kinds = Counter(source["input_kind"] for source in step["inputs"])
    tables = [source["input_id"].rpartition("/")[2] for source in step["inputs"] if source["input_kind"] == "table"]
    sources = ", ".join(tables) or ", ".join(
        f"{n} {_NOUNS.get(kind, (kind, kind))[n != 1]}" for kind, n in sorted(kinds.items())
    )
    title = _TITLES.get(step["product"], step["product"])
    lines = [
        "",
        f"  {title}: {step['path']}",
        f"    content {step['content']}, recipe {step['recipe']}",
        f"    from {sources}; by {step['stage']} (version {step['version']}), run {step['run']}",
    ]
    for name, content in step["parameters"].items():
        if not isinstance(content, dict):
            lines.append(f"    content of {name} {content if isinstance(content, str) else ', '.join(content)}")
    if in_full:
        for kind in sorted(kinds):
            lines += _input_lines([source for source in step["inputs"] if source["input_kind"] == kind])
    return lines


def _input_lines(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for source in sources[:_SHOWN]:
        name = Path(source["path"]).name if source["path"] else source["input_id"]
        lines.append(f"      {source['content']}  {source['input_kind']} {name}")
    if len(sources) > _SHOWN:
        lines.append(f"      ... and {len(sources) - _SHOWN} more of these (--json lists all)")
    return lines


def run_lines(run: Mapping[str, Any], facts: Mapping[str, Any], in_full: bool) -> list[str]:
    """Say when a run was, with what software, and where its parameters were set."""
    typed = f", typed: cuvee {run['command']}" if run["command"] else ""
    lines = [f"Run {run['id']} of {run['started']}, cuvee {run['version']}{typed}"]
    if run["software"]:
        lines.append(f"  with {_versions(run['software'])}")
        now = {name: text for name, text in facts["software_now"].items() if run["software"].get(name, text) != text}
        if now:
            lines.append(f"  installed now, and used for what was redone here: {_versions(now)}")
    else:
        lines.append(f"  its versions were not written down; installed now: {_versions(facts['software_now'])}")
    steps = [step for seen in facts["observations"] for step in seen.get("chain", []) if step["run"] == run["id"]]
    wanted = {section for step in steps for section in step["sections"]}
    settings = [row for row in run["settings"] if row["section"] in wanted]
    toml = Path(facts["configuration"]).name
    lines.append(
        f"  Parameters that these products depend on, and where each was set ({toml} is that of the workspace)"
    )
    if in_full:
        others = [row for row in run["settings"] if row["section"] not in wanted]
        return [
            *lines,
            *_setting_lines(settings),
            "  Other parameters; products depend on them through their inputs only, or not at all",
            *_setting_lines(others),
        ]
    lines += _setting_lines([row for row in settings if row["set"] != "default"])
    n_default = sum(row["set"] == "default" for row in settings)
    return [*lines, f"    {n_default} have their defaults (--time lists them, --json all)"] if n_default else lines


def _setting_lines(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    shown = [(f"[{row['section']}] {row['key']} = {_value(row['value'])}", row["set"]) for row in settings]
    width = min(max((len(what) for what, _ in shown), default=0), 60)
    return [f"    {what:<{width}}  {where}" for what, where in shown]


def _value(value: Any) -> str:
    return "not set" if value is None else str(value)


def _versions(software: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in software.items())
