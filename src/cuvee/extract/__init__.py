"""The one pass over pixels: every star of every frame of a block, sixteen frames at a time.

The plan holds everything that does not depend on the frame, as sparse rows of weights: apertures, annulus pixels, mesh
pixels, the way from mesh to star. A batch of sixteen frames is taken through it tile by tile: a tile is transposed so that
one pixel of all frames is one cache line, and while it is in the processor's cache all sums of its stars are taken. The rest
is arithmetic on stars.
"""

from cuvee.extract.frames import extract, without_psf_fluxes
from cuvee.extract.measure import warm_up
from cuvee.extract.params import ExtractParams
from cuvee.extract.plan import Plan, even, make_plan
from cuvee.extract.psf_image import model_image
from cuvee.extract.psf_series import stamp_images
from cuvee.extract.series import extract_series

__all__ = [
    "ExtractParams",
    "Plan",
    "even",
    "extract",
    "extract_series",
    "make_plan",
    "model_image",
    "stamp_images",
    "warm_up",
    "without_psf_fluxes",
]
