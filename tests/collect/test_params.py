"""What collection can be told."""

from typing import Any

import pytest
from pydantic import ValidationError

from cuvee.collect import CollectParams


def test_params_refuse_what_they_do_not_know() -> None:
    coarse: tuple[dict[str, Any], ...] = ({"round_noise": 0.5}, {"round_noise": -1}, {"round_noise": float("nan")})
    for wrong in ({"aperture": "worst"}, {"aperture": "aperture0"}, {"apertures": "best"}, *coarse):
        with pytest.raises(ValidationError):
            CollectParams(**wrong)
