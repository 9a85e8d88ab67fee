"""Which star a user means: a catalogue id, with or without the name of its catalogue, or a name that the archive knows."""

from __future__ import annotations

import re

from cuvee.acquire.archive import Archive
from cuvee.errors import ConfigError

__all__ = ["resolve"]

_CATALOGUES = {"tess": ("TIC",), "kepler": ("KIC", "EPIC")}
_NEAR = 0.002
"""Degrees around a named star; a third of a TESS pixel."""


def resolve(word: str, mission: str, archive: Archive) -> tuple[int, ...]:
    """Return the catalogue ids of a star.

    Parameters
    ----------
    word : str
        ``TIC 25155310``, ``25155310`` or a name such as ``pi Men``.
    mission : str
        ``tess`` or ``kepler``.
    archive : Archive
        Who is asked for names.

    Returns
    -------
    tuple of int
        One id.

    Raises
    ------
    ConfigError
        If nobody knows the name, or it fits several stars that were observed.
    TransientError
        If the archive cannot be reached.
    """
    catalogues = _CATALOGUES[mission]
    if match := re.fullmatch(rf"(?:(?:{'|'.join(catalogues)})[ -]?)?0*(\d{{1,16}})", word.strip(), re.IGNORECASE):
        return (int(match[1]),)
    answer = archive.wire.ask(
        "GET", archive.resolver, params={"outputFormat": "json", "resolveAll": "False", "name": word.strip()}
    )
    try:
        places = answer.json()["resolvedCoordinate"]
    except (ValueError, KeyError, TypeError):
        places = []
    if not places:
        raise ConfigError(f"The archive knows no star {word!r}; name it by its {' or '.join(catalogues)} id.")
    position = f"{float(places[0]['ra'])!r}, {float(places[0]['decl'])!r}, {_NEAR}"
    missions = ["TESS"] if mission == "tess" else ["Kepler", "K2"]
    filters = [{"paramName": "obs_collection", "values": missions}]
    filters += [{"paramName": "dataproduct_type", "values": ["timeseries", "cube"]}]
    params = {"columns": "*", "filters": filters, "position": position}
    found = archive.portal.search("Mast.Caom.Filtered.Position", params, "obsid")
    ids = sorted({int(digits[1]) for row in found.rows if (digits := _ID.fullmatch(str(row.get("target_name"))))})
    if not ids:
        raise ConfigError(
            f"There is a star {word!r}, but no light curve or pixels of it; its detector's frames may show it."
        )
    if len(ids) > 1:
        raise ConfigError(f"{word!r} may be any of {', '.join(map(str, ids))}; name one by its id.")
    return (ids[0],)


_ID = re.compile(r"(?:kplr|ktwo)?0*(\d+)")
