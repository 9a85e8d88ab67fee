"""The noise over hours of a detector's light curves on the page, method by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from cuvee.model.instrument import Instrument
from cuvee.quicklook.cdpp import HOURS, CdppBin, cdpp_bins, cdpp_methods, figure_cdpp
from cuvee.quicklook.methods import method_words
from cuvee.quicklook.words import band_of
from cuvee.report.markup import Html, figure, join, number, table, tag
from cuvee.report.pictures import picture

__all__ = ["cdpp_part"]

_FINEST = 120
"""Pixels an inch of the picture at most."""


def cdpp_part(
    stars: Mapping[str, NDArray[Any]], device: Instrument, radii: tuple[float, ...], title: str, dpi: int, anchor: str
) -> Html:
    """Make the part of a detector's section that says how noisy its light curves are over 1 h and 6.5 h.

    Parameters
    ----------
    stars : mapping of str to array
        The detector's numbers.
    device : Instrument
        The instrument.
    radii : tuple of float
        Radii of the apertures (px).
    title : str
        What to call the detector.
    dpi : int
        Pixels an inch of the picture.
    anchor : str
        What the anchors of this detector begin with.

    Returns
    -------
    Html
        Nothing where no star has a CDPP: of light curves shorter than a day, or of an earlier version of cuvee.
    """
    methods = cdpp_methods(stars)
    rows = cdpp_bins(stars, radii, device.fwhm, device.zero_point, 1.0, 1)
    if not rows:
        return Html("")
    fine = cdpp_bins(stars, radii, device.fwhm, device.zero_point, 0.5)
    pieces: list[object] = [tag("h3", "Noise over 1 h and 6.5 h (CDPP)", id=f"{anchor}-cdpp")]
    if fine:
        words = _best_words(fine, methods, radii)
        drawn = figure_cdpp(fine, methods, radii, f"CDPP: {title}", band_of(device.name))
        caption = (
            "Medians in half a magnitude. CDPP by the Savitzky-Golay proxy (Gilliland et al. 2011): a running quadratic over 101 half hours is taken "
            "off, outliers beyond five standard deviations are left out, and the standard deviation of running means over 1 h and 6.5 h is taken. "
            "It counts for the star's own light, by its magnitude and by the share of it that an aperture takes in; variable stars are in it."
        )
        alt = f"Median CDPP over 1 h and 6.5 h of {len(methods)} methods against magnitude. {words}"
        pieces += [tag("p", words), figure(picture(drawn, min(dpi, _FINEST)), alt, caption)]
    return join([*pieces, _table(rows, methods)], "\n")


def _best_words(bins: Sequence[CdppBin], methods: Sequence[str], radii: tuple[float, ...]) -> str:
    """Say at which magnitudes the median star is least noisy in which method."""
    words = []
    for k, hours in enumerate(HOURS.values()):
        places: list[list[Any]] = []
        for one in bins:
            known = [(values[k], name) for values, name in zip(one.methods, methods, strict=True) if values[k] > 0.0]
            winner = min(known)[1] if known else ""
            if places and places[-1][0] == winner and places[-1][2] == one.low:
                places[-1][2] = one.high
            elif winner:
                places.append([winner, one.low, one.high])
        listed = "; ".join(f"{method_words(name, radii)} from {low:g} to {high:g} mag" for name, low, high in places)
        words.append(f"Over {hours} the median star is least noisy in {listed}.")
    return " ".join(words)


def _table(bins: Sequence[CdppBin], methods: Sequence[str]) -> Html:
    names = ["flux", *(method_words(name) for name in methods)]
    head = ["stars", "number", *(f"{name}, {hours}" for hours in HOURS.values() for name in names)]
    rows = []
    for one in bins:
        values = [number(value) for k in range(len(HOURS)) for value in (one.flux[k], *(of[k] for of in one.methods))]
        rows.append((f"{one.low:.0f} to {one.high:.0f} mag", f"{one.n_star:,}", *values))
    return table(head, rows, "Median CDPP (ppm) of what flux holds and of each method.")
