"""STIS files whose truth is known, plain ones: an even spectrum over an even dark, without airglow, glow and dead time unless asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cuvee.simulate.photon_source import Source
from cuvee.simulate.stis import write_exposure
from cuvee.simulate.stis_events import Scene
from cuvee.simulate.stis_settings import LOW, SETTINGS

FIRST_ORDER, ECHELLE = SETTINGS["G140L"], SETTINGS["E230M"]
PLAIN = Scene(
    FIRST_ORDER, 2e-14, gti=((0.0, 900.0), (1000.0, 1500.0)), shape=np.ones_like, dark=84.0, glow=0.0, sky=0.0, tau=0.0
)
ORDERS = replace(PLAIN, setting=ECHELLE, scale=2e-13)


def write(folder: Path, scene: Scene = PLAIN, seed: int = 5) -> Path:
    """Write both files, and return the path of the list."""
    for path in folder.glob(f"{scene.rootname}_*.fits"):
        path.unlink()
    write_exposure(folder, scene, np.random.default_rng(seed))
    return folder / f"{scene.rootname}_tag.fits"


def read_x1d(tag: Path) -> NDArray[np.void]:
    """Return the spectra that the mission would have extracted of a list, an order each."""
    with fits.open(x1d_of(tag)) as file:
        return np.array(file["SCI"].data)


def x1d_of(tag: Path) -> Path:
    """Return the path of a list's spectra."""
    return tag.with_name(tag.name.replace("_tag", "_x1d"))


def change_x1d(tag: Path, **columns: Any) -> None:
    """Put other values into columns of a list's spectra; None takes a column away."""
    with fits.open(x1d_of(tag)) as file:
        units = fits.HDUList([unit.copy() for unit in file])
    table = units["SCI"]
    for name, values in columns.items():
        if values is None:
            table = fits.BinTableHDU.from_columns([one for one in table.columns if one.name != name], table.header)
        else:
            table.data[name] = values
    units["SCI"] = table
    units.writeto(x1d_of(tag), overwrite=True)


def dark_counts(scene: Scene, rows: float) -> float:
    """Return how many events of the even dark fall into a column of a spectrum's region."""
    assert scene.dark is not None
    return scene.dark / LOW**2 * rows * scene.seconds


def varying(scene: Scene, period: float, amplitude: float) -> Scene:
    """Return a scene whose light is a sine."""
    return replace(scene, source=Source(period, amplitude))


def save(path: Path, units: fits.HDUList) -> None:
    """Write a list whose ticks are whole numbers: astropy cannot write a scaled column of them."""
    units.writeto(path, overwrite=True)
    path.write_bytes(path.read_bytes().replace(b"XSCAL1  =", b"TSCAL1  =").replace(b"XZERO1  =", b"TZERO1  ="))


def opened(path: Path) -> fits.HDUList:
    """Open a list to change it; its times are ticks."""
    path.write_bytes(path.read_bytes().replace(b"TSCAL1  =", b"XSCAL1  =").replace(b"TZERO1  =", b"XZERO1  ="))
    with fits.open(path) as file:
        return fits.HDUList([unit.copy() for unit in file])


def cut_into(path: Path, n: int) -> None:
    """Cut the events of a list into several tables, as those of repeated exposures are."""
    units = opened(path)
    events = units["EVENTS"]
    cut = [
        fits.BinTableHDU(part, events.header, name="EVENTS", ver=k)
        for k, part in enumerate(np.array_split(events.data, n), 1)
    ]
    for part in cut:
        part.header["EXPTIME"] = events.header["EXPTIME"] / n
    save(path, fits.HDUList([units[0], *cut, units["GTI"]]))
