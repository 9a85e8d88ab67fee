"""A comparison with the truth as a page: pictures and tables of what was put in and what came back."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from cuvee.quicklook import Example, Injection, figure_recovery
from cuvee.quicklook.style import styled
from cuvee.simulate.comparison import Comparison, Found, FoundFlare, FoundMode, NoiseBin
from cuvee.simulate.recover import EDGES
from cuvee.simulate.recovery_text import KIND_TITLES
from cuvee.simulate.signals import ECLIPSES, SINUSOID, TRANSIT

__all__ = ["injections", "recovery_document", "recovery_page"]

LONGEST = 40
"""Rows of a table of single things; the text says how many there are."""
STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; color: #1a1a1a; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; } img { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } caption { text-align: left; color: #555; padding-bottom: .3rem; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #e4e4e4; } th { font-weight: 600; }
p { max-width: 48rem; }
"""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    words = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{words}</tr></thead>\n<tbody>{body}</tbody></table>\n"


@styled  # ticks are made only now
def _image(figure: Figure, alt: str) -> str:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110, metadata={"Software": None})
    return f'<p><img alt="{escape(alt, quote=True)}" src="data:image/png;base64,{b64encode(drawn.getvalue()).decode()}"></p>\n'


def _by_magnitude(found: Sequence[Found | FoundMode | FoundFlare], what: str) -> str:
    rows = []
    for bright, faint in pairwise(EDGES):
        here = [s for s in found if bright <= s.mag < faint]
        sure = [s for s in here if s.sure]
        if not here:
            continue
        row = [f"{bright:.0f}\N{EN DASH}{faint:.0f}", f"{len(here):,}", f"{len(sure):,}"]
        if sure:
            ratio = np.array([s.amplitude_found / s.amplitude for s in sure])
            pull = np.array([s.pull for s in sure])
            row += [f"{sum(s.recovered for s in sure):,}"]
            for values, digits in ((ratio, 3), (pull, 2)):
                middle = float(np.median(values))
                spread = 1.4826 * float(np.median(np.abs(values - middle)))
                row.append(f"{middle:.{digits}f} \N{PLUS-MINUS SIGN} {spread:.{digits}f}")
        rows.append([*row, *[""] * (6 - len(row))])
    head = ("Tmag", "injected", "above 5 sigma", "of them recovered", f"{what} found / injected", "pull")
    return _table(head, rows)


def _injection(name: str, found: Sequence[Found | FoundMode | FoundFlare]) -> Injection:
    values = np.array([(s.amplitude, s.amplitude_found, s.amplitude_err) for s in found]).reshape(-1, 3)
    return Injection(name, *values.T)


def injections(comparison: Comparison) -> tuple[list[Injection], list[Injection]]:
    """Return what `cuvee.quicklook.figure_recovery` draws: periodic signals and transits, and the other kinds."""
    stars = comparison.stars
    first = [_injection(f"{kind}s", [s for s in stars if s.kind == kind]) for kind in (SINUSOID, TRANSIT)]
    second = [
        _injection("primary eclipses", [s for s in stars if s.kind == ECLIPSES]),
        _injection("pulsation modes", comparison.modes),
        _injection("flares (peak)", comparison.flares),
    ]
    return [[one for one in some if one.injected.size] for some in (first, second)]  # type: ignore[return-value]


def _secondaries(stars: Sequence[Found]) -> str:
    binaries = [s for s in stars if s.kind == ECLIPSES]
    rows = [
        (
            str(s.id),
            f"{s.mag:.2f}",
            f"{s.period:.4f}",
            f"{s.amplitude:.4f}",
            f"{s.amplitude_found:.4f} \N{PLUS-MINUS SIGN} {s.amplitude_err:.4f}",
            f"{s.secondary:.4f}",
            f"{s.secondary_found:.4f} \N{PLUS-MINUS SIGN} {s.secondary_err:.4f}",
        )
        for s in binaries[:LONGEST]
    ]
    head = ("star", "Tmag", "period (d)", "primary depth", "found", "secondary depth", "found")
    return _table(head, rows, f"The brightest {len(rows)} of {len(binaries)}")


def _flare_rows(flares: Sequence[FoundFlare]) -> str:
    strongest = sorted(flares, key=lambda f: -f.energy / f.energy_err)[:LONGEST]
    rows = [
        (
            str(f.id),
            f"{f.mag:.2f}",
            f"{f.peak:.4f}",
            f"{1440 * f.width:.1f}",
            f"{f.amplitude:.2f}",
            f"{f.energy:,.0f}",
            f"{f.energy_found:,.0f} \N{PLUS-MINUS SIGN} {f.energy_err:,.0f}",
        )
        for f in strongest
    ]
    head = ("star", "Tmag", "peak (BTJD)", "width (min)", "height", "energy (s)", "found (s)")
    return _table(head, rows, f"The surest {len(rows)} of {len(flares)}; energy as equivalent duration")


def _passage_rows(comparison: Comparison) -> str:
    rows = [
        (
            str(p.asteroid + 1),
            f"{p.asteroid_mag:.2f}",
            str(p.id),
            f"{p.mag:.2f}",
            f"{p.time:.4f}",
            f"{p.distance:.2f}",
            f"{p.expected:,.0f}",
            f"{p.found:,.0f} \N{PLUS-MINUS SIGN} {p.error:,.0f}",
            "yes" if p.flagged else "no",
        )
        for p in sorted(comparison.passages, key=lambda p: p.error / p.expected)[:LONGEST]
    ]
    head = (
        "asteroid",
        "its Tmag",
        "star",
        "Tmag",
        "time (BTJD)",
        "distance (px)",
        "expected (e-/s)",
        "found (e-/s)",
        "flagged",
    )
    return _table(head, rows, f"The clearest {len(rows)} of {len(comparison.passages)} passages")


def _bright_rows(comparison: Comparison) -> str:
    rows = [
        (str(s.id), f"{s.mag:.2f}", f"{s.flux_ratio:.3f}", f"{1e6 * s.scatter:,.0f}", f"{100 * s.flagged:.0f} %")
        for s in comparison.bright[:LONGEST]
    ]
    head = ("star", "Tmag", "flux in the largest aperture / true flux", "scatter (ppm)", "points flagged")
    return _table(head, rows, f"The brightest {len(rows)} of {len(comparison.bright)}")


def _noise_rows(noise: Sequence[NoiseBin], caption: str = "") -> str:
    rows = [
        (
            f"{b.bright:.0f}\N{EN DASH}{b.faint:.0f}",
            f"{b.n:,}",
            f"{1e6 * b.scatter:,.0f}",
            f"{1e6 * b.expected:,.0f}",
            f"{b.scatter / b.expected:.2f}",
        )
        for b in noise
    ]
    return _table(("Tmag", "stars", "measured (ppm)", "expected (ppm)", "ratio"), rows, caption)


def recovery_page(comparison: Comparison, examples: tuple[Sequence[Example], Sequence[Example]] = ((), ())) -> str:
    """Write a comparison as a fragment of HTML, pictures inside.

    Parameters
    ----------
    comparison : Comparison
        From `cuvee.simulate.recover.recover`.
    examples : pair of sequences of Example, optional
        Light curves for the galleries beside the two pictures, up to six each (`cuvee.simulate.gallery.gallery`).

    Returns
    -------
    str
        Sections with tables and base64 PNG figures; all words are escaped.
    """
    parts = []
    names = ("Sinusoids and transits", "Binaries, pulsators, flares")
    for some, shown, name in zip(injections(comparison), examples, names, strict=True):
        if some:
            figure = figure_recovery(some, shown, name)
            parts.append(_image(figure, f"{name}: injected against recovered amplitudes, and folded light curves"))
    for kind, (title, what) in KIND_TITLES.items():
        found = [s for s in comparison.stars if s.kind == kind]
        if found:
            parts.append(f"<h2>{escape(title)}</h2>\n{_by_magnitude(found, what)}")
            if kind == ECLIPSES:
                parts.append(_secondaries(found))
    if comparison.modes:
        parts.append("<h2>Pulsators: the amplitude of each mode, all modes of a star fitted together</h2>\n")
        parts.append(_by_magnitude(comparison.modes, "amplitude"))
    if comparison.flares:
        parts.append("<h2>Flares: energy at the true time and width</h2>\n")
        parts += [_by_magnitude(comparison.flares, "energy"), _flare_rows(comparison.flares)]
    if comparison.passages:
        parts.append("<h2>Asteroids: their light in the largest aperture of constant stars that they pass</h2>\n")
        parts.append(_passage_rows(comparison))
    if comparison.bright:
        parts.append("<h2>Saturated stars</h2>\n")
        parts.append(_bright_rows(comparison))
    if comparison.noise:
        parts.append("<h2>Constant stars: scatter of one exposure, relative to the flux</h2>\n")
        parts.append(_noise_rows(comparison.noise))
    if comparison.strap_noise:
        parts.append(_noise_rows(comparison.strap_noise, "Those of them on strap columns"))
    left = []
    if comparison.without:
        left.append(f"{comparison.without:,} injected stars have no light curve, or hardly a good point in it.")
    if comparison.flares_unseen:
        left.append(f"{comparison.flares_unseen:,} flares fell between good exposures.")
    if left:
        parts.append(f"<p>{escape(' '.join(left))}</p>\n")
    return "".join(parts)


def recovery_document(comparison: Comparison, examples: tuple[Sequence[Example], Sequence[Example]] = ((), ())) -> str:
    """Write a comparison as a whole page that needs no network; arguments as of `recovery_page`."""
    title = "Injected against recovered"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>\n'
        f"<body><h1>{title}</h1>\n<p>What the simulator put into the images, and what the light curves give back. Amplitudes, "
        "depths and energies are fitted at the true ephemeris and corrected for the neighbours\N{RIGHT SINGLE QUOTATION MARK} "
        f"light; the pull is found minus injected over the error.</p>\n{recovery_page(comparison, examples)}</body></html>\n"
    )
