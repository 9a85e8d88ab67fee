"""Times of points: against astropy's light travel times."""

from dataclasses import replace

import numpy as np
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord, solar_system_ephemeris
from astropy.time import Time
from tests.collect.blocks import DEC0, MASK, RA0, make_block, make_targets

from cuvee.collect import CollectParams, SeriesFluxes, collect


def test_times_are_those_of_astropy_in_the_direction_of_the_star() -> None:
    targets = make_targets(6)
    block = make_block(128, 6)
    centre = EarthLocation.from_geocentric(0, 0, 0, u.m)
    with solar_system_ephemeris.set("builtin"):
        seen = Time(2457000.0 + 1517.4 + block.moments.cadence / 48.0, format="jd", scale="tdb", location=centre)
        there = SkyCoord(RA0 * u.deg, DEC0 * u.deg)
        mid = (seen + seen.light_travel_time(there)).jd - 2457000.0
        stars = SkyCoord(targets.ra * u.deg, targets.dec * u.deg)
        truth = [(seen + seen.light_travel_time(star)).jd - 2457000.0 for star in stars]
    half = 900 / 86400
    moments = replace(block.moments, start=mid - half, stop=mid + half)
    series = [SeriesFluxes([replace(block, moments=moments)], np.arange(6), RA0, DEC0)]
    curves = collect(series, targets, "s0008", "3-4", CollectParams(), MASK)
    times = curves.points["time"].reshape(6, 16)
    np.testing.assert_allclose(times, truth, rtol=0, atol=0.001 / 86400)
    assert np.abs(times - mid).max() > 5 / 86400  # what it would be off by otherwise


def test_times_hold_where_a_fast_star_is_now() -> None:
    """Barnard's star has come 200 arcsec since 2000, which is up to half a second of light across the Earth's orbit."""
    targets = make_targets(2)
    now = replace(targets, moved_ra=targets.ra + np.array([0.0, 0.08]), moved_dec=targets.dec + np.array([0.0, 0.05]))
    blocks = [make_block(0, 2)]
    curves = collect([SeriesFluxes(blocks, np.arange(2), RA0, DEC0)], now, "s0008", "3-4", CollectParams(), MASK)
    there = replace(targets, ra=now.direction[0], dec=now.direction[1])
    expected = collect([SeriesFluxes(blocks, np.arange(2), RA0, DEC0)], there, "s0008", "3-4", CollectParams(), MASK)
    np.testing.assert_array_equal(curves.points["time"], expected.points["time"])
    np.testing.assert_array_equal(curves.targets.ra, targets.ra)
    still = collect([SeriesFluxes(blocks, np.arange(2), RA0, DEC0)], targets, "s0008", "3-4", CollectParams(), MASK)
    late = 86400 * np.abs(curves.points["time"] - still.points["time"]).reshape(2, -1).max(axis=1)
    assert late[0] == 0.0
    assert 0.1 < late[1] < 1.0


def test_times_stay_where_their_direction_is_unknown() -> None:
    block = make_block(128, 2)
    series = [SeriesFluxes([block], np.arange(2), np.nan, np.nan)]
    curves = collect(series, make_targets(2), "s0008", "3-4", CollectParams(), MASK)
    np.testing.assert_array_equal(curves.points["time"].reshape(2, 16), [block.moments.mid] * 2)
