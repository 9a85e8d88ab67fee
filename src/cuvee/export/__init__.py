"""Light curves, and the pixels behind them, in other people's formats."""

from cuvee.export.event_files import EventSource, export_events
from cuvee.export.files import FORMATS, LightCurveSource, PhotonSource, export, export_photons, file_name
from cuvee.export.pixel_files import PIXEL_FORMATS, PixelSource, export_pixels
from cuvee.export.pixels import RawSeries
from cuvee.export.rows import Observation, observations, star_name, star_title

__all__ = [
    "FORMATS",
    "PIXEL_FORMATS",
    "EventSource",
    "LightCurveSource",
    "Observation",
    "PhotonSource",
    "PixelSource",
    "RawSeries",
    "export",
    "export_events",
    "export_photons",
    "export_pixels",
    "file_name",
    "observations",
    "star_name",
    "star_title",
]
