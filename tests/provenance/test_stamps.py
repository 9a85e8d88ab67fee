"""What explain writes out of stamps leads to the stored PSF and halo fluxes, by hand and by a fit that shares nothing with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import erf
from tests.photometry.test_halo import transit
from tests.provenance.by_hand import image_of
from tests.provenance.test_sum import explained, point_of
from tests.run.stamps import make_workspace
from tests.run.test_own_masks import STAR, saturated
from tests.run.workspaces import run

import cuvee
from cuvee.extract.psf import SPOILT
from cuvee.model.flags import COSMIC_RAY, NAN_PIXEL, NO_PSF
from cuvee.model.prf import Prf
from cuvee.photometry.rounding import SHORTENED
from cuvee.provenance import explain_star, format_explanation
from cuvee.provenance.prf_stamps import stamps
from cuvee.store.star_models import read_star_model
from cuvee.survey import Survey

Facts = dict[str, Any]
FloatArray = NDArray[np.float64]

N, FRAMES, SIDE = 6, 40, 11
HOLE, CORE, RAY, DARK = 3, 4, 5, 6
"""Frames of the first stamp of which a pixel at the rim is missing, the star's core, in which a pixel is hit, and of which nothing is a number."""
FIRST = 1000
EXPOSURE = 0.8 * 1800.0


def gaussian(place: float, sigma: float) -> FloatArray:
    edges = (np.arange(SIDE + 1) - 0.5 - place) / (np.sqrt(2.0) * sigma)
    return np.asarray(0.5 * np.diff(erf(edges)))


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """Six stamps of a star and a fainter one beside it that no catalogue has, which move together; the background breathes."""
    root = make_workspace(tmp_path_factory.mktemp("stamps") / "w", N, FRAMES, (SIDE, SIDE), "[extract]\npsf = true\n")
    rng = np.random.default_rng(7)
    moved = rng.normal(0.0, 0.04, (FRAMES, 2))
    level = 60.0 + 5.0 * np.sin(np.arange(FRAMES))
    for k, path in enumerate(sorted((root / "RAW").iterdir())):
        images = np.empty((FRAMES, SIDE, SIDE))
        for t in range(FRAMES):
            images[t] = level[t]
            for x, y, flux in ((5.1, 4.9, 900.0 + 300.0 * k + 5.0 * np.sin(0.7 * t)), (7.6, 6.4, 450.0 + 150.0 * k)):
                across, up = gaussian(x + moved[t, 0], 0.8), gaussian(y + moved[t, 1], 0.75)
                images[t] += flux * up[:, None] * across
        images += rng.normal(0.0, 1.0, images.shape) * np.sqrt(images / EXPOSURE)
        if k == 0:
            images[HOLE, 7, 5] = np.nan
            images[CORE, 4:6, 4:7] = np.nan
            images[RAY, 4, 6] += 40.0
            images[DARK] = np.nan
        with fits.open(path, mode="update") as file:
            file["PIXELS"].data["FLUX"][:] = images
    summary = run(root)
    assert not summary.bad
    assert not summary.troubled
    opened: Survey = cuvee.open(root)
    return opened


def ids(survey: Survey) -> list[int]:
    return [int(star) for star in survey.light_curves(["id"])["id"].to_pylist()]


def spoilt(survey: Survey) -> int:
    """The star of the stamp that something was done to."""
    first = sorted((survey.path / "RAW").iterdir())[0].stem
    rows = survey.light_curves(["id", "series"]).to_pylist()
    return next(int(row["id"]) for row in rows if row["series"] in first)


def by_hand(point: Facts) -> float:
    one, image = point["psf"], image_of(point)
    rows = one["pixels"]
    return float(one["flux_in_mean"] + sum(r["gain"] * (image[r["y"], r["x"]] - r["mean"] - r["curved"]) for r in rows))


def test_the_psf_flux_comes_out_by_hand(survey: Survey) -> None:
    for n, star in enumerate(ids(survey)):
        point = point_of(survey, star, (11 * n + 1) % FRAMES)
        one = point["psf"]
        assert not point["troubles"]
        assert one["why_not"] is None
        assert by_hand(point) == pytest.approx(one["flux"]["redone"], rel=1e-12)
        for name in ("flux", "flux_err", "chi2_compared"):
            assert one[name]["agrees"], one[name]
        # Nearer than anything that matters: what is left is the rounding of single precision.
        assert abs(one["flux"]["difference"]) < 1e-3 * one["stored_flux_err"]
        with fits.open(point["file"]["path"]) as file:
            cube = np.array(file["PIXELS"].data["FLUX"], np.float64)
        mean = np.nanmean(cube[np.isfinite(cube).any(axis=(1, 2))], axis=0)
        for row in one["pixels"]:
            assert row["mean"] == pytest.approx(mean[row["y"], row["x"]], rel=1e-6)
        found = sum(star["id"] == 0 for star in one["stars"])
        assert found == one["fit"]["n_found"] == 1
        assert one["fit"]["n_stamp"] == N


def test_any_other_sum_leads_elsewhere(survey: Survey) -> None:
    point = point_of(survey, ids(survey)[0], 8)
    tolerance = point["psf"]["flux"]["tolerance"]
    for name in ("gain", "mean", "curved"):
        row = max(point["psf"]["pixels"], key=lambda one: abs(one["gain"]))
        kept = row[name]
        row[name] = kept * (1.01 if name == "gain" else 1.0) + (0.05 if name != "gain" else 0.0)
        assert abs(by_hand(point) - point["psf"]["stored_flux"]) > tolerance
        row[name] = kept


def drawn(prf: Prf, col: FloatArray, row: FloatArray, corner: tuple[int, int]) -> FloatArray:
    """Unit stars on the pixels of a stamp, shape (n_star, n_pixel)."""
    at, values = stamps(prf, col, row, ((0, 0),))
    out = np.zeros((col.size, SIDE, SIDE))
    for k, (r, c) in enumerate((at - np.array(corner)).tolist()):
        for i in range(values.shape[2]):
            for j in range(values.shape[3]):
                if 0 <= r + i < SIDE and 0 <= c + j < SIDE:
                    out[k, r + i, c + j] = values[0, k, i, j]
    return out.reshape(col.size, -1)


def test_a_fit_of_all_parameters_to_the_frame_finds_the_same(survey: Survey) -> None:
    """Fluxes, displacement and background at once, the PRF drawn anew at each trial: no expansion, no pseudo-inverse."""
    star = ids(survey)[2]
    for k in (0, 9, 21):
        point = point_of(survey, star, k)
        one = point["psf"]
        model = read_star_model(
            next(path for path in (survey.path / "BASE" / "prf").glob("*.npz") if star in read_star_model(path).id)
        )
        corner = (min(r["row"] for r in one["pixels"]), min(r["col"] for r in one["pixels"]))
        col, row, before = (np.array([s[name] for s in one["stars"]]) for name in ("col", "row", "mean"))
        mean = np.array([r["mean"] for r in one["pixels"]])
        frame = np.array([r["value"] for r in one["pixels"]])
        assert mean.size == SIDE**2
        error = np.sqrt(mean / EXPOSURE + point["readout"]["variance"])
        still = before @ drawn(model.prf, col, row, corner)

        def unlike(at: FloatArray) -> FloatArray:
            light = (before + at[3:]) @ drawn(model.prf, col + at[0], row + at[1], corner)  # noqa: B023
            return np.asarray((frame - mean - (light - still) - at[2]) / error)  # noqa: B023

        fit = least_squares(unlike, np.zeros(3 + len(col)), x_scale=[0.01, 0.01, 1.0, *[10.0] * len(col)])
        mine = next(i for i, s in enumerate(one["stars"]) if s["id"] == star)
        assert before[mine] + fit.x[3 + mine] == pytest.approx(one["stored_flux"], abs=0.1 * one["stored_flux_err"])
        np.testing.assert_allclose(fit.x[:2], np.subtract(one["pointing"]["shift"], one["pointing"]["mean"]), atol=1e-3)
        assert fit.x[2] == pytest.approx(one["level"]["change"], abs=0.01)
        jacobian = fit.jac
        variance = np.linalg.inv(jacobian.T @ jacobian)[3 + mine, 3 + mine]
        # Photons of a brighter sky are in the stored error, and not in these.
        assert np.sqrt(variance) == pytest.approx(one["stored_flux_err"], rel=0.1)


def test_pixels_that_are_missing_or_hit_are_told(survey: Survey) -> None:
    star = spoilt(survey)
    curve = survey.light_curve(star)
    hole, core, ray, dark = (point_of(survey, star, k) for k in (HOLE, CORE, RAY, DARK))
    assert curve.flag[HOLE] & NAN_PIXEL
    assert hole["psf"]["flux"]["agrees"]
    assert len(hole["psf"]["pixels"]) == SIDE**2 - 1
    assert 0.0 < hole["psf"]["missing"] < SPOILT
    assert curve.flag[CORE] & NO_PSF
    assert core["psf"]["flux"]["stored"] is None
    assert core["psf"]["flux"]["agrees"]
    assert "of its weights are not numbers" in core["psf"]["why_not"]
    assert curve.flag[RAY] & COSMIC_RAY
    assert ray["psf"]["flux"]["agrees"]
    (pixel,) = ray["psf"]["cosmic_ray"]
    place = ray["place"]
    assert (pixel["col"] + place["col_to_x"], pixel["row"] + place["row_to_y"]) == (6, 4)
    assert dark["psf"]["why_not"] == "No pixel of this frame is a number."
    for k in (HOLE, CORE, RAY, DARK):
        assert "BUT" not in format_explanation(explained(survey, star, k))


def test_a_reader_of_the_screen_can_add_it_up(survey: Survey) -> None:
    star = ids(survey)[1]
    facts = explained(survey, star, 9)
    point = facts["observations"][0]["point"]
    text = format_explanation(facts)
    if facts["observations"][0]["best"] != "psf":
        assert "THE PSF FLUX (--json lists its pixels)" in text
        pytest.fail("the scene is made so that the PSF flux is the best")
    table = text[text.index("  THE SUM of the PSF flux") : text.index("    sum of the products")]
    rows = [[float(word) for word in line.split()] for line in table.splitlines() if re.fullmatch(r"[\d. -]+", line)]
    assert len(rows) == len(point["psf"]["pixels"])
    base = float(re.search(r"flux in the mean, F0 +(\S+) e-/s", text)[1])  # type: ignore[index]
    image = image_of(point)
    flux = base + sum(gain * (image[int(y), int(x)] - mean - curved) for _, _, x, y, _, mean, curved, gain, _ in rows)
    printed = 0.5e-4 * 2 * sum(abs(row[7]) for row in rows) + 0.5e-8 * sum(abs(row[4] - row[5]) for row in rows)
    assert flux == pytest.approx(point["values"]["psf_flux"], abs=printed + point["psf"]["flux"]["tolerance"])
    assert "BUT" not in text
    assert "in no catalogue" in text


@pytest.mark.parametrize("method", ["psf", "halo"])
def test_a_stored_flux_that_is_not_the_sum_is_told(
    survey: Survey, halo: Survey, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    here, star = (survey, ids(survey)[1]) if method == "psf" else (halo, STAR)
    curve = here.light_curve(star)
    error = float(curve.points[f"{method}_flux_err"][9])
    curve.points[f"{method}_flux"][9] += 0.1 * error
    monkeypatch.setattr(Survey, "light_curve", lambda *_: curve)
    facts = explain_star(here, star, float(curve.time[9]))
    one = facts["observations"][0]["point"][method]
    assert not one["flux"]["agrees"]
    assert one["flux"]["difference"] == pytest.approx(-0.1 * error, abs=0.02 * error)
    assert "BUT STORED IS" in format_explanation(facts)


def test_what_is_not_what_it_was_is_not_used(survey: Survey) -> None:
    star = ids(survey)[0]
    for path in (survey.path / "BASE" / "prf").glob("*.npz"):
        whole = path.read_bytes()
        if star not in read_star_model(path).id:
            continue
        path.write_bytes(b"something else")
        try:
            point = point_of(survey, star, 2)
        finally:
            path.write_bytes(whole)
    assert "psf" not in point
    assert "is not what the PSF flux was made with" in point["troubles"][0]


@pytest.fixture(scope="module")
def halo(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """A stamp of a star whose charge runs out of it."""
    root = tmp_path_factory.mktemp("halo") / "w"
    saturated(root, 8e6, transit())
    opened: Survey = cuvee.open(root)
    return opened


def test_the_halo_comes_out_by_hand(halo: Survey) -> None:
    curve = halo.light_curve(STAR)
    assert curve.observations[0]["best"] == "halo"
    with fits.open(next((halo.path / "RAW").iterdir())) as file:
        cube = np.array(file["PIXELS"].data["FLUX"], np.float64)
    good = curve.quality == 0
    for k in (2, 120, 499):
        facts = explained(halo, STAR, k)
        point = facts["observations"][0]["point"]
        one = point["halo"]
        rows = one["pixels"]
        level = point["background"]["level"]
        total = sum(row["weight"] * (cube[k, row["y"], row["x"]] - level) for row in rows)
        flux = one["level"] * total / sum(row["weight"] * row["mean"] for row in rows)
        assert flux == pytest.approx(float(curve.halo_flux[k]), abs=one["flux"]["tolerance"])
        assert one["flux"]["agrees"]
        assert one["flux_err"]["agrees"]
        variance = sum(
            row["weight"] ** 2
            * (
                cube[k, row["y"], row["x"]] / point["readout"]["exposure"]
                + point["readout"]["variance"]
                + point["background"]["error"] ** 2
            )
            for row in rows
        )
        redone = one["level"] * np.sqrt(variance) / sum(row["weight"] * row["mean"] for row in rows)
        assert redone == pytest.approx(float(curve.halo_flux_err[k]), rel=1e-6 + SHORTENED)
        # The level is that of the mask, in the median of the good frames; and the weights make the sum steadier.
        assert one["like"] == "mask"
        assert np.median(curve.halo_flux[good]) == pytest.approx(np.median(curve.mask_flux[good]), rel=1e-6)
        assert one["after"] < 0.2 * one["before"]
        assert sum(row["weight"] for row in rows) == pytest.approx(1.0)
        text = format_explanation(facts)
        assert "THE SUM of the halo" in text
        assert "BUT" not in text


def test_a_star_without_a_halo_is_told_why(survey: Survey, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "w", 1, 20, config="[extract]\nhalo = true\n")
    run(root)
    faint: Survey = cuvee.open(root)
    facts = explained(faint, FIRST, 3)
    one = facts["observations"][0]["point"]["halo"]
    assert one["why_not"] == "The star is not the brightest within 3 px of a saturated pixel of the mean image."
    assert "There is no halo flux: The star is not the brightest" in re.sub(r"\s+", " ", format_explanation(facts))
    assert "halo" not in point_of(survey, ids(survey)[0], 3)
