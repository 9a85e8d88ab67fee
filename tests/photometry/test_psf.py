"""PSF photometry against a dense least-squares solution in pixel space, and against injected truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import erf

from cuvee.photometry.psf import Draw, PsfPlan, plan_psf
from cuvee.photometry.psf_solve import Lanes, judge_tile, judged_pixels, restore_disturbed, solve

HALF = 5
SIDE = 2 * HALF + 1
SIGMA = 0.8
EXPOSURE, READ = 1425.6, 0.05
NO_MARGIN = np.array([[0, 200, 0, 220]])


def profile(offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a pixel-integrated Gaussian and its two derivatives with respect to the star, along one axis."""
    c = 1.0 / (np.sqrt(2.0) * SIGMA)
    a, b = (offset - 0.5) * c, (offset + 0.5) * c

    def bell(u: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.exp(-u * u) * 2.0 / np.sqrt(np.pi))

    slope = -0.5 * (bell(b) - bell(a)) * c
    return np.stack([0.5 * (erf(b) - erf(a)), slope, 0.5 * (-2.0 * b * bell(b) + 2.0 * a * bell(a)) * c * c])


def make_stamps(col: NDArray[np.float64], row: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    corner = np.stack([np.rint(row), np.rint(col)], axis=1).astype(np.int64) - HALF
    along = np.arange(SIDE)
    x = profile(corner[:, 1:] + along - col[:, None])
    y = profile(corner[:, :1] + along - row[:, None])
    terms = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    return np.stack([y[j][:, :, None] * x[i][:, None, :] for j, i in terms]).astype(np.float32), corner


def drawing(col: NDArray[np.float64], row: NDArray[np.float64]) -> Draw:
    return lambda some, offset: make_stamps(col[some] + offset[:, 0], row[some] + offset[:, 1])


def render(
    shape: tuple[int, int], col: NDArray[np.float64], row: NDArray[np.float64], flux: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw stars by the error function over the whole image, sharing no code with the plan."""
    c = 1.0 / (np.sqrt(2.0) * SIGMA)
    edge_x, edge_y = np.arange(shape[1] + 1) - 0.5, np.arange(shape[0] + 1) - 0.5
    x = 0.5 * np.diff(erf((edge_x - col[:, None]) * c), axis=1)
    y = 0.5 * np.diff(erf((edge_y - row[:, None]) * c), axis=1)
    return np.asarray(np.einsum("s,sj,si->ji", flux, y, x, optimize=True))


@dataclass
class Scene:
    col: NDArray[np.float64]
    row: NDArray[np.float64]
    flux: NDArray[np.float64]
    frames: NDArray[np.float64]
    variance: NDArray[np.float64]
    moved: NDArray[np.float64]
    level: NDArray[np.float64]
    plan: PsfPlan


def make_scene(n: int = 350, jitter: float = 0.05, noise: bool = True, seed: int = 5, twist: float = 0.0) -> Scene:
    rng = np.random.default_rng(seed)
    shape = (200, 220)
    col, row = rng.uniform(-2.0, shape[1] + 1.0, n), rng.uniform(-2.0, shape[0] + 1.0, n)
    flux = 10.0 ** rng.uniform(1.8, 4.5, n)
    moved = rng.normal(0.0, jitter, (16, 2))
    level = rng.uniform(80.0, 120.0, 16)
    still = render(shape, col, row, flux) + 100.0
    variance = still / EXPOSURE + READ**2
    frames = []
    for lane in range(16):
        roll = twist * (lane - 7.5) / 8.0
        u, v = 2.0 * col / shape[1] - 1.0, 2.0 * row / shape[0] - 1.0
        frame = render(shape, col + moved[lane, 0] - roll * v, row + moved[lane, 1] + roll * u, flux) + level[lane]
        frames.append(frame + noise * np.sqrt(frame / EXPOSURE + READ**2) * rng.standard_normal(shape))
    outer = np.array([[0, 120, 0, 220], [80, 200, 0, 220]])
    tile = (row > 99.5).astype(np.int64)
    plan = plan_psf(
        drawing(col, row),
        np.column_stack([col, row]),
        flux,
        np.ones(n, bool),
        (1.0 / variance).astype(np.float32),
        tile,
        outer,
    )
    return Scene(col, row, flux, np.array(frames), variance, moved, level, plan)


def project(scene: Scene, frames: NDArray[np.float64]) -> Lanes:
    """Fill the lanes as the pass over pixels does, tile by tile."""
    from cuvee.kernels import star_space

    lanes = Lanes(scene.plan)
    still = np.ascontiguousarray((scene.variance - READ**2) * EXPOSURE, np.float32)
    for k, (top, bottom) in enumerate(((0, 120), (80, 200))):
        image = np.ascontiguousarray(frames[:, top:bottom].reshape(16, -1).T, np.float32)
        for rows, out, missing in (
            (scene.plan.rows, lanes.seen, lanes.missing), (scene.plan.moved, lanes.moved, lanes.moved_missing)
        ):  # fmt: skip
            where = (int(rows.of_tile[k]), int(rows.of_tile[k + 1]), rows.base, rows.width, rows.box, rows.weight)
            star_space.sum_stamps(image, *where, out)
            star_space.mend_stamps(image, np.ascontiguousarray(still[top:bottom]).ravel(), *where, out, missing)
    lanes.level[:] = scene.level
    lanes.level_err[:] = 0.0
    return lanes


def solved(scene: Scene, frames: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lanes = project(scene, frames)
    pointing = solve(scene.plan, lanes, np.ones(16, bool))
    flux = np.empty((scene.col.size, 16))
    flux[scene.plan.star] = lanes.flux
    return flux, pointing


def by_least_squares(scene: Scene, lane: int, moved: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve one frame in pixel space for given displacements, to the same second order."""
    stamp, corner = make_stamps(scene.col, scene.row)
    x, y = moved
    model = sum(
        g * part.astype(np.float64) for g, part in zip((1, x, y, x * x / 2, x * y, y * y / 2), stamp, strict=True)
    )
    shape = scene.variance.shape
    along = np.arange(SIDE)
    r, c = np.broadcast_arrays(corner[:, :1, None] + along[:, None], corner[:, 1:, None] + along)
    inside = (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
    star = np.broadcast_to(np.arange(scene.col.size)[:, None, None], r.shape)
    design = sp.csr_matrix(
        (model[inside], (r[inside] * shape[1] + c[inside], star[inside])), shape=(shape[0] * shape[1], scene.col.size)
    )
    # The weights are those of the derivative-free stamps, as in the method: normal equations of A against the moved model.
    still = sp.csr_matrix(
        (stamp[0].astype(np.float64)[inside], (r[inside] * shape[1] + c[inside], star[inside])), shape=design.shape
    )
    weight = sp.diags(1.0 / scene.variance.ravel())
    data = (scene.frames[lane] - scene.level[lane]).ravel()
    return np.asarray(sp.linalg.spsolve((still.T @ weight @ design).tocsc(), still.T @ (weight @ data)))


def test_fluxes_are_those_of_least_squares_in_pixel_space() -> None:
    scene = make_scene()
    flux, pointing = solved(scene, scene.frames)
    sigma = np.empty(scene.col.size)
    sigma[scene.plan.star] = np.sqrt(scene.plan.variance)
    seen = np.isfinite(sigma) & (sigma < 1e3)
    for lane in (0, 7):
        moved = pointing[:, :, lane]
        assert abs(moved[:, 1:]).max() < 0.01
        # One displacement for all stars, for the reference: the affine part is noise here.
        expected = by_least_squares(scene, lane, moved[:, 0])
        assert np.median(np.abs(flux[seen, lane] - expected[seen]) / sigma[seen]) < 0.02


def test_pointing_is_found_and_fluxes_have_the_errors_they_claim() -> None:
    scene = make_scene(seed=11)
    flux, pointing = solved(scene, scene.frames)
    error = pointing[:, 0].T - scene.moved
    # The bright stars' information on the displacement says how well it can be known.
    expected = 1.0 / np.sqrt(scene.plan.information[:, [0, 2]].sum(axis=0))
    assert (np.sqrt((error**2).mean(axis=0)) < 3.0 * expected + 2e-4).all()
    sigma = np.empty(scene.col.size)
    sigma[scene.plan.star] = np.sqrt(scene.plan.variance)
    inside = (scene.col > 3) & (scene.col < 216) & (scene.row > 3) & (scene.row < 196)
    pull = (flux - scene.flux[:, None]) / sigma[:, None]
    spread = np.sqrt(pull[inside].var(axis=1, ddof=1).mean())
    assert spread == pytest.approx(1.0, abs=0.04)
    assert abs(np.median(pull[inside])) < 0.1


def test_without_the_second_order_bright_stars_would_scatter_and_with_it_they_do_not() -> None:
    scene = make_scene(seed=3, noise=False)
    flux, _ = solved(scene, scene.frames)
    bright = (scene.flux > 1e4) & (scene.col > 5) & (scene.col < 214) & (scene.row > 5) & (scene.row < 194)
    relative = flux[bright] / scene.flux[bright, None] - 1.0
    photon = np.sqrt(1.0 / (scene.flux[bright] * EXPOSURE))
    assert np.median(relative.std(axis=1) / photon) < 0.3


def test_a_roll_of_the_frame_is_followed() -> None:
    scene = make_scene(seed=8, twist=0.06)
    _, pointing = solved(scene, scene.frames)
    rolls = 0.06 * (np.arange(16) - 7.5) / 8.0
    np.testing.assert_allclose(pointing[1, 1], rolls, atol=2e-3)
    np.testing.assert_allclose(pointing[0, 2], -rolls, atol=2e-3)


def test_a_missing_frame_is_zero_and_a_missing_pixel_spoils_only_its_star() -> None:
    scene = make_scene(seed=21)
    whole, _ = solved(scene, scene.frames)
    star = int(np.argmax(np.where((abs(scene.col - 110) < 60) & (abs(scene.row - 60) < 30), scene.flux, 0.0)))
    frames = scene.frames.copy()
    frames[4, int(np.rint(scene.row[star])), int(np.rint(scene.col[star]))] = np.nan
    frames[9] = np.nan
    lanes = project(scene, frames)
    there = np.arange(16) != 9
    solve(scene.plan, lanes, there)
    flux = np.empty((scene.col.size, 16))
    flux[scene.plan.star] = lanes.flux
    missing = np.empty_like(flux)
    missing[scene.plan.star] = lanes.missing
    assert (flux[:, 9] == 0.0).all()
    assert missing[star, 4] > 0.0
    assert (missing[:, there] > 0.0).any(axis=0).sum() == 1
    far = np.hypot(scene.col - scene.col[star], scene.row - scene.row[star]) > 12
    sigma = np.empty(scene.col.size)
    sigma[scene.plan.star] = np.sqrt(scene.plan.variance)
    keep = far & np.isfinite(sigma)
    assert np.abs((flux[keep] - whole[keep])[:, there] / sigma[keep, None]).max() < 0.3


def test_two_stars_at_one_place_and_one_off_the_pixels_do_no_harm() -> None:
    col, row = np.array([50.0, 50.0, 120.3, -40.0]), np.array([50.0, 50.0, 99.7, 20.0])
    flux = np.array([1e4, 1e4, 1e4, 1e4])
    variance = (
        render((200, 220), np.array([50.0, 120.3]), np.array([50.0, 99.7]), np.array([2e4, 1e4])) / EXPOSURE + 0.1
    )
    plan = plan_psf(
        drawing(col, row), np.column_stack([col, row]), flux, np.ones(4, bool), (1.0 / variance).astype(np.float32),
        np.zeros(4, np.int64), NO_MARGIN,
    )  # fmt: skip
    inverse = np.empty(4, np.int64)
    inverse[plan.star] = np.arange(4)
    assert not np.isfinite(plan.variance[inverse[3]])
    assert plan.variance[inverse[0]] > 100.0 * plan.variance[inverse[2]]
    assert plan.share[inverse[2]] == pytest.approx(1.0)
    assert plan.share[inverse[0]] == pytest.approx(0.5)


def judged(scene: Scene, frames: NDArray[np.float64]) -> tuple[Lanes, NDArray[np.int64]]:
    """Solve and judge; return the lanes and where each star stands in them."""
    lanes = project(scene, frames)
    pointing = solve(scene.plan, lanes, np.ones(16, bool))
    still = ((scene.variance - READ**2) * EXPOSURE).astype(np.float32)
    level = np.full(scene.col.size, 100.0, np.float32)
    judged = judged_pixels(scene.plan, still, (1.0 / scene.variance).astype(np.float32), level)
    for k, (top, bottom) in enumerate(((0, 120), (80, 200))):
        image = np.ascontiguousarray(frames[:, top:bottom].reshape(16, -1).T, np.float32)
        judge_tile(scene.plan, lanes, k, image, judged, pointing, EXPOSURE)
    restore_disturbed(lanes)
    place = np.empty(scene.col.size, np.int64)
    place[scene.plan.star] = np.arange(place.size)
    return lanes, place


def lonely(scene: Scene, low: float, high: float) -> int:
    """Return a star of such a flux that is far from the edge and from brighter ones."""
    col, row = scene.col, scene.row
    inside = (abs(col - 110) < 80) & (abs(row - 100) < 70) & (scene.flux > low) & (scene.flux < high)
    apart = np.hypot(col[:, None] - col, row[:, None] - row) + 1e3 * (scene.flux < 0.02 * scene.flux[:, None])
    np.fill_diagonal(apart, np.inf)
    return int(np.flatnonzero(inside)[np.argmax(apart[inside].min(axis=1))])


def test_chi2_is_one_where_the_model_is_right() -> None:
    lanes, place = judged(scene := make_scene(seed=31), scene.frames)
    inside = (abs(scene.col - 110) < 100) & (abs(scene.row - 100) < 90)
    apart = np.hypot(scene.col[:, None] - scene.col, scene.row[:, None] - scene.row) + 99.0 * np.eye(scene.col.size)
    # Brighter pixels are allowed a share of their light, fainter ones only their noise; neighbours share degrees of freedom.
    faint = inside & (scene.flux < 300.0) & (apart.min(axis=1) > 3.0)
    assert lanes.chi2[place[faint]].mean() == pytest.approx(1.0, abs=0.04)
    assert np.median(lanes.chi2[place[inside & (scene.flux > 1e4)]]) < 1.0
    assert (lanes.hits > 0).mean() < 1e-3


def test_a_sky_five_times_as_bright_leaves_chi2_and_cosmic_rays_as_they_are() -> None:
    scene = make_scene(seed=32)
    star = lonely(scene, 300.0, 3000.0)
    rng = np.random.default_rng(5)
    scene.level[:8] += 400.0
    frames = scene.frames.copy()
    frames[:8] += 400.0 + rng.normal(0.0, np.sqrt(400.0 / EXPOSURE), frames[:8].shape)
    row, col = int(np.rint(scene.row[star])), int(np.rint(scene.col[star]))
    frames[4, row + 1, col] += 900.0
    lanes, place = judged(scene, frames)
    faint = place[(abs(scene.col - 110) < 100) & (abs(scene.row - 100) < 90) & (scene.flux < 300.0)]
    faint = faint[faint != place[star]]
    assert lanes.chi2[faint, :8].mean() == pytest.approx(1.0, abs=0.04)
    assert lanes.chi2[faint, 8:].mean() == pytest.approx(1.0, abs=0.04)
    assert lanes.hits[place[star], 4] == 1
    assert (lanes.hits > 0).mean() < 1e-3


def test_a_cosmic_ray_is_taken_out_and_a_flare_stays() -> None:
    scene = make_scene(seed=32)
    star = lonely(scene, 300.0, 3000.0)
    clean, place = judged(scene, scene.frames)
    frames = scene.frames.copy()
    row, col = int(np.rint(scene.row[star])), int(np.rint(scene.col[star]))
    frames[3, row + 1, col] += 400.0
    frames[5, row, col - 1] += 150.0
    frames[5, row, col - 2] += 90.0
    flare = render(
        scene.variance.shape,
        scene.col[[star]] + scene.moved[8, 0],
        scene.row[[star]] + scene.moved[8, 1],
        scene.flux[[star]],
    )
    frames[8] += flare
    lanes, _ = judged(scene, frames)
    k = place[star]
    sigma = np.sqrt(scene.plan.variance[k])
    assert lanes.hits[k, 3] == 1
    assert lanes.hits[k, 5] in (1, 2)
    # A pixel less: the flux is a little less certain than it was.
    assert abs(lanes.flux[k, 3] - clean.flux[k, 3]) < 3.0 * sigma
    assert abs(lanes.flux[k, 5] - clean.flux[k, 5]) < 3.0 * sigma
    assert lanes.added[k, 3] > 10.0 * sigma
    assert lanes.hits[k, 8] == 0
    assert lanes.flux[k, 8] == pytest.approx(clean.flux[k, 8] + scene.flux[star], rel=0.01)
    others = np.delete(np.arange(place.size), k)
    assert (lanes.hits[others] == clean.hits[others]).mean() > 0.999


def test_a_frame_whose_stars_are_all_smeared_holds_no_cosmic_rays() -> None:
    scene = make_scene(seed=33)
    frames = scene.frames.copy()
    smeared = [render(scene.variance.shape, scene.col + dx, scene.row, scene.flux) for dx in (-0.7, 0.7)]
    frames[6] = np.mean(smeared, axis=0) + scene.level[6]
    lanes, _ = judged(scene, frames)
    clean = project(scene, frames)
    solve(scene.plan, clean, np.ones(16, bool))
    assert (lanes.chi2[:, 6] > 3.0).mean() > 0.2
    assert (lanes.hits[:, 6] == 0).all()
    np.testing.assert_allclose(lanes.flux[:, 6], clean.flux[:, 6], rtol=1e-5, atol=1e-3)


def test_frames_that_lie_far_off_are_told_and_spoil_no_others() -> None:
    scene = make_scene(seed=33)
    frames = scene.frames.copy()
    for lane, away in ((2, 0.4), (5, 1.0), (6, 3.0)):
        frames[lane] = render(scene.variance.shape, scene.col + away, scene.row, scene.flux) + scene.level[lane]
    lanes = project(scene, frames)
    pointing = solve(scene.plan, lanes, np.ones(16, bool))
    assert np.isfinite(lanes.flux).all()
    lost = lanes.missing.min(axis=0) == 1.0
    assert np.flatnonzero(lost).tolist() == [5, 6]
    assert pointing[0, 0, 2] == pytest.approx(0.4, abs=1e-3)
    usual, _ = solved(scene, scene.frames)
    flux = np.empty_like(usual)
    flux[scene.plan.star] = lanes.flux
    untouched = [0, 1, 3, 4, *range(7, 16)]
    sigma = np.sqrt(scene.plan.variance[np.argsort(scene.plan.star)])
    assert np.nanmax(np.abs(flux - usual)[:, untouched] / np.where(np.isfinite(sigma), sigma, np.nan)[:, None]) < 0.1


def test_a_transit_is_on_the_right_one_of_two_neighbours() -> None:
    """They stand 1.5 px apart, and one is two magnitudes fainter."""
    rng = np.random.default_rng(9)
    shape = (200, 220)
    n = 60
    col, row = rng.uniform(10.0, 210.0, n), rng.uniform(10.0, 190.0, n)
    flux = np.full(n, 2e4)
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    col = np.concatenate([col, col + 1.5 * np.cos(angle)])
    row = np.concatenate([row, row + 1.5 * np.sin(angle)])
    flux = np.concatenate([flux, flux / 10.0**0.8])
    depth = np.ones((2 * n, 16))
    depth[n:, 8:] = 0.9
    moved = rng.normal(0.0, 0.05, (16, 2))
    still = render(shape, col, row, flux) + 100.0
    variance = still / EXPOSURE + READ**2
    frames = []
    for lane in range(16):
        frame = render(shape, col + moved[lane, 0], row + moved[lane, 1], flux * depth[:, lane]) + 100.0
        frames.append(frame + np.sqrt(frame / EXPOSURE + READ**2) * rng.standard_normal(shape))
    outer = np.array([[0, 120, 0, 220], [80, 200, 0, 220]])
    plan = plan_psf(
        drawing(col, row), np.column_stack([col, row]), flux, np.ones(2 * n, bool), (1.0 / variance).astype(np.float32),
        (row > 99.5).astype(np.int64), outer,
    )  # fmt: skip
    scene = Scene(col, row, flux, np.array(frames), variance, moved, np.full(16, 100.0), plan)
    found, _ = solved(scene, scene.frames)
    ratio = found[:, 8:].mean(axis=1) / found[:, :8].mean(axis=1)
    # Other stars stand near some of the pairs.
    assert np.median(1.0 - ratio[n:]) == pytest.approx(0.1, rel=0.03)
    assert np.median(1.0 - ratio[:n]) == pytest.approx(0.0, abs=5e-4)
