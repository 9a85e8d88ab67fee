"""The background under every star: a mesh of clean pixels, clean annuli, or the faintest third of a small stamp.

Clean pixels are chosen once, from the reference image; what is left to each frame is a clipped mean of a few hundred
pixels a cell (or a hundred a star), sixteen frames at a time, and a static row of sixteen weights from cells to star.
"""

from cuvee.background.annulus import Annuli, annuli
from cuvee.background.clean import clean_pixels
from cuvee.background.columns import column_response
from cuvee.background.layout import Tiles, cubic_rows, tiles
from cuvee.background.mesh import Mesh, beside_stars, mesh
from cuvee.background.stamp import faint_third

__all__ = [
    "Annuli",
    "Mesh",
    "Tiles",
    "annuli",
    "beside_stars",
    "clean_pixels",
    "column_response",
    "cubic_rows",
    "faint_third",
    "mesh",
    "tiles",
]
