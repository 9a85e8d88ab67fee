"""The effective PRF of a detector: learned from its own frames, drawn under every star.

A star's light in a pixel is a smooth function of the star's distance from it; the function differs from place to place and,
on frames that sample it poorly, shows itself only through many stars at many pixel phases. So it is fitted to the frames
together with the positions and fluxes of the stars and the pointing of every frame.
"""

from cuvee.prf.learn import Learned, learn
from cuvee.prf.mission import mission_prf
from cuvee.prf.monitor import Mismatch, monitor
from cuvee.prf.params import PrfParams
from cuvee.prf.shape import SHAPE_MISFIT, StampImage, fit_shape, gaussian_prf
from cuvee.prf.spline import stamps
from cuvee.prf.stamp import Settled, settle_stamp, unit_stars
from cuvee.prf.unknown import find_stars

__all__ = [
    "SHAPE_MISFIT",
    "Learned",
    "Mismatch",
    "PrfParams",
    "Settled",
    "StampImage",
    "find_stars",
    "fit_shape",
    "gaussian_prf",
    "learn",
    "mission_prf",
    "monitor",
    "settle_stamp",
    "stamps",
    "unit_stars",
]
