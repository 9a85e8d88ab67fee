"""Simulated COS exposures: photon lists, extracted spectra, and the truth, as a workspace that ``cuvee run`` reduces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cuvee.simulate.photon_lists import PIECE, TARGET, make_workspace, write_list
from cuvee.simulate.photon_source import Source, spectrum, sun_altitude, varying_star

__all__ = ["simulate_cos"]

FloatArray = NDArray[np.float64]

N_COL, N_ROW = 16384, 1024
TICK = 0.032
"""Seconds: COS tells times no better."""
DARK = 1.72e-6
ACTIVE = (1062, 15245, 297, 734)
"""First and last column, first and last row of the detector that light falls on."""
HALF_HEIGHT, SPREAD = 19, 3.2
"""Half of the source's box (rows), and how far its light spreads over them (px, standard deviation)."""
SEGMENTS = {"FUVA": (425.2, 1359.85, (367.0, 570.0)), "FUVB": (485.7, 1207.0, (426.0, 629.0))}
"""Row of the source, wavelength at column 8192, rows of the background boxes."""
DISPERSION = 0.0099674
BOX = 35
AIRGLOW = {
    "FUVA": ((1302.168, 1.0), (1304.858, 0.7), (1306.029, 0.4), (1355.6, 0.1)),
    "FUVB": ((1215.67, 8.0), (1199.5, 0.1)),
}
"""Lines, and counts/s of each by day; by night a twentieth."""
APERTURE = 113.0
"""Columns over which a line of light that fills the aperture spreads."""
STIM, STIM_PULSE = 0.92, 19
STIMS = ((389.0, 984.0), (16000.0, 33.0))
"""Where the two stims are once heat and distortion are out of the coordinates (column, row): outside of the active area."""
RAW_STIMS = ((408.7, 980.2), (16033.2, 27.5))
"""Where they were counted, in an exposure of 2017: what lies between them was stretched alike."""
WALK = 0.4697
"""Rows that an event is placed too high per unit of its pulse height, where a stim lies right: as in an exposure of 2017."""
LAMP = ((0.5, 12.5, 90.0), (2400.5, 2412.5, 90.0))
"""When the lamp flashes (s), and how brightly (counts/s)."""

EVENTS = np.dtype(
    [
        ("TIME", ">f4"), ("RAWX", ">i2"), ("RAWY", ">i2"), ("XCORR", ">f4"), ("YCORR", ">f4"), ("XDOPP", ">f4"), ("XFULL", ">f4"),
        ("YFULL", ">f4"), ("WAVELENGTH", ">f4"), ("EPSILON", ">f4"), ("DQ", ">i2"), ("PHA", "u1"),
    ]
)  # fmt: skip
_FORMS = ("1E", "1I", "1I", "1E", "1E", "1E", "1E", "1E", "1E", "1E", "1I", "1B")


@dataclass(frozen=True, slots=True)
class _Part:
    """One segment of one exposure."""

    name: str
    seconds: float
    scale: float
    source: Source
    phase: float

    @property
    def wavelength(self) -> FloatArray:
        """Of each column (Angstrom)."""
        return np.asarray(SEGMENTS[self.name][1] + DISPERSION * (np.arange(N_COL) - 8192.0))

    @property
    def sensitivity(self) -> FloatArray:
        """(count/s) / (erg/s/cm2/A) of each column."""
        used = (np.arange(N_COL) >= ACTIVE[0]) & (np.arange(N_COL) <= ACTIVE[1])
        return np.asarray(np.where(used, 1.1e12 * np.exp(-(((self.wavelength - 1300.0) / 140.0) ** 2)), 0.0))

    @property
    def flux(self) -> FloatArray:
        """Of the constant light (erg/s/cm2/A)."""
        return np.asarray(self.scale * spectrum(self.wavelength))


def simulate_cos(
    out: Path,
    *,
    events: int = 200_000,
    exposures: int = 2,
    seconds: float = 2600.0,
    source: Source | None = None,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a workspace with simulated COS G130M exposures of one star: corrtag A and B, x1d, and ``truth/truth.json``.

    Parameters
    ----------
    out : Path
        The workspace; must be absent or empty.
    events : int
        About how many events each exposure has, both segments together.
    exposures : int
        Number of exposures, an orbit apart.
    seconds : float
        Length of each.
    source : Source, optional
        How the star varies; by default a sine of 131 s and 30 %, and a flare.
    seed : int
        Another seed, other events.
    progress : callable, optional
        Called as ``progress(done, exposures)``.

    Returns
    -------
    int
        Events of all exposures.

    Raises
    ------
    ConfigError
        If an argument cannot be used, or the folder is not empty.
    StoreError
        If the workspace cannot be written.
    """
    varies = source or varying_star(seconds)

    def write(
        folder: Path, rootname: str, mjd: float, phase: float, rng: np.random.Generator
    ) -> tuple[int, dict[str, Any]]:
        return _write_exposure(folder, rootname, mjd, events, seconds, varies, phase, rng)

    return make_workspace(
        out, "cos", write, rootname="lsim01{}q", events=events, exposures=exposures, seconds=seconds, source=varies, seed=seed,
        progress=progress,
    )  # fmt: skip


def _write_exposure(
    folder: Path,
    rootname: str,
    mjd: float,
    events: int,
    seconds: float,
    source: Source,
    phase: float,
    rng: np.random.Generator,
) -> tuple[int, dict[str, Any]]:
    # As bright as it takes: what the detector adds by itself is fixed.
    plain = [_Part(name, seconds, 1.0, source, phase) for name in SEGMENTS]
    of_source = sum(float((one.flux * one.sensitivity).sum()) for one in plain) * source.mean(seconds) * seconds
    others = sum(_others(one) for one in plain) * seconds
    scale = max(events - others, 0.1 * events) / of_source
    facts: dict[str, Any] = {"mjd": mjd, "scale": scale, "bands": {}}
    rows, total = [], 0
    for name in SEGMENTS:
        part = _Part(name, seconds, scale, source, phase)
        n_event, counts = _write_events(
            folder / f"{rootname}_corrtag_{name[-1].lower()}.fits", part, rootname, mjd, rng
        )
        rows.append(_spectrum_row(part, counts))
        total += n_event
        facts["bands"][name] = float((part.flux * (part.sensitivity > 0.0)).sum() * DISPERSION)
    _write_x1d(folder / f"{rootname}_x1d.fits", rows, rootname)
    return total, facts


def _others(part: _Part) -> float:
    """Return the rate of all events that are not the source's (count/s), by day."""
    area = (ACTIVE[1] - ACTIVE[0] + 1) * (ACTIVE[3] - ACTIVE[2] + 1)
    lamp = sum((stop - start) * rate for start, stop, rate in LAMP if stop <= part.seconds) / part.seconds
    return DARK * area * 1.15 + 2.0 * STIM + lamp + sum(strength for _, strength in AIRGLOW[part.name])


def _drawn(part: _Part, rng: np.random.Generator) -> Iterator[NDArray[np.void]]:
    """Yield the events of a segment, some seconds at a time, in order."""
    source_rate = part.flux * part.sensitivity
    rate = float(source_rate.sum())
    cumulative = np.cumsum(source_rate) / max(rate, 1e-300)
    most = (rate * 6.0 + _others(part)) or 1.0
    piece = float(np.clip(PIECE / most, 1.0, part.seconds))
    starts = np.arange(0.0, part.seconds, piece)
    for start in starts:
        stop = min(start + piece, part.seconds)
        kinds = [
            _of_source(part, rng, start, stop, rate, cumulative),
            _of_sky(part, rng, start, stop),
            _of_detector(rng, start, stop),
        ]
        time, x, y, pulse, lit = (np.concatenate(column) for column in zip(*kinds, strict=True))
        ticks = np.maximum(np.ceil(time / TICK), 2.0)
        order = np.argsort(ticks, kind="stable")
        yield _rows(part, ticks[order] * TICK, x[order], y[order], pulse[order], lit[order])


_Kind = tuple[FloatArray, FloatArray, FloatArray, FloatArray, NDArray[np.bool_]]


def _pulses(rng: np.random.Generator, n: int) -> FloatArray:
    """Draw pulse heights: a peak, and a tail of what is no photon."""
    real = np.clip(np.rint(rng.normal(7.5, 1.6, n)), 2, 23)
    return np.where(rng.random(n) < 0.12, rng.integers(24, 32, n), real).astype(np.float64)


def _of_source(
    part: _Part, rng: np.random.Generator, start: float, stop: float, rate: float, cumulative: FloatArray
) -> _Kind:
    # Pulse heights that are no photon's are lost, which the sensitivity does not count: so as many more come.
    peak = 1.0 + part.source.amplitude + (part.source.flare.height if part.source.flare else 0.0)
    n = rng.poisson(rate * peak * (stop - start) / 0.88)
    time = rng.uniform(start, stop, n)
    time = time[rng.random(n) * peak < part.source.light(time)]
    n = time.size
    x = np.searchsorted(cumulative, rng.random(n)).astype(np.float64)
    y = rng.normal(SEGMENTS[part.name][0], SPREAD, n)
    return time, x + rng.uniform(-0.49, 0.49, n), y, _pulses(rng, n), np.ones(n, np.bool_)


def _of_sky(part: _Part, rng: np.random.Generator, start: float, stop: float) -> _Kind:
    pieces = []
    for line, strength in AIRGLOW[part.name]:
        n = rng.poisson(strength * (stop - start) / 0.88)
        time = rng.uniform(start, stop, n)
        day = sun_altitude(time, part.phase) > 0.0
        time = time[rng.random(n) < np.where(day, 1.0, 0.05)]
        centre = 8192.0 + (line - SEGMENTS[part.name][1]) / DISPERSION
        n = time.size
        x, y = (
            rng.uniform(centre - APERTURE / 2, centre + APERTURE / 2, n),
            rng.uniform(-20.0, 20.0, n) + SEGMENTS[part.name][0],
        )
        pieces.append((time, x, y, _pulses(rng, n), np.ones(n, np.bool_)))
    time, x, y, pulse, lit = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return time, x, y, pulse, lit


def _of_detector(rng: np.random.Generator, start: float, stop: float) -> _Kind:
    length = stop - start
    area = (ACTIVE[1] - ACTIVE[0] + 1) * (ACTIVE[3] - ACTIVE[2] + 1)
    # A share of the dark events has pulse heights of no photon; DARK is what passes as one.
    n = rng.poisson(DARK * area * length / 0.88)
    dark = (
        rng.uniform(start, stop, n), rng.uniform(ACTIVE[0] - 0.5, ACTIVE[1] + 0.5, n), rng.uniform(ACTIVE[2] - 0.5, ACTIVE[3] + 0.5, n),
        _pulses(rng, n), np.ones(n, np.bool_),
    )  # fmt: skip
    pieces: list[_Kind] = [dark]
    for stim_col, stim_row in STIMS:
        n = rng.poisson(STIM * length)
        pieces.append(
            (
                rng.uniform(start, stop, n),
                rng.normal(stim_col, 1.7, n),
                rng.normal(stim_row, 0.5, n),
                np.full(n, float(STIM_PULSE)),
                np.zeros(n, np.bool_),
            )
        )
    for on, off, rate in LAMP:
        first, last = max(start, on), min(stop, off)
        if last > first:
            n = rng.poisson(rate * (last - first))
            lines = rng.choice(np.linspace(1500.0, 14800.0, 40), n)
            pieces.append(
                (
                    rng.uniform(first, last, n),
                    rng.normal(lines, 2.0),
                    rng.uniform(512.0, 544.0, n),
                    _pulses(rng, n),
                    np.ones(n, np.bool_),
                )
            )
    time, x, y, pulse, lit = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return time, x, y, pulse, lit


def _rows(
    part: _Part,
    time: FloatArray,
    x: FloatArray,
    y: FloatArray,
    pulse: FloatArray,
    lit: NDArray[np.bool_],
) -> NDArray[np.void]:
    rows = np.zeros(time.size, EVENTS)
    # The shifts that the lamp tells are those of light; stims have none.
    across, along = x - np.where(lit, 34.0, 0.0), y + np.where(lit, 0.16, 0.0)
    rows["TIME"], rows["XFULL"], rows["YFULL"] = time, x, y
    rows["XCORR"], rows["XDOPP"], rows["YCORR"] = across, across, along
    for name, values, n, k in (("RAWX", across, N_COL, 0), ("RAWY", along, N_ROW, 1)):
        stretch = (RAW_STIMS[1][k] - RAW_STIMS[0][k]) / (STIMS[1][k] - STIMS[0][k])
        walk = WALK * (pulse - STIM_PULSE) if name == "RAWY" else 0.0
        rows[name] = np.clip(np.rint(RAW_STIMS[0][k] + stretch * (values - STIMS[0][k]) + walk), 0, n - 1)
    inside = lit & (x >= ACTIVE[0] - 0.5) & (x <= ACTIVE[1] + 0.5)
    rows["WAVELENGTH"] = np.where(inside, SEGMENTS[part.name][1] + DISPERSION * (x - 8192.0), 0.0)
    rows["EPSILON"] = 1.0
    rows["DQ"] = np.where((pulse < 2) | (pulse > 23), 512, 0) | np.where(lit & ~inside, 128, 0)
    rows["PHA"] = pulse
    return rows


def _write_events(
    path: Path, part: _Part, rootname: str, mjd: float, rng: np.random.Generator
) -> tuple[int, FloatArray]:
    """Write a corrtag file, and return how many events it has, and the counts of its source box by column."""
    counts = np.zeros(N_COL)
    row = SEGMENTS[part.name][0]

    def counted() -> Iterator[NDArray[np.void]]:
        for rows in _drawn(part, rng):
            col, line = np.rint(rows["XFULL"]).astype(np.int64), np.rint(rows["YFULL"])
            kept = (rows["DQ"] & 512 == 0) & (np.abs(line - np.rint(row)) <= HALF_HEIGHT) & (col >= 0) & (col < N_COL)
            counts[:] += np.bincount(col[kept], minlength=N_COL)
            yield rows

    tables = {"GTI": _gti(part), "TIMELINE": _timeline(part)}
    header, primary = _events_header(part, rootname, mjd), _primary(rootname, part.name, part.seconds)
    return write_list(path, primary, header, _FORMS, counted(), EVENTS, tables), counts


def _primary(rootname: str, segment: str, seconds: float) -> fits.Header:
    cards = TARGET | {
        "TELESCOP": "HST", "INSTRUME": "COS", "ROOTNAME": rootname, "DETECTOR": "FUV", "SEGMENT": segment, "LIFE_ADJ": 4, "FPPOS": 3,
        "CENWAVE": 1291, "APERTURE": "PSA", "OPT_ELEM": "G130M", "TEXPTIME": seconds,
    }  # fmt: skip
    return fits.Header(list(cards.items()))


def _events_header(part: _Part, rootname: str, mjd: float) -> fits.Header:
    row, _, behind = SEGMENTS[part.name]
    letter = part.name[-1]
    cards: dict[str, Any] = {
        "ROOTNAME": rootname, "EXPSTART": mjd, "EXPEND": mjd + part.seconds / 86400.0, "EXPTIME": part.seconds, "EXPTIMEA": part.seconds,
        "EXPTIMEB": part.seconds, "EXPFLAG": "NORMAL", "SDQFLAGS": 8346, f"SP_LOC_{letter}": row, f"SP_HGT_{letter}": 2 * HALF_HEIGHT + 1,
        f"SP_SLP_{letter}": 0.0, f"PHALOWR{letter}": 2, f"PHAUPPR{letter}": 23,
    }  # fmt: skip
    for k, place in enumerate(behind, 1):
        cards |= {f"B_BKG{k}_{letter}": place, f"B_HGT{k}_{letter}": BOX}
    return fits.Header(list(cards.items()))


def _gti(part: _Part) -> NDArray[np.void]:
    return np.array([(TICK, part.seconds)], [("START", ">f8"), ("STOP", ">f8")])


def _timeline(part: _Part) -> NDArray[np.void]:
    time = np.arange(0.064, part.seconds, 1.0)
    rows = np.zeros(time.size, [(name, ">f4") for name in ("TIME", "LONGITUDE", "LATITUDE", "SUN_ALT")])
    rows["TIME"], rows["SUN_ALT"] = time, sun_altitude(time, part.phase)
    rows["LONGITUDE"] = (254.0 + 360.0 * time / 5720.0) % 360.0
    rows["LATITUDE"] = 28.5 * np.sin(2.0 * np.pi * time / 5720.0)
    return rows


def _spectrum_row(part: _Part, counts: FloatArray) -> dict[str, Any]:
    """Return what an extraction of the events finds, with the sensitivity as it is."""
    used = part.sensitivity > 0.0
    height = 2 * HALF_HEIGHT + 1
    dark = np.where(used, DARK * height, 0.0)
    gross = counts / part.seconds
    net = np.where(used, gross - dark, 0.0)
    flux = np.where(used, net / np.where(used, part.sensitivity, 1.0), 0.0)
    low = np.full(N_COL, np.rint(SEGMENTS[part.name][0]) - HALF_HEIGHT)
    return {
        "SEGMENT": part.name, "EXPTIME": part.seconds, "NELEM": N_COL, "WAVELENGTH": np.where(used, part.wavelength, 0.0), "FLUX": flux,
        "ERROR": np.sqrt(np.maximum(gross, 0.0) / part.seconds), "GROSS": gross, "GCOUNTS": counts, "NET": net, "BACKGROUND": dark,
        "ACTUAL_EE": np.ones(N_COL), "Y_LOWER_OUTER": low, "Y_UPPER_OUTER": low + height - 1,
    }  # fmt: skip


def _write_x1d(path: Path, rows: list[dict[str, Any]], rootname: str) -> None:
    forms = {"SEGMENT": "4A", "EXPTIME": "1D", "NELEM": "1J", "WAVELENGTH": f"{N_COL}D"}
    late = dict.fromkeys(("ACTUAL_EE", "Y_LOWER_OUTER", "Y_UPPER_OUTER"), f"{N_COL}D")
    columns = [
        fits.Column(name, forms.get(name) or late.get(name) or f"{N_COL}E", array=np.array([row[name] for row in rows]))
        for name in rows[0]
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SCI")
    fits.HDUList([fits.PrimaryHDU(header=_primary(rootname, "BOTH", rows[0]["EXPTIME"])), table]).writeto(path)
