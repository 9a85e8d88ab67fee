"""Times of stars against astropy, the mission's own barycentric corrections, and its reprocessed time stamps."""

from pathlib import Path

import numpy as np
import pytest

from cuvee.model.time import DAY, earth_position, julian_year, move_time, sector_offset


def test_earth_is_where_astropy_has_it() -> None:
    from astropy.coordinates import get_body_barycentric
    from astropy.time import Time

    time = np.linspace(1325.0, 3800.0, 57)
    position = get_body_barycentric("earth", Time(time, 2457000.0, format="jd", scale="tdb"), ephemeris="builtin")
    expected = position.xyz.to_value("m").T / 299792458.0
    np.testing.assert_allclose(earth_position(time), expected, atol=1e-4)


def test_moved_times_agree_with_light_travel_time_to_milliseconds() -> None:
    import astropy.units as u
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    rng = np.random.default_rng(1)
    time = np.linspace(1517.0, 1544.0, 9)
    ra0, dec0 = 124.9, -56.9
    ra, dec = ra0 + rng.uniform(-14, 14, 12), dec0 + rng.uniform(-8, 8, 12)
    with iers.conf.set_temp("auto_download", False):
        centre = EarthLocation.from_geocentric(0.0, 0.0, 0.0, u.m)
        at = Time(time, 2457000.0, format="jd", scale="tdb", location=centre)

        def roemer(a: float, d: float) -> np.ndarray:
            delay = at.light_travel_time(SkyCoord(a, d, unit="deg"), "barycentric", ephemeris="builtin")
            return np.asarray(delay.to_value("s"))

        reference = roemer(ra0, dec0)
        expected = np.array([roemer(a, d) - reference for a, d in zip(ra, dec, strict=True)])
    barycentric = time + reference / DAY
    moved = (move_time(barycentric, ra0, dec0, ra, dec, earth_position(barycentric)) - barycentric) * DAY
    assert moved.shape == (12, 9)
    np.testing.assert_allclose(moved, expected, atol=0.010)
    # What remains is the Earth's way during the light time itself.
    at_earth = (move_time(time, ra0, dec0, ra, dec, earth_position(time)) - time) * DAY
    np.testing.assert_allclose(at_earth, expected, atol=0.001)


def test_reference_direction_keeps_its_time() -> None:
    time = np.array([1500.0, 1600.5])
    np.testing.assert_allclose(move_time(time, 10.0, -80.0, [10.0], [-80.0], earth_position(time)), [time], rtol=1e-15)


def test_unknown_times_stay_unknown() -> None:
    position = earth_position([1500.0, np.nan, -1e6, 1e6])
    assert np.isfinite(position[0]).all()
    assert np.isnan(position[1:]).all()
    moved = move_time([1500.0, np.nan], 10.0, 0.0, [11.0, 12.0], [1.0, 2.0], position[:2])
    assert np.isfinite(moved[:, 0]).all()
    assert np.isnan(moved[:, 1]).all()


def test_error_bound_holds_for_the_mission_s_own_corrections(shared_data: Path) -> None:
    """Between any two CCDs the mission's corrections differ from ours by no more than the spacecraft's 1.36 s times the chord."""
    import pyarrow.parquet as pq
    from astropy.io import fits
    from astropy.wcs import WCS

    folder = shared_data / "tess_ic2391_s8_c3_ccd4"
    table = pq.read_table(folder / "tess-s0008-spoc-ffi-catalog.parquet").to_pydict()
    camera, ccd = np.array(table["camera"]), np.array(table["ccd"])
    detector, barycorr = camera * 10 + ccd, np.array(table["barycorr"]) * DAY
    sky = {}
    for row in pq.read_table(folder / "tess-s0008-wcs-catalog.parquet").to_pylist():
        wcs = WCS(fits.Header.fromstring(row["wcs"]))
        sky[row["camera"] * 10 + row["ccd"]] = [float(x) for x in wcs.all_pix2world(1068.0, 1024.0, 1)]
    stamp = np.array([path.rsplit("/", 1)[1][4:17] for path in table["path"]])
    start = np.array(table["start"], dtype="datetime64[s]")
    time = (start - np.datetime64("2014-12-08T12:00:00")) / np.timedelta64(1, "D")
    worst = 0.0
    for one in sky:
        mine = np.flatnonzero(detector == one)[::40]
        for other in sky:
            yours = np.flatnonzero(detector == other)[::40]
            assert np.array_equal(stamp[mine], stamp[yours])
            earth = earth_position(time[mine])
            ours = (
                move_time(time[mine], sky[one][0], sky[one][1], [sky[other][0]], [sky[other][1]], earth)[0] - time[mine]
            ) * DAY
            angles = np.radians([sky[one], sky[other]])
            cosine = np.sin(angles[0, 1]) * np.sin(angles[1, 1]) + np.cos(angles[0, 1]) * np.cos(angles[1, 1]) * np.cos(
                angles[0, 0] - angles[1, 0]
            )
            chord = np.sqrt(2.0 - 2.0 * min(1.0, cosine))
            error = np.abs(ours - (barycorr[yours] - barycorr[mine])).max()
            # The WCS of some CCDs of this sector are off by some pixels (scattered light), which is 0.1 s.
            assert error <= 1.36 * chord + 0.1
            worst = max(worst, error)
    assert worst > 0.5  # across cameras the Earth would not do; within a CCD it does


def test_julian_year() -> None:
    assert julian_year(2451545.0 - 2457000.0) == 2000.0
    np.testing.assert_allclose(julian_year([2457388.5 - 2457000.0]), 2016.0, atol=0.002)


@pytest.mark.parametrize(
    ("release", "version", "camera", "ccd", "is_ffi", "expected"),
    [
        (10, "spoc-3.3.57", 3, 4, True, (-1.409, -1.429)),
        (1, "spoc-3.3.31-20180902", 1, 1, True, (-1.969, -1.989)),
        (1, "spoc-3.3.31-20180902", 2, 3, True, (-0.429, -0.449)),
        (1, "spoc-3.3.31-20180902", 2, 3, False, (-1.969, -1.989)),
        (27, "spoc-4.0.17-20200130", 4, 2, True, (-0.949, -0.969)),
        (27, "spoc-4.0.26-20200323", 4, 2, True, (0.0, 0.0)),
        (29, "spoc-4.0.20-20200220", 4, 2, True, (-1.969, -1.989)),
        (29, "spoc-4.0.28-20200407", 4, 2, True, (0.0, 0.0)),
        (38, "spoc-4.0.36-20200520", 4, 2, True, (0.0, 0.0)),
    ],
)
def test_sector_offset(
    release: int, version: str, camera: int, ccd: int, is_ffi: bool, expected: tuple[float, float]
) -> None:
    np.testing.assert_allclose(sector_offset(release, version, camera, ccd, is_ffi), expected, atol=1e-12)
