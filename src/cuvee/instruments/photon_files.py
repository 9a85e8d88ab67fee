"""What a survey remembers of a file of photons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cuvee.instruments.fits_bytes import Cards, bad
from cuvee.model.photons import Exposure, Spectrum, setting_words
from cuvee.model.records import BJD_OFFSET, FileInfo, Geometry, Moments, Pixels, Readout

__all__ = ["SETTING", "check_maker", "check_rates", "is_of", "no_pixels", "photon_info"]

SETTING = ("INSTRUME", "DETECTOR", "OPT_ELEM", "CENWAVE", "APERTURE")
"""Cards of HST files that, with the target, make exposures comparable."""

SAME = 0.01
"""Exposure times of a photon list and of its spectrum may differ by this share; else the spectrum is of another one."""

MOST_RATE = 1e6
"""Count rate that no column of a detector bears (count/s): they are switched off long before."""

_VISIT = 6
"""Characters of an HST exposure's name that all exposures of a visit share."""


def check_maker(cards: Cards, name: str) -> None:
    """Raise `BadData` (``header``) if a primary header is not of that instrument."""
    found = cards.text("INSTRUME", "")
    if found != name:
        raise bad(cards.path, f"is not from {name} but from {found or 'somewhere else'}", "header")


def is_of(spectrum: Spectrum, exposure: Exposure) -> bool:
    """Tell whether a spectrum is of that exposure, by how long it took."""
    return abs(spectrum.seconds - exposure.seconds) < SAME * exposure.seconds


def no_pixels(info: FileInfo, buffer: NDArray[np.uint8] | None = None) -> Pixels:
    """Stand where an instrument of images reads them; nobody calls it."""
    raise NotImplementedError(f"{info.path} holds photons, not pixels")


def check_rates(path: str, spectra: Iterable[Spectrum]) -> None:
    """Raise `BadData` (``damaged``) if a spectrum has rates that no detector bears; what is not a number is none."""
    for one in spectra:
        for name, rates in (("NET", one.net), ("BACKGROUND", one.dark)):
            if (np.abs(rates) > MOST_RATE).any():
                raise bad(
                    path, f"is damaged: {name} of {one.name} reaches {np.nanmax(np.abs(rates)):.3g} counts/s", "damaged"
                )


def photon_info(
    path: str,
    instrument: str,
    rootname: str,
    role: str,
    target: str,
    setting: Sequence[str],
    exposure: Exposure | None = None,
) -> FileInfo:
    """Return the facts of a file.

    Parameters
    ----------
    path : str
        The file.
    instrument : str
        Name of the plug-in.
    rootname : str
        Of the exposure.
    role : str
        ``events`` or ``spectrum``.
    target : str
        What the file calls its target.
    setting : sequence of str
        Instrument, detector and what else makes exposures comparable; empty words allowed.
    exposure : Exposure, optional
        Of a list of events.
    """
    start = stop = np.array([np.nan])
    if exposure is not None and exposure.gti.size:  # near enough to find it by; the light curve has the barycentre's
        start, stop = (
            np.array([exposure.mjd + 2400000.5 - BJD_OFFSET + exposure.gti.flat[k] / 86400.0]) for k in (0, -1)
        )
    nothing = np.array([np.nan])
    return FileInfo(
        path, instrument, rootname[:_VISIT], setting[1].lower() or instrument, "events", rootname, path.rpartition("/")[2].removesuffix(".gz"),
        Geometry(0, 0, 0, 0), Readout(0.0 if exposure is None else exposure.seconds, (), (), 0, (), 0.0),
        Moments(np.zeros(1, np.int64), start, stop, nothing, np.zeros(1, np.int32)),
        facts={"role": role, "target": target or "unknown", "proposal": str(0 if exposure is None else exposure.cards.get("proposal", 0)), "setting": setting_words(setting)},
    )  # fmt: skip
