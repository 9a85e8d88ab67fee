"""Event lists of X-ray missions: a magnetar of known period, and lists that are wrong in one way each."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray
from tests.events.survey_of_photons import Silent, bad_files, reduce, survey_of

from cuvee.config import write_workspace
from cuvee.errors import BadData
from cuvee.events.exposure import PhotonCurve, bin_exposure
from cuvee.events.params import EventParams
from cuvee.events.screen import EventList
from cuvee.instruments import event_lists
from cuvee.model import flags
from cuvee.pipeline import PIPELINE
from cuvee.run.start import RunOptions, run_workspace

PERIOD = 1.0 / 0.09600860781882693907  # of the file's .par (s)
ZERO = 1.6e8  # of a mission's clock (s)


def binned(path: Path, step: float = 1.0) -> PhotonCurve:
    exposure, start = event_lists.read_exposure(str(path))
    one = EventList(exposure, partial(event_lists.chunks, exposure, start), event_lists.traces(exposure, {}))
    return bin_exposure([one], EventParams(step=step, least=0.0), 0, 1)


def write(
    path: Path,
    times: NDArray[np.float64],
    gti: list[tuple[float, float]] | None = None,
    cards: dict[str, object] | None = None,
    gti_cards: dict[str, object] | None = None,
    gti_name: str = "GTI",
) -> Path:
    """Write a list; cards of None are left out."""
    header = {
        "TELESCOP": "SIM", "INSTRUME": "CAM-1", "OBJECT": "Fake X-1", "RA_OBJ": 83.6, "DEC_OBJ": 22.0, "OBS_ID": "0042", "TIMESYS": "TT",
        "MJDREFI": 55197, "MJDREFF": 0.00076601852, "TIMEUNIT": "s", **(cards or {}),
    }  # fmt: skip
    events = fits.BinTableHDU.from_columns(
        [
            fits.Column("PI", "1I", array=(np.arange(times.size) % 200)),
            fits.Column("TIME", "1D", unit="s", array=times),
        ],
        name="EVENTS",
    )
    for key, value in header.items():
        if value is not None:
            events.header[key] = value
    units = [fits.PrimaryHDU(), events]
    if gti is not None:
        start, stop = np.array(gti, np.float64).reshape(-1, 2).T
        table = fits.BinTableHDU.from_columns(
            [fits.Column("START", "1D", array=start), fits.Column("STOP", "1D", array=stop)], name=gti_name
        )
        table.header.update(gti_cards or {})
        units.append(table)
    fits.HDUList(units).writeto(path, overwrite=True)
    return path


def some_times(n: int = 4000, seconds: float = 1000.0) -> NDArray[np.float64]:
    return ZERO + np.sort(np.random.default_rng(3).uniform(0.0, seconds, n))


def z_squared(times: NDArray[np.float64], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    phase = 2.0 * np.pi * times[:, None] * frequency
    return np.asarray(2.0 / times.size * (np.cos(phase).sum(axis=0) ** 2 + np.sin(phase).sum(axis=0) ** 2))


@pytest.fixture(scope="module")
def sgr1830(shared_data: Path) -> Path:
    return shared_data / "events_xray" / "sgr1830kgfilt.evt.gz"


def test_the_magnetar_s_period_is_found_the_whole_way(sgr1830: Path, tmp_path: Path) -> None:
    (tmp_path / sgr1830.name).write_bytes(sgr1830.read_bytes())
    survey = survey_of("events", tmp_path, "step = 1.0")
    facts, arrays = survey.exposure("sgr1830kgfilt")
    period, _, chance = facts["peaks"]["short"]
    resolution = PERIOD**2 / 985.0
    assert period == pytest.approx(PERIOD, abs=0.5 * resolution)  # the list is not yet barycentred: that changes less
    assert chance < 1e-4
    points = survey.light_curve("SGR_1830-0645").points
    assert np.isnan(points["flux"]).all()
    assert (points["flag"] & flags.NO_CALIBRATION > 0).all()
    with fits.open(sgr1830) as file:
        gti = file["GTI"].data
        assert points["exposure"].sum() == pytest.approx((gti["STOP"] - gti["START"]).sum(), abs=1e-2)
        assert np.nansum(points["gross"]) == len(file["EVENTS"].data) - facts["reasons"]["gti"]
        good = np.zeros(len(file["EVENTS"].data), np.bool_)
        for start, stop in gti:  # their tables have the same TIMEZERO
            good |= (file["EVENTS"].data["TIME"] >= start - 0.02) & (file["EVENTS"].data["TIME"] <= stop + 0.02)
        assert facts["reasons"]["gti"] == np.count_nonzero(~good)
        frequency = np.linspace(0.09, 0.1, 400)
        peak = frequency[z_squared(file["EVENTS"].data["TIME"] - 2.138e8, frequency).argmax()]
    assert period == pytest.approx(1.0 / peak, abs=0.25 * resolution)  # and the events alone say the same
    assert arrays["ALL.pulses"].sum() > 0


def test_times_are_those_at_the_barycentre(sgr1830: Path) -> None:
    curve = binned(sgr1830)
    with fits.open(sgr1830) as file:
        header, gti = file["EVENTS"].header, file["GTI"].data
        seconds = gti["START"][0] + header["TIMEZERO"] + 0.5
        there = Time(header["MJDREFI"], header["MJDREFF"] + seconds / 86400.0, format="mjd", scale="tt")
    from astropy.coordinates import EarthLocation, SkyCoord

    target = SkyCoord(277.6702, -6.755, unit="deg")
    middle_of_earth = EarthLocation.from_geocentric(0.0, 0.0, 0.0, unit="m")
    light = there.light_travel_time(target, location=middle_of_earth, ephemeris="builtin")
    expected = (there.tdb + light).jd1 - 2457000.0 + (there.tdb + light).jd2
    assert (curve.points["time"][0] - expected) * 86400.0 == pytest.approx(0.0, abs=1e-3)
    assert 0.01 < curve.clock_error < 0.03


@pytest.mark.parametrize(
    ("timesys", "timeref", "moves"), [("TDB", "SOLARSYSTEM", 0), ("TDB", None, 0), ("TT", "LOCAL", 1)]
)
def test_times_of_the_barycentre_stay(tmp_path: Path, timesys: str, timeref: str | None, moves: int) -> None:
    times = some_times()
    path = write(tmp_path / "a.evt", times, [(ZERO, ZERO + 1000.0)], {"TIMESYS": timesys, "TIMEREF": timeref})
    curve = binned(path)
    mjd = 55197.00076601852 + (ZERO + 0.5) / 86400.0
    shift = (curve.points["time"][0] - (mjd + 2400000.5 - 2457000.0)) * 86400.0
    assert (abs(shift) > 10.0) == bool(moves)
    assert moves or shift == pytest.approx(0.0, abs=1e-4)
    assert (curve.clock_error == 0.0) != bool(moves)


def test_zero_points_of_times_are_heeded(tmp_path: Path) -> None:
    times, gti = some_times(), [(ZERO + 100.0, ZERO + 400.0), (ZERO + 500.0, ZERO + 900.0)]
    plain = binned(write(tmp_path / "plain.evt", times, gti))
    # The same instants: events 7 s early and their header says so; good times in a zero of their own.
    moved = binned(
        write(
            tmp_path / "moved.evt", times - 7.0, [(a + 3.0, b + 3.0) for a, b in gti], {"TIMEZERO": 7.0}, {"TIMEZERO": -3.0}
        )
    )  # fmt: skip
    np.testing.assert_allclose(moved.points["time"], plain.points["time"], rtol=0.0, atol=1e-10)
    np.testing.assert_array_equal(moved.points["gross"], plain.points["gross"])
    inside = ((times >= gti[0][0]) & (times <= gti[0][1])) | ((times >= gti[1][0]) & (times <= gti[1][1]))
    assert np.nansum(plain.points["gross"]) == pytest.approx(np.count_nonzero(inside), abs=1)  # 20 ms at four ends
    assert plain.points["exposure"].sum() == pytest.approx(700.0)


def test_good_times_without_a_zero_have_that_of_the_events(tmp_path: Path) -> None:
    times = some_times()
    curve = binned(write(tmp_path / "a.evt", times, [(ZERO, ZERO + 1000.0)], {"TIMEZERO": 7.0}))
    assert np.nansum(curve.points["gross"]) == times.size


@pytest.mark.parametrize("name", ["GTI", "STDGTI", "STDGTI04", "GTI7"])
def test_good_times_are_found_by_their_names(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.evt", some_times(), [(ZERO, ZERO + 1000.0)], gti_name=name)
    assert binned(path).points["exposure"].sum() == pytest.approx(1000.0)


def test_times_keep_their_precision(tmp_path: Path) -> None:
    # 20 us apart at 1.6e8 s, and bins of 10 us.
    times = np.array([ZERO + 2e-5 * k + 5e-6 for k in range(200)])
    curve = binned(write(tmp_path / "a.evt", times, [(ZERO, ZERO + 4e-3)]), step=1e-5)
    assert curve.points["gross"][:400].tolist() == [1.0, 0.0] * 200


def test_times_that_are_no_numbers_are_counted_and_left_out(tmp_path: Path) -> None:
    times = some_times()
    times[[5, 100, 3999]] = np.nan
    curve = binned(write(tmp_path / "a.evt", times, [(ZERO, ZERO + 1000.0)]))
    assert curve.reasons["time"] == 3
    assert np.nansum(curve.points["gross"]) == times.size - 3


def test_two_lists_of_one_name_are_two(tmp_path: Path) -> None:
    for k in (1, 2):
        (tmp_path / f"{k}").mkdir()
        write(tmp_path / f"{k}" / "a.evt", some_times(), [(ZERO, ZERO + 1000.0)], {"OBS_ID": f"{k}"})
    write(tmp_path / "b.evt", some_times(), [(ZERO, ZERO + 1000.0)])
    (tmp_path / "c_evt.fits.gz").write_bytes(gzip.compress((tmp_path / "b.evt").read_bytes()))
    workspace = tmp_path / "all"
    workspace.mkdir()

    write_workspace(workspace / "w", "events", [str(tmp_path)], [], photons=True)
    summary = run_workspace(workspace / "w", PIPELINE, RunOptions(executor="serial"), Silent())
    assert not summary.bad
    assert summary.n_files == 4
    assert len(list(workspace.rglob("*.npz"))) == 4


def test_bad_lists_are_set_aside_by_name_and_the_others_go_on(tmp_path: Path) -> None:
    times, gti = some_times(), [(ZERO, ZERO + 1000.0)]
    write(tmp_path / "good.evt", times, gti)
    write(tmp_path / "a.evt", times)
    write(tmp_path / "b.evt", times, [])
    write(tmp_path / "c.evt", times, [(0.0, 1000.0)])
    write(tmp_path / "d.evt", times, [(ZERO, ZERO + 1e30)])
    write(tmp_path / "e.evt", times[::-1], gti)
    write(tmp_path / "f.evt", times[:0], gti)
    write(tmp_path / "g.evt", np.full(50, ZERO + 1.0), gti)
    write(tmp_path / "h.evt", np.full(50, np.nan), gti)
    write(tmp_path / "i.evt", times, gti, {"MJDREFI": None, "MJDREFF": None})
    write(tmp_path / "j.evt", times, gti, {"TIMESYS": "MARS"})
    write(tmp_path / "k.evt", times, gti, {"TIMEUNIT": "d"})
    write(tmp_path / "l.evt", times, gti, {"RA_OBJ": None})
    write(tmp_path / "m.evt", times, gti, {"TIMEREF": "HELIOCENTRIC"})
    write(tmp_path / "t.evt", times, gti, {"MJDREFI": 55197000})
    write(tmp_path / "u.evt", times, gti, {"DEC_OBJ": 122.0})
    whole = (tmp_path / "good.evt").read_bytes()
    (tmp_path / "n.evt").write_bytes(whole[:20000])
    (tmp_path / "o.evt.gz").write_bytes(gzip.compress(whole)[:3000])
    (tmp_path / "p.evt").write_bytes(b"<!DOCTYPE html>" + b" " * 9000)
    (tmp_path / "q.evt").write_bytes(b"")
    fits.PrimaryHDU().writeto(tmp_path / "r.evt")
    (tmp_path / "s.evt").write_bytes(whole.replace(b"'TIME    '", b"'CLOCK   '"))
    found = bad_files("events", tmp_path)
    assert {name.partition(".")[0]: reason for name, (reason, _) in found.items()} == {
        "a": "no-gti", "b": "no-gti", "c": "no-gti", "d": "too-long", "e": "non-linear-time", "f": "no-events", "g": "singular-event",
        "h": "non-linear-time", "i": "header", "j": "header", "k": "header", "l": "header", "m": "header", "n": "truncated",
        "o": "truncated", "p": "not-fits", "q": "empty", "r": "no-events", "s": "wrong-shape", "t": "header",
        "u": "header",
    }  # fmt: skip
    for name, (_, message) in found.items():
        assert name in message
        assert "\n" not in message
    assert np.nansum(survey_of("events", tmp_path, run=False).light_curve("Fake X-1").points["gross"]) == times.size
    assert not reduce("events", tmp_path).counts["bin", "to do"]  # nothing is tried again


def test_a_list_of_two_tables_is_not_guessed_at(tmp_path: Path) -> None:
    path = write(tmp_path / "a.evt", some_times(), [(ZERO, ZERO + 1000.0)])
    with fits.open(path) as file:
        fits.HDUList([file[0].copy(), file[1].copy(), file[1].copy(), file[2].copy()]).writeto(path, overwrite=True)
    with pytest.raises(BadData, match="2 tables named EVENTS"):
        event_lists.read_exposure(str(path))
