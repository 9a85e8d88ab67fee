"""How the scatter of a detector's light curves compares with what it should be, in one figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cuvee.collect import enclosed_light
from cuvee.instruments.registry import instrument
from cuvee.model.records import Readout
from cuvee.photometry.noise import pixel_variance
from cuvee.quicklook.noise import NoiseCurve, noise_curve, relative_numbers
from cuvee.quicklook.scatter import figure_scatter
from cuvee.quicklook.words import band_of

__all__ = ["figure_run", "psf_noise"]


def figure_run(
    name: str, radii: tuple[float, ...], stars: Mapping[str, NDArray[Any]], readout: Readout | None, title: str
) -> Figure:
    """Draw scatter against magnitude for the stars of one detector.

    Parameters
    ----------
    name : str
        The instrument.
    radii : tuple of float
        Radii of the apertures (px).
    stars : mapping of str to array, each of shape (n_star,)
        The detector's numbers, as `cuvee.metrics.summarise` gives them.
    readout : Readout, optional
        How the detector was read out; without it there is no line of expected noise.
    title : str
        Of what.

    Returns
    -------
    Figure
    """
    scatter, expected = relative_numbers(stars)
    known = np.isfinite(stars["mag"]) & np.isfinite(scatter)
    # Where a given mask was summed there is no share of light by circles, and so no expectation.
    circles = np.isfinite(stars["crowding"]).any()
    model = _model(name, radii, stars, known, readout) if readout is not None and known.any() and circles else None
    exposure = 0.0 if model is None or readout is None else readout.exposure
    numbers = (stars["mag"], scatter, model, stars["crowding"], expected, stars["id"])
    return figure_scatter(*numbers, title, exposure, band=band_of(name))


def _model(
    name: str,
    radii: tuple[float, ...],
    stars: Mapping[str, NDArray[Any]],
    known: NDArray[np.bool_],
    readout: Readout,
) -> NoiseCurve:
    """Return the noise of a single star on the median background, in the apertures that stars of its magnitude use."""
    device = instrument(name)
    mag = np.linspace(stars["mag"][known].min() - 0.3, stars["mag"][known].max() + 0.3, 60)
    numbers = [best.removeprefix("aperture") for best in stars["best"]]
    chosen = np.array([int(number) - 1 if number.isdigit() else 0 for number in numbers])
    area = np.pi * np.asarray(radii)[np.minimum(chosen, len(radii) - 1)] ** 2
    # Apertures enclose only a share of the light; the PSF flux is all of it, and has the noise of a few pixels.
    share = np.asarray(enclosed_light(np.sqrt(area / np.pi), device.fwhm))
    fitted = stars["best"] == "psf"
    area[fitted], share[fitted] = _psf_pixels(device.fwhm), 1.0
    if "mask_size" in stars:
        masked = (stars["best"] == "mask") & (stars["mask_size"] > 0)
        area[masked], share[masked] = stars["mask_size"][masked], stars["mask_share"][masked]
    near = [np.abs(stars["mag"] - m) < 0.5 for m in mag]
    n_pixel, light = (
        np.array([np.mean(values[at]) if at.any() else np.mean(values) for at in near]) for values in (area, share)
    )
    background = float(np.nanmedian(stars["background"]))
    variance = float(np.median(pixel_variance(readout)))
    zero_point = device.zero_point + 2.5 * np.log10(light)
    return noise_curve(mag, zero_point, background, n_pixel, variance, readout.exposure)


def _psf_pixels(fwhm: float) -> float:
    """Return how many pixels' noise is in the PSF flux of a Gaussian star: 4 pi times its variance, blurred by the pixel."""
    return float(4.0 * np.pi * (fwhm**2 / (8.0 * np.log(2.0)) + 1.0 / 12.0))


def psf_noise(
    name: str, stars: Mapping[str, NDArray[Any]], readout: Readout, n_pixel: float, ends: tuple[float, float]
) -> NoiseCurve:
    """Return the noise that the PSF flux of a single star on the median background should have.

    Parameters
    ----------
    name : str
        The instrument.
    stars : mapping of str to array, each of shape (n_star,)
        The detector's numbers.
    readout : Readout
        How the detector was read out.
    n_pixel : float
        Pixels whose noise is in the flux, as `cuvee.quicklook.prf.noise_pixels` gives them.
    ends : tuple of float
        Magnitudes from where to where.

    Returns
    -------
    NoiseCurve
        Relative to the flux. Exact where the star's photons, or those of the background, are all there is.
    """
    mag = np.linspace(*ends, 60)
    background, variance = float(np.nanmedian(stars["background"])), float(np.median(pixel_variance(readout)))
    return noise_curve(mag, instrument(name).zero_point, background, n_pixel, variance, readout.exposure)
