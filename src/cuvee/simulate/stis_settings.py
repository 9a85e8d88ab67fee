"""Where simulated STIS spectra lie on the detector, and what a photon is worth there: first orders and echelles.

Sizes are those of the real settings (STIS Instrument Handbook, chapter 13); rows and regions of the echelles follow real extracted spectra:
the cross-disperser puts order m at a row that is linear in 1/m, and the background's regions lie half-way to its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOW", "SETTINGS", "Order", "Setting"]

FloatArray = NDArray[np.float64]

LOW = 1024
"""Columns and rows of a spectrum's image; events are told on pixels half as wide and half as high."""

PHOTONS = 5.034e7
"""In an erg, times their wavelength in Angstrom."""


@dataclass(frozen=True, slots=True)
class Order:
    """Where an order lies; pixels of the spectrum, counted from 1.

    Parameters
    ----------
    number : int
        The order.
    first, step : float
        Wavelength of the first column, and width of a column (Angstrom).
    row, tilt : float
        Row of the middle column, and rows a column.
    area : float
        What the telescope collects with, at the best column (cm2).
    height, behind : float
        Rows of the source's region, and of each of the background's.
    away : tuple of float
        From the source's row to those of the background.
    """

    number: int
    first: float
    step: float
    row: float
    tilt: float
    area: float
    height: float = 7.0
    behind: float = 5.0
    away: tuple[float, float] = (11.0, -11.0)

    @property
    def wavelength(self) -> FloatArray:
        """Of each column, shape (1024,) (Angstrom)."""
        return np.asarray(self.first + self.step * np.arange(LOW))

    @property
    def middle(self) -> FloatArray:
        """Row of the source in each column, shape (1024,)."""
        return self.row_at(np.arange(1.0, LOW + 1.0))

    def row_at(self, column: FloatArray) -> FloatArray:
        """Return the row of the source at some columns."""
        return np.asarray(self.row + self.tilt * (column - 512.5))

    @property
    def sensitivity(self) -> FloatArray:
        """(count/s) / (erg/s/cm2/A) of each column, shape (1024,); falls to the ends as a blaze does."""
        blaze = np.cos((np.arange(LOW) - 511.5) / LOW * 1.8) ** 2
        return np.asarray(self.area * self.wavelength * PHOTONS * self.step * blaze)


@dataclass(frozen=True, slots=True)
class Setting:
    """A grating in use.

    Parameters
    ----------
    grating, detector, aperture : str
        As the header names them.
    cenwave : int
        Central wavelength (Angstrom).
    orders : tuple of Order
        From short to long wavelengths.
    slit : tuple of float
        Width and height of what fills the aperture (px).
    sky : float
        Of the sky that is seen (arcsec2).
    """

    grating: str
    detector: str
    cenwave: int
    aperture: str
    orders: tuple[Order, ...]
    slit: tuple[float, float]
    sky: float

    @property
    def total(self) -> NDArray[np.bool_]:
        """Columns that measure each wavelength once, shape (n_order, 1024): those beyond the end of the order before."""
        ends = np.r_[0.0, [one.wavelength[-1] + 0.5 * one.step for one in self.orders[:-1]]]
        return np.array([one.wavelength - 0.5 * one.step >= end for one, end in zip(self.orders, ends, strict=True)])


def _first_order(
    grating: str, cenwave: int, first: float, step: float, area: float, away: tuple[float, float]
) -> Setting:
    order = Order(1, first, step, 388.3, 0.004, area, 11.0, 5.0, away)
    return Setting(grating, "FUV-MAMA", cenwave, "52X0.2", (order,), (8.0, float(LOW)), 5.0)


def _echelle(
    grating: str, detector: str, cenwave: int, orders: Sequence[int], product: float, power: float, area: float
) -> Setting:
    """Return an echelle: ``product`` is order times middle wavelength, ``power`` is wavelength over the width of a column."""
    low, high = min(orders), max(orders)
    spread = 897.0 / (1.0 / low - 1.0 / high)
    found = []
    for m in sorted(orders, reverse=True):
        step, half = product / m / power, 0.5 * spread / m**2
        row = 36.0 + spread * (1.0 / low - 1.0 / m)
        found.append(
            Order(m, product / m - 511.5 * step, step, row, 0.011, area, away=(round(half, 2), -round(half, 2)))
        )
    return Setting(grating, detector, cenwave, "0.2X0.2", tuple(found), (7.0, 7.0), 0.04)


SETTINGS = {
    one.grating: one
    for one in (
        _first_order("G140L", 1425, 1119.35, 0.5837, 500.0, (-300.0, 300.0)),
        _first_order("G140M", 1222, 1194.8, 0.0531, 200.0, (-300.0, 300.0)),
        _echelle("E140M", "FUV-MAMA", 1425, range(86, 130), 146_800.0, 91_700.0, 150.0),
        _echelle("E140H", "FUV-MAMA", 1416, range(317, 366), 481_000.0, 228_000.0, 80.0),
        _echelle("E230M", "NUV-MAMA", 1978, range(87, 127), 205_000.0, 61_500.0, 180.0),
    )
}
"""By grating."""
