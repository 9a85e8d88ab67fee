"""Figures must show what they say: every point drawn once and by its kind, and numbers that agree with the arrays."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Circle

from cuvee.errors import ConfigError
from cuvee.model.records import Geometry, Readout, Reference, Targets
from cuvee.quicklook import (
    Example,
    Injection,
    Stamp,
    figure_light_curve,
    figure_recovery,
    figure_scatter,
    noise_curve,
    save,
    show_star,
)
from cuvee.quicklook.fold import flux_range, fold
from cuvee.quicklook.words import observation_words
from cuvee.survey import LightCurve

GOOD, MISSION, OURS, LOST = 400, 6, 4, 5


def light_curve(n_segment: int = 1, period: float = 3.1, depth: float = 0.01, n: int = 415, **extra: Any) -> LightCurve:
    """A transit light curve; of each segment 6 points carry a bad quality bit, 4 a bad flag, 5 no flux."""
    rng = np.random.default_rng(4)
    time = np.concatenate([1517.3 + 700.0 * k + np.arange(n) / 48.0 for k in range(n_segment)])
    phase = fold(time, period, 1518.0)
    flux = 5000.0 * (1.0 - depth * (np.abs(phase) < 0.03)) + rng.normal(0.0, 2.0, time.size)
    quality, flag = np.zeros(time.size, np.int32), np.zeros(time.size, np.int32)
    for k in range(n_segment):
        quality[k * n + 20 : k * n + 20 + MISSION] = 32
        flux[k * n + 20 : k * n + 23] = 9000.0  # far off the chart
        flag[k * n + 50 : k * n + 50 + OURS] = 2
        flux[k * n + 80 : k * n + 80 + LOST] = np.nan
    rows = tuple(
        {"segment": f"s{8 + k:04d}", "detector": "3-4", "series": "ffi", "crowding": 0.9, "best": "aperture2"}
        for k in range(n_segment)
    )
    points = {"time": time, "flux": flux.astype(np.float32), "quality": quality, "flag": flag} | extra
    return LightCurve("tess", 25155310, 63.4, -69.2, 10.5, rows, np.repeat(np.arange(n_segment), n), points)


def stamp() -> Stamp:
    image = np.random.default_rng(1).normal(100.0, 3.0, (11, 11)).astype(np.float32)
    image[5, 5], image[0, 0] = 5000.0, np.nan
    neighbours = np.array([[103.0, 52.0, 11.0], [98.0, 47.5, 15.5], [97.0, 53.0, np.nan]])
    return Stamp(image, 95, 45, (100.2, 50.1, 10.5), neighbours, (1.5, 2.5, 3.5), 1)


def drawn(figure: Figure, path: Path) -> Any:
    """Save and read back; whatever goes wrong in drawing goes wrong here."""
    save(figure, path)
    return imread(path)


def legend_words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def in_data(ax: Axes) -> list[tuple[Any, Any]]:
    """The points of each line that is drawn in data coordinates."""
    lines = [line for line in ax.lines if line.get_transform() == ax.transData]
    return [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in lines]


def test_every_point_with_a_flux_is_drawn_once_by_its_kind(tmp_path: Path) -> None:
    lc = light_curve()
    figure = figure_light_curve(lc)
    ax = figure.axes[0]
    low, high = ax.get_ylim()
    x = np.concatenate([points[0] for points in in_data(ax)])
    y = np.concatenate([points[1] for points in in_data(ax)])
    seen = np.isfinite(lc.flux)
    np.testing.assert_array_equal(np.sort(x), lc.time[seen])
    np.testing.assert_allclose(y[np.argsort(x)], np.clip(lc.flux[seen], low, high), rtol=1e-7)
    assert low < lc.flux[lc.good].min() < lc.flux[lc.good].max() < high < 9000.0
    words = legend_words(figure)
    assert words[0] == f"{GOOD} good points"
    assert words[1].startswith(f"{MISSION} left out, mission's quality: desaturation (off the chart")
    assert words[2] == f"{OURS} left out, cuvee's flag: edge"
    assert words[3] == f"{LOST} without a flux"
    assert [line.get_marker() for line in ax.lines if np.size(line.get_xdata())] == [
        "o",
        "x",
        "^",
        "s",
        "|",
    ]  # not colour alone
    assert all(line.get_linestyle() == "None" for line in ax.lines)  # so no gap is bridged
    assert drawn(figure, tmp_path / "a.png").shape[1] == 1999


def test_axes_have_names_and_units_and_the_right_one_is_relative(tmp_path: Path) -> None:
    lc = light_curve()
    figure = figure_light_curve(lc, 3.1, stamp())
    drawn(figure, tmp_path / "a.png")
    top, folded, pixels, bar = figure.axes
    assert top.get_ylabel() == "flux (e⁻/s)"
    assert any("BTJD" in text.get_text() and "2457000 (d)" in text.get_text() for text in figure.texts)
    assert "(ppt)" in folded.get_ylabel()
    assert folded.get_xlabel().startswith("phase (0 at BTJD ")
    assert (pixels.get_xlabel(), pixels.get_ylabel()) == ("column (px)", "row (px)")
    assert bar.get_ylabel() == "reference image (e⁻/s)"
    right = top.child_axes[0]
    middle = np.median(lc.flux[lc.good])
    np.testing.assert_allclose(right.get_ylim(), 1e3 * (np.array(top.get_ylim()) / middle - 1.0), atol=1e-6)
    assert right.get_ylabel() == "relative flux (ppt)"


def test_a_long_gap_breaks_the_time_axis(tmp_path: Path) -> None:
    lc = light_curve(3)
    figure = figure_light_curve(lc)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["sector 8", "sector 9", "sector 10"]
    assert all(np.ptp(ax.get_xlim()) < 12.0 for ax in figure.axes)
    inside = [int(((lc.time >= ax.get_xlim()[0]) & (lc.time <= ax.get_xlim()[1])).sum()) for ax in figure.axes]
    assert inside == [415, 415, 415]
    drawn(figure, tmp_path / "a.png")


def test_a_short_gap_does_not() -> None:
    lc = light_curve()
    keep = (lc.time < 1520.0) | (lc.time > 1525.0)
    cut = LightCurve(
        lc.instrument, lc.id, lc.ra, lc.dec, lc.mag, lc.observations, lc.observation[keep],
        {name: values[keep] for name, values in lc.points.items()},
    )  # fmt: skip
    assert len(figure_light_curve(cut).axes) == 1


def test_the_dip_is_folded_into_the_middle() -> None:
    lc = light_curve(depth=0.02)
    folded = figure_light_curve(lc, 3.1).axes[-1]
    epoch = float(folded.get_xlabel().split("BTJD ")[1].rstrip(")"))
    assert abs(fold(np.array([epoch]), 3.1, 1518.0)[0]) < 0.01
    # The bins' medians: deep in transit, flat outside.
    centre, middle = max((xy for xy in in_data(folded) if len(xy[0]) < 100), key=lambda xy: len(xy[0]))
    np.testing.assert_allclose(middle[np.abs(centre) < 0.015], -20.0, atol=1.0)
    np.testing.assert_allclose(middle[np.abs(centre) > 0.06], 0.0, atol=1.0)


def test_phase_runs_through_zero_at_the_epoch() -> None:
    np.testing.assert_allclose(fold(np.array([10.0, 12.0, 12.5, 11.5, 14.0]), 2.0, 10.0), [0.0, 0.0, 0.25, -0.25, 0.0])


def test_each_observation_is_divided_by_its_own_median_before_folding() -> None:
    lc = light_curve(2)
    brighter = np.where(lc.observation == 1, 1.5, 1.0).astype(np.float32)
    uneven = LightCurve(
        lc.instrument, lc.id, lc.ra, lc.dec, lc.mag, lc.observations, lc.observation,
        {**lc.points, "flux": lc.flux * brighter},
    )  # fmt: skip
    folded = figure_light_curve(uneven, 3.1).axes[-1]
    assert max(float(np.abs(xy[1]).max()) for xy in in_data(folded)) < 13.0  # ppt: transit depth and noise only


def test_a_deep_eclipse_is_shown_whole_and_a_stray_point_is_not() -> None:
    rng = np.random.default_rng(5)
    flux = 5000.0 + rng.normal(0.0, 1.0, 1000)
    low, high = flux_range(flux)
    assert low < flux.min() < flux.max() < high < 5010.0
    flux[500] = 9000.0
    assert flux_range(flux)[1] < 5100.0
    flux[100:106] = 2500.0
    assert flux_range(flux)[0] < 2500.0


def test_stamp_shows_apertures_neighbours_and_detector_coordinates(tmp_path: Path) -> None:
    figure = figure_light_curve(light_curve(), stamp=stamp())
    ax = figure.axes[1]
    rings = [patch for patch in ax.patches if isinstance(patch, Circle)]
    assert [ring.radius for ring in rings] == [1.5, 2.5, 3.5]
    assert {ring.center for ring in rings} == {(100.2, 50.1)}
    assert int(np.argmax([ring.get_linewidth() for ring in rings])) == 1
    assert [text.get_text() for text in ax.texts] == ["11.0", "15.5"]
    sizes = [float(np.asarray(ring.get_sizes())[0]) for ring in ax.collections]  # type: ignore[attr-defined]
    assert sizes[0] > sizes[1]
    left, right, bottom, top = ax.images[0].get_extent()
    assert (left, right, bottom, top) == (94.5, 105.5, 44.5, 55.5)  # pixel centres are whole numbers
    drawn(figure, tmp_path / "a.png")


def test_stamp_is_cut_at_the_edge_and_absent_off_the_image() -> None:
    def star(col: float, row: float) -> Targets:
        one = np.array([1.0])
        return Targets(
            np.array([5]), np.array([77]), one, one, one, np.array(["ffi"]), np.array([col]), np.array([row]),
            np.ones((1, 3)), np.zeros(1, np.int32), (1.5, 2.5, 3.5),
        )  # fmt: skip

    readout = Readout(1425.6, (5.2,), (10.0,), 720, (0,), 1.5e5)
    image = np.arange(200.0, dtype=np.float32).reshape(10, 20)
    reference = Reference("ffi", Geometry(10, 20, 100, 300), image, "", 2019.0, 0.0, 0.0, (), readout)
    corner = Stamp.cut(reference, star(301.2, 100.4), 77, "pipeline", 4)
    assert corner is not None
    assert (corner.col0, corner.row0, corner.image.shape, corner.best) == (300, 100, (5, 6), -1)
    assert corner.radii == ()  # a mask is no circle
    assert corner.image[0, 0] == 0.0
    assert Stamp.cut(reference, star(400.0, 100.0), 77, "aperture1", 4) is None
    assert Stamp.cut(reference, star(np.nan, 100.0), 77, "aperture1", 4) is None
    assert Stamp.cut(reference, star(301.0, 100.0), 78, "aperture1", 4) is None


@pytest.mark.parametrize("what", ["nothing good", "one point", "no times", "constant", "negative", "many"])
def test_odd_light_curves_are_drawn_all_the_same(what: str, tmp_path: Path) -> None:
    lc = light_curve(n=12_000 if what == "many" else 415)
    points = {name: values.copy() for name, values in lc.points.items()}
    if what == "nothing good":
        points["quality"][:] = 32
    elif what == "one point":
        points["flag"][1:] = 2
    elif what == "no times":
        points["time"][:] = np.nan
    elif what == "constant":
        points["flux"][:] = 7.0
    elif what == "negative":
        points["flux"] -= 6000.0
    odd = LightCurve("tess", 1, 0.0, 0.0, np.nan, lc.observations, lc.observation, points)
    survey = SimpleNamespace(stamp=lambda _: None)
    figure = show_star(survey, odd, 2.0)
    drawn(figure, tmp_path / "a.png")
    rasterized = [line.get_rasterized() for line in figure.axes[0].lines]
    assert any(rasterized) == (what == "many")


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_same_figure_same_bytes(suffix: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(figure_light_curve(light_curve(), 3.1, stamp()), tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_users_settings_neither_change_figures_nor_are_changed(tmp_path: Path) -> None:
    save(figure_light_curve(light_curve()), tmp_path / "plain.png")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        save(figure_light_curve(light_curve()), tmp_path / "styled.png")
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "styled.png").read_bytes()


def test_pictures_need_neither_display_nor_pyplot(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from cuvee.quicklook import figure_scatter, save\n"
        "save(figure_scatter(np.linspace(8, 15, 50), np.geomspace(1e-4, 1e-2, 50)), Path(sys.argv[1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    subprocess.run(done, check=True, env={"PATH": "", "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)})
    assert (tmp_path / "a.png").exists()


def test_unknown_picture_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"let it end in \.png, \.pdf or \.svg"):
        save(figure_light_curve(light_curve()), tmp_path / "a.gif")


def test_noise_curve_is_what_a_simulated_detector_shows() -> None:
    rng = np.random.default_rng(11)
    zero_point, background, n_pixel, exposure, n_read, read_noise = 20.44, 150.0, 20, 1425.6, 720, 10.0
    mags = np.array([9.0, 12.0, 15.0])
    flux = 10.0 ** (-0.4 * (mags - zero_point))
    electrons = rng.poisson(exposure * (flux + n_pixel * background), (40_000, 3)) + rng.normal(
        0.0, read_noise * np.sqrt(n_read * n_pixel), (40_000, 3)
    )
    measured = electrons.std(axis=0) / exposure / flux
    curve = noise_curve(mags, zero_point, background, n_pixel, n_read * read_noise**2 / exposure**2, exposure)
    np.testing.assert_allclose(curve.total, measured, rtol=0.012)  # a standard deviation of 40,000 is good to 0.35 %
    np.testing.assert_allclose(curve.total**2, curve.photon**2 + curve.background**2 + curve.read**2)


def test_scatter_picture_counts_stars_and_names_the_quietest(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    mag = rng.uniform(8.0, 16.0, 500)
    model = noise_curve(np.linspace(7.0, 17.0, 50), 20.44, 100.0, 12.0, 0.03, 1425.6)
    expected = np.exp(np.interp(mag, model.mag, np.log(model.total)))
    scatter = 1.3 * expected
    scatter[:4], scatter[4] = [np.nan, 0.0, -1.0, np.inf], 1e-6
    ids = np.arange(500) + 1000
    figure = figure_scatter(mag, scatter, model, rng.uniform(0.2, 1.0, 500), expected, ids, "a run", 1425.6, 2)
    upper, lower = figure.axes[:2]
    words = upper.texts[0].get_text()
    assert words.startswith("496 stars")
    assert "1004: 1 ppm" in words
    assert words.count("ppm") == 2
    assert upper.get_yscale() == "log"
    assert upper.get_ylabel() == "scatter of one 1,426 s exposure (ppm)"
    total = next(line for line in upper.lines if str(line.get_label()).startswith("expected noise"))
    np.testing.assert_allclose(np.asarray(total.get_ydata()), 1e6 * model.total)
    ratio = np.asarray(lower.collections[0].get_offsets())[1:, 1]
    np.testing.assert_allclose(ratio, 1.3)
    drawn(figure, tmp_path / "a.png")


@pytest.mark.parametrize("n", [0, 1, 3])
def test_scatter_picture_of_few_stars(n: int, tmp_path: Path) -> None:
    drawn(figure_scatter(np.linspace(9.0, 10.0, n), np.full(n, 1e-3), crowding=np.full(n, np.nan)), tmp_path / "a.png")


def test_recovery_picture_shows_injected_against_recovered(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    true = 10.0 ** rng.uniform(-3, -1.5, 30)
    got = true + rng.normal(0.0, 2e-4, 30)
    got[0] = np.nan
    lc = light_curve()
    phase = np.linspace(-0.5, 0.5, 101)
    relative = lc.flux[lc.good] / np.median(lc.flux[lc.good]) - 1.0
    dip = np.where(np.abs(phase) < 0.03, -0.01, 0.0)
    example = Example("a star", lc.time[lc.good], relative, 3.1, 1518.0, (phase, dip))
    figure = figure_recovery([Injection("transits", true, got, np.full(30, 2e-4))], [example] * 3)
    upper = figure.axes[0]
    points = next(xy for xy in in_data(upper) if len(xy[0]) == 29)
    np.testing.assert_allclose(points[0], 1e6 * true[1:])
    np.testing.assert_allclose(points[1], 1e6 * got[1:])
    legend = upper.get_legend()
    assert legend is not None
    assert "30 transits (1 not above 0)" in [text.get_text() for text in legend.get_texts()]
    assert [ax.get_title(loc="left") for ax in figure.axes[2:]] == ["a star"] * 3
    # The model lies in the middle of its points: both are multiplied by the same factor.
    model = next(xy for xy in in_data(figure.axes[2]) if len(xy[0]) == 101)
    assert model[1].min() == pytest.approx(-10.0)
    # Nothing of one panel, its labels included, lies in another one.
    drawn(figure, tmp_path / "a.png")
    boxes = [box for ax in figure.axes if (box := ax.get_tightbbox()) is not None]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes[2:]) for b in boxes[2:][:k])
    drawn(figure_recovery([Injection("none", np.empty(0), np.empty(0), np.empty(0))]), tmp_path / "b.png")


@pytest.mark.parametrize(
    ("name", "stem", "words"),
    [
        ("tess", "s0008-3-4-ffi", "TESS sector 8, camera 3, CCD 4, full-frame images"),
        ("tess", "s0001-4-1-tpf-120s", "TESS sector 1, camera 4, CCD 1, target pixel files, 120 s"),
        ("kepler", "c91-10-4-tpf-long", "K2 campaign 91, module 10, output 4, target pixel files, long cadence"),
        ("kepler", "q03-2-1-tpf-short", "Kepler quarter 3, module 2, output 1, target pixel files, short cadence"),
        ("camera", "night1-a-b-fits", "night1, a-b, fits"),
    ],
)
def test_a_run_is_named_in_words(name: str, stem: str, words: str) -> None:
    assert observation_words(name, Path("LC") / f"{stem}.parquet") == words


def test_a_star_without_a_good_point_is_drawn_in_its_own_range() -> None:
    clean = light_curve()
    lc = light_curve(flag=np.full(clean.time.size, 2, np.int32))
    assert not lc.good.any()
    low, high = figure_light_curve(lc).axes[0].get_ylim()
    assert low < np.nanmedian(lc.flux) < high
