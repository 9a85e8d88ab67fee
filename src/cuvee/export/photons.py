"""Light curves of photons as files: HLSP FITS with the columns of hstlc beside cuvee's, and the other formats with the exposure's facts.

References
----------
FITS Standard 4.0 (IAU FITS Working Group, 2018): units section 4.3, time section 9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvee import __version__
from cuvee.export.fits import light_curve_file
from cuvee.export.hdu import EMPTY, Card
from cuvee.export.rows import Observation
from cuvee.model.records import BJD_OFFSET
from cuvee.model.time import DAY

__all__ = ["Facts", "photon_fits_bytes", "photon_name", "photon_observation", "telescope", "who_cards"]

Facts = Mapping[str, Any]
"""What `cuvee.store.photon_curves` keeps of an exposure, or of a composite."""

_SETTING = ("grating", "cenwave", "aperture")
_ROW: dict[str, tuple[str, str]] = {
    "id": ("", "target's name"),
    "segment": ("", "visit, or composite"),
    "series": ("", "exposure, or what the exposures of a composite have in common"),
    "grating": ("", "optical element"),
    "cenwave": ("", "central wavelength setting (Angstrom)"),
    "aperture": ("", "aperture"),
    "proposal": ("", "number of the proposal"),
    "seconds": ("s", "good time"),
}
"""Unit and meaning of what is said of an exposure, where it differs from stars."""

_HSTLC: dict[str, tuple[str, str]] = {
    "dataset": ("", "number of the exposure, from 1"),
    "times": ("s", "start of the bin since EXPSTART of its exposure"),
    "mjd": ("d", "start of the bin at the observatory, UTC"),
    "bins": ("s", "length of the bin; EXPOSURE is its good time"),
    "counts": ("count", "GROSS - BACKGROUND"),
    "error": ("count", "sqrt(GROSS + BACKGROUND)"),
    "flux_error": ("erg/(cm2 s)", "the same as FLUX_ERR"),
    "signal_to_noise": ("", "COUNTS / ERROR"),
}
"""Columns of hstlc that cuvee calls otherwise, or has no need of."""


def telescope(instrument: str, facts: Facts) -> str:
    """Return the name of the observatory."""
    return {"cos": "HST", "stis": "HST"}.get(instrument, str(facts["setting"][0]))  # other lists are of any mission


def photon_name(instrument: str, row: Mapping[str, Any], facts: Facts, suffix: str, product: str = "sci") -> str:
    """Name the exported file of an exposure, or of a composite, after hstlc's pattern.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    row : mapping
        Plain columns of the row.
    facts : mapping
        What is known of it.
    suffix : str
        ``fits``, ``csv``, ``ecsv`` or ``vot``.
    product : str
        ``sci`` for light curves, ``evt`` for lists of events.

    Returns
    -------
    str
        For example ``hlsp_cuvee_hst_cos-fuv_gj-436_g130m_1291_psa_ld9m10ujq_v1_sci.fits``; a composite's lacks the exposure.
    """
    device, detector, *rest = facts["setting"]
    one = [] if row["segment"] == "composite" else [row["series"]]
    words = [telescope(instrument, facts), f"{device}-{detector}", row["id"], *rest, *one]
    plain = (re.sub(r"[^a-z0-9.+-]+", "-", str(word).lower()) or "none" for word in words)
    return f"hlsp_cuvee_{'_'.join(plain)}_v1_{product}.{suffix}"


def photon_observation(observation: Observation, facts: Facts) -> Observation:
    """Return a row of the store with what is known of its exposure in place of what only stars have.

    Parameters
    ----------
    observation : Observation
        The row.
    facts : mapping
        What is known of it.
    """
    names = ("id", "ra", "dec", "segment", "detector", "series")
    row = {name: observation.row[name] for name in names}
    row |= dict(zip(_SETTING, facts["setting"][2:], strict=False))
    row |= {"proposal": facts["cards"].get("proposal", 0), "seconds": facts["seconds"]}
    return Observation(row, observation.points, {**observation.columns, **_ROW})


def photon_fits_bytes(instrument: str, observation: Observation, facts: Facts) -> bytes:
    """Write an exposure of photons, or a composite, as HLSP FITS.

    Parameters
    ----------
    instrument : str
        Name of the instrument.
    observation : Observation
        The row and its points.
    facts : mapping
        What is known of it.

    Returns
    -------
    bytes
        An empty primary HDU and the table LIGHTCURVE, with checksums. The same row always gives the same bytes.
    """
    added = _hstlc_columns(observation.points, facts)
    both = Observation(observation.row, {**observation.points, **added}, {**observation.columns, **_HSTLC})
    who = who_cards(instrument, observation.row, facts)
    mjd = added["mjd"]
    known = mjd[np.isfinite(mjd)]
    start, stop = (float(known.min()), float((mjd + added["bins"] / DAY).max())) if known.size else (None, None)
    first: list[Card] = [
        *EMPTY,
        ("EXTNAME", "PRIMARY", "name of this HDU"),
        ("CREATOR", "cuvee", "program that made this file"),
        ("PROCVER", __version__, "version of cuvee"),
        ("FILEVER", "1.0", "version of this file format"),
        ("HLSPID", "CUVEE", "collection of this product"),
        ("HLSPNAME", "cuvee light curves of photons", "title of the collection"),
        ("HLSPVER", "v1", "version of the product"),
        *who,
        ("PROPOSID", int(facts["cards"].get("proposal", 0)) or None, "number of the proposal"),
        ("DATE-OBS", _date(start, facts["scale"]), "start of the first bin"),
        ("EXPSTART", start, f"[d] MJD of that, {facts['scale'].upper()}"),
        ("EXPEND", stop, f"[d] MJD at the end of the last bin, {facts['scale'].upper()}"),
        ("EXPTIME", float(facts["seconds"]), "[s] good time"),
    ]
    low, high = facts["wavelengths"]
    table: list[Card] = [
        *who,
        ("TIMEREF", "SOLARSYSTEM", "times are barycentric"),
        ("TASSIGN", "SATELLITE", "where time is assigned"),
        ("TIMESYS", "TDB", "barycentric dynamical time"),
        ("BJDREFI", int(BJD_OFFSET), "[d] integer part of the zero of TIME"),
        ("BJDREFF", 0.0, "[d] fraction of the zero of TIME"),
        ("TIMEUNIT", "d", "unit of TIME"),
        ("TIMEPIXR", 0.5, "TIME is the middle of the bin"),
        ("STEPSIZE", float(_bins(facts)[0]["step"]), "[s] length of a bin"),
        ("WMIN", low or None, "[Angstrom] shortest wavelength used"),
        ("WMAX", high or None, "[Angstrom] longest wavelength used"),
        *_exposures(observation.row, facts),
    ]
    return light_curve_file(instrument, both, first, table)


def _bins(facts: Facts) -> list[Mapping[str, Any]]:
    """Return where the bins of each exposure lie."""
    return list(facts.get("exposures", [facts]))


def _hstlc_columns(points: Mapping[str, NDArray[Any]], facts: Facts) -> dict[str, NDArray[Any]]:
    n = points["time"].size
    dataset = np.asarray(points.get("dataset", np.ones(n, np.int32)))
    times, mjd, bins = np.zeros(n), np.zeros(n), np.zeros(n)
    for k, one in enumerate(_bins(facts), 1):
        here = np.flatnonzero(dataset == k)
        times[here] = one["start"] + one["step"] * np.arange(here.size)
        mjd[here] = one["mjd"] + times[here] / DAY
        bins[here] = one["step"]
    gross, background = points["gross"].astype(np.float64), points["background"].astype(np.float64)
    counts, error = gross - background, np.sqrt(gross + background)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(error > 0.0, counts / error, np.nan)
    return {
        "dataset": dataset, "times": times, "mjd": mjd, "bins": bins, "counts": counts, "error": error,
        "flux_error": points["flux_err"], "signal_to_noise": ratio,
    }  # fmt: skip


def who_cards(instrument: str, row: Mapping[str, Any], facts: Facts) -> list[Card]:
    """Return the cards that say what was observed, where it is, and with what."""
    device, detector, *rest = (_ascii(word) for word in facts["setting"])
    if instrument == "events":  # X-ray missions: the telescope comes first, and the instrument is the detector
        device = detector
    grating, cenwave, aperture = (*rest, "", "", "")[:3]
    cards: list[Card] = [
        ("TELESCOP", _ascii(telescope(instrument, facts)), "telescope"),
        ("INSTRUME", device or instrument.upper(), "instrument"),
        ("DETECTOR", detector, "detector"),
        ("OBJECT", _ascii(row["id"]), "name of the target"),
        ("TARGNAME", _ascii(row["id"]), "name of the target"),
        ("TARDESCR", _ascii(facts["cards"].get("description", "")), "the proposer's words for it"),
        ("RADESYS", "ICRS", "reference frame of celestial coordinates"),
        ("RA_OBJ", float(row["ra"]), "[deg] right ascension"),
        ("DEC_OBJ", float(row["dec"]), "[deg] declination"),
        ("RA_TARG", float(row["ra"]), "[deg] right ascension"),
        ("DEC_TARG", float(row["dec"]), "[deg] declination"),
        ("EQUINOX", 2000.0, "[yr] equinox of celestial coordinates"),
        ("FILTER", grating, "optical element"),
        ("OPT_ELEM", grating, "optical element"),
        ("CENWAVE", int(cenwave) if cenwave.isdigit() else None, "[Angstrom] central wavelength"),
        ("APERTURE", aperture, "aperture"),
    ]
    return [card for card in cards if card[1] not in ("", None)]


def _exposures(row: Mapping[str, Any], facts: Facts) -> list[Card]:
    members = facts.get("members")
    if members is None:
        return [("ROOTNAME", _ascii(row["series"]), "name of the exposure")]
    numbered: list[Card] = [("NEXPOSUR", len(members), "number of exposures")]
    return numbered + [
        (f"EXPO{k:04d}", _ascii(name), f"exposure where DATASET is {k}") for k, name in enumerate(members[:9999], 1)
    ]


def _date(mjd: float | None, scale: str) -> str | None:
    from astropy.time import Time

    return None if mjd is None else str(Time(mjd, format="mjd", scale=scale).isot)


def _ascii(word: Any) -> str:
    """Return what a FITS header can hold of a text."""
    return "".join(c if " " <= c <= "~" else "?" for c in str(word))
