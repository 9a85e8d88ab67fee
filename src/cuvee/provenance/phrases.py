"""Numbers in words, alike for all sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["number", "verdict"]


def number(value: float | None, digits: int = 4, width: int = 0) -> str:
    """Write a number with its digits, right-aligned."""
    return ("not a number" if value is None else f"{value:.{digits}f}").rjust(width)


def verdict(facts: Mapping[str, Any], unit: str, allows: str = "rounding allows") -> str:
    """Say whether a number that was done again is the stored one, to what single precision, or what ``allows`` names, leaves open."""
    if facts["agrees"]:
        if not facts["difference"]:
            return "as stored"
        away = f"{abs(facts['difference']):.1e} {unit}".rstrip()
        return f"as stored, to {away} ({allows} {facts['tolerance']:.1e})"
    stored = f"{number(facts['stored'])} {unit}"
    if facts["difference"] is None:
        return f"BUT STORED IS {stored}"
    return f"BUT STORED IS {stored}, {abs(facts['difference']):.2e} away, where {allows} {facts['tolerance']:.1e}"
