"""Write the tables of the documentation that come from the code, so that they cannot disagree with it.

Run by ``make docs``; ``tests/test_docs.py`` fails when a page is stale.
"""

from __future__ import annotations

from pathlib import Path

from cuvee.model.flags import FLAGS, QUALITY, Bit, default_mask

__all__ = ["PAGES", "flags_page", "main"]

_SOURCES = {
    "tess": "TESS Science Data Products Description Document, EXP-TESS-ARC-ICD-0014 Rev F, table 32",
    "kepler": "Kepler Archive Manual, KDMC-10008-006, table 2-3; for K2 as well",
}


def _table(bits: tuple[Bit, ...]) -> list[str]:
    lines = ["| Value | Name | Meaning | In the default mask |", "| ---: | --- | --- | :---: |"]
    lines += [f"| {bit.value} | `{bit.name}` | {bit.meaning} | {'yes' if bit.bad else ''} |" for bit in bits]
    return [*lines, "", f"The default mask is {default_mask(bits)}: a point with any of its bits is left out.", ""]


def flags_page() -> str:
    """Return ``docs/flags.md``: every bit of every flag column, from `cuvee.model.flags`."""
    lines = [
        "# Flags",
        "",
        "<!-- Made by `make docs` from src/cuvee/model/flags.py; change it there. -->",
        "",
        "Every point of a light curve has two flag columns. `flag` holds cuvee's own bits, `quality` the mission's,",
        "unchanged. Zero means nothing to say. `LightCurve.good` leaves out the points with a bit of either default mask;",
        "`cuvee explain ID` says every flag of a star in words.",
        "",
        "## `flag`: cuvee",
        "",
        *_table(FLAGS),
    ]
    for instrument, bits in QUALITY.items():
        lines += [f"## `quality`: {instrument}", "", f"Source: {_SOURCES[instrument]}.", "", *_table(bits)]
    return "\n".join(lines)


PAGES = {"flags.md": flags_page}
"""The made pages of this folder, and what makes each."""


def main() -> None:
    """Write all made pages."""
    for name, make in PAGES.items():
        Path(__file__).with_name(name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
