"""How much of a star's flux comes from the edge of the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.collect.series import JoinedSeries
from cuvee.metrics import median

__all__ = ["edge_flux"]


def edge_flux(
    one: JoinedSeries, methods: Sequence[str], chosen: NDArray[np.int64], background: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the light that the chosen apertures and masks have in the outermost rows and columns of the pixels.

    Parameters
    ----------
    one : JoinedSeries
        The series.
    methods : sequence of str
        What was measured.
    chosen : int64 array, shape (n_star,)
        Which of these ``flux`` holds.
    background : float array, shape (n_star, n_frame)
        Background of a pixel (e-/s), whose median is taken off.

    Returns
    -------
    float64 array, shape (n_star,)
        e-/s, in the mean or reference image; NaN for a method that sums no pixels, and where the blocks do not say.
    """
    edge = one.blocks[0].meta.get("edge")
    if edge is None:
        return np.full(chosen.size, np.nan)
    out = np.zeros(chosen.size)
    place = {int(star): k for k, star in enumerate(one.blocks[0].rows.tolist())}
    for star, light, area in zip(edge["star"], edge["light"], edge["area"], strict=True):
        k = place.get(star)
        name = None if k is None else methods[chosen[k]]
        if k is not None and name in edge["methods"]:
            at = edge["methods"].index(name)
            level = float(np.nan_to_num(median(background[k : k + 1])[0])) if area[at] else 0.0
            out[k] = light[at] - area[at] * level
    summed = np.array([name in edge["methods"] for name in methods])
    return np.where(summed[chosen], out, np.nan)
