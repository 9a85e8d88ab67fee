"""Sentences of the page against the light curves themselves, done again here with numpy from the Parquet files."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from tests.report.test_page import Page, read

from cuvee.instruments.registry import instrument
from cuvee.model.flags import FLAGS, TESS_QUALITY, default_mask
from cuvee.model.keys import DataId
from cuvee.report import write_report
from cuvee.report.detector import Timeline, choose_sample, gather_stars
from cuvee.report.gather import RunFacts, gather_run
from cuvee.report.markup import Html
from cuvee.report.page import make_page
from cuvee.report.section import Section, _jitter, brief_section, make_section
from cuvee.report.write import _choose
from cuvee.store.ledger import Ledger
from cuvee.survey import Survey

FloatArray = NDArray[np.float64]
MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def facts(survey: Survey) -> RunFacts:
    return gather_run(survey.paths, survey.config)


@pytest.fixture(scope="module")
def page(survey: Survey) -> Page:
    return read(write_report(survey))


@pytest.fixture(scope="module")
def rows(survey: Survey) -> dict[int, dict[str, object]]:
    """Every row of the light curves, read without cuvee."""
    found = {}
    for path in (survey.paths.light_curves / "tess" / "dataset").rglob("Npix=*/*.parquet"):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            found[row["id"]] = row | {name: np.asarray(values) for name, values in row["lc"].items()}
    return found


def good(row: dict[str, object]) -> NDArray[np.bool_]:
    quality, flag, flux, time = (np.asarray(row[name]) for name in ("quality", "flag", "flux", "time"))
    kept = (quality & default_mask(TESS_QUALITY) == 0) & (flag & default_mask(FLAGS) == 0)
    return np.asarray(kept & np.isfinite(flux) & np.isfinite(time))


def sigma(values: FloatArray) -> float:
    """The robust scatter by its definition: the median absolute deviation over that of a unit normal."""
    return float(np.nanmedian(np.abs(values - np.nanmedian(values))) / 0.6744897501960817)


def test_the_share_of_stars_at_the_noise_model_is_that_of_the_points(
    rows: dict[int, dict[str, object]], page: Page
) -> None:
    """From the points alone: successive differences over the median flux error, both as the page says."""
    ratio = []
    for row in rows.values():
        kept = good(row)
        if not kept.any():
            continue
        flux = np.where(kept, np.asarray(row["flux"], np.float64), np.nan)
        error = float(np.median(np.asarray(row["flux_err"], np.float64)[kept]))
        if np.median(flux[kept]) > 0:
            ratio.append(sigma(np.diff(flux)) / np.sqrt(2.0) / error)
    found = page.row("all stars")
    assert int(found[1]) == len(ratio)
    assert float(found[4]) == pytest.approx(np.median(ratio), abs=6e-4)
    for place, far in ((5, 0.10), (6, 0.25)):
        assert int(found[place].split()[0]) == pytest.approx(
            100 * np.mean(np.abs(np.array(ratio) - 1) <= far), abs=0.51
        )
    assert "A star counts as within 10 % (25 %) of the noise model where its point-to-point scatter is 0.90 to 1.10" in page.text  # fmt: skip
    sentence = re.search(
        r"Half of the (\d+) stars scatter no more than ([\d.]+) times .*? explain; (\d+) % of", page.text
    )
    assert sentence
    assert int(sentence[1]) == len(ratio)
    assert float(sentence[2]) == pytest.approx(np.median(ratio), abs=6e-3)
    assert sentence[3] == found[5].split()[0]


def test_background_and_pointing_are_those_of_the_points(
    survey: Survey, facts: RunFacts, rows: dict[int, dict[str, object]], page: Page
) -> None:
    stars = gather_stars(facts.groups[0][1])
    chosen = [rows[int(star)] for star in stars["id"][choose_sample(stars)]]
    cadences = sorted({int(c) for row in chosen for c in np.asarray(row["cadence"])})
    background = np.full((len(chosen), len(cadences)), np.nan)
    moved = np.full((2, *background.shape), np.nan)
    for k, row in enumerate(chosen):
        at = np.searchsorted(cadences, np.asarray(row["cadence"]))
        background[k, at] = np.asarray(row["background"])
        for axis, name in enumerate(("col", "row")):
            moved[axis, k, at] = np.asarray(row[f"centroid_{name}"], np.float64) - float(str(row[name]))
    alt = next(picture["alt"] for picture in page.pictures if picture["alt"].startswith("Background of"))
    middle = np.median(np.nanmedian(background, axis=0))
    assert f"Background of {len(cadences)} frames over time, median {middle:,.1f} electrons a second and pixel" in alt
    with Ledger.open(survey.paths.ledger, read_only=True) as ledger:
        quality = {row["cadence"]: row["quality"] for row in ledger.rows("frames")}
    kept = np.array([quality[c] & default_mask(TESS_QUALITY) == 0 for c in cadences])
    usual = np.nanmedian(moved, axis=2)
    frame = np.nanmedian(moved - usual[:, :, None], axis=1)
    jitter = [f"{sigma(values[kept]):.4f}" for values in frame]
    offset = [f"{np.median(values):.3f}".replace("-", MINUS) for values in usual]
    assert f"Scatter of the pointing: {jitter[0]} px in column, {jitter[1]} px in row" in page.text
    assert f"centroids lie {offset[0]} px in column and {offset[1]} px in row" in page.text


def test_the_words_about_a_star_are_true(rows: dict[int, dict[str, object]], page: Page) -> None:
    said = re.findall(r"TIC (\d+) : TESS magnitude ([\d.]+), scatter ([\d.]+) times the expected noise", page.text)
    assert 3 <= len({star for star, _, _ in said}) <= 9
    for star, mag, ratio in said:
        row = rows[int(star)]
        kept = good(row)
        flux = np.where(kept, np.asarray(row["flux"], np.float64), np.nan)
        error = np.median(np.asarray(row["flux_err"], np.float64)[kept])
        assert float(mag) == pytest.approx(float(str(row["mag"])), abs=0.0051)
        assert float(ratio) == pytest.approx(sigma(np.diff(flux)) / np.sqrt(2.0) / error, abs=0.0051)
        alt = next(p["alt"] for p in page.pictures if p["alt"].startswith(f"Light curve of TIC {star}:"))
        assert f"{kept.sum()} good points of {kept.size}" in alt


def test_bytes_and_times_are_those_on_disk_and_in_the_ledger(survey: Survey, page: Page) -> None:
    curves = [path.stat().st_size for path in survey.paths.light_curves.rglob("Npix=*/*.parquet")]
    with Ledger.open(survey.paths.ledger, read_only=True) as ledger:
        units = ledger.units()
        metrics = [row for row in ledger.products() if row["stage"] == "collect" and row["kind"] != "lightcurves"]
    whole = sum(curves) + sum((survey.path / row["path"]).stat().st_size for row in metrics)
    found = next(row for row in page.rows if row[0].startswith("collect"))
    number, unit = found[7].split()
    assert float(number) * {"kB": 1e3, "MB": 1e6}[unit] == pytest.approx(whole, rel=0.05)
    assert int(found[6]) == len(curves) + len(metrics)
    every = page.row("all")
    spent = sum(one["seconds"] for one in units)
    assert float(every[3].removeprefix("< ").split()[0]) == pytest.approx(spent, abs=0.51)
    assert every[2] == str(len(units))


def test_a_detector_that_is_only_told_of_has_the_same_numbers(survey: Survey, facts: RunFacts) -> None:
    brief, whole = brief_section(facts, 0), make_section(survey, facts, 0, 72, 1)
    assert brief.html == ""
    assert len(whole.html) > 10_000
    for name in ("group", "title", "n_star", "n_good", "n_point", "n_frame", "noise"):
        assert getattr(brief, name) == getattr(whole, name), name


def detector(name: str, html: str = "") -> Section:
    return Section(DataId("tess", "s0008", name, "ffi"), name, Html(html), n_star=1, n_frame=7, n_missing=-1)


def test_of_many_detectors_those_that_the_run_made_are_drawn() -> None:
    names = [f"{camera}-{ccd}" for camera in range(1, 5) for ccd in range(1, 5)]
    sections = [detector(name) for name in names]
    made = frozenset(sections[k].group for k in (3, 9))
    assert _choose(RunFacts(made=made), sections) == [3, 9]
    assert _choose(RunFacts(made=made), sections[:4]) == [0, 1, 2, 3]
    assert _choose(RunFacts(), sections) == list(range(16))  # nothing was made: all there is
    assert len(_choose(RunFacts(), sections * 3)) == 32
    sections[9] = detector(names[9], '<h3 id="x">drawn</h3>')
    page = Page(make_page(RunFacts(number=2, made=made), sections, Path("w"), "tess", {}))
    assert page.links.count("#tess-s0008-3-2-ffi") == 1
    assert page.anchors.count("tess-s0008-3-2-ffi") == 1
    assert not any("s0008-1-1" in link for link in page.links)
    assert page.row("1-1")[1:4] == ["1", "7", "\N{EN DASH}"]
    assert "Shown below are the detectors that this run has made" in page.text


def test_flagged_frames_do_not_count_in_the_scatter_of_the_pointing() -> None:
    rng = np.random.default_rng(3)
    col, row = rng.normal(0.0, 0.02, (2, 400))
    quality = np.where(np.arange(400) % 3 == 0, 32, 0)  # desaturation
    col[quality > 0] += 5.0
    seen = np.arange(400) != 7
    spread = [np.stack([values - 1.0, values, values + 1.0]) for values in (col, row)]
    timeline = Timeline(
        np.arange(400), np.arange(400.0), seen, quality, np.zeros((3, 400)), spread[0], spread[1], (0.0, 0.0), 1,
        np.zeros((2, 1)), np.zeros((1, 400), np.float32),
    )  # fmt: skip
    kept = seen & (quality == 0)
    assert _jitter(timeline, instrument("tess")) == pytest.approx((sigma(col[kept]), sigma(row[kept])), rel=1e-9)
