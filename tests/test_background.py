"""Choosing clean pixels, carrying a mesh to stars, and the faintest third of a stamp."""

import numpy as np
import pytest

from cuvee import background
from cuvee.background.layout import cell_position


@pytest.mark.parametrize("n", [3, 4, 7])
def test_cubic_rows_reproduce_parabolas(n: int) -> None:
    nodes = np.arange(n, dtype=float)
    at = np.linspace(-0.6, n - 0.4, 61)
    node, weight = background.cubic_rows(at, n)
    assert node.min() >= 0
    assert node.max() < n
    parabola = 1.0 + 2.0 * nodes - 0.7 * nodes**2
    np.testing.assert_allclose((weight * parabola[node]).sum(axis=1), 1.0 + 2.0 * at - 0.7 * at**2, atol=1e-12)


def test_cubic_rows_on_short_lines() -> None:
    at = np.array([-0.5, 0.0, 0.4, 1.5, np.nan])
    node, weight = background.cubic_rows(at, 1)
    np.testing.assert_allclose((weight * np.array([5.0])[node]).sum(axis=1), 5.0)
    node, weight = background.cubic_rows(at[:4], 2)
    np.testing.assert_allclose((weight * np.array([5.0, 7.0])[node]).sum(axis=1), 5.0 + 2.0 * at[:4], atol=1e-12)


@pytest.mark.parametrize("shape", [(2048, 2048), (128, 173), (300, 65), (20, 5), (1, 1)])
def test_tiles_cover_the_image_once(shape: tuple[int, int]) -> None:
    layout = background.tiles(shape, 64, 10)
    row, col = (v.ravel() for v in np.mgrid[: shape[0] : 3, : shape[1] : 3])
    tile = layout.of(col.astype(float), row.astype(float))
    row0, row1, col0, col1 = layout.outer[tile].T
    assert np.all((np.maximum(row - 10, 0) >= row0) & (np.minimum(row + 11, shape[0]) <= row1))
    assert np.all((np.maximum(col - 10, 0) >= col0) & (np.minimum(col + 11, shape[1]) <= col1))
    assert np.all(layout.outer[:, 3] - layout.outer[:, 2] >= min(16, shape[1]))
    outside = layout.of(np.array([-9.0, 1e5, np.nan]), np.array([-9.0, 1e5, 0.0]))
    assert outside.tolist() == [0, layout.outer.shape[0] - 1, 0]


def _scene(rng: np.random.Generator, n_star: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, x = np.mgrid[:256, :320].astype(float)
    surface = 120.0 + 0.08 * x - 0.05 * y + 30.0 * np.exp(-((x - 90) ** 2 + (y - 60) ** 2) / 2 / 150.0**2)
    stars = np.zeros_like(surface)
    for sx, sy, f in zip(
        rng.uniform(0, 320, n_star), rng.uniform(0, 256, n_star), 10 ** rng.uniform(1.5, 4, n_star), strict=True
    ):
        near = (slice(max(int(sy) - 9, 0), int(sy) + 10), slice(max(int(sx) - 9, 0), int(sx) + 10))
        stars[near] += f / (2 * np.pi * 0.8**2) * np.exp(-((x[near] - sx) ** 2 + (y[near] - sy) ** 2) / 2 / 0.8**2)
    return surface, stars, surface + stars


def test_clean_pixels_lie_under_no_star() -> None:
    rng = np.random.default_rng(41)
    _, stars, image = _scene(rng, 150)
    image = (image + rng.normal(0, 0.1, image.shape)).astype(np.float32)
    image[100:110, 50:60] = np.nan
    clean = background.clean_pixels(image, background.tiles(image.shape, 64, 10))
    assert not clean[100:110, 50:60].any()
    assert stars[clean].max() < 1.5
    assert np.abs(stars[clean]).mean() < 0.05
    assert clean.mean() > 0.4


def test_mesh_rows_and_pixels_recover_a_surface() -> None:
    from cuvee.kernels import cells, robust

    rng = np.random.default_rng(42)
    surface, _, image = _scene(rng, 150)
    image = image.astype(np.float32)
    layout = background.tiles(image.shape, 64, 10)
    col, row = rng.uniform(0, 319, 500), rng.uniform(0, 255, 500)
    mesh = background.mesh(background.clean_pixels(image, layout), image, layout, col, row)
    n_cell = mesh.grid.size
    cell, error = np.empty((2, n_cell, 16), np.float32)
    for t, (row0, row1, col0, col1) in enumerate(layout.outer):
        lanes = np.repeat(image[row0:row1, col0:col1].reshape(-1, 1), 16, axis=1)
        robust.clipped_mean(
            lanes, int(mesh.of_tile[t]), int(mesh.of_tile[t + 1]), mesh.ptr, mesh.pixel, mesh.base, 3.0, 4, 10,
            np.empty((6, 16), np.float32), cell, error,
        )  # fmt: skip
    grid, grid_err = np.empty((2, *mesh.shape, 16), np.float32)
    grid.reshape(-1, 16)[mesh.grid], grid_err.reshape(-1, 16)[mesh.grid] = cell, error
    cells.fill_cells(grid, grid_err, mesh.shift, mesh.still)
    level, level_err = np.empty((2, 500, 16), np.float32)
    cells.interpolate(grid.reshape(-1, 16), grid_err.reshape(-1, 16), mesh.cell, mesh.weight, level, level_err)
    truth = surface[np.rint(row).astype(int), np.rint(col).astype(int)]
    middle = (col > 40) & (col < 280) & (row > 40) & (row < 216)
    assert np.abs(level[:, 0] - truth)[middle].mean() < 0.25
    assert np.abs(level[:, 0] - truth).max() < 2.0
    np.testing.assert_allclose(mesh.weight.sum(axis=1), 1.0, atol=1e-5)


def test_cell_positions() -> None:
    edges = np.array([0, 10, 20, 30])
    np.testing.assert_allclose(cell_position(np.array([4.5, 14.5, 29.5]), edges), [0.0, 1.0, 2.5])


def test_faint_third_is_the_clipped_median_of_the_faintest() -> None:
    rng = np.random.default_rng(43)
    image = 3.0 * np.arange(99, dtype=float).reshape(9, 11)
    rng.shuffle(image.ravel())
    glow = 20.0 * np.sin(np.arange(500) / 30.0)
    flux = 50.0 + image + glow[:, None, None] + rng.normal(0, 2.0, (500, 9, 11))
    flux[7, image == 12.0] = 1e5
    flux[8, image == 15.0] = np.nan
    flux[9] = np.nan
    level, error = background.faint_third(flux.astype(">f4"), image)
    good = np.delete(np.arange(500), 9)
    off = level - (50.0 + np.median(3.0 * np.arange(33)) + glow)
    assert np.isnan(level[9])
    assert np.isnan(error[9])
    assert abs(off[good].mean()) < 4 * error[good].mean() / np.sqrt(499)
    # The image's own structure, a hundred times the noise of the median, does not enter the error.
    assert np.std(off[good]) == pytest.approx(np.mean(error[good]), rel=0.12)
    assert np.abs(off[7:9]).max() < 2.0


def test_faint_third_of_too_few_pixels_is_nan() -> None:
    for shape in ((1, 1), (2, 4)):
        level, error = background.faint_third(np.ones((5, *shape), np.float32), np.ones(shape))
        assert np.isnan(level).all()
        assert np.isnan(error).all()
    level, _ = background.faint_third(np.ones((5, 3, 3), np.float32), np.ones((3, 3)))
    np.testing.assert_array_equal(level, 1.0)
