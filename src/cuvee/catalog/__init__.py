"""Catalogue to targets: which stars fall on which pixels, and how much of an aperture's light is theirs."""

from cuvee.catalog.motion import move
from cuvee.catalog.params import TargetParams
from cuvee.catalog.project import Cone, footprint_cone, footprint_pixels, project
from cuvee.catalog.scene import catalog_neighbours, catalog_scene
from cuvee.catalog.select import select_targets, wanted_stars
from cuvee.catalog.stars import healpix_index, make_stars

__all__ = [
    "Cone",
    "TargetParams",
    "catalog_neighbours",
    "catalog_scene",
    "footprint_cone",
    "footprint_pixels",
    "healpix_index",
    "make_stars",
    "move",
    "project",
    "select_targets",
    "wanted_stars",
]
