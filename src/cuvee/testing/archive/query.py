"""Searching a table as the portal does: filters, places on the sky, pages."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Row", "inside", "matches", "middle", "page_bounds", "separation"]

Row = Mapping[str, Any]
"""One row: value by column; None where there is none."""


def matches(row: Row, filters: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether a row passes all filters; of the values of one filter any will do, and none at all means anything.

    Raises
    ------
    KeyError
        If a filter names a column that the table does not have.
    """
    return all(_passes(row, one) for one in filters)


def _passes(row: Row, one: Mapping[str, Any]) -> bool:
    name = next((key for key in row if key.lower() == str(one["paramName"]).lower()), None)
    if name is None:
        raise KeyError(one["paramName"])
    values, free, mark = one.get("values") or [], one.get("freeText"), one.get("separator")
    if not values and not free:
        return True
    value = row[name]
    if value is None:
        return False
    parts = [value, *(part.strip() for part in value.split(mark))] if mark and isinstance(value, str) else [value]
    return any(_equal(part, wanted) for part in parts for wanted in values) or any(_like(part, free) for part in parts)


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        low, high = (float(wanted.get(key, default)) for key, default in (("min", -math.inf), ("max", math.inf)))
        return isinstance(value, int | float) and low <= value <= high
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(wanted) == value
        except (TypeError, ValueError):
            return False
    return str(value).lower() == str(wanted).lower()


def _like(value: Any, pattern: str | None) -> bool:
    # As LIKE of SQL: % is any text, case does not count.
    if not pattern:
        return False
    return (
        re.fullmatch(".*".join(map(re.escape, pattern.split("%"))), str(value), re.IGNORECASE | re.DOTALL) is not None
    )


def page_bounds(rows: int, size: int, page: int) -> tuple[int, int, int]:
    """Return the first row of a page, the one behind its last, and how many pages there are."""
    start = min(rows, (page - 1) * size)
    return start, min(rows, start + size), -(-rows // size)


def _unit(ra: float, dec: float) -> tuple[float, float, float]:
    a, d = math.radians(ra), math.radians(dec)
    return math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)


def separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Return the angle between two directions (all in degrees)."""
    a, b = _unit(ra, dec), _unit(other_ra, other_dec)
    return math.degrees(2 * math.asin(min(1.0, math.dist(a, b) / 2)))


def middle(corners: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the direction in the middle of several (all in degrees)."""
    x, y, z = (sum(parts) for parts in zip(*(_unit(*corner) for corner in corners), strict=True))
    return math.degrees(math.atan2(y, x)) % 360, math.degrees(math.atan2(z, math.hypot(x, y)))


def inside(ra: float, dec: float, corners: Sequence[tuple[float, float]]) -> bool:
    """Tell whether a direction lies in a convex polygon of great circles, smaller than half the sky (all in degrees)."""
    point, ends = _unit(ra, dec), [_unit(*corner) for corner in corners]
    sides = [_triple(a, b, point) for a, b in zip(ends, ends[1:] + ends[:1], strict=True)]
    near = sum(sum(p * e for p, e in zip(point, end, strict=True)) for end in ends) > 0
    return near and (all(side >= 0 for side in sides) or all(side <= 0 for side in sides))


def _triple(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> float:
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    return sum(x * y for x, y in zip(cross, c, strict=True))
