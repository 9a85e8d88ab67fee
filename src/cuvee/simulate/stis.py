"""Simulated STIS time-tag exposures: photon lists, spectra extracted from them as the mission does, and the truth.

The mission makes an image of the events, multiplies it by what the dead time has lost in the mean of the exposure, takes off the dark image, and
only then extracts spectra (calstis1: GLINCORR, then DARKCORR). So the dark is in the list and not in the spectrum's GROSS and BACKGROUND.

References
----------
STIS Data Handbook, sections 2.3 (x1d) and 3.4 (calibration steps).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from cuvee.errors import ConfigError
from cuvee.simulate.photon_lists import TARGET, make_workspace, write_list
from cuvee.simulate.photon_source import Source, varying_star
from cuvee.simulate.stis_events import ROWS, SPEED, TICK, Scene, draw
from cuvee.simulate.stis_settings import LOW, SETTINGS

__all__ = ["extract", "simulate_stis", "write_exposure", "write_x1d"]

FloatArray = NDArray[np.float64]

_FORMS = ("1J", "1I", "1I", "1I")


def simulate_stis(
    out: Path,
    *,
    grating: str = "E140M",
    events: int = 200_000,
    exposures: int = 2,
    seconds: float = 2600.0,
    source: Source | None = None,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a workspace with simulated STIS exposures of one star in one visit: tag, x1d, and ``truth/truth.json``.

    Parameters
    ----------
    out : Path
        The workspace; must be absent or empty.
    grating : str
        One of `cuvee.simulate.stis_settings.SETTINGS`.
    events : int
        About how many events each exposure has; no fewer than the detector has by itself.
    exposures : int
        Number of exposures, an orbit apart.
    seconds : float
        Length of each.
    source : Source, optional
        How the star varies; by default a sine of 131 s and 30 %, and a flare.
    seed : int
        Another seed, other events.
    progress : callable, optional
        Called as ``progress(done, exposures)``.

    Returns
    -------
    int
        Events of all exposures.

    Raises
    ------
    ConfigError
        If an argument cannot be used, or the folder is not empty.
    StoreError
        If the workspace cannot be written.
    """
    if grating not in SETTINGS:
        raise ConfigError(
            f"There is no simulation of the STIS grating {grating!r}; choose one of {', '.join(SETTINGS)}."
        )
    varies = source or varying_star(seconds)

    def write(
        folder: Path, rootname: str, mjd: float, phase: float, rng: np.random.Generator
    ) -> tuple[int, dict[str, Any]]:
        gti = ((0.0, seconds),)
        plain = Scene(SETTINGS[grating], 1.0, varies, gti, phase=phase, rootname=rootname, mjd=mjd)
        # As bright as it takes: what the detector adds by itself is fixed.
        wanted = max(events / seconds - plain.mean(plain.others), 0.1 * events / seconds)
        scale = wanted / (float(plain.source_rates.sum()) * plain.mean(varies.light))
        scene = Scene(SETTINGS[grating], scale, varies, gti, phase=phase, rootname=rootname, mjd=mjd)
        n_event = write_exposure(folder, scene, rng)
        bands = {f"ORDER{one.number}": float(scene.flux(one).sum() * one.step) for one in scene.setting.orders}
        once = sum(
            float(scene.flux(one)[used].sum() * one.step)
            for one, used in zip(scene.setting.orders, scene.setting.total, strict=True)
        )
        return n_event, {"mjd": mjd, "scale": scale, "phase": phase, "grating": grating, "flux": once, "bands": bands}

    return make_workspace(
        out, "stis", write, rootname="osim01{}q", events=events, exposures=exposures, seconds=seconds, source=varies, seed=seed,
        progress=progress,
    )  # fmt: skip


def write_exposure(folder: Path, scene: Scene, rng: np.random.Generator) -> int:
    """Write the photon list of an exposure and its extracted spectra, and return how many events it has."""
    image = np.zeros(LOW * LOW, np.int64)

    def counted() -> Iterator[NDArray[np.void]]:
        for rows in draw(scene, rng):
            at = (rows["AXIS2"].astype(np.int64) - 1) // 2 * LOW + (rows["AXIS1"] - 1) // 2
            image[:] += np.bincount(at, minlength=LOW * LOW)
            yield rows

    header = fits.Header(
        [
            ("ROOTNAME", scene.rootname), ("EXPSTART", scene.mjd), ("EXPEND", scene.mjd + scene.gti[-1][1] / 86400.0),
            ("EXPTIME", scene.seconds), ("EXPFLAG", "NORMAL"), ("SDQFLAGS", 31743), ("DOPPMAGV", SPEED), ("TSCAL1", TICK), ("TZERO1", 0.0),
            ("TUNIT1", "seconds"), ("TUNIT2", "pixels"), ("TUNIT3", "pixels"), ("TUNIT4", "pixels"),
        ]
    )  # fmt: skip
    gti = np.array(list(scene.gti), [("START", ">f8"), ("STOP", ">f8")])
    path = folder / f"{scene.rootname}_tag.fits"
    n_event = write_list(path, _primary(scene), header, _FORMS, counted(), ROWS, {"GTI": gti})
    write_x1d(folder / f"{scene.rootname}_x1d.fits", scene, extract(scene, image.reshape(LOW, LOW)))
    return n_event


def extract(scene: Scene, image: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Extract spectra as the mission does: dead time, dark, and boxes that take of the rows which they cut their share.

    Parameters
    ----------
    scene : Scene
        What was seen.
    image : int64 array, shape (1024, 1024)
        Events on the spectrum's pixels, by row and column.

    Returns
    -------
    list of dict
        The columns of the x1d table, an order each.
    """
    observed = float(image.sum()) / scene.seconds
    true = observed
    for _ in range(5):
        true = observed * np.exp(scene.tau * true)
    rates = image * (true / observed if observed else 1.0) / scene.seconds - scene.dark_image()
    found: list[dict[str, Any]] = []
    for one in scene.setting.orders:
        gross = _box(rates, one.middle, one.height)
        behind = (
            np.add(*(_box(rates, one.middle + away, one.behind) for away in one.away)) * one.height / (2.0 * one.behind)
        )
        # The mission smooths the background: here it is its mean, but for the airglow's lines where the slit is filled.
        lines = np.zeros(LOW, np.bool_)
        for _, at, _ in (line for line in scene.lines if line[0] is one):
            lines |= np.abs(np.arange(1, LOW + 1) - at) < scene.setting.slit[0]
        background = np.where(lines, behind, behind[~lines].mean())
        net = gross - background
        error = np.sqrt(np.maximum(gross, 0.0) / scene.seconds)
        worth = 1.0 / one.sensitivity
        found.append(
            {
                "SPORDER": one.number, "NELEM": LOW, "WAVELENGTH": one.wavelength, "GROSS": gross, "BACKGROUND": background, "NET": net,
                "FLUX": net * worth, "ERROR": error * worth, "NET_ERROR": error, "A2CENTER": one.row, "EXTRSIZE": one.height,
                "BK1SIZE": one.behind, "BK2SIZE": one.behind, "BK1OFFST": one.away[0], "BK2OFFST": one.away[1], "EXTRLOCY": one.middle,
            }
        )  # fmt: skip
    return found


def _box(image: FloatArray, middle: FloatArray, height: float) -> FloatArray:
    pixel = np.arange(1, LOW + 1)[:, None]
    low, high = middle - 0.5 * height, middle + 0.5 * height
    share = np.clip(np.minimum(pixel + 0.5, high) - np.maximum(pixel - 0.5, low), 0.0, 1.0)
    return np.asarray((image * share).sum(axis=0))


def write_x1d(path: Path, scene: Scene, rows: list[dict[str, Any]]) -> None:
    """Write extracted spectra; ``rows`` are those of `extract`."""
    forms = {"SPORDER": "1I", "NELEM": "1I", "WAVELENGTH": f"{LOW}D"}
    forms |= dict.fromkeys(("GROSS", "BACKGROUND", "NET", "FLUX", "ERROR", "NET_ERROR", "EXTRLOCY"), f"{LOW}E")
    columns = [
        fits.Column(name, forms.get(name, "1E"), array=np.array([row[name] for row in rows])) for name in rows[0]
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SCI", ver=1)
    table.header["EXPTIME"] = scene.seconds
    table.header["MEANDARK"] = float(scene.dark_image().mean()) * scene.seconds
    fits.HDUList([fits.PrimaryHDU(header=_primary(scene)), table]).writeto(path)


def _primary(scene: Scene) -> fits.Header:
    setting = scene.setting
    cards = TARGET | {
        "TELESCOP": "HST", "INSTRUME": "STIS", "ROOTNAME": scene.rootname, "DETECTOR": setting.detector, "OPT_ELEM": setting.grating,
        "CENWAVE": setting.cenwave, "APERTURE": setting.aperture, "TEXPSTRT": scene.mjd, "TEXPTIME": scene.seconds,
        "DARKCORR": "COMPLETE", "FLATCORR": "COMPLETE", "GLINCORR": "COMPLETE",
    }  # fmt: skip
    return fits.Header(list((cards | scene.cards).items()))
