"""Write a sum out, so that a reader can do it again with a pocket calculator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cuvee.model.records import BJD_OFFSET
from cuvee.provenance.phrases import number, verdict
from cuvee.provenance.psf_words import gain_lines, psf_line, psf_lines
from cuvee.provenance.stamp_words import halo_line, halo_lines, stamp_line, stamp_lines

__all__ = ["aperture_lines", "choice_lines", "file_lines", "time_lines"]

_MOST_PIXELS = 150
_WIDTHS = {"col": 7, "row": 7, "x": 6, "y": 6, "value": 15, "weight": 12, "product": 15, "before": 15}


def file_lines(point: Mapping[str, Any]) -> list[str]:
    """Say which file a point is from, whether it is still the one that was measured, and where its pixels stand in it."""
    file, place = point["file"], point.get("place")
    lines = [
        f"    from {Path(file['path']).name}, content {file['content'] or 'unknown'}",
        f"    in {Path(file['path']).parent}",
        f"    {file['sentence']}",
    ]
    if place is None:
        if file["state"] == "unchanged":
            lines.append(
                "    Where its pixels stand in the file could not be found out; col and row are those of the detector."
            )
        return lines
    x, y = (_shifted(*terms) for terms in (("x", "col", place["col_to_x"]), ("y", "row", place["row_to_y"])))
    if "dataset" in place:
        where = f"file['{place['dataset']}'][{place['frame']}, y, x] (h5py)"
    elif place["column"] is None:
        where = f"fits.open(...)[{place['hdu']}].data[y, x] (astropy), image pixel (x + 1, y + 1) in DS9"
    else:
        where = f"fits.open(...)[{place['hdu']}].data['{place['column']}'][{place['frame']}][y, x] (astropy)"
    lines.append(f"    Detector pixel (col, row) is {where}, with {x} and {y}, counted from 0.")
    return lines


def _shifted(name: str, axis: str, shift: int) -> str:
    return f"{name} = {axis}" + (f" {'-' if shift < 0 else '+'} {abs(shift)}" if shift else "")


def aperture_lines(point: Mapping[str, Any], best: str, col: float | None, row: float | None) -> list[str]:
    """Write out the flux in the aperture that ``flux`` holds, its background and its error; the others in a line each."""
    lines = [f"  ! {sentence}" for sentence in point["troubles"]]
    apertures = point.get("apertures", [])
    whole = point.get("psf", {}).get("stamp", False)
    if best == "psf" and "psf" in point:
        lines += (stamp_lines if whole else psf_lines)(point["psf"], point)
        if "background" in point["psf"]:
            lines += ["", *_background_lines({**point["background"], **point["psf"]["background"]}, True)]
    if best == "halo" and "halo" in point:
        lines += [*halo_lines(point["halo"], point), "", *_background_lines(point["background"])]
    for one in apertures:
        if one["name"] == best:
            lines += ["", *_pixel_lines(one, point, _shape(one, col, row)), *_flux_lines(one, point)]
            lines += ["", *_background_lines(point["background"])]
            if "variance" in one:
                lines += ["", *_error_lines(one, point["readout"])]
    others = [one for one in apertures if one["name"] != best and "sum" in one]
    if best != "psf" and "psf" in point:
        lines += ["", *(stamp_line if whole else psf_line)(point["psf"])]
    if best != "halo" and "halo" in point:
        lines += ["", *halo_line(point["halo"])]
    if others:
        lines += ["", f"  THE {'' if best in ('psf', 'halo') else 'OTHER '}APERTURES (--json lists their pixels, too)"]
        lines += [
            f"    {one['name']}: {number(one['sum'])} - {one['area']:.5f} x {number(point['background']['subtracted'])}"
            f" = {number(one['flux']['redone'])} e-/s, {'as stored' if one['flux']['agrees'] else verdict(one['flux'], 'e-/s')}"
            for one in others
        ]
    return lines


def _shape(one: Mapping[str, Any], col: float | None, row: float | None) -> str:
    if one["radius"] is None:
        return "the pixels of the mask; each has the weight 1"
    where = f"column {number(col, 5)}, row {number(row, 5)}"
    return f"a circle of {one['radius']:g} px round {where}; a pixel's weight is its area within the circle"


def _cell(name: str, value: Any) -> str:
    if name in ("col", "row", "x", "y"):
        return str(value).rjust(_WIDTHS[name])
    return number(value, 7 if name == "weight" else 5, _WIDTHS[name])


def _pixel_lines(one: Mapping[str, Any], point: Mapping[str, Any], shape: str) -> list[str]:
    pixels = one["pixels"]
    columns = ["col", "row"] + (["x", "y"] if point["place"] else [])
    columns += ["value", "weight", "product"] if "sum" in one else ["weight"]
    lines = [f"  THE SUM over {one['name']}, {shape}"]
    if any("before_subtraction" in pixel for pixel in pixels):
        columns.append("before")
        lines.append("    before: the value before the mission subtracted its background")
    lines.append("    " + "".join(name.rjust(_WIDTHS[name]) for name in columns))
    lines[1:1] = gain_lines(pixels, point)
    for pixel in pixels[:_MOST_PIXELS]:
        row = {**pixel, "before": pixel.get("before_subtraction", pixel.get("value"))}
        lines.append("    " + "".join(_cell(name, row[name]) for name in columns))
    if len(pixels) > _MOST_PIXELS:
        lines.append(f"    ... and {len(pixels) - _MOST_PIXELS} pixels more (--json lists all)")
    if not pixels:
        lines.append("    no pixel of the frame")
    if one["missing"] > 1e-9:
        lines.append(
            f"    {one['missing']:.4f} px of the circle lie beyond the edge of the pixels; nothing stands in for them."
        )
    if one.get("nan_pixels"):
        lines.append(
            f"    Pixels that are not a number: {one['nan_pixels']}. Nothing stands in for them, so the flux is none either."
        )
    if one.get("saturated_pixels"):
        lines.append(
            f"    Pixels at or above saturation ({point['readout']['saturation']:.0f} e-/s): {one['saturated_pixels']}; summed as they are, and flagged."
        )
    return lines


def _flux_lines(one: Mapping[str, Any], point: Mapping[str, Any]) -> list[str]:
    if "sum" not in one:
        stored, level = one["stored_flux"], point["background"]["subtracted"]
        level = point["values"]["background"] if level is None else level
        return [
            f"    area, the sum of the weights        {one['area']:18.6f} px",
            f"    stored: flux {number(stored)} e-/s, background {number(level)} e-/s/pixel;",
            f"    so the sum of the products must have been flux + area x background = {number(one['implied_sum'])} e-/s",
        ]
    flux, level = one["flux"], point["background"]["subtracted"]
    lines = [
        f"    sum of the products, S              {number(one['sum'], 6, 18)} e-/s",
        f"    area, the sum of the weights, A     {one['area']:18.6f} px",
        f"    background of a pixel, B (below)    {number(level, 6, 18)} e-/s",
        f"    flux = S - A x B                    {number(flux['redone'], 6, 18)} e-/s",
        f"    stored                              {number(flux['stored'], 6, 18)} e-/s: {verdict(flux, 'e-/s')}",
    ]
    if "rounding_step" in one:
        lines.append(
            f"    what is stored was rounded to a multiple of {one['rounding_step']:g} e-/s ([collect] round_noise)"
        )
    return lines


def _pass_lines(passes: Sequence[Mapping[str, Any]], what: str) -> list[str]:
    return [
        f"      round {k + 1}: {row['n']} pixels, {what} {number(row['level'], 5)}, spread {number(row['spread'], 5)}"
        for k, row in enumerate(passes)
    ]


def _background_lines(facts: Mapping[str, Any], fitted: bool = False) -> list[str]:
    lines = ["  THE BACKGROUND"]
    kind = facts["kind"]
    if facts["level"] is None and kind != "none" and "redone" not in facts:
        return [*lines, f"    is of the kind {kind}, and cannot be redone here."]
    if kind == "none":
        why = "the mission has subtracted its own" if facts["by_mission"] else "a mask is summed as it is"
        lines.append(f"    Nothing is subtracted: {why}.")
        lines.append("    B = 0")
        if "redone" not in facts:
            return lines
        column = "The column background is 0"
        if facts["level"]:
            column = f"The column background says what the mission took off, in the mean over the largest aperture: {number(facts['level'])}"
        return [*lines, f"    {column}, {verdict(facts, 'e-/s')}"]
    if kind == "mesh":
        lines += _mesh_lines(facts)
    else:
        pixels = facts["pixels"]
        if kind == "annulus":
            few = (
                ""
                if facts["n_clean"] >= facts["n_least_clean"]
                else f", so the {len(pixels['col'])} faintest are taken"
            )
            lines.append(f"    Pixels whose centre is {facts['inner']:g} to {facts['outer']:g} px away: {facts['n_annulus']}, {facts['n_clean']} of them free of stars in the reference image{few}.")  # fmt: skip
        else:
            lines.append(f"    The stamp is small: of its {facts['n_stamp']} pixels the third that is faintest in the mean of the good frames, {len(pixels['col'])}.")  # fmt: skip
        image = "reference" if kind == "annulus" else "mean"
        what = "mean" if kind == "annulus" else "median"
        lines.append(
            f"    Each less what it stands out by in the {image} image, clipped at {facts['kappa']:g} spreads from their {what}:"
        )
        lines += _pass_lines(facts["passes"], what)
        lines.append("    (--json lists the pixels: col, row, value, base, kept)")
    here = f"    B = {number(facts['level'], 6)} +- {number(facts['error'], 6)} e-/s/pixel"
    if not fitted:
        return [*lines, f"{here}, {verdict(facts, 'e-/s')}"]
    return [
        *lines,
        f"{here} at the place where the star was fitted; the column background, at that of the catalogue: {number(facts['redone'], 6)}, {verdict(facts, 'e-/s')}",
    ]


def _mesh_lines(facts: Mapping[str, Any]) -> list[str]:
    place, nodes = facts["position"], facts["nodes"]
    n_row, n_col = len(facts["row_edges"]) - 1, len(facts["col_edges"]) - 1
    cells = {(cell["cell_row"], cell["cell_col"]): cell for cell in facts["cells"]}
    base = "the light of all stars that were fitted to it" if facts["beside_stars"] else "what it stands out by there"
    lines = [
        (
            f"    A mesh of {n_row} x {n_col} cells. The star lies at cell row {place['cell_row']:.4f}, cell column {place['cell_col']:.4f} (cells count from 0, at "
            f"their centres). A cell's mean is that of its pixels free of stars in the reference image (at most {facts['n_pick']}), each less {base}, clipped at {facts['kappa']:g} spreads in at most {facts['n_pass']} rounds. Slope and curvature of the mesh turn it into the value "
            "at the centre; cubic convolution gives the weights."
        ),
        "      cell        columns         rows   pixels         mean     at centre      weight       product",
    ]
    for node in nodes:
        i, j = node["cell_row"], node["cell_col"]
        cell = cells[i, j]
        columns, rows = (
            f"{edges[k]}-{edges[k + 1] - 1}" for edges, k in ((facts["col_edges"], j), (facts["row_edges"], i))
        )
        used = sum(cell["pixels"]["kept"])
        lines.append(
            f"    {f'{i},{j}':>6} {columns:>14} {rows:>12} {used:8d} {number(cell['mean'], 5, 12)} {number(node['value'], 5, 13)}"
            f" {node['weight']:11.7f} {number(_product(node['value'], node['weight']), 5, 13)}"
        )
    lines.append("    B is the sum of the products (--json lists the pixels of these cells and of those beside them)")
    return lines


def _product(a: float | None, b: float) -> float | None:
    return None if a is None else a * b


def _error_lines(one: Mapping[str, Any], readout: Mapping[str, Any]) -> list[str]:
    terms = one["variance"]
    guess = " (came out negative, so B x sum of weight^2 stands in for it)" if one["light2_guessed"] else ""
    light = "before" if any("before_subtraction" in pixel for pixel in one["pixels"]) else "value"
    lines = [
        "  ITS ERROR",
        f"    photons     sum of weight^2 x {light} / exposure = {number(one['light2'])} / {readout['exposure']:.3f} s{guess}",
        f"                                                 {number(terms['photons'], 8, 18)} (e-/s)^2",
        "    reading     sum of weight^2 x reads (read noise^2 + gain^2 / 12) / exposure^2",
        f"                = {one['area2']:.5f} x {readout['n_read']} ({readout['read_noise_here']:g}^2 + {readout['gain_here']:g}^2 / 12) / {readout['exposure']:.3f}^2",
        f"                                                 {number(terms['reading'], 8, 18)} (e-/s)^2",
        f"    background  (A x error of B)^2               {number(terms['background'], 8, 18)} (e-/s)^2",
        f"    flux_err, the root of their sum              {number(one['flux_err']['redone'], 8, 18)} e-/s, {verdict(one['flux_err'], 'e-/s')}",
        f"    Gain (e-/count), read noise (e-) and exposure are from {readout['from']}; output {readout['output'] + 1} of {len(readout['gain'])}.",
    ]
    if readout["assumed"]:
        lines.append(f"    Not in the headers, so the instrument's usual values: {', '.join(readout['assumed'])}.")
    return lines


def time_lines(facts: Mapping[str, Any]) -> list[str]:
    """Say how the time comes about."""
    lines = [
        "  ITS TIME",
        f"    The exposure runs from BTJD {number(facts['start'], 8)} to {number(facts['stop'], 8)}, so its middle is {number(facts['mid'], 8)} (header times; the clock of early releases put right)",
    ]
    if facts["observer"] is None:
        lines.append("    For which direction that holds is not known, so it is taken as it is.")
    else:
        (ra, dec), (star_ra, star_dec), (x, y, z) = facts["direction"], facts["star"], facts["observer"]
        lines += [
            f"    in the direction RA {ra:.5f}, Dec {dec:.5f}; the star is at RA {star_ra:.5f}, Dec {star_dec:.5f} deg (n0 and n).",
            f"    Observer r ({facts['observer_is']}): {x:.3f}, {y:.3f}, {z:.3f} light-seconds from the barycentre (ICRS).",
            f"    Roemer term r . (n - n0) = {facts['light_path']:.6f} s",
        ]
    lines.append(f"    time = BTJD {number(facts['redone'], 8)}, {verdict(facts, 'd')}")
    if facts["stored"] is not None:
        lines.append(f"    stored: BTJD {facts['stored']:.8f} = BJD_TDB {facts['stored'] + BJD_OFFSET:.7f}")
    return lines


def choice_lines(facts: Mapping[str, Any]) -> list[str]:
    """Say why ``flux`` is that of one aperture."""
    lines = ["  ITS APERTURE"]
    if facts["setting"] != "best":
        lines.append(f"    is {facts['best']} because [collect] aperture says so.")
        return lines
    if len(facts["apertures"]) == 1:
        return [*lines, "    is the only one."]
    lines += [
        f"    is the one that scatters least from point to point ({facts['n_good']} good ones), relative to the share of the star's light in it (a "
        f"Gaussian of {facts['fwhm']:g} px full width at half maximum)."
        if any(one["relative"] is not None for one in facts["apertures"])
        else "    is the one in the middle of those that lie wholly on the pixels: from these points no scatter is known.",
        "    aperture    radius  scatter (e-/s)  share of light        quotient",
    ]
    for one in facts["apertures"]:
        note = "  <- flux" if one["name"] == facts["best"] else ""
        note += "  clipped by the edge" if one["whole"] is False else ""
        if one["whole"] is not False and not one["allowed"]:
            note += "  spills charge" if one["radius"] is not None else "  no flux"
        note += "  median not positive" if one["median"] is not None and not one["median"] > 0.0 else ""
        lines.append(
            f"    {one['name']:>9} {'' if one['radius'] is None else number(one['radius'], 2):>8} {number(one['scatter'], 5, 15)} {one['enclosed']:15.5f} {number(one['relative'], 5, 15)}{note}"
        )
    if not facts["agrees"]:
        lines.append(f"    BUT from the points as they are stored it would be {facts['redone']}.")
    return lines
