"""From simulated photon lists to light curves, through the house, against the truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from tests.events.survey_of_photons import run_quietly

import cuvee
from cuvee.events.params import AIRGLOW
from cuvee.model import flags
from cuvee.simulate.cos import DISPERSION, SEGMENTS, _Part, simulate_cos
from cuvee.simulate.photon_source import Flare, Source
from cuvee.survey import Survey

SERIES = "lsim01aaq"


def change(folder: Path, setting: str) -> None:
    config = folder / "cuvee.toml"
    config.write_text(config.read_text().replace("[events]", f"[events]\n{setting}"))


@pytest.fixture(scope="session")
def constant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cos") / "constant"
    simulate_cos(folder, events=60_000, exposures=4, seconds=1500.0, source=Source(), seed=7)
    return folder


@pytest.fixture(scope="session")
def survey(simulated: Path) -> Survey:
    summary = run_quietly(simulated)
    assert not summary.bad
    assert not summary.troubled
    return cuvee.open(simulated)


def true_flux(folder: Path, series: str, kept: Mapping[str, np.ndarray[Any, Any]]) -> float:
    """Return the constant light's energy in the columns that are used (erg/s/cm2)."""
    truth = json.loads((folder / "truth" / "truth.json").read_text())
    total = 0.0
    for segment in SEGMENTS:
        part = _Part(segment, truth["seconds"], truth["exposures"][series]["scale"], Source(), 0.0)
        total += float(part.flux[kept[f"{segment}.kept"]].sum()) * DISPERSION
    return total


def test_flux_follows_the_light_that_was_put_in(survey: Survey) -> None:
    source = Source(131.0, 0.3, Flare(1560.0, 4.0, 40.0))
    for series in (SERIES, "lsim01abq"):
        points, (facts, arrays) = survey.light_curve("SIMULATED-1").only(series), survey.exposure(series)
        seconds = 0.032 + 2.0 * (np.arange(points["flux"].size) + 0.5)
        wanted = true_flux(survey.path, series, arrays) * source.light(np.asarray(seconds, np.float64))
        off = (points["flux"] - wanted) / points["flux_err"]
        assert np.isfinite(off).all()
        assert abs(off.mean()) < 4.0 / np.sqrt(off.size) + 0.05  # 0.05: N I of the airglow, 0.3 % of the light
        assert 0.85 < off.std() < 1.05
        assert facts["statistics"]["constant"] < 1e-10
        assert facts["statistics"]["poisson_factor"] > 2.0


def test_the_period_and_the_flare_are_found(survey: Survey) -> None:
    facts, arrays = survey.exposure(SERIES)
    period, _, chance = facts["peaks"]["short"]
    assert period == pytest.approx(131.0, abs=131.0**2 / 2600.0 / 4.0)
    assert chance < 1e-6
    points = survey.light_curve("SIMULATED-1").only(SERIES)
    seconds = 0.032 + 2.0 * (np.arange(points["flux"].size) + 0.5)
    level = true_flux(survey.path, SERIES, arrays)
    during = (seconds > 1555.0) & (seconds < 1900.0)
    rest = points["flux"] - level * (1.0 + 0.3 * np.sin(2.0 * np.pi * seconds / 131.0))
    energy, error = 2.0 * rest[during].sum(), 2.0 * np.sqrt((points["flux_err"][during] ** 2).sum())
    assert energy == pytest.approx(level * 4.0 * 40.0, abs=float(3.5 * error))


def test_every_event_is_accounted_for(survey: Survey) -> None:
    facts, arrays = survey.exposure(SERIES)
    with fits.open(survey.path / "RAW" / f"{SERIES}_corrtag_a.fits") as file:
        rows = file["EVENTS"].data
        assert facts["events"]["FUVA"] == len(rows)
        lost = np.count_nonzero((rows["DQ"] & 512) != 0)
    assert 0 < lost <= facts["reasons"]["quality"]
    points = survey.light_curve("SIMULATED-1").only(SERIES)
    kept = sum(arrays[f"{name}.spectrum"].sum() for name in SEGMENTS)
    assert points["gross"].sum() == kept == facts["statistics"]["total"]
    assert facts["reasons"]["airglow"] > 1000
    assert facts["reasons"]["outside"] > 1000


def test_segments_add_up(survey: Survey) -> None:
    points = survey.light_curve("SIMULATED-1").only(SERIES)
    assert np.allclose(points["fuva_flux"] + points["fuvb_flux"], points["flux"], rtol=1e-4, atol=1e-18)


def test_times_are_barycentric(survey: Survey) -> None:
    from astropy import units as u
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time

    points = survey.light_curve("SIMULATED-1").only(SERIES)
    k = np.array([0, 600, 1299])
    seconds = 0.032 + 2.0 * (k + 0.5)
    seconds[-1] = 0.5 * (
        0.032 + 2.0 * 1299 + survey.exposure(SERIES)[1]["gti"][-1, 1]
    )  # its good time ends before the bin
    place = EarthLocation.from_geodetic(
        (254.0 + 360.0 * seconds / 5720.0) % 360.0 * u.deg,
        28.5 * np.sin(2.0 * np.pi * seconds / 5720.0) * u.deg,
        540e3 * u.m,
    )
    utc = Time(58500.0, seconds / 86400.0, format="mjd", scale="utc", location=place)
    wanted = utc.tdb + utc.light_travel_time(SkyCoord(175.55 * u.deg, 26.7 * u.deg))
    off = (points["time"][k] - (wanted.jd1 - 2457000.0) - wanted.jd2) * 86400.0
    assert np.abs(off).max() < 1e-3


def test_a_constant_source_comes_out_constant(constant: Path) -> None:
    assert not run_quietly(constant).troubled
    survey = cuvee.open(constant)
    curve = survey.light_curve("SIMULATED-1")
    chances = [survey.exposure(str(row["series"]))[0]["statistics"]["constant"] for row in curve.observations]
    assert min(chances) > 1e-3
    assert max(chances) > 0.1
    for row in curve.observations:
        facts = survey.exposure(str(row["series"]))[0]
        assert facts["statistics"]["poisson_factor"] == pytest.approx(1.0, abs=0.12)
        assert all(not peak[2] < 1e-3 for peak in facts["peaks"].values())


def test_days_and_nights_are_told_apart(survey: Survey) -> None:
    points = survey.light_curve("SIMULATED-1").only(SERIES)
    day = (points["flag"] & flags.DAYLIGHT) != 0
    from cuvee.simulate.photon_source import sun_altitude

    seconds = 0.032 + 2.0 * (np.arange(day.size) + 0.5)
    assert np.count_nonzero(day != (sun_altitude(seconds, 0.05) > 0.0)) <= 3


def test_by_night_the_lines_of_the_airglow_may_stay(copied: Path, simulated: Path) -> None:
    change(copied, 'airglow = "night"\nbands = { o1 = [1301.0, 1307.0] }')
    assert not run_quietly(copied).troubled
    survey = cuvee.open(copied)
    points, (facts, arrays) = survey.light_curve("SIMULATED-1").only("lsim01abq"), survey.exposure("lsim01abq")
    assert facts["reasons"]["airglow"] == 0
    assert arrays["FUVA.kept"].sum() > 14000  # its windows are not cut out
    assert facts["seconds"] < 0.7 * 2600.0
    inside = points["exposure"] > 0.0
    assert ((points["flag"] & flags.DAYLIGHT) == 0)[inside].all()
    # The line's light by day, a twentieth by night: what is left is the source's own and that.
    line = np.average(points["o1_flux"][inside], weights=points["exposure"][inside])
    scale = json.loads((simulated / "truth" / "truth.json").read_text())["exposures"]["lsim01abq"]["scale"]
    light = Source(131.0, 0.3, Flare(1560.0, 4.0, 40.0)).light(
        np.asarray(0.032 + 2.0 * (np.arange(inside.size) + 0.5), np.float64)
    )
    own = 0.05 * 6.0 * scale * np.average(light[inside], weights=points["exposure"][inside])
    # 2.1 counts/s by day, of some 1.2e-14 erg/cm2 each; a twentieth of it by night.
    assert line - own == pytest.approx(0.05 * 2.1 * 1.15e-14, abs=0.03 * own + 1e-15)
    assert line - own < 0.2 * 2.1 * 1.15e-14
    # The other exposure has no night at all: that is no fault of its files.
    assert len(survey.light_curve("SIMULATED-1").observations) == 1


def test_the_windows_of_the_airglow_are_cut_from_source_and_background(survey: Survey) -> None:
    _, arrays = survey.exposure(SERIES)
    wavelength = arrays["FUVB.wavelength"]
    for low, high in AIRGLOW:
        assert not arrays["FUVB.kept"][(wavelength > low) & (wavelength < high)].any()


def test_a_missing_segment_is_flagged_and_the_other_used(copied: Path) -> None:
    (copied / "RAW" / f"{SERIES}_corrtag_b.fits").unlink()
    assert not run_quietly(copied).troubled
    points = cuvee.open(copied).light_curve("SIMULATED-1").only(SERIES)
    assert ((points["flag"] & flags.PART_MISSING) != 0).all()
    assert np.isfinite(points["flux"]).all()


def test_without_a_spectrum_there_are_rates_and_no_flux(copied: Path) -> None:
    (copied / "RAW" / f"{SERIES}_x1d.fits").unlink()
    assert not run_quietly(copied).troubled
    curve = cuvee.open(copied).light_curve("SIMULATED-1")
    points = curve.only(SERIES)
    assert ((points["flag"] & flags.NO_CALIBRATION) != 0).all()
    assert np.isnan(points["flux"]).all()
    assert np.isfinite(points["net"]).all()
    assert curve.good.sum() == curve.time.size


def damage(path: Path, how: str) -> None:
    if how == "html":
        path.write_text("<html><body>Service unavailable</body></html>")
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:200_000])
    else:
        with fits.open(path) as file:
            events, primary = file["EVENTS"], file[0].header
            if how == "empty":
                file["EVENTS"] = fits.BinTableHDU(events.data[:0], events.header, name="EVENTS")
            elif how == "backwards":
                events.data["TIME"][1000:2000] = events.data["TIME"][1000:2000][::-1]
            elif how == "one time":
                events.data["TIME"][:] = 5.0
            elif how == "nan":
                events.data["TIME"][:] = np.nan
            elif how == "expflag":
                events.header["EXPFLAG"] = "INTERRUPTED"
            elif how == "short":
                for key in ("EXPTIME", "EXPTIMEA", "EXPTIMEB"):
                    events.header[key] = 0.5
            elif how == "proposal":
                primary["PROPOSID"] = 13635
            elif how == "no gti":
                del file["GTI"]
            elif how == "gti elsewhere":
                file["GTI"].data["START"][:], file["GTI"].data["STOP"][:] = 1e6, 2e6
            elif how == "accum":
                del file["EVENTS"]
            file.writeto(path, overwrite=True)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("html", "not-fits"), ("truncated", "truncated"), ("empty", "no-events"), ("backwards", "non-linear-time"),
        ("one time", "singular-event"), ("nan", "non-linear-time"), ("expflag", "bad-expflag"), ("short", "short-exposure"),
        ("proposal", "bad-proposal"), ("no gti", "no-gti"), ("gti elsewhere", "no-gti"), ("accum", "not-time-tag"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
def test_what_is_wrong_with_a_file_is_named_and_the_others_go_on(copied: Path, how: str, reason: str) -> None:
    change(copied, "proposals = [13635]")
    path = copied / "RAW" / f"{SERIES}_corrtag_a.fits"
    damage(path, how)
    kept = path.read_bytes()
    summary = run_quietly(copied)
    assert [(Path(bad.path).name, bad.reason) for bad in summary.bad.values()] == [(path.name, reason)]
    assert "\n" not in next(iter(summary.bad.values())).message
    assert path.read_bytes() == kept  # nothing is deleted
    survey = cuvee.open(copied)
    # Its other segment is used, with a flag; the other exposure is whole.
    assert ((survey.light_curve("SIMULATED-1").only(SERIES)["flag"] & flags.PART_MISSING) != 0).all()
    assert ((survey.light_curve("SIMULATED-1").only("lsim01abq")["flag"] & flags.PART_MISSING) == 0).all()
    again = run_quietly(copied)
    assert not again.worked
    assert len(again.bad) == 1


def test_a_spectrum_of_another_exposure_is_not_used(copied: Path) -> None:
    shutil.copy(copied / "RAW" / "lsim01abq_x1d.fits", copied / "RAW" / "lother01q_x1d.fits")
    (copied / "RAW" / "lsim01abq_x1d.fits").unlink()
    with fits.open(copied / "RAW" / "lother01q_x1d.fits") as file:
        file[0].header["ROOTNAME"] = "lother01q"
        file.writeto(copied / "RAW" / "lother01q_x1d.fits", overwrite=True)
    assert not run_quietly(copied).troubled
    survey = cuvee.open(copied)
    assert np.isnan(survey.light_curve("SIMULATED-1").only("lsim01abq")["flux"]).all()
    assert np.isfinite(survey.light_curve("SIMULATED-1").only(SERIES)["flux"]).all()


def test_a_rerun_does_nothing_and_the_same_files_give_the_same_bytes(copied: Path, survey: Survey) -> None:
    assert run_quietly(copied).worked
    assert not run_quietly(copied).worked
    ours = sorted((copied / "LC").rglob("*.parquet"))
    theirs = sorted((survey.path / "LC").rglob("*.parquet"))
    assert [path.name for path in ours] == [path.name for path in theirs]
    assert [path.read_bytes() for path in ours] == [path.read_bytes() for path in theirs]


def test_names_of_targets_come_from_a_table(copied: Path) -> None:
    (copied / "names.txt").write_text("# what proposers call it, what it is\nSIMULATED-1,The Star\n")
    change(copied, 'names = "names.txt"')
    run_quietly(copied)
    survey = cuvee.open(copied)
    assert survey.resolve("the star") == "The Star"
    assert len(survey.light_curve("The Star").observations) == 2


def test_status_counts_light_curves_of_photons(survey: Survey) -> None:
    from cuvee.status import workspace_status

    found = workspace_status(survey)
    assert found["light_curves"] == 3  # two exposures, and both together
    assert found["files"] == 6
