"""Light curves of every star, from images and photon lists.

The shortest real use is ``cuvee.open("my-survey").light_curve(25155310)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cuvee.survey import LightCurve, Survey
    from cuvee.survey import open_survey as open  # noqa: A004 (cuvee.open is a promise)

__all__ = ["LightCurve", "Survey", "__version__", "open"]

__version__ = "0.1.0"

_LAZY = {"open": "open_survey", "Survey": "Survey", "LightCurve": "LightCurve"}


def __getattr__(name: str) -> Any:
    # ``import cuvee`` must be instant: what reads light curves is loaded when it is first asked for.
    if name not in _LAZY:
        raise AttributeError(f"module 'cuvee' has no attribute {name!r}")
    from cuvee import survey

    return getattr(survey, _LAZY[name])
