"""From an empty folder to light curves with one command, over an archive that fails in every way that passes."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest
from tests.acquire.files import HASTY
from tests.run.workspaces import House, Listener, product_bytes, raw_files, run
from tests.sky.bulk import write_strips

from cuvee.acquire.configured import acquire_configured
from cuvee.errors import ConfigError, StoreError, TransientError
from cuvee.sky.strips import strips_for_run
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


# -- with nothing but a configuration --------------------------------------------------------------------------------

CONFIGURATION = """
[workspace]
instrument = "tess"

[acquire]
sector = 8
camera = 3
ccd = 4
archive = "{url}"

[catalog]
files = ["tic"]
"""
HERE, BESIDE = "tic_dec48_00S__46_00S.csv.gz", "tic_dec46_00S__44_00S.csv.gz"
"""All stars of the field lie in the first; its edge comes as near to the second as a star may have moved."""


@pytest.fixture
def bare(house: House, tmp_path: Path) -> tuple[Path, Path, Path]:
    """An empty folder, and images and the TIC as an archive has them."""
    root = house.untouched()
    files = tmp_path / "archive"
    files.mkdir()
    for path in raw_files(root):
        shutil.copyfile(path, files / path.name)
    with (root / "BASE" / "CAT" / "catalog.csv").open() as table:
        stars = [*csv.DictReader(table)]
    far = [{"ID": 7, "ra": 300.0, "dec": dec, "Tmag": 9.0} for dec in (-47.0, -45.0, -43.0)]
    write_strips(tmp_path / "catalogs", [*stars, *far])
    shutil.rmtree(root)
    root.mkdir()
    return root, files, tmp_path / "catalogs"


def light_curves(root: Path) -> dict[str, str]:
    return {name: digest for name, digest in product_bytes(root).items() if name.startswith("LC/")}


def test_a_configuration_is_all_that_is_needed(house: House, bare: tuple[Path, Path, Path]) -> None:
    root, files, catalogs = bare
    names = sorted(path.name for path in files.iterdir())
    faults = [
        Fault("503", names[0], times=2),
        Fault("flip", names[1], times=1),
        Fault("truncate", HERE, times=1),
        Fault("drop", BESIDE, times=2),
        Fault("503", f"*{HERE}", times=2, number=0.05),
        Fault("flip", HERE, times=1),
        Fault("html", "md5sum.txt", times=1),
    ]
    with LoopbackArchive(files, faults=faults, catalogs=catalogs) as archive:
        (root / "cuvee.toml").write_text(CONFIGURATION.format(url=archive.url))
        outcome = acquire_configured(root, patience=HASTY)
        assert outcome is not None
        assert outcome.complete
        came = strips_for_run(root, Listener(), HASTY)
        assert came is not None
        assert (came.trouble, sorted(one.path.name for one in came.taken)) == ({}, sorted([HERE, BESIDE]))
        assert all(archive.hits)
        assert not run(root, Listener()).bad
        assert light_curves(root) == light_curves(house.master) != {}
        archive.clear()
        assert acquire_configured(root, patience=HASTY) is not None
        assert strips_for_run(root, Listener(), HASTY) is None
        assert archive.requests == []
    # Nobody there any more, and nobody is missed.
    assert acquire_configured(root, patience=HASTY) is not None
    assert strips_for_run(root, Listener(), HASTY) is None
    assert run(root, Listener()).worked == 0


def test_a_run_without_all_strips_goes_on_and_one_without_any_does_not(bare: tuple[Path, Path, Path]) -> None:
    root, files, catalogs = bare
    with LoopbackArchive(files, catalogs=catalogs) as archive:
        (root / "cuvee.toml").write_text(CONFIGURATION.format(url=archive.url))
        with pytest.raises(ConfigError, match="RAW"):  # no image says which strips
            strips_for_run(root, Listener(), HASTY)
        acquire_configured(root, patience=HASTY)
        archive.faults = [Fault("md5", HERE), Fault("404", f"*{BESIDE}")]
        with pytest.raises(StoreError, match="none of its 2 strips came"):
            strips_for_run(root, Listener(), HASTY)
        with pytest.raises(ConfigError, match="cuvee catalog fetch tic"):
            run(root, Listener())
        archive.faults = [Fault("md5", BESIDE)]
        outcome = strips_for_run(root, Listener(), HASTY)
        assert outcome is not None
        assert [strip.name for strip in outcome.absent] == [BESIDE]
    assert not run(root, Listener(), until="targets").bad
    outcome = strips_for_run(root, Listener(), HASTY)
    assert outcome is not None
    assert outcome.offline


def test_a_run_that_fetches_no_images_fetches_no_strips_and_says_what_it_lacks(bare: tuple[Path, Path, Path]) -> None:
    root, files, catalogs = bare
    with LoopbackArchive(files, catalogs=catalogs) as archive:
        text = CONFIGURATION.format(url=archive.url)
        (root / "cuvee.toml").write_text(text)
        acquire_configured(root, patience=HASTY)
        archive.faults = [Fault("404", f"*{BESIDE}")]
        strips_for_run(root, Listener(), HASTY)
        archive.clear()
        (root / "cuvee.toml").write_text(text.replace("sector = 8", ""))
        outcome = strips_for_run(root, Listener(), HASTY)
        assert outcome is not None
        assert ([strip.name for strip, _ in outcome.trouble["wanted"]], outcome.offline) == ([BESIDE], "")
        assert archive.requests == []
