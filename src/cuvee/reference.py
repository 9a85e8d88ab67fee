"""The reference image of a series: the clipped mean of its reference set, or of a stamp's own frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cuvee.errors import AlgorithmError
from cuvee.model.records import BJD_OFFSET, FileInfo, Reference

__all__ = ["ReferenceParams", "build", "build_from_series", "mean_image"]

STRIP_BYTES = 64 << 20
"""Memory of one strip of the stack."""

SERIES_FRAMES = 32
"""Frames of a stamp, spread over its series, that make its mean image."""


class ReferenceParams(BaseModel):
    """Parameters of the reference image.

    Parameters
    ----------
    clip : float
        A frame whose pixel lies further than this many robust standard deviations from the median of all frames does
        not enter the mean of that pixel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip: float = Field(default=5.0, ge=1.0)


def mean_image(frames: Sequence[NDArray[Any]], clip: float = 5.0) -> NDArray[np.float32]:
    """Clipped mean of frames, in strips, so that memory does not grow with the size of the frames.

    Parameters
    ----------
    frames : sequence of arrays, each of shape (n_row, n_col)
        e-/s; any float type and byte order; strided or memory-mapped views are read strip by strip. NaN is left out.
    clip : float
        As `ReferenceParams.clip`.

    Returns
    -------
    float32 array, shape (n_row, n_col)
        e-/s; NaN where no frame has a finite value.

    Raises
    ------
    AlgorithmError
        If there is no frame, or their shapes differ.
    """
    from cuvee.kernels import robust

    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        raise AlgorithmError(
            f"A reference image needs frames of one shape, but got {sorted(shapes) or 'no frame'}: "
            "check the members of the reference set.",
            {"n_frame": len(frames), "n_shape": len(shapes)},
        )
    n_row, n_col = shapes.pop()
    image = np.empty((n_row, n_col), np.float32)
    height = max(1, min(n_row, STRIP_BYTES // (4 * n_col * len(frames))))
    stack = np.empty((len(frames), height, n_col), np.float32)
    for top in range(0, n_row, height):
        strip = stack if top + height <= n_row else np.empty((len(frames), n_row - top, n_col), np.float32)
        for k, frame in enumerate(frames):
            strip[k] = frame[top : top + height]
        robust.stack_mean(strip, clip, image[top : top + height])
    return image


def build(
    info: FileInfo,
    frames: Sequence[NDArray[Any]],
    names: Sequence[str],
    params: ReferenceParams | None = None,
    times: NDArray[np.float64] | None = None,
) -> Reference:
    """Make the reference of a series from the frames of its reference set.

    Parameters
    ----------
    info : FileInfo
        Of the member nearest the middle of the segment: its geometry, WCS, readout and direction become the reference's.
    frames : sequence of arrays, each of shape (n_row, n_col)
        Science pixels of the members (e-/s), at most 32; pass memory-mapped views where you can.
    names : sequence of str
        Names of the members, in the order of ``frames``.
    params : ReferenceParams, optional
        How the mean is clipped.
    times : float64 array, shape (n_frame,), optional
        The members' times (BTJD); their mean is the reference's epoch. Without them it is that of ``info``.

    Returns
    -------
    Reference

    Raises
    ------
    AlgorithmError
        If there is no frame, or their shapes differ.
    """
    when = info.moments.mid if times is None else np.asarray(times, dtype=np.float64)
    when = when[np.isfinite(when)]
    # Julian epoch: JD 2451545.0 is J2000.0, a Julian year has 365.25 d.
    epoch = 2000.0 + (float(when.mean()) + BJD_OFFSET - 2451545.0) / 365.25 if when.size else float("nan")
    return Reference(
        series=info.series,
        geometry=info.geometry,
        image=mean_image(frames, (params or ReferenceParams()).clip),
        wcs=info.wcs,
        epoch=epoch,
        time_ra=info.time_ra,
        time_dec=info.time_dec,
        members=tuple(names),
        readout=info.readout,
    )


def build_from_series(info: FileInfo, flux: NDArray[Any], params: ReferenceParams | None = None) -> Reference:
    """Make the reference of a stamp from its own frames: those of quality 0, or any where there are none.

    Parameters
    ----------
    info : FileInfo
        What its headers say.
    flux : array, shape (n_frame, n_row, n_col)
        e-/s.
    params : ReferenceParams, optional
        How the mean is clipped.

    Returns
    -------
    Reference
        Its members are named after the file and the frame's number, from 0.

    Raises
    ------
    AlgorithmError
        If there is no frame.
    """
    clean = np.flatnonzero(info.moments.quality == 0)
    clean = clean if clean.size else np.arange(info.moments.quality.size)
    chosen = clean[np.linspace(0, clean.size - 1, min(clean.size, SERIES_FRAMES)).astype(np.int64)]
    names = [f"{info.name}#{i}" for i in chosen]
    return build(info, list(flux[chosen]), names, params, info.moments.mid[chosen])
