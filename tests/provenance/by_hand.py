"""A point redone from the JSON of `cuvee explain` and the raw file, with astropy and plain arithmetic: nothing of cuvee is imported."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from astropy.io import fits

Facts = dict[str, Any]

EPS = 2.0**-23
SHORT = 2.0**-10  # errors are stored with ten significant bits


def image_of(point: Facts) -> Any:
    """Return the image that the pixels of a point stand in."""
    place = point["place"]
    with fits.open(point["file"]["path"]) as file:
        data = file[place["hdu"]].data
        image = data if place["column"] is None else data[place["column"]][place["frame"]]
        image = np.array(image, np.float64)
    for col, factor in point["gain"]:
        image[:, col + place["col_to_x"]] *= factor
    return image


def clipped_mean(values: Any, kappa: float, n_pass: int) -> tuple[float, float]:
    low, high = -math.inf, math.inf
    for _ in range(n_pass):
        kept = values[(values >= low) & (values <= high)]
        mean, spread = kept.mean(), math.sqrt((kept**2).mean() - kept.mean() ** 2)
        low, high = mean - kappa * spread, mean + kappa * spread
    steps = [a - b for a, b in zip(values[0::2], values[1::2], strict=False) if low <= min(a, b) and max(a, b) <= high]
    return mean, math.sqrt(sum(step**2 for step in steps) / len(steps) / 2 / kept.size)


def clipped_median(values: Any, kappa: float, n_pass: int) -> tuple[float, float]:
    for _ in range(n_pass):
        spread = values.std(ddof=1)
        near = np.abs(values - np.median(values)) <= kappa * spread
        if near.all():
            break
        values = values[near]
    return float(np.median(values)), 1.2533 * spread / math.sqrt(values.size)


def values_of(point: Facts, pixels: Facts, image: Any) -> Any:
    """Pixels of the background as the file has them, less what each stands out by."""
    place = point["place"]
    x, y = np.array(pixels["col"]) + place["col_to_x"], np.array(pixels["row"]) + place["row_to_y"]
    return image[y, x] - np.array(pixels["base"])


def background_of(point: Facts, image: Any) -> tuple[float, float]:
    facts = point["background"]
    if facts["kind"] == "none":
        return 0.0, 0.0
    if facts["kind"] == "mesh":
        return mesh_of(point, image)
    clip = clipped_mean if facts["kind"] == "annulus" else clipped_median
    return clip(values_of(point, facts["pixels"], image), facts["kappa"], facts["n_pass"])


def mesh_of(point: Facts, image: Any) -> tuple[float, float]:
    facts = point["background"]
    n_row, n_col = len(facts["row_edges"]) - 1, len(facts["col_edges"]) - 1
    cells = {(c["cell_row"], c["cell_col"]): c for c in facts["cells"]}
    found = {
        k: clipped_mean(values_of(point, c["pixels"], image), facts["kappa"], facts["n_pass"]) for k, c in cells.items()
    }

    shifts = np.array(facts["shifts"], float)

    def bend(line: Any, k: int) -> float:
        middle = min(max(k, 1), line.size - 2)
        return 0.0 if line.size < 3 else float(line[middle + 1] - 2 * line[middle] + line[middle - 1])

    def at_centres(mean: Any) -> Any:
        """Slopes and curvatures are those of the neighbours; in each of three turns they are taken anew."""
        value = mean
        for _ in range(3):
            last, value = value, mean.copy()
            for i, j in itertools.product(range(n_row), range(n_col)):
                for line, k, shift in ((last[:, j], i, shifts[i, j, 0]), (last[i], j, shifts[i, j, 1])):
                    up, down = min(k + 1, line.size - 1), max(k - 1, 0)
                    slope = (line[up] - line[down]) / (up - down) if up > down else 0.0
                    value[i, j] -= shift * slope + bend(line, k) / 24
        return value

    means = np.array(facts["means"], float)
    for cell, (mean, _) in found.items():
        means[cell] = mean
    values = at_centres(means)
    stills = at_centres(np.array(facts["stills"], float))

    def astray(line: Any, still: Any, k: int) -> float:
        """Of interpolation at the k-th cell of a line of them."""
        return min(bent(line, k), bent(line - still, k))

    def bent(line: Any, k: int) -> float:
        n = line.size
        if n < 5:
            return 0.0
        if k in (0, n - 1):
            four = line[:4] if k == 0 else line[-4:]
            return float(0.16 * abs(four[3] - 3 * four[2] + 3 * four[1] - four[0]))
        i = min(max(k, 2), n - 3)
        return float(3 / 128 * abs(line[i - 2] - 4 * line[i - 1] + 6 * line[i] - 4 * line[i + 1] + line[i + 2]))

    level = variance = 0.0
    for node in facts["nodes"]:
        i, j = node["cell_row"], node["cell_col"]
        value, error = values[i, j], found[i, j][1]
        level += node["weight"] * value
        wrong = astray(values[:, j], stills[:, j], i) + astray(values[i], stills[i], j)
        variance += node["weight"] ** 2 * (error**2 + wrong**2)
    return level, math.sqrt(variance)


def redo(point: Facts) -> dict[str, tuple[float, float, float]]:
    """Return what comes out by hand, what is stored, and by how much single precision may set them apart."""
    image = image_of(point)
    level, level_err = background_of(point, image)
    readout, values = point["readout"], point["values"]
    noise = (
        readout["n_read"]
        * (readout["read_noise_here"] ** 2 + readout["gain_here"] ** 2 / 12)
        / readout["exposure"] ** 2
    )
    out = {}
    if point["background"]["kind"] != "none":
        out["background"] = level, values["background"], 8 * EPS * abs(level)
    for aperture in point["apertures"]:
        total = area = area2 = light2 = 0.0
        for pixel in aperture["pixels"]:
            value, weight = image[pixel["y"], pixel["x"]], pixel["weight"]
            total += weight * value
            area += weight
            area2 += weight**2
            light2 += weight**2 * pixel.get("before_subtraction", value)
        flux = total - area * level
        error = math.sqrt(light2 / readout["exposure"] + area2 * noise + (area * level_err) ** 2)
        name = aperture["name"]
        # What is subtracted is a float32 that came of sums in float32.
        slack = 8 * EPS * area * abs(level) + 2 * EPS * max(total, flux)
        out[f"{name}_flux"] = flux, values[f"{name}_flux"], slack
        out[f"{name}_flux_err"] = error, values[f"{name}_flux_err"], (8 * EPS + SHORT) * error
    return out


def disagreements(point: Facts) -> list[str]:
    """Return the names of the numbers that do not come out as stored."""
    return [name for name, (mine, stored, slack) in redo(point).items() if not abs(mine - stored) <= slack]


def psf_flux(point: Facts) -> tuple[float, float]:
    """Return the PSF flux and its error, from the pixels of the file and the numbers beside them."""
    image, one = image_of(point), point["psf"]
    total = weights = norm = 0.0
    for pixel in one["pixels"]:
        value = image[pixel["y"], pixel["x"]]
        if pixel["mended"]:
            assert not math.isfinite(value)
            value = pixel["value"]
        total += pixel["weight"] * (value - pixel["others"])
        weights += pixel["weight"]
        norm += pixel["weight"] * pixel["prf"]
    level, level_err = mesh_of({**point, "background": {**point["background"], **one["background"]}}, image)
    flux = (total - weights * level) / norm
    if one["cosmic_ray"] is not None:
        flux -= one["cosmic_ray"]["taken"]
    terms, exposure = one["variance"], point["readout"]["exposure"]
    sky = sum(pixel["weight"] ** 2 for pixel in one["pixels"]) * (level - terms["still_level"]) / exposure
    variance = max(terms["reference"] + sky, 0.2 * terms["reference"]) + (terms["lean"] * level_err) ** 2
    return flux, math.sqrt(variance)


def psf_disagreements(point: Facts) -> list[str]:
    """Return which of the PSF flux and its error does not come out as stored."""
    one = point["psf"]
    flux, error = psf_flux(point)
    # What ends the solution: its last change was below a hundredth of the error.
    slack = 0.01 * math.sqrt(one["variance"]["reference"]) + sum(
        one["tolerance"][name] for name in ("pointing", "background", "arithmetic", "rounding")
    )
    inflated = one["variance"]["reference"] / one["variance"]["alone"]
    found = {
        "psf_flux": (flux, point["values"]["psf_flux"], slack),
        "psf_flux_err": (error, point["values"]["psf_flux_err"], (8 * EPS * inflated + SHORT) * error),
    }
    return [name for name, (mine, stored, allowed) in found.items() if not abs(mine - stored) <= allowed]
