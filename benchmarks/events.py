"""Photon lists: ten million COS events to a light curve, against numpy as it comes, stingray, and one pass over the bytes.

``python -m benchmarks.events [--json FILE] [--events N] [--long N] [--turns N] [--threads N] [--folder DIR]``

cuvee screens every event (time, quality, pulse height, column, region), counts those it leaves out by reason, and adds up source and background in bins
with weights and energies, an image, a spectrum and pulse heights. numpy does what hstlc did: the table through astropy, a mask over all events for
the source's box and one for each background box, a histogram of each. stingray makes a light curve of all events, without regions. Files lie in
the page cache for all. cuvee counts with a thread for each core, and once with one; what it is compared with knows only one. First the answer: counts of source and background by bin must be the same as numpy's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cuvee.events.curve import band_curve, bin_edges
from cuvee.events.regions import Screen
from cuvee.events.sums import Sums, add_up
from cuvee.events.trace import columns_of, spectrum_trace
from cuvee.instruments import cos
from cuvee.simulate.cos import simulate_cos
from cuvee.simulate.photon_source import Source

STEP = 2.0
EVERYTHING = (0.1, 1e5)


def by_cuvee(path: Path, spectrum: Path, threads: int = 1) -> tuple[Sums, NDArray[np.float64]]:
    exposure, start = cos.read_exposure(str(path))
    _, spectra = cos.read_spectra(str(spectrum))
    trace = spectrum_trace(spectra[exposure.part], cos.stripes(exposure)[exposure.part])
    edges = bin_edges(exposure.gti, STEP)
    screen = Screen(exposure.gti, cos.SERIOUS, (-np.inf, np.inf), (), EVERYTHING)
    sums = add_up(
        cos.chunks(exposure, start),
        exposure.table,
        trace,
        screen,
        [columns_of(trace, *EVERYTHING)],
        edges,
        threads=threads,
    )
    curve = band_curve(trace, sums, 0, exposure.gti, edges)
    assert np.isfinite(curve.flux).all()
    return sums, edges


def by_numpy(path: Path, edges: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    with fits.open(path, memmap=True) as file:
        rows, cards = file["EVENTS"].data, file["EVENTS"].header
        good = (rows["DQ"] & cos.SERIOUS) == 0
        good &= rows["WAVELENGTH"] > 0.0
        line = np.rint(rows["YFULL"])
        low = np.rint(cards["SP_LOC_A"]) - cards["SP_HGT_A"] // 2
        source = good & (line >= low) & (line < low + cards["SP_HGT_A"])
        behind = np.zeros(len(rows), np.bool_)
        for k in (1, 2):
            low = np.rint(cards[f"B_BKG{k}_A"]) - cards[f"B_HGT{k}_A"] // 2
            behind |= good & (line >= low) & (line < low + cards[f"B_HGT{k}_A"])
        time_of = np.asarray(rows["TIME"], np.float64)
        gross, _ = np.histogram(time_of[source], edges)
        around, _ = np.histogram(time_of[behind], edges)
        np.histogram(time_of[source], edges, weights=np.asarray(rows["EPSILON"], np.float64)[source])
    return gross, around


def by_stingray(path: Path) -> None:
    from stingray import EventList

    with fits.open(path, memmap=True) as file:
        times = np.asarray(file["EVENTS"].data["TIME"], np.float64)
        gti = np.array([[float(row["START"]), float(row["STOP"])] for row in file["GTI"].data])
    EventList(time=times, gti=gti).to_lc(STEP)


def by_reading(path: Path) -> None:
    """Bring all bytes through the processor once."""
    place = np.empty(8 << 20, np.uint8)
    words, total = place.view(np.uint64), 0
    with path.open("rb", buffering=0) as file:
        while n := file.readinto(place.data):
            total ^= int(np.bitwise_xor.reduce(words[: n // 8]))


def best(work: Callable[[], object], turns: int) -> float:
    spent = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return min(spent)


def _memory_of(path: str, spectrum: str, answer: Any) -> None:
    by_cuvee(Path(path), Path(spectrum), os.cpu_count() or 1)
    status = Path("/proc/self/status")
    if status.exists():  # of this program alone: what `getrusage` says includes the one that started it
        answer.put(1024 * int(status.read_text().partition("VmHWM:")[2].split()[0]))
    else:
        answer.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def memory(path: Path, spectrum: Path) -> float:
    """Return the largest memory of a process that does one file (bytes)."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    worker = context.Process(target=_memory_of, args=(str(path), str(spectrum), answer))
    worker.start()
    found = float(answer.get())
    worker.join()
    return found


def make(folder: Path, events: int) -> tuple[Path, Path]:
    """Simulate an exposure with about as many events in segment A."""
    simulate_cos(folder, events=2 * events, exposures=1, seconds=2600.0, source=Source())
    raw = folder / "RAW"
    (raw / "lsim01aaq_corrtag_b.fits").unlink()
    return raw / "lsim01aaq_corrtag_a.fits", raw / "lsim01aaq_x1d.fits"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time photon lists to light curves.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument(
        "--long", type=int, default=100_000_000, help="events of the file whose memory is measured; 0: none"
    )
    parser.add_argument(
        "--turns", type=int, default=20, help="of which the best counts: both cores are rarely free in one of five"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of cuvee; the others have one")
    parser.add_argument("--folder", type=Path, help="work here (0.8 GB, and 8 GB for the long one)")
    args = parser.parse_args(argv)
    numbers: dict[str, Any] = {"load": os.getloadavg()[0], "stingray": {}}
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        path, spectrum = make(Path(scratch) / "short", args.events)
        sums, edges = by_cuvee(path, spectrum)
        gross, around = by_numpy(path, edges)
        # The last instant of the last bin belongs to it in both; columns without a wavelength count for neither.
        assert np.array_equal(sums.bins[0, 0], gross)
        assert np.array_equal(sums.behind[0], around)
        ways: dict[str, Callable[[], object]] = {
            "cuvee": lambda: by_cuvee(path, spectrum, args.threads), "one thread": lambda: by_cuvee(path, spectrum), "numpy": lambda: by_numpy(path, edges), "reading": lambda: by_reading(path),
        }  # fmt: skip
        try:
            by_stingray(path)
            ways["stingray"] = lambda: by_stingray(path)
        except ImportError:
            numbers["stingray"] = {"not_measured": "stingray is not installed"}
        spent = dict.fromkeys(ways, float("inf"))
        for _ in range(args.turns):
            for name, work in ways.items():
                spent[name] = min(spent[name], best(work, 1))
        numbers |= {
            "events": sums.n_event,
            "threads": args.threads,
            "bytes": path.stat().st_size,
            "seconds": spent,
            "memory": memory(path, spectrum),
        }
        print(f"{sums.n_event:,} events, {path.stat().st_size / 1e6:.0f} MB in the page cache, best of {args.turns}:")
        for name, seconds in spent.items():
            print(
                f"  {name:10s} {seconds:6.3f} s {sums.n_event / seconds / 1e6:7.1f} million events/s   {seconds / spent['cuvee']:5.2f} times cuvee's"
            )
        print(f"  memory of a process: {numbers['memory'] / 1e6:.0f} MB")
        if args.long:
            long, its = make(Path(scratch) / "long", args.long)
            numbers["long"] = {
                "events": args.long,
                "memory": memory(long, its),
                "seconds": best(lambda: by_cuvee(long, its, args.threads), 1),
            }
            print(
                f"  {args.long:,} events: {numbers['long']['memory'] / 1e6:.0f} MB, {numbers['long']['seconds']:.1f} s"
            )
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
