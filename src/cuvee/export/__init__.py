"""Light curves in other people's formats."""

from cuvee.export.files import FORMATS, check_format, export, file_name
from cuvee.export.rows import Observation, observations

__all__ = ["FORMATS", "Observation", "check_format", "export", "file_name", "observations"]
