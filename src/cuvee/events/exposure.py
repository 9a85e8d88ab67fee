"""One exposure, or several of one target together, from lists of photons to a light curve with all its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData, NoWork
from cuvee.events.blocks import MOST_CELLS, bayesian_blocks
from cuvee.events.clock import LOW_ORBIT, barycentric, clock_error
from cuvee.events.curve import Band, band_curve, bin_edges, parts_curve
from cuvee.events.gti import common_gti, mean_times, night_gti, open_times
from cuvee.events.params import EventParams
from cuvee.events.regions import Screen
from cuvee.events.resolved import Resolved, cell_columns, cell_edges, resolve
from cuvee.events.screen import EventList, good_time, screen_of
from cuvee.events.statistics import Statistics, statistics
from cuvee.events.sums import GTI_TOLERANCE, N_SAME, Sums, add_up_traces
from cuvee.events.trace import columns_of
from cuvee.model import flags
from cuvee.model.photons import REASONS, Exposure, Trace

__all__ = [
    "COLUMNS",
    "PhotonCurve",
    "bin_exposure",
]

COLUMNS: dict[str, tuple[str, str]] = {
    "time": ("d", "BJD_TDB - 2457000, mean of the good time in the bin"),
    "cadence": ("", "number of the bin, from 0"),
    "exposure": ("s", "good time in the bin"),
    "flux": ("erg/(cm2 s)", "energy in the band, without background"),
    "flux_err": ("erg/(cm2 s)", "half of the 68.27 % interval of flux"),
    "flux_err_low": ("erg/(cm2 s)", "how far that interval reaches below"),
    "flux_err_high": ("erg/(cm2 s)", "how far it reaches above"),
    "gross": ("count", "events in the source's region"),
    "background": ("count", "how many of them are expected to be background"),
    "net": ("count/s", "weighted rate without background"),
    "net_err": ("count/s", "one standard deviation of net"),
    "centroid_row": ("pixel", "mean row of the source's events"),
    "quality": ("", "0: screened events have no quality bits left"),
    "flag": ("", "cuvee's flag bits"),
}
"""Unit and meaning of the columns of a light curve of photons; ``NAME_flux`` and ``NAME_flux_err`` of further bands and segments come on top."""

PARTIAL = 0.99
"""Share of a bin's length that its good time must reach to be all of it."""


@dataclass(frozen=True, slots=True)
class PhotonCurve:
    """A light curve of photons.

    Parameters
    ----------
    exposure : Exposure
        The first segment's.
    points : dict of str to array, each of shape (n_bin,)
        The columns of `COLUMNS`, and those of further bands and segments.
    columns : dict of str to (str, str)
        Their units and meanings.
    traces : dict of str to Trace
        By segment.
    sums : dict of str to Sums
        By segment.
    lists : sequence of sequence of str
        Segments, stripes or orders of each photon list.
    gti : float64 array, shape (n, 2)
        Good time of all segments together (s).
    blocks : int64 array, shape (n_block,)
        Bins at which Bayesian blocks begin; empty where they were not asked for.
    clock_error : float
        Within how many seconds the way of the light is known.
    start, step : float
        Where the first bin begins, since the exposure's zero, and how long each is (s).
    resolved : Resolved, optional
        The same by wavelength, where that was asked for and wavelengths are known.
    missing : int
        Segments that the exposure should have and that are missing or set aside.
    """

    exposure: Exposure
    points: dict[str, NDArray[Any]]
    columns: dict[str, tuple[str, str]]
    traces: dict[str, Trace]
    sums: dict[str, Sums]
    lists: Sequence[Sequence[str]]
    gti: NDArray[np.float64]
    blocks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    clock_error: float = 0.0
    start: float = 0.0
    step: float = 0.0
    resolved: Resolved | None = None
    missing: int = 0

    @property
    def statistics(self) -> Statistics:
        """How it varies, found when it is asked for: a composite asks not for those of its members."""
        seconds = np.asarray(self.start + self.step * (np.arange(self.points["time"].size) + 0.5))
        exposure, gross, background = (
            self.points[name].astype(np.float64) for name in ("exposure", "gross", "background")
        )
        return statistics(seconds, exposure, gross, background)

    @property
    def wavelengths(self) -> tuple[float, float]:
        """Shortest and longest wavelength that is used (Angstrom); 0, 0 where none is known."""
        used = [self.traces[name].wavelength[sums.kept] for name, sums in self.sums.items()]
        known = np.concatenate([one[one > 0.0] for one in used])
        return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)

    @property
    def events(self) -> dict[str, int]:
        """Events of each photon list, by the names of what lies on it."""
        return {
            names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}": self.sums[names[0]].n_event
            for names in self.lists
        }

    @property
    def reasons(self) -> dict[str, int]:
        """Events left out, by reason.

        Of several orders in one list, each looks at all its events: what does not depend on the order counts once, and an event in the regions of two counts
        in both. How many lie in the regions of none is not known then; ``outside`` does not count them.
        """
        total = dict.fromkeys(REASONS, 0)
        for names in self.lists:
            orders = [self.sums[name].reasons for name in names]
            for k, name in enumerate(REASONS):
                if name != "outside" or len(orders) == 1:
                    total[name] += sum(one[name] for one in (orders[:1] if k < N_SAME else orders))
        return total


def bin_exposure(
    lists: Sequence[EventList],
    params: EventParams,
    bits: int,
    n_row: int,
    parts: int = 1,
    limits: Mapping[str, tuple[float, float]] | None = None,
    threads: int = 1,
) -> PhotonCurve:
    """Bin the photons of one exposure.

    Parameters
    ----------
    lists : sequence of EventList
        The files of its segments.
    params : EventParams
        Bins, bands, what is left out.
    bits : int
        Quality bits of the instrument.
    n_row : int
        Rows of its detector.
    parts : int
        Segments that the exposure should have.
    limits : mapping of str to (float, float), optional
        Wavelengths that are kept of a segment (Angstrom), within those of ``params.band``.
    threads : int
        How many pieces of a list are counted at the same time; the light curve is the same for any number.

    Returns
    -------
    PhotonCurve

    Raises
    ------
    BadData
        If a file cannot be used; with its path.
    NoWork
        If only the night counts, and there was none.
    """
    first = lists[0].exposure
    gti = good_time(lists, params)
    edges = bin_edges(gti, params.step)
    bands = {"": params.band, **params.bands}
    traces: dict[str, Trace] = {}
    sums: dict[str, Sums] = {}
    numbers: dict[str, dict[int, int]] = {}
    grid = _grid(lists, params)
    for one in lists:
        screens = [screen_of(one.exposure, trace, gti, params, bits, limits) for trace in one.traces]
        columns = [[columns_of(trace, *edge) for edge in bands.values()] for trace in one.traces]
        cells = [cell_columns(trace, grid) for trace in one.traces]
        wanted = [[*of_bands, *of_cells.values()] for of_bands, of_cells in zip(columns, cells, strict=True)]
        added = _added(one, screens, wanted, edges, n_row, threads)
        for trace, of_cells in zip(one.traces, cells, strict=True):
            traces[trace.name], sums[trace.name] = trace, added[trace.name]
            numbers[trace.name] = {cell: k for k, cell in enumerate(of_cells, len(bands))}
    curves = {
        name: parts_curve([(traces[part], sums[part], k) for part in traces], gti, edges)
        for k, name in enumerate(bands)
    }
    whole = curves.pop("")
    if not any(one.kept.any() for one in sums.values()):
        known = np.concatenate([trace.wavelength[trace.wavelength > 0.0] for trace in traces.values()])
        low, high = params.band
        raise NoWork(
            f"{first.rootname} has light from {known.min():.6g} to {known.max():.6g} A, and none that counts from {low:g} to {high:g} A ([events] band)."
        )
    segments = (
        {part.lower(): band_curve(traces[part], sums[part], 0, gti, edges) for part in traces}
        if len(traces) > 1
        else {}
    )
    points = _points(whole, mean_times(gti, edges), first, params.step)
    points["flag"] |= np.int32(0 if all(one.calibrated for one in traces.values()) else flags.NO_CALIBRATION)
    missing = max(parts - len(lists), 0)
    points["flag"] |= np.int32(flags.PART_MISSING if missing else 0)
    points["flag"] |= _daylight(first, gti, edges)
    columns_said = dict(COLUMNS)
    for name, band in {**curves, **segments}.items():
        where = f"in segment {name.upper()}" if name in segments else "from {:g} to {:g} A".format(*params.bands[name])
        points[f"{name}_flux"], points[f"{name}_flux_err"] = (
            band.flux.astype(np.float32),
            band.flux_err.astype(np.float32),
        )
        columns_said[f"{name}_flux"] = "erg/(cm2 s)", f"energy {where}, without background"
        columns_said[f"{name}_flux_err"] = "erg/(cm2 s)", f"half of the 68.27 % interval of {name}_flux"
    blocks = _blocks(whole) if params.blocks else np.zeros(0, np.int64)
    if params.blocks:
        points["block"] = (np.searchsorted(blocks, points["cadence"], side="right") - 1).astype(np.int32)
        columns_said["block"] = "", "number of the Bayesian block that the bin lies in, from 0"
    return PhotonCurve(
        first, points, columns_said, traces, sums, [[trace.name for trace in one.traces] for one in lists], gti,
        blocks, clock_error(first.timeline, first.barycentred, first.cards.get("reach", LOW_ORBIT)),
        float(edges[0]), params.step, resolve([(traces[part], sums[part], numbers[part]) for part in traces], grid, gti, edges) if grid.size > 1 else None,
        missing,
    )  # fmt: skip


def _grid(lists: Sequence[EventList], params: EventParams) -> NDArray[np.float64]:
    """Return the edges of cells by wavelength; one edge where none are asked for, or no wavelength is known."""
    if not params.resolve:
        return np.zeros(1)
    try:
        return cell_edges([trace for one in lists for trace in one.traces], params.band, params.resolve)
    except BadData as error:
        path = lists[0].exposure.path
        raise BadData(f"{path} cannot be used: {error.message}", error.reason, path) from error


def _added(
    one: EventList,
    screens: Sequence[Screen],
    columns: Sequence[Sequence[tuple[int, int]]],
    edges: NDArray[np.float64],
    n_row: int,
    threads: int,
) -> dict[str, Sums]:
    path = one.exposure.path
    try:
        found = add_up_traces(one.chunks(), one.exposure.table, one.traces, screens, columns, edges, n_row, threads)
    except BadData as error:
        if error.path:
            raise
        raise BadData(f"{path} cannot be used: {error.message}", error.reason, path) from error
    gti, span = one.exposure.gti, found[0].span
    if span[1] < gti[0, 0] - GTI_TOLERANCE or span[0] > gti[-1, 1] + GTI_TOLERANCE:
        message = f"its events lie from {span[0]:.6g} to {span[1]:.6g} s, its good time from {gti[0, 0]:.6g} to {gti[-1, 1]:.6g} s."
        raise BadData(f"{path} cannot be used: {message}", "no-gti", path)
    return {trace.name: sums for trace, sums in zip(one.traces, found, strict=True)}


def _points(band: Band, when: NDArray[np.float64], exposure: Exposure, step: float) -> dict[str, NDArray[Any]]:
    closed = band.exposure <= 0.0
    flag = np.where(closed, flags.NO_EXPOSURE, 0) | np.where(
        ~closed & (band.exposure < PARTIAL * step), flags.PARTIAL, 0
    )
    time = barycentric(
        when, exposure.mjd, exposure.scale, exposure.ra, exposure.dec, exposure.timeline, exposure.barycentred
    )
    single = {
        "exposure": band.exposure, "flux": band.flux, "flux_err": band.flux_err, "flux_err_low": band.flux_err_low,
        "flux_err_high": band.flux_err_high, "gross": band.gross, "background": band.background, "net": band.net, "net_err": band.net_err,
        "centroid_row": band.row,
    }  # fmt: skip
    points: dict[str, NDArray[Any]] = {"time": time, "cadence": np.arange(time.size, dtype=np.int32)}
    points |= {"quality": np.zeros(time.size, np.int32), "flag": flag.astype(np.int32)}
    return points | {name: np.asarray(values, np.float32) for name, values in single.items()}


def _daylight(exposure: Exposure, gti: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the flag of bins in which the Sun was up for some of their good time."""
    timeline = exposure.timeline
    if timeline is None:
        return np.zeros(edges.size - 1, np.int32)
    night = common_gti([gti, night_gti(timeline.time, timeline.sun_altitude)])
    day = open_times(gti, edges) - open_times(night, edges) > 1e-6
    # Before the first and after the last second of the timeline nothing is known; then what is nearest holds.
    known = (edges[1:] > timeline.time[0]) & (edges[:-1] < timeline.time[-1])
    return np.where(day & known, flags.DAYLIGHT, 0).astype(np.int32)


def _blocks(band: Band) -> NDArray[np.int64]:
    """Return the bins at which Bayesian blocks begin; they are found in as many cells as can be."""
    counts, exposure = np.nan_to_num(band.gross), band.exposure
    together = -(-counts.size // MOST_CELLS)
    starts = np.arange(0, counts.size, together)
    found = bayesian_blocks(np.add.reduceat(counts, starts), np.add.reduceat(exposure, starts))
    return np.asarray(starts[found])
