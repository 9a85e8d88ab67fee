"""The flag ``asteroid`` from raw frames to light curves: objects that are found, and those that a table knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from tests.run import stamps
from tests.run.workspaces import Listener, done, raw_files, run

import cuvee
from cuvee.errors import ConfigError
from cuvee.instruments.tess import TESS
from cuvee.model.flags import ASTEROID
from cuvee.report import write_report
from cuvee.simulate.params import SimulationParams
from cuvee.simulate.tess import simulate
from cuvee.simulate.truth import read_truth

FRAMES, SIZE, STARS, CADENCE = 240, 128, 150, 600.0
RADIUS, REACH = 3.5, 5.0

Columns = Mapping[str, NDArray[Any]]


def observed(root: Path, asteroids: int) -> Path:
    params = SimulationParams(asteroids=asteroids, asteroid_mag=(11.0, 14.0))
    simulate(root, frames=FRAMES, stars=STARS, size=SIZE, cadence=CADENCE, seed=12, params=params)
    return root


def points(root: Path) -> dict[str, NDArray[Any]]:
    """Return the points of all light curves, one after the other."""
    names = ("flag", "cadence", "aperture3_flux_err")
    table = cuvee.open(root).light_curves(["col", "row", *(f"lc.{name}" for name in names)])
    lists = {name: [np.asarray(one) for one in table["lc"].combine_chunks().field(name).to_pylist()] for name in names}
    found = {name: np.concatenate(values) for name, values in lists.items()}
    length = [one.size for one in lists["flag"]]
    return found | {name: np.repeat(table[name].to_numpy(), length) for name in ("col", "row")}


def distances(found: Columns, truth: Columns) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far the nearest asteroid is from each point (px), and its light over the point's error."""
    away, light = np.full(found["col"].size, np.inf), np.zeros(found["col"].size)
    for k in range(truth["cadence"].size):
        some = np.flatnonzero(found["cadence"] == truth["cadence"][k])
        distance = np.hypot(found["col"][some] - truth["col"][k], found["row"][some] - truth["row"][k])
        closer = some[distance < away[some]]
        away[closer] = distance[distance < away[some]]
        light[closer] = truth["flux"][k] / found["aperture3_flux_err"][closer]
    return away, light


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = observed(tmp_path_factory.mktemp("moving") / "w", 4)
    assert not run(root).troubled
    return root


def flagged(found: Columns) -> NDArray[np.bool_]:
    return np.asarray((found["flag"] & ASTEROID) != 0)


def test_points_that_asteroids_cross_are_flagged_and_hardly_any_others(crossed: Path) -> None:
    found = points(crossed)
    away, light = distances(found, read_truth(crossed / "truth").asteroids)
    matters = (away <= RADIUS) & (light > 1.0)
    assert matters.sum() > 150
    assert flagged(found)[matters].mean() > 0.9
    assert flagged(found)[away > REACH + 2.0].mean() < 1e-3
    curve = cuvee.open(crossed).light_curve(int(cuvee.open(crossed).light_curves(["id"])["id"][0].as_py()))
    assert not (curve.good & ((curve.flag & ASTEROID) != 0)).any()


def test_without_asteroids_nothing_is_flagged(tmp_path: Path) -> None:
    root = observed(tmp_path / "w", 0)
    run(root)
    found = points(root)
    assert found["flag"].size > 10_000
    assert flagged(found).mean() < 1e-3


def test_the_report_lists_them(crossed: Path) -> None:
    table_of(crossed, crossed / "known.csv")
    config = crossed / "cuvee.toml"
    before = config.read_text()
    config.write_text(before.replace("# ephemerides = []", 'ephemerides = "known.csv"'))
    page = write_report(cuvee.open(crossed)).read_text()
    config.write_text(before)
    assert "4 objects found by their motion; 4 paths of known objects, 4 of which found." in page
    for number in range(1000, 1004):
        assert page.count(f"({number}) Name") == 1


def table_of(root: Path, path: Path) -> Columns:
    """Write where the simulation's asteroids are on the sky; return the rows of the truth that the table covers."""
    truth = read_truth(root / "truth").asteroids
    files = raw_files(root)
    header = fits.getheader(files[FRAMES // 2], 1)
    infos = [TESS.scan(str(file)) for file in files]
    delay = np.array([info.moments.barycorr[0] for info in infos])
    lines = ["targetname,datetime_jd,RA,DEC,V"]
    for number in np.unique(truth["asteroid"]):
        rows = np.flatnonzero(truth["asteroid"] == number)[::6]
        x, y = truth["col"][rows] - infos[0].geometry.col0, truth["row"][rows] - infos[0].geometry.row0
        ra, dec = WCS(header, fix=False).all_pix2world(x, y, 0)
        jd = truth["time"][rows] - delay[truth["frame"][rows]] + 2457000.0
        values = zip(jd, ra, dec, truth["mag"][rows], strict=True)
        lines += [",".join([f"({1000 + number}) Name", *(f"{value:.7f}" for value in row)]) for row in values]
    path.write_text("\n".join(lines) + "\n")
    return truth


def test_known_asteroids_are_flagged_where_none_is_looked_for(tmp_path: Path) -> None:
    root = observed(tmp_path / "w", 4)
    truth = table_of(root, root / "known.csv")
    config = (root / "cuvee.toml").read_text()
    quiet = config.replace("# moving = true", "moving = false")
    (root / "cuvee.toml").write_text(quiet)
    run(root)
    assert not flagged(points(root)).any()
    (root / "cuvee.toml").write_text(quiet.replace("# ephemerides = []", 'ephemerides = "known.csv"'))
    again = done(run(root))
    assert set(again) <= {"collect", "summary", "publish"}
    assert "collect" in again
    found = points(root)
    away, light = distances(found, truth)
    covered = np.isin(found["cadence"], np.unique(truth["cadence"])[6:-6])
    assert flagged(found)[(away < REACH - 0.5) & (light > 1.0) & covered].mean() > 0.98
    assert not flagged(found)[away > REACH + 1.0].any()
    assert run(root).worked == 0
    # The table counts by what it holds.
    (root / "known.csv").write_text((root / "known.csv").read_text() + "\n")
    assert "collect" in done(run(root))


def test_a_table_that_cannot_be_used_stops_the_run_with_one_sentence(tmp_path: Path) -> None:
    root = stamps.make_workspace(tmp_path / "w", 1, config='[moving]\nephemerides = ["known.csv"]\n')
    with pytest.raises(ConfigError, match=r"\[moving\] ephemerides: The data source 'known.csv' does not exist"):
        run(root)
    (root / "known.csv").write_text("name,time,ra\nVesta,2458518.0,10.0\n")
    with pytest.raises(ConfigError, match="has no column dec"):
        run(root)


def test_stamps_have_the_flag_of_known_objects(tmp_path: Path) -> None:
    """An object that stands on the first of two stars, and not on the second."""
    root = stamps.make_workspace(tmp_path / "w", 2, config='[moving]\nephemerides = ["known.csv"]\n')
    ra, dec = stamps.position(0)
    rows = [f"a,{2457000.0 + stamps.START + day},{ra},{dec}" for day in (-1.0, 0.0, 1.0)]
    (root / "known.csv").write_text("name,time,ra,dec\n" + "\n".join(rows) + "\n")
    listener = Listener()
    assert not run(root, listener).troubled
    table = cuvee.open(root).light_curves(["id", "lc.flag"])
    flags = {
        star: np.asarray(points["flag"])
        for star, points in zip(table["id"].to_pylist(), table["lc"].to_pylist(), strict=True)
    }
    assert (flags[1000] & ASTEROID).all()
    assert not (flags[1001] & ASTEROID).any()
