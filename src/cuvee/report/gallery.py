"""Some stars of a detector: pixels and light curves of the brightest, the most variable, and the worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cuvee.model.flags import FLAGS
from cuvee.quicklook import figure_residual, figure_stamp, figure_strip
from cuvee.quicklook.words import band_of
from cuvee.report.detector import CANDIDATES, OWN_LIGHT, Shown
from cuvee.report.markup import Html, code, figure, join, number, percent, plural, tag
from cuvee.report.pictures import picture

__all__ = ["gallery"]

_WIDE = 2.0
"""Range over noise from which it is told of a star."""
_FINEST = 100
"""Pixels an inch of the pictures of models at most: squares of one colour hold no fine points."""
_GALLERY = {
    "B": ("Brightest", "The brightest stars with light curves."),
    "V": (
        "Most variable",
        (
            f"Among the {CANDIDATES:,} brightest stars that give at least {100 * OWN_LIGHT:.0f} % of the light in their aperture: "
            "the largest range of flux (5th to 95th percentile) over what point-to-point scatter alone would give. "
            "Stars that vary, or raw light curves that still carry the instrument's trends."
        ),
    ),
    "W": (
        "Worst against the noise model",
        (
            f"The largest point-to-point scatter over expected noise, where at least {100 * OWN_LIGHT:.0f} % of the light is the star's. "
            "Fast variables, saturated stars, or something that went wrong: look at each."
        ),
    ),
}


def gallery(name: str, shown: Sequence[Shown], dpi: int, anchor: str) -> Html:
    """Show stars: pixels and light curve of each, and what is remarkable about it.

    Parameters
    ----------
    name : str
        The instrument.
    shown : sequence of Shown
        The stars.
    dpi : int
        Pixels an inch of their pictures.
    anchor : str
        What the anchors of this detector begin with.

    Returns
    -------
    Html
    """
    pieces = [tag("h3", "Some stars", id=f"{anchor}-stars")]
    if not shown:
        pieces.append(tag("p", "No star has 20 good points, so none is shown."))
    done: set[int] = set()
    for letter, (head, words) in _GALLERY.items():
        these = [star for star in shown if letter in star.label]
        if not these:
            continue
        pieces += [tag("h4", head), tag("p", words, class_="soft")]
        first = [star for star in these if star.curve.id not in done]
        before = [star for star in these if star.curve.id in done]
        if before:
            names = join((join([_badge(star.label), star.curve.name]) for star in before), ", ")
            pieces.append(tag("p", join([names, " is" if len(before) == 1 else " are", " shown above."])))
        pieces += [_card(name, star, dpi) for star in first]
        done |= {star.curve.id for star in first}
    return join(pieces, "\n")


def _badge(label: str) -> Html:
    return join(tag("span", one, class_="badge") for one in label.split())


def _card(name: str, star: Shown, dpi: int) -> Html:
    row = star.curve.observations[0]
    share = float(row["crowding"])
    facts = [
        f"{band_of(name)} {number(star.curve.mag, 2)}",
        f"scatter {number(star.ratio, 2)} times the expected noise",
        f"range {number(star.spread, 1)} times what its noise explains" if star.spread > _WIDE else "",
        _flag_words(star),
        f"{percent(share)} own light in {str(row['best']).replace('aperture', 'aperture ')}"
        if np.isfinite(share)
        else "",
    ]
    words = join([_badge(star.label), tag("b", star.curve.name), ": ", ", ".join(fact for fact in facts if fact), ". "])
    command = code(f"cuvee show {star.curve.id}")
    good = int(star.curve.good.sum())
    alt = f"Light curve of {star.curve.name}: flux against time, {plural(good, 'good point')} of {len(star.curve):,}."
    pieces = [tag("p", join([words, command]))]
    if star.stamp is not None:
        near = plural(len(star.stamp.neighbours), "neighbour")
        said = f"Pixels around {star.curve.name} with its apertures and {near}."
        pieces.append(figure(picture(figure_stamp(star.stamp), dpi), said, kind="stamp"))
    pieces.append(figure(picture(figure_strip(star.curve), dpi), alt, kind="curve"))
    if star.residual is not None:
        drawn = picture(figure_residual(star.residual, f"{star.curve.name}: pixels and PSF model"), min(dpi, _FINEST))
        said = f"Mean pixels around {star.curve.name}, the PSF model of them, and what that leaves over its error."
        pieces.append(figure(drawn, said))
    return tag("div", join(pieces), class_="card")


def _flag_words(star: Shown) -> str:
    """Name cuvee's own flags that most of the points carry."""
    flag = star.curve.flag
    names = [bit.name.replace("_", " ") for bit in FLAGS if 2 * np.count_nonzero(flag & bit.value) > flag.size]
    return f"flagged {', '.join(names)}" if names else ""
