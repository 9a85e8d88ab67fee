"""The comparison on light curves of binaries, pulsators, flare stars, saturated stars, and one that an asteroid passes."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.model.flags import ASTEROID
from cuvee.simulate.comparison import Comparison
from cuvee.simulate.gallery import best_stars, gallery
from cuvee.simulate.measure import aperture_share
from cuvee.simulate.recover import recover
from cuvee.simulate.recovery_page import recovery_document, recovery_page
from cuvee.simulate.recovery_text import format_table
from cuvee.simulate.signals import FLARE_AREA, eclipses_mean, flare_mean, sinusoid_mean
from cuvee.simulate.truth import Truth

DAY, POINTS, ERR, CROWDING, STARS = 1 / 48, 480, 0.002, 0.6, 160
Columns = dict[str, NDArray[Any]]


def _truth(seed: int) -> Truth:
    rng = np.random.default_rng(seed)
    kind = np.array(["eclipses", "pulsator", "flares", "constant"])[np.arange(STARS) % 4]
    nan = np.full(STARS, np.nan)
    binary = kind == "eclipses"
    period = np.where(binary, 0.7 + 3 * rng.random(STARS), nan)
    mag = 8 + 7 * rng.random(STARS)
    number = np.arange(STARS) + 100
    stars: Columns = {
        "id": number,
        "mag": mag,
        "flux": 10 ** (0.4 * (20.44 - mag)),
        "col": 1000.0 + 20 * np.arange(STARS),
        "row": np.where(np.arange(STARS) == 7, 500.0, 600.0),
        "kind": kind,
        "period": period,
        "epoch": np.where(binary, 1500 + period * rng.random(STARS), nan),
        "amplitude": np.where(binary, 0.2, nan),
        "secondary": np.where(binary, 0.08, nan),
        "duration": np.where(binary, 0.25, nan),
        "saturated": np.arange(STARS) == 3,
        "strap": np.where(np.arange(STARS) % 8 == 3, 0.04, 0.0),
    }
    pulsators, flaring = number[kind == "pulsator"], number[kind == "flares"]
    modes: Columns = {
        "id": np.repeat(pulsators, 3),
        "frequency": np.stack([5 + rng.random(40), 8 + rng.random(40), 11 + 2 * rng.random(40)], axis=1).ravel(),
        "amplitude": np.tile([0.02, 0.01, 0.005], 40),
        "epoch": 1500 + 0.1 * rng.random(120),
    }
    stars["period"][kind == "pulsator"] = 1 / modes["frequency"][::3]
    stars["epoch"][kind == "pulsator"] = modes["epoch"][::3]
    stars["amplitude"][kind == "pulsator"] = 0.02
    flares: Columns = {
        "id": np.repeat(flaring, 2),
        "peak": np.stack([1501 + 3 * rng.random(40), 1505 + 3 * rng.random(40)], axis=1).ravel(),
        "amplitude": 0.2 + rng.random(80),
        "width": 0.01 + 0.02 * rng.random(80),
    }
    stars["amplitude"][kind == "flares"] = np.maximum(flares["amplitude"][::2], flares["amplitude"][1::2])
    # Passes star 7, which is constant, half a pixel off.
    asteroids: Columns = {
        "asteroid": np.zeros(POINTS, dtype=np.int64),
        "frame": np.arange(POINTS),
        "cadence": 5000 + np.arange(POINTS),
        "time": 1500 + DAY * np.arange(POINTS),
        "mag": np.full(POINTS, 12.0),
        "flux": np.full(POINTS, 2300.0),
        "col": stars["col"][7] + 0.6 * (np.arange(POINTS) - 300),
        "row": np.full(POINTS, 500.5),
        "d_col": np.full(POINTS, 0.6),
        "d_row": np.zeros(POINTS),
    }
    return Truth(stars, {}, modes, flares, asteroids)


def _curves(truth: Truth, seed: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    time = np.linspace(1500.0, 1500.0 + DAY * (POINTS - 1), POINTS)
    for k, number in enumerate(truth.stars["id"]):
        relative, kind = np.ones(POINTS), truth.stars["kind"][k]
        if kind == "eclipses":
            period, epoch, duration = (truth.stars[name][k] for name in ("period", "epoch", "duration"))
            primary, secondary = eclipses_mean(time, period, epoch, duration, DAY)
            relative -= 0.2 * primary + 0.08 * secondary
        for m in np.flatnonzero(truth.modes["id"] == number):
            frequency, epoch = truth.modes["frequency"][m], truth.modes["epoch"][m]
            relative += truth.modes["amplitude"][m] * sinusoid_mean(time, 1 / frequency, epoch, DAY)
        for m in np.flatnonzero(truth.flares["id"] == number):
            shape = flare_mean(time, truth.flares["peak"][m], truth.flares["width"][m], DAY)
            relative += truth.flares["amplitude"][m] * shape
        own = 0.9 * truth.stars["flux"][k]
        flux = own * relative + own * (1 / CROWDING - 1)
        if k == 7:
            for i in range(295, 306):
                offset = (float(truth.asteroids["col"][i] - truth.stars["col"][k]), 0.5)
                flux[i] += 2300.0 * aperture_share(offset, (0.6, 0.0), 0.81, 3.5)
        sigma = ERR * own / CROWDING
        noisy = flux + sigma * rng.standard_normal(POINTS)
        yield {
            "id": number,
            "crowding": CROWDING,
            "time": time,
            "cadence": 5000 + np.arange(POINTS),
            "flux": noisy,
            "flux_err": np.full(POINTS, sigma),
            "aperture2_flux": noisy,
            "aperture2_flux_err": np.full(POINTS, sigma),
            "quality": np.zeros(POINTS, dtype=np.int32),
            "flag": np.full(POINTS, 8 if k == 3 else 0, dtype=np.int32),
        }


@pytest.fixture(scope="module")
def truth() -> Truth:
    return _truth(1)


@pytest.fixture(scope="module")
def curves(truth: Truth) -> dict[int, dict[str, Any]]:
    return {int(curve["id"]): curve for curve in _curves(truth, 2)}


@pytest.fixture(scope="module")
def result(truth: Truth, curves: dict[int, dict[str, Any]]) -> Comparison:
    return recover(
        truth.stars,
        curves.values(),
        modes=truth.modes,
        flares=truth.flares,
        asteroids=truth.asteroids,
        radii=(2.0, 3.5),
    )


def _check(pulls: list[float]) -> None:
    pull = np.array(pulls)
    assert pull.mean() == pytest.approx(0, abs=4 / np.sqrt(pull.size))
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(2 * pull.size))


def test_both_depths_of_a_binary_come_back(result: Comparison) -> None:
    binaries = [s for s in result.stars if s.kind == "eclipses"]
    assert len(binaries) == 40
    assert all(s.sure and s.recovered for s in binaries)
    _check([s.pull for s in binaries])
    _check([(s.secondary_found - s.secondary) / s.secondary_err for s in binaries])


def test_modes_come_back_and_the_strongest_is_the_period(result: Comparison) -> None:
    pulsators = [s for s in result.stars if s.kind == "pulsator"]
    assert len(result.modes) == 120
    assert len(pulsators) == 40
    _check([m.pull for m in result.modes])
    assert all(m.recovered for m in result.modes if m.sure)
    assert all(abs(s.period_found / s.period - 1) < 0.01 for s in pulsators)


def test_energies_of_flares_come_back(result: Comparison, truth: Truth) -> None:
    assert len(result.flares) == 80
    assert result.flares_unseen == 0
    _check([f.pull for f in result.flares])
    assert all(f.recovered for f in result.flares if f.sure)
    one = result.flares[0]
    m = int(np.flatnonzero((truth.flares["id"] == one.id) & (truth.flares["peak"] == one.peak))[0])
    assert one.energy == pytest.approx(86400 * FLARE_AREA * truth.flares["amplitude"][m] * truth.flares["width"][m])


def test_a_flare_between_good_points_is_not_judged(truth: Truth, curves: dict[int, dict[str, Any]]) -> None:
    number = int(truth.flares["id"][0])
    curve = dict(curves[number])
    gap = np.abs(curve["time"] - truth.flares["peak"][0]) < 0.5
    curve["quality"] = np.where(gap, 32, 0)
    result = recover(truth.stars, [curve], flares=truth.flares)
    assert result.flares_unseen == 1
    assert len(result.flares) == 1
    assert result.flares[0].peak == truth.flares["peak"][1]


def test_the_asteroid_is_seen_in_the_star_that_it_passes(result: Comparison) -> None:
    (one,) = result.passages
    assert (one.id, one.asteroid) == (107, 0)
    assert one.distance == pytest.approx(0.5, abs=0.01)
    assert one.time == pytest.approx(1500 + 300 * DAY)
    assert one.expected == pytest.approx(2300, rel=0.02)
    assert one.found == pytest.approx(one.expected, abs=5 * one.error)
    assert not one.flagged


def test_a_point_that_is_flagged_for_its_asteroid_still_tells_of_it(
    truth: Truth, curves: dict[int, dict[str, Any]], result: Comparison
) -> None:
    curve = dict(curves[107])
    curve["flag"] = np.where(np.abs(curve["time"] - result.passages[0].time) < 0.1, ASTEROID, curve["flag"])
    again = recover(truth.stars, [curve], asteroids=truth.asteroids, radii=(2.0, 3.5))
    (one,) = again.passages
    assert one.flagged
    assert one.found == pytest.approx(result.passages[0].found, rel=0.01)


@pytest.mark.parametrize(
    ("offset", "run"), [((0.0, 0.0), (0.0, 0.0)), ((1.2, -0.7), (0.8, 0.3)), ((3.5, 0.0), (0.0, 1.0))]
)
def test_the_share_in_an_aperture_is_an_integral(offset: tuple[float, float], run: tuple[float, float]) -> None:
    rng = np.random.default_rng(4)
    n = 400_000
    s = rng.random(n) - 0.5
    x = offset[0] + s * run[0] + 0.81 * rng.standard_normal(n) + rng.random(n) - 0.5
    y = offset[1] + s * run[1] + 0.81 * rng.standard_normal(n) + rng.random(n) - 0.5
    inside = (np.hypot(x, y) < 3.5).mean()
    assert aperture_share(offset, run, 0.81, 3.5) == pytest.approx(inside, abs=0.005)


def test_saturated_stars_are_told(result: Comparison) -> None:
    (one,) = result.bright
    assert one.id == 103
    assert one.flux_ratio == pytest.approx(0.9 / CROWDING, rel=0.01)
    assert one.flagged == 1
    assert one.scatter == pytest.approx(ERR, rel=0.15)


def test_stars_on_straps_are_told_apart(result: Comparison) -> None:
    assert sum(b.n for b in result.noise) == 40
    assert sum(b.n for b in result.strap_noise) == 20


def test_nothing_is_lost_on_the_way(result: Comparison, truth: Truth, curves: dict[int, dict[str, Any]]) -> None:
    assert result.without == 0
    half = [curve for number, curve in curves.items() if number >= 180]
    assert recover(truth.stars, half, modes=truth.modes, flares=truth.flares).without == 60
    # Without their tables pulsators and flare stars are passed over.
    assert {s.kind for s in recover(truth.stars, curves.values()).stars} == {"eclipses"}


def test_text_and_page_show_every_kind(result: Comparison, truth: Truth, curves: dict[int, dict[str, Any]]) -> None:
    text = format_table(result)
    assert max(len(line) for line in text.splitlines()) <= 110
    shown = gallery(truth, result, curves)
    assert not shown[0]
    assert [e.title.split(",")[0] for e in shown[1]] == ["eclipses", "eclipses", "pulsator", "flare", "flare"]
    page = recovery_document(result, shown)
    for words in ("Eclipsing binaries", "Pulsators", "Flares", "Asteroids", "Saturated stars", "Constant stars"):
        assert words in text
        assert words in page
    assert page.count("data:image/png;base64,") == 1
    assert page == recovery_document(result, shown)
    assert "nan" not in re.sub(r"base64,[^\"]+", "", page)
    assert len(best_stars(result.stars, "eclipses")) == 40
    # Every tag that is opened is closed.
    for name in ("table", "tr", "td", "th", "h2", "thead", "tbody"):
        assert len(re.findall(rf"<{name}[ >]", page)) == page.count(f"</{name}>")


def test_an_empty_comparison_has_a_page() -> None:
    assert recovery_page(Comparison((), (), 0)) == ""
    assert "3 injected stars" in recovery_page(Comparison((), (), 3))
