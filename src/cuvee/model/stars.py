"""Records of stars: rows of a catalogue, targets on a detector, light curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LightCurves", "Neighbours", "Stars", "Targets"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stars:
    """Rows of a reference catalogue, sorted by ``healpix``; every array has shape (n_star,).

    Parameters
    ----------
    healpix : int64 array
        Order-29 nested HEALPix index of ``ra``, ``dec``.
    id : int64 array
        Catalogue id, unique.
    ra, dec : float64 array
        Position at ``epoch`` (deg, ICRS).
    mag : float64 array
        Magnitude in the instrument's band; NaN where unknown.
    pmra, pmdec : float64 array
        Proper motion (mas/yr, ``pmra`` includes cos dec); 0 where unknown.
    epoch : float64 array
        Julian year of the position; 2000 for the TIC.
    """

    healpix: IntArray
    id: IntArray
    ra: FloatArray
    dec: FloatArray
    mag: FloatArray
    pmra: FloatArray
    pmdec: FloatArray
    epoch: FloatArray

    def __len__(self) -> int:
        return int(self.id.size)

    def take(self, rows: Any) -> Stars:
        """Return the stars at ``rows`` (an index array, mask or slice)."""
        return Stars(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Targets:
    """Stars to measure on one detector, sorted by ``healpix``; every array has shape (n_star,) unless said.

    Parameters
    ----------
    healpix : int64 array
        Order-29 nested HEALPix index of the catalogue position (epoch 2000).
    id : int64 array
        Catalogue id.
    ra, dec : float64 array
        Catalogue position (deg, ICRS, epoch 2000).
    mag : float64 array
        Magnitude in the instrument's band.
    series : str array
        The series that measures the star: among several stamps the one where it is farthest from the edge.
    col, row : float64 array
        Detector coordinates at the epoch of the frames.
    crowding : float64 array, shape (n_star, n_aperture)
        The star's share of the flux in each aperture, by catalogue and PSF; NaN where unknown.
    flag : int32 array
        Bits of `cuvee.model.flags.FLAGS`.
    radii : tuple of float
        Aperture radii (px) that ``crowding`` belongs to.
    moved_ra, moved_dec : float64 array, optional
        Position at the epoch of the frames (deg, ICRS), by proper motion; without it that of the catalogue serves.
    """

    healpix: IntArray
    id: IntArray
    ra: FloatArray
    dec: FloatArray
    mag: FloatArray
    series: NDArray[np.str_]
    col: FloatArray
    row: FloatArray
    crowding: FloatArray
    flag: NDArray[np.int32]
    radii: tuple[float, ...]
    moved_ra: FloatArray | None = None
    moved_dec: FloatArray | None = None

    def __len__(self) -> int:
        return int(self.id.size)

    @property
    def direction(self) -> tuple[FloatArray, FloatArray]:
        """Where the light of the frames comes from: RA and Dec at their epoch (deg)."""
        if self.moved_ra is None or self.moved_dec is None:
            return self.ra, self.dec
        return self.moved_ra, self.moved_dec

    def take(self, rows: Any) -> Targets:
        """Return the targets at ``rows`` (an index array, mask or slice)."""
        names = ("healpix", "id", "ra", "dec", "mag", "series", "col", "row", "crowding", "flag")
        values = {name: getattr(self, name)[rows] for name in names}
        for name in ("moved_ra", "moved_dec"):
            column = getattr(self, name)
            values[name] = None if column is None else column[rows]
        return Targets(**values, radii=self.radii)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The catalogue stars on and around the pixels of each series of a detector, targets or not; every array has shape (n_star,).

    Parameters
    ----------
    series : str array
        The series; a star that several series see stands in each.
    id : int64 array
        Catalogue id.
    col, row : float64 array
        Detector coordinates at the epoch of the frames (px).
    flux : float64 array
        By its magnitude (e-/s).
    """

    series: NDArray[np.str_]
    id: IntArray
    col: FloatArray
    row: FloatArray
    flux: FloatArray

    def of(self, series: str) -> Neighbours:
        """Return those of one series."""
        here = np.flatnonzero(self.series == series)
        return Neighbours(*(getattr(self, name)[here] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class LightCurves:
    """Light curves of the stars of one patch: one row a star and observation, ragged points.

    Parameters
    ----------
    targets : Targets
        The rows, shape (n_star,); ``crowding`` already is that of the best aperture, shape (n_star, 1), and there are
        no ``radii`` where a pixel mask was summed.
    segment, detector : str
        Which observation.
    best : str array, shape (n_star,)
        The aperture that ``flux`` holds, for example ``aperture2``.
    offsets : int64 array, shape (n_star + 1,)
        Star ``i`` owns the points ``offsets[i]:offsets[i + 1]``.
    points : mapping of str to array, each of shape (n_point,)
        ``time`` (BTJD, float64), ``cadence`` (int32), ``quality``, ``flag`` (int32), float32 ``flux``, ``flux_err``, ``background``,
        ``centroid_col``, ``centroid_row``, ``aperture1_flux``, ``aperture1_flux_err``, ...
    round_noise : float
        Steps per error to which fluxes and background were rounded; 0 where every bit was kept.
    numbers : mapping of str to array, each of shape (n_star,)
        More about each star: where own masks were summed ``mask_size`` (px) and ``mask_share``, the share of its light within.
    columns : mapping of str to (unit, meaning)
        Of points that are not those of pixels.
    """

    targets: Targets
    segment: str
    detector: str
    best: NDArray[np.str_]
    offsets: IntArray
    points: Mapping[str, NDArray[Any]]
    round_noise: float = 0.0
    numbers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
