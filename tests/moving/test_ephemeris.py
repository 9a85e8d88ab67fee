"""Paths of known objects against astropy, which computes orbit, light travel time and projection of its own."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord, get_body
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from numpy.typing import NDArray

from cuvee.model.moving import Ephemerides, Tracks
from cuvee.model.records import Footprint, Geometry
from cuvee.moving import known_tracks

BEGIN = 2458517.4
ZERO_POINT = 20.44


def seen(jd: NDArray[np.float64]) -> SkyCoord:
    """Return where Mars is, seen from the middle of the Earth, at times of the observer (TDB)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = get_body("mars", Time(jd, format="jd", scale="tdb"), ephemeris="builtin")
    return SkyCoord(body.ra, body.dec, frame="icrs")  # axes of ICRS: astrometric, as ephemerides have it


def field_around(place: SkyCoord) -> tuple[Footprint, WCS]:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [place.ra.deg, place.dec.deg]
    wcs.wcs.crpix = [501.0, 401.0]
    wcs.wcs.cd = 21.0 / 3600.0 * np.array([[0.6, 0.8], [-0.8, 0.6]])
    header: fits.Header = wcs.to_header()
    return Footprint("ffi", Geometry(800, 1000, 0, 0, 2048, 2048), header.tostring(), 2019.1), wcs


def rows_of(step: float, name: str = "Mars", mag: float = 10.44) -> Ephemerides:
    jd = np.arange(BEGIN - 2.0, BEGIN + 16.0, step)
    place = seen(jd)
    n = jd.size
    return Ephemerides(np.full(n, name), jd - 2457000.0, place.ra.deg, place.dec.deg, np.full(n, mag))


@pytest.fixture(scope="module")
def scene() -> tuple[Footprint, WCS, SkyCoord]:
    middle = seen(np.array([BEGIN + 7.0]))[0]
    return *field_around(middle), middle


@pytest.mark.parametrize("step", [0.25, 1.0])
def test_the_path_is_where_astropy_has_the_object_at_the_times_of_the_frames(
    scene: tuple[Footprint, WCS, SkyCoord], step: float
) -> None:
    footprint, wcs, middle = scene
    span = (BEGIN + 4.0 - 2457000.0, BEGIN + 10.0 - 2457000.0)
    tracks = known_tracks(rows_of(step), footprint, middle.ra.deg, middle.dec.deg, span, ZERO_POINT)
    (nodes,) = tracks.paths()
    assert set(tracks.name) == {"Mars"}
    assert (tracks.seen == 0).all()
    np.testing.assert_allclose(tracks.flux, 10.0**4, rtol=1e-12)
    observed = np.linspace(BEGIN + 4.1, BEGIN + 9.9, 97)
    when = Time(observed, format="jd", scale="tdb", location=EarthLocation.from_geocentric(0.0, 0.0, 0.0, u.m))
    barycentric = observed + when.light_travel_time(middle, "barycentric", ephemeris="builtin").to_value("d")
    x, y = wcs.world_to_pixel(seen(observed))
    at = barycentric - 2457000.0
    for values, expected in ((tracks.col, x), (tracks.row, y)):
        np.testing.assert_allclose(np.interp(at, tracks.time[nodes], values[nodes]), expected, atol=0.02)
    assert tracks.time[0] == pytest.approx(span[0], abs=1e-9)
    assert tracks.time[-1] == pytest.approx(span[1], abs=1e-9)
    assert abs(at - observed + 2457000.0).max() * 24.0 > 0.05  # the light's way is not nothing


def test_an_object_that_leaves_and_comes_back_has_two_paths(scene: tuple[Footprint, WCS, SkyCoord]) -> None:
    footprint, wcs, middle = scene
    time = np.arange(0.0, 8.0, 0.25)
    # There and back along the rows, off the pixels in the middle of the time.
    place = wcs.pixel_to_world(500.0 + 0.0 * time, 700.0 + 260.0 * np.sin(np.pi * time / 8.0))
    known = Ephemerides(np.full(time.size, "a"), 1500.0 + time, place.ra.deg, place.dec.deg, np.full(time.size, np.nan))
    tracks = known_tracks(known, footprint, middle.ra.deg, middle.dec.deg, (1490.0, 1520.0), ZERO_POINT)
    assert len(tracks.paths()) == 2
    assert np.isnan(tracks.flux).all()
    assert tracks.row.max() < 799.5 + 20.0


def test_objects_elsewhere_or_at_other_times_have_none(scene: tuple[Footprint, WCS, SkyCoord]) -> None:
    footprint, _, middle = scene
    mars = rows_of(0.5)
    away = Ephemerides(mars.name, mars.time, (mars.ra + 90.0) % 360.0, mars.dec, mars.mag)
    span = (BEGIN - 2457000.0, BEGIN + 13.0 - 2457000.0)
    for known, when in ((away, span), (mars, (2000.0, 2010.0)), (mars, (span[0] - 99.0, span[0] - 90.0))):
        found: Tracks = known_tracks(known, footprint, middle.ra.deg, middle.dec.deg, when, ZERO_POINT)
        assert found.paths() == []
