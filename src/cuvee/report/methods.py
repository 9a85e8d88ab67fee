"""Which method is best for which stars, on the page: apertures, the stars' own masks, the PSF and halos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee.collect import light_shares
from cuvee.model.instrument import Instrument
from cuvee.quicklook.methods import MethodBin, figure_methods, method_bins, method_words, methods_of
from cuvee.quicklook.noise import NoiseCurve
from cuvee.quicklook.words import band_of
from cuvee.report.markup import Html, figure, join, number, percent, plural, table, tag
from cuvee.report.pictures import picture

__all__ = ["compare_methods", "methods_part"]

_FINEST = 120
"""Pixels an inch of these pictures at most; they are many, and hold no fine points."""


def methods_part(
    stars: Mapping[str, NDArray[Any]], device: Instrument, radii: tuple[float, ...], exposure: float, title: str, dpi: int, anchor: str
) -> Html:  # fmt: skip
    """Make the part of a detector's section that compares methods, where there are no PSF fluxes; nothing where there are only apertures.

    Parameters
    ----------
    stars : mapping of str to array
        The detector's numbers.
    device : Instrument
        The instrument.
    radii : tuple of float
        Radii of the apertures (px).
    exposure : float
        Seconds of one exposure; 0 where unknown.
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
    if not methods_of(stars):
        return Html("")
    head = tag("h3", "Apertures and masks", id=f"{anchor}-methods")
    return join([head, *compare_methods(stars, device, radii, exposure, title, dpi)], "\n")


def _shares(
    stars: Mapping[str, NDArray[Any]], methods: Sequence[str], radii: tuple[float, ...], device: Instrument
) -> list[float | NDArray[np.float64]] | None:
    """Return the share of a star's light that each method holds; None where the table of stars does not tell them apart."""
    known = light_shares(radii, device.fwhm, stars.get("mask_share"))
    named = [name for name in methods if name.startswith("aperture")]
    return [known[name] for name in methods] if len(named) == len(radii) and set(methods) <= set(known) else None


def compare_methods(
    stars: Mapping[str, NDArray[Any]],
    device: Instrument,
    radii: tuple[float, ...],
    exposure: float,
    title: str,
    dpi: int,
    expected: Callable[[tuple[float, float]], NoiseCurve] | None = None,
) -> list[object]:
    """Compare the methods in words, a figure and a table.

    Parameters
    ----------
    stars, device, radii, exposure, title, dpi
        As `methods_part` takes them.
    expected : callable, optional
        The noise that PSF fluxes should have between two magnitudes.

    Returns
    -------
    list
        Pieces of the page.
    """
    methods = methods_of(stars)
    shares = _shares(stars, methods, radii, device)
    if shares is None:
        return [tag("p", "The table of stars does not tell the methods apart; run again to make it anew.")]
    fine, whole = (
        method_bins(stars, shares, device.zero_point, 0.5),
        method_bins(stars, shares, device.zero_point, 1.0, 1),
    )
    pieces: list[object] = [tag("p", _best_words(stars, methods, radii))]
    if fine:
        model = None if expected is None else expected((fine[0].low, fine[-1].high))
        heading = f"Apertures and {'the PSF' if 'psf' in methods else 'masks'}: {title}"
        drawn = figure_methods(fine, methods, radii, model, heading, exposure, band_of(device.name))
        alt = f"Median scatter of {len(methods)} methods against magnitude, and which of them is the flux of how many stars. {_win_words(fine, methods, radii)}"  # fmt: skip
        caption = (
            "Medians in half a magnitude. Scatter is from one point to the next and counts for the star's own light: it is divided by the share of "
            "the light that an aperture takes in, and by the flux after the star's magnitude."
        )
        if "psf" in methods:
            caption += (
                " The dashed line is what photons, background and readout let a PSF flux have. Where the reduced χ² rises with brightness, the PRF is "
                "not quite that of the stars; where it is high at all magnitudes, stars are missing in the model."
            )
        pieces += [tag("p", _win_words(fine, methods, radii)), figure(picture(drawn, dpi), alt, caption)]
    return [*pieces, _methods_table(whole, methods)] if whole else pieces


def _best_words(stars: Mapping[str, NDArray[Any]], methods: Sequence[str], radii: tuple[float, ...]) -> str:
    """Say which flux is how many stars', and what became of cosmic rays."""
    seen = stars["n_good"] > 0
    shares = [(float(np.mean(stars["best"][seen] == name)) if seen.any() else float("nan"), name) for name in methods]
    listed = ", ".join(
        f"{method_words(name, radii)} for {percent(share)}" for share, name in sorted(shares, reverse=True)
    )
    words = f"What flux holds, of the {int(seen.sum()):,} stars with good points: {listed}."
    if "mask" in methods:
        bare = int(np.count_nonzero(seen & (stars["mask_size"] == 0)))
        size = stars["mask_size"][stars["mask_size"] > 0]
        if size.size:
            words += f" The median own mask has {number(float(np.median(size)))} pixels."
        if bare:
            words += f" {plural(bare, 'star')} {'has' if bare == 1 else 'have'} no own mask (they do not stand out, or a brighter star has their pixel)."
    if "psf" not in methods:
        return words
    lost = int(np.count_nonzero(seen & ~np.isfinite(stars["psf_scatter"])))
    if lost:
        words += f" {plural(lost, 'star')} {'has' if lost == 1 else 'have'} no PSF flux (a brighter star lies on top, or most pixels are saturated)."
    hit, n_point = int(stars["n_cosmic_ray"].sum()), int(stars["n_point"].sum())
    words += f" Cosmic rays were taken out of {plural(hit, 'point')} of {n_point:,} (flag cosmic_ray)."
    return words


def _win_words(bins: Sequence[MethodBin], methods: Sequence[str], radii: tuple[float, ...]) -> str:
    """Say at which magnitudes the median star scatters least in which method."""
    places: list[list[Any]] = []
    for one in bins:
        winner = methods[int(np.nanargmin(one.over))]
        if places and places[-1][0] == winner and places[-1][2] == one.low:
            places[-1][2] = one.high
        else:
            places.append([winner, one.low, one.high])
    named = {name: "the PSF flux" if name == "psf" else method_words(name, radii) for name in methods}
    listed = [f"{named[name]} from {low:g} to {high:g} mag" for name, low, high in places]
    return f"The median star scatters least in {'; in '.join(listed)}."


def _methods_table(bins: Sequence[MethodBin], methods: Sequence[str]) -> Html:
    names = [method_words(name) for name in methods]
    fitted = "psf" in methods
    head = ["stars", "number", *(f"{name} (ppm)" for name in names), *(f"flux is {name}" for name in names)]
    head += ["reduced χ²", "cosmic rays"] * fitted
    rows = [
        (
            f"{one.low:.0f} to {one.high:.0f} mag",
            f"{one.n_star:,}",
            *(number(1e6 * value) for value in one.scatter),
            *(percent(share) for share in one.best),
            *((number(one.chi2[1], 2), f"{one.n_cosmic_ray:,}") if fitted else ()),
        )
        for one in bins
    ]
    words = (
        "Median scatter of each method over the star's own light, and the share of the stars whose flux is the method's"
    )
    words += (
        "; the median of the stars' reduced χ², and the points from which a cosmic ray was taken out."
        if fitted
        else "."
    )
    return table(head, rows, words)
