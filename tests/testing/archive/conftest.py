"""An archive over a folder of simulated files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.testing.archive.holdings import make_holdings

from cuvee.testing.archive import LoopbackArchive


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that is served; nobody writes to it. Beside it, ``sim`` has the stars of the frames."""
    return make_holdings(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def archive(served: Path) -> Iterator[LoopbackArchive]:
    """It, with its stars, and nothing wrong."""
    with LoopbackArchive(served, catalogs=served.parent / "sim" / "BASE") as archive:
        yield archive


@pytest.fixture
def frame(archive: LoopbackArchive) -> str:
    """The name of the first full-frame image."""
    return min(name for name in archive.site.shelf.names if "_ffic" in name)
