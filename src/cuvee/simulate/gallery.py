"""Folded light curves of the best recovered stars, and what was put into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.quicklook import Example
from cuvee.simulate.comparison import Comparison, Found, FoundFlare
from cuvee.simulate.measure import Points, good_points
from cuvee.simulate.recover import injected_shapes
from cuvee.simulate.signals import ECLIPSES, PULSATOR, SINUSOID, TRANSIT, flare_mean
from cuvee.simulate.truth import Truth

__all__ = ["best_stars", "gallery"]

FloatArray = NDArray[np.float64]
Curves = Mapping[int, Mapping[str, Any]]

FLARE_WINDOW = 0.6
"""Days about the peak of a flare that are shown."""


def best_stars(stars: Sequence[Found], kind: str) -> list[Found]:
    """Return the stars of one kind whose signals ought to be found, the clearest first."""
    return sorted((s for s in stars if s.sure and s.kind == kind), key=lambda s: s.amplitude_err / s.amplitude)


def _harmonic(star: Found, truth: Truth) -> bool:
    # Whether the modes of a pulsator repeat with its period.
    ratio = truth.modes["frequency"][truth.modes["id"] == star.id] * star.period
    return bool(np.allclose(ratio, np.rint(ratio)))


def _example(star: Found, points: Points, truth: Truth) -> Example:
    # The model is what the aperture sees: weakened by the neighbours' light.
    row = int(np.flatnonzero(truth.stars["id"] == star.id)[0])
    facts = {name: values[row] for name, values in truth.stars.items()}
    exposure = float(np.median(np.diff(points.time)))
    heights = np.array([star.amplitude])
    if star.kind == ECLIPSES:
        heights = np.array([star.amplitude, star.secondary])
    if star.kind == PULSATOR:
        heights = truth.modes["amplitude"][truth.modes["id"] == star.id]

    def signal(when: FloatArray) -> FloatArray:
        shapes = injected_shapes(facts, truth.modes, when, exposure)
        return np.asarray(1.0 + star.crowding * np.sum(heights[:, None] * shapes, axis=0))

    phase, epoch = np.linspace(-0.5, 0.5, 401), float(facts["epoch"])
    model = None
    if star.kind != PULSATOR or _harmonic(star, truth):
        model = (phase, signal(epoch + phase * star.period) / np.median(signal(points.time)) - 1.0)
    title = f"{star.kind}, {star.period:.3f} d, T = {star.mag:.1f}"
    relative = points.flux / np.median(points.flux) - 1.0
    return Example(title, points.time, relative, star.period, epoch, model)


def _flare(flare: FoundFlare, points: Points, crowding: float) -> Example:
    exposure = float(np.median(np.diff(points.time)))
    near = np.abs(points.time - flare.peak) < 0.5 * FLARE_WINDOW
    phase = np.linspace(-0.5, 0.5, 401)
    shape = flare_mean(phase * FLARE_WINDOW, np.zeros(1), np.array([flare.width]), exposure)
    relative = points.flux / np.median(points.flux) - 1.0
    title = f"flare, {24 * FLARE_WINDOW:.0f} h, T = {flare.mag:.1f}"
    model = (phase, crowding * flare.amplitude * shape)
    return Example(title, points.time[near], relative[near], FLARE_WINDOW, flare.peak, model)


def gallery(truth: Truth, comparison: Comparison, curves: Curves) -> tuple[list[Example], list[Example]]:
    """Choose the clearest light curve of each kind.

    Parameters
    ----------
    truth : Truth
        Of the simulation.
    comparison : Comparison
        From `cuvee.simulate.recover.recover`.
    curves : mapping of int to mapping
        The light curves that were compared, by star.

    Returns
    -------
    first, second : list of Example
        Sinusoids and transits; binaries, pulsators and flares. Up to six each.
    """
    points = {}

    def of(star: int) -> Points:
        if star not in points:
            points[star] = good_points(curves[star])
        return points[star]

    first = [s for kind in (SINUSOID, TRANSIT) for s in best_stars(comparison.stars, kind)[:3]]
    pulsators = best_stars(comparison.stars, PULSATOR)
    chosen = [[s for s in pulsators if _harmonic(s, truth) is harmonic][:1] for harmonic in (True, False)]
    second = [*best_stars(comparison.stars, ECLIPSES)[:2], *chosen[0], *chosen[1]]
    flares = sorted((f for f in comparison.flares if f.sure), key=lambda f: f.amplitude_err / f.amplitude)[:2]
    return (
        [_example(s, of(s.id), truth) for s in first],
        [_example(s, of(s.id), truth) for s in second]
        + [_flare(f, of(f.id), float(curves[f.id]["crowding"])) for f in flares],
    )
