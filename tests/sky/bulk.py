"""The TIC as an archive has it in bulk: strips without a header line, made of a few stars."""

from __future__ import annotations

import csv
import gzip
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cuvee.testing.archive.columns import STARS


def strip_name(dec: float) -> str:
    """The archive's name of the file that holds a declination."""
    low = int((dec + 90.0) // 2.0) * 2 - 90
    if low == -2:
        return "tic_dec02_00S__00_00N.csv.gz"
    sign = "S" if low < 0 else "N"
    return f"tic_dec{abs(low):02d}_00{sign}__{abs(low + 2):02d}_00{sign}.csv.gz"


def write_strips(folder: Path, stars: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Write stars (ID, ra, dec and whatever else is known of them) to the strips that they lie in; return the ids by file."""
    place = folder / "tic_v82"
    place.mkdir(parents=True)
    texts: dict[str, io.StringIO] = defaultdict(io.StringIO)
    ids: dict[str, list[int]] = defaultdict(list)
    for star in stars:
        name = strip_name(float(star["dec"]))
        row = dict.fromkeys(STARS, "") | {"version": "20190415"} | dict(star)
        csv.writer(texts[name], lineterminator="\n").writerow(row.values())
        ids[name].append(int(star["ID"]))
    for name, text in texts.items():
        (place / name).write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    return dict(ids)


def some_stars(decs: Iterable[float], n: int = 1) -> list[dict[str, Any]]:
    """Stars at some declinations, `n` at each, all round the sky."""
    return [
        {"ID": 1_000_000 * k + j + 1, "ra": 360.0 * j / n, "dec": dec, "Tmag": 10.0}
        for k, dec in enumerate(decs)
        for j in range(n)
    ]
