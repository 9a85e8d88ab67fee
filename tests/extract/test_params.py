"""Parameters that cannot be meant."""

import pytest

from cuvee import extract


def test_contradictory_parameters_are_refused() -> None:
    for wrong in ({"radii": (2.5, 1.5)}, {"annulus": (9.0, 6.0)}, {"radii": ()}, {"radius": 2.0}, {"radii": (-1.0,)}):
        with pytest.raises(ValueError):  # noqa: PT011 (pydantic's own error; the configuration puts it in words)
            extract.ExtractParams(**wrong)
