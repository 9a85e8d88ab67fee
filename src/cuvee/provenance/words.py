"""Say an explanation in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cuvee.model.records import BJD_OFFSET

__all__ = ["format_explanation"]

_NOUNS = {
    "fluxes": ("flux block", "flux blocks"),
    "frame": ("frame", "frames"),
    "member": ("frame of the reference set", "frames of the reference set"),
    "footprint": ("footprint", "footprints"),
    "partition": ("part of the catalogue", "parts of the catalogue"),
    "reference": ("reference image", "reference images"),
    "stamp": ("stamp", "stamps"),
    "targets": ("list of targets", "lists of targets"),
}
_TITLES = {
    "lightcurves": "light curves",
    "fluxes": "flux block",
    "targets": "targets",
    "reference": "reference image",
    "partition": "catalogue",
}


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
    lines = [f"Star {facts['id']}, RA {facts['ra']:.6f} Dec {facts['dec']:.6f} deg, magnitude {facts['mag']:.3f}"]
    for seen in facts["observations"]:
        share = (
            ""
            if seen["crowding"] != seen["crowding"]
            else f"; {100 * seen['crowding']:.1f} % of its light is the star's"
        )
        lines += [
            "",
            f"{seen['segment']} {seen['detector']}, series {seen['series']}",
            f"  at column {seen['col']:.3f}, row {seen['row']:.3f}; flux is that of {seen['best']}{share}",
            f"  {seen['good']} of {seen['points']} points are good by the default mask",
        ]
        for column in ("quality", "flag"):
            lines += [f"    {column} {row['meaning']}: {row['points']} points" for row in seen[column]]
        if "point" in seen:
            lines += _point_lines(seen["point"])
        for step in seen.get("chain", []):
            lines += _step_lines(step)
    return "\n".join(lines)


def _point_lines(point: dict[str, Any]) -> list[str]:
    values = point["values"]
    lines = [
        "",
        f"  point at BTJD {values['time']:.6f} (BJD_TDB {values['time'] + BJD_OFFSET:.6f}), cadence {values['cadence']}",
        f"    flux {values['flux']:.3f} +- {values['flux_err']:.3f} e-/s, background {values['background']:.3f} e-/s/pixel",
    ]
    lines += [
        f"    {name} {values[name]:.3f} +- {values[name + '_err']:.3f} e-/s"
        for name in values
        if name.startswith("aperture") and name.endswith("_flux") and values[name] == values[name]
    ]
    if "frame" in point:
        lines.append(f"    from {Path(point['frame']).name}, content {point['content'] or 'unknown'}")
        lines.append(f"    in {Path(point['frame']).parent}")
    lines += _bit_lines("quality", point["quality"]) + _bit_lines("flag", point["flag"])
    return lines


def _bit_lines(column: str, words: Sequence[str]) -> list[str]:
    return [f"    {column} {word}" for word in words] or [f"    {column} 0: nothing to report"]


def _step_lines(step: dict[str, Any]) -> list[str]:
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
        f"    from {sources}; by {step['stage']} (version {step['version']}) of cuvee {step['cuvee']}, run {step['run']} of {step['started']}",
    ]
    for section, values in step["parameters"].items():
        if not isinstance(values, dict):
            lines.append(f"    content of {section} {values if isinstance(values, str) else ', '.join(values)}")
            continue
        text = ", ".join(f"{name} = {value}" for name, value in values.items() if value not in (None, []))
        if text:
            lines.append(f"    [{section}] {text}")
    return lines
