"""The pixels around a star, as figures show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cuvee.model.keys import DataId
from cuvee.store.paths import Paths
from cuvee.store.references import read_reference
from cuvee.store.star_models import read_star_model
from cuvee.store.targets import read_targets
from cuvee.survey.light_curve import LightCurve

if TYPE_CHECKING:
    from cuvee.quicklook import Residual, Stamp

__all__ = ["residual", "stamp"]

_HALF_STAMP = 7


def stamp(paths: Paths, instrument: str, light_curve: LightCurve, observation: int = 0) -> Stamp | None:
    """Cut the surroundings of a star out of its reference image.

    Parameters
    ----------
    paths : Paths
        Where things lie.
    instrument : str
        Name of the instrument.
    light_curve : LightCurve
        The star.
    observation : int
        Which of its observations.

    Returns
    -------
    Stamp or None
        Image, apertures and the neighbours that have light curves; None where the workspace no longer has them.
    """
    from cuvee.quicklook import Stamp

    row = light_curve.observations[observation]
    for unit in _series(paths, instrument, row):
        image, stars = paths.reference(unit), paths.targets(unit.group)
        if image.exists() and stars.exists():
            reference, targets = read_reference(image), read_targets(stars)
            # Only a circle has a known share of light; a given mask has no shape here.
            best = str(row["best"]) if np.isfinite(float(row["crowding"])) else "mask"
            return Stamp.cut(reference, targets, light_curve.id, best, _HALF_STAMP)
    return None


def residual(paths: Paths, instrument: str, light_curve: LightCurve, observation: int = 0) -> Residual | None:
    """Return a star's mean pixels beside the PSF model of them.

    Parameters
    ----------
    paths, instrument, light_curve, observation
        As for `stamp`.

    Returns
    -------
    Residual or None
        Of a small stamp the mean that the stars were fitted to, else a part of the reference image; None where the workspace has no model.
    """
    from cuvee.quicklook import Residual

    row = light_curve.observations[observation]
    for unit in _series(paths, instrument, row):
        model, image = paths.stars(unit), paths.reference(unit)
        if model.exists() and image.exists():
            place = float(row["col"]), float(row["row"])
            return Residual.around(read_star_model(model), read_reference(image), light_curve.id, *place, _HALF_STAMP)
    return None


def _series(paths: Paths, instrument: str, row: Mapping[str, Any]) -> Iterator[DataId]:
    """Name the series that a row may belong to: it does not say of which kind its files were."""
    segment, detector, series = str(row["segment"]), str(row["detector"]), str(row["series"])
    for folder in sorted((paths.root / paths.red / segment).glob(f"{detector}-*")):
        yield DataId(instrument, segment, detector, folder.name.removeprefix(f"{detector}-"), series)
