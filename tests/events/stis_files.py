"""STIS files whose truth is known: events drawn on the detector, and a spectrum extracted from them the mission's way, on its own larger pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
LOW = 1024
HIGH = 2048
TICK = 0.000125
ROOT = "osim01010"
START = 58849.25


@dataclass(frozen=True)
class Order:
    """Where an order lies; pixels of the spectrum, counted from 1."""

    number: int
    first: float
    step: float
    row: float
    tilt: float
    height: float = 7.0
    away: tuple[float, float] = (11.0, -11.0)
    behind: float = 5.0

    @property
    def wavelength(self) -> FloatArray:
        return np.asarray(self.first + self.step * np.arange(LOW))

    @property
    def middle(self) -> FloatArray:
        return np.asarray(self.row + self.tilt * (np.arange(1, LOW + 1) - 512.5))

    def sensitivity(self) -> FloatArray:
        """Return (count/s) / (erg/s/cm2/A); falls to the ends as a blaze does."""
        return 3e13 * np.cos((np.arange(LOW) - 511.5) / LOW * 1.8) ** 2


FIRST_ORDER = (Order(1, 1119.35, 0.5837, 388.3, 0.004, 11.0, (-60.0, 60.0)),)
ECHELLE = tuple(
    # m lambda is the same for all orders: neighbours share a third of their length.
    Order(m, 205000.0 / m - 18.0, 36.0 / LOW, 40.3 + 17.9 * (126 - m), 0.011, away=(9.0, -9.0))
    for m in range(126, 86, -1)
)


@dataclass(frozen=True)
class Scene:
    orders: tuple[Order, ...] = FIRST_ORDER
    flux: float = 2e-14  # erg/s/cm2/A
    dark: float = 2e-5  # events/s/pixel of the events
    period: float = 131.0
    depth: float = 0.0
    gti: tuple[tuple[float, float], ...] = ((0.0, 900.0), (1000.0, 1500.0))
    only: int = 0  # this order alone shines
    seed: int = 5
    cards: dict[str, object] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return float(sum(stop - start for start, stop in self.gti))


def draw(scene: Scene) -> tuple[FloatArray, NDArray[np.int16], NDArray[np.int16]]:
    """Return times (s), and columns and rows on the events' pixels, counted from 1 as in the file."""
    rng = np.random.default_rng(scene.seed)
    times: list[FloatArray] = []
    columns: list[NDArray[np.int64]] = []
    rows: list[NDArray[np.int64]] = []
    for order in scene.orders:
        if scene.only and order.number != scene.only:
            continue
        rate = np.repeat(
            scene.flux * order.sensitivity() * order.step / 2.0, 2
        )  # each of the spectrum's columns is two of these
        n = rng.poisson(rate * scene.seconds)
        column = np.repeat(np.arange(HIGH), n)
        at = (column + 0.5) / 2.0 + 0.5  # in the spectrum's pixels, from 1
        middle = order.row + order.tilt * (at - 512.5)
        row = middle + 0.8 * rng.standard_normal(column.size)
        times.append(_times(scene, column.size, rng))
        columns.append(column + 1)
        # The spectrum's pixel p reaches from p - 1/2 to p + 1/2: the events' pixels 2 p - 1 and 2 p.
        rows.append(np.floor(2.0 * (row - 0.5)).astype(np.int64) + 1)
    n_dark = rng.poisson(scene.dark * HIGH * HIGH * scene.seconds)
    flat = Scene(gti=scene.gti)
    times.append(_times(flat, n_dark, rng))
    columns.append(rng.integers(1, HIGH + 1, n_dark))
    rows.append(rng.integers(1, HIGH + 1, n_dark))
    time, column, row = np.concatenate(times), np.concatenate(columns), np.concatenate(rows)
    inside = (row >= 1) & (row <= HIGH)
    order_of_time = np.argsort(time[inside], kind="stable")
    return (
        time[inside][order_of_time],
        column[inside][order_of_time].astype(np.int16),
        row[inside][order_of_time].astype(np.int16),
    )


def _times(scene: Scene, n: int, rng: np.random.Generator) -> FloatArray:
    ends = np.cumsum([stop - start for start, stop in scene.gti])
    found = np.zeros(0)
    while found.size < n:
        live = rng.uniform(0.0, scene.seconds, 2 * n + 10)
        part = np.searchsorted(ends, live, side="right").clip(0, len(scene.gti) - 1)
        time = live - np.r_[0.0, ends][part] + np.array(scene.gti)[part, 0]
        bright = 1.0 + scene.depth * np.sin(2.0 * np.pi * time / scene.period)
        found = np.r_[found, time[rng.uniform(0.0, 1.0 + scene.depth, time.size) < bright]]
    return np.floor(found[:n] / TICK) * TICK


def write_tag(path: Path, scene: Scene, tables: int = 1) -> tuple[FloatArray, NDArray[np.int16], NDArray[np.int16]]:
    """Write a tag file; ``tables`` is into how many tables of events it is cut."""
    time, column, row = draw(scene)
    units: list[object] = [fits.PrimaryHDU(header=_primary(scene))]
    for k, some in enumerate(np.array_split(np.arange(time.size), tables)):
        events = fits.BinTableHDU.from_columns(
            [
                fits.Column("TIME", "1J", unit="seconds", array=np.rint(time[some] / TICK).astype(np.int32)),
                fits.Column("AXIS1", "1I", unit="pixels", array=column[some]),
                fits.Column("AXIS2", "1I", unit="pixels", array=row[some]),
                fits.Column("DETAXIS1", "1I", unit="pixels", array=column[some]),
            ],
            name="EVENTS",
            ver=k + 1,
        )
        events.header["XSCAL1"], events.header["XZERO1"] = TICK, 0.0
        events.header["EXPSTART"], events.header["EXPFLAG"] = START, "NORMAL"
        events.header["EXPTIME"] = scene.seconds / tables
        units.append(events)
    start, stop = np.array(scene.gti).T
    units.append(
        fits.BinTableHDU.from_columns(
            [
                fits.Column("START", "1D", unit="seconds", array=start),
                fits.Column("STOP", "1D", unit="seconds", array=stop),
            ],
            name="GTI",
        )
    )
    save(path, fits.HDUList(units))
    return time, column, row


def save(path: Path, units: fits.HDUList) -> None:
    """Write a tag file whose ticks are whole numbers: astropy cannot write a scaled column of them."""
    units.writeto(path, overwrite=True)
    path.write_bytes(path.read_bytes().replace(b"XSCAL1  =", b"TSCAL1  =").replace(b"XZERO1  =", b"TZERO1  ="))


def opened(path: Path) -> fits.HDUList:
    """Open a tag file to change it; its times are ticks."""
    path.write_bytes(path.read_bytes().replace(b"TSCAL1  =", b"XSCAL1  =").replace(b"TZERO1  =", b"XZERO1  ="))
    with fits.open(path) as file:
        return fits.HDUList([unit.copy() for unit in file])


def _primary(scene: Scene) -> fits.Header:
    header = fits.Header()
    header["TELESCOP"], header["INSTRUME"], header["ROOTNAME"] = "HST", "STIS", ROOT
    header["TARGNAME"], header["RA_TARG"], header["DEC_TARG"] = "HD-SIM", 120.5, -33.25
    header["PROPOSID"], header["OBSTYPE"], header["OBSMODE"] = 99999, "SPECTROSCOPIC", "TIME-TAG"
    header["DETECTOR"] = "NUV-MAMA" if len(scene.orders) > 1 else "FUV-MAMA"
    header["OPT_ELEM"] = "E230M" if len(scene.orders) > 1 else "G140L"
    header["CENWAVE"], header["APERTURE"], header["TEXPSTRT"] = (
        1978 if len(scene.orders) > 1 else 1425,
        "0.2X0.2",
        START,
    )
    header.update(scene.cards)
    return header


def extract(scene: Scene, column: NDArray[np.int16], row: NDArray[np.int16]) -> list[dict[str, object]]:
    """Extract the orders' spectra from the events on pixels of twice the size, rows that a region cuts by their share of it."""
    image = np.zeros((LOW, LOW))
    np.add.at(image, ((row - 1) // 2, (column - 1) // 2), 1.0)
    found: list[dict[str, object]] = []
    for order in scene.orders:
        gross = _box(image, order.middle, order.height)
        behind = np.add(*(_box(image, order.middle + away, order.behind) for away in order.away))
        # The mission smooths the background: here it is its mean.
        background = np.full(LOW, behind.mean() * order.height / (2.0 * order.behind))
        net = (gross - background) / scene.seconds
        found.append(
            {
                "SPORDER": order.number, "NELEM": LOW, "WAVELENGTH": order.wavelength, "GROSS": gross / scene.seconds,
                "BACKGROUND": background / scene.seconds, "NET": net, "FLUX": net / (order.sensitivity() * order.step),
                "A2CENTER": order.row, "EXTRSIZE": order.height, "BK1SIZE": order.behind, "BK2SIZE": order.behind,
                "BK1OFFST": order.away[0], "BK2OFFST": order.away[1], "EXTRLOCY": order.middle,
            }
        )  # fmt: skip
    return found


def _box(image: FloatArray, middle: FloatArray, height: float) -> FloatArray:
    pixel = np.arange(1, LOW + 1)[:, None]
    low, high = middle - 0.5 * height, middle + 0.5 * height
    share = np.clip(np.minimum(pixel + 0.5, high) - np.maximum(pixel - 0.5, low), 0.0, 1.0)
    return np.asarray((image * share).sum(axis=0))


def write_x1d(path: Path, scene: Scene, rows: list[dict[str, object]], seconds: float = 0.0) -> None:
    """Write an x1d file."""
    formats = {"SPORDER": "1I", "NELEM": "1I", "WAVELENGTH": "1024D"}
    formats |= dict.fromkeys(("GROSS", "BACKGROUND", "NET", "FLUX", "EXTRLOCY"), "1024E")
    columns = [
        fits.Column(name, formats.get(name, "1E"), array=np.array([row[name] for row in rows])) for name in rows[0]
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SCI", ver=1)
    table.header["EXPTIME"] = seconds or scene.seconds
    fits.HDUList([fits.PrimaryHDU(header=_primary(scene)), table]).writeto(path, overwrite=True)


def write_exposure(folder: Path, scene: Scene, root: str = ROOT) -> list[dict[str, object]]:
    """Write both files and return the orders' spectra."""
    scene.cards.setdefault("ROOTNAME", root)
    _, column, row = write_tag(folder / f"{root}_tag.fits", scene)
    spectra = extract(scene, column, row)
    write_x1d(folder / f"{root}_x1d.fits", scene, spectra)
    return spectra
