"""Proper motion against a published star, a rival package and identities."""

from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time

from cuvee.catalog.motion import angles, move, unit_vectors

MAS = 1.0 / 3.6e6  # deg


def separation_mas(ra1: Any, dec1: Any, ra2: Any, dec2: Any) -> Any:
    offset = unit_vectors(ra1, dec1) - unit_vectors(ra2, dec2)
    return np.rad2deg(np.linalg.norm(offset, axis=-1)) / MAS


def test_barnards_star_comes_where_it_is_listed() -> None:
    # Gaia DR3 (epoch 2016.0) and SIMBAD (J2000).
    ra, dec = move(
        np.array([269.44850252543836]),
        np.array([4.739420051112412]),
        np.array([-801.551]),
        np.array([10362.394]),
        -16.0,
    )
    assert separation_mas(ra, dec, 269.45207695861, 4.69336496658)[0] < 1.0


def test_agrees_with_astropy_everywhere_on_the_sky() -> None:
    rng = np.random.default_rng(8)
    n = 300
    ra, dec = rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    dec[:4] = [89.9999, -89.9999, 89.99999, 90.0]
    ra[4:8] = [0.0, 359.9999999, 1e-9, 180.0]
    pmra, pmdec = rng.normal(0, 3000, (2, n))
    stars = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        pm_ra_cosdec=pmra * u.mas / u.yr,
        pm_dec=pmdec * u.mas / u.yr,
        distance=np.full(n, 5.0)
        * u.pc,  # without one astropy takes 10 Mpc, where such motions exceed the speed of light
        radial_velocity=np.zeros(n) * u.km / u.s,
        obstime=Time("J2000"),
    )
    later = stars.apply_space_motion(new_obstime=Time("J2026.5"))
    got_ra, got_dec = move(ra, dec, pmra, pmdec, 26.5)
    assert separation_mas(got_ra, got_dec, later.ra.deg, later.dec.deg).max() < 0.1


def test_a_star_crosses_the_pole() -> None:
    ra, dec = move(np.array([30.0]), np.array([90.0 - 1000 * MAS]), np.array([0.0]), np.array([100.0]), 20.0)
    assert abs(ra[0] - 210.0) < 1e-9
    assert abs(dec[0] - (90.0 - 1000 * MAS)) < 1e-10


def test_ra_stays_within_its_range() -> None:
    ra, _ = move(np.array([0.0, 359.99999999]), np.zeros(2), np.array([-1.0, 1000.0]), np.zeros(2), 10.0)
    assert ((ra >= 0.0) & (ra < 360.0)).all()
    assert angles(np.array([[1.0, -1e-300, 0.0]]))[0][0] == 0.0


def test_no_time_no_motion() -> None:
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 50), rng.uniform(-89, 89, 50)
    got = move(ra, dec, rng.normal(0, 1e4, 50), rng.normal(0, 1e4, 50), 0.0)
    np.testing.assert_allclose(got[0], ra, rtol=0, atol=1e-12)
    np.testing.assert_allclose(got[1], dec, rtol=0, atol=1e-12)
