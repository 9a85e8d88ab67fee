"""Searches at MAST's portal, of which either the whole answer comes back, or an error.

Why not astroquery (0.4.11, and its head of August 2026, driven against a loopback archive): a page with any status but COMPLETE, EXECUTING
and ERROR ends its loop, and the pages so far come back as if they were all; it never compares the number of rows with the total that each page tells, and does
not see rows that moved from one page to another meanwhile; while a search is EXECUTING it asks again at once, some twenty times a second,
for ten minutes; one 503 ends everything. None of this can be mended from outside without replacing the loop that we would use it for.
And it takes a second to import. What is left of it then is one POST, which is below. Its downloads, which have faults of their own, are not needed.

Protocol: MAST API documentation, ``https://mast.stsci.edu/api/v0/``.
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cuvee.acquire.wire import Wire
from cuvee.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Answer", "Portal", "parse_where"]

Row = dict[str, Any]

_PAGE_SIZE = 50_000
_WORKING = ("EXECUTING", "PENDING")
_LONGEST_LOOK = 10.0
"""Seconds between two looks at a search that is in work."""


@dataclass(frozen=True, slots=True)
class Answer:
    """All rows of a search.

    Parameters
    ----------
    rows : list of dict
        As the portal sends them.
    fields : sequence of str
        Names of the columns, in the portal's order.
    """

    rows: list[Row]
    fields: Sequence[str]

    @property
    def table(self) -> Table:
        """The rows as an astropy Table; what is null is masked."""
        from astropy.table import MaskedColumn, Table

        names = list(self.fields) or sorted({name for row in self.rows for name in row})
        columns = []
        for name in names:
            values = [row.get(name) for row in self.rows]
            known = [value for value in values if value is not None]
            kinds = {type(value) for value in known}
            if kinds <= {int, float} and known:
                fill: Any = 0 if kinds == {int} else 0.0
            elif kinds == {bool}:
                fill = False
            else:
                fill, values = "", [None if value is None else str(value) for value in values]
            data = [fill if value is None else value for value in values]
            dtype = None if data else str
            columns.append(MaskedColumn(data, name=name, mask=[value is None for value in values], dtype=dtype))
        return Table(columns)


class Portal:
    """MAST's portal, or whatever answers as it does.

    Parameters
    ----------
    wire : Wire
        The line.
    base : str
        Where it is, without a slash at its end.
    page_size : int
        Rows that are asked for at a time.
    """

    def __init__(self, wire: Wire, base: str, page_size: int = _PAGE_SIZE) -> None:
        self._wire = wire
        self._url = f"{base}/api/v0/invoke"
        self._columns_url = f"{base}/portal/Mashup/Mashup.asmx/columnsconfig"
        self._page_size = page_size

    def search(self, service: str, params: Mapping[str, Any], key: str = "") -> Answer:
        """Search, and return all rows.

        Parameters
        ----------
        service : str
            Name of the service, such as ``Mast.Caom.Filtered``.
        params : mapping
            What it takes.
        key : str
            A column of which no two rows have the same value.

        Raises
        ------
        TransientError
            If the portal cannot be reached, or sends no answer that adds up, however often it is asked.
        """
        patience, trouble = self._wire.patience, ""
        for attempt in range(patience.tries):
            if attempt:
                self._wire.sleep(patience.pause(attempt - 1))
            try:
                return self._all_pages(service, params, key)
            except _Unsound as fault:
                trouble = str(fault)
        raise TransientError(
            f"The archive's answer to a search ({service}) is not to be trusted: {trouble}, {patience.tries} times;"
            " nothing was taken from it, run again later."
        )

    def _all_pages(self, service: str, params: Mapping[str, Any], key: str) -> Answer:
        rows: list[Row] = []
        fields: list[str] = []
        total, number, pages = -1, 1, 1
        while number <= pages:
            answer = self._page(service, params, number)
            paging = answer.get("paging") or {}
            found = answer.get("data") or []
            fields = fields or [field["name"] for field in answer.get("fields") or []]
            if not paging:
                if number > 1 or len(found) >= self._page_size:
                    raise _Unsound("it does not say how many pages there are")
                return Answer(_shown(found), _shown_names(fields))
            if number > 1 and int(paging.get("page", number)) != number:
                raise _Unsound(f"it sent page {paging.get('page')} for page {number}")
            rows += found
            told = int(paging.get("rowsFiltered", len(rows)))
            if total not in (-1, told):
                raise _Unsound(f"it found {total} rows, then {told}")
            total, pages = told, int(paging.get("pagesFiltered", 1))
            number += 1
        if len(rows) != total:
            raise _Unsound(f"it says {total} rows and sends {len(rows)}")
        if pages > 1 and (twice := len(rows) - len({_identity(row, key) for row in rows})):
            raise _Unsound(f"it sends {twice} of the {len(rows)} rows twice, so others may be missing")
        return Answer(_shown(rows), _shown_names(fields))

    def _page(self, service: str, params: Mapping[str, Any], number: int) -> dict[str, Any]:
        request = {
            "service": service,
            "params": params,
            "format": "json",
            "pagesize": self._page_size,
            "page": number,
            "removenullcolumns": False,
        }
        start, look = time.monotonic(), self._wire.patience.first
        while True:
            reply = self._wire.ask("POST", self._url, data={"request": json.dumps(request)}, headers=_PLAIN)
            try:
                answer = reply.json()
                status = str(answer["status"]).upper()
            except (ValueError, TypeError, KeyError):
                raise _Unsound("it is no JSON of the portal's, perhaps a page for people") from None
            if status == "COMPLETE":
                return dict(answer)
            if status not in _WORKING:
                message = str(answer.get("msg") or "without a word").strip()
                raise _Unsound(f"page {number} has the status {status} ({message})")
            if time.monotonic() - start > self._wire.patience.executing:
                seconds = self._wire.patience.executing
                raise TransientError(
                    f"The archive still works on a search ({service}) after {seconds:.0f} s; ask for less, or later."
                )
            self._wire.sleep(look)
            look = min(2.0 * look, _LONGEST_LOOK)

    def columns(self, of: str = "Mast.Caom.Cone") -> dict[str, dict[str, Any]]:
        """Return what observations can be filtered on, by column.

        Parameters
        ----------
        of : str
            ``Mast.Caom.Cone`` for observations.

        Raises
        ------
        TransientError
            If the portal cannot be reached.
        """
        reply = self._wire.ask("POST", self._columns_url, data={"colConfigId": of}, headers=_PLAIN)
        try:
            found = dict(reply.json())
        except (ValueError, TypeError) as error:
            raise TransientError(f"{self._columns_url} sends something else than columns; run again later.") from error
        return {name: facts for name, facts in found.items() if isinstance(facts, dict) and name != "_selected_"}


_PLAIN = {"Accept": "text/plain"}


class _Unsound(Exception):
    """An answer that does not add up."""


def _identity(row: Row, key: str) -> str:
    return str(row[key]) if key and key in row else json.dumps(row, sort_keys=True)


def _shown(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "_selected_"} for row in rows]


def _shown_names(fields: Sequence[str]) -> list[str]:
    return [name for name in fields if name != "_selected_"]


def parse_where(texts: Sequence[str], columns: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the portal's filters for what a user typed.

    Parameters
    ----------
    texts : sequence of str
        ``column=value``, ``column=min..max`` for numbers, ``column=wild*card``; values may be separated by commas.
    columns : mapping
        From `Portal.columns`.

    Raises
    ------
    ConfigError
        If there is no such column, or no such form.
    """
    filters = []
    for text in texts:
        name, found, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not found or not value:
            raise ConfigError(f"--where takes column=value, column=min..max or column=wild*, not {text!r}.")
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see: cuvee acquire --columns"
            raise ConfigError(f"There is no column {name!r} to filter on; {hint}")
        filters.append({"paramName": name, **_filter(text, value, columns[name])})
    return filters


def _filter(text: str, value: str, column: Mapping[str, Any]) -> dict[str, Any]:
    low, found, high = value.partition("..")
    if found:
        kind = str(column.get("vot.datatype") or column.get("type") or "")
        if kind not in ("double", "float", "int", "long", "numeric", "number"):
            raise ConfigError(f"{text!r} asks for a range, but that column holds words; name them, or use a *.")
        try:
            return {"values": [{"min": float(low), "max": float(high)}]}
        except ValueError:
            raise ConfigError(f"The range of {text!r} needs two numbers, as in t_exptime=100..200.") from None
    if "*" in value:
        return {"values": [], "freeText": value.replace("*", "%")}
    more = {"separator": column["separator"]} if column.get("separator") else {}
    return {"values": [part.strip() for part in value.split(",")], **more}
