"""Write a PSF flux out, so that a reader can do its sum again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cuvee.provenance.phrases import number, verdict

__all__ = ["gain_lines", "psf_line", "psf_lines"]

_MOST_PIXELS = 230
_MOST_NEIGHBOURS = 6
_WIDTHS = {"col": 6, "row": 6, "x": 6, "y": 6, "value": 14, "others": 14, "prf": 12, "weight": 13, "product": 14}
_DIGITS = {"prf": 8, "weight": 8}
_SOURCES = {
    "stored": "its flux in this frame as stored",
    "solved here": "solved for here beside the star, for its flux in this frame is not kept",
    "reference": "as in the reference image",
}


def gain_lines(pixels: Sequence[Mapping[str, Any]], point: Mapping[str, Any]) -> list[str]:
    """Say which columns of pixels answer to light otherwise than those around them."""
    here = {pixel["col"] for pixel in pixels}
    found = [f"{col} by {factor:.6f}" for col, factor in point.get("gain", []) if col in here]
    if not found:
        return []
    return [
        f"    value: pixels of columns that answer to light otherwise than those around them are multiplied first, of column {', '.join(found)}"
    ]


def psf_line(one: Mapping[str, Any]) -> list[str]:
    """Say in a few lines what the PSF flux is, where ``flux`` holds an aperture's."""
    lines = ["  THE PSF FLUX (--json lists its pixels)"]
    if one["why_not"] is not None:
        return [*lines, f"    There is none: {one['why_not']}"]
    if "flux" not in one:
        return [*lines, f"    stored: {number(one['stored_flux'])} +- {number(one['stored_flux_err'])} e-/s"]
    ray = one["cosmic_ray"]
    less = f" - {number(ray['taken'])} of a cosmic ray" if ray and ray["taken"] else ""
    return [
        *lines,
        (
            f"    ({number(one['sum'])} - {one['weight']:.5f} x {number(one['background']['level'])}) / {one['norm']:.7f}{less} = "
            f"{number(one['flux']['redone'])} +- {number(one['flux_err']['redone'])} e-/s, {_verdict(one)}"
        ),
    ]


def _verdict(one: Mapping[str, Any]) -> str:
    return verdict(one["flux"], "e-/s", "the solution allows")


def psf_lines(one: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    """Write out the PSF flux, its neighbours and its error."""
    lines = ["", "  THE SUM of the PSF flux, F = (sum of w (D - M) - B x sum of w) / sum of w P"]
    if not one["pixels"]:
        return [*lines, f"    There is no PSF flux: {one['why_not']}"]
    x, y = one["pointing"]["shift"]
    lines += [
        (
            f"    The star was fitted at column {number(one['col'], 5)}, row {number(one['row'], 5)}; in this frame all stars here are displaced by {x:+.6f} in column "
            f"and {y:+.6f} in row (px)."
        ),
        (
            "    value D, the pixel; others M, the light of all other stars in it (and of the bright ones, itself too, what the third "
            "and fourth order of the displacement add); prf P, the share of the star's light in it, both displaced to second order; "
            "weight w, the PRF in the reference frames over the pixel's variance there, and over the sum of PRF^2 / variance."
        ),
        *_pixel_lines(one, point),
    ]
    if "sum" in one:
        lines += _flux_lines(one)
    else:
        lines += [
            f"    sum of the weights                  {one['weight']:18.6f}",
            f"    sum of weight x prf                 {one['norm']:18.8f}",
            f"    stored                              {number(one['stored_flux'], 6, 18)} e-/s",
        ]
    lines += ["", *_neighbour_lines(one)]
    if "variance" in one and one["why_not"] is None:
        lines += ["", *_error_lines(one, point["readout"]["exposure"])]
    return lines


def _pixel_lines(one: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    columns = ["col", "row"] + (["x", "y"] if point["place"] else [])
    columns += ["value", "others", "prf", "weight", "product"] if "sum" in one else ["others", "prf", "weight"]
    lines = [*gain_lines(one["pixels"], point), "    " + "".join(name.rjust(_WIDTHS[name]) for name in columns)]
    for pixel in one["pixels"][:_MOST_PIXELS]:
        cells = [
            str(pixel[name]).rjust(_WIDTHS[name])
            if name in ("col", "row", "x", "y")
            else number(pixel[name], _DIGITS.get(name, 4), _WIDTHS[name])
            for name in columns
        ]
        lines.append("    " + "".join(cells) + (" mended" if pixel.get("mended") else ""))
    if len(one["pixels"]) > _MOST_PIXELS:
        lines.append(f"    ... and {len(one['pixels']) - _MOST_PIXELS} pixels more (--json lists all)")
    if one["full_pixels"]:
        lines.append(
            f"    {one['full_pixels']} pixels between these take no part: nearly full of charge in the reference image, or unknown there."
        )
    if any(pixel.get("mended") for pixel in one["pixels"]):
        lines.append(
            f"    mended: not a number in this frame, so the pixel of the reference image stands in; these carry {100 * one['missing']:.2f} % of the weights."
        )
    return lines


def _flux_lines(one: Mapping[str, Any]) -> list[str]:
    level = one["background"]["level"]
    lines = [
        f"    sum of the products w (D - M), S    {number(one['sum'], 6, 18)} e-/s",
        f"    sum of the weights, A               {one['weight']:18.6f}",
        f"    sum of weight x prf, N              {one['norm']:18.8f}",
        f"    background of a pixel, B (below)    {number(level, 6, 18)} e-/s",
        f"    flux = (S - A x B) / N              {number(one['solution'], 6, 18)} e-/s",
    ]
    if one["cosmic_ray"]:
        lines += _ray_lines(one)
    if one["why_not"] is not None:
        lines.append(f"    It is not given: {one['why_not']}")
    lines.append(
        f"    stored                              {number(one['flux']['stored'], 6, 18)} e-/s: {_verdict(one)}"
    )
    settled, slack = one["settled"], one["tolerance"]
    lines.append(
        f"    The solution is found in rounds. It ends when the last one changed {100 * (1 - settled['except']):g} % of the fluxes by less than "
        f"{settled['change']:g} of their error (here {slack['settled']:.1e} e-/s) and the pointing by less than {settled['pointing']:g} px (here {slack['pointing']:.1e} "
        f"e-/s), at the latest after {settled['rounds']}; single precision leaves {slack['background'] + slack['arithmetic']:.1e} e-/s."
    )
    if not one["flux"]["agrees"]:
        lines.append(
            f"    The difference is larger: the star may be one of the {100 * settled['except']:g} % that had not settled, or the frame not have settled in {settled['rounds']} rounds."
        )
    if "rounding_step" in one:
        lines.append(
            f"    what is stored was rounded to a multiple of {one['rounding_step']:g} e-/s ([collect] round_noise)"
        )
    return lines


def _ray_lines(one: Mapping[str, Any]) -> list[str]:
    ray = one["cosmic_ray"]
    where = ", ".join(
        f"({pixel['col']}, {pixel['row']}) by {pixel['excess']:.1f} of its errors" for pixel in ray["pixels"]
    )
    lines = [
        (
            f"    Too bright for the star's PRF, as if hit by a cosmic ray: pixel {where}. Without them the reduced chi2 is {number(one['chi2'], 2)} "
            f"instead of {number(ray['chi2_before'], 2)}."
        ),
        f"    what they had added to the flux     {number(ray['added'], 6, 18)} e-/s",
    ]
    if ray["taken"]:
        return [
            *lines,
            f"    flux without them                   {number(one['solution'] - ray['added'], 6, 18)} e-/s",
        ]
    return [
        *lines,
        (
            f"    It is not taken out, for in this frame more than {100 * ray['disturbed']:.0f} % of all stars do not fit (of the targets, {100 * ray['unfit']:.0f} % have "
            "a chi2 that says so): no cosmic rays do that."
        ),
    ]


def _neighbour_lines(one: Mapping[str, Any]) -> list[str]:
    others = one["neighbours"]
    lines = ["  ITS NEIGHBOURS"]
    if not others:
        return [*lines, "    No other star's light reaches these pixels."]
    lines += [
        f"    {len(others)} other stars reach these pixels; what each puts into the flux's sum, sum of w M / N, is taken off:",
        "                      id  distance            flux    in reference        taken off   flux is",
    ]
    for star in others[:_MOST_NEIGHBOURS]:
        away = ((star["col"] - one["col"]) ** 2 + (star["row"] - one["row"]) ** 2) ** 0.5
        lines.append(
            f"    {star['id'] or 'in no catalogue':>20} {away:9.3f} {number(star['flux'], 3, 15)} {number(star['reference_flux'], 3, 15)} {number(star['light'], 4, 16)}   {star['from']}"
        )
    if len(others) > _MOST_NEIGHBOURS:
        rest = sum(star["light"] for star in others[_MOST_NEIGHBOURS:])
        lines.append(
            f"    {'... and ' + str(len(others) - _MOST_NEIGHBOURS) + ' more':>20} {'':9} {'':15} {'':15} {number(rest, 4, 16)}   (see --json)"
        )
    lines += [
        f"    {name}: {meaning}" for name, meaning in _SOURCES.items() if any(star["from"] == name for star in others)
    ]
    return lines


def _error_lines(one: Mapping[str, Any], exposure: float) -> list[str]:
    terms, level = one["variance"], one["background"]
    lines = [
        "  ITS ERROR",
        "    alone       1 / sum of PRF^2 / variance, in a frame as bright as the reference image",
        f"                                                 {number(terms['alone'], 8, 18)} (e-/s)^2",
        f"    fitted      beside the stars linked to it, {len(one['group'])} together: the star's element of the inverse of their matrix",
        f"                                                 {number(terms['reference'], 8, 18)} (e-/s)^2",
        f"    sky         sum of w^2 x (B - B in the reference image) / exposure = {terms['squares']:.6f} x ({number(level['level'])} - {number(terms['still_level'])}) / {exposure:.3f} s",
        f"                                                 {number(terms['sky'], 8, 18)} (e-/s)^2",
        f"    background  (change of the flux with B x error of B)^2 = ({terms['lean']:.6f} x {number(level['error'], 6)})^2",
        f"                                                 {number(terms['background'], 8, 18)} (e-/s)^2",
        f"    flux_err, the root of the last three         {number(one['flux_err']['redone'], 8, 18)} e-/s, {verdict(one['flux_err'], 'e-/s')}",
    ]
    if terms["reference"] + terms["sky"] < 0.2 * terms["reference"]:
        lines.insert(
            -1, "                (so dark a sky is not believed: fitted and sky together count as a fifth of fitted)"
        )
    if one.get("chi2") is not None:
        lines.append(f"    reduced chi2 of the pixels {number(one['chi2'], 4)}, {verdict(one['chi2_compared'], '')}")
    return lines
