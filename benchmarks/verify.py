"""The headers of twenty thousand full-frame images looked at by ``cuvee verify``, beside astropy reading the same headers.

``python -m benchmarks.verify [--json FILE] [--files N] [--folder DIR]``

The files have the size and the headers of full-frame images; their pixels are holes, which take no room on the disk and which nobody reads without ``--full``.
First the answer: exactly the files that were damaged are named. The peer opens each file, reads all its headers, and judges nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from astropy.io import fits

from cuvee.acquire.outcome import Silent
from cuvee.config import write_workspace
from cuvee.simulate.tess import simulate
from cuvee.verify import verify

WANTED = 120.0
"""Seconds for twenty thousand files."""
N_FILE = 20_000
N_PEER = 1000
BROKEN_EVERY = 1000


def make_files(folder: Path, n: int, scratch: Path) -> set[str]:
    """Write files with the headers of a simulated one, each at its own time; return the names of those that are cut short."""
    simulate(scratch / "one", frames=1, stars=100)
    pattern = next((scratch / "one" / "RAW").glob("*_ffic.fits"))
    with fits.open(pattern) as units:
        start = datetime.fromisoformat(units[0].header["DATE-OBS"].rstrip("Z"))
        starts = [unit.fileinfo()["hdrLoc"] for unit in units]
        ends = [unit.fileinfo()["datLoc"] for unit in units]
    data, size = pattern.read_bytes(), pattern.stat().st_size
    headers = [(at, data[at:end]) for at, end in zip(starts, ends, strict=True)]
    old = f"'{start.isoformat(timespec='milliseconds')}Z'".encode()
    assert old in headers[0][1]
    broken = set()
    folder.mkdir()
    for k in range(n):
        moment = start + timedelta(seconds=200 * k)
        name = f"tess{moment:%Y%j%H%M%S}-s0008-3-4-0136-s_ffic.fits"
        with (folder / name).open("wb") as file:
            for at, header in headers:
                file.seek(at)
                file.write(header.replace(old, f"'{moment.isoformat(timespec='milliseconds')}Z'".encode()))
            file.truncate(size // 2 if k % BROKEN_EVERY == BROKEN_EVERY - 1 else size)
        if k % BROKEN_EVERY == BROKEN_EVERY - 1:
            broken.add(name)
    return broken


def by_astropy(paths: Sequence[Path]) -> float:
    """Return how long reading all headers takes (s)."""
    start = time.perf_counter()
    for path in paths:
        with fits.open(path) as units:
            for unit in units:
                assert unit.header["NAXIS"] in (0, 2)
    return time.perf_counter() - start


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time cuvee verify over many files.")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--files", type=int, default=N_FILE)
    parser.add_argument("--folder", type=Path, help="work here (1 GB, on a disk that can have holes in files)")
    args = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        root = Path(scratch).resolve() / "survey"
        write_workspace(root, "tess", ["RAW"], [])
        (root / "RAW").rmdir()
        broken = make_files(root / "RAW", args.files, Path(scratch))
        start = time.perf_counter()
        report = verify(root, Silent())
        ours = time.perf_counter() - start
        found = {Path(one.path).name: one.reason for one in report.broken}
        whole = [path for path in sorted((root / "RAW").iterdir()) if path.name not in broken][:N_PEER]
        peer = by_astropy(whole)
    if found != dict.fromkeys(broken, "truncated") or report.n_file != args.files:
        print(f"FAILED: the answer is wrong: {found}", file=sys.stderr)
        return 1
    each, each_peer = ours / args.files, peer / len(whole)
    numbers = {
        "files": args.files, "broken": len(broken), "verify_s": ours, "files_s": 1.0 / each, "astropy_files_s": 1.0 / each_peer,
        "astropy_ratio": each_peer / each, "seconds_20000": each * N_FILE, "load": load,
    }  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    print(f"{args.files:,} files, {len(broken)} of them cut short and found: {ours:.1f} s, {1.0 / each:,.0f} files/s")
    print(
        f"  astropy, headers only and one process: {1.0 / each_peer:,.0f} files/s; cuvee is {each_peer / each:.1f} times as fast"
    )
    failed = each * N_FILE > WANTED
    print(f"{'FAILED' if failed else 'passed'}: {each * N_FILE:.1f} s for {N_FILE:,} (wanted: {WANTED:g})")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
