"""Sums over apertures against a slow reference."""

import numpy as np

from cuvee.kernels.aperture_sums import sum_apertures


def test_sums_equal_a_slow_reference() -> None:
    rng = np.random.default_rng(6)
    n_pixel, n_star, n_aperture = 400, 30, 3
    image = rng.normal(100.0, 10.0, (n_pixel, 16)).astype(np.float32)
    counts = image + np.float32(7.0)
    image[5, 2] = np.nan
    counts[5, 2] = np.nan
    size = rng.integers(0, 9, (n_star, n_aperture))
    ptr = np.zeros((n_star, n_aperture + 1), np.int64)
    edges = np.concatenate([[0], np.cumsum(size.ravel())])
    ptr[:, :3], ptr[:, 3] = edges[:-1].reshape(n_star, 3), edges[3::3]
    n = int(edges[-1])
    pixel = rng.integers(0, n_pixel, (n, 1)).astype(np.int32)
    pixel[ptr[7, 2], 0] = 5
    weight = rng.random((n, n_aperture)).astype(np.float32)
    offset = rng.normal(0, 2, (n, 2)).astype(np.float32)
    flux = np.empty((n_star, n_aperture, 16))
    rest = np.empty((n_star, n_aperture + 3, 16), np.float32)
    sum_apertures(image, counts, 0, n_star, ptr, pixel, weight, offset, 1, flux, rest)
    for s in range(n_star):
        for a in range(n_aperture):
            at = slice(ptr[s, 0], ptr[s, a + 1])
            w, p = weight[at, a].astype(float)[:, None], pixel[at, 0]
            np.testing.assert_allclose(flux[s, a], (w * image[p]).sum(axis=0), rtol=1e-12)
            np.testing.assert_allclose(rest[s, a], (w**2 * counts[p]).sum(axis=0), rtol=1e-5)
            if a == 1:
                for k in range(2):
                    moment = (w * offset[at, k : k + 1] * image[p]).sum(axis=0)
                    np.testing.assert_allclose(rest[s, n_aperture + k], moment, rtol=1e-4, atol=1e-2)
        every = pixel[ptr[s, 0] : ptr[s, 3], 0]
        with np.errstate(invalid="ignore"):
            peak = np.fmax.reduce(counts[every], axis=0, initial=-np.inf)
        np.testing.assert_array_equal(rest[s, n_aperture + 2], peak)
    # The bad pixel lies in star 7's outermost level only: the smaller apertures do not know of it.
    assert np.isnan(flux[7, 2, 2])
    if not np.any(pixel[ptr[7, 0] : ptr[7, 2], 0] == 5):
        assert np.isfinite(flux[7, :2]).all()
