"""One picture a run and detector: how the scatter of its light curves compares with what it should be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from cuvee.collect import enclosed_light
from cuvee.instruments.registry import instrument
from cuvee.photometry.noise import pixel_variance
from cuvee.quicklook.noise import noise_curve
from cuvee.quicklook.scatter import figure_scatter
from cuvee.quicklook.style import save
from cuvee.quicklook.words import observation_words
from cuvee.store.numbers import read_columns
from cuvee.store.paths import Paths
from cuvee.store.tables import read_reference

__all__ = ["draw_run", "figure_run"]


def draw_run(paths: Paths, name: str, radii: tuple[float, ...]) -> list[Path]:
    """Draw scatter against magnitude for every detector whose numbers are newer than its picture.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    name : str
        The instrument.
    radii : tuple of float
        Radii of the apertures (px).

    Returns
    -------
    list of Path
        All pictures of the workspace, new ones among them.
    """
    folder = paths.light_curves / name / "summary"
    pictures = []
    for table in sorted(folder.glob("*.parquet")):
        picture = table.with_suffix(".png")
        if not picture.exists() or picture.stat().st_mtime_ns < table.stat().st_mtime_ns:
            save(figure_run(paths, name, radii, table), picture)
        pictures.append(picture)
    return pictures


def figure_run(paths: Paths, name: str, radii: tuple[float, ...], table: Path) -> Figure:
    """Draw scatter against magnitude for the stars of one detector.

    Parameters
    ----------
    paths : Paths
        Of the workspace.
    name : str
        The instrument.
    radii : tuple of float
        Radii of the apertures (px).
    table : Path
        The detector's numbers, one row a star.

    Returns
    -------
    Figure

    Raises
    ------
    StoreError
        If the numbers are missing or damaged.
    """
    device = instrument(name)
    stars = read_columns(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        scatter = np.where(stars["flux"] > 0, stars["scatter"] / stars["flux"], np.nan)
        expected = np.where(stars["flux"] > 0, stars["flux_err"] / stars["flux"], np.nan)
    model = None
    exposure = 0.0
    references = sorted((paths.root / paths.base / "reference-frames").glob(f"{table.stem}*.reference"))
    known = np.isfinite(stars["mag"]) & np.isfinite(scatter)
    # Where a given mask was summed there is no share of light by circles, and so no expectation.
    circles = np.isfinite(stars["crowding"]).any()
    if references and known.any() and circles:
        readout = read_reference(references[0]).readout
        exposure = readout.exposure
        mag = np.linspace(stars["mag"][known].min(), stars["mag"][known].max(), 60)
        # The apertures that stars of each magnitude use, which enclose only a share of their light.
        chosen = np.array([int(best.removeprefix("aperture")) - 1 for best in stars["best"]])
        chosen = np.minimum(chosen, len(radii) - 1)
        near = [np.abs(stars["mag"] - m) < 0.5 for m in mag]
        area = np.pi * np.asarray(radii)[chosen] ** 2
        n_pixel = np.array([np.mean(area[at]) if at.any() else np.mean(area) for at in near])
        share = np.asarray(enclosed_light(np.sqrt(n_pixel / np.pi), device.fwhm))
        background = float(np.nanmedian(stars["background"]))
        variance = float(np.median(pixel_variance(readout)))
        zero_point = device.zero_point + 2.5 * np.log10(share)
        model = noise_curve(mag, zero_point, background, n_pixel, variance, exposure)
    title = observation_words(name, table)
    return figure_scatter(stars["mag"], scatter, model, stars["crowding"], expected, stars["id"], title, exposure)
