"""The blocks of one frame series joined along time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.collect.aperture import whole_apertures
from cuvee.errors import AlgorithmError
from cuvee.model.flags import NO_FRAME, NO_TIME
from cuvee.model.records import FluxBlock, Geometry, Targets
from cuvee.model.time import earth_position, move_time

__all__ = ["JoinedSeries", "SeriesFluxes", "join_blocks"]

FloatArray = NDArray[np.float64]


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
    """

    blocks: Sequence[FluxBlock]
    rows: NDArray[np.int64]
    time_ra: float
    time_dec: float
    geometry: Geometry | None = None
    observer: Sequence[FloatArray] | None = None


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
    planes : mapping of str to array, each of shape (n_star, n_frame)
        As in `cuvee.model.records.FluxBlock`, free to be changed.
    circles : bool
        Whether its apertures are the targets' circles, and not one given mask.
    whole : bool array, shape (n_star, n_aperture), or None
        Which apertures lie wholly on the pixels; None where that is not known.
    """

    rows: NDArray[np.int64]
    time: NDArray[np.float64]
    cadence: NDArray[np.int64]
    quality: NDArray[np.int32]
    planes: Mapping[str, NDArray[Any]]
    circles: bool
    whole: NDArray[np.bool_] | None


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
    for block in blocks:
        if list(block.planes) != names or block.planes["flag"].shape != (one.rows.size, block.moments.cadence.size):
            raise AlgorithmError(
                "The flux blocks of one series differ in stars or planes; run extract again for all of them.",
                {"stars": one.rows.size, "cadence": int(block.moments.cadence[0])},
            )
    kept = [~((block.planes["flag"] & NO_FRAME) != 0).all(axis=0) for block in blocks]
    ends = np.cumsum([int(keep.sum()) for keep in kept])
    planes = {}
    for name in names:
        first = blocks[0].planes[name]
        joined = np.empty((one.rows.size, int(ends[-1])), first.dtype)
        for block, keep, end in zip(blocks, kept, ends, strict=True):
            part = block.planes[name]
            joined[:, end - int(keep.sum()) : end] = part if keep.all() else part[:, keep]
        planes[name] = joined

    def axis(field: str) -> NDArray[Any]:
        return np.concatenate([getattr(block.moments, field)[keep] for block, keep in zip(blocks, kept, strict=True)])

    mid = axis("mid")
    observer = None
    if one.observer is not None:
        observer = np.concatenate([one.observer[i][keep] for i, keep in zip(order, kept, strict=True)])
    ra, dec = targets.direction
    time = _star_times(mid, one, observer, ra[one.rows], dec[one.rows])
    planes["flag"] |= np.where(np.isfinite(time), 0, NO_TIME).astype(np.int32)
    circles = not blocks[0].meta.get("mask", False)
    if circles and sum(name.endswith("_flux") for name in names) != len(targets.radii):
        raise AlgorithmError(
            f"The flux blocks of one series do not hold the {len(targets.radii)} apertures of its targets; "
            "run extract again for all of them."
        )
    whole = None
    if one.geometry is not None and circles:
        whole = whole_apertures(one.geometry, targets.col[one.rows], targets.row[one.rows], targets.radii)
    return JoinedSeries(one.rows, time, axis("cadence"), axis("quality"), planes, circles, whole)


def _star_times(
    mid: FloatArray, one: SeriesFluxes, observer: FloatArray | None, ra: FloatArray, dec: FloatArray
) -> NDArray[np.float64]:
    """Return the time of each point, shape (n_star, n_frame); NaN stays NaN."""
    time = np.full((ra.size, mid.size), np.nan)
    known = np.isfinite(mid)
    if not known.any():
        return time
    if np.isfinite(one.time_ra) and np.isfinite(one.time_dec):
        finite = mid[known]
        place = earth_position(finite) if observer is None else observer[known]
        time[:, known] = move_time(finite, one.time_ra, one.time_dec, ra, dec, place)
    else:
        time[:, known] = mid[known]
    return time
