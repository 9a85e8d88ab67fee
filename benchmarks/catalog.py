"""A million catalogue rows to targets on a full CCD, read against astropy and pandas, in one run.

``python benchmarks/catalog.py [--json FILE] [--rows N]``

First the answer: the same numbers as pandas reads, and every target where astropy's WCS puts it, none forgotten. Then the times.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.table import Table
from astropy.wcs import WCS

from cuvee.catalog import TargetParams, select_targets
from cuvee.catalog.project import footprint_cone
from cuvee.instruments.tess import TESS
from cuvee.model.records import Footprint, Stars
from cuvee.simulate.tess import simulate
from cuvee.store.catalogs import read_stars

WANTED_SECONDS = 15.0
RADII = (1.5, 2.5, 3.5)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def write_table(path: Path, footprint: Footprint, n: int) -> None:
    """Write a table of stars over thrice the area of the detector."""
    rng = np.random.default_rng(1)
    cone = footprint_cone(footprint)
    radius = np.radians(cone.radius) * np.sqrt(rng.random(n)) * 1.2
    angle = 2.0 * np.pi * rng.random(n)
    dec = cone.dec + np.degrees(radius * np.sin(angle))
    ra = (cone.ra + np.degrees(radius * np.cos(angle)) / np.cos(np.radians(dec))) % 360.0
    columns = {"ID": np.arange(1, n + 1), "ra": ra, "dec": dec, "Tmag": 19.0 - rng.exponential(1.4, n)}
    pd.DataFrame(columns).to_csv(path, index=False)


def forgotten_and_misplaced(stars: Stars, footprint: Footprint, targets: Any) -> tuple[int, float]:
    """Compare with astropy, which inverts the same WCS star by star within the circle round the pixels."""
    cone = footprint_cone(footprint)
    rows = np.flatnonzero((stars.mag <= TargetParams().mag_limit) & cone.contains(stars.ra, stars.dec))
    wcs = WCS(footprint.wcs, fix=False)
    col, row = wcs.all_world2pix(stars.ra[rows], stars.dec[rows], 0, quiet=True, maxiter=40)
    on = (col >= -0.5) & (col < 2047.5) & (row >= -0.5) & (row < 2047.5)
    there = dict(zip(stars.id[rows[on]].tolist(), zip(col[on], row[on], strict=True), strict=True))
    worst = 0.0
    for star, x, y in zip(targets.id.tolist(), targets.col, targets.row, strict=True):
        if star in there:
            worst = max(worst, float(np.hypot(x - there[star][0], y - there[star][1])))
    return len(set(there) ^ set(targets.id.tolist())), worst


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time a large catalogue against astropy and pandas.")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        simulate(folder / "frame", frames=1, stars=100)
        info = TESS.scan(str(next((folder / "frame" / "RAW").glob("*_ffic.fits"))))
        footprint = Footprint(info.series, info.geometry, info.wcs, 2019.1)
        path = folder / "stars.csv"
        write_table(path, footprint, args.rows)

        (stars, _), ours = timed(lambda: read_stars(path))
        frame, by_pandas = timed(lambda: pd.read_csv(path, float_precision="round_trip"))
        _, by_astropy = timed(lambda: Table.read(path, format="ascii.csv"))
        order = np.argsort(stars.id)
        same = all(
            np.array_equal(getattr(stars, mine)[order], frame[theirs].to_numpy())
            for mine, theirs in (("id", "ID"), ("ra", "ra"), ("dec", "dec"), ("mag", "Tmag"))
        )
        choose = partial(select_targets, fwhm=TESS.fwhm, zero_point=TESS.zero_point, radii=RADII)
        choose([footprint], stars.take(slice(None, None, 1000)), TargetParams())  # compiles
        targets, chosen = timed(lambda: choose([footprint], stars, TargetParams()))
        wrong, worst = forgotten_and_misplaced(stars, footprint, targets)

    print(
        f"{args.rows:,} rows, {len(targets):,} targets; {wrong} forgotten or invented, largest difference {worst:.1e} px"
    )
    if not same or wrong or worst > 1e-4:
        print("FAILED: the answer is wrong", file=sys.stderr)
        return 1
    print(
        f"  read and sort by HEALPix  {ours:6.2f} s   (only reading: pandas {by_pandas:.2f} s, astropy {by_astropy:.2f} s)"
    )
    print(f"  project and crowding      {chosen:6.2f} s")
    failed = ours + chosen > WANTED_SECONDS
    numbers = {
        "rows": args.rows, "targets": len(targets), "read_s": ours, "pandas_s": by_pandas, "astropy_s": by_astropy,
        "select_s": chosen, "pandas_ratio": by_pandas / ours, "astropy_ratio": by_astropy / ours,
    }  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    print(f"{'FAILED' if failed else 'passed'}: {ours + chosen:.1f} s (wanted: {WANTED_SECONDS:g})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
