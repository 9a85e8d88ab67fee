"""The nominal camera against the SIP WCS of all CCDs in two sectors."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from cuvee.instruments.tess_camera import FOCAL_LENGTH, attitude, camera_vectors, sky_angles, sky_vectors

CATALOGS = ("tess_misc/tess-s0001-wcs-catalog.parquet", "tess_ic2391_s8_c3_ccd4/tess-s0008-wcs-catalog.parquet")


@pytest.mark.parametrize("catalog", CATALOGS)
def test_from_any_stamp_to_the_reference_pixel(shared_data: Path, catalog: str) -> None:
    """Place and turn of ten pixels anywhere lead to the CCD's reference pixel within 0.4 s of light, half the CCDs within 0.1 s."""
    worst = []
    for row in pq.read_table(shared_data / catalog).to_pylist():
        wcs, ccd = WCS(fits.Header.fromstring(row["wcs"])), row["ccd"]
        truth = sky_vectors(*wcs.all_pix2world(1068.0, 1024.0, 1))
        errors = []
        for col in (5.0, 1024.0, 2030.0):
            for line in (5.0, 1024.0, 2040.0):
                cols, lines = np.array([col, col + 10.0]), np.full(2, line)
                sky = sky_vectors(*wcs.all_pix2world(cols + 44.0, lines, 0))
                camera = camera_vectors(ccd, cols, lines)
                found = camera_vectors(ccd, 1023.0, 1023.0) @ attitude(camera, sky)
                errors.append(float(np.linalg.norm(found - truth)))
                scale = np.linalg.norm(camera[1] - camera[0]) / np.linalg.norm(sky[1] - sky[0])
                assert scale == pytest.approx(1.0, abs=0.01)
        worst.append(499.0 * max(errors))
    assert max(worst) < 0.4
    assert np.median(worst) < 0.12


def test_vectors_and_angles_are_inverse() -> None:
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50)
    back = sky_angles(sky_vectors(ra, dec))
    np.testing.assert_allclose(back, [ra, dec], atol=1e-9)


def test_camera_inverts_its_radial_law() -> None:
    vectors = camera_vectors(1, [2107.0, 1000.0, 0.0], [2103.0, 500.0, 0.0])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0)
    tangent = np.hypot(vectors[:, 0], vectors[:, 1]) / vectors[:, 2]
    radius = np.hypot([0.0, 1107.0, 2107.0], [0.0, 1603.0, 2103.0]) / FOCAL_LENGTH
    np.testing.assert_allclose(tangent + 0.2205 * tangent**3 + 0.69 * tangent**5, radius, atol=1e-12)


def test_attitude_is_a_rotation_that_meets_its_first_direction() -> None:
    rng = np.random.default_rng(5)
    sky = rng.normal(size=(2, 3))
    sky /= np.linalg.norm(sky, axis=1, keepdims=True)
    camera = camera_vectors(2, [100.0, 900.0], [30.0, 1500.0])
    turn = attitude(camera, sky)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    np.testing.assert_allclose(camera[0] @ turn, sky[0], atol=1e-12)
