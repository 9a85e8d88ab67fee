"""Light curves in other people's formats."""

from cuvee.export.files import FORMATS, LightCurveSource, export, file_name
from cuvee.export.rows import Observation, observations, star_name

__all__ = [
    "FORMATS",
    "LightCurveSource",
    "Observation",
    "export",
    "file_name",
    "observations",
    "star_name",
]
