"""The blocks of one frame series joined along time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.collect.aperture import whole_apertures
from cuvee.errors import AlgorithmError
from cuvee.model.flags import NO_FRAME
from cuvee.model.moving import Tracks
from cuvee.model.records import FluxBlock, Geometry, PixelMasks, Targets
from cuvee.model.time import earth_position, move_time

__all__ = ["JoinedSeries", "SeriesFluxes", "join_blocks"]

FloatArray = NDArray[np.float64]

OTHERS = ("mask", "psf", "halo")
"""Methods beside the apertures, in the order in which one of equals is taken."""


@dataclass(frozen=True, slots=True)
class SeriesFluxes:
    """What one frame series contributes to a patch.

    Parameters
    ----------
    blocks : sequence of FluxBlock
        Its blocks, cut to the stars of the patch, all with the same stars in the same order.
    rows : int64 array, shape (n_star,)
        Where these stars stand among the patch's targets.
    time_ra, time_dec : float
        Direction (deg) for which the frames' times hold; NaN where unknown, then times are left as they are.
    geometry : Geometry, optional
        Where its pixels lie: with it the flag ``edge`` is that of the aperture which ``flux`` holds, not of the largest.
    observer : sequence of float64 arrays, each of shape (n_frame, 3), optional
        One a block: where the observer was (light-seconds, ICRS, from the barycentre); the Earth where not given.
    tracks : sequence of Tracks
        Paths of moving objects over its pixels.
    """

    blocks: Sequence[FluxBlock]
    rows: NDArray[np.int64]
    time_ra: float
    time_dec: float
    geometry: Geometry | None = None
    observer: Sequence[FloatArray] | None = None
    tracks: Sequence[Tracks] = ()


@dataclass(frozen=True, slots=True)
class JoinedSeries:
    """One series on one time axis, without the cadences that have no frame.

    Parameters
    ----------
    rows : int64 array, shape (n_star,)
        Where its stars stand among the patch's targets.
    time : float64 array, shape (n_star, n_frame)
        Mid-exposure at each star (BTJD).
    cadence, quality : int arrays, shape (n_frame,)
        As in `cuvee.model.records.Moments`.
    blocks : sequence of FluxBlock
        In the order of time; at least one.
    runs : sequence of (int, slice, slice)
        Frames that follow one another: number of their block, where they lie in it, and where on the time axis.
    circles : bool
        Whether its apertures are the targets' circles, and not one given mask.
    whole : bool array, shape (n_star, n_aperture), or None
        Which apertures lie wholly on the pixels; None where that is not known.
    tracks : sequence of Tracks
        Paths of moving objects over its pixels.
    """

    rows: NDArray[np.int64]
    time: FloatArray
    cadence: NDArray[np.int64]
    quality: NDArray[np.int32]
    blocks: Sequence[FluxBlock]
    runs: Sequence[tuple[int, slice, slice]]
    circles: bool
    whole: NDArray[np.bool_] | None
    tracks: Sequence[Tracks]

    @property
    def apertures(self) -> tuple[str, ...]:
        """Names of the apertures that were measured."""
        return _apertures(self.blocks[0])

    @property
    def masks(self) -> PixelMasks | None:
        """The stars' own masks; the same in all blocks."""
        return self.blocks[0].masks

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of all that was measured: the apertures, and of ``mask``, ``psf`` and ``halo`` those of which there are fluxes."""
        return (*self.apertures, *(name for name in OTHERS if f"{name}_flux" in self.blocks[0].planes))

    def planes(self, *names: str) -> dict[str, NDArray[Any]]:
        """Return planes of one type, joined along time, each of shape (n_star, n_frame) and free to be changed."""
        # Together they are large enough to get large pages from the system; page by page, that takes longer than copying.
        joined = np.empty((len(names), *self.time.shape), self.blocks[0].planes[names[0]].dtype)
        for name, values in zip(names, joined, strict=True):
            for number, there, here in self.runs:
                values[:, here] = self.blocks[number].planes[name][:, there]
        return dict(zip(names, joined, strict=True))


def join_blocks(one: SeriesFluxes, targets: Targets) -> JoinedSeries:
    """Join the blocks of a series along time, without the cadences that have no frame.

    Parameters
    ----------
    one : SeriesFluxes
        Its blocks, in any order.
    targets : Targets
        The patch's rows.

    Returns
    -------
    JoinedSeries

    Raises
    ------
    AlgorithmError
        If the blocks do not belong together.
    """
    order = sorted(range(len(one.blocks)), key=lambda i: int(one.blocks[i].moments.cadence[0]))
    blocks = [one.blocks[i] for i in order]
    names = list(blocks[0].planes)
    runs: list[tuple[int, slice, slice]] = []
    kept = []
    n_frame = 0
    for number, block in enumerate(blocks):
        flag = block.planes["flag"]
        if list(block.planes) != names or flag.shape != (one.rows.size, block.moments.cadence.size):
            raise AlgorithmError(
                "The flux blocks of one series differ in stars or planes; run extract again for all of them.",
                {"stars": one.rows.size, "cadence": int(block.moments.cadence[0])},
            )
        keep = (np.bitwise_and.reduce(flag, axis=0) & NO_FRAME) == 0
        kept.append(keep)
        # Whole runs of frames are copied at a time, which is several times faster than picking them.
        for start, stop in np.flatnonzero(np.diff(keep, prepend=False, append=False)).reshape(-1, 2).tolist():
            runs.append((number, slice(start, stop), slice(n_frame, n_frame + stop - start)))
            n_frame += stop - start
    circles = not blocks[0].meta.get("mask", False)
    if circles and len(_apertures(blocks[0])) != len(targets.radii):
        raise AlgorithmError(
            f"The flux blocks of one series do not hold the {len(targets.radii)} apertures of its targets; "
            "run extract again for all of them."
        )
    whole = None
    if one.geometry is not None and circles:
        whole = whole_apertures(one.geometry, targets.col[one.rows], targets.row[one.rows], targets.radii)

    def axis(field: str) -> NDArray[Any]:
        return np.concatenate([getattr(block.moments, field)[keep] for block, keep in zip(blocks, kept, strict=True)])

    observer = None
    if one.observer is not None:
        observer = np.concatenate([one.observer[i][keep] for i, keep in zip(order, kept, strict=True)])
    ra, dec = targets.direction
    mid = axis("mid")
    mid[~np.isfinite(mid)] = np.nan
    time = _star_times(mid, one, observer, ra[one.rows], dec[one.rows])
    return JoinedSeries(one.rows, time, axis("cadence"), axis("quality"), blocks, runs, circles, whole, one.tracks)


def _apertures(block: FluxBlock) -> tuple[str, ...]:
    names = (name.removesuffix("_flux") for name in block.planes if name.endswith("_flux"))
    return tuple(name for name in names if name.startswith("aperture"))


def _star_times(
    mid: FloatArray, one: SeriesFluxes, observer: FloatArray | None, ra: FloatArray, dec: FloatArray
) -> FloatArray:
    """Return the time of each point, shape (n_star, n_frame); NaN stays NaN."""
    if not (np.isfinite(one.time_ra) and np.isfinite(one.time_dec)):
        return np.tile(mid, (ra.size, 1))
    place = _earth(mid.tobytes()) if observer is None else observer
    return move_time(mid, one.time_ra, one.time_dec, ra, dec, place)


@lru_cache(maxsize=4)
def _earth(mid: bytes) -> FloatArray:
    """Return where the Earth is; all patches of a detector ask for the same times, and the ephemeris is slow."""
    return earth_position(np.frombuffer(mid, np.float64))
