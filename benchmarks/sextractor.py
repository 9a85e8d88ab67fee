"""SExtractor and PSFEx on bare images: the PSF learned from one frame, then each frame detected and fitted on its own.

SExtractor does more general work than cuvee: it is told nothing of the stars, detects them in every frame anew, and fits their
places as well as their fluxes. The settings are those that did best of what was tried on frames as TESS takes them: a Mexican-hat
filter, which parts neighbours in a crowded field (at no more processor time than the default filter), a detection from one pixel above 4 sigma on, and a PSF that varies with
the second degree across the frame and is sampled at half a pixel.

One number of the PSF is put right between the two programs. PSFEx 3.21 writes ``PSF_FWHM`` in pixels, SExtractor 2.25 takes it for samples of
the PSF and fits each star in a box of that size: with half-pixel sampling a box of one or two pixels, in which nearly all
stars that this filter detects get a flux of zero (a tenth to a third with the default filter). So it is told in samples, which leaves half of them
without a flux, and twice as large: then nearly all have one, at the least scatter of what was tried.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

PROGRAMS = ("source-extractor", "psfex")
BOXES = 2.0
"""How many FWHM the least box is wide in which a star is fitted."""
NEAR = 0.5
"""A detection nearer to a star's true place than this (px) is the star."""

SIGMA = 0.64
"""Of the Mexican hat (px), for stars about 1.5 px wide."""
EDGE = "25"
"""Of the vignettes that PSFEx learns from (px)."""

COMMON = {
    "MEMORY_PIXSTACK": "3000000", "MEMORY_OBJSTACK": "30000", "VERBOSE_TYPE": "QUIET", "NTHREADS": "1", "FILTER_NAME": "hat.conv",
    # Frames are in e-/s, so the exposure is what turns them into electrons; nothing in them saturates.
    "GAIN_KEY": "NONE", "SATUR_KEY": "NONE", "SATUR_LEVEL": "1e9",
}  # fmt: skip
LEARN = {"DETECT_THRESH": "10", "DETECT_MINAREA": "3", "CATALOG_TYPE": "FITS_LDAC", "PARAMETERS_NAME": "learn.param"}
MEASURE = {"DETECT_THRESH": "4", "DETECT_MINAREA": "1", "CATALOG_TYPE": "FITS_1.0", "PARAMETERS_NAME": "measure.param"}
PSFEX = {
    "PSFVAR_DEGREES": "2", "PSF_SAMPLING": "0.5", "PSF_SIZE": "21,21", "SAMPLE_FWHMRANGE": "1.0,4.0", "SAMPLE_MINSN": "2000",
    "CHECKPLOT_TYPE": "NONE", "CHECKIMAGE_TYPE": "NONE", "WRITE_XML": "N", "VERBOSE_TYPE": "QUIET", "NTHREADS": "1",
}  # fmt: skip
LEARNED = ("X_IMAGE", "Y_IMAGE", "FLUX_APER(1)", "FLUXERR_APER(1)", "FLUX_RADIUS", "SNR_WIN", "ELONGATION", "FLAGS")
MEASURED = ("XPSF_IMAGE", "YPSF_IMAGE", "FLUX_PSF", "FLAGS")


def absent() -> str:
    """Say why SExtractor cannot be measured here; nothing where it can."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        plural = "is" if len(missing) == 1 else "are"
        return f"{' and '.join(missing)} {plural} not installed (Debian: apt-get install source-extractor psfex)"
    return ""


def write_images(folder: Path, pixels: Iterable[NDArray[Any]]) -> list[Path]:
    """Write bare images, as SExtractor likes them best, and the files that it is configured by."""
    from astropy.io import fits

    folder.mkdir(parents=True, exist_ok=True)
    along = np.arange(-2, 3) / SIGMA
    u = 0.5 * (along[:, None] ** 2 + along**2)
    hat = (1.0 - u) * np.exp(-u)
    hat -= hat.mean()
    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in hat)
    (folder / "hat.conv").write_text(f"CONV NORM\n{rows}\n")
    (folder / "learn.param").write_text("\n".join((*LEARNED, f"VIGNET({EDGE},{EDGE})")) + "\n")
    (folder / "measure.param").write_text("\n".join(MEASURED) + "\n")
    (folder / "empty").touch()
    paths = []
    for k, image in enumerate(pixels):
        paths.append(folder / f"frame{k}.fits")
        fits.PrimaryHDU(image.astype(np.float32)).writeto(paths[-1], overwrite=True)
    return paths


def learn(image: Path, exposure: float) -> Path:
    """Learn the PSF from one frame; return where it lies."""
    from astropy.io import fits

    catalog = image.with_suffix(".ldac")
    _run("source-extractor", image, COMMON | LEARN | {"GAIN": f"{exposure:g}", "CATALOG_NAME": catalog.name})
    _run("psfex", catalog, PSFEX)
    psf = image.with_suffix(".psf")
    with fits.open(psf, mode="update") as file:
        head = file[1].header
        head["PSF_FWHM"] = BOXES * head["PSF_FWHM"] / head["PSF_SAMP"]
    return psf


def measure(images: Sequence[Path], psf: Path, exposure: float, processes: int) -> list[Path]:
    """Detect and fit the stars of each frame, so many frames at a time; return the catalogues."""

    def one(image: Path) -> Path:
        catalog = image.with_suffix(".cat")
        told = {"GAIN": f"{exposure:g}", "CATALOG_NAME": catalog.name, "PSF_NAME": psf.name}
        _run("source-extractor", image, COMMON | MEASURE | told)
        return catalog

    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(one, images))


def _run(program: str, path: Path, options: Mapping[str, str]) -> None:
    words = [word for key, value in options.items() for word in (f"-{key}", value)]
    done = subprocess.run(
        [program, path.name, "-c", "empty", *words], cwd=path.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"FAILED: {program} on {path.name} said: {done.stderr[-300:]}")


def fluxes_of_frames(
    frames: Sequence[NDArray[Any]], exposure: float, col: NDArray[Any], row: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the fluxes of stars at known places in all frames but the first, from which the PSF is learned."""
    with tempfile.TemporaryDirectory() as scratch:
        images = write_images(Path(scratch), frames)
        psf = learn(images[0], exposure)
        return fluxes(measure(images[1:], psf, exposure, 2), col, row)


def fluxes(catalogs: Sequence[Path], col: NDArray[Any], row: NDArray[Any]) -> NDArray[np.float64]:
    """Return the fluxes of stars at known places (0-based), shape (n_star, n_frame); NaN where SExtractor has none."""
    from astropy.io import fits

    found = np.full((col.size, len(catalogs)), np.nan)
    for k, path in enumerate(catalogs):
        table = fits.getdata(path, 1)
        x, y, flux = (np.asarray(table[name], np.float64) for name in MEASURED[:3])
        fitted = flux > 0.0
        tree = cKDTree(np.stack([x, y], axis=1)[fitted] - 1.0)
        away, nearest = tree.query(np.stack([col, row], axis=1))
        found[:, k] = np.where(away < NEAR, flux[fitted][np.minimum(nearest, tree.n - 1)], np.nan)
    return found
