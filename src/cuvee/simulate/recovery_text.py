"""A comparison with the truth as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cuvee.simulate.comparison import Comparison, Found, FoundFlare, FoundMode, NoiseBin
from cuvee.simulate.recover import EDGES, FEWEST
from cuvee.simulate.signals import ECLIPSES, PULSATOR, SINUSOID, TRANSIT

__all__ = ["KIND_TITLES", "format_table"]

EXAMPLES = 8
PASSAGES = 8
KIND_TITLES = {
    SINUSOID: ("Sinusoids: period within 5 % of the true one, semi-amplitude", "amplitude"),
    TRANSIT: ("Transits: depth at the true ephemeris, above three errors", "depth"),
    ECLIPSES: ("Eclipsing binaries: depth of the primary at the true ephemeris, above three errors", "depth"),
}


def _spread(values: list[float]) -> float:
    return 1.4826 * float(np.median(np.abs(np.array(values) - np.median(values))))


def _kind_lines(found: Sequence[Found | FoundMode | FoundFlare], title: str, what: str, unit: str) -> list[str]:
    lines = [
        "",
        title,
        f"  {'Tmag':>7}  {unit:>6}  {'above 5 sigma':>13}  {'recovered':>11}  {what + ' found/injected':>24}  {'pull':>14}",
    ]
    for bright, faint in pairwise(EDGES):
        here = [s for s in found if bright <= s.mag < faint]
        sure = [s for s in here if s.sure]
        if not here:
            continue
        line = f"  {bright:4.0f}-{faint:2.0f}  {len(here):6d}  {len(sure):13d}"
        if sure:
            ratio = [s.amplitude_found / s.amplitude for s in sure]
            pull = [s.pull for s in sure]
            recovered = f"{sum(s.recovered for s in sure)} of {len(sure)}"
            line += f"  {recovered:>11}  {np.median(ratio):15.3f} +- {_spread(ratio):5.3f}  {np.median(pull):+6.2f} +- {_spread(pull):4.2f}"
        lines.append(line)
    return lines


def _example_lines(stars: list[Found]) -> list[str]:
    lines = [
        "",
        "The brightest of them",
        f"  {'id':>12}  {'Tmag':>5}  {'kind':8}  {'period (d)':>10}  {'found':>18}  {'amplitude':>9}  {'found':>18}  {'pull':>5}",
    ]
    for star in stars:
        period = f"{star.period_found:.4f} +- {star.period_err:.4f}" if np.isfinite(star.period_found) else "-"
        amplitude = f"{star.amplitude_found:.5f} +- {star.amplitude_err:.5f}"
        lines.append(
            f"  {star.id:12d}  {star.mag:5.2f}  {star.kind:8}  {star.period:10.4f}  {period:>18}  "
            f"{star.amplitude:9.5f}  {amplitude:>18}  {star.pull:+5.1f}"
        )
    return lines


def _passage_lines(comparison: Comparison) -> list[str]:
    lines = [
        "",
        "Asteroids: their light in the largest aperture of constant stars that they pass",
        f"  {'asteroid':>8}  {'T':>5}  {'star':>12}  {'Tmag':>5}  {'distance (px)':>13}  {'expected (e-/s)':>15}  {'found (e-/s)':>20}  flagged",
    ]
    strong = sorted(comparison.passages, key=lambda p: p.error / p.expected)[:PASSAGES]
    for one in strong:
        found = f"{one.found:,.0f} +- {one.error:,.0f}"
        lines.append(
            f"  {one.asteroid + 1:8d}  {one.asteroid_mag:5.2f}  {one.id:12d}  {one.mag:5.2f}  {one.distance:13.2f}  {one.expected:15,.0f}  {found:>20}  {'yes' if one.flagged else 'no':>7}"
        )
    return lines


def _bright_lines(comparison: Comparison) -> list[str]:
    lines = [
        "",
        "Saturated stars: flux in the largest aperture",
        f"  {'id':>12}  {'Tmag':>5}  {'over the true flux':>18}  {'scatter (ppm)':>13}  {'points flagged':>14}",
    ]
    lines += [
        f"  {star.id:12d}  {star.mag:5.2f}  {star.flux_ratio:18.3f}  {1e6 * star.scatter:13,.0f}  {100 * star.flagged:13.0f}%"
        for star in comparison.bright[:EXAMPLES]
    ]
    return lines


def _noise_lines(noise: Sequence[NoiseBin], title: str) -> list[str]:
    return [
        "",
        title,
        f"  {'Tmag':>7}  {'stars':>6}  {'measured (ppm)':>14}  {'expected (ppm)':>14}  {'ratio':>6}",
        *(
            f"  {b.bright:4.0f}-{b.faint:2.0f}  {b.n:6d}  {1e6 * b.scatter:14,.0f}  {1e6 * b.expected:14,.0f}  {b.scatter / b.expected:6.2f}"
            for b in noise
        ),
    ]


def format_table(comparison: Comparison) -> str:
    """Write a comparison as plain text.

    Parameters
    ----------
    comparison : Comparison
        From `cuvee.simulate.recover.recover`.

    Returns
    -------
    str
        Lines of at most 110 characters.
    """
    kinds = {kind: [s for s in comparison.stars if s.kind == kind] for kind in (*KIND_TITLES, PULSATOR)}
    lines = ["Injected against recovered"]
    for kind, (title, what) in KIND_TITLES.items():
        if kinds[kind]:
            lines += _kind_lines(kinds[kind], title, what, "stars")
    if comparison.modes:
        title = "Pulsators: amplitude of each mode, all modes of a star fitted together, above three errors"
        lines += _kind_lines(comparison.modes, title, "amplitude", "modes")
    if comparison.flares:
        title = "Flares: energy (equivalent duration), above three errors"
        lines += _kind_lines(comparison.flares, title, "energy", "flares")
    if comparison.flares_unseen:
        lines += [f"  {comparison.flares_unseen} more flares fell between good exposures."]
    if comparison.stars:
        lines += _example_lines([star for found in kinds.values() for star in found[:EXAMPLES]])
    if comparison.passages:
        lines += _passage_lines(comparison)
    if comparison.bright:
        lines += _bright_lines(comparison)
    if comparison.noise:
        lines += _noise_lines(comparison.noise, "Constant stars: scatter of one exposure, relative to the flux")
    if comparison.strap_noise:
        lines += _noise_lines(comparison.strap_noise, "Those of them on strap columns")
    if comparison.without:
        lines += [
            "",
            f"{comparison.without} injected stars have no light curve, or one with fewer than {FEWEST} good points.",
        ]
    return "\n".join(lines)
