"""One detector of a report: its figures, its tables, and the few numbers that the overview repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.instruments.registry import instrument
from cuvee.metrics import MAD_TO_SIGMA
from cuvee.model.flags import default_mask
from cuvee.model.instrument import Instrument
from cuvee.model.keys import DataId
from cuvee.quicklook import figure_run
from cuvee.quicklook.strip import background_slices, figure_strip
from cuvee.quicklook.words import band_of, observation_words, short_words
from cuvee.report.cdpp import cdpp_part
from cuvee.report.detector import (
    Shown,
    Timeline,
    gather_stars,
    gather_timeline,
    pick_stars,
    show_stars,
)
from cuvee.report.figures import BAD_FRAME, figure_background, figure_pointing, quality_rows
from cuvee.report.gallery import gallery
from cuvee.report.gather import BadFrame, RunFacts
from cuvee.report.judge import NoiseRow, noise_table
from cuvee.report.markup import Html, figure, join, link, number, percent, plural, slug, table, tag
from cuvee.report.methods import methods_part
from cuvee.report.moving import moving_part
from cuvee.report.pictures import Picture, picture
from cuvee.report.psf import PsfFacts, gather_psf, lack_part, psf_part
from cuvee.report.sky import MOST_STARS, Outline, figure_sky, outline_of, pixel_size
from cuvee.run.known_objects import read_known
from cuvee.store.references import read_reference
from cuvee.survey import Survey

__all__ = ["Section", "brief_section", "group_title", "make_section"]

_MOST_OUTLINES = 400
_FEWEST_FOR_A_MAP = 16
"""Stars that a map of the background needs."""
_COARSE = 96
"""Pixels an inch of a picture without fine lines at most."""
_BRIGHTEST = 150
"""Stars of a detector that a map of all detectors shows."""


@dataclass(frozen=True, slots=True)
class Section:
    """A detector, ready for the page.

    Parameters
    ----------
    group : DataId
        The detector.
    title : str
        What to call it.
    html : Html
        Its part of the page; empty where only its numbers are told.
    n_star, n_good : int
        Stars with a light curve, and those of them with a good point.
    n_point : int
        Points in all light curves.
    n_frame, n_missing : int
        Cadences with a frame, and those between first and last without one; -1 where nobody has looked.
    noise : tuple of NoiseRow
        From `noise_table`.
    background : float
        Median over frames of the detector's median (e-/s/pixel).
    jitter : tuple of float
        Scatter of the pointing, column and row (px).
    psf : tuple of PsfFacts
        What the PSF fluxes of its series rest on; empty where there are none.
    outlines : tuple of Outline
        Its pixels on the sky.
    stars : mapping of str to array
        ``ra``, ``decl``, ``mag`` of its brightest stars, for a map of all detectors.
    """

    group: DataId
    title: str
    html: Html
    n_star: int = 0
    n_good: int = 0
    n_point: int = 0
    n_frame: int = 0
    n_missing: int = 0
    noise: tuple[NoiseRow, ...] = ()
    background: float = float("nan")
    jitter: tuple[float, float] = (float("nan"), float("nan"))
    psf: tuple[PsfFacts, ...] = ()
    outlines: tuple[Outline, ...] = ()
    stars: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def group_title(group: DataId) -> str:
    """Return what people call a detector and its kind of files."""
    return observation_words(group.instrument, PurePath(f"{group.segment}-{group.detector}-{group.kind}"))


def _short(group: DataId) -> str:
    """Return what to call a detector in the title of a figure."""
    return short_words(group.instrument, group.segment, group.detector)


def brief_section(facts: RunFacts, place: int) -> Section:
    """Return only the numbers of a detector that its table of stars and the ledger hold, which takes no time.

    Parameters
    ----------
    facts : RunFacts
        From `cuvee.report.gather.gather_run`.
    place : int
        Which of ``facts.groups``.

    Returns
    -------
    Section

    Raises
    ------
    StoreError
        If the table is missing or damaged.
    """
    group, path = facts.groups[place]
    stars = gather_stars(path)
    files = facts.files.get(group)
    return Section(
        group,
        group_title(group),
        Html(""),
        n_star=int(stars["id"].size),
        n_good=int((stars["n_good"] > 0).sum()),
        n_point=int(stars["n_point"].sum()),
        n_frame=files.n_file if files is not None and group.kind == "ffi" else -1,
        n_missing=-1,
        noise=tuple(noise_table(stars)),
    )


def make_section(survey: Survey, facts: RunFacts, place: int, dpi: int, each: int) -> Section:
    """Make the part of the page that is about one detector.

    Parameters
    ----------
    survey : Survey
        The workspace.
    facts : RunFacts
        From `cuvee.report.gather.gather_run`.
    place : int
        Which of ``facts.groups``.
    dpi : int
        Pixels an inch of its pictures.
    each : int
        Stars of each kind in its gallery.

    Returns
    -------
    Section

    Raises
    ------
    StoreError
        If a product that it needs is missing or damaged.
    """
    group, path = facts.groups[place]
    device = instrument(survey.instrument)
    stars = gather_stars(path)
    title = group_title(group)
    anchor = slug(str(group))
    noise = noise_table(stars)
    timeline = gather_timeline(survey, group, stars)
    series = [image for found, image in sorted(facts.references.items()) if found.group == group]
    images = [read_reference(image) for image in series[:_MOST_OUTLINES] if image.is_file()]
    footprints = [image.footprint for image in images]
    outlines = [edge for one in footprints if (edge := outline_of(one)) is not None]
    psf = gather_psf(facts, group)
    models = {series: path for series, path in facts.models.items() if psf}
    shown = show_stars(survey, group, stars, pick_stars(survey, group, stars, each), facts.references, models)
    bad = [one for one in facts.bad if one.group == group]
    pieces = [_verdict(stars, noise)]
    if stars["id"].size:
        heading = f"Scatter against magnitude: {_short(group)}"
        drawn = figure_run(
            survey.instrument, survey.config.extract.radii, stars, images[0].readout if images else None, heading
        )
        pieces.append(_noise_part(picture(drawn, dpi), title, noise, anchor))
        pieces.append(cdpp_part(stars, device, survey.config.extract.radii, _short(group), dpi, anchor))
    pixel = pixel_size(footprints[0]) if footprints else float("nan")
    if not psf:
        pieces.append(lack_part(facts, group, anchor))
        exposure = images[0].readout.exposure if images else 0.0
        radii = survey.config.extract.radii
        pieces.append(methods_part(stars, device, radii, exposure, _short(group), dpi, anchor))
    else:
        radii = survey.config.extract.radii
        pieces.append(psf_part(psf, stars, timeline, device, radii, pixel, _short(group), dpi, anchor))
    if timeline is not None:
        pieces.append(_background_part(timeline, device, bad, _short(group), dpi, anchor))
        pieces.append(_pointing_part(timeline, device, pixel, _short(group), dpi, anchor))
        known = read_known(survey.config, survey.path.resolve())
        ends = (float(timeline.time.min()), float(timeline.time.max()))
        pieces.append(moving_part(facts.tracks.get(group), images, known, ends, device, _short(group), dpi, anchor))
    pieces.append(gallery(survey.instrument, shown, dpi, anchor))
    if np.isfinite(stars["ra"]).any():
        pieces.append(_map_part(stars, outlines, shown, _short(group), band_of(survey.instrument), dpi, anchor))
    brightest = np.argsort(np.nan_to_num(stars["mag"], nan=np.inf), kind="stable")[:_BRIGHTEST]
    return replace(
        brief_section(facts, place),
        html=join(pieces, "\n"),
        background=float("nan") if timeline is None else _middle(timeline.background[1]),
        jitter=(float("nan"), float("nan")) if timeline is None else _jitter(timeline, device),
        psf=psf,
        outlines=tuple(outlines),
        stars={name: stars[name][brightest] for name in ("ra", "decl", "mag")},
        n_frame=0 if timeline is None else int(timeline.seen.sum()),
        n_missing=0 if timeline is None else int((~timeline.seen).sum()),
    )


def _middle(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _jitter(timeline: Timeline, device: Instrument) -> tuple[float, float]:
    """Return the scatter of the pointing over the frames that the default mask keeps."""
    good = timeline.seen & (timeline.quality & default_mask(device.quality) == 0)
    scatter = [MAD_TO_SIGMA * _middle(np.abs(v[1, good] - _middle(v[1, good]))) for v in (timeline.col, timeline.row)]
    return scatter[0], scatter[1]


def _verdict(stars: Mapping[str, NDArray[Any]], noise: list[NoiseRow]) -> Html:
    """Say in one sentence how good the light curves are."""
    every, alone = noise[0], noise[1]
    if every.n_star == 0:
        return tag("p", "No star has enough good points to judge its scatter.", class_="verdict")
    if every.n_star == 1:
        words = f"The only star scatters {number(every.ratio, 2)} times the noise that photons, background and readout explain."
        return tag("p", words, class_="verdict")
    words = (
        f"Half of the {every.n_star:,} stars scatter no more than {number(every.ratio, 2)} times the noise that photons, background and "
        f"readout explain; {percent(every.within_10)} of the stars lie within 10 % of that noise, {percent(every.within_25)} within 25 %"
    )
    if alone.n_star:
        words += f" (of those alone in their aperture {percent(alone.within_10)} and {percent(alone.within_25)})"
    words += "."
    silent = int((stars["n_good"] == 0).sum())
    if silent:
        words += f" {plural(silent, 'star')} of {stars['id'].size:,} {'has' if silent == 1 else 'have'} no good point, most often because the edge of the pixels cuts the aperture."  # fmt: skip
    return tag("p", words, class_="verdict")


def _noise_part(image: Picture, title: str, noise: list[NoiseRow], anchor: str) -> Html:
    every = noise[0]
    alt = (
        f"Scatter against magnitude for {every.n_star:,} stars of {title}, with the expected noise as a line; "
        f"the median ratio of measured to expected is {number(every.ratio, 2)}."
    )
    caption = (
        "Point-to-point scatter of each light curve over its flux. The line is the noise expected of a single star on the median "
        "background; a star whose aperture holds its neighbours' light (bright colours) may lie below it. The lower panel divides each "
        "star's scatter by its own expected noise: a star at 1 is as quiet as photons, background and readout allow."
    )
    rows = [
        (
            row.words,
            f"{row.n_star:,}",
            number(1e6 * row.scatter),
            number(1e6 * row.expected),
            number(row.ratio, 3),
            percent(row.within_10),
            percent(row.within_25),
        )
        for row in noise
    ]
    head = ("stars", "number", "scatter (ppm)", "expected (ppm)", "ratio", "within 10 %", "within 25 %")
    words = (
        "Scatter, expected noise and their ratio are medians over the stars of each line. A star counts as within 10 % (25 %) of the noise model where "
        "its point-to-point scatter is 0.90 to 1.10 (0.75 to 1.25) times the noise expected of itself, the median of its flux errors."
    )
    numbers = table(head, rows, words)
    return join([tag("h3", "Scatter and the noise model", id=f"{anchor}-noise"), figure(image, alt, caption), numbers])


def _background_part(
    timeline: Timeline, device: Instrument, bad: list[BadFrame], title: str, dpi: int, anchor: str
) -> Html:
    cadences = [one.cadence for one in bad if one.cadence >= 0]
    image = picture(figure_background(timeline, device.quality, cadences, f"Background and quality: {title}"), dpi)
    rows = quality_rows(timeline, device.quality, cadences)
    named = ", ".join(f"{name} {which.sum():,}" for name, _, _, which in rows) or "none"
    alt = (
        f"Background of {timeline.seen.sum():,} frames over time, median {number(_middle(timeline.background[1]), 1)} electrons "
        f"a second and pixel; frames that are flagged or missing: {named}."
    )
    caption = (
        f"Median background under {plural(timeline.n_star, 'star')} spread over the detector, frame by frame; the ticks show the mission's quality "
        "bits (those that at least half of these stars have) and the cadences without a frame."
    )
    lines = [
        (name, meaning, "yes" if left_out else "no", f"{which.sum():,}")
        if name != BAD_FRAME
        else (
            name,
            join([meaning.split(";")[0], "; ", link("bad-files", "see the table of files")]),
            "yes",
            f"{which.sum():,}",
        )
        for name, meaning, left_out, which in rows
    ]
    words = "What the ticks mean. “Left out” says whether lc.good leaves out such points."
    legend = table(("frames", "meaning", "left out", "number"), lines, words, left=3) if rows else Html("")
    head = tag("h3", "Background and quality over time", id=f"{anchor}-background")
    return join([head, figure(image, alt, caption), legend, _strip_part(timeline, title, dpi)])


def _strip_part(timeline: Timeline, title: str, dpi: int) -> Html:
    """Show where on the detector the background is high when; nothing where too few stars tell."""
    if timeline.n_star < _FEWEST_FOR_A_MAP or not np.isfinite(timeline.each_background).any():
        return Html("")
    slices = background_slices(timeline.time, timeline.seen, timeline.place, timeline.each_background)
    image = picture(figure_strip(slices, f"Background over the detector: {title}"), min(dpi, _COARSE))
    levels = [float(np.median(one.image)) for one in slices if one.n_frame]
    alt = (
        f"{len(slices)} maps of the background in equal stretches of time; their medians lie between {number(min(levels), 1)} and "
        f"{number(max(levels), 1)} electrons a second and pixel."
    )
    caption = (
        "Maps of the background over the detector, columns to the right and rows up, each the median over "
        f"{number(slices[0].stop - slices[0].start, 2)} days; below it the middle of that time (BTJD). All have the same colours. Scattered light "
        "comes in at an edge or a corner."
    )
    return figure(image, alt, caption)


def _pointing_part(timeline: Timeline, device: Instrument, pixel: float, title: str, dpi: int, anchor: str) -> Html:
    image = picture(figure_pointing(timeline, device.quality, pixel, f"Pointing: {title}"), dpi)
    jitter = _jitter(timeline, device)
    unit = f" of {pixel:.1f} arcsec" if np.isfinite(pixel) else ""
    words = (
        f"Scatter of the pointing: {number(jitter[0], 4)} px in column, {number(jitter[1], 4)} px in row (pixels{unit}). Over all frames the "
        f"centroids lie {number(timeline.offset[0], 3)} px in column and {number(timeline.offset[1], 3)} px in row from the catalogue's "
        "positions, in the median of the stars."
    )
    caption = (
        "How far the stars of each frame are from where they are in the median frame. Centroids are flux-weighted in an aperture, which damps "
        "motion somewhat; a wide band means that stars in different corners move differently (differential aberration, focus, roll)."
    )
    alt = f"Pointing over time in column and row. {words}"
    return join([tag("h3", "Pointing", id=f"{anchor}-pointing"), tag("p", words), figure(image, alt, caption)])


def _map_part(
    stars: Mapping[str, NDArray[Any]],
    outlines: list[Outline],
    shown: list[Shown],
    title: str,
    band: str,
    dpi: int,
    anchor: str,
) -> Html:
    marks = [(star.label.replace(" ", ", "), star.curve.ra, star.curve.dec) for star in shown]
    known = np.isfinite(stars["ra"] + stars["decl"])
    place = (stars["ra"][known], stars["decl"][known], stars["mag"][known])
    image = picture(figure_sky(*place, outlines, marks, f"On the sky: {title}", band), dpi)
    alt = (
        f"Map of {known.sum():,} stars in right ascension {number(float(place[0].min()), 2)} to {number(float(place[0].max()), 2)} and "
        f"declination {number(float(place[1].min()), 2)} to {number(float(place[1].max()), 2)} degrees, with the edges of the pixels."
    )
    caption = (
        f"{'Stars with light curves' if known.sum() <= MOST_STARS else f'The brightest {MOST_STARS:,} stars with light curves'}, brighter ones larger, "
        "and the edges of the pixels; north is up, east to the left, equal areas. Rings: the stars of the gallery."
    )
    return join([tag("h3", "On the sky", id=f"{anchor}-sky"), figure(image, alt, caption)])
