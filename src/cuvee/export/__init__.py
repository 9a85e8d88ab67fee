"""Light curves, and the pixels behind them, in other people's formats."""

from cuvee.export.files import FORMATS, LightCurveSource, export, file_name
from cuvee.export.pixel_files import PIXEL_FORMATS, PixelSource, export_pixels
from cuvee.export.pixels import RawSeries
from cuvee.export.rows import Observation, observations, star_name

__all__ = [
    "FORMATS",
    "PIXEL_FORMATS",
    "LightCurveSource",
    "Observation",
    "PixelSource",
    "RawSeries",
    "export",
    "export_pixels",
    "file_name",
    "observations",
    "star_name",
]
