"""What explain says can be checked by hand: files, contents, recipes, flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from astropy.io import fits
from tests.run.workspaces import House, edit, raw_files, run

import cuvee
from cuvee.model.flags import FLAGS, TESS_QUALITY
from cuvee.model.keys import recipe_hash
from cuvee.provenance import explain_star, format_explanation
from cuvee.simulate import faults
from cuvee.survey import Survey


@pytest.fixture
def survey(house: House) -> Survey:
    return cuvee.open(house.finished())


def brightest(survey: Survey) -> int:
    rows = survey.light_curves(columns=["id", "mag"]).to_pylist()
    return int(min(rows, key=lambda row: row["mag"])["id"])


def chain_of(survey: Survey, time: float | None = None) -> list[dict[str, Any]]:
    (seen,) = explain_star(survey, brightest(survey), time)["observations"]
    return list(seen["chain"])


def test_every_link_is_a_file_with_the_content_that_is_said(survey: Survey) -> None:
    chain = chain_of(survey)
    assert [step["product"] for step in chain] == [
        "lightcurves", "fluxes", "reference", "fluxes", "fluxes", "fluxes", "tracks", "targets", "partition",
    ]  # fmt: skip
    for step in chain:
        assert xxhash.xxh3_128((survey.path / step["path"]).read_bytes()).hexdigest() == step["content"]


def test_every_recipe_follows_from_what_is_said(survey: Survey) -> None:
    """Stage, version, parameters and the inputs' contents are all that a product depends on."""
    for step in chain_of(survey):
        inputs = [(row["input_kind"], row["input_id"], row["content"]) for row in step["inputs"]]
        assert recipe_hash(step["stage"], step["version"], step["parameters"], inputs) == step["recipe"]


def test_links_fit_together(survey: Survey) -> None:
    chain = chain_of(survey)
    contents = {(step["product"], step["data_id"]): step["content"] for step in chain}
    named = [((row["input_kind"], row["input_id"]), row["content"]) for step in chain for row in step["inputs"]]
    assert set(contents) - {key for key, _ in named} == {("lightcurves", chain[0]["data_id"])}
    assert all(contents[key] == content for key, content in named if key in contents)


def test_a_frames_content_is_the_hash_of_its_headers_and_science_rows(survey: Survey) -> None:
    star = brightest(survey)
    time = float(survey.light_curve(star).time[40])
    (seen,) = explain_star(survey, star, time)["observations"]
    path = Path(seen["point"]["frame"])
    with fits.open(path) as file:
        start = file.fileinfo(1)["datLoc"]
        rows = file[1].header["NAXIS1"] * 4 * (file[1].header["NAXIS2"])
        assert file[0].header["FFIINDEX"] == seen["point"]["values"]["cadence"]
    assert xxhash.xxh3_128(path.read_bytes()[: start + rows]).hexdigest() == seen["point"]["content"]
    blocks = [step for step in seen["chain"] if step["product"] == "fluxes"]
    assert [step["data_id"].rpartition("/")[2] for step in blocks] == [seen["point"]["block"]]
    frames = {row["input_id"]: row["content"] for row in blocks[0]["inputs"] if row["input_kind"] == "frame"}
    assert frames[next(name for name in frames if name.endswith(path.name))] == seen["point"]["content"]


def test_every_bit_is_said_in_words(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    star = brightest(survey)
    curve = survey.light_curve(star)
    flag, quality = sum(bit.value for bit in FLAGS), sum(bit.value for bit in TESS_QUALITY)
    curve.points["flag"][:] = 0
    curve.points["flag"][7], curve.points["quality"][7] = flag, quality
    monkeypatch.setattr(Survey, "light_curve", lambda *_: curve)
    facts = explain_star(survey, star, float(curve.time[7]))
    text = " ".join(format_explanation(facts).split())  # long lines are broken
    for bit in FLAGS:
        words = " ".join(f"flag {bit.name} ({bit.value}): {bit.meaning}".split())
        assert text.count(words) == 2
        assert f"{words}: 1 point " in text
    for bit in TESS_QUALITY:
        assert f"quality {bit.name} ({bit.value}): {bit.meaning}" in text
    assert f"{int(np.count_nonzero(curve.good))} of 300 points are good" in text


def test_a_bad_frame_is_no_part_of_the_chain_until_it_is_mended(house: House) -> None:
    root = house.finished()
    path = raw_files(root)[20]

    def frames() -> int:
        steps = [step for step in chain_of(cuvee.open(root)) if step["product"] == "fluxes"]
        names = [row["input_id"] for step in steps for row in step["inputs"] if row["input_kind"] == "frame"]
        assert any(path.name in name for name in names) == (path.stat().st_size == whole)
        return len(names)

    whole = path.stat().st_size
    assert frames() == 300
    edit(path, faults.truncate)
    run(root)
    assert frames() == 299
    house.restore(path)
    run(root)
    assert frames() == 300


def test_the_explanation_is_json_and_text(survey: Survey) -> None:
    facts = explain_star(survey, brightest(survey))
    assert json.loads(json.dumps(facts)) == facts
    text = format_explanation(facts)
    for step in chain_of(survey):
        assert step["path"] in text
        assert step["content"] in text
        assert step["recipe"] in text
    assert "have their defaults" in text
