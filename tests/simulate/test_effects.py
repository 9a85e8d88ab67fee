"""Each effect alone, as the difference from the same scene without it, against the truth that is written of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from cuvee.simulate import ffi, stray, tess
from cuvee.simulate.detector import strap_response
from cuvee.simulate.params import EFFECTS, PLAIN, Effect, SimulationParams
from cuvee.simulate.plan import Plan, draw_light, make_plan, saturated_stars
from cuvee.simulate.truth import read_truth
from cuvee.store.numbers import read_columns

SIZE, FIRST = 256, (2048 - 256) // 2
Image = NDArray[np.float64]


def _plan(*effects: Effect, frames: int = 2, stars: int = 300, seed: int = 5, **strengths: Any) -> Plan:
    params = SimulationParams(effects=frozenset(effects), **strengths)
    return make_plan(frames, stars, SIZE, 1800, seed, params)


def _image(plan: Plan, k: int = 0) -> Image:
    return draw_light(plan, k).image.astype(np.float64)


def test_effects_leave_places_and_motions_as_they_are() -> None:
    plain, full = _plan().scene, _plan(*EFFECTS).scene
    for name in ("id", "ra", "dec", "pmra", "col", "row"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(full, name))
    assert not np.array_equal(plain.mag, full.mag)  # brighter ones, which saturate
    assert SimulationParams().effects == set(EFFECTS)
    assert SimulationParams(effects=frozenset()) == PLAIN


def test_straps_enhance_all_light_of_their_columns() -> None:
    plan = _plan("straps")
    excess = _image(plan) / _image(_plan()) - 1.0
    np.testing.assert_allclose(excess, np.broadcast_to(plan.strap, excess.shape), atol=3e-6)
    assert np.count_nonzero(plan.strap) >= 6
    assert plan.strap.max() == pytest.approx(0.04)


def test_straps_lie_where_a_real_image_shows_them(shared_data: Path) -> None:
    name = "tess2018206192942-s0001-1-4-0120-s_ffic.fits.gz"
    with fits.open(shared_data / "tess_ffi_crop" / name) as file:
        image = file[1].data[:, 44:].astype(np.float64)
    column = np.percentile(image, 30, axis=0)
    level = column / np.median(column) - 1.0
    strap = strap_response(0.04)[: level.size]
    bright, dark = strap > 0.03, strap == 0
    assert np.flatnonzero(strap).tolist() == [76, 77, 80, 81, 84, 85]
    assert level[bright].mean() == pytest.approx(strap[bright].mean(), abs=0.01)
    assert level[bright].min() > np.percentile(level[dark], 90)


def test_stray_light_is_as_bright_as_its_truth_and_sets_the_bits() -> None:
    plan, plain = _plan("stray-light", frames=96), _plan(frames=96)
    assert [f.quality for f in plain.frames] == [0] * 96
    for k in (0, 60, 95):
        light = draw_light(plan, k)
        added = light.image.astype(np.float64) - _image(plain, k)
        assert added.mean() == pytest.approx(light.stray, abs=1e-3)
        # Smooth: no pixel differs from its neighbours by a hundredth of it.
        assert np.abs(np.diff(added, axis=0)).max() <= 0.01 * max(light.stray, 0.01)
        level = sum(p.level for p in stray.patches(plan.params, plan.day(k)))
        assert bool(plan.frames[k].quality & 2048) is (level >= 15)
        assert bool(plan.frames[k].quality & 4096) is (level >= 150)
    assert {f.quality for f in plan.frames} == {0, 2048, 2048 | 4096}


def test_the_mean_of_a_patch_over_the_detector_is_its_level() -> None:
    image = np.zeros((2048, 2048), dtype=np.float32)
    light = stray.patches(SimulationParams(), 2.0)
    stray.add_patches(image, 0, 0, light)
    assert image.mean(dtype=np.float64) == pytest.approx(sum(p.level for p in light), rel=0.01)
    assert sum(p.level for p in light) == pytest.approx(300, rel=0.05)
    # Once an orbit the Earth; the Moon once a month.
    seen = [day for day in np.arange(0, 27.3, 0.1) if stray.quality(stray.patches(SimulationParams(), day)) & 4096]
    assert 0.5 < len(seen) * 0.1 < 2.5
    assert any(stray.quality(stray.patches(SimulationParams(), day)) == 2048 for day in np.arange(4.8, 5.6, 0.1))


def test_the_corner_glows_and_more_so_in_stray_light() -> None:
    dark, lit = np.zeros((2, 2048, 2048), dtype=np.float32)
    light = (stray.Patch(stray.GLOW_DOUBLES, 0.0, 0.0, 1.0),)
    stray.add_corner_glow(dark, 0, 0, 60.0, ())
    stray.add_corner_glow(lit, 0, 0, 60.0, light)
    assert dark[0, 0] == pytest.approx(60.0, rel=1e-3)
    np.testing.assert_allclose(lit, 2.0 * dark, rtol=1e-6)
    y, x = np.mgrid[:2048, :2048]
    away = np.hypot(2047.0 - x, 2047.0 - y)
    assert dark[away < 2400].max() < 0.2
    assert np.abs(np.diff(dark[np.arange(600), np.arange(600)])).max() > 1.0
    part = np.zeros((100, 120), dtype=np.float32)
    stray.add_corner_glow(part, 30, 50, 60.0, ())
    np.testing.assert_array_equal(part, dark[50:150, 30:150])
    # The middle of the CCD, where small windows lie, does not see it.
    assert np.abs(_image(_plan("corner-glow")) - _image(_plan())).max() < 1e-4


def test_cosmic_rays_leave_the_charge_that_the_truth_says() -> None:
    plan = _plan("cosmic-rays", cosmic_ray_survivors=0.2)
    light = draw_light(plan, 1)
    added = light.image.astype(np.float64) - _image(_plan(), 1)
    rays = light.rays
    expected = 5.0 * 1800 * 0.2 * (SIZE * 15e-4) ** 2
    assert rays.col.size == pytest.approx(expected, abs=5 * np.sqrt(expected))
    # A particle that comes straight frees 8,000 electrons in 100 micrometres; slanted ones more, over more pixels.
    length = np.hypot(rays.d_col, rays.d_row)
    straight = rays.electrons[length < 2]
    assert np.median(straight) == pytest.approx(8000, rel=0.15)
    end_col, end_row = rays.col + rays.d_col, rays.row + rays.d_row
    whole = (np.minimum(end_col, end_row) > 0) & (np.maximum(end_col, end_row) < SIZE - 1)
    assert added.sum() * 1425.6 < rays.electrons.sum()
    assert added.sum() * 1425.6 > rays.electrons[whole].sum()
    i = int(np.argmax(np.where(whole, rays.electrons / (1 + length), 0)))
    assert added[round(rays.row[i]), round(rays.col[i])] > 0


def test_charge_that_bleeds_is_not_lost() -> None:
    full = draw_light(_plan("saturation", stars=1500), 0)
    endless = _image(_plan("saturation", stars=1500, full_well=1e15))
    limit = 2e5 / ffi.INT_TIME
    assert endless.max() > 3 * limit
    assert full.image.max() == np.float32(limit)
    assert full.full == np.count_nonzero(full.image >= np.float32(limit))
    assert full.image.sum(dtype=np.float64) + full.lost == pytest.approx(endless.sum(), rel=1e-6)
    # Only columns that were too full have changed, and in each the sum is the same.
    changed = np.flatnonzero(np.any(full.image != endless.astype(np.float32), axis=0))
    assert set(changed) == set(np.flatnonzero(endless.max(axis=0) > limit))


def test_the_truth_knows_which_stars_saturate() -> None:
    plan = _plan("saturation", stars=1500)
    scene, saturated = plan.scene, saturated_stars(plan)
    image = _image(plan)
    rows = np.flatnonzero((scene.mag < 9) & (np.abs(scene.col - 1023.5) < 120) & (np.abs(scene.row - 1023.5) < 120))
    assert saturated[rows].any()
    for k in rows:
        c, r = round(scene.col[k]) - FIRST, round(scene.row[k]) - FIRST
        peak = image[r - 1 : r + 2, c - 1 : c + 2].max()
        if saturated[k]:
            assert peak > 0.95e5
        elif scene.mag[k] > 7.5:
            assert peak < 1e5
    assert not saturated_stars(_plan(stars=1500)).any()


def test_an_asteroid_is_where_and_as_bright_as_the_truth_says(tmp_path: Path) -> None:
    params = SimulationParams(effects=frozenset({"asteroids"}), asteroids=1, asteroid_mag=(10.5, 10.6))
    tess.simulate(tmp_path / "sim", frames=60, stars=40, size=SIZE, seed=3, params=params)
    tracks = read_truth(tmp_path / "sim" / "truth").asteroids
    plan, plain = (make_plan(60, 40, SIZE, 1800, 3, p) for p in (params, PLAIN))
    away = np.minimum(tracks["col"], tracks["row"]) - FIRST > 12
    away &= np.maximum(tracks["col"], tracks["row"]) - FIRST < SIZE - 13
    rows = np.flatnonzero(away)
    assert rows.size > 20
    np.testing.assert_allclose(np.hypot(tracks["d_col"], tracks["d_row"]) * 48, 32.5, atol=12.6)
    y, x = np.indices((SIZE, SIZE))
    for i in rows[:: rows.size // 4]:
        k = int(tracks["frame"][i])
        added = _image(plan, k) - _image(plain, k)
        assert added.sum() == pytest.approx(tracks["flux"][i], rel=1e-3)
        assert (added * x).sum() / added.sum() + FIRST == pytest.approx(tracks["col"][i], abs=5e-3)
        assert (added * y).sum() / added.sum() + FIRST == pytest.approx(tracks["row"][i], abs=5e-3)
        # Trailed: wider along its track than across.
        u = (x + FIRST - tracks["col"][i]) * tracks["d_col"][i] + (y + FIRST - tracks["row"][i]) * tracks["d_row"][i]
        along = (added * u**2).sum() / added.sum() / (tracks["d_col"][i] ** 2 + tracks["d_row"][i] ** 2)
        length = np.hypot(tracks["d_col"][i], tracks["d_row"][i])
        assert along == pytest.approx(_image_variance() + length**2 / 12, rel=0.05)


def _image_variance() -> float:
    # Of the PRF in the middle of the field: core, wing and pixel.
    core = (1.9 / np.sqrt(8 * np.log(2))) ** 2
    return float(0.92 * core + 0.08 * 1.9**2 + 1 / 12)


def test_a_dump_moves_and_widens_the_stars_of_its_frame_and_they_come_back() -> None:
    plan = _plan("dumps", frames=200, dump_jump=1.0, jitter=0.0)
    flagged = np.flatnonzero([f.quality & 32 for f in plan.frames])
    np.testing.assert_array_equal(flagged, np.flatnonzero(plan.attitude.dump))
    # Every 2.5 days from day 0.6.
    np.testing.assert_array_equal(flagged, [28, 148])
    moved = np.hypot(*plan.attitude.rigid.T)
    assert moved[27] == 0
    assert moved[28] > 0.2
    np.testing.assert_allclose(moved[29:140] / moved[28:139], np.exp(-1 / 48 / 0.15))
    # Widths of a lonely star before and in the dump.
    alone = _plan("dumps", frames=200, stars=1, seed=11)
    k = int(
        np.argmax(
            alone.scene.flux * (np.abs(alone.scene.col - 1023.5) < 100) * (np.abs(alone.scene.row - 1023.5) < 100)
        )
    )
    c, r = round(alone.scene.col[k]) - FIRST, round(alone.scene.row[k]) - FIRST
    _, x = np.indices((19, 19))
    width = []
    for frame in (20, 28):
        bare = _plan("dumps", frames=200, stars=1, seed=11)
        box = _image(bare, frame)[r - 9 : r + 10, c - 9 : c + 10]
        box = box - np.median(np.concatenate([box[:1].ravel(), box[-1:].ravel()]))
        at = (box * x).sum() / box.sum()
        width.append((box * (x - at) ** 2).sum() / box.sum())
    assert width[1] - width[0] == pytest.approx(0.35**2, rel=0.15)


def test_halos_take_light_from_the_star_and_spread_it() -> None:
    halo, plain = _plan("halos", stars=1, seed=2), _plan(stars=1, seed=2)
    halo.scene.mag[:], halo.scene.flux[:] = 17.0, 1.0
    plain.scene.flux[:] = 1.0
    for plan in (halo, plain):
        plan.scene.mag[0], plan.scene.flux[0] = 6.0, 5e5
        plan.scene.col[0] = plan.scene.row[0] = 1023.0
    difference = _image(halo) - _image(plain)
    assert difference[127, 127] < 0
    y, x = np.indices(difference.shape)
    ring = np.hypot(x - 127, y - 127)
    level = [difference[np.abs(ring - radius) < 0.5].mean() for radius in (12, 24)]
    assert level[0] / level[1] == pytest.approx(8, rel=0.15)  # the third power of the distance
    assert abs(difference.sum()) < 0.005 * 5e5


def test_every_table_of_the_truth_is_written(tmp_path: Path) -> None:
    tess.simulate(tmp_path / "sim", frames=3, stars=400, size=SIZE, seed=4)
    folder = tmp_path / "sim" / "truth"
    truth = read_truth(folder)
    assert set(truth.stars["kind"]) == {"constant", "sinusoid", "transit", "eclipses", "pulsator", "flares"}
    assert set(truth.modes["id"]) == set(truth.stars["id"][truth.stars["kind"] == "pulsator"])
    assert set(truth.flares["id"]) == set(truth.stars["id"][truth.stars["kind"] == "flares"])
    assert truth.frames["stray"].shape == (3,)
    assert np.count_nonzero(truth.stars["strap"]) > 0
    rays = read_columns(folder / "cosmic-rays.parquet")
    assert set(rays["frame"]) <= {0, 1, 2}
    straps = read_columns(folder / "straps.parquet")
    assert straps["col"].tolist() == list(range(FIRST, FIRST + SIZE))
    energy = 86400 * 1.827 * truth.flares["amplitude"] * truth.flares["width"]
    np.testing.assert_allclose(truth.flares["equivalent_duration"], energy, rtol=1e-3)


def test_a_plain_scene_has_empty_tables(tmp_path: Path) -> None:
    tess.simulate(tmp_path / "sim", frames=2, stars=40, size=64, params=PLAIN)
    truth = read_truth(tmp_path / "sim" / "truth")
    assert set(truth.stars["kind"]) <= {"constant", "sinusoid", "transit"}
    assert truth.modes["id"].size == truth.flares["id"].size == truth.asteroids["frame"].size == 0
    assert not truth.frames["quality"].any()
    assert not truth.frames["drift_col"].any()
