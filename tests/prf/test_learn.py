"""The learned PRF against the one that the frames were made with, and against the photon limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg
from tests.prf.fields import Field, light, make_field, profile

from cuvee.errors import AlgorithmError
from cuvee.prf import Learned, PrfParams, learn, monitor, stamps

LEARNED = 16
FloatArray = NDArray[np.float64]


def learned_from(field: Field, params: PrfParams, bad: NDArray[np.bool_] | None = None) -> Learned:
    frames = field.frames[:LEARNED]
    return learn(frames, field.geometry, field.readout, *field.catalogue, params, bad)


@pytest.fixture(scope="module", params=["gauss", "moffat"])
def lesson(request: pytest.FixtureRequest) -> tuple[Field, Learned]:
    kind = request.param
    field = make_field(kind, size=320, n_star=900, n_frame=LEARNED + 16, faintest=14.0, variable=0.08)
    return field, learned_from(field, PrfParams(half=5 if kind == "gauss" else 6))


def inside(field: Field, margin: float) -> NDArray[np.bool_]:
    g = field.geometry
    c, r = field.col - g.col0, field.row - g.row0
    return np.asarray((c > margin) & (c < g.n_col - margin) & (r > margin) & (r < g.n_row - margin))


def test_stars_and_pointing_are_found(lesson: tuple[Field, Learned]) -> None:
    field, learned = lesson
    truth = field.pointing[:LEARNED]
    middle = truth.mean(axis=0)
    # Beyond 0.1 px the Taylor series ends too early, for the true PRF as well.
    near = np.hypot(*(truth - middle).T) < 0.1
    assert near.sum() >= 10
    assert np.abs(learned.pointing.mean(axis=0)).max() < 1e-12
    assert (learned.pointing - (truth - middle))[near].std(axis=0).max() < 1.5e-4
    bright = inside(field, 12) & (field.flux > 3000.0)
    for found, true, shift in ((learned.col, field.col, middle[0]), (learned.row, field.row, middle[1])):
        left = (found - true - shift)[bright]
        # The catalogue is off by 0.1 px in common and 0.02 px at random.
        assert abs(np.median(left)) < 2e-3
        assert np.median(np.abs(left - np.median(left))) < 4e-4
    own = field.series[:, :LEARNED].mean(axis=1)
    # What lies outside the stamp counts to the sky: 0.1 % of the Moffat's light.
    assert np.median((learned.flux / own)[bright]) == pytest.approx(1.0, abs=1.5e-3)
    assert np.median(np.abs((learned.flux / own)[bright] - 1.0)) < 1.5e-3


def test_the_prf_is_that_of_the_frames(lesson: tuple[Field, Learned]) -> None:
    field, learned = lesson
    rng = np.random.default_rng(7)
    g = field.geometry
    col = g.col0 + rng.uniform(20, g.n_col - 20, 60)
    row = g.row0 + rng.uniform(20, g.n_row - 20, 60)
    half = learned.prf.half
    _, _, values = stamps(learned.prf, col, row)
    _, share, _ = light(field, col, row, half)
    off = values[0].reshape(60, -1) - share
    assert np.abs(off).max() < 0.006  # of the light, in any pixel; the brightest pixel has 0.3
    assert off.std() < 6e-4
    np.testing.assert_allclose(values[0].sum(axis=(1, 2)), 1.0, atol=2e-5)


def test_variable_stars_do_not_teach(lesson: tuple[Field, Learned]) -> None:
    field, learned = lesson
    wobble = field.series[learned.teachers, :LEARNED].std(axis=1) / field.flux[learned.teachers]
    bright = field.flux[learned.teachers] > 3000.0
    assert (field.series[:, :LEARNED].std(axis=1) / field.flux > 0.03).sum() > 20
    assert wobble[bright].max() < 1e-3


def rows_of(field: Field, col: FloatArray, row: FloatArray, half: int, values: Any) -> list[sparse.csr_matrix]:
    """Stamps as sparse rows over the pixels."""
    pixel, _, there = light(field, col, row, half)
    n = col.size
    start = np.arange(n + 1) * pixel.shape[1]
    shape = (n, field.geometry.n_row * field.geometry.n_col)
    return [sparse.csr_matrix(((v.reshape(n, -1) * there).ravel(), pixel.ravel(), start), shape=shape) for v in values]


def fluxes(field: Field, matrix: sparse.csr_matrix, weight: FloatArray, t: int, sky: float) -> FloatArray:
    weighted = matrix @ sparse.diags(weight)
    normal = (weighted @ matrix.T + 1e-9 * sparse.identity(matrix.shape[0])).tocsc()
    image = field.frames[t].astype(np.float64) - field.sky * sky
    return np.asarray(linalg.spsolve(normal, weighted @ image.ravel()))


def test_held_out_frames_are_measured_at_the_photon_limit(lesson: tuple[Field, Learned]) -> None:
    """Fluxes in frames that taught nothing, by a direct solve for all stars, with the learned and with the true PRF."""
    field, learned = lesson
    half = learned.prf.half
    middle = field.pointing[:LEARNED].mean(axis=0)
    weight = np.nan_to_num(1.0 / learned.variance.astype(np.float64)).ravel()
    six = rows_of(field, learned.col, learned.row, half, stamps(learned.prf, learned.col, learned.row)[2].astype(float))
    with_learned, with_true = [], []
    for t in range(LEARNED, len(field.frames)):
        dx, dy = field.pointing[t] - middle
        factors = (1.0, dx, dy, dx * dx / 2, dx * dy, dy * dy / 2)
        sky = 1.0 + 0.04 * np.sin(t)
        matrix = sum((f * m for f, m in zip(factors, six, strict=True)), start=0.0 * six[0]).tocsr()
        with_learned.append(fluxes(field, matrix, weight, t, sky))
        col, row = field.col + field.pointing[t, 0], field.row + field.pointing[t, 1]
        _, share, _ = light(field, col, row, half)
        with_true.append(fluxes(field, rows_of(field, col, row, half, [share])[0], weight, t, sky))
    limit = 1.0 / np.sqrt(np.maximum(six[0].multiply(six[0]) @ weight, 1e-300))
    constant = field.series.std(axis=1) < 1e-9 * field.flux
    use = inside(field, 12) & constant & (np.array(with_true).std(axis=0, ddof=1) < 1.6 * limit)

    def scatter(series: list[FloatArray], which: NDArray[np.bool_]) -> float:
        return float(np.median((np.array(series).std(axis=0, ddof=1) / limit)[which]))

    for faint, bright in ((300.0, 1500.0), (1500.0, 6000.0), (6000.0, 1e9)):
        which = use & (field.flux > faint) & (field.flux < bright)
        assert which.sum() > 20
        assert scatter(with_learned, which) < scatter(with_true, which) + 0.03


def test_the_monitor_sees_two_percent_of_width(lesson: tuple[Field, Learned]) -> None:
    """Stars a little wider or narrower than the PRF was learned with, on a grid, drawn without cuvee."""
    field, learned = lesson
    g, half = field.geometry, learned.prf.half
    rng = np.random.default_rng(5)
    at = np.arange(30.0, 300.0, 30.0)
    col, row = (a.ravel() + rng.uniform(-0.5, 0.5, a.size) for a in np.meshgrid(g.col0 + at, g.row0 + at))
    flux = 10 ** rng.uniform(3.0, 4.5, col.size)
    pixel, share, _ = light(field, col, row, half)
    found = []
    for stretch in (1.0, 1.02, 0.98):
        around = np.arange(-half, half + 1)
        dx = (np.rint(col)[:, None, None] + around - col[:, None, None]) / stretch
        dy = (np.rint(row)[:, None, None] + around[:, None] - row[:, None, None]) / stretch
        u, v = ((p - p0)[:, None, None] / 160.0 - 1.0 for p, p0 in ((col, g.col0), (row, g.row0)))
        wide = profile(field.kind, dx, dy, u, v) / stretch**2
        image = rng.normal(0.0, 0.3, (g.n_row, g.n_col))
        np.add.at(image.reshape(-1), pixel, (wide.reshape(share.shape) - share) * flux[:, None])
        variance = np.full(image.shape, 0.09, np.float32)
        found.append(monitor(learned.prf, image.astype(np.float32), variance, g, col, row, flux))
    same, wider, narrower = found
    assert same.n_star == 81
    assert abs(same.width) < 4.0 * same.width_error
    assert same.chi2 == pytest.approx(1.0, abs=0.2)
    assert wider.width == pytest.approx(0.02, rel=0.1)
    assert narrower.width == pytest.approx(-0.02, rel=0.1)
    assert wider.width > 20.0 * wider.width_error
    assert wider.chi2[0] > 3.0 * same.chi2[0]
    assert np.all(np.diff(wider.flux) < 0.0)


def test_too_few_stars_is_an_error_with_numbers() -> None:
    field = make_field("gauss", size=64, n_star=12, n_frame=3)
    with pytest.raises(AlgorithmError, match="stars are bright, whole and isolated") as error:
        learn(field.frames, field.geometry, field.readout, *field.catalogue)
    assert error.value.numbers["n_teacher"] < 15
    with pytest.raises(AlgorithmError, match="two or more frames"):
        learn(field.frames[:1], field.geometry, field.readout, *field.catalogue)


def test_with_a_known_prf_only_stars_and_pointing_are_learned(lesson: tuple[Field, Learned]) -> None:
    """The mission's files say what the PRF is: it comes back as it was, and the stars are where they are with it."""
    field, learned = lesson
    params = PrfParams(half=learned.prf.half)
    again = learn(field.frames[:LEARNED], field.geometry, field.readout, *field.catalogue, params, known=learned.prf)
    np.testing.assert_array_equal(again.prf.coef, learned.prf.coef)
    bright = inside(field, 12) & (field.flux > 3000.0)
    assert np.median(np.hypot(again.col - learned.col, again.row - learned.row)[bright]) < 1e-3
    assert np.median(np.abs(again.flux / learned.flux - 1.0)[bright]) < 1e-3
    assert np.abs(again.pointing - learned.pointing).max() < 1e-3
