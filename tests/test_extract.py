"""The whole pass over pixels: truth that was put in, slow references, flags, and what must not matter."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sep
from astropy.io import fits
from numpy.typing import NDArray
from scipy.special import erf

from cuvee import extract
from cuvee.errors import BadData, ConfigError, NoWork
from cuvee.extract.frames import measure_frames
from cuvee.extract.plan import make_plan
from cuvee.model import flags
from cuvee.model.records import Batch, FileInfo, FluxBlock, Geometry, Moments, Pixels, Readout, Reference, Targets

READOUT = Readout(1425.6, (5.2, 5.3), (8.0, 9.0), 720, (0, 340), 2e4)
N_ROW, N_COL, ROW0, COL0 = 200, 230, 100, 200
GEOMETRY = Geometry(N_ROW, N_COL, ROW0, COL0, 2048, 2048)
AREA = np.pi * np.array([1.5, 2.5, 3.5]) ** 2


def _star(image: NDArray[Any], col: float, row: float, flux: float, sigma: float = 0.8) -> None:
    """Add a pixel-integrated Gaussian."""
    i, j = round(col), round(row)
    x, y = np.arange(max(i - 8, 0), min(i + 9, image.shape[1])), np.arange(max(j - 8, 0), min(j + 9, image.shape[0]))
    scale = 1.0 / (np.sqrt(2.0) * sigma)
    along = [0.5 * np.diff(erf((np.append(k - 0.5, k[-1] + 0.5) - c) * scale)) for k, c in ((x, col), (y, row))]
    image[y[0] : y[-1] + 1, x[0] : x[-1] + 1] += flux * np.outer(along[1], along[0])


def _surface(t: float) -> NDArray[Any]:
    y, x = np.mgrid[:N_ROW, :N_COL].astype(float)
    glow = 40.0 * np.exp(-((x + 300.0 - 50.0 * t) ** 2 + (y - 150.0) ** 2) / 2.0 / 250.0**2)
    return np.asarray(110.0 + 0.03 * x - 0.02 * y + glow)


def _observe(rng: np.random.Generator, clean: NDArray[Any]) -> NDArray[Any]:
    gain = np.where(np.arange(clean.shape[-1]) + COL0 < 340, 5.2, 5.3)
    read = np.where(np.arange(clean.shape[-1]) + COL0 < 340, 8.0, 9.0)
    variance = clean / 1425.6 + 720 * (read**2 + gain**2 / 12) / 1425.6**2
    return np.asarray(clean + np.sqrt(variance) * rng.standard_normal(clean.shape))


def _targets(col: Any, row: Any, series: str = "ffi") -> Targets:
    n = len(col)
    zero = np.zeros(n)
    return Targets(
        np.arange(n), np.arange(n), zero, zero, zero, np.full(n, series), np.asarray(col, float), np.asarray(row, float),
        np.ones((n, 3)), np.zeros(n, np.int32), (1.5, 2.5, 3.5),
    )  # fmt: skip


def _moments(n: int) -> Moments:
    t = np.arange(float(n))
    return Moments(np.arange(n), t, t + 1, np.zeros(n), np.zeros(n, np.int32))


def _batches(frames: Sequence[NDArray[Any]], places: Sequence[int]) -> Iterator[Batch]:
    """Yield batches of sixteen neighbouring places."""
    places = list(places)
    for first in range(0, max(places) + 1, 16):
        here = [k for k, place in enumerate(places) if first <= place < first + 16]
        if here:
            yield Batch([frames[k] for k in here], np.array([places[k] for k in here]))


class Scene:
    """Forty-eight noisy frames of one field, as strided big-endian views, and what is in them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(51)
        n = 150
        self.col = COL0 + rng.uniform(5, N_COL - 6, n)
        self.row = ROW0 + rng.uniform(5, N_ROW - 6, n)
        self.flux = 10 ** rng.uniform(1.5, 4.0, n)
        stars = np.zeros((N_ROW, N_COL))
        for c, r, f in zip(self.col, self.row, self.flux, strict=True):
            _star(stars, c - COL0, r - ROW0, f)
        self.stars = stars
        self.surfaces = [_surface(t / 4) for t in range(48)]
        self.frames = []
        for surface in self.surfaces:
            raw = np.zeros((N_ROW + 6, N_COL + 20), ">f4")
            raw[:N_ROW, 11 : 11 + N_COL] = _observe(rng, stars + surface)
            self.frames.append(raw[:N_ROW, 11 : 11 + N_COL])
        image = np.mean([np.asarray(f, float) for f in self.frames[:32]], axis=0).astype(np.float32)
        self.reference = Reference("ffi", GEOMETRY, image, "", 2019.0, 0.0, 0.0, ("a",), READOUT)
        self.targets = _targets(self.col, self.row)

    def extract(self, **params: Any) -> FluxBlock:
        batches = _batches(self.frames, range(48))
        return extract.extract(
            batches, _moments(48), ("",) * 48, self.targets, self.reference, extract.ExtractParams(**params)
        )

    def alone(self) -> NDArray[np.bool_]:
        """Stars without a neighbour within 12 px that is not far fainter, away from the edge."""
        away = np.hypot(self.col[:, None] - self.col, self.row[:, None] - self.row)
        near = (away < 12) & (self.flux[None, :] > 0.01 * self.flux[:, None])
        inside = (self.col > COL0 + 12) & (self.col < COL0 + N_COL - 12)
        inside &= (self.row > ROW0 + 12) & (self.row < ROW0 + N_ROW - 12)
        return np.asarray((near.sum(axis=1) == 1) & inside)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


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
        _batches([scene.frames[k] for k in some], some),
        _moments(48),
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
        extract.extract(_batches(f, range(5)), _moments(5), ("",) * 5, scene.targets, scene.reference, params).planes
        for f in (scene.frames[:5], native, read_only, mixed)
    ]
    for a, b in pairwise(runs):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def _one(frame: NDArray[Any], col: Sequence[float], row: Sequence[float], scene: Scene, **params: Any) -> FluxBlock:
    return extract.extract(
        iter([Batch([frame], np.array([0]))]), _moments(1), ("",), _targets(np.array(col), np.array(row)), scene.reference,
        extract.ExtractParams(**params),
    )  # fmt: skip


def test_a_nan_pixel_spoils_only_the_apertures_that_hold_it(scene: Scene) -> None:
    col, row = COL0 + 100.0, ROW0 + 100.0
    frame = np.array(scene.frames[0], np.float32)
    frame[100, 103] = np.nan  # 2.5 to 3.5 px away: touches only the largest aperture
    frame[100, 140] = np.inf
    frame[100, 146] = np.nan  # 4 px from the third star: in none of its apertures
    block = _one(frame, [col, col + 39, col + 50], [row, row, row], scene)
    flux = np.stack([block.planes[f"aperture{a}_flux"][:, 0] for a in (1, 2, 3)], axis=1)
    assert np.isfinite(flux).tolist() == [[True, True, False], [False, False, False], [True, True, True]]
    error = np.stack([block.planes[f"aperture{a}_flux_err"][:, 0] for a in (1, 2, 3)], axis=1)
    np.testing.assert_array_equal(np.isfinite(error), np.isfinite(flux))
    assert (block.planes["flag"][:, 0] & flags.NAN_PIXEL > 0).tolist() == [True, True, False]


def test_static_flags(scene: Scene) -> None:
    col = COL0 + np.array([100.0, 3.1, 2.9, -0.4, 100.0, 135.9, 136.1, 143.1, -9.0, np.nan])
    row = ROW0 + np.array([100.0, 60.0, 60.0, 60.0, N_ROW - 3.9, 50.0, 50.0, 50.0, 60.0, 60.0])
    block = _one(scene.frames[0], col.tolist(), row.tolist(), scene)
    flag = block.planes["flag"][:, 0]
    assert (flag & flags.EDGE > 0).tolist() == [False, False, True, True, True, False, False, False, True, True]
    assert (flag & flags.STRADDLES_OUTPUTS > 0).tolist() == [k == 6 for k in range(10)]
    assert np.isfinite(block.planes["aperture1_flux"][:8, 0]).all()
    assert np.isnan(block.planes["aperture1_flux"][8:, 0]).all()
    raw = block.planes["aperture3_flux"][3, 0] + 0.0
    image = np.ascontiguousarray(scene.frames[0], dtype=np.float64) - block.planes["background"][3, 0]
    x, y = np.meshgrid(np.arange(N_COL), np.arange(N_ROW))
    near = (np.abs(x + 0.4) < 5) & (np.abs(y - 60.0) < 5)
    # What is there of a clipped aperture: compare with a finely sampled circle.
    grid = (np.arange(50) + 0.5) / 50 - 0.5
    inside = np.array([
        np.mean(np.hypot(i + grid[:, None] + 0.4, j + grid[None, :] - 60.0) < 3.5)
        for i, j in zip(x[near], y[near], strict=True)
    ])  # fmt: skip
    assert raw == pytest.approx((image[near] * inside).sum(), rel=5e-3, abs=0.5)


def test_missing_cards_of_the_noise_model_are_said_in_every_point(scene: Scene) -> None:
    assert not np.any(scene.extract().planes["flag"] & flags.ASSUMED_READOUT)
    bare = replace(scene.reference, readout=replace(READOUT, assumed=("GAINB",)))
    batch = iter([Batch([scene.frames[0]], np.array([0]))])
    block = extract.extract(batch, _moments(1), ("",), scene.targets, bare, extract.ExtractParams())
    assert np.all(block.planes["flag"] & flags.ASSUMED_READOUT)


def test_targets_flags_travel_along(scene: Scene) -> None:
    targets = scene.targets.take(slice(0, 4))
    targets = replace(targets, flag=np.array([0, flags.NO_POSITION, flags.ASTEROID, 0], np.int32))
    batch = iter([Batch([scene.frames[0]], np.array([1]))])
    block = extract.extract(batch, _moments(2), ("", ""), targets, scene.reference, extract.ExtractParams())
    assert np.all(block.planes["flag"][1] & flags.NO_POSITION)
    assert np.all(block.planes["flag"][2] & flags.ASTEROID)


def test_saturation_is_seen_on_the_pixel(scene: Scene) -> None:
    frame = np.array(scene.frames[0], np.float32)
    frame[100, 102] = READOUT.saturation
    block = _one(frame, [COL0 + 100.0, COL0 + 120.0], [ROW0 + 100.0, ROW0 + 100.0], scene)
    assert (block.planes["flag"][:, 0] & flags.SATURATED > 0).tolist() == [True, False]


def test_no_background_no_flux(scene: Scene) -> None:
    frame = np.full((N_ROW, N_COL), np.nan, np.float32)
    frame[97:104, 97:104] = 5.0
    for background in ("mesh", "annulus"):
        block = _one(frame, [COL0 + 30.0], [ROW0 + 30.0], scene, background=background)
        assert block.planes["flag"][0, 0] & flags.NO_BACKGROUND
        assert np.isnan(block.planes["aperture1_flux"]).all()


def test_half_a_frame_keeps_its_half(scene: Scene) -> None:
    frame = np.array(scene.frames[0], np.float32)
    frame[:, 120:] = np.nan
    block = _one(frame, [COL0 + 60.0, COL0 + 180.0], [ROW0 + 100.0] * 2, scene)
    whole = _one(scene.frames[0], [COL0 + 60.0, COL0 + 180.0], [ROW0 + 100.0] * 2, scene)
    assert block.planes["background"][0, 0] == pytest.approx(whole.planes["background"][0, 0], abs=3.0)
    assert np.isfinite(block.planes["aperture3_flux"][0, 0])
    assert np.isnan(block.planes["aperture1_flux"][1, 0])


def test_wrong_frames_and_no_stars_are_refused(scene: Scene) -> None:
    with pytest.raises(BadData, match="pixels stands among"):
        _one(scene.frames[0][:-1], [COL0 + 60.0], [ROW0 + 60.0], scene)
    with pytest.raises(NoWork, match="ffi"):
        extract.extract(
            iter([]),
            _moments(1),
            ("",),
            _targets(np.ones(1), np.ones(1), "other"),
            scene.reference,
            extract.ExtractParams(),
        )
    plan = make_plan(scene.targets, scene.reference, extract.ExtractParams())
    for places in ([1, 17], [0, 32], [-1, 3]):
        batch = Batch([scene.frames[0]] * 2, np.array(places))
        with pytest.raises(ValueError, match="lanes of their own"):
            measure_frames(plan, iter([batch]), 32, GEOMETRY, READOUT)


def test_other_series_stars_are_left_out(scene: Scene) -> None:
    targets = replace(scene.targets, series=np.where(np.arange(150) % 3 == 0, "ffi", "stamp"))
    block = extract.extract(
        _batches(scene.frames[:2], range(2)), _moments(2), ("", ""), targets, scene.reference, extract.ExtractParams()
    )
    assert block.rows.tolist() == list(range(0, 150, 3))
    whole = scene.extract()
    np.testing.assert_array_equal(block.planes["aperture2_flux"], whole.planes["aperture2_flux"][::3, :2])


def test_mission_background_enters_the_noise_of_full_frames(scene: Scene) -> None:
    params = extract.ExtractParams(radii=(2.0,))
    zero, hundred = (np.full((N_ROW, N_COL), v, np.float32) for v in (0.0, 100.0))
    blocks = [
        extract.extract(
            iter([Batch([scene.frames[0]], np.array([0]), [behind])]),
            _moments(1),
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
    planes, _ = measure_frames(both, _batches(scene.frames, range(48)), 48, GEOMETRY, READOUT)
    np.testing.assert_array_equal(planes[2], scene.extract().planes["aperture2_flux"])


# ---------------------------------------------------------------- stamps


def _info(shape: tuple[int, int], n: int, **changes: Any) -> FileInfo:
    geometry = Geometry(*shape, ROW0, COL0, 2048, 2048)
    info = FileInfo("stamp.fits", "tess", "s0001", "1-1", "tesscut", "stamp", "stamp", geometry, READOUT, _moments(n))
    return replace(info, **changes)


def _stamp(rng: np.random.Generator, n: int, flux: float = 3000.0) -> NDArray[Any]:
    clean = np.zeros((11, 11))
    _star(clean, 5.2, 4.9, flux)
    level = 120.0 + 30.0 * np.sin(np.arange(n) / 50.0)
    return _observe(rng, clean + level[:, None, None]).astype(">f4")


def test_twenty_thousand_cadences_of_a_stamp() -> None:
    cube = _stamp(np.random.default_rng(61), 20_000)
    info = _info((11, 11), 20_000)
    block = extract.extract_series(
        Pixels(cube, ""), info, _targets([COL0 + 5.2], [ROW0 + 4.9], "stamp"), extract.ExtractParams()
    )
    flux, error = block.planes["aperture3_flux"][0], block.planes["aperture3_flux_err"][0]
    assert flux.mean() == pytest.approx(3000.0, rel=2e-3)
    assert np.std(flux) == pytest.approx(error.mean(), rel=0.05)
    level = 120.0 + 30.0 * np.sin(np.arange(20_000) / 50.0)
    assert np.std(block.planes["background"][0] - level) == pytest.approx(
        block.planes["background_err"].mean(), rel=0.05
    )
    assert np.all(block.planes["flag"] == flags.FAINT_THIRD)
    assert block.planes["centroid_col"].mean() == pytest.approx(COL0 + 5.2, abs=5e-3)
    assert block.planes["centroid_row"].mean() == pytest.approx(ROW0 + 4.9, abs=5e-3)


def test_one_pixel_has_no_background() -> None:
    cube = np.full((40, 1, 1), 100.0, ">f4")
    block = extract.extract_series(
        Pixels(cube, ""), _info((1, 1), 40), _targets([COL0 + 0.0], [ROW0 + 0.0], "stamp"), extract.ExtractParams()
    )
    assert np.isnan(block.planes["aperture1_flux"]).all()
    assert np.all(block.planes["flag"] & flags.NO_BACKGROUND)
    assert np.all(block.planes["flag"] & flags.EDGE)


def test_flux_that_is_subtracted_already_is_left_alone() -> None:
    rng = np.random.default_rng(62)
    cube = _stamp(rng, 400)
    behind = np.full(cube.shape, 100.0, np.float32)
    info = _info((11, 11), 400, background_subtracted=True)
    targets = _targets([COL0 + 5.2], [ROW0 + 4.9], "stamp")
    params = extract.ExtractParams()
    block = extract.extract_series(Pixels((cube - 100.0).astype(">f4"), "", behind), info, targets, params)
    plain = extract.extract_series(Pixels(cube, ""), info, targets, params)
    np.testing.assert_allclose(
        plain.planes["aperture2_flux"] - block.planes["aperture2_flux"], 100 * AREA[1], rtol=1e-3
    )
    np.testing.assert_allclose(plain.planes["aperture2_flux_err"], block.planes["aperture2_flux_err"], rtol=1e-4)
    np.testing.assert_allclose(block.planes["background"], 100.0, rtol=1e-5)
    assert np.all(plain.planes["background"] == 0.0)
    assert np.all(block.planes["background_err"] == 0.0)
    assert np.all(block.planes["flag"] == 0)


def test_frames_without_light_are_nan_and_flagged() -> None:
    cube = _stamp(np.random.default_rng(63), 40)
    cube[7] = np.nan
    block = extract.extract_series(
        Pixels(cube, ""), _info((11, 11), 40), _targets([COL0 + 5.2], [ROW0 + 4.9], "stamp"), extract.ExtractParams()
    )
    assert np.isnan(block.planes["aperture1_flux"][0, 7])
    assert block.planes["flag"][0, 7] & flags.NAN_PIXEL
    assert block.planes["flag"][0, 7] & flags.NO_BACKGROUND
    assert np.isfinite(np.delete(block.planes["aperture1_flux"][0], 7)).all()


def test_a_big_cutout_is_treated_like_a_frame(scene: Scene) -> None:
    cube = np.stack(scene.frames)
    info = replace(_info((N_ROW, N_COL), 48), geometry=GEOMETRY)
    targets = replace(scene.targets, series=np.full(150, "stamp"))
    block = extract.extract_series(Pixels(cube, ""), info, targets, extract.ExtractParams())
    alone = scene.alone()
    assert not np.any(block.planes["flag"] & flags.FAINT_THIRD)
    np.testing.assert_allclose(
        block.planes["aperture2_flux"][alone], scene.extract().planes["aperture2_flux"][alone], rtol=0.02, atol=3.0
    )


def test_pipeline_mask_reproduces_sap_flux(shared_data: Path) -> None:
    folder = shared_data / "tess_tpf_25155310"
    with fits.open(next(folder.glob("*first-cadences*"))) as tpf, fits.open(next(folder.glob("hlsp*"))) as lc:
        table, mask = tpf[1].data, (tpf[2].data & 2) > 0
        rows = np.searchsorted(lc[1].data["CADENCENO"], table["CADENCENO"])
        sap, behind = lc[1].data["SAP_FLUX"][rows], lc[1].data["SAP_BKG"][rows]
        error = lc[1].data["SAP_FLUX_ERR"][rows]
        readout = Readout(
            tpf[1].header["INT_TIME"] * tpf[1].header["NREADOUT"],
            (tpf[1].header["GAINA"],), (tpf[1].header["READNOIA"],), tpf[1].header["NREADOUT"], (0,), 1e5,
        )  # fmt: skip
        pixels = Pixels(table["FLUX"], "", table["FLUX_BKG"], mask)
    info = _info(mask.shape, len(sap), readout=readout, background_subtracted=True)
    targets = _targets([COL0 + 5.0], [ROW0 + 5.0], "stamp")
    block = extract.extract_series(pixels, info, targets, extract.ExtractParams(mask="pipeline"))
    good = np.isfinite(sap)
    np.testing.assert_allclose(block.planes["aperture1_flux"][0, good], sap[good], rtol=2e-7)
    np.testing.assert_allclose(mask.sum() * block.planes["background"][0, good], behind[good], rtol=2e-6)
    # The mission adds terms that the headers do not name: its errors are some per cent larger.
    ratio = block.planes["aperture1_flux_err"][0, good] / error[good]
    assert np.all((ratio > 0.85) & (ratio < 1.02))
    assert sorted(block.planes) == sorted(
        ["aperture1_flux", "aperture1_flux_err", "background", "background_err", "centroid_col", "centroid_row", "flag"]
    )


@pytest.mark.parametrize(("kind", "number"), [("CIRC", 6), ("PRF", 4)])
def test_given_masks_less_the_median_reproduce_k2sff(shared_data: Path, kind: str, number: int) -> None:
    """Truth D3: FRAW is the sum over the mask less its pixels times the median of those outside CIRC_APER3."""
    folder = shared_data / "k2_221312395"
    with fits.open(next(folder.glob("ktwo*"))) as tpf, fits.open(next(folder.glob("hlsp*"))) as k2sff:
        cadence, flux = tpf[1].data["CADENCENO"], tpf[1].data["FLUX"].astype(np.float32)
        masks = {name: k2sff[f"{name}_APER_TBL"].data != 0 for name in ("CIRC", "PRF")}
        tables = [k2sff[f"{kind}_APER{n}"].data for n in range(number)]
    background = np.nanmedian(flux[:, ~masks["CIRC"][3]].astype(np.float64), axis=1)
    info = _info(flux.shape[1:], cadence.size)
    targets = _targets([COL0 + 5.0], [ROW0 + 5.0], "stamp")
    for mask, table in zip(masks[kind], tables, strict=False):
        block = extract.extract_series(Pixels(flux, ""), info, targets, extract.ExtractParams(mask="given"), mask)
        rows = np.searchsorted(cadence, table["CADENCENO"])
        total = block.planes["aperture1_flux"][0, rows].astype(np.float64)
        raw = total - mask.sum() * background[rows]
        truth = table["FRAW"] * np.median(raw) / np.median(table["FRAW"])
        # Sums are kept as float32: half a unit in the last of 24 bits, in the point and in the median.
        np.testing.assert_allclose(raw, truth, rtol=0, atol=2.0**-23 * total.max())
        assert np.all(block.planes["background"] == 0.0)


def test_masks_that_are_missing_or_do_not_fit_are_refused() -> None:
    pixels = Pixels(np.ones((3, 5, 5), np.float32), "")
    targets = _targets([COL0 + 2.0], [ROW0 + 2.0], "stamp")
    with pytest.raises(ConfigError, match="there is none"):
        extract.extract_series(pixels, _info((5, 5), 3), targets, extract.ExtractParams(mask="pipeline"))
    with pytest.raises(ConfigError, match="5 x 5"):
        extract.extract_series(
            pixels, _info((5, 5), 3), targets, extract.ExtractParams(mask="mask.fits"), np.ones((4, 5), bool)
        )
    given = np.zeros((5, 5), bool)
    given[2, 1:4] = True
    block = extract.extract_series(pixels, _info((5, 5), 3), targets, extract.ExtractParams(mask="mask.fits"), given)
    np.testing.assert_array_equal(block.planes["aperture1_flux"], 3.0)
    assert block.meta["mask"]
    pixels.flux[1, 2, 2] = np.nan
    pixels.flux[2, 0, 0] = np.nan
    block = extract.extract_series(pixels, _info((5, 5), 3), targets, extract.ExtractParams(mask="mask.fits"), given)
    np.testing.assert_array_equal(block.planes["aperture1_flux"], [[3.0, np.nan, 3.0]])
    assert (block.planes["flag"][0] & flags.NAN_PIXEL > 0).tolist() == [False, True, False]


def test_contradictory_parameters_are_refused() -> None:
    for wrong in ({"radii": (2.5, 1.5)}, {"annulus": (9.0, 6.0)}, {"radii": ()}, {"radius": 2.0}, {"radii": (-1.0,)}):
        with pytest.raises(ValueError):  # noqa: PT011 (pydantic's own error; the configuration puts it in words)
            extract.ExtractParams(**wrong)
