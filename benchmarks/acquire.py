"""Fetching files over loopback, beside curl and aria2c on the same files from the same server.

``python -m benchmarks.acquire [--json FILE] [--turns N] [--folder DIR]``

Two sets: full-frame images of their true size, and light curves of theirs. All fetch four files at a time. cuvee also judges each file (structure, the
sums of each unit, a hash of all bytes), syncs it, and tells its ledger before it gives it its name; curl and aria2c do none of this, and leave to the system
when the bytes reach the disk. So curl is timed twice: as it comes, and until its bytes are on the disk, too, as cuvee's are.

First the answer: the files that cuvee fetched are those of the server, byte by byte.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

import cuvee.acquire
from cuvee.config import write_workspace
from cuvee.kernels.sums import sum_words
from cuvee.store.atomic import content_hash
from cuvee.store.ledger import Ledger

PARALLEL = 4
WANTED = 1.5
SETS = {"ffi": (24, (2078, 2136), 2), "lc": (300, (495_000,), 1)}
"""Files, shape of an image, images: 35.5 MB and 2 MB."""

_SERVE = """
import sys
from cuvee.testing.archive import LoopbackArchive
archive = LoopbackArchive(sys.argv[1])
print(archive.url, flush=True)
archive.serve()
"""


def make_files(folder: Path, n: int, shape: tuple[int, ...], images: int) -> None:
    """Write files that differ in one word, with sums as SPOC leaves them."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    pixels = [rng.normal(1000.0, 30.0, shape).astype(np.float32) for _ in range(images)]
    for k in range(n):
        for image in pixels:
            image.flat[0] = k
        hdus = fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(image) for image in pixels)])
        hdus.writeto(folder / name_of(k), checksum=True)


def name_of(k: int) -> str:
    """The name of the k-th file; what a file holds does not matter to who fetches it."""
    return f"tess2018206{k // 3600:02d}{k // 60 % 60:02d}{k % 60:02d}-s0001-1-4-0120-s_ffic.fits"


def file_url(base: str, k: int) -> str:
    return f"{base}/api/v0.1/Download/file?uri=mast:TESS/product/{name_of(k)}"


def by_curl(base: str, n: int, out: Path) -> None:
    lines = (f'url = "{file_url(base, k)}"\noutput = "{out / name_of(k)}"\n' for k in range(n))
    (out / "list").write_text("".join(lines))
    words = ["curl", "-s", "-f", "--parallel", "--parallel-max", str(PARALLEL), "-K", str(out / "list")]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)


def by_aria2(base: str, n: int, out: Path) -> None:
    lines = (f"{file_url(base, k)}\n  out={name_of(k)}\n" for k in range(n))
    (out / "list").write_text("".join(lines))
    words = ["aria2c", "-q", "-j", str(PARALLEL), "-x", str(PARALLEL), "--file-allocation=none", "-d", str(out)]
    subprocess.run([*words, "-i", str(out / "list")], check=True)


def by_cuvee(base: str, out: Path) -> None:
    outcome = cuvee.acquire.fetch(out, cuvee.acquire.tess(1, archive=base))
    assert outcome.complete


def make_workspace(base: str, out: Path) -> None:
    """Make a workspace, with the ledger that it has after its first hour."""
    path = write_workspace(out, "tess", ["RAW"], [])
    path.write_text(path.read_text().replace('# archive = ""', f'archive = "{base}"\nparallel = {PARALLEL}'))
    Ledger.open(out / "cuvee.db").close()


def timed(work: Callable[[Path], None], scratch: Path, base: str, sync: bool = False) -> float:
    """Return how long something takes that fills a new workspace (s)."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    make_workspace(base, out)
    os.sync()
    start = time.perf_counter()
    work(out)
    if sync:
        os.sync()
    return time.perf_counter() - start


def measure(scratch: Path, kind: str, turns: int) -> dict[str, Any]:
    """Time all ways with one set of files."""
    n, shape, images = SETS[kind]
    shelf = scratch / kind
    make_files(shelf, n, shape, images)
    size = sum(path.stat().st_size for path in shelf.iterdir())
    server = subprocess.Popen([sys.executable, "-c", _SERVE, str(shelf)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        base = server.stdout.readline().strip()
        timed(lambda out: by_cuvee(base, out), scratch, base)
        hashes = {path.name: content_hash(path) for path in (scratch / "out" / "RAW").rglob("*.fits")}
        assert hashes == {path.name: content_hash(path) for path in shelf.iterdir()}
        ways: dict[str, tuple[Callable[[Path], None], bool]] = {"cuvee": (lambda out: by_cuvee(base, out), False)}
        if shutil.which("curl"):
            ways["curl"] = (lambda out: by_curl(base, n, out), False)
            ways["curl_synced"] = (lambda out: by_curl(base, n, out), True)
        if shutil.which("aria2c"):
            ways["aria2c"] = (lambda out: by_aria2(base, n, out), False)
        best = dict.fromkeys(ways, float("inf"))
        for _ in range(turns):
            for name, (work, sync) in ways.items():
                best[name] = min(best[name], timed(work, scratch, base, sync))
    finally:
        server.kill()
        server.wait()
    shutil.rmtree(shelf)
    shutil.rmtree(scratch / "out")
    ratios = {name: best["cuvee"] / seconds for name, seconds in best.items() if name != "cuvee"}
    return {"files": n, "bytes": size, "seconds": best, "ratios": ratios}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time cuvee's transfers beside curl and aria2c.")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="work here (2 GB)")
    args = parser.parse_args(argv)
    load = os.getloadavg()[0]
    sum_words(np.zeros(4, np.uint32))  # its compiled code is loaded once a process, in about a second
    numbers: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}", "load_before": load,
        "parallel": PARALLEL, "turns": args.turns, "aria2c": {} if shutil.which("aria2c") else {"not_measured": "aria2c is not installed"},
        "curl": {} if shutil.which("curl") else {"not_measured": "curl is not installed"},
    }  # fmt: skip
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        for kind in SETS:
            numbers[kind] = found = measure(Path(scratch).resolve(), kind, args.turns)
            print(
                f"\n{found['files']} files, {found['bytes'] / 1e6:.0f} MB, {PARALLEL} at a time, best of {args.turns}:"
            )
            for name, seconds in found["seconds"].items():
                ratio = f"  cuvee takes {found['ratios'][name]:.2f} of it" if name != "cuvee" else ""
                print(f"  {name:12s} {seconds:6.2f} s {found['bytes'] / seconds / 1e6:7.0f} MB/s{ratio}")
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    failed = [kind for kind in SETS if numbers[kind]["ratios"].get("curl_synced", 0.0) > WANTED]
    print(f"{'FAILED' if failed else 'passed'}: at most {WANTED} of the time of curl until its bytes are on the disk")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
