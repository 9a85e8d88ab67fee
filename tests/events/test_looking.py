"""What people look at: the figures, the page and the explanation of photon lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tests.cli.conftest import Cuvee, cuvee
from tests.events.survey_of_photons import run_quietly
from tests.report.test_page import Page

from cuvee import open as open_survey
from cuvee.events.params import AIRGLOW
from cuvee.provenance import explain_composites, explain_target, format_target
from cuvee.quicklook import figure_composite, figure_exposure
from cuvee.report import write_report
from cuvee.simulate.cos import simulate_cos
from cuvee.simulate.photon_source import Flare, Source
from cuvee.simulate.stis import simulate_stis
from cuvee.survey import Survey

__all__ = ["cuvee"]

FIRST = "osim01aaq"


@pytest.fixture(scope="module")
def echelle(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    folder = tmp_path_factory.mktemp("echelle") / "w"
    simulate_stis(folder, events=20_000, exposures=2, seconds=400.0, grating="E140M")
    assert not run_quietly(folder).bad
    return open_survey(folder)


def test_an_event_of_an_echelle_is_counted_once(echelle: Survey) -> None:
    facts, arrays = echelle.exposure(FIRST)
    with fits.open(echelle.path / "RAW" / f"{FIRST}_tag.fits") as file:
        events = file["EVENTS"].data
        column, row = events["AXIS1"].astype(int) - 1, events["AXIS2"].astype(int) - 1
    assert list(facts["events"].values()) == [column.size]
    in_a_line = 0
    for name in facts["segments"]:
        wavelength = arrays[f"{name}.wavelength"][column]
        regions = np.concatenate([arrays[f"{name}.rows"][None], arrays[f"{name}.behind"]])[:, :, column]
        inside = ((row >= regions[:, 0]) & (row <= regions[:, 1])).any(axis=0)
        for low, high in AIRGLOW:
            in_a_line += int(np.count_nonzero(inside & (wavelength >= low) & (wavelength < high)))
    assert facts["reasons"]["airglow"] == in_a_line
    words = format_target(explain_target(echelle, "SIMULATED-1"))
    assert f"{column.size} events in {facts['segments'][0]} to {facts['segments'][-1]}:" in words
    assert "in the regions of two counts in both" in " ".join(words.split())
    assert len(words.splitlines()) < 60
    page = Page(write_report(echelle).read_text())
    counted = sum(sum(echelle.exposure(name)[0]["events"].values()) for name in (FIRST, "osim01abq"))
    assert f"{counted:,}" in page.words


def test_many_orders_are_said_in_a_few_words(echelle: Survey) -> None:
    ((facts, points),) = echelle.composites("SIMULATED-1")
    figure = figure_composite(points, facts)
    figure.draw_without_rendering()
    title = next(ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left"))
    low, high = min(low for low, _ in facts["limits"].values()), max(high for _, high in facts["limits"].values())
    assert f"{len(facts['limits'])} orders {low:.0f} to {high:.0f} Å" in title
    words = format_target(explain_composites(echelle, "SIMULATED-1"))
    assert f"{len(facts['limits'])} orders: {low:.1f} to {high:.1f} A" in words
    assert "ORDER" not in words


def test_the_page_shows_exposures_and_what_they_are_together(echelle: Survey) -> None:
    page = Page(write_report(echelle).read_text())
    ((facts, _),) = echelle.composites()
    rows = [row for row in page.rows if row[0] == "SIMULATED-1"]
    assert [row[4] for row in rows if row[1] == "2"] == [f"{facts['statistics']['total']:,}"]
    exposures = {str(one["series"]) for one in echelle.light_curve("SIMULATED-1").observations}
    assert {row[1] for row in rows} == {*exposures, "2"}
    assert "together" in page.anchors


def test_blocks_are_found_and_drawn_where_they_are_asked_for(tmp_path: Path) -> None:
    simulate_cos(
        tmp_path / "w", events=20_000, exposures=1, seconds=400.0, source=Source(flare=Flare(200.0, 20.0, 40.0))
    )
    config = tmp_path / "w" / "cuvee.toml"
    config.write_text(config.read_text().replace("# blocks = false", "blocks = true"))
    assert not run_quietly(tmp_path / "w").troubled
    survey = open_survey(tmp_path / "w")
    facts, arrays = survey.exposure("lsim01aaq")
    assert arrays["blocks"][0] == 0
    assert np.abs(arrays["blocks"] - 100).min() <= 2  # the flare, in bins of 2 s
    points = survey.light_curve("SIMULATED-1").only("lsim01aaq")
    assert np.array_equal(np.flatnonzero(np.diff(points["block"], prepend=-1)), arrays["blocks"])
    figure = figure_exposure(points, (facts, arrays))
    assert f"{arrays['blocks'].size} Bayesian blocks" in figure.axes[0].get_title(loc="left")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert "spectrum, airglow left out" in titles
    config.write_text(config.read_text().replace('# airglow = "windows"', 'airglow = "keep"'))
    run_quietly(tmp_path / "w")
    figure = figure_exposure(survey.light_curve("SIMULATED-1").only("lsim01aaq"), survey.exposure("lsim01aaq"))
    assert "spectrum" in [ax.get_title(loc="left") for ax in figure.axes]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "simulated-1", "--period", "0.5"], "leave out --period (for images only)"),
        (["show", "simulated-1", "--psf"], "is a survey of photon lists; leave out --psf (for images only)"),
        (["show", "simulated-1", "--composite", "--resolved"], "leave out --resolved, or it"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    cuvee: Cuvee, photons: Survey, tmp_path: Path, words: list[str], said: str
) -> None:
    picture = tmp_path / "x.png"
    answer = cuvee(*words, "-w", photons.path, "-o", picture)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert not picture.exists()


def test_options_of_photons_are_refused_for_images(cuvee: Cuvee, tmp_path: Path) -> None:
    root = tmp_path / "sim"
    assert cuvee("simulate", "tess", root, "--frames", "3", "--stars", "9", "--size", "64").code == 0
    for words in (["show", "1", "--exposure", "a"], ["show", "1", "--resolved"], ["explain", "1", "--composite"]):
        answer = cuvee(*words, "-w", root)
        assert (answer.code, answer.out) == (2, "")
        assert f"is a survey of images; leave out {words[2]} (for photon lists only)" in answer.err
