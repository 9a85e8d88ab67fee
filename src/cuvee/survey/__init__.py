"""A workspace seen from Python: light curves as arrays, tables and figures.

``cuvee.open("my-survey").light_curve(25155310).plot()`` is the shortest way from a workspace to a picture.
"""

from cuvee.survey.light_curve import LightCurve
from cuvee.survey.workspace import Survey, open_survey

__all__ = ["LightCurve", "Survey", "open_survey"]
