"""From an empty folder to light curves of photons with one command, over an archive that fails on the way."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from astropy.io import fits
from tests.acquire.files import HASTY
from tests.cli.conftest import Cuvee, cuvee
from tests.events.stis_files import write
from tests.events.survey_of_photons import run_quietly

from cuvee.acquire import configured
from cuvee.config import write_workspace
from cuvee.simulate.cos import simulate_cos
from cuvee.store.atomic import content_hash
from cuvee.testing.archive import Fault, LoopbackArchive

__all__ = ["cuvee"]

FIRST, OTHER = "lsim01aaq", "lsim01abq"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A simulated survey that never saw an archive."""
    simulate_cos(tmp_path / "made", events=4000, exposures=2, seconds=200.0)
    assert not run_quietly(tmp_path / "made").troubled
    return tmp_path / "made"


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Path:
    """What an archive has of its star: its exposures, one that lists no photons, one of the other spectrograph."""
    folder = tmp_path / "archive"
    shutil.copytree(made / "RAW", folder)
    with fits.open(folder / f"{FIRST}_x1d.fits") as file:
        file[0].header["ROOTNAME"] = "lsim01zzq"
        file.writeto(folder / "lsim01zzq_x1d.fits")
    for path in folder.glob(f"{write(folder).name[:9]}_*.fits"):
        fits.setval(path, "TARGNAME", value="SIMULATED-1")
    return folder


def light_curves(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): content_hash(path) for path in (root / "LC").glob("*/dataset/**/[!.]*.parquet")
    }


def test_one_command_and_nothing_but_a_configuration(
    cuvee: Cuvee, made: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "acquire_configured", partial(configured.acquire_configured, patience=HASTY))
    root = tmp_path / "new"
    assert cuvee("init", root, "--instrument", "cos").code == 0
    names = [f"{FIRST}_x1d.fits", f"{FIRST}_corrtag_a.fits", f"{OTHER}_corrtag_b.fits"]
    faults = [Fault("503", names[0], times=2), Fault("truncate", names[1], times=1), Fault("drop", names[2], times=1)]
    run = ("run", "-w", root, "--executor", "serial", "-q")
    with LoopbackArchive(archive, faults=faults) as served:
        config = root / "cuvee.toml"
        text = config.read_text()
        assert 'mission = "hst"' in text
        config.write_text(
            text.replace("\n[acquire]\n", f'\n[acquire]\ntarget = "SIMULATED-1"\narchive = "{served.url}"\n')
        )
        answer = cuvee(*run)
        assert (answer.code, answer.err) == (0, "")
        assert "bin 2, composite 1" in answer.out
        assert all(served.hits)
        served.clear()
        assert "Nothing to do" in cuvee(*run).out
        assert served.requests == []
    wanted = light_curves(made)
    assert len(wanted) == 3
    assert light_curves(root) == wanted
    assert {path.name for path in (root / "RAW").rglob("*.fits")} == {path.name for path in (made / "RAW").iterdir()}
    assert cuvee("show", "SIMULATED-1", "-w", root, "-o", tmp_path / "star.png").code == 0


def test_what_comes_late_is_taken_into_the_composite(
    cuvee: Cuvee, made: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "acquire_configured", partial(configured.acquire_configured, patience=HASTY))
    root = tmp_path / "new"
    write_workspace(root, "cos", ["RAW"], [], photons=True)
    config = root / "cuvee.toml"
    with LoopbackArchive(archive, faults=[Fault("404", f"{OTHER}_*")]) as served:
        config.write_text(
            config.read_text().replace(
                "\n[acquire]\n", f'\n[acquire]\ntarget = "SIMULATED-1"\narchive = "{served.url}"\n'
            )
        )
        answer = cuvee("run", "-w", root, "--executor", "serial", "-q")
        assert len(light_curves(root)) == 1
        assert (answer.code, "3 are not here (3 missing)" in answer.out) == (1, True)
        served.faults = []
        assert cuvee("run", "-w", root, "--executor", "serial", "-q").code == 0
    assert light_curves(root) == light_curves(made)
