"""Binaries, pulsators and flare stars: drawn as they promise, and as bright as their tables say."""

import numpy as np
import pytest

from cuvee.simulate import scene as sc
from cuvee.simulate.params import SimulationParams
from cuvee.simulate.signals import CONSTANT, ECLIPSES, FLARES, PULSATOR, flare_mean, transit_mean
from cuvee.simulate.variables import draw_eclipses, draw_flares, draw_modes

CADENCE = 1 / 48


@pytest.fixture(scope="module")
def scene() -> sc.Scene:
    return sc.draw_scene(
        np.random.default_rng(5),
        20000,
        col0=0,
        row0=0,
        size=2048,
        to_sky=lambda col, row: (100 + col / 1000, -30 + row / 1000),
        start=1500.0,
        baseline=10.0,
        cadence=CADENCE,
        years=19.0,
        zero_point=20.44,
        params=SimulationParams(),
    )


def test_a_documented_share_is_of_each_kind(scene: sc.Scene) -> None:
    for kind, share in ((ECLIPSES, sc.ECLIPSES_SHARE), (PULSATOR, sc.PULSATOR_SHARE), (FLARES, sc.FLARES_SHARE)):
        here = scene.kind == kind
        assert here.sum() == pytest.approx(20000 * share, abs=5 * np.sqrt(20000 * share) + 25)
        assert scene.mag[here].max() <= 16
        assert np.isfinite(scene.amplitude[here]).all()
    assert scene.mag[scene.kind == FLARES].min() >= 11
    assert np.array_equal(np.isfinite(scene.secondary), scene.kind == ECLIPSES)
    assert set(scene.modes.star) == set(np.flatnonzero(scene.kind == PULSATOR))
    assert set(scene.flares.star) == set(np.flatnonzero(scene.kind == FLARES))


def test_binaries_have_two_eclipses_that_do_not_touch() -> None:
    period, duration, primary, secondary = draw_eclipses(np.random.default_rng(1), 5000, 4.5, CADENCE)
    assert np.all((secondary > 0.09 * primary) & (secondary < primary))
    assert np.all(duration < 0.5 * period)
    assert np.all(duration >= 3 * CADENCE)
    assert period.max() <= 4.5
    assert (primary.min(), primary.max()) == (pytest.approx(0.03, rel=0.01), pytest.approx(0.5, rel=0.01))


def test_modes_can_be_told_apart_at_the_cadence() -> None:
    modes = draw_modes(np.random.default_rng(2), np.arange(400), 1500.0, 4.5, CADENCE)
    assert modes.frequency.max() <= 0.8 * 24
    for star in range(400):
        frequency, amplitude = (v[modes.star == star] for v in (modes.frequency, modes.amplitude))
        assert amplitude[0] == amplitude.max()
        assert 3 <= frequency.size <= 6
        if np.allclose(frequency / frequency[0], np.arange(1, frequency.size + 1)):
            assert 0.4 <= 1 / frequency[0] <= 0.7


def test_flares_follow_their_power_law() -> None:
    flares = draw_flares(np.random.default_rng(3), np.arange(20000), 1500.0, 10.0)
    assert flares.star.size / 20000 == pytest.approx(1 + 0.4 * 10, rel=0.01)
    small, large = ((flares.amplitude > level).mean() for level in (0.1, 1.0))
    assert small / large == pytest.approx(10**0.8, rel=0.03)
    assert flares.amplitude.min() >= 0.05
    assert flares.amplitude.max() <= 2.0
    assert (flares.peak.min() >= 1500) & (flares.peak.max() <= 1510)


@pytest.mark.parametrize("time", [1500.3, 1504.2, 1509.9])
def test_stars_are_as_bright_as_their_tables_say(scene: sc.Scene, time: float) -> None:
    rows = np.flatnonzero(scene.kind != CONSTANT)
    relative = sc.brightness(scene, rows, np.full(rows.size, time), CADENCE) / scene.flux[rows]
    changed = 0
    for k in np.flatnonzero(np.isin(scene.kind[rows], [ECLIPSES, PULSATOR, FLARES]))[::7]:
        star, expected = rows[k], 1.0
        if scene.kind[star] == ECLIPSES:
            facts = (scene.period[star], scene.epoch[star], scene.duration[star])
            for depth, later in ((scene.amplitude[star], 0.0), (scene.secondary[star], 0.5 * facts[0])):
                expected -= depth * transit_mean(np.array(time), facts[0], facts[1] + later, facts[2], CADENCE, 0.5)
        elif scene.kind[star] == PULSATOR:
            for m in np.flatnonzero(scene.modes.star == star):
                f, a, e = (getattr(scene.modes, name)[m] for name in ("frequency", "amplitude", "epoch"))
                expected += a * np.sinc(f * CADENCE) * np.sin(2 * np.pi * f * (time - e))
        else:
            for m in np.flatnonzero(scene.flares.star == star):
                p, a, w = (getattr(scene.flares, name)[m] for name in ("peak", "amplitude", "width"))
                expected += a * float(flare_mean(np.array(time), p, w, CADENCE))
        assert relative[k] == pytest.approx(expected, abs=0.004)  # the faint end of a flare is cut off
        changed += abs(expected - 1) > 0.01
    assert changed > 10
