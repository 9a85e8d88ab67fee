"""The pixels around stars, cut out of the raw files when somebody asks; they are kept nowhere else.

A frame is opened once for all stars that are exported together, and files that are no longer what was measured are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.errors import BadData, TransientError
from cuvee.export.rows import Observation
from cuvee.instruments.boxes import Boxes, cut_boxes
from cuvee.instruments.local_wcs import LocalWcs, local_wcs, sky_of_pixels, to_plane
from cuvee.instruments.tess_camera import WCS_PIXEL
from cuvee.instruments.tess_ffi import FIRST_COL
from cuvee.model.instrument import Instrument
from cuvee.model.records import Readout
from cuvee.photometry.aperture import circles

__all__ = ["FrameAxis", "RawSeries", "TargetPixels", "cut_targets"]

FloatArray = NDArray[np.float64]

_MEMORY = 1 << 28
"""Bytes of pixels that are held at once."""

_DEFAULT_RADIUS = 1.5
"""Pixels; for the mask of a star whose flux is that of no circle."""


@dataclass(frozen=True, slots=True)
class RawSeries:
    """The raw files of a series as a workspace knows them.

    Parameters
    ----------
    kind : str
        As in `cuvee.model.records.FileInfo`.
    files : tuple of str
        Those that are on disk as they were when they were measured: a frame each, or one stamp.
    n_known : int
        How many were measured.
    wcs : str
        WCS of the reference image, in detector coordinates; empty where there is none.
    radii : tuple of float
        Of the circular apertures (px); empty where they are not known.
    errors : mapping of int to (cadence, error), optional
        By star: cadence numbers, and the error of the background there (e-/s/pixel), as far as flux blocks tell.
    gain : mapping of int to float, optional
        By what the pixels of some detector columns were multiplied before they were measured; of all others by 1.
    """

    kind: str
    files: tuple[str, ...]
    n_known: int
    wcs: str = ""
    radii: tuple[float, ...] = ()
    errors: Mapping[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = field(default_factory=dict)
    gain: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FrameAxis:
    """What the frames of a series share; all arrays have shape (n_frame,).

    Parameters
    ----------
    cadence : int64 array
        Cadence numbers.
    start, stop : float64 array
        BTJD of the exposure, in the direction for which the file's times hold.
    barycorr : float64 array
        Barycentric correction within (d); NaN where unknown.
    wcs : tuple of str
        WCS of each frame; empty where it has none.
    pointing : float64 array, shape (n_frame, 2)
        RA and Dec (deg) of pixel (1045, 1001) of a TESS CCD (counted from 1), where the WCS of full frames has its CRVAL; else NaN.
    readout : Readout
        Terms of the noise model.
    """

    cadence: NDArray[np.int64]
    start: FloatArray
    stop: FloatArray
    barycorr: FloatArray
    wcs: tuple[str, ...]
    pointing: FloatArray
    readout: Readout


@dataclass(frozen=True, slots=True)
class TargetPixels:
    """The pixels around one star in the frames of one observation.

    Parameters
    ----------
    observation : Observation
        The star's light curve.
    kind : str
        Of the raw files.
    point, frame : int64 array, shape (n,)
        Which points of the light curve, and which frames of the axis.
    axis : FrameAxis
        The frames.
    flux : float32 array, shape (n, size, size)
        As the raw files have it (e-/s); NaN where they have no pixel.
    subtracted : float32 array of the same shape, optional
        The background that the mission had subtracted (e-/s/pixel), where the files say so.
    row0, col0 : int
        Detector coordinates of pixel [0, 0].
    aperture : bool array, shape (size, size)
        The star's aperture as whole pixels.
    wcs : LocalWcs, optional
        Around the star.
    motion : float64 array, shape (n, 2)
        Column and row (px) by which the star has moved, by the frames' WCS; NaN where unknown.
    background_err : float64 array, shape (n,)
        One standard deviation of the light curve's background (e-/s/pixel); NaN where unknown.
    gain : float32 array, shape (size,)
        By what the pixels of each column were multiplied before they were measured.
    """

    observation: Observation
    kind: str
    point: NDArray[np.int64]
    frame: NDArray[np.int64]
    axis: FrameAxis
    flux: NDArray[np.float32]
    subtracted: NDArray[np.float32] | None
    row0: int
    col0: int
    aperture: NDArray[np.bool_]
    wcs: LocalWcs | None
    motion: FloatArray
    background_err: FloatArray
    gain: NDArray[np.float32]

    def column(self, name: str) -> NDArray[Any]:
        """Return a column of the light curve at these points."""
        return self.observation.column(name)[self.point]


def cut_targets(
    device: Instrument, series: RawSeries, seen: Sequence[Observation], size: int
) -> Iterator[TargetPixels]:
    """Cut the surroundings of stars out of the frames that measured them.

    Parameters
    ----------
    device : Instrument
        Reads the files.
    series : RawSeries
        The files.
    seen : sequence of Observation
        Stars of this series, with a finite position.
    size : int
        Rows and columns of the cut; odd, so that the star lies in the middle pixel.

    Yields
    ------
    TargetPixels
        In the order of ``seen``. Points without a time, and frames that cannot be read, are left out.
    """
    most = max((observation.points["time"].size for observation in seen), default=1)
    step = max(1, _MEMORY // (4 * max(most, 1) * size * size))
    for first in range(0, len(seen), step):
        yield from _cut_some(device, series, seen[first : first + step], size)


def _cut_some(device: Instrument, series: RawSeries, seen: Sequence[Observation], size: int) -> Iterator[TargetPixels]:
    col = np.array([float(observation.row["col"]) for observation in seen])
    row = np.array([float(observation.row["row"]) for observation in seen])
    col0, row0 = (np.floor(x + 0.5).astype(np.int64) - size // 2 for x in (col, row))
    cuts: list[Boxes] = []
    flux = np.empty((len(series.files), len(seen), size, size), np.float32)
    for path in series.files:
        try:
            boxes = cut_boxes(device, path, row0, col0, size)
        except (BadData, TransientError):
            continue  # the next run says what is wrong with it
        if series.kind == "ffi":
            # Into its place at once, so that no frame is in memory twice.
            flux[len(cuts)] = boxes.flux[0]
            boxes = Boxes(boxes.info, flux[len(cuts)][np.newaxis], boxes.background, boxes.mask)
        cuts.append(boxes)
    if not cuts:
        return
    whole = flux[: len(cuts)] if series.kind == "ffi" else np.concatenate([cut.flux for cut in cuts])
    background = None
    if all(cut.background is not None for cut in cuts):
        background = np.concatenate([cut.background for cut in cuts if cut.background is not None])
    axis = _axis(cuts)
    reference = series.wcs or next((text for text in axis.wcs if text), "")
    motion = _motion(axis, reference, col, row)
    for k, observation in enumerate(seen):
        points = observation.points
        found = _find(axis.cadence, points["cadence"])
        point = np.flatnonzero(np.isfinite(points["time"]) & (found >= 0))
        frame = found[point]
        masks = cuts[0].mask
        gain = np.array([series.gain.get(int(col0[k]) + i, 1.0) for i in range(size)], np.float32)
        yield TargetPixels(
            observation,
            series.kind,
            point,
            frame,
            axis,
            whole[frame, k],
            None if background is None else background[frame, k],
            int(row0[k]),
            int(col0[k]),
            _aperture(observation.row, series.radii, None if masks is None else masks[k], (row0[k], col0[k]), size),
            local_wcs(reference, col[k], row[k], 0.5 * size) if reference else None,
            motion[frame, k],
            _errors(series, observation)[point],
            gain,
        )


def _find(among: NDArray[np.int64], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each cadence number stands; -1 where it does not."""
    if among.size == 0:
        return np.full(wanted.size, -1)
    order = np.argsort(among, kind="stable")
    place = order[np.minimum(np.searchsorted(among[order], wanted), order.size - 1)]
    return np.asarray(np.where(among[place] == wanted, place, -1), dtype=np.int64)


def _errors(series: RawSeries, observation: Observation) -> FloatArray:
    cadence = observation.points["cadence"]
    errors = np.full(cadence.size, np.nan)
    if known := series.errors.get(int(observation.row["id"])):
        place = _find(known[0], cadence)
        errors[place >= 0] = known[1][place[place >= 0]]
    return errors


def _axis(cuts: Sequence[Boxes]) -> FrameAxis:
    moments = [cut.info.moments for cut in cuts]
    wcs = tuple(cut.info.wcs for cut in cuts for _ in range(cut.flux.shape[0]))
    pointing = np.full((len(wcs), 2), np.nan)
    if cuts[0].info.instrument == "tess" and cuts[0].info.kind == "ffi":
        for i, text in enumerate(wcs):
            if text:
                ra, dec = sky_of_pixels(text, [WCS_PIXEL[0] - FIRST_COL - 1.0], [WCS_PIXEL[1] - 1.0])
                pointing[i] = ra[0], dec[0]
    return FrameAxis(
        np.concatenate([m.cadence for m in moments]),
        np.concatenate([m.start for m in moments]),
        np.concatenate([m.stop for m in moments]),
        np.concatenate([m.barycorr for m in moments]),
        wcs,
        pointing,
        cuts[0].info.readout,
    )


def _motion(axis: FrameAxis, reference: str, col: FloatArray, row: FloatArray) -> FloatArray:
    """Return how far each frame's WCS moves each star (px), shape (n_frame, n_star, 2).

    In a frame that looks a little elsewhere, the star's own pixel of the reference shows another direction; by as much, and the other
    way, has the star moved. To second order in the motion: 10^-4 px for a motion of one.
    """
    motion = np.full((axis.cadence.size, col.size, 2), np.nan)
    if not reference or len(set(axis.wcs)) < 2:
        return motion  # of a stamp there is one WCS, which says nothing of its frames
    ra, dec = sky_of_pixels(reference, col, row)
    local = [local_wcs(reference, x, y, 1.0).matrix for x, y in zip(col, row, strict=True)]
    to_pixels = np.linalg.inv(np.stack(local))
    for i, text in enumerate(axis.wcs):
        if text:
            plane = np.stack(to_plane(*sky_of_pixels(text, col, row), ra, dec), axis=-1)
            motion[i] = -np.einsum("kij,kj->ki", to_pixels, plane)
    return motion


def _aperture(
    row: Mapping[str, Any], radii: Sequence[float], mask: NDArray[np.bool_] | None, corner: tuple[int, int], size: int
) -> NDArray[np.bool_]:
    """Return the pixels that lie at least half in the circle that ``flux`` holds, or the mission's mask where that was summed.

    A flux of neither (a PSF's, or that of a mask from elsewhere) is stood in for by the smallest circle.
    """
    if mask is not None and mask.any() and not np.isfinite(float(row["crowding"])):
        return mask
    number = str(row["best"]).removeprefix("aperture")
    index = int(number) - 1 if number.isdigit() else 0
    radius = radii[min(index, len(radii) - 1)] if radii else _DEFAULT_RADIUS
    centre = np.array([float(row["col"]) - corner[1]]), np.array([float(row["row"]) - corner[0]])
    zero = np.zeros(1, np.int64)
    circle = circles(*centre, (radius,), (size, size), zero, zero, np.array([size]))
    covered = np.zeros(size * size, np.bool_)
    covered[circle.pixel[:, 0]] = circle.weight[:, 0] >= 0.5
    return covered.reshape(size, size)
