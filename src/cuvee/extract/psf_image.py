"""What the stars of a PSF solution make of the reference image, to be looked at."""

from __future__ import annotations

import numpy as np

from cuvee import prf
from cuvee.extract.psf_stars import inverse_variance
from cuvee.model.psf import ModelImage, StarModel
from cuvee.model.records import Reference

__all__ = ["model_image"]


def model_image(still: Reference, model: StarModel, col: float, row: float, half: int) -> ModelImage | None:
    """Draw the stars of a series beside a part of its reference image.

    Parameters
    ----------
    still : Reference
        The image, in which the mission's background is still there.
    model : StarModel
        PRF and stars.
    col, row : float
        The part's middle (detector px).
    half : int
        It reaches this far from there (px).

    Returns
    -------
    ModelImage or None
        Its background is the median of what the stars leave of these pixels; None where there is no pixel, or none that can be used.
    """
    part = still.cut(col, row, half)
    if part is None:
        return None
    reach = half + model.prf.half + 1.0
    near = (np.abs(model.col - col) < reach) & (np.abs(model.row - row) < reach) & np.isfinite(model.flux)
    places = np.column_stack([model.col, model.row])[near]
    light = (prf.unit_stars(model.prf, places, part.geometry)[0] @ model.flux[near]).reshape(part.image.shape)
    weight = inverse_variance(part.image, part)
    used = weight > 0.0
    if not used.any():
        return None
    n_frame = max(len(still.members), 1)
    error = np.full(part.image.shape, np.inf, np.float32)
    error[used] = 1.0 / np.sqrt(n_frame * weight[used])
    level = float(np.median((part.image - light)[used]))
    return ModelImage(
        part.image, light.astype(np.float32), error, level, part.geometry.col0, part.geometry.row0, n_frame
    )
