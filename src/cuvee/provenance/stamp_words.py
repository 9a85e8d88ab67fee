"""Write out what was measured in a whole stamp, PSF fluxes and halos, so that a reader can do the sums again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cuvee.photometry.psf_stamp import TURNS
from cuvee.provenance.phrases import number, verdict

__all__ = ["halo_line", "halo_lines", "stamp_line", "stamp_lines"]

_MOST_PIXELS = 230
_MOST_STARS = 12
_WIDTHS = {"value": 14, "mean": 14, "curved": 12, "gain": 13, "product": 14, "weight": 14}
_DIGITS = {"gain": 8, "weight": 9}


def stamp_line(one: Mapping[str, Any]) -> list[str]:
    """Say in a few lines what the PSF flux of a stamp is, where ``flux`` holds another."""
    lines = ["  THE PSF FLUX (--json lists its pixels)"]
    if one["why_not"] is not None:
        return [*lines, f"    There is none: {one['why_not']}"]
    return [
        *lines,
        f"    {number(one['flux_in_mean'])} {one['sum']:+.4f} = {number(one['flux']['redone'])} +- {number(one['flux_err']['redone'])} e-/s, {_verdict(one)}",
    ]


def _verdict(one: Mapping[str, Any]) -> str:
    return verdict(one["flux"], "e-/s", "the solution allows")


def stamp_lines(one: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    """Write out the PSF flux of a stamp: the sum, the stars, the error."""
    lines = ["", "  THE SUM of the PSF flux, F = F0 + sum of g (D - M - C)"]
    if not one["pixels"]:
        return [*lines, f"    There is no PSF flux: {one['why_not']}"]
    (x, y), (mean_x, mean_y) = one["pointing"]["shift"], one["pointing"]["mean"]
    few = "" if one["n_frame"] == one["n_measured"] else f" of {one['n_measured']}"
    lines += [
        (
            f"    The pointing{', the background' if one['level']['may_change'] else ''} and the fluxes of {sum(star['solved'] for star in one['stars'])} of the stamp's stars are "
            f"solved for at once, as changes against the mean of the {one['n_frame']}{few} frames that point alike. In that mean the star stands at column {number(one['col'], 5)}, row "
            f"{number(one['row'], 5)}; in this frame all stars lie {x - mean_x:+.6f} px in column and {y - mean_y:+.6f} px in row from there."
        ),
        (
            "    value D, the pixel; mean M, that of the mean; curved C, what is not linear in displacement and fluxes; gain g, what the pixel adds to the flux: "
            "the star's row in the pseudo-inverse of all stars and derivatives, each pixel weighed by its noise."
        ),
        *_table(one["pixels"], ["value", "mean", "curved", "gain", "product"], point),
    ]
    lines += [
        f"    sum of the products                 {number(one['sum'], 6, 18)} e-/s",
        f"    flux in the mean, F0                {number(one['flux_in_mean'], 6, 18)} e-/s",
    ]
    if one["why_not"] is not None:
        lines.append(f"    It is not given: {one['why_not']}")
    else:
        lines.append(f"    flux                                {number(one['flux']['redone'], 6, 18)} e-/s")
    lines.append(
        f"    stored                              {number(one['flux']['stored'], 6, 18)} e-/s: {_verdict(one)}"
    )
    lines.append(
        f"    The solution is found in {TURNS} turns, for what is curved; the last one moved the flux by {one['tolerance']['turns']:.1e} e-/s."
    )
    if one["cosmic_ray"]:
        where = ", ".join(f"({pixel['col']}, {pixel['row']})" for pixel in one["cosmic_ray"])
        lines.append(f"    Left out as hit by a cosmic ray, too bright for all stars: pixel {where}.")
    if "rounding_step" in one:
        lines.append(
            f"    what is stored was rounded to a multiple of {one['rounding_step']:g} e-/s ([collect] round_noise)"
        )
    lines += ["", *_star_lines(one)]
    if one["why_not"] is None:
        lines += ["", *_error_lines(one, point)]
    return lines


def _table(pixels: Sequence[Mapping[str, Any]], names: Sequence[str], point: Mapping[str, Any]) -> list[str]:
    places = ["col", "row"] + (["x", "y"] if point["place"] else [])
    lines = ["    " + "".join(name.rjust(6) for name in places) + "".join(name.rjust(_WIDTHS[name]) for name in names)]
    for pixel in pixels[:_MOST_PIXELS]:
        cells = [str(pixel[name]).rjust(6) for name in places]
        cells += [number(pixel[name], _DIGITS.get(name, 4), _WIDTHS[name]) for name in names]
        lines.append("    " + "".join(cells))
    if len(pixels) > _MOST_PIXELS:
        lines.append(f"    ... and {len(pixels) - _MOST_PIXELS} pixels more (--json lists all)")
    return lines


def _star_lines(one: Mapping[str, Any]) -> list[str]:
    fit = one["fit"]
    source = "the mission's files"
    if not fit.get("mission"):
        widths = ", ".join(
            f"{name.replace('_', ' ')} {fit[name]:.3f}"
            for name in ("width_col", "width_row", "wing", "spread")
            if name in fit
        )
        source = f"{fit.get('n_stamp', 0):.0f} stamps of the detector, two Gaussians ({widths})"
    lines = [
        "  ITS STARS",
        (
            f"    The PRF is from {source}. The model has {len(one['stars'])} stars, {fit.get('n_found', 0):.0f} of them found in the stamp. Those without an error "
            "are as bright as in the mean: they matter too little to be solved for."
        ),
        "                      id      column         row         in the mean       in this frame           error",
    ]
    lines += [
        f"    {star['id'] or 'in no catalogue':>20} {star['col']:11.4f} {star['row']:11.4f} {number(star['mean'], 4, 19)} {number(star['flux'], 4, 19)}"
        + (number(star["error"], 4, 16) if star["solved"] else "")
        for star in one["stars"][:_MOST_STARS]
    ]
    if len(one["stars"]) > _MOST_STARS:
        lines.append(f"    ... and {len(one['stars']) - _MOST_STARS} fainter (--json lists all)")
    if one["level"]["may_change"]:
        lines.append(f"    The background is {one['level']['change']:+.4f} e-/s/pixel from that of the mean.")
    else:
        lines.append("    The background is the mission's: it has been subtracted, and does not change here.")
    return lines


def _error_lines(one: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    terms, exposure = one["variance"], point["readout"]["exposure"]
    lines = [
        "  ITS ERROR",
        "    frame       sum of g^2 x variance of the pixel in the mean, photons and reading",
        f"                                                 {number(terms['frame'], 8, 18)} (e-/s)^2",
    ]
    if one["level"]["may_change"]:
        lines += [
            f"    background  sum of g^2 x its change / {exposure:.3f} s",
            f"                                                 {number(terms['level'], 8, 18)} (e-/s)^2",
        ]
    return [
        *lines,
        f"    flux_err, the root of their sum              {number(one['flux_err']['redone'], 8, 18)} e-/s, {verdict(one['flux_err'], 'e-/s')}",
        f"    reduced chi2 of the pixels {number(one['chi2'], 4)}, {verdict(one['chi2_compared'], '')}",
    ]


def halo_line(one: Mapping[str, Any]) -> list[str]:
    """Say in a few lines what the halo flux is, where ``flux`` holds another."""
    lines = ["  THE HALO (--json lists its pixels)"]
    if one["why_not"] is not None:
        return [*lines, f"    There is no halo flux: {one['why_not']}"]
    return [
        *lines,
        (
            f"    {number(one['level'])} x {number(one['sum'])} / {number(one['light'])} = {number(one['flux']['redone'])} +- "
            f"{number(one['flux_err']['redone'])} e-/s, {verdict(one['flux'], 'e-/s')}"
        ),
    ]


def halo_lines(one: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    """Write out the halo flux: pixels, weights, level."""
    lines = ["", "  THE SUM of the halo, F = L x (sum of w (D - B)) / (sum of w M)"]
    if not one["pixels"]:
        return [*lines, f"    There is no halo flux: {one['why_not']}"]
    part = (
        f"; these are the weights of part {one['part']} of {one['n_part']} of the series" if one["n_part"] > 1 else ""
    )
    lines += [
        (
            f"    The weights w were sought so that the sum jumps least from frame to frame in the {one['n_good']} good ones (total variation over mean "
            f"{one['after']:.6g}, of the plain sum {one['before']:.6g}){part}. {one['n_full']} pixels are full of charge, or may be, and have none."
        ),
        "    value D, the pixel; mean M, of D - B in the good frames; product w (D - B)",
        *_table(one["pixels"], ["value", "weight", "mean", "product"], point),
        f"    background of a pixel, B            {number(one['background'], 6, 18)} e-/s",
        f"    sum of the products                 {number(one['sum'], 6, 18)} e-/s",
        f"    sum of w M                          {number(one['light'], 6, 18)} e-/s",
        f"    level L                             {number(one['level'], 6, 18)} e-/s: it brings the median of the good frames to that of {one['like']}, {number(one['level_like'])}",
    ]
    if one["why_not"] is not None:
        lines.append(f"    It is not given: {one['why_not']}")
    if "flux" in one:
        lines += [
            f"    flux                                {number(one['flux']['redone'], 6, 18)} e-/s",
            f"    stored                              {number(one['flux']['stored'], 6, 18)} e-/s: {verdict(one['flux'], 'e-/s')}",
            f"    flux_err = L x root of the sum of (w x error of D)^2 / (sum of w M) = {number(one['flux_err']['redone'], 6)} e-/s, {verdict(one['flux_err'], 'e-/s')}",
        ]
    if "rounding_step" in one:
        lines.append(
            f"    what is stored was rounded to a multiple of {one['rounding_step']:g} e-/s ([collect] round_noise)"
        )
    return lines
