"""Questions to the archive, and the files that answer them.

The bulk script of a sector is the truth for which of its files exist: detectors have unequal numbers of frames, so counting dates times
detectors invents some. For single stars the portal is asked: first for the observations, then for their files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cuvee.acquire.archive import Archive
from cuvee.acquire.manifest import Found, Manifest, Query, Wanted, wanted
from cuvee.acquire.names import HST_INSTRUMENTS, KINDS, Named, identify
from cuvee.acquire.portal import Answer, parse_where
from cuvee.acquire.script import script_line
from cuvee.acquire.sectors import choose_runs, observed
from cuvee.acquire.targets import resolve
from cuvee.acquire.wire import Refused
from cuvee.errors import ConfigError

__all__ = ["search"]

_OF_CCD = ("ffic", "ffir", "cbv")
_IDS_AT_ONCE = 500
_STARS_AT_ONCE = 1000
_DV = ("dvt", "dvr", "dvm", "dvs")
_HST_DETECTORS = {"cos": ("COS/FUV", "COS/NUV"), "stis": ("STIS/FUV-MAMA", "STIS/NUV-MAMA", "STIS/CCD")}
_PHOTON_LISTS = ("corrtag", "tag", "rawtag")


def search(query: Query, archive: Archive) -> Found:
    """Find the files that a query asks for.

    Parameters
    ----------
    query : Query
        What is asked.
    archive : Archive
        Who is asked.

    Raises
    ------
    ConfigError
        If the query makes no sense, a name is ambiguous, or there is nothing of the kind.
    TransientError
        If the archive cannot be reached, or its answers are not to be trusted.
    """
    asked = datetime.now(UTC).isoformat(timespec="seconds")
    ask = {"tess": _tess, "kepler": _kepler, "hst": _hst}.get(query.mission)
    if ask is None:
        raise ConfigError(f"There is no archive for {query.mission!r}; choose tess, kepler (K2 too) or hst.")
    kinds = _kinds(query)
    files, notes, answers = ask(query, kinds, archive)
    once = {file.path: file for file in files}
    if not once:
        what = " or ".join(query.products or kinds)
        raise ConfigError(f"{archive.name} has no {what} file of {_subject(query)}; {_hint(query)}")
    return Found(Manifest(query, asked, [once[path] for path in sorted(once)], tuple(notes)), answers)


_Result = tuple[list[Wanted], list[str], dict[str, Answer]]


def _subject(query: Query) -> str:
    """Say what was asked for, in words."""
    sectors = f"sector {query.sectors[0]}" if len(query.sectors) == 1 else f"{len(query.sectors)} sectors"
    parts = [
        ", ".join(query.targets),
        sectors if query.sectors else "",
        f"camera {query.camera}" if query.camera else "",
        f"CCD {query.ccd}" if query.ccd else "",
        query.instrument.upper(),
        f"programme {query.programme}" if query.programme else "",
        query.grating,
        "photons" if query.time_tag else "",
        *query.where,
    ]
    return ", ".join(part for part in parts if part)


def _hint(query: Query) -> str:
    if query.where:
        return "see what can be filtered on: cuvee acquire --columns"
    if query.targets:
        return f"mend the name, or try another --product{', or other sectors' if query.sectors else ''}."
    return "ask for less."


def _kinds(query: Query) -> tuple[str, ...]:
    """Return the kinds of files that are asked for; without a word, what a run can reduce."""
    known = KINDS[query.mission]
    if not query.products:
        if query.mission == "hst":
            return ("corrtag", "tag", "x1d")
        return ("tp",) if query.mission == "kepler" else (("lc",) if query.targets or query.where else ("ffic",))
    kinds: list[str] = []
    for word in query.products:
        if word == "dv" and query.mission == "tess":
            kinds += _DV
        elif word in known:
            kinds.append(word)
        else:
            more = ", dv" if query.mission == "tess" else ""
            raise ConfigError(f"There is no product {word!r} of {query.mission}; choose from {', '.join(known)}{more}.")
    return tuple(dict.fromkeys(kinds))


# -- TESS ------------------------------------------------------------------------------------------------------------


def _tess(query: Query, kinds: Sequence[str], archive: Archive) -> _Result:
    of_stars = bool(query.targets or query.where)
    if query.ccd and not query.camera:
        raise ConfigError("--ccd needs --camera, as in --camera 3 --ccd 4.")
    if query.camera and (of_stars or not set(kinds) <= set(_OF_CCD)):
        raise ConfigError(f"--camera and --ccd choose among {', '.join(_OF_CCD)}; other files are of single stars.")
    if of_stars and (frames := [kind for kind in kinds if kind in _OF_CCD]):
        raise ConfigError(f"{', '.join(frames)} are of whole detectors; ask for them by --sector, --camera and --ccd.")
    if of_stars:
        return _tess_stars(query, kinds, archive)
    if not query.sectors:
        raise ConfigError("Say which: --sector 1, --sector 1-3, or --target TIC.")
    scripts = dict.fromkeys("dv" if kind in _DV else kind for kind in kinds)
    files = []
    for sector in query.sectors:
        for script in scripts:
            for named in _script(archive, sector, script):
                on_chip = query.camera in (0, named.camera) and query.ccd in (0, named.ccd)
                if named.kind in kinds and on_chip:
                    files.append(wanted(named))
    return files, [], {}


def _script(archive: Archive, sector: int, kind: str) -> list[Named]:
    url = archive.script_url(sector, kind)
    try:
        text = archive.wire.ask("GET", url).text
    except Refused as error:
        raise ConfigError(
            f"The archive has no list of {kind} files of sector {sector} ({url}): there is no such sector, or it is not released yet."
        ) from error
    found = []
    for line in text.splitlines():
        name, words = script_line(line)
        if not words:
            continue
        named = identify(name)
        of_this = named is not None and named.first <= sector <= named.last
        if named is None or not of_this or re.split(r"[/=:]", words[-1])[-1] != name:
            raise ConfigError(f"The archive's list {url} is not as it should be, in the line: {line.strip()[:120]!r}.")
        found.append(named)
    return found


def _tess_stars(query: Query, kinds: Sequence[str], archive: Archive) -> _Result:
    filters = [{"paramName": "obs_collection", "values": ["TESS"]}]
    filters += [{"paramName": "dataproduct_type", "values": ["timeseries"]}]
    filters += [{"paramName": "provenance_name", "values": ["SPOC"]}]
    stars = {str(number): word for word in query.targets for number in resolve(word, "tess", archive)}
    observations = _observations(query, filters, list(stars), archive)
    known = {row["obsid"]: seen for row in observations.rows if (seen := observed(str(row["obs_id"]))) is not None}
    runs = {run.obs_id for run in choose_runs((seen for seen in known.values() if seen.several), query.sectors)}
    sectors = set(query.sectors)
    chosen = {
        obsid: seen
        for obsid, seen in known.items()
        if (seen.obs_id in runs if seen.several else not sectors or seen.first in sectors)
    }
    products = _products(archive, map(str, chosen))
    files = []
    for row, named in _named(products):
        within = not sectors or (named.first >= min(sectors) and named.last <= max(sectors))
        if named.kind in kinds and named.mission == "tess" and within:
            files.append(wanted(named, str(row["dataURI"]), _size(row)))
    have = {str(named.target) for _, named in _named(products) if named.kind in kinds}
    notes = [
        f"{word}: the archive has no {' or '.join(query.products or kinds)} of it{' in these sectors' if sectors else ''}."
        for number, word in stars.items()
        if number not in have
    ]
    return files, notes, {"observations": observations, "products": products}


# -- Kepler and HST --------------------------------------------------------------------------------------------------


def _kepler(query: Query, kinds: Sequence[str], archive: Archive) -> _Result:
    if not query.targets and not query.where:
        raise ConfigError("Say which star: --target KIC (or EPIC, from 200000000 on).")
    stars = {number: word for word in query.targets for number in resolve(word, "kepler", archive)}
    names = [f"{'ktwo' if number >= _FIRST_EPIC else 'kplr'}{number:09d}" for number in stars]
    filters = [{"paramName": "obs_collection", "values": ["Kepler", "K2"]}]
    observations = _observations(query, filters, names, archive)
    products = _products(archive, (str(row["obsid"]) for row in observations.rows))
    chosen = [(row, n) for row, n in _named(products) if n.mission in ("kepler", "k2") and n.kind in kinds]
    chosen = [(row, named) for row, named in chosen if not stars or named.target in stars]
    have = {named.target for _, named in chosen}
    notes = [f"{word}: the archive has no {' or '.join(kinds)} of it." for n, word in stars.items() if n not in have]
    files = [wanted(named, str(row["dataURI"]), _size(row)) for row, named in chosen]
    return files, notes, {"observations": observations, "products": products}


_FIRST_EPIC = 200_000_000


def _hst(query: Query, kinds: Sequence[str], archive: Archive) -> _Result:
    instruments = [query.instrument.lower()] if query.instrument else list(_HST_DETECTORS)
    if unknown := [name for name in instruments if name not in _HST_DETECTORS]:
        raise ConfigError(f"--instrument takes cos or stis, not {unknown[0]!r}.")
    detectors = [detector for name in instruments for detector in _HST_DETECTORS[name]]
    filters: list[dict[str, Any]] = [{"paramName": "obs_collection", "values": ["HST"]}]
    filters.append({"paramName": "instrument_name", "values": detectors})
    if query.programme:
        filters.append({"paramName": "proposal_id", "values": [query.programme]})
    if query.grating:
        filters.append({"paramName": "filters", "values": [query.grating.upper()], "separator": ";"})
    if not (query.programme or query.targets or query.grating or query.where or query.time_tag):
        raise ConfigError("Say which: --programme, --target, --grating, or --time-tag for all that list photons.")
    observations = _observations(query, filters, list(query.targets), archive)
    open_to_all = [row for row in observations.rows if str(row.get("dataRights") or "PUBLIC").upper() == "PUBLIC"]
    products = _products(archive, (str(row["obsid"]) for row in open_to_all))
    letters = {HST_INSTRUMENTS[letter]: letter for letter in HST_INSTRUMENTS}
    mine = tuple(letters[name] for name in instruments)
    named = [(row, n) for row, n in _named(products) if n.mission == "hst" and n.name.startswith(mine)]
    photons = {n.name[:9] for _, n in named if n.kind in _PHOTON_LISTS}
    files = [
        wanted(n, str(row["dataURI"]), _size(row))
        for row, n in named
        if n.kind in kinds
        and (not query.time_tag or n.name[:9] in photons)
        and str(row.get("dataRights") or "PUBLIC").upper() == "PUBLIC"
    ]
    closed = len(observations.rows) - len(open_to_all)
    notes = [f"{closed} of {len(observations.rows)} observations are not public yet."] if closed else []
    return files, notes, {"observations": observations, "products": products}


# -- the portal ------------------------------------------------------------------------------------------------------


def _observations(
    query: Query, filters: Sequence[Mapping[str, Any]], targets: Sequence[str], archive: Archive
) -> Answer:
    portal = archive.portal
    conditions = [*filters, *(parse_where(query.where, portal.columns()) if query.where else [])]
    parts = []
    for start in range(0, max(1, len(targets)), _STARS_AT_ONCE):
        some = list(targets[start : start + _STARS_AT_ONCE])
        stars = [{"paramName": "target_name", "values": some}] if some else []
        params = {"columns": "*", "filters": [*conditions, *stars]}
        parts.append(portal.search("Mast.Caom.Filtered", params, "obsid"))
    return _joined(parts)


def _products(archive: Archive, obsids: Iterable[str]) -> Answer:
    ids, portal = sorted(set(obsids)), archive.portal
    batches: list[Collection[str]] = [ids[k : k + _IDS_AT_ONCE] for k in range(0, len(ids), _IDS_AT_ONCE)]
    return _joined([portal.search("Mast.Caom.Products", {"obsid": ",".join(batch)}) for batch in batches])


def _joined(parts: Sequence[Answer]) -> Answer:
    return Answer([row for part in parts for row in part.rows], parts[0].fields if parts else ())


def _named(products: Answer) -> list[tuple[Mapping[str, Any], Named]]:
    pairs = ((row, identify(str(row.get("productFilename") or ""))) for row in products.rows)
    return [(row, named) for row, named in pairs if named is not None]


def _size(row: Mapping[str, Any]) -> int:
    try:
        return int(row["size"])
    except (KeyError, TypeError, ValueError):
        return -1
