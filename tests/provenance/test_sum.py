"""The sum that explain writes out leads to the stored flux, by somebody else's arithmetic; and no other sum does."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from tests.provenance.by_hand import disagreements, image_of, redo
from tests.run.stamps import make_workspace
from tests.run.test_compressed import compress
from tests.run.workspaces import House, edit, raw_files, run

import cuvee
from cuvee.config import write_workspace
from cuvee.errors import ConfigError
from cuvee.provenance import explain_star, format_explanation
from cuvee.simulate.tess import simulate
from cuvee.survey import Survey

Facts = dict[str, Any]
Make = Callable[[Path], Path]


def stars_of(survey: Survey) -> list[int]:
    rows = survey.light_curves(columns=["id", "mag"]).to_pylist()
    return [int(row["id"]) for row in sorted(rows, key=lambda row: float(row["mag"]))]


def explained(survey: Survey, star: int, k: int) -> Facts:
    """Explain a star's k-th point; what comes back has been JSON."""
    facts = explain_star(survey, star, float(survey.light_curve(star).time[k]))
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    return facts


def point_of(survey: Survey, star: int, k: int) -> Facts:
    (seen,) = explained(survey, star, k)["observations"]
    point: Facts = seen["point"]
    return point


def set_key(root: Path, section: str, setting: str) -> None:
    path = root / "cuvee.toml"
    path.write_text(path.read_text().replace(f"[{section}]", f"[{section}]\n{setting}", 1))


def frames(root: Path, *settings: str) -> Path:
    simulate(root, frames=20, stars=60, size=128, seed=4)
    for setting in ("extract psf = false", *settings):
        set_key(root, *setting.split(" ", 1))
    return root


def packed(root: Path) -> Path:
    for path in raw_files(frames(root)):
        compress(path)
    return root


WORKSPACES: dict[str, tuple[str, Make]] = {
    "mesh": ("mesh", lambda root: frames(root, "extract mesh_size = 32")),
    "annulus": ("annulus", lambda root: frames(root, 'extract background = "annulus"')),
    "compressed": ("mesh", packed),
    "one cell": ("mesh", lambda root: frames(root, "extract mesh_size = 128", "extract radii = [0.4, 6.0]")),
    "stamp": ("faint_third", lambda root: make_workspace(root, 2, 20)),
    "frames with own masks": ("mesh", lambda root: frames(root, "extract k2p2 = true", "extract mesh_size = 32")),
    "stamp with own masks": (
        "faint_third", lambda root: make_workspace(root, 2, 20, config="[extract]\nk2p2 = true\nhalo = true\n"),
    ),
    "large stamp": ("mesh", lambda root: make_workspace(root, 1, 20, (70, 72))),
    "large stamp, annulus": (
        "annulus", lambda root: make_workspace(root, 1, 20, (70, 72), '[extract]\nbackground = "annulus"\n'),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKSPACES)
def test_the_flux_comes_out_by_hand(name: str, tmp_path: Path) -> None:
    kind, make = WORKSPACES[name]
    root = make(tmp_path / "w")
    assert not run(root).bad
    survey = cuvee.open(root)
    stars = stars_of(survey)
    for n, star in enumerate([stars[0], stars[len(stars) // 2], stars[-1]]):
        point = point_of(survey, star, 3 + 5 * n)
        assert point["background"]["kind"] == kind
        assert point["troubles"] == []
        assert len(redo(point)) == 1 + 2 * len(point["apertures"])
        assert disagreements(point) == []
        assert ("mask" in [one["name"] for one in point["apertures"]]) == ("own masks" in name)
        # And what explain says of itself is the same.
        for aperture in point["apertures"]:
            assert aperture["flux"]["agrees"]
            assert aperture["flux_err"]["agrees"]
        assert point["background"]["agrees"]
        assert point["time"]["agrees"]
        assert point["choice"]["agrees"]


@pytest.mark.parametrize("name", ["frames", "stamps"])
def test_a_real_star_comes_out_by_hand(name: str, shared_data: Path, tmp_path: Path) -> None:
    """Real pixels: a cutout whose place in its file must be found, and target pixels from which SPOC subtracted its background."""
    if name == "frames":
        data, rows = "tess_ic2391_s8_c3_ccd4/TPF144996772_S8C8.fits.gz", ["144996772,130.5,-53.0,11.0"]
        with fits.open(shared_data / data) as file:
            rows = [f"144996772,{file[0].header['RA_OBJ']},{file[0].header['DEC_OBJ']},11.0"]
    else:
        data, rows = (
            "tess_tpf_25155310/tess25155310-s01-first-cadences.fits.gz",
            ["25155310,63.37389,-69.226789,10.555"],
        )
    (tmp_path / "stars.csv").write_text("\n".join(["ID,ra,dec,mag", *rows]) + "\n")
    root = write_workspace(tmp_path / "w", "tess", [str(shared_data / data)], [str(tmp_path / "stars.csv")]).parent
    run(root)
    survey = cuvee.open(root)
    (star,) = stars_of(survey)
    point = point_of(survey, star, 2)
    assert disagreements(point) == []
    assert all(one["flux"]["agrees"] and one["flux_err"]["agrees"] for one in point["apertures"])
    if name == "stamps":
        with fits.open(point["file"]["path"]) as file:
            table = file[1].data[point["place"]["frame"]]
            for pixel in point["apertures"][2]["pixels"]:
                before = table["FLUX"][pixel["y"], pixel["x"]] + table["FLUX_BKG"][pixel["y"], pixel["x"]]
                assert pixel["before_subtraction"] == pytest.approx(before, rel=2e-7)


@pytest.fixture
def survey(house: House) -> Survey:
    return cuvee.open(house.finished())


def shift(point: Facts) -> None:
    for pixel in point["apertures"][1]["pixels"]:
        pixel["x"] += 1


def move(point: Facts) -> None:
    point["place"]["row_to_y"] -= 1


def weigh(point: Facts) -> None:
    heaviest = max(point["apertures"][1]["pixels"], key=lambda pixel: pixel["product"])
    heaviest["weight"] *= 1 + 1e-5


def forget(point: Facts) -> None:
    point["apertures"][1]["pixels"].pop()


def lean(point: Facts) -> None:
    point["background"]["nodes"][0]["weight"] += 1e-4


def bend(point: Facts) -> None:
    cell = point["background"]["nodes"][0]
    (one,) = (
        c
        for c in point["background"]["cells"]
        if (c["cell_row"], c["cell_col"]) == (cell["cell_row"], cell["cell_col"])
    )
    one["pixels"]["base"][0] += 1.0


def hurry(point: Facts) -> None:
    point["readout"]["exposure"] *= 1.01


def whisper(point: Facts) -> None:
    point["readout"]["read_noise_here"] *= 1.1


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (shift, "aperture2_flux"), (move, "background"), (weigh, "aperture2_flux"), (forget, "aperture2_flux"),
        (lean, "background"), (bend, "background"), (hurry, "aperture2_flux_err"), (whisper, "aperture2_flux_err"),
    ],
)  # fmt: skip
def test_any_other_sum_leads_elsewhere(survey: Survey, change: Callable[[Facts], None], name: str) -> None:
    point = point_of(survey, stars_of(survey)[0], 40)
    assert disagreements(point) == []
    other = copy.deepcopy(point)
    change(other)
    assert name in disagreements(other)


def test_weights_are_exact_areas(survey: Survey) -> None:
    from photutils.geometry import circular_overlap_grid

    facts = explained(survey, stars_of(survey)[0], 40)["observations"][0]
    for aperture in facts["point"]["apertures"]:
        for pixel in aperture["pixels"]:
            x, y = pixel["col"] - facts["col"], pixel["row"] - facts["row"]
            (((area,),)) = circular_overlap_grid(x - 0.5, x + 0.5, y - 0.5, y + 0.5, 1, 1, aperture["radius"], 1, 1)
            assert pixel["weight"] == pytest.approx(area, abs=1e-11)


def test_a_reader_of_the_screen_can_add_it_up(survey: Survey) -> None:
    """Only the text and the file: the table of pixels leads to the flux, to the digits that are printed."""
    facts = explained(survey, stars_of(survey)[0], 40)
    point = facts["observations"][0]["point"]
    text = format_explanation(facts)
    table = text[text.index("  THE SUM over") : text.index("    sum of the products")]
    rows = [[float(word) for word in line.split()] for line in table.splitlines() if re.fullmatch(r"[\d. -]+", line)]
    level = float(re.search(r"B \(below\) +(\S+) e-/s", text)[1])  # type: ignore[index]
    image = image_of(point)
    total = sum(image[int(y), int(x)] * weight for _, _, x, y, _, weight, _ in rows)
    flux = total - sum(row[5] for row in rows) * level
    printed = 0.5e-7 * sum(abs(row[4]) for row in rows)
    assert flux == pytest.approx(point["values"]["flux"], abs=printed + 0.01)
    assert len(rows) == len(
        next(a for a in point["apertures"] if a["name"] == facts["observations"][0]["best"])["pixels"]
    )
    assert max(map(len, text.splitlines())) <= 100 or str(survey.path) in text


def test_a_star_on_a_strap_comes_out_by_hand(survey: Survey) -> None:
    """Its columns are multiplied first, as the explanation says; without that it is another sum."""
    seen = survey.light_curves(columns=["id", "col"]).to_pylist()
    gain = dict(point_of(survey, int(seen[0]["id"]), 4)["gain"])
    assert len(gain) > 3
    assert all(0.95 < factor < 0.99 for factor in gain.values())
    star = next(int(row["id"]) for row in seen if round(row["col"]) in gain)
    facts = explained(survey, star, 4)
    point = facts["observations"][0]["point"]
    assert disagreements(point) == []
    assert "columns that answer to light otherwise" in format_explanation(facts)
    other = copy.deepcopy(point)
    other["gain"] = []
    assert {f"aperture{k}_flux" for k in (1, 2, 3)} <= set(disagreements(other))


def test_a_changed_file_is_not_summed(house: House) -> None:
    root = house.finished()
    star = stars_of(cuvee.open(root))[0]
    before = point_of(cuvee.open(root), star, 40)

    def brighten(path: Path) -> None:
        with fits.open(path, mode="update") as file:
            file[1].data[5, 5] += 1.0

    edit(Path(before["file"]["path"]), brighten)
    try:
        facts = explained(cuvee.open(root), star, 40)
        (seen,) = facts["observations"]
        point = seen["point"]
        assert point["file"]["state"] == "changed"
        assert point["file"]["content"] == before["file"]["content"] != point["file"]["content_now"]
        assert "has changed since it was measured" in re.sub(r"\s+", " ", format_explanation(facts))
        for aperture, old in zip(point["apertures"], before["apertures"], strict=True):
            assert "value" not in aperture["pixels"][0]
            assert "flux" not in aperture
            # What is known: weights, and so what the sum must have been.
            assert [p["weight"] for p in aperture["pixels"]] == [p["weight"] for p in old["pixels"]]
            assert aperture["implied_sum"] == pytest.approx(old["sum"], rel=1e-6)
        assert point["time"]["agrees"]
    finally:
        house.restore(Path(before["file"]["path"]))


def test_a_file_that_is_gone_is_said_to_be_gone(house: House) -> None:
    root = house.finished()
    star = stars_of(cuvee.open(root))[0]
    path = Path(point_of(cuvee.open(root), star, 40)["file"]["path"])
    path.unlink()
    try:
        for _ in range(2):  # before a run has noticed, and afterwards
            facts = explained(cuvee.open(root), star, 40)
            point = facts["observations"][0]["point"]
            assert point["file"]["state"] == "gone"
            assert "is gone, so its pixels cannot be summed again" in re.sub(r"\s+", " ", format_explanation(facts))
            assert "must have been" in format_explanation(facts)
            run(root)
    finally:
        house.restore(path)


def test_a_stamp_that_is_gone(shared_data: Path, tmp_path: Path) -> None:
    """Nothing was subtracted from it here, so its sum was the flux, whatever the column ``background`` says of the mission's."""
    stamp = shutil.copy(shared_data / "tess_tpf_25155310" / "tess25155310-s01-first-cadences.fits.gz", tmp_path)
    (tmp_path / "stars.csv").write_text("ID,ra,dec,mag\n25155310,63.37389,-69.226789,10.555\n")
    root = write_workspace(tmp_path / "w", "tess", [str(stamp)], [str(tmp_path / "stars.csv")]).parent
    run(root)
    before = point_of(cuvee.open(root), 25155310, 2)
    Path(stamp).unlink()
    facts = explained(cuvee.open(root), 25155310, 2)
    point = facts["observations"][0]["point"]
    for aperture, old in zip(point["apertures"], before["apertures"], strict=True):
        assert aperture["implied_sum"] == pytest.approx(old["sum"], rel=1e-6)
    assert "Nothing is subtracted: the mission has subtracted its own." in format_explanation(facts)


def test_without_the_reference_image_it_says_what_cannot_be_redone(survey: Survey) -> None:
    star = stars_of(survey)[0]
    (step,) = (s for s in explained(survey, star, 40)["observations"][0]["chain"] if s["product"] == "reference")
    (survey.path / step["path"]).write_bytes(b"something else")
    facts = explained(survey, star, 40)
    assert facts["observations"][0]["point"]["background"]["level"] is None
    text = re.sub(r"\s+", " ", format_explanation(facts))
    assert "is not the one that was used" in text
    assert "of the kind mesh, and cannot be redone here" in text


def test_a_stored_flux_that_is_not_the_sum_is_told(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    star = stars_of(survey)[0]
    curve = survey.light_curve(star)
    best = str(curve.observations[0]["best"])
    curve.points[f"{best}_flux"][40] += 0.5
    monkeypatch.setattr(Survey, "light_curve", lambda *_: curve)
    facts = explain_star(survey, star, float(curve.time[40]))
    (aperture,) = (a for a in facts["observations"][0]["point"]["apertures"] if a["name"] == best)
    assert not aperture["flux"]["agrees"]
    assert aperture["flux"]["difference"] == pytest.approx(-0.5, abs=0.02)
    assert format_explanation(facts).count("BUT STORED IS") == 1


def test_a_pixel_that_is_no_number_is_told(tmp_path: Path) -> None:
    root = frames(tmp_path / "w")
    first = raw_files(root)[4]
    run(root)
    survey = cuvee.open(root)
    star = stars_of(survey)[0]
    (pixel, *_) = point_of(survey, star, 4)["apertures"][0]["pixels"]
    with fits.open(first, mode="update") as file:
        file[1].data[pixel["y"], pixel["x"]] = np.nan
    run(root)
    facts = explained(cuvee.open(root), star, 4)
    point = facts["observations"][0]["point"]
    assert point["apertures"][0]["nan_pixels"] == 1
    assert point["apertures"][0]["flux"]["redone"] is None
    assert point["apertures"][0]["flux"]["agrees"]
    assert "Pixels that are not a number: 1" in format_explanation(facts)


def test_rounded_values_come_out_to_their_step(tmp_path: Path) -> None:
    root = frames(tmp_path / "w", "collect round_noise = 4")
    run(root)
    survey = cuvee.open(root)
    for star in stars_of(survey)[:5]:
        point = point_of(survey, star, 7)
        for aperture in point["apertures"]:
            assert aperture["flux"]["agrees"]
            step = aperture["rounding_step"]
            assert aperture["flux"]["stored"] % step == 0
            assert step <= aperture["flux_err"]["redone"] / 4 < 2 * step
            assert abs(aperture["flux"]["difference"]) <= 0.51 * step


@pytest.mark.parametrize(("star", "time", "words"), [(0, 1.0, "no point within half a day"), (7, 1517.5, "There is no light curve of star 7")])  # fmt: skip
def test_slips_are_said_in_a_sentence(survey: Survey, star: int, time: float, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        explain_star(survey, star or stars_of(survey)[0], time)
