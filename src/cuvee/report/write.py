"""Write the report of a run: gather, draw, and put one page on disk."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from cuvee import __version__
from cuvee.errors import CuveeError
from cuvee.model.keys import DataId
from cuvee.quicklook.words import band_of
from cuvee.report.gather import RunFacts, gather_run
from cuvee.report.markup import Html, join, tag
from cuvee.report.page import make_page
from cuvee.report.photons import photon_page
from cuvee.report.pictures import Picture, picture
from cuvee.report.section import Section, brief_section, group_title, make_section
from cuvee.report.sky import Outline, figure_sky
from cuvee.run.start import Reporter
from cuvee.store.atomic import atomic_path
from cuvee.store.sharing import shared
from cuvee.survey import Survey

__all__ = ["write_report"]

_PACKAGES = ("numpy", "scipy", "numba", "astropy", "photutils", "cdshealpix", "pyarrow", "SQLAlchemy", "matplotlib")
_SHARP, _SMALL = 144, 96
"""Pixels an inch of the pictures: as wide as a screen, or small where there are many detectors."""
_FEW = 4
"""So few detectors are always shown; of more, those that the run has made."""
_MOST = 32
"""Detectors with pictures on one page: two TESS sectors."""


def write_report(survey: Survey, run: int | None = None, reporter: Reporter | None = None) -> Path:
    """Write the report of a run: one HTML page that needs no network, no server and no script.

    Parameters
    ----------
    survey : Survey
        The workspace.
    run : int, optional
        Number of the run in the ledger; the last one by default.
    reporter : Reporter, optional
        Takes the news.

    Returns
    -------
    Path
        The page of the newest run, ``report/index.html``; the same page is kept under the run's number beside it. The same
        products and ledger always give the same bytes.

    Raises
    ------
    StoreError
        If the ledger is damaged, or the page cannot be written.
    """
    paths = survey.paths
    facts = gather_run(paths, survey.config, run)
    if survey.photons:
        return _put(survey, facts, photon_page(survey, facts, _versions()))
    sections = [_brief(facts, place) for place in range(len(facts.groups))]
    shown = _choose(facts, sections)
    dpi, each = (_SHARP, 3) if len(shown) <= _FEW else (_SMALL, 2)
    if reporter is not None:
        reporter.begin("report", len(shown))
    for place in shown:
        sections[place] = _section(survey, facts, place, dpi, each)
        if reporter is not None:
            reporter.advance()
    if reporter is not None:
        reporter.end()
    overview = _overview(sections, band_of(survey.instrument), dpi) if len(sections) > 1 else None
    return _put(survey, facts, make_page(facts, sections, survey.path, survey.instrument, _versions(), overview))


def _put(survey: Survey, facts: RunFacts, page: str) -> Path:
    newest = survey.paths.report()
    with shared(survey.paths, survey.config.files.mode, survey.config.files.group):
        for path in [survey.paths.report(facts.number), newest] if facts.number else [newest]:
            with atomic_path(path) as temporary:
                temporary.write_bytes(page.encode())
    return newest


def _choose(facts: RunFacts, sections: list[Section]) -> list[int]:
    """Choose the detectors to draw: what the run has made, of very many those that are worst against the noise model."""
    every = list(range(len(sections)))
    made = [place for place in every if sections[place].group in facts.made]
    wanted = every if len(every) <= _FEW or not made else made
    ratio = [sections[place].noise[1].ratio if sections[place].noise else float("nan") for place in wanted]
    worst = np.argsort(-np.nan_to_num(ratio, nan=np.inf), kind="stable")[:_MOST]
    return sorted(wanted[k] for k in worst)


def _brief(facts: RunFacts, place: int) -> Section:
    """Gather a detector's numbers; where they cannot be read, `_section` says why."""
    try:
        return brief_section(facts, place)
    except CuveeError:
        group: DataId = facts.groups[place][0]
        return Section(group, group_title(group), Html(""))


def _section(survey: Survey, facts: RunFacts, place: int, dpi: int, each: int) -> Section:
    """Make a detector's section; where its products cannot be read, say why and let the others stand."""
    try:
        return make_section(survey, facts, place, dpi, each)
    except CuveeError as error:
        group: DataId = facts.groups[place][0]
        words = tag("p", join(["This detector cannot be shown: ", error.message]), class_="verdict")
        return Section(group, group_title(group), words)


def _overview(sections: list[Section], band: str, dpi: int) -> tuple[Picture, str] | None:
    """Draw all detectors on one map, with the brightest stars of each."""
    columns: dict[str, list[np.ndarray]] = {"ra": [], "decl": [], "mag": []}
    outlines = []
    for section in sections:
        if not section.stars:
            continue
        for name, values in columns.items():
            values.append(section.stars[name])
        named = len(section.outlines) == 1
        outlines += [Outline(section.group.detector if named else "", edge.ra, edge.dec) for edge in section.outlines]
    if len(columns["ra"]) < 2:  # a single one has a map of its own
        return None
    ra, dec, mag = (np.concatenate(values) for values in columns.values())
    known = np.isfinite(ra + dec)
    if not known.any():
        return None
    figure = figure_sky(ra[known], dec[known], mag[known], outlines, (), "Detectors on the sky", band)
    return picture(
        figure, dpi
    ), f"Map of the edges of {sum(bool(s.stars) for s in sections)} detectors and their brightest stars."


def _versions() -> dict[str, str]:
    found = {"cuvee, for this page": __version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
