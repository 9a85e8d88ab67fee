"""The nouns: frozen records that travel between the rooms. Arrays are read-only by convention.

Pixel coordinates are always those of the detector: ``col``, ``row`` count from 0 at the centre of the first
*science* pixel (TESS FFI column = col + 45, FFI row = row + 1, both 1-based). Stamps use them too.
Times are BTJD = BJD_TDB - 2457000, in days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.model.moving import Candidates
from cuvee.model.stars import LightCurves, Neighbours, Stars, Targets

__all__ = [
    "BJD_OFFSET",
    "LANES",
    "Batch",
    "FileInfo",
    "FluxBlock",
    "Footprint",
    "Geometry",
    "LightCurves",
    "Moments",
    "Neighbours",
    "PixelMasks",
    "Pixels",
    "Readout",
    "Reference",
    "Stars",
    "Targets",
]

BJD_OFFSET = 2457000.0
"""``time`` = BJD_TDB - this, everywhere (days)."""

LANES = 16
"""Frames that travel together through the kernels; float32 x 16 = one cache line a pixel."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where a series' science pixels lie on the detector.

    Parameters
    ----------
    n_row, n_col : int
        Size of the science pixels of the series.
    row0, col0 : int
        Detector coordinates of its pixel [0, 0].
    detector_rows, detector_cols : int
        Size of the whole detector's science area; 0 where unknown.
    """

    n_row: int
    n_col: int
    row0: int
    col0: int
    detector_rows: int = 0
    detector_cols: int = 0


@dataclass(frozen=True, slots=True)
class Readout:
    """What the noise model needs of the electronics.

    Parameters
    ----------
    exposure : float
        Effective time on source of one frame (s).
    gain : tuple of float
        Electrons per count of each readout output.
    read_noise : tuple of float
        Electrons per read of each readout output.
    n_read : int
        Reads summed in one frame.
    output_col : tuple of int
        First detector column of each output, ascending.
    saturation : float
        Pixel value (e-/s) from which a pixel counts as saturated.
    assumed : tuple of str
        Header cards that were missing; the instrument's defaults stand in for them.
    """

    exposure: float
    gain: tuple[float, ...]
    read_noise: tuple[float, ...]
    n_read: int
    output_col: tuple[int, ...]
    saturation: float
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moments:
    """The time axis of the frames in a file or block; all arrays have shape (n_frame,).

    Parameters
    ----------
    cadence : int64 array
        The mission's cadence number.
    start, stop : float64 array
        BTJD at which the exposure starts and stops, valid in the direction ``FileInfo.time_ra, time_dec``;
        all known clock corrections applied. NaN where the file has none.
    barycorr : float64 array
        Barycentric correction contained in ``start`` and ``stop`` (d); NaN where unknown.
    quality : int32 array
        The mission's quality bits, unchanged.
    """

    cadence: IntArray
    start: FloatArray
    stop: FloatArray
    barycorr: FloatArray
    quality: NDArray[np.int32]

    @property
    def mid(self) -> FloatArray:
        """Mid-exposure BTJD, shape (n_frame,)."""
        return 0.5 * (self.start + self.stop)


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What the headers of one raw file say; made without reading its pixels.

    Parameters
    ----------
    path : str
        The file.
    instrument, segment, detector : str
        For example ``tess``, ``s0008``, ``3-4``.
    kind : str
        What sort of file: ``ffi``, ``tesscut``, ``tpf-120s``, ``hdf5`` ... Light curves of one segment, detector
        and kind lie in one file.
    series : str
        The frame series that the file belongs to: ``ffi`` for full-frame images (every frame a file), the file's
        stem for stamps (every file a series of its own).
    name : str
        The mission's name for the product, without folder and compression suffix.
    geometry : Geometry
        Where its pixels lie.
    readout : Readout
        Terms of the noise model.
    moments : Moments
        Its frames' cadences, times and quality; one frame for an FFI.
    wcs : str
        Celestial WCS as FITS header text (80-character cards, ``Header.tostring()``), whose 0-based pixel
        coordinates are detector coordinates; empty where the file has none.
    time_ra, time_dec : float
        Direction (deg, ICRS) for which the barycentric times hold; NaN where unknown.
    background_subtracted : bool
        Whether the mission has subtracted the background (``BACKAPP``).
    has_mask : bool
        Whether the file brings a pixel mask of the mission's own (``[extract] mask = "pipeline"``).
    target_id : int
        The catalogue id of the star that a stamp was made for; 0 for none.
    data_release : int
        ``DATA_REL``; 0 where unknown.
    facts : mapping of str to str
        Of a file of photons (kind ``events``): its ``role`` (``events`` or ``spectrum``), the ``target``, and its ``setting``.
    """

    path: str
    instrument: str
    segment: str
    detector: str
    kind: str
    series: str
    name: str
    geometry: Geometry
    readout: Readout
    moments: Moments
    wcs: str = ""
    time_ra: float = float("nan")
    time_dec: float = float("nan")
    background_subtracted: bool = False
    has_mask: bool = False
    target_id: int = 0
    data_release: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pixels:
    """The science pixels of one file.

    Parameters
    ----------
    flux : array, shape (n_frame, n_row, n_col)
        e-/s; float32, big- or little-endian, perhaps a strided view.
    content : str
        XXH3-128 (hex) of headers and science rows.
    background : array, shape (n_frame, n_row, n_col), optional
        What the mission subtracted (e-/s), where the file says so; for the noise model.
    mask : bool array, shape (n_row, n_col), optional
        The mission's pixel mask.
    """

    flux: NDArray[Any]
    content: str
    background: NDArray[Any] | None = None
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class Footprint:
    """What target selection needs of one series.

    Parameters
    ----------
    series : str
        Name of the series.
    geometry : Geometry
        Where its pixels lie.
    wcs : str
        As in `FileInfo`; never empty.
    epoch : float
        Julian year to which proper motion is applied (the series' mid-time).
    """

    series: str
    geometry: Geometry
    wcs: str
    epoch: float


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference image of a series: the clipped mean of its reference set.

    Parameters
    ----------
    series : str
        Name of the series.
    geometry : Geometry
        Where its pixels lie.
    image : float32 array, shape (n_row, n_col)
        e-/s; NaN where no reference frame has a good pixel.
    wcs : str
        As in `FileInfo`, of the reference frame nearest the middle of the segment.
    epoch : float
        Julian year of the reference set's mid-time.
    time_ra, time_dec : float
        Direction for which the frames' barycentric times hold (deg).
    members : tuple of str
        Names of the frames in the reference set.
    readout : Readout
        Terms of the noise model.
    """

    series: str
    geometry: Geometry
    image: NDArray[np.float32]
    wcs: str
    epoch: float
    time_ra: float
    time_dec: float
    members: tuple[str, ...]
    readout: Readout

    @property
    def footprint(self) -> Footprint:
        """What target selection needs of it."""
        return Footprint(self.series, self.geometry, self.wcs, self.epoch)

    def cut(self, col: float, row: float, half: int) -> Reference | None:
        """Return the part that reaches ``half`` pixels from the one at a place (detector px); None where no pixel lies there."""
        if not np.isfinite(col + row):
            return None
        place = self.geometry
        first_col, first_row = max(round(col) - half, place.col0), max(round(row) - half, place.row0)
        n_col = min(round(col) + half + 1, place.col0 + place.n_col) - first_col
        n_row = min(round(row) + half + 1, place.row0 + place.n_row) - first_row
        if n_col <= 0 or n_row <= 0:
            return None
        i, j = first_row - place.row0, first_col - place.col0
        geometry = replace(place, n_row=n_row, n_col=n_col, row0=first_row, col0=first_col)
        return replace(self, geometry=geometry, image=self.image[i : i + n_row, j : j + n_col])


@dataclass(frozen=True, slots=True)
class Batch:
    """Up to `LANES` frames that enter the pixel pass together.

    Parameters
    ----------
    frames : sequence of arrays, each of shape (n_row, n_col)
        e-/s; float32 of either byte order, row-strided views allowed.
    position : int array, shape (n_frame,)
        Where each frame goes on the block's time axis; ``position % LANES`` is its lane.
    background : sequence of arrays, optional
        As `Pixels.background`, frame by frame.
    """

    frames: Sequence[NDArray[Any]]
    position: IntArray
    background: Sequence[NDArray[Any]] | None = None


@dataclass(frozen=True, slots=True)
class PixelMasks:
    """One pixel mask a star, the same in all frames.

    Parameters
    ----------
    ptr : int64 array, shape (n_star + 1,)
        Star ``s`` owns the pixels ``ptr[s]:ptr[s + 1]``: none where no mask could be made for it.
    col, row : int32 array, shape (n_entry,)
        The pixels, in detector coordinates.
    clipped : bool array, shape (n_star,)
        Whether the edge of the image cuts light off that the mask should hold.
    crowding : float32 array, shape (n_star,)
        The star's share of the light of all catalogue stars whose own pixels lie in the mask; NaN where unknown.
    """

    ptr: IntArray
    col: NDArray[np.int32]
    row: NDArray[np.int32]
    clipped: NDArray[np.bool_]
    crowding: NDArray[np.float32]

    def of(self, star: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return columns and rows of the star's pixels."""
        entries = slice(int(self.ptr[star]), int(self.ptr[star + 1]))
        return self.col[entries], self.row[entries]


@dataclass(frozen=True, slots=True)
class FluxBlock:
    """All targets of a series in the frames of one block.

    Parameters
    ----------
    moments : Moments
        The block's time axis, shape (n_frame,); a cadence without a good frame has NaN times.
    names : tuple of str
        The mission's name of each frame, empty where there is none.
    planes : mapping of str to array, each of shape (n_star, n_frame)
        float32 ``aperture1_flux``, ``aperture1_flux_err``, ... (e-/s), ``background``, ``background_err``
        (e-/s/pixel), ``centroid_col``, ``centroid_row`` (px), and int32 ``flag``; where wanted also those of ``mask``, ``psf``, ``halo``.
    rows : int64 array, shape (n_star,)
        The targets' row numbers in `Targets`.
    meta : mapping
        Small facts to keep: ``readout``, direction of the times, and ``mask`` where a pixel mask was summed instead of circles.
    masks : PixelMasks, optional
        The stars' own masks, where ``mask_flux`` was measured.
    moving : Candidates, optional
        What may be moving objects, where they were looked for.
    """

    moments: Moments
    names: tuple[str, ...]
    planes: Mapping[str, NDArray[Any]]
    rows: IntArray
    meta: Mapping[str, Any] = field(default_factory=dict)
    masks: PixelMasks | None = None
    moving: Candidates | None = None
