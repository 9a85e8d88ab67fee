"""Halo photometry: against a linear programme, a grid, finite differences, injected transits and a real saturated star."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy import optimize

from cuvee.errors import AlgorithmError
from cuvee.kernels.halo import least_variation, variation
from cuvee.metrics import point_to_point_scatter
from cuvee.photometry.halo import Halo, HaloParams, find_split, halo, saturated_pixels

FloatArray = NDArray[np.float64]
FULL_WELL = 1e5
EXPOSURE = 1425.6
DEPTH = 0.01
N_FRAME = 500
SIZE = 21


def spill(images: FloatArray) -> FloatArray:
    """Let what is above the full well run up and down its column; the charge is conserved within the stamp."""
    over = np.maximum(images - FULL_WELL, 0.0)
    images = np.minimum(images, FULL_WELL)
    for rows in (range(SIZE), range(SIZE - 1, -1, -1)):
        carried = np.zeros(images[:, 0].shape)
        for r in rows:
            images[:, r] += carried
            carried = np.maximum(images[:, r] - FULL_WELL, 0.0) + 0.5 * over[:, r]
            images[:, r] = np.minimum(images[:, r], FULL_WELL)
    return images


def saturated_star(
    seed: int, light: FloatArray, total: float = 3e6, jitter: float = 0.02
) -> tuple[FloatArray, FloatArray]:
    """Stamps of a star in a Moffat profile that wanders and shakes; the noise is that of its photons."""
    rng = np.random.default_rng(seed)
    n = light.size
    phase = np.linspace(0.0, 1.0, n)
    x = 10.1 + 0.1 * np.sin(9.0 * phase) + jitter * rng.standard_normal(n)
    y = 9.8 + 0.1 * np.cos(7.0 * phase) + jitter * rng.standard_normal(n)
    sub = np.arange(-0.5 + 1 / 6, SIZE - 0.5, 1 / 3)
    r2 = (sub[None, :, None] - y[:, None, None]) ** 2 + (sub[None, None, :] - x[:, None, None]) ** 2
    profile = (1.0 + r2 / 1.5**2) ** -2.0 / (np.pi * 1.5**2)
    pixels = profile.reshape(n, SIZE, 3, SIZE, 3).mean(axis=(2, 4))
    images = spill(total * light[:, None, None] * pixels)
    error = np.sqrt((images + 100.0) / EXPOSURE)
    return images + error * rng.standard_normal(images.shape), error


def transit(n: int = N_FRAME) -> FloatArray:
    light = np.ones(n)
    light[int(0.2 * n) : int(0.26 * n)] -= DEPTH
    light[int(0.7 * n) : int(0.76 * n)] -= DEPTH
    return light


def measure(flux: FloatArray, error: FloatArray, **options: object) -> Halo:
    n = flux.shape[0]
    return halo(flux, error, np.arange(n) / 48.0, np.ones(n, np.bool_), **options)  # type: ignore[arg-type]


def line(pixels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A stamp of one row of pixels, and errors of one."""
    return pixels[:, None, :], np.ones_like(pixels)[:, None, :]


def drifting(seed: int, n_frame: int, n_pixel: int) -> FloatArray:
    """Pixels that share the drift of a star and hold its noise, n_frame x n_pixel, none of them alike."""
    rng = np.random.default_rng(seed)
    motion = rng.standard_normal((n_frame, 2)).cumsum(axis=0) / 10
    tilt = 0.05 * rng.standard_normal((2, n_pixel))
    mean = 10 ** rng.uniform(2.0, 4.0, n_pixel)
    return mean * (1 + motion @ tilt) + np.sqrt(mean) * rng.standard_normal((n_frame, n_pixel))


def total_variation(pixels: FloatArray, weights: FloatArray, order: int = 1) -> float:
    f = pixels @ weights
    return float(np.abs(np.diff(f, n=order)).sum() / f.mean())


def least_by_linear_programme(pixels: FloatArray, order: int = 1) -> float:
    """Least sum of abs(f_t+1 - f_t) for w >= 0 and mean(f) = 1: bounds u_t >= +-(f_t+1 - f_t) make it linear."""
    step = np.diff(pixels, n=order, axis=0)
    n_step, n_pixel = step.shape
    eye = np.eye(n_step)
    answer = optimize.linprog(
        np.r_[np.zeros(n_pixel), np.ones(n_step)],
        A_ub=np.block([[step, -eye], [-step, -eye]]),
        b_ub=np.zeros(2 * n_step),
        A_eq=np.r_[pixels.mean(axis=0), np.zeros(n_step)][None],
        b_eq=[1.0],
    )
    assert answer.status == 0
    return float(answer.fun)


@pytest.mark.parametrize(("total", "left_out"), [(3e6, (10, 80)), (2e7, (80, 200))])
def test_transits_of_a_saturated_star_that_shakes(total: float, left_out: tuple[int, int]) -> None:
    light = transit()
    flux, error = saturated_star(1, light, total)
    found = measure(flux, error)
    # The core is left out, the bleeding columns with it.
    assert left_out[0] < found.saturated.sum() < left_out[1]
    assert found.saturated[flux.mean(axis=0) > 0.6 * FULL_WELL].all()
    outside = light == 1.0
    plain = flux[:, ~found.saturated].sum(axis=1)

    def scatter(curve: FloatArray) -> float:
        return float((curve / light).std() / (curve / light).mean())

    def depth(curve: FloatArray) -> float:
        return float(1.0 - np.mean(curve[~outside]) / np.mean(curve[outside]))

    assert depth(found.flux) == pytest.approx(DEPTH, rel=0.02)
    assert scatter(plain) > 25 * scatter(found.flux)
    # What its photons alone would do, and a little that no weights can hold still.
    assert scatter(found.flux) < 1.7 * np.mean(found.flux_err / found.flux)
    if total > 1e7:  # the charge runs out of the stamp, and with it much of the transit
        assert depth(flux.sum(axis=(1, 2))) < 0.5 * DEPTH


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("seed", [2, 3])
def test_no_weights_vary_less(seed: int, order: int) -> None:
    pixels = drifting(seed, 150, 40)
    found = measure(*line(pixels), params=HaloParams(order=order))
    least = least_by_linear_programme(pixels, order)
    assert found.after[0] == pytest.approx(total_variation(pixels, found.weights.ravel(), order), rel=1e-9)
    assert least * (1 - 1e-9) <= found.after[0] <= least * 1.03
    assert found.before[0] == pytest.approx(total_variation(pixels, np.ones(40), order), rel=1e-9)


def test_three_pixels_against_a_grid() -> None:
    rng = np.random.default_rng(4)
    motion = 0.1 * rng.standard_normal((60, 2)).cumsum(axis=0)
    # Shares of 0.3, 0.5 and 0.2 of the light would take the motion out altogether, were there no noise.
    tilt = 0.05 * np.array([[1.0, 0.2, -2.0], [0.4, -0.6, 0.9]])
    pixels = np.array([4e3, 9e3, 2e3]) * (1 + motion @ tilt + 2e-3 * rng.standard_normal((60, 3)))
    found = measure(*line(pixels), params=HaloParams(min_pixels=3))
    a, b = np.meshgrid(np.linspace(0, 1, 201), np.linspace(0, 1, 201))
    inside = a + b <= 1
    share = np.stack([a[inside], b[inside], (1 - a - b)[inside]])
    f = (pixels / pixels.mean(axis=0)) @ share
    values = np.abs(np.diff(f, axis=0)).sum(axis=0)
    assert found.after[0] <= values.min() * 1.03
    mine = found.weights.ravel() * pixels.mean(axis=0)
    assert mine / mine.sum() == pytest.approx(share[:, values.argmin()], abs=0.02)
    assert mine / mine.sum() == pytest.approx([0.3, 0.5, 0.2], abs=0.05)


@pytest.mark.parametrize("n_step", [1, 4, 11])
@pytest.mark.parametrize("softening", [1e-4, 1e-2])
def test_gradient_is_that_of_finite_differences(n_step: int, softening: float) -> None:
    rng = np.random.default_rng(5)
    step, weight = 0.01 * rng.standard_normal((6, n_step)), rng.uniform(0.0, 1.0, 6)
    weight[2] = 0.0
    value, gradient = variation(step, weight, softening)
    assert value == pytest.approx(np.sqrt((weight @ step) ** 2 + softening**2).sum(), rel=1e-13)
    for p in range(6):
        h = 1e-6 * np.eye(6)[p]
        slope = (variation(step, weight + h, softening)[0] - variation(step, weight - h, softening)[0]) / 2e-6
        assert gradient[p] == pytest.approx(slope, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize(("n_step", "n_pixel"), [(120, 30), (40, 60)])
def test_search_ends_where_another_does(n_step: int, n_pixel: int) -> None:
    pixels = drifting(17, n_step + 1, n_pixel)
    pixels /= pixels.mean(axis=0) * n_pixel
    step, mean = np.ascontiguousarray(np.diff(pixels, axis=0).T), np.full(n_pixel, 1.0 / n_pixel)
    unit = float(np.abs(step.sum(axis=0)).sum())
    softening = 0.3 * unit / n_step

    def objective(w: FloatArray) -> tuple[float, FloatArray]:
        jump, off = w @ step, w @ mean - 1.0
        size = np.hypot(jump, softening)
        return size.sum() / unit + off**2, step @ (jump / size) / unit + 2 * off * mean

    start = np.ones(n_pixel)
    found, _ = least_variation(step, mean, start, softening, unit, 1e-13, 5000)
    options = {"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-9}
    other = optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * n_pixel, options=options
    )
    assert (found >= 0).all()
    assert (found == 0).any()
    assert objective(found)[0] == pytest.approx(other.fun, rel=1e-7)
    # Where the least is: no slope along a weight that is free, none downhill into those that are nought.
    slope = objective(found)[1]
    assert np.abs(slope[found > 0]).max() < 1e-4 * np.abs(objective(start)[1]).max()
    assert slope[found == 0].min() > -1e-4 * np.abs(objective(start)[1]).max()


def test_level_weights_and_units() -> None:
    flux, error = saturated_star(6, transit(200))
    found = measure(flux, error)
    assert found.weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert (found.weights >= 0).all()
    assert not found.weights[0, found.saturated].any()
    assert found.level[0] == pytest.approx(flux.sum(axis=(1, 2)).mean(), rel=1e-12)
    assert found.flux.mean() == pytest.approx(found.level[0], rel=1e-12)
    f = (flux * found.weights[0]).sum(axis=(1, 2))
    assert found.flux / found.flux.mean() == pytest.approx(f / f.mean(), rel=1e-12)


def test_errors_are_the_scatter_of_equal_stars() -> None:
    rng = np.random.default_rng(7)
    mean = np.array([[3e3, 2e3, 5e2, 4e3], [1e3, 3e3, 2e3, 2e2], [5e2, 4e2, 3e3, 1e3]])
    flux = mean + np.sqrt(mean) * rng.standard_normal((3000, 3, 4))
    found = measure(flux, np.broadcast_to(np.sqrt(mean), flux.shape))
    assert found.flux.std() == pytest.approx(found.flux_err.mean(), rel=0.04)
    # Where nothing but photons counts, no weighting beats the plain sum.
    assert found.flux_err.mean() == pytest.approx(np.sqrt(mean.sum()), rel=0.02)


def test_centroid_follows_the_star() -> None:
    rng = np.random.default_rng(8)
    x, y = 4.0 + 0.1 * rng.standard_normal(30), 5.0 + 0.1 * rng.standard_normal(30)
    row, col = np.mgrid[:11, :9]
    shape = np.exp(-0.5 * ((col - x[:, None, None]) ** 2 + (row - y[:, None, None]) ** 2))
    flux = 1e5 * shape / shape.sum(axis=(1, 2))[:, None, None]
    found = measure(flux, np.ones_like(flux))
    assert found.centroid == pytest.approx(np.stack([x, y], axis=1), abs=2e-3)


def test_parts_are_weighted_apart() -> None:
    first, second = saturated_star(9, np.ones(120)), saturated_star(10, np.full(120, 1.01), jitter=0.05)
    flux, error = (np.concatenate(pair) for pair in zip(first, second, strict=True))
    time = np.arange(240) / 48.0
    good = np.ones(240, np.bool_)
    saturated = saturated_pixels(flux.mean(axis=0), 5e4, 1)
    both = halo(flux, error, time, good, saturated, splits=[time[120]])
    assert both.splits.tolist() == [time[120]]
    assert both.part.tolist() == [0] * 120 + [1] * 120
    for k, (stamp, noise) in enumerate([first, second]):
        alone = measure(stamp, noise, saturated=saturated)
        np.testing.assert_array_equal(both.weights[k], alone.weights[0])
        np.testing.assert_array_equal(both.flux[both.part == k], alone.flux)
        assert (both.before[k], both.after[k], both.level[k]) == (alone.before[0], alone.after[0], alone.level[0])
    # The step between the parts is that of the star, as far as the stamp holds its light.
    assert both.level[1] / both.level[0] == pytest.approx(1.01, abs=5e-4)


def test_splits_that_part_nothing_are_passed_over() -> None:
    flux, error = line(drifting(11, 60, 12))
    whole = measure(flux, error, splits=[])
    time, good = np.arange(60) / 48.0, np.ones(60, np.bool_)
    good[20:30] = False
    # Before the first frame, after the last, and three between the same good frames, one of them twice.
    found = halo(flux, error, time, good, splits=[-1.0, 99.0, time[22], time[25], time[25], time[28]])
    assert found.splits.tolist() == [time[22]]
    assert measure(flux, error, splits=[-1.0, 0.0, 99.0]).flux.tobytes() == whole.flux.tobytes()
    with pytest.raises(AlgorithmError, match=r"Part 2 of 2 .* 5 good frames") as error_info:
        halo(flux, error, time, np.ones(60, np.bool_), splits=[time[55]])
    assert error_info.value.numbers == {"n_part": 2, "part": 1, "n_frame": 5}


def test_one_gap_in_the_middle_splits() -> None:
    time = np.concatenate([np.arange(0.0, 13.0, 0.02), np.arange(14.1, 27.0, 0.02)])
    assert find_split(time, 0.5) == pytest.approx([0.5 * (12.98 + 14.1)])
    assert find_split(time, 2.0).size == 0
    early = np.concatenate([np.arange(0.0, 5.0, 0.02), np.arange(6.0, 27.0, 0.02)])
    assert find_split(early, 0.5).size == 0
    assert find_split(np.array([1.0]), 0.5).size == 0
    pixels = drifting(12, time.size, 12)
    flux, error = line(pixels)
    found = halo(flux, error, time, np.ones(time.size, np.bool_))
    assert found.weights.shape == (2, 1, 12)
    assert (found.part == (time > 13.5)).all()
    assert np.isfinite(found.flux).all()


def test_what_is_missing_does_little() -> None:
    flux, error = saturated_star(13, transit(200))
    whole = measure(flux, error)
    rng = np.random.default_rng(13)
    holes = flux.copy()
    holes[rng.random(flux.shape) < 0.01] = np.nan
    holes[50] = np.nan
    holes[:, 0, 0] = np.nan
    found = measure(holes, error)
    assert np.flatnonzero(np.isnan(found.flux)).tolist() == [50]
    assert np.flatnonzero(np.isnan(found.centroid).any(axis=1)).tolist() == [50]
    assert found.weights[0, 0, 0] == 0
    kept = np.arange(200) != 50
    residual = found.flux[kept] / whole.flux[kept]
    assert (residual / np.median(residual)).std() < 5e-4


def test_frames_that_are_not_good_have_no_say() -> None:
    flux, error = saturated_star(14, transit(200))
    time, good = np.arange(200) / 48.0, np.ones(200, np.bool_)
    good[[3, 40, 41, 150]] = False
    clean = halo(flux, error, time, good)
    spoilt = flux.copy()
    spoilt[~good] *= 3.0
    found = halo(spoilt, error, time, good)
    assert found.weights.tobytes() == clean.weights.tobytes()
    assert found.flux[~good] == pytest.approx(3.0 * clean.flux[~good])
    time[7] = np.nan
    found = halo(flux, error, time, good)
    assert np.flatnonzero(np.isnan(found.flux)).tolist() == [7]
    assert found.part[7] == -1


def test_a_stuck_pixel_is_no_constant_star() -> None:
    flux, error = line(drifting(15, 80, 12))
    flux[:, 0, 4] = 2e4
    assert measure(flux, error).weights[0, 0, 4] == 0


def test_a_constant_star_stays_constant() -> None:
    flux = np.broadcast_to(np.linspace(10.0, 900.0, 20).reshape(4, 5), (50, 4, 5))
    found = measure(flux, np.ones(flux.shape))
    assert found.before[0] == found.after[0] == 0
    assert found.flux == pytest.approx(np.full(50, flux[0].sum()), rel=1e-12)


@pytest.mark.parametrize(
    ("spoil", "words", "numbers"),
    [
        (lambda f: f + FULL_WELL, "49 are saturated and 0 hold light", {"n_saturated": 49, "n_lit": 0}),
        (lambda f: f - 2e4, "0 are saturated and 0 hold light", {"n_saturated": 0, "n_lit": 0}),
        (lambda f: f * np.nan, "None of 30 frames is good", {"n_frame": 30, "n_good": 30}),
        (lambda f: f[:9], "9 good frames and 10 are needed", {"n_part": 1, "n_frame": 9}),
    ],
)
def test_a_star_that_cannot_be_measured(
    spoil: Callable[[FloatArray], FloatArray], words: str, numbers: dict[str, float]
) -> None:
    flux = spoil(1e4 + np.random.default_rng(16).standard_normal((30, 7, 7)))
    with pytest.raises(AlgorithmError, match=words) as info:
        measure(flux, np.ones_like(flux))
    assert numbers.items() <= info.value.numbers.items()


def test_saturated_columns_with_their_ends() -> None:
    mean = np.full((7, 5), 100.0)
    mean[2:4, 1] = 9e4
    mean[6, 4] = 9e4
    mean[0, 0] = np.nan
    found = saturated_pixels(mean, 5e4, 2)
    expected = np.zeros((7, 5), np.bool_)
    expected[0:6, 1] = True
    expected[4:7, 4] = True
    np.testing.assert_array_equal(found, expected)


def test_a_real_saturated_star(shared_data: Path) -> None:
    name = "test-lc-tess-pimen_s1_eleanor_full-100-cadences.fits.gz"
    with fits.open(shared_data / "tess_eleanor_pimen" / name) as hdus:
        table = {c: np.asarray(hdus[1].data[c], np.float64) for c in hdus[1].columns.names}
    # eleanor's own apertures follow with this background (the sums agree to a few parts in 1000).
    flux = table["TPF"] - 1.13 * table["FLUX_BKG"][:, None, None]
    good = table["QUALITY"] == 0
    found = halo(flux, table["TPF_ERR"], table["TIME"], good)
    assert good.sum() == 86
    # 14 pixels are full (1e5 e-/s) or nearly so.
    assert found.saturated[flux.mean(axis=0) > 6e4].all()
    assert found.saturated.sum() < 25
    assert found.level[0] == pytest.approx(flux[good].sum(axis=(1, 2)).mean(), rel=1e-9)

    def scatter(curve: FloatArray) -> float:
        return float(point_to_point_scatter(curve[None, good] / np.median(curve[good]))[0])

    halo_ppm, plain_ppm, eleanor_ppm = (
        1e6 * scatter(c) for c in (found.flux, flux[:, ~found.saturated].sum(axis=1), table["RAW_FLUX"])
    )
    assert halo_ppm < plain_ppm / 3
    # These pixels hold 15 % of the light, and yet from point to point they are no noisier than eleanor's aperture. (Over
    # days they are: eleanor's pixels hold the core, whose charge all stays within the stamp of this star.)
    assert halo_ppm < eleanor_ppm
    assert halo_ppm < 1.2e6 * np.mean(found.flux_err[good] / found.flux[good])
