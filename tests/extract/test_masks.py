"""The stars' own masks in the one pass: against sums written out, in one tile and in many, and where none can be made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.extract.scenes import (
    COL0,
    GEOMETRY,
    N_COL,
    N_ROW,
    READOUT,
    ROW0,
    Scene,
    add_star,
    batches,
    moments_of,
    noisy_stamp,
    observe,
    stamp_info,
    targets_at,
)

from cuvee import extract
from cuvee.extract.masks import find_masks, saturation_flux
from cuvee.model import flags
from cuvee.model.records import FluxBlock, Neighbours, Pixels, Targets
from cuvee.photometry.noise import variance_at


def neighbours_at(col: Any, row: Any, flux: Any, series: str = "ffi") -> Neighbours:
    n = len(col)
    return Neighbours(np.full(n, series), np.arange(n), *(np.asarray(a, np.float64) for a in (col, row, flux)))


def field(scene: Scene) -> tuple[Neighbours, Targets]:
    magnitude = -2.5 * np.log10(scene.flux)
    return neighbours_at(scene.col, scene.row, scene.flux), replace(scene.targets, mag=magnitude)


def measure(scene: Scene, **params: Any) -> FluxBlock:
    near, targets = field(scene)
    some = batches(scene.frames, range(48))
    wanted = extract.ExtractParams(k2p2=True, **params)
    return extract.extract(some, moments_of(48), ("",) * 48, targets, scene.reference, wanted, neighbours=near)


@pytest.fixture(scope="module")
def masked(scene: Scene) -> FluxBlock:
    return measure(scene)


def test_fluxes_are_the_sums_written_out(scene: Scene, masked: FluxBlock) -> None:
    masks = masked.masks
    assert masks is not None
    size = np.diff(masks.ptr)
    assert (size > 0).mean() > 0.8
    for s in np.flatnonzero(size)[::7]:
        col, row = masks.of(int(s))
        for t in (0, 19, 47):
            values = np.asarray(scene.frames[t], np.float64)[row - ROW0, col - COL0]
            sky, sky_err = (float(masked.planes[name][s, t]) for name in ("background", "background_err"))
            assert masked.planes["mask_flux"][s, t] == pytest.approx(values.sum() - size[s] * sky, rel=1e-6, abs=0.05)
            read = variance_at(scene.col[s : s + 1], READOUT)[0]
            variance = values.sum() / READOUT.exposure + size[s] * read + (size[s] * sky_err) ** 2
            assert masked.planes["mask_flux_err"][s, t] == pytest.approx(np.sqrt(variance), rel=1e-5)


def test_nothing_else_changes(scene: Scene, masked: FluxBlock) -> None:
    plain = scene.extract()
    assert plain.masks is None
    for name, plane in plain.planes.items():
        if name != "flag":
            np.testing.assert_array_equal(masked.planes[name], plane)
    added = masked.planes["flag"] ^ plain.planes["flag"]
    assert set(np.unique(added)) <= {0, flags.NO_MASK, flags.SATURATED}


def test_a_star_without_a_mask_says_so(masked: FluxBlock) -> None:
    assert masked.masks is not None
    none = np.diff(masked.masks.ptr) == 0
    assert none.any()
    assert np.isnan(masked.planes["mask_flux"][none]).all()
    assert (masked.planes["flag"][none] & flags.NO_MASK).all()
    assert np.isfinite(masked.planes["mask_flux"][~none]).all()
    assert not (masked.planes["flag"][~none] & flags.NO_MASK).any()


def test_masks_that_lie_in_many_tiles_are_summed_whole(scene: Scene) -> None:
    """Tiles of 16 rows and 128 columns against one tile for all; the background is another, too, and is put back."""
    sums = []
    for size in (256, 16):
        block = measure(scene, mesh_size=size)
        assert block.masks is not None
        sums.append(block.planes["mask_flux"] + np.diff(block.masks.ptr)[:, None] * block.planes["background"])
    assert np.isfinite(sums[0]).any()
    np.testing.assert_allclose(sums[0], sums[1], rtol=2e-6)


def test_a_mask_follows_the_light_and_the_light_is_the_stars(scene: Scene, masked: FluxBlock) -> None:
    assert masked.masks is not None
    bright = scene.alone() & (scene.flux > 1000.0)
    measured = np.median(masked.planes["mask_flux"][bright], axis=1)
    np.testing.assert_allclose(measured, scene.flux[bright], rtol=0.05)
    np.testing.assert_allclose(masked.masks.crowding[bright], 1.0, atol=0.02)


def test_only_stars_to_the_limit_have_masks(scene: Scene) -> None:
    block = measure(scene, k2p2_limit=-2.5 * np.log10(2000.0))
    assert block.masks is not None
    assert not np.diff(block.masks.ptr)[scene.flux < 2000.0].any()
    assert np.diff(block.masks.ptr)[scene.alone() & (scene.flux > 2000.0)].all()


def stamp(cube: NDArray[Any], near: Neighbours, targets: Targets, **params: Any) -> FluxBlock:
    info = stamp_info((cube.shape[1], cube.shape[2]), cube.shape[0])
    wanted = extract.ExtractParams(k2p2=True, **params)
    return extract.extract_series(Pixels(cube, ""), info, targets, wanted, None, near)


def one_star(n: int = 100, flux: float = 3000.0) -> tuple[NDArray[Any], Neighbours, Targets]:
    cube = noisy_stamp(np.random.default_rng(7), n, flux)
    place = [COL0 + 5.2], [ROW0 + 4.9]
    return cube, neighbours_at(*place, [flux], "stamp"), targets_at(*place, "stamp")


def test_a_mask_in_a_stamp_is_a_sum_of_its_pixels() -> None:
    cube, near, targets = one_star()
    block = stamp(cube, near, targets)
    assert block.masks is not None
    col, row = block.masks.of(0)
    assert col.size >= 9
    sums = cube.astype(np.float64)[:, row - ROW0, col - COL0].sum(axis=1)
    expected = sums - col.size * block.planes["background"][0].astype(np.float64)
    np.testing.assert_allclose(block.planes["mask_flux"][0], expected, rtol=1e-6)
    assert not block.masks.clipped[0]
    assert np.median(block.planes["mask_flux"]) == pytest.approx(3000.0, rel=0.03)


def test_a_nan_pixel_in_the_mask_is_told() -> None:
    cube, near, targets = one_star()
    cube[3, 5, 5] = np.nan
    block = stamp(cube, near, targets)
    assert np.flatnonzero(np.isnan(block.planes["mask_flux"][0])).tolist() == [3]
    assert block.planes["flag"][0, 3] & flags.NAN_PIXEL


def test_an_empty_stamp_gives_no_mask() -> None:
    rng = np.random.default_rng(8)
    cube = observe(rng, np.full((60, 11, 11), 120.0))
    near, targets = (
        neighbours_at([COL0 + 5.0], [ROW0 + 5.0], [3.0], "stamp"),
        targets_at([COL0 + 5.0], [ROW0 + 5.0], "stamp"),
    )
    # Whatever noise stands out, the star has not got a mask with light in it.
    block = stamp(cube, near, targets)
    assert (block.planes["flag"] & flags.NO_MASK).all() or np.abs(np.median(block.planes["mask_flux"])) < 5.0
    flat = stamp(np.full((20, 11, 11), 120.0, ">f4"), near, targets)
    assert (flat.planes["flag"] & flags.NO_MASK).all()
    assert np.isnan(flat.planes["mask_flux"]).all()
    assert flat.masks is not None
    assert flat.masks.col.size == 0


def test_no_pixel_is_a_number() -> None:
    _, near, targets = one_star()
    block = stamp(np.full((5, 11, 11), np.nan, ">f4"), near, targets)
    assert (block.planes["flag"] & flags.NO_MASK).all()


def test_of_two_stars_at_one_place_one_has_the_mask() -> None:
    cube, _, _ = one_star()
    place = [COL0 + 5.2] * 2, [ROW0 + 4.9] * 2
    targets = targets_at(*place, "stamp")
    for flux, winner in (([1000.0, 2000.0], 1), ([2000.0, 1000.0], 0), ([1500.0, 1500.0], 0)):
        block = stamp(cube, neighbours_at(*place, flux, "stamp"), targets)
        assert block.masks is not None
        assert np.flatnonzero(np.diff(block.masks.ptr)).tolist() == [winner]
        assert block.masks.crowding[winner] == pytest.approx(max(flux) / sum(flux))


def test_a_star_at_the_edge_has_a_clipped_mask() -> None:
    clean = np.zeros((11, 11))
    add_star(clean, 0.3, 5.0, 3000.0)
    cube = observe(np.random.default_rng(9), np.tile(clean + 100.0, (60, 1, 1))).astype(">f4")
    place = [COL0 + 0.3], [ROW0 + 5.0]
    block = stamp(cube, neighbours_at(*place, [3000.0], "stamp"), targets_at(*place, "stamp"))
    assert block.masks is not None
    assert block.masks.clipped[0]
    assert np.isfinite(block.planes["mask_flux"]).all()


def test_everything_is_saturated() -> None:
    cube = np.full((20, 11, 11), 2.0 * READOUT.saturation, ">f4")
    _, near, targets = one_star()
    block = stamp(cube, replace(near, flux=np.array([1e8])), targets)
    assert np.isnan(block.planes["mask_flux"]).all()
    assert (block.planes["flag"] & flags.NO_MASK).all()


def test_a_mask_follows_a_bled_column_as_far_as_it_goes() -> None:
    image = np.full((400, 300), 100.0) + np.random.default_rng(10).standard_normal((400, 300))
    add_star(image, 150.0, 200.0, 1e6, 2.0)
    image[60:350, 150] = 2e4
    near = neighbours_at([150.0, 40.0], [200.0, 40.0], [3.0 * saturation_flux(READOUT), 500.0])
    add_star(image, 40.0, 40.0, 500.0)
    geometry = replace(GEOMETRY, n_row=400, n_col=300, row0=0, col0=0)
    masks = find_masks(image, geometry, READOUT, near, np.array([0, 1]), np.ones(2, bool), 64)
    col, row = masks.of(0)
    assert set(range(60, 350)) <= set(row[col == 150].tolist())
    assert masks.of(1)[0].size
    assert not masks.clipped.any()


def test_a_star_that_the_neighbours_lack_has_no_mask() -> None:
    cube, near, targets = one_star()
    block = stamp(cube, near.of("another"), targets)
    assert (block.planes["flag"] & flags.NO_MASK).all()


def test_a_big_cutout_has_masks_too(scene: Scene) -> None:
    cube = np.stack(scene.frames)
    info = replace(stamp_info((N_ROW, N_COL), 48), geometry=GEOMETRY)
    near, targets = field(scene)
    block = extract.extract_series(
        Pixels(cube, ""), info, replace(targets, series=np.full(150, "stamp")), extract.ExtractParams(k2p2=True, halo=True),
        None, near,
    )  # fmt: skip
    assert block.masks is not None
    assert np.isfinite(block.planes["mask_flux"]).any()
    assert (block.planes["flag"] & flags.NO_HALO).all()
