"""Circle and pixel: identities, photutils' and sep's exact overlaps, and brute force for annuli."""

import numpy as np
import pytest
import sep
from photutils.geometry import circular_overlap_grid

from cuvee.kernels import overlap


@pytest.mark.parametrize("radius", [0.3, 0.5, 1.0, 1.5, 2.5, 3.5, 9.0])
def test_overlap_equals_photutils_exact(radius: float) -> None:
    rng = np.random.default_rng(1)
    n = int(radius) + 2
    for dx, dy in rng.uniform(-0.5, 0.5, (40, 2)):
        ours = np.array(
            [
                [
                    overlap.rectangle_overlap(i - 0.5 - dx, i + 0.5 - dx, j - 0.5 - dy, j + 0.5 - dy, radius)
                    for i in range(-n, n + 1)
                ]
                for j in range(-n, n + 1)
            ]
        )
        edge = n + 0.5
        theirs = circular_overlap_grid(-edge - dx, edge - dx, -edge - dy, edge - dy, 2 * n + 1, 2 * n + 1, radius, 1, 1)
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
        assert ours.sum() == pytest.approx(np.pi * radius**2, rel=1e-13)


def test_overlap_of_touching_and_holding_pixels() -> None:
    assert overlap.rectangle_overlap(-9.0, 9.0, -9.0, 9.0, 2.0) == pytest.approx(4 * np.pi, rel=1e-14)
    assert overlap.rectangle_overlap(0.0, 9.0, -9.0, 9.0, 2.0) == pytest.approx(2 * np.pi, rel=1e-14)
    assert overlap.rectangle_overlap(2.0, 3.0, -0.5, 0.5, 2.0) == 0.0
    assert overlap.rectangle_overlap(-0.5, 0.5, -0.5, 0.5, 2.0) == 1.0


def _rows(col: np.ndarray, row: np.ndarray, radii: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
    from cuvee.photometry.aperture import circles

    zero = np.zeros(col.size, np.int64)
    a = circles(col, row, radii.tolist(), shape, zero, zero, np.full(col.size, shape[1]))
    return a.ptr, a.pixel[:, 0], a.weight, a.offset, a.area, a.clipped


def test_sparse_rows_equal_sep_exact() -> None:
    rng = np.random.default_rng(2)
    shape = (61, 47)
    image = rng.normal(100.0, 10.0, shape)
    col, row = rng.uniform(5, shape[1] - 6, 300), rng.uniform(5, shape[0] - 6, 300)
    radii = np.array([0.7, 2.5, 4.2])
    ptr, pixel, weight, _, area, clipped = _rows(col, row, radii, shape)
    assert not clipped.any()
    for a, radius in enumerate(radii):
        ours = [
            image.ravel()[pixel[s:e]] @ weight[s:e, a].astype(float)
            for s, e in zip(ptr[:, 0], ptr[:, a + 1], strict=True)
        ]
        theirs, _, _ = sep.sum_circle(image, col, row, radius, subpix=0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        np.testing.assert_allclose(area[:, a, 0], np.pi * radius**2, rtol=1e-12)


def test_pixels_stand_by_the_smallest_aperture_that_holds_them() -> None:
    rng = np.random.default_rng(3)
    col, row = rng.uniform(10, 20, 50), rng.uniform(10, 20, 50)
    ptr, pixel, weight, offset, area, _ = _rows(col, row, np.array([1.5, 2.5, 3.5]), (31, 31))
    for s in range(50):
        for level in range(3):
            entries = slice(ptr[s, level], ptr[s, level + 1])
            assert np.all(weight[entries, level] > 0)
            assert np.all(weight[entries, :level] == 0)
        every = slice(ptr[s, 0], ptr[s, 3])
        assert np.unique(pixel[every]).size == ptr[s, 3] - ptr[s, 0]
        np.testing.assert_allclose(offset[every, 0], pixel[every] % 31 - col[s], atol=1e-5)
        np.testing.assert_allclose(area[s, 2, 2], weight[every, 2].astype(float) @ offset[every, 0], atol=1e-4)
        np.testing.assert_allclose(area[s, 1, 1], (weight[every, 1].astype(float) ** 2).sum(), rtol=1e-6)


def test_circles_at_the_edge_and_beyond() -> None:
    col = np.array([-0.5, 3.0, -50.0, np.nan, 10.0, 10.0])
    row = np.array([10.0, 10.0, 10.0, 10.0, 2.9, 3.1])
    ptr, _, _, _, area, clipped = _rows(col, row, np.array([1.0, 3.5]), (21, 21))
    np.testing.assert_allclose(area[0, :, 0], np.pi * np.array([1.0, 3.5]) ** 2 / 2, rtol=1e-12)
    assert clipped.tolist() == [True, False, True, True, True, False]
    assert np.all(ptr[2] == ptr[2, 0])
    assert np.all(ptr[3] == ptr[3, 0])


@pytest.mark.parametrize("unknown", [0.0, 0.2, 0.95])
def test_annulus_pixels_equal_brute_force(unknown: float) -> None:
    from cuvee.background import annuli

    rng = np.random.default_rng(4)
    shape = (40, 50)
    image = rng.normal(100.0, 1.0, shape).astype(np.float32)
    clean = rng.random(shape) < 0.6
    clean[:20, :20] = False
    image[rng.random(shape) < unknown] = np.nan
    clean &= np.isfinite(image)
    col, row = rng.uniform(-8, 57, 200), rng.uniform(-8, 47, 200)
    zero = np.zeros(200, np.int64)
    found = annuli(col, row, 4.0, 7.0, clean, image, zero, zero, np.full(200, 50))
    y, x = np.mgrid[:40, :50]
    for s in range(200):
        ring = (np.hypot(x - col[s], y - row[s]) >= 4.0) & (np.hypot(x - col[s], y - row[s]) < 7.0)
        wanted = np.flatnonzero(ring & clean)
        if wanted.size < 30:
            everything = np.flatnonzero(ring)
            # NaN sorts last; a stable sort keeps such pixels in their order.
            wanted = np.sort(everything[np.argsort(image.ravel()[everything], kind="stable")][:30])
        assert np.array_equal(np.sort(found.pixel[found.ptr[s] : found.ptr[s + 1], 0]), wanted)
        base = found.base[found.ptr[s] : found.ptr[s + 1]][np.argsort(found.pixel[found.ptr[s] : found.ptr[s + 1], 0])]
        value = image.ravel()[wanted].astype(float)
        if np.isfinite(value).any():
            expected = np.nan_to_num(value - np.nanmean(value))
            np.testing.assert_allclose(base, expected, atol=2e-5)
