"""The field that most tests of the pass look at."""

import pytest
from tests.extract.scenes import Scene


@pytest.fixture(scope="session")
def scene() -> Scene:
    return Scene()
