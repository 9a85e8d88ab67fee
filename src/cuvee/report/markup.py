"""Pieces of HTML; whatever comes from outside is escaped here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from cuvee.report.pictures import Picture

__all__ = [
    "NOTHING",
    "Html",
    "bytes_text",
    "code",
    "date_text",
    "duration",
    "figure",
    "join",
    "link",
    "number",
    "percent",
    "plural",
    "slug",
    "table",
    "tag",
    "text",
]


NOTHING = "\N{EN DASH}"
"""Where there is no number."""


class Html(str):
    """A piece of finished HTML; any other string is text and is escaped."""

    __slots__ = ()


def text(words: object) -> Html:
    """Escape words for a page; finished HTML stays as it is."""
    return words if isinstance(words, Html) else Html(escape(str(words), quote=True))


def join(pieces: Iterable[object], between: str = "") -> Html:
    """Put pieces one after the other."""
    return Html(between.join(text(piece) for piece in pieces))


def tag(name: str, content: object = "", **attributes: object) -> Html:
    """Put content into a tag; a trailing underscore in an attribute's name is dropped, None leaves it out."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{words}>{text(content)}</{name}>")


def code(words: object) -> Html:
    """Show something to be typed."""
    return tag("code", words)


def link(anchor: str, words: object) -> Html:
    """Point to another place on the page."""
    return tag("a", words, href=f"#{anchor}")


def slug(words: str) -> str:
    """Return a name that can be an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "x"


def figure(image: Picture, alt: str, caption: object = "", kind: str = "wide") -> Html:
    """Show a picture with a caption; ``alt`` says in words what it shows."""
    size = f'width="{image.width}" height="{image.height}" style="max-width:min(100%,{image.shown}px)"'
    shown = Html(f'<img src="{image.uri}" {size} alt="{text(alt)}">')
    words = tag("figcaption", caption) if caption else ""
    return tag("figure", join([tag("div", shown, class_="frame"), words]), class_=kind)


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    caption: object = "",
    left: int = 1,
    kind: str | None = None,
) -> Html:
    """Make a table whose first ``left`` columns hold words and the others numbers."""

    def cells(row: Sequence[object], name: str) -> Html:
        return join(
            tag(
                "th" if name == "td" and k == 0 else name,
                cell,
                class_="n" if k >= left else None,
                scope="row" if name == "td" and k == 0 else "col" if name == "th" else None,
            )
            for k, cell in enumerate(row)
        )

    body = join((tag("tr", cells(row, "td")) for row in rows), "\n")
    words = tag("caption", caption) if caption else ""
    whole = tag("table", join([words, tag("thead", tag("tr", cells(head, "th"))), tag("tbody", body)]), class_=kind)
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label="table")


def number(value: float, digits: int = 0) -> str:
    """Write a number with its thousands apart; a dash where there is none."""
    if not np.isfinite(value):
        return NOTHING
    written = f"{value:,.{digits}f}"
    return written.replace("-", "\N{MINUS SIGN}") if float(written.replace(",", "")) else f"{0.0:.{digits}f}"


def percent(share: float) -> str:
    """Write a share in percent."""
    return NOTHING if not np.isfinite(share) else f"{100.0 * share:.0f}\N{NO-BREAK SPACE}%"


def plural(n: int, one: str, many: str = "") -> str:
    """Write a count with its noun."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Write a time as people say it."""
    if not np.isfinite(seconds):
        return NOTHING
    if seconds < 0.095:
        return "< 0.1 s"
    if seconds < 120.0:
        return f"{seconds:.1f} s" if seconds < 10.0 else f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def bytes_text(size: float) -> str:
    """Write a size in bytes, kB, MB, GB (powers of ten)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000.0 or unit == "GB":
            return f"{size:.0f} {unit}" if size >= 100.0 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000.0
    raise AssertionError


def date_text(stamp: str) -> str:
    """Write an ISO time to the minute."""
    found = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", stamp)
    return f"{found[1]} {found[2]} UTC" if found else stamp
