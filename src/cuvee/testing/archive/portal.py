"""The portal's searches: observations, products, stars, names; answers come in pages.

Facts: the MAST API documentation (services, statuses, paging) and what astroquery.mast sends and expects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from cuvee.testing.archive.columns import OBSERVATIONS, PRODUCTS, STARS, Columns, column_config, fields
from cuvee.testing.archive.content import text_content
from cuvee.testing.archive.faults import Fault
from cuvee.testing.archive.observations import products
from cuvee.testing.archive.query import Row, matches, page_bounds
from cuvee.testing.archive.reply import Reply
from cuvee.testing.archive.resolver import resolve
from cuvee.testing.archive.site import Question, Site

__all__ = ["columns_config", "invoke", "service_of"]

_PAGE_FAULTS = ("page-missing", "page-warning", "page-shifted", "page-duplicated", "rows-total")
_TIMEOUT = "Error: Execution Timeout Expired.  The timeout period elapsed prior to completion of the operation or the server is not responding."


def service_of(question: Question) -> list[str]:
    """Return the name of the service that a request calls, if it calls one."""
    if not question.path.startswith("/api/v0/invoke"):
        return []
    try:
        return [str(json.loads(question.argument("request"))["service"])]
    except (ValueError, KeyError, TypeError):
        return []


def columns_config(_: Site, question: Question) -> Reply:
    """``/portal/Mashup/Mashup.asmx/columnsconfig``: what can be asked for."""
    wanted = question.argument("colConfigId")
    columns = PRODUCTS if "Products" in wanted else STARS if "Catalogs" in wanted else OBSERVATIONS
    return _json(column_config(columns))


def invoke(site: Site, question: Question) -> Reply:
    """``/api/v0/invoke``: one search."""
    try:
        request = json.loads(question.argument("request"))
        service, params = str(request["service"]), dict(request.get("params") or {})
        size, page = int(request.get("pagesize") or 1000), int(request.get("page") or 1)
    except (ValueError, KeyError, TypeError, AttributeError):
        return _failure("Error: the request is no JSON object with a service.")
    names = (service, question.path)
    if site.menu.strike(("executing",), names):
        return _json({"status": "EXECUTING", "msg": ""})
    if site.menu.strike(("error",), names):
        return _failure(_TIMEOUT)
    if service == "Mast.Name.Lookup":
        return _json({"resolvedCoordinate": resolve(site, [str(params.get("input", ""))]), "status": ""})
    if service == "Mast.Catalogs.All.Tic":
        return _json({"status": "COMPLETE", "msg": "", "data": _histograms()})
    try:
        columns, rows = _search(site, service, params)
        rows = [row for row in rows if matches(row, params.get("filters") or [])]
    except KeyError as error:
        return _failure(f"Error: Invalid column name '{error.args[0]}'.")
    except (ValueError, TypeError, AttributeError) as error:
        return _failure(f"Error: {error}")
    if columns is None:
        return _failure(f"Error: there is no service {service}.")
    wanted = str(params.get("columns", "*"))
    if wanted.upper().startswith("COUNT"):
        count: list[Row] = [{"Column1": len(rows)}]
        return _page(site, names, {"Column1": "string"}, count, size, 1)
    if wanted != "*":
        chosen = [name.strip() for name in wanted.split(",")]
        columns = {name: kind for name, kind in columns.items() if name in chosen}
    return _page(site, names, columns, rows, max(1, size), max(1, page))


def _search(site: Site, service: str, params: Mapping[str, Any]) -> tuple[Columns | None, Sequence[Row]]:
    place = None
    if service.endswith((".Cone", ".Position", ".Position.Rows")):
        given = (
            str(params["position"]).split(",")
            if "position" in params
            else [params[key] for key in ("ra", "dec", "radius")]
        )
        ra, dec, radius = (float(text) for text in given)
        place = (ra, dec, radius)
    if service.startswith("Mast.Catalogs"):
        stars = site.catalogs
        extra = {} if place is None else {"distance": "float", "objID1": "string"}
        rows: Sequence[Row] = [] if stars is None else stars.rows if place is None else stars.around(*place)
        if ".ctl" in service.lower():
            rows = [row for row in rows if row["priority"] is not None]
        cones = ("Mast.Catalogs.TIC.Cone", "Mast.Catalogs.Tic.Cone", "Mast.Catalogs.CTL.Cone", "Mast.Catalogs.Ctl.Cone")
        known = service.startswith(("Mast.Catalogs.Filtered.Tic", "Mast.Catalogs.Filtered.Ctl")) or service in cones
        return ({**STARS, **extra} if known else None), rows
    if service == "Mast.Caom.Products":
        wanted = {part.strip() for part in str(params["obsid"]).split(",")}
        return PRODUCTS, [
            row for of in site.observations if of.row["obsid"] in wanted for row in products(of, site.sizes(of))
        ]
    if service not in ("Mast.Caom.Filtered", "Mast.Caom.Filtered.Position", "Mast.Caom.Cone"):
        return None, []
    if place is None:
        return OBSERVATIONS, [of.row for of in site.observations]
    near = [(of, of.distance(*place)) for of in site.observations]
    found = [{**of.row, "objID1": of.row["objID"], "distance": far} for of, far in near if far is not None]
    return {**OBSERVATIONS, "objID1": "string", "distance": "float"}, sorted(found, key=lambda row: row["distance"])


def _page(site: Site, names: Sequence[str], columns: Columns, rows: Sequence[Row], size: int, page: int) -> Reply:
    start, stop, pages = page_bounds(len(rows), size, page)
    status, total = "COMPLETE", len(rows)
    for fault in site.menu.find(_PAGE_FAULTS, names):
        if not _strikes(fault, page) or not site.menu.strike((fault.kind,), names):
            continue
        if fault.kind == "page-missing":
            start = stop
        elif fault.kind == "page-warning":
            status = "WARNING"
        elif fault.kind == "rows-total":
            total += 1 if fault.number is None else int(fault.number)
        else:
            step = 1 if fault.kind == "page-shifted" else -1
            start, stop = (min(len(rows), max(0, at + step)) for at in (start, stop))
    shown = [{name: row.get(name) for name in columns} for row in rows[start:stop]]
    paging = {
        "page": page,
        "pageSize": size,
        "pagesFiltered": pages,
        "rows": len(shown),
        "rowsFiltered": total,
        "rowsTotal": total,
    }
    return _json({"status": status, "msg": "", "data": shown, "fields": fields(columns), "paging": paging})


def _strikes(fault: Fault, page: int) -> bool:
    if fault.kind == "rows-total":
        return True
    first = 2 if fault.number is None else int(fault.number)
    return page >= first if fault.kind in ("page-shifted", "page-duplicated") else page == first


def _histograms() -> dict[str, object]:
    discrete = {name: {"type": kind, "hist": []} for name, kind in STARS.items() if kind != "float"}
    continuous = {name: {"type": "numeric", "hist": []} for name, kind in STARS.items() if kind == "float"}
    both = {"discreteHistogram": discrete, "continuousHistogram": continuous}
    return {"name": "NewDataSet", "Tables": [{"name": "Table", "ExtendedProperties": both}]}


def _failure(message: str) -> Reply:
    return _json({"status": "ERROR", "msg": message, "data": [], "fields": [], "paging": {}})


def _json(answer: Mapping[str, Any]) -> Reply:
    return Reply(text_content(json.dumps(_plain(answer), separators=(",", ":"))))


def _plain(value: Any) -> Any:
    """Replace what JSON cannot say."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
