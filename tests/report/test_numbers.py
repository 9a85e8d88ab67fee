"""The arithmetic behind the page, against definitions, numpy and the light curves themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.model.flags import TESS_QUALITY
from cuvee.model.keys import DataId
from cuvee.quicklook.noise import share_within
from cuvee.report.detector import Timeline, choose_sample, gather_stars, gather_timeline, pick_stars
from cuvee.report.figures import quality_rows
from cuvee.report.gather import gather_run
from cuvee.report.judge import noise_table, quantiles, spread_over_noise
from cuvee.report.markup import bytes_text, duration, number, percent, tag, text
from cuvee.report.sky import Outline, figure_sky, sky_centre
from cuvee.store.ledger import Ledger
from cuvee.survey import Survey

GROUP = DataId("tess", "s0008", "3-4", "ffi")


def test_quantiles_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(41, 30))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[1:, 7] = np.nan
    values[:, 9] = np.nan
    some = np.arange(30) != 9
    found = quantiles(values, (0.1, 0.5, 0.84))
    np.testing.assert_allclose(found[:, some], np.nanquantile(values[:, some], (0.1, 0.5, 0.84), axis=0), rtol=1e-12)
    assert np.isnan(found[:, 9]).all()


def test_a_white_light_curve_spreads_as_its_noise_and_a_sinusoid_by_its_amplitude() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(1000.0, 2.0, 4000)
    good = np.ones(4000, bool)
    assert spread_over_noise(noise, good) == pytest.approx(1.0, abs=0.05)
    wave = 100.0 * np.sin(np.arange(4000) / 300.0)
    # 5 % of a sine lie above sin(0.45 pi) of its amplitude.
    assert spread_over_noise(noise + wave, good) == pytest.approx(
        100.0 * np.sin(0.45 * np.pi) / (1.645 * 2.0), rel=0.05
    )
    good[19:] = False
    assert np.isnan(spread_over_noise(noise, good))


def test_the_table_of_noise_counts_what_it_says() -> None:
    ratio = np.array([0.85, 0.95, 1.05, 1.2, 3.0, 1.0, np.nan])
    flux = np.full(7, 100.0)
    flux[5] = -1.0
    stars: dict[str, NDArray[Any]] = {
        "mag": np.array([9.5, 9.6, 9.7, 10.1, 10.2, 10.3, 10.4]),
        "flux": flux,
        "flux_err": np.full(7, 2.0),
        "scatter": 2.0 * ratio,
        "crowding": np.array([1.0, np.nan, 0.95, 0.5, 0.1, 1.0, 1.0]),
    }
    every, alone, nine, ten = noise_table(stars)
    assert [every.n_star, every.ratio, every.within_10, every.within_25] == pytest.approx([5, 1.05, 0.4, 0.8])
    assert [alone.n_star, alone.within_10] == pytest.approx([3, 2 / 3])
    assert [nine.n_star, nine.scatter, nine.expected] == pytest.approx([3, 0.019, 0.02])
    assert (ten.words, ten.n_star, ten.within_25) == ("10 to 11 mag", 2, 0.5)
    assert np.isnan(share_within(np.array([np.nan]), 0.1))


def test_the_timeline_is_the_median_of_the_light_curves(survey: Survey) -> None:
    facts = gather_run(survey.paths, survey.config)
    stars = gather_stars(facts.groups[0][1])
    timeline = gather_timeline(survey, GROUP, stars)
    assert timeline is not None
    chosen = choose_sample(stars)
    curves = [survey.light_curve(int(star)) for star in stars["id"][chosen]]
    assert timeline.n_star == len(curves) > 10
    assert timeline.cadence.size == 24
    assert timeline.seen.sum() == 22
    assert (np.diff(timeline.time) > 0).all()
    assert np.ptp(np.diff(timeline.time)) < 1e-3 / 24
    for cadence in timeline.cadence[timeline.seen][[0, 7, 21]]:
        k = int(cadence - timeline.cadence[0])
        at = [np.flatnonzero(lc.cadence == cadence)[0] for lc in curves]
        values = [float(lc.background[i]) for lc, i in zip(curves, at, strict=True)]
        assert timeline.background[1, k] == pytest.approx(np.nanmedian(values), rel=1e-9)
        moved = [
            float(lc.centroid_row[i]) - np.nanmedian(lc.centroid_row.astype(float))
            for lc, i in zip(curves, at, strict=True)
        ]
        assert timeline.row[1, k] == pytest.approx(np.nanmedian(moved), abs=1e-6)
    # Only the frames' own quality bits remain.
    with Ledger.open(survey.paths.ledger, read_only=True) as ledger:
        for row in ledger.rows("frames"):
            assert timeline.quality[row["cadence"] - timeline.cadence[0]] == row["quality"]


def test_bad_frames_stand_where_they_would_have_been(survey: Survey, bad_names: tuple[str, str]) -> None:
    facts = gather_run(survey.paths, survey.config)
    with Ledger.open(survey.paths.ledger, read_only=True) as ledger:
        known = {row["cadence"] for row in ledger.rows("frames", segment="s0008")}
    first = min(known)
    assert [Path(one.path).name for one in facts.bad] == list(bad_names)
    assert [one.cadence - first for one in facts.bad] == [5, 11]
    assert {one.group for one in facts.bad} == {GROUP}
    assert facts.files[GROUP].n_file == 22
    assert len(facts.files[GROUP].no_wcs) == 1


def test_the_gallery_holds_the_brightest_and_the_noisiest(survey: Survey) -> None:
    facts = gather_run(survey.paths, survey.config)
    stars = gather_stars(facts.groups[0][1])
    picked = {label: k for labels, k, _ in pick_stars(survey, GROUP, stars, 2) for label in labels.split()}
    assert sorted(picked) == ["B1", "B2", "V1", "V2", "W1", "W2"]
    usable = (stars["n_good"] >= 20) & (stars["flux"] > 0)
    assert stars["mag"][picked["B1"]] == stars["mag"][usable].min()
    own = usable & ~(stars["crowding"] < 0.5)
    ratio = stars["scatter"] / stars["flux_err"]
    assert ratio[picked["W1"]] == np.nanmax(ratio[own])
    spreads = [spread_over_noise(lc.flux, lc.good) for lc in map(survey.light_curve, stars["id"][own].tolist())]
    shown = survey.light_curve(int(stars["id"][picked["V1"]]))
    assert spread_over_noise(shown.flux, shown.good) == np.nanmax(spreads)


def test_frames_are_sorted_by_what_is_noteworthy() -> None:
    quality = np.array([0, 32, 32 | 2048, 0, 1 << 20, 0])
    nothing = np.zeros((3, 6))
    seen = np.array([True, True, True, False, True, False])
    star = (np.zeros((2, 1)), np.zeros((1, 6), np.float32))
    timeline = Timeline(
        np.arange(10, 16), np.arange(6.0), seen, quality, nothing, nothing, nothing, (0.0, 0.0), 1, *star
    )
    rows = {name: (left_out, which.tolist()) for name, _, left_out, which in quality_rows(timeline, TESS_QUALITY, [15])}
    assert rows == {
        "no frame": (True, [False, False, False, True, False, False]),
        "file cannot be used": (True, [False] * 5 + [True]),
        "desaturation": (True, [False, True, True, False, False, False]),
        "stray light": (False, [False, False, True, False, False, False]),
        "unknown bit": (False, [False] * 4 + [True, False]),
    }


def _ring(ra: float, dec: float, radius: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions on a circle about a point, made by turning it from the pole."""
    angle = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    lat, lon = np.radians(90.0 - radius) * np.ones_like(angle), angle
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    tilt, turn = np.radians(90.0 - dec), np.radians(ra)
    x, z = x * np.cos(tilt) + z * np.sin(tilt), -x * np.sin(tilt) + z * np.cos(tilt)
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arcsin(np.clip(z, -1.0, 1.0)))


@pytest.mark.parametrize("centre", [(0.0, 10.0), (359.99, -66.0), (45.0, 90.0), (200.0, -90.0), (123.0, 5.0)])
@pytest.mark.parametrize("radius", [0.01, 8.0, 50.0])
def test_the_map_holds_its_stars_at_the_poles_and_where_ra_begins_anew(
    centre: tuple[float, float], radius: float
) -> None:
    ra, dec = _ring(*centre, radius)
    middle = sky_centre(ra, dec)
    assert middle[1] == pytest.approx(centre[1], abs=1e-6)
    if abs(centre[1]) < 90:
        assert np.cos(np.radians(middle[0] - centre[0])) == pytest.approx(1.0, abs=1e-9)
    figure = figure_sky(ra, dec, np.linspace(8.0, 15.0, 40), [Outline("A", ra, dec)], [("B1", ra[0], dec[0])])
    figure.draw_without_rendering()
    ax = figure.axes[0]
    edge = ax.lines[0].get_xydata()
    # A circle about the centre stays one, and in an equal-area projection a cap keeps its area.
    size = np.hypot(*np.asarray(edge).T)
    np.testing.assert_allclose(size, 2.0 * np.degrees(np.sin(np.radians(0.5 * radius))), rtol=1e-6, atol=1e-9)
    assert max(np.abs(ax.get_xlim()).min(), np.abs(ax.get_ylim()).min()) >= size.max()


@pytest.mark.parametrize(("ra", "dec"), [([63.0], [-69.0]), ([], [])])
def test_a_map_of_one_star_or_none_is_drawn(ra: Sequence[float], dec: Sequence[float]) -> None:
    edge = _ring(63.0, -69.0, 0.03)
    outlines = [] if ra else [Outline("", *edge)]
    figure = figure_sky(np.array(ra), np.array(dec), np.full(len(ra), np.nan), outlines)
    figure.draw_without_rendering()


def test_numbers_are_written_as_people_read_them() -> None:
    assert [number(v, d) for v, d in ((1234567.0, 0), (-0.0123, 3), (-0.0001, 2), (np.nan, 1))] == [
        "1,234,567",
        "\N{MINUS SIGN}0.012",
        "0.00",
        "\N{EN DASH}",
    ]
    assert [percent(0.825), percent(np.nan)] == ["82\N{NO-BREAK SPACE}%", "\N{EN DASH}"]
    assert [duration(s) for s in (0.01, 3.21, 65.0, 600.0, 9000.0)] == [
        "< 0.1 s",
        "3.2 s",
        "65 s",
        "10 min",
        "2 h 30 min",
    ]
    assert [bytes_text(n) for n in (0, 999, 1500, 2.5e8, 3e12)] == ["0 B", "999 B", "1.5 kB", "250 MB", "3000 GB"]
    assert text("<&\"'>") == "&lt;&amp;&quot;&#x27;&gt;"
    assert tag("p", "<b>", class_='"x') == '<p class="&quot;x">&lt;b&gt;</p>'
