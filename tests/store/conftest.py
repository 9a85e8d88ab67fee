"""A catalogue of light curves in two sectors."""

from pathlib import Path

import pytest
from tests.store.curves import make_curves, make_stars, write_survey

from cuvee.model.records import LightCurves
from cuvee.store.hats import write_catalog_metadata


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LightCurves, LightCurves]:
    """A catalogue of two sectors; the second has only some of the stars."""
    root = tmp_path_factory.mktemp("LC")
    stars = make_stars()
    first = make_curves(stars, "s0008", seed=3)
    second = make_curves(stars.take(slice(100, 500)), "s0009", seed=4)
    write_survey(root, first)
    write_survey(root, second)
    write_catalog_metadata(root, "tess")
    return root, first, second
