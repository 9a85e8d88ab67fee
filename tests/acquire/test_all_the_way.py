"""From an empty folder to light curves with one command, over an archive that fails in every way that passes."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from tests.acquire.files import HASTY
from tests.run.workspaces import House, Listener, product_bytes, raw_files, run

from cuvee.acquire.configured import acquire_configured
from cuvee.errors import TransientError
from cuvee.testing.archive import Fault, LoopbackArchive


@pytest.fixture
def empty(house: House, tmp_path: Path) -> tuple[Path, Path]:
    """A workspace with a catalogue and no raw files, and the files as an archive has them."""
    root = house.untouched()
    files = tmp_path / "archive"
    files.mkdir()
    for path in raw_files(root):
        shutil.copyfile(path, files / path.name)
        path.unlink()
    return root, files


def ask_for(root: Path, url: str) -> None:
    path = root / "cuvee.toml"
    text = path.read_text()
    assert "\n[acquire]\n" in text
    path.write_text(text.replace("\n[acquire]\n", f'\n[acquire]\nsector = 8\ncamera = 3\nccd = 4\narchive = "{url}"\n'))


def test_light_curves_come_out_the_same_whatever_fails_on_the_way(house: House, empty: tuple[Path, Path]) -> None:
    root, files = empty
    names = sorted(path.name for path in files.iterdir())
    faults = [
        Fault("503", names[0], times=2),
        Fault("truncate", names[1], times=1),
        Fault("drop", names[2], times=2),
        Fault("flip", names[3], times=1),
        Fault("html", names[4], times=1),
        Fault("no-length", names[5]),
        Fault("429", names[6], times=1),
        Fault("500", names[7], times=1),
        Fault("drop", names[8], times=1),
        Fault("no-range", names[8]),
    ]
    with LoopbackArchive(files, faults=faults) as archive:
        ask_for(root, archive.url)
        outcome = acquire_configured(root, patience=HASTY)
        assert outcome is not None
        assert outcome.complete, outcome.trouble
        assert len(outcome.fetched) == len(names)
        assert all(archive.hits)
        whole = Counter(request.path for request in archive.requests if request.method == "GET")
        assert len(whole) == len(names) + 1  # the list of the sector, too
        again = acquire_configured(root, patience=HASTY)
        assert again is not None
        assert (again.complete, again.fetched) == (True, [])
        n = len(archive.requests)
    assert (
        acquire_configured(root, patience=HASTY) is not None
    )  # all is there: nobody is asked, and nobody is there to be
    assert n == len(archive.requests)
    assert not run(root, Listener()).bad
    assert product_bytes(root) == product_bytes(house.master)


def test_without_a_network_it_goes_on_with_what_is_there(empty: tuple[Path, Path]) -> None:
    root, files = empty
    names = sorted(path.name for path in files.iterdir())
    with LoopbackArchive(files, faults=[Fault("404", names[0])]) as archive:
        ask_for(root, archive.url)
        outcome = acquire_configured(root, patience=HASTY)
        assert outcome is not None
        assert [file.name for file, _ in outcome.troubled("missing")] == [names[0]]
    outcome = acquire_configured(root, patience=HASTY)
    assert outcome is not None
    assert outcome.offline
    assert outcome.here == len(names) - 1


def test_without_a_network_from_the_start_it_says_so(empty: tuple[Path, Path]) -> None:
    root, _ = empty
    ask_for(root, "http://127.0.0.1:9")
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        acquire_configured(root, patience=HASTY)


def test_nothing_is_asked_where_nothing_is_wanted(empty: tuple[Path, Path]) -> None:
    assert acquire_configured(empty[0]) is None
