"""The comparison on light curves that are made from the truth itself."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvee.simulate.comparison import NoiseBin
from cuvee.simulate.recover import recover
from cuvee.simulate.recovery_text import format_table
from cuvee.simulate.signals import sinusoid_mean, transit_mean

DAY = 1 / 48


def _truth(n: int, seed: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    kind = np.array(["constant", "sinusoid", "transit"])[np.arange(n) % 3]
    varies = kind != "constant"
    mag = 8 + 7 * rng.random(n)
    nan = np.full(n, np.nan)
    period = np.where(varies, 0.7 + 3 * rng.random(n), nan)
    return {
        "id": np.arange(n) + 100,
        "mag": mag,
        "flux": 10 ** (0.4 * (20.44 - mag)),
        "kind": kind,
        "period": period,
        "epoch": np.where(varies, 1500 + period * rng.random(n), nan),
        "amplitude": np.where(varies, 0.02, nan),
        "duration": np.where(kind == "transit", 0.15, nan),
    }


def _curves(
    truth: dict[str, NDArray[Any]],
    seed: int,
    *,
    crowding: float = 0.6,
    points: int = 480,
    err: float = 0.002,
    inflate: float = 1.0,
) -> Iterator[dict[str, Any]]:
    # A star that is `crowding` of the light in its aperture, and 90 % of whose own light is in it.
    rng = np.random.default_rng(seed)
    time = np.linspace(1500.0, 1500.0 + DAY * (points - 1), points)
    for k, number in enumerate(truth["id"]):
        relative = np.ones(points)
        p, e = truth["period"][k], truth["epoch"][k]
        if truth["kind"][k] == "sinusoid":
            relative += truth["amplitude"][k] * sinusoid_mean(time, p, e, DAY)
        if truth["kind"][k] == "transit":
            relative -= truth["amplitude"][k] * transit_mean(time, p, e, truth["duration"][k], DAY)
        own = 0.9 * truth["flux"][k]
        total = own * relative + own * (1 / crowding - 1)
        sigma = err * own / crowding
        yield {
            "id": number,
            "crowding": crowding,
            "time": time,
            "flux": total + inflate * sigma * rng.standard_normal(points),
            "flux_err": np.full(points, sigma),
            "quality": np.zeros(points, dtype=np.int32),
            "flag": np.zeros(points, dtype=np.int32),
        }


def test_amplitudes_periods_and_depths_come_back_with_honest_errors() -> None:
    truth = _truth(300, seed=1)
    result = recover(truth, _curves(truth, seed=2))
    assert len(result.stars) == 200
    assert result.without == 0
    assert all(star.sure and star.recovered for star in result.stars)
    pull = np.array([star.pull for star in result.stars])
    assert pull.mean() == pytest.approx(0, abs=4 / np.sqrt(200))
    assert pull.std() == pytest.approx(1, abs=4 / np.sqrt(400))
    sinusoids = [star for star in result.stars if star.kind == "sinusoid"]
    offset = np.array([(s.period_found - s.period) / s.period_err for s in sinusoids])
    assert np.abs(np.median(offset)) < 0.5
    assert np.std(offset) == pytest.approx(1, abs=0.35)
    np.testing.assert_allclose([s.flux_ratio for s in sinusoids], 0.9, rtol=0.02)


def test_the_scatter_of_constant_stars_is_set_against_the_errors() -> None:
    truth = _truth(300, seed=3)
    result = recover(truth, _curves(truth, seed=4, inflate=1.5))
    assert sum(b.n for b in result.noise) == 100
    for b in result.noise:
        assert b.expected == pytest.approx(0.002, rel=1e-3)
        assert b.scatter / b.expected == pytest.approx(1.5, rel=0.05)
    # Errors that are too small by half do not make pulls too large.
    assert np.std([star.pull for star in result.stars]) == pytest.approx(1, abs=0.2)


def test_a_signal_far_below_the_noise_is_not_claimed() -> None:
    truth = _truth(120, seed=5)
    result = recover(truth, _curves(truth, seed=6, err=0.5))
    assert not any(star.sure for star in result.stars)
    assert sum(star.recovered for star in result.stars) < 12


def test_bad_points_are_left_out_and_short_light_curves_counted() -> None:
    truth = _truth(6, seed=7)
    curves = list(_curves(truth, seed=8))
    for curve in curves:
        curve["flux"][:50], curve["quality"][:50] = 1e9, 32
        curve["flux"][60:70], curve["flag"][60:70] = -1e9, 256
        curve["flux"][80] = np.nan
        curve["time"][90] = np.nan
    curves[1]["flux"][7:] = np.nan
    curves[2]["flux"][:] = np.nan
    stranger = curves[0] | {"id": 999}
    result = recover(truth, [*curves, stranger])
    assert {star.id for star in result.stars} == {104, 105}
    assert result.without == 2
    assert all(star.recovered for star in result.stars)


def test_a_star_without_crowding_is_taken_to_be_alone() -> None:
    truth = _truth(3, seed=9)
    curves = [c | {"crowding": np.nan} for c in _curves(truth, seed=10, crowding=1.0)]
    for star in recover(truth, curves).stars:
        assert star.amplitude_found == pytest.approx(0.02, abs=5 * star.amplitude_err)


def test_the_table_reads_well() -> None:
    truth = _truth(90, seed=11)
    text = format_table(recover(truth, list(_curves(truth, seed=12))[:-1]))
    assert text.startswith("Injected against recovered\n")
    assert max(len(line) for line in text.splitlines()) <= 110
    for words in ("Sinusoids", "Transits", "Constant stars", "1 injected stars have no light curve"):
        assert words in text
    assert "nan" not in text
    assert format_table(recover(truth, [])).startswith("Injected")


def test_bins_are_records() -> None:
    assert NoiseBin(7.0, 9.0, 3, 0.1, 0.05).scatter == 0.1
