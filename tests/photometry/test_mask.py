"""Masks of scenes whose light is known, star by star."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr

from cuvee.model.records import Geometry
from cuvee.photometry.mask import MaskParams, Masks, grow, masks

FloatArray = NDArray[np.float64]
PARAMS = MaskParams()
ZERO_POINT = 20.44


def star(shape: tuple[int, int], col: float, row: float, mag: float, sigma: float = 0.8) -> FloatArray:
    """Light of a star, a Gaussian integrated over the pixels."""
    x, y = (np.diff(ndtr((np.arange(n + 1) - 0.5 - at) / sigma)) for n, at in ((shape[1], col), (shape[0], row)))
    return np.asarray(10.0 ** (-0.4 * (mag - ZERO_POINT)) * y[:, None] * x)


def scene(shape: tuple[int, int], stars: list[tuple[float, float, float]], seed: int = 1) -> FloatArray:
    """Stars over a sky that scatters by 1 e-/s."""
    sky = np.random.default_rng(seed).normal(size=shape)
    return sky + sum(star(shape, *s) for s in stars)


def cut(image: FloatArray, stars: list[tuple[float, float, float]], params: MaskParams = PARAMS) -> Masks:
    col, row, mag = np.array(stars, dtype=float).reshape(-1, 3).T
    return masks(image, col, row, mag, params)


def bleed(image: FloatArray, full: float) -> FloatArray:
    """Let what exceeds the full well run along the columns, half of it each way, until it finds room."""
    image = image.copy()
    for column in image.T:
        over = np.where(column > full, column - full, 0.0)
        if not over.any():
            continue
        np.minimum(column, full, out=column)
        middle = int(np.average(np.arange(column.size), weights=over))
        for way in (range(middle, column.size), range(middle, -1, -1)):
            left = 0.5 * over.sum()
            for r in way:
                room = min(full - column[r], left)
                column[r] += room
                left -= room
    return image


def test_an_isolated_star_has_a_symmetric_mask_with_its_light() -> None:
    sky = np.random.default_rng(4).normal(size=(15, 15))
    sky = 0.25 * (sky + sky[::-1] + sky[:, ::-1] + sky[::-1, ::-1])  # symmetric, too
    image = sky + star((15, 15), 7.0, 7.0, 11.0)
    got = cut(image, [(7.0, 7.0, 11.0)])
    mask = got.of(0)
    np.testing.assert_array_equal(mask, mask[::-1])
    np.testing.assert_array_equal(mask, mask[:, ::-1])
    assert star((15, 15), 7.0, 7.0, 0.0)[mask].sum() > 0.98 * star((15, 15), 7.0, 7.0, 0.0).sum()
    assert 20 <= got.size[0] == mask.sum() < 80
    assert not got.minimum[0]
    assert not got.edge.any()
    assert got.edge_flux[0] == 0.0
    assert got.contamination[0] == pytest.approx(0.0, abs=1e-12)
    assert got.kept.tolist() == [True]


@pytest.mark.parametrize("mag", [8.0, 10.0, 12.0, 14.0])
def test_masks_hold_nearly_all_light_at_any_brightness(mag: float) -> None:
    stars = [(10.3, 9.8, mag)]
    got = cut(scene((21, 21), stars), stars)
    own = star((21, 21), *stars[0])
    assert own[got.of(0)].sum() > 0.9 * own.sum()


def test_two_blended_stars_have_a_mask_each() -> None:
    stars = [(8.0, 10.0, 10.0), (12.0, 10.0, 10.7)]
    got = cut(scene((21, 21), stars, 3), stars)
    assert got.kept.all()
    assert got.label[0] != got.label[1]
    for k, other in ((0, 1), (1, 0)):
        mask = got.of(k)
        assert mask[10, int(stars[k][0])]
        assert star((21, 21), *stars[k])[mask].sum() > 0.9 * star((21, 21), *stars[k]).sum()
        assert star((21, 21), *stars[other])[mask].sum() < 0.1 * star((21, 21), *stars[other]).sum()
    np.testing.assert_allclose(got.contamination, 0.0, atol=1e-12)


def test_without_segments_they_share_one_and_the_brighter_keeps_it() -> None:
    stars = [(12.0, 10.0, 10.7), (8.0, 10.0, 10.0)]
    got = cut(scene((21, 21), stars, 3), stars, MaskParams(segment=False))
    assert got.label[0] == got.label[1] > 0
    assert got.owner.tolist() == [1, 1]
    assert got.kept.tolist() == [False, True]
    faint, bright = 10 ** (-0.4 * 10.7), 10 ** (-0.4 * 10.0)
    np.testing.assert_allclose(got.contamination, [bright / (faint + bright), faint / (faint + bright)], rtol=1e-12)


def test_a_star_lost_in_the_light_of_another_is_in_its_mask() -> None:
    stars = [(10.0, 10.0, 9.0), (10.8, 10.0, 13.0)]
    got = cut(scene((21, 21), stars), stars)
    assert got.kept.tolist() == [True, False]
    assert got.owner.tolist() == [0, 0]


def test_two_stars_at_one_pixel_bright_and_faint() -> None:
    for mag in (10.0, 19.5):
        stars = [(9.9, 10.2, mag + 0.5), (10.1, 10.0, mag)]
        got = cut(scene((21, 21), stars, 8), stars)
        assert got.label[0] == got.label[1] > 0
        assert got.owner.tolist() == [1, 1]
        assert (got.minimum == (mag > 15.0)).all()


def test_peaks_without_a_star_in_the_catalogue_cut_nothing() -> None:
    stars = [(8.0, 10.0, 10.0), (12.0, 10.0, 10.7)]
    image = scene((21, 21), stars, 3)
    alone = cut(image, stars[:1])
    both = cut(image, stars)
    np.testing.assert_array_equal(alone.of(0), both.of(0) | both.of(1))
    every = cut(image, stars[:1], MaskParams(peaks="all"))
    assert every.of(0)[10, 8]
    assert not every.of(0)[10, 12]


def test_a_mask_follows_the_bleeding_of_a_saturated_star() -> None:
    full = 60_000.0
    stars = [(20.0, 30.0, 4.5), (20.4, 6.0, 12.0), (30.0, 30.0, 11.0)]
    truth = star((61, 41), *stars[0])
    clipped = bleed(truth, full)
    image = clipped + scene((61, 41), stars[1:])
    bled = clipped >= full
    assert bled[:, 20].sum() > 3
    got = cut(image, stars)
    assert got.of(0)[bled].all()
    assert image[got.of(0)].sum() > 0.97 * truth.sum()
    # The other stars keep theirs, the one in the same column, too.
    assert got.kept.all()
    assert got.of(1)[6, 20]
    # No star so faint bleeds.
    faint = [(s[0], s[1], s[2] + 5.0) for s in stars]
    assert got.size[0] >= cut(image, faint).size[0]


def test_a_thin_trail_is_followed_though_its_pixels_have_no_neighbours() -> None:
    image = scene((41, 21), [(10.0, 20.0, 9.0)])
    image[20, 10] = image[16:25, 10] = 5e4
    trail = np.arange(10, 31)
    image[trail, 10] = np.maximum(image[trail, 10], 4.9e4)
    stars = [(10.0, 20.0, 6.0)]
    assert cut(image, stars).of(0)[trail, 10].all()
    assert not cut(image, stars, MaskParams(bleed=False)).of(0)[trail, 10].all()


def test_empty_sky_gives_the_minimum_aperture() -> None:
    image = np.random.default_rng(12).normal(size=(21, 21))
    image[8:13, 8:13] = -1.0  # no accidental cluster here
    got = cut(image, [(10.3, 9.7, 17.0)])
    assert got.minimum.tolist() == [True]
    assert got.kept.all()
    assert np.argwhere(got.of(0)).tolist() == [[9, 10], [9, 11], [10, 10], [10, 11]]


@pytest.mark.parametrize(
    ("col", "row", "sides"),
    [(0.2, 7.0, [1, 0, 0, 0]), (14.0, 7.4, [0, 1, 0, 0]), (7.0, 0.0, [0, 0, 1, 0]), (14.0, 14.1, [0, 1, 0, 1])],
)
def test_a_star_at_the_edge_asks_for_more_pixels_there(col: float, row: float, sides: list[int]) -> None:
    stars = [(col, row, 10.0)]
    image = scene((15, 15), stars)
    got = cut(image, stars)
    assert got.edge[0].tolist() == [bool(s) for s in sides]
    rim = np.ones((15, 15), bool)
    rim[1:-1, 1:-1] = False
    assert got.edge_flux[0] == pytest.approx(image[got.of(0) & rim].sum(), rel=1e-12)
    assert got.edge_flux[0] > 0.1 * image[got.of(0)].sum()
    stamp = Geometry(15, 15, 100, 200, 2048, 2048)
    larger = grow(stamp, got.edge[0])
    left, right, down, up = (10 * s for s in sides)
    assert larger == Geometry(15 + down + up, 15 + left + right, 100 - down, 200 - left, 2048, 2048)


def test_growth_ends_at_the_detector() -> None:
    all_sides = np.ones(4, bool)
    assert grow(Geometry(15, 15, 4, 2030, 2048, 2048), all_sides) == Geometry(29, 28, 0, 2020, 2048, 2048)
    whole = Geometry(2048, 2048, 0, 0, 2048, 2048)
    assert grow(whole, all_sides) == whole
    assert grow(Geometry(9, 9, 3, 3), all_sides, 5) == Geometry(17, 17, 0, 0)  # the detector's size is not known
    stamp = Geometry(9, 9, 3, 3, 100, 100)
    assert grow(stamp, np.zeros(4, bool)) == stamp


def test_growing_reaches_the_whole_star() -> None:
    stars = [(31.0, 29.0, 9.0)]
    image = scene((60, 60), stars)
    stamp = Geometry(9, 9, 22, 24, 60, 60)
    for _ in range(5):
        here = np.s_[stamp.row0 : stamp.row0 + stamp.n_row, stamp.col0 : stamp.col0 + stamp.n_col]
        got = cut(image[here], [(31.0 - stamp.col0, 29.0 - stamp.row0, 9.0)])
        if not got.edge[0].any():
            break
        stamp = grow(stamp, got.edge[0])
    assert not got.edge[0].any()
    assert star((60, 60), *stars[0])[here][got.of(0)].sum() > 0.98 * star((60, 60), *stars[0]).sum()


def test_pixels_without_a_value_are_in_no_mask() -> None:
    stars = [(10.0, 10.0, 9.0), (4.0, 4.0, 18.0), (15.0, 4.0, 18.0)]
    image = scene((21, 21), stars, 5)
    image[9, 10] = np.nan
    image[11, 9] = np.inf
    image[4, 4] = np.nan
    image[:, 18:] = np.nan
    got = cut(image, stars)
    assert (got.labels[~np.isfinite(image)] == 0).all()
    assert got.of(0)[10, 10]
    assert not got.minimum[0]
    assert got.label[1] == 0
    assert got.owner[1] == -1
    assert got.size[1] == 0
    assert np.isnan(got.contamination[1])


def test_single_holes_are_filled() -> None:
    stars = [(10.0, 10.0, 9.0)]
    image = scene((21, 21), stars, 5)
    image[11, 10] = -50.0
    assert cut(image, stars).of(0)[11, 10]


def test_an_image_without_a_value_has_no_masks() -> None:
    got = cut(np.full((8, 8), np.nan), [(3.0, 3.0, 9.0)])
    assert np.isnan(got.threshold)
    assert not got.labels.any()
    assert got.label.tolist() == [0]
    assert got.owner.tolist() == [-1]
    assert not got.kept.any()
    assert not got.of(0).any()


def test_an_image_of_one_pixel_is_a_minimum_aperture() -> None:
    got = cut(np.array([[120.0]]), [(0.1, -0.2, 9.0)])
    assert got.labels.tolist() == [[1]]
    assert got.minimum.all()
    assert got.edge.all()
    assert got.edge_flux[0] == 120.0


def test_without_stars_there_are_masks_but_no_rows() -> None:
    image = scene((21, 21), [(10.0, 10.0, 9.0)])
    got = cut(image, [])
    assert got.labels[10, 10] > 0
    assert got.label.size == got.owner.size == got.contamination.size == 0


def test_stars_off_the_image_or_without_a_magnitude_or_a_position() -> None:
    stars = [(10.0, 10.0, np.nan), (30.0, 10.0, 9.0), (np.nan, 3.0, 9.0), (10.0, 13.9, 11.0)]
    image = scene((21, 21), [(10.0, 10.0, 9.0)], 2)
    got = cut(image, stars)
    assert got.label[0] > 0
    assert got.label[1:3].tolist() == [0, 0]
    assert np.isnan(got.contamination[:3]).all()
    assert got.owner[1:3].tolist() == [-1, -1]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_crowd_is_parted_in_the_same_way_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    stars = [(*rng.uniform(-2.0, 42.0, 2), rng.uniform(6.0, 16.0)) for _ in range(n)]
    image = bleed(scene((40, 40), stars, seed), 3e4)
    image[rng.uniform(size=image.shape) < 0.01] = np.nan
    got = cut(image, stars)
    order = rng.permutation(n)
    other = cut(image, [stars[k] for k in order])
    np.testing.assert_array_equal(got.labels, other.labels)
    np.testing.assert_array_equal(got.label[order], other.label)
    np.testing.assert_allclose(got.contamination[order], other.contamination, rtol=1e-9)
    np.testing.assert_array_equal(got.owner[order], np.where(other.owner >= 0, order[other.owner], -1))
    # What must hold for every star.
    mag = np.array([s[2] for s in stars])
    for k, (col, row, _) in enumerate(stars):
        r, c = int(np.floor(row + 0.5)), int(np.floor(col + 0.5))
        there = 0 <= r < 40 and 0 <= c < 40 and np.isfinite(image[r, c])
        assert (got.label[k] > 0) == there
        if there:
            mask = got.of(k)
            assert mask[r, c]
            assert got.size[k] == mask.sum()
            assert got.edge[k].tolist() == [mask[:, 0].any(), mask[:, -1].any(), mask[0].any(), mask[-1].any()]
            inside = np.flatnonzero(got.label == got.label[k])
            assert got.owner[k] == inside[np.argmin(mag[inside])]
            light = 10.0 ** (-0.4 * mag)
            assert got.contamination[k] == pytest.approx(1.0 - light[k] / light[inside].sum(), abs=1e-9)
    assert got.kept.sum() == np.unique(got.label[got.label > 0]).size


def stamp_star(hdus: fits.HDUList) -> tuple[FloatArray, FloatArray]:
    """Where the target of a target pixel file lies."""
    header = hdus[0].header
    col, row = WCS(hdus[2].header).all_world2pix([[header["RA_OBJ"], header["DEC_OBJ"]]], 0).T
    return np.asarray(col), np.asarray(row)


def test_a_tess_stamp_next_to_the_missions_mask(shared_data: Path) -> None:
    with fits.open(shared_data / "tess_tpf_25155310" / "tess25155310-s01-first-cadences.fits.gz") as hdus:
        image = np.nanmean(hdus[1].data["FLUX"].astype(float), axis=0)
        mission = (hdus[2].data & 2) > 0
        col, row = stamp_star(hdus)
        mag = np.array([hdus[0].header["TESSMAG"]])
    got = masks(image, col, row, mag, MaskParams(peaks="all"))
    mask = got.of(0)
    assert mask[mission].all()
    # The mission wants the best ratio of signal to noise, this mask all the light.
    assert 1.1 < image[mask].sum() / image[mission].sum() < 1.25
    assert 20.44 - 2.5 * np.log10(image[mask].sum()) == pytest.approx(mag[0], abs=0.1)
    # Another star, at the upper edge of this picture, is no part of it.
    assert got.labels[0, 7] != got.label[0]


def test_a_crowded_kepler_stamp_next_to_masks_made_from_the_prf(shared_data: Path) -> None:
    folder = shared_data / "k2_221312395"
    with fits.open(folder / "ktwo221312395-c91_lpd-targ.fits.gz") as hdus:
        image = np.nanmean(hdus[1].data["FLUX"][hdus[1].data["QUALITY"] == 0].astype(float), axis=0)
        col, row = stamp_star(hdus)
    with fits.open(folder / "hlsp_k2sff_k2_lightcurve_221312395-c91_kepler_v1_llc.fits.gz") as hdus:
        apertures = hdus["PRF_APER_TBL"].data > 0
    mask = masks(image, col, row, np.array([13.7]), MaskParams(peaks="all")).of(0)
    overlap = [(mask & a).sum() / (mask | a).sum() for a in apertures]
    assert max(overlap) > 0.6
    assert mask[apertures[0]].all()
    # Without knowledge of its neighbours they come with it.
    alone = masks(image, col, row, np.array([13.7]), PARAMS).of(0)
    assert alone.sum() > 2 * mask.sum()


def test_all_that_bled_of_pi_mensae_is_in_its_mask(shared_data: Path) -> None:
    with fits.open(
        shared_data / "tess_eleanor_pimen" / "test-lc-tess-pimen_s1_eleanor_full-100-cadences.fits.gz"
    ) as hdus:
        image = np.nanmean(hdus[1].data["TPF"], axis=0).astype(float)
    image -= np.median(np.sort(image, axis=None)[:40])
    got = masks(image, np.array([6.0]), np.array([6.0]), np.array([5.105]), PARAMS)
    assert (image > 9e4).sum() >= 8
    assert got.of(0)[image > 9e4].all()
    assert not got.of(0)[:3].any()  # its neighbours' part of the stamp
    assert got.edge[0].any()  # a stamp of 13 px is too small for it
    assert 20.44 - 2.5 * np.log10(image[got.of(0)].sum()) == pytest.approx(5.105, abs=0.15)
