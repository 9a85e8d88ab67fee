"""All benchmarks in turn, then one table: what is claimed, what was measured, and whether it holds.

``python -m benchmarks.table [NAME ...] [--folder DIR]``

NAME leaves out all but the named ones. The numbers behind the table lie beside this file as NAME.json, the table itself as
table.json. The exit status is 1 where a claim does not hold. A quiet machine makes good numbers: times are the best of some turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent
FRAMES = ("extraction", "psf_peers", "accuracy", "memory", "growth")
"""Benchmarks that share the frames of one folder."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of the table: a number that a benchmark wrote, and the limit that it must keep; the peer, where one may be absent."""

    benchmark: str
    what: str
    number: Callable[[Any], float]
    limit: float
    unit: str
    at_least: bool = False
    peer: str = ""

    def holds(self, measured: float) -> bool:
        return measured >= self.limit if self.at_least else 0.0 <= measured <= self.limit


def worst_over(numbers: Any, rival: str) -> float:
    """Return the scatter of isolated stars over that of a rival, in the bin where it is largest."""
    scatters = [row["scatter"] for row in numbers["jitter"]["0.05"]["rows"]]
    return max(float(one["psf"][0] / one[rival][0]) for one in scatters)


PASS = "apertures + annulus + mesh, cold files"
PSF = "apertures + mesh + PSF of all stars to synced blocks, cold files"
CLAIMS = (
    Claim("extraction", "raw aperture sums against sep and photutils, largest relative difference",
          lambda n: max(n["disagreement"].values()), 1e-6, ""),
    Claim("extraction", f"{PASS}: time / only reading", lambda n: n["ratios"]["reading"], 2.0, "x"),
    Claim("extraction", f"{PASS}: time / only reading, two processes", lambda n: n["ratios"]["reading_two"], 2.0, "x"),
    Claim("extraction", f"{PASS}: faster than fitsio + sep", lambda n: n["ratios"]["sep"], 20.0, "x", at_least=True),
    Claim("extraction", f"{PASS}: faster than fitsio + sep, two processes each",
          lambda n: n["ratios"]["sep_two"], 12.0, "x", at_least=True),
    Claim("extraction", f"{PASS}: faster than astropy + photutils", lambda n: n["ratios"]["photutils"], 500.0, "x", at_least=True),
    Claim("extraction", f"{PSF}: time / only reading", lambda n: n["ratios"]["psf_reading"], 2.0, "x"),
    Claim("extraction", f"{PSF}: time / only reading, two processes", lambda n: n["ratios"]["psf_reading_two"], 2.0, "x"),
    Claim("extraction", f"{PSF}: faster than fitsio + sep", lambda n: n["ratios"]["psf_sep"], 20.0, "x", at_least=True),
    Claim("extraction", f"{PSF}: faster than fitsio + sep, two processes each",
          lambda n: n["ratios"]["psf_sep_two"], 12.0, "x", at_least=True),
    Claim("extraction", f"{PSF}: faster than astropy + photutils, apertures only",
          lambda n: n["ratios"]["psf_photutils"], 500.0, "x", at_least=True),
    Claim("extraction", "all of it in memory, a frame", lambda n: 1e3 * n["psf_in_memory_s"], 15.0, "ms"),
    Claim("extraction", "plan of PSF photometry", lambda n: n["psf_plan_s"], 15.0, "s"),
    Claim("psf_peers", f"{PSF}: faster than SExtractor + PSFEx, which detects and fits places too",
          lambda n: n["ratios"]["sextractor"], 30.0, "x", at_least=True, peer="sextractor"),
    Claim("psf_peers", f"{PSF}: the same, two processes each",
          lambda n: n["ratios"]["sextractor_two"], 30.0, "x", at_least=True, peer="sextractor"),
    Claim("psf_peers", f"{PSF}: faster than photutils' PSF fits alone, places fixed, extrapolated from some stars",
          lambda n: n["ratios"]["photutils"], 1500.0, "x", at_least=True, peer="photutils"),
    Claim("psf_peers", f"{PSF}: faster than PSFMachine with its background, extrapolated from its best tiles",
          lambda n: n["ratios"]["psfmachine"], 20.0, "x", at_least=True, peer="psfmachine"),
    Claim("accuracy", "PRF learned from 32 frames", lambda n: n["jitter"]["0.05"]["numbers"]["learn_s"], 90.0, "s"),
    Claim("accuracy", "scatter over the photon limit, learned PRF, held-out frames, Tmag 7 to 15, isolated: worst bin",
          lambda n: max(r["scatter"]["psf"][0] for r in n["jitter"]["0.05"]["rows"]), 1.05, ""),
    Claim("accuracy", "the same, over that of the true PRF: worst bin",
          lambda n: max(r["scatter"]["psf"][0] - r["scatter"]["true"][0] for r in n["jitter"]["0.05"]["rows"]), 0.02, ""),
    Claim("accuracy", "the same, all stars: worst bin",
          lambda n: max(r["scatter"]["psf"][1] for r in n["jitter"]["0.05"]["rows"]), 1.08, ""),
    Claim("accuracy", "crowded stars, scatter over what photons and blending allow: worst bin of twenty or more",
          lambda n: max(r["crowded"][2] for r in n["jitter"]["0.05"]["rows"] if r["crowded"][0] >= 20), 1.08, ""),
    Claim("accuracy", "injected transits of 1 %, Tmag 10 to 13, median depth: worst bin, off by",
          lambda n: max(abs(t["depth"] / 0.01 - 1.0) for t in n["jitter"]["0.05"]["transits"]), 0.03, ""),
    Claim("accuracy", "scatter of isolated stars over that of a decorrelated aperture of 3 x 3 pixels: worst bin",
          lambda n: worst_over(n, "3x3, decorrelated"), 1.0, ""),
    Claim("accuracy", "scatter of isolated stars over that of SExtractor + PSFEx, decorrelated: worst bin",
          lambda n: worst_over(n, "SExtractor, decorrelated"), 1.0, "", peer="sextractor"),
    Claim("accuracy", "bias after one zero point: worst bin",
          lambda n: max(abs(r["bias_ppm"]) for r in n["jitter"]["0.05"]["rows"]), 3000.0, "ppm"),
    Claim("accuracy", "jitter of 0.15 px, drift of 0.5 px, scatter over the photon limit, Tmag 11 to 15: worst bin",
          lambda n: max(r["scatter"]["psf"][0] for r in n["jitter"]["0.15"]["rows"] if r["mag"][0] >= 11), 1.10, ""),
    Claim("accuracy", "jitter of 0.15 px, drift of 0.5 px, scatter over the photon limit, Tmag 9 to 11: worst bin",
          lambda n: max(r["scatter"]["psf"][0] for r in n["jitter"]["0.15"]["rows"] if 9 <= r["mag"][0] < 11), 1.35, ""),
    Claim("memory", "peak memory of two workers, all methods, 1,300 full frames",
          lambda n: n["series"]["1300"]["peak_pss_bytes"] / 1e9, 4.0, "GB"),
    Claim("memory", "peak memory of two workers, all methods, 10,000 full frames",
          lambda n: n["series"]["10000"]["peak_pss_bytes"] / 1e9, 8.0, "GB"),
    Claim("growth", "time of a frame, 10^4 over 10^3 frames (synthetic, small), extracted", lambda n: n["frames_ratio"], 1.2, "x"),
    Claim("growth", "time of a star, 10^5 over 10^4 stars, extracted", lambda n: n["stars_ratio"], 1.2, "x"),
    Claim("growth", "time of each further star, 10^5 over 10^4 stars, extracted", lambda n: n["rise_ratio"], 1.2, "x"),
    Claim("collection", "collection of 50,000 stars, time of a frame", lambda n: 1e3 * n["wall_s"], 10.0, "ms"),
    Claim("collection", "time of a star and frame, ten times the frames, collected", lambda n: n["frames_ratio"], 1.2, "x"),
    Claim("collection", "time of a star and frame, 10^5 over 10^4 stars, collected", lambda n: n["stars_ratio"], 1.2, "x"),
    Claim("store", "light-curve store: faster than one FITS file a star", lambda n: n["wall_ratios"]["store"], 30.0, "x", at_least=True),
    Claim("store", "light-curve store, fluxes to their last bit: smaller than one FITS file a star",
          lambda n: n["bytes_ratios"]["store"], 3.0, "x", at_least=True),
    Claim("store", "light-curve store, round_noise = 8: smaller than one FITS file a star",
          lambda n: n["bytes_ratios"]["rounded"], 3.0, "x", at_least=True),
    Claim("planning", "planning 10^5 units", lambda n: n["sizes"][1]["plan_s"][0], 5.0, "s"),
    Claim("planning", "idle rerun of 10^5 units", lambda n: n["sizes"][1]["idle_s"][0], 5.0, "s"),
    Claim("planning", "status of 10^5 units", lambda n: n["sizes"][1]["status_s"][0], 5.0, "s"),
    Claim("databases", "star table in bulk, SQLite", lambda n: n["sqlite"]["rows_s"], 200_000.0, "rows/s", at_least=True),
    Claim("databases", "star table in bulk, PostgreSQL", lambda n: n["postgresql"]["rows_s"], 150_000.0, "rows/s", at_least=True, peer="postgresql"),
    Claim("databases", "star table in bulk, MariaDB", lambda n: n["mysql"]["rows_s"], 80_000.0, "rows/s", at_least=True, peer="mysql"),
    Claim("databases", "reading 10^5 units, SQLite: time / its bare driver",
          lambda n: n["sqlite"]["read_units_s"] / n["sqlite"]["sqlite3_read_units_s"], 2.0, "x"),
    Claim("acquire", "fetching full-frame images over loopback, judged and synced: time / curl until its bytes are on the disk",
          lambda n: n["ffi"]["ratios"]["curl_synced"], 1.5, "x", peer="curl"),
    Claim("acquire", "the same, time / curl that leaves its bytes to the system", lambda n: n["ffi"]["ratios"]["curl"], 1.5, "x", peer="curl"),
    Claim("verify", "verify of 20,000 full-frame images, headers only", lambda n: n["seconds_20000"], 120.0, "s"),
    Claim("verify", "the same: faster than astropy that reads the headers and judges nothing, one process",
          lambda n: n["astropy_ratio"], 4.0, "x", at_least=True),
    Claim("catalog_store", "TIC bulk file taken in, 125 columns filled, csv.gz", lambda n: n["rows_s"], 60_000.0, "rows/s", at_least=True),
    Claim("catalog_store", "the same with md5, sorting and writing: time / pyarrow that only reads", lambda n: n["pyarrow_ratio"], 4.0, "x"),
    Claim("catalog_store", "circle of 0.05 deg at the density of the TIC, in the middle", lambda n: n["cone_ms"], 20.0, "ms"),
    Claim("events", "ten million COS events to a light curve with all regions, all cores: faster than numpy as it comes",
          lambda n: n["seconds"]["numpy"] / n["seconds"]["cuvee"], 4.0, "x", at_least=True),
    Claim("events", "the same: faster than stingray, which knows no regions",
          lambda n: n["seconds"]["stingray"] / n["seconds"]["cuvee"], 3.0, "x", at_least=True, peer="stingray"),
    Claim("events", "the same: time / one pass over the bytes", lambda n: n["seconds"]["cuvee"] / n["seconds"]["reading"], 2.0, "x"),
    Claim("events", "the same with one thread: faster than numpy as it comes",
          lambda n: n["seconds"]["numpy"] / n["seconds"]["one thread"], 2.0, "x", at_least=True),
    Claim("events", "memory, a hundred million events", lambda n: n["long"]["memory"] / 1e9, 1.0, "GB"),
    Claim("exposures", "a folder of a thousand exposures: two workers over one", lambda n: n["speedup"], 1.5, "x", at_least=True),
    Claim("exposures", "the same, where nothing is to do: time / with one worker", lambda n: n["idle"] / n["one"], 0.05, "x"),
    Claim("exposures", "the same, killed on the way: units that had been done and are done again", lambda n: n["killed"]["again"], 0.0, ""),
    Claim("catalog", "a million catalogue rows to targets on a CCD", lambda n: n["read_s"] + n["select_s"], 15.0, "s"),
)  # fmt: skip


def measure(name: str, options: Sequence[str]) -> Any:
    """Run a benchmark in a process of its own; return its numbers, None where it failed."""
    path = HOME / f"{name}.json"
    path.unlink(missing_ok=True)
    print(f"\n== {name} " + "=" * (80 - len(name)), flush=True)
    subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--json", str(path), *options], cwd=HOME.parent, check=False
    )
    return json.loads(path.read_text()) if path.exists() else None


def row(claim: Claim, numbers: Any) -> dict[str, Any]:
    """Judge one claim; a benchmark that failed, or did not measure it, keeps no claim. A peer that is absent breaks none."""
    absent = (numbers or {}).get(claim.peer, {}).get("not_measured", "") if claim.peer else ""
    try:
        measured = None if numbers is None else float(claim.number(numbers))
    except (KeyError, IndexError, TypeError):
        measured = None
    return {
        "benchmark": claim.benchmark, "what": claim.what, "measured": measured, "limit": claim.limit, "unit": claim.unit,
        "absent": absent, "sense": "at least" if claim.at_least else "at most",
        "holds": measured is not None and claim.holds(measured),
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    names = list(dict.fromkeys(claim.benchmark for claim in CLAIMS))
    parser = argparse.ArgumentParser(description="Run all benchmarks and print one table.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all without")
    parser.add_argument("--folder", type=Path, help="where the frames are made, and found again (1.2 GB)")
    args = parser.parse_args(argv)
    if unknown := set(args.names) - set(names):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    start = time.perf_counter()
    wanted = args.names or names
    shared = ["--folder", str(args.folder.resolve())] if args.folder else []
    before = os.getloadavg()[0]
    found = {name: measure(name, shared if name in FRAMES else []) for name in wanted}
    rows = [row(claim, found[claim.benchmark]) for claim in CLAIMS if claim.benchmark in found]

    wide = max(len(r["what"]) for r in rows)
    print(f"\n{'':{wide}s}  {'measured':>12s}  {'wanted':>18s}")
    for r in rows:
        measured = "not measured" if r["measured"] is None else f"{r['measured']:.3g} {r['unit']}"
        verdict = "holds" if r["holds"] else f"not measured: {r['absent']}" if r["absent"] else "FAILS"
        print(f"{r['what']:{wide}s}  {measured:>12s}  {r['sense']:>8s} {r['limit']:g} {r['unit']:<4s} {verdict}")
    kept, absent = sum(r["holds"] for r in rows), sum(bool(r["absent"]) for r in rows)
    took = time.perf_counter() - start
    print(
        f"{kept} of {len(rows)} claims hold{f', {absent} could not be measured' if absent else ''}; {took / 60:.1f} minutes; other programs kept {before:.1f} cores busy at the start"
    )
    (HOME / "table.json").write_text(json.dumps({"rows": rows, "load_before": before, "took_s": took}, indent=1) + "\n")
    return int(kept + absent < len(rows))


if __name__ == "__main__":
    sys.exit(main())
