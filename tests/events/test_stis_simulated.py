"""Simulated STIS exposures, all of the physics on, taken the whole way against the truth that is beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from tests.events.stis_files import PLAIN, read_x1d, write
from tests.events.survey_of_photons import run_quietly

import cuvee
from cuvee.errors import ConfigError
from cuvee.events.exposure import PhotonCurve, bin_exposure
from cuvee.events.params import EventParams
from cuvee.events.screen import EventList
from cuvee.instruments import stis
from cuvee.simulate.photon_source import Flare, Source, sun_altitude
from cuvee.simulate.stis import simulate_stis
from cuvee.simulate.stis_events import TAU, Scene, draw
from cuvee.simulate.stis_settings import LOW, SETTINGS
from cuvee.survey import Survey

LIGHT = Source(131.0, 0.3, Flare(1560.0, 4.0, 40.0))
FIRST, SECOND = "osim01aaq", "osim01abq"


def run_of(folder: Path, **options: object) -> Survey:
    simulate_stis(folder, **options)  # type: ignore[arg-type]
    summary = run_quietly(folder)
    assert not summary.bad
    assert not summary.troubled
    return cuvee.open(folder)


@pytest.fixture(scope="module", params=["G140L", "G140M", "E140M", "E140H"])
def survey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return run_of(tmp_path_factory.mktemp("stis") / "w", grating=request.param, source=LIGHT)


def binned(tag: Path, step: float = 10.0) -> PhotonCurve:
    exposure, start = stis.read_exposure(str(tag))
    spectra = stis.read_spectra(str(tag).replace("_tag", "_x1d"))[1]
    one = EventList(exposure, partial(stis.chunks, exposure, start), stis.traces(exposure, spectra))
    return bin_exposure([one], EventParams(step=step), 0, stis.N_COL)


def true_flux(survey: Survey, name: str) -> float:
    """Return the constant light's energy in the columns that are used (erg/s/cm2)."""
    truth = json.loads((survey.path / "truth" / "truth.json").read_text())["exposures"][name]
    scene, (_, arrays) = Scene(SETTINGS[truth["grating"]], truth["scale"]), survey.exposure(name)
    return sum(
        float(np.repeat(0.5 * one.step * scene.flux(one), 2)[arrays[f"ORDER{one.number}.kept"]].sum())
        for one in scene.setting.orders
    )


def points_of(survey: Survey, name: str) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
    points = survey.light_curve("SIMULATED-1").only(name)
    return points, np.asarray(2.0 * (np.arange(points["flux"].size) + 0.5), np.float64)


def test_flux_follows_the_light_that_was_put_in(survey: Survey) -> None:
    for name in (FIRST, SECOND):
        points, seconds = points_of(survey, name)
        off = (points["flux"] - true_flux(survey, name) * LIGHT.light(seconds)) / points["flux_err"]
        assert abs(off.mean()) < 4.0 / np.sqrt(off.size)
        assert 0.85 < off.std() < 1.05
        assert survey.exposure(name)[0]["statistics"]["constant"] < 1e-10


def test_the_period_and_the_flare_are_found(survey: Survey) -> None:
    period, _, chance = survey.exposure(FIRST)[0]["peaks"]["short"]
    assert period == pytest.approx(131.0, abs=131.0**2 / 2600.0 / 4.0)
    assert chance < 1e-6
    points, seconds = points_of(survey, FIRST)
    level = true_flux(survey, FIRST)
    during = (seconds > 1555.0) & (seconds < 1900.0)
    rest = points["flux"] - level * Source(131.0, 0.3).light(seconds)
    energy, error = 2.0 * rest[during].sum(), 2.0 * np.sqrt((points["flux_err"][during] ** 2).sum())
    assert energy == pytest.approx(level * 4.0 * 40.0, abs=float(3.5 * error))


def test_the_mean_is_the_mission_s_spectrum(survey: Survey) -> None:
    points, _ = points_of(survey, FIRST)
    mission, arrays = 0.0, survey.exposure(FIRST)[1]
    for row in read_x1d(survey.path / "RAW" / f"{FIRST}_tag.fits"):
        kept = arrays[f"ORDER{row['SPORDER']}.kept"]
        mission += float(np.repeat(row["FLUX"] * np.gradient(row["WAVELENGTH"]) / 2.0, 2)[kept].sum())
    # The mission smooths its background, and cuts rows where events have whole ones.
    assert points["flux"].mean() == pytest.approx(mission, rel=0.005)


def test_every_event_is_accounted_for(survey: Survey) -> None:
    facts, arrays = survey.exposure(FIRST)
    n_event = fits.getheader(survey.path / "RAW" / f"{FIRST}_tag.fits", "EVENTS")["NAXIS2"]
    assert list(facts["events"].values()) == [n_event]
    points, _ = points_of(survey, FIRST)
    kept = sum(np.atleast_2d(arrays[f"{name}.spectrum"])[0].sum() for name in facts["segments"])
    assert points["gross"].sum() == kept == facts["statistics"]["total"]


def test_a_wavelength_counts_once(survey: Survey) -> None:
    truth = json.loads((survey.path / "truth" / "truth.json").read_text())["exposures"][FIRST]
    arrays = survey.exposure(FIRST)[1]
    wavelength = [
        arrays[f"{name}.wavelength"][arrays[f"{name}.kept"]] for name in survey.exposure(FIRST)[0]["segments"]
    ]
    ends = sorted((float(one.min()), float(one.max())) for one in wavelength if one.size)
    assert all(high < low for (_, high), (low, _) in pairwise(ends))
    full = sum(truth["bands"].values())
    assert full == pytest.approx(truth["flux"]) if len(ends) == 1 else full > 1.05 * truth["flux"]


@pytest.mark.parametrize("grating", ["G140L", "E140M"])
def test_a_constant_source_comes_out_constant_under_a_glow_that_rises(tmp_path: Path, grating: str) -> None:
    survey = run_of(
        tmp_path / "w", grating=grating, source=Source(), events=120_000, exposures=3, seconds=2000.0, seed=4
    )
    chances = [
        survey.exposure(str(row["series"]))[0]["statistics"]["constant"]
        for row in survey.light_curve("SIMULATED-1").observations
    ]
    assert len(chances) == 3
    assert min(chances) > 1e-3
    assert max(chances) > 0.1


def test_the_airglow_comes_and_goes_with_the_sun() -> None:
    scene = Scene(scale=1e-18, dark=0.0, glow=0.0, gti=((0.0, 5000.0),), sky=10.0)
    rows = np.concatenate(list(draw(scene, np.random.default_rng(2))))
    time = rows["TIME"] * 0.000125
    night = sun_altitude(time, scene.phase) < 0.0
    grid = np.linspace(0.0, 5000.0, 100_001)
    dark = np.mean(sun_altitude(grid, scene.phase) < 0.0)
    by_day, by_night = np.count_nonzero(~night) / (1.0 - dark), np.count_nonzero(night) / dark
    assert by_night / by_day == pytest.approx(0.05, abs=0.01)
    lyman = np.abs(rows["AXIS1"] / 2.0 - ((1215.67 - 1119.35) / 0.5837 + 1.0)) < 5.0
    assert lyman.mean() > 0.5
    assert np.ptp(rows["AXIS2"][lyman]) > 2000  # the slit is as high as the detector


def test_columns_on_the_detector_move_with_the_telescope() -> None:
    scene = Scene(SETTINGS["E140H"], 1e-13, gti=((0.0, 5720.0),), phase=0.0)
    rows = np.concatenate(list(draw(scene, np.random.default_rng(2))))
    shift = (rows["DETAXIS1"] - rows["AXIS1"])[(rows["AXIS1"] > 20) & (rows["AXIS1"] < 2028)]
    # 7.5 km/s of light's speed, by the resolution of 228,000 columns of a spectrum, which are two of the events' each.
    assert np.abs(shift).max() == round(7.5 / 299792.458 * 228_000 * 2)


def test_the_dead_time_takes_of_a_bright_source_what_the_documents_say(tmp_path: Path) -> None:
    bright = replace(PLAIN, scale=1.2e-12, gti=((0.0, 60.0),), tau=TAU, shape=np.ones_like)
    path = write(tmp_path, bright)
    n_event = fits.getheader(path, "EVENTS")["NAXIS2"]
    rate = float(bright.source_rates.sum()) + 84.0
    assert 15_000.0 < rate < 40_000.0
    lost = 1.0 - n_event / (rate * 60.0)
    noise = 1.0 / np.sqrt(n_event)
    assert lost == pytest.approx(rate * np.log(10.0 / 9.0) / 360_000.0, abs=4.0 * noise)  # 10 % at 360,000 a second
    curve, row = binned(path), read_x1d(path)[0]
    kept = curve.sums["ORDER1"].kept
    mission = float(np.repeat(row["FLUX"] * np.gradient(row["WAVELENGTH"]) / 2.0, 2)[kept].sum())
    truth = bright.scale * 0.5837 * kept.sum() / 2.0
    assert mission == pytest.approx(truth, rel=4.0 * noise)  # the mission makes up for it
    assert curve.points["flux"].mean() == pytest.approx(truth * (1.0 - lost), rel=4.0 * noise)  # cuvee does not


def test_a_long_list_is_drawn_in_pieces_in_order() -> None:
    scene = replace(PLAIN, scale=1.2e-12, gti=((0.0, 100.0), (130.0, 160.0)))
    pieces = [
        (rows.size, int(rows["TIME"][0]), int(rows["TIME"][-1])) for rows in draw(scene, np.random.default_rng(1))
    ]
    assert len(pieces) >= 3
    assert max(size for size, _, _ in pieces) < 1.1e6
    assert all(before[2] <= after[1] for before, after in pairwise(pieces))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate_stis(tmp_path / name, events=2000, exposures=1, seconds=50.0, seed=seed)
    lists = [(tmp_path / name / "RAW" / f"{FIRST}_tag.fits").read_bytes() for name in "abc"]
    assert lists[0] == lists[1] != lists[2]


def test_files_are_such_as_astropy_reads(tmp_path: Path) -> None:
    simulate_stis(tmp_path / "w", events=2000, exposures=1, seconds=50.0)
    with fits.open(tmp_path / "w" / "RAW" / f"{FIRST}_tag.fits") as file:
        file.verify("exception")
        rows = file["EVENTS"].data
        assert 0.0 <= rows["TIME"].min() < rows["TIME"].max() <= 50.0
        assert (np.diff(rows["TIME"]) >= 0.0).all()
        assert file["EVENTS"].columns["TIME"].unit == "seconds"
        assert file["GTI"].data["STOP"].tolist() == [50.0]
    with fits.open(tmp_path / "w" / "RAW" / f"{FIRST}_x1d.fits") as file:
        file.verify("exception")
        assert file["SCI"].data["FLUX"].shape == (44, LOW)


def test_a_grating_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"E230H.*G140L"):
        simulate_stis(tmp_path / "w", grating="E230H")
