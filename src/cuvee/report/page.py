"""The page: what stands above and below the detectors, and the frame that holds everything."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from cuvee.instruments.registry import instrument
from cuvee.quicklook.words import detector_words, segment_words
from cuvee.report.appendix import (
    Versions,
    assumed_part,
    bad_files_part,
    command,
    configuration_part,
    software_part,
    work_part,
)
from cuvee.report.gather import RunFacts
from cuvee.report.markup import (
    NOTHING,
    Html,
    bytes_text,
    code,
    date_text,
    duration,
    figure,
    join,
    link,
    number,
    percent,
    plural,
    slug,
    table,
    tag,
)
from cuvee.report.pictures import Picture
from cuvee.report.psf import WIDE
from cuvee.report.section import Section

__all__ = ["document", "make_page", "tiles"]

_NOISY = 1.3


def make_page(
    facts: RunFacts,
    sections: Sequence[Section],
    workspace: Path,
    name: str,
    versions: Versions,
    overview: tuple[Picture, str] | None = None,
) -> str:
    """Make the page of a run.

    Parameters
    ----------
    facts : RunFacts
        What the ledger says.
    sections : sequence of Section
        The detectors.
    workspace : Path
        Where it all lies.
    name : str
        The instrument.
    versions : mapping of str to str
        Packages and their versions.
    overview : (Picture, str), optional
        Map of all detectors, and its alternative text.

    Returns
    -------
    str
        One HTML document that needs nothing else.
    """
    device = instrument(name)
    title = _title(device.title, sections)
    body = [
        tag(
            "header",
            join([tag("h1", title), tag("p", _lead(facts, workspace), class_="lead"), _tiles(facts, sections)]),
        ),
        Html("<main>"),
        _attention(facts, sections),
        _contents(sections),
    ]
    if len(sections) > 1:
        body.append(_overview(facts, sections, overview))
    shown = [section for section in sections if section.html]
    body += [_part(section, alone=len(sections) == 1, open_=len(shown) == 1) for section in shown]
    body += [
        bad_files_part(facts, workspace),
        work_part(facts),
        assumed_part(facts, name),
        configuration_part(facts),
        software_part(facts, versions),
    ]
    body += [Html("</main>"), _footer(workspace)]
    return document(title, body)


def document(title: str, body: Sequence[object]) -> str:
    """Return a page that needs nothing else."""
    style = resources.files("cuvee.report").joinpath("page.css").read_text(encoding="utf-8")
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="only light">'),
            tag("title", f"{title} - cuvee report"),
            tag("style", Html(style)),
        ],
        "\n",
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{join(body, chr(10))}\n</body>\n</html>\n'
    )


def _title(instrument_title: str, sections: Sequence[Section]) -> str:
    if len(sections) == 1:
        return sections[0].title
    names = sorted({segment_words(section.group.instrument, section.group.segment) for section in sections})
    where = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    detectors = {(section.group.segment, section.group.detector) for section in sections}
    if len(detectors) == 1:
        group = sections[0].group
        return f"{instrument_title} {where}, {detector_words(group.instrument, group.detector)}"
    return f"{instrument_title} {where}: {len(detectors)} detectors" if sections else instrument_title


def _lead(facts: RunFacts, workspace: Path) -> Html:
    if not facts.number:
        return join(["Nothing has been run here yet; start with ", code(command("run", workspace)), "."])
    words = f"Light curves by cuvee {facts.version}: run {facts.number}, {date_text(facts.started)}, in "
    return join([words, code(workspace)])


def _tiles(facts: RunFacts, sections: Sequence[Section]) -> Html:
    n_stamp = sum(facts.files[s.group].n_file for s in sections if s.group.kind != "ffi" and s.group in facts.files)
    whole = any(section.group.kind == "ffi" for section in sections)
    frames = "frames" if whole or not n_stamp else ""
    if n_stamp:
        frames += f"{' and ' if whole else ''}cadences of {plural(n_stamp, 'stamp')}"
    n_point = sum(section.n_point for section in sections)
    n_file = sum(files.n_file for files in facts.files.values())
    size = sum(files.size for files in facts.files.values())
    took = duration(facts.seconds) if facts.finished else "not finished" if facts.number else NOTHING
    cells = [
        (f"{sum(section.n_good for section in sections):,}", "stars with good light curves", False),
        (f"{sum(section.n_star for section in sections):,}", f"light curves, {n_point:,} points", False),
        (f"{sum(max(section.n_frame, 0) for section in sections):,}", frames, False),
        (f"{n_file:,}", f"good files, {bytes_text(size)}", False),
        (
            f"{len(facts.bad):,}",
            "file that cannot be used" if len(facts.bad) == 1 else "files that cannot be used",
            bool(facts.bad),
        ),
        (took, "for this run", not facts.finished),
    ]
    return tiles(cells)


def tiles(cells: Sequence[tuple[str, str, bool]]) -> Html:
    """Show a few large numbers with what they are, and whether that is a warning."""
    return tag(
        "ul",
        join(
            tag("li", join([tag("b", big), tag("span", small)]), class_="warn" if warn else None)
            for big, small, warn in cells
        ),
        class_="tiles",
    )


def _attention(facts: RunFacts, sections: Sequence[Section]) -> Html:
    """List what a careful reader should know before using the light curves."""
    items: list[object] = []
    if facts.number and not facts.finished:
        items.append("The run was interrupted, or is still going on: run again and it goes on from there.")
    if facts.bad:
        items.append(
            join(
                [
                    link("bad-files", f"{plural(len(facts.bad), 'file')} cannot be used"),
                    "; its points are missing from the light curves until a good file takes its place."
                    if len(facts.bad) == 1
                    else "; their points are missing from the light curves until good files take their place.",
                ]
            )
        )
    if facts.troubles:
        items.append(join([link("work", f"{plural(len(facts.troubles), 'unit')} of work did not succeed"), "."]))
    n_no_wcs = sum(len(files.no_wcs) for files in facts.files.values())
    if n_no_wcs and sections:
        items.append(
            join(
                [
                    link("assumed", f"{plural(n_no_wcs, 'frame')} without coordinates (WCS)"),
                    ": its stars were measured where the reference image has them."
                    if n_no_wcs == 1
                    else ": their stars were measured where the reference image has them.",
                ]
            )
        )
    if any(files.assumed for files in facts.files.values()):
        items.append(
            join([link("assumed", "Header cards were missing"), "; the instrument's defaults stand in for them."])
        )
    for section in sections:
        if section.noise and section.noise[1].ratio > _NOISY:
            items.append(
                join(
                    [
                        link(slug(str(section.group)), section.title) if section.html else section.title,
                        f": stars alone in their aperture scatter {number(section.noise[1].ratio, 2)} times the expected noise, in the median.",
                    ]
                )
            )
        for one in section.psf:
            width = one.width[0]
            if abs(width) > WIDE:
                words = f": the stars are {number(100.0 * abs(width), 1)} % {'wider' if width > 0.0 else 'narrower'} than the PRF; PSF fluxes carry errors that grow with the brightness."
                items.append(join([link(f"{slug(str(section.group))}-psf", section.title), words]))
        missing = section.n_missing - sum(one.group == section.group and one.cadence >= 0 for one in facts.bad)
        if missing > 0:
            words = f": {plural(missing, 'cadence')} of {section.n_frame + section.n_missing:,} from first to last {'is' if missing == 1 else 'are'} missing from the data."
            items.append(join([link(f"{slug(str(section.group))}-background", section.title), words]))
    if not sections and facts.number:
        items.append("There are no light curves yet.")
    if not items:
        words = (
            "Every file could be used and every unit of work succeeded."
            if facts.number
            else "There is nothing to report yet."
        )
        return tag("section", join([tag("h2", "Nothing needs attention"), tag("p", words)]), class_="look fine")
    return tag(
        "section",
        join([tag("h2", "Worth knowing first"), tag("ul", join(tag("li", item) for item in items))]),
        class_="look",
    )


def _contents(sections: Sequence[Section]) -> Html:
    links = [link("overview", "All detectors")] if len(sections) > 1 else []
    if len(sections) == 1:
        anchor = slug(str(sections[0].group))
        names = (
            ("noise", "Scatter"),
            ("psf", "Apertures and PSF"),
            ("methods", "Apertures and masks"),
            ("background", "Background"),
            ("pointing", "Pointing"),
            ("moving", "Moving objects"),
            ("stars", "Stars"),
            ("sky", "Sky"),
        )
        links += [link(f"{anchor}-{end}", words) for end, words in names if f'id="{anchor}-{end}"' in sections[0].html]
    below = (
        ("bad-files", "Files"),
        ("work", "Time and space"),
        ("assumed", "Assumptions"),
        ("configuration", "Configuration"),
        ("software", "Software"),
    )
    links += [link(anchor, words) for anchor, words in below]
    return tag("nav", tag("ul", join(tag("li", item) for item in links)), aria_label="Contents")


def _overview(facts: RunFacts, sections: Sequence[Section], overview: tuple[Picture, str] | None) -> Html:
    rows = []
    for section in sections:
        every = section.noise[0] if section.noise else None
        alone = section.noise[1] if section.noise else None
        rows.append(
            (
                link(slug(str(section.group)), section.title) if section.html else section.title,
                f"{section.n_star:,}",
                f"{section.n_frame:,}" if section.n_frame >= 0 else NOTHING,
                f"{section.n_missing:,}" if section.n_missing >= 0 else NOTHING,
                f"{sum(one.group == section.group for one in facts.bad):,}",
                number(every.ratio, 2) if every else NOTHING,
                percent(every.within_25) if every else NOTHING,
                percent(alone.within_25) if alone else NOTHING,
                number(section.background, 1),
                f"{number(section.jitter[0], 3)}, {number(section.jitter[1], 3)}"
                if np.isfinite(section.jitter).all()
                else NOTHING,
            )
        )
    head = ("detector", "stars", "frames", "missing", "bad files", "scatter / expected", "within 25 %", "of those alone", "background (e⁻/s/px)", "pointing (px)")  # fmt: skip
    words = (
        "Missing are cadences between the first and the last without a frame, those of bad files among them. Scatter over expected noise is the median of "
        "the stars, then the share of stars within 25 % of it; pointing is the scatter of the median centroid in column and row."
    )
    if not all(section.html for section in sections):
        words += " Shown below are the detectors that this run has made, of more than 32 those with the largest scatter; of the others, a dash stands for what was not looked up."
    pieces = [tag("h2", "All detectors", id="overview"), table(head, rows, words)]
    if overview is not None:
        pieces.append(
            figure(
                *overview,
                "The edges of the detectors, and their brightest stars; north is up, east to the left, equal areas.",
            )
        )
    return join(pieces, "\n")


def _part(section: Section, alone: bool, open_: bool) -> Html:
    anchor = slug(str(section.group))
    if alone:
        return tag("section", join([tag("h2", "The light curves", id=anchor), section.html]))
    noise = section.noise[0] if section.noise else None
    words = f"{section.n_star:,} stars" + (f", {number(noise.ratio, 2)} times the expected noise" if noise else "")
    summary = tag("summary", join([tag("h2", section.title), tag("span", words, class_="soft")]))
    return tag("details", join([summary, section.html]), class_="part", id=anchor, open="" if open_ else None)


def _footer(workspace: Path) -> Html:
    commands = [
        (command("show ID", workspace), "draws a star"),
        (command("explain ID", workspace), "says where its fluxes come from: files, parameters, versions"),
        (command("status", workspace), "says what has been done"),
    ]
    lines = join(tag("li", join([code(line), f" {words}"])) for line, words in commands)
    return tag("footer", join([tag("p", "To go on:"), tag("ul", lines)]))
