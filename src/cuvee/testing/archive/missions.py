"""The mission searches, here of HST: datasets by condition and place, their products, and the products themselves.

Facts: the MAST missions API (column list, search, list_products, retrieve_product) and what astroquery.mast.MastMissions sends.
"""

from __future__ import annotations

import fnmatch
import json
import operator
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cuvee.testing.archive.content import text_content
from cuvee.testing.archive.observations import Observation, products
from cuvee.testing.archive.query import separation
from cuvee.testing.archive.reply import Reply, refusal
from cuvee.testing.archive.site import Question, Site

__all__ = ["column_list", "mission_page"]

_COLUMNS = {
    "sci_data_set_name": ("Dataset", "VARCHAR"),
    "sci_targname": ("Target Name", "VARCHAR"),
    "sci_ra": ("RA", "FLOAT"),
    "sci_dec": ("Dec", "FLOAT"),
    "sci_instrume": ("Instrument", "VARCHAR"),
    "sci_pep_id": ("Proposal ID", "INTEGER"),
    "sci_pi_last_name": ("PI Last Name", "VARCHAR"),
    "sci_obs_type": ("Observation Type", "VARCHAR"),
    "sci_operating_mode": ("Operating Mode", "VARCHAR"),
    "sci_spec_1234": ("Filters/Gratings", "VARCHAR"),
    "sci_aper_1234": ("Apertures", "VARCHAR"),
    "sci_central_wavelength": ("Central Wavelength", "FLOAT"),
    "sci_start_time": ("Start Time", "DATETIME"),
    "sci_stop_time": ("Stop Time", "DATETIME"),
    "sci_actual_duration": ("Exp Time", "FLOAT"),
}
"""What can be asked for: label and type by name."""
_NUMBERS = ("INTEGER", "FLOAT")
_ARCMIN = {"arcminutes": 1 / 60, "arcseconds": 1 / 3600, "degrees": 1.0}


def column_list(_: Site, question: Question) -> Reply:
    """``/search/util/api/v0.1/column_list?mission=hst``."""
    if question.argument("mission").lower() != "hst":
        return refusal(404, "Only the mission hst is here.")
    types = {"VARCHAR": "char", "DATETIME": "datetime", "FLOAT": "float", "INTEGER": "integer"}
    rows = [
        {"field_name": label, "description": label, "column_name": name, "queryable": "yes", "qual_type": "number" if kind in _NUMBERS else "string",
         "default_output": "yes", "indexed": "yes", "datatype": types[kind]}
        for name, (label, kind) in _COLUMNS.items()
    ]  # fmt: skip
    return _json(rows)


def mission_page(site: Site, question: Question) -> Reply:
    """``/search/hst/api/v0.1/...``: search, list_products, post_list_products, retrieve_product."""
    mission, _, call = question.path.removeprefix("/search/").partition("/api/v0.1/")
    if mission != "hst":
        return refusal(404, "Only the mission hst is here.")
    if call == "retrieve_product":
        return site.fetch(question.argument("product_name").rpartition("/")[2])
    posted: Any = {}
    if question.method == "POST":
        try:
            posted = json.loads(question.body)
            assert isinstance(posted, dict)
        except (ValueError, AssertionError):
            return refusal(400, "The request is no JSON object.")
    if call == "search":
        try:
            return _search(site, posted)
        except (ValueError, TypeError, AttributeError):
            return refusal(
                400,
                "The search is not understood: conditions are a list of {column: value}, targets a list of 'ra dec'.",
            )
    if call in ("list_products", "post_list_products"):
        asked = posted.get("dataset_ids") or ",".join(question.arguments.get("dataset_ids", [])).split(",")
        return _list(site, {str(name).upper() for name in asked})
    return refusal(404, f"There is no {question.path}.")


def _search(site: Site, posted: Mapping[str, Any]) -> Reply:
    limit, offset = int(posted.get("limit") or 5000), int(posted.get("offset") or 0)
    found = []
    for observation in _hst(site):
        row = _row(observation)
        far = _distance(row, posted)
        try:
            fits = all(
                _meets(row, name, wanted) for one in posted.get("conditions") or [] for name, wanted in one.items()
            )
        except KeyError as error:
            return refusal(400, f"There is no column {error.args[0]}.")
        if fits and far is not None:
            found.append({**row, **({"ang_sep": far} if posted.get("target") else {})})
    chosen = [name for name in posted.get("select_cols") or [] if name in _COLUMNS] or list(_COLUMNS)
    chosen += (
        ["sci_data_set_name"] * ("sci_data_set_name" not in chosen)
        + ["search_key"]
        + ["ang_sep"] * bool(posted.get("target"))
    )
    info = [
        {"name": name, "type": _COLUMNS[name][1] if name in _COLUMNS else "FLOAT" if name == "ang_sep" else "VARCHAR"}
        for name in chosen
    ]
    shown = [{name: row[name] for name in chosen} for row in found[offset : offset + limit]]
    params = {**posted, "offset": offset, "limit": limit}
    return _json({"messages": [], "info": info, "search_params": params, "totalResults": len(found), "results": shown})


def _hst(site: Site) -> list[Observation]:
    return [of for of in site.observations if of.row["obs_collection"] == "HST"]


def _row(observation: Observation) -> dict[str, Any]:
    of, facts = observation.row, observation.facts
    name = str(of["obs_id"]).upper()
    spectrum = of["dataproduct_type"] == "spectrum"
    return {
        "sci_data_set_name": name, "sci_targname": of["target_name"], "sci_ra": of["s_ra"], "sci_dec": of["s_dec"],
        "sci_instrume": facts.get("INSTRUME"), "sci_pep_id": int(of["proposal_id"]) if str(of["proposal_id"]).isdigit() else None,
        "sci_pi_last_name": of["proposal_pi"], "sci_obs_type": "SPECTRUM" if spectrum else "IMAGE", "sci_operating_mode": facts.get("OBSMODE"),
        "sci_spec_1234": facts.get("OPT_ELEM"), "sci_aper_1234": facts.get("APERTURE"),
        "sci_central_wavelength": float(facts["CENWAVE"]) if facts.get("CENWAVE", "").isdigit() else None, "sci_start_time": _date(of["t_min"]),
        "sci_stop_time": _date(of["t_max"]), "sci_actual_duration": of["t_exptime"], "search_key": name,
    }  # fmt: skip


def _date(mjd: float | None) -> str | None:
    return None if mjd is None else (datetime(1858, 11, 17) + timedelta(days=mjd)).isoformat(timespec="milliseconds")


def _distance(row: Mapping[str, Any], posted: Mapping[str, Any]) -> float | None:
    """Return arcminutes to the nearest of the places that are asked for, None where none is near; 0 where none is asked for."""
    if not posted.get("target"):
        return 0.0
    if row["sci_ra"] is None:
        return None
    radius = float(posted.get("radius") or 3) * _ARCMIN.get(str(posted.get("radius_units", "arcminutes")), 1 / 60)
    places = [[float(part) for part in str(text).replace(",", " ").split()] for text in posted["target"]]
    far = min(separation(row["sci_ra"], row["sci_dec"], ra, dec) for ra, dec in places)
    return far * 60 if far <= radius else None


def _meets(row: Mapping[str, Any], name: str, wanted: Any) -> bool:
    value = row[name]
    return any(_fits(value, part.strip()) for part in str(wanted).split(","))


def _fits(value: Any, wanted: str) -> bool:
    if wanted in ("", "*"):
        return True
    if wanted.startswith("!"):
        return not _fits(value, wanted[1:])
    if value is None:
        return False
    if isinstance(value, int | float):
        try:
            low, dots, high = wanted.partition("..")
            if dots:
                return float(low) <= value <= float(high)
            for sign, test in ((">=", operator.ge), ("<=", operator.le), (">", operator.gt), ("<", operator.lt)):
                if wanted.startswith(sign):
                    return bool(test(value, float(wanted[len(sign) :])))
            return float(wanted) == value
        except ValueError:
            return False
    parts = {str(value).upper(), *str(value).upper().split(";")}
    return any(fnmatch.fnmatchcase(part, wanted.upper()) for part in parts)


def _list(site: Site, wanted: set[str]) -> Reply:
    rows = []
    for observation in _hst(site):
        dataset = str(observation.row["obs_id"]).upper()
        if dataset not in wanted:
            continue
        for row in products(observation, site.sizes(observation)):
            name, suffix = row["productFilename"], row["productSubGroupDescription"]
            raw = "RAW" in suffix or suffix in ("SPT", "TAG")
            rows.append(
                {"product_key": f"{dataset}_{name}", "access": "PUBLIC", "dataset": dataset, "instrument_name": observation.facts.get("INSTRUME"),
                 "filters": observation.row["filters"], "filename": name, "uri": f"{dataset}/{name}", "authz_primary_identifier": dataset,
                 "authz_secondary_identifier": "CAL", "file_suffix": suffix, "category": "UNCALIBRATED" if raw else "CALIBRATED", "size": row["size"],
                 "type": row["productType"].lower()}
            )  # fmt: skip
    return _json({"products": rows})


def _json(answer: Any) -> Reply:
    return Reply(text_content(json.dumps(answer)))
