"""From blocks of frames to light curves of stars: one patch of the sky at a time."""

from cuvee.collect.aperture import choose_aperture, enclosed_light, light_shares
from cuvee.collect.params import CollectParams, TimeParams
from cuvee.collect.patch import collect
from cuvee.collect.series import SeriesFluxes

__all__ = [
    "CollectParams",
    "SeriesFluxes",
    "TimeParams",
    "choose_aperture",
    "collect",
    "enclosed_light",
    "light_shares",
]
