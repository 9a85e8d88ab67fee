"""Fixtures that every test may use."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.run.workspaces import House
from tests.store.servers import Servers


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project, where it is present."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data are not here: no folder {folder.parent.name}/{folder.name} beside the project")
    return folder


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Copies of a small finished workspace."""
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Servers of databases, found or started when a test first wants them."""
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture
def mounted() -> Iterator[list[Path]]:
    """Folders that are to be small disks of their own; they go when the test is over."""
    folders: list[Path] = []
    yield folders
    for folder in reversed(folders):
        subprocess.run(["umount", str(folder)], check=True)
