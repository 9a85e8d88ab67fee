"""Full frames: truth that was put in, slow references, and what must not matter."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import sep
from tests.extract.scenes import (
    AREA,
    COL0,
    GEOMETRY,
    N_COL,
    N_ROW,
    READOUT,
    ROW0,
    Scene,
    batches,
    measure_one,
    moments_of,
    targets_at,
)

from cuvee import extract
from cuvee.errors import BadData, NoWork
from cuvee.extract.frames import measure_frames
from cuvee.extract.plan import make_plan
from cuvee.model import flags
from cuvee.model.records import Batch


@pytest.mark.parametrize("background", ["mesh", "annulus"])
def test_fluxes_errors_and_centroids_come_back(scene: Scene, background: str) -> None:
    block = scene.extract(background=background)
    alone = scene.alone()
    assert alone.sum() > 20
    truth, _, _ = sep.sum_circle(scene.stars, scene.col - COL0, scene.row - ROW0, 3.5, subpix=0)
    flux, error = block.planes["aperture3_flux"], block.planes["aperture3_flux_err"]
    assert flux.dtype == np.float32
    pull = ((flux - truth[:, None]) / error)[alone]
    # Over the frames each star must scatter as its errors say; its mean may be off by the wings of fainter neighbours.
    assert np.median(np.std(pull, axis=1)) == pytest.approx(1.0, abs=0.1)
    assert abs(np.median(np.mean(pull, axis=1))) < 0.5
    middle, middle_err = block.planes["aperture2_flux"], block.planes["aperture2_flux_err"]
    pull = (middle - middle.mean(axis=1, keepdims=True)) / middle_err
    assert np.median(np.std(pull, axis=1)) == pytest.approx(1.0, abs=0.1)
    bright = alone & (scene.flux > 2000)
    for name, true in (("centroid_col", scene.col), ("centroid_row", scene.row)):
        assert np.abs(block.planes[name].mean(axis=1) - true)[bright].max() < 0.03
    level = np.array(
        [s[np.rint(scene.row - ROW0).astype(int), np.rint(scene.col - COL0).astype(int)] for s in scene.surfaces]
    ).T
    off = block.planes["background"] - level
    assert np.median(np.abs(off)) < 0.2
    assert np.median(np.std(off, axis=1) / block.planes["background_err"].mean(axis=1)) < 2.0


def test_raw_sums_agree_with_sep_exact_to_one_in_a_million(scene: Scene) -> None:
    block = scene.extract()
    level = block.planes["background"].astype(float)
    for k in (0, 17, 47):
        image = np.ascontiguousarray(scene.frames[k], dtype=np.float64)
        for a, radius in enumerate((1.5, 2.5, 3.5)):
            theirs, _, _ = sep.sum_circle(image, scene.col - COL0, scene.row - ROW0, radius, subpix=0)
            ours = block.planes[f"aperture{a + 1}_flux"][:, k] + level[:, k] * AREA[a]
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_the_default_background_is_the_one_that_scatters_less(scene: Scene) -> None:
    truth = sep.sum_circle(scene.stars, scene.col - COL0, scene.row - ROW0, 3.5, subpix=0)[0]
    scatter = {}
    for background in ("mesh", "annulus"):
        flux = scene.extract(background=background).planes["aperture3_flux"]
        scatter[background] = np.median(np.std(flux, axis=1)[truth < 1000])
    assert min(scatter, key=lambda k: float(scatter[k])) == extract.ExtractParams().background


def test_company_in_the_lanes_does_not_matter(scene: Scene) -> None:
    whole = scene.extract()
    some = [3, 4, 20, 40]
    params = extract.ExtractParams()
    few = extract.extract(
        batches([scene.frames[k] for k in some], some),
        moments_of(48),
        ("",) * 48,
        scene.targets,
        scene.reference,
        params,
    )
    others = np.setdiff1d(np.arange(48), some)
    for name, plane in few.planes.items():
        np.testing.assert_array_equal(plane[:, some], whole.planes[name][:, some], err_msg=name)
        if name == "flag":
            assert np.all(plane[:, others] & flags.NO_FRAME)
            assert not np.any(plane[:, some] & flags.NO_FRAME)
        else:
            assert np.isnan(plane[:, others]).all()


def test_byte_order_and_strides_do_not_matter(scene: Scene) -> None:
    params = extract.ExtractParams()
    native = [np.ascontiguousarray(f, np.float32) for f in scene.frames[:5]]
    read_only = [f.astype(">f8") for f in scene.frames[:5]]
    for f in read_only:
        f.flags.writeable = False
    mixed = [scene.frames[0], native[1], scene.frames[2], native[3], scene.frames[4]]
    runs = [
        extract.extract(batches(f, range(5)), moments_of(5), ("",) * 5, scene.targets, scene.reference, params).planes
        for f in (scene.frames[:5], native, read_only, mixed)
    ]
    for a, b in pairwise(runs):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_wrong_frames_and_no_stars_are_refused(scene: Scene) -> None:
    with pytest.raises(BadData, match="pixels stands among"):
        measure_one(scene.frames[0][:-1], [COL0 + 60.0], [ROW0 + 60.0], scene)
    with pytest.raises(NoWork, match="ffi"):
        extract.extract(
            iter([]),
            moments_of(1),
            ("",),
            targets_at(np.ones(1), np.ones(1), "other"),
            scene.reference,
            extract.ExtractParams(),
        )
    plan = make_plan(scene.targets, scene.reference, extract.ExtractParams())
    for places in ([1, 17], [0, 32], [-1, 3]):
        batch = Batch([scene.frames[0]] * 2, np.array(places))
        with pytest.raises(ValueError, match="lanes of their own"):
            measure_frames(plan, iter([batch]), 32, GEOMETRY, READOUT)


def test_mission_background_enters_the_noise_of_full_frames(scene: Scene) -> None:
    params = extract.ExtractParams(radii=(2.0,))
    zero, hundred = (np.full((N_ROW, N_COL), v, np.float32) for v in (0.0, 100.0))
    blocks = [
        extract.extract(
            iter([Batch([scene.frames[0]], np.array([0]), [behind])]),
            moments_of(1),
            ("",),
            scene.targets,
            scene.reference,
            params,
        ).planes
        for behind in (zero, hundred)
    ]
    np.testing.assert_array_equal(blocks[0]["aperture1_flux"], blocks[1]["aperture1_flux"])
    plan = make_plan(scene.targets, scene.reference, params)
    more = np.empty(150)
    more[plan.order] = plan.apertures.area[:, 0, 1] * 100.0 / READOUT.exposure
    gained = blocks[1]["aperture1_flux_err"][:, 0] ** 2 - blocks[0]["aperture1_flux_err"][:, 0] ** 2
    np.testing.assert_allclose(gained, more, rtol=1e-3)


def test_both_backgrounds_may_be_measured_in_one_pass(scene: Scene) -> None:
    # The benchmark does so; the mesh then has the last word.
    both = replace(
        make_plan(scene.targets, scene.reference, extract.ExtractParams()),
        annuli=make_plan(scene.targets, scene.reference, extract.ExtractParams(background="annulus")).annuli,
    )
    planes, _ = measure_frames(both, batches(scene.frames, range(48)), 48, GEOMETRY, READOUT)
    np.testing.assert_array_equal(planes[2], scene.extract().planes["aperture2_flux"])
