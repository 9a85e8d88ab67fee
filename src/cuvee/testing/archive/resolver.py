"""From a name to a place on the sky: stars by their number, targets by the name in their file, and coordinates as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from cuvee.testing.archive.content import text_content
from cuvee.testing.archive.reply import Reply
from cuvee.testing.archive.site import Question, Site

__all__ = ["resolve", "santa"]

_NUMBERED = re.compile(r"(tic|kic|kplr|epic|ktwo)?\s*0*(\d+)", re.IGNORECASE)
_PLACE = re.compile(
    r"\s*([+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?)d?[\s,]+([+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?)d?\s*", re.IGNORECASE
)
_CATALOG = {"kic": "KEPLER", "kplr": "KEPLER", "epic": "K2", "ktwo": "K2"}


def santa(site: Site, question: Question) -> Reply:
    """``/Santa-war/query?name=...``: where things are; what nobody knows is not in the answer."""
    return Reply(text_content(json.dumps({"resolvedCoordinate": resolve(site, question.arguments.get("name", []))})))


def resolve(site: Site, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one record a name that is known."""
    found = []
    for name in names:
        resolver, place = _place(site, name.strip())
        if place is not None:
            found.append(
                {"searchString": name.lower(), "resolver": resolver, "cached": False, "resolverTime": 1, "searchRadius": 0.000333,
                 "canonicalName": name, "ra": place[0], "decl": place[1]}
            )  # fmt: skip
    return found


def _place(site: Site, name: str) -> tuple[str, tuple[float, float] | None]:
    if match := _PLACE.fullmatch(name):
        return "NONE", (float(match[1]), float(match[2]))
    aliases = {name.lower()}
    resolver = "TIC"
    if match := _NUMBERED.fullmatch(name):
        kind, number = (match[1] or "tic").lower(), int(match[2])
        resolver = _CATALOG.get(kind, "TIC")
        prefix = {"KEPLER": "kplr", "K2": "ktwo"}.get(resolver)
        aliases = {f"{prefix}{number:09d}" if prefix else str(number)}
        if resolver == "TIC" and site.catalogs is not None:
            for row in site.catalogs.rows:
                if row["ID"] == number and row["ra"] is not None and row["dec"] is not None:
                    return resolver, (row["ra"], row["dec"])
    for observation in site.observations:
        row = observation.row
        if str(row["target_name"]).lower() in aliases and row["s_ra"] is not None and not observation.corners:
            return resolver if row["obs_collection"] != "HST" else "SIMBAD", (row["s_ra"], row["s_dec"])
    return "", None
