"""Pixels, PSF model and residual: against the raw frames, the truth, and the PRF drawn by its definition."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from tests.cli.conftest import Cuvee, cuvee
from tests.provenance.conftest import psf_house
from tests.provenance.psf_house import ORIGIN, PsfHouse
from tests.run.workspaces import House, raw_files

from cuvee.model.psf import ModelImage
from cuvee.provenance.prf_stamps import stamps
from cuvee.quicklook import Residual, figure_residual, save
from cuvee.store.star_models import read_star_model, write_star_model

__all__ = ["cuvee", "psf_house"]  # fixtures

HALF = 7


def shown(house: PsfHouse, star: int) -> Residual:
    found = house.survey.residual(house.survey.light_curve(star))
    assert found is not None
    return found


def test_data_are_those_of_the_frames_and_the_model_is_that_of_its_stars(psf_house: PsfHouse) -> None:
    one = shown(psf_house, psf_house.hit)
    picture = one.picture
    assert picture.image.shape == (2 * HALF + 1, 2 * HALF + 1)
    corner = (
        slice(picture.row0 - ORIGIN, picture.row0 - ORIGIN + 15),
        slice(picture.col0 - ORIGIN, picture.col0 - ORIGIN + 15),
    )
    frames = np.stack([fits.getdata(path, 1)[corner] for path in raw_files(psf_house.root)]).astype(float)
    # The mean of all frames; where a particle or noise stands out in one, that one is clipped.
    away = np.abs(np.nanmean(frames, axis=0) - picture.image)
    assert np.mean(away > 1e-3) < 0.05
    frames -= np.nanmedian(frames, axis=(1, 2), keepdims=True)  # the background breathes
    noise = np.nanmedian(np.nanstd(frames, axis=0, ddof=1)[np.isfinite(picture.error)]) / np.sqrt(picture.n_frame)
    assert np.median(picture.error) == pytest.approx(noise, rel=0.25)

    model = read_star_model(next((psf_house.root / "BASE" / "prf").glob("*.npz")))
    light = np.zeros((200, 200))
    for k in np.flatnonzero(np.isfinite(model.flux)):
        corners, values = stamps(model.prf, model.col[k : k + 1], model.row[k : k + 1], ((0, 0),))
        rows, cols = (np.arange(values.shape[-1]) + corners[0, axis] - ORIGIN for axis in (0, 1))
        r, c = ((at >= 0) & (at < 200) for at in (rows, cols))
        light[np.ix_(rows[r], cols[c])] += model.flux[k] * values[0, 0][np.ix_(r, c)]
    np.testing.assert_allclose(picture.light, light[corner], rtol=1e-5, atol=1e-4 * light[corner].max())


def test_simulated_stars_leave_little(psf_house: PsfHouse) -> None:
    """Of 40 stars of 11.5 to 13 mag the model leaves 1.2 % of the light in the median, and 2.7 errors of the mean of twelve frames."""
    truth = {row["id"]: row for row in pq.read_table(psf_house.root / "truth" / "stars.parquet").to_pylist()}
    one = shown(psf_house, psf_house.hit)
    picture = one.picture
    assert picture.light.sum() > 0.8 * truth[psf_house.hit]["flux"]
    table = psf_house.survey.light_curves(columns=["id", "mag"]).to_pylist()
    some = [shown(psf_house, row["id"]).picture for row in table if 11.5 < row["mag"] < 13.0][:40]
    assert len(some) == 40
    assert np.median([one.left for one in some]) < 0.03
    assert 0.7 < np.median([one.rms for one in some]) < 5.0
    np.testing.assert_allclose(one.target[0], [truth[psf_house.hit]["col"], truth[psf_house.hit]["row"]], atol=0.15)
    near = [
        star
        for star, row in truth.items()
        if star != psf_house.hit
        and abs(row["col"] - picture.col0 - HALF) < 7.3
        and abs(row["row"] - picture.row0 - HALF) < 7.3
    ]
    assert len(one.known) >= len(near)


def test_light_that_is_not_in_the_model_is_left(psf_house: PsfHouse) -> None:
    picture = shown(psf_house, psf_house.hit).picture
    image = picture.image.copy()
    image[3, 4] += 20.0 * picture.error[3, 4]
    more = dataclasses.replace(picture, image=image)
    difference = more.pull - picture.pull
    assert difference[3, 4] == pytest.approx(20.0, rel=1e-3)
    assert np.count_nonzero(np.abs(difference) > 1e-6) == 1
    n = np.isfinite(picture.error).sum()
    assert more.rms**2 - picture.rms**2 == pytest.approx((more.pull[3, 4] ** 2 - picture.pull[3, 4] ** 2) / n)


def test_the_picture_shows_these_numbers(psf_house: PsfHouse, tmp_path: Path) -> None:
    one = shown(psf_house, psf_house.hit)
    figure = figure_residual(one)
    data, model, left = (ax.images[0] for ax in figure.axes if ax.images and ax.get_xlabel() == "column (px)")
    np.testing.assert_array_equal(data.get_array(), one.picture.image)
    np.testing.assert_allclose(np.asarray(model.get_array()), one.picture.light + one.picture.level)
    np.testing.assert_array_equal(left.get_array(), one.picture.pull)
    assert data.norm is model.norm
    np.testing.assert_array_equal(left.norm(np.zeros(1)), 0.5)
    assert left.get_extent()[0] == one.picture.col0 - 0.5
    assert f"{one.picture.rms:.1f} errors of this mean of {one.picture.n_frame} frames" in figure.texts[1].get_text()
    save(figure, tmp_path / "a.png")


def test_pixels_that_took_no_part_are_in_no_number() -> None:
    image = np.full((5, 6), 10.0, np.float32)
    image[2, 2] = 1e5
    error = np.full(image.shape, 2.0, np.float32)
    error[2, 2] = np.inf
    light = np.full(image.shape, 3.0, np.float32)
    picture = ModelImage(image, light, error, 5.0, 0, 0, 9)
    assert picture.rms == 1.0
    assert picture.left == pytest.approx(2.0 / 3.0)
    assert np.isnan(picture.residual[2, 2])
    nothing = ModelImage(image, light, np.full_like(error, np.inf), 5.0, 0, 0, 9)
    assert np.isnan([nothing.rms, nothing.left]).all()
    for one in (picture, nothing):
        figure = figure_residual(Residual(one, np.zeros((0, 2)), np.zeros((0, 2)), np.array([[2.0, 2.0]])))
        figure.draw_without_rendering()
        assert [text.get_text() for text in figure.legends[0].get_texts()] == [
            "stars that were found in the image", "not fitted: unknown, or nearly full of charge",
        ]  # fmt: skip


def test_the_image_of_a_stamp_is_kept_with_its_stars(psf_house: PsfHouse, tmp_path: Path) -> None:
    model = read_star_model(next((psf_house.root / "BASE" / "prf").glob("*.npz")))
    assert model.shown is None
    picture = shown(psf_house, psf_house.hit).picture
    write_star_model(tmp_path / "a.npz", dataclasses.replace(model, shown=picture))
    kept = read_star_model(tmp_path / "a.npz").shown
    assert kept is not None
    for field in dataclasses.fields(ModelImage):
        np.testing.assert_array_equal(getattr(kept, field.name), getattr(picture, field.name))


def test_the_command_draws_it_or_says_why_not(psf_house: PsfHouse, house: House, cuvee: Cuvee, tmp_path: Path) -> None:
    answer = cuvee("show", psf_house.hit, "-w", psf_house.root, "--psf", "-o", tmp_path / "left.png")
    assert answer.code == 0
    assert (tmp_path / "left.png").stat().st_size > 10_000
    root = house.finished()
    (star,) = pq.read_table(next((root / "LC" / "tess" / "dataset").rglob("*.parquet")), columns=["id"])[
        "id"
    ].to_pylist()[:1]
    answer = cuvee("show", star, "-w", root, "--psf")
    assert answer.code == 2
    assert f"There is no PSF model of star {star}: set psf = true under [extract]" in answer.err
