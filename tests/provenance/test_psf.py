"""The row of a star that explain writes out leads to its stored PSF flux; and no other does."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from tests.provenance.by_hand import disagreements, image_of, psf_disagreements, psf_flux
from tests.provenance.psf_house import CORE, FRAMES, HOLE, RAY, TWIN, PsfHouse
from tests.provenance.test_sum import explained, set_key, stars_of
from tests.run.workspaces import run

from cuvee import prf
from cuvee.model.flags import COSMIC_RAY, NAN_PIXEL, NO_PSF
from cuvee.photometry.psf_solve import UNSETTLED
from cuvee.provenance import explain_star, format_explanation
from cuvee.provenance.psf_account import Fitted, fitted_of
from cuvee.store.star_models import read_star_model
from cuvee.survey import Survey

Facts = dict[str, Any]


def point_of(psf_house: PsfHouse, star: int, k: int) -> Facts:
    (seen,) = explained(psf_house.survey, star, k)["observations"]
    point: Facts = seen["point"]
    return point


def some_stars(psf_house: PsfHouse) -> list[int]:
    stars = [star for star in stars_of(psf_house.survey) if star != TWIN]
    return [*stars[:3], *stars[40::120]]


def test_the_flux_comes_out_by_hand(psf_house: PsfHouse) -> None:
    sources = set()
    for n, star in enumerate(some_stars(psf_house)):
        point = point_of(psf_house, star, (5 * n) % FRAMES)
        one = point["psf"]
        assert psf_disagreements(point) == []
        assert disagreements(point) == []  # apertures, and the background beside the light of all stars
        assert one["flux"]["agrees"]
        assert one["flux_err"]["agrees"]
        assert one["chi2_compared"]["agrees"]
        # The solution is nearer than what ends it: each round leaves a fraction of the last change.
        assert abs(one["flux"]["difference"]) < 0.01 * one["stored_flux_err"]
        sources |= {neighbour["from"] for neighbour in one["neighbours"]}
    assert sources == {"stored", "solved here", "reference"}


def dim(point: Facts) -> None:
    point["psf"]["pixels"][len(point["psf"]["pixels"]) // 2]["prf"] *= 1.001


def weigh(point: Facts) -> None:
    point["psf"]["pixels"][len(point["psf"]["pixels"]) // 2]["weight"] *= (
        2.0  # where a star fits well, its weights matter little
    )


def crowd(point: Facts) -> None:
    for pixel in point["psf"]["pixels"]:
        pixel["others"] += 0.1


def shift(point: Facts) -> None:
    for pixel in point["psf"]["pixels"]:
        pixel["y"] += 1


def lean(point: Facts) -> None:
    point["psf"]["background"]["nodes"][5]["weight"] += 1e-3


def hurry(point: Facts) -> None:
    point["psf"]["variance"]["reference"] *= 1.01


def brighten(point: Facts) -> None:
    point["psf"]["variance"]["still_level"] += 5.0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (dim, "psf_flux"), (weigh, "psf_flux"), (crowd, "psf_flux"), (shift, "psf_flux"), (lean, "psf_flux"),
        (hurry, "psf_flux_err"), (brighten, "psf_flux_err"),
    ],
)  # fmt: skip
def test_any_other_sum_leads_elsewhere(psf_house: PsfHouse, change: Callable[[Facts], None], name: str) -> None:
    point = point_of(psf_house, psf_house.holed, 8)
    assert psf_disagreements(point) == []
    other = copy.deepcopy(point)
    change(other)
    assert name in psf_disagreements(other)


def test_the_light_is_that_of_the_prf_where_the_frame_points(psf_house: PsfHouse) -> None:
    """Stars drawn by the kernel where they are displaced to, not by an expansion round where they were."""
    model = read_star_model(next((psf_house.root / "BASE" / "prf").glob("*.npz")))
    for k in (1, 7):
        one = point_of(psf_house, psf_house.holed, k)["psf"]
        x, y = one["pointing"]["shift"]
        stars = [one, *one["neighbours"]]
        place = [np.array([star[axis] for star in stars]) for axis in ("col", "row")]
        first_col, first_row, values = prf.stamps(model.prf, place[0] + x, place[1] + y)
        side = values.shape[2]

        def light(n: int, col: int, row: int) -> float:
            i, j = col - int(first_col[n]), row - int(first_row[n])  # noqa: B023
            return float(values[0, n, j, i]) if 0 <= i < side and 0 <= j < side else 0.0  # noqa: B023

        # Third derivatives of a PRF this wide stay below 2 px^-3: what is left of the second order is this.
        left = 2.0 * (abs(x) + abs(y)) ** 3 / 6.0
        flux = one["flux"]["redone"]
        for pixel in one["pixels"]:
            own = light(0, pixel["col"], pixel["row"])
            assert pixel["prf"] == pytest.approx(own, abs=left + 1e-7)
            others = sum(
                star["flux"] * light(n + 1, pixel["col"], pixel["row"]) for n, star in enumerate(one["neighbours"])
            )
            # The third order of the star itself counts to the others.
            assert pixel["others"] + flux * pixel["prf"] == pytest.approx(others + flux * own, abs=1e-5 * flux)
            assert pixel["others"] == pytest.approx(others, abs=left * flux + 0.01)


def test_a_missing_pixel_is_mended_and_told(psf_house: PsfHouse) -> None:
    facts = explained(psf_house.survey, psf_house.holed, HOLE)
    point = facts["observations"][0]["point"]
    one = point["psf"]
    assert point["values"]["flag"] & NAN_PIXEL
    assert not point["values"]["flag"] & NO_PSF
    (mended,) = [pixel for pixel in one["pixels"] if pixel["mended"]]
    assert np.isnan(image_of(point)[mended["y"], mended["x"]])
    assert one["missing"] == pytest.approx(mended["weight"] / sum(pixel["weight"] for pixel in one["pixels"]), rel=1e-4)
    assert psf_disagreements(point) == []
    text = re.sub(r"\s+", " ", format_explanation(facts))
    if facts["observations"][0]["best"] == "psf":
        assert f"these carry {100 * one['missing']:.2f} % of the weights" in text


def test_without_its_core_there_is_no_flux(psf_house: PsfHouse) -> None:
    facts = explained(psf_house.survey, psf_house.holed, CORE)
    one = facts["observations"][0]["point"]["psf"]
    assert facts["observations"][0]["point"]["values"]["flag"] & NO_PSF
    assert one["stored_flux"] is None
    assert one["flux"]["redone"] is None
    assert one["flux"]["agrees"]
    assert re.search(
        r"Pixels with \d+\.\d % of its weights are not numbers; beyond 10 %",
        re.sub(r"\s+", " ", format_explanation(facts)),
    )


def test_a_cosmic_ray_is_told_pixel_by_pixel(psf_house: PsfHouse) -> None:
    facts = explained(psf_house.survey, psf_house.hit, RAY)
    point = facts["observations"][0]["point"]
    one = point["psf"]
    assert point["values"]["flag"] & COSMIC_RAY
    where = [(pixel["col"], pixel["row"]) for pixel in one["cosmic_ray"]["pixels"]]
    assert where == [(round(one["col"]) + 1, round(one["row"]) + 1)]
    assert psf_disagreements(point) == []
    # The same sum without the pixel gives what is stored, to what its light differs from the reference image's by.
    less = copy.deepcopy(point)
    less["psf"]["pixels"] = [pixel for pixel in one["pixels"] if (pixel["col"], pixel["row"]) not in where]
    less["psf"]["cosmic_ray"] = None
    added = one["cosmic_ray"]["added"]
    assert psf_flux(less)[0] == pytest.approx(point["values"]["psf_flux"], abs=0.05 * added)
    assert added > 3.0 * point["values"]["psf_flux_err"]
    assert one["chi2"] < 3.0 < one["cosmic_ray"]["chi2_before"]
    # Had the whole frame been disturbed, nothing would have been taken out.
    one["cosmic_ray"]["taken"] = 0.0
    facts["observations"][0]["best"] = "psf"
    assert "It is not taken out, for in this frame more than 20 %" in re.sub(r"\s+", " ", format_explanation(facts))
    # Other frames of the star are whole.
    assert point_of(psf_house, psf_house.hit, RAY + 1)["psf"]["cosmic_ray"] is None


def test_a_star_that_is_one_with_a_brighter_one_has_no_flux(psf_house: PsfHouse) -> None:
    facts = explained(psf_house.survey, TWIN, 6)
    point = facts["observations"][0]["point"]
    assert point["values"]["flag"] & NO_PSF
    assert point["values"]["psf_flux"] is None
    assert point["psf"]["why_not"].startswith(f"The brighter star {psf_house.doubled} is nearer than 0.3 px")
    assert point["psf"]["why_not"] in re.sub(r"\s+", " ", format_explanation(facts))
    assert psf_disagreements(point_of(psf_house, psf_house.doubled, 6)) == []


def test_a_frame_that_lies_far_off_has_no_flux(psf_house: PsfHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(*arguments: Any) -> tuple[Fitted | None, list[str]]:
        fitted, missing = fitted_of(*arguments)
        assert fitted is not None
        return replace(fitted, pointing=fitted.pointing + [[0.6], [0.0]] * np.eye(1, fitted.pointing.shape[1])), missing

    monkeypatch.setattr("cuvee.provenance.point.fitted_of", moved)
    one = point_of(psf_house, psf_house.hit, 8)["psf"]
    assert re.match(r"The frame lies up to 0\.\d\d px off the reference; beyond 0\.5 px no flux", one["why_not"])
    assert one["flux"]["redone"] is None


def test_the_chain_leads_to_the_prf(psf_house: PsfHouse) -> None:
    facts = explain_star(psf_house.survey, psf_house.hit)
    (seen,) = facts["observations"]
    (step,) = [step for step in seen["chain"] if step["product"] == "stars"]
    assert xxhash.xxh3_128((psf_house.root / step["path"]).read_bytes()).hexdigest() == step["content"]
    (block,) = [step for step in seen["chain"] if step["product"] == "fluxes"]
    assert [row["content"] for row in block["inputs"] if row["input_kind"] == "stars"] == [step["content"]]
    assert step["parameters"]["prf"]["half"] == 7
    text = format_explanation(
        explain_star(psf_house.survey, psf_house.hit, float(psf_house.survey.light_curve(psf_house.hit).time[2]))
    )
    assert "  PRF and stars: BASE/prf/" in text
    assert text.index("[prf] half = 7") < text.index("Other parameters")


def test_psf_is_among_the_choices(psf_house: PsfHouse) -> None:
    chosen = set()
    for star in some_stars(psf_house):
        facts = explained(psf_house.survey, star, 9)
        point = facts["observations"][0]["point"]
        choice = point["choice"]
        assert choice["agrees"]
        assert [one["name"] for one in choice["apertures"]] == ["aperture1", "aperture2", "aperture3", "psf"]
        assert choice["apertures"][3]["enclosed"] == 1.0
        chosen.add(choice["best"])
        best = point["values"][f"{choice['best']}_flux"]
        assert point["values"]["flux"] == best
    assert "psf" in chosen
    assert len(chosen) > 1


def chosen_psf(psf_house: PsfHouse) -> int:
    for star in some_stars(psf_house):
        if psf_house.survey.light_curve(star).observations[0]["best"] == "psf":
            return star
    raise AssertionError("no star's flux is that of the PSF")


def test_a_reader_of_the_screen_can_add_it_up(psf_house: PsfHouse) -> None:
    facts = explained(psf_house.survey, chosen_psf(psf_house), 2)
    point = facts["observations"][0]["point"]
    text = format_explanation(facts)
    table = text[text.index("  THE SUM of the PSF flux") : text.index("    sum of the products")]
    rows = [[float(word) for word in line.split()] for line in table.splitlines() if re.fullmatch(r"[\d. -]+", line)]
    assert len(rows) == len(point["psf"]["pixels"])
    level = float(re.search(r"B \(below\) +(\S+) e-/s", text)[1])  # type: ignore[index]
    image = image_of(point)
    total = sum((image[int(y), int(x)] - others) * weight for _, _, x, y, _, others, _, weight, _ in rows)
    flux = (total - level * sum(row[7] for row in rows)) / sum(row[6] * row[7] for row in rows)
    if "flux without them" in text:
        flux -= float(re.search(r"what they had added to the flux +(\S+) e-/s", text)[1])  # type: ignore[index]
    printed = 0.5e-8 * sum(abs(row[4]) for row in rows) + 0.5e-4 * sum(abs(row[7]) for row in rows)
    printed += 0.5e-8 * point["values"]["flux"] * sum(abs(row[6]) + abs(row[7]) for row in rows)
    assert flux == pytest.approx(point["values"]["flux"], abs=printed + point["psf"]["flux"]["tolerance"])
    assert max(map(len, text.splitlines())) <= 100 or str(psf_house.root) in text
    assert "BUT" not in text


def test_a_stored_flux_that_is_not_the_sum_is_told(psf_house: PsfHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    survey, star = psf_house.survey, chosen_psf(psf_house)
    curve = survey.light_curve(star)
    error = float(curve.points["psf_flux_err"][2])
    curve.points["psf_flux"][2] += 0.1 * error
    monkeypatch.setattr(Survey, "light_curve", lambda *_: curve)
    facts = explain_star(survey, star, float(curve.time[2]))
    one = facts["observations"][0]["point"]["psf"]
    assert not one["flux"]["agrees"]
    assert one["flux"]["difference"] == pytest.approx(-0.1 * error, abs=0.01 * error)
    assert format_explanation(facts).count("BUT STORED IS") == 1
    assert f"The difference is larger: the star may be one of the {100 * UNSETTLED:g} %" in re.sub(
        r"\s+", " ", format_explanation(facts)
    )


@pytest.mark.parametrize("folder", ["BASE/prf", "RED"])
def test_what_is_not_what_it_was_is_not_used(psf_house: PsfHouse, folder: str) -> None:
    path = next((psf_house.root / folder).rglob("*.npz" if folder == "BASE/prf" else "*.arrow"))
    whole = path.read_bytes()
    path.write_bytes(b"something else")
    try:
        facts = explained(psf_house.survey, psf_house.hit, 2)
    finally:
        path.write_bytes(whole)
    point = facts["observations"][0]["point"]
    assert "psf" not in point
    assert "is not what the PSF flux was made with" in re.sub(r"\s+", " ", format_explanation(facts))


def test_rounded_fluxes_and_frames_that_are_gone(psf_house: PsfHouse, tmp_path: Path) -> None:
    root = shutil.copytree(psf_house.root, tmp_path / "w")
    set_key(root, "collect", "round_noise = 4")
    run(root)
    other = PsfHouse(root, psf_house.holed, psf_house.hit, psf_house.doubled)
    star = chosen_psf(psf_house)
    one = point_of(other, star, 7)["psf"]
    assert one["flux"]["agrees"]
    assert one["flux"]["stored"] % one["rounding_step"] == 0
    assert one["tolerance"]["rounding"] == 0.5 * one["rounding_step"]
    before = point_of(psf_house, star, 7)["psf"]
    Path(point_of(other, star, 7)["file"]["path"]).unlink()
    facts = explained(other.survey, star, 7)
    gone = facts["observations"][0]["point"]["psf"]
    assert "sum" not in gone
    assert "value" not in gone["pixels"][0]
    assert [pixel["prf"] for pixel in gone["pixels"]] == [pixel["prf"] for pixel in before["pixels"]]
    assert "sum of weight x prf" in format_explanation(facts)
