"""Moving objects: paths linked from what the pass over the pixels has found, paths of known objects, and whose points they spoil."""

from cuvee.moving.crossings import mark_crossings
from cuvee.moving.ephemeris import known_tracks
from cuvee.moving.link import find_tracks, may_move
from cuvee.moving.params import MovingParams

__all__ = ["MovingParams", "find_tracks", "known_tracks", "mark_crossings", "may_move"]
