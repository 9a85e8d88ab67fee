"""Write the report of a run: gather, draw, and put one page on disk."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from cuvee import __version__
from cuvee.errors import CuveeError
from cuvee.model.keys import DataId
from cuvee.report.gather import RunFacts, gather_run
from cuvee.report.markup import join, tag
from cuvee.report.page import make_page
from cuvee.report.pictures import Picture, picture
from cuvee.report.section import Section, band_of, group_title, make_section
from cuvee.report.sky import Outline, figure_sky
from cuvee.store.atomic import atomic_path
from cuvee.survey import Survey

__all__ = ["write_report"]

_PACKAGES = ("numpy", "scipy", "numba", "astropy", "photutils", "cdshealpix", "pyarrow", "SQLAlchemy", "matplotlib")
_SHARP, _SMALL = 144, 96
"""Pixels an inch of the pictures: as wide as a screen, or small where there are many detectors."""
_FEW = 4
_OVERVIEW_STARS = 150


def write_report(survey: Survey, run: int | None = None) -> Path:
    """Write the report of a run: one HTML page that needs no network, no server and no script.

    Parameters
    ----------
    survey : Survey
        The workspace.
    run : int, optional
        Number of the run in the ledger; the last one by default.

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
    facts = gather_run(paths.ledger, paths.root, survey.config, run)
    few = len(facts.groups) <= _FEW
    dpi, each = (_SHARP, 3) if few else (_SMALL, 2)
    sections = [_section(survey, facts, place, dpi, each) for place in range(len(facts.groups))]
    overview = _overview(sections, band_of(survey.instrument), dpi) if len(sections) > 1 else None
    page = make_page(facts, sections, survey.path, survey.instrument, _versions(), overview).encode()
    newest = paths.report()
    for path in [paths.report(facts.number), newest] if facts.number else [newest]:
        with atomic_path(path) as temporary:
            temporary.write_bytes(page)
    return newest


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
        first = np.argsort(np.nan_to_num(section.stars["mag"], nan=np.inf), kind="stable")[:_OVERVIEW_STARS]
        for name, values in columns.items():
            values.append(section.stars[name][first])
        named = len(section.outlines) == 1
        outlines += [Outline(section.group.detector if named else "", edge.ra, edge.dec) for edge in section.outlines]
    if not columns["ra"]:
        return None
    ra, dec, mag = (np.concatenate(values) for values in columns.values())
    known = np.isfinite(ra + dec)
    if not known.any():
        return None
    figure = figure_sky(ra[known], dec[known], mag[known], outlines, (), "All detectors on the sky", band)
    return picture(figure, dpi), f"Map of the edges of {len(sections)} detectors and their brightest stars."


def _versions() -> dict[str, str]:
    found = {"cuvee, for this page": __version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
