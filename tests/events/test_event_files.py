"""Lists of the source's events: the same that the light curve counts, at the right time, for programs of X-ray astronomy."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from tests.events.survey_of_photons import run_quietly, survey_of

import cuvee
from cuvee.errors import ConfigError
from cuvee.instruments import events_fits
from cuvee.survey import Survey

FIRST = "lsim01aaq"


@pytest.fixture(scope="module")
def files(photons: Survey, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("lists") / "out"
    assert photons.export(folder, "events") == 2
    found = sorted(folder.iterdir())
    assert [path.name.rpartition("_psa_")[2] for path in found] == [f"{FIRST}_v1_evt.fits", "lsim01abq_v1_evt.fits"]
    return found


def opened(path: Path) -> tuple[fits.Header, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a wrong CHECKSUM or DATASUM is only a warning to astropy
        with fits.open(path, checksum=True, memmap=False) as hdus:
            hdus.verify("exception")
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "EVENTS", "GTI"]
            gti = np.column_stack([hdus["GTI"].data["START"], hdus["GTI"].data["STOP"]])
            return hdus["EVENTS"].header, np.array(hdus["EVENTS"].data), gti


def at_barycentre(seconds: np.ndarray[Any, Any], mjd: float) -> Time:
    """Return MJD (TDB) at the barycentre by astropy, from where the simulation says that Hubble was."""
    place = EarthLocation.from_geodetic(
        (254.0 + 360.0 * seconds / 5720.0) % 360.0 * u.deg,
        28.5 * np.sin(2.0 * np.pi * seconds / 5720.0) * u.deg,
        540e3 * u.m,
    )
    utc = Time(mjd, seconds / 86400.0, format="mjd", scale="utc", location=place)
    return utc.tdb + utc.light_travel_time(SkyCoord(175.55 * u.deg, 26.7 * u.deg))


def test_each_event_is_one_of_the_raw_file_at_its_time_and_height(photons: Survey, files: list[Path]) -> None:
    header, rows, gti = opened(files[0])
    assert (header["TIMESYS"], header["TIMEREF"], header["TIMEZERO"]) == ("TDB", "SOLARSYSTEM", 0.0)
    assert (header["TELESCOP"], header["INSTRUME"], header["OBJECT"]) == ("HST", "COS", "SIMULATED-1")
    assert [header[f"PART{k}"] for k in (0, 1)] == ["FUVA", "FUVB"]
    zero = header["MJDREFI"] + header["MJDREFF"]
    for k, letter in enumerate("ab"):
        with fits.open(photons.path / "RAW" / f"{FIRST}_corrtag_{letter}.fits") as raw:
            events, start = raw["EVENTS"].data, raw["EVENTS"].header["EXPSTART"]
            time, height, wavelength, weight = (
                np.array(events[name]) for name in ("TIME", "PHA", "WAVELENGTH", "EPSILON")
            )
            good = (events["DQ"] & (64 | 512 | 2048)) == 0
        there = at_barycentre(time.astype(np.float64), start)
        arrival = (there.tdb.jd1 - 2400000.5 - zero) * 86400.0 + there.tdb.jd2 * 86400.0
        mine = rows[rows["PART"] == k]
        assert mine.size > 300
        first, last = (np.searchsorted(arrival, mine["TIME"] + off) for off in (-1e-3, 1e-3))
        near = [[i for i in range(low, high) if good[i]] for low, high in zip(first, last, strict=True)]
        assert all(any(height[i] == one["PI"] for i in each) for one, each in zip(mine, near, strict=True))
        alone = [j for j, each in enumerate(near) if len(each) == 1]
        same = np.array([near[j][0] for j in alone])
        assert np.abs(wavelength[same] - mine["WAVELENGTH"][alone]).max() < 0.02
        np.testing.assert_array_equal(weight[same], mine["WEIGHT"][alone])
    np.testing.assert_allclose(rows["ENERGY"] * rows["WAVELENGTH"], 12.398, rtol=1e-4)
    assert (header["TSTART"], header["TSTOP"]) == (gti[0, 0], gti[-1, 1])
    assert (np.diff(rows["TIME"]) >= 0.0).all()


def test_they_add_up_to_the_light_curve(photons: Survey, files: list[Path]) -> None:
    points = photons.light_curve("SIMULATED-1").only(FIRST)
    _, rows, gti = opened(files[0])
    # Events lie on ticks, and some just on a bin's edge: by a millisecond it may be told otherwise at the barycentre.
    scale = (gti[-1, 1] - gti[0, 0]) / 399.968
    edges = gti[0, 0] + scale * 2.0 * np.arange(1, points["gross"].size)
    grown = np.cumsum(points["gross"])
    early, late = (np.searchsorted(rows["TIME"], edges + off) for off in (-1e-3, 1e-3))
    assert ((early <= grown[:-1]) & (grown[:-1] <= late)).all()
    assert np.count_nonzero(early < late) < 0.5 * edges.size
    assert rows.size == grown[-1]


def test_pieces_of_any_size_give_the_same_bytes(
    photons: Survey, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_fits, "CHUNK_BYTES", 20_000)
    photons.export(tmp_path, "events")
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [path.read_bytes() for path in files]


def test_stingray_reads_them(files: list[Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that it could use, too
        stingray = pytest.importorskip("stingray", reason="stingray is not installed (group bench)")
        seen = stingray.EventList.read(str(files[0]), "ogip", additional_columns=["PI", "WAVELENGTH"])
    header, rows, gti = opened(files[0])
    np.testing.assert_allclose(seen.time.astype(np.float64), rows["TIME"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.asarray(seen.gti, np.float64), gti, rtol=0, atol=1e-9)
    assert float(seen.mjdref) == header["MJDREFI"] + header["MJDREFF"]
    np.testing.assert_array_equal(seen.pi, rows["PI"])
    np.testing.assert_array_equal(seen.wavelength, rows["WAVELENGTH"])
    np.testing.assert_allclose(seen.energy, rows["ENERGY"], rtol=1e-6)


@pytest.fixture
def copied(photons: Survey, tmp_path: Path) -> Path:
    """The survey, to be changed."""
    folder = tmp_path / "w"
    shutil.copytree(photons.path, folder)
    run_quietly(folder)
    return folder


def test_what_is_not_as_it_was_is_said_and_nothing_is_written(copied: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "out", copied / "cuvee.toml"
    text = config.read_text()
    config.write_text(text.replace("[events]", '[events]\nairglow = "keep"'))
    with pytest.raises(ConfigError, match=r"events of lsim01aaq pass the screen, but its light curve has \d+"):
        cuvee.open(copied).export(out, "events")
    config.write_text(text)
    raw = copied / "RAW" / f"{FIRST}_corrtag_b.fits"
    raw.write_bytes(raw.read_bytes()[:-2880])
    with pytest.raises(ConfigError, match=f"{raw.name} has changed since its events were counted"):
        cuvee.open(copied).export(out, "events")
    raw.unlink()
    with pytest.raises(ConfigError, match=f"{raw.name} is gone"):
        cuvee.open(copied).export(out, "events")
    assert not out.exists() or not list(out.iterdir())


def test_a_real_list_keeps_its_pulse_heights_and_its_period(shared_data: Path, tmp_path: Path) -> None:
    shutil.copy(shared_data / "events_xray" / "sgr1830kgfilt.evt.gz", tmp_path)
    assert survey_of("events", tmp_path).export(tmp_path / "out", "events") == 1
    header, rows, gti = opened(next((tmp_path / "out").iterdir()))
    with fits.open(tmp_path / "sgr1830kgfilt.evt.gz") as raw:
        assert rows.size == len(raw["EVENTS"].data)
        np.testing.assert_array_equal(rows["PI"], raw["EVENTS"].data["PI"])
        assert np.diff(gti).sum() == pytest.approx(raw["EVENTS"].header["EXPOSURE"], rel=0.01)
    assert "ENERGY" not in (rows.dtype.names or ())  # nobody has said what a wavelength is here
    assert (header["TELESCOP"], header["INSTRUME"]) == ("NICER", "XTI")
    time = rows["TIME"] - rows["TIME"][0]
    periods = np.linspace(10.2, 10.6, 801)
    power = [abs(np.exp(2j * np.pi * time / period).sum()) ** 2 for period in periods]
    # 1 / 0.0960086 Hz (the timing solution beside the list), within a tenth of what 984 s resolve.
    assert periods[int(np.argmax(power))] == pytest.approx(1.0 / 0.09600860781882693907, abs=0.011)
