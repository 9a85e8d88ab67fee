"""PSF fluxes on the page: where frames point against the truth, methods against the light curves, and what is said of the PRF."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from tests.report.conftest import reduce

import cuvee
from cuvee.model.flags import COSMIC_RAY, TESS_QUALITY
from cuvee.model.keys import DataId
from cuvee.model.prf import Prf
from cuvee.model.psf import StarModel
from cuvee.model.records import FluxBlock, Moments
from cuvee.report import section, write_report
from cuvee.report.detector import gather_stars, gather_timeline, pick_stars, show_stars
from cuvee.report.displacement import (
    Displacement,
    Terms,
    figure_displacement,
    gather_displacement,
    good_frames,
    scatter_of,
    terms_of,
)
from cuvee.report.gallery import gallery
from cuvee.report.gather import gather_run
from cuvee.report.psf import PsfFacts, fit_words, gather_psf
from cuvee.simulate import faults
from cuvee.simulate.tess import simulate
from cuvee.store.blocks import write_block
from cuvee.store.star_models import read_star_model, write_star_model
from cuvee.survey import Survey

GROUP = DataId("tess", "s0008", "3-4", "ffi")


@pytest.fixture(scope="module", autouse=True)
def no_gallery() -> Iterator[None]:
    """Leave out what other tests look at, which is most of the time of a page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(section, "pick_stars", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """22 frames, one of them cut short, whose stars have PSF fluxes."""
    folder = tmp_path_factory.mktemp("psf") / "w"
    simulate(folder, frames=22, stars=800, size=192, seed=5)
    faults.truncate(sorted((folder / "RAW").glob("*_ffic.fits"))[5])
    config = folder / "cuvee.toml"
    config.write_text(config.read_text().replace("[extract]\n", "[extract]\npsf = true\n"))
    return reduce(folder)


@pytest.fixture(scope="module")
def page(measured: Survey) -> str:
    return write_report(measured).read_text()


@pytest.fixture
def spoilt(measured: Survey, tmp_path: Path) -> Survey:
    """A copy that a test may spoil."""
    folder = tmp_path / "w"
    shutil.copytree(measured.path, folder, ignore=shutil.ignore_patterns("RAW", "report"))
    opened: Survey = cuvee.open(folder)
    return opened


def words_of(page: str) -> str:
    bare = re.sub(r"<style>.*?</style>|src=\"data[^\"]*\"", "", page, flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", bare)))


def row_of(page: str, first: str) -> list[str]:
    """The cells of the last row of the page that begins so."""
    rows = re.findall(rf"<tr><th[^>]*>{first}</th>.*?</tr>", page)
    return [unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", rows[-1])]


def test_frames_point_where_they_were_made_to(measured: Survey) -> None:
    facts = gather_run(measured.paths, measured.config)
    (psf,) = gather_psf(facts, GROUP)
    found = gather_displacement(psf.blocks)
    assert found is not None
    truth = pq.read_table(measured.path / "truth" / "frames.parquet").to_pydict()
    known = {int(cadence): k for k, cadence in enumerate(truth["cadence"])}
    at = [known[int(cadence)] for cadence in found.cadence]
    assert sorted(set(range(22)) - set(at)) == [5]  # the broken file has no displacement, and is not said to lack one
    terms = terms_of(found, 192, 192, psf.model.prf.half)
    for values, axis in ((terms.col, "col"), (terms.row, "row")):
        made = np.array(truth[f"jitter_{axis}"])[at] + np.array(truth[f"drift_{axis}"])[at]
        assert np.std(values - made) < 1e-3
        assert np.std(made) > 0.02


@pytest.mark.parametrize(("n_col", "n_row"), [(400, 400), (300, 500)])
def test_roll_and_scale_are_those_of_turned_and_stretched_stars(n_col: int, n_row: int) -> None:
    rng = np.random.default_rng(2)
    half, roll, scale, shift = 7, np.radians(3.0 / 3600.0), 40e-6, (0.11, -0.07)
    col, row = rng.uniform(10, n_col - 10, 500).round(), rng.uniform(10, n_row - 10, 500).round()
    x, y = col - 0.5 * (n_col - 1), row - 0.5 * (n_row - 1)
    # Turned from columns towards rows, by complex numbers.
    moved = (x + 1j * y) * (1.0 + scale) * np.exp(1j * roll) + complex(*shift)
    u, v = 2.0 * (col - half) / n_col - 1.0, 2.0 * (row - half) / n_row - 1.0
    basis = np.column_stack([np.ones(500), u, v])
    coef = np.linalg.lstsq(basis, np.column_stack([moved.real - x, moved.imag - y]), rcond=None)[0].T
    terms = terms_of(Displacement(np.array([1]), coef[None]), n_col, n_row, half)
    assert terms.col[0] == pytest.approx(shift[0], abs=1e-6)
    assert terms.row[0] == pytest.approx(shift[1], abs=1e-6)
    assert terms.roll[0] == pytest.approx(3.0, rel=1e-3)
    assert terms.scale[0] == pytest.approx(40.0, rel=1e-3)
    alone = terms_of(Displacement(np.array([1]), coef[None, :, :1]), n_col, n_row, half)
    assert alone.col[0] == coef[0, 0]
    assert np.isnan([alone.roll[0], alone.scale[0]]).all()


def block(cadence: list[int], pointing: list[object] | None, missing: int = -1) -> FluxBlock:
    n = len(cadence)
    time = np.arange(float(n))
    moments = Moments(np.array(cadence), time, time + 0.02, np.zeros(n), np.zeros(n, np.int32))
    names = tuple("" if k == missing else f"frame{k}" for k in cadence)
    planes = {"flag": np.zeros((1, n), np.int32)}
    return FluxBlock(moments, names, planes, np.zeros(1, np.int64), {} if pointing is None else {"pointing": pointing})


def test_blocks_are_joined_and_frames_without_stay_without(tmp_path: Path) -> None:
    one: list[object] = [[0.1, 1e-3, 2e-3], [0.2, 0.0, 0.0]]
    write_block(tmp_path / "b.arrow", block([4, 5, 6], [one, None, None], missing=6))
    write_block(tmp_path / "a.arrow", block([1, 2], [one, one]))
    found = gather_displacement([tmp_path / "b.arrow", tmp_path / "a.arrow", tmp_path / "gone.arrow"])
    assert found is not None
    assert found.cadence.tolist() == [1, 2, 4, 5]
    assert found.coef.shape == (4, 2, 3)
    assert np.isnan(found.coef[3]).all()
    assert found.coef[2].tolist() == one
    write_block(tmp_path / "none.arrow", block([1, 2], [[[], []], [[], []]]))
    write_block(tmp_path / "old.arrow", block([1, 2], None))
    assert gather_displacement([tmp_path / "none.arrow", tmp_path / "old.arrow"]) is None
    assert np.isnan(scatter_of(np.full(3, np.nan)))


def test_the_gallery_shows_what_the_model_leaves(measured: Survey) -> None:
    facts = gather_run(measured.paths, measured.config)
    stars = gather_stars(facts.groups[0][1])
    picked = pick_stars(measured, GROUP, stars, 1)
    shown = show_stars(measured, GROUP, stars, picked, facts.references, facts.models)
    assert len(shown) == len(picked) > 0
    for star in shown:
        alone = measured.residual(star.curve)
        assert alone is not None
        assert star.residual is not None
        np.testing.assert_array_equal(star.residual.picture.pull, alone.picture.pull)
    assert gallery("tess", shown, 60, "x").count("what that leaves over its error") == len(shown)
    plain = show_stars(measured, GROUP, stars, picked, facts.references, {})
    assert "what that leaves" not in gallery("tess", plain, 60, "x")


@pytest.mark.parametrize("spoil", ["nothing", "lost", "wild", "only shift", "all lost"])
def test_every_frame_is_drawn_once(measured: Survey, spoil: str) -> None:
    facts = gather_run(measured.paths, measured.config)
    timeline = gather_timeline(measured, GROUP, gather_stars(facts.groups[0][1]))
    assert timeline is not None
    timeline.quality[3] = 32
    rng = np.random.default_rng(3)
    n = timeline.cadence.size
    terms = Terms(*rng.normal(0.0, 0.01, (4, n)))
    if spoil == "lost":
        terms.col[7:9], terms.row[7:9] = np.nan, np.nan
    elif spoil == "all lost":
        for values in (terms.col, terms.row, terms.roll, terms.scale):
            values[:] = np.nan
    elif spoil == "wild":
        terms.col[10] = 50.0
    elif spoil == "only shift":
        terms = replace(terms, roll=np.full(n, np.nan), scale=np.full(n, np.nan))
    figure = figure_displacement(timeline.cadence, terms, timeline, TESS_QUALITY)
    figure.draw_without_rendering()
    assert len(figure.axes) == (2 if spoil in ("only shift", "all lost") else 4)
    drawn = [line for line in figure.axes[0].lines if line.get_marker() in ("o", "x", "^", "v", "D")]
    assert sum(np.size(line.get_xdata()) for line in drawn) == n
    low, high = figure.axes[0].get_ylim()
    assert high - low < 1.0  # a wild frame does not squeeze the others
    assert good_frames(timeline.cadence, timeline, TESS_QUALITY).sum() == n - 1
    timeline.quality[3] = 0


def test_numbers_of_the_methods_are_those_of_the_light_curves(measured: Survey, page: str) -> None:
    rows = pq.read_table(measured.paths.light_curves / "tess" / "summary" / "s0008-3-4-ffi.parquet").to_pylist()
    curves = {row["id"]: measured.light_curve(row["id"]) for row in rows if 13 <= row["mag"] < 14}
    hit = sum(int(np.count_nonzero(lc.flag & COSMIC_RAY)) for lc in curves.values())
    scatter: dict[str, NDArray[np.float64]] = {}
    for method in ("aperture1", "psf"):
        found = []
        for lc in curves.values():
            good = np.where(lc.good, lc.points[f"{method}_flux"].astype(float), np.nan)
            n = good.size // 2 * 2
            steps = good[1:n:2] - good[0:n:2]
            steps = steps[np.isfinite(steps)]
            spread = 1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2) if steps.size else np.nan
            found.append(1e6 * spread / 10.0 ** (-0.4 * (lc.mag - 20.44)))
        scatter[method] = np.array(found)
    known = np.isfinite(scatter["psf"])
    row = row_of(page, "13 to 14 mag")
    assert int(row[1]) == known.sum() > 20
    assert int(row[5].replace(",", "")) == pytest.approx(np.median(scatter["psf"][known]), rel=2e-3)
    # A circle of 1.5 px holds 1 - exp(-r^2 / 2 s^2) of a Gaussian of 1.9 px, blurred twice by the pixel.
    share = 1.0 - np.exp(-(1.5**2) / 2.0 / (1.9**2 / (8.0 * np.log(2.0)) + 1.0 / 6.0))
    assert int(row[2].replace(",", "")) == pytest.approx(np.median(scatter["aperture1"][known]) / share, rel=2e-3)
    best = [lc.observations[0]["best"] for lc, seen in zip(curves.values(), known, strict=True) if seen]
    shares = [f"{100 * best.count(name) / len(best):.0f}\N{NO-BREAK SPACE}%" for name in ("aperture1", "aperture2", "aperture3", "psf")]  # fmt: skip
    assert row[6:10] == shares
    assert int(row[11]) <= hit  # stars without a PSF flux count for nothing
    assert (
        f"{sum(row['n_cosmic_ray'] for row in rows):,} points of {sum(row['n_point'] for row in rows):,}"
        in words_of(page)
    )


def test_the_page_says_and_shows_it_once(measured: Survey, page: str) -> None:
    text = words_of(page)
    model = read_star_model(next((measured.path / "BASE" / "prf").iterdir()))
    assert f"Learned from {model.numbers['n_teacher']:.0f} bright and isolated stars" in text
    assert "The PRF fits" in text
    assert "Against the reference image, over 21 good frames" in text
    assert page.count('-psf"') == 2  # the anchor and the link to it
    alts = re.findall(r'alt="([^"]*)"', page)
    for start in ("Median scatter of 4 methods", "The PRF at the centre", "Displacement of the frames"):
        assert sum(alt.startswith(start) for alt in alts) == 1


def test_a_prf_that_is_too_narrow_is_the_first_thing_to_know(spoilt: Survey) -> None:
    path = next((spoilt.path / "BASE" / "prf").iterdir())
    model = read_star_model(path)
    write_star_model(path, replace(model, numbers={**model.numbers, "width_mismatch": 0.023, "width_error": 0.001}))
    text = words_of(write_report(spoilt).read_text())
    assert "the stars are 2.3 % wider than the PRF; PSF fluxes carry errors" in text
    assert "The PRF does not fit : the stars are 2.30 ± 0.10 % wider" in text


def test_without_prf_blocks_or_psf_in_the_configuration_the_rest_stands(spoilt: Survey) -> None:
    shutil.rmtree(spoilt.path / "RED" / "s0008" / "3-4-ffi" / "fluxes")
    text = words_of(write_report(spoilt).read_text())
    assert "the flux blocks have been cleared away" in text
    assert "The PRF fits" in text
    facts = gather_run(spoilt.paths, spoilt.config)
    assert gather_psf(replace(facts, config={"extract": {"psf": False}}), GROUP) == ()
    shutil.rmtree(spoilt.path / "BASE" / "prf")
    assert "Apertures and the PSF" not in words_of(write_report(spoilt).read_text())


def test_without_psf_fluxes_nothing_is_said_of_them_unless_they_were_asked_for(survey: Survey, tmp_path: Path) -> None:
    assert "enough to teach the PRF" in words_of(write_report(survey).read_text())
    folder = tmp_path / "w"
    shutil.copytree(survey.path, folder, ignore=shutil.ignore_patterns("report"), symlinks=True)
    config = folder / "cuvee.toml"
    config.write_text(config.read_text().replace("[extract]\n", "[extract]\npsf = false\n"))
    assert "Apertures and the PSF" not in words_of(write_report(reduce(folder)).read_text())


@pytest.mark.parametrize(
    ("width", "error", "said", "bad"),
    [
        (0.0003, 0.0002, "The PRF fits: the stars are 0.03 ± 0.02 % wider than the PRF", False),
        (-0.002, 0.0002, "but not to its errors: the stars are 0.20 ± 0.02 % narrower than the PRF (10 standard", False),
        (-0.02, 0.03, "The PRF does not fit", True),
        (np.nan, np.nan, "How well it fits was not noted", False),
    ],
)  # fmt: skip
def test_the_fit_is_judged_by_its_width(width: float, error: float, said: str, bad: bool, measured: Survey) -> None:
    facts = gather_run(measured.paths, measured.config)
    (psf,) = gather_psf(facts, GROUP)
    nothing = np.zeros(0)
    prf = Prf(np.zeros((1, 3, 3)), 1, 1, 0, (0.0, 0.0), (1.0, 1.0))
    numbers = {"n_teacher": 9.0, "order": 2.0, "width_mismatch": width, "width_error": error, "n_found": 1.0}
    model = StarModel("x", prf, nothing.astype(np.int64), nothing, nothing, nothing, numbers)
    words, worry = fit_words(PsfFacts("x", model, psf.reference, ()))
    assert said in words
    assert "1 star that the catalogue lacks was found" in words
    assert worry == bad
