"""The pointing, and aberration against the exact formula and against astropy's."""

import numpy as np
import pytest
from astropy.coordinates import GCRS, SkyCoord, get_body_barycentric_posvel
from astropy.time import Time
from numpy.typing import NDArray

from cuvee.simulate.attitude import AU_DAYS, aberration, observer
from cuvee.simulate.params import SimulationParams
from cuvee.simulate.plan import frame_wcs, make_plan

Vector = NDArray[np.float64]
ARCSEC = np.pi / 180 / 3600


def _random_directions(rng: np.random.Generator, n: int) -> Vector:
    v = rng.standard_normal((n, 3))
    return np.asarray(v / np.linalg.norm(v, axis=1, keepdims=True))


def test_differential_aberration_is_what_the_exact_formula_leaves_after_the_turn() -> None:
    rng = np.random.default_rng(1)
    pointing = _random_directions(rng, 1)[0]
    stars = _random_directions(rng, 500)
    stars = stars[stars @ pointing > 0.8]
    velocity = 1e-4 * _random_directions(rng, 1)[0]

    def apparent(n: Vector) -> Vector:
        # Special relativity, without approximation.
        gamma = 1 / np.sqrt(1 - velocity @ velocity)
        along = n @ velocity
        return np.asarray((n / gamma + velocity * (1 + along / (1 + 1 / gamma))[..., None]) / (1 + along)[..., None])

    seen = apparent(pointing[None])[0]
    axis = np.cross(seen, pointing)
    sine, cosine = np.linalg.norm(axis), seen @ pointing
    axis /= sine
    there = apparent(stars)
    turned = there * cosine + np.cross(axis, there) * sine + np.outer(there @ axis, axis) * (1 - cosine)
    error = aberration(stars, velocity, pointing) - (turned - stars)
    assert np.abs(error).max() < 0.01 * ARCSEC
    assert np.abs(turned - stars).max() > 2 * ARCSEC
    np.testing.assert_allclose(aberration(pointing, velocity, pointing), 0, atol=1e-18)


def test_angles_between_stars_change_as_astropy_says() -> None:
    times = Time([2458517.0, 2458544.0], format="jd", scale="tdb")
    pointing, star = (
        SkyCoord(128.0, -46.0, unit="deg"),
        SkyCoord([110.0, 128.0, 150.0], [-40.0, -65.0, -50.0], unit="deg"),
    )
    changes = []
    for time in times:
        frame = GCRS(obstime=time)
        seen = pointing.transform_to(frame).separation(star.transform_to(frame)).arcsec
        changes.append(seen - pointing.separation(star).arcsec)
    expected = changes[1] - changes[0]
    p, n = (c.cartesian.xyz.value.T for c in (pointing, star))
    got = []
    for time in times:
        _, v = get_body_barycentric_posvel("earth", time, ephemeris="builtin")
        velocity = v.xyz.to_value("au/d") * AU_DAYS
        # Away from the pointing, along the great circle.
        outward = n * (n @ p)[:, None] - p
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        got.append(np.sum(aberration(n, velocity, p) * outward, axis=1) / ARCSEC)
    np.testing.assert_allclose(got[1] - got[0], expected, atol=0.02)
    assert np.abs(expected).max() > 1


def test_the_spacecraft_moves_with_the_earth_and_about_it() -> None:
    time = np.linspace(1517.0, 1544.0, 2001)
    position, velocity = observer(time)
    np.testing.assert_allclose(np.gradient(position, time, axis=0)[1:-1] * AU_DAYS, velocity[1:-1], atol=2e-9)
    assert np.linalg.norm(velocity, axis=1).mean() == pytest.approx(29.8 / 299792, rel=0.03)


def test_stars_drift_by_a_tenth_of_a_pixel_over_a_sector() -> None:
    params = SimulationParams(effects=frozenset({"aberration"}), jitter=0.0)
    plan = make_plan(1300, 5, 2048, 1800, 1, params)
    corner = np.array([0.0, 0.0, 2047.0, 2047.0]), np.array([0.0, 2047.0, 0.0, 2047.0])
    first, last = (np.array(plan.attitude.shift(k, *corner)) for k in (0, 1299))
    assert 0.05 < np.hypot(*(last - first)).max() < 0.3
    assert 0.03 < np.ptp(last - first, axis=1).max() < 0.3
    middle = np.array(plan.attitude.shift(650, *corner))
    np.testing.assert_array_equal(middle, 0)
    # The WCS of a frame says where its stars are, in the corners, too.
    from astropy.io import fits
    from astropy.wcs import WCS

    still, then = (WCS(fits.Header(cards)) for cards in (plan.wcs, frame_wcs(plan, 1299)))
    grid = np.stack([corner[0] + 44, corner[1]], axis=1)
    there = then.all_world2pix(still.all_pix2world(grid, 0), 0)
    np.testing.assert_allclose(there - grid, last.T, atol=0.01)


def test_jitter_is_white_or_remembers_where_it_was() -> None:
    def path(jitter_time: float) -> Vector:
        params = SimulationParams(effects=frozenset(), jitter=0.05, jitter_time=jitter_time)
        return make_plan(3000, 5, 64, 1800, 3, params).attitude.rigid

    white, slow = path(0.0), path(0.25)
    assert white.std() == pytest.approx(0.05, rel=0.03)
    assert slow.std() == pytest.approx(0.05, rel=0.15)
    step = 1800.0 / 86400.0
    for lag in (1, 5, 12):
        expected = np.exp(-lag * step / 0.25)
        for axis in (0, 1):
            found = np.corrcoef(slow[:-lag, axis], slow[lag:, axis])[0, 1]
            assert found == pytest.approx(expected, abs=0.12)
            assert abs(np.corrcoef(white[:-lag, axis], white[lag:, axis])[0, 1]) < 0.06
