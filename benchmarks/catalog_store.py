"""A bulk file of the TIC taken into a store, beside programs that only read it, and circles of the sky found in the store.

``python -m benchmarks.catalog_store [--json FILE] [--rows N] [--folder DIR]``

The file is made as those of the TIC v8.2 are: ``csv.gz`` without a header line, 125 columns, all of them filled (in the real file half of them are empty in
most rows), in a strip of declination of which it fills as much as so many stars of the TIC do. cuvee decompresses it, adds up its md5, parses it, sorts
it by place and writes it; pyarrow and pandas only parse it into memory.

First the answer: the rows of the store are those that pyarrow reads, and circles hold what astropy finds.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from cuvee.store.catalog_columns import TIC_COLUMNS
from cuvee.store.sky_columns import column_types
from cuvee.store.sky_import import import_table
from cuvee.store.sky_search import cone_search

WANTED_ROWS, WANTED_MS = 60_000, 20.0
STARS_A_DEGREE = 1.7e9 / 41_253.0
"""Of the TIC, per square degree."""
STRIP = (-60.0, -58.0)
BLOCK = 50_000
N_CONE, N_PROVEN, RADIUS = 200, 20, 0.05
SHOWN = ["ID", "ra", "dec", "Tmag", "pmRA", "pmDEC", "Teff", "rad"]
"""What `cuvee catalog search` shows without further words."""
_DIGITS = {"ra": 11, "dec": 11, "gallong": 10, "gallat": 10, "eclong": 10, "eclat": 10, "RA_orig": 11, "Dec_orig": 11}
_TEXTS = {
    "version": "20190415", "TYC": "8868-01234-1", "UCAC": "374-054847", "TWOMASS": "09085422-1516540", "ALLWISE": "J090854.21-151653.9",
    "GAIA": "5731246381742426496", "APASS": "8370035", "objType": "STAR", "typeSrc": "tmgaia2", "POSflag": "tmgaia2", "PMflag": "gaia2",
    "PARflag": "gaia2", "TWOMflag": "AAA-222-111-000-0-0", "TESSflag": "rered", "SPFlag": "gaia2", "lumclass": "DWARF", "disposition": "SPLIT",
    "EBVflag": "panstarrs", "distflag": "bj2018", "TeffFlag": "dered", "starchareFlag": "ucac4", "VmagFlag": "ucac4", "BmagFlag": "apassdr9",
    "splists": "cooldwarfs_v8",
}  # fmt: skip


def rows_of_sky(n: int, total: int, rng: np.random.Generator, first: int, types: dict[str, pa.DataType]) -> pa.Table:
    """Return rows with a value in each column."""
    wide = total / STARS_A_DEGREE / (STRIP[1] - STRIP[0]) / np.cos(np.radians(np.mean(STRIP)))
    columns: dict[str, Any] = {}
    for name in TIC_COLUMNS:
        if pa.types.is_string(types[name]):
            columns[name] = [_TEXTS[name]] * n
        elif pa.types.is_integer(types[name]):
            columns[name] = rng.integers(0, 10**9, n)
        else:
            columns[name] = np.round(rng.lognormal(1.0, 1.0, n), 6)
    columns["ID"] = rng.permutation(n) + first
    columns["GAIA"] = rng.integers(10**18, 6 * 10**18, n).astype(str)
    columns["TWOMASS"] = [f"{a:08d}-{b:07d}" for a, b in rng.integers(0, 10**7, (n, 2)).tolist()]
    columns["ra"] = np.round(rng.uniform(60.0, 60.0 + wide, n), 11)
    columns["dec"] = np.round(rng.uniform(*STRIP, n), 11)
    columns["Tmag"] = np.round(rng.uniform(6.0, 20.0, n), 4)
    for name, digits in _DIGITS.items():
        if name not in ("ra", "dec"):
            columns[name] = np.round(rng.uniform(0.0, 360.0, n), digits)
    return pa.table(columns)


def write_bulk(path: Path, n: int) -> str:
    """Write the file, and return the md5 of its text."""
    rng, digest = np.random.default_rng(1), hashlib.md5(usedforsecurity=False)
    with gzip.open(path, "wb", compresslevel=6) as file:
        first_line = ",".join(["1"] * len(TIC_COLUMNS)) + "\n"
        bare = path.with_name("bare.csv")
        bare.write_text(first_line)
        types, _ = column_types(bare)
        for first in range(0, n, BLOCK):
            out = pa.BufferOutputStream()
            some = rows_of_sky(min(BLOCK, n - first), n, rng, first + 1, types)
            pa_csv.write_csv(some, out, pa_csv.WriteOptions(include_header=False, quoting_style="none"))
            text = out.getvalue().to_pybytes()
            digest.update(text)
            file.write(text)
    return digest.hexdigest()


def by_pyarrow(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    convert = pa_csv.ConvertOptions(column_types=types)
    return pa_csv.read_csv(
        path, read_options=pa_csv.ReadOptions(column_names=list(TIC_COLUMNS)), convert_options=convert
    )


def by_pandas(path: Path, types: dict[str, pa.DataType]) -> pd.DataFrame:
    kinds = {
        name: str if pa.types.is_string(kind) else np.int64 if pa.types.is_integer(kind) else float
        for name, kind in types.items()
    }
    return pd.read_csv(path, header=None, names=list(TIC_COLUMNS), dtype=kinds)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def cone_times(folder: Path, places: NDArray[np.float64], columns: Sequence[str]) -> list[float]:
    """Return how long each circle takes (ms)."""
    return [1e3 * timed(partial(cone_search, folder, ra, dec, RADIUS, columns))[1] for ra, dec in places.tolist()]


def is_right(folder: Path, table: pa.Table, places: NDArray[np.float64]) -> bool:
    """Compare the store with what pyarrow has read, and circles with astropy's separations."""
    wanted = table.select(["ID", "ra", "dec", "Tmag", "GAIA", "TWOMASS", "objID"]).sort_by("ID")
    middle = float(table["ra"][0].as_py())
    found = cone_search(folder, middle, -59.0, 180.0, wanted.column_names).select(wanted.column_names).sort_by("ID")
    if not found.equals(wanted):
        return False
    every = SkyCoord(wanted["ra"].to_numpy(), wanted["dec"].to_numpy(), unit="deg")
    for ra, dec in places[:N_PROVEN].tolist():
        inside = every.separation(SkyCoord(ra, dec, unit="deg")) <= RADIUS * u.deg
        mine = cone_search(folder, ra, dec, RADIUS, ["ID"])["ID"].to_pylist()
        if sorted(mine) != wanted["ID"].to_numpy()[inside].tolist() or not mine:
            return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time the import of a TIC bulk file, and circles in the store.")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--folder", type=Path, help="work here (2 GB)")
    args = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        path, folder = Path(scratch) / "tic_dec60_00S__58_00S.csv.gz", Path(scratch) / "tic"
        md5 = write_bulk(path, args.rows)
        types, _ = column_types(path)
        size = path.stat().st_size
        os.sync()
        source, ours = timed(lambda: import_table(path, folder, "tic", md5, lambda _read, _size: None))
        table, reading = timed(lambda: by_pyarrow(path, types))
        rng = np.random.default_rng(2)
        chosen = rng.integers(0, args.rows, N_CONE)
        places = np.column_stack([table[axis].to_numpy()[chosen] for axis in ("ra", "dec")])
        right = source.n_row == args.rows and is_right(folder, table, places)
        del table
        _, pandas = timed(lambda: by_pandas(path, types))
        few, every = cone_times(folder, places, SHOWN), cone_times(folder, places, ())
        stored = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    if not right:
        print("FAILED: the store does not hold what the file does", file=sys.stderr)
        return 1
    numbers = {
        "rows": args.rows, "columns": len(TIC_COLUMNS), "bytes": size, "stored_bytes": stored, "import_s": ours, "rows_s": args.rows / ours,
        "pyarrow_s": reading, "pandas_s": pandas, "pyarrow_ratio": ours / reading, "pandas_ratio": pandas / ours,
        "cone_ms": float(np.median(few)), "cone_95_ms": float(np.percentile(few, 95)), "cone_all_columns_ms": float(np.median(every)), "load": load,
    }  # fmt: skip
    print(
        f"{args.rows:,} rows of {len(TIC_COLUMNS)} columns, {size / 1e6:.0f} MB compressed, {stored / 1e6:.0f} MB stored"
    )
    print(f"  taken in                {ours:6.2f} s  {args.rows / ours:9,.0f} rows/s")
    print(
        f"  only read: pyarrow      {reading:6.2f} s  {args.rows / reading:9,.0f} rows/s   cuvee takes {ours / reading:.2f} of it"
    )
    print(
        f"  only read: pandas       {pandas:6.2f} s  {args.rows / pandas:9,.0f} rows/s   cuvee takes {ours / pandas:.2f} of it"
    )
    print(
        f"  circle of {RADIUS} deg      {np.median(few):6.1f} ms (95 % within {np.percentile(few, 95):.1f} ms); all columns {np.median(every):.1f} ms"
    )
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    failed = args.rows / ours < WANTED_ROWS or np.median(few) > WANTED_MS
    print(f"{'FAILED' if failed else 'passed'}: {WANTED_ROWS:,} rows/s and {WANTED_MS:g} ms wanted")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
