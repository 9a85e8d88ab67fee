"""When a point was taken, at the star; and why its flux is that of one aperture and not of another."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.collect import choose_aperture, enclosed_light
from cuvee.collect.aperture import by_distance_from_middle, light_in_masks, unspilt
from cuvee.collect.series import OTHERS
from cuvee.instruments.spacecraft import spacecraft_position
from cuvee.metrics import median, point_to_point_scatter
from cuvee.model.flags import EDGE, FLAGS, SATURATED, default_mask
from cuvee.model.instrument import Instrument
from cuvee.model.records import Geometry, PixelMasks
from cuvee.model.time import DAY, earth_position, observer_time
from cuvee.provenance.sums import compare

__all__ = ["choice_of", "time_of"]

Facts = dict[str, Any]


def _unit(ra: float, dec: float) -> NDArray[np.float64]:
    a, d = math.radians(ra), math.radians(dec)
    return np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])


def time_of(
    start: float, stop: float, direction: tuple[float, float], star: tuple[float, float], stored: float,
    kernels: Sequence[Path], device: Instrument,
) -> Facts:  # fmt: skip
    """Say how the time of a point comes about.

    Parameters
    ----------
    start, stop : float
        When the exposure began and ended (BTJD), as the frame's headers say, with the clock put right.
    direction : tuple of float
        RA and Dec for which the file's times hold (deg); NaN where unknown.
    star : tuple of float
        RA and Dec of the star at the epoch of the frames (deg).
    stored : float
        The point's time (BTJD).
    kernels : sequence of Path
        Where the spacecraft was; none for the Earth in its stead.
    device : Instrument
        For its number in the kernels.

    Returns
    -------
    dict
        ``start``, ``stop``, ``mid`` (BTJD), ``direction`` and ``star`` (deg), ``observer`` (light-seconds), ``light_path`` (s), and the comparison.
    """
    mid = 0.5 * (start + stop)
    facts: Facts = {"start": start, "stop": stop, "mid": mid, "direction": list(direction), "star": list(star)}
    facts |= {"observer": None, "observer_is": "", "light_path": 0.0}
    if math.isfinite(mid) and all(map(math.isfinite, direction)):
        if kernels:
            place = spacecraft_position(kernels, device.naif_id, observer_time([mid], *direction))[0]
        else:
            place = earth_position([mid])[0]
        facts["observer"] = place.tolist()
        facts["observer_is"] = "the spacecraft, from the kernels" if kernels else "the Earth, ERFA epv00"
        facts["light_path"] = float((_unit(*star) - _unit(*direction)) @ place)
    # A double holds BTJD to 0.02 ms; the unit vectors add as little.
    return facts | compare(mid + facts["light_path"] / DAY, stored, 1e-9)


def choice_of(
    points: Mapping[str, NDArray[Any]], best: str, setting: str, radii: Sequence[float], geometry: Geometry | None,
    col: float, row: float, device: Instrument, beside: Collection[str],
    own: PixelMasks | None,
) -> Facts:  # fmt: skip
    """Say why ``flux`` is that of one aperture, or of the PSF.

    Parameters
    ----------
    points : mapping of str to array
        The star's points in this observation, in cadence order.
    best : str
        The aperture that ``flux`` holds.
    setting : str
        ``[collect] aperture``.
    radii : sequence of float
        Of the apertures (px); none where a mask was summed.
    geometry : Geometry or None
        Where the pixels lie.
    col, row : float
        The star (px).
    device : Instrument
        For its quality bits and its typical star.
    beside : collection of str
        Which of ``mask``, ``psf`` and ``halo`` were measured beside the apertures; of a PSF and a halo the pixels need show only a part.
    own : PixelMasks or None
        The star's own mask, where one was made.

    Returns
    -------
    dict
        ``setting``, ``best``, ``n_good``, ``fwhm`` and, for each aperture, ``scatter`` (e-/s) from point to point, ``enclosed`` light, their
        quotient ``relative``, ``whole`` and ``median``; ``redone``, the one that follows from them, and whether it ``agrees``.
    """
    names = [f"aperture{k + 1}" for k in range(len(radii) or 1)]
    whole = None
    if geometry is not None and radii:
        x, y = col - geometry.col0 + 0.5, row - geometry.row0 + 0.5
        room = min(x, geometry.n_col - x, y, geometry.n_row - y)
        whole = np.array([[room >= radius for radius in radii]])
    shares = enclosed_light(radii, device.fwhm) if radii else (1.0,)
    order = by_distance_from_middle(len(names))
    mask = math.nan if own is None else float(light_in_masks(own, np.array([col]), np.array([row]), device.fwhm)[0])
    others = {"mask": mask, "psf": 1.0, "halo": shares[-1] if math.isnan(mask) else mask}
    for name in (name for name in OTHERS if name in beside):
        order = np.append(order, len(names))
        names, shares = [*names, name], (*shares, others[name])
        seen = name != "mask" or own is None or not own.clipped[0]
        whole = None if whole is None else np.column_stack([whole, [seen]])
    bad = default_mask(FLAGS) & ~(EDGE if whole is not None else 0)
    good = ((points["flag"] & bad) == 0) & ((points["quality"] & default_mask(device.quality)) == 0)
    fluxes = [points[f"{name}_flux"][None, :] for name in names]
    full = (points["flag"] & SATURATED) != 0
    allowed = unspilt(names, fluxes, good[None, :], full[None, :], whole)
    table = []
    for k, (name, flux) in enumerate(zip(names, fluxes, strict=True)):
        scatter = float(point_to_point_scatter(flux, good[None, :])[0])
        table.append(
            {
                "name": name,
                "radius": radii[k] if k < len(radii) else None,
                "scatter": scatter,
                "enclosed": shares[k],
                "relative": scatter / shares[k],
                "median": float(median(np.where(good, flux, np.nan))[0]),
                "whole": bool(whole[0, k]) if whole is not None else None,
                "allowed": bool(allowed[0, k]) if allowed is not None else True,
            }
        )
    redone = (
        names[int(choose_aperture(fluxes, good[None, :], shares, allowed, order)[0])] if setting == "best" else setting
    )
    return {
        "setting": setting,
        "best": best,
        "redone": redone,
        "agrees": redone == best,
        "n_good": int(good.sum()),
        "fwhm": device.fwhm,
        "apertures": table,
    }
