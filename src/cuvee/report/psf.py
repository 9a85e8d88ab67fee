"""The PSF fluxes of a detector on the page: the PRF, where the frames point, and for which stars they are the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.model.instrument import Instrument
from cuvee.model.keys import DataId
from cuvee.model.psf import StarModel
from cuvee.model.records import Reference
from cuvee.quicklook.noise import NoiseCurve
from cuvee.quicklook.prf import figure_prf, noise_pixels, view_prf
from cuvee.quicklook.run import psf_noise
from cuvee.report.detector import Timeline
from cuvee.report.displacement import figure_displacement, gather_displacement, good_frames, scatter_of, terms_of
from cuvee.report.gather import RunFacts
from cuvee.report.markup import Html, figure, join, number, plural, tag
from cuvee.report.methods import compare_methods
from cuvee.report.pictures import picture
from cuvee.store.references import read_reference
from cuvee.store.star_models import read_star_model

__all__ = ["WIDE", "PsfFacts", "fit_words", "gather_psf", "lack_part", "psf_part"]

WIDE = 0.01
"""Width mismatch from which a PRF is not that of the stars."""
SURE = 5.0
"""Standard deviations from which a width mismatch is none by chance."""
_SERIES = 2
"""Series of a detector whose PRF is shown."""

_FINEST = 120
"""Pixels an inch of these pictures at most; they are many, and hold no fine points."""


@dataclass(frozen=True, slots=True)
class PsfFacts:
    """What PSF photometry of a series rests on.

    Parameters
    ----------
    series : str
        Name of the series.
    model : StarModel
        PRF and stars.
    reference : Reference
        The reference image.
    blocks : tuple of Path
        Its flux blocks.
    """

    series: str
    model: StarModel
    reference: Reference
    blocks: tuple[Path, ...]

    @property
    def width(self) -> tuple[float, float]:
        """By what fraction the stars are wider than the PRF, and the error of that; NaN where nobody has looked."""
        numbers = self.model.numbers
        return numbers.get("width_mismatch", float("nan")), numbers.get("width_error", float("nan"))


def gather_psf(facts: RunFacts, group: DataId) -> tuple[PsfFacts, ...]:
    """Read what the PSF fluxes of a detector rest on.

    Parameters
    ----------
    facts : RunFacts
        From `cuvee.report.gather.gather_run`.
    group : DataId
        The detector.

    Returns
    -------
    tuple of PsfFacts
        One a series; none where there are no PSF fluxes, or where PRF or reference image have been cleared away.

    Raises
    ------
    StoreError
        If a file is damaged.
    """
    found: list[PsfFacts] = []
    if not facts.config.get("extract", {}).get("psf"):
        return ()  # a PRF may be left from an earlier run
    for series, path in sorted(facts.models.items()):
        image = facts.references.get(series)
        if series.group == group and path.is_file() and image is not None and image.is_file():
            found.append(
                PsfFacts(series.series, read_star_model(path), read_reference(image), facts.blocks.get(series, ()))
            )
    return tuple(found)


def lack_part(facts: RunFacts, group: DataId, anchor: str) -> Html:
    """Say why a detector has no PSF fluxes although they were asked for; nothing where they were not."""
    reasons = [why for series, why in sorted(facts.lacking.items()) if series.group == group]
    if not facts.config.get("extract", {}).get("psf") or not reasons:
        return Html("")
    head = tag("h3", "Apertures and the PSF", id=f"{anchor}-psf")
    return join([head, *(tag("p", why) for why in dict.fromkeys(reasons))], "\n")


def psf_part(
    every: Sequence[PsfFacts],
    stars: Mapping[str, NDArray[Any]],
    timeline: Timeline | None,
    device: Instrument,
    radii: tuple[float, ...],
    pixel: float,
    title: str,
    dpi: int,
    anchor: str,
) -> Html:
    """Make the part of a detector's section that is about its PSF fluxes.

    Parameters
    ----------
    every : sequence of PsfFacts
        From `gather_psf`; at least one.
    stars : mapping of str to array
        The detector's numbers.
    timeline : Timeline or None
        Its frames.
    device : Instrument
        The instrument.
    radii : tuple of float
        Radii of the apertures (px).
    pixel : float
        Size of a pixel (arcsec); NaN where unknown.
    title : str
        What to call the detector.
    dpi : int
        Pixels an inch of the pictures.
    anchor : str
        What the anchors of this detector begin with.

    Returns
    -------
    Html
    """
    dpi = min(dpi, _FINEST)
    pieces: list[object] = [tag("h3", "Apertures and the PSF", id=f"{anchor}-psf")]
    prf, readout = every[0].model.prf, every[0].reference.readout

    def expected(ends: tuple[float, float]) -> NoiseCurve:
        return psf_noise(device.name, stars, readout, noise_pixels(prf, *prf.centre), ends)

    pieces += compare_methods(stars, device, radii, readout.exposure, title, dpi, expected)
    # Every stamp is a series, and all of a detector have one PRF: the first stands for them.
    for facts in every[:_SERIES]:
        name = title if len(every) == 1 else f"{title}, {facts.series}"
        pieces += _prf_part(facts, pixel, name, dpi)
        if timeline is not None:
            pieces += _displacement_part(facts, timeline, device, name, dpi)
    return join(pieces, "\n")


def fit_words(facts: PsfFacts) -> tuple[Html, bool]:
    """Say in a sentence or two whether the PRF fits, and whether one should worry."""
    numbers = facts.model.numbers
    width, error = facts.width
    taught = numbers.get("n_teacher", float("nan"))
    words = (
        f"Learned from {number(taught)} bright and isolated stars" if np.isfinite(taught) else "Learned from the frames"
    )
    if numbers.get("mission"):
        words = "From the mission's PRF files"
    elif "n_stamp" in numbers:
        words = f"Two Gaussians, as wide as the stars of {plural(int(numbers['n_stamp']), 'stamp')}"
    order = numbers.get("order", 0.0)
    words += (
        f", varying over the detector as a polynomial of order {number(order)}."
        if order
        else ", the same all over the detector."
    )
    found = numbers.get("n_found", 0.0)
    if found:
        words += f" {plural(int(found), 'star')} that the catalogue lacks {'was' if found == 1 else 'were'} found and fitted, too."
    if not np.isfinite(width):
        return join([words, " How well it fits was not noted."]), False
    sigmas = abs(width) / error if error > 0.0 else float("inf")
    measured = f"the stars are {number(100.0 * abs(width), 2)} ± {number(100.0 * error, 2)} % {'wider' if width > 0.0 else 'narrower'} than the PRF"
    chi2 = numbers.get("chi2_brightest", float("nan"))
    tail = (
        f"; reduced χ² of the brightest that taught is {number(chi2, 1)} on the mean of the reference frames, whose noise is "
        "many times smaller than that of a frame."
        if np.isfinite(chi2)
        else "."
    )
    if abs(width) > WIDE:
        return join([words, " ", tag("strong", "The PRF does not fit"), f": {measured}{tail}"]), True
    if sigmas > SURE:
        sure = f"{sigmas:.0f} standard deviations" if np.isfinite(sigmas) else "without any doubt"
        return join(
            [words, f" The PRF fits to better than one per cent, but not to its errors: {measured} ({sure}){tail}"]
        ), False
    return join([words, f" The PRF fits: {measured}{tail}"]), False


def _prf_part(facts: PsfFacts, pixel: float, title: str, dpi: int) -> list[object]:
    prf, place = facts.model.prf, facts.reference.geometry
    low = (float(place.col0), float(place.row0))
    high = (low[0] + place.n_col - 1.0, low[1] + place.n_row - 1.0)
    middle = (0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]))
    spots = (
        ("centre", *middle), ("lower left", low[0], low[1]), ("lower right", high[0], low[1]),
        ("upper left", low[0], high[1]), ("upper right", high[0], high[1]),
    )  # fmt: skip
    views = [view_prf(prf, *spot) for spot in spots]
    words, bad = fit_words(facts)
    drawn = figure_prf(views, f"The PRF: {title}", pixel)
    widths = ", ".join(f"{number(view.fwhm, 2)} px {view.name}" for view in views)
    alt = f"The PRF at the centre and the corners of the detector, and its radial profiles; full width at half maximum: {widths}."
    caption = (
        f"Share of a star's light in a pixel at some distance from the star, integrated over the pixel already. The profile is the mean over "
        f"all directions, below over that in the centre. The pictures and the model end at {prf.half} px."
    )
    head = tag("h4", "The PRF")
    return [head, tag("p", words, class_="verdict" if bad else None), figure(picture(drawn, dpi), alt, caption)]


def _displacement_part(facts: PsfFacts, timeline: Timeline, device: Instrument, title: str, dpi: int) -> list[object]:
    head = tag("h4", "Displacement of the frames")
    found = gather_displacement(facts.blocks)
    if found is None:
        return [
            head,
            tag("p", "Too few bright stars tell where the frames point, or the flux blocks have been cleared away."),
        ]
    place = facts.reference.geometry
    terms = terms_of(found, place.n_col, place.n_row, facts.model.prf.half)
    lost = int(np.count_nonzero(~np.isfinite(terms.col)))
    good = good_frames(found.cadence, timeline, device.quality)
    spread = [
        number(scatter_of(values[good]), digits)
        for values, digits in ((terms.col, 4), (terms.row, 4), (terms.roll, 2), (terms.scale, 1))
    ]
    words = (
        f"Against the reference image, over {plural(int(good.sum()), 'good frame')}: scatter {spread[0]} px in column and {spread[1]} px in row "
        "in the middle of the detector"
    )
    if np.isfinite(terms.roll).any():
        words += f", {spread[2]} arcsec in roll and {spread[3]} ppm in scale"
    words += "."
    if lost:
        words += f" {plural(lost, 'frame')} {'was' if lost == 1 else 'were'} left without a displacement, and with it without PSF fluxes."
    drawn = figure_displacement(found.cadence, terms, timeline, device.quality, f"Displacement: {title}")
    caption = (
        "As the PSF fluxes have it: fitted to the brightest stars in each frame together with all fluxes. Roll turns columns towards rows; scale is how "
        "much farther apart the stars are, by focus or differential aberration. Diamonds: frames without."
    )
    return [
        head,
        tag("p", words),
        figure(picture(drawn, dpi), f"Displacement of the frames over time. {words}", caption),
    ]
